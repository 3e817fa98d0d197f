"""Compute what is missing of a feature set."""

from typing import Any, Literal

from prefect import flow

from neuro.features.feature_set import Choice
from neuro.problems import problem as problems
from tasks import featurize as steps
from tasks.load import release_data
from tasks.runtime import runners


@flow(
    name="featurize",
    flow_run_name="featurize {problem} {features}",
    task_runner=runners.ConfiguredRunner(),
)
def featurize(
    problem: str = "brain",
    features: str = "descriptors",
    model: str = "",
    weights: str = "",
    precision: Literal["", "bf16", "f32"] = "",
    pretrained: bool = False,
    release: str | None = None,
    lake: str | None = None,
) -> dict[str, Any]:
    """Fill a feature set of a release; only missing vectors are computed.

    Every image is read nevertheless, to compare it with its digest.

    features: descriptors, thumb, pixels_pca or embedding_NAME, for any timm name; embedding is the
    penultimate layer of ``model``. weights: a local safetensors file. pretrained: the weights that
    this machine has of the network. precision: by default the fastest here. Returns set, images,
    computed, encoder_hash and release; of an architecture also whose weights it has.
    """
    question = problems.load(problem)
    loaded = release_data.load(release_data.open_lake(lake), question, release)
    choice = Choice(
        features=features,
        model=model,
        weights=weights,
        precision=precision,
        pretrained=pretrained,
    )
    return steps.compute(loaded, choice)
