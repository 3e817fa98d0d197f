"""What `neuro similar` does: a case or a file, and the nearest cases of a release."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from neuro.errors import ConfigError
from neuro.features import similar_cases
from neuro.features.encoders import THUMB, Encoder
from neuro.features.similar_cases import Blocks, Case, Vectors
from neuro.images import preview
from neuro.lake import features, images, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from neuro.reports import render, similar_cases_page
from neuro.reports.similar_cases_page import Query
from neuro.sample import Sample
from tasks.load import encoders, release_data
from tasks.load.encoders import Choice, Named

_BLOCK = 16_384  # vectors in memory at once
MOST = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """How many cases, of which release (None for the current one), and by which set."""

    choice: Choice
    release: str | None = None
    n: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MOST:
            raise ConfigError(f"-n must be 1 to {MOST}, got {self.n}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The cases nearest to what was asked for, nearest first. stored: its clean bytes."""

    release: Release
    named: Named
    asked: Sample | None
    sha256: str
    stored: bytes
    cases: Sequence[Case]

    def as_dict(self, problem: Problem) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "release": self.release.name,
            "set": self.named.name,
            "encoder_hash": self.named.digest,
            "asked": {"sha256": self.sha256, **(_facts(self.asked, problem) if self.asked else {})},
            "cases": [
                {"sample_id": case.sample.sample_id, "cosine": round(case.cosine, 6)}
                | _facts(case.sample, problem)
                for case in self.cases
            ],
        }


def search(lake: Lake, problem: Problem, asked: str, wanted: Wanted) -> Found:
    """The n samples of a release nearest to a sample or a file, by a feature set.

    Raises ConfigError with the remedy where the set was made by something else or is incomplete,
    BadImageError for a file that is refused.
    """
    pinned = releases.find(lake, problem.dataset, wanted.release)
    samples = {sample.sample_id: sample for sample in releases.samples(lake, pinned)}
    sha256, stored = _asked(lake, problem, pinned, samples, asked)
    choice = encoders.settled(lake, problem, wanted.choice)
    named = encoders.named(problem, list(samples.values()), choice)
    features.require(lake, named.name, named.digest, list(samples))
    if sha256 in samples:
        vector = features.read(lake, named.name, named.digest, [sha256])[0]
    else:
        vector = _encoder(lake, problem, pinned, choice).encode([stored])[0].astype(np.float64)
    scale = None
    if named.names:  # figures of different units
        train = [s.sample_id for s in samples.values() if s.split == "train"]
        scale = similar_cases.scale_of(_blocks(lake, named, train)())
        vector = scale.transform(vector[None])[0]
    blocks = _blocks(lake, named, list(samples), scale)
    near = similar_cases.nearest(blocks, vector, wanted.n + 1, in_any_pose=named.name == THUMB)
    others = [(sample_id, cosine) for sample_id, cosine in near if sample_id != sha256]
    return Found(
        release=pinned,
        named=named,
        asked=samples.get(sha256),
        sha256=sha256,
        stored=stored,
        cases=[Case(sample=samples[s], cosine=cosine) for s, cosine in others[: wanted.n]],
    )


def _asked(
    lake: Lake, problem: Problem, release: Release, samples: Mapping[str, Sample], asked: str
) -> tuple[str, bytes]:
    """Digest and clean bytes of a file, vetted, or of a sample."""
    if Path(asked).is_file():
        clean = similar_cases.vetted(Path(asked))
        return clean.sha256, clean.stored
    meant = similar_cases.find(list(samples.values()), problem, asked)
    ((sample_id, stored),) = images.stored_bytes(lake, release, [meant.sample_id])
    return sample_id, stored


def draw(lake: Lake, problem: Problem, found: Found, out: Path) -> Path:
    """Write the page with the pictures."""
    wanted = [case.sample.sample_id for case in found.cases]
    stored = dict(images.undamaged(lake, found.release, wanted))
    query = Query(
        sha256=found.sha256,
        sample=found.asked,
        release=found.release.name,
        features=found.named.name,
        is_synthetic=found.release.is_synthetic,
    )
    pictures = {sample_id: preview.small(raw) for sample_id, raw in stored.items()}
    pictures[found.sha256] = preview.small(found.stored)
    page = similar_cases_page.build(query, found.cases, pictures, problem.class_of)
    return render.write(out, page)


def _encoder(lake: Lake, problem: Problem, release: Release, choice: Choice) -> Encoder:
    encoder = encoders.chosen(problem, choice)
    if encoder is not None:
        return encoder
    return encoders.fitted(release_data.load(lake, problem, release.name))


def _blocks(
    lake: Lake, named: Named, ids: Sequence[str], scale: StandardScaler | None = None
) -> Blocks:
    """The vectors of these samples, some thousands at a time."""

    def blocks() -> Iterator[tuple[Sequence[str], Vectors]]:
        for start in range(0, len(ids), _BLOCK):
            some = ids[start : start + _BLOCK]
            vectors = features.read(lake, named.name, named.digest, some)
            yield some, scale.transform(vectors) if scale else vectors

    return blocks


def _facts(sample: Sample, problem: Problem) -> dict[str, str]:
    return {
        "label": sample.label,
        "class": problem.class_of(sample.label),
        "split": sample.split,
        "given_split": sample.given_split,
        "group_id": sample.group_id,
        "source_name": sample.source_name,
    }
