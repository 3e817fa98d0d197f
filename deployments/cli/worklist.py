"""Verbs about what waits for people: worklist fill, list, agreement; incidents list, take, end."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from deployments import console
from deployments.console import Json, LakeUri, Problem
from neuro.problems import problem as problems

app = typer.Typer()
worklist = typer.Typer(no_args_is_help=True, help="Images that wait for readers.")
incidents = typer.Typer(no_args_is_help=True, help="What people say went wrong with an answer.")
app.add_typer(worklist, name="worklist")
app.add_typer(incidents, name="incidents")

IncidentName = Annotated[
    str, typer.Argument(metavar="ID", help="As listed, or the beginning of its digits.")
]
Who = Annotated[str, typer.Option(help="Who does it (default: your account).")]


@worklist.command()
def fill(
    source: Annotated[
        list[str] | None,
        typer.Option(help="uncertain, suspect or 'given label' (default: all three)."),
    ] = None,
    n: Annotated[int, typer.Option("-n", help="Images of each source, at most.")] = 50,
    readers: Annotated[int, typer.Option(help="How many must agree: 1 or 2.")] = 1,
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Put images on the work list: labels that people gave, label suspects, and uncertain answers.

    Example: neuro worklist fill --problem brain --readers 2
    """
    from tasks import work_list as steps

    config = steps.FillConfig(sources=source or steps.SOURCES, n=n, readers=readers)
    where, now = console.open_lake(lake), datetime.now(UTC)
    added = steps.fill(where, problems.load(problem), config, now)
    console.show(added, as_json=as_json, title="worklist fill")


@worklist.command("list")
def list_items(
    is_open: Annotated[bool, typer.Option("--open", help="Only what is not decided.")] = False,
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """List the images, the reads of each, and what was decided.

    Example: neuro worklist list --open --problem brain
    """
    from neuro.lake import work_list

    rows = []
    for each in work_list.readings(console.open_lake(lake), problems.load(problem).name):
        decision = each.decision
        if is_open and decision:
            continue
        rows.append(
            {
                "sample": each.item.key.sha256,
                "round": each.item.key.round,
                "source": each.item.source,
                "status": each.status,
                "reads": [
                    {"who": read.who, "step": read.step, "label": read.label}
                    | {"at": read.at.isoformat(timespec="seconds"), "note": read.note}
                    for read in each.reads
                ],
                "label": decision.label if decision else "",
                "who": decision.who if decision else "",
            }
        )
    columns = ("sample", "source", "status", "label", "who")
    console.show(rows, as_json=as_json, title="work list", columns=columns)


@worklist.command()
def agreement(problem: Problem = "brain", lake: LakeUri = None, as_json: Json = False) -> None:
    """Print Cohen's kappa of each two readers, by first reads alone, which are blind.

    Example: neuro worklist agreement --problem brain --json
    """
    from tasks import work_list as steps

    found = steps.agreements(console.open_lake(lake), problems.load(problem))
    console.show([each.as_dict() for each in found], as_json=as_json, title="agreement")


@incidents.command("list")
def list_incidents(
    is_open: Annotated[bool, typer.Option("--open", help="Only those without an end.")] = False,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """List the incidents, who looks after each, and how it ended.

    Example: neuro incidents list --open
    """
    from neuro.lake import incidents as store

    rows = [
        {
            "id": each.id,
            "at": each.at.isoformat(timespec="seconds"),
            "who": each.report.who,
            "reason": each.report.reason,
            "sample": each.report.sample_id,
            "version": each.report.version,
            "prediction": dict(each.report.prediction),
            "owner": each.owner,
            "ended_at": each.ended_at.isoformat(timespec="seconds") if each.ended_at else "",
            "outcome": each.outcome,
        }
        for each in store.all_of(console.open_lake(lake))
        if each.is_open or not is_open
    ]
    columns = ("id", "at", "who", "reason", "owner", "ended_at", "outcome")
    console.show(rows, as_json=as_json, title="incidents", columns=columns)


@incidents.command()
def take(
    name: IncidentName,
    owner: Annotated[str, typer.Option(help="Who looks after it (default: who does this).")] = "",
    who: Who = "",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Say who looks after an incident.

    Example: neuro incidents take 3f2a9c1b --owner ana
    """
    from neuro.lake import incidents as store
    from tasks.runtime import settings

    who = who or settings.user()
    found = store.assign(console.open_lake(lake), name, owner or who, who, datetime.now(UTC))
    console.show({"id": found.id, "owner": found.owner}, as_json=as_json, title="incidents take")


@incidents.command()
def end(
    name: IncidentName,
    outcome: Annotated[str, typer.Option(help="What was found, and what was done.")] = "",
    who: Who = "",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """End an incident, with what was found.

    Example: neuro incidents end 3f2a9c1b --outcome "a scan of the neck; told the ward"
    """
    from neuro.lake import incidents as store
    from tasks.runtime import settings

    where, now = console.open_lake(lake), datetime.now(UTC)
    found = store.close(where, name, outcome, who or settings.user(), now)
    facts = {"id": found.id, "ended_by": found.ended_by, "outcome": found.outcome}
    console.show(facts, as_json=as_json, title="incidents end")
