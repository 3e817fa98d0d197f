"""Groups and splits: drawn by group, stratified, seeded, and permanent once given."""

import hashlib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from neuro.errors import ConfigError, SplitOverlapError
from neuro.sample import NO_SPLIT, SPLITS

Pairs = NDArray[np.int64]
SHARES = {"train": 0.70, "val": 0.08, "calibration": 0.07, "test": 0.15}


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """Shares of the groups each split gets (they sum to 1) and the seed of the draw."""

    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    seed: int = 0

    def __post_init__(self) -> None:
        if set(self.shares) != set(SPLITS) or abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ConfigError(f"shares must name {SPLITS} and sum to 1, got {dict(self.shares)}")


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
    first: dict[str, int] = {}
    keyed = [
        (first.setdefault(m.group_key, row), row) for row, m in enumerate(members) if m.group_key
    ]
    edges = [twins.reshape(-1, 2), np.array(keyed, np.int64).reshape(-1, 2)]
    return connected(len(members), np.concatenate(edges))


def connected(size: int, edges: Pairs) -> NDArray[np.int64]:
    """Number the connected parts of ``size`` rows that edges (m, 2) join. (n,) int64."""
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(size, size))
    _, numbers = connected_components(graph, directed=False)
    return numbers.astype(np.int64)


def assign(
    held: Sequence[Member], newcomers: Sequence[Member], twins: Pairs, config: SplitConfig
) -> list[Assigned]:
    """Give each newcomer its group and split; held members keep theirs.

    twins: (m, 2) rows of ``[*held, *newcomers]``. A newcomer joins the split of its group; a new
    group is drawn into a split, stratified by label.
    """
    numbers = clusters([*held, *newcomers], twins)
    known: dict[int, list[Member]] = defaultdict(list)
    fresh: dict[int, list[Member]] = defaultdict(list)
    for number, member in zip(numbers[: len(held)], held, strict=True):
        known[int(number)].append(member)
    for number, member in zip(numbers[len(held) :], newcomers, strict=True):
        if int(number) not in known:
            fresh[int(number)].append(member)
    drawn = draw(named(fresh.values()), config)
    placed: list[Assigned] = []
    for number in numbers[len(held) :].tolist():
        if number in fresh:
            group_id = min(m.sample_id for m in fresh[number])
            placed.append(Assigned(group_id=group_id, split=drawn[group_id]))
            continue
        splits = {m.split for m in known[number]} - {NO_SPLIT}
        bridges = len(splits) != 1
        placed.append(
            Assigned(
                group_id=known[number][0].group_id,
                split=NO_SPLIT if bridges else splits.pop(),
                bridges=bridges,
            )
        )
    return placed


def named(groups: Iterable[Sequence[Member]]) -> dict[str, Sequence[Member]]:
    """Groups by the digest of their oldest member, which is their group_id."""
    return {min(m.sample_id for m in group): group for group in groups}


def draw(groups: Mapping[str, Sequence[Member]], config: SplitConfig) -> dict[str, str]:
    """Each group to one of the four splits, as ``share_out`` does."""
    return share_out(groups, {name: config.shares[name] for name in SPLITS}, config.seed)


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
    size_of = {group_id: len(members) for group_id, members in groups.items()}
    # Plain numbers: on four of them numpy's functions take ten times as long.
    lacking = {label: [0.0] * len(shares) for label in label_of.values()}
    parts, parted = [*shares], [*shares.values()]
    order = sorted((-size.bit_length(), group_id) for group_id, size in size_of.items())
    drawn: dict[str, str] = {}
    for _, same in groupby(order, key=itemgetter(0)):
        same_size = [(name, lacking[label_of[name]], size_of[name]) for _, name in same]
        for _, lacks, size in same_size:
            lacks[:] = [lack + share * size for lack, share in zip(lacks, parted, strict=True)]
        for group_id, lacks, size in same_size:
            edges = list(accumulate([lack if lack > 0 else 0.0 for lack in lacks]))
            place = bisect_right(edges, edges[-1] * _chance(seed, group_id))
            lacks[place] -= size
            drawn[group_id] = parts[place]
    return drawn


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
    held: dict[str, list[int]] = defaultdict(lambda: [0] * n)
    sizes, drawn = [0] * n, {}
    chances = {group_id: _chance(seed, group_id) for group_id in groups}
    for group_id in sorted(groups, key=lambda name: (-len(groups[name]), chances[name])):
        counts = held[_commonest(groups[group_id])]
        place = min(range(n), key=lambda fold: (counts[fold], sizes[fold]))
        counts[place] += len(groups[group_id])
        sizes[place] += len(groups[group_id])
        drawn[group_id] = place + 1
    return drawn


def _commonest(members: Sequence[Member]) -> str:
    if len(members) == 1:
        return members[0].label
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
