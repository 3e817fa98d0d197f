"""What automatic retraining may do without asking. Outside the envelope nothing is automatic."""

import math
import tomllib
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from neuro import limits
from neuro.errors import ConfigError, TrainingError
from neuro.models import ensemble
from neuro.promotion.gates import PromotionConfig

ANY = "*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """Limits of automatic retraining.

    problems, architectures: allowed names; ("*",) allows every one, () none. max_epochs and
    max_seconds: budget of one training; the time of its epochs is looked at after each, and 0 lets
    nothing start. cool_down_s: least time between two starts.
    needs_approval: a person must agree before a passed gate promotes.
    """

    problems: tuple[str, ...] = (ANY,)
    architectures: tuple[str, ...] = (ANY,)
    max_epochs: int = 600
    max_seconds: float = 6 * 3600.0
    cool_down_s: float = 6 * 3600.0
    needs_approval: bool = False
    promotion: PromotionConfig = field(default_factory=PromotionConfig)

    def __post_init__(self) -> None:
        for name in ("problems", "architectures"):
            names = getattr(self, name)
            if not isinstance(names, tuple) or not all(isinstance(entry, str) for entry in names):
                raise ConfigError(f"envelope.{name} must be a list of names, got {names!r}")
        for name in ("max_epochs", "max_seconds", "cool_down_s"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            # TOML knows nan, which nothing is ever above: a limit that limits nothing.
            if not is_number or math.isnan(value) or value < 0:
                raise ConfigError(f"envelope.{name} must be a number from 0 up, got {value!r}")
        if not isinstance(self.needs_approval, bool):
            raise ConfigError(
                f"envelope.needs_approval must be true or false, got {self.needs_approval!r}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainRequest:
    """The training that something wants to start by itself.

    epochs: of each member of an ensemble. seconds: it took up to now.
    """

    problem: str
    model: str
    epochs: int
    seconds: float


def load(path: Path) -> Envelope:
    """Read an envelope from TOML; what the file leaves out has the default."""
    try:
        facts = tomllib.loads(limits.text_of(path, f"envelope {path}"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"envelope {path} cannot be read: {error}") from error
    known = {entry.name for entry in fields(Envelope)}
    if unknown := set(facts) - known:
        raise ConfigError(f"envelope {path}: unknown {sorted(unknown)}; known: {sorted(known)}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}
    try:
        if "promotion" in values:
            values["promotion"] = PromotionConfig(**values["promotion"])
        return Envelope(**values)
    except (TypeError, ConfigError) as error:
        raise ConfigError(f"envelope {path}: {error}") from error


def check(
    envelope: Envelope, request: RetrainRequest, *, last_started: datetime | None, now: datetime
) -> str | None:
    """Why the training may not start by itself, or None where it may.

    last_started: of the problem's last automatic training; both times carry a zone.
    """
    members = ensemble.members(request.model)
    for field_name, name, allowed in (
        ("problems", request.problem, envelope.problems),
        *(("architectures", each.architecture, envelope.architectures) for each in members),
    ):
        if ANY not in allowed and name not in allowed:
            return f"{name} is not among the envelope's {field_name}: {', '.join(allowed) or '-'}"
    if (epochs := request.epochs * len(members)) > envelope.max_epochs:
        return f"{epochs} epochs exceed the envelope's {envelope.max_epochs}"
    if request.seconds > envelope.max_seconds or envelope.max_seconds == 0:
        return f"{request.seconds:g} s exceed the envelope's {envelope.max_seconds:g} s"
    if last_started is not None:
        waited = (now - last_started).total_seconds()
        # A start that a wrong clock dated ahead counts like one as long ago, and not until then.
        if abs(waited) < envelope.cool_down_s:
            when = f"{waited:.0f} s ago" if waited >= 0 else f"{-waited:.0f} s ahead of this clock"
            return f"last started {when}; the cool-down is {envelope.cool_down_s:g} s"
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
