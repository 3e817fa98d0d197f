"""Which splits a training uses: the lake's own, a fold of all but the test split, the source's.

Nothing here is stored: a sample's own split is permanent, and another splitting only gives the same
samples other names while one model is trained and scored.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError, UnknownNameError
from neuro.sample import NO_SPLIT, Sample, lies_in
from neuro.splits import draw_splits
from neuro.splits.draw_splits import SHARES, Member, Pairs

MIN_FOLDS = 3  # of fewer, half or less would train
SEED = 0
_CALIBRATE_OF = 11  # of so many parts of what does not validate one calibrates: 7 of 70 + 7
_FOLD = re.compile(r"fold-(\d+)-of-(\d+)")
_TEST = "test"


@dataclass(frozen=True, kw_only=True, slots=True)
class Splitting:
    """How the samples of a release are divided.

    "own": as the lake says. "fold": everything but the test split is dealt into ``of`` folds;
    number ``fold`` (from 1) validates, an eleventh of the others calibrates, the rest trains.
    "given": the source's own test split is the test split, and the rest of the given samples is
    drawn by group.
    """

    kind: Literal["own", "fold", "given"] = "own"
    fold: int = 0
    of: int = 0

    def __post_init__(self) -> None:
        if self.kind == "fold" and self.of < MIN_FOLDS:
            raise ConfigError(
                f"--split {self}: at least {MIN_FOLDS} folds are needed; of fewer, half or less "
                "would train"
            )
        if self.kind == "fold" and not 1 <= self.fold <= self.of:
            raise ConfigError(f"--split {self}: the fold must be 1 to {self.of}")

    def __str__(self) -> str:
        return f"fold-{self.fold}-of-{self.of}" if self.kind == "fold" else self.kind

    @property
    def is_own(self) -> bool:
        """Whether these are the permanent splits, on which alone models are promoted."""
        return self.kind == "own"


OWN = Splitting()


def parse(text: str) -> Splitting:
    """A splitting from "own", "given" or "fold-2-of-5". Raises UnknownNameError, ConfigError."""
    if text == "own":
        return OWN
    if text == "given":
        return Splitting(kind="given")
    if match := _FOLD.fullmatch(text):
        return Splitting(kind="fold", fold=int(match[1]), of=int(match[2]))
    near = difflib.get_close_matches(text, ("own", "given", "fold-2-of-5"), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownNameError(f"no splitting {text!r}: {hint}Give own, given, or such as fold-2-of-5")


def splittings(text: str, folds: int) -> list[Splitting]:
    """What is trained on, one after another: one splitting, or each of so many folds.

    Raises what ``parse`` raises, and ConfigError for too few folds, or a splitting beside them.
    """
    if not folds:
        return [parse(text)]
    if folds < MIN_FOLDS:
        raise ConfigError(
            f"--folds must be at least {MIN_FOLDS}, got {folds}: of fewer, half or less would train"
        )
    if text != "own":
        raise ConfigError(f"--folds {folds} draws its own splits; leave out --split {text}")
    return [parse(f"fold-{number}-of-{folds}") for number in range(1, folds + 1)]


def redrawn(samples: Sequence[Sample], splitting: Splitting) -> NDArray[np.bool_]:
    """Which samples get another split than their own, (n,) bool.

    Given: those with a split of the source. Own: none. A fold: all that are in a split but test.

    Raises ConfigError where "given" is asked for and no sample has a given split.
    """
    if splitting.kind == "given":
        given = np.array([bool(sample.given_split) for sample in samples], bool)
        if not given.any():
            raise ConfigError(
                "--split given: the source of this release gives no splits; name their folders "
                "under [layout] splits in the problem file, or train on the lake's own"
            )
        return given
    if splitting.is_own:
        return np.zeros(len(samples), bool)
    return np.array([sample.split not in (NO_SPLIT, _TEST) for sample in samples], bool)


def joined(samples: Sequence[Sample], keys: Sequence[str], twins: Pairs) -> list[str]:
    """The name of each sample's group, (n,): group_ids that a later arrival joined are one.

    keys: digest of the patient or lesion id, "" for none. twins: (m, 2) rows.
    """
    same_group = draw_splits.joined_by_key([sample.group_id for sample in samples])
    same_key = draw_splits.joined_by_key(keys)
    pairs = np.concatenate([twins.reshape(-1, 2), same_group, same_key])
    numbers = draw_splits.connected(len(samples), pairs).tolist()
    names: dict[int, str] = {}
    for number, sample in zip(numbers, samples, strict=True):
        names[number] = min(names.get(number, sample.group_id), sample.group_id)
    return [names[number] for number in numbers]


def divide(
    samples: Sequence[Sample], groups: Sequence[str], splitting: Splitting
) -> NDArray[np.str_]:
    """The split of each sample under the splitting, (n,) str; "none" for what stands aside.

    groups: the group of each sample. No group is in two of train, val and calibration; with
    "given", the test split may share groups with them, since the source drew it so. Raises
    ConfigError for fewer groups than folds.
    """
    if splitting.is_own:
        return np.array([sample.split for sample in samples], dtype=np.str_)
    if splitting.kind == "given":
        is_test = [lies_in(sample.given_split, _TEST) for sample in samples]
    else:
        is_test = [sample.split == _TEST for sample in samples]
    drawn = np.flatnonzero(redrawn(samples, splitting) & ~np.array(is_test, bool)).tolist()
    members = [
        Member(sample_id=samples[row].sample_id, label=samples[row].label, group_key="")
        for row in drawn
    ]
    split_of = _drawn(draw_splits.grouped(members, [groups[row] for row in drawn]), splitting)
    splits = [_TEST if is_one else NO_SPLIT for is_one in is_test]
    for row in drawn:
        splits[row] = split_of[groups[row]]
    return np.array(splits, dtype=np.str_)


def shared(samples: Sequence[Sample], groups: Sequence[str]) -> int:
    """How many images of the given test split have a member of their group in given training.

    A file that lies in both is its own member.
    """
    train_groups = {
        group
        for sample, group in zip(samples, groups, strict=True)
        if set(sample.given_split.split("+")) - {"", _TEST}
    }
    return sum(
        lies_in(sample.given_split, _TEST) and group in train_groups
        for sample, group in zip(samples, groups, strict=True)
    )


def leak(splitting: Splitting, passport: Mapping[str, Any], shared: int) -> str:
    """What to say beside every number from the splitting; "" where nothing leaks.

    passport: of the release. shared: test samples that have a member of their group in training.
    """
    if splitting.kind != "given":
        return ""
    twins, lookup = passport["twins"], passport["lookup"]["given"]
    scored = "" if lookup is None else f"; a look-up scores {lookup:.2f}"
    return (
        f"given split: {twins['given_test_with_train_twin']:,} of {twins['given_test']:,} test "
        f"images have a twin in training, {shared:,} a member of their group{scored}"
    )


def _drawn(groups: Mapping[str, Sequence[Member]], splitting: Splitting) -> dict[str, str]:
    """The split of each group that is drawn anew: given, all but test in the lake's own shares.

    Of folds, the asked one is val, one part of the rest calibration, and all else train. Raises
    ConfigError where there are fewer groups than folds.
    """
    if splitting.kind == "given":
        rest = {name: share for name, share in SHARES.items() if name != _TEST}
        total = sum(rest.values())
        return draw_splits.share_out(groups, {n: share / total for n, share in rest.items()}, SEED)
    fold_of = draw_splits.folds(groups, splitting.of, SEED)
    others = {name: members for name, members in groups.items() if fold_of[name] != splitting.fold}
    # With few groups a part is larger, so that each part has some of them.
    n_parts = min(_CALIBRATE_OF, max(2, len(others) // 2))
    part_of = draw_splits.folds(others, n_parts, SEED + splitting.fold)
    split_of = {}
    for name in groups:
        if name not in others:
            split_of[name] = "val"
        else:
            split_of[name] = "calibration" if part_of[name] == n_parts else "train"
    return split_of
