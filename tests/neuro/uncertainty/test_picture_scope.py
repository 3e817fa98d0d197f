"""Pixels unlike those that a model has learnt from."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from neuro.synthetic import phantom
from neuro.uncertainty import picture_measures, picture_scope
from neuro.uncertainty.picture_scope import PictureScope

Pixels = NDArray[np.uint8]


def phantoms(n: int, seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    return np.stack([phantom.draw(k % phantom.KINDS, rng) for k in range(n)])[..., None]


def fit(frames: Pixels, n: int) -> PictureScope:
    """From the first n, the rest kept back."""
    rows = np.arange(len(frames))
    return picture_scope.fit(frames, rows[:n], rows[n:])


@pytest.fixture(scope="module")
def scope() -> PictureScope:
    return fit(np.concatenate([phantoms(300, 0), phantoms(150, 1)]), 300)


def test_few_pictures_of_the_same_kind_are_odd(scope: PictureScope) -> None:
    assert (scope.scores(phantoms(200, 2)) > 1).mean() < 0.05


@pytest.mark.parametrize("spoil", ["half black", "noise", "blur", "inverted", "black"])
def test_spoilt_pictures_are_odd(scope: PictureScope, spoil: str) -> None:
    plain = phantoms(40, 3)
    rng = np.random.default_rng(0)
    half = plain.copy()
    half[:, :48] = 0
    spoilt = {
        "half black": half,
        "noise": rng.integers(0, 256, plain.shape, dtype=np.uint8),
        "blur": np.stack([ndimage.gaussian_filter(each, (4, 4, 0)) for each in plain]),
        "inverted": 255 - plain,
        "black": np.zeros_like(plain),
    }[spoil]
    assert (scope.scores(spoilt) > 1).mean() > 0.9


def test_a_package_without_the_look_sees_nothing_odd() -> None:
    assert PictureScope().scores(phantoms(3, 0)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("channels", picture_measures.WIDTHS)
def test_a_picture_has_so_many_finite_measures_whatever_it_shows(channels: int) -> None:
    black = np.zeros((2, 32, 32, channels), np.uint8)
    found = picture_measures.measure(np.concatenate([black, black + np.uint8(255)]))
    assert found.shape == (4, picture_measures.WIDTHS[channels])
    assert np.isfinite(found).all()
    assert picture_measures.measure(black[:0]).shape == (0, picture_measures.WIDTHS[channels])


def test_more_pictures_than_are_measured_at_once_come_out_one_by_one() -> None:
    some = phantoms(4, 0)
    many = np.concatenate([some] * 70)
    found = picture_measures.measure(many)
    assert np.allclose(found[-4:], picture_measures.measure(some), rtol=1e-5)


def test_a_grey_picture_is_odd_where_all_are_coloured_and_only_there() -> None:
    grey = np.repeat(phantoms(250, 0), 3, axis=3)
    coloured = grey.copy()
    coloured[..., 2] //= 2
    assert (fit(coloured, 150).scores(grey[:20]) >= picture_measures.GREY * 100).all()
    mixed = np.concatenate([coloured[:150], grey[150:]])
    scope = fit(mixed[::2], 80)
    assert not scope.is_coloured


def test_rows_are_measured_in_their_order() -> None:
    some = phantoms(6, 0)
    rows = np.array([4, 1])
    assert np.allclose(picture_measures.measure(some, rows), picture_measures.measure(some[rows]))


def test_a_measure_that_is_the_same_in_all_does_not_blind_the_others() -> None:
    """Of pictures none of which is bright, one with a bright pixel is kept back."""
    dim = np.minimum(phantoms(250, 5), 200)
    dim[200, 5, 5] = 255
    half = dim[:20].copy()
    half[:, :48] = 0
    assert (fit(dim, 150).scores(half) > 1).all()


def test_the_colour_of_a_picture_counts() -> None:
    grey = np.repeat(phantoms(200, 0), 3, axis=3)
    red = grey[:20].copy()
    red[..., 2] //= 4
    assert (fit(grey, 150).scores(red) > 1).all()
