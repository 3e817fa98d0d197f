"""Verbs that show what is in a release: passport, explore."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments import console
from deployments.console import GivenRelease, Json, LakeUri, Problem
from neuro.problems import problem as problems

app = typer.Typer()

TOP = 5  # entries of a list that a terminal shows

Out = Annotated[Path | None, typer.Option(help="Page to write (default: below .neuro/reports).")]


@app.command()
def passport(
    release: GivenRelease = None,
    problem: Problem = "brain",
    out: Out = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Show a release's passport: twins, leaks, confounds, doubtful labels; and write its page.

    Beside it: labels_in_doubt, the labels that folds trained on this release contradict.

    Example: neuro passport --problem brain --out passport.html
    """
    from neuro.errors import ErasedError
    from neuro.lake import releases as store
    from neuro.reports import passport_text
    from tasks import passport as steps

    there = console.open_lake(lake)
    found = store.find(there, problems.load(problem).dataset, release)
    page = ""
    try:
        page = str(steps.draw(there, found, out))
    except ErasedError as error:
        console.say(f"no page is written: {error}")
    told = dict(found.passport)
    suspects, doubted = passport_text.suspect_ids(told), steps.doubted(found)
    for damaged in doubted.damaged:
        console.error(damaged)
    told["labels_in_doubt"] = [row for each in doubted.lists for row in each.rows(suspects)]
    told = {"release": found.name, **(told if as_json else brief(told)), "page": page}
    console.show(told, as_json=as_json, title="passport")


@app.command()
def explore(
    release: GivenRelease = None,
    problem: Problem = "brain",
    out: Out = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Write one page of what is in a release: balance, sizes, means, examples, maps, age and sex.

    Example: neuro explore --problem brain --out explore.html
    """
    from tasks import explore as steps
    from tasks.load import release_data

    loaded = release_data.load(console.open_lake(lake), problems.load(problem), release)
    page = steps.draw(loaded, out)
    facts = {"release": loaded.release.name, "images": len(loaded.samples), "page": str(page)}
    console.show(facts, as_json=as_json, title="explore")


def brief(sealed: Mapping[str, Any]) -> dict[str, Any]:
    """A passport that fits a terminal: of each list the first few, and how many more there are."""
    return {key: _brief(value) for key, value in sealed.items()}


def _brief(value: Any) -> Any:
    if isinstance(value, Mapping):
        return brief(value)
    if not isinstance(value, list):
        return value[:12] if isinstance(value, str) and console.is_digest(value) else value
    shown = [_line(each) for each in value[:TOP]]
    left = len(value) - len(shown)
    return [*shown, f"and {left} more: --json lists them"] if left else shown


def _line(each: Any) -> str:
    """One entry of a list in one line; of a cluster its members."""
    if isinstance(each, list):
        return "; ".join(map(_line, each[:TOP]))
    if not isinstance(each, Mapping):
        return str(_brief(each))
    told = {key: value for key, value in each.items() if key not in ("sha256", "neighbours")}
    return ", ".join(f"{key} {_figure(_brief(value))}" for key, value in told.items())


def _figure(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {inner}" for key, inner in list(value.items())[:TOP])
    return f"{value:.3f}" if isinstance(value, float) else str(value)
