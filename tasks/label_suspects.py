"""What `neuro features suspects` does: the labels of a release that an embedding does not bear out.

Nothing is written: the passport of the release stays as it was sealed.
"""

from typing import Any

import numpy as np

from neuro.errors import ConfigError
from neuro.features import label_suspects
from neuro.features.encoders import EMBEDDING
from neuro.features.feature_set import Choice
from neuro.lake import features, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from tasks.load import encoders


def find(lake: Lake, problem: Problem, release: Release, choice: Choice) -> dict[str, Any]:
    """The suspects of a release by an embedding that is stored, worst first, and whose it is.

    Raises ConfigError for a set that is no embedding, is incomplete, or was made by something else.
    """
    if not choice.features.startswith(EMBEDDING):
        raise ConfigError(
            f"labels are ranked by an embedding here, not by {choice.features!r}; `neuro passport` "
            "ranks them by thumbnails"
        )
    samples = [sample for sample in releases.samples(lake, release) if sample.label]
    encoder = encoders.chosen(problem, samples, encoders.settled(lake, problem, choice))
    ids = [sample.sample_id for sample in samples]
    vectors = features.read(lake, encoder.name, encoder.digest, ids).astype(np.float32)
    labels = np.array([problem.class_of(sample.label) for sample in samples], np.str_)
    suspects = label_suspects.rank(vectors, labels, [sample.group_id for sample in samples])
    return {
        "release": release.name,
        "set": encoder.name,
        "encoder_hash": encoder.digest,
        **encoders.weights_of(encoder),
        "samples": len(samples),
        "suspects": [
            {
                "sample_id": ids[suspect.row],
                "score": suspect.score,
                "label": str(labels[suspect.row]),
                "suggested": suspect.suggested,
                "source_name": samples[suspect.row].source_name,
                "neighbours": [
                    {"sample_id": ids[row], "label": str(labels[row])} for row in suspect.neighbours
                ],
            }
            for suspect in suspects
        ],
    }
