import pytest

from neuro import recipe
from neuro.errors import ConfigError, UnknownNameError
from neuro.recipe import TrainConfig


def test_views_grow_to_the_frame_in_two_thirds_of_the_epochs() -> None:
    config = TrainConfig(epochs=30, grow_from=0.5)
    sides = [recipe.side(config, epoch, 96) for epoch in range(1, 31)]
    assert sides[0] == 48
    assert sides == sorted(sides)
    assert sides.index(96) <= 20
    assert set(sides) <= {48, 64, 80, 96}


def test_without_growth_views_have_the_side_of_the_frame() -> None:
    assert {recipe.side(TrainConfig(), epoch, 90) for epoch in range(1, 41)} == {90}


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("epochs", 0, "epochs must be 1 to 10000, got 0"),
        ("optimizer", "lion", "optimizer must be one of .*got 'lion'"),
        ("loss", "dice", "loss must be one of .*got 'dice'"),
    ],
)
def test_a_value_that_is_none_is_refused_by_name(field: str, value: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        TrainConfig().changed({field: value})


def test_a_field_that_is_none_is_refused_with_near_misses() -> None:
    with pytest.raises(UnknownNameError, match="no 'epoch'; did you mean epochs"):
        TrainConfig().changed({"epoch": 3})
