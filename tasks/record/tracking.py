"""MLflow runs: what was trained on what, how, and how well. Outside a flow run, nothing."""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuro import escaped_names
from neuro.errors import ServerError, TrainingError
from neuro.lake.releases import Release
from neuro.sample import Metric
from neuro.training.trainer import Epoch
from tasks.record import artifacts
from tasks.runtime import settings

if TYPE_CHECKING:  # imported when the first figure is drawn: it takes half a second
    from matplotlib.figure import Figure

_log = logging.getLogger(__name__)
# Without it MLflow opens an experiment as the traces of a chat.
_SHOWS_TRAININGS = {"mlflow.experimentKind": "custom_model_development"}
_CHECKPOINT_BYTES = 256_000_000  # a larger last state is not kept
_TAG = 4000  # characters of a tag
_ENDS = ("", "_low", "_high")  # of a metric and of its interval
_AT_ONCE = 500  # figures in one call: MLflow takes 1,000, and 1 MB


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """An open MLflow run; run_id is "" where nothing is recorded."""

    run_id: str

    @property
    def url(self) -> str:
        """Where a person reads the run, "" where nothing is recorded."""
        if not self.run_id:
            return ""
        run = client().get_run(self.run_id)
        base = settings.load().mlflow_tracking_uri
        return f"{base}/#/experiments/{run.info.experiment_id}/runs/{self.run_id}"


@contextmanager
def server_errors() -> Iterator[None]:
    """Around calls of the registry: what MLflow raises of a server becomes ServerError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        said = " ".join(str(error).split())[:200]
        raise ServerError(f"the MLflow server did not answer ({said}); start it again") from error


@cache
def client() -> Any:
    """The MLflow client of this process. MLflow takes seconds to import: only when needed."""
    from mlflow.tracking import MlflowClient

    here = settings.load()
    os.environ.update(settings.mlflow_secrets(here.mlflow_credentials))  # it reads them there
    return MlflowClient(tracking_uri=here.mlflow_tracking_uri)


@contextmanager
def run(experiment: str, name: str, tags: Mapping[str, str], again: str = "") -> Iterator[Run]:
    """Open a run of an experiment; it ends FINISHED, or FAILED if the body raises.

    Outside a flow run nothing is recorded, and the run's id is "".
    again: id of a run that goes on, where it is still known; else a new one is opened.
    """
    flow_run = artifacts.flow_run_id()
    if flow_run is None:
        yield Run(run_id="")
        return
    run_id = _reopened(again, name, flow_run) or _created(
        experiment, name, {**tags, **_origin(flow_run)}
    )
    status = "FAILED"
    try:
        yield Run(run_id=run_id)
        status = "FINISHED"
    finally:
        client().set_terminated(run_id, status)


def _created(experiment: str, name: str, tags: Mapping[str, str]) -> str:
    experiment_id = _experiment(experiment)
    return str(client().create_run(experiment_id, run_name=name, tags=tags).info.run_id)


def _experiment(name: str) -> str:
    """Id of the experiment of this name, made where there is none; its page shows trainings."""
    known = client().get_experiment_by_name(name)
    if known is None:
        return str(client().create_experiment(name, tags=_SHOWS_TRAININGS))
    if not known.tags.items() >= _SHOWS_TRAININGS.items():  # made by an earlier version
        for key, value in _SHOWS_TRAININGS.items():
            client().set_experiment_tag(known.experiment_id, key, value)
    return str(known.experiment_id)


def _reopened(run_id: str, name: str, flow_run: str) -> str:
    """Set a run RUNNING again; its id, or "" where MLflow does not know it."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return ""
    try:
        client().set_tag(run_id, settings.FLOW_RUN_TAG, flow_run)
        client().update_run(run_id, status="RUNNING", name=name)
    except MlflowException:
        return ""
    return run_id


def _origin(flow_run: str) -> dict[str, str]:
    here = settings.load()
    return {
        settings.FLOW_RUN_TAG: flow_run,
        "mlflow.source.git.commit": here.revision,
        "lock_hash": here.lock_hash,
        "notice": artifacts.RESEARCH_USE,
    }


def log_data(run: Run, release: Release) -> None:
    """The dataset input: which release, and its content hash."""
    if not run.run_id:
        return
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = {"lake": settings.load().lake, **release.pin()}
    dataset = Dataset(
        name=release.name,
        digest=release.content_hash[:36],  # the column is no longer
        source_type="neuro_release",
        source=str(source),
    )
    tags = [InputTag("mlflow.data.context", "training")]
    client().log_inputs(run.run_id, datasets=[DatasetInput(dataset, tags)])
    log_params(run, {"release": release.name, "content_hash": release.content_hash})


def runs_on(content_hashes: Sequence[str]) -> list[dict[str, str]]:
    """Every recorded run that read a release of such content; none where no server is known.

    Runs and experiments that somebody deleted count: MLflow keeps them until its own clean-up.
    """
    if not content_hashes or not settings.load().mlflow_tracking_uri:
        return []
    from mlflow.entities import ViewType

    server = client()
    experiments = every_page(partial(server.search_experiments, view_type=ViewType.ALL))
    ids = [experiment.experiment_id for experiment in experiments]
    runs = [
        run
        for content_hash in content_hashes
        for run in every_page(
            partial(
                server.search_runs,
                ids,
                filter_string=f"params.content_hash = '{content_hash}'",
                run_view_type=ViewType.ALL,
            )
        )
    ]
    return [{"run_id": str(run.info.run_id), "name": str(run.info.run_name)} for run in runs]


def every_page(search: Callable[..., Any]) -> list[Any]:
    """All that a search of MLflow finds; it gives 1,000 at a time."""
    page = search()
    rows = list(page)
    while page.token:
        page = search(page_token=page.token)
        rows += page
    return rows


def close_runs_of(flow_run_id: str) -> int:
    """End the runs that a flow run has left RUNNING, as KILLED; returns how many."""
    experiments = every_page(client().search_experiments)
    ids = [each.experiment_id for each in experiments]
    wanted = f"attributes.status = 'RUNNING' and tags.`{settings.FLOW_RUN_TAG}` = '{flow_run_id}'"
    found = every_page(partial(client().search_runs, ids, wanted)) if ids else []
    for each in found:
        client().set_terminated(each.info.run_id, "KILLED")
    return len(found)


def drop_page(problem: str, window: str) -> int:
    """Remove the page of a drift window from every run that keeps it; returns how many did."""
    if not settings.load().mlflow_tracking_uri:
        return 0
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if (found := client().get_experiment_by_name(drift_experiment(problem))) is None:
        return 0
    page, dropped = drift_page(problem, window), 0
    for run in client().search_runs([found.experiment_id], f"attributes.run_name = '{window}'"):
        if page in {artifact.path for artifact in client().list_artifacts(run.info.run_id)}:
            where = get_artifact_repository(run.info.artifact_uri, client().tracking_uri)
            where.delete_artifacts(page)  # type: ignore[no-untyped-call]  # MLflow leaves it so
            dropped += 1
    return dropped


def drift_experiment(problem: str) -> str:
    """The experiment of a problem's drift checks; a run of it is named like its window."""
    return f"{problem}-drift"


def drift_page(problem: str, window: str) -> str:
    """The file name of a window's page."""
    return f"{problem}-{window}.html"


def log_params(run: Run, values: Mapping[str, Any]) -> None:
    """Parameters, in one call."""
    if not run.run_id:
        return
    from mlflow.entities import Param

    params = [Param(name, str(value)) for name, value in values.items()]
    client().log_batch(run.run_id, params=params)


def log_epoch(run: Run, epoch: Epoch, system: Mapping[str, float]) -> None:
    """The figures of one epoch and of the system, in one call, and a line for a person."""
    _log.info(
        "epoch %d/%d: loss %.3f, validation accuracy %.3f, macro-F1 %.3f, %.0f images/s",
        epoch.number,
        epoch.epochs,
        epoch.loss,
        epoch.accuracy,
        epoch.macro_f1,
        epoch.images_per_s,
    )
    record_epoch(run, epoch, system)


def record_epoch(run: Run, epoch: Epoch, system: Mapping[str, float]) -> None:
    """The figures of one epoch and of the system, in one call."""
    figures = {k: v for k, v in asdict(epoch).items() if k not in ("number", "epochs")}
    log_values(run, {**figures, **system}, step=epoch.number)


def epochs_of(run: Run) -> int:
    """How many epochs are told of the run already."""
    if not run.run_id:
        return 0
    return max((each.step for each in client().get_metric_history(run.run_id, "loss")), default=0)


def log_metrics(run: Run, split: str, found: Sequence[Metric]) -> None:
    """Metrics of a split with the ends of their intervals. The only keys with names of classes.

    Where the split lacks a class, the tag SPLIT_classes says over which the figures are; where an
    interval says little, SPLIT_marked says of which.
    """
    ends = {
        f"{split}_{escaped_names.for_key(metric.name, _ENDS[1:])}{end}": value
        for metric in found
        for end, value in zip(_ENDS, (metric.value, metric.low, metric.high), strict=True)
    }
    log_values(run, ends, step=0)
    if over := {metric.classes for metric in found} - {""}:
        tag(run, {f"{split}_classes": "; ".join(sorted(over))})
    if marked := [f"{metric.name}: {metric.mark}" for metric in found if metric.mark]:
        tag(run, {f"{split}_marked": "; ".join(marked)[:_TAG]})


def log_checkpoint(run: Run, path: Path) -> None:
    """The last state of a training as checkpoint/training.pt, unless it is too large to keep."""
    if not run.run_id or not path.is_file():
        return
    if (size := path.stat().st_size) > _CHECKPOINT_BYTES:
        _log.info("the last state, of %.0f MB, is not kept: the package is", size / 1e6)
        return
    log_files(run, path, "checkpoint")


def log_figure(run: Run, figure: "Figure", name: str, title: str) -> None:
    """A figure as the artifact NAME.png, and a link to it in the Prefect run."""
    if run.run_id:
        client().log_figure(run.run_id, figure, f"{name}.png")
        artifacts.link(name, f"{run.url}/artifacts/{name}.png", title)


def log_table(run: Run, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of plain values as the table NAME.json; of no row, nothing."""
    if run.run_id and rows:
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        client().log_table(run.run_id, columns, f"{name}.json")


def log_files(run: Run, path: Path, where: str) -> None:
    """A file or folder as artifacts below ``where``."""
    if not run.run_id:
        return
    if path.is_dir():
        client().log_artifacts(run.run_id, str(path), where)
    else:
        client().log_artifact(run.run_id, str(path), where or None)


def tag(run: Run, values: Mapping[str, str]) -> None:
    """Tags, which may change; in one call."""
    if not run.run_id:
        return
    from mlflow.entities import RunTag

    client().log_batch(run.run_id, tags=[RunTag(name, value) for name, value in values.items()])


def log_values(run: Run, figures: Mapping[str, float], *, step: int) -> None:
    """Figures of a step, in few calls; raises TrainingError for one that is not finite."""
    if not run.run_id:
        return
    from mlflow.entities import Metric as Point

    if wrong := [name for name, value in figures.items() if not math.isfinite(value)]:
        # MLflow would store them as 1.8e308, in silence.
        raise TrainingError(f"{', '.join(wrong)} is not finite at step {step}; nothing is recorded")
    now = int(time.time() * 1000)
    points = [Point(name, value, now, step) for name, value in figures.items()]
    for start in range(0, len(points), _AT_ONCE):
        client().log_batch(run.run_id, metrics=points[start : start + _AT_ONCE])
