"""Folds and given splits: what they name anew, what stays, and that no group is in two of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro.errors import ConfigError, UnknownNameError
from neuro.sample import SPLITS, Sample
from neuro.splits import draw_splits, split_choice
from neuro.splits.draw_splits import SHARES, Member
from neuro.splits.split_choice import OWN, Splitting

GIVEN = Splitting(kind="given")
NO_TWINS = np.empty((0, 2), np.int64)


def sample(
    number: int, *, group: str = "", where: str = "train", said: str = "", label: str = "a"
) -> Sample:
    return Sample(
        sample_id=f"{number:05d}",
        group_id=group or f"g{number:05d}",
        split=where,
        given_split=said,
        label=label,
        source_name="",
        entered="r1",
    )


def divided(samples: Sequence[Sample], by: Splitting) -> list[str]:
    return split_choice.divide(samples, [s.group_id for s in samples], by).tolist()


@st.composite
def releases(draw: st.DrawFn) -> list[Sample]:
    """Samples of up to 40 groups, each group in one split of its own and any given splits."""
    homes = draw(st.lists(st.sampled_from([*SPLITS, "train", "none"]), min_size=6, max_size=40))
    said = st.sampled_from(["", "train", "test", "val", "train+test"])
    facts = st.tuples(st.integers(0, len(homes) - 1), said, st.sampled_from("abc"))
    rows = draw(st.lists(facts, min_size=12, max_size=120))
    return [
        sample(n, group=f"g{home}", where=homes[home], said=given, label=label)
        for n, (home, given, label) in enumerate(rows)
    ]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(releases(), st.integers(3, 7), st.data())
def test_no_group_is_in_two_parts_of_a_fold_and_the_test_split_stays(
    samples: list[Sample], of: int, data: st.DataObject
) -> None:
    fold = Splitting(kind="fold", fold=data.draw(st.integers(1, of)), of=of)
    pool = {s.group_id for s in samples if s.split not in ("test", "none")}
    if len(pool) < of:
        with pytest.raises(ConfigError, match=f"{of} folds need .* there are {len(pool)}"):
            divided(samples, fold)
        return
    names = divided(samples, fold)
    kept = {"test", "none"}
    assert [n if n in kept else "" for n in names] == [
        s.split if s.split in kept else "" for s in samples
    ]
    drawn = [(s.group_id, n) for s, n in zip(samples, names, strict=True) if n != "none"]
    draw_splits.check_no_overlap(*zip(*drawn, strict=True))
    assert {"train", "val", "calibration"} <= set(names)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(releases(), st.integers(3, 7))
def test_over_all_folds_each_sample_validates_once(samples: list[Sample], of: int) -> None:
    pool = [s for s in samples if s.split not in ("test", "none")]
    if len({s.group_id for s in pool}) < of:
        return
    folds = [divided(samples, Splitting(kind="fold", fold=n, of=of)) for n in range(1, of + 1)]
    for sample_of, names in zip(samples, zip(*folds, strict=True), strict=True):
        assert names.count("val") == (sample_of in pool)


@pytest.mark.parametrize("of", [3, 5, 10])
def test_an_eleventh_of_what_does_not_validate_calibrates_of_each_class(of: int) -> None:
    samples = [sample(n, label="ab"[n % 3 == 0]) for n in range(3300)]
    fold = divided(samples, Splitting(kind="fold", fold=2, of=of))
    for label, count in (("a", 2200), ("b", 1100)):
        found = Counter(n for n, s in zip(fold, samples, strict=True) if s.label == label)
        rest = count - count / of
        expected = {"val": count / of, "calibration": rest / 11, "train": rest * 10 / 11}
        assert found == pytest.approx(expected, abs=2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(releases())
def test_given_keeps_the_sources_test_and_draws_the_rest_by_group(samples: list[Sample]) -> None:
    if not any(s.given_split for s in samples):
        with pytest.raises(ConfigError, match="gives no splits"):
            divided(samples, GIVEN)
        return
    names = divided(samples, GIVEN)
    for one, name in zip(samples, names, strict=True):
        assert (name == "test") == ("test" in one.given_split)
        assert (name == "none") == (one.given_split == "")
    rest = [(s.group_id, n) for s, n in zip(samples, names, strict=True) if n not in ("test",)]
    draw_splits.check_no_overlap(*zip(*rest, ("", "none"), strict=True))


def test_the_same_folds_are_dealt_each_time_and_a_seed_deals_others() -> None:
    groups = {f"g{n}": [Member(sample_id=f"{n}", label="a", group_key="")] for n in range(60)}
    assert draw_splits.folds(groups, 5, 1) == draw_splits.folds(
        dict(reversed(groups.items())), 5, 1
    )
    assert draw_splits.folds(groups, 5, 1) != draw_splits.folds(groups, 5, 2)


def test_own_is_what_the_lake_says() -> None:
    samples = [sample(n, where=where) for n, where in enumerate([*SPLITS, "none"])]
    assert divided(samples, OWN) == [*SPLITS, "none"]


def test_of_given_splits_85_parts_are_shared_out_as_70_to_8_to_7() -> None:
    samples = [sample(n, said="train" if n % 5 else "test") for n in range(2125)]
    found = Counter(divided(samples, GIVEN))
    assert found["test"] == 425
    # 1,700 remain: 70, 8 and 7 of 85 parts, each of 20.
    expected = {"train": 1400, "val": 160, "calibration": 140}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=3)


def test_what_a_later_arrival_joined_is_one_group_of_a_fold() -> None:
    """A twin and a patient's id reach over three group_ids, which stay as they were stored."""
    samples = [sample(n, group=f"g{n}") for n in range(5)]
    keys = ["", "p", "p", "", ""]
    assert split_choice.joined(samples, keys, np.array([[0, 1]])) == ["g0", "g0", "g0", "g3", "g4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("own", OWN), ("given", GIVEN), ("fold-2-of-5", Splitting(kind="fold", fold=2, of=5))],
)
def test_a_splitting_reads_back_as_it_is_written(text: str, said: Splitting) -> None:
    assert split_choice.parse(text) == said
    assert str(said) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fold-1-of-2", "at least 3 folds"),
        ("fold-6-of-5", "fold must be 1 to 5"),
        ("fold-0-of-5", "fold must be 1 to 5"),
        ("givn", "did you mean 'given'"),
        ("test", "Give own, given, or such as fold-2-of-5"),
    ],
)
def test_what_is_no_splitting_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_choice.parse(text)
    assert issubclass(UnknownNameError, ConfigError)


def test_the_leak_of_a_given_split_is_said_in_one_sentence() -> None:
    passport = {
        "twins": {"given_test_with_train_twin": 1043, "given_test": 1311},
        "lookup": {"given": 0.981},
    }
    assert split_choice.leak(GIVEN, passport, 1100) == (
        "given split: 1,043 of 1,311 test images have a twin in training, 1,100 a member of their "
        "group; a look-up scores 0.98"
    )
    assert split_choice.leak(OWN, passport, 0) == ""


def test_who_shares_a_group_with_given_training_is_counted_and_a_file_in_both_is() -> None:
    said = ["train", "test", "test", "train+test", "val", "test", ""]
    samples = [sample(n, said=given) for n, given in enumerate(said)]
    groups = ["a", "a", "b", "c", "d", "d", "b"]
    assert split_choice.shared(samples, groups) == 3


def _groups(sizes: Sequence[int], labels: Sequence[str]) -> dict[str, list[Member]]:
    return {
        f"g{n}": [Member(sample_id=f"{n}.{m}", label=label, group_key="") for m in range(size)]
        for n, (size, label) in enumerate(zip(sizes, labels, strict=True))
    }


def _counted(
    groups: dict[str, list[Member]], part_of: Callable[[str], str]
) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, members in groups.items():
        found[members[0].label][part_of(name)] += len(members)
    return found


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_a_split_misses_its_share_of_a_class_by_three_groups_at_most(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=200))
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=len(sizes), max_size=len(sizes)))
    groups = _groups(sizes, labels)
    drawn = draw_splits.share_out(groups, SHARES, data.draw(st.integers(0, 2**31)))
    for counts in _counted(groups, drawn.__getitem__).values():
        for name in SPLITS:
            off = counts[name] - SHARES[name] * counts.total()
            assert -3 * max(sizes) - 1e-6 <= off <= max(sizes) + 1e-6


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**31), st.integers(1, 3), st.lists(st.integers(1, 9), min_size=2, max_size=4)
)
def test_class_shares_of_every_split_are_within_2_points_where_no_group_is_large(
    seed: int, largest: int, weights: list[int]
) -> None:
    """Where no group is over 1/4000 of the samples, and every group is of one label."""
    rng = np.random.default_rng(seed)
    n = 4000 * largest
    sizes = rng.integers(1, largest + 1, n).tolist()
    labels = rng.choice([*"abcd"[: len(weights)]], n, p=np.array(weights) / sum(weights)).tolist()
    groups = _groups(sizes, labels)
    drawn = draw_splits.share_out(groups, SHARES, seed)
    counts = _counted(groups, drawn.__getitem__)
    overall = {label: c.total() / sum(sizes) for label, c in counts.items()}
    for name in SPLITS:
        held = sum(c[name] for c in counts.values())
        for label, c in counts.items():
            assert abs(c[name] / held - overall[label]) < 0.02


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_two_folds_differ_by_one_group_of_a_class_at_most_and_none_is_empty(
    data: st.DataObject,
) -> None:
    n = data.draw(st.integers(3, 8))
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=n, max_size=100))
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=len(sizes), max_size=len(sizes)))
    groups = _groups(sizes, labels)
    dealt = draw_splits.folds(groups, n, data.draw(st.integers(0, 2**31)))
    assert set(dealt.values()) == set(range(1, n + 1))
    for counts in _counted(groups, lambda name: str(dealt[name])).values():
        held = [counts[str(fold)] for fold in range(1, n + 1)]
        assert max(held) - min(held) <= max(sizes)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from("pqrstu"), max_size=30), st.integers(0, 30), st.integers(0, 9))
def test_later_arrivals_move_nothing_that_is_held(keys: list[str], first: int, seed: int) -> None:
    members = [
        Member(sample_id=f"{n:03d}", label="ab"[n % 2], group_key=key) for n, key in enumerate(keys)
    ]
    alone = draw_splits.assign([], members[:first], NO_TWINS, seed)
    held = [
        Member(
            sample_id=m.sample_id,
            label=m.label,
            group_key=m.group_key,
            group_id=p.group_id,
            split=p.split,
        )
        for m, p in zip(members, alone, strict=False)
    ]
    before = {m.group_key: m.split for m in held}
    placed = draw_splits.assign(held, members[first:], NO_TWINS, seed)
    for newcomer, place in zip(members[first:], placed, strict=True):
        assert place.split == before.get(newcomer.group_key, place.split)


def test_folds_are_named_one_by_one() -> None:
    assert [str(one) for one in split_choice.splittings("own", 3)] == [
        "fold-1-of-3",
        "fold-2-of-3",
        "fold-3-of-3",
    ]
    assert split_choice.splittings("given", 0) == [split_choice.parse("given")]


@pytest.mark.parametrize(
    ("text", "folds", "message"),
    [("own", 2, "at least 3, got 2"), ("own", -1, "got -1"), ("given", 5, "leave out --split")],
)
def test_folds_that_cannot_be_are_refused(text: str, folds: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_choice.splittings(text, folds)
