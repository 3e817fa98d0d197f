"""Which layers of a backbone make a map: the ends of its last stages, from fine to coarse.

The last stage is nearest to the answer, but of 96 px it keeps 3 x 3 places; those before it are
finer, and farther from the answer.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neuro.errors import ConfigError
from neuro.models import ensemble
from neuro.models.backbone import Network
from neuro.models.own_networks import Cnn, SmallResNet

STAGES = 4  # the last ones
LEAST_CELLS = 6  # across a stage's map that can say where something is


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MapLayer:
    """The module whose output is a map of the picture, and how it is laid out.

    cells: across it. skipped: leading tokens of a transformer that stand for no place, None for a
    network of convolutions. is_channels_last: (n, h, w, c) rather than (n, c, h, w).
    """

    module: nn.Module
    cells: int
    skipped: int | None = None
    is_channels_last: bool = False

    def as_map(self, output: torch.Tensor) -> torch.Tensor:
        """The layer's output as (n, c, h, w)."""
        if self.skipped is not None:
            places = output[:, self.skipped :].transpose(1, 2)
            return places.reshape(*places.shape[:2], self.cells, self.cells)
        return output.permute(0, 3, 1, 2) if self.is_channels_last else output


def find(network: Network, image: torch.Tensor, name: str) -> tuple[tuple[MapLayer, ...], ...]:
    """The layers of each member, of one for a plain network, in order. image: (1, c, side, side).

    name: of the architecture, for the error. Raises ConfigError for a network whose layers keep no
    places, such as one that mixes them.
    """
    if isinstance(network.backbone, ensemble.Members):
        parts = zip(network.backbone.members, network.backbone.sides, strict=True)
    else:
        parts = zip([network.backbone], [network.side_px], strict=True)
    names = [str(member) for member in ensemble.members(name)]
    return tuple(
        _find(backbone, ensemble.resized(image, side), member)
        for (backbone, side), member in zip(parts, names, strict=True)
    )


def cells(layers: Sequence[MapLayer]) -> int:
    """Cells across the last stage that can say where something is; of none, of the finest."""
    fine = [layer.cells for layer in layers if layer.cells >= LEAST_CELLS]
    return fine[-1] if fine else max(layer.cells for layer in layers)


def _find(backbone: nn.Module, image: torch.Tensor, name: str) -> tuple[MapLayer, ...]:
    skipped: int | None = getattr(backbone, "num_prefix_tokens", None)
    is_last = getattr(backbone, "output_fmt", None) == "NHWC"
    with _outputs(_candidates(backbone, skipped)) as outputs, torch.no_grad():
        backbone(image)
    layers = [_layer(module, output, skipped, is_last=is_last) for module, output in outputs]
    found = [layer for layer in layers if layer is not None]
    if not found:
        raise ConfigError(
            f"{name} has no layer that keeps the places of a picture, so that no map shows "
            "where it looked; train a network of convolutions or a vision transformer to have one"
        )
    return tuple(found[-STAGES:])


def _candidates(backbone: nn.Module, skipped: int | None) -> list[nn.Module]:
    blocks: Any = getattr(backbone, "blocks", None)
    if skipped is None or blocks is None:
        return list(_stages(backbone))
    # What follows the last attention reads the class token alone: no place reaches the answer.
    norm = getattr(blocks[-1], "norm1", None)
    return [norm] if isinstance(norm, nn.Module) else []


def _layer(
    module: nn.Module, output: torch.Tensor, skipped: int | None, *, is_last: bool
) -> MapLayer | None:
    """The layer of a module with this output; None where that keeps no places."""
    if output.ndim == 3 and skipped is not None:
        places = output.shape[1] - skipped
        side = math.isqrt(max(places, 0))
        is_map, tokens = side**2 == places, skipped
    else:
        is_map, tokens = output.ndim == 4, None
        side = min(output.shape[1:3] if is_last else output.shape[2:4]) if is_map else 0
    if not is_map or side < 2:
        return None
    return MapLayer(module=module, cells=side, skipped=tokens, is_channels_last=is_last)


def _stages(backbone: nn.Module) -> Iterator[nn.Module]:
    """What each stage ends with, the first stage first."""
    if isinstance(backbone, Cnn | SmallResNet):
        pool = len(backbone) - 2  # the mean over the map, and what makes a row of it
        for end in (*backbone.stage_starts[1:], pool):
            yield backbone[end - 1]
        return
    modules = dict(backbone.named_modules())
    for stage in getattr(backbone, "feature_info", ()):
        name = str(stage["module"])
        if name in modules:
            yield modules[name]


@contextmanager
def _outputs(modules: list[nn.Module]) -> Iterator[list[tuple[nn.Module, torch.Tensor]]]:
    """What these modules give while the context is open, in the order in which they do."""
    found: list[tuple[nn.Module, torch.Tensor]] = []

    def keep(module: nn.Module, _: Any, output: Any) -> None:
        if torch.is_tensor(output):
            found.append((module, output))

    hooks = [module.register_forward_hook(keep) for module in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
