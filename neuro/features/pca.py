"""Principal components of standardised rows, batch by batch: memory does not grow with the rows."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.decomposition import IncrementalPCA
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from threadpoolctl import threadpool_limits

from neuro.errors import ConfigError

VERSION = "pca-2"  # part of the feature hash: raise it when any component changes

_BATCH = 128  # rows in memory at once
_SPARE = 32  # components kept from batch to batch beyond those asked for, which makes these exact
_NOTHING = 1e-6  # a component that explains a smaller share of the variance is rounding

Rows = NDArray[np.float32]


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
        coordinates: Rows = np.einsum("kd,d->k", self.components, (row - self.mean) / self.scale)
        return coordinates


def fit(rows: Callable[[slice], Rows], n: int, k: int) -> Fit:
    """Standardise n rows to mean 0 and deviation 1, and find the k directions of largest variance.

    rows: gives the (m, d) rows of a slice of 0..n. Raises ConfigError for fewer than two rows.
    """
    if n < 2:
        raise ConfigError(f"principal components need two images or more to be fitted on, got {n}")
    batches = list(gen_batches(n, _BATCH, min_batch_size=_BATCH // 2))
    scaler = StandardScaler()
    with threadpool_limits(1, user_api="blas"):  # the same bits whatever the number of cores
        for batch in batches:
            scaler.partial_fit(rows(batch))
        width = min(k + _SPARE, len(scaler.mean_), batches[0].stop)
        model = IncrementalPCA(n_components=width, copy=False)
        for batch in batches:
            model.partial_fit(scaler.transform(rows(batch)))
    is_real = model.explained_variance_ratio_ > _NOTHING
    n_real = min(k, int(is_real.sum()))
    components = np.zeros((k, len(scaler.mean_)), np.float32)
    components[:n_real] = model.components_[:n_real]
    explained = np.zeros(k)
    explained[:n_real] = model.explained_variance_ratio_[:n_real]
    return Fit(
        mean=scaler.mean_.astype(np.float32),
        scale=scaler.scale_.astype(np.float32),
        components=components,
        explained=explained,
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
        digest = _digest_of(path).read_text(encoding="utf-8")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return None
        return Fit(**load_file(path))
    except (OSError, SafetensorError, TypeError):
        return None


def _digest_of(path: Path) -> Path:
    return path.with_suffix(".sha256")
