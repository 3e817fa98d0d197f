"""Whether a file is meant as an image, told by its name's ending or its first bytes."""

import re

# Formats that are let in, and those that are told in quarantine how they could be.
ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".pgm", ".ppm", ".pbm", ".pnm"),
    *(".dcm", ".dicom", ".dic", ".ima"),
    *(".gif", ".bmp", ".dib", ".heic", ".heif", ".avif", ".jxl", ".svs", ".ndpi", ".mrxs"),
    *(".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"),
)
HEAD_BYTES = 512
_STARTS = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n",
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*"),  # TIFF
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),  # JPEG 2000
    *(b"GIF87a", b"GIF89a"),
    *(b"\x08\0\5\0", b"\0\x08\0\5"),  # DICOM without its file header
)
_HEIF = (b"heic", b"heix", b"heif", b"mif1", b"msf1", b"avif", b"avis")
_PNM = re.compile(rb"P[1-7fFyY]\s(\s*#[^\n]*\n)*\s*(\d+\s+\d+|WIDTH)")  # not a text about "P1"
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)


def has_image_ending(name: str) -> bool:
    """Whether a file is called like an image."""
    return name.lower().endswith(ENDINGS)


def begins_like_image(head: bytes) -> bool:
    """Whether the first HEAD_BYTES of a file are those of an image, in a format let in or not."""
    return (
        head.startswith(_STARTS)
        or head[128:132] == b"DICM"
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _HEIF)
        or (head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS)
        or _PNM.match(head) is not None
    )
