import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neuro.errors import BadImageError, ConfigError
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size_px=32)


def encoded(picture: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, quality=95)
    return buffer.getvalue()


def natural(width: int, height: int) -> np.ndarray:
    """A coloured picture with detail of every size, (height, width, 3) uint8."""
    rng = np.random.default_rng(7)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize(
                (width, height), Image.Resampling.BICUBIC
            ),
            dtype=np.float64,
        )
        for n in (4, 16, 64)
    ]
    return np.average(layers, axis=0, weights=(4, 2, 1)).astype(np.uint8)


def as_it_was(raw: bytes, spec: PreprocessSpec) -> np.ndarray:
    """The path that packages of "pillow-bilinear" learnt from, written down a second time."""
    with Image.open(io.BytesIO(raw)) as opened:
        picture = opened.convert(spec.mode)
    if spec.fit == "pad":
        side = max(picture.size)
        square = Image.new(spec.mode, (side, side))
        square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        picture = square
    side = (spec.size_px, spec.size_px)
    return np.asarray(picture.resize(side, Image.Resampling.BILINEAR)).reshape(*side, -1)


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
        replace(SPEC, decoder="pillow-bilinear"),
    ]
    assert len({spec.sha256 for spec in [SPEC, *others]}) == 6
    assert SPEC.sha256 == PreprocessSpec(size_px=32).sha256


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("mode", "CMYK"), ("fit", "crop"), ("intensity", "raw"), ("decoder", "other")],
        *[("size_px", 8), ("size_px", 2048)],
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"preprocess\.{field} must be"):
        PreprocessSpec(**{field: value})


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_package_of_the_old_decoder_gets_the_frames_it_learnt_from(
    mode: str, fit: str, kind: str
) -> None:
    spec = PreprocessSpec(mode=mode, size_px=48, fit=fit, decoder="pillow-bilinear")
    for width, height in ((48, 48), (331, 200), (41, 333)):
        raw = encoded(natural(width, height), kind)
        np.testing.assert_array_equal(preprocess.frame(raw, spec), as_it_was(raw, spec))


def test_the_digest_of_the_old_decoder_is_the_one_in_old_packages() -> None:
    assert PreprocessSpec(decoder="pillow-bilinear").sha256.startswith("6cb8490d809c1601")


@pytest.mark.parametrize("size", [(1024, 1024), (1019, 777), (401, 1003)])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_decoded_small_lies_where_it_lies_when_decoded_whole(
    mode: str, fit: str, size: tuple[int, int]
) -> None:
    spec = PreprocessSpec(mode=mode, size_px=128, fit=fit)
    raw = encoded(natural(*size), "JPEG")
    whole = as_it_was(raw, spec).astype(int)
    apart = np.abs(preprocess.frame(raw, spec) - whole)
    assert 0 < apart.mean() < 0.7
    # Where "pad" puts black beside the picture, one row of the frame may differ by more.
    assert np.quantile(apart, 0.95 if fit == "pad" else 1.0) < 10


def test_a_grey_jpeg_that_is_not_much_larger_than_the_frame_is_not_decoded_small() -> None:
    spec = PreprocessSpec(size_px=96)
    raw = encoded(natural(224, 224)[..., 0], "JPEG")
    np.testing.assert_array_equal(preprocess.frame(raw, spec), as_it_was(raw, spec))


@pytest.mark.parametrize("size_px", [32, 300])
def test_half_a_jpeg_is_refused_and_no_frame(size_px: int) -> None:
    raw = encoded(natural(300, 300), "JPEG")
    with pytest.raises(BadImageError, match="ends early"):
        preprocess.frame(raw[: len(raw) // 2], replace(SPEC, size_px=size_px))
