"""What the pixels tell, beside scipy and numpy, by which packages were sealed before."""

import numpy as np
import pytest
from scipy import ndimage

from neuro.uncertainty import picture_measures

SIZE = (0, 5, 5)


def plain_contrast(grey: np.ndarray) -> np.ndarray:
    mean, square = (ndimage.uniform_filter(each, SIZE) for each in (grey, grey**2))
    deviation = np.sqrt(np.maximum(square - mean**2, 0)).reshape(len(grey), -1)
    return np.asarray(np.quantile(deviation, (0.1, 0.5, 0.9), axis=1))


@pytest.mark.parametrize("shape", [(3, 61, 61), (2, 96, 96)])
def test_the_fast_forms_are_those_of_scipy_and_numpy(shape: tuple[int, ...]) -> None:
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.int32)
    grey = levels.astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(
        picture_measures._laplace(grey), ndimage.laplace(grey, axes=(1, 2)), atol=1e-6
    )
    np.testing.assert_allclose(
        picture_measures._local_contrast(levels, 255), plain_contrast(grey), atol=1e-5
    )
    power = np.log(np.abs(np.fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True))) ** 2 + 1e-3)
    side = shape[1]
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    lowest = power[:, (radius >= 0.02) & (radius < 0.08)].mean(axis=1)
    np.testing.assert_allclose(picture_measures._spectrum(grey)[0], lowest, atol=1e-4)


def test_where_nothing_varies_there_is_no_contrast_and_no_edge() -> None:
    """Of each of 256 greys, in grey and in colour: rounding would tell one from another."""
    for channels in (1, 3):
        frames = np.stack([np.full((32, 32, channels), level, np.uint8) for level in range(256)])
        told = picture_measures.measure(frames)
        for column in (2, 12, 13, 14):  # logarithms of edges and of the three contrasts
            assert np.ptp(told[:, column]) == 0


def test_a_disc_on_a_flat_ground_is_told_as_it_was() -> None:
    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 32) ** 2 + (columns - 32) ** 2 < 200
    for ground in range(256):
        levels = np.full((1, 64, 64), ground, np.int32)
        levels[0][disc] = (ground + 90) % 256
        np.testing.assert_allclose(
            picture_measures._local_contrast(levels, 255),
            plain_contrast(levels.astype(np.float32) / np.float32(255)),
            atol=1e-4,
        )
