"""One step of gradient descent on a batch, and the average of the weights over all steps."""

import logging
import math
from typing import Any

import torch
from lightning_fabric import Fabric

from neuro.models import stages
from neuro.models.backbone import Network
from neuro.training import optimizer as optimizers
from neuro.training.config import TrainConfig
from neuro.training.device import is_out_of_memory, part
from neuro.training.losses import Loss

_log = logging.getLogger(__name__)


class GradientStep:
    """A network, its loss, optimizer and schedule, and the running average of its weights.

    at_once: images whose gradients are computed together; halved where memory runs out.
    """

    def __init__(
        self, network: Network, loss: Loss, config: TrainConfig, fabric: Fabric, *, n_steps: int
    ) -> None:
        """Take the network to the device. n_steps: of the whole training.

        Raises ConfigError for more frozen stages than the backbone has.
        """
        # A second to import, so not before a training starts.
        from timm.utils.model_ema import ModelEmaV3

        network.frozen = stages.frozen(network.backbone, config.freeze)
        self.network: Network = network.to(fabric.device).to(memory_format=torch.channels_last)
        # Its average of weights and batch statistics (arXiv:1803.05407) forgets faster while it is
        # young, or a short run would keep its random start: after n steps by at most n / (n + 10).
        # Not torch's AveragedModel: that waits for a GPU in each step, to copy its counter there.
        self._average = ModelEmaV3(
            self.network, config.ema_decay, use_warmup=True, warmup_gamma=10, warmup_power=1.0
        )
        self._average.requires_grad_(requires_grad=False)
        optimizer = optimizers.build(self.network, config)
        self._schedule = optimizers.schedule(optimizer, config, n_steps)
        self._parallel, self._optimizer = fabric.setup(self.network, optimizer)
        self._loss, self._config, self._fabric = loss, config, fabric
        self.at_once = math.ceil(config.batch_size / fabric.world_size)
        self.steps_done = 0
        self.learning_rate = 0.0  # of the last step

    @property
    def averaged(self) -> Network:
        """The averaged weights, in evaluation mode."""
        network: Network = self._average.module
        return network

    def start_epoch(self, epoch: int) -> None:
        """Say which epoch, from 1, the next steps are of: first, the head alone may learn."""
        self.network.learns_head_only = epoch <= self._config.head_epochs

    def __call__(self, images: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Change the weights by one batch; returns its loss, unread, so that a GPU goes on.

        images: (n, c, h, w) float32; shares: (n, k) of the classes.
        """
        device = self._fabric.device
        self._parallel.train()
        with part("forward and backward", device):
            loss = self._gradients_or_halve(images, shares)
        with part("optimizer", device):
            if self._config.clip:
                # What is not finite is told where the loss is read, with its samples.
                self._fabric.clip_gradients(
                    self._parallel,
                    self._optimizer,
                    max_norm=self._config.clip,
                    error_if_nonfinite=False,
                )
            self._optimizer.step()
            self.learning_rate = float(self._schedule.get_last_lr()[0])
            self._schedule.step()
            self.steps_done += 1
        with part("average", device):
            self._average.update(self.network, step=self.steps_done + 1)  # it counts from 2
        return loss

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, but for its batch."""
        return {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "steps_done": self.steps_done,
            "at_once": self.at_once,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what ``state`` said."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.steps_done, self.at_once = state["steps_done"], state["at_once"]

    def _gradients_or_halve(self, images: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        while True:
            try:
                return self._gradients(images, shares)
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                is_alone = self._fabric.world_size == 1
                if not (is_out_of_memory(error) and is_alone) or self.at_once == 1:
                    raise
                self._halve()

    def _gradients(self, images: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Gradients of a batch, summed over as many images at once as fit; returns its loss."""
        self._optimizer.zero_grad(set_to_none=True)
        total_weight = self._loss.weights(shares).sum()
        batch_loss = torch.zeros((), device=self._fabric.device)
        n_parts = math.ceil(len(images) / self.at_once)
        for number in range(n_parts):
            some = slice(number * self.at_once, (number + 1) * self.at_once)
            # Processes exchange their gradients once, with the last part.
            is_last = number == n_parts - 1
            with self._fabric.no_backward_sync(self._parallel, enabled=not is_last):
                logits, _ = self._parallel(images[some])
                loss = self._loss(logits.float(), shares[some]).sum() / total_weight
                self._fabric.backward(loss)
            batch_loss = batch_loss + loss.detach()
        return batch_loss

    def _halve(self) -> None:
        """Go on with half as many images at once."""
        self.at_once = math.ceil(self.at_once / 2)
        self._optimizer.zero_grad(set_to_none=True)
        if self._fabric.device.type == "cuda":
            torch.cuda.empty_cache()
        _log.warning(
            "out of memory: from here %d images at once, and steps of %d as before",
            self.at_once,
            self._config.batch_size,
        )
