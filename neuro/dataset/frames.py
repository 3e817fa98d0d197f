"""A pinned release as pixels: one memory-mapped uint8 array that trainer and predictor read."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.problems.problem import Problem
from neuro.sample import Sample
from neuro.splits.split_choice import OWN, Splitting

_PIXELS, _FACTS = "pixels.npy", "frames.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """Pixels and facts of every sample of a release, row by row in sample_id order.

    pixels: (n, size, size, channels) uint8, memory-mapped and read-only. sample_ids, groups,
    splits: (n,) str, under ``splitting``. targets: (n,) int64 class index in the problem's order,
    -1 without a label.
    """

    pixels: NDArray[np.uint8]
    sample_ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    splits: NDArray[np.str_]
    targets: NDArray[np.int64]
    content_hash: str
    preprocess_hash: str
    splitting: Splitting = OWN

    def labelled(self, split: str) -> NDArray[np.int64]:
        """Row numbers of the labelled samples of one split, (m,) int64."""
        return np.flatnonzero((self.splits == split) & (self.targets >= 0)).astype(np.int64)


# Sample ids and their frames, (n, size, size, channels) uint8.
Part = tuple[Sequence[str], NDArray[np.uint8]]
Read = Callable[[PreprocessSpec | None], Iterable[Part]]


def decode(images: Iterable[tuple[str, bytes]], spec: PreprocessSpec | None) -> Part:
    """Decode stored images, (sample_id, bytes); without a spec they are only read to the end."""
    sample_ids, decoded = [], []
    for sample_id, raw in images:
        sample_ids.append(sample_id)
        if spec is not None:
            decoded.append(preprocess.frame(raw, spec))
    return sample_ids, np.stack(decoded) if decoded else np.empty((0, 0, 0, 0), np.uint8)


def build(
    samples: Sequence[Sample], content_hash: str, problem: Problem, read: Read, cache: Path
) -> Frames:
    """Open the cached frames of a release, or decode them once.

    samples: of the release, in sample_id order. read: checks every image of the release against its
    digest, and gives their frames in parts, in any order; without a spec it only checks. It is read
    to the end either way, so that a damaged lake stops a cached run too. The cache is rebuilt when
    the content hash or the preprocess hash changes, or when its own digest no longer holds. The
    folder is written whole or not at all.
    """
    spec = problem.preprocess
    folder = cache / f"{content_hash[:16]}-{spec.sha256[:16]}"
    key = {"content_hash": content_hash, "preprocess_hash": spec.sha256}
    row_of = {sample.sample_id: row for row, sample in enumerate(samples)}
    shape = (len(row_of), spec.size_px, spec.size_px, spec.channels)
    if _is_whole(folder, key):
        for _ in read(None):
            pass
    else:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            whole = Path(scratch, folder.name)
            whole.mkdir(mode=0o700)
            pixels = np.lib.format.open_memmap(
                whole / _PIXELS, mode="w+", dtype=np.uint8, shape=shape
            )
            for sample_ids, part in read(spec):
                pixels[[row_of[sample_id] for sample_id in sample_ids]] = part
            pixels.flush()
            facts = {**key, "sha256": _digest(whole / _PIXELS)}
            (whole / _FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            whole.rename(folder)
    return Frames(
        pixels=np.load(folder / _PIXELS, mmap_mode="r"),
        sample_ids=np.array([s.sample_id for s in samples], dtype=np.str_),
        groups=np.array([s.group_id for s in samples], dtype=np.str_),
        splits=np.array([s.split for s in samples], dtype=np.str_),
        targets=targets(samples, problem),
        content_hash=content_hash,
        preprocess_hash=spec.sha256,
    )


def targets(samples: Sequence[Sample], problem: Problem) -> NDArray[np.int64]:
    """Class index of each sample's label in the problem's order, -1 where it has none. (n,)."""
    index = {name: number for number, name in enumerate(problem.classes)}
    return np.array([index.get(problem.class_of(s.label), -1) for s in samples], dtype=np.int64)


def _is_whole(folder: Path, key: Mapping[str, str]) -> bool:
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        return bool(facts == {**key, "sha256": _digest(folder / _PIXELS)})
    except (OSError, ValueError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
