import numpy as np
import pytest

from neuro.duplicates import near_pairs
from neuro.passport import passport as passports
from neuro.passport.passport import Inspected
from neuro.splits.draw_splits import Member
from tests.neuro.pictures import NOISE, near, poses, smooth, vectors


def inspected(
    pictures: list[np.ndarray], labels: str, splits: list[str], given: list[str] | None = None
) -> Inspected:
    """Each picture is its own group; labels holds one letter each, a dot for none."""
    members = [
        Member(
            sample_id=f"{n}",
            label=label.strip("."),
            group_key="",
            group_id=f"g{n}",
            split=where,
        )
        for n, (label, where) in enumerate(zip(labels, splits, strict=True))
    ]
    small = vectors(pictures)
    return Inspected(
        members=members,
        given_splits=given or [""] * len(members),
        vectors=small,
        near=near_pairs.near_pairs(small, 0, 0.97),
    )


def passport(data: Inspected) -> passports.Passport:
    return passports.inspect(data, is_synthetic=False)


def test_exact_and_near_twins_are_counted_by_cluster() -> None:
    pictures = [NOISE[0], NOISE[0].T, NOISE[0][::-1], NOISE[1], near(NOISE[1], 0.98, NOISE[2])]
    twins = passport(inspected([*pictures, NOISE[3]], "aaaaaa", ["train"] * 6)).twins
    assert (twins.exact_groups, twins.near_groups) == (1, 2)


def test_twins_of_two_labels_are_counted_and_those_without_a_label_are_not() -> None:
    pictures = [poses(NOISE[n])[p] for n in range(3) for p in (0, 3)]
    assert passport(inspected(pictures, "abccd.", ["train"] * 6)).twins.cross_label_groups == 1


def test_given_test_images_with_a_twin_in_given_train_are_counted() -> None:
    # Two test images share two train twins; two are twins in test only; one has none.
    pictures = [*poses(NOISE[0])[:4], NOISE[1], NOISE[1].T, NOISE[2]]
    given = ["train", "train", "test", "test", "test", "test", "test"]
    twins = passport(inspected(pictures, "aaaaaaa", ["train"] * 7, given)).twins
    assert (twins.given_test_with_train_twin, twins.given_test) == (2, 5)


def test_the_look_up_copies_the_label_of_the_nearest_training_image() -> None:
    pictures = [
        NOISE[0],  # train a
        NOISE[1],  # train b
        near(NOISE[0], 0.8, NOISE[2]),  # test a: right
        near(NOISE[1], 0.8, NOISE[3])[::-1],  # test b, turned over: right
        near(NOISE[1], 0.6, NOISE[4]),  # test a: nearest is b, wrong
        near(NOISE[0], 0.9, NOISE[5]),  # val a: not part of it
        near(NOISE[0], 0.7, NOISE[5]),  # test without a label: not part of it
    ]
    splits = ["train", "train", "test", "test", "test", "val", "test"]
    given = ["train", "test", "train", "", "test", "", "test"]
    lookup = passport(inspected(pictures, "abababa"[:4] + "aa.", splits, given)).lookup
    assert lookup.test == pytest.approx(2 / 3)
    # Given split: train is 0 and 2, both a; test is 1 (b, wrong) and 4 (a, right).
    assert lookup.given == 0.5


def test_random_splits_leak_twins_and_grouped_ones_do_not() -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (40, 32, 32)).astype(np.uint8)
    pictures = [pose for picture in noise for pose in poses(picture)[:3]]
    labels = "".join("ab"[rng.integers(2)] * 3 for _ in noise)
    lookup = passport(inspected(pictures, labels, ["train"] * 120)).lookup
    assert lookup.random is not None
    assert lookup.grouped is not None
    assert lookup.random > 0.9
    assert lookup.grouped < 0.75
    assert (lookup.given, lookup.test) == (None, None)


def test_a_passport_counts_images_groups_labels_and_splits() -> None:
    written = passport(inspected(list(NOISE[:4]), "aab.", ["train", "train", "test", "none"]))
    assert (written.images, written.groups) == (4, 4)
    assert written.labels == {"": 1, "a": 2, "b": 1}
    assert written.splits == {"none": 1, "test": 1, "train": 2}
    twins = written.as_dict()["twins"]
    assert isinstance(twins, dict)
    assert twins["near_groups"] == 0


def test_nothing_has_a_passport_too() -> None:
    none = np.empty((0, 2), np.int64)
    written = passport(Inspected(members=[], given_splits=[], vectors=vectors([]), near=none))
    assert (written.images, written.lookup.random) == (0, None)


def test_a_file_in_both_given_splits_leaks_and_the_look_up_finds_it_again() -> None:
    pictures, given = [NOISE[0], NOISE[1], NOISE[2]], ["train", "train+test", "test"]
    found = passport(inspected(pictures, "aba", ["train"] * 3, given))
    assert (found.twins.given_test_with_train_twin, found.twins.given_test) == (1, 2)
    # Of the two, the one that is in training too is found for certain.
    assert found.lookup.given is not None
    assert found.lookup.given >= 0.5


def test_a_label_in_doubt_stands_beside_the_labels_of_its_similar_pictures() -> None:
    rng = np.random.default_rng(2)
    pictures = [
        np.clip(smooth(n % 2, 32) + rng.normal(0, 12, (32, 32)), 0, 255).astype(np.uint8)
        for n in range(80)
    ]
    labels = "ab" * 40
    labels = "." + labels[1:9] + "a" + labels[10:]  # row 9 is a b; row 0 is not asked
    first = passport(inspected(pictures, labels, ["train"] * 80)).label_suspects[0]
    assert (first["sample_id"], first["label"], first["suggested"]) == ("9", "a", "b")
    similar = first["neighbours"]
    assert isinstance(similar, list)
    assert {each["label"] for each in similar} == {"b"}
    assert all(int(each["sample_id"]) % 2 for each in similar)
