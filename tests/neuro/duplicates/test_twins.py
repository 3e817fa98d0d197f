import numpy as np
import pytest

from neuro.duplicates import near_pairs, twins
from neuro.duplicates.twins import Newcomers
from neuro.images.thumbnail import thumbnail
from tests.neuro.pictures import NOISE, near, poses, smooth, vectors


def test_a_crop_of_a_picture_is_its_twin() -> None:
    whole = smooth(1)
    pair = vectors([thumbnail(whole), thumbnail(whole[6:158, 2:154])])
    assert near_pairs.cosines(pair, np.array([[0, 1]]))[0] < 0.97
    assert twins.find(pair, 0, 0.97).tolist() == [[0, 1]]


def test_pairs_of_newcomers_complete_those_of_the_others_to_all() -> None:
    rng = np.random.default_rng(0)
    pictures = [NOISE[n % 5] // (1 + n % 3) for n in range(12)]
    ids, all_of_them = [f"{n:02d}" for n in range(12)], vectors(pictures)
    whole = {tuple(pair) for pair in np.sort(near_pairs.near_pairs(all_of_them, 0, 0.97)).tolist()}
    assert len(whole) > 5
    for first in (0, 5, 12):
        order = rng.permutation(12)
        found = twins.find(all_of_them[order], first, 0.97)
        met = Newcomers(ids=[ids[n] for n in order], first=first, pairs=found)
        completed = met.completed(ids, all_of_them, 0.97)
        assert [tuple(pair) for pair in completed.tolist()] == sorted(whole)


def test_pairs_with_what_a_release_leaves_out_are_none_of_its_own() -> None:
    small = vectors([NOISE[0], NOISE[0] // 2, NOISE[0]])
    met = Newcomers(ids=["a", "b", "c"], first=1, pairs=twins.find(small, 1, 0.97))
    assert met.completed(["b", "c"], small[1:], 0.97).tolist() == [[0, 1]]


@pytest.mark.parametrize("pose", range(8))
def test_a_picture_is_a_twin_in_each_of_its_eight_poses(pose: int) -> None:
    turned = vectors([NOISE[1], poses(NOISE[0])[pose]])
    pairs = twins.find(np.concatenate([vectors([NOISE[2], NOISE[0]]), turned]), 2, 0.97)
    assert pairs.tolist() == [[1, 3]]


def test_different_pictures_are_no_twins() -> None:
    assert twins.find(vectors(list(NOISE)), 0, 0.5).tolist() == []


@pytest.mark.parametrize(("cosine", "found"), [(0.975, [[0, 1]]), (0.965, [])])
def test_the_cosine_is_the_threshold(cosine: float, found: list[list[int]]) -> None:
    pair = vectors([NOISE[0], near(NOISE[0], cosine, NOISE[1])])
    assert twins.find(pair, 1, 0.97).tolist() == found


def test_brightness_and_contrast_do_not_hide_a_twin() -> None:
    dim = (NOISE[0] // 4 + 20).astype(np.uint8)
    assert len(twins.find(vectors([NOISE[0], dim]), 1, 0.99)) == 1


def test_twins_among_the_known_alone_are_not_repeated() -> None:
    known = vectors([NOISE[0], NOISE[0]])
    pairs = twins.find(np.concatenate([known, vectors([NOISE[0].T, NOISE[0][::-1]])]), 2, 0.97)
    assert sorted(map(tuple, pairs.tolist())) == [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_a_flat_thumbnail_is_nobodys_twin() -> None:
    flat = np.full((32, 32), 9, np.uint8)
    assert twins.find(vectors([flat, flat, NOISE[0]]), 1, 0.97).tolist() == []
