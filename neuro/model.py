"""Backbone and head. The only file that imports timm."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from neuro.errors import ConfigError, TrainingError, UnknownNameError

DEFAULT = "resnet_small"
SEED = 0  # of an extractor without weights
_STEM_WIDTH = 16
_WIDTHS = (32, 64, 128, 256)


class Network(nn.Module):
    """A feature extractor with a linear head; it answers with logits and the embedding.

    averages_mirror: in evaluation mode the embedding is the mean of the image's and its mirror
    image's, where left and right mean the same. The head is linear, so the logits are too.
    """

    def __init__(self, backbone: nn.Module, width: int, n_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(width, n_classes)
        self.averages_mirror = False

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """images: (n, c, h, w) float32. Returns logits (n, k) and embedding (n, d)."""
        embedding = self.backbone(images)
        if self.averages_mirror and not self.training:
            embedding = (embedding + self.backbone(images.flip(3))) / 2
        return self.head(embedding), embedding


def check(name: str) -> None:
    """Refuse a model nobody has heard of, without building it.

    Raises UnknownNameError with near misses.
    """
    if name == DEFAULT:
        return
    import timm  # seconds to import, and the default model does not need it

    if timm.is_model(name):
        return
    near = difflib.get_close_matches(name, [DEFAULT, *timm.list_models()], n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UnknownNameError(f"no model {name!r}: {hint}Give {DEFAULT!r} or any name timm knows")


def build(name: str, *, channels: int, n_classes: int, weights: Path | None = None) -> Network:
    """Build a network; without ``weights`` it starts at random, from torch's global generator.

    weights: a local safetensors file that fits the backbone name by name (a timm file, or the
    weights of a model package); its classifier is left out, everything else must fit.
    Raises UnknownNameError for the name, ConfigError for a missing file, TrainingError for weights
    that do not fit.
    """
    check(name)
    backbone, width, classifier = _backbone(name, channels)
    if weights is not None:
        _load(backbone, weights, classifier=classifier)
    return Network(backbone, width, n_classes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Extractor:
    """A backbone without its classifier, in evaluation mode, and the pictures it was made for.

    network: (n, 3, size, size) float32, of 0..1 less mean over deviation, to (n, width). mean,
    deviation: of each colour.
    """

    network: nn.Module
    size_px: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def extractor(name: str, weights: Path | None = None) -> Extractor:
    """Build a backbone for RGB; without ``weights`` at random, from a seed of its own.

    Raises what ``build`` raises.
    """
    check(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        backbone, _, classifier = _backbone(name, len("RGB"))
    if weights is not None:
        _load(backbone, weights, classifier=classifier)
    made_for = getattr(backbone, "default_cfg", {})  # resnet_small has none and takes any size
    size = made_for.get("input_size", (3, 224, 224))
    return Extractor(
        network=backbone.eval(),
        size_px=int(size[-1]),
        mean=tuple(made_for.get("mean", (0.0, 0.0, 0.0))),
        deviation=tuple(made_for.get("std", (1.0, 1.0, 1.0))),
    )


class _SmallResNet(nn.Sequential):
    """Four residual stages of one basic block each (He et al., arXiv:1512.03385), 1.2 M weights.

    Two strides before the first stage: a CPU spends most of its time on the large, thin maps.
    """

    def __init__(self, channels: int) -> None:
        stem = (*_halve(channels, _STEM_WIDTH), *_halve(_STEM_WIDTH, _WIDTHS[0]))
        stages = [
            _Block(before, after, stride=1 if before == after else 2)
            for before, after in zip((_WIDTHS[0], *_WIDTHS[:-1]), _WIDTHS, strict=True)
        ]
        super().__init__(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _halve(before: int, after: int) -> tuple[nn.Module, ...]:
    """Convolution, norm and rectifier, at half the side."""
    convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(after), nn.ReLU()


class _Block(nn.Module):
    """Two 3x3 convolutions beside a skip that pools before it projects (arXiv:1812.01187)."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        nn.init.zeros_(self.norm2.weight)  # each block starts as the identity (arXiv:1706.02677)
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.skip = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(before, after, 1, bias=False),
                nn.BatchNorm2d(after),
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inner = F.relu(self.norm1(self.conv1(images)))
        return F.relu(self.norm2(self.conv2(inner)) + self.skip(images))


def _backbone(name: str, channels: int) -> tuple[nn.Module, int, tuple[str, ...]]:
    """The feature extractor, its width, and the names under which files keep a classifier."""
    if name == DEFAULT:
        return _SmallResNet(channels), _WIDTHS[-1], ("head",)
    import timm

    backbone: Any = timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels)
    classifier = backbone.default_cfg.get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    width = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    return backbone, int(width), ("head", *names)


def _load(backbone: nn.Module, weights: Path, *, classifier: tuple[str, ...]) -> None:
    """Fill the backbone from a safetensors file, all of it or an error."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not weights.is_file():
        raise ConfigError(f"weights {weights} is no file; give a local .safetensors file")
    try:
        stored = load_file(weights)
    except SafetensorError as error:
        raise TrainingError(f"weights {weights} is not a safetensors file: {error}") from error
    stored = {name.removeprefix("backbone."): tensor for name, tensor in stored.items()}
    wanted = backbone.state_dict()
    unused = {
        name
        for name in set(stored) - set(wanted)
        if not any(name.startswith(f"{prefix}.") for prefix in classifier)
    }
    other = {
        f"{name} {tuple(stored[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in set(stored) & set(wanted)
        if stored[name].shape != wanted[name].shape
    }
    faults = {"missing": set(wanted) - set(stored), "unknown": unused, "of another shape": other}
    if found := [f"{kind}: {sorted(names)[:5]}" for kind, names in faults.items() if names]:
        raise TrainingError(
            f"weights {weights} do not fit the model ({'; '.join(found)}); give the file of this "
            "very architecture and number of channels, or none for a random start"
        )
    backbone.load_state_dict({name: stored[name] for name in wanted})
