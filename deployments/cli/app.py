"""The ``neuro`` command: one verb per flow or step. Research use only; not a medical device."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from deployments import console
from deployments.cli import (
    cancel,
    drift,
    features,
    journal,
    keys,
    models,
    notify,
    passport,
    quarantine,
    releases,
    service,
    storage,
    train,
    weights,
    worklist,
)
from deployments.cli import data as data_verbs
from deployments.cli import lake as lake_verbs
from neuro import limits
from neuro.errors import NeuroError
from neuro.storage import disk_full
from tasks.runtime import settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # a help text says [labels] and means it
    help="Honest, current and answerable classifiers for medical images. "
    "Research use only; not a medical device.",
)
for verbs in (
    *(data_verbs, passport, features, quarantine, releases, lake_verbs),
    *(train, models, drift, cancel, journal, keys, worklist, service, notify, weights, storage),
):
    app.registered_commands += verbs.app.registered_commands
    app.registered_groups += verbs.app.registered_groups

PrefectPort = Annotated[
    int | None, typer.Option(help="Port of the Prefect server (default: 4200, or the next free).")
]
MlflowPort = Annotated[
    int | None, typer.Option(help="Port of the MLflow server (default: 5000, or the next free).")
]

ServicePort = Annotated[
    int | None, typer.Option(help="Port of the service (default: 8000, or the next free).")
]

RoomPort = Annotated[
    int | None, typer.Option(help="Port of the reading room (default: 8501, or the next free).")
]


@app.command()
def up(
    prefect_port: PrefectPort = None,
    mlflow_port: MlflowPort = None,
    service_port: ServicePort = None,
    room_port: RoomPort = None,
    lake: console.LakeUri = None,
) -> None:
    """Start Prefect, MLflow, a worker, the prediction service and the reading room.

    Every deployment of the project's prefect.yaml is applied.

    Example: neuro up --lake s3://images/lake
    """
    from deployments.stack import stack

    config = stack.StackConfig(
        prefect_port=prefect_port,
        mlflow_port=mlflow_port,
        service_port=service_port,
        room_port=room_port,
        lake=lake,
    )
    stack.up(config, console.say)


@app.command()
def down() -> None:
    """Stop what `neuro up` started in this folder.

    Example: neuro down
    """
    from deployments.stack import stack

    stack.down(stack.state_file(Path.cwd()), console.say)


@app.command()
def status(as_json: console.Json = False) -> None:
    """Say where the servers are and whether each is alive; exit code 3 if one is not.

    Example: neuro status --json
    """
    from deployments.stack import stack

    found = stack.read(stack.state_file(Path.cwd()))
    if found is None:
        if as_json:
            names = ("prefect", "mlflow", "service", "reading_room")
            places = (*names, *(f"{name}_asks_for" for name in names), "lake")
            console.show({**dict.fromkeys(places), "alive": {}}, as_json=True)
        console.say("no stack is up in this folder; start it with `neuro up`")
        raise typer.Exit(3)
    alive = stack.status(found)
    facts = {"prefect": found.prefect_ui_url, "mlflow": found.mlflow_tracking_uri}
    facts |= {"service": found.service_url, "reading_room": found.room_url}
    facts |= found.sign_in()
    console.show(facts | {"lake": found.lake, "alive": alive}, as_json=as_json)
    if not (alive and all(alive.values())):
        raise typer.Exit(3)


@app.command()
def worker(
    pool: Annotated[str, typer.Option(help="Work pool to take runs from.")] = "gpu",
    device: Annotated[str, typer.Option(help="auto, cpu, or cuda: insist on a GPU.")] = "auto",
    name: Annotated[
        str, typer.Option(help="Of no other worker in the pool.", show_default="this machine's")
    ] = platform.node(),
    lake: console.LakeUri = None,
) -> None:
    """Train on this machine what the servers of another one ask for, one run at a time.

    The servers are those of PREFECT_API_URL and MLFLOW_TRACKING_URI, else of `neuro up` here.

    Example: neuro worker --lake s3://images/lake --device cuda
    """
    from deployments.stack import worker as workers

    workers.run(workers.WorkerConfig(pool=pool, device=device, name=name, lake=lake), console.say)


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Your own folder; default: phantoms.")] = None,
    follow: data_verbs.Follow = None,
    problem: console.Problem = "brain",
    home: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("demo"),
    images: Annotated[int | None, typer.Option(help="Use so many, one of each group.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each training.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the drawing and of the cuts.")] = 0,
    shift: Annotated[float, typer.Option(help="How far the new scanner is off.")] = 1.0,
    prefect_port: PrefectPort = None,
    mlflow_port: MlflowPort = None,
    service_port: ServicePort = None,
    room_port: RoomPort = None,
    keep: Annotated[bool, typer.Option(help="Leave the servers up.")] = False,
    as_json: console.Json = False,
) -> None:
    """Run the whole loop once: ingest, train, ask, predict, drift, and a retraining by itself.

    Example: neuro demo --data ~/brain --problem brain --keep
    """
    from deployments.demo import demo as demonstration

    config = demonstration.DemoConfig(
        problem=problem,
        data=data,
        follow=follow or (),
        home=home,
        images=images,
        epochs=epochs,
        seed=seed,
        shift=shift,
    )
    with console.only_results_on_stdout():
        summary = demonstration.run(
            config,
            prefect_port=prefect_port,
            mlflow_port=mlflow_port,
            service_port=service_port,
            room_port=room_port,
            keep=keep,
        )
    if as_json:
        console.show(summary, as_json=True)


@app.command()
def version() -> None:
    """Print the version.

    Example: neuro version
    """
    console.show({"version": metadata.version("neuro")}, as_json=True)


console.add_endpoint(app)


INTERRUPTED = 130  # what typer makes of Ctrl-C, as shells do


def main() -> None:
    """Entry point: a NeuroError becomes one message and its exit code.

    What is written is for this account alone.
    """
    os.umask(settings.PRIVATE)
    try:
        app(standalone_mode=True)
    except NeuroError as error:
        console.fail(str(error), error.exit_code)
    except OSError as error:  # of what lies beside the lake: unpacked archives, frames, packages
        if refused := limits.refusal(error):
            console.fail(str(refused), refused.exit_code)
        if disk_full.is_denied(error):
            console.fail(str(disk_full.denied("a folder of this command", error)), 1)
        if not disk_full.is_full(error):
            raise
        message = f"no space is left on the disk: {error}. Make room and run the same command again"
        console.fail(message, 1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            console.fail("stopped; run the same command again to complete", INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
