"""Windows from a simulated new scanner: how often each signal alarms, without and with the shift.

Each signal is judged as monitoring judges one: by groups dealt out anew, at a quarter of the
false alarms that a verdict may raise.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from bench.uses import compared, pictures
from bench.uses.compared import Row, Scored
from bench.uses.pictures import Pictures, Vectors
from monitoring import permutation
from monitoring.permutation import Pair
from neuro.features.descriptors import Descriptors
from neuro.features.embedding import Backbone
from neuro.promotion.drift_policy import DriftPolicy
from neuro.synthetic import scanner_shift

STRENGTHS = (0.0, 0.02, 0.05, 0.1)  # of the simulated scanner; 0 is none
GROUPS = 60  # of the reference, and as many others of the window
WINDOWS = 60
ALPHA = DriftPolicy().alpha / 4
_DEALS = 399
_COMPONENTS = 16

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, Pair], Floats]


def measure(data: Pictures, encoder: Backbone, n: int, seed: int) -> list[Row]:
    stored, groups = data.stored[:n], data.groups[:n]
    rows = []
    before: list[Vectors] = []
    for strength in STRENGTHS:
        seen = _seen(stored, strength, seed)
        after = [
            pictures.encode("descriptors", Descriptors(), seen),
            pictures.encode(pictures.NEW, encoder, seen),
        ]
        before = before or after
        (now, new), components = zip(before, after, strict=True), _components(before[1])
        signals: dict[str, tuple[Floats, Floats, Statistic]] = {
            "descriptors": (*_both(now), permutation.largest_gap),
            "distance of means": (*_of_length_1(new), _distance),
            "gap of components": (*components(new), permutation.largest_gap),
        }
        alarms = _alarms(signals, groups, seed)
        if not strength:  # what is good there is no alarm
            alarms = {name: 1 - some for name, some in alarms.items()}
        for name in ("distance of means", "gap of components"):
            rows.append(
                compared.compare(
                    f"drift: scanner x {strength:g}" if strength else "drift: no shift, silent",
                    data.name,
                    Scored(way="descriptors", scores=alarms["descriptors"], cpu_s=after[0].cpu_s),
                    Scored(
                        way=f"{pictures.NEW}: {name}", scores=alarms[name], cpu_s=after[1].cpu_s
                    ),
                    np.arange(WINDOWS).astype(np.str_),
                )
            )
    return rows


def _seen(stored: Sequence[bytes], strength: float, seed: int) -> list[bytes]:
    """Pictures as the scanner sees them, all saved alike: the encoding must not tell them apart."""
    scanner = scanner_shift.DEFAULT.scaled(strength)
    rng = np.random.default_rng(seed)
    return [
        pictures.saved(
            Image.fromarray(scanner_shift.shift(np.asarray(pictures.opened(raw)), rng, scanner))
        )
        for raw in stored
    ]


def _both(pair: tuple[Vectors, Vectors]) -> tuple[Floats, Floats]:
    before, after = pair
    return before.rows.astype(np.float64), after.rows.astype(np.float64)


def _of_length_1(pair: tuple[Vectors, Vectors]) -> tuple[Floats, Floats]:
    before, after = _both(pair)
    return normalize(before), normalize(after)


def _components(before: Vectors) -> Callable[[tuple[Vectors, Vectors]], tuple[Floats, Floats]]:
    fitted = PCA(_COMPONENTS, random_state=0).fit(normalize(before.rows))

    def projected(pair: tuple[Vectors, Vectors]) -> tuple[Floats, Floats]:
        rows_before, rows_after = _of_length_1(pair)
        return fitted.transform(rows_before), fitted.transform(rows_after)

    return projected


def _distance(values: Floats, pair: Pair) -> Floats:
    """Length of the difference of the two sides' mean vectors, (t, 1)."""
    distances: Floats = np.linalg.norm(pair.excess @ values, axis=1, keepdims=True)
    return distances


def _alarms(
    signals: dict[str, tuple[Floats, Floats, Statistic]],
    groups: NDArray[np.str_],
    seed: int,
) -> dict[str, Floats]:
    """1 for each window in which a signal alarms, (WINDOWS,); all signals see the same windows."""
    rng = np.random.default_rng(seed)
    names = np.unique(groups)
    alarms: dict[str, list[float]] = {name: [] for name in signals}
    for _ in range(WINDOWS):
        drawn = rng.permutation(names)[: 2 * GROUPS]
        reference, window = (np.flatnonzero(np.isin(groups, some)) for some in np.split(drawn, 2))
        for name, (before, after, statistic) in signals.items():
            values = np.concatenate([before[reference], after[window]])
            sides = (groups[reference], groups[window])
            alarms[name].append(float(_is_alarm(values, sides, statistic, rng)))
    return {name: np.array(some) for name, some in alarms.items()}


def _is_alarm(
    values: Floats,
    sides: tuple[NDArray[np.str_], NDArray[np.str_]],
    statistic: Statistic,
    rng: Generator,
) -> bool:
    observed = statistic(values, permutation.sides(*map(len, sides))).max()
    deals = permutation.deal(*sides, trials=_DEALS, rng=rng)
    null = np.concatenate([statistic(values, pair).max(axis=1) for pair in deals])
    return bool((1 + (null >= observed - 1e-12).sum()) / (1 + _DEALS) <= ALPHA)
