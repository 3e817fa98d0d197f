"""The card of a model beside its package: written when it is sealed, and with each evaluation."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from neuro.dataset.frames import Frames
from neuro.evaluation.evaluate import Evaluation
from neuro.models.package import Package
from neuro.reports import model_card, render
from neuro.reports.model_card import Facts, Figures
from neuro.sample import SPLITS
from neuro.training.device import Machine
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import registry
from tasks.runtime import settings


def write_trained(loaded: Loaded, package: Package, seconds: float, machine: Machine) -> Path:
    """The card of a package that was sealed just now. seconds: of its epochs."""
    cores, gpus = settings.cores(), 0 if machine.kind == "cpu" else machine.devices
    energy = model_card.energy(seconds, cores, gpus)
    cost = {"seconds": round(seconds, 1), "machine": str(machine), "energy": energy}
    return _write(package, _renewed(_known(package), _facts(loaded, package, cost)))


def add_evaluation(
    loaded: Loaded, model: Model, evaluated: Evaluation, report: Path, note: str
) -> Path:
    """The card with the figures of an evaluation; made now where the model came without one."""
    package = model.package
    told = _known(package)
    if told is None or not told["data"]["population"]:
        cost = told["cost"] if told else None
        told = _renewed(told, _facts(loaded, package, cost))
    figures = Figures(
        name=evaluated.split,
        source=loaded.external or loaded.release.name,
        metrics=evaluated.metrics,
        report=report.name,
        note=note,
        content_hash=loaded.release.content_hash,
    )
    return _write(package, model_card.with_evaluation(told, figures))


def cost_of(package: Package) -> dict[str, Any]:
    """The seconds and kwh that training a package took; {} for one that was not sealed here."""
    told = _known(package)
    cost = told["cost"] if told else None
    return {"seconds": cost["seconds"], "kwh": cost["energy"]["kwh"]} if cost else {}


def _renewed(known: Facts | None, facts: Facts) -> Facts:
    """The facts with the figures that are known; trained once more, it is the same package."""
    return facts | {"figures": known["figures"]} if known else facts


def path_of(package: Package) -> Path:
    """Where the page of a package's card lies; its JSON lies beside it."""
    return registry.packages() / f"{package.digest[:16]}-card.html"


def _known(package: Package) -> Facts | None:
    """The facts of a card that is there, None for none or one of another program."""
    try:
        told: Facts = json.loads(path_of(package).with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_of_it = told.get("model") == package.digest and told.get("format") == model_card.FORMAT
    return told if is_of_it else None


def _facts(loaded: Loaded, package: Package, cost: dict[str, Any] | None) -> Facts:
    """What a package and its release say; of another release, nothing is said of its data."""
    is_its_own = loaded.release.content_hash == package.card.pin["content_hash"]
    passport = loaded.release.passport if is_its_own else {}
    population = _population(loaded.frames, package.card.classes) if is_its_own else []
    return model_card.facts(package, passport, population=population, cost=cost)


def _population(frames: Frames, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = []
    for split in SPLITS:
        labelled = frames.labelled(split)
        counts = np.bincount(frames.targets[labelled], minlength=len(classes))
        rows.append(
            {
                "split": split,
                "images": len(labelled),
                "groups": len(np.unique(frames.groups[labelled])),
                "by_class": dict(zip(classes, counts.tolist(), strict=True)),
            }
        )
    return rows


def _write(package: Package, told: Facts) -> Path:
    page = path_of(package)
    text = json.dumps(told, indent=1, sort_keys=True, default=str) + "\n"
    render.write(page.with_suffix(".json"), text)
    return render.write(page, model_card.build(told))
