"""What changed between two releases, and an older one made current again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuro.errors import StaleError
from neuro.lake import content_hash, hidden_rows, releases
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake, quoted
from neuro.lake.releases import Draft, Release


@dataclass(frozen=True, kw_only=True, slots=True)
class Diff:
    """How the second of two releases differs from the first, by sample_id.

    relabelled, moved: sample_id -> what it was and what it is; label "" is none.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: Mapping[str, tuple[str, str]]
    moved: Mapping[str, tuple[str, str]]


def diff(lake: Lake, first: Release, second: Release) -> Diff:
    """Compare two releases of one dataset, by the same partitions."""
    names = ("sample_id", "label", "split")
    n = max(
        content_hash.n_partitions(releases.place(lake, release), release.tables)
        for release in (first, second)
    )
    streams = (releases.parts(lake, release, names, n) for release in (first, second))
    added: list[str] = []
    removed: list[str] = []
    relabelled: dict[str, tuple[str, str]] = {}
    moved: dict[str, tuple[str, str]] = {}
    for old, new in zip(*streams, strict=True):
        place = pc.index_in(new["sample_id"], value_set=old["sample_id"])
        then, now = old.take(place.drop_null()), new.filter(pc.is_valid(place))
        is_removed = np.ones(old.num_rows, dtype=np.bool_)
        is_removed[place.drop_null().to_numpy()] = False
        added += new.filter(pc.is_null(place))["sample_id"].to_pylist()
        removed += old.filter(pa.array(is_removed))["sample_id"].to_pylist()
        relabelled |= _differing(then, now, "label")
        moved |= _differing(then, now, "split")
    return Diff(added=tuple(added), removed=tuple(removed), relabelled=relabelled, moved=moved)


def _differing(then: pa.Table, now: pa.Table, name: str) -> dict[str, tuple[str, str]]:
    """What the rows of two tables, of the same samples, have in a column where it differs."""
    differs = pc.not_equal(then[name], now[name])
    some = [
        column.filter(differs).to_pylist() for column in (now["sample_id"], then[name], now[name])
    ]
    return {sample_id: (was, is_) for sample_id, was, is_ in zip(*some, strict=True)}


def restore(lake: Lake, old: Release, now: datetime) -> Release:
    """Make the content of an older release current again, by a new release on main.

    The new one pins the newest tables and leaves out what the old one did not hold, so that later
    runs build on it and do not bring back what it removed (docs/adr/0007). Raises StaleError if
    somebody else published meanwhile.
    """
    releases.check(lake, old)  # what cannot be read cannot be restored
    handle = lake.open("releases")
    head = releases.current(lake, old.dataset)
    if head is None or old.branch:
        raise StaleError(f"{old.name} was never current on main; publish its branch first")
    tables = releases.versions(lake)
    draft = Draft(
        dataset=old.dataset,
        passport=old.passport,
        creator=f"restore-{head.name}-{old.name}",
        note=f"restore of {old.name}",
        is_synthetic=old.is_synthetic,
        now=now,
    )
    return releases.advance(lake, handle, draft, tables, restated(lake, old, tables))


def restated(lake: Lake, release: Release, tables: Mapping[str, int]) -> LeftOut:
    """What to leave out of other versions of the tables so that a release's content remains.

    tables: versions on the release's own branch, at least as new as its own.
    """
    there = releases.view_of(lake, release)
    where = f"dataset = {quoted(release.dataset)}"

    def rows(table: str, version: int) -> pa.Table:
        columns = ["sha256", "run_id"] + (["sequence"] if table == "labels" else [])
        return there.at(table, version).to_table(columns=columns, filter=where)

    hidden, pinned = release.left_out, release.tables
    samples = hidden.shown_samples(rows("samples", pinned["samples"]))["sha256"].to_pylist()
    labels = hidden.shown_labels(rows("labels", pinned["labels"])).select(["sha256", "sequence"])
    return hidden_rows.all_but(
        rows("samples", tables["samples"]).to_pylist(),
        rows("labels", tables["labels"]).to_pylist(),
        set(samples),
        set(zip(*(column.to_pylist() for column in labels.columns), strict=True)),
    )
