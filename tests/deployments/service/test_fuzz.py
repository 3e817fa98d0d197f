"""Requests that schemathesis draws from the OpenAPI page: none ends in a fault of the service.

NEURO_FUZZ=N draws N cases of each route; `make fuzz` draws ten thousand in all.
"""

import io
import os
from collections import Counter

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from schemathesis import Case, GenerationMode

from tests.deployments.service.conftest import TOKEN, Live

pytestmark = pytest.mark.server

CASES = int(os.environ.get("NEURO_FUZZ") or 30)


def picture(kind: str, mode: str, width: int, height: int, seed: int) -> bytes:
    """An image file of noise; of a mode that the format has no place for, in another."""
    rng, buffer = np.random.default_rng(seed), io.BytesIO()
    grey = rng.integers(0, 256, (height, width), dtype=np.uint8)
    if kind == "DICOM":
        return dicom(grey, seed)
    image = Image.fromarray(grey)
    try:
        image.convert(mode).save(buffer, kind)
    except (OSError, ValueError):
        image.save(buffer, "PNG")
    return buffer.getvalue()


def dicom(grey: np.ndarray, seed: int) -> bytes:
    """A grey DICOM, most often with a fact that does not fit."""
    rng, buffer, made = np.random.default_rng(seed), io.BytesIO(), Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    made.Rows, made.Columns = grey.shape
    made.PhotometricInterpretation = str(rng.choice(["MONOCHROME1", "MONOCHROME2", "RGB", "X"]))
    made.SamplesPerPixel, made.PixelRepresentation = (
        int(rng.choice([1, 1, 3])),
        int(rng.choice([0, 1])),
    )
    made.BitsAllocated = int(rng.choice([8, 8, 16, 12]))
    made.BitsStored = int(rng.choice([8, 7, 16, 0]))
    made.HighBit = made.BitsStored - 1 if made.BitsStored else 0
    made.PatientName, made.PatientID = "Doe^Jane", "P1"
    if rng.random() < 0.3:
        made.NumberOfFrames = int(rng.choice([0, 1, 2, 1000]))
    made.PixelData = grey.tobytes() + bytes(grey.size % 2)
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()


def spoilt(raw: bytes, share: float, place: int) -> bytes:
    """Cut short to a share, with a bit turned where ``place`` lies in it."""
    cut = bytearray(raw[: int(len(raw) * share)])
    if 0 <= place < len(cut):
        cut[place] ^= 1 << place % 8
    return bytes(cut)


KINDS = ("PNG", "JPEG", "TIFF", "WEBP", "JPEG2000", "BMP", "GIF", "DICOM")
MODES = ("L", "RGB", "RGBA", "1", "P", "I;16", "CMYK", "F")
PICTURES = st.builds(
    spoilt,
    st.builds(
        picture,
        st.sampled_from(KINDS),
        st.sampled_from(MODES),
        st.integers(1, 160),
        st.integers(1, 160),
        st.integers(0, 2**31),
    ),
    st.one_of(st.just(1.0), st.floats(0, 1)),
    st.one_of(st.just(-1), st.integers(0, 1 << 14)),
)
for media_type in ("image/*", "application/dicom"):
    schemathesis.openapi.media_type(media_type, st.one_of(PICTURES, st.binary(max_size=200)))


ROUTES = (
    *("/v1/predictions", "/v1/explanations", "/v1/similar", "/v1/feedback", "/v1/models"),
    *("/healthz", "/readyz"),
)


@pytest.mark.parametrize("path", ROUTES)
def test_no_request_that_is_drawn_ends_in_a_fault(served: Live, path: str) -> None:
    """Also none that the page does not allow: negative cases are drawn, too."""
    known = {"authorization": f"Bearer {TOKEN}"}
    page = schemathesis.openapi.from_url(f"{served.url}/openapi.json", headers=known)
    assert {each.ok().path for each in page.get_all_operations()} == set(ROUTES)
    method = "GET" if path in ("/v1/models", "/healthz", "/readyz") else "POST"
    operation = page[path][method]
    statuses = Counter[int]()
    drawn = st.one_of(
        operation.as_strategy(),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @given(case=drawn)
    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Case) -> None:
        answer = case.call(headers=known)
        statuses[answer.status_code] += 1
        assert answer.status_code < 500, (answer.status_code, answer.text)

    ask()
    assert statuses.total() >= min(CASES, 1)
    print(f"{path}: {dict(statuses)}")  # noqa: T201 - `make fuzz` shows it


@given(image=PICTURES)
@settings(
    max_examples=CASES * 4, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
def test_no_file_that_is_drawn_ends_in_a_fault(served: Live, image: bytes) -> None:
    answer = served.ask(image)
    assert answer.status_code in (200, 422), answer.text
    assert answer.json().get("predictions") or ": " in answer.json()["detail"]
