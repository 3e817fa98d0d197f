"""Counts that need no model: groups and what joined them, missing values, notes removed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuro.dataset.metadata import REMOVED, Column, Traits
from neuro.splits import draw_splits
from neuro.splits.draw_splits import Member, Pairs

SIZES = {"1": 1, "2": 2, "3-5": 5, "6-20": 20}  # the largest of each range
LARGER = "over 20"
_UNKNOWN = ("", "unknown", "unk", "none", "nan", "na", "n/a", "?", "-")
_OLDEST = 120.0

Reason = Literal["alone", "id", "twins", "both"]


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
    """Count the groups by what joined their members. twins: (m, 2) rows."""
    groups = draw_splits.grouped(members, [member.group_id for member in members])
    joined_by_twins = _needs_twins(members, twins)
    counts = Counter(
        _reason(group, group_id in joined_by_twins) for group_id, group in groups.items()
    )
    sizes = [len(group) for group in groups.values()]
    return Grouping(
        alone=counts["alone"],
        id=counts["id"],
        twins=counts["twins"],
        both=counts["both"],
        largest=max(sizes, default=0),
        sizes=_by_size(sizes),
    )


def _needs_twins(members: Sequence[Member], twins: Pairs) -> set[str]:
    """Groups with two twins that no patient or lesion id joins."""
    groups = set()
    for first, second in twins.tolist():
        one, other = members[first], members[second]
        has_one_id = one.group_key != "" and one.group_key == other.group_key
        if one.group_id == other.group_id and not has_one_id:
            groups.add(one.group_id)
    return groups


def _reason(group: Sequence[Member], needs_twins: bool) -> Reason:
    """What joined the members of one group."""
    if len(group) == 1:
        return "alone"
    ids = [member.group_key for member in group if member.group_key]
    shares_an_id = len(set(ids)) < len(ids)
    if shares_an_id and needs_twins:
        return "both"
    return "twins" if needs_twins else "id"


def clusters(size: int, twins: Pairs) -> list[list[int]]:
    """Rows that twins join, largest cluster first; single rows are left out."""
    rows = np.unique(twins)
    numbers = draw_splits.connected(size, twins)[rows]
    clusters = draw_splits.grouped(rows.tolist(), numbers.tolist()).values()
    return sorted(clusters, key=lambda rows: (-len(rows), rows[0]))


def gaps(traits: Traits, columns: Iterable[str]) -> list[Gaps]:
    """What is missing or impossible in each of the columns that the traits have."""
    return [_gaps(name, traits[name]) for name in columns if name in traits]


def removed(traits: Traits) -> dict[str, int]:
    """Kinds of notes that were found in files and removed, with how many files had them."""
    notes = traits.get(REMOVED, np.empty(0, np.str_))
    kinds = Counter(kind for text in notes.tolist() for kind in str(text).split(";") if kind)
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
    ranges = np.searchsorted(list(SIZES.values()), np.array(sizes, np.int64))
    counts = np.bincount(ranges, minlength=len(SIZES) + 1)
    return dict(zip([*SIZES, LARGER], counts.tolist(), strict=True))
