import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from neuro.features import descriptors


def png(grey: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG")
    return out.getvalue()


def measured(grey: np.ndarray) -> dict[str, float]:
    return dict(zip(descriptors.NAMES, descriptors.describe(png(grey)), strict=True))


def test_a_flat_image_has_its_grey_level_and_nothing_else() -> None:
    facts = measured(np.full((32, 40), 51, np.uint8))
    expected = dict.fromkeys(descriptors.NAMES, 0.0)
    expected |= {"brightness": 0.2, "p05": 0.2, "p95": 0.2, "border": 0.2}
    assert facts == pytest.approx(expected)


def test_an_image_half_black_half_white_has_one_bit_and_half_a_foreground() -> None:
    grey = np.zeros((32, 32), np.uint8)
    grey[:, 16:] = 255
    facts = measured(grey)
    assert facts["entropy"] == pytest.approx(1.0)
    assert facts["foreground_share"] == pytest.approx(0.5)
    assert facts["contrast"] == pytest.approx(0.5)
    # One step of 31 in every row is an edge.
    assert facts["edges"] == pytest.approx(1 / 31)
    # The Laplacian is +255 and -255 in 2 of 30 columns, else 0: variance 2/30 of 255 squared.
    assert facts["sharpness"] == pytest.approx(2 / 30)


def test_noise_is_the_standard_deviation_that_was_added() -> None:
    rng = np.random.default_rng(0)
    ramp = np.linspace(60, 180, 224)[None, :]
    grey = np.clip(ramp + rng.normal(0, 10, (224, 224)), 0, 255).round().astype(np.uint8)
    assert measured(grey)["noise"] * 255 == pytest.approx(10, rel=0.03)


def test_the_border_is_the_mean_of_the_outer_sixteenth() -> None:
    grey = np.full((32, 32), 200, np.uint8)
    grey[2:-2, 2:-2] = 0
    assert measured(grey)["border"] == pytest.approx(200 / 255)


def test_the_fifth_and_ninety_fifth_percentile_are_grey_levels_reached() -> None:
    grey = np.repeat(np.arange(100, dtype=np.uint8), 10).reshape(25, 40)
    facts = measured(grey)
    assert (facts["p05"] * 255, facts["p95"] * 255) == pytest.approx((4, 94))


def test_a_blur_lowers_sharpness_and_noise() -> None:
    picture = Image.effect_noise((64, 64), 60)
    sharp, soft = np.asarray(picture), np.asarray(picture.filter(ImageFilter.GaussianBlur(2)))
    before, after = measured(sharp), measured(soft)
    assert after["sharpness"] < before["sharpness"] / 10
    assert after["noise"] < before["noise"] / 10


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (3, 3)])
def test_the_smallest_images_have_finite_figures(shape: tuple[int, int]) -> None:
    assert np.isfinite(descriptors.describe(png(np.full(shape, 7, np.uint8)))).all()


def test_many_images_are_rows_in_their_order_and_none_is_an_empty_table() -> None:
    dark, light = png(np.zeros((8, 8), np.uint8)), png(np.full((8, 8), 255, np.uint8))
    rows = descriptors.Descriptors().encode([dark, light])
    assert rows.dtype == np.float32
    assert rows[:, descriptors.NAMES.index("brightness")].tolist() == [0.0, 1.0]
    assert descriptors.Descriptors().encode([]).shape == (0, len(descriptors.NAMES))


def test_a_picture_of_flat_blocks_of_eight_pixels_is_all_blocks() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (6, 6), dtype=np.uint8)
    assert measured(np.kron(levels, np.ones((8, 8), np.uint8)))["blockiness"] == pytest.approx(1.0)


def test_blocks_that_begin_elsewhere_are_none() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (6, 6), dtype=np.uint8)
    moved = np.kron(levels, np.ones((8, 8), np.uint8))[3:, 3:]
    assert measured(moved)["blockiness"] == pytest.approx(-1.0)


def test_a_ramp_has_the_same_steps_on_the_grid_as_elsewhere() -> None:
    ramp = np.repeat(np.arange(0, 128, 2, dtype=np.uint8)[None, :], 64, axis=0)
    assert measured(ramp)["blockiness"] == pytest.approx(0.0)


def test_a_jpeg_pressed_hard_is_blockier_than_the_picture_it_was_made_from() -> None:
    grey = np.random.default_rng(0).normal(128, 40, (128, 128)).clip(0, 255).astype(np.uint8)
    noise = Image.fromarray(grey).filter(ImageFilter.GaussianBlur(2))
    found = []
    for quality in (95, 10):
        buffer = io.BytesIO()
        noise.save(buffer, "JPEG", quality=quality)
        found.append(descriptors.describe(buffer.getvalue())[descriptors.NAMES.index("blockiness")])
    assert abs(found[0]) < 0.1 < 0.2 < found[1]
