"""The whole loop once: ingest, train, predict, drift, and a retraining that starts by itself."""

import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments import console
from deployments.stack import server_watch, stack
from deployments.stack.stack import Stack, StackConfig
from neuro.problems import problem as problems
from neuro.errors import ConfigError, NeuroError

if TYPE_CHECKING:
    from deployments.demo.deliveries import Deliveries

PHANTOMS = 2500
PHANTOM_EPOCHS = 30
REAL_EPOCHS = 100
RETRAIN_TIMEOUT_S = 3600.0
_MARK = ".neuro-demo"


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """What to run the loop on.

    data: a folder of labelled images, or None for phantoms. images: use so many, one of a group.
    shift: how far the simulated new scanner is from the old one; small loops need a strong one to
    measure its harm on few labels.
    """

    problem: str = "brain"
    data: Path | None = None
    home: Path = Path("demo")
    images: int | None = None
    epochs: int | None = None
    seed: int = 0
    shift: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.shift <= 4:
            raise ConfigError(f"shift must be 0 to 4, got {self.shift}")
        if self.data is not None and not self.data.is_dir():
            raise ConfigError(f"data {self.data} is no folder; give the folder of the images")
        if self.images is not None and self.images < 200:
            raise ConfigError(
                f"images must be at least 200 to fill three deliveries, got {self.images}"
            )
        if self.epochs is not None and self.epochs < 1:
            raise ConfigError(f"epochs must be at least 1, got {self.epochs}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Ports of the servers; None for any free one."""

    prefect: int | None
    mlflow: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """One step of the demonstration. run: link to its flow run."""

    step: str
    result: str
    seconds: float
    run: str


def run(config: DemoConfig, ports: Ports, *, keep: bool) -> dict[str, Any]:
    """Run the loop, write ``summary.json``, and stop every server unless ``keep``."""
    problems.load(config.problem)
    home = _fresh(config.home)
    servers = StackConfig(home=home / "state", prefect_port=ports.prefect, mlflow_port=ports.mlflow)
    started = time.time()
    with ExitStack() as stopping:
        if keep:
            up = stack.up(servers, console.say)
        else:
            up = stopping.enter_context(stack.running(servers, console.say))
        os.environ.update(stack.environment(up))
        from deployments.demo import follow_runs  # Prefect reads its server's address when imported

        stopping.callback(follow_runs.finish_sending)
        served = [up.prefect_api_url, up.mlflow_tracking_uri]
        stopping.enter_context(server_watch.held(served, lambda: _end_early(up)))
        loop = Loop(config, home, up)
        summary = loop.run()
        summary["seconds"] = round(time.time() - started, 1)
        path = home / "summary.json"
        path.write_text(json.dumps(summary, indent=1, default=str), encoding="utf-8")
        loop.print_end(summary, path)
        if keep:
            console.say(f"The servers are up: {up.prefect_ui_url}; stop them with `neuro down`")
    if not summary["retrain"]:
        raise NeuroError(
            f"the shifted delivery was judged {summary['drift']['shifted']!r}, so nothing was "
            f"retrained; {path} has the signals"
        )
    return summary


def _end_early(up: Stack) -> None:
    console.say("[bold red]error[/]: a server has stopped; its log is in state/logs. Start again")
    stack.down(stack.state_file(Path(up.project)), console.say)


def _fresh(home: Path) -> Path:
    """An empty folder; only one that an earlier demonstration made is emptied."""
    home = home.resolve()
    if home.exists() and any(home.iterdir()):
        if not (home / _MARK).exists():
            raise ConfigError(f"home {home} holds other files; give an empty folder with --home")
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARK).touch()
    return home


class Loop:
    """The demonstration's steps, each timed and linked to its flow run."""

    def __init__(self, config: DemoConfig, home: Path, up: Stack) -> None:
        self.config, self.home, self.up = config, home, up
        self.problem = problems.load(config.problem)
        self.done: list[Done] = []

    def run(self) -> dict[str, Any]:
        """Every step in order; the summary."""
        cut = self._deliveries()
        first = self._ingest("ingest the first delivery", cut.first)
        trained, tested = self._champion()
        second = self._ingest("ingest the second delivery", cut.second)
        predicted = self._predict(second["release"])
        steady = self._drift(second["release"])
        third = self._ingest("ingest the third delivery: new scanner", cut.third)
        self._predict(third["release"])
        self._labels(cut.labels)
        since = datetime.now(UTC)
        shifted = self._drift(third["release"])
        summary = {
            "problem": self.problem.name,
            "is_synthetic": self.config.data is None,
            "release": first["release"],
            "content_hash": first["content_hash"],
            "lookup_baseline": tested["lookup"],
            "train": {
                "run_id": trained["run_id"],
                "model": trained["model"],
                "epochs": trained["epochs"],
                "seconds": trained["seconds"],
                "images_per_s": trained["images_per_s"],
            },
            "test": {m["name"]: m for m in tested["metrics"]},
            "predict": {"n": predicted["n"], "images_per_s": predicted["images_per_s"]},
            "drift": {
                "steady": steady["verdict"],
                "shifted": shifted["verdict"],
                "signals": {"steady": steady["signals"], "shifted": shifted["signals"]},
                "reports": [steady["report"], shifted["report"]],
            },
            "retrain": None,
        }
        if shifted["verdict"] == "retrain":
            summary["retrain"] = self._retrain(cut, since)
        return summary | {"steps": [asdict(step) for step in self.done]}

    def _deliveries(self) -> "Deliveries":
        from deployments.demo import deliveries

        config, started = self.config, time.time()
        source, images = config.data, config.images
        if source is None:
            source, images = self.home / "phantoms", None
            deliveries.draw(
                source, self.problem, images=config.images or PHANTOMS, seed=config.seed
            )
        console.say(f"Cutting {source} into three deliveries by group")
        cut = deliveries.cut(
            source,
            self.problem,
            self.home / "deliveries",
            deliveries.Cut(images=images, seed=config.seed, shift=config.shift),
        )
        self._note("cut three deliveries", f"seed {config.seed}", time.time() - started, "")
        return cut

    def _ingest(self, step: str, folder: Path) -> dict[str, Any]:
        from flows.ingest import ingest

        result: dict[str, Any] = self._flow(step, ingest, source=str(folder))
        self._tell(
            f"release {result['release']}: {result['accepted']} accepted, "
            f"{result['repeated']} repeated, {result['quarantined']} quarantined"
        )
        return result

    def _champion(self) -> tuple[dict[str, Any], dict[str, Any]]:
        from flows.evaluate import evaluate
        from flows.promote import promote
        from flows.train import train
        from neuro.training.config import TrainConfig

        default = PHANTOM_EPOCHS if self.config.data is None else REAL_EPOCHS
        config = TrainConfig(epochs=self.config.epochs or default)
        trained = self._flow("train", train, config=config)
        self._tell(f"model {trained['model']}, {trained['epochs']} epochs")
        tested = self._flow("evaluate", evaluate, model=trained["model"])
        by_name = {metric["name"]: metric["value"] for metric in tested["metrics"]}
        lookup = tested["lookup"]["test"]
        self._tell(f"macro-F1 {by_name['macro_f1']:.3f}; look-up {lookup:.3f}")
        promoted = self._flow("promote", promote, model=trained["model"])
        self._tell(f"{promoted['decision']}: {promoted['reason']}")
        if not promoted["is_promoted"]:
            raise NeuroError(
                f"the gate did not accept the first model: {promoted['reason']} Give more images "
                "or more epochs"
            )
        return trained, tested

    def _predict(self, window: str) -> dict[str, Any]:
        from flows.predict import predict

        result: dict[str, Any] = self._flow(f"predict {window}", predict, window=window)
        self._tell(f"{result['n']} images, {result['images_per_s']:.0f} a second")
        return result

    def _drift(self, window: str) -> dict[str, Any]:
        from flows.drift import drift

        result: dict[str, Any] = self._flow(f"drift {window}", drift, window=window)
        self._tell(f"{result['verdict']}: {result['reason']}")
        return result

    def _labels(self, path: Path) -> None:
        from neuro.ingest import late_labels
        from tasks.load import release_data

        started = time.time()
        done = late_labels.import_file(release_data.open_lake(None), self.problem, path, datetime.now(UTC))
        self._note("labels for half of it", f"{done.added} labels", time.time() - started, "")

    def _retrain(self, cut: "Deliveries", since: datetime) -> dict[str, Any]:
        from deployments.demo import comparison, follow_runs

        started = time.time()
        found = follow_runs.wait_for_automatic_run("retrain", since, RETRAIN_TIMEOUT_S, console.say)
        decision = follow_runs.decision_of(found.flow_run_id)
        url = f"{self.up.prefect_ui_url}/runs/flow-run/{found.flow_run_id}"
        told = f"started by {found.started_by}; {decision['decision']}: {decision['reason']}"
        self._note("retrain", told, time.time() - started, url)
        compared = comparison.compare(self.problem, decision, cut.held_out)
        return {
            "flow_run_id": found.flow_run_id,
            "started_by": found.started_by,
            "decision": decision["decision"],
            "reason": decision["reason"],
            "gates": decision["gates"],
            **compared,
        }

    def _flow(self, step: str, flow: Any, **parameters: Any) -> Any:
        started = time.time()
        console.say(f"\n[bold]{step}[/]")
        state = flow(problem=self.config.problem, **parameters, return_state=True)
        run_id = state.state_details.flow_run_id
        link = f"{self.up.prefect_ui_url}/runs/flow-run/{run_id}"
        result = state.result()
        self.done.append(Done(step=step, result="", seconds=time.time() - started, run=link))
        return result

    def _tell(self, result: str) -> None:
        """The result of the step that ran last."""
        self.done[-1] = replace(self.done[-1], result=result)
        console.say(f"  [green]{result}[/]")

    def _note(self, step: str, result: str, seconds: float, run: str) -> None:
        self.done.append(Done(step=step, result=result, seconds=seconds, run=run))
        console.say(f"\n[bold]{step}[/]\n  [green]{result}[/]")

    def print_end(self, summary: Mapping[str, Any], path: Path) -> None:
        """The last table, and where everything is."""
        from deployments.demo import comparison

        rows = [
            {"step": d.step, "s": f"{d.seconds:.1f}", "result": d.result, "flow run": d.run}
            for d in self.done
        ]
        marked = " Synthetic images." if summary["is_synthetic"] else ""
        console.table(rows, f"{summary['seconds']:.0f} s. Research use only.{marked}")
        if summary["retrain"]:
            console.table(comparison.rows(summary["retrain"]), "Champion and challenger")
        console.say(f"Reports: {', '.join(summary['drift']['reports'])}\nSummary: {path}")
