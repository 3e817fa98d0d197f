"""Backbone and head. Networks of timm are built here and nowhere else."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neuro.errors import ConfigError, UnknownNameError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import ensemble, load_weights, own_networks
from neuro.models.adapt_stem import Stem
from neuro.models.ensemble import Member
from neuro.models.load_weights import Change, Report, Tensors

SEED = 0  # of an extractor without weights
# What says the side that a network sees.
_SIDE, _AFTER_NAME = "--size-px, or preprocess.size_px in the problem file", "what follows @"


class Network(nn.Module):
    """A feature extractor with a linear head; it answers with logits and the embedding.

    averages_mirror, averages_flip: in evaluation mode the embedding is the mean of the image's and
    its mirror image's, where left and right mean the same, and of theirs upside down, where top and
    bottom do. The head is linear, so the logits are too.
    side_px: of what the backbone sees, None for the pictures' own.
    start: what was read of the file that the backbone started from, if there was one.
    members: of an ensemble, as each was trained.
    frozen: modules of the backbone that stay as they are, their norms' statistics too.
    learns_head_only: whether the whole backbone does, in training mode.
    """

    def __init__(
        self, backbone: nn.Module, width: int, n_classes: int, side_px: int | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(width, n_classes)
        self.side_px = side_px
        self.averages_mirror = False
        self.averages_flip = False
        self.start: Report | None = None
        self.members: tuple[Network, ...] = ()
        self.frozen: tuple[nn.Module, ...] = ()
        self.learns_head_only = False

    def train(self, mode: bool = True) -> "Network":
        """As torch's; what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in (self.backbone,) if self.learns_head_only else self.frozen:
            module.eval()
        return self

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """images: (n, c, h, w) float32. Returns logits (n, k) and embedding (n, d)."""
        poses = [images]
        if self.averages_mirror and not self.training:
            poses += [pose.flip(3) for pose in poses]
        if self.averages_flip and not self.training:
            poses += [pose.flip(2) for pose in poses]
        if self.training and self.learns_head_only:
            with torch.no_grad():
                embedding = self._embed(images)
            return self.head(embedding), embedding
        embedding = torch.stack([self._embed(pose) for pose in poses]).mean(dim=0)
        return self.head(embedding), embedding

    def glance(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, (n, k), of the images as they are: one pose, and so at once."""
        logits: torch.Tensor = self.head(self._embed(images))
        return logits

    @torch.no_grad()
    def member_logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        """What each member says of embeddings of the whole, (n, d): (m, n, k), m 0 without any."""
        widths = [member.head.in_features for member in self.members]
        parts = torch.split(embeddings, widths, dim=1) if widths else ()
        logits = [
            m.head(part.to(m.head.weight)) for m, part in zip(self.members, parts, strict=True)
        ]
        return torch.stack(logits) if logits else embeddings.new_empty(0, len(embeddings), 0)

    def _embed(self, images: torch.Tensor) -> torch.Tensor:
        embedding: torch.Tensor = self.backbone(ensemble.resized(images, self.side_px))
        return embedding


def join(networks: Sequence[Network]) -> Network:
    """One network that answers with the mean of their logits, and all their embeddings."""
    head = ensemble.mean_head([network.head for network in networks])
    side_by_side = ensemble.Members(
        [network.backbone for network in networks], [network.side_px for network in networks]
    )
    joined = Network(side_by_side, head.in_features, head.out_features)
    joined.head = head
    joined.members = tuple(networks)
    joined.averages_mirror = networks[0].averages_mirror
    joined.averages_flip = networks[0].averages_flip
    joined.start = start_of([network.start for network in networks])
    return joined


def start_of(starts: Sequence[Report | None]) -> Report | None:
    """What was read of a file for all members, by their places; None where no member has a file."""
    by_place = {number: start for number, start in enumerate(starts) if start is not None}
    if not by_place:
        return None

    def named(kind: str) -> dict[str, str]:
        return {
            f"members.{number}.{name}": how
            for number, start in by_place.items()
            for name, how in getattr(start, kind).items()
        }

    return Report(
        sha256=next(iter(by_place.values())).sha256,
        loaded=sum(start.loaded for start in by_place.values()),
        adapted=named("adapted"),
        skipped=named("skipped"),
    )


def check(name: str) -> None:
    """Raise UnknownNameError, with near misses, for a model nobody knows; none is built.

    Of an ensemble each member is looked up; raises what ``ensemble.members`` raises.
    """
    for member in ensemble.members(name):
        _check_architecture(member.architecture)


def _check_architecture(name: str) -> None:
    if name in own_networks.OURS:
        return
    import timm  # seconds to import, and our own models do not need it

    if timm.is_model(name):
        _check_tag(name)
        return
    near = difflib.get_close_matches(name, [*own_networks.OURS, *timm.list_models()], n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    ours = ", ".join(map(repr, own_networks.OURS))
    raise UnknownNameError(f"no model {name!r}: {hint}Give {ours} or any name timm knows")


def _check_tag(name: str) -> None:
    """Raise UnknownNameError for a tag that timm has no weights of."""
    import timm

    architecture, dot, tag = name.partition(".")
    known = timm.list_pretrained(f"{architecture}.*") if dot else [name]
    if name not in known:
        raise UnknownNameError(
            f"timm has no weights {tag!r} of {architecture!r}; give {architecture!r}, or one of "
            f"{', '.join(known) or 'no other'}"
        )


def build(
    name: str,
    spec: PreprocessSpec,
    *,
    n_classes: int,
    weights: Path | None = None,
    drop_path: float = 0.0,
) -> Network:
    """Build a network; without ``weights`` it starts at random, from torch's global generator.

    name: of a model or of an ensemble. spec: of the frames that it is to read. weights: a local
    file, safetensors or torch's, that fits the backbone name by name (a timm file, or the weights
    of a package of one network); its classifier is left out, everything else must fit, and its
    first layer is adapted to the frames. drop_path: chance that a residual branch of the last stage
    is left out in training, less in those before (stochastic depth, arXiv:1603.09382).
    Raises UnknownNameError for the name, ConfigError for a model that cannot have this side, and
    what ``weights.fill`` raises.
    """
    check(name)
    members = ensemble.members(name)
    networks = [_build(member, spec, n_classes, weights, drop_path) for member in members]
    return networks[0] if len(networks) == 1 else join(networks)


def _build(
    member: Member,
    spec: PreprocessSpec,
    n_classes: int,
    weights: Path | None,
    drop_path: float,
) -> Network:
    side = member.side_px or spec.size_px
    backbone, width, outer = _backbone(member.architecture, spec.channels, side, drop_path)
    network = Network(backbone, width, n_classes, member.side_px)
    if weights is not None:
        network.start = _fill(member.architecture, backbone, weights, outer, spec)
    return network


def check_side(name: str, size_px: int) -> None:
    """Raise ConfigError for frames of which a network's last stage would leave nothing.

    The network is built without memory, so this is known before any work. size_px: of frames.
    """
    for architecture, side_px in ensemble.members(name):
        side = side_px or size_px
        remedy = _AFTER_NAME if side_px else _SIDE
        _require_side(architecture, blank(architecture, side), side, remedy)


def blank(architecture: str, size_px: int | None = None) -> nn.Module:
    """A backbone for RGB without memory: to know what it is made of. size_px: of what it sees."""
    with torch.device("meta"):
        return _backbone(architecture, len("RGB"), size_px)[0]


@torch.no_grad()
def check_sides(name: str, network: Network, image: torch.Tensor, *, full: int, first: int) -> None:
    """Find out before the first step that an architecture reads one side only.

    full, first: sides of the frames and of the first views, in px. Raises ConfigError.
    """
    for side in dict.fromkeys((full, first)):
        remedy = _SIDE if side == full else "grow_from"
        if network.side_px:
            remedy = _AFTER_NAME
        _require_side(name, network.backbone, network.side_px or side, remedy)
        try:
            network.glance(nn.functional.interpolate(image, (side, side)))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"model {name!r} cannot read frames of {side} px ({str(error)[:120]}); change "
                f"{remedy} or choose another model"
            ) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Extractor:
    """A backbone without its classifier, in evaluation mode, and the pictures it was made for.

    network: (n, 3, size, size) float32, of 0..1 less mean over deviation, to (n, width). mean,
    deviation: of each colour. start: what was read of its file, if there was one.
    """

    network: nn.Module
    size_px: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    start: Report | None = None


def extractor(name: str, weights: Path | None = None) -> Extractor:
    """Build a backbone for RGB; without ``weights`` at random, from a seed of its own.

    name: of one model, no ensemble. Raises what ``build`` raises.
    """
    _check_architecture(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        backbone, _, outer = _backbone(name, len("RGB"))
    start = _fill(name, backbone, weights, outer) if weights is not None else None
    made_for = getattr(backbone, "default_cfg", {})  # resnet_small has none and takes any size
    size = made_for.get("input_size", (3, 224, 224))
    return Extractor(
        network=backbone.eval(),
        size_px=int(size[-1]),
        mean=tuple(made_for.get("mean", (0.0, 0.0, 0.0))),
        deviation=tuple(made_for.get("std", (1.0, 1.0, 1.0))),
        start=start,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outer:
    """Layers that depend on what comes in and goes out, by the names files keep them under."""

    stem: Stem
    classifier: tuple[str, ...]


def _backbone(
    name: str, channels: int, size_px: int | None = None, drop_path: float = 0.0
) -> tuple[nn.Module, int, _Outer]:
    """The feature extractor, its width, and its outer layers.

    size_px: for what is built for one side; by default the one that timm's file is of.
    """
    if name in own_networks.OURS:
        if drop_path:
            raise ConfigError(f"{name} has no stochastic depth; leave --drop-path at 0")
        outer = _Outer(stem=Stem(convolutions=("0",)), classifier=("head",))
        return own_networks.OURS[name](channels), own_networks.WIDTH, outer
    import timm

    pretrained = timm.get_pretrained_cfg(name)
    options: dict[str, Any] = {"in_chans": channels}
    if size_px is not None and pretrained is not None and pretrained.fixed_input_size:
        options["img_size"] = size_px
    if drop_path:
        options["drop_path_rate"] = drop_path
    try:
        backbone: Any = timm.create_model(name, num_classes=0, **options)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        if "drop_path_rate" in str(error):
            raise ConfigError(
                f"model {name!r} has no stochastic depth; leave --drop-path at 0"
            ) from error
        raise ConfigError(
            f"model {name!r} cannot be built for frames of {size_px} px ({str(error)[:120]}); "
            "change preprocess.size_px in the problem file or choose another model"
        ) from error
    layers = backbone.default_cfg
    stem = Stem(
        convolutions=_names(layers.get("first_conv")), mean=layers["mean"], deviation=layers["std"]
    )
    width = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    outer = _Outer(stem=stem, classifier=("head", *_names(layers.get("classifier"))))
    return backbone, int(width), outer


def _require_side(name: str, backbone: nn.Module, size_px: int, remedy: str) -> None:
    stages = getattr(backbone, "feature_info", None)  # of timm's networks
    stride = int(stages[-1]["reduction"]) if stages else 1
    if size_px < stride:
        raise ConfigError(
            f"model {name!r} makes frames {stride} times smaller, and of {size_px} px that leaves "
            f"nothing; change {remedy} so that they have {stride} px or more, or choose another "
            "model"
        )


def _names(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _fill(
    name: str,
    backbone: nn.Module,
    weights: Path,
    outer: _Outer,
    spec: PreprocessSpec | None = None,
) -> Report:
    """Fill a backbone from a file, whose tensors are changed to what goes in here.

    spec: of the frames it is to read; default: colour pictures as the file's network was shown.
    """
    file = load_weights.read(weights, backbone, name)
    file = file.changed(_positions(file.tensors, backbone))
    # A network of neuro's was trained on such frames; a picture's own deviation is 1 already.
    if spec and spec.intensity == "unit" and not file.is_ours:
        file = file.changed(outer.stem.for_unit_range(file.tensors, list(backbone.state_dict())))
    channels = spec.channels if spec else len("RGB")
    file = file.changed(outer.stem.for_channels(file.tensors, channels))
    return load_weights.fill(backbone, file, outer.classifier)


def _positions(tensors: Tensors, backbone: nn.Module) -> dict[str, Change]:
    """Positions of a vision transformer for another side than the file's, resampled."""
    name = "pos_embed"
    stored, wanted = tensors.get(name), backbone.state_dict().get(name)
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    if stored is None or wanted is None or grid is None or stored.shape == wanted.shape:
        return {}
    if not stored.ndim == wanted.ndim == 3:
        return {}
    from timm.layers.pos_embed import resample_abs_pos_embed

    before = wanted.shape[1] - grid[0] * grid[1]
    resampled = resample_abs_pos_embed(stored, [*grid], num_prefix_tokens=before)
    return {name: Change(resampled, f"resampled to {grid[0]} x {grid[1]} patches")}
