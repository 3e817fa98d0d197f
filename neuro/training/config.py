"""How a network is trained: every number that decides the weights, and presets of them."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from neuro import limits
from neuro.errors import ConfigError, PackageError, UnknownNameError
from neuro.models import ensemble, own_networks
from neuro.problems.problem import Problem

DEFAULT_MODEL = "resnet_small"
_LEAST_PX = 16  # of a frame's side

_CHOICES = {
    "optimizer": ("adamw", "adam", "sgd"),
    "schedule": ("one_cycle", "cosine"),
    "loss": ("weighted", "plain", "focal", "binary"),
    "sampler": ("shuffled", "balanced"),
}
_LIMITS = {
    "size_px": (0, 1024),
    "epochs": (1, 10_000),
    "batch_size": (2, 65_536),
    "learning_rate": (1e-8, 10),
    "weight_decay": (0, 10),
    "warmup": (0, 0.9),
    "label_smoothing": (0, 0.9),
    "mixup": (0, 10),
    "cutmix": (0, 10),
    "clip": (0, 1e6),
    "class_weight_power": (0, 1),
    "head_epochs": (0, 1_000),
    "freeze": (0, 100),
    "layer_decay": (0.1, 1),
    "drop_path": (0, 0.9),
    "ema_decay": (0, 0.99999),
    "grow_from": (0.25, 1),
    "augment_from": (0, 1),
    "augment_to": (0, 1),
    "patience": (0, 10_000),
    "seed": (0, 2**31),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The recipe of one training.

    model: a name, or those of an ensemble's members joined by "+", each trained by this recipe.
    size_px: side of the frames, 0 for the problem's own. schedule: "one_cycle" rises to
    ``learning_rate`` in the share ``warmup`` of all steps and falls as a cosine; "cosine" only
    falls. loss: cross-entropy with rare classes "weighted", "plain", "focal" (weighted;
    arXiv:1708.02002), or for two classes "binary". sampler: "balanced" draws every class equally
    often, and no class weighs more. mixup, cutmix: alpha of arXiv:1710.09412 and 1905.04899, 0 for
    none. clip: largest norm of the gradient, 0 for any. class_weight_power: a class that is so many
    times rarer than the commonest weighs that to this power, at most four. head_epochs: first ones
    in which the head alone learns (arXiv:2202.10054). freeze: first stages of the backbone that
    never learn. layer_decay: learning rate of a stage as a share of the next one's
    (arXiv:2106.08254). drop_path: chance that a residual branch of the last stage is left out
    (arXiv:1603.09382). ema_decay: per step, of the averaged weights that are kept. grow_from: side
    of the first views as a share of the frame's. augment_from, augment_to: strength of the random
    views as a share of the problem's, in the first epoch and in the last. Side and strength change
    for two thirds of the epochs (arXiv:2104.00298). patience: epochs without a better macro-F1 on
    val before the training stops and keeps its best weights, 0 to never stop.
    """

    model: str = DEFAULT_MODEL
    size_px: int = 0
    epochs: int = 40
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float = 4e-3
    weight_decay: float = 0.1
    schedule: str = "one_cycle"
    warmup: float = 0.2
    loss: str = "weighted"
    label_smoothing: float = 0.05
    sampler: str = "shuffled"
    mixup: float = 0.0
    cutmix: float = 0.0
    clip: float = 0.0
    class_weight_power: float = 1.0
    head_epochs: int = 0
    freeze: int = 0
    layer_decay: float = 1.0
    drop_path: float = 0.0
    ema_decay: float = 0.998
    grow_from: float = 1.0
    augment_from: float = 1.0
    augment_to: float = 1.0
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        limits.within(self, _LIMITS)
        limits.among(self, _CHOICES)
        if not isinstance(self.model, str):
            raise ConfigError(f"model must be the name of a network, got {self.model!r}")
        if 0 < self.size_px < _LEAST_PX:
            raise ConfigError(
                f"size_px must be 0, for the problem's own, or {_LEAST_PX} to 1024, got "
                f"{self.size_px}"
            )

    def changed(self, changes: Mapping[str, Any]) -> "TrainConfig":
        """The same with some fields changed; raises UnknownNameError with near misses."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=2)
                hint = f"did you mean {' or '.join(near)}?" if near else f"There are {known}"
                raise UnknownNameError(f"a recipe has no {name!r}; {hint}")
        return replace(self, **changes)


def of_card(training: Mapping[str, Any]) -> TrainConfig:
    """The recipe that a model card tells, without fields that this version does not know.

    Raises PackageError for a value that no recipe has.
    """
    known = {field.name for field in fields(TrainConfig)}
    try:
        return TrainConfig(**{name: value for name, value in training.items() if name in known})
    except (ConfigError, TypeError) as error:
        raise PackageError(f"the model card's training is no recipe: {error}") from error


def framed(problem: Problem, config: TrainConfig) -> Problem:
    """The problem with frames of the recipe's side."""
    if not config.size_px:
        return problem
    return replace(problem, preprocess=replace(problem.preprocess, size_px=config.size_px))


def side(config: TrainConfig, epoch: int, size_px: int) -> int:
    """Side of the views of an epoch, from 1, in px: growing, in steps of 16, to the frame's own."""
    share = _between(config.grow_from, 1.0, config, epoch)
    return min(size_px, max(32, round(share * size_px / 16) * 16)) if share < 1 else size_px


def strength(config: TrainConfig, epoch: int) -> float:
    """Strength of the random views of an epoch, from 1, as a share of the problem's."""
    return _between(config.augment_from, config.augment_to, config, epoch)


def _between(first: float, last: float, config: TrainConfig, epoch: int) -> float:
    return first + (last - first) * min(1.0, (epoch - 1) / max(1.0, 2 / 3 * config.epochs))


PRESETS = ("fast", "default", "best")

# How many views of images a preset shows, and in how few to how many epochs.
_VIEWS = {
    "fast": {"cpu": 60_000, "cuda": 600_000},
    "default": {"cpu": 250_000, "cuda": 2_500_000},
    "best": {"cpu": 750_000, "cuda": 7_500_000},
}
_EPOCHS = {"fast": (3, 100), "default": (10, 300), "best": (30, 600)}
_MILD, _FEW = 0.25, 100_000  # strength of the last views where there are fewer than so many
_BATCH = {"cpu": 64, "cuda": 128}
_STEPS_AN_EPOCH = 4  # at least: few images make small batches

# What a family of models asks for besides; the first that fits the beginning of the name.
_FAMILIES: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("resnet_small", "cnn"),
        {"augment_from": 0.1, "label_smoothing": 0.1, "weight_decay": 0.2},
    ),
    # Of one fixed size, or trained as such.
    (("vit", "deit", "swin"), {"learning_rate": 5e-4, "weight_decay": 0.05, "clip": 1.0}),
    (("convnext",), {"learning_rate": 5e-4, "weight_decay": 0.05, "clip": 1.0, "grow_from": 0.5}),
    (("",), {"learning_rate": 2e-3, "weight_decay": 0.05, "grow_from": 0.5}),
)
_FINE_TUNING = 0.25  # of the learning rate, where weights are given
_TUNED_VIEWS = 0.2  # of those of a preset: each costs twenty times one of our own networks
_TUNED_EPOCHS = (4, 30)
# How timm's convolutional networks are changed that start from weights.
_TUNED = {
    "layer_decay": 0.8,
    "head_epochs": 1,
    "class_weight_power": 0.5,
    "grow_from": 1.0,
}
# First stages that stay as they are on a CPU, where their gradients are most of the cost.
_FROZEN = (
    (("tf_efficientnet", "efficientnet", "mobilenetv"), 4),
    (("resnet", "resnext", "convnext", "densenet"), 2),
)
_HAVE_DROP_PATH = ("tf_efficientnet", "efficientnet", "mobilenetv", "resnet", "convnext")
_FINE_TUNED = (
    *(*_HAVE_DROP_PATH, "resnext", "wide_resnet", "densenet", "regnet", "mnasnet", "vgg"),
    *("xception", "legacy_xception"),
)


def choose(
    preset: str, changes: Mapping[str, Any], *, images: int, kind: str, tunes: bool = False
) -> TrainConfig:
    """The recipe of a preset for a model and so many training images, with some fields changed.

    kind: of the device, "cpu" or "cuda". tunes: whether the training starts from weights. The views
    of an ensemble are those of all its members, whose family is the first's. The learning rate
    grows with the root of the batch (arXiv:2205.10287). Raises UnknownNameError for the preset or a
    field, ConfigError for a value.
    """
    check_preset(preset)
    members = ensemble.members(TrainConfig().changed(changes).model)
    model = members[0].architecture
    usual = TrainConfig().changed(_of_family(model, kind, tunes=tunes))
    if not all(_is_of(each.architecture, _HAVE_DROP_PATH) for each in members):
        usual = usual.changed({"drop_path": 0.0})
    least, most = (math.ceil(epochs / len(members)) for epochs in _EPOCHS[preset])
    views = round(_VIEWS[preset][kind] / len(members))
    batch = changes.get("batch_size", max(2, min(_BATCH[kind], images // _STEPS_AN_EPOCH)))
    rate = usual.learning_rate
    if usual.head_epochs:  # fine-tuned
        views, least, most = round(views * _TUNED_VIEWS), *_TUNED_EPOCHS
    elif tunes:
        rate *= _FINE_TUNING
    strongest = _MILD if views < _FEW and not usual.head_epochs else usual.augment_to
    chosen = {
        "augment_from": min(usual.augment_from, strongest),
        "augment_to": strongest,
        "epochs": min(most, max(least, round(views / max(1, images)))),
        "batch_size": batch,
        "learning_rate": rate * (batch / usual.batch_size) ** 0.5,
    }
    if changes.get("epochs") == 1:
        chosen["head_epochs"] = 0  # or nothing but the head would learn
    return usual.changed({**chosen, **changes})


def check_preset(preset: str) -> None:
    """Raise UnknownNameError for a preset that is none."""
    if preset not in PRESETS:
        raise UnknownNameError(f"no preset {preset!r}; choose one of {', '.join(PRESETS)}")


def _of_family(model: str, kind: str, *, tunes: bool) -> dict[str, Any]:
    """What a family of models asks for, from a random start or from weights."""
    usual = next(values for names, values in _FAMILIES if model.startswith(names))
    if not tunes or not _is_of(model, _FINE_TUNED):
        return usual
    frozen = next((n for names, n in _FROZEN if model.startswith(names)), 0)
    drop_path = 0.1 if _is_of(model, _HAVE_DROP_PATH) else 0.0
    changed = {
        "learning_rate": usual["learning_rate"] / 2,  # of the head; layer_decay does the rest
        "drop_path": drop_path,
        "freeze": frozen if kind == "cpu" else 0,
    }
    return usual | _TUNED | changed


def _is_of(model: str, families: tuple[str, ...]) -> bool:
    """Whether a network of timm's is of one of these families."""
    return model not in own_networks.OURS and model.startswith(families)
