"""Untrusted bytes to clean ones: upright, 8 bit, only pixels. Runs in a limited child (vet)."""

import hashlib
import io
import re
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from neuro.errors import BadImageError

FORMATS = ("PNG", "JPEG", "TIFF")
MAX_PIXELS = 50_000_000
MIN_SIDE_PX = 32
THUMBNAIL_PX = 32
EIGHT_BIT = ("L", "RGB", "RGBA", "LA", "P", "PA", "1")
DECODE_ERRORS = (OSError, SyntaxError, ValueError, IndexError, Image.DecompressionBombError)
_ORIENTATION = 0x0112
# JPEG markers, ITU T.81 table B.1: frames and entropy tables, then scan, quantisation, restarts.
_SCAN, _END = 0xDA, 0xD9
_PIXEL_SEGMENTS = {*range(0xC0, 0xD0), _SCAN, 0xDB, 0xDD}
_ADOBE = b"\xff\xee\x00\x0eAdobe"
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # neither stuffing, restart nor filling


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanImage:
    """One vetted image: ``stored`` are the bytes the lake keeps.

    sha256: digest of the source bytes (identity). stored_sha256: digest of ``stored`` (integrity).
    thumbnail: 32 x 32 grey uint8 as bytes. perceptual_hash: 64-bit difference hash in hex.
    """

    sha256: str
    stored: bytes
    stored_sha256: str
    media_type: str
    width: int
    height: int
    mode: str
    perceptual_hash: str
    thumbnail: bytes


def clean(raw: bytes) -> CleanImage:
    """Vet source bytes and strip everything that is not a pixel.

    JPEG and PNG keep their pixels to the bit; TIFF, palettes, transparency and turned images
    become PNG. Raises BadImageError with a reason code.
    """
    picture = _decode(raw)
    upright, is_turned = _upright(picture)
    flat = _flatten(upright)
    low_high = np.asarray(flat.convert("L"))
    if low_high.min() == low_high.max():
        raise BadImageError("blank", "every pixel has the same value")
    stored, media_type = None, "image/jpeg"
    if picture.format == "JPEG" and not is_turned:
        stored = _strip_jpeg(raw, flat)
    if stored is None:
        stored, media_type = _as_png(flat), "image/png"
    small = thumbnail(flat)
    return CleanImage(
        sha256=hashlib.sha256(raw).hexdigest(),
        stored=stored,
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        media_type=media_type,
        width=flat.width,
        height=flat.height,
        mode=picture.mode,
        perceptual_hash=difference_hash(flat),
        thumbnail=small.tobytes(),
    )


def thumbnail(picture: Image.Image) -> NDArray[np.uint8]:
    """A (32, 32) grey uint8 miniature: what twins are found by."""
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    return np.asarray(picture.convert("L").resize(side, Image.Resampling.BILINEAR), dtype=np.uint8)


def difference_hash(picture: Image.Image) -> str:
    """64-bit difference hash: is each pixel brighter than its left neighbour (N. Krawetz, 2013)."""
    small = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BILINEAR), np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes().hex()


def _decode(raw: bytes) -> Image.Image:
    """Open, check the header's size before any pixel is decoded, verify, then decode fully."""
    if not raw:
        raise BadImageError("empty", "the file has no bytes")
    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as header:
            _check_header(header)
            header.verify()
        picture = Image.open(io.BytesIO(raw), formats=FORMATS)
        picture.load()
    except UnidentifiedImageError as error:
        raise BadImageError("not_an_image", f"not one of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:  # Pillow looks before _check_header can
        raise BadImageError("too_large", str(error)[:200]) from error
    except DECODE_ERRORS as error:
        raise BadImageError("damaged", f"{type(error).__name__}: {error}"[:200]) from error
    return picture


def _check_header(header: Image.Image) -> None:
    if header.width * header.height > MAX_PIXELS:
        raise BadImageError(
            "too_large", f"{header.width} x {header.height} px is over 50 megapixel"
        )
    if min(header.size) < MIN_SIDE_PX:
        raise BadImageError("too_small", f"{header.width} x {header.height} px; at least 32 a side")
    if getattr(header, "n_frames", 1) > 1:
        raise BadImageError("multi_frame", "more than one frame; which one is meant is unknown")
    if header.mode not in EIGHT_BIT:
        # .convert() would clip 12/16-bit data to white, silently.
        raise BadImageError("pixel_mode", f"pixel mode {header.mode} is not 8-bit grey or RGB")


def _upright(picture: Image.Image) -> tuple[Image.Image, bool]:
    """The picture as its EXIF says it is seen, and whether it had to be turned."""
    try:
        upright = ImageOps.exif_transpose(picture)
        left, asked = (p.getexif().get(_ORIENTATION, 1) for p in (upright, picture))
    except (*DECODE_ERRORS, struct.error, KeyError, TypeError) as error:
        raise BadImageError("orientation", f"the EXIF cannot be read: {error}"[:200]) from error
    if left != 1:
        raise BadImageError("orientation", "the EXIF orientation cannot be applied")
    return upright, asked != 1


def _flatten(picture: Image.Image) -> Image.Image:
    """To plain L or RGB: palettes resolved, transparency laid on black."""
    if picture.mode in ("L", "RGB") and "transparency" not in picture.info:
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    target = "L" if picture.mode in ("L", "LA") else "RGB"
    layer = picture.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (0, 0, 0, 255))
    return Image.alpha_composite(ground, layer).convert(target)


def _as_png(picture: Image.Image) -> bytes:
    bare = Image.fromarray(np.asarray(picture))
    buffer = io.BytesIO()
    bare.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def _strip_jpeg(raw: bytes, expected: Image.Image) -> bytes | None:
    """Drop comments and application segments; None where that would change a pixel.

    Adobe's APP14 stays: it says which colour transform the pixels need (ITU T.872). What lies
    between two scans, or after the end, is dropped alike.
    """
    kept, position = [b"\xff\xd8"], 2
    while position + 4 <= len(raw) and raw[position] == 0xFF and raw[position + 1] != _END:
        marker = raw[position + 1]
        end = position + 2 + int.from_bytes(raw[position + 2 : position + 4], "big")
        if marker == _SCAN:
            following = _AFTER_SCAN.search(raw, end)
            end = following.start() if following else len(raw)
        if marker in _PIXEL_SEGMENTS or raw[position:end].startswith(_ADOBE):
            kept.append(raw[position:end])
        position = end
    stripped = b"".join([*kept, bytes([0xFF, _END])])
    try:
        with Image.open(io.BytesIO(stripped), formats=("JPEG",)) as again:
            same = again.mode == expected.mode and np.array_equal(
                np.asarray(again), np.asarray(expected)
            )
    except DECODE_ERRORS:
        return None
    return stripped if same else None
