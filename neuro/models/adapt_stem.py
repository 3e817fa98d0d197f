"""What changes in a file's tensors where other pictures go in than its network was made for."""

from dataclasses import dataclass

import torch

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stem:
    """The first layers of a network, and the pictures that files for it were made for.

    convolutions: the first ones, by name. mean, deviation: of each colour of 0..1, which those
    pictures had taken off and were divided by.
    """

    convolutions: tuple[str, ...]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0)

    def take_unit(self, stored: Tensors) -> dict[str, str]:
        """Let the stem take pixels of 0..1: what was done to its pictures becomes part of it.

        Exact inside the picture where the stem has a bias. Where it has none, the mean is left to
        the norm that follows: batch norm takes it off. Returns what was done, by name.
        """
        if not any(self.mean) and set(self.deviation) == {1.0}:
            return {}
        adapted = {}
        mean, deviation = (
            torch.tensor(each)[:, None, None] for each in (self.mean, self.deviation)
        )
        for name in self._held(stored, len(self.mean)):
            weight = stored[f"{name}.weight"].float() / deviation
            if (bias := f"{name}.bias") in stored:
                stored[bias] = stored[bias] - (weight * mean).sum(dim=(1, 2, 3))
                adapted[bias] = "less the mean of its pictures"
            stored[f"{name}.weight"] = weight
            adapted[f"{name}.weight"] = "made for pixels of 0..1"
        return adapted

    def take_channels(self, stored: Tensors, channels: int) -> dict[str, str]:
        """From colour to grey and back: a grey picture is answered as three equal colours are."""
        adapted = {}
        for name in self._held(stored, 3 if channels == 1 else 1):
            weight = stored[f"{name}.weight"]
            if channels == 1:
                weight, how = weight.sum(dim=1, keepdim=True), "summed over three colours"
            else:
                weight, how = weight.repeat(1, 3, 1, 1) / 3, "spread over three colours"
            stored[f"{name}.weight"], adapted[f"{name}.weight"] = weight, how
        return adapted

    def _held(self, stored: Tensors, channels: int) -> list[str]:
        """The first convolutions that the file holds for so many channels."""
        there = {name: stored.get(f"{name}.weight") for name in self.convolutions}
        return [
            name
            for name, weight in there.items()
            if weight is not None and weight.ndim == 4 and weight.shape[1] == channels
        ]
