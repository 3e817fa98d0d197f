"""Weeks that differ harmlessly from each other: what is called unusual by deals, and by history."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.random import Generator

from bench.drifts import watching
from bench.drifts.scenes import Scene
from monitoring import history
from monitoring.history import NOTHING_USUAL
from monitoring.windows import Observed
from neuro.promotion.drift_policy import DriftPolicy

BEFORE, AFTER = 12, 6  # harmless weeks in a row that are learnt from, and that follow
MOST = 0.5  # of the images of a week, changed harmlessly
DEALS, HISTORY = "thresholds by dealing groups", "and by 12 weeks before"


@dataclass(frozen=True, kw_only=True, slots=True)
class Varying:
    """Shares of weeks, by method: harmless ones that are not `steady`, harmful ones that act."""

    problem: str
    harmless: str
    harmful: str
    called_unusual: Mapping[str, float]
    found: Mapping[str, float]


def watch(
    problem: str,
    harmless: Scene,
    harmful: Scene,
    reference: Observed,
    images: int,
    years: int,
    rng: Generator,
) -> Varying:
    """Each year: weeks with some harmlessly changed images, then such and harmful ones in turn."""
    unusual: dict[str, list[bool]] = {DEALS: [], HISTORY: []}
    found: dict[str, list[bool]] = {DEALS: [], HISTORY: []}
    for _ in range(years):
        past: list[Mapping[str, float]] = []
        usual = NOTHING_USUAL
        for _ in range(BEFORE):
            verdict = watching.judge(reference, _week(harmless, images, rng), usual)
            if verdict.verdict in history.HARMLESS:
                stored = [asdict(each) for each in verdict.signals]
                past.insert(0, history.distances(stored))
            usual = history.usual(past, DriftPolicy().chance)
        for method, known in ((DEALS, NOTHING_USUAL), (HISTORY, usual)):
            for _ in range(AFTER):
                verdict = watching.judge(reference, _week(harmless, images, rng), known)
                unusual[method].append(verdict.verdict != "steady")
                window = watching.unlabelled(harmful.draw(images, rng))
                act = watching.judge(reference, window, known).verdict in watching.ACTS
                found[method].append(act)
    return Varying(
        problem=problem,
        harmless=harmless.name,
        harmful=harmful.name,
        called_unusual={method: float(np.mean(each)) for method, each in unusual.items()},
        found={method: float(np.mean(each)) for method, each in found.items()},
    )


def _week(harmless: Scene, images: int, rng: Generator) -> Observed:
    some = replace(harmless, share=1 - rng.uniform(0, MOST))
    return watching.unlabelled(some.draw(images, rng))
