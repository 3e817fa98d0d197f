"""The stages of a backbone, from what sees the image to what stands before the head."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from torch import nn

from neuro.errors import ConfigError
from neuro.models.own_networks import Cnn, SmallResNet


def of_weights(backbone: nn.Module) -> Mapping[str, int]:
    """The stage of each weight by its name, from 0, the stem.

    Those of timm's networks are timm's own, coarse. Raises ConfigError for a network without.
    """
    names = [name for name, _ in backbone.named_parameters()]
    if isinstance(backbone, Cnn | SmallResNet):
        return {
            name: bisect_right(backbone.stage_starts, int(name.partition(".")[0])) - 1
            for name in names
        }
    matcher: Any = getattr(backbone, "group_matcher", None)
    from timm.models._manipulate import group_parameters

    try:
        groups = matcher(coarse=True)
        stages: dict[str, int] = group_parameters(backbone, groups, reverse=True)
        return {name: stages[name] for name in names}
    except (AssertionError, NotImplementedError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{type(backbone).__name__} does not say which stages it has; leave --freeze at 0 and "
            "--layer-decay at 1, or choose another model"
        ) from error


def frozen(backbone: nn.Module, n_stages: int) -> tuple[nn.Module, ...]:
    """Take the gradient from the first stages; returns their modules, norms and all.

    Raises ConfigError where that leaves no stage that learns.
    """
    if not n_stages:
        return ()
    stage_of = of_weights(backbone)
    most = max(stage_of.values())
    if n_stages > most:
        raise ConfigError(
            f"freeze {n_stages} leaves nothing of the backbone to learn, it has {most + 1} stages; "
            f"give at most {most}"
        )
    for name, weight in backbone.named_parameters():
        weight.requires_grad_(stage_of[name] >= n_stages)
    return tuple(module for module in backbone.modules() if _is_frozen(module))


def _is_frozen(module: nn.Module) -> bool:
    weights = list(module.parameters())
    return bool(weights) and not any(weight.requires_grad for weight in weights)
