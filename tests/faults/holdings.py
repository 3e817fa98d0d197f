"""What a lake holds, in a form that two lakes can be compared by."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from neuro.lake import branches as lake_branches
from neuro.lake import images, marks, releases
from neuro.lake.lake import Lake
from neuro.lake.staging import ORDER

KEYS = {
    "images": ["sha256", "stored_sha256"],
    "samples": ["dataset", "sha256", "split", "group_id", "source_name"],
    "labels": ["dataset", "sha256", "sequence", "label"],
    "quarantine": ["dataset", "sha256", "reason", "label", "source_name", "raw"],
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdings:
    """rows: of each table, how often each stands there. chain: content hashes of the releases."""

    chain: tuple[str, ...]
    rows: dict[str, Counter[tuple[object, ...]]]
    left: tuple[str, ...]

    @property
    def doubled(self) -> list[tuple[object, ...]]:
        """Rows that stand more than once."""
        return [row for rows in self.rows.values() for row, n in rows.items() if n > 1]


def read(home: Path) -> Holdings:
    """Everything in a home's lake; left: branches and marks of runs that are not complete."""
    lake = Lake(str(home / "lake"))
    rows = {
        table: Counter(tuple(r.values()) for r in lake.read(table, columns=names).to_pylist())
        for table, names in KEYS.items()
    }
    branches = {name for table in ORDER for name in lake.branches(table)}
    left = [*sorted(branches), *lake_branches.names(lake, "brain"), *marks.half_written_runs(lake)]
    chain = releases.history(lake, "brain")
    return Holdings(chain=tuple(r.content_hash for r in chain), rows=rows, left=tuple(left))


def shown(home: Path) -> tuple[str, ...]:
    """Content hashes of the releases that a reader sees, each read whole with every byte."""
    lake = Lake(str(home / "lake"))
    chain = releases.history(lake, "brain")
    for release in chain:
        assert images.damaged(lake, release, releases.samples(lake, release)) == []
    return tuple(release.content_hash for release in chain)
