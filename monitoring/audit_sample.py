"""Which images of a window people are asked to label: few, and more where errors are likely.

One image stands for each group, as the images of one say the same twice. Each draw falls into a
stratum by chance and on one of its groups by chance. An error weighs as much less as its stratum
was preferred, and as much more as its group has images, so that the weighted errors have the mean
of the window's images, whatever strata and groups are (importance sampling). Half of all draws
prefer nothing: no stratum weighs above 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from monitoring.windows import Observed

UNCERTAIN, UNUSUAL, CALLED = "uncertain", "unusual", "called"  # strata; CALLED is one a class
UNIFORM = "uniform"  # where there are no strata
MOST_WEIGHT = 2.0
_TAIL = 0.2  # of the groups: the least sure, and of the others the most unusual
_ENOUGH = 3  # groups for each that is drawn
_RARE = 0.05  # of the groups: a class that is called in fewer goes with the commonest
_PREFERRED = {UNCERTAIN: 0.2, UNUSUAL: 0.2, CALLED: 0.1}  # of the draws; the rest is uniform
_LEAST = 1e-9  # spread: a figure that never varied and does now is strange
_SPREAD = 1.4826  # of a normal distribution, in median absolute deviations


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A sample that was drawn. row: its number in the window. weight: of its error, above 0."""

    row: int
    stratum: str
    weight: float


def draw(window: Observed, unusual: NDArray[np.float64], n: int, rng: Generator) -> list[Drawn]:
    """At most n samples of a window, one of a group, in the order in which they count.

    unusual: (window.n,) float64, higher is stranger. Fewer come where the window has fewer groups,
    or once a stratum has none left: what is drawn after that would not stand for the window. Where
    that is near, for the window has few groups, all are drawn uniformly.
    """
    rows, sizes = _one_of_each(window.groups, rng)
    images = dict(zip(rows.tolist(), (sizes / sizes.mean()).tolist(), strict=True))
    if len(rows) < _ENOUGH * n:
        return [Drawn(row=row, stratum=UNIFORM, weight=images[row]) for row in rows[:n].tolist()]
    strata = _strata(window, unusual, rows)
    shares = {name: len(members) / len(rows) for name, members in strata.items()}
    chances = _chances(shares)
    left = {name: rng.permutation(members).tolist() for name, members in strata.items()}
    names = list(strata)
    drawn: list[Drawn] = []
    while len(drawn) < n and all(left.values()):
        name = names[rng.choice(len(names), p=[chances[each] for each in names])]
        row = int(left[name].pop())
        weight = images[row] * shares[name] / chances[name]
        drawn.append(Drawn(row=row, stratum=name, weight=weight))
    return drawn


def unusualness(reference: NDArray[np.float64], window: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the strangest descriptor of each sample is from the reference's median, (n,).

    reference, window: (m, d) and (n, d) float64; in median absolute deviations of the reference.
    """
    middle = np.median(reference, axis=0)
    spread = _SPREAD * np.median(np.abs(reference - middle), axis=0)
    spread = np.where(spread > 0, spread, reference.std(axis=0))  # of a figure that is mostly one
    distance = np.abs(window - middle) / np.maximum(spread, _LEAST)
    farthest: NDArray[np.float64] = distance.max(axis=1)
    return farthest


def _one_of_each(
    groups: NDArray[np.str_], rng: Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One row of each group, drawn at random, in random order; and how many rows its group has."""
    shuffled = rng.permutation(len(groups))
    _, first, sizes = np.unique(groups[shuffled], return_index=True, return_counts=True)
    order = rng.permutation(len(first))
    return shuffled[first][order].astype(np.int64), sizes[order].astype(np.int64)


def _strata(
    window: Observed, unusual: NDArray[np.float64], rows: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    n_tail = max(1, round(_TAIL * len(rows)))
    by_confidence = rows[np.argsort(window.confidence[rows], kind="stable")]
    rest = by_confidence[n_tail:]
    by_oddness = rest[np.argsort(-unusual[rest], kind="stable")]
    found = {UNCERTAIN: by_confidence[:n_tail], UNUSUAL: by_oddness[:n_tail]}
    rest = by_oddness[n_tail:]
    called = window.probabilities[rest].argmax(axis=1)
    n_called = np.bincount(called, minlength=window.probabilities.shape[1])
    is_rare = n_called < _RARE * len(rows)
    called = np.where(is_rare[called], n_called.argmax(), called)
    found |= {f"{CALLED} {index}": rest[called == index] for index in np.unique(called)}
    return {name: members for name, members in found.items() if len(members)}


def _chances(shares: Mapping[str, float]) -> dict[str, float]:
    """How likely each stratum is at a draw: half by its share, half by what is preferred."""
    kinds = [name.split()[0] for name in shares]
    preferred = {
        name: _PREFERRED[kind] / kinds.count(kind) for name, kind in zip(shares, kinds, strict=True)
    }
    total = sum(preferred.values())
    return {name: (shares[name] + preferred[name] / total) / 2 for name in shares}
