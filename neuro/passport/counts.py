"""Counts that need no model: groups and what joined them, missing values, notes removed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuro.dataset.metadata import REMOVED, Column, Traits
from neuro.splits import assign
from neuro.splits.assign import Member, Pairs

SIZES = {"1": 1, "2": 2, "3-5": 5, "6-20": 20}
LARGER = "over 20"
_UNKNOWN = ("", "unknown", "unk", "none", "nan", "na", "n/a", "?", "-")
_OLDEST = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Grouping:
    """Groups by what joined them. alone: of one member. id: one patient or lesion id alone.

    twins: twins alone, both: both were needed. largest: members. sizes: groups by size.
    """

    alone: int
    id: int
    twins: int
    both: int
    largest: int
    sizes: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gaps:
    """What a column of the metadata lacks. missing, impossible: samples. values: distinct ones."""

    column: str
    missing: int
    impossible: int
    values: int


def grouping(members: Sequence[Member], twins: Pairs) -> Grouping:
    """Count the groups. twins: (m, 2) rows."""
    group = np.array([m.group_id for m in members], np.str_)
    keys = [m.group_key or f" {row}" for row, m in enumerate(members)]  # no id joins nobody
    apart = [(a, b) for a, b in twins.tolist() if keys[a] != keys[b] and group[a] == group[b]]
    joined_by_twins = {group[a] for a, _ in apart}
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(group.tolist()):
        rows_of[name].append(row)
    counts: Counter[str] = Counter()
    for name, rows in rows_of.items():
        is_keyed = len({keys[row] for row in rows}) < len(rows)
        is_twin = name in joined_by_twins
        if len(rows) == 1:
            counts["alone"] += 1
        else:
            counts["both" if is_keyed and is_twin else "twins" if is_twin else "id"] += 1
    sizes = [len(rows) for rows in rows_of.values()]
    return Grouping(
        **{name: counts[name] for name in ("alone", "id", "twins", "both")},
        largest=max(sizes, default=0),
        sizes=_by_size(sizes),
    )


def clusters(size: int, twins: Pairs) -> list[list[int]]:
    """Rows that twins join, largest cluster first; single rows are left out."""
    numbers = assign.connected(size, twins)
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row in np.unique(twins).tolist():
        rows_of[int(numbers[row])].append(row)
    return sorted(rows_of.values(), key=lambda rows: (-len(rows), rows[0]))


def gaps(traits: Traits, columns: Iterable[str]) -> list[Gaps]:
    """What is missing or impossible in each of the columns that the traits have."""
    return [_gaps(name, traits[name]) for name in columns if name in traits]


def removed(traits: Traits) -> dict[str, int]:
    """Kinds of notes that were found in files and removed, with how many files had them."""
    told = traits.get(REMOVED, np.empty(0, np.str_))
    kinds = Counter(kind for text in told.tolist() for kind in str(text).split(";") if kind)
    kinds.pop("nan", None)
    return dict(sorted(kinds.items()))


def _gaps(name: str, column: Column) -> Gaps:
    known = [value for value in column.tolist() if str(value).lower() not in _UNKNOWN]
    is_age = "age" in name.lower().split("_")
    ages = [value for value in known if is_age and isinstance(value, float)]
    return Gaps(
        column=name,
        missing=len(column) - len(known),
        impossible=sum(not 0 < age <= _OLDEST for age in ages),
        values=len(set(known)),
    )


def _by_size(sizes: Sequence[int]) -> dict[str, int]:
    found = dict.fromkeys([*SIZES, LARGER], 0)
    for size in sizes:
        found[next((name for name, most in SIZES.items() if size <= most), LARGER)] += 1
    return found
