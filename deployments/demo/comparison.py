"""Champion and challenger side by side, on images neither has learnt from."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from neuro.evaluation import evaluate, metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.dataset.frames import Frames
from neuro.problems.problem import Problem
from neuro.sample import Metric
from tasks.load import release_data, models
from tasks.load.release_data import Loaded

_HELD_OUT = "held out"
_NAMES = ("accuracy", "macro_f1", "auroc")


def compare(
    problem: Problem, decision: Mapping[str, Any], held_out: Mapping[str, str]
) -> dict[str, Any]:
    """Both models on the shifted half whose labels nobody was given, and on the old test split.

    decision: what ``promote`` has written down; its figures of the old test split are shown, so
    that nobody looks at the split once more. held_out: sample_id -> source label.
    """
    shifted = _relabelled(release_data.load(release_data.open_lake(None), problem), held_out)
    rows = shifted.labelled(_HELD_OUT)
    found: dict[str, dict[str, Any]] = {}
    seen: list[Evaluation] = []
    for who in ("challenger", "champion"):
        version = decision[who]
        engine = models.by_version(problem, version).engine
        seen.append(
            evaluate.evaluate(engine, shifted, _HELD_OUT, model_version=version, rows=rows)
        )
        found[who] = {
            "version": version,
            "shifted": {m.name: asdict(m) for m in seen[-1].metrics if m.name in _NAMES},
            "old_test": {m["name"]: m for m in decision["old_test"][who] if m["name"] in _NAMES},
        }
    challenger, champion = seen
    found["difference"] = {
        "shifted": {
            name: asdict(
                metrics.difference(
                    name,
                    (challenger.probabilities, champion.probabilities),
                    champion.targets,
                    champion.groups,
                )
            )
            for name in ("accuracy", "macro_f1")
        }
    }
    return found | {"shift_cost": {name: _cost(found["champion"], name) for name in _NAMES}}


def rows(compared: Mapping[str, Any]) -> list[dict[str, str]]:
    """A line per set and metric, for the last table."""
    lines = []
    for where in ("shifted", "old_test"):
        for name in _NAMES:
            champion, challenger = (
                compared[who][where].get(name) for who in ("champion", "challenger")
            )
            difference = compared["difference"].get(where, {}).get(name)
            size = f"{champion['n']} images, {champion['groups']} groups" if champion else ""
            lines.append(
                {
                    "on": where.replace("_", " ") + (f" ({size})" if name == _NAMES[0] else ""),
                    "metric": name,
                    "champion": _text(champion),
                    "challenger": _text(challenger),
                    "difference": _text(difference),
                }
            )
    return lines


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


def _text(metric: Mapping[str, Any] | None) -> str:
    return str(Metric(**metric)) if metric else ""
