import numpy as np
import pytest

from neuro.duplicates import crops, near_pairs
from neuro.images.thumbnail import thumbnail
from neuro.splits import draw_splits
from tests.neuro.pictures import poses, smooth, vectors

SIDE = 160
WHOLES = [smooth(seed) for seed in range(60)]
ALONE = np.arange(len(WHOLES) + 1)


def found(crop: np.ndarray, first: int = len(WHOLES)) -> list[list[int]]:
    rows = vectors([*(thumbnail(whole) for whole in WHOLES), thumbnail(crop)])
    pairs: list[list[int]] = crops.pairs(rows, first, ALONE).tolist()
    return pairs


@pytest.mark.parametrize("kept", [0.9, 0.925, 0.95, 0.975])
@pytest.mark.parametrize(("down", "across"), [(0, 0), (0, 1), (0.5, 0.5), (1, 0.3)])
def test_a_mild_crop_is_found_wherever_it_lies(kept: float, down: float, across: float) -> None:
    side = round(SIDE * kept)
    top, left = round((SIDE - side) * down), round((SIDE - side) * across)
    assert found(WHOLES[7][top : top + side, left : left + side]) == [[7, len(WHOLES)]]


@pytest.mark.parametrize("pose", range(8))
def test_a_crop_is_found_in_each_of_its_eight_poses(pose: int) -> None:
    cut = WHOLES[5][4:156, 7:159]
    assert found(np.ascontiguousarray(poses(cut)[pose])) == [[5, len(WHOLES)]]


def test_a_crop_that_is_darker_and_flatter_is_found() -> None:
    assert found((WHOLES[3][4:156, 7:159] // 2 + 9).astype(np.uint8)) == [[3, len(WHOLES)]]


def test_half_a_picture_is_no_mild_crop() -> None:
    assert found(WHOLES[3][:80, :80]) == []


def test_another_picture_is_no_crop() -> None:
    assert found(smooth(1000)[4:156, 7:159]) == []


def test_pictures_that_are_joined_already_are_not_told_again() -> None:
    cut = thumbnail(WHOLES[0][4:156, 7:159])
    rows = vectors([*(thumbnail(whole) for whole in WHOLES), cut])
    joined = draw_splits.connected(len(rows), np.array([[0, len(WHOLES)]]))
    assert crops.pairs(rows, 0, joined).tolist() == []


def test_a_whole_that_comes_after_its_crop_is_found() -> None:
    cuts = [thumbnail(whole[4:156, 7:159]) for whole in WHOLES]
    rows = vectors([*cuts, thumbnail(WHOLES[9])])
    assert crops.pairs(rows, len(cuts), ALONE).tolist() == [[9, len(cuts)]]


def test_of_pictures_that_were_compared_before_none_is_told() -> None:
    rows = vectors([thumbnail(WHOLES[0]), thumbnail(WHOLES[0][4:156, 7:159]), thumbnail(WHOLES[1])])
    assert crops.pairs(rows, 2, np.arange(3)).tolist() == []


def test_the_search_misses_few_crops_that_a_plain_cosine_does_not_see() -> None:
    rng = np.random.default_rng(0)
    cuts = []
    for whole in WHOLES:
        top, left = rng.integers(9, size=2)
        cuts.append(thumbnail(whole[top : top + 152, left : left + 152]))
    rows = vectors([*map(thumbnail, WHOLES), *cuts])
    pairs = [[n, n + len(WHOLES)] for n in range(len(WHOLES))]
    assert (near_pairs.cosines(rows, np.array(pairs)) < 0.97).mean() > 0.5
    told = crops.pairs(rows, 0, np.arange(len(rows))).tolist()
    assert sum(pair in told for pair in pairs) >= 0.98 * len(pairs)
    assert len(told) <= len(pairs)
