"""Steps that compute what is missing of a feature set."""

import hashlib
from logging import getLogger
from typing import Any

import numpy as np

from monitoring import descriptors
from neuro import inference
from neuro.store import features, images
from tasks import artifacts, settings
from tasks.data import Loaded
from tasks.models import Model
from tasks.steps import step

DESCRIPTORS = "descriptors"
DESCRIPTORS_HASH = hashlib.sha256(descriptors.VERSION.encode()).hexdigest()

_log = getLogger(__name__)


@step(name="describe")
def describe(loaded: Loaded) -> dict[str, Any]:
    """Descriptors of the images that have none yet."""
    wanted = loaded.frames.sample_ids.tolist()
    lacking = features.missing(loaded.lake, DESCRIPTORS, DESCRIPTORS_HASH, wanted)
    vectors: dict[str, features.Vector] = {
        sample_id: descriptors.describe(raw)
        for sample_id, raw in images.stored_bytes(loaded.lake, loaded.release, lacking)
    }
    made_by = {"encoder_hash": DESCRIPTORS_HASH, "preprocess_hash": ""}
    return _add(loaded, DESCRIPTORS, vectors, made_by)


@step(name="embed")
def embed(loaded: Loaded, model: Model) -> dict[str, Any]:
    """The model's own embedding of the images that have none yet."""
    name, digest = f"embedding_{loaded.problem.name}", model.package.digest
    wanted = loaded.frames.sample_ids.tolist()
    lacking = features.missing(loaded.lake, name, digest, wanted)
    rows = np.flatnonzero(np.isin(loaded.frames.sample_ids, lacking)).astype(np.int64)
    inference.require_same_preprocess(model.engine, loaded.frames)
    _, embeddings = inference.outputs(model.engine, loaded.frames.pixels, rows=rows)
    vectors = dict(zip(loaded.frames.sample_ids[rows].tolist(), embeddings, strict=True))
    made_by = {"encoder_hash": digest, "preprocess_hash": loaded.frames.preprocess_hash}
    return _add(loaded, name, vectors, made_by)


def _add(
    loaded: Loaded, name: str, vectors: dict[str, features.Vector], made_by: dict[str, str]
) -> dict[str, Any]:
    revision = settings.load().revision
    made = features.add(loaded.lake, name, vectors, made_by | {"code_revision": revision})
    _log.info("%d new vectors in features_%s", made, name)
    facts = {"set": name, "images": len(loaded.samples), "computed": made}
    artifacts.table("features", [facts], f"Feature set {name}")
    return facts
