"""Principal components of standardised rows, in a few passes over them: memory does not grow.

Subspace iteration with a random start (Halko, Martinsson, Tropp, SIAM Review 53(2), 2011,
algorithm 4.4), which needs two products with each block of rows a pass, never all rows at once.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from neuro.errors import ConfigError

VERSION = "pca-1"  # part of the feature hash: raise it when any component changes

_SPARE = 10  # directions beyond those asked for: they make those asked for exact sooner
_PASSES = 5
_FLAT = 1e-6  # a number whose deviation is below it says nothing and is left as it is

Rows = NDArray[np.float32]
Blocks = Callable[[], Iterator[Rows]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fit:
    """What was learnt of (n, d) rows. mean, scale: (d,) float32. components: (k, d) float32.

    explained: share of the standardised variance along each component, (k,) float64, falling.
    Components beyond the rows' rank are zero.
    """

    mean: Rows
    scale: Rows
    components: Rows
    explained: NDArray[np.float64]

    def project(self, row: Rows) -> Rows:
        """Coordinates of one row (d,) along the components, (k,): the same in whatever company.

        By plain sums: a product of matrices would round by how many rows it takes, and by threads.
        """
        found: Rows = np.einsum("kd,d->k", self.components, (row - self.mean) / self.scale)
        return found


def fit(blocks: Blocks, k: int, *, seed: int = 0) -> Fit:
    """Standardise to mean 0 and deviation 1, then find the k directions of largest variance.

    blocks: gives the same (m, d) rows each time it is called. Raises ConfigError for fewer than
    two rows.
    """
    n, mean, deviation = _moments(blocks)
    varies = deviation > _FLAT
    scale = np.where(varies, deviation, 1).astype(np.float32)

    def standard() -> Iterator[Rows]:
        for rows in blocks():
            yield (rows - mean) / scale

    width = min(k + _SPARE, len(mean), n)
    start = np.random.default_rng(seed).standard_normal((len(mean), width))
    basis = np.linalg.qr(start)[0].astype(np.float32)
    for _ in range(_PASSES):
        reached = np.zeros(basis.shape)
        for rows in standard():
            reached += rows.T @ (rows @ basis)
        basis = np.linalg.qr(reached)[0].astype(np.float32)
    spread = np.zeros((width, width))
    for rows in standard():
        seen = (rows @ basis).astype(np.float64)
        spread += seen.T @ seen
    values, turns = np.linalg.eigh(spread / n)
    order = np.argsort(values)[::-1][:k]
    found = (basis @ turns[:, order]).T
    found *= (values[order] > _FLAT)[:, None]
    total = max(int(varies.sum()), 1)  # each number that varies has variance 1 now
    return Fit(
        mean=mean,
        scale=scale,
        components=_padded(_signed(found), k).astype(np.float32),
        explained=_padded(np.maximum(values[order], 0) / total, k),
    )


def save(fitted: Fit, path: Path) -> None:
    """Write a fit whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"mean": fitted.mean, "scale": fitted.scale, "components": fitted.components}
    with TemporaryDirectory(dir=path.parent) as scratch:
        whole = Path(scratch, path.name)
        save_file({**tensors, "explained": fitted.explained}, whole)
        digest = hashlib.sha256(whole.read_bytes()).hexdigest()
        Path(scratch, "digest").write_text(digest, encoding="utf-8")
        Path(scratch, "digest").replace(_digest_of(path))
        whole.replace(path)


def load(path: Path) -> Fit | None:
    """A fit that was saved; None where there is none, or it is not what was written."""
    try:
        held = _digest_of(path).read_text(encoding="utf-8")
        if hashlib.sha256(path.read_bytes()).hexdigest() != held:
            return None
        return Fit(**load_file(path))
    except (OSError, SafetensorError, TypeError):
        return None


def _digest_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _moments(blocks: Blocks) -> tuple[int, Rows, Rows]:
    """Count, mean and deviation of each number, merged block by block (Chan et al., 1979)."""
    n, mean, squares = 0, np.zeros(0), np.zeros(0)
    for rows in blocks():
        wide = rows.astype(np.float64)
        here = wide.mean(axis=0)
        if not n:
            mean, squares = np.zeros(len(here)), np.zeros(len(here))
        gap, both = here - mean, n + len(rows)
        squares += np.square(wide - here).sum(axis=0) + gap**2 * (n * len(rows) / both)
        mean += gap * (len(rows) / both)
        n = both
    if n < 2:
        raise ConfigError(f"principal components need two images or more to be fitted on, got {n}")
    return n, mean.astype(np.float32), np.sqrt(squares / n).astype(np.float32)


def _signed(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each with its largest number positive: a sign is free, and the same rows shall give one."""
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return components * np.where(signs == 0, 1, signs)[:, None]


def _padded(values: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Zeros after what there is, up to k."""
    full = np.zeros((k, *values.shape[1:]))
    full[: len(values)] = values
    return full
