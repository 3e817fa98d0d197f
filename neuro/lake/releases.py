"""Releases: the only thing that is read. Each pins a version of every table, and their hash."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from neuro.errors import DamagedError, ErasedError, StaleError, UnknownNameError
from neuro.lake import branch_names, content_hash, hidden_rows, labels, marks
from neuro.lake.content_hash import Content
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake, quoted
from neuro.lake.table_schemas import SCHEMAS
from neuro.sample import Sample

PINNED = ("images", "samples", "labels")


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One published state of a dataset. tables: version of each pinned table.

    creator: id of the run that made it. parent: the release before it, "" for the first.
    branch: the user's branch it stands on, "" for main. superseded_by: the release that took its
    place when some of its images were erased, "" for one that can be read.
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
    branch: str = ""
    superseded_by: str = ""
    left_out: LeftOut = field(default_factory=LeftOut)

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
    """What a publisher says of a release that is to be made.

    back: sample_ids that were left out before, and that this run brings again.
    """

    dataset: str
    passport: Mapping[str, Any]
    creator: str
    note: str
    is_synthetic: bool
    now: datetime
    back: frozenset[str] = frozenset()


def current(lake: Lake, dataset: str) -> Release | None:
    """The newest release of a dataset on this branch, or None before the first."""
    return chain[-1] if (chain := history(lake, dataset)) else None


def history(lake: Lake, dataset: str) -> list[Release]:
    """Every release that was ever current, oldest first; half-published ones are not among them.

    That of a branch begins with main's, up to the release it was made from.
    """
    # The head first: rows that are read after it have it among them, whoever publishes meanwhile.
    head = marks.read(lake).get(marks.head_key(lake.branch, dataset), "")
    everything, chain = known(lake, dataset), []
    release = everything.get(head)
    while release is not None:
        chain.append(release)
        release = everything.get(release.parent)
    return chain[::-1]


def find(lake: Lake, dataset: str, name: str | None = None) -> Release:
    """A release by name, or the current one; one of a branch only by its name.

    Raises UnknownNameError with near misses.
    """
    listed = {release.name: release for release in history(lake, dataset)}
    if not listed:
        raise UnknownNameError(
            f"dataset {dataset} has no release in {lake.uri}; make one with `neuro ingest DIR`"
        )
    if name is None:
        return list(listed.values())[-1]
    if name not in listed:
        other = known(lake, dataset).get(name)
        if other and other.branch and other in history(view_of(lake, other), dataset):
            return other
        near = difflib.get_close_matches(name, listed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownNameError(
            f"no release {name!r} of {dataset}: {hint}`neuro releases` lists all"
        )
    return listed[name]


def parts(
    lake: Lake, release: Release, names: Sequence[str] = content_hash.HASHED, n: int = 0
) -> Iterator[pa.Table]:
    """Every sample of a release with its newest label, in partitions; see Content.parts.

    What came is true only when it has ended: its last step raises DamagedError if what was read
    does not have the release's content hash. Raises ErasedError if some of it was erased.
    """
    content = _content_of(place(lake, release), release)
    digest = content_hash.Digest()
    for part in content.parts(list(dict.fromkeys([*names, *content_hash.HASHED])), n):
        digest.update(part)
        yield part.select(names)
    if digest.hexdigest() != release.content_hash:
        raise DamagedError(
            f"release {release.name} reads back with another content hash; its tables were "
            "altered from outside. Run `neuro verify`"
        )


def check(lake: Lake, release: Release) -> None:
    """Raise what ``parts`` raises."""
    for _ in parts(lake, release):
        pass


def samples(lake: Lake, release: Release) -> list[Sample]:
    """What ``parts`` gives, as objects, sorted by sample_id."""
    return content_hash.samples(parts(lake, release, content_hash.FIELDS))


def remains(lake: Lake, release: Release) -> list[Sample]:
    """Samples of a release like ``samples``; of one with erased images, what is left."""
    if not release.superseded_by:
        return samples(lake, release)
    content = _content_of(view_of(lake, release), release)
    return content_hash.samples(content.parts(content_hash.FIELDS))


def place(lake: Lake, release: Release) -> Lake:
    """``view_of`` a release that can be read: raises ErasedError if some of it was erased."""
    if release.superseded_by:
        raise ErasedError(
            f"release {release.name} held images that were erased and cannot be read any more; "
            f"{release.superseded_by} is what remains of it"
        )
    return view_of(lake, release)


def view_of(lake: Lake, release: Release) -> Lake:
    """The lake as a release's branch sees it: there the versions of its tables are counted."""
    return lake.on(branch_names.user_branch(release.dataset, release.branch))


def versions(lake: Lake) -> dict[str, int]:
    """The newest version of every pinned table on this branch."""
    return {table: lake.open(table).version for table in PINNED}


def left_out(lake: Lake, dataset: str, run: str = "") -> LeftOut:
    """What the newest tables hold that the current release does not, or another run half wrote.

    run: what this run wrote before a crash is not left out.
    """
    chain = history(lake, dataset)
    half = marks.half_written_runs(lake) - {release.creator for release in chain} - {run}
    half |= labels.hidden_runs(lake)
    return (chain[-1].left_out if chain else LeftOut()).hiding(half)


def publish(lake: Lake, draft: Draft) -> Release:
    """Make the newest state of the tables the current release.

    The same content twice is one release. Raises StaleError if somebody else published meanwhile.
    """
    handle = lake.open("releases")
    before = left_out(lake, draft.dataset, draft.creator)
    tables = versions(lake)
    # A run that began after the first look may be half in these versions: look again.
    after = left_out(lake, draft.dataset, draft.creator)
    hidden = before.hiding(after.runs).showing(draft.creator, draft.back)
    return advance(lake, handle, draft, tables, hidden)


def advance(
    lake: Lake, handle: Any, draft: Draft, tables: Mapping[str, int], hidden: LeftOut
) -> Release:
    """Make these versions of the tables, less what is hidden of them, the current release.

    handle: of ``releases``, opened before the versions were read.

    Raises StaleError if the head has moved since then.
    """
    head_name = marks.head_key(lake.branch, draft.dataset)
    head = handle.config().get(head_name)
    if handle.config().get("erasing", draft.creator) != draft.creator:
        raise StaleError("an erasure is under way; when it is done, run the same command again")
    parent = current(lake, draft.dataset)
    content = _content(lake, draft.dataset, tables, hidden).hashed()
    half_written = marks.half_written_key(lake.branch, draft.creator)
    if parent is not None and parent.content_hash == content.hexdigest():
        marks.put(lake, half_written, None)
        return parent
    row = {
        **_row(lake, draft, tables, content.hexdigest()),
        "left_out": hidden.to_json(),
        "n": content.n,
    }
    name = str(row["name"])
    lake.add("releases", pa.Table.from_pylist([row], SCHEMAS["releases"]))
    if (parent.name if parent else None) != head:
        raise StaleError(f"release {head} appeared meanwhile; run the same command again")
    if not marks.compare_and_set(handle, {head_name: name, half_written: None}):
        raise StaleError("another run published meanwhile; run the same command again")
    return find(lake, draft.dataset, name)


def _row(lake: Lake, draft: Draft, tables: Mapping[str, int], digest: str) -> dict[str, Any]:
    """The row of a new release; its table versions are tagged, so that they stay."""
    chain, branch = history(lake, draft.dataset), lake.branch.rpartition(".")[2]
    prefix = f"{draft.dataset}.{branch}" if branch else draft.dataset
    name = f"{prefix}-{len(chain) + 1:04d}-{digest[:8]}"
    tagged = {table: _tag(lake, table, name, tables[table]) for table in PINNED}
    stated = {key: value for key, value in asdict(draft).items() if key not in ("now", "back")}
    return stated | {
        "name": name,
        "content_hash": digest,
        "tables": json.dumps(tagged),
        "passport": json.dumps(draft.passport, sort_keys=True),
        "parent": chain[-1].name if chain else "",
        "created_at": draft.now,
        "branch": branch,
    }


def _content(lake: Lake, dataset: str, tables: Mapping[str, int], hidden: LeftOut) -> Content:
    entered = entered_with(history(lake, dataset))
    return Content(lake=lake, dataset=dataset, tables=tables, left_out=hidden, entered=entered)


def _content_of(view: Lake, release: Release) -> Content:
    return _content(view, release.dataset, release.tables, release.left_out)


def entered_with(chain: Iterable[Release]) -> dict[str, str]:
    """The release that a run's samples came with, by run, and by sample where a later one did."""
    entered: dict[str, str] = {}
    before = LeftOut()
    for release in chain:
        if release.creator not in entered or release.creator in before.runs:
            entered[release.creator] = release.name
        for sample_id in release.left_out.kept_samples:
            entered.setdefault(sample_id, release.name)
        before = release.left_out
    return entered


def known(lake: Lake, dataset: str) -> dict[str, Release]:
    """Every row of ``releases``, by name; those that were never current and of branches too."""
    rows = lake.read("releases", where=f"dataset = {quoted(dataset)}").to_pylist()
    return {row["name"]: _release(row) for row in rows}


def _release(row: Mapping[str, Any]) -> Release:
    plain = ("name", "dataset", "content_hash", "parent", "creator", "note", "n", "is_synthetic")
    return Release(
        **{key: row[key] for key in (*plain, "created_at")},
        tables=json.loads(row["tables"]),
        passport=json.loads(row["passport"]),
        branch=row["branch"] or "",
        superseded_by=row["superseded_by"] or "",
        left_out=hidden_rows.from_json(row["left_out"]),
    )


def _tag(lake: Lake, table: str, name: str, version: int) -> int:
    """Tag a version, create-only; a tag left by a crashed run, or set meanwhile, stays as it is."""
    dataset = lake.open(table)
    if name not in (tags := dataset.tags.list()):
        try:
            dataset.tags.create(name, version)
        except (OSError, ValueError):
            if name not in (tags := dataset.tags.list()):
                raise
        else:
            return version
    return int(tags[name]["version"])
