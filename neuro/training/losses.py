"""The loss of a training, on targets that may be shares of several classes."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from neuro.errors import ConfigError
from neuro.training.config import TrainConfig

_MAX_CLASS_WEIGHT = 4.0
_FOCUS = 2.0  # gamma of the focal loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """Cross-entropy of a kind. class_weights: (k,) float32, on the device."""

    kind: str
    smoothing: float
    class_weights: torch.Tensor

    @classmethod
    def of(cls, config: TrainConfig, counts: NDArray[np.int64], device: torch.device) -> "Loss":
        """The loss of a recipe for classes with so many training images, (k,).

        Raises ConfigError for the binary loss of other than two classes.
        """
        if config.loss == "binary" and len(counts) != 2:
            raise ConfigError(
                f"loss 'binary' is for two classes, the problem has {len(counts)}; "
                "choose 'weighted', 'plain' or 'focal'"
            )
        is_even = config.loss == "plain" or config.sampler == "balanced"
        weights = class_weights(counts, 0 if is_even else config.class_weight_power)
        return cls(
            kind=config.loss,
            smoothing=config.label_smoothing,
            class_weights=torch.from_numpy(weights).to(device),
        )

    def weights(self, shares: torch.Tensor) -> torch.Tensor:
        """What each sample counts, (n,), by its shares of the classes, (n, k)."""
        return shares @ self.class_weights

    def __call__(self, logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Loss of each sample, (n,), times its weight. logits, shares: (n, k) float32."""
        smoothed = shares * (1 - self.smoothing) + self.smoothing / shares.shape[1]
        if self.kind == "focal":
            # torchvision's is of independent classes (sigmoid); ours exclude one another.
            logs = F.log_softmax(logits, dim=1)
            losses = -(smoothed * logs * (1 - logs.exp()) ** _FOCUS).sum(dim=1)
        elif self.kind == "binary":
            # On the difference of the logits: the same loss as of two, computed as one.
            losses = F.binary_cross_entropy_with_logits(
                logits[:, 1] - logits[:, 0], smoothed[:, 1], reduction="none"
            )
        else:
            losses = F.cross_entropy(logits, smoothed, reduction="none")
        return losses * self.weights(shares)


def class_weights(counts: NDArray[np.int64], power: float = 1.0) -> NDArray[np.float32]:
    """Weight of each class, (k,): rare ones weigh more, up to a bound, so noise does not rule."""
    rarity = (counts.max() / counts) ** power
    return np.asarray(np.minimum(rarity, _MAX_CLASS_WEIGHT), dtype=np.float32)
