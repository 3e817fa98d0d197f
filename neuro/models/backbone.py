"""Backbone and head. The only file that imports timm."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neuro.errors import ConfigError, UnknownNameError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import load_weights as files
from neuro.models import small_networks
from neuro.models.adapt_stem import Stem
from neuro.models.load_weights import Adapt, Report, Tensors

SEED = 0  # of an extractor without weights


class Network(nn.Module):
    """A feature extractor with a linear head; it answers with logits and the embedding.

    averages_mirror, averages_flip: in evaluation mode the embedding is the mean of the image's and
    its mirror image's, where left and right mean the same, and of theirs upside down, where top and
    bottom do. The head is linear, so the logits are too.
    start: what was read of the file that the backbone started from, if there was one.
    """

    def __init__(self, backbone: nn.Module, width: int, n_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(width, n_classes)
        self.averages_mirror = False
        self.averages_flip = False
        self.start: Report | None = None

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """images: (n, c, h, w) float32. Returns logits (n, k) and embedding (n, d)."""
        poses = [images]
        if self.averages_mirror and not self.training:
            poses += [pose.flip(3) for pose in poses]
        if self.averages_flip and not self.training:
            poses += [pose.flip(2) for pose in poses]
        embedding = torch.stack([self.backbone(pose) for pose in poses]).mean(dim=0)
        return self.head(embedding), embedding

    def glance(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, (n, k), of the images as they are: one pose, and so at once."""
        logits: torch.Tensor = self.head(self.backbone(images))
        return logits


def check(name: str) -> None:
    """Refuse a model nobody has heard of, without building it.

    Raises UnknownNameError with near misses.
    """
    if name in small_networks.OURS:
        return
    import timm  # seconds to import, and our own models do not need it

    if timm.is_model(name):
        return
    near = difflib.get_close_matches(name, [*small_networks.OURS, *timm.list_models()], n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    ours = ", ".join(map(repr, small_networks.OURS))
    raise UnknownNameError(f"no model {name!r}: {hint}Give {ours} or any name timm knows")


def build(
    name: str, spec: PreprocessSpec, *, n_classes: int, weights: Path | None = None
) -> Network:
    """Build a network; without ``weights`` it starts at random, from torch's global generator.

    spec: of the frames that it is to read. weights: a local file, safetensors or torch's, that fits
    the backbone name by name (a timm file, or the weights of a model package); its classifier is
    left out, everything else must fit, and its first layer is adapted to the frames.
    Raises UnknownNameError for the name, ConfigError for a model that cannot have this side, and
    what ``weights.fill`` raises.
    """
    check(name)
    backbone, width, outer = _backbone(name, spec.channels, spec.size_px)
    network = Network(backbone, width, n_classes)
    if weights is not None:
        adapt = _adapting(backbone, outer.stem, spec)
        network.start = files.fill(backbone, weights, classifier=outer.classifier, adapt=adapt)
    return network


@torch.no_grad()
def check_sides(name: str, network: Network, image: torch.Tensor, *, full: int, first: int) -> None:
    """Find out before the first step that an architecture reads one side only.

    full, first: sides of the frames and of the first views, in px. Raises ConfigError.
    """
    for side in dict.fromkeys((full, first)):
        try:
            network.glance(nn.functional.interpolate(image, (side, side)))
        except (AssertionError, RuntimeError, ValueError) as error:
            remedy = "preprocess.size_px in the problem file" if side == full else "grow_from"
            raise ConfigError(
                f"model {name!r} cannot read frames of {side} px ({str(error)[:120]}); change "
                f"{remedy} or choose another model"
            ) from error


def hub_weights(name: str) -> Path:
    """The file of timm's pretrained weights: as an earlier call kept it, or from the hub.

    Raises ConfigError for a model without any, and where the hub cannot be reached.
    """
    check(name)
    if name in small_networks.OURS:
        raise ConfigError(f"nobody has pretrained {name!r}; leave --pretrained out, or use timm's")
    import timm
    from huggingface_hub import hf_hub_download

    where = timm.get_pretrained_cfg(name)
    if where is not None and where.url and not where.hf_hub_id:
        raise ConfigError(
            f"the weights of {name!r} are not on the hub but at {where.url}; fetch them from "
            "there, and give the file with --weights FILE"
        )
    if where is None or not where.hf_hub_id:
        raise ConfigError(f"timm has no pretrained weights of {name!r}; leave --pretrained out")
    file = "model.safetensors"
    try:
        return Path(hf_hub_download(where.hf_hub_id, file))
    except (OSError, RuntimeError, ValueError) as error:  # the hub's own errors are of these
        raise ConfigError(
            f"the weights of {name!r} are not on this machine, and the hub was not reached "
            f"({type(error).__name__}). Where there is a network, fetch {file} of "
            f"{where.hf_hub_id} from the Hugging Face hub, and give it with --weights FILE"
        ) from error


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
        backbone, _, outer = _backbone(name, len("RGB"))
    if weights is not None:
        adapt = _adapting(backbone, outer.stem)
        files.fill(backbone, weights, classifier=outer.classifier, adapt=adapt)
    made_for = getattr(backbone, "default_cfg", {})  # resnet_small has none and takes any size
    size = made_for.get("input_size", (3, 224, 224))
    return Extractor(
        network=backbone.eval(),
        size_px=int(size[-1]),
        mean=tuple(made_for.get("mean", (0.0, 0.0, 0.0))),
        deviation=tuple(made_for.get("std", (1.0, 1.0, 1.0))),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outer:
    """Layers that depend on what comes in and goes out, by the names files keep them under."""

    stem: Stem
    classifier: tuple[str, ...]


def _backbone(
    name: str, channels: int, size_px: int | None = None
) -> tuple[nn.Module, int, _Outer]:
    """The feature extractor, its width, and its outer layers.

    size_px: for what is built for one side; by default the one that timm's file is of.
    """
    if name in small_networks.OURS:
        outer = _Outer(stem=Stem(convolutions=("0",)), classifier=("head",))
        return small_networks.OURS[name](channels), small_networks.WIDTH, outer
    import timm

    told = timm.get_pretrained_cfg(name)
    is_sized = size_px is not None and told is not None and told.fixed_input_size
    asked: dict[str, Any] = {"in_chans": channels} | ({"img_size": size_px} if is_sized else {})
    try:
        backbone: Any = timm.create_model(name, num_classes=0, **asked)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"model {name!r} cannot be built for frames of {size_px} px ({str(error)[:120]}); "
            "change preprocess.size_px in the problem file or choose another model"
        ) from error
    said = backbone.default_cfg
    convolutions, classifier = (_several(said.get(key)) for key in ("first_conv", "classifier"))
    stem = Stem(convolutions=convolutions, mean=said["mean"], deviation=said["std"])
    width = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    return backbone, int(width), _Outer(stem=stem, classifier=("head", *classifier))


def _several(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _adapting(backbone: Any, stem: Stem, spec: PreprocessSpec | None = None) -> Adapt:
    """How a file's tensors become those of a backbone that reads frames of the spec.

    spec: default, colour pictures as the file's network was shown.
    """

    def adapt(stored: Tensors, is_ours: bool) -> dict[str, str]:
        done = [_positioned(stored, backbone)]
        # A network of neuro's was trained on such frames; a picture's own deviation is 1 already.
        if spec and spec.intensity == "unit" and not is_ours:
            done.append(stem.take_unit(stored))
        done.append(stem.take_channels(stored, spec.channels if spec else len("RGB")))
        names = dict.fromkeys(name for each in done for name in each)
        return {name: ", ".join(each[name] for each in done if name in each) for name in names}

    return adapt


def _positioned(stored: Tensors, backbone: Any) -> dict[str, str]:
    """Positions of a vision transformer for another side than the file's, resampled."""
    name = "pos_embed"
    held, wanted = stored.get(name), backbone.state_dict().get(name)
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    if held is None or wanted is None or grid is None or held.shape == wanted.shape:
        return {}
    if not held.ndim == wanted.ndim == 3:
        return {}
    from timm.layers.pos_embed import resample_abs_pos_embed

    before = wanted.shape[1] - grid[0] * grid[1]
    stored[name] = resample_abs_pos_embed(held, [*grid], num_prefix_tokens=before)
    return {name: f"resampled to {grid[0]} x {grid[1]} patches"}
