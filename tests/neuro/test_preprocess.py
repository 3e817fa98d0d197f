import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neuro import preprocess
from neuro.errors import ConfigError
from neuro.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size_px=32)


def encoded(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_frame_of_the_right_size_is_the_picture_itself() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    np.testing.assert_array_equal(preprocess.frame(encoded(picture), SPEC)[..., 0], picture)


def test_shrinking_averages_what_it_leaves_out() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    frame = preprocess.frame(encoded(board), SPEC)
    assert 110 < frame.min() <= frame.max() < 145


def test_colour_becomes_luma_in_grey_mode() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    frame = preprocess.frame(encoded(red), SPEC)
    assert frame.shape == (32, 32, 1)
    assert set(np.unique(frame)) == {76}  # 0.299 x 255, ITU-R 601-2


def test_colour_stays_in_rgb_mode() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    frame = preprocess.frame(encoded(red), replace(SPEC, mode="RGB"))
    assert frame.shape == (32, 32, 3)
    assert frame[5, 5].tolist() == [255, 0, 0]


def test_padding_keeps_the_aspect_on_black_and_stretching_does_not() -> None:
    wide = np.full((32, 64), 200, np.uint8)
    assert preprocess.frame(encoded(wide), SPEC).min() == 200
    padded = preprocess.frame(encoded(wide), replace(SPEC, fit="pad"))[..., 0]
    assert padded[:7].max() == padded[-7:].max() == 0
    assert padded[9:23].min() == 200


def test_unit_intensity_puts_channels_first_in_zero_to_one() -> None:
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    frames[1, 3, 5] = [255, 51, 0]
    tensor = preprocess.to_tensor(frames, replace(SPEC, mode="RGB", size_px=16))
    assert tensor.shape == (2, 3, 16, 16)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[1, :, 3, 5], [1, 0.2, 0])
    assert tensor[0].max() == 0


def test_standard_intensity_gives_each_image_mean_zero_and_deviation_one() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1)).astype(np.uint8)
    frames[2] = 40  # a flat image must not become noise
    tensor = preprocess.to_tensor(frames, replace(SPEC, intensity="standard"))
    np.testing.assert_allclose(tensor[:2].mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(tensor[:2].std(axis=(1, 2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(tensor[2], 0, atol=1e-3)


def test_one_image_alone_gives_the_tensor_it_has_in_a_batch() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1)).astype(np.uint8)
    spec = replace(SPEC, intensity="standard")
    together = preprocess.to_tensor(frames, spec)
    np.testing.assert_array_equal(preprocess.to_tensor(frames[3:4], spec)[0], together[3])


def test_the_hash_changes_with_every_field() -> None:
    others = [
        replace(SPEC, mode="RGB"),
        replace(SPEC, size_px=33),
        replace(SPEC, fit="pad"),
        replace(SPEC, intensity="standard"),
        replace(SPEC, decoder="other"),
    ]
    assert len({spec.sha256 for spec in [SPEC, *others]}) == 6
    assert SPEC.sha256 == PreprocessSpec(size_px=32).sha256


@pytest.mark.parametrize(
    ("field", "value"),
    [("mode", "CMYK"), ("fit", "crop"), ("intensity", "raw"), ("size_px", 8), ("size_px", 2048)],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"preprocess\.{field} must be"):
        PreprocessSpec(**{field: value})
