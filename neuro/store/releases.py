"""Releases: the only thing that is read. Each pins a version of every table, and their hash."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from neuro.errors import DamagedError, StaleError, UnknownNameError
from neuro.sample import Sample
from neuro.store.lake import Lake, quoted
from neuro.store.tables import SCHEMAS

PINNED = ("images", "samples", "labels")


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One published state of a dataset. tables: version of each pinned table.

    creator: id of the run that made it. parent: the release before it, "" for the first.
    """

    name: str
    dataset: str
    tables: Mapping[str, int]
    content_hash: str
    passport: Mapping[str, Any]
    parent: str
    creator: str
    note: str
    n: int
    is_synthetic: bool
    created_at: datetime

    def pin(self) -> dict[str, Any]:
        """What a model records of its data; enough to read exactly the same samples again."""
        return {
            "release": self.name,
            "tables": dict(self.tables),
            "filter": "",
            "sort": "sha256",
            "content_hash": self.content_hash,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What a publisher says of a release to be."""

    dataset: str
    passport: Mapping[str, Any]
    creator: str
    note: str
    is_synthetic: bool
    now: datetime


def content_hash(samples: Iterable[Sample]) -> str:
    """SHA-256 over the byte-sorted lines ``sha256,source label,group_id,split``."""
    lines = sorted(f"{s.sample_id},{s.label},{s.group_id},{s.split}\n".encode() for s in samples)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def current(lake: Lake, dataset: str) -> Release | None:
    """The newest release of a dataset, or None before the first."""
    if not lake.has("releases"):
        return None
    name = lake.open("releases").config().get(_head_key(dataset))
    return _read(lake, dataset).get(name) if name else None


def history(lake: Lake, dataset: str) -> list[Release]:
    """Every release that was ever current, oldest first; half-published ones are not among them."""
    known, chain = _read(lake, dataset), []
    release = current(lake, dataset)
    while release is not None:
        chain.append(release)
        release = known.get(release.parent)
    return chain[::-1]


def find(lake: Lake, dataset: str, name: str | None = None) -> Release:
    """A release by name, or the current one. Raises UnknownNameError with near misses."""
    known = {release.name: release for release in history(lake, dataset)}
    if not known:
        raise UnknownNameError(
            f"dataset {dataset} has no release in {lake.uri}; make one with `neuro ingest DIR`"
        )
    if name is None:
        return list(known.values())[-1]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownNameError(
            f"no release {name!r} of {dataset}: {hint}`neuro releases` lists all"
        )
    return known[name]


def samples(lake: Lake, release: Release) -> list[Sample]:
    """Every sample of a release with its newest label, sorted by sample_id.

    Raises DamagedError if what is read does not have the release's content hash.
    """
    entered = {entry.creator: entry.name for entry in reversed(history(lake, release.dataset))}
    rows = _as_of(lake, release.dataset, release.tables, entered)
    if content_hash(rows) != release.content_hash:
        raise DamagedError(
            f"release {release.name} reads back with another content hash; its tables were "
            "altered from outside. Run `neuro verify`"
        )
    return rows


def publish(lake: Lake, draft: Draft) -> Release:
    """Make the newest state of the tables the current release.

    The same content twice is one release. Raises StaleError if somebody else published meanwhile.
    """
    handle = lake.open("releases")
    head = handle.config().get(_head_key(draft.dataset))
    parent = current(lake, draft.dataset)
    tables = {table: lake.open(table).version for table in PINNED}
    rows = _as_of(lake, draft.dataset, tables, {})
    digest = content_hash(rows)
    if parent is not None and parent.content_hash == digest:
        return parent
    name = f"{draft.dataset}-{len(history(lake, draft.dataset)) + 1:04d}-{digest[:8]}"
    row = {
        **{key: value for key, value in asdict(draft).items() if key != "now"},
        "name": name,
        "content_hash": digest,
        "tables": json.dumps({table: _tag(lake, table, name, tables[table]) for table in PINNED}),
        "passport": json.dumps(draft.passport, sort_keys=True),
        "parent": parent.name if parent else "",
        "n": len(rows),
        "created_at": draft.now,
    }
    lake.add("releases", pa.Table.from_pylist([row], SCHEMAS["releases"]))
    if (parent.name if parent else None) != head:
        raise StaleError(f"release {head} appeared meanwhile; run the same command again")
    try:
        handle.update_config({_head_key(draft.dataset): name})
    except OSError as error:  # the one compare-and-set Lance has
        raise StaleError("another run published meanwhile; run the same command again") from error
    return find(lake, draft.dataset, name)


def _tag(lake: Lake, table: str, name: str, version: int) -> int:
    """Tag a version, create-only; a tag left by a crashed run keeps its version."""
    dataset = lake.open(table)
    tags = dataset.tags.list()
    if name not in tags:
        dataset.tags.create(name, version)
        return version
    return int(tags[name]["version"])


def _as_of(
    lake: Lake, dataset: str, tables: Mapping[str, int], entered: Mapping[str, str]
) -> list[Sample]:
    where = f"dataset = {quoted(dataset)}"
    labels = (
        lake.at("labels", tables["labels"])
        .to_table(columns=["sha256", "sequence", "label"], filter=where)
        .sort_by("sequence")
    )
    newest = dict(zip(labels["sha256"].to_pylist(), labels["label"].to_pylist(), strict=True))
    columns = ["sha256", "group_id", "split", "given_split", "source_name", "run_id"]
    rows = (
        lake.at("samples", tables["samples"])
        .to_table(columns=columns, filter=where)
        .sort_by("sha256")
        .to_pylist()
    )
    return [
        Sample(
            sample_id=row["sha256"],
            group_id=row["group_id"],
            split=row["split"],
            given_split=row["given_split"],
            label=newest.get(row["sha256"], ""),
            source_name=row["source_name"],
            entered=entered.get(row["run_id"], ""),
        )
        for row in rows
    ]


def _head_key(dataset: str) -> str:
    return f"head.{dataset}"


def _read(lake: Lake, dataset: str) -> dict[str, Release]:
    rows = lake.read("releases", where=f"dataset = {quoted(dataset)}").to_pylist()
    return {
        row["name"]: Release(
            **{key: row[key] for key in ("name", "dataset", "content_hash", "parent", "creator")},
            **{key: row[key] for key in ("note", "n", "is_synthetic", "created_at")},
            tables=json.loads(row["tables"]),
            passport=json.loads(row["passport"]),
        )
        for row in rows
    }
