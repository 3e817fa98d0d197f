"""The model package: what is deployed, as a folder that can be checked before it is believed.

``weights.safetensors``, ``model.onnx``, ``model.json`` and the manifest of the three, which names
the package (``neuro.models.package_manifest``). Nothing in it runs code when opened, nothing holds
a time or a path: the same network and card give the same bytes.
"""

import copy
import json
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import nn

from neuro.errors import ConfigError, PackageError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone, package_manifest, trained_on, typed_json
from neuro.models.package_manifest import CARD, MANIFEST, ONNX, WEIGHTS, Manifest
from neuro.models.trained_on import TrainedOn
from neuro.problems.problem import MEAN, MOST
from neuro.sample import Metric
from neuro.signing import Keys
from neuro.splits import split_choice
from neuro.uncertainty import calibration, gradient_histograms, picture_measures
from neuro.uncertainty.calibration import Calibration
from neuro.uncertainty.cases import CaseCalibration
from neuro.uncertainty.upright import GRADIENTS, SEEN, TURNS

FORMAT_VERSION = 8
# 1 knew no other splitting than the lake's own; 2 did not say what the network was trained on; 3
# had one conformal limit for all classes; 4 looked at the embedding alone for what is in scope; 5
# decided by the one limit, gave no class an offset, and looked at the embedding for what is turned;
# 6 did not name the lock of its environment; 7 had no answers of cases.
READABLE = (1, 2, 3, 4, 5, 6, 7, FORMAT_VERSION)
SAYS_TRAINED_ON = 3  # the first format that does
NOTICE = "Research use only. Not a medical device."
_PIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,250}")
_LARGEST_OFFSET = 100  # of a logit
_LEAST = 1e-30  # of what is divided by
_LARGEST = {"log_loss": 100, "brier": 2}  # of a figure, of all others 1
TOLERANCE = 1e-4  # between torch and ONNX, on outputs of the order of 1
OPERATING_POINTS = {
    "predicted": "argmax of the logits",  # and not of the probabilities, which have the offsets
    "answer": "the conformal set holds the predicted class alone",
    "ood_limit": 1.0,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What ``model.json`` holds: enough to use the model and to trace it.

    pin: release, tables and content_hash of the data. training: the training config. metrics: of
    the validation split. synthetic: trained on drawn images, to be said wherever it is shown.
    splitting: what train, validation and test were. leak: to be said beside every figure, "" for
    nothing. trials: recipes that were compared on validation before this one was chosen.
    weights_sha256: of the file that the backbone started from, "" for a random start.
    weights_licence, weights_source: of that file, "" where they are not known. lock_hash:
    SHA-256 of the lock of the environment it was trained in, "" where that is not known. cases: how
    images of one group become one answer.
    """

    problem: str
    dataset: str
    architecture: str
    classes: tuple[str, ...]
    preprocess: PreprocessSpec
    calibration: Calibration
    pin: Mapping[str, Any]
    code_revision: str
    training: Mapping[str, Any]
    metrics: tuple[Metric, ...]
    synthetic: bool
    intended_use: str
    averages_mirror: bool = False
    averages_flip: bool = False
    splitting: str = "own"
    leak: str = ""
    trials: int = 0
    weights_sha256: str = ""
    weights_licence: str = ""
    weights_source: str = ""
    lock_hash: str = ""
    cases: CaseCalibration = field(default_factory=CaseCalibration)
    operating_points: Mapping[str, Any] = field(default_factory=OPERATING_POINTS.copy)
    format_version: int = FORMAT_VERSION

    def note(self, split: str) -> str:
        """What must be said beside figures of a split, "" for nothing."""
        notes = [self.leak] if self.leak else []
        if self.trials and split == "val":
            notes.append(f"the recipe is the best of {self.trials} on val, which flatters val")
        return "; ".join(notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """A verified package. digest: SHA-256 of its manifest. files: name -> SHA-256.

    signed_by: id of the key that signed it, "" for none; believed only where keys were asked for.
    """

    folder: Path
    digest: str
    files: Mapping[str, str]
    card: Card
    signed_by: str = ""

    def read(self, name: str) -> bytes:
        """Bytes of one file, checked again as they are read: it may have changed meanwhile."""
        return package_manifest.read_file(self.folder / name, self.files[name])

    def trained_on(self) -> tuple[TrainedOn, ...]:
        """What it was trained on, and then what its start was; nothing where it does not say."""
        return trained_on.split(_tensors(self.read(WEIGHTS), self.folder / WEIGHTS))[1]


def save(folder: Path, network: nn.Module, card: Card, trainings: Sequence[TrainedOn] = ()) -> Path:
    """Write the package whole or not at all; saving the same package twice changes nothing.

    network: forward of (n, c, size, size) float32 gives logits (n, k) and embedding (n, d). It is
    exported in evaluation mode, from a copy. trainings: its own and those of its start. Raises
    PackageError where the folder holds another package or the ONNX graph does not repeat the
    network's answers.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    frozen = copy.deepcopy(network).cpu().float().eval()
    frozen = frozen.to(memory_format=torch.contiguous_format)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".package-") as scratch:
        built = Path(scratch) / "whole"
        built.mkdir()
        (built / CARD).write_text(_card_text(card), encoding="utf-8")
        tensors = {name: value.contiguous().clone() for name, value in frozen.state_dict().items()}
        safetensors.save_file(tensors | trained_on.as_tensors(trainings), built / WEIGHTS)
        _export(frozen, card.preprocess, built / ONNX)
        package_manifest.write(built)
        try:
            built.rename(folder)
        except OSError as error:
            if not _holds(folder, package_manifest.digest(built)):
                raise PackageError(
                    f"{folder} exists and holds something else; give another folder"
                ) from error
    return folder


def _holds(folder: Path, digest: str) -> bool:
    return (folder / MANIFEST).is_file() and package_manifest.digest(folder) == digest


def open_verified(
    folder: Path, *, expected: str | None = None, signers: Keys | None = None
) -> Package:
    """Check every file against the manifest, then read the card; nothing is parsed before.

    expected: the digest somebody else remembers, such as the registry. signers: keys of which one
    must have signed it; None for a package that needs no signature. Raises PackageError naming the
    file that is altered, missing or not listed.
    """
    manifest = package_manifest.verify(folder, expected=expected, signers=signers)
    package = _described(folder, manifest)
    _tensors(package.read(WEIGHTS), folder / WEIGHTS)
    return package


def described(folder: Path) -> Package:
    """A package by its manifest and its card, which is checked; nothing else of it is read yet.

    Raises PackageError.
    """
    return _described(folder, package_manifest.read(folder))


def _described(folder: Path, manifest: Manifest) -> Package:
    path = folder / CARD
    card = _parse_card(package_manifest.read_file(path, manifest.files[CARD]), path)
    return Package(
        folder=folder,
        digest=manifest.digest,
        files=manifest.files,
        card=card,
        signed_by=manifest.signed_by,
    )


def restore(package: Package) -> nn.Module:
    """The torch network of a package, in evaluation mode: to explain it or to train it further."""
    card = package.card
    try:
        with torch.random.fork_rng(devices=[]):  # the random start is overwritten; leave no trace
            network = backbone.build(
                card.architecture, card.preprocess, n_classes=len(card.classes)
            )
    except ConfigError as error:
        raise PackageError(f"{package.folder / CARD}: architecture: {error}") from error
    network.averages_mirror = card.averages_mirror
    network.averages_flip = card.averages_flip
    tensors, _ = trained_on.split(_tensors(package.read(WEIGHTS), package.folder / WEIGHTS))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise PackageError(
            f"{package.folder / WEIGHTS} does not fit {card.architecture}, as this program builds "
            f"it; use the program of revision {card.code_revision}"
        ) from error
    return network.eval()


def _tensors(raw: bytes, path: Path) -> dict[str, torch.Tensor]:
    """Named tensors of finite numbers. Raises PackageError for anything else."""
    try:
        tensors: dict[str, torch.Tensor] = safetensors.load(raw)
    except (SafetensorError, ValueError, KeyError) as error:
        raise PackageError(f"{path} is no safetensors file: {str(error)[:160]}") from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise PackageError(f"{path}: {name[:80]} holds NaN or infinity; train again")
    try:
        own, _ = trained_on.split(tensors)
    except PackageError as error:
        raise PackageError(f"{path}: {error}") from error
    if not own:
        raise PackageError(f"{path} holds no tensor; fetch the package again")
    return tensors


def _export(network: nn.Module, spec: PreprocessSpec, path: Path) -> None:
    """Export for any batch size, and prove that the graph answers like the network.

    The TorchScript exporter: its file is the same to the byte each time. The newer one takes
    thirty times as long and writes this machine's source paths into the graph.
    """
    shape = (spec.channels, spec.size_px, spec.size_px)
    names = ("pixels", "logits", "embedding")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecation and tracer notes; the check below decides
        torch.onnx.export(
            network,
            (torch.zeros(1, *shape),),
            str(path),
            input_names=list(names[:1]),
            output_names=list(names[1:]),
            dynamic_axes={name: {0: "n"} for name in names},
            dynamo=False,
        )
        pixels = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
        expected = [output.numpy() for output in network(pixels)]
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    for name, wanted in zip(names[1:], expected, strict=True):
        answer = session.run([name], {"pixels": pixels.numpy()})[0]
        if not np.allclose(answer, wanted, rtol=TOLERANCE, atol=TOLERANCE):
            raise PackageError(f"the exported {name} differ from the network's; try another model")


def _card_text(card: Card) -> str:
    facts = asdict(card) | {"preprocess_hash": card.preprocess.sha256, "notice": NOTICE}
    for metric in facts["metrics"]:
        if not metric["classes"]:
            del metric["classes"]  # earlier versions of the program do not know it
    try:
        return json.dumps(facts, sort_keys=True, indent=1, allow_nan=False) + "\n"
    except ValueError as error:
        raise PackageError(f"the model card holds NaN or infinity: {error}") from error


def _parse_card(raw: bytes, path: Path) -> Card:
    """The card, every field by its type and its range. Raises PackageError naming the field."""
    facts = typed_json.parse(raw, str(path))
    version = facts.get("format_version")
    if isinstance(version, bool) or version not in READABLE:
        raise PackageError(
            f"{path} has format {str(version)[:40]}, this program reads {FORMAT_VERSION}"
        )
    try:
        card: Card = typed_json.read(Card, facts, f"{path}: ", extra=True)
    except ConfigError as error:  # of the preprocess
        raise PackageError(f"{path}: {error}") from error
    if facts.get("preprocess_hash") != card.preprocess.sha256:
        raise PackageError(f"{path}: preprocess_hash is not that of its preprocess fields")
    of_calibration = (*_calibration_ranges(card.calibration), *_look_ranges(card))
    ranges = (*_ranges(card), *of_calibration, *_case_ranges(card))
    for field_name, is_right, expected in ranges:
        if not is_right:
            raise PackageError(f"{path}: {field_name} must be {expected}; fetch the package again")
    return card


def _ranges(card: Card) -> Iterator[tuple[str, bool, str]]:
    """Fields of a card: whether each is within what is allowed, and what that is."""
    names, pin = card.classes, card.pin
    is_distinct = len(set(names)) == len(names) >= 2 and all(name.strip() for name in names)
    yield "classes", is_distinct, "two or more distinct names"
    by_class = card.calibration.class_quantiles
    is_each = len(by_class) in (0, len(names))
    yield "calibration.class_quantiles", is_each, "one number for each class, or none"
    n_counts = len(card.calibration.class_counts)
    is_counted = n_counts in (0, len(by_class))
    yield "calibration.class_counts", is_counted, "one for each of class_quantiles, or none"
    n_offsets = len(card.calibration.class_offsets)
    yield "calibration.class_offsets", n_offsets in (0, len(names)), "one of each class, or none"
    yield "architecture", bool(card.architecture.strip()), "the name of a network"
    yield "trials", 0 <= card.trials <= 1_000_000, "0 to 1,000,000"
    yield "weights_sha256", not card.weights_sha256 or _is_sha256(card.weights_sha256), "a SHA-256"
    yield "lock_hash", not card.lock_hash or _is_sha256(card.lock_hash), "a SHA-256"
    yield "splitting", _is_splitting(card.splitting), "own, given or such as fold-2-of-5"
    for key in ("release", "content_hash"):
        is_name = isinstance(pin.get(key), str) and bool(_PIN.fullmatch(pin[key]))
        yield f"pin.{key}", is_name, "letters, digits, . _ and -, as of a file's name"
    for number, metric in enumerate(card.metrics):
        where = f"metrics[{number}]"
        most = _LARGEST.get(metric.name, 1)
        yield f"{where}.value", -1 <= metric.value <= most, f"-1 to {most}"
        is_ordered = -1 <= metric.low <= metric.high and (most > 1 or metric.high <= 1)
        yield f"{where}.low", is_ordered, f"-1 to {most}, and at most high"
        yield f"{where}.groups", 0 <= metric.groups <= metric.n, "0 to n"


def _calibration_ranges(fitted: Calibration) -> Iterator[tuple[str, bool, str]]:
    width, of_classes = len(fitted.ood_mean), fitted.class_quantiles
    is_direction = [len(axis) == width and any(axis) for axis in fitted.ood_axes]
    lowest, highest = calibration.TEMPERATURES
    for name, is_right, expected in (
        ("temperature", lowest <= fitted.temperature <= highest, f"{lowest} to {highest}"),
        ("conformal_quantile", 0 <= fitted.conformal_quantile <= 1, "0 to 1"),
        ("class_quantiles", all(0 <= each <= 1 for each in of_classes), "numbers of 0 to 1"),
        (
            "class_offsets",
            all(abs(each) <= _LARGEST_OFFSET for each in fitted.class_offsets),
            f"numbers of -{_LARGEST_OFFSET} to {_LARGEST_OFFSET}",
        ),
        ("class_counts", all(each >= 0 for each in fitted.class_counts), "0 or more each"),
        ("alpha", 0 < fitted.alpha < 1, "between 0 and 1"),
        ("ood_mean", width > 0, "a list of numbers"),
        ("ood_axes", all(is_direction), f"lists of {width} numbers, not all 0"),
        ("ood_residual", fitted.ood_residual >= _LEAST, f"at least {_LEAST:g}"),
        ("ood_threshold", fitted.ood_threshold >= _LEAST, f"at least {_LEAST:g}"),
        ("n", fitted.n >= 2, "at least 2"),
    ):
        yield f"calibration.{name}", is_right, expected


def _look_ranges(card: Card) -> Iterator[tuple[str, bool, str]]:
    """Of the looks at what is in scope beside the embedding's distance."""
    pictures, upright = card.calibration.pictures, card.calibration.upright
    n, wanted = len(pictures.mean), picture_measures.WIDTHS[card.preprocess.channels]
    yield "calibration.pictures.mean", n in (0, wanted), f"{wanted} numbers, or none"
    is_square = len(pictures.axes) == n and all(len(axis) == n for axis in pictures.axes)
    yield "calibration.pictures.axes", is_square, f"{n} lists of {n} numbers"
    has_colour = card.preprocess.channels == 3 or not pictures.is_coloured
    yield "calibration.pictures.is_coloured", has_colour, "false for frames in grey"
    of_embedding = len(card.calibration.ood_mean)
    width = gradient_histograms.WIDTH if upright.sees == GRADIENTS else of_embedding
    yield "calibration.upright.sees", upright.sees in SEEN, f"one of {', '.join(SEEN)}"
    is_linear = len(upright.weights) == len(upright.bias) and len(upright.bias) in (0, TURNS)
    yield "calibration.upright.bias", is_linear, f"a number for each of {TURNS} turns, or none"
    is_wide = all(len(row) == width for row in upright.weights)
    yield "calibration.upright.weights", is_wide, f"lists of {width} numbers"
    for name, threshold in (("pictures", pictures.threshold), ("upright", upright.threshold)):
        is_right = threshold >= _LEAST
        yield f"calibration.{name}.threshold", is_right, f"at least {_LEAST:g}"


def _case_ranges(card: Card) -> Iterator[tuple[str, bool, str]]:
    fitted, k = card.cases, len(card.classes)
    lowest, highest = calibration.TEMPERATURES
    n_each = 0 if not fitted.rule else k
    yield "cases.rule", fitted.rule in ("", MEAN, MOST), f"{MEAN}, {MOST} or empty"
    is_class = fitted.finding in card.classes if fitted.rule == MOST else not fitted.finding
    yield "cases.finding", is_class, f"a class with {MOST}, else empty"
    yield "cases.temperature", lowest <= fitted.temperature <= highest, f"{lowest} to {highest}"
    quantiles, counts = fitted.class_quantiles, fitted.class_counts
    is_each = len(quantiles) == n_each and all(0 <= each <= 1 for each in quantiles)
    yield "cases.class_quantiles", is_each, "a number of 0 to 1 for each class, or none"
    is_counted = len(counts) == n_each and all(each >= 0 for each in counts)
    yield "cases.class_counts", is_counted, "0 or more for each class, or none"
    yield "cases.alpha", 0 < fitted.alpha < 1, "between 0 and 1"
    yield "cases.n", fitted.n >= 0 and fitted.n_mixed >= 0, "0 or more"


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _is_splitting(text: str) -> bool:
    try:
        split_choice.parse(text)
    except ConfigError:
        return False
    return True
