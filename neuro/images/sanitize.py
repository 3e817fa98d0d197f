"""Untrusted bytes to clean ones: upright, 8 bit, only pixels. Runs in a limited child (sandbox)."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from neuro.errors import BadImageError
from neuro.images import dicom, jpeg, windowing
from neuro.images.thumbnail import thumbnail

FORMATS = ("JPEG", "PNG", "TIFF", "JPEG2000", "PPM", "WEBP")
MAX_PIXELS = 50_000_000
MIN_SIDE_PX = 32
EIGHT_BIT = ("L", "RGB", "RGBA", "RGBa", "LA", "P", "PA", "1")
DEEP = ("I;16", "I;16B", "I;16L", "I", "F")
DECODE_ERRORS: tuple[type[Exception], ...] = (*dicom.DECODE_ERRORS, Image.DecompressionBombError)
_ORIENTATION, _PHOTOMETRIC = 0x0112, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION
# What a file that cannot be opened says it is: allowed but broken, or not allowed.
_ALLOWED = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")
# BMP among them: Pillow takes broken ones in silence (docs/formats.md).
_REFUSED = {b"GIF8": "GIF", b"BM": "BMP", b"%!PS": "EPS", b"%PDF": "PDF", b"icns": "ICNS"}
_REFUSED |= {start: "DICOM without its file header" for start in (b"\x08\0\5\0", b"\0\x08\0\5")}


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanImage:
    """One vetted image: ``stored`` are the bytes the lake keeps.

    sha256: digest of the source bytes (identity). stored_sha256: digest of ``stored`` (integrity).
    mode: the source's pixel mode and, where values were mapped to 8 bits, by which rule.
    thumbnail: 32 x 32 grey uint8 as bytes. facts: what else is known, from closed lists and
    numbers. group_id_hint: the raw PatientID of a DICOM; the caller digests it with a key and
    writes the raw one nowhere.
    """

    sha256: str
    stored: bytes
    stored_sha256: str
    media_type: str
    width: int
    height: int
    mode: str
    thumbnail: bytes
    facts: Mapping[str, str | float] = field(default_factory=dict)
    group_id_hint: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decoded:
    """An image in 8 bits a channel, turned as it is meant to be seen.

    grey: its brightness, (h, w). stored: a JPEG whose pixels need no other form, or the picture
    that becomes a PNG. source: name of the format of the file. removed: kinds of notes that the
    file had, for the passport; what they said is not kept.
    """

    grey: NDArray[np.uint8]
    stored: bytes | Image.Image
    mode: str
    source: str
    facts: Mapping[str, str | float] = field(default_factory=dict)
    group_id_hint: str = ""
    removed: tuple[str, ...] = ()


def clean(raw: bytes) -> CleanImage:
    """Vet source bytes and strip everything that is not a pixel.

    8-bit JPEG and PNG keep their pixels to the bit; every other format, palettes, transparency and
    turned images become PNG. Raises BadImageError with a reason code.
    """
    decoded = _decode(raw)
    grey = decoded.grey
    small = thumbnail(grey)
    if small.min() == small.max() and grey.min() == grey.max():
        raise BadImageError("blank", "every pixel has the same value")
    if isinstance(decoded.stored, bytes):
        stored, media_type = decoded.stored, "image/jpeg"
    else:
        stored, media_type = _as_png(decoded.stored), "image/png"
    facts: dict[str, str | float] = {"format": decoded.source, "bytes": len(raw)}
    if decoded.removed:
        facts["removed"] = ";".join(decoded.removed)
    return CleanImage(
        sha256=hashlib.sha256(raw).hexdigest(),
        stored=stored,
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        media_type=media_type,
        width=grey.shape[1],
        height=grey.shape[0],
        mode=decoded.mode,
        thumbnail=small.tobytes(),
        facts={**facts, **decoded.facts},
        group_id_hint=decoded.group_id_hint,
    )


def _flat(picture: Image.Image, mode: str, source: str) -> _Decoded:
    """A flat picture that is stored as PNG."""
    grey = picture if picture.mode == "L" else picture.convert("L")
    return _Decoded(grey=np.asarray(grey), stored=picture, mode=mode, source=source)


def _decode(raw: bytes) -> _Decoded:
    if not raw:
        raise BadImageError("empty", "the file has no bytes")
    if dicom.is_dicom(raw):
        return _from_dicom(raw)
    stripped = jpeg.strip(raw)
    if stripped is not None:
        decoded = _from_jpeg(stripped)
        if not (stripped.is_annotated and _is_turned(raw)):
            return decoded
    return _from_pixels(raw)


def _from_jpeg(stripped: jpeg.Stripped) -> _Decoded:
    """Decode what will be stored, once: its colours are not needed to know it."""
    width, height, mode = jpeg.header(stripped.data)
    _check_size(width, height)
    _check_mode(mode)
    return _Decoded(
        grey=jpeg.brightness(stripped.data),
        stored=stripped.data,
        mode=mode,
        source="JPEG",
        removed=stripped.removed,
    )


def _from_dicom(raw: bytes) -> _Decoded:
    dataset = dicom.parse(raw)
    _check_size(*dicom.size(dataset))
    rendered = dicom.render(dataset)
    return replace(
        _flat(Image.fromarray(rendered.pixels), rendered.mode, "DICOM"),
        facts=rendered.facts,
        group_id_hint=rendered.patient_id,
        removed=("DICOM header",),
    )


def _from_pixels(raw: bytes) -> _Decoded:
    """Open, check the header's size before any pixel is decoded, verify, then decode fully."""
    with _decoding(raw):
        with _opened(raw) as header:
            _check_header(header)
            header.verify()
        with _opened(raw) as picture:
            _check_mode(picture.mode)
            layout = _layout(picture)
            picture.load()
            upright, notes = _upright(picture), _notes(picture)
            if picture.mode in DEEP:
                return replace(_to_eight_bit(picture, upright, layout), removed=notes)
    # 16 bits of colour or beside an alpha: Pillow keeps the high byte of each.
    mode = f"{picture.mode}, high byte" if ";16" in layout else picture.mode
    flat = _flat(_flatten(upright), mode, str(picture.format))
    return replace(flat, removed=notes)


def _notes(picture: Image.Image) -> tuple[str, ...]:
    """Kinds of notes in an opened picture. What is text and no note of ours is text of the file."""
    kinds = {"exif": "EXIF", "xmp": "XMP", "comment": "comment", "photoshop": "IPTC"}
    found = {kinds[key] for key in kinds if picture.info.get(key)}
    texts = {key for key, value in picture.info.items() if isinstance(value, str)}
    texts -= {*kinds, "compression", "dpi"}
    return tuple(sorted(found | ({"text"} if texts else set())))


@contextmanager
def _decoding(raw: bytes) -> Iterator[None]:
    """Turn what decoders raise into a reason. Their words stay out: they may quote the file."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise _unidentified(raw) from error
    except Image.DecompressionBombError as error:  # Pillow looks before _check_header can
        raise BadImageError("too_large", "the header tells of a decompression bomb") from error
    except DECODE_ERRORS as error:
        end = "it ends early" if "truncated" in str(error).lower() else "it does not decode"
        raise BadImageError("damaged", f"{end} ({type(error).__name__})") from error


def _unidentified(raw: bytes) -> BadImageError:
    if raw.startswith(_ALLOWED):
        return BadImageError("damaged", "the header is broken, or of a kind nobody here decodes")
    known = [name for start, name in _REFUSED.items() if raw.startswith(start)]
    known += ["AVIF or HEIF"] if raw[4:8] == b"ftyp" else []
    if known:
        return BadImageError("format", f"{known[0]} is not allowed; convert it to PNG or JPEG")
    return BadImageError("not_an_image", f"not one of {', '.join(FORMATS)}, DICOM")


def _opened(raw: bytes) -> Image.Image:
    return Image.open(io.BytesIO(raw), formats=FORMATS)


def _check_header(header: Image.Image) -> None:
    _check_size(header.width, header.height)
    if getattr(header, "n_frames", 1) > 1:
        raise BadImageError("multi_frame", "more than one frame; which one is meant is unknown")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadImageError("too_large", f"{width} x {height} px is over 50 megapixel")
    if min(width, height) < MIN_SIDE_PX:
        raise BadImageError("too_small", f"{width} x {height} px; at least 32 a side")


def _check_mode(mode: str) -> None:
    if mode not in (*EIGHT_BIT, *DEEP):
        # Inks and Lab need a colour profile to be shown right; a guess would be silent.
        raise BadImageError("pixel_mode", f"pixel mode {mode} is neither grey nor RGB")


def _layout(picture: Image.Image) -> str:
    """How the file lays out its pixels, in Pillow's words, before they are decoded."""
    tiles = getattr(picture, "tile", [])
    return str(tiles[0].args) if tiles else ""


def _is_turned(raw: bytes) -> bool:
    """Whether a JPEG's EXIF or XMP asks for a turn; raises where it holds further pictures."""
    with _decoding(raw), _opened(raw) as header:
        _check_header(header)
    with _decoding_orientation():
        return bool(header.getexif().get(_ORIENTATION, 1) != 1)


def _upright(picture: Image.Image) -> Image.Image:
    """The picture as its EXIF says it is seen; the same object, not a copy, where it is upright."""
    with _decoding_orientation():
        if picture.getexif().get(_ORIENTATION, 1) == 1:
            return picture
        upright = ImageOps.exif_transpose(picture)
        left = upright.getexif().get(_ORIENTATION, 1)
    if left != 1:
        raise BadImageError("orientation", "the EXIF orientation cannot be applied")
    return upright


@contextmanager
def _decoding_orientation() -> Iterator[None]:
    try:
        yield
    except DECODE_ERRORS as error:
        message = f"the EXIF cannot be read ({type(error).__name__})"
        raise BadImageError("orientation", message) from error


def _to_eight_bit(picture: Image.Image, upright: Image.Image, layout: str) -> _Decoded:
    """Deep grey to 8 bits, by the one rule of ``windowing``: .convert() would clip it to white."""
    values = np.asarray(upright)
    if "I;32N" in layout:  # unsigned in the file, signed in Pillow
        values = values.view(np.uint32)
    low, high = windowing.percentiles(values)
    shown = windowing.to_eight_bit(values, windowing.span(low, high))
    if getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == 0:  # white is zero: Pillow ignores it
        shown = 255 - shown
    mode = f"{picture.mode}, {windowing.PERCENTILE_RULE}"
    flat = _flat(Image.fromarray(shown), mode, str(picture.format))
    return replace(flat, facts={"intensity_low": low, "intensity_high": high})


def _flatten(picture: Image.Image) -> Image.Image:
    """To plain L or RGB: palettes resolved, transparency laid on black."""
    if picture.mode in ("L", "RGB") and "transparency" not in picture.info:
        return picture
    if picture.mode in ("1", "P") and "transparency" not in picture.info:
        return picture.convert("L" if picture.mode == "1" else "RGB")
    target = "L" if picture.mode in ("L", "LA") else "RGB"
    layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    ground = Image.new(target, layer.size)
    ground.paste(layer.convert(target), mask=layer.getchannel("A"))
    return ground


def _as_png(picture: Image.Image) -> bytes:
    bare = Image.fromarray(np.asarray(picture))
    buffer = io.BytesIO()
    bare.save(buffer, format="PNG", compress_level=2)
    return buffer.getvalue()
