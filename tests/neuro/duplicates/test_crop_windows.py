import numpy as np

from neuro.duplicates import crop_windows

SCALES = (0.95, 0.9)


def test_all_windows_cut_at_once_are_the_windows_cut_one_by_one() -> None:
    rows = np.random.default_rng(0).normal(size=(3, 1024)).astype(np.float32)
    waves = crop_windows.frequencies(rows)
    at_once = crop_windows.all_tangents(waves, SCALES, 8)
    windows = crop_windows.windows(SCALES)
    assert at_once.shape == (3, len(windows), 5, 64)
    for number, window in enumerate(windows):
        alone = crop_windows.tangents(waves, window, 8)
        np.testing.assert_allclose(at_once[:, number], alone, rtol=1e-3, atol=1e-3)
