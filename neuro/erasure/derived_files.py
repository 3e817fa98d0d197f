"""Erased images outside the tables: caches, predictions and pages."""

import shutil
from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from neuro.erasure import file_search
from neuro.lake import erasure, journal
from neuro.lake.lake import Lake
from neuro.storage.folder_store import FolderStore

VerdictBody = Mapping[str, Any]  # of a drift verdict's entry in the journal


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
        if path.stem.endswith(".cases"):  # goes with the answers to images that it was made of
            continue
        table = pq.read_table(path)
        is_erased = pc.is_in(table["sha256"], pc.cast(list(sample_ids), table["sha256"].type))
        if pc.any(is_erased).as_py():
            scratch = path.with_suffix(".part")
            pq.write_table(table.filter(pc.invert(is_erased)), scratch)
            scratch.rename(path)
            path.with_name(f"{path.stem}.cases{path.suffix}").unlink(missing_ok=True)
            count += 1
    return count


def remove_pages(
    lake: Lake, folder: Path, superseded: Set[str], forbidden: Sequence[bytes]
) -> tuple[list[str], list[VerdictBody]]:
    """Remove the files below a folder that counted an erased image in, or hold a byte string of it.

    A drift page holds the figures of each image by itself, and some images; a page that is named
    after a release shows pictures and means of it, a list of that name its labels in doubt, and a
    folder of that name its evaluations. superseded: the releases that held one. Returns the pages'
    paths, and the journal's verdicts on what these releases held, or on what a service was asked.
    """
    verdicts: list[VerdictBody] = [entry.body for entry in journal.entries(lake, "verdict")]
    # The cause of a verdict of before, which does not name its release, ends with it.
    about = [body.get("release") or body["cause"].rpartition("/")[2] for body in verdicts]
    # A page that an erasure drew again is of the release that took the place. One of what was asked
    # may show an image that no release of its time held.
    heirs = erasure.heirs(lake)
    concerned = [
        body
        for body, name in zip(verdicts, about, strict=True)
        if body.get("asked") or not superseded.isdisjoint(_line(name, heirs))
    ]
    pages = set(file_search.search(FolderStore(folder), lambda _: forbidden))
    of_releases = [*folder.rglob("*.html"), *folder.rglob("*.json")]
    for path in of_releases:
        if path.stem in superseded or path.parent.name in superseded:
            pages.add(str(path))
    for body in concerned:
        path = Path(body["report"])
        if path.is_relative_to(folder) and path.is_file():
            pages.add(str(path))
    for name in pages:
        Path(name).unlink()
    return sorted(pages), concerned


def _line(release: str, heirs: Mapping[str, str]) -> list[str]:
    """A release, the one that took its place, and so on."""
    line = [release]
    while (heir := heirs.get(line[-1], "")) and heir not in line:
        line.append(heir)
    return line


def to_redraw(verdict: VerdictBody) -> dict[str, str]:
    """What a page is drawn again from: problem, model and window; and the command for it."""
    window, problem = str(verdict["window"]), str(verdict["problem_reference"])
    model = str(verdict["model"])
    command = f"neuro drift --problem {problem} --window {window}"
    command += f" --model {model}" if model.isdigit() else ""  # another is a folder's
    return {"window": window, "problem": problem, "model": model, "command": command}
