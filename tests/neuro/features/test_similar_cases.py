from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuro.duplicates import twins
from neuro.errors import BadImageError, ConfigError, UnknownNameError
from neuro.features import similar_cases
from neuro.problems import problem
from neuro.sample import Sample


def sample(sample_id: str, name: str = "") -> Sample:
    return Sample(
        sample_id=sample_id,
        group_id=sample_id,
        split="train",
        given_split="",
        label="glioma",
        source_name=name,
        entered="r",
    )


def blocks(vectors: np.ndarray, size: int = 3) -> similar_cases.Blocks:
    names = [f"{n}" for n in range(len(vectors))]
    for start in range(0, len(vectors), size):
        yield names[start : start + size], vectors[start : start + size]


def test_the_nearest_are_those_with_the_largest_cosine_whatever_their_length() -> None:
    rows = np.array([[1, 0], [0.1, 0.1], [0, 9], [-1, 0], [5, 1], [0, 0]], np.float64)
    found = similar_cases.nearest(blocks(rows), np.array([2.0, 0.0]), 3)
    assert [name for name, _ in found] == ["0", "4", "1"]
    # 5 / sqrt(26), and the diagonal's 1 / sqrt(2).
    assert [cosine for _, cosine in found] == pytest.approx([1, 0.98058, 0.70711], abs=1e-4)


def test_blocks_of_any_size_give_the_same_cases() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 8))
    found = [similar_cases.nearest(blocks(rows, size), rows[7], 5) for size in (1, 7, 50)]
    assert found[0] == found[1] == found[2]
    assert found[0][0][0] == "7"


def test_thumbnails_are_compared_in_the_best_of_eight_poses() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    poses = [np.rot90(side, turns) for side in (grey, grey[:, ::-1]) for turns in range(4)]
    rows = twins.vectors([pose.tobytes() for pose in poses]).astype(np.float64)
    found = similar_cases.nearest(blocks(rows), rows[0], 8, in_any_pose=True)
    assert [cosine for _, cosine in found] == pytest.approx([1] * 8, abs=1e-5)
    assert similar_cases.nearest(blocks(rows), rows[0], 2)[1][1] < 0.5


def test_figures_are_measured_in_their_deviations() -> None:
    rows = np.array([[0, 100, 5], [2, 300, 5]], np.float64)
    scale = similar_cases.scale_of(blocks(rows))
    assert scale.transform(rows).tolist() == [[-1, -1, 0], [1, 1, 0]]


def test_figures_of_no_sample_cannot_be_measured() -> None:
    with pytest.raises(ConfigError, match="no sample in train"):
        similar_cases.scale_of(blocks(np.empty((0, 2))))


@pytest.mark.parametrize("asked", ["abcdef0123", "scan 7.png", "a" * 64])
def test_a_sample_is_found_by_digest_beginning_and_name(asked: str) -> None:
    brain = problem.load("brain")
    held = [
        sample("abcdef0123" + "0" * 54),
        sample("a" * 64),
        sample("b" * 64, brain.name_digest("scan 7.png")),
    ]
    found = similar_cases.find(held, brain, asked)
    assert found == {"abcdef0123": held[0], "a" * 64: held[1]}.get(asked, held[2])


def test_a_beginning_that_two_share_is_refused() -> None:
    held = [sample("abcdef01" + c * 56) for c in "12"]
    with pytest.raises(ConfigError, match="2 samples are named"):
        similar_cases.find(held, problem.load("brain"), "abcdef01")


def test_a_beginning_that_is_too_short_names_nobody() -> None:
    with pytest.raises(UnknownNameError, match="holds no sample 'abc', and it is no file"):
        similar_cases.find([sample("abc" + "1" * 61)], problem.load("brain"), "abc")


def test_a_file_is_vetted_before_anything_decodes_it(
    tmp_path: Path, png: Callable[[int], bytes]
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(png(0))
    bad.write_bytes(png(0)[:400])
    assert similar_cases.vetted(good).width == 40
    with pytest.raises(BadImageError, match=r"bad.png is refused \(damaged\)"):
        similar_cases.vetted(bad)
