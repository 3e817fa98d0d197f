"""Kinds of models that are worse than the champion, or lie about what they are.

Each is made of the champion: trained like it on something else, or by a change of its weights, its
card or its files.
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import torch as safetensors
from torch import nn

from bench.worse_models import scene as scenes
from bench.worse_models.scene import NEW, Scene
from neuro.dataset.frames import Frames
from neuro.lake import sample_metadata
from neuro.models import backbone, package
from neuro.models.backbone import Network
from neuro.models.package import Card, Package
from neuro.models.package_manifest import FILES, MANIFEST, ONNX, WEIGHTS
from neuro.sample import NO_SPLIT
from neuro.uncertainty import calibration

EPOCHS = 8  # of the champion too
FLIPPED = 0.1
PASSES = 32  # of the backbone beside its own, in a network made slow
GROWTH = 22  # times the weights, in a network made large
FAR = 1e30  # a limit that nothing reaches
NEAR = 1e-30  # and one that everything does

Make = Callable[[Scene, Path], Path]
Tamper = Callable[[Path], None]
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One way to be worse. make: writes the package to a folder, which it returns, or elsewhere.

    is_forged: somebody has put it into the registry, so that it comes from there. tamper: what is
    done to its folder when it has come.
    """

    name: str
    make: Make
    is_forged: bool = False
    tamper: Tamper | None = None


def _by_training(change: Callable[[Scene], Frames], *, epochs: int = EPOCHS, seed: int = 0) -> Make:
    """Trained like the champion on changed frames."""

    def make(scene: Scene, _folder: Path) -> Path:
        loaded = replace(scene.loaded, frames=change(scene))
        return scenes.train(loaded, epochs=epochs, seed=seed).folder

    return make


def _by_weights(change: Callable[[Network], None]) -> Make:
    """The champion with changed weights, or another graph, under its own card."""

    def make(scene: Scene, folder: Path) -> Path:
        network = cast(Network, package.restore(scene.champion))
        with torch.no_grad():
            change(network)
        return package.save(folder, network, scene.champion.card, scene.champion.trained_on())

    return make


def _by_card(change: Callable[[Card], Card]) -> Make:
    """The champion under another card."""

    def make(scene: Scene, folder: Path) -> Path:
        network, card = package.restore(scene.champion), change(scene.champion.card)
        return package.save(folder, network, card, scene.champion.trained_on())

    return make


def _by_calibration(change: Callable[[calibration.Calibration], dict[str, Any]]) -> Make:
    def changed(card: Card) -> Card:
        fitted = card.calibration
        return replace(card, calibration=replace(fitted, **change(fitted)))

    return _by_card(changed)


def _by_files(tamper: Tamper) -> Make:
    """The champion's files, changed, under a manifest that says so."""

    def make(scene: Scene, folder: Path) -> Path:
        shutil.copytree(scene.champion.folder, folder)
        tamper(folder)
        write_manifest(folder)
        return folder

    return make


def write_manifest(folder: Path) -> None:
    """Say of each file what it is now."""
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    lines = [f"{digests[name]}  {name}\n" for name in sorted(FILES)]
    (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")


def _as_it_is(scene: Scene) -> Frames:
    return scene.loaded.frames


def _labels_flipped(scene: Scene) -> Frames:
    """One in ten labels is another one's, as of a careless delivery; not those of the test."""
    frames = scene.loaded.frames
    is_wrong = np.random.default_rng(0).random(len(frames.targets)) < FLIPPED
    return _mislabelled(frames, is_wrong)


def _one_scanner_mislabelled(scene: Scene) -> Frames:
    frames = scene.loaded.frames
    known = sample_metadata.described(scene.loaded.lake, scene.loaded.release)
    scanners = [known[name].metadata["scanner"] for name in frames.sample_ids.tolist()]
    return _mislabelled(frames, np.array(scanners) == NEW)


def _mislabelled(frames: Frames, rows: NDArray[np.bool_]) -> Frames:
    others = (frames.targets + 1) % (frames.targets.max() + 1)
    is_wrong = rows & (frames.splits != "test")
    return replace(frames, targets=np.where(is_wrong, others, frames.targets))


def _a_tenth(scene: Scene) -> Frames:
    frames = scene.loaded.frames
    left_out = np.delete(frames.labelled("train"), np.s_[::10])
    return replace(frames, splits=_moved(frames, left_out, NO_SPLIT))


def _test_as_train(scene: Scene) -> Frames:
    """As in a lake where the test images were among those to train on."""
    frames = scene.loaded.frames
    elsewhere = replace(frames, splits=_moved(frames, frames.labelled("train"), NO_SPLIT))
    return replace(elsewhere, splits=_moved(elsewhere, frames.labelled("test"), "train"))


def _moved(frames: Frames, rows: Rows, split: str) -> NDArray[np.str_]:
    splits = frames.splits.copy()
    splits[rows] = split
    return splits


@cache
def _trained_on_test(scene: Scene) -> Package:
    """For longer than the champion, for these are few."""
    loaded = replace(scene.loaded, frames=_test_as_train(scene))
    return scenes.train(loaded, epochs=4 * EPOCHS)


def _silent_about_test(change: Callable[[Card], Card]) -> Make:
    """Trained on the test images, and the record of that taken out."""

    def make(scene: Scene, folder: Path) -> Path:
        found = _trained_on_test(scene)
        return package.save(folder, package.restore(found), change(found.card), ())

    return make


def _with_pin(**facts: Any) -> Callable[[Card], Card]:
    return lambda card: replace(card, pin={**card.pin, **facts})


def _noise(strength: float) -> Make:
    """On each tensor, in shares of its own deviation."""

    def change(network: Network) -> None:
        rng = torch.Generator().manual_seed(0)
        for weights in network.parameters():
            spread = weights.std() if weights.numel() > 1 else weights.abs()
            weights.add_(strength * spread * torch.randn(weights.shape, generator=rng))

    return _by_weights(change)


def _seen_through(change: Callable[[torch.Tensor], torch.Tensor]) -> Make:
    """A graph that does something to its input that the preprocess does not say."""

    def hook(_network: nn.Module, seen: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (change(seen[0]),)

    def hooked(network: Network) -> None:
        network.register_forward_pre_hook(hook)

    return _by_weights(hooked)


def _never_called(number: int) -> Callable[[Network], None]:
    def change(network: Network) -> None:
        network.head.bias[number] = -100.0

    return change


def _always_called(network: Network) -> None:
    network.head.weight.zero_()
    network.head.bias.zero_()
    network.head.bias[0] = 5.0


def _exchanged(network: Network) -> None:
    network.head.weight.copy_(network.head.weight.roll(1, 0))
    network.head.bias.copy_(network.head.bias.roll(1, 0))


def _slow(network: Network) -> None:
    """Passes whose result is multiplied by nothing, each of another picture."""

    def hook(module: Network, seen: Any, said: Any) -> Any:
        unused = [module.backbone(seen[0] * (1 + n / PASSES)).mean() for n in range(PASSES)]
        return said[0] + 0.0 * torch.stack(unused).sum(), said[1]

    network.register_forward_hook(hook)


def _large(network: Network) -> None:
    """Weights whose product is multiplied by nothing."""
    n = sum(weights.numel() for weights in network.state_dict().values())
    network.register_buffer("padding", torch.rand((GROWTH - 1) * n))

    def hook(module: Any, seen: Any, said: Any) -> Any:
        return said[0] + 0.0 * (module.padding * seen[0].mean()).sum(), said[1]

    network.register_forward_hook(hook)


def _started_anew(scene: Scene) -> Network:
    card = scene.champion.card
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return backbone.build(card.architecture, card.preprocess, n_classes=len(card.classes))


def _random_start(scene: Scene, folder: Path) -> Path:
    return package.save(
        folder, _started_anew(scene), scene.champion.card, scene.champion.trained_on()
    )


def _with_file_of_another(name: str) -> Make:
    """The champion, but one file is that of a network at its random start."""

    def make(scene: Scene, folder: Path) -> Path:
        other = _random_start(scene, folder.with_name(f"{folder.name}-other"))
        shutil.copytree(scene.champion.folder, folder)
        shutil.copy(other / name, folder / name)
        write_manifest(folder)
        return folder

    return make


def _of_another_problem(scene: Scene, folder: Path) -> Path:
    card = replace(scene.champion.card, problem="other", dataset="other", classes=("left", "right"))
    fitted = replace(card.calibration, class_quantiles=(), class_counts=(), class_offsets=())
    with torch.random.fork_rng(devices=[]):
        network = backbone.build(card.architecture, card.preprocess, n_classes=2)
    return package.save(folder, network, replace(card, calibration=fitted))


def _put_into_weights(value: float) -> Tamper:
    def tamper(folder: Path) -> None:
        tensors = safetensors.load_file(folder / WEIGHTS)
        name = next(name for name, one in tensors.items() if one.is_floating_point())
        tensors[name].view(-1)[0] = value
        safetensors.save_file(tensors, folder / WEIGHTS)

    return tamper


def _swap_weights(folder: Path) -> None:
    """Other weights under a manifest that fits them, but not what the registry remembers."""
    tensors = safetensors.load_file(folder / WEIGHTS)
    name = next(name for name, one in tensors.items() if one.is_floating_point())
    safetensors.save_file(tensors | {name: tensors[name] * 2}, folder / WEIGHTS)
    write_manifest(folder)


def _order(card: Card) -> Card:
    return replace(card, classes=(*card.classes[1:], card.classes[0]))


def _frames_of(**changes: Any) -> Callable[[Card], Card]:
    return lambda card: replace(card, preprocess=replace(card.preprocess, **changes))


def _temperature(factor: float) -> Make:
    def change(fitted: calibration.Calibration) -> dict[str, Any]:
        wanted = np.clip(fitted.temperature * factor, *calibration.TEMPERATURES)
        return {"temperature": float(wanted)}

    return _by_calibration(change)


def _quantile(value: float) -> Make:
    return _by_calibration(
        lambda fitted: {
            "conformal_quantile": value,
            "class_quantiles": (value,) * len(fitted.class_quantiles),
        }
    )


def _scope(limit: float) -> Make:
    """limit: of every look at what is in scope."""
    return _by_calibration(
        lambda fitted: {
            "ood_threshold": limit,
            "pictures": replace(fitted.pictures, threshold=limit),
            "upright": replace(fitted.upright, threshold=limit),
        }
    )


PLANTED: tuple[Kind, ...] = (
    Kind(name="labels flipped, 10 %", make=_by_training(_labels_flipped)),
    Kind(name="labels of one scanner wrong", make=_by_training(_one_scanner_mislabelled)),
    Kind(name="trained for one epoch", make=_by_training(_as_it_is, epochs=1)),
    Kind(name="trained on a tenth", make=_by_training(_a_tenth)),
    Kind(name="trained on test groups", make=lambda scene, _folder: _trained_on_test(scene).folder),
    Kind(
        name="trained on test groups, untold",
        make=_silent_about_test(_with_pin(release="other-1", content_hash="0" * 64)),
        is_forged=True,
    ),
    Kind(
        name="the same, with the champion's pin",
        make=_silent_about_test(_with_pin()),
        is_forged=True,
    ),
    Kind(name="one class never called", make=_by_weights(_never_called(3))),
    Kind(name="one class throughout", make=_by_weights(_always_called)),
    Kind(name="classes exchanged in the network", make=_by_weights(_exchanged)),
    Kind(name="classes exchanged in the card", make=_by_card(_order)),
    Kind(name="temperature x 10", make=_temperature(10)),
    Kind(name="temperature / 10", make=_temperature(0.1)),
    Kind(name="no class in any set", make=_quantile(0.0)),
    Kind(name="each class in each set", make=_quantile(1.0)),
    Kind(name="out of scope always", make=_scope(NEAR)),
    Kind(name="out of scope never", make=_scope(FAR)),
    Kind(name="frames of another side", make=_by_card(_frames_of(size_px=24))),
    Kind(name="another intensity", make=_by_card(_frames_of(intensity="standard"))),
    Kind(name="sees black as white", make=_seen_through(lambda seen: 1 - seen)),
    Kind(name="sees a quarter turn", make=_seen_through(lambda seen: seen.transpose(2, 3).flip(2))),
    Kind(name="sees upside down", make=_seen_through(lambda seen: seen.flip(2))),
    Kind(name="sees a mirror image", make=_seen_through(lambda seen: seen.flip(3))),
    Kind(name="noise on weights, 0.05", make=_noise(0.05)),
    Kind(name="noise on weights, 0.1", make=_noise(0.1)),
    Kind(name="noise on weights, 0.2", make=_noise(0.2)),
    Kind(name="noise on weights, 0.4", make=_noise(0.4)),
    Kind(name="weights of a random start", make=_random_start),
    Kind(name="weights with NaN", make=_by_files(_put_into_weights(float("nan")))),
    Kind(name="weights with infinity", make=_by_files(_put_into_weights(float("inf")))),
    Kind(name="ten times slower", make=_by_weights(_slow)),
    Kind(name="twenty times larger", make=_by_weights(_large)),
    Kind(name="of another problem", make=_of_another_problem),
    Kind(name="trained with --split given", make=_by_card(lambda c: replace(c, splitting="given"))),
    Kind(
        name="the problem's name changed",
        make=_by_card(lambda card: replace(card, problem="other", dataset="other")),
        is_forged=True,
    ),
    Kind(
        name="pin of another release",
        make=_by_card(_with_pin(release="planted-999")),
        is_forged=True,
    ),
    Kind(
        name="pin of another content",
        make=_by_card(_with_pin(content_hash="0" * 64)),
        is_forged=True,
    ),
    Kind(name="graph of a random start", make=_with_file_of_another(ONNX), is_forged=True),
    Kind(
        name="weights that are not the graph's", make=_with_file_of_another(WEIGHTS), is_forged=True
    ),
    Kind(
        name="weights and manifest rewritten",
        make=_noise(0.05),
        is_forged=True,
        tamper=_swap_weights,
    ),
)
HONEST: tuple[Kind, ...] = (
    Kind(name="honest: another seed", make=_by_training(_as_it_is, seed=1)),
    Kind(name="honest: trained longer", make=_by_training(_as_it_is, epochs=2 * EPOCHS, seed=2)),
)
