"""What the pixels tell, beside scipy and numpy."""

import numpy as np
import pytest
from scipy import ndimage

from neuro.uncertainty import picture_measures


@pytest.mark.parametrize("shape", [(3, 61, 61), (2, 96, 96)])
def test_the_fast_forms_are_those_of_scipy_and_numpy(shape: tuple[int, ...]) -> None:
    """By which packages were sealed before."""
    grey = np.random.default_rng(0).random(shape, dtype=np.float32)
    np.testing.assert_allclose(
        picture_measures._laplace(grey), ndimage.laplace(grey, axes=(1, 2)), atol=1e-6
    )
    size = (0, 5, 5)
    mean, square = (ndimage.uniform_filter(each, size) for each in (grey, grey**2))
    deviation = np.sqrt(square - mean**2).reshape(len(grey), -1)
    np.testing.assert_allclose(
        picture_measures._local_contrast(grey),
        np.quantile(deviation, (0.1, 0.5, 0.9), axis=1),
        atol=1e-5,
    )
    power = np.log(np.abs(np.fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True))) ** 2 + 1e-3)
    side = shape[1]
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    lowest = power[:, (radius >= 0.02) & (radius < 0.08)].mean(axis=1)
    np.testing.assert_allclose(picture_measures._spectrum(grey)[0], lowest, atol=1e-4)
