"""The limits that a site sets before a model is tried on its own images: a TOML file.

``[least]`` and ``[most]`` hold figures and their limits, such as ``recall_glioma = 0.8``.
"""

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from neuro import limits as allowed
from neuro.errors import ConfigError, UnknownNameError
from neuro.evaluation import metrics, shares
from neuro.problems.problem import Problem
from neuro.sample import Metric

Bound = Literal["least", "most"]

BOUNDS: tuple[Bound, ...] = get_args(Bound)
LOWER_IS_BETTER = (*metrics.LOSSES, shares.WRONG_OF_ANSWERED)
LARGEST = {"log_loss": math.inf, "brier": 2.0}  # of a figure; else 1
LONGEST = 10_000  # letters of a file: the journal and the page keep all of it
# Where neither the site nor the problem file says anything.
DEFAULT = {
    "least": {"accuracy": 0.80, shares.ANSWERED: 0.50},
    "most": {shares.WRONG_OF_ANSWERED: 0.10},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteLimit:
    """The least or the most that a figure may be."""

    figure: str
    bound: Bound
    limit: float

    def allows(self, value: float) -> bool:
        """Whether a value keeps it."""
        return value >= self.limit if self.bound == "least" else value <= self.limit

    def honest_end(self, metric: Metric) -> float:
        """The end of the interval that must keep it."""
        return metric.low if self.bound == "least" else metric.high

    def best_end(self, metric: Metric) -> float:
        """The other end: where not even that keeps it, it is shown to be missed."""
        return metric.high if self.bound == "least" else metric.low


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteLimits:
    """All limits of a site. origin: where they come from, in words.

    text: of the file. sha256: of its bytes, in hex.
    """

    limits: tuple[SiteLimit, ...]
    text: str
    sha256: str
    origin: str


def figures(classes: Sequence[str]) -> tuple[str, ...]:
    """Names of the figures that can be limited."""
    of_class = (*metrics.OF_A_CLASS, shares.COVERED)
    return (
        *metrics.OVERALL,
        *(shares.ANSWERED, shares.IN_SCOPE, shares.COVERED, shares.WRONG_OF_ANSWERED),
        *(f"{figure}_{name}" for name in classes for figure in of_class),
    )


def load(path: Path, classes: Sequence[str], origin: str) -> SiteLimits:
    """Read a limits file. Raises ConfigError for what is no limit of a figure of these classes."""
    raw = allowed.bytes_of(path, f"limits file {path}")
    text = allowed.text_of(path, f"limits file {path}", read=lambda _: raw)
    if len(text) > LONGEST:
        raise ConfigError(
            f"limits file {path} has {len(text):,} letters, and the page and the journal keep all "
            f"of it: write at most {LONGEST:,}"
        )
    return SiteLimits(
        limits=_parse(text, classes, f"limits file {path}"),
        text=text,
        sha256=hashlib.sha256(raw).hexdigest(),
        origin=origin,
    )


def default(problem: Problem) -> SiteLimits:
    """The recall floors of the problem file, and DEFAULT."""
    floors = {f"recall_{name}": floor for name, floor in problem.recall_floors.items() if floor > 0}
    tables = {"least": DEFAULT["least"] | floors, "most": DEFAULT["most"]}
    lines = []
    for bound, values in tables.items():
        named = {json.dumps(key, ensure_ascii=False): value for key, value in values.items()}
        lines += [f"[{bound}]", *(f"{key} = {value!r}" for key, value in named.items())]
    text = "\n".join(lines) + "\n"
    return SiteLimits(
        limits=_parse(text, problem.classes, f"the recall floors of problem {problem.name}"),
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        origin=f"no limits file: the recall floors of problem {problem.name}, and the defaults of "
        "neuro for the others, which nobody set for this site",
    )


def _parse(text: str, classes: Sequence[str], where: str) -> tuple[SiteLimit, ...]:
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # too long a number, too deep a list
        raise ConfigError(f"{where} is not valid TOML: {error}") from error
    if unknown := sorted(tables.keys() - set(BOUNDS)):
        raise ConfigError(
            f"{where}: unknown {unknown[0]!r}; limits stand below [least] or [most], such as "
            "[least] and then accuracy = 0.85"
        )
    found: list[SiteLimit] = []
    for bound in BOUNDS:
        values = tables.get(bound, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: [{bound}] must be a table of figures, got {values!r}")
        found += [_limit(figure, bound, limit, classes, where) for figure, limit in values.items()]
    if not found:
        raise ConfigError(f"{where} sets no limit; write one below [least] or [most]")
    return tuple(found)


def _limit(figure: str, bound: Bound, limit: Any, classes: Sequence[str], where: str) -> SiteLimit:
    known = figures(classes)
    if figure not in known:
        near = difflib.get_close_matches(figure, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        of_class = ", ".join((*metrics.OF_A_CLASS, shares.COVERED))
        raise UnknownNameError(
            f"{where}, [{bound}]: no figure {figure!r}: {hint}Figures are "
            f"{', '.join(figures(()))}; and, with _CLASS, {of_class} of {', '.join(classes)}"
        )
    needed: Bound = "most" if figure in LOWER_IS_BETTER else "least"
    if bound != needed:
        is_better = "lower" if needed == "most" else "higher"
        raise ConfigError(
            f"{where}: {figure} is better {is_better}, so its limit stands below [{needed}]"
        )
    largest = LARGEST.get(figure, 1.0)
    is_number = isinstance(limit, int | float) and not isinstance(limit, bool)  # True is 1
    if not is_number or not 0 < limit < largest:
        below = f" and under {largest:g}" if largest < math.inf else ""
        raise ConfigError(
            f"{where}, [{bound}]: {figure} must be a number over 0{below}, got {limit!r}: at its "
            "ends it holds nothing back, or no number of images can show it"
        )
    return SiteLimit(figure=figure, bound=bound, limit=float(limit))
