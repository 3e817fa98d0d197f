import numpy as np
import pytest

from neuro.images import windowing
from neuro.images.windowing import Window


def shown(values: list[float], tone: windowing.Tone) -> list[int]:
    return windowing.to_eight_bit(np.array(values), tone).tolist()


def test_one_hot_pixel_does_not_darken_the_picture() -> None:
    values = np.full(10_000, 100, np.uint16)
    values[:5_000], values[0] = 0, 65_535
    assert windowing.percentiles(values) == (0.0, 100.0)


def test_a_thin_mask_keeps_its_two_values() -> None:
    values = np.zeros(10_000, np.uint16)
    values[:7] = 9
    assert windowing.percentiles(values) == (0.0, 9.0)


def test_padding_and_what_is_no_number_do_not_count() -> None:
    values = np.array([-2000.0] * 500 + [np.nan, np.inf] + [1.0] * 100 + [2.0] * 100)
    assert windowing.percentiles(values, ignored=-2000.0) == (1.0, 2.0)
    assert windowing.percentiles(np.full(9, np.nan)) == (0.0, 0.0)


def test_values_are_rounded_and_clipped_and_no_number_is_black() -> None:
    values = [-5.0, 0.0, 0.2, 99.9, 100.0, 1e9, float("nan")]
    assert shown(values, windowing.span(0, 100)) == [0, 0, 1, 255, 255, 255, 0]


def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windowing, "_BLOCK", 7)
    values = np.arange(256, dtype=np.int32).reshape(16, 16)
    whole = windowing.to_eight_bit(values, windowing.span(0, 255))
    np.testing.assert_array_equal(whole, values)


# Pseudo-code of PS3.3 C.11.2.1.2.1 (its own examples: c=2048 w=4096; c=2048 w=1) and .2, .3.1.
WINDOWS = [
    (Window(center=2048, width=4096), [0, 4095, 2047.5], [0, 255, 128]),
    (Window(center=2048, width=1), [2047.5, 2047.6], [0, 255]),
    (Window(center=0, width=100), [-50, 49, 100], [0, 255, 255]),
    (Window(center=0, width=100, function="LINEAR_EXACT"), [-50, 0, 50], [0, 128, 255]),
    (Window(center=0, width=100, function="SIGMOID"), [-1e9, 0, 25, 1e9], [0, 128, 186, 255]),
]


@pytest.mark.parametrize(("window", "values", "expected"), WINDOWS)
def test_a_window_shows_what_the_standard_says(
    window: Window, values: list[float], expected: list[int]
) -> None:
    assert shown(values, window) == expected


@pytest.mark.parametrize(
    "window",
    [
        Window(center=0, width=0.5),
        Window(center=0, width=0, function="SIGMOID"),
        Window(center=0, width=9, function="GAUSS"),
        Window(center=float("nan"), width=9),
    ],
)
def test_a_window_the_standard_forbids_is_not_valid(window: Window) -> None:
    assert not window.is_valid
