"""Champion and challenger side by side, on images neither has learnt from."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from neuro.dataset.frames import Frames
from neuro.evaluation import evaluate, metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.problems.problem import Problem
from tasks.load import models, release_data
from tasks.load.models import Model
from tasks.load.release_data import Loaded

_HELD_OUT = "held out"
_METRICS = ("accuracy", "macro_f1", "auroc")
_SETS = {"shifted": "new scanner", "old_test": "old test split"}


def compare(
    problem: Problem, decision: Mapping[str, Any], held_out: Mapping[str, str]
) -> dict[str, Any]:
    """Both models on the shifted half whose labels nobody was given, and on the old test split.

    decision: what ``promote`` has written down; its figures of the old test split are shown, so
    that nobody looks at the split once more. held_out: sample_id -> source label.
    """
    loaded = release_data.load(release_data.open_lake(None), problem)
    evaluations = {
        name: evaluate_held_out(loaded, models.by_version(problem, decision[name]), held_out)
        for name in ("challenger", "champion")
    }
    challenger, champion = evaluations["challenger"], evaluations["champion"]
    compared: dict[str, Any] = {
        name: {
            "version": decision[name],
            "shifted": {m.name: asdict(m) for m in evaluation.metrics if m.name in _METRICS},
            "old_test": {m["name"]: m for m in decision["old_test"][name] if m["name"] in _METRICS},
        }
        for name, evaluation in evaluations.items()
    }
    called = challenger.called, champion.called
    asked = champion.targets, champion.groups, champion.classes
    differences = {
        name: asdict(metrics.difference(name, called, *asked))
        for name in ("accuracy", "macro_f1")
    }
    compared["difference"] = {"shifted": differences}
    compared["shift_cost"] = {name: _cost(compared["champion"], name) for name in _METRICS}
    return compared


def evaluate_held_out(loaded: Loaded, model: Model, held_out: Mapping[str, str]) -> Evaluation:
    """A model on the images of these labels, sample_id -> source label, and on no others."""
    frames = _relabelled(loaded, held_out)
    rows = frames.labelled(_HELD_OUT)
    return evaluate.evaluate(
        model.engine, frames, _HELD_OUT, model_version=model.version, rows=rows
    )


def rows(compared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """macro-F1 of both models on each set, with its interval."""
    return [
        {
            "macro-F1 on": title,
            "images": compared["champion"][name]["macro_f1"]["n"],
            "champion": compared["champion"][name]["macro_f1"],
            "challenger": compared["challenger"][name]["macro_f1"],
        }
        for name, title in _SETS.items()
        if all("macro_f1" in compared[of][name] for of in ("champion", "challenger"))
    ]


def _relabelled(loaded: Loaded, held_out: Mapping[str, str]) -> Frames:
    frames, problem = loaded.frames, loaded.problem
    targets = [
        problem.classes.index(problem.class_of(held_out[name])) if name in held_out else -1
        for name in frames.sample_ids.tolist()
    ]
    return replace(
        frames,
        targets=np.array(targets, dtype=np.int64),
        splits=np.where(np.array(targets) >= 0, _HELD_OUT, ""),
    )


def _cost(champion: Mapping[str, Any], name: str) -> float | None:
    """What the new scanner costs the champion."""
    if name not in champion["shifted"] or name not in champion["old_test"]:
        return None
    lost = champion["old_test"][name]["value"] - champion["shifted"][name]["value"]
    return round(float(lost), 4)
