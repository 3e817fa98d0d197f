"""Names of patients, planted over every carrier we know of."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, PngImagePlugin, TiffImagePlugin
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

Plant = Callable[[str, Image.Image], bytes]
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:creator>{}</dc:creator></x:xmpmeta>'


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif_of(name: str) -> Image.Exif:
    facts = Image.Exif()
    for tag in (0x010E, 0x013B, 0x8298, 0x9C9D):  # description, artist, copyright, XPAuthor
        facts[tag] = name
    facts.get_ifd(0x8769)[0x9286] = name.encode()  # user comment
    facts.get_ifd(0x8825)[0x001D] = name  # GPS date
    return facts


def jpeg_segment(marker: int, prefix: bytes = b"") -> Plant:
    def plant(name: str, picture: Image.Image) -> bytes:
        body = prefix + name.encode()
        added = bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
        raw = encoded(picture, "JPEG")
        return raw[:2] + added + raw[2:]

    return plant


def png_chunk(kind: bytes, prefix: bytes = b"", *, is_packed: bool = False) -> Plant:
    def plant(name: str, picture: Image.Image) -> bytes:
        text = zlib.compress(name.encode()) if is_packed else name.encode()
        body = prefix + text
        added = struct.pack(">I", len(body)) + kind + body
        added += struct.pack(">I", zlib.crc32(kind + body))
        raw = encoded(picture, "PNG")
        return raw[:33] + added + raw[33:]

    return plant


def png_text(name: str, picture: Image.Image) -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Patient", name)
    notes.add_itxt(name[:70], name, zip=True)
    return encoded(picture, "PNG", pnginfo=notes)


def png_data(name: str, picture: Image.Image) -> bytes:
    """The name inside the compressed data, behind the last row."""
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(picture))
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", *picture.size, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows + name.encode(), 0) + name.encode()),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def tiff_tags(name: str, picture: Image.Image) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag in (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432):
        tags[tag] = name
    tags[700], tags.tagtype[700] = name.encode(), 1  # XMP
    tags[65000], tags.tagtype[65000] = name, 2  # a private one
    return encoded(picture, "TIFF", tiffinfo=tags)


def dicom(picture: Image.Image, **elements: object) -> bytes:
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    slice_.SOPClassUID, slice_.SOPInstanceUID = uid.MRImageStorage, uid.generate_uid()
    slice_.Rows, slice_.Columns, slice_.SamplesPerPixel = picture.height, picture.width, 1
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 12, 11
    slice_.PhotometricInterpretation, slice_.PixelRepresentation = "MONOCHROME2", 0
    slice_.PixelData = (np.asarray(picture.convert("L"), np.uint16) * 16).tobytes()
    for keyword, value in elements.items():
        setattr(slice_, keyword, value)
    buffer = io.BytesIO()
    slice_.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def dicom_texts(name: str, picture: Image.Image) -> bytes:
    keywords = ("PatientName", "PatientBirthName", "InstitutionName", "PatientComments")
    keywords += ("Manufacturer", "StationName", "ImageComments", "PatientAddress")
    codes = ("Modality", "BodyPartExamined", "PatientSex", "Laterality", "VOILUTFunction")
    return dicom(
        picture, **dict.fromkeys(keywords, name), **dict.fromkeys(codes, name.upper()[:16])
    )


def dicom_nested(name: str, picture: Image.Image) -> bytes:
    inner, outer = Dataset(), Dataset()
    inner.PersonName, inner.TextValue = name, name
    outer.ContentSequence = Sequence([inner])
    outer.private_block(0x0011, "ACME", create=True).add_new(1, "LO", name)
    return dicom(picture, RequestAttributesSequence=Sequence([outer]))


def dicom_private(name: str, picture: Image.Image) -> bytes:
    holder = Dataset()
    block = holder.private_block(0x0029, name[:60], create=True)
    block.add_new(1, "UN", name.encode())
    block.add_new(2, "OB", name.encode())
    return dicom(picture, OtherPatientIDsSequence=Sequence([holder]))


def dicom_preamble(name: str, picture: Image.Image) -> bytes:
    return name.encode().ljust(128, b"\0")[:128] + dicom(picture)[128:] + name.encode()


def dicom_overlay(name: str, picture: Image.Image) -> bytes:
    overlay = name.encode().ljust(picture.width * picture.height // 8, b"\0")
    raw = io.BytesIO(dicom(picture))
    from pydicom import dcmread

    slice_ = dcmread(raw)
    slice_.add_new((0x6000, 0x3000), "OW", overlay)
    slice_.add_new((0x6000, 0x0022), "LO", name)
    buffer = io.BytesIO()
    slice_.save_as(buffer)
    return buffer.getvalue()


CARRIERS: dict[str, Plant] = {
    "JPEG EXIF": lambda name, p: encoded(p, "JPEG", exif=exif_of(name)),
    "JPEG EXIF, turned": lambda name, p: encoded(p, "JPEG", exif=turned(name)),
    "JPEG comment": lambda name, p: encoded(p, "JPEG", comment=name),
    "JPEG XMP": lambda name, p: encoded(p, "JPEG", xmp=XMP.format(name).encode()),
    "JPEG colour profile": lambda name, p: encoded(p, "JPEG", icc_profile=name.encode()),
    "JPEG Photoshop block": jpeg_segment(0xED, b"Photoshop 3.0\x008BIM"),
    "JPEG JFXX thumbnail": jpeg_segment(0xE0, b"JFXX\0\x13"),
    "JPEG long Adobe segment": jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"),
    "JPEG progressive comment": lambda name, p: encoded(p, "JPEG", comment=name, progressive=True),
    "JPEG trailing bytes": lambda name, p: encoded(p, "JPEG") + name.encode(),
    "JPEG before the end": lambda name, p: encoded(p, "JPEG")[:-2] + name.encode() + b"\xff\xd9",
    "JPEG between segments": lambda name, p: (
        encoded(p, "JPEG")[:20] + name.encode() + encoded(p, "JPEG")[20:]
    ),
    "PNG text": png_text,
    "PNG zTXt": png_chunk(b"zTXt", b"Patient\0\0", is_packed=True),
    "PNG EXIF": lambda name, p: encoded(p, "PNG", exif=exif_of(name)),
    "PNG XMP": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0"),
    "PNG colour profile": lambda name, p: encoded(p, "PNG", icc_profile=name.encode()),
    "PNG suggested palette": png_chunk(b"sPLT"),
    "PNG private chunk": png_chunk(b"naMe"),
    "PNG data behind the last row": png_data,
    "PNG trailing bytes": lambda name, p: encoded(p, "PNG") + name.encode(),
    "TIFF tags": tiff_tags,
    "TIFF trailing bytes": lambda name, p: encoded(p, "TIFF") + name.encode(),
    "JPEG 2000 comment": lambda name, p: encoded(p, "JPEG2000", comment=name),
    "WebP EXIF and XMP": lambda name, p: encoded(
        p, "WEBP", exif=exif_of(name), xmp=XMP.format(name).encode()
    ),
    "PPM comment": lambda name, p: (
        f"P6\n# {name}\n{p.width} {p.height}\n255\n".encode() + p.tobytes()
    ),
    "DICOM texts and codes": dicom_texts,
    "DICOM nested sequences": dicom_nested,
    "DICOM private elements": dicom_private,
    "DICOM preamble and end": dicom_preamble,
    "DICOM overlay": dicom_overlay,
}


PACKED = ("PNG zTXt", "PNG colour profile")


def turned(name: str) -> Image.Exif:
    facts = exif_of(name)
    facts[0x0112] = 6
    return facts


def a_name(rng: Generator) -> str:
    letters = "".join(chr(97 + int(code)) for code in rng.integers(0, 26, 16))
    return f"{letters[:8].title()} {letters[8:].title()}"
