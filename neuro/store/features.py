"""Feature sets: one table each, keyed by image digest and by the hash of what made the vectors."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from neuro.errors import ConfigError
from neuro.store.lake import Lake, quoted
from neuro.store.tables import feature_schema

Vector = NDArray[np.float32] | NDArray[np.float64]


def missing(lake: Lake, name: str, encoder_hash: str, wanted: Sequence[str]) -> list[str]:
    """Which of the wanted images have no vector of this encoder yet, in the order given."""
    held = _held(lake, name, encoder_hash, ["sha256"])
    known = set(held["sha256"].to_pylist()) if held is not None else set()
    return [sample_id for sample_id in wanted if sample_id not in known]


def add(lake: Lake, name: str, vectors: Mapping[str, Vector], made_by: Mapping[str, str]) -> int:
    """Store vectors by image digest; returns how many were new.

    made_by: encoder_hash, preprocess_hash and code_revision.
    """
    if not vectors:
        return 0
    width = len(next(iter(vectors.values())))
    rows = [
        {"sha256": sample_id, "vector": vector.astype(np.float32).tolist(), **made_by}
        for sample_id, vector in vectors.items()
    ]
    return lake.add(_table(name), pa.Table.from_pylist(rows, feature_schema(width)))


def read(lake: Lake, name: str, encoder_hash: str, wanted: Sequence[str]) -> NDArray[np.float64]:
    """Vectors of the wanted images, (n, d) float64 in their order.

    Raises ConfigError naming the remedy where one was never computed by this encoder.
    """
    held = _held(lake, name, encoder_hash, ["sha256", "vector"])
    vectors = (
        dict(zip(held["sha256"].to_pylist(), held["vector"].to_pylist(), strict=True))
        if held is not None
        else {}
    )
    if lacking := [sample_id for sample_id in wanted if sample_id not in vectors]:
        raise ConfigError(
            f"feature set {name} lacks {len(lacking)} images; run `neuro featurize --set {name}`"
        )
    return np.array([vectors[sample_id] for sample_id in wanted], dtype=np.float64)


def _held(lake: Lake, name: str, encoder_hash: str, columns: list[str]) -> pa.Table | None:
    if not lake.has(_table(name)):
        return None
    return lake.read(_table(name), columns=columns, where=f"encoder_hash = {quoted(encoder_hash)}")


def _table(name: str) -> str:
    return f"features_{name}"
