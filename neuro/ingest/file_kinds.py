"""Which files of a source are images, and what a person is told of the others."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neuro.errors import ConfigError
from neuro.images import image_names
from neuro.ingest import archives
from neuro.ingest.folder_walk import OUTSIDE, Skipped
from neuro.ingest.sources import SourceFile
from neuro.storage import plain_file

SIDECARS = (".csv", ".toml", ".json", ".txt", ".md")
# No images, told by the name where the first bytes cannot be read.
_OTHERS = (*SIDECARS, ".xml", ".db", ".ini", ".pdf", ".html", ".log", ".yaml", ".tsv", ".xlsx")
DICOM_INDEX = "DICOMDIR"
_NO_IMAGE, _ARCHIVE = "no image", "archive inside"
_NAMES_SHOWN = 5


def is_image(found: SourceFile) -> bool:
    """Whether a file is meant to be one, by its ending or its first bytes; vetting decides.

    Of an object that is not fetched yet the ending alone tells what is none.
    """
    base = found.name.rpartition("/")[2]
    if base.upper() == DICOM_INDEX:
        return False
    if image_names.has_image_ending(base):
        return True
    try:
        with plain_file.open_plain(found.path) as stream:
            return image_names.begins_like_image(stream.read(image_names.HEAD_BYTES))
    except FileNotFoundError:
        return found.entry is not None and not base.lower().endswith(_OTHERS)
    except OSError:  # it cannot be read: it waits in quarantine, where that is said
        return not base.lower().endswith(_OTHERS)


def sort_files(files: Iterable[SourceFile]) -> tuple[list[SourceFile], list[Skipped]]:
    """The images among files, and what else there is."""
    images, others = list[SourceFile](), list[Skipped]()
    for found in files:
        if is_image(found):
            images.append(found)
        else:
            kind = _ARCHIVE if archives.is_named_so(found.name) else _NO_IMAGE
            others.append(Skipped(name=found.name, reason=kind))
    return images, others


def skipped_counts(skipped: Iterable[Skipped]) -> dict[str, Any]:
    """For a receipt: how much was skipped, by reason, and the names of the first of each."""
    names: dict[str, list[str]] = {}
    for one in skipped:
        names.setdefault(one.reason, []).append(one.name)
    return {
        "skipped": {reason: len(of_reason) for reason, of_reason in sorted(names.items())},
        "skipped_names": {
            reason: of_reason[:_NAMES_SHOWN] for reason, of_reason in sorted(names.items())
        },
    }


def no_images(where: str | Path, skipped: Iterable[Skipped]) -> ConfigError:
    """The error for a source without an image: what there is instead, and what would help."""
    counted = skipped_counts(skipped)
    there = [
        f"{n} x {reason} ({', '.join(counted['skipped_names'][reason])}"
        f"{', ...' if n > _NAMES_SHOWN else ''})"
        for reason, n in counted["skipped"].items()
    ]
    packed = f" (those that work end in {', '.join(archives.ENDINGS)})"
    if OUTSIDE in counted["skipped"]:
        packed += ", or --follow the folder that the links lead to"
    return ConfigError(
        f"source {where} holds no images{': ' if there else ''}{'; '.join(there)}; give the folder "
        f"that holds them, or one archive of it{packed}"
    )
