"""What `neuro similar` does: a case or a file, and the nearest cases of a release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neuro.errors import ConfigError
from neuro.features import similar_cases
from neuro.features.encoders import EMBEDDING, THUMB, Encoder, Fitting
from neuro.features.feature_set import Choice
from neuro.features.similar_cases import Case
from neuro.images import preview
from neuro.lake import features, images, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from neuro.reports import render, similar_cases_page
from neuro.reports.similar_cases_page import Query
from neuro.sample import Sample
from tasks.load import encoders, release_data, start_weights

MOST = 100
PREFERRED = "tf_efficientnet_lite0"  # the one that was measured: docs/features.md


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """How many cases, of which release (None for the current one), and by which set.

    choice: of no set for the pretrained embedding where the whole release has it, else thumbnails.
    """

    choice: Choice
    release: str | None = None
    n: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MOST:
            raise ConfigError(f"-n must be 1 to {MOST}, got {self.n}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SimilarCases:
    """The cases nearest to a sample or a file, nearest first.

    sample: None for a file that is not in the release. sha256, stored: its digest and clean bytes.
    """

    release: Release
    encoder: Encoder | Fitting
    sample: Sample | None
    sha256: str
    stored: bytes
    cases: Sequence[Case]

    def as_dict(self, problem: Problem) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "release": self.release.name,
            "set": self.encoder.name,
            "encoder_hash": self.encoder.digest,
            **encoders.weights_of(self.encoder),
            "asked": {
                "sha256": self.sha256,
                **(_facts(self.sample, problem) if self.sample else {}),
            },
            "cases": [
                {"sample_id": case.sample.sample_id, "cosine": round(case.cosine, 6)}
                | _facts(case.sample, problem)
                for case in self.cases
            ],
        }


def search(lake: Lake, problem: Problem, query: str, config: SearchConfig) -> SimilarCases:
    """The n samples of a release nearest to a sample or a file, by a feature set.

    Raises ConfigError with the remedy where the set was made by something else or is incomplete,
    BadImageError for a file that is refused.
    """
    pinned = releases.find(lake, problem.dataset, config.release)
    samples = {sample.sample_id: sample for sample in releases.samples(lake, pinned)}
    sha256, stored = _image(lake, problem, pinned, samples, query)
    return _near(lake, problem, config, pinned, samples, sha256, stored)


def near(
    lake: Lake, problem: Problem, sha256: str, stored: bytes, config: SearchConfig
) -> SimilarCases:
    """The same of an image that was vetted, by its digest and clean bytes."""
    pinned = releases.find(lake, problem.dataset, config.release)
    samples = {sample.sample_id: sample for sample in releases.samples(lake, pinned)}
    return _near(lake, problem, config, pinned, samples, sha256, stored)


def _near(
    lake: Lake,
    problem: Problem,
    config: SearchConfig,
    pinned: Release,
    samples: Mapping[str, Sample],
    sha256: str,
    stored: bytes,
) -> SimilarCases:
    choice = config.choice
    if not choice.features:
        choice = _default(lake, problem, choice, list(samples))
    choice = encoders.settled(lake, problem, choice)
    encoder = encoders.chosen(problem, list(samples.values()), choice)
    features.require(lake, encoder.name, encoder.digest, list(samples))
    if sha256 in samples:
        vector = features.read(lake, encoder.name, encoder.digest, [sha256])[0]
    else:
        if isinstance(encoder, Fitting):
            encoder = encoders.fitted(release_data.load(lake, problem, pinned.name), encoder)
        vector = encoder.encode([stored])[0].astype(np.float64)
    return SimilarCases(
        release=pinned,
        encoder=encoder,
        sample=samples.get(sha256),
        sha256=sha256,
        stored=stored,
        cases=similar_cases.nearest_cases(
            lake, encoder, list(samples.values()), vector, sha256, config.n
        ),
    )


def _default(lake: Lake, problem: Problem, choice: Choice, sample_ids: list[str]) -> Choice:
    """The set to compare by where none was named; options without a set are thumbnails' to refuse.

    Nothing is computed and nothing is needed for it: without the weights, thumbnails answer.
    """
    thumbnails = replace(choice, features=THUMB)
    name = f"{EMBEDDING}_{PREFERRED}"
    is_stored = bool(features.encoders(lake, name))
    if choice != Choice(features="") or not is_stored or not start_weights.at_hand(PREFERRED):
        return thumbnails
    pretrained = encoders.settled(lake, problem, Choice(features=name, pretrained=True))
    encoder = encoders.chosen(problem, (), pretrained)
    lacking = features.missing(lake, encoder.name, encoder.digest, sample_ids)
    return thumbnails if lacking else pretrained


def _image(
    lake: Lake, problem: Problem, release: Release, samples: Mapping[str, Sample], query: str
) -> tuple[str, bytes]:
    """Digest and clean bytes of a file, vetted, or of a sample."""
    if Path(query).is_file():
        clean = similar_cases.vetted(Path(query))
        return clean.sha256, clean.stored
    meant = similar_cases.find(list(samples.values()), problem, query)
    ((sample_id, stored),) = images.stored_bytes(lake, release, [meant.sample_id])
    return sample_id, stored


def draw(lake: Lake, problem: Problem, found: SimilarCases, out: Path) -> Path:
    """Write the page with the pictures."""
    query = Query(
        sha256=found.sha256,
        sample=found.sample,
        release=found.release.name,
        features=found.encoder.name,
        is_synthetic=found.release.is_synthetic,
    )
    wanted = [case.sample.sample_id for case in found.cases]
    pictures = dict(images.undamaged(lake, found.release, wanted)) | {found.sha256: found.stored}
    small = {sample_id: preview.small(stored) for sample_id, stored in pictures.items()}
    page = similar_cases_page.build(query, found.cases, small, problem.class_of)
    return render.write(out, page)


def _facts(sample: Sample, problem: Problem) -> dict[str, str]:
    return {
        "label": sample.label,
        "class": problem.class_of(sample.label),
        "split": sample.split,
        "given_split": sample.given_split,
        "group_id": sample.group_id,
        "source_name": sample.source_name,
    }
