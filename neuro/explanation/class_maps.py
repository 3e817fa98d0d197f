"""Where a network looked: maps of what speaks for a class, by the gradient at its last stages.

At the end of each stage, activation times gradient summed over the channels is what each place adds
to a logit (HiResCAM: Draelos and Carin, arXiv:2011.08891; at the last stage of a network that takes
a mean, Grad-CAM is the same). What speaks for the class is added over the stages, from fine to
coarse, in the unit of the logits. The gradient of one class's logit less another's tells why the
one and not the other (Finer-CAM: Zhang et al., arXiv:2501.11309).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from neuro.explanation import map_layers
from neuro.explanation.map_layers import MapLayer
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.models import package
from neuro.models.backbone import Network
from neuro.models.package import Package

BATCH = 32

Floats = NDArray[np.float32]
Pose = Callable[[torch.Tensor], torch.Tensor]  # its own inverse


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mapper:
    """A network with the layers that its maps are made at.

    members: the layers of each, in the order of the network. poses: what the network averages; each
    turns back what it turned.
    """

    network: Network
    architecture: str
    spec: PreprocessSpec
    members: tuple[tuple[MapLayer, ...], ...]
    poses: tuple[Pose, ...]

    @property
    def grid(self) -> int:
        """Places across a map: those of the finest layer."""
        return max(layer.cells for layers in self.members for layer in layers)

    @property
    def cells(self) -> int:
        """Across a map, how many places it can tell apart: those of a coarser, later layer."""
        return max(map(map_layers.cells, self.members))


def load(found: Package) -> Mapper:
    """The torch network of a package, to be mapped.

    Raises what ``map_layers.find`` raises, PackageError where the program builds another network.
    """
    network, card = package.restore(found), found.card
    assert isinstance(network, Network)  # noqa: S101 - restore builds no other
    return of_network(network, card.preprocess, card.architecture)


def of_network(network: Network, spec: PreprocessSpec, architecture: str) -> Mapper:
    """The same of a network in evaluation mode; its weights are left without gradients."""
    network.requires_grad_(False)
    black = torch.zeros(1, spec.channels, spec.size_px, spec.size_px)
    turns = [
        [False, True] if each else [False]
        for each in (network.averages_mirror, network.averages_flip)
    ]
    poses = tuple(partial(_turned, mirrors=m, flips=f) for m, f in product(*turns))
    return Mapper(
        network=network,
        architecture=architecture,
        spec=spec,
        members=map_layers.find(network, black, architecture),
        poses=poses,
    )


def maps(mapper: Mapper, pixels: NDArray[np.uint8], weights: Floats) -> Floats:
    """How much each place speaks for the weighted logits, (n, grid, grid), 0 or more.

    pixels: (n, side, side, channels) frames. weights: (n, k), of each logit: positive for the class
    that is asked about, negative for what it is held against.
    """
    parts = []
    for start in range(0, len(pixels), BATCH):
        chosen = slice(start, start + BATCH)
        tensor = torch.from_numpy(preprocess.to_tensor(pixels[chosen], mapper.spec))
        wanted = torch.from_numpy(np.ascontiguousarray(weights[chosen], np.float32))
        turned = [pose(_of_pose(mapper, pose(tensor), wanted)) for pose in mapper.poses]
        parts.append(torch.stack(turned).mean(dim=0)[:, 0].numpy())
    if not parts:
        return np.empty((0, mapper.grid, mapper.grid), np.float32)
    return np.concatenate(parts)


def _turned(images: torch.Tensor, *, mirrors: bool, flips: bool) -> torch.Tensor:
    """Images, (n, c, h, w), mirrored or upside down; its own inverse."""
    dims = [dim for dim, turns in ((3, mirrors), (2, flips)) if turns]
    return images.flip(dims) if dims else images


def _of_pose(mapper: Mapper, images: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The map of images as they are, (n, 1, grid, grid)."""
    layers = [layer for of_member in mapper.members for layer in of_member]
    with _outputs(mapper.members) as outputs, torch.enable_grad():
        score = (mapper.network.glance(images) * weights).sum()
        gradients = torch.autograd.grad(score, outputs)
    grid = mapper.grid
    total = torch.zeros(len(images), 1, grid, grid)
    for layer, output, gradient in zip(layers, outputs, gradients, strict=True):
        added = layer.as_map(output.detach()) * layer.as_map(gradient)
        for_class = added.sum(dim=1, keepdim=True).clamp(min=0)
        # A place of a coarse layer is shared out among those of the grid.
        share = (layer.cells / grid) ** 2
        total += share * F.interpolate(
            for_class, (grid, grid), mode="bilinear", align_corners=False
        )
    return total


@contextmanager
def _outputs(members: Sequence[Sequence[MapLayer]]) -> Iterator[list[torch.Tensor]]:
    """What the layers give while the context is open; before the first, there is no gradient."""
    outputs: list[torch.Tensor] = []
    firsts = {layers[0].module for layers in members}

    def keep(module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        kept = output.detach().requires_grad_() if module in firsts else output
        outputs.append(kept)
        return kept.clone()  # what follows may work in place

    hooks = [layer.module.register_forward_hook(keep) for each in members for layer in each]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
