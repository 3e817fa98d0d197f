"""What changes in a file's tensors where other pictures go in than its network was made for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from neuro.models.load_weights import Change, Tensors


@dataclass(frozen=True, kw_only=True, slots=True)
class Stem:
    """The first layers of a network, and the pictures that files for it were made for.

    convolutions: the first ones, by name. mean, deviation: of each colour of 0..1, which those
    pictures had taken off and were divided by.
    """

    convolutions: tuple[str, ...]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0)

    def for_unit_range(self, tensors: Tensors, names: Sequence[str]) -> dict[str, Change]:
        """Let the stem take pixels of 0..1: what was done to its pictures becomes part of it.

        names: of the network's tensors, in its order. Exact inside the picture where the stem has a
        bias, or batch norm's mean behind it; else the norm that follows must take the mean off.
        """
        if not any(self.mean) and set(self.deviation) == {1.0}:
            return {}
        changes = {}
        mean = torch.tensor(self.mean)[:, None, None]
        deviation = torch.tensor(self.deviation)[:, None, None]
        for name, weight in self._weights(tensors, len(self.mean)):
            scaled = weight.float() / deviation
            changes[f"{name}.weight"] = Change(scaled, "made for pixels of 0..1")
            shift, norm = (scaled * mean).sum(dim=(1, 2, 3)), _mean_behind(name, names)
            if f"{name}.bias" in tensors:
                bias = tensors[f"{name}.bias"] - shift
                changes[f"{name}.bias"] = Change(bias, "less the mean of its pictures")
            elif norm in tensors and tensors[norm].shape == shift.shape:
                changes[norm] = Change(tensors[norm] + shift, "plus the mean of its pictures")
        return changes

    def for_channels(self, tensors: Tensors, channels: int) -> dict[str, Change]:
        """From colour to grey and back: a grey picture is answered as three equal colours are."""
        changes = {}
        for name, weight in self._weights(tensors, 3 if channels == 1 else 1):
            if channels == 1:
                change = Change(weight.sum(dim=1, keepdim=True), "summed over three colours")
            else:
                change = Change(weight.repeat(1, 3, 1, 1) / 3, "spread over three colours")
            changes[f"{name}.weight"] = change
        return changes

    def _weights(self, tensors: Tensors, channels: int) -> Iterator[tuple[str, torch.Tensor]]:
        """Name and weight of the first convolutions that the file has for so many channels."""
        for name in self.convolutions:
            weight = tensors.get(f"{name}.weight")
            if weight is not None and weight.ndim == 4 and weight.shape[1] == channels:
                yield name, weight


def _mean_behind(convolution: str, names: Sequence[str]) -> str:
    """Name of the running mean of the batch norm that comes next, "" for none."""
    after = list(names)[list(names).index(f"{convolution}.weight") + 1 :]
    norm = after[0].rpartition(".")[0] if after else ""
    mean = f"{norm}.running_mean"
    return mean if mean in after else ""
