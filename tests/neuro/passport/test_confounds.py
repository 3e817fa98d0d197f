import numpy as np
import pytest

from neuro.duplicates import twins
from neuro.passport import confounds
from neuro.passport.confounds import Confound
from tests.neuro.pictures import vectors

RNG = np.random.default_rng(0)
LABELS = np.array(["a", "b"] * 100)
GROUPS = [f"g{n // 2}" for n in range(200)]  # one of each label in each group


def measured(**traits: np.ndarray) -> dict[str, Confound]:
    return {one.name: one for one in confounds.measure(traits, LABELS, GROUPS)}


def test_a_trait_that_gives_the_class_away_is_named() -> None:
    mode = np.where(LABELS == "a", "L", "RGB")
    found = measured(mode=mode, width=RNG.integers(100, 900, 200).astype(float))
    assert (found["mode"].accuracy, found["mode"].is_named) == (1.0, True)
    assert not found["width"].is_named


def test_a_trait_that_is_the_group_alone_tells_nothing() -> None:
    found = measured(site=np.array([f"site {n // 20}" for n in range(200)]))
    assert found["site"].balanced == pytest.approx(0.5, abs=0.1)
    assert not found["site"].is_named


def test_all_traits_together_tell_what_none_tells_alone() -> None:
    left = RNG.integers(0, 2, 200)
    right = left ^ (LABELS == "a")
    found = measured(left=left.astype(float), right=right.astype(float))
    assert found["left"].balanced < 0.65 < 0.9 < found[confounds.ALL].balanced


def test_chance_is_the_share_of_the_commonest_label() -> None:
    labels = np.array(["a"] * 150 + ["b"] * 50)
    found = confounds.measure({"width": RNG.random(200)}, labels, [str(n) for n in range(200)])
    assert found[0].chance == 0.75


@pytest.mark.parametrize("labels", [["a"] * 60, ["a", "b"] * 24])
def test_of_one_label_and_of_few_samples_nothing_is_said(labels: list[str]) -> None:
    n = len(labels)
    traits = {"width": np.arange(n).astype(float)}
    assert confounds.measure(traits, np.array(labels), [str(k) for k in range(n)]) == []


def test_an_unknown_value_is_a_value_of_its_own() -> None:
    width = np.where(LABELS == "a", np.nan, RNG.random(200))
    assert measured(width=width)["width"].accuracy == 1.0


def test_the_probe_tells_a_source_by_its_pictures() -> None:
    across = np.tile(np.linspace(0, 200, 32), (32, 1))
    noise = RNG.integers(0, 50, (200, 32, 32))
    pictures = [(noise[n] + (across if n % 2 else across.T)).astype(np.uint8) for n in range(200)]
    source = np.array(["first", "second"] * 100)
    blind = RNG.permutation(source)
    found = confounds.probe(vectors(pictures), {"source": source, "blind": blind}, GROUPS)
    assert [one.name for one in found] == ["source", "blind"]
    assert found[0].accuracy > 0.98
    assert found[1].accuracy < 0.7


def test_the_border_is_that_of_the_picture_alone() -> None:
    picture = np.full((1, 32, 32), 9, np.uint8)
    picture[:, 2:-2, 2:-2] = 200
    assert confounds.border(picture)["border"].tolist() == [9]
    assert twins.vectors([picture.tobytes()]).shape == (1, 1024)


def test_where_one_class_is_common_guessing_it_is_no_confound() -> None:
    labels = np.array(["a"] * 180 + ["b"] * 20)
    noise = {"width": RNG.integers(100, 900, 200).astype(float)}
    (found,) = confounds.measure(noise, labels, [str(n) for n in range(200)])
    assert (found.chance, found.balanced_chance) == (0.9, 0.5)
    assert found.accuracy > 0.8
    assert not found.is_named
