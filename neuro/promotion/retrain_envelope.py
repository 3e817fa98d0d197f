"""What automatic retraining may do without asking. Outside the envelope nothing is automatic."""

import difflib
import math
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from neuro import limits
from neuro.errors import ConfigError, TrainingError
from neuro.models import ensemble
from neuro.promotion.drift_policy import DriftPolicy
from neuro.promotion.gates import PromotionConfig

ANY = "*"
MONTH = timedelta(days=30)  # of max_per_month
_TABLES = {"promotion": PromotionConfig, "drift": DriftPolicy}


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """Limits of automatic retraining.

    problems, architectures: allowed names; ("*",) allows every one, () none. max_epochs and
    max_seconds: budget of one training; the time of its epochs is looked at after each, and 0 lets
    nothing start. cool_down_s: least time between two starts. max_per_month: most starts within 30
    days. changes_preprocess: whether a model that sees other pictures than the champion may take
    its place by itself. needs_approval: persons must agree before what was trained by itself
    serves. approvals: how many, of approvers. drift: how windows are judged, and what retrains.
    stated: by field, the line of the file that says it.
    """

    problems: tuple[str, ...] = (ANY,)
    architectures: tuple[str, ...] = (ANY,)
    max_epochs: int = 600
    max_seconds: float = 6 * 3600.0
    cool_down_s: float = 6 * 3600.0
    max_per_month: int = 8
    changes_preprocess: bool = False
    needs_approval: bool = True
    approvals: int = 1
    approvers: tuple[str, ...] = (ANY,)
    promotion: PromotionConfig = field(default_factory=PromotionConfig)
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    stated: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("problems", "architectures", "approvers"):
            names = getattr(self, name)
            if not isinstance(names, tuple) or not all(isinstance(entry, str) for entry in names):
                raise ConfigError(f"envelope.{name} must be a list of names, got {names!r}")
        for name in ("max_epochs", "max_seconds", "cool_down_s", "max_per_month"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            # TOML knows nan, which nothing is ever above: a limit that limits nothing.
            if not is_number or math.isnan(value) or value < 0:
                raise ConfigError(f"envelope.{name} must be a number from 0 up, got {value!r}")
        for name in ("needs_approval", "changes_preprocess"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(
                    f"envelope.{name} must be true or false, got {getattr(self, name)!r}"
                )
        if type(self.approvals) is not int or not 1 <= self.approvals <= 9:
            raise ConfigError(f"envelope.approvals must be 1 to 9 persons, got {self.approvals!r}")
        if ANY not in self.approvers and len(set(self.approvers)) < self.approvals:
            raise ConfigError(
                f"envelope.approvals asks for {self.approvals} persons, and approvers names "
                f"{len(set(self.approvers))}"
            )

    def line(self, name: str) -> str:
        """Where the envelope says a field, and what."""
        return self.stated.get(name) or f"the default, {name} = {getattr(self, name)!r}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainRequest:
    """The training that something wants to start by itself.

    epochs: of each member of an ensemble. seconds: it took up to now.
    """

    problem: str
    model: str
    epochs: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """What has passed the gate and would serve. sees_other_pictures: than the champion."""

    problem: str
    model: str
    sees_other_pictures: bool


def load(path: Path) -> Envelope:
    """Read an envelope from TOML; what the file leaves out has the default."""
    text = limits.text_of(path, f"envelope {path}")
    try:
        facts = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"envelope {path} cannot be read: {error}") from error
    known = {entry.name for entry in fields(Envelope)} - {"stated"}
    _require_known(facts, known, f"envelope {path}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}
    try:
        for name, kind in _TABLES.items():
            given = values.get(name, {})
            if not isinstance(given, dict):
                raise ConfigError(f"{name} must be a table, [{name}]")
            _require_known(given, {each.name for each in fields(kind)}, f"[{name}] of {path}")
            values[name] = kind(**given)
        return Envelope(**values, stated=_lines(text, facts, path))
    except (TypeError, ConfigError) as error:
        raise ConfigError(f"envelope {path}: {error}") from error


def _require_known(given: Collection[str], known: Collection[str], where: str) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(
                f"{where}: unknown {name!r}: {hint}Its fields are {', '.join(sorted(known))}"
            )


def _lines(text: str, facts: Collection[str], path: Path) -> dict[str, str]:
    """By field, the file, number and text of the line that begins it."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        begun = re.match(r"\s*([A-Za-z_]+)\s*=", line)
        if begun and begun[1] in facts:
            found.setdefault(begun[1], f"{path.name} line {number}: {line.strip()[:120]}")
    return found


def check(
    envelope: Envelope, request: RetrainRequest, *, started: Sequence[datetime], now: datetime
) -> str | None:
    """Why the training may not start by itself, or None where it may.

    started: when each of the problem's other trainings started by itself; all times carry a zone.
    """
    if (refused := _not_allowed(envelope, request.problem, request.model)) is not None:
        return refused
    if (epochs := request.epochs * len(ensemble.members(request.model))) > envelope.max_epochs:
        return f"{epochs} epochs exceed the envelope's {envelope.max_epochs}"
    if request.seconds > envelope.max_seconds or envelope.max_seconds == 0:
        return f"{request.seconds:g} s exceed the envelope's {envelope.max_seconds:g} s"
    # A start that a wrong clock dated ahead counts like one as long ago, and not until then.
    waited = min(((now - at).total_seconds() for at in started), key=abs, default=math.inf)
    if abs(waited) < envelope.cool_down_s:
        when = f"{waited:.0f} s ago" if waited >= 0 else f"{-waited:.0f} s ahead of this clock"
        return f"last started {when}; the cool-down is {envelope.cool_down_s:g} s"
    this_month = sum(abs(now - at) < MONTH for at in started)
    if this_month >= envelope.max_per_month:
        return (
            f"{this_month} trainings have started by themselves within {MONTH.days} days, and "
            f"max_per_month is {envelope.max_per_month:g}"
        )
    return None


def wider(envelope: Envelope) -> str:
    """What the gate allows beyond its defaults, such as "margin 0.2 (default 0.05)", or ""."""
    given, plain = envelope.promotion, PromotionConfig()
    names = [field.name for field in fields(PromotionConfig)]
    return ", ".join(
        f"{name} {getattr(given, name):g} (default {getattr(plain, name):g})"
        for name in names
        if getattr(given, name) > getattr(plain, name) and name != "recent_must_improve"
    )


def outside(envelope: Envelope, candidate: Candidate) -> str | None:
    """Why a candidate may not serve without a person, whatever the gate says; None where it may."""
    refused = _not_allowed(envelope, candidate.problem, candidate.model)
    if refused is None and candidate.sees_other_pictures and not envelope.changes_preprocess:
        return (
            "it sees other pictures than the champion, with another preprocess "
            f"({envelope.line('changes_preprocess')})"
        )
    return refused


def _not_allowed(envelope: Envelope, problem: str, model: str) -> str | None:
    """Which name is not among those that the envelope allows."""
    for field_name, name, allowed in (
        ("problems", problem, envelope.problems),
        *(
            ("architectures", each.architecture, envelope.architectures)
            for each in ensemble.members(model)
        ),
    ):
        if ANY not in allowed and name not in allowed:
            return (
                f"{name} is not among the envelope's {field_name}: {', '.join(allowed) or '-'} "
                f"({envelope.line(field_name)})"
            )
    return None


def require_time(seconds: float, max_seconds: float, *, epochs: str) -> None:
    """Raise TrainingError when a training that started by itself has used up its time.

    epochs: how far it is, such as "3 of 20".
    """
    if seconds > max_seconds:
        raise TrainingError(
            f"stopped after epoch {epochs}: {seconds:.3g} s of training exceed max_seconds "
            f"{max_seconds:g} of the envelope; allow more in envelope.toml, or start it by hand "
            "with `neuro retrain`, which goes on from there"
        )
