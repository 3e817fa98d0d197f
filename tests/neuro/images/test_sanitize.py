import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from neuro.errors import BadImageError
from neuro.images import sanitize

NAME = b"Erika Mustermann"
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 56), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8)


def encoded(picture: Image.Image | np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    opened = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    opened.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(raw: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(raw)))


def exif(orientation: int = 1) -> Image.Exif:
    facts = Image.Exif()
    facts[0x0112], facts[0x010E] = orientation, NAME.decode()
    return facts


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def chunk_kinds(raw: bytes) -> set[bytes]:
    kinds, position = set(), 8
    while position < len(raw):
        (length,) = struct.unpack(">I", raw[position : position + 4])
        kinds.add(raw[position + 4 : position + 8])
        position += 12 + length
    return kinds


def header_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data


def between_scans(raw: bytes, added: bytes) -> bytes:
    """Insert a segment where the first scan of a progressive JPEG ends."""
    place = raw.index(b"\xff\xda") + 2
    while raw[place] != 0xFF or raw[place + 1] == 0 or 0xD0 <= raw[place + 1] <= 0xD7:
        place += 1
    return raw[:place] + added + raw[place:]


PERSONAL_JPEGS = {
    "exif, comment and colour profile": encoded(
        COLOUR, "JPEG", exif=exif(), comment=NAME, icc_profile=NAME * 3
    ),
    "a comment between two scans": between_scans(
        encoded(COLOUR, "JPEG", progressive=True), segment(0xFE, NAME)
    ),
    "bytes after the end": encoded(COLOUR, "JPEG") + NAME,
    "another picture after the end": encoded(COLOUR, "JPEG") + encoded(GREY, "JPEG", comment=NAME),
}


@pytest.mark.parametrize("place", PERSONAL_JPEGS)
def test_a_jpeg_keeps_its_pixels_to_the_bit_and_loses_a_name(place: str) -> None:
    raw = PERSONAL_JPEGS[place]
    assert NAME in raw
    kept = sanitize.clean(raw)
    assert kept.media_type == "image/jpeg"
    assert NAME not in kept.stored
    np.testing.assert_array_equal(decoded(kept.stored), decoded(raw))


def test_a_jpeg_without_colour_transform_stays_as_it_is() -> None:
    named = bytearray(encoded(COLOUR, "JPEG", keep_rgb=True, quality=95))
    frame, scan = named.index(b"\xff\xc0") + 10, named.index(b"\xff\xda") + 5
    for number in range(3):  # name the components 1, 2, 3: now only Adobe's segment says RGB
        named[frame + 3 * number] = named[scan + 2 * number] = number + 1
    raw = bytes(named)
    assert np.abs(decoded(raw).astype(int) - COLOUR).mean() < 20
    kept = sanitize.clean(raw)
    assert kept.media_type == "image/jpeg"
    np.testing.assert_array_equal(decoded(kept.stored), decoded(raw))


@pytest.mark.parametrize("restart", [0, 1])
def test_a_jpeg_with_restart_markers_stays_whole(restart: int) -> None:
    raw = encoded(COLOUR, "JPEG", restart_marker_rows=restart, comment=NAME)
    kept = sanitize.clean(raw)
    assert kept.media_type == "image/jpeg"
    np.testing.assert_array_equal(decoded(kept.stored), decoded(raw))


@pytest.mark.parametrize("source", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_png_keeps_its_pixels_to_the_bit_and_nothing_else(source: np.ndarray) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Patient", NAME.decode())
    notes.add_itxt("Comment", NAME.decode())
    notes.add_text("Packed", NAME.decode() * 9, zip=True)
    raw = encoded(source, pnginfo=notes, exif=exif(), icc_profile=NAME)
    assert chunk_kinds(raw) >= {b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"iCCP"}
    kept = sanitize.clean(raw + NAME)
    assert NAME not in kept.stored
    assert chunk_kinds(kept.stored) == {b"IHDR", b"IDAT", b"IEND"}
    np.testing.assert_array_equal(decoded(kept.stored), source)


UPRIGHT = {  # EXIF 2.32, tag 274: where the first row and the first column of the data are
    2: np.fliplr,
    3: lambda x: x[::-1, ::-1],
    4: np.flipud,
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_an_orientation_is_applied_and_the_picture_becomes_png(orientation: int) -> None:
    raw = encoded(COLOUR, "JPEG", exif=exif(orientation))
    kept = sanitize.clean(raw)
    assert kept.media_type == "image/png"
    assert NAME not in kept.stored
    np.testing.assert_array_equal(decoded(kept.stored), UPRIGHT[orientation](decoded(raw)))
    assert (kept.height, kept.width) == decoded(kept.stored).shape[:2]


def test_a_tiff_becomes_a_png_of_the_same_pixels() -> None:
    kept = sanitize.clean(encoded(GREY, "TIFF", tiffinfo={270: NAME.decode()}))
    assert kept.media_type == "image/png"
    assert NAME not in kept.stored
    np.testing.assert_array_equal(decoded(kept.stored), GREY)


def test_a_palette_becomes_its_colours() -> None:
    palette = Image.fromarray(COLOUR).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(decoded(sanitize.clean(encoded(palette)).stored), expected)


def see_through() -> dict[str, tuple[bytes, np.ndarray]]:
    """Files whose left half cannot be seen, and what is left of them."""
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[:, :28] = 0
    dark, dark_grey = COLOUR.copy(), GREY.copy()
    dark[:, :28], dark_grey[:, :28] = 0, 0
    white = COLOUR.copy()
    white[:, :28], white[:, 28:] = 255, np.minimum(COLOUR[:, 28:], 254)
    masked = white.copy()
    masked[:, :28] = 0
    return {
        "RGBA": (encoded(np.dstack([COLOUR, alpha])), dark),
        "LA": (encoded(Image.fromarray(np.dstack([GREY, alpha]), "LA")), dark_grey),
        "RGB and a transparent colour": (encoded(white, transparency=(255, 255, 255)), masked),
        "grey and a transparent level": (
            encoded(white[:, :, 0], transparency=255),
            masked[:, :, 0],
        ),
    }


@pytest.mark.parametrize("kind", see_through())
def test_what_is_transparent_lies_on_black(kind: str) -> None:
    raw, expected = see_through()[kind]
    np.testing.assert_array_equal(decoded(sanitize.clean(raw).stored), expected)


def tiff(values: np.ndarray, white_is_zero: bool = False) -> bytes:
    raw = bytearray(encoded(values, "TIFF"))
    if white_is_zero:  # the value of tag 262, a short
        place = raw.index(struct.pack("<HHI", 262, 3, 1)) + 8
        raw[place : place + 2] = b"\0\0"
    return bytes(raw)


RAMP = np.arange(40 * 50).reshape(40, 50)
# Between the 0.5 and the 99.5 percentile, 10 and 1989: (value - 10) / 1979.
SPREAD = (np.clip((RAMP - 10.0) / 1979, 0, 1) * 255 + 0.5).astype(np.uint8)
DEEP = {
    "16-bit PNG": (encoded(RAMP.astype(np.uint16)), "I;16", 1),
    "12 bits in a 16-bit TIFF": (tiff(RAMP.astype(np.uint16)), "I;16", 1),
    "white is zero": (tiff(RAMP.astype(np.uint16), white_is_zero=True), "I;16", -1),
    "signed 32-bit TIFF": (tiff(RAMP.astype(np.int32) - 1000), "I", 1),
    "float TIFF in 0..1": (tiff((RAMP / 2000).astype(np.float32)), "F", 1),
    "16-bit JPEG 2000": (encoded(RAMP.astype(np.uint16), "JPEG2000"), "I;16", 1),
    "16-bit PGM": (b"P5 50 40 65535\n" + RAMP.astype(">u2").tobytes(), "I", 1),
}


@pytest.mark.parametrize("what", DEEP)
def test_deep_grey_is_spread_between_two_percentiles_and_says_so(what: str) -> None:
    raw, mode, sign = DEEP[what]
    kept = sanitize.clean(raw)
    expected = SPREAD if sign > 0 else 255 - SPREAD
    np.testing.assert_array_equal(decoded(kept.stored), expected)
    assert kept.mode == f"{mode}, 0.5-99.5 percentile"
    assert kept.media_type == "image/png"
    assert kept.facts["intensity_low"] < kept.facts["intensity_high"]


def test_unsigned_32_bits_do_not_turn_negative() -> None:
    values = RAMP.astype(np.uint32) + 2**31 - 1000
    raw = bytearray(tiff(values.view(np.int32)))
    place = raw.index(struct.pack("<HHI", 339, 3, 1)) + 8
    raw[place] = 1  # sample format: unsigned
    np.testing.assert_array_equal(decoded(sanitize.clean(bytes(raw)).stored), SPREAD)


def test_deep_colour_keeps_its_high_byte_and_says_so() -> None:
    deep = (COLOUR.astype(np.uint16) * 256 + 99).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", 56, 40, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    kept = sanitize.clean(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    np.testing.assert_array_equal(decoded(kept.stored), COLOUR)
    assert kept.mode == "RGB, high byte"


def test_a_turned_deep_picture_is_upright() -> None:
    kept = sanitize.clean(encoded(RAMP.astype(np.uint16), exif=exif(6)))
    np.testing.assert_array_equal(decoded(kept.stored), UPRIGHT[6](SPREAD))


def test_a_webp_becomes_a_png_of_the_same_pixels() -> None:
    kept = sanitize.clean(encoded(COLOUR, "WEBP", lossless=True, exif=exif()))
    assert kept.media_type == "image/png"
    assert NAME not in kept.stored
    np.testing.assert_array_equal(decoded(kept.stored), COLOUR)


def test_the_content_says_what_a_file_is_and_its_format_is_a_fact() -> None:
    jpeg, png = encoded(COLOUR, "JPEG"), encoded(COLOUR)
    assert sanitize.clean(jpeg).facts == {"format": "JPEG", "bytes": len(jpeg)}
    assert sanitize.clean(png).facts == {"format": "PNG", "bytes": len(png)}


def test_which_kinds_of_notes_a_file_had_is_a_fact_and_not_what_they_said() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", "Jane Doe")
    with_text = sanitize.clean(encoded(COLOUR, "PNG", pnginfo=notes, exif=exif())).facts
    assert with_text["removed"] == "EXIF;text"
    assert (
        sanitize.clean(encoded(COLOUR, "JPEG", comment=b"Jane Doe")).facts["removed"] == "comment"
    )
    assert sanitize.clean(encoded(COLOUR, "JPEG", exif=exif())).facts["removed"] == "EXIF"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_refused(progressive: bool) -> None:
    raw = encoded(COLOUR, "JPEG", progressive=progressive)
    for length in range(3, len(raw), 61):
        with pytest.raises(BadImageError) as caught:
            sanitize.clean(raw[:length])
        assert caught.value.code == "damaged"


REFUSED = {
    "CMYK": (encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "pixel_mode"),
    "CMYK in a TIFF": (encoded(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"), "pixel_mode"),
    "Lab": (encoded(Image.fromarray(COLOUR, "LAB"), "TIFF"), "pixel_mode"),
    "31 px wide": (encoded(GREY[:, :31]), "too_small"),
    "two pages": (
        encoded(GREY, "TIFF", save_all=True, append_images=[Image.fromarray(GREY[::-1])]),
        "multi_frame",
    ),
    "animated": (
        encoded(GREY, save_all=True, append_images=[Image.fromarray(GREY[::-1])]),
        "multi_frame",
    ),
    "one value": (encoded(np.full((40, 40), 7, np.uint8)), "blank"),
    "half a JPEG": (encoded(COLOUR, "JPEG")[:-700], "damaged"),
    "half a PNG": (encoded(COLOUR)[:-700], "damaged"),
    "a wrong checksum": (encoded(GREY)[:-20] + b"!" + encoded(GREY)[-19:], "damaged"),
    "no bytes": (b"", "empty"),
    "text": (b"patient,label\n1,glioma\n", "not_an_image"),
    "GIF": (encoded(GREY, "GIF"), "format"),
    "BMP": (encoded(GREY, "BMP"), "format"),
    "AVIF": (encoded(COLOUR, "AVIF"), "format"),
    "a broken TIFF header": (encoded(GREY, "TIFF")[:4] + b"\xff" * 99, "damaged"),
    "a JPEG that ends early behind an end marker": (
        encoded(COLOUR, "JPEG")[:-700] + b"\xff\xd9",
        "damaged",
    ),
    "a name between the last pixel and the end marker": (
        encoded(COLOUR, "JPEG")[:-2] + NAME + b"\xff\xd9",
        "damaged",
    ),
    "101 megapixel in the header": (header_of(10_000, 10_100), "too_large"),
    "3600 megapixel in the header": (header_of(60_000, 60_000), "too_large"),
    "an orientation that is none": (encoded(GREY, "JPEG", exif=exif(9)), "orientation"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_an_unusable_file_is_refused_with_its_reason(what: str) -> None:
    raw, code = REFUSED[what]
    with pytest.raises(BadImageError) as caught:
        sanitize.clean(raw)
    assert caught.value.code == code


def test_identity_is_of_the_source_and_integrity_of_what_is_stored() -> None:
    raw = encoded(GREY, "JPEG", comment=NAME)
    kept = sanitize.clean(raw)
    assert kept.sha256 == hashlib.sha256(raw).hexdigest()
    assert kept.stored_sha256 == hashlib.sha256(kept.stored).hexdigest()
    assert kept.sha256 != kept.stored_sha256


def test_a_thumbnail_is_32_grey_pixels_a_side() -> None:
    flat = np.zeros((64, 64, 3), np.uint8)
    flat[:, 32:] = 200
    small = np.frombuffer(sanitize.clean(encoded(flat)).thumbnail, np.uint8).reshape(32, 32)
    assert small[5, 2] == 0
    assert small[5, 29] == 200
