import numpy as np
import pytest

from neuro.errors import ConfigError
from neuro.store import features
from neuro.store.lake import Lake

MADE_BY = {"encoder_hash": "e1", "preprocess_hash": "p", "code_revision": "r"}
VECTORS = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0], np.float32)}


def test_vectors_come_back_in_the_order_asked_for(lake: Lake) -> None:
    assert features.add(lake, "mean", VECTORS, MADE_BY) == 2
    read = features.read(lake, "mean", "e1", ["b", "a"])
    assert read.dtype == np.float64
    assert read.tolist() == [[3, 4], [1, 2]]


def test_a_vector_is_computed_once(lake: Lake) -> None:
    features.add(lake, "mean", VECTORS, MADE_BY)
    assert features.add(lake, "mean", {"a": np.array([9.0, 9.0])}, MADE_BY) == 0
    assert features.read(lake, "mean", "e1", ["a"]).tolist() == [[1, 2]]


def test_what_is_missing_is_told_in_order(lake: Lake) -> None:
    assert features.missing(lake, "mean", "e1", ["c", "a"]) == ["c", "a"]
    features.add(lake, "mean", VECTORS, MADE_BY)
    assert features.missing(lake, "mean", "e1", ["d", "a", "c"]) == ["d", "c"]


def test_another_encoder_has_its_own_vectors(lake: Lake) -> None:
    features.add(lake, "mean", VECTORS, MADE_BY)
    assert features.missing(lake, "mean", "e2", ["a"]) == ["a"]
    features.add(lake, "mean", {"a": np.array([5.0, 6.0])}, MADE_BY | {"encoder_hash": "e2"})
    assert features.read(lake, "mean", "e2", ["a"]).tolist() == [[5, 6]]
    assert features.read(lake, "mean", "e1", ["a"]).tolist() == [[1, 2]]


def test_a_vector_never_computed_names_the_remedy(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="lacks 1 images; run `neuro featurize --set mean`"):
        features.read(lake, "mean", "e1", ["a"])


def test_adding_nothing_makes_no_table(lake: Lake) -> None:
    assert features.add(lake, "mean", {}, MADE_BY) == 0
    assert not lake.has("features_mean")
