"""Groups and splits: drawn by group, stratified, seeded, and permanent once given."""

import hashlib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from neuro.errors import ConfigError, SplitOverlapError
from neuro.sample import NO_SPLIT

Pairs = NDArray[np.int64]
T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)
SHARES = {"train": 0.70, "val": 0.08, "calibration": 0.07, "test": 0.15}  # of the groups


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """What grouping needs of a sample; group_id and split are "" until they are given."""

    sample_id: str
    label: str
    group_key: str
    group_id: str = ""
    split: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assigned:
    """A newcomer's permanent place. bridges: its twins lie in two splits, so it has none."""

    group_id: str
    split: str
    bridges: bool = False


def clusters(members: Sequence[Member], twins: Pairs) -> NDArray[np.int64]:
    """Number each member's cluster: twins, and members of one group key, are joined. (n,) int64.

    twins: (m, 2) row numbers.
    """
    same_key = joined_by_key([member.group_key for member in members])
    return connected(len(members), np.concatenate([twins.reshape(-1, 2), same_key]))


def joined_by_key(keys: Sequence[str]) -> Pairs:
    """Pairs (i, j) that join each row to the first row of its key, (m, 2); "" joins nobody."""
    first_row: dict[str, int] = {}
    pairs = []
    for row, key in enumerate(keys):
        if key:
            pairs.append((first_row.setdefault(key, row), row))
    return np.array(pairs, np.int64).reshape(-1, 2)


def connected(size: int, edges: Pairs) -> NDArray[np.int64]:
    """Number the connected parts of ``size`` rows that edges (m, 2) join. (n,) int64."""
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(size, size))
    _, numbers = connected_components(graph, directed=False)
    return numbers.astype(np.int64)


def assign(
    held: Sequence[Member], newcomers: Sequence[Member], twins: Pairs, seed: int = 0
) -> list[Assigned]:
    """Give each newcomer its group and split; held members keep theirs.

    twins: (m, 2) rows of ``[*held, *newcomers]``. A newcomer joins the split of its group; a new
    group is drawn into a split, stratified by label.
    """
    numbers = clusters([*held, *newcomers], twins).tolist()
    held_in = grouped(held, numbers[: len(held)])
    new_in = grouped(newcomers, numbers[len(held) :])
    new_groups = named(members for number, members in new_in.items() if number not in held_in)
    split_of = share_out(new_groups, SHARES, seed)
    placed = []
    for number in numbers[len(held) :]:
        if number in held_in:
            placed.append(_joining(held_in[number]))
        else:
            group_id = _group_id(new_in[number])
            placed.append(Assigned(group_id=group_id, split=split_of[group_id]))
    return placed


def _joining(members: Sequence[Member]) -> Assigned:
    """The place of a newcomer whose cluster has these members already."""
    group_id = members[0].group_id
    splits = {member.split for member in members} - {NO_SPLIT}
    if len(splits) != 1:
        return Assigned(group_id=group_id, split=NO_SPLIT, bridges=True)
    return Assigned(group_id=group_id, split=splits.pop())


def grouped(items: Iterable[T], keys: Iterable[Key]) -> dict[Key, list[T]]:
    """The items that have one key, by key. keys: one for each item."""
    items_of: dict[Key, list[T]] = defaultdict(list)
    for item, key in zip(items, keys, strict=True):
        items_of[key].append(item)
    return dict(items_of)


def named(groups: Iterable[Sequence[Member]]) -> dict[str, Sequence[Member]]:
    """Groups by the digest of their oldest member, which is their group_id."""
    return {_group_id(group): group for group in groups}


def _group_id(members: Sequence[Member]) -> str:
    return min(member.sample_id for member in members)


def share_out(
    groups: Mapping[str, Sequence[Member]], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Each group to a part, with a chance in proportion to what the part lacks of its label.

    shares: of each part, summing to 1. Where every group is of one label, a part holds at most one
    group more of a label than its share, and lacks at most one group for each other part. Large
    groups first, so that small ones even out the shares, and each size shared out by itself: a part
    that held most of the large groups would have fewer, more alike pictures.
    """
    label_of = {group_id: _commonest(members) for group_id, members in groups.items()}
    by_size: dict[int, list[str]] = defaultdict(list)  # 1, 2-3, 4-7, 8-15 ... members
    for group_id in sorted(groups):
        by_size[len(groups[group_id]).bit_length()].append(group_id)
    # Samples that each part still lacks, by label. Plain lists: on four numbers numpy's functions
    # take ten times as long.
    lacking = {label: [0.0] * len(shares) for label in label_of.values()}
    parts = list(shares)
    part_of: dict[str, str] = {}
    for size in sorted(by_size, reverse=True):
        for group_id in by_size[size]:
            lacks = lacking[label_of[group_id]]
            for place, share in enumerate(shares.values()):
                lacks[place] += share * len(groups[group_id])
        for group_id in by_size[size]:
            lacks = lacking[label_of[group_id]]
            edges = list(accumulate(max(lack, 0.0) for lack in lacks))
            place = bisect_right(edges, edges[-1] * _chance(seed, group_id))
            lacks[place] -= len(groups[group_id])
            part_of[group_id] = parts[place]
    return part_of


def folds(groups: Mapping[str, Sequence[Member]], n: int, seed: int = 0) -> dict[str, int]:
    """Each group to one of n folds, 1 to n: that which has least of its label, large groups first.

    Of two such folds the one with fewer samples, so none stays empty. Where every group is of one
    label, two folds differ by at most one group of it. Raises ConfigError for fewer groups than n.
    """
    if len(groups) < n:
        raise ConfigError(
            f"{n} folds need at least {n} groups, and there are {len(groups)}; ask for fewer folds "
            "or ingest more groups"
        )
    samples = [0] * n
    samples_of_label: dict[str, list[int]] = defaultdict(lambda: [0] * n)
    fold_of: dict[str, int] = {}
    chances = {group_id: _chance(seed, group_id) for group_id in groups}
    for group_id in sorted(groups, key=lambda name: (-len(groups[name]), chances[name])):
        size, of_label = len(groups[group_id]), samples_of_label[_commonest(groups[group_id])]
        place = min(range(n), key=lambda fold: (of_label[fold], samples[fold]))
        of_label[place] += size
        samples[place] += size
        fold_of[group_id] = place + 1
    return fold_of


def _commonest(members: Sequence[Member]) -> str:
    return Counter(m.label for m in members).most_common(1)[0][0]


def _chance(seed: int, group_id: str) -> float:
    """A number in [0, 1) that any order of the groups and any machine finds again."""
    return int(hashlib.sha256(f"{seed}/{group_id}".encode()).hexdigest()[:13], 16) / 16**13


def check_no_overlap(group_ids: Iterable[str], splits: Iterable[str]) -> None:
    """Raise SplitOverlapError if a group stands in two splits; samples without a split are free."""
    seen: dict[str, str] = {}
    for group_id, split in zip(group_ids, splits, strict=True):
        if split == NO_SPLIT:
            continue
        if seen.setdefault(group_id, split) != split:
            raise SplitOverlapError(
                f"group {group_id[:12]} is in {seen[group_id]} and {split}; a group has one split"
            )
