"""An inbox: a place that is looked at again and again, and of which only what is new is read.

What was read is remembered by marks in a small file on this machine, not in the lake: it speaks of
this place. A lost or outdated file costs a second reading, which changes nothing.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from neuro.ingest.delivery import Delivery, Item


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxScan:
    """What one look into an inbox has shown.

    fresh: what is to be read now. marks: its marks, by source name. known: marks of the files that
    were read before and still lie there. waiting: how many files may still be written.
    """

    fresh: Delivery
    waiting: int
    known: frozenset[str]
    marks: Mapping[str, str]


def scan(
    listed: Delivery,
    read_before: Collection[str],
    now: datetime,
    settle_s: float,
    versions: Mapping[str, str] | None = None,
) -> InboxScan:
    """Sort an inbox into known, fresh and waiting. A file that has vanished meanwhile is skipped.

    settle_s: for so long a file must have been left alone, by its content and its name. versions:
    of objects, by name; an object is there whole or not at all, so it never waits.
    """
    known, marks, waiting = set(), {}, 0
    for item in listed.items:
        try:
            version, changed_at = _version(item, versions or {})
        except (FileNotFoundError, NotADirectoryError):
            continue
        mark = _mark(item, version)
        if mark in read_before:
            known.add(mark)
        elif now.timestamp() - changed_at < settle_s:
            waiting += 1
        else:
            marks[item.source_name] = mark
    fresh = tuple(item for item in listed.items if item.source_name in marks)
    return InboxScan(
        fresh=replace(listed, items=fresh),
        waiting=waiting,
        known=frozenset(known),
        marks=marks,
    )


def load_marks(path: Path, releases: Collection[str]) -> frozenset[str]:
    """Marks of what was read; none unless the lake still has the release they went into."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return frozenset(state["marks"]) if state["release"] in releases else frozenset()
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def save_marks(path: Path, release: str, marks: Collection[str]) -> None:
    """Write down what has been read, whole or not at all. Call it after the release is published.

    release: the lake's newest. Marks of files that have gone are left out by the caller.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    with partial.open("w", encoding="utf-8") as stream:
        json.dump({"release": release, "marks": sorted(marks)}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def _version(item: Item, versions: Mapping[str, str]) -> tuple[list[object], float]:
    """What changes with a file's content, and when that was last (0: long ago)."""
    if item.source_name in versions:
        return [versions[item.source_name]], 0.0
    facts = item.path.lstat()
    return [facts.st_size, facts.st_mtime_ns], max(facts.st_mtime, facts.st_ctime)


def _mark(item: Item, version: list[object]) -> str:
    """Digest of a file's name, state and meaning: a label that arrives later is news, too."""
    facts = [item.source_name, *version, item.label, item.given_split, item.group_key]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
