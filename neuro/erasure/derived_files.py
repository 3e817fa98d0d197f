"""Erased images outside the tables: caches, predictions and pages, and what to search for."""

import base64
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from neuro.erasure import file_search
from neuro.images import preview, sanitize
from neuro.lake import journal
from neuro.lake.erasure import Payload
from neuro.lake.lake import Lake
from neuro.storage.folder_store import FolderStore

VerdictBody = Mapping[str, Any]  # of a drift verdict's entry in the journal

WINDOW = 64  # bytes: long enough that no other image has them by chance


def needles(payloads: Iterable[Payload]) -> list[bytes]:
    """Windows of each content to search for, as bytes and as base64 (pages embed images so).

    Of each content the three most varied of nine windows, none of them in the header: a run of
    black and the usual tables of a JPEG say nothing. What pages show of an image is a content, too.
    """
    windows: set[bytes] = set()
    for payload in payloads:
        for content in (*payload.contents, *_previews(payload)):
            start = _pixels_start(content)
            windows.update(_varied_windows(content[start:]))
            windows.update(_varied_windows(base64.b64encode(content)[start * 4 // 3 + 4 :]))
    return sorted(windows)


def _previews(payload: Payload) -> Iterator[bytes]:
    for stored in payload.stored:
        with suppress(*sanitize.DECODE_ERRORS):  # damaged in the lake: then no page can show it
            yield preview.small(stored)


def _pixels_start(content: bytes) -> int:
    """Where the compressed pixels begin."""
    if content.startswith(b"\xff\xd8"):
        return max(content.rfind(b"\xff\xda"), 0)
    return max(content.find(b"IDAT"), 0)


def _varied_windows(content: bytes) -> list[bytes]:
    if len(content) <= WINDOW:
        return [content]
    last = len(content) - WINDOW
    starts = [last * n // 8 for n in range(9)]
    windows = {content[start : start + WINDOW] for start in starts}
    most_varied = sorted(windows, key=lambda window: (-len(set(window)), window))[:3]
    return [window for window in most_varied if len(set(window)) > WINDOW // 8]


def remove_frames(home: Path, readable: Collection[str], *, unfinished: bool = True) -> int:
    """Remove the pixel caches of all but these contents; returns how many.

    A branch that was dropped long ago has left its own. unfinished: remove builds, too, killed or
    still under way.
    """
    kept = {digest[:16] for digest in readable}
    count = 0
    for folder in (home / "frames").glob("*"):
        content, is_finished, _ = folder.name.partition("-")
        if content not in kept and (is_finished or unfinished):
            shutil.rmtree(folder)
            count += 1
    return count


def remove_predictions(home: Path, sample_ids: Collection[str]) -> int:
    """Rewrite the exported predictions that name these images; returns how many files."""
    count = 0
    for path in sorted((home / "predictions").glob("*")):
        if path.suffix == ".part":
            path.unlink()
            continue
        table = pq.read_table(path)
        is_erased = pc.is_in(table["sha256"], pc.cast(list(sample_ids), table["sha256"].type))
        if pc.any(is_erased).as_py():
            scratch = path.with_suffix(".part")
            pq.write_table(table.filter(pc.invert(is_erased)), scratch)
            scratch.rename(path)
            count += 1
    return count


def remove_pages(
    lake: Lake, folder: Path, superseded: Collection[str], forbidden: Sequence[bytes]
) -> tuple[list[str], list[VerdictBody]]:
    """Remove the pages below a folder that counted an erased image in, or hold a byte string of it.

    A drift page holds the figures of each image by itself; a page that is named after a release
    shows pictures and means of it. superseded: the releases that held one. Returns the pages'
    paths, and the journal's verdicts on what these releases held.
    """
    verdicts: list[VerdictBody] = [entry.body for entry in journal.entries(lake, "verdict")]
    concerned = [body for body in verdicts if body["cause"].rpartition("/")[2] in superseded]
    pages = set(file_search.search(FolderStore(folder), lambda _: forbidden))
    pages |= {str(path) for path in folder.rglob("*.html") if path.stem in superseded}
    for body in concerned:
        path = Path(body["report"])
        if path.is_relative_to(folder) and path.is_file():
            pages.add(str(path))
    for name in pages:
        Path(name).unlink()
    return sorted(pages), concerned


def to_redraw(verdict: VerdictBody) -> dict[str, str]:
    """What a page is drawn again from: problem, model, window or days; and the command for it."""
    window = str(verdict["window"])
    days, is_of_days, _ = window.partition("-days-to-")
    # A window of the last days is drawn again with as many days, up to now.
    period = {"days": days} if is_of_days else {"window": window}
    option = f"--days {days}" if is_of_days else f"--window {window}"
    problem = str(verdict["problem_reference"])
    command = f"neuro drift --problem {problem} {option}"
    return {**period, "problem": problem, "model": str(verdict["model"]), "command": command}
