"""One DICOM image as 8-bit pixels, and the few facts about it that name nobody.

Everything else in the file (preamble, names, dates, nested and private elements, overlays) is left
behind. Decoding is pydicom's own and Pillow's: what they cannot read is refused by name.
"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import BadImageError
from neuro.images import windowing

if TYPE_CHECKING:  # imported when the first DICOM file comes: it takes a third of a second
    from pydicom import Dataset

GREY, COLOUR = ("MONOCHROME1", "MONOCHROME2"), ("RGB", "YBR_FULL", "YBR_FULL_422")
PHOTOMETRIC = (*GREY, *COLOUR, "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
# What pydicom and Pillow were seen to raise on broken files, by their common parents.
DECODE_ERRORS: tuple[type[Exception], ...] = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zlib.error),
)
# Codes and vendors are kept only where they are on these lists: free text may hold a name.
_LISTS = {
    "Modality": "CR CT DX ES GM IO IVOCT MG MR NM OCT OP OPT OT PT RF RG SC SM US XA XC",
    "BodyPartExamined": "ABDOMEN BRAIN BREAST CHEST EYE FACE HAND HEAD HEART KNEE LIVER LUNG NECK "
    "PELVIS PROSTATE SHOULDER SKIN SKULL SPINE CSPINE TSPINE LSPINE",
    "ImageLaterality": "L R B U",
    "Laterality": "L R B",
    "PatientSex": "F M O",
}
_VENDORS = (
    *("AGFA", "CANON", "CARESTREAM", "ESAOTE", "FUJIFILM", "GE", "HITACHI", "HOLOGIC", "KODAK"),
    *("KONICA", "PHILIPS", "SAMSUNG", "SHIMADZU", "SIEMENS", "TOSHIBA"),
)
_OLDEST = 90  # over 89, an age may point at a person (45 CFR 164.514(b)(2)(i)(C))


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """What a DICOM shows. pixels: (h, w) or (h, w, 3) uint8. mode: the source's kind and the rule.

    facts: JSON-able, keys and values from closed lists or numbers. patient_id: as it stands in the
    file, for a keyed digest, never for a table.
    """

    pixels: NDArray[np.uint8]
    mode: str
    facts: Mapping[str, str | float]
    patient_id: str


def is_dicom(raw: bytes) -> bool:
    """Whether bytes carry the mark of a DICOM file (PS3.10, 7.1), whatever the preamble holds."""
    return raw[128:132] == b"DICM"


def parse(raw: bytes) -> "Dataset":
    """Read the header. Raises BadImageError where the file holds no single image we can decode."""
    from pydicom import dcmread
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEGExtended12Bit

    with _reading():
        dataset = dcmread(io.BytesIO(raw))
        if "PixelData" not in dataset and "FloatPixelData" not in dataset:
            raise BadImageError("no_pixels", "the DICOM object holds no picture")
        syntax = dataset.file_meta.TransferSyntaxUID
        frames = int(dataset.get("NumberOfFrames") or 1)
        photometric = str(dataset.PhotometricInterpretation)
        is_burned = str(dataset.get("BurnedInAnnotation", "")).strip().upper() == "YES"
    if frames > 1:
        raise BadImageError("multi_frame", f"{frames} frames; which one is meant is unknown")
    if is_burned:
        raise BadImageError("burned_in", "the file says that text is burned into its pixels")
    if photometric not in PHOTOMETRIC:
        raise BadImageError("pixel_mode", "the photometric interpretation is none we can show")
    try:
        is_known = get_decoder(syntax).is_available
    except NotImplementedError:
        is_known = False
    # 12-bit JPEG has pydicom's decoder, but Pillow's part of it stops at 8 bits.
    if not is_known or (syntax == JPEGExtended12Bit and _bits(dataset) > 8):
        name = syntax.name if syntax.name != syntax else "a transfer syntax nobody here knows"
        raise BadImageError("transfer_syntax", f"no decoder for {name}")
    return dataset


def size(dataset: "Dataset") -> tuple[int, int]:
    """Width and height. Raises BadImageError where the header lacks them."""
    with _reading():
        return int(dataset.Columns), int(dataset.Rows)


def render(dataset: "Dataset") -> Rendered:
    """Decode and show: modality, value of interest, polarity, 8 bits (PS3.3 C.7.6.3, C.11).

    Raises BadImageError if the pixels cannot be decoded.
    """
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    with _reading():
        stored = pixel_array(dataset)  # YBR comes back as RGB
        photometric = str(dataset.PhotometricInterpretation)
        levels: dict[str, float] = {}
        if photometric in GREY:
            pixels, rule, levels = _grey(dataset, stored)
        elif photometric == "PALETTE COLOR":
            entries = apply_color_lut(stored, dataset)[..., :3]
            pixels, rule = _colour(entries, 8 * entries.itemsize)
        else:
            pixels, rule = _colour(stored, _bits(dataset))
        if pixels.shape[1::-1] != size(dataset):
            raise BadImageError("damaged", "the decoded pixels are not what the header says")
        return Rendered(
            pixels=pixels,
            mode=f"DICOM {photometric} {_bits(dataset)} bit, {rule}",
            facts={**_facts(dataset), **levels},
            patient_id=str(dataset.get("PatientID") or "").strip(),
        )


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever a broken file causes into a reason; values of the file go into no message."""
    from pydicom.errors import InvalidDicomError

    broken: tuple[type[Exception], ...] = (InvalidDicomError, *DECODE_ERRORS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values, names among them
            yield
    except broken as error:
        message = f"the DICOM file cannot be read ({type(error).__name__})"
        raise BadImageError("damaged", message) from error


def _bits(dataset: "Dataset") -> int:
    return int(dataset.get("BitsStored") or dataset.BitsAllocated)


def _colour(stored: NDArray[Any], bits: int) -> tuple[NDArray[np.uint8], str]:
    """Colour as 8 bits a channel. Its whole range is kept: a stretched colour is another one."""
    if stored.dtype == np.uint8 and bits == 8:
        return stored, "as stored"
    return windowing.to_eight_bit(stored, windowing.span(0, 2**bits - 1)), "whole range"


def _grey(
    dataset: "Dataset", stored: NDArray[Any]
) -> tuple[NDArray[np.uint8], str, dict[str, float]]:
    """Grey as 8 bits, high values bright unless MONOCHROME1, with the rule and its levels.

    A value-of-interest table goes before a window, a window before the percentiles.
    """
    values, slope, intercept = _modality(dataset, stored)
    window = _window(dataset)
    levels: dict[str, float] = {}
    # Values that are shown as they are stored fall where the slope is negative.
    is_falling = False
    if dataset.get("VOILUTSequence"):
        shown, rule = _look_up(dataset, values, slope, intercept), "VOI LUT"
    elif window is not None:
        shown = windowing.to_eight_bit(values, lambda v: window(v * slope + intercept))
        rule, levels = "window", {"window_center": window.center, "window_width": window.width}
    elif values.dtype == np.uint8 and _bits(dataset) == 8:
        shown, rule, is_falling = values, "as stored", slope < 0
    else:
        low, high = windowing.percentiles(values, dataset.get("PixelPaddingValue"))
        shown = windowing.to_eight_bit(values, windowing.span(low, high))
        rule, is_falling = windowing.PERCENTILE_RULE, slope < 0
        ends = sorted((low * slope + intercept, high * slope + intercept))
        levels = {"intensity_low": ends[0], "intensity_high": ends[1]}
    if (dataset.PhotometricInterpretation == "MONOCHROME1") != is_falling:
        shown = 255 - shown
    return shown, rule, levels


def _modality(dataset: "Dataset", stored: NDArray[Any]) -> tuple[NDArray[Any], float, float]:
    """Values with the slope and intercept that are still to be applied to them (C.11.1)."""
    from pydicom.pixels.processing import apply_modality_lut

    if dataset.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, dataset), 1.0, 0.0
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    return stored, float(slope or 1), float(intercept or 0)


def _look_up(
    dataset: "Dataset", values: NDArray[Any], slope: float, intercept: float
) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_voi

    if (slope, intercept) != (1, 0):
        values = np.rint(values * slope + intercept).astype(np.int32)
    depth = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
    return windowing.to_eight_bit(apply_voi(values, dataset), windowing.span(0, 2**depth - 1))


def _window(dataset: "Dataset") -> windowing.Window | None:
    """The first window of the file, None where it has none or an invalid one."""

    def first(keyword: str) -> Any:
        value = dataset.get(keyword)
        if isinstance(value, MutableSequence):
            return value[0] if value else None
        return value

    center, width = first("WindowCenter"), first("WindowWidth")
    if center in (None, "") or width in (None, ""):
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    window = windowing.Window(center=float(center), width=float(width), function=function)
    return window if window.is_valid else None


def _facts(dataset: "Dataset") -> dict[str, str | float]:
    """What a confound audit may want to know, as far as it is on a list or a number."""

    def text(keyword: str) -> str:
        return str(dataset.get(keyword) or "").strip().upper()

    listed = {key: text(key) if text(key) in _LISTS[key].split() else "" for key in _LISTS}
    words = re.findall(r"[A-Z]+", text("Manufacturer"))
    found: dict[str, str | float] = {
        "modality": listed["Modality"],
        "manufacturer": next((vendor for vendor in _VENDORS if vendor in words), ""),
        "body_part": listed["BodyPartExamined"],
        "laterality": listed["ImageLaterality"] or listed["Laterality"],
        "patient_sex": listed["PatientSex"],
        "photometric": str(dataset.PhotometricInterpretation),
        "rows": int(dataset.Rows),
        "columns": int(dataset.Columns),
        "bits_stored": _bits(dataset),
    }
    if age := re.fullmatch(r"(\d{3})([DWMY])", text("PatientAge")):
        years = int(age[1]) * {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}[age[2]] / 365.25
        found["patient_age_years"] = min(_OLDEST, round(years, 2))
    return {key: value for key, value in found.items() if value != ""}
