"""Why a folder shows no two classes, and what would help."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from neuro.drafting import infer_columns
from neuro.ingest.sources import SourceFile

_OTHER_TABLES = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers", ".tsv", ".parquet", ".sav", ".mat")


def message(
    files: Sequence[SourceFile], images: Sequence[SourceFile], reasons: Sequence[str]
) -> str:
    """What was looked at, the causes that were found, and the remedy."""
    depth = max(len(PurePosixPath(found.name).parts) - 1 for found in images)
    tables = [found.name for found in files if found.name.lower().endswith(".csv")]
    others = [
        f"{found.name} is no CSV and is not read: save it as CSV, UTF-8, with commas"
        for found in files
        if found.name.lower().endswith(_OTHER_TABLES)
    ]
    saw = f"{len(images)} images, in folders up to {depth} deep; tables: "
    causes = "".join(f"\n- {cause}" for cause in (*reasons, *others))
    return (
        f"no two classes are told apart here: {saw}{', '.join(tables) or 'none'}.{causes}\n"
        "Put the images into one folder for each class (train and test folders may lie above or "
        "below), or add a CSV with a line for each image: its name or path, and its label. If "
        "everything lies in one inner folder, give that one"
    )


def of_table(name: str, values: Mapping[str, Sequence[str]], file: str, share: float) -> str:
    """Why a table that can be read gives no labels. share: of the images that it names."""
    for column, cells in values.items():
        for place, cell in enumerate(cells):
            if re.match(r"/|[A-Za-z]:[\\/]|\\\\|[a-z0-9]+://", cell):
                return (
                    f"{name} holds absolute paths in column {column!r} (its entry {place + 1} is "
                    "the first): write them relative to the table"
                )
    if share < 0.5:
        named = f"names {share:.0%} of" if file else "names none of"
        return (
            f"{name} {named} the images: none of its columns ({', '.join(values)}) holds their "
            "names or paths. Compare them with the files"
        )
    whys = [
        f"{column!r}: {infer_columns.why_no_label(cells)}"
        for column, cells in values.items()
        if column != file
    ]
    whys = [why for why in whys if not why.endswith(": ")] or ["it has no other column"]
    return f"{name} names the images in column {file!r}, but none is the label. " + "; ".join(whys)
