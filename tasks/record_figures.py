"""What a training or an evaluation shows, in the Prefect run and in MLflow."""

from collections.abc import Sequence
from dataclasses import dataclass

from neuro.evaluation.baselines import Baseline
from neuro.evaluation.evaluate import Evaluation
from neuro.training.trainer import Epoch
from tasks import baselines
from tasks.load.release_data import Loaded
from tasks.record import artifacts, tracking


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What is said beside figures. note: what flatters them; missing: which classes they lack."""

    title: str
    is_synthetic: bool
    note: str = ""
    missing: str = ""
    beside: Sequence[Baseline] = ()

    @property
    def said(self) -> str:
        """The title with what must be said beside it."""
        said = self.title + (" (synthetic images)" if self.is_synthetic else "")
        return said + (f"; {self.note}" if self.note else "")


def run_tags(loaded: Loaded) -> dict[str, str]:
    """What an MLflow run says of its data, and of a leak that stands beside all its figures."""
    tags = {"problem": loaded.problem.name, "splitting": str(loaded.frames.splitting)}
    of = {"external": loaded.external} if loaded.external else {"release": loaded.release.name}
    tags |= of
    if loaded.release.is_synthetic:
        tags["synthetic"] = "true"
    return tags | ({"leak": loaded.leak} if loaded.leak else {})


def show(run: tracking.Run, found: Evaluation, shown: Shown) -> None:
    """Metrics as a table in Prefect; baselines, confusion matrix, curves there and in MLflow."""
    from neuro.evaluation import figures  # matplotlib and scikit-learn take a second to import

    rows = [
        {"metric": m.name, "value": round(m.value, 4), "low": round(m.low, 4)}
        | {"high": round(m.high, 4), "n": m.n, "groups": m.groups}
        | ({"over": m.classes} if found.absent else {})
        | ({"mark": m.mark} if any(each.mark for each in found.metrics) else {})
        for m in found.metrics
    ]
    said = "; ".join(filter(None, (shown.said, found.missing)))
    artifacts.table(f"metrics-{found.split}", rows, said)
    baselines.show(run, found.metrics, shown.beside, on=found.split, title=said)
    for kind, draw in (("confusion", figures.draw_confusion), ("curves", figures.draw_curves)):
        figure = draw(found, title=shown.title, synthetic=shown.is_synthetic, note=shown.note)
        tracking.log_figure(run, figure, f"{kind}_{found.split}", said)


def show_learning(run: tracking.Run, epochs: Sequence[Epoch], shown: Shown) -> None:
    """How the training went, as a picture, in the Prefect run and in MLflow."""
    from neuro.training import figures

    note = "; ".join(filter(None, (shown.note, shown.missing)))
    figure = figures.draw_learning(
        epochs, title=shown.title, synthetic=shown.is_synthetic, note=note
    )
    tracking.log_figure(run, figure, "learning", shown.said)
