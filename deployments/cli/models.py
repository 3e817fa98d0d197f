"""Verbs about models: evaluate, promote, rollback, predict, drift, retrain, journal."""

from pathlib import Path
from typing import Annotated

import typer

from deployments import console
from deployments.console import Json, LakeUri, Local, Problem, ReleaseName

app = typer.Typer()

ModelName = Annotated[
    str,
    typer.Option("--model", help="champion, challenger, a version number, or a package folder."),
]


@app.command()
def evaluate(
    context: typer.Context,
    model: ModelName = "challenger",
    problem: Problem = "brain",
    release: ReleaseName = None,
    split: Annotated[
        str, typer.Option(help="test, val, calibration or train, as the model was trained.")
    ] = "test",
    against: Annotated[
        str | None, typer.Option(help="Another model, named likewise, to compare with.")
    ] = None,
    stress: Annotated[
        bool, typer.Option(help="Show it worse pictures, too: blurred, dark, noisy, turned ...")
    ] = False,
    on: Annotated[
        str | None,
        typer.Option(help="Labelled images of another source: a folder, or DATASET/RELEASE."),
    ] = None,
    lake: LakeUri = None,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Score a model on the held-out test split, beside train and validation; looks are counted.

    Example: neuro evaluate --problem brain --model challenger
    """
    console.run_flow(context, is_local=local, as_json=as_json)


@app.command()
def explain(
    image: Annotated[
        str,
        typer.Argument(metavar="IMAGE|SAMPLE", help="An image file, a digest or a source name."),
    ] = "",
    errors: Annotated[
        bool, typer.Option("--errors", help="The errors on a split that it is surest of.")
    ] = False,
    split: Annotated[
        str, typer.Option(help="With --errors: val, calibration, train or test, a counted look.")
    ] = "val",
    model: ModelName = "champion",
    problem: Problem = "brain",
    release: ReleaseName = None,
    out: Annotated[Path | None, typer.Option(help="Page to write.")] = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Show where a model looked, why one class and not another, and whether to believe the map.

    Example: neuro explain --errors --problem brain --model champion
    """
    from neuro.errors import ConfigError
    from neuro.problems import problem as problems
    from tasks import explain as steps

    if errors == bool(image):
        raise ConfigError("give an image or a sample of the release, or --errors")
    asked = steps.Asked(model=model, image=image, split=split, release=release)
    with console.only_results_on_stdout():
        found = steps.explain(console.open_lake(lake), problems.load(problem), asked, out)
    facts = found.as_dict()
    if as_json:
        console.show(facts, as_json=True)
        return
    for sentence in facts["maps"]:
        console.say(sentence)
    console.say(f"page {facts['page']}")
    console.show(facts["answers"], as_json=False, columns=("sample_id", "label", "says", "sure"))


@app.command()
def promote(
    context: typer.Context,
    model: ModelName = "challenger",
    problem: Problem = "brain",
    release: ReleaseName = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Let the gate decide whether a model becomes champion; exit code 3 if it does not.

    Example: neuro promote --problem brain --model challenger
    """
    result = console.run_flow(context, as_json=as_json)
    if not result["is_promoted"]:
        raise typer.Exit(3)


@app.command()
def rollback(
    context: typer.Context,
    version: Annotated[
        str, typer.Argument(help="A version that served (default: the one before the champion).")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "",
    who: Annotated[str, typer.Option(help="Who decided it (default: your account).")] = "",
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Let an earlier champion serve again, once it was verified and gave an answer.

    Example: neuro rollback --problem brain --reason "misses pituitary on the new scanner"
    """
    from tasks.runtime import settings

    console.run_flow(context, as_json=as_json, who=who or settings.user())


@app.command()
def predict(
    context: typer.Context,
    model: ModelName = "champion",
    problem: Problem = "brain",
    release: ReleaseName = None,
    window: Annotated[str | None, typer.Option(help="Only what entered with a release.")] = None,
    lake: LakeUri = None,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Score what the model has not scored yet, and write the predictions as Parquet.

    Example: neuro predict --problem brain --json
    """
    console.run_flow(context, is_local=local, as_json=as_json)


@app.command()
def drift(
    context: typer.Context,
    window: Annotated[str | None, typer.Option(help="What entered with a release.")] = None,
    days: Annotated[float, typer.Option(help="Without --window: predicted in these days.")] = 7.0,
    model: ModelName = "champion",
    problem: Problem = "brain",
    lake: LakeUri = None,
    fail_on_drift: Annotated[bool, typer.Option(help="Exit with 3 unless steady.")] = False,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Compare recent images and answers with the champion's reference, and say what to do.

    Example: neuro drift --problem brain --days 7
    """
    result = console.run_flow(context, is_local=local, as_json=as_json)
    if fail_on_drift and result["verdict"] != "steady":
        raise typer.Exit(3)


@app.command()
def retrain(
    context: typer.Context,
    problem: Problem = "brain",
    cause: Annotated[str | None, typer.Option(help="What asks for it, claimed once.")] = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Train a challenger on the current release and let the gate decide.

    Example: neuro retrain --problem brain
    """
    console.run_flow(context, as_json=as_json)


@app.command()
def journal(
    kind: Annotated[
        str,
        typer.Argument(
            help="claim, failed, look, verdict, decision, rollback, quarantine, landing, erasure "
            "or lift."
        ),
    ] = "decision",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """List what was decided, claimed, looked at or judged, oldest first.

    Example: neuro journal verdict --json
    """
    from neuro.lake import journal as store

    rows = [
        {"at": entry.at.isoformat(timespec="seconds"), **entry.body}
        for entry in store.entries(console.open_lake(lake), kind)
    ]
    console.show(rows, as_json=as_json, title=kind)
