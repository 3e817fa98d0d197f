"""The nearest cases to a picture, by the cosine of vectors; memory does not grow with the release.

Thumbnails are compared in the best of eight poses, whatever pose they are kept in.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuro.duplicates import pose_invariants
from neuro.errors import BadImageError, ConfigError, UnknownNameError
from neuro.images import sandbox
from neuro.images.sandbox import VetConfig
from neuro.images.sanitize import CleanImage
from neuro.problems.problem import Problem
from neuro.sample import Sample

SHORTEST = 8  # of a digest that is given by its beginning

Vectors = NDArray[np.float64]
Blocks = Callable[[], Iterator[tuple[Sequence[str], Vectors]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A sample of the release and how near it is: 1 for the same direction, 0 for none."""

    sample: Sample
    cosine: float


def vetted(path: Path) -> CleanImage:
    """The clean bytes of an untrusted file, decoded in a limited child and kept nowhere.

    Raises ConfigError for no such file, BadImageError with the reason why it is refused.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is no file; give an image, or a sample of the release")
    (found,) = sandbox.check_files([path], VetConfig(workers=1))
    if isinstance(found, CleanImage):
        return found
    raise BadImageError(found.code, f"{path.name} is refused ({found.code}): {found.message}")


def find(samples: Sequence[Sample], problem: Problem, asked: str) -> Sample:
    """The sample that is meant by a digest, its beginning, or a source name.

    Raises UnknownNameError where there is none, ConfigError where there are several.
    """
    names = {asked, problem.name_digest(asked)}
    found = [s for s in samples if _is_meant(s, asked, names)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{len(found)} samples are named {asked!r}; give more of a digest")
    raise UnknownNameError(
        f"the release holds no sample {asked!r}, and it is no file; give a digest (at least "
        f"{SHORTEST} of its characters), a source name or an image file"
    )


def nearest(
    blocks: Blocks, query: Vectors, n: int, *, in_any_pose: bool = False
) -> list[tuple[str, float]]:
    """The n sample_ids with the highest cosine to a vector (d,), nearest first, ties by name.

    in_any_pose: the vectors are thumbnails, and the best of eight poses counts.
    """
    best: list[tuple[str, float]] = []
    unit = _unit(query[None, :])
    mine = pose_invariants.split(unit.astype(np.float32)) if in_any_pose else None
    for names, vectors in blocks():
        rows = _unit(vectors)
        if mine is not None:
            cosines = pose_invariants.best_cosines(
                mine, pose_invariants.split(rows.astype(np.float32))
            )[0]
        else:
            cosines = (rows @ unit[0]).astype(np.float32)
        closest = np.argsort(-cosines, kind="stable")[:n]
        best += [(names[row], float(min(cosines[row], 1.0))) for row in closest]
        best = sorted(best, key=lambda pair: (-pair[1], pair[0]))[:n]
    return best


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """What makes named figures of one size: mean and deviation over some samples, (d,) each."""

    mean: Vectors
    deviation: Vectors

    def apply(self, vectors: Vectors) -> Vectors:
        """(n, d) or (d,), each figure in deviations from its mean."""
        return (vectors - self.mean) / self.deviation


def scale_of(blocks: Iterator[tuple[Sequence[str], Vectors]]) -> Scale:
    """Of every vector of the blocks, in one pass; a figure that never varies keeps its size."""
    n, total, squares = 0, np.zeros(1), np.zeros(1)
    for _, vectors in blocks:
        n += len(vectors)
        total = total + vectors.sum(axis=0)
        squares = squares + np.square(vectors).sum(axis=0)
    if not n:
        raise ConfigError("the release has no sample in train to measure the figures by")
    mean = total / n
    deviation = np.sqrt(np.maximum(squares / n - np.square(mean), 0))
    return Scale(mean=mean, deviation=np.where(deviation > 1e-9, deviation, 1.0))


def _is_meant(sample: Sample, asked: str, names: set[str]) -> bool:
    begins = len(asked) >= SHORTEST and sample.sample_id.startswith(asked)
    return begins or sample.source_name in names


def _unit(vectors: Vectors) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: Vectors = vectors / np.where(length > 0, length, 1)
    return rows
