"""Steps that compute what is missing of a feature set."""

from logging import getLogger
from typing import Any

from neuro.features.descriptors import Descriptors
from neuro.features.embedding import Backbone
from neuro.features.encoders import Encoder, Fitting
from neuro.features.feature_set import Choice
from neuro.lake import features
from tasks.load import encoders
from tasks.load.release_data import Loaded
from tasks.record import artifacts
from tasks.runtime import settings, shards
from tasks.runtime.steps import step

DESCRIPTORS = Descriptors().name
DESCRIPTORS_HASH = Descriptors().digest

_log = getLogger(__name__)


def describe(loaded: Loaded) -> dict[str, Any]:
    """Descriptors of the images that have none yet."""
    return compute(loaded, Choice(features=DESCRIPTORS))


def compute(loaded: Loaded, choice: Choice) -> dict[str, Any]:
    """Vectors of the images that have none yet, shard by shard, stored in one commit."""
    wanted = loaded.frames.sample_ids.tolist()
    encoder = encoders.chosen(loaded.problem, loaded.samples, choice)
    lacking = features.missing(loaded.lake, encoder.name, encoder.digest, wanted)
    if isinstance(encoder, Fitting):
        return _pixels(loaded, encoder, lacking)
    facts = _encode(loaded, encoder, lacking)
    if isinstance(encoder, Backbone):
        facts |= encoders.weights_of(encoder) | {"precision": encoder.precision}
        if encoder.weights is None:
            remedy = "give --pretrained or --weights FILE for others"
            _log.warning("%s has %s; %s", encoder.name, encoders.RANDOM, remedy)
    return facts


def _pixels(loaded: Loaded, fitting: Fitting, lacking: list[str]) -> dict[str, Any]:
    """Principal components are fitted first, if there is anything to do with them."""
    if not lacking:
        return _store(loaded, fitting, {})
    encoder = encoders.fitted(loaded, fitting)
    path = encoders.picture(loaded, encoder)
    return _encode(loaded, encoder, lacking) | {"picture": str(path)}


def _encode(loaded: Loaded, encoder: Encoder, lacking: list[str]) -> dict[str, Any]:
    vectors = shards.encode(loaded.lake, loaded.release, encoder, lacking) if lacking else {}
    return _store(loaded, encoder, vectors)


@step(name="store vectors")
def _store(
    loaded: Loaded, encoder: Encoder | Fitting, vectors: dict[str, features.Vector]
) -> dict[str, Any]:
    made_by = {"encoder_hash": encoder.digest, "preprocess_hash": encoder.preprocess_hash}
    made_by |= {"code_revision": settings.load().revision}
    made = features.add(loaded.lake, encoder.name, vectors, made_by)
    _log.info("%d new vectors in features_%s", made, encoder.name)
    facts = {"set": encoder.name, "images": len(loaded.samples), "computed": made}
    facts |= {"encoder_hash": encoder.digest, "release": loaded.release.name}
    artifacts.table("features", [facts], f"Feature set {encoder.name}")
    return facts
