import pytest

from neuro.training.choose_model import FEW, PRETRAINED, Choice, choose


def chosen(preset: str = "default", **facts: object) -> Choice:
    given = {"images": 6000, "channels": 3, "kind": "cpu", "is_at_hand": lambda _: True}
    return choose(preset, **(given | facts))  # type: ignore[arg-type]


def test_images_in_colour_start_from_weights_that_are_at_hand() -> None:
    choice = chosen()
    assert (choice.model, choice.is_pretrained, choice.size_px) == (PRETRAINED[0], True, 128)
    assert "in colour" in choice.why


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"channels": 1}, "grey"),
        ({"is_at_hand": lambda _: False}, "get them by"),
        ({"preset": "fast"}, "a fast training on a CPU"),
    ],
)
def test_else_the_small_network_is_trained_and_why_is_said(
    facts: dict[str, object], why: str
) -> None:
    choice = chosen(**facts)  # type: ignore[arg-type]
    assert (choice.model, choice.is_pretrained, choice.size_px) == ("resnet_small", False, 0)
    assert why in choice.why


@pytest.mark.parametrize(("images", "is_pretrained"), [(FEW - 1, True), (FEW, False)])
def test_few_grey_images_start_from_weights_too(images: int, is_pretrained: bool) -> None:
    choice = chosen(images=images, channels=1)
    assert choice.is_pretrained is is_pretrained
    assert "grey" in choice.why
    lacking = chosen(images=images, channels=1, is_at_hand=lambda _: False)
    assert not lacking.is_pretrained


def test_the_best_preset_trains_an_ensemble_of_what_is_at_hand() -> None:
    both = chosen("best")
    assert both.model == "+".join((*PRETRAINED, PRETRAINED[0]))
    one = chosen("best", is_at_hand=lambda name: name == PRETRAINED[1])
    assert one.model == "+".join(3 * [PRETRAINED[1]])
    assert chosen("best", channels=1).model == "resnet_small+resnet_small+resnet_small"


def test_weights_that_are_asked_for_are_taken_whatever_the_images_are() -> None:
    assert chosen("fast", channels=1, must_be_pretrained=True).model == PRETRAINED[0]
    absent = chosen(must_be_pretrained=True, is_at_hand=lambda _: False)
    assert absent.model == PRETRAINED[0]  # whose absence is told with the remedy
