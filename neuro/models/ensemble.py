"""Several networks as one: their backbones side by side under a head that averages their logits.

An ensemble is named by its members, ``resnet_small+cnn``; ``@96`` after a member is the side in px
that it sees (Lakshminarayanan et al., arXiv:1612.01474, average probabilities; a mean of logits is
linear, so that the ensemble is a network like any other, sealed as one graph).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from neuro.errors import ConfigError

AND = "+"
MOST = 16  # members
_SIDES = (16, 1024)  # px, as those of frames


class Member(NamedTuple):
    """One network of an ensemble. side_px: of what it sees, None for the frames' own."""

    architecture: str
    side_px: int | None

    def __str__(self) -> str:
        return f"{self.architecture}@{self.side_px}" if self.side_px else self.architecture


def is_ensemble(name: str) -> bool:
    """Whether a name says several members."""
    return AND in name


def members(name: str) -> tuple[Member, ...]:
    """The members that a name says, one for a plain name. Raises ConfigError for a wrong side."""
    parts = name.split(AND)
    if len(parts) > MOST:
        raise ConfigError(f"an ensemble has at most {MOST} members, got {len(parts)}")
    return tuple(_member(part) for part in parts)


def _member(text: str) -> Member:
    architecture, at, side = text.partition("@")
    if not at:
        return Member(architecture, None)
    lowest, highest = _SIDES
    if not re.fullmatch("[0-9]{1,4}", side) or not lowest <= int(side) <= highest:
        raise ConfigError(
            f"model {text!r}: what follows @ is the side in px that it sees, {lowest} to {highest}"
        )
    return Member(architecture, int(side))


class Members(nn.Module):
    """Backbones that see the same pictures; their embeddings one after another, (n, sum of d).

    sides: in px, of what each sees, None for the pictures' own.
    """

    def __init__(self, backbones: Sequence[nn.Module], sides: Sequence[int | None]) -> None:
        super().__init__()
        self.members = nn.ModuleList(backbones)
        self.sides = tuple(sides)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images: (n, c, h, w) float32."""
        answers = [
            backbone(resized(images, side))
            for backbone, side in zip(self.members, self.sides, strict=True)
        ]
        return torch.cat(answers, dim=1)


def resized(images: torch.Tensor, side_px: int | None) -> torch.Tensor:
    """Images, (n, c, h, w), at the side that a network sees."""
    if side_px is None:
        return images
    return F.interpolate(images, (side_px, side_px), mode="bilinear", align_corners=False)


@torch.no_grad()
def mean_head(heads: Sequence[nn.Linear]) -> nn.Linear:
    """The head over all embeddings whose logits are the mean of the members'."""
    width, first = sum(each.in_features for each in heads), heads[0]
    head = nn.Linear(width, first.out_features, device=first.weight.device)
    head.weight.copy_(torch.cat([each.weight for each in heads], dim=1) / len(heads))
    head.bias.copy_(torch.stack([each.bias for each in heads]).mean(dim=0))
    return head
