"""Every method on the same windows of a scene, turn by turn."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.drifts.peers import Alarms
from bench.drifts.scenes import Scene
from monitoring import verdicts
from monitoring.history import NOTHING_USUAL, Usual
from monitoring.verdicts import Verdict
from monitoring.windows import Observed
from neuro.promotion.drift_policy import DriftPolicy

ACTS = ("label", "retrain")
NEURO = "neuro"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Watched:
    """One window, and what neuro's verdict on it is without its labels."""

    window: Observed
    verdict: Verdict

    @property
    def is_flagged(self) -> bool:
        """Whether a signal alarms that is of the images and needs no labels."""
        return any(signal.alarm and signal.dealt for signal in self.verdict.signals)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of the table. acts: windows with `label` or `retrain`, of a peer with an alarm.

    acts_in_two: pairs of windows, one after the other, of which one acts. Shares of windows.
    """

    problem: str
    scene: str
    kind: str
    lost: float
    method: str
    windows: int
    acts: float
    acts_in_two: float
    outcomes: Mapping[str, float]
    seconds: float


def unlabelled(window: Observed) -> Observed:
    """The usual week: no label is known."""
    return replace(window, correct=np.full(window.n, np.nan))


def judge(reference: Observed, window: Observed, usual: Usual = NOTHING_USUAL) -> Verdict:
    """What `neuro drift` says."""
    return verdicts.judge(
        reference,
        window,
        window="window",
        reference_name="reference",
        policy=DriftPolicy(),
        usual=usual,
    )


def watch(
    problem: str,
    scene: Scene,
    reference: Observed,
    windows: Sequence[Observed],
    peers: Mapping[str, Alarms],
    every: int = 2,
) -> tuple[list[Row], list[Watched]]:
    """The rows of a scene, and its windows judged. every: peers see one window in so many."""
    watched, seconds = [], {NEURO: 0.0}
    alarms: dict[str, list[bool]] = {}
    for number, window in enumerate(windows):
        hidden = unlabelled(window)
        start = time.perf_counter()
        verdict = judge(reference, hidden)
        seconds[NEURO] += time.perf_counter() - start
        watched.append(Watched(window=window, verdict=verdict))
        for peer in peers.values() if number % every == 0 else ():
            start = time.perf_counter()
            found = peer(reference, hidden)
            spent = time.perf_counter() - start
            for name, alarm in found.items():
                alarms.setdefault(name, []).append(alarm)
                seconds[name] = seconds.get(name, 0.0) + spent
    outcomes: list[str] = [each.verdict.verdict for each in watched]
    alarms = {NEURO: [outcome in ACTS for outcome in outcomes], **alarms}
    shares = {name: outcomes.count(name) / len(outcomes) for name in sorted(set(outcomes))}
    rows = [
        Row(
            problem=problem,
            scene=scene.name,
            kind=scene.kind,
            lost=scene.lost,
            method=name,
            windows=len(acts),
            acts=float(np.mean(acts)),
            acts_in_two=_in_two(acts),
            outcomes=shares if name == NEURO else {},
            seconds=seconds[name] / len(acts),
        )
        for name, acts in alarms.items()
    ]
    return rows, watched


def _in_two(acts: Sequence[bool]) -> float:
    """Share of pairs of neighbours, the last with the first, of which one acts."""
    now = np.array(acts)
    return float((now | np.roll(now, 1)).mean())
