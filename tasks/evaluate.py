"""The only reading of the test split for a model; every look is counted."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from neuro import evaluation
from neuro.evaluation import Evaluation
from neuro.store import journal
from tasks import artifacts, tracking
from tasks.data import Loaded
from tasks.models import Model
from tasks.steps import step
from tasks.train import show


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """An evaluation on a split. looks: how often this package was shown this release's split."""

    evaluation: Evaluation
    looks: int
    lookup: Mapping[str, Any]
    model: Model
    url: str

    def as_dict(self) -> dict[str, Any]:
        """What ``neuro evaluate --json`` prints."""
        return {
            "package": str(self.model.package.folder),
            "model": self.model.version,
            "split": self.evaluation.split,
            "looks": self.looks,
            "metrics": [asdict(metric) for metric in self.evaluation.metrics],
            "lookup": dict(self.lookup),
            "baselines": {"lookup": self.lookup.get("test")},
            "report": self.url,
        }


@step(name="evaluate")
def evaluate(loaded: Loaded, model: Model, split: str = "test") -> Looked:
    """Score a model on a split of a release, and count the look where it is the test split."""
    release = loaded.release
    found = evaluation.evaluate(model.engine, loaded.frames, split, model_version=model.version)
    subject = f"{model.package.digest[:16]}/{release.name}"
    facts = {"model": model.version, "problem": loaded.problem.name}
    looks = 0
    if split == "test":
        looks = journal.count_look(loaded.lake, subject, facts, datetime.now(UTC))
    tags = {"problem": loaded.problem.name, "release": release.name, "model": model.version}
    name = f"evaluate {model.version[:12]} on {release.name}"
    artifacts.label_run(name=name)
    with tracking.run(loaded.problem.name, name, tags) as run:
        tracking.log_data(run, release)
        tracking.log_metrics(run, split, found.metrics)
        title = f"Model {model.version[:12]} on {split} of {release.name}, look {looks}"
        show(run, found, title=title, synthetic=release.is_synthetic)
        url = run.url
    return Looked(
        evaluation=found,
        looks=looks,
        lookup=release.passport["lookup"],
        model=model,
        url=url,
    )
