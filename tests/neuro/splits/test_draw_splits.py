from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro.errors import SplitOverlapError
from neuro.sample import NO_SPLIT, SPLITS
from neuro.splits import draw_splits
from neuro.splits.draw_splits import Assigned, Member

Arrivals = tuple[list[Member], draw_splits.Pairs, int]
NO_TWINS = np.empty((0, 2), np.int64)


def member(number: int, *, label: str = "a", key: str = "") -> Member:
    return Member(sample_id=f"{number:04d}", label=label, group_key=key)


def held(number: int, group_id: str, where: str, key: str = "") -> Member:
    return Member(
        sample_id=f"{number:04d}", label="a", group_key=key, group_id=group_id, split=where
    )


def settle(members: list[Member], placed: list[Assigned]) -> list[Member]:
    return [
        Member(
            sample_id=m.sample_id,
            label=m.label,
            group_key=m.group_key,
            group_id=p.group_id,
            split=p.split,
        )
        for m, p in zip(members, placed, strict=True)
    ]


@st.composite
def two_deliveries(draw: st.DrawFn) -> Arrivals:
    """Members of a first and a second delivery, and twins among all of them."""
    size = draw(st.integers(1, 24))
    facts = st.tuples(st.sampled_from(["a", "b", ""]), st.sampled_from(["", "", "", "p", "q", "r"]))
    members = [
        member(number, label=label, key=key)
        for number, (label, key) in enumerate(draw(st.lists(facts, min_size=size, max_size=size)))
    ]
    row = st.integers(0, size - 1)
    twins = draw(st.lists(st.tuples(row, row), max_size=8))
    first = draw(st.integers(0, size))
    return draw(st.permutations(members)), np.array(twins, np.int64).reshape(-1, 2), first


@settings(max_examples=60, deadline=None, derandomize=True)
@given(two_deliveries())
def test_no_group_crosses_splits_whatever_arrives_in_two_deliveries(arrivals: Arrivals) -> None:
    members, twins, first = arrivals
    known = twins[(twins < first).all(axis=1)]
    old = settle(members[:first], draw_splits.assign([], members[:first], known))
    new = settle(members[first:], draw_splits.assign(old, members[first:], twins))
    everything = old + new
    draw_splits.check_no_overlap([m.group_id for m in everything], [m.split for m in everything])
    cluster_of = draw_splits.clusters(everything, twins)
    for number in set(cluster_of[first:].tolist()):
        came = {m.split for m, n in zip(new, cluster_of[first:], strict=True) if n == number}
        met = {m.split for m, n in zip(old, cluster_of, strict=False) if n == number}
        # Only images between two held splits belong to none, and then all that came do.
        assert came == {NO_SPLIT} if len(met) > 1 else (len(came) == 1 and met <= came)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(two_deliveries())
def test_a_first_delivery_joins_twins_and_keys_and_gives_everyone_a_split(
    arrivals: Arrivals,
) -> None:
    members, twins, _ = arrivals
    placed = draw_splits.assign([], members, twins)
    assert {p.split for p in placed} <= set(SPLITS)
    assert not any(p.bridges for p in placed)
    assert all(placed[a].group_id == placed[b].group_id for a, b in twins.tolist())
    for key in "pqr":
        ids = {p.group_id for m, p in zip(members, placed, strict=True) if m.group_key == key}
        assert len(ids) <= 1


def test_twins_and_keys_join_in_a_chain() -> None:
    members = [member(0), member(1, key="p"), member(2, key="p"), member(3)]
    numbers = draw_splits.clusters(members, np.array([[0, 1]]))
    assert numbers[0] == numbers[1] == numbers[2] != numbers[3]


def test_a_group_is_named_after_its_smallest_digest() -> None:
    placed = draw_splits.assign([], [member(7), member(3), member(5)], np.array([[0, 1]]))
    assert [p.group_id for p in placed] == ["0003", "0003", "0005"]


def test_each_label_is_shared_out_as_configured() -> None:
    members = [member(n, label="ab"[n % 4 == 0]) for n in range(400)]
    placed = draw_splits.assign([], members, NO_TWINS)
    drawn = Counter((m.label, p.split) for m, p in zip(members, placed, strict=True))
    # 300 of one and 100 of the other, at 70, 8, 7 and 15 %.
    expected = {"b": [70, 8, 7, 15], "a": [210, 24, 21, 45]}
    for label, counts in expected.items():
        found = [drawn[label, name] for name in SPLITS]
        np.testing.assert_allclose(found, counts, atol=1)


def test_large_groups_do_not_upset_the_shares() -> None:
    rng = np.random.default_rng(0)
    members = [member(n, key=f"p{rng.integers(80)}") for n in range(600)]
    placed = draw_splits.assign([], members, NO_TWINS)
    drawn = Counter(p.split for p in placed)
    shares = [drawn[name] / 600 for name in SPLITS]
    np.testing.assert_allclose(shares, [0.70, 0.08, 0.07, 0.15], atol=0.02)


def test_large_groups_are_shared_out_like_small_ones() -> None:
    """Dealt first and all to train, they would leave the other splits more varied than it."""
    large = [member(n, key=f"p{n // 10}") for n in range(400)]
    members = large + [member(n) for n in range(400, 1200)]
    placed = draw_splits.assign([], members, NO_TWINS)
    drawn = Counter(p.split for p in placed[:400])
    # 40 groups of ten: 28 to train, give or take two, 6 to test.
    assert drawn["train"] == pytest.approx(280, abs=20)
    assert drawn["test"] == pytest.approx(60, abs=20)


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    members = [member(n) for n in range(60)]
    first = draw_splits.assign([], members, NO_TWINS, seed=1)
    again = draw_splits.assign([], members[::-1], NO_TWINS, seed=1)
    assert first == again[::-1]
    assert first != draw_splits.assign([], members, NO_TWINS, seed=2)


@pytest.mark.parametrize("where", SPLITS)
def test_a_newcomer_joins_the_split_of_its_twin(where: str) -> None:
    placed = draw_splits.assign([held(1, "g", where)], [member(2)], np.array([[0, 1]]))
    assert placed == [Assigned(group_id="g", split=where)]


def test_a_newcomer_joins_the_split_of_its_patient() -> None:
    known = [held(1, "g", "calibration", key="p")]
    placed = draw_splits.assign(known, [member(2, key="p")], NO_TWINS)
    assert placed == [Assigned(group_id="g", split="calibration")]


def test_an_image_between_two_splits_belongs_to_none() -> None:
    known = [held(1, "g", "train"), held(2, "h", "test")]
    placed = draw_splits.assign(known, [member(3)], np.array([[0, 2], [1, 2]]))
    assert placed == [Assigned(group_id="g", split=NO_SPLIT, bridges=True)]


def test_a_bridge_does_not_pull_later_twins_of_one_side_out_of_their_split() -> None:
    known = [held(1, "g", "train"), held(2, "g", NO_SPLIT)]
    placed = draw_splits.assign(known, [member(3)], np.array([[1, 2]]))
    assert placed[0].split == NO_SPLIT
    placed = draw_splits.assign(known, [member(3)], np.array([[0, 2], [1, 2]]))
    assert placed == [Assigned(group_id="g", split="train")]


def test_two_groups_of_one_split_may_be_joined() -> None:
    known = [held(1, "g", "train"), held(2, "h", "train")]
    placed = draw_splits.assign(known, [member(3)], np.array([[0, 2], [1, 2]]))
    assert placed == [Assigned(group_id="g", split="train")]


def test_a_group_in_two_splits_is_named() -> None:
    with pytest.raises(SplitOverlapError, match="group g is in train and test"):
        draw_splits.check_no_overlap(["f", "g", "g"], ["val", "train", "test"])


def test_an_image_without_a_split_overlaps_with_nothing() -> None:
    draw_splits.check_no_overlap(["g", "g", "g"], ["train", NO_SPLIT, "train"])
