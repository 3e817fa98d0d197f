"""Verbs about models: evaluate, explain, promote, approve, rollback, accept, predict, trace ..."""

import os
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
    result = console.run_flow(
        context,
        as_json=as_json,
        tables={"gates": ("name", "value", "low", "high", "threshold", "outcome")},
        hidden=("old_test",),  # all figures of both: in the report
    )
    if not result["is_promoted"]:
        raise typer.Exit(3)


@app.command()
def approve(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="A version that waits (without: list them).")] = "",
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "",
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Let a candidate serve that an automation trained, by your name: that of your account.

    Example: neuro approve 7 --problem brain --reason "read the report, agrees with our cases"
    """
    from neuro.problems import problem as problems
    from neuro.promotion import approvals
    from tasks.runtime import settings

    if not version:
        found = approvals.waiting(console.open_lake(lake), problems.load(problem).name)
        shown = ("champion", "cause", "reason", "report")
        rows = [
            {"version": version, "at": entry.at.isoformat(timespec="seconds")}
            | {name: entry.body.get(name) for name in shown}
            for version, entry in found.items()
        ]
        console.show(rows, as_json=as_json, title="waiting for approval")
        return
    result = console.run_flow(context, as_json=as_json, who=settings.user())
    if not result["is_promoted"]:
        raise typer.Exit(3)


@app.command()
def lock(
    context: typer.Context,
    release: Annotated[str, typer.Argument(help="The release that brought fresh test samples.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "",
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Let the gate decide by the test samples that came since the test locked before.

    Example: neuro lock brain-0007-3f2a9c1b --problem brain --reason "the old test is worn"
    """
    from tasks.runtime import settings

    console.run_flow(context, as_json=as_json, who=settings.user())


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
def accept(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="DIR", help="The site's labelled images, in class folders.")
    ] = "",
    model: ModelName = "champion",
    problem: Problem = "brain",
    limits: Annotated[
        str | None,
        typer.Option(help="TOML file, set before (default: acceptance/PROBLEM.toml in the home)."),
    ] = None,
    site: Annotated[
        str, typer.Option(help="Its name in the journal (default: the folder's).")
    ] = "",
    who: Annotated[str, typer.Option(help="Who judges (default: your account).")] = "",
    lake: LakeUri = None,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Try a model on a site's own images by limits set before; exit code 3 if it misses one.

    Example: neuro accept ~/scans/labelled --problem brain --limits limits.toml --site "Ward 3"
    """
    from tasks.runtime import settings

    result = console.run_flow(context, is_local=local, as_json=as_json, who=who or settings.user())
    if not result["passed"]:
        raise typer.Exit(3)


@app.command()
def predict(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="[RELEASE|DIR|ARCHIVE|s3://...]",
            help="A release (default: the current one), or files that need not be in the lake.",
        ),
    ] = "",
    out: Annotated[
        str | None, typer.Option(help="Where the answers go, .parquet or .csv; files need it.")
    ] = None,
    model: ModelName = "champion",
    problem: Problem = "brain",
    release: ReleaseName = None,
    window: Annotated[str | None, typer.Option(help="Only what entered with a release.")] = None,
    shadow: Annotated[
        str | None,
        typer.Option(help="Another model that answers the same and is not shown, named likewise."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="What runs the network: onnxruntime, openvino, torch, or auto for the fastest "
            "here that calls images the same."
        ),
    ] = "auto",
    lake: LakeUri = None,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Score what the model has not scored yet of a release, or files that need not be in the lake.

    Example: neuro predict ~/scans --problem brain --out answers.csv
    """
    console.run_flow(context, is_local=local, as_json=as_json)


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
def trace(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A release, a model version, a package's or sample's digest, SAMPLE@VERSION, a "
            "cause or a key of the journal.",
        ),
    ],
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Print a mermaid flow chart in place of the tree.")
    ] = False,
    problem: Problem = "brain",
    lake: LakeUri = None,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Print everything that something came from, and everything that came from it.

    Example: neuro trace 3 --problem brain --mermaid
    """
    from neuro.problems import problem as problems
    from tasks import trace as steps
    from tasks.runtime import settings

    os.environ.update(settings.around_proxy())
    with console.only_results_on_stdout():
        found = steps.trace(console.open_lake(lake), problems.load(problem), name, is_local=local)
    if as_json:
        console.show(found.as_dict(), as_json=True)
        return
    console.text(found.mermaid if mermaid else found.tree)
    for sentence in found.missing:
        console.say(f"missing: {sentence}")
