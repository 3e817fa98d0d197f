"""What made a feature set, how much of a release it covers, and its training frame."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from neuro.features.encoders import EMBEDDING
from neuro.lake import features, point_in_time, releases
from neuro.lake.lake import Lake
from neuro.lake.point_in_time import Wanted
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from tasks.load import encoders
from tasks.load.encoders import Choice
from tasks.record.artifacts import RESEARCH_USE


def show(lake: Lake, problem: Problem, release: Release, choice: Choice) -> dict[str, Any]:
    """Every encoder that made vectors of a set, and how many samples of the release have one.

    is_current: whether this program makes the same vectors; None for an embedding whose model was
    not named. Raises UnknownNameError with near misses.
    """
    samples = releases.samples(lake, release)
    ids = [sample.sample_id for sample in samples]
    is_asked = choice.model or choice.weights or choice.precision
    current = None
    if is_asked or not choice.features.startswith(EMBEDDING):
        settled = encoders.settled(lake, problem, choice)
        current = encoders.named(problem, samples, settled).digest
    made = features.find(lake, encoders.full_name(problem, choice))
    rows = [
        {
            "encoder_hash": one.encoder_hash,
            "preprocess_hash": one.preprocess_hash,
            "width": one.width,
            "images": one.n,
            "covered": len(ids) - len(features.missing(lake, one.name, one.encoder_hash, ids)),
            "is_current": None if current is None else one.encoder_hash == current,
            "code_revisions": list(one.code_revisions),
        }
        for one in made
    ]
    return {"set": made[0].name, "release": release.name, "samples": len(ids), "made_by": rows}


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A training frame to be written. about: what it was made of."""

    parts: Iterator[pa.Table]
    about: Mapping[str, str]


def tables(
    lake: Lake, problem: Problem, release: Release, choice: Choice, splits: Sequence[str]
) -> Frame:
    """The samples of these splits with their vectors, as of the release.

    Reading raises ConfigError where a vector was made by something else or never.
    """
    settled = encoders.settled(lake, problem, choice)
    named = encoders.named(problem, releases.samples(lake, release), settled)
    wanted = Wanted(features=named.name, encoder_hash=named.digest, names=named.names)
    about = {
        "release": release.name,
        "content_hash": release.content_hash,
        "set": named.name,
        "encoder_hash": named.digest,
        "preprocess_hash": named.preprocess_hash,
        "splits": ", ".join(splits),
        "synthetic": str(release.is_synthetic).lower(),
        "notice": RESEARCH_USE,
    }
    parts = point_in_time.tables(lake, release, wanted, problem.class_of, splits)
    return Frame(parts=parts, about=about)


def write(frame: Frame, out: Path) -> dict[str, Any]:
    """Write a frame as Parquet; returns its path, rows and splits."""
    rows = point_in_time.write(frame.parts, frame.about, out)
    return {"frame": str(out), "rows": rows, "splits": frame.about["splits"]}
