import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from neuro import image
from neuro.errors import BadImageError

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
    kept = image.clean(raw)
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
    kept = image.clean(raw)
    assert kept.media_type == "image/jpeg"
    np.testing.assert_array_equal(decoded(kept.stored), decoded(raw))


@pytest.mark.parametrize("restart", [0, 1])
def test_a_jpeg_with_restart_markers_stays_whole(restart: int) -> None:
    raw = encoded(COLOUR, "JPEG", restart_marker_rows=restart, comment=NAME)
    kept = image.clean(raw)
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
    kept = image.clean(raw + NAME)
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
    kept = image.clean(raw)
    assert kept.media_type == "image/png"
    assert NAME not in kept.stored
    np.testing.assert_array_equal(decoded(kept.stored), UPRIGHT[orientation](decoded(raw)))
    assert (kept.height, kept.width) == decoded(kept.stored).shape[:2]


def test_a_tiff_becomes_a_png_of_the_same_pixels() -> None:
    kept = image.clean(encoded(GREY, "TIFF", tiffinfo={270: NAME.decode()}))
    assert kept.media_type == "image/png"
    assert NAME not in kept.stored
    np.testing.assert_array_equal(decoded(kept.stored), GREY)


def test_a_palette_becomes_its_colours() -> None:
    palette = Image.fromarray(COLOUR).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(decoded(image.clean(encoded(palette)).stored), expected)


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
    np.testing.assert_array_equal(decoded(image.clean(raw).stored), expected)


REFUSED = {
    "16 bit": (encoded(GREY.astype(np.uint16) * 200), "pixel_mode"),
    "float": (encoded(GREY.astype(np.float32), "TIFF"), "pixel_mode"),
    "CMYK": (encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "pixel_mode"),
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
    "GIF": (encoded(GREY, "GIF"), "not_an_image"),
    "101 megapixel in the header": (header_of(10_000, 10_100), "too_large"),
    "3600 megapixel in the header": (header_of(60_000, 60_000), "too_large"),
    "an orientation that is none": (encoded(GREY, "JPEG", exif=exif(9)), "orientation"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_an_unusable_file_is_refused_with_its_reason(what: str) -> None:
    raw, code = REFUSED[what]
    with pytest.raises(BadImageError) as caught:
        image.clean(raw)
    assert caught.value.code == code


def test_identity_is_of_the_source_and_integrity_of_what_is_stored() -> None:
    raw = encoded(GREY, "JPEG", comment=NAME)
    kept = image.clean(raw)
    assert kept.sha256 == hashlib.sha256(raw).hexdigest()
    assert kept.stored_sha256 == hashlib.sha256(kept.stored).hexdigest()
    assert kept.sha256 != kept.stored_sha256


def test_a_thumbnail_is_32_grey_pixels_a_side() -> None:
    flat = np.zeros((64, 64, 3), np.uint8)
    flat[:, 32:] = 200
    small = np.frombuffer(image.clean(encoded(flat)).thumbnail, np.uint8).reshape(32, 32)
    assert small[5, 2] == 0
    assert small[5, 29] == 200


@pytest.mark.parametrize(("step", "expected"), [(1, "f" * 16), (-1, "0" * 16)])
def test_a_difference_hash_says_where_it_gets_brighter(step: int, expected: str) -> None:
    ramp = np.tile(np.arange(0, 252, 4, dtype=np.uint8)[::step], (40, 1))
    assert image.difference_hash(Image.fromarray(ramp)) == expected
