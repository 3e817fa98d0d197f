"""JPEG without its notes: which segments make the pixels, and whether they are whole."""

import re
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from neuro.errors import BadImageError

# Markers, ITU-T T.81 table B.1: frames and entropy tables, then scan, quantisation, restarts.
START, _END, _SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive; the other kinds are hardly decoded
_PIXEL_SEGMENTS = {*_FRAMES, 0xC4, _SCAN, 0xDB, 0xDD}
_NOTES = {*range(0xE0, 0xF0), 0xFE}
_JFIF, _EXIF_OR_XMP, _PICTURES, _ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
_COMMENT, _IPTC = 0xFE, 0xED
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # neither stuffing, restart nor filling


@dataclass(frozen=True, kw_only=True, slots=True)
class Stripped:
    """A JPEG that decodes to the pixels of its source and holds no application segment.

    is_annotated: the source has segments that may tell an orientation or further pictures.
    removed: kinds of notes that the source had.
    """

    data: bytes
    is_annotated: bool
    removed: tuple[str, ...] = ()


def strip(raw: bytes) -> Stripped | None:
    """Drop comments, application segments and whatever follows the end.

    None where the file is no JPEG of whole segments in plain order, or where it would be shown in
    other colours without its JFIF segment: such a file must be decoded and stored in another form.
    """
    kept, position = [START], 2
    is_annotated = has_jfif = is_deep = False
    removed = set[str]()
    transform, components = -1, b""
    if not raw.startswith(START):
        return None
    while raw[position : position + 2] != _END:
        marker, end = _segment(raw, position)
        body = raw[position + 4 : end]
        if marker == _SCAN:
            following = _AFTER_SCAN.search(raw, end)
            end = following.start() if following else 0
        if not end:
            return None
        if marker in _PIXEL_SEGMENTS:
            kept.append(raw[position:end])
        if marker in _FRAMES:
            components = body[6::3]
            is_deep |= body[:1] != b"\x08"
        elif marker == _JFIF:
            has_jfif |= len(body) >= 14 and body.startswith(b"JFIF\0")
        elif marker == _ADOBE and len(body) >= 12 and body.startswith(b"Adobe"):
            transform = body[11]
            kept.append(_adobe(transform))
        is_annotated |= marker in (_EXIF_OR_XMP, _PICTURES)
        removed |= _note(marker, body)
        position = end
    if is_deep or (has_jfif and not _is_ycc(transform, components)):
        return None
    removed |= {"bytes after the end"} if raw[position + 2 :].strip(b"\0") else set()
    data = b"".join([*kept, _END])
    return Stripped(data=data, is_annotated=is_annotated, removed=tuple(sorted(removed)))


def _note(marker: int, body: bytes) -> set[str]:
    """What kind of note a segment is, none for those that hold none."""
    if marker == _COMMENT:
        return {"comment"}
    if marker == _EXIF_OR_XMP:
        return {"EXIF" if body.startswith(b"Exif") else "XMP"}
    return {"IPTC"} if marker == _IPTC else set()


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """Size and Pillow's name for the pixel mode."""

    width: int
    height: int
    mode: str


def header(data: bytes) -> Header:
    """Read size and mode; no pixel is decoded. Raises BadImageError on a broken header."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise BadImageError("damaged", "the JPEG header is broken") from error
    mode = {"Gray": "L", "YCbCr": "RGB", "RGB": "RGB"}.get(colours, "CMYK")
    return Header(width=width, height=height, mode=mode)


def brightness(data: bytes) -> NDArray[np.uint8]:
    """Decode all of the data and return its brightness, (h, w); colours are not computed.

    Raises BadImageError where the data is not whole: Pillow, lenient like most, shows a picture
    whose lower half is missing as long as an end marker follows, and skips bytes that hide
    between the last pixel and that marker.
    """
    try:
        grey: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "GRAY", strict=True)[..., 0]
    except ValueError as error:
        raise BadImageError("damaged", "the JPEG data ends early, is broken or too long") from error
    return grey


@dataclass(frozen=True, kw_only=True, slots=True)
class Reduced:
    """pixels: (h, w, channels) uint8, at a scale of the source's size, (width, height).

    A scaled side that is not whole is rounded up.
    """

    pixels: NDArray[np.uint8]
    scale: float
    size: tuple[int, int]


def reduced(data: bytes, mode: str, side_px: int) -> Reduced:
    """Decode to mode L or RGB at the smallest scale that leaves both sides at least ``side_px``.

    The scale is n/8 up to a half, the sizes of inverse cosine transform that are faster than the
    whole one (libjpeg-turbo, jdmaster.c), or 1. In mode L the brightness alone is decoded. Raises
    BadImageError where the data is not whole.
    """
    colours = "GRAY" if mode == "L" else "RGB"
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, colours, min_height=side_px, min_width=side_px, min_factor=2
        )
    except ValueError as error:
        raise BadImageError("damaged", "the JPEG data ends early, is broken or too long") from error
    scale = round(8 * pixels.shape[0] / height) / 8
    return Reduced(pixels=pixels, scale=scale, size=(width, height))


def _segment(raw: bytes, position: int) -> tuple[int, int]:
    """Marker of the segment at ``position`` and where it ends; 0 where none stands there."""
    if position + 4 > len(raw) or raw[position] != 0xFF:
        return 0, 0
    marker, length = raw[position + 1], int.from_bytes(raw[position + 2 : position + 4], "big")
    end = position + 2 + length
    is_whole = length >= 2 and end <= len(raw) and marker in _PIXEL_SEGMENTS | _NOTES
    return marker, end if is_whole else 0


def _adobe(transform: int) -> bytes:
    """The segment that says which colour transform the pixels need (ITU-T T.872), flags unset."""
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


def _is_ycc(transform: int, components: bytes) -> bool:
    """Whether libjpeg takes the pixels for YCbCr or grey with no JFIF segment to say so.

    With one it always does; without, Adobe's segment decides, then the components' names
    (libjpeg-turbo, jdapimin.c, default_decompress_parms).
    """
    return len(components) == 1 or (transform == 1 if transform >= 0 else components != b"RGB")
