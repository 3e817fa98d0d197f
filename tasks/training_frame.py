"""What made a feature set, how much of a release it covers, and its training frame."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuro.features import feature_set, training_frame
from neuro.features.encoders import EMBEDDING
from neuro.features.feature_set import Choice
from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from tasks.load import encoders


def show(lake: Lake, problem: Problem, release: Release, choice: Choice) -> dict[str, Any]:
    """Every encoder that made vectors of a set, and how many samples of the release have one.

    is_current: whether this program makes the same vectors; None for an embedding whose model was
    not named. Raises UnknownNameError with near misses.
    """
    samples = releases.samples(lake, release)
    current, weights = None, {}
    options = (choice.model, choice.weights, choice.precision, choice.pretrained)
    is_model_named = any(options)
    if is_model_named or not choice.features.startswith(EMBEDDING):
        settled = encoders.settled(lake, problem, choice)
        encoder = encoders.chosen(problem, samples, settled)
        current, weights = encoder.digest, encoders.weights_of(encoder)
    ids = [sample.sample_id for sample in samples]
    name = feature_set.full_name(problem, choice)
    made_by = training_frame.coverage(lake, ids, name, current)
    facts = {"set": name, "release": release.name, "samples": len(ids), "made_by": made_by}
    return facts | weights


def write(
    lake: Lake,
    problem: Problem,
    release: Release,
    choice: Choice,
    splits: Sequence[str],
    out: Path,
) -> dict[str, Any]:
    """See ``neuro.features.training_frame.write``."""
    settled = encoders.settled(lake, problem, choice)
    encoder = encoders.chosen(problem, releases.samples(lake, release), settled)
    return training_frame.write(lake, problem, release, encoder, splits, out)
