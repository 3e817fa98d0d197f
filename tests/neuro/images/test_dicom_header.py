import io
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from neuro.images import dicom_header
from tests.neuro.conftest import REAL, needs_real

Dicom = Callable[..., bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "I1"


def test_identifiers_are_read_without_an_ending(path: Path, dicom: Dicom) -> None:
    path.write_bytes(dicom(SOPInstanceUID="1.2.9", PatientID=" P1 "))
    assert dicom_header.read(path) == {"SOPInstanceUID": "1.2.9", "PatientID": "P1"}


def test_what_is_no_dicom_has_no_identifiers(path: Path) -> None:
    path.write_bytes(b"\xff\xd8" + bytes(500))
    assert dicom_header.read(path) == {}
    assert dicom_header.read(path.with_name("gone")) == {}


def test_pixels_are_not_needed(path: Path, dicom: Dicom) -> None:
    path.write_bytes(dicom(PatientID="P1")[:-1000])
    assert dicom_header.read(path)["PatientID"] == "P1"


def test_a_deflated_file_is_not_inflated(path: Path, dicom: Dicom) -> None:
    made = dcmread(io.BytesIO(dicom(PatientID="P1")))
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    made.save_as(path)
    assert dcmread(path).PatientID == "P1"
    assert dicom_header.read(path) == {}


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_header_is_read_without_a_word(
    path: Path, dicom: Dicom, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        raw = bytearray(dicom(SOPInstanceUID="1.2.9", PatientID="P1"))
        for _ in range(5):
            raw[chance.randrange(132, 600)] = chance.randrange(256)
        path.write_bytes(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            dicom_header.read(path)
    assert caplog.records == []


@pytest.mark.real
@needs_real("odd/dicom")
def test_real_files_have_identifiers() -> None:
    files = sorted((Path(REAL) / "odd" / "dicom").glob("*.dcm"))
    read = {path.name: dicom_header.read(path) for path in files}
    assert len(files) == 24
    assert read["CT_small.dcm"]["PatientID"] == "1CT1"
    assert sum("SOPInstanceUID" in found for found in read.values()) >= 20
