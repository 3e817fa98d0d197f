"""The nearest cases to a picture, by the cosine of vectors; memory does not grow with the release.

Thumbnails are compared in the best of eight poses, whatever pose they are kept in.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler, normalize

from neuro.duplicates import pose_invariants
from neuro.errors import BadImageError, ConfigError, UnknownNameError
from neuro.features import feature_set
from neuro.features.encoders import THUMB, Encoder, Fitting
from neuro.images import sandbox
from neuro.images.sandbox import VetConfig
from neuro.images.sanitize import CleanImage
from neuro.lake import features
from neuro.lake.lake import Lake
from neuro.problems.problem import Problem
from neuro.sample import Sample

_BLOCK = 16_384  # vectors in memory at once
SHORTEST = 8  # of a digest that is given by its beginning

Vectors = NDArray[np.float64]
Blocks = Iterator[tuple[Sequence[str], Vectors]]  # sample_ids and their vectors, (m, d)


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
    (result,) = sandbox.check_files([Path(os.path.realpath(path))], VetConfig(workers=1))
    if isinstance(result, CleanImage):
        return result
    raise BadImageError(result.code, f"{path.name} is refused ({result.code}): {result.message}")


def find(samples: Sequence[Sample], problem: Problem, name: str) -> Sample:
    """The sample that is meant by a digest, its beginning, or a source name.

    Raises UnknownNameError where there is none, ConfigError where there are several.
    """
    source_names = {name, problem.name_digest(name)}
    is_digest = len(name) >= SHORTEST
    matches = [
        sample
        for sample in samples
        if sample.source_name in source_names or (is_digest and sample.sample_id.startswith(name))
    ]
    if not matches:
        raise UnknownNameError(
            f"the release holds no sample {name!r}, and it is no file; give a digest (at least "
            f"{SHORTEST} of its characters), a source name or an image file"
        )
    if len(matches) > 1:
        raise ConfigError(f"{len(matches)} samples are named {name!r}; give more of a digest")
    return matches[0]


def nearest(
    blocks: Blocks, query: Vectors, n: int, *, in_any_pose: bool = False
) -> list[tuple[str, float]]:
    """The n sample_ids with the highest cosine to a vector (d,), nearest first, ties by name.

    in_any_pose: the vectors are thumbnails, and the best of eight poses counts.
    """
    best: list[tuple[str, float]] = []
    unit_query = normalize(query[None, :])
    for names, vectors in blocks:
        rows = normalize(vectors)
        if in_any_pose:
            left, right = (pose_invariants.split(v.astype(np.float32)) for v in (unit_query, rows))
            cosines = pose_invariants.best_cosines(left, right)[0]
        else:
            cosines = (rows @ unit_query[0]).astype(np.float32)
        closest = np.argsort(-cosines, kind="stable")[:n]
        best += [(names[row], float(min(cosines[row], 1.0))) for row in closest]
        best = sorted(best, key=lambda case: (-case[1], case[0]))[:n]
    return best


def scale_of(blocks: Blocks) -> StandardScaler:
    """What makes named figures of one size, fitted in one pass; ConfigError without a vector."""
    scaler = StandardScaler()
    for _, vectors in blocks:
        if len(vectors):
            scaler.partial_fit(vectors)
    if not hasattr(scaler, "n_samples_seen_"):
        raise ConfigError("the release has no sample in train to measure the figures by")
    return scaler


def nearest_cases(
    lake: Lake,
    encoder: Encoder | Fitting,
    samples: Sequence[Sample],
    query: Vectors,
    sha256: str,
    n: int,
) -> list[Case]:
    """The n samples nearest to a vector (d,) of an encoder, but for its own image, sha256.

    Figures with names are of different units: they are compared in deviations of the train split.
    """
    scaler = None
    if feature_set.column_names(encoder.name):
        scaler = scale_of(_blocks(lake, encoder, [s for s in samples if s.split == "train"]))
        query = scaler.transform(query[None])[0]
    blocks = _blocks(lake, encoder, samples, scaler)
    closest = nearest(blocks, query, n + 1, in_any_pose=encoder.name == THUMB)
    by_id = {sample.sample_id: sample for sample in samples}
    cases = [
        Case(sample=by_id[sample_id], cosine=cosine)
        for sample_id, cosine in closest
        if sample_id != sha256
    ]
    return cases[:n]


def _blocks(
    lake: Lake,
    encoder: Encoder | Fitting,
    samples: Sequence[Sample],
    scaler: StandardScaler | None = None,
) -> Blocks:
    """The vectors of these samples, some thousands at a time."""
    for start in range(0, len(samples), _BLOCK):
        sample_ids = [sample.sample_id for sample in samples[start : start + _BLOCK]]
        vectors = features.read(lake, encoder.name, encoder.digest, sample_ids)
        yield sample_ids, scaler.transform(vectors) if scaler else vectors
