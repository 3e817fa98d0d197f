import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from neuro.errors import ConfigError
from neuro.features import pca


def fit(rows: np.ndarray, k: int) -> pca.Fit:
    return pca.fit(lambda some: rows[some].astype(np.float32), len(rows), k)


def drawn(n: int = 500, d: int = 60) -> np.ndarray:
    """Twelve strong directions, then noise."""
    rng = np.random.default_rng(0)
    strong = rng.normal(size=(n, 12)) * np.linspace(9, 2, 12)
    return strong @ rng.normal(size=(12, d)) + rng.normal(size=(n, d)) + rng.normal(size=d) * 50


def test_the_components_are_those_of_scikit_learn() -> None:
    rows = drawn()
    ours, theirs = fit(rows, 8), PCA(8).fit(StandardScaler().fit_transform(rows))
    assert ours.explained == pytest.approx(theirs.explained_variance_ratio_, rel=1e-3)
    cosines = np.abs((ours.components * theirs.components_).sum(axis=1))
    assert cosines == pytest.approx(np.ones(8), abs=1e-3)


def test_rows_are_standardised_first() -> None:
    rows = drawn()
    found = fit(rows, 4)
    assert found.mean == pytest.approx(rows.mean(axis=0), rel=1e-4)
    assert found.scale == pytest.approx(rows.std(axis=0), rel=1e-4)


def test_the_same_rows_give_the_same_fit_to_the_bit() -> None:
    one, other = fit(drawn(), 6), fit(drawn(), 6)
    assert (one.components == other.components).all()


def test_a_projection_is_the_same_in_whatever_company_and_what_scikit_learn_gives() -> None:
    rows = drawn()
    found = fit(rows, 5)
    ours = np.array([found.project(row) for row in rows.astype(np.float32)])
    theirs = PCA(5).fit_transform(StandardScaler().fit_transform(rows))
    assert np.abs(np.abs(ours) - np.abs(theirs)).max() < 0.05
    assert (found.project(rows[3].astype(np.float32)) == ours[3]).all()


def test_components_beyond_the_rank_are_zero_and_explain_nothing() -> None:
    found = fit(drawn(n=5), 16)
    assert found.components.shape == (16, 60)
    assert not found.components[4:].any()  # five rows span four directions around their mean
    assert float(found.explained.sum()) == pytest.approx(1, abs=1e-4)


def test_a_pixel_that_never_varies_has_no_part_in_any_component() -> None:
    rows = drawn()
    rows[:, 3] = 17
    found = fit(rows, 4)
    assert np.abs(found.components[:, 3]).max() < 1e-6


def test_one_row_is_too_few() -> None:
    with pytest.raises(ConfigError, match="two images or more to be fitted on, got 1"):
        fit(drawn(n=1), 4)


def test_memory_does_not_grow_with_the_rows() -> None:
    peaks = []
    for n in (800, 8000):
        rng = np.random.default_rng(0)
        rows = rng.integers(0, 256, (n, 1024), dtype=np.uint8)  # as a memory map would hold them
        tracemalloc.start()
        fit(rows, 8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_a_fit_that_was_saved_is_read_back_and_an_altered_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    assert pca.load(path) is None
    found = fit(drawn(), 4)
    pca.save(found, path)
    read = pca.load(path)
    assert read is not None
    assert (read.components == found.components).all()
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert pca.load(path) is None
