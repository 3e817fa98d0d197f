"""Small pictures, deliveries and lakes for the data side."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from neuro.errors import BadImageError
from neuro.images import sanitize
from neuro.images.sandbox import Rejected
from neuro.images.sanitize import CleanImage
from neuro.ingest import delivery, pipeline
from neuro.ingest.vet_new import IngestRun
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems import problem
from neuro.problems.problem import Problem

REAL = os.environ.get("NEURO_REAL_DATA", "")
Ingest = Callable[..., Release]
Stage = Callable[..., pipeline.Staged]
Deliver = Callable[[str, Mapping[str, bytes]], Path]
Png = Callable[[int], bytes]
Dicom = Callable[..., bytes]


def needs_real(*folders: str) -> pytest.MarkDecorator:
    """Skip a test unless the real data hold all of these folders."""
    missing = [folder for folder in folders if not (REAL and Path(REAL, folder).is_dir())]
    return pytest.mark.skipif(bool(missing), reason=f"NEURO_REAL_DATA has no {', '.join(missing)}")


def pixels(seed: int, side: int = 40) -> np.ndarray:
    """Noise: no two seeds are twins."""
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


@pytest.fixture
def png() -> Png:
    """Make the PNG of one seed, (40, 40) grey."""

    def encode(seed: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels(seed)).save(buffer, "PNG")
        return buffer.getvalue()

    return encode


@pytest.fixture
def dicom() -> Dicom:
    """Make a grey DICOM file of (40, 40) px with identifiers of one's choice."""

    def encode(seed: int = 0, **identifiers: str) -> bytes:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = identifiers.get("SOPInstanceUID", "1.2.3")
        made = Dataset()
        made.file_meta = meta
        made.SOPClassUID = SecondaryCaptureImageStorage
        for name, value in identifiers.items():
            setattr(made, name, value)
        made.Rows = made.Columns = 40
        made.PhotometricInterpretation = "MONOCHROME2"
        made.SamplesPerPixel, made.PixelRepresentation = 1, 0
        made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
        made.PixelData = pixels(seed).tobytes()
        buffer = io.BytesIO()
        dcmwrite(buffer, made, enforce_file_format=True)
        return buffer.getvalue()

    return encode


@pytest.fixture
def deliver(tmp_path: Path) -> Deliver:
    """Write named bytes below a new folder."""

    def write(folder: str, files: Mapping[str, bytes]) -> Path:
        for name, raw in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        return tmp_path / folder

    return write


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def brain() -> Problem:
    return problem.load("brain")


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 20, 9, tzinfo=UTC)


def vet_here(paths: Sequence[Path]) -> Iterator[CleanImage | Rejected]:
    """Vet without child processes."""
    for path in paths:
        raw = path.read_bytes()
        try:
            yield sanitize.clean(raw)
        except BadImageError as error:
            sha256 = hashlib.sha256(raw).hexdigest()
            yield Rejected(sha256=sha256, code=error.code, message=str(error))


@pytest.fixture
def stage(brain: Problem, now: datetime) -> Stage:
    """Bring a folder to its branch; vetting is done in this process, for speed."""

    def run(lake: Lake, folder: Path, asked: Problem = brain) -> pipeline.Staged:
        arrived = delivery.read(folder, asked)
        return pipeline.stage(
            lake, IngestRun(problem=asked, delivery=arrived, check=vet_here, now=now)
        )

    return run


@pytest.fixture
def ingest(stage: Stage, brain: Problem) -> Ingest:
    """Write, audit and publish a folder."""

    def run(lake: Lake, folder: Path, asked: Problem = brain) -> Release:
        staged = stage(lake, folder, asked)
        return pipeline.publish(staged, pipeline.audit_branch(staged))

    return run
