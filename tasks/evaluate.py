"""Score a model on a split; every look at the test split is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import (
    abstention,
    case_figures,
    comparison,
    conformal_coverage,
    operating_points,
    reliability,
    stress,
)
from neuro.evaluation import evaluate as evaluation
from neuro.evaluation.baselines import SHOWN, Baseline
from neuro.evaluation.comparison import Comparison
from neuro.evaluation.evaluate import Evaluation
from neuro.evaluation.looks import Looks
from neuro.evaluation.operating_points import OperatingPoint
from neuro.evaluation.stress import Stressed
from neuro.evaluation.subgroups import Subgroups
from tasks import baselines, count_look, model_card
from tasks import evaluation_page as pages
from tasks.baselines import Beside
from tasks.load import unseen
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts, registry, tracking
from tasks.record_figures import Shown, run_tags, show
from tasks.runtime.steps import step

_log = getLogger(__name__)

SIDE_BY_SIDE = ("train", "val", "test")
BESIDE = 2000  # images of another split that are scored beside the one that was asked for
CALIBRATION = "calibration"
NO_SUBGROUPS = Subgroups(shown=(), hidden=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """An evaluation on a split. looks: at the test set so far, none at another split.

    others: on the splits beside it; test only where it was looked at. beside: the baselines.
    external: what the images of another source are, "" for a split. page: where a person reads it.
    url: of the MLflow run, "" for none.
    """

    evaluation: Evaluation
    looks: Looks | None
    lookup: Mapping[str, Any]
    model: Model
    url: str
    others: Sequence[Evaluation] = ()
    beside: Sequence[Baseline] = ()
    leak: str = ""
    external: str = ""
    page: Path | None = None
    subgroups: Subgroups = NO_SUBGROUPS
    compared: Comparison | None = None
    stressed: Sequence[Stressed] = ()
    points: Sequence[OperatingPoint] = ()

    def side_by_side(self) -> dict[str, Evaluation | None]:
        """The evaluations on train, val and test; None for what was not looked at or is empty."""
        by_split = {e.split: e for e in (*self.others, self.evaluation)}
        return {split: by_split.get(split) for split in SIDE_BY_SIDE}

    def as_dict(self) -> dict[str, Any]:
        """What ``neuro evaluate --json`` prints."""
        decided = abstention.decisions(self.evaluation)
        return {
            "package": str(self.model.package.folder),
            "model": self.model.version,
            "split": self.evaluation.split,
            "splitting": self.model.package.card.splitting,
            "external": self.external,
            "looks": self.looks.of_test_set if self.looks else 0,
            "looks_of_model": self.looks.of_model if self.looks else 0,
            "metrics": [asdict(metric) for metric in self.evaluation.metrics],
            "absent": list(self.evaluation.absent),
            "side_by_side": {
                split: evaluated.brief(SHOWN) if evaluated else None
                for split, evaluated in self.side_by_side().items()
            },
            "lookup": dict(self.lookup),
            "baselines": baselines.as_dict(self.beside),
            "leak": self.leak,
            "decisions": asdict(decided) if decided else None,
            "coverage": _coverage(self.evaluation, self.evaluation.conformal_sets),
            "coverage_of_one_limit": _coverage(self.evaluation, self.evaluation.marginal_sets),
            "answered_at_risk": {
                f"{most:g}": share
                for most, share in reliability.answered_at(self.evaluation).items()
            },
            "operating_points": [asdict(each) for each in self.points],
            "reliability": [asdict(each) for each in reliability.diagram(self.evaluation)],
            "subgroups": pages.as_dict(self.subgroups),
            "stress": [asdict(each) for each in self.stressed],
            "cases": self._of_cases(),
            "against": pages.compared_as_dict(self.compared) if self.compared else None,
            "report": str(self.page or ""),
            "run": self.url,
        }

    def _of_cases(self) -> dict[str, Any] | None:
        card = self.model.package.card
        found = case_figures.of_images(card, self.evaluation)
        if found is None:
            return None
        decided = abstention.decisions(found)
        return {
            "rule": card.cases.rule,
            "n": len(found.targets),
            "metrics": [asdict(metric) for metric in found.metrics],
            "coverage": _coverage(found, found.conformal_sets),
            "decisions": asdict(decided) if decided else None,
        }


def _coverage(
    evaluation: Evaluation, sets: NDArray[np.bool_] | None
) -> list[dict[str, str | float]]:
    return [asdict(each) for each in conformal_coverage.by_class(evaluation, sets)]


def without_seen(loaded: Loaded, model: Model) -> Loaded:
    """The release without what a model was trained on elsewhere.

    Raises ConfigError for other splits than those it was trained with.
    """
    evaluation.require_same_splitting(model.package.card, loaded.frames)
    return unseen.for_models(loaded, model)


def check(loaded: Loaded, model: Model, split: str) -> None:
    """Refuse what cannot be scored honestly, before anything is computed."""
    unseen.require(loaded, split)
    evaluation.check(model.package.card, loaded.frames, split)


@step(name="evaluate")
def evaluate(
    loaded: Loaded,
    model: Model,
    split: str = "test",
    beside: Beside | None = None,
    against: Looked | None = None,
    is_stressed: bool = False,
) -> Looked:
    """Score a model on a split of a release, and count the look where it is the test split.

    Train and validation are scored beside it, on BESIDE images each. beside: baselines by split.
    against: another model on the same split, to compare with. is_stressed: whether worse pictures
    are shown to it, too.
    """
    check(loaded, model, split)
    release, version = loaded.release, model.version
    evaluated = evaluation.evaluate(model.engine, loaded.frames, split, model_version=version)
    looks = None
    if split == "test":
        n = len(evaluated.targets)
        looks = count_look.count(loaded, model, read_by="evaluation", n=n)
    others = _others(loaded, model, split)
    if evaluated.missing:
        _log.warning(evaluated.missing)
    tags = run_tags(loaded) | {"model": version}
    where = "external images" if loaded.external else release.name
    name = f"evaluate {version[:12]} on {where}"
    artifacts.label_run(name=name)
    baselines_of_split = (beside or {}).get(split, ())
    card = replace(model.package.card, leak=loaded.leak)
    looked = Looked(
        evaluation=evaluated,
        looks=looks,
        lookup={} if loaded.external else release.passport["lookup"],
        model=model,
        url="",
        others=others,
        beside=baselines_of_split,
        leak=loaded.leak,
        external=loaded.external,
    )
    title = _title(loaded, looked)
    shown = Shown(
        title=title,
        is_synthetic=release.is_synthetic,
        note=card.note(split),
        beside=baselines_of_split,
    )
    with tracking.run(loaded.problem.name, name, tags) as run:
        if not loaded.external:
            tracking.log_data(run, release)
        for one in (evaluated, *others):
            tracking.log_metrics(run, one.split, one.metrics)
        show(run, evaluated, shown)
        _show_side_by_side(looked, title="; ".join(filter(None, (title, card.note("val")))))
        looked = replace(looked, url=run.url)
    looked = _with_page(loaded, looked, against, is_stressed=is_stressed)
    if looked.page:
        url, noted = looked.page.resolve().as_uri(), card.note(split)
        artifacts.link("evaluation-page", url, title)
        model_card.add_evaluation(loaded, model, evaluated, looked.page, noted)
        if model.registered:
            registry.tag(model.registered, {f"report_{split}": url})
    return looked


def _title(loaded: Loaded, looked: Looked) -> str:
    version, split = looked.model.version[:12], looked.evaluation.split
    if loaded.external:
        return f"Model {version} on external images: {loaded.external}"
    looks = f", {looked.looks}" if looked.looks else ""
    return f"Model {version} on {split} of {loaded.release.name}{looks}"


def _others(loaded: Loaded, model: Model, split: str) -> list[Evaluation]:
    """The evaluations on train and val that stand beside that on another split."""
    frames = loaded.frames
    return [
        evaluation.evaluate(
            model.engine,
            frames,
            other,
            model_version=model.version,
            rows=some_of(frames.labelled(other)),
        )
        for other in ("train", "val")
        if other != split and len(frames.labelled(other))
    ]


def _with_page(
    loaded: Loaded, looked: Looked, against: Looked | None, *, is_stressed: bool
) -> Looked:
    """The same with what stands on its page, which is written."""
    evaluated, model = looked.evaluation, looked.model
    found = pages.compare_subgroups(loaded, evaluated)
    compared = comparison.compare(evaluated, against.evaluation) if against else None
    points = _operating_points(loaded, model, evaluated)
    stressed = _stress(loaded, model, evaluated.split) if is_stressed else ()
    page = pages.draw(
        loaded,
        model,
        evaluated,
        looks=str(looked.looks or ""),
        baselines=looked.beside,
        found=found,
        trained=looked.side_by_side()["train"],
        compared=compared,
        stressed=stressed,
        points=points,
    )
    return replace(
        looked,
        page=page,
        subgroups=found,
        compared=compared,
        stressed=stressed,
        points=points,
    )


def _operating_points(loaded: Loaded, model: Model, evaluated: Evaluation) -> list[OperatingPoint]:
    """Set on the calibration split, so none where that is scored itself or is not there."""
    rows = loaded.frames.labelled(CALIBRATION)
    if evaluated.split == CALIBRATION or not len(rows):
        return []
    kept_back = evaluation.evaluate(
        model.engine, loaded.frames, CALIBRATION, model_version=model.version
    )
    return operating_points.find(kept_back, evaluated, sorted(loaded.problem.recall_floors))


def _stress(loaded: Loaded, model: Model, split: str) -> list[Stressed]:
    """The answers to worse pictures, with progress: it takes as long as some evaluations."""
    found = []
    for each in stress.sheet(model.engine, loaded.frames, loaded.frames.labelled(split)):
        if each.strength in (0, stress.STRENGTHS):
            _log.info("pictures with %s: right in %.3f", each.change, each.accuracy)
        found.append(each)
    return found


def some_of(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """BESIDE of the rows at most, drawn by seed."""
    if len(rows) <= BESIDE:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, BESIDE, replace=False))


def _show_side_by_side(looked: Looked, *, title: str) -> None:
    rows = [
        {"split": split}
        | {name: str(evaluated.metric(name) or "") for name in SHOWN}
        | {"n": len(evaluated.targets)}
        for split, evaluated in looked.side_by_side().items()
        if evaluated is not None
    ]
    artifacts.table("side-by-side", rows, f"Side by side: {title}")
