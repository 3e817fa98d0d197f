import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuro.images import image_names, sanitize

FORMATS = ("JPEG", "PNG", "TIFF", "JPEG2000", "PPM", "WEBP", "GIF", "BMP")


@pytest.mark.parametrize("name", FORMATS)
def test_the_first_bytes_of_every_format_are_known(name: str) -> None:
    raw = io.BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(raw, name)
    assert image_names.begins_like_image(raw.getvalue()[: image_names.HEAD_BYTES])


def test_no_format_that_is_let_in_was_forgotten() -> None:
    assert set(sanitize.FORMATS) <= set(FORMATS)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"P1 is the first patient, P2 is the second\n",
        b"BMI;age\n31;40\n",
        b"MMSE,27\n",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
        b"<annotation/>",
        b"%PDF-1.7",
        b"RIFF\0\0\0\0WAVEfmt ",
    ],
)
def test_other_files_are_no_images(head: bytes) -> None:
    assert not image_names.begins_like_image(head)


@pytest.mark.parametrize("name", ["a.JPG", "a.b.Tiff", "x.dcm", "brain.nii.gz", "a.jfif"])
def test_an_ending_is_known_in_either_case(name: str) -> None:
    assert image_names.has_image_ending(name)


@pytest.mark.parametrize("name", ["Thumbs.db", "x.xml", "README", "png", "a.png.txt", "a.jpg~"])
def test_other_endings_are_not(name: str) -> None:
    assert not image_names.has_image_ending(Path(name).name)
