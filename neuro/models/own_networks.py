"""Our own feature extractors: small, quick on a CPU, and trained from scratch."""

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

_STEM_WIDTH = 16
_WIDTHS = (32, 64, 128, 256)
WIDTH = _WIDTHS[-1]


class Cnn(nn.Sequential):
    """Five times convolution, norm, rectifier, maximum of four, then the mean; 0.4 M weights.

    The plainest network that is worth a comparison (VGG: Simonyan, Zisserman, arXiv:1409.1556).
    """

    # Index in the sequence where each stage begins, the stem first.
    stage_starts: ClassVar[tuple[int, ...]] = (0, 4, 8, 12, 16)

    def __init__(self, channels: int) -> None:
        widths = (channels, _STEM_WIDTH, *_WIDTHS)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [*_convolved(before, after), nn.MaxPool2d(2, ceil_mode=True)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class SmallResNet(nn.Sequential):
    """Four residual stages of one basic block each (He et al., arXiv:1512.03385), 1.2 M weights.

    Two strides before the first stage: a CPU spends most of its time on the large, thin maps.
    """

    # As those of Cnn.
    stage_starts: ClassVar[tuple[int, ...]] = (0, 6, 7, 8, 9)

    def __init__(self, channels: int) -> None:
        stem = (
            *_convolved(channels, _STEM_WIDTH, stride=2),
            *_convolved(_STEM_WIDTH, _WIDTHS[0], stride=2),
        )
        stages = [
            _Block(before, after, stride=1 if before == after else 2)
            for before, after in zip((_WIDTHS[0], *_WIDTHS[:-1]), _WIDTHS, strict=True)
        ]
        super().__init__(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _convolved(before: int, after: int, stride: int = 1) -> tuple[nn.Module, ...]:
    """Convolution, norm and rectifier."""
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
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


OURS: dict[str, Callable[[int], nn.Module]] = {"resnet_small": SmallResNet, "cnn": Cnn}
