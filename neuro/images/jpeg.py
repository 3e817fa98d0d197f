"""JPEG without its notes: which segments make the pixels, and whether they are whole."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from neuro.errors import BadImageError

# Markers, ITU-T T.81 table B.1: frames and entropy tables, then scan, quantisation, restarts.
START, _END, _SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive; the other kinds are hardly decoded
_PIXEL_SEGMENTS = {*_FRAMES, 0xC4, _SCAN, 0xDB, 0xDD}
_KNOWN = _PIXEL_SEGMENTS | {*range(0xE0, 0xF0), 0xFE}
_JFIF, _EXIF_OR_XMP, _PICTURES, _ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
_COMMENT, _IPTC = 0xFE, 0xED
_TRANSFORM, _YCC = 11, 1  # place of the colour transform in Adobe's segment, and that of YCbCr
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


class _Segment(NamedTuple):
    """A part of a JPEG between its start and its end.

    marker: its second byte. body: what follows marker and length. raw: all of it, of a scan with
    the pixel data that follow.
    """

    marker: int
    body: bytes
    raw: bytes

    @property
    def is_adobe(self) -> bool:
        """Whether it is Adobe's segment, which names a colour transform."""
        return self.marker == _ADOBE and self.body.startswith(b"Adobe") and len(self.body) >= 12

    @property
    def is_jfif(self) -> bool:
        """Whether it is a JFIF segment, which stands for the colours of that standard."""
        return self.marker == _JFIF and self.body.startswith(b"JFIF\0") and len(self.body) >= 14


def strip(raw: bytes) -> Stripped | None:
    """Drop comments, application segments and whatever follows the end.

    None where the file is no JPEG of whole segments in plain order, where it has more than 8 bits,
    or where it would be shown in other colours without its JFIF segment: such a file must be
    decoded and stored in another form.
    """
    segments = _segments(raw)
    if segments is None or _is_deep(segments) or _needs_jfif(segments):
        return None
    kept = []
    for segment in segments:
        if segment.marker in _PIXEL_SEGMENTS:
            kept.append(segment.raw)
        elif segment.is_adobe:
            kept.append(_adobe(segment.body[_TRANSFORM]))
    data = b"".join([START, *kept, _END])
    length = len(START) + sum(len(segment.raw) for segment in segments) + len(_END)
    return Stripped(
        data=data,
        is_annotated=any(segment.marker in (_EXIF_OR_XMP, _PICTURES) for segment in segments),
        removed=_notes(segments, after_end=raw[length:]),
    )


def _segments(raw: bytes) -> list[_Segment] | None:
    """The segments between start and end; None if one is not whole or of an unknown kind."""
    if not raw.startswith(START):
        return None
    segments, position = [], len(START)
    while raw[position : position + 2] != _END:
        segment = _segment(raw, position)
        if segment is None:
            return None
        segments.append(segment)
        position += len(segment.raw)
    return segments


def _segment(raw: bytes, position: int) -> _Segment | None:
    """The segment that begins at a position, if a whole one of a known kind does."""
    if position + 4 > len(raw) or raw[position] != 0xFF:
        return None
    marker, length = raw[position + 1], int.from_bytes(raw[position + 2 : position + 4], "big")
    end = position + 2 + length
    if length < 2 or end > len(raw) or marker not in _KNOWN:
        return None
    body = raw[position + 4 : end]
    if marker == _SCAN:
        following = _AFTER_SCAN.search(raw, end)
        if following is None:
            return None
        end = following.start()
    return _Segment(marker, body, raw[position:end])


def _is_deep(segments: Sequence[_Segment]) -> bool:
    """Whether a frame has another depth than 8 bits."""
    return any(s.marker in _FRAMES and s.body[:1] != b"\x08" for s in segments)


def _needs_jfif(segments: Sequence[_Segment]) -> bool:
    """Whether the pixels would be shown in other colours without the JFIF segment.

    With one, libjpeg takes them for grey or YCbCr. Without, Adobe's segment decides, then the names
    of the components (libjpeg-turbo, jdapimin.c, default_decompress_parms).
    """
    if not any(segment.is_jfif for segment in segments):
        return False
    components = b""
    transform = None
    for segment in segments:
        if segment.marker in _FRAMES:
            components = segment.body[6::3]
        elif segment.is_adobe:
            transform = segment.body[_TRANSFORM]
    if len(components) == 1:
        return False
    if transform is not None:
        return transform != _YCC
    return components == b"RGB"


def _adobe(transform: int) -> bytes:
    """The segment that says which colour transform the pixels need (ITU-T T.872), flags unset."""
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


def _notes(segments: Sequence[_Segment], after_end: bytes) -> tuple[str, ...]:
    """Kinds of notes that the file has; the zeros that some writers append are none."""
    kinds: set[str] = set()
    for segment in segments:
        if segment.marker == _COMMENT:
            kinds.add("comment")
        elif segment.marker == _EXIF_OR_XMP:
            kinds.add("EXIF" if segment.body.startswith(b"Exif") else "XMP")
        elif segment.marker == _IPTC:
            kinds.add("IPTC")
    if after_end.strip(b"\0"):
        kinds.add("bytes after the end")
    return tuple(sorted(kinds))


def header(data: bytes) -> tuple[int, int, str]:
    """Width, height and Pillow's name for the pixel mode; no pixel is decoded.

    Raises BadImageError on a broken header.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise BadImageError("damaged", "the JPEG header is broken") from error
    return width, height, {"Gray": "L", "YCbCr": "RGB", "RGB": "RGB"}.get(colours, "CMYK")


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
