import numpy as np
import pytest

from neuro.errors import ConfigError, UnknownNameError
from neuro.lake import features
from neuro.lake.lake import Lake

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


def test_a_set_made_by_another_encoder_is_refused_with_both_digests_and_the_remedy(
    lake: Lake,
) -> None:
    made, asked = "a" * 64, "b" * 64
    features.add(lake, "mean", VECTORS, MADE_BY | {"encoder_hash": made})
    said = "made by aaaaaaaaaaaa, not by bbbbbbbbbbbb.*run `neuro featurize --set mean`"
    with pytest.raises(ConfigError, match=said):
        features.read(lake, "mean", asked, ["a"])
    with pytest.raises(ConfigError, match=said):
        features.require(lake, "mean", asked, ["a", "b"])


def test_a_set_whose_width_has_changed_keeps_the_old_vectors_beside_the_new(lake: Lake) -> None:
    features.add(lake, "mean", VECTORS, MADE_BY)
    wider = {"a": np.array([1.0, 2.0, 3.0])}
    assert features.add(lake, "mean", wider, MADE_BY | {"encoder_hash": "e2"}) == 1
    assert features.read(lake, "mean", "e1", ["a"]).tolist() == [[1, 2]]
    assert features.read(lake, "mean", "e2", ["a"]).tolist() == [[1, 2, 3]]
    assert features.missing(lake, "mean", "e2", ["a", "b"]) == ["b"]
    assert [(s.name, s.encoder_hash, s.width, s.n) for s in features.sets(lake)] == [
        ("mean", "e1", 2, 2),
        ("mean", "e2", 3, 1),
    ]


def test_a_set_says_which_code_made_it(lake: Lake) -> None:
    features.add(lake, "mean", VECTORS, MADE_BY)
    later = MADE_BY | {"code_revision": "r0"}
    features.add(lake, "mean", {"c": np.array([5.0, 6.0])}, later)
    (made,) = features.find(lake, "mean")
    assert (made.n, made.preprocess_hash, made.code_revisions) == (3, "p", ("r", "r0"))


def test_an_unknown_set_is_told_with_what_is_near_it(lake: Lake) -> None:
    features.add(lake, "mean", VECTORS, MADE_BY)
    with pytest.raises(UnknownNameError, match=r"no feature set 'meen'.*did you mean 'mean'"):
        features.find(lake, "meen")


def test_a_vector_that_is_not_finite_is_not_stored(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="NaN or infinity; nothing is stored"):
        features.add(lake, "mean", {"a": np.array([1.0, np.nan])}, MADE_BY)
    assert not lake.has("features_mean")


def test_many_vectors_come_back_where_they_belong(lake: Lake) -> None:
    ids = [f"{n:064x}" for n in range(700)]
    features.add(lake, "mean", {s: np.array([n, -n]) for n, s in enumerate(ids)}, MADE_BY)
    wanted = ids[::-1]
    assert features.read(lake, "mean", "e1", wanted)[:, 0].tolist() == list(range(700))[::-1]
    assert features.missing(lake, "mean", "e1", [*ids, "f" * 64]) == ["f" * 64]
