"""The whole loop once: ingest, train, predict, drift, and a retraining that starts by itself."""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments import console
from deployments.stack import server_watch, servers, stack
from deployments.stack.servers import Stack
from deployments.stack.stack import StackConfig
from neuro import limits
from neuro.errors import ConfigError, NeuroError
from neuro.problems import problem as problems
from neuro.problems.problem import Problem

if TYPE_CHECKING:  # what imports torch or Prefect is imported when it is needed
    from deployments.demo.deliveries import Deliveries
    from neuro.training.config import TrainConfig

PHANTOMS = 3200
PHANTOM_EPOCHS = 14
REAL_EPOCHS = 100
RETRAIN_TIMEOUT_S = 3600.0
WORK_ITEMS = 20  # images of each source that are put before readers
_MARK = ".neuro-demo"


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """What to run the loop on.

    data: a folder of labelled images, or None for phantoms. follow: folders outside it that links
    may lead to. images: use so many, one of a group.
    shift: how far the simulated new scanner is from the old one; small loops need a strong one to
    measure its harm on few labels.
    """

    problem: str = "brain"
    data: Path | None = None
    follow: Sequence[str] = ()
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
        if self.follow and self.data is None:
            raise ConfigError("--follow needs --data; phantoms have no links")
        if self.images is not None and self.images < 200:
            raise ConfigError(
                f"images must be at least 200 to fill three deliveries, got {self.images}"
            )
        if self.epochs is not None and self.epochs < 1:
            raise ConfigError(f"epochs must be at least 1, got {self.epochs}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoStep:
    """One step of the demonstration. flow_run: link to its page, "" for what is no flow."""

    step: str
    result: str
    seconds: float
    flow_run: str


def run(
    config: DemoConfig,
    *,
    prefect_port: int | None,
    mlflow_port: int | None,
    service_port: int | None = None,
    room_port: int | None = None,
    keep: bool,
) -> dict[str, Any]:
    """Run the loop, write ``summary.json``, and stop every server unless ``keep``."""
    problem = problems.load(config.problem)
    home = _empty_home(config.home)
    wanted = StackConfig(
        home=home / "state",
        prefect_port=prefect_port,
        mlflow_port=mlflow_port,
        service_port=service_port,
        room_port=room_port,
    )
    started = time.time()
    with ExitStack() as stopping:
        if keep:
            up = stack.up(wanted, console.say)
        else:
            up = stopping.enter_context(stack.running(wanted, console.say))
        os.environ.update(servers.environment(up))
        _serve_without_a_person(home / "state", problem)
        from deployments.demo import follow_runs  # Prefect reads its server's address when imported

        stopping.callback(follow_runs.finish_sending)
        urls = [up.prefect_api_url, up.mlflow_tracking_uri]
        stopping.enter_context(server_watch.end_without(urls, lambda: _end_early(up)))
        summary = Loop(config, problem, home, up).run()
        summary["seconds"] = round(time.time() - started, 1)
        path = home / "summary.json"
        path.write_text(json.dumps(summary, indent=1, default=str), encoding="utf-8")
    print_end(summary, path, up.sign_in() if keep else {})
    if not summary["retrain"]:
        raise NeuroError(
            f"the shifted delivery was judged {summary['drift']['shifted']!r}, so nothing was "
            f"retrained; {path} has the signals"
        )
    return summary


def _serve_without_a_person(home: Path, problem: Problem) -> None:
    """Let a retraining that passes the gates serve at once: nobody waits beside a demonstration."""
    path = home / "envelopes" / f"{problem.name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "# Of the demonstration alone: usually a person approves what was trained by itself.\n"
        "needs_approval = false\n",
        encoding="utf-8",
    )
    console.say(f"no person has to approve the retraining here: {_short(path)} says so")


def draw_and_cut(config: DemoConfig, problem: Problem, home: Path) -> "Deliveries":
    """The three deliveries below ``home``: of phantoms, or of the given folder."""
    from deployments.demo import deliveries

    source, images = config.data, config.images
    if source is None:
        source, images = home / "phantoms", None
        deliveries.draw(source, problem, images=config.images or PHANTOMS, seed=config.seed)
    return deliveries.cut(
        source,
        problem,
        home / "deliveries",
        follow=config.follow,
        images=images,
        seed=config.seed,
        shift=config.shift,
    )


def recipe(config: DemoConfig) -> "TrainConfig":
    """How the first champion is trained; the retraining takes its recipe from it."""
    from neuro.training.config import TrainConfig

    usual = PHANTOM_EPOCHS if config.data is None else REAL_EPOCHS
    return TrainConfig(epochs=config.epochs or usual)


def _end_early(up: Stack) -> None:
    console.error("a server has stopped; its log is in state/logs. Start again")
    stack.down(stack.state_file(Path(up.project)), console.say)


def _empty_home(home: Path) -> Path:
    """An empty folder; only one that an earlier demonstration made is emptied."""
    home = home.resolve()
    with limits.writing(home):
        if home.exists() and any(home.iterdir()):
            if not (home / _MARK).exists():
                raise ConfigError(f"home {home} holds other files; give an empty folder with --home")
            shutil.rmtree(home)
        home.mkdir(parents=True, exist_ok=True)
        (home / _MARK).touch()
    return home


@dataclass(frozen=True, slots=True)
class Loop:
    """The demonstration's steps, each timed and linked to its flow run."""

    config: DemoConfig
    problem: Problem
    home: Path
    up: Stack
    steps: list[DemoStep] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        """Every step in order; the summary."""
        deliveries = self._deliveries()
        first = self._ingest("ingest the first delivery", deliveries.first)
        trained, tested = self._champion()
        asked = self._ask_once(deliveries.second)
        second = self._ingest("ingest the second delivery", deliveries.second)
        predicted = self._flow("predict it", "predict", _rate, window=second["release"])
        steady = self._flow("has it drifted?", "drift", _verdict, window=second["release"])
        third = self._ingest("ingest the third: new scanner", deliveries.third)
        self._flow("predict it", "predict", _rate, window=third["release"])
        self._import_labels(deliveries.labels)
        since = datetime.now(UTC)
        shifted = self._flow("has it drifted?", "drift", _verdict, window=third["release"])
        summary = {
            "problem": self.problem.name,
            "is_synthetic": self.config.data is None,
            "release": first["release"],
            "content_hash": first["content_hash"],
            "lookup_baseline": tested["lookup"],
            "train": {
                name: trained[name]
                for name in ("run_id", "model", "epochs", "seconds", "images_per_s")
            },
            "test": {m["name"]: m for m in tested["metrics"]},
            "asked": asked,
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
            summary["retrain"] = self._retrain(deliveries, since)
        summary["pages"] = {
            "prefect": self.steps[-1].flow_run,
            "mlflow": f"{self.up.mlflow_tracking_uri}/#/models/neuro-{self.problem.name}",
            "report": shifted["report"],
            "evaluation": tested["report"],
            "reading_room": f"{self.up.room_url}/work",
        }
        summary["work_list"] = self._fill_work_list()
        return summary | {"steps": [asdict(step) for step in self.steps]}

    def _deliveries(self) -> "Deliveries":
        started = time.time()
        console.say("\ncut three deliveries", style="bold")
        deliveries = draw_and_cut(self.config, self.problem, self.home)
        self._add("cut three deliveries", f"seed {self.config.seed}", started)
        return deliveries

    def _ingest(self, step: str, folder: Path) -> dict[str, Any]:
        return self._flow(step, "ingest", _counts, source=str(folder))

    def _champion(self) -> tuple[dict[str, Any], dict[str, Any]]:
        trained = self._flow(
            "train",
            "train",
            lambda made: f"model {made['model']}, {made['epochs']} epochs",
            config=recipe(self.config),
        )
        tested = self._flow("evaluate", "evaluate", _macro_f1, model=trained["model"])
        promoted = self._flow(
            "promote",
            "promote",
            lambda judged: f"{judged['decision']}: {judged['reason']}",
            model=trained["model"],
        )
        if not promoted["is_promoted"]:
            raise NeuroError(
                f"the gate did not accept the first model: {promoted['reason']} Give more images "
                "or more epochs"
            )
        return trained, tested

    def _ask_once(self, folder: Path) -> dict[str, Any]:
        """Ask the service of one image of a folder, as anybody may."""
        from deployments.demo import ask_service

        started = time.time()
        console.say("\nask the service", style="bold")
        asked = ask_service.ask(self.up, folder)
        self._add("ask the service", f"{asked['decision']}: {asked['reason']}", started)
        return asked

    def _import_labels(self, path: Path) -> None:
        from neuro.ingest import late_labels
        from tasks.load import release_data

        started = time.time()
        lake = release_data.open_lake(None)
        imported = late_labels.import_file(lake, self.problem, path, datetime.now(UTC))
        self._note("labels for half of it", f"{imported.added} labels", started)

    def _fill_work_list(self) -> dict[str, int]:
        """What readers would look at now."""
        from tasks import work_list
        from tasks.load import release_data

        started = time.time()
        lake, now = release_data.open_lake(None), datetime.now(UTC)
        config = work_list.FillConfig(n=WORK_ITEMS)
        added = work_list.fill(lake, self.problem, config, now)
        self._note("fill the work list", f"{sum(added.values())} images for readers", started)
        return added

    def _retrain(self, deliveries: "Deliveries", since: datetime) -> dict[str, Any]:
        from deployments.demo import comparison, follow_runs

        started = time.time()
        run = follow_runs.wait_for_automatic_run("retrain", since, RETRAIN_TIMEOUT_S)
        decision, started_by = follow_runs.decision_of(str(run.id)), follow_runs.creator(run)
        result = f"{decision['decision']}: {decision['reason']}; started by {started_by}"
        self._note("retrain", result, started, self._page(run.id))
        return {
            "flow_run_id": str(run.id),
            "started_by": started_by,
            **{name: decision[name] for name in ("decision", "reason", "gates")},
            **comparison.compare(self.problem, decision, deliveries.held_out),
        }

    def _flow(
        self, step: str, flow: str, tell: Callable[[dict[str, Any]], str], **parameters: Any
    ) -> dict[str, Any]:
        """Run the flow of this name, and say what ``tell`` makes of its result."""
        run = console.load_flow(flow)
        started = time.time()
        console.say(f"\n{step}", style="bold")
        state = run(problem=self.config.problem, **parameters, return_state=True)
        result: dict[str, Any] = state.result()
        self._add(step, tell(result), started, self._page(state.state_details.flow_run_id))
        return result

    def _page(self, flow_run_id: object) -> str:
        return f"{self.up.prefect_ui_url}/runs/flow-run/{flow_run_id}"

    def _add(self, step: str, result: str, started: float, flow_run: str = "") -> None:
        seconds = time.time() - started
        self.steps.append(DemoStep(step=step, result=result, seconds=seconds, flow_run=flow_run))
        console.say(f"  {result}", style="green")

    def _note(self, step: str, result: str, started: float, flow_run: str = "") -> None:
        """A step that is no flow of this process."""
        console.say(f"\n{step}", style="bold")
        self._add(step, result, started, flow_run)


def _counts(ingested: Mapping[str, Any]) -> str:
    named = ("accepted", "repeated", "quarantined")
    counts = ", ".join(f"{ingested[name]} {name}" for name in named if ingested[name])
    return f"{counts}; release {ingested['release']}"


def _macro_f1(tested: Mapping[str, Any]) -> str:
    by_name = {metric["name"]: metric["value"] for metric in tested["metrics"]}
    model = f"{by_name['macro_f1']:.3f}" if "macro_f1" in by_name else "unknown: one class"
    return f"macro-F1 {model}; look-up {tested['lookup']['test']:.3f}"


def _rate(predicted: Mapping[str, Any]) -> str:
    return f"{predicted['n']} images, {predicted['images_per_s']:.0f} a second"


def _verdict(judged: Mapping[str, Any]) -> str:
    return f"{judged['verdict']}: {judged['reason']}"


def print_end(summary: Mapping[str, Any], path: Path, sign_in: Mapping[str, str]) -> None:
    """What a person reads last, at 80 columns: each step, both models, where everything is.

    sign_in: what the pages ask for, by what asks; empty where the servers are down.
    """
    from deployments.demo import comparison

    rows = [
        {"step": step["step"], "s": f"{step['seconds']:.0f}", "result": _first_clause(step["result"])}
        for step in summary["steps"]
    ]
    minutes, seconds = divmod(round(summary["seconds"]), 60)
    marked = ", on synthetic images" if summary["is_synthetic"] else ""
    console.say("")
    console.table(rows, f"The loop took {minutes} min {seconds} s{marked}.")
    if summary["retrain"]:
        console.table(comparison.rows(summary["retrain"]), "Champion, and challenger")
    pages = summary["pages"]
    for title, place in (
        ("\nRetraining in Prefect", pages["prefect"]),
        ("Models in MLflow", pages["mlflow"]),
        ("Evaluation of the champion", _short(Path(pages["evaluation"]))),
        ("Weekly report", _short(Path(pages["report"]))),
        ("Work list of the reading room", pages["reading_room"]),
        ("All figures", _short(path)),
    ):
        console.say(title)
        console.address(place)
    console.say("\nHow the service was asked; it answers while the servers are up")
    console.address(summary["asked"]["curl"])
    if sign_in:
        console.say("\nThe servers are up; stop them with `neuro down`. Their pages ask for this:")
        for page, answer in sign_in.items():
            console.say(f"  {page.removesuffix('_asks_for')}: {answer}")
    else:
        console.say("\nThe servers are stopped; `make demo KEEP=1` leaves their pages up.")
    console.say("Research use only; not a medical device.")


def _first_clause(result: str) -> str:
    """A result without its details, which stand in summary.json."""
    return result.split(";")[0].split(" (")[0].split(": Harm")[0]


def _short(path: Path) -> Path:
    """Seen from the working folder, where it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
