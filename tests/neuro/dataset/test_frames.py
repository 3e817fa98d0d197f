from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuro.dataset import frames
from neuro.dataset.frames import Frames, Part
from neuro.images import preprocess, sanitize
from neuro.images.preprocess import PreprocessSpec
from neuro.problems.problem import Problem
from neuro.sample import Sample

Png = Callable[[int], bytes]
Build = Callable[..., Frames]


@pytest.fixture
def stored(png: Png) -> dict[str, bytes]:
    return {f"{seed}": sanitize.clean(png(seed)).stored for seed in range(4)}


def sample(sample_id: str, label: str = "glioma", where: str = "train") -> Sample:
    return Sample(
        sample_id=sample_id,
        group_id=f"g{sample_id}",
        split=where,
        given_split="",
        label=label,
        source_name="",
        entered="",
    )


HASH = "c" * 64
ROWS = [("0", "glioma", "train"), ("1", "notumor", "test"), ("2", "", "train")]
ROWS.append(("3", "cyst", "train"))
SAMPLES = [sample(*row) for row in ROWS]


@pytest.fixture
def build(brain: Problem, stored: dict[str, bytes], tmp_path: Path) -> Build:
    def run(content_hash: str = HASH, asked: Problem = brain) -> Frames:
        backwards = list(reversed(list(stored.items())))

        def read(spec: PreprocessSpec | None) -> Iterator[Part]:
            yield frames.decode(backwards[:1], spec)
            yield frames.decode(backwards[1:], spec)

        return frames.build(SAMPLES, content_hash, asked, read, tmp_path / "cache")

    return run


def only_folder(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "cache").iterdir()
    return folder


def test_rows_follow_the_samples_whatever_order_the_images_come_in(
    build: Build, brain: Problem, stored: dict[str, bytes]
) -> None:
    built = build()
    assert built.sample_ids.tolist() == ["0", "1", "2", "3"]
    assert built.groups.tolist() == ["g0", "g1", "g2", "g3"]
    for row, raw in enumerate(stored.values()):
        expected = preprocess.frame(raw, brain.preprocess)
        np.testing.assert_array_equal(built.pixels[row], expected)


def test_training_and_prediction_give_equal_tensors_for_the_same_bytes(
    build: Build, brain: Problem, stored: dict[str, bytes]
) -> None:
    for intensity in ("unit", "standard"):
        spec = replace(brain.preprocess, intensity=intensity, size_px=48)
        trained = preprocess.to_tensor(build(HASH, replace(brain, preprocess=spec)).pixels, spec)
        for row, raw in enumerate(stored.values()):
            alone = preprocess.to_tensor(preprocess.frame(raw, spec)[None], spec)
            np.testing.assert_array_equal(trained[row : row + 1], alone)


def test_targets_are_in_the_problems_order_and_unknown_labels_have_none(
    build: Build,
) -> None:
    assert build().targets.tolist() == [0, 2, -1, -1]


def test_labelled_rows_are_those_of_one_split(build: Build) -> None:
    built = build()
    assert built.labelled("train").tolist() == [0]
    assert built.labelled("test").tolist() == [1]


def test_pixels_cannot_be_written(build: Build) -> None:
    with pytest.raises(ValueError, match="read-only"):
        build().pixels[0] = 0


def test_the_same_content_is_decoded_once(build: Build, tmp_path: Path) -> None:
    build()
    before = (only_folder(tmp_path) / "pixels.npy").stat()
    build()
    after = (only_folder(tmp_path) / "pixels.npy").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("name", ["pixels.npy", "frames.json"])
def test_a_damaged_cache_is_built_again(build: Build, tmp_path: Path, name: str) -> None:
    expected = np.array(build().pixels)
    path = only_folder(tmp_path) / name
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 255
    path.write_bytes(raw)
    np.testing.assert_array_equal(build().pixels, expected)
    assert only_folder(tmp_path).is_dir()


def test_another_release_or_another_preprocess_is_another_cache(
    build: Build, brain: Problem, tmp_path: Path
) -> None:
    build()
    build("d" * 64)
    small = build(HASH, replace(brain, preprocess=replace(brain.preprocess, size_px=32)))
    assert small.pixels.shape == (4, 32, 32, 1)
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_a_failure_while_decoding_leaves_no_cache(brain: Problem, tmp_path: Path) -> None:
    def broken(spec: PreprocessSpec | None) -> Iterator[Part]:
        yield frames.decode([("0", b"no image")], spec)

    with pytest.raises(OSError, match="cannot identify"):
        frames.build(SAMPLES, HASH, brain, broken, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cached_run_still_reads_every_image(build: Build, brain: Problem, tmp_path: Path) -> None:
    build()

    def damaged(spec: PreprocessSpec | None) -> Iterator[Part]:
        yield frames.decode([("0", b"no image")], spec)
        raise RuntimeError("damaged")

    with pytest.raises(RuntimeError, match="damaged"):
        frames.build(SAMPLES, HASH, brain, damaged, tmp_path / "cache")
