"""Erasing images from the tables themselves: rows, versions, tags and branches.

Deleting rows only hides them. Their bytes go when the rows are deleted on every branch, the files
rewritten, every release moved to the new versions, and the old versions removed (docs/traps.md).
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neuro.errors import StaleError
from neuro.lake import branch_names, branches, images, marks, releases, requests
from neuro.lake.lake import Lake, among, quoted
from neuro.lake.release_diff import restated
from neuro.lake.releases import PINNED, Release
from neuro.lake.table_schemas import BRANCHED, SCHEMAS

_FLAG = "erasing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """What images left in the lake. stored: bytes that were vetted, and may be decoded.

    others: thumbnails, and bytes in quarantine.
    """

    stored: Set[bytes]
    others: Set[bytes]


def views(lake: Lake) -> list[Lake]:
    """The lake as every user's branch sees it, and last as main does; no half-removed branch."""
    removed = {branch_names.user_branch(*line) for line in branches.half_removed(lake)}
    names = filter(branch_names.is_user_branch, lake.branches("samples"))
    return [*(lake.on(name) for name in names if name not in removed), lake.on("")]


def members(lake: Lake, dataset: str) -> list[dict[str, Any]]:
    """Sample rows of main and all branches, each once, sorted by digest.

    Columns sha256, group_id, group_key and source_name.
    """
    columns = ["sha256", "group_id", "group_key", "source_name"]
    rows = _rows(lake, "samples", columns, among("dataset", [dataset]))
    by_digest = {row["sha256"]: row for row in rows}
    return [by_digest[sample_id] for sample_id in sorted(by_digest)]


def datasets(lake: Lake) -> list[str]:
    """Every dataset that ever had a release, sorted."""
    return sorted(set(lake.read("releases", columns=["dataset"])["dataset"].to_pylist()))


def lines(lake: Lake) -> Iterator[tuple[Lake, str]]:
    """Every line of releases: a view of the lake, and a dataset that it may have releases of."""
    for view in views(lake):
        for dataset in datasets(lake):
            if branch_names.may_hold(view.branch, dataset):
                yield view, dataset


def datasets_of(lake: Lake, sample_ids: Collection[str]) -> set[str]:
    """Every dataset that holds one of these images, on main or a branch."""
    rows = _rows(lake, "samples", ["dataset"], among("sha256", sample_ids))
    return {row["dataset"] for row in rows}


def payload(lake: Lake, sample_ids: Collection[str]) -> Payload:
    """Everything the tables hold of these images' pictures."""
    where = among("sha256", sample_ids)
    images_of = list(_rows(lake, "images", ["stored", "thumbnail"], where))
    raws = {row["raw"] for row in _rows(lake, "quarantine", ["raw"], where)}
    thumbnails = {row["thumbnail"] for row in images_of}
    asked = requests.images(lake, sample_ids)
    return Payload(
        stored={row["stored"] for row in images_of if row["stored"]} | asked,
        others={content for content in raws | thumbnails if content},
    )


def _rows(lake: Lake, table: str, columns: list[str], where: str) -> Iterator[dict[str, Any]]:
    """Rows of a table on every branch and on main: what stands on several comes several times."""
    for view in views(lake):
        yield from view.read(table, columns=columns, where=where).to_pylist()


def copies(lake: Lake, sample_ids: Collection[str]) -> list[str]:
    """Other images whose stored bytes are those of one of these, on main or a branch; sorted."""
    columns = ["sha256", "stored_sha256"]
    rows = pa.concat_tables(view.read("images", columns=columns) for view in views(lake))
    is_one = pc.is_in(rows["sha256"], pa.array(sample_ids, pa.string()))
    is_copy = pc.is_in(rows["stored_sha256"], rows["stored_sha256"].filter(is_one))
    return sorted(set(rows["sha256"].filter(is_copy).to_pylist()) - set(sample_ids))


def not_in_others(lake: Lake, sample_ids: Collection[str], wanted: list[bytes]) -> list[bytes]:
    """The byte strings that no other image's thumbnail has: near twins share parts of theirs."""
    left = wanted
    for view in views(lake):
        for batch in images.read(view, view.open("images"), ["sha256", "thumbnail"]):
            pairs = zip(batch["sha256"].to_pylist(), batch["thumbnail"].to_pylist(), strict=True)
            others = b"".join(small or b"" for name, small in pairs if name not in sample_ids)
            left = [needle for needle in left if needle not in others]
    return left


def begin(lake: Lake, run: str) -> None:
    """Stop everybody else from publishing until ``end``. Raises StaleError if another is at it."""

    def claim() -> None:
        while True:
            handle = lake.open("releases")
            erasing = handle.config().get(_FLAG)
            if erasing == run:
                return
            if erasing is not None:
                raise StaleError(
                    "another erasure is under way, or was cut short; repeat its command first, "
                    "then this one"
                )
            marks.compare_and_set(handle, {_FLAG: run})

    lake.prepare_write(*BRANCHED)
    lake.insist("begin an erasure", claim)


def require_none(lake: Lake) -> None:
    """Raise StaleError while one is under way: what is written now would be lost."""
    if _FLAG in marks.read(lake):
        raise StaleError("an erasure is under way, or was cut short; repeat its command")


def end(lake: Lake) -> None:
    """Let others publish again."""
    lake.insist("end an erasure", lambda: marks.put(lake, _FLAG, None))


def holders(lake: Lake, sample_ids: Collection[str]) -> list[Release]:
    """Every readable release, of any dataset and branch, that holds one of these images."""
    return [
        release
        for release in _every(lake)
        if not release.superseded_by and _holds(lake, release, pa.array(sample_ids, pa.string()))
    ]


def heirs(lake: Lake) -> dict[str, str]:
    """By the name of each release the one that took its place, "" for none."""
    return {release.name: release.superseded_by for release in _every(lake)}


def delete(lake: Lake, sample_ids: Collection[str]) -> int:
    """Delete every row of these images on main and all branches; returns how many there were.

    What was staged and not published goes too: those runs have to be repeated.
    """
    for table in BRANCHED:
        lake.drop_branch(table, branch_names.run_branches())
    return sum(
        lake.insist(f"empty {table}", partial(_delete, view, table, sample_ids))
        for view in views(lake)
        for table in _tables(view)
    )


def _delete(view: Lake, table: str, sample_ids: Collection[str]) -> int:
    dataset = view.open(table)
    if "sha256" not in dataset.schema.names:
        return 0
    found = dataset.to_table(columns=[], filter=among("sha256", sample_ids), with_row_id=True)
    if ids := found["_rowid"].to_pylist():
        # By row number: the predicate is kept in the transaction's file.
        dataset.delete(f"_rowid IN ({', '.join(map(str, ids))})")
    tip = view.open(table)
    if any(fragment.num_deletions for fragment in tip.get_fragments()):
        tip.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
    return len(ids)


def repin(lake: Lake, sample_ids: Collection[str], holders: Iterable[Release]) -> None:
    """Move every release to the newest versions, its content unchanged but for the erased images.

    holders: of an erased image; the current release of their line, which has to be clean already,
    supersedes them. The one change of a published row in place, and one commit: repeating it is
    harmless.
    """
    holder_names = {release.name for release in holders}
    ever_current = {
        release.name for view, dataset in lines(lake) for release in releases.history(view, dataset)
    }
    rows = {row["name"]: row for row in lake.read("releases").to_pylist()}
    moved = []
    for release in _every(lake):
        view = releases.view_of(lake, release)
        is_holder = release.name in holder_names
        if is_holder and release.name not in ever_current:
            # Nobody reads it, and a row of that name would stand in the way of a new one.
            lake.open("releases").delete(f"name = {quoted(release.name)}")
            continue
        tables = releases.versions(view)
        left_out = restated(lake, release, tables).without(sample_ids)
        current = releases.current(view, release.dataset)
        moved.append(
            {
                **rows[release.name],
                "tables": json.dumps(tables),
                "left_out": left_out.to_json(),
                "passport": json.dumps(without(release.passport, sample_ids), sort_keys=True),
                "superseded_by": current.name if is_holder and current else release.superseded_by,
            }
        )
    if moved:
        table = pa.Table.from_pylist(moved, SCHEMAS["releases"])
        lake.open("releases").merge_insert("name").when_matched_update_all().execute(table)


def without(sealed: Any, sample_ids: Collection[str]) -> Any:
    """A passport, or a part of one, that names none of these images: no example, no suspect."""
    if isinstance(sealed, Mapping):
        return {key: without(value, sample_ids) for key, value in sealed.items()}
    if not isinstance(sealed, list | tuple):
        return sealed
    return [without(one, sample_ids) for one in sealed if not _names(one, sample_ids)]


def _names(one: Any, sample_ids: Collection[str]) -> bool:
    values = one.values() if isinstance(one, Mapping) else [one]
    return any(isinstance(value, str) and value in sample_ids for value in values)


def purge(lake: Lake) -> None:
    """Tag what the releases pin now and nothing else, and remove every other version for good.

    Whatever another program writes at the same moment is lost.
    """
    for table in PINNED:
        lake.insist(f"tag {table}", partial(_retag, lake.on(""), table, _every(lake)))
    for view in views(lake):
        for table in _tables(view):
            lake.insist(f"clean up {table}", partial(_clean_up, view, table))
    purge_versions(lake)


def _retag(main: Lake, table: str, every: Iterable[Release]) -> None:
    dataset = main.open(table)
    for tag in dataset.tags.list():
        dataset.tags.delete(tag)
    for release in every:
        branch, version = releases.view_of(main, release).branch, release.tables[table]
        dataset.tags.create(release.name, (branch, version) if branch else version)


def _clean_up(view: Lake, table: str) -> None:
    dataset = view.open(table)
    if dataset.describe_indices():
        dataset.optimize.optimize_indices()
    view.open(table).cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)


def purge_versions(lake: Lake) -> int:
    """Remove what a bucket keeps of replaced and deleted objects; returns how many that were."""
    return lake.store.remove_old_versions()


def group_names(lake: Lake, sample_ids: Collection[str]) -> set[str]:
    """Which of these digests still name a group that has other members."""
    rows = _rows(lake, "samples", ["group_id"], among("group_id", sample_ids))
    return {row["group_id"] for row in rows}


def readable(lake: Lake) -> set[str]:
    """Content hashes of every release that can be read, of any dataset and branch."""
    return {release.content_hash for release in _every(lake) if not release.superseded_by}


def _holds(lake: Lake, release: Release, wanted: pa.Array) -> bool:
    """Read to the end, where the content hash is compared."""
    parts = releases.parts(lake, release)
    return any([pc.any(pc.is_in(part["sample_id"], wanted)).as_py() for part in parts])


def _every(lake: Lake) -> list[Release]:
    return [
        release for dataset in datasets(lake) for release in releases.known(lake, dataset).values()
    ]


def _tables(view: Lake) -> list[str]:
    """Every table of main; of a branch those it has versions of its own of."""
    if view.branch:
        return list(BRANCHED)
    return view.tables()
