"""What changed between two releases, and an older one made current again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from neuro.errors import StaleError
from neuro.store import keys, releases, visible
from neuro.store.lake import Lake, quoted
from neuro.store.releases import Draft, Release, State
from neuro.store.visible import LeftOut


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
    """Compare two releases of one dataset."""
    old = {sample.sample_id: sample for sample in releases.samples(lake, first)}
    new = {sample.sample_id: sample for sample in releases.samples(lake, second)}
    both = sorted(old.keys() & new.keys())
    return Diff(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        relabelled={k: (old[k].label, new[k].label) for k in both if old[k].label != new[k].label},
        moved={k: (old[k].split, new[k].split) for k in both if old[k].split != new[k].split},
    )


def restore(lake: Lake, old: Release, now: datetime) -> Release:
    """Make the content of an older release current again, by a new release on main.

    The new one pins the newest tables and leaves out what the old one did not hold, so that later
    runs build on it and do not bring back what it removed (docs/adr/0007). Raises StaleError if
    somebody else published meanwhile.
    """
    releases.samples(lake, old)  # what cannot be read cannot be restored
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
    state = State(tables=tables, left_out=restated(lake, old, tables))
    return releases.advance(lake, handle, draft, state)


def restated(lake: Lake, release: Release, tables: Mapping[str, int]) -> LeftOut:
    """What to leave out of other versions of the tables so that a release's content remains.

    tables: versions on the release's own branch, at least as new as its own.
    """
    there = lake.on(keys.line(release.dataset, release.branch))
    where = f"dataset = {quoted(release.dataset)}"

    def rows(table: str, version: int) -> list[dict[str, Any]]:
        columns = ["sha256", "run_id"] + (["sequence"] if table == "labels" else [])
        found: list[dict[str, Any]] = (
            there.at(table, version).to_table(columns=columns, filter=where).to_pylist()
        )
        return found

    hidden = release.left_out
    return visible.all_but(
        rows("samples", tables["samples"]),
        rows("labels", tables["labels"]),
        {r["sha256"] for r in rows("samples", release.tables["samples"]) if hidden.has_sample(r)},
        {
            (r["sha256"], r["sequence"])
            for r in rows("labels", release.tables["labels"])
            if hidden.has_label(r)
        },
    )
