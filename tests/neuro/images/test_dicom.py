import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from neuro.errors import BadImageError
from neuro.images import sanitize
from neuro.images.sanitize import CleanImage

RAMP = np.arange(40 * 48).reshape(40, 48)  # 0 .. 1919, each value once
Change = Callable[[Dataset], None]


def dataset(pixels: np.ndarray, **elements: object) -> Dataset:
    """A slice of the given pixels; ``elements`` replace or add to the plain ones."""
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    slice_.SOPClassUID, slice_.SOPInstanceUID = uid.MRImageStorage, uid.generate_uid()
    slice_.Rows, slice_.Columns = pixels.shape[:2]
    slice_.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    slice_.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        slice_.PlanarConfiguration = 0
    bits = 8 * pixels.itemsize
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = bits, bits, bits - 1
    slice_.PixelRepresentation = int(pixels.dtype.kind == "i")
    slice_.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(slice_, name, value)
    return slice_


def written(slice_: Dataset) -> bytes:
    buffer = io.BytesIO()
    slice_.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def cleaned(slice_: Dataset) -> CleanImage:
    return sanitize.clean(written(slice_))


def pixels_of(slice_: Dataset) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(cleaned(slice_).stored)))


def rule(slice_: Dataset) -> str:
    return cleaned(slice_).mode


def test_a_window_is_applied_after_the_rescale() -> None:
    slice_ = dataset(RAMP.astype(np.uint16), RescaleSlope=2, RescaleIntercept=-1000)
    slice_.WindowCenter, slice_.WindowWidth = [40, 300], [400, 1500]
    hounsfield = RAMP * 2.0 - 1000
    expected = np.clip(((hounsfield - 39.5) / 399 + 0.5), 0, 1) * 255 + 0.5
    np.testing.assert_array_equal(pixels_of(slice_), expected.astype(np.uint8))
    assert rule(slice_) == "DICOM MONOCHROME2 16 bit, window"
    assert cleaned(slice_).facts["window_center"] == 40


def test_without_a_window_the_percentiles_rule_and_are_told_in_the_unit_of_the_modality() -> None:
    slice_ = dataset(RAMP.astype(np.int16) - 960, RescaleSlope=2, RescaleIntercept=10)
    facts = cleaned(slice_).facts
    low, high = np.percentile(RAMP - 960, (0.5, 99.5), method="nearest") * 2 + 10
    assert (facts["intensity_low"], facts["intensity_high"]) == (low, high)
    assert rule(slice_) == "DICOM MONOCHROME2 16 bit, 0.5-99.5 percentile"
    assert pixels_of(slice_)[20, 0] == 128


def test_a_window_that_is_not_valid_is_as_none() -> None:
    slice_ = dataset(RAMP.astype(np.uint16), WindowCenter=10, WindowWidth=0)
    assert rule(slice_).endswith("percentile")


def test_bits_beyond_those_stored_are_no_pixels() -> None:
    dirty = RAMP.astype(np.uint16) | 0xF000
    slice_ = dataset(dirty, BitsStored=12, HighBit=11, WindowCenter=960, WindowWidth=1920)
    clean = dataset(RAMP.astype(np.uint16), WindowCenter=960, WindowWidth=1920)
    np.testing.assert_array_equal(pixels_of(slice_), pixels_of(clean))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "window"])
def test_monochrome_1_is_the_negative_of_monochrome_2(kind: str) -> None:
    pixels = (RAMP % 256).astype(np.uint8) if kind == "uint8" else RAMP.astype(np.uint16)
    slice_ = dataset(pixels)
    if kind == "window":
        slice_.WindowCenter, slice_.WindowWidth = 900, 500
    bright = pixels_of(slice_)
    slice_.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_array_equal(pixels_of(slice_), 255 - bright)


def test_a_falling_rescale_turns_the_picture_over() -> None:
    rising = pixels_of(dataset(RAMP.astype(np.uint16)))
    falling = dataset(RAMP.astype(np.uint16), RescaleSlope=-1, RescaleIntercept=1919)
    np.testing.assert_array_equal(pixels_of(falling), 255 - rising)


def look_up_table(entries: list[int], bits: int, kind: str) -> Dataset:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [len(entries), 0, bits])
    table.add_new("LUTData", "US", entries)
    if kind == "modality":
        table.ModalityLUTType = "US"
    return table


def test_a_value_of_interest_table_goes_before_the_window() -> None:
    entries = [4095 - 2 * value for value in range(1920)]
    slice_ = dataset(RAMP.astype(np.uint16), WindowCenter=5, WindowWidth=5)
    slice_.VOILUTSequence = [look_up_table(entries, 12, "value of interest")]
    expected = (4095 - 2.0 * RAMP) / 4095 * 255 + 0.5
    np.testing.assert_array_equal(pixels_of(slice_), expected.astype(np.uint8))
    assert rule(slice_).endswith("VOI LUT")


def test_a_modality_table_goes_before_the_window() -> None:
    slice_ = dataset(RAMP.astype(np.uint16), WindowCenter=20.5, WindowWidth=41)
    slice_.ModalityLUTSequence = [look_up_table([v // 48 for v in range(1920)], 16, "modality")]
    expected = np.repeat(np.clip((np.arange(40) - 20) / 40 + 0.5, 0, 1) * 255 + 0.5, 48)
    np.testing.assert_array_equal(pixels_of(slice_).ravel(), expected.astype(np.uint8))


def test_colours_stay_as_they_are() -> None:
    colour = np.random.default_rng(1).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pixels_of(dataset(colour)), colour)
    planar = dataset(colour, PlanarConfiguration=1)
    planar.PixelData = np.moveaxis(colour, 2, 0).tobytes()
    np.testing.assert_array_equal(pixels_of(planar), colour)


def test_ybr_becomes_the_same_colours() -> None:
    colour = np.random.default_rng(1).integers(30, 220, (40, 48, 3), dtype=np.uint8)
    ybr = np.asarray(Image.fromarray(colour).convert("YCbCr"))
    back = pixels_of(dataset(ybr, PhotometricInterpretation="YBR_FULL")).astype(int)
    assert np.abs(back - colour).max() <= 3  # rounded on the way there and back


def test_deep_colours_are_scaled_as_a_whole() -> None:
    colour = np.random.default_rng(1).integers(0, 4096, (40, 48, 3), dtype=np.uint16)
    slice_ = dataset(colour, BitsStored=12, HighBit=11)
    expected = (colour / 4095 * 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(pixels_of(slice_), expected)
    assert rule(slice_) == "DICOM RGB 12 bit, whole range"


def test_a_palette_becomes_its_colours() -> None:
    slice_ = dataset((RAMP % 256).astype(np.uint8), PhotometricInterpretation="PALETTE COLOR")
    table = np.random.default_rng(1).integers(0, 65536, (3, 256), dtype=np.uint16)
    for entries, colour in zip(table, ("Red", "Green", "Blue"), strict=True):
        setattr(slice_, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(slice_, f"{colour}PaletteColorLookupTableData", entries.tobytes())
    expected = (np.moveaxis(table, 0, 1)[RAMP % 256] / 257 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(pixels_of(slice_), expected)


def jpeg_2000(slice_: Dataset) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP.astype(np.uint16)).save(buffer, "JPEG2000", no_jp2=True)
    slice_.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    slice_.PixelData = encapsulate([buffer.getvalue()])
    slice_["PixelData"].is_undefined_length = True


@pytest.mark.parametrize(
    "packed",
    [
        jpeg_2000,
        lambda slice_: slice_.compress(uid.RLELossless),
        lambda slice_: setattr(
            slice_.file_meta, "TransferSyntaxUID", uid.DeflatedExplicitVRLittleEndian
        ),
    ],
    ids=["JPEG 2000", "RLE", "deflated"],
)
def test_packing_changes_no_pixel(packed: Change) -> None:
    plain = dataset(RAMP.astype(np.uint16), WindowCenter=900, WindowWidth=1000)
    expected = pixels_of(plain)
    packed(plain)
    np.testing.assert_array_equal(pixels_of(plain), expected)


def without_pixels(slice_: Dataset) -> None:
    del slice_.PixelData


REFUSED: dict[str, tuple[Change, str]] = {
    "burned-in text": (lambda s: setattr(s, "BurnedInAnnotation", "YES"), "burned_in"),
    "two frames": (lambda s: setattr(s, "NumberOfFrames", 2), "multi_frame"),
    "no pixels": (without_pixels, "no_pixels"),
    "4295 megapixel in the header": (
        lambda s: s.update({"Rows": 65_535, "Columns": 65_535}),
        "too_large",
    ),
    "31 rows": (lambda s: setattr(s, "Rows", 31), "too_small"),
    "another size than its pixels": (lambda s: setattr(s, "Rows", 300), "damaged"),
    "inks": (lambda s: setattr(s, "PhotometricInterpretation", "CMYK"), "pixel_mode"),
    "JPEG-LS": (
        lambda s: setattr(s.file_meta, "TransferSyntaxUID", uid.JPEGLSLossless),
        "transfer_syntax",
    ),
    "one value": (lambda s: setattr(s, "PixelData", b"\7\0" * RAMP.size), "blank"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_unusable_dicom_is_refused_with_its_reason(what: str) -> None:
    change, code = REFUSED[what]
    slice_ = dataset(RAMP.astype(np.uint16))
    slice_["PixelData"].VR = "OW"
    change(slice_)
    if code == "transfer_syntax":
        slice_.PixelData = encapsulate([b"\0" * 99])
        slice_["PixelData"].is_undefined_length = True
    with pytest.raises(BadImageError) as caught:
        sanitize.clean(written(slice_))
    assert caught.value.code == code


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_dicom_that_ends_early_is_refused(share: float) -> None:
    raw = written(dataset(RAMP.astype(np.uint16)))
    with pytest.raises(BadImageError) as caught:
        sanitize.clean(raw[: int(share * len(raw))])
    assert caught.value.code in ("damaged", "no_pixels")


def test_facts_are_codes_of_closed_lists_and_numbers() -> None:
    slice_ = dataset(RAMP.astype(np.uint16), Modality="MR", Manufacturer="SIEMENS Healthineers")
    slice_.PatientAge, slice_.PatientSex, slice_.BodyPartExamined = "094Y", "F", "ERIKA"
    slice_.Laterality, slice_.PatientID = "L", "4711"
    kept = cleaned(slice_)
    assert {**kept.facts, "bytes": 0} == {
        "format": "DICOM",
        "bytes": 0,
        "removed": "DICOM header",
        "modality": "MR",
        "manufacturer": "SIEMENS",
        "laterality": "L",
        "patient_sex": "F",
        "patient_age_years": 90,
        "photometric": "MONOCHROME2",
        "rows": 40,
        "columns": 48,
        "bits_stored": 16,
        "intensity_low": 10.0,
        "intensity_high": 1909.0,
    }
    assert kept.group_id_hint == "4711"
    assert "4711" not in repr(kept)


def test_a_preamble_that_is_a_tiff_header_does_not_hide_a_dicom() -> None:
    raw = written(dataset(RAMP.astype(np.uint16)))
    assert sanitize.clean(b"II*\0" + raw[4:]).mode.startswith("DICOM")
