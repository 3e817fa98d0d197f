"""What a DICOM header says of its file: read from its first bytes, never from the pixels."""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom.config import disable_value_validation
from pydicom.datadict import tag_for_keyword
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag

from neuro.images.dicom import DECODE_ERRORS
from neuro.storage import plain_file

IDENTIFIERS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
# A hostile header costs what this many bytes can cost: about a second.
_HEAD_BYTES = 1 << 18
# Deflated files would have to be inflated whole, and could be bombs; images are never sent so.
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_UNREADABLE: tuple[type[Exception], ...] = (
    *DECODE_ERRORS,
    InvalidDicomError,
    BytesLengthException,
)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do; False if it cannot be read."""
    try:
        with plain_file.open_plain(path) as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read(path: Path, keywords: Sequence[str] = IDENTIFIERS) -> dict[str, str]:
    """Values of the keywords that the file has, as text; empty if it is no readable DICOM file."""
    try:
        with plain_file.open_plain(path) as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return {}
    # Without a preamble nothing says that a file is DICOM: such files have no identifiers here.
    if head[128:132] != b"DICM" or _DEFLATED in head:
        return {}
    tags = [tag for tag in map(tag_for_keyword, keywords) if tag is not None]
    last = max(tags)

    def is_past(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return bool(tag > last)

    try:
        with _silence():
            header = read_partial(io.BytesIO(head), is_past, specific_tags=list(tags))
            return {name: text for name in keywords if (text := str(header.get(name, "")).strip())}
    except _UNREADABLE:
        return {}


@contextmanager
def _silence() -> Iterator[None]:
    """No warning and no log line of pydicom: they quote values, and values name patients."""
    log = logging.getLogger("pydicom")
    before = log.disabled
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        log.disabled = True
        try:
            yield
        finally:
            log.disabled = before
