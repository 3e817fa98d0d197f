"""The verb about drift: judge a window, list what was judged, or say something of a verdict."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from deployments import console
from deployments.cli.models import ModelName
from deployments.console import Json, LakeUri, Local, Problem
from neuro.errors import ConfigError

app = typer.Typer()
_REPLAYED = ("window", "images", "groups", "verdict", "alarms")
_COLUMNS = ("at", "window", "model", "found", "outcome", "said", "reason")


@app.command()
def drift(
    context: typer.Context,
    window: Annotated[
        str | None,
        typer.Option(help="What entered with a release; or a window that was judged, by its name."),
    ] = None,
    days: Annotated[float, typer.Option(help="Without --window: answered in these days.")] = 7.0,
    model: ModelName = "champion",
    problem: Problem = "brain",
    lake: LakeUri = None,
    current: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|RELEASE|WINDOW",
            help="Judge it once: nothing is stored, sent or asked, and files stay where they are.",
        ),
    ] = None,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Judge each window of --days up to now again, likewise."),
    ] = False,
    fail_on_drift: Annotated[bool, typer.Option(help="Exit with 3 unless steady.")] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Judge nothing; list what was judged before.")
    ] = False,
    acknowledge: Annotated[
        bool,
        typer.Option(
            "--acknowledge",
            help="Say that you have seen the last verdict, or that on --window; with --reason.",
        ),
    ] = False,
    snooze: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS", help="Likewise: until then no training of the problem starts by itself."
        ),
    ] = None,
    overrule: Annotated[
        str | None,
        typer.Option(
            metavar="VERDICT", help="Likewise: steady, look, label or retrain holds in its place."
        ),
    ] = None,
    why: Annotated[
        str, typer.Option("--reason", help="Why; kept in the journal by your name.")
    ] = "",
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Compare recent images and answers with the champion's reference, and say what to do.

    Example: neuro drift --problem brain --days 7
    """
    said = _Said(acknowledge=acknowledge, snooze=snooze, overrule=overrule, reason=why)
    if (said.kinds or history) and (current or replay):
        raise ConfigError("--current and --replay judge, and go with no word on a verdict")
    if said.kinds or history:
        rows = _history(console.open_lake(lake), problem, window, said)
        console.show(rows, as_json=as_json, title=f"verdicts on {problem}", columns=_COLUMNS)
        return
    if why:
        raise ConfigError("--reason goes with --acknowledge, --snooze or --overrule")
    if replay and fail_on_drift:
        raise ConfigError("--fail-on-drift is for one verdict, and --replay gives many")
    tables = {"replayed": _REPLAYED} if replay else {}
    result = console.run_flow(context, is_local=local, as_json=as_json, tables=tables)
    if fail_on_drift and result["verdict"] != "steady":
        raise typer.Exit(3)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Said:
    """What a person typed about a verdict."""

    acknowledge: bool
    snooze: float | None
    overrule: str | None
    reason: str

    @property
    def kinds(self) -> list[str]:
        given = {"acknowledge": self.acknowledge or None} | {
            "snooze": self.snooze,
            "overrule": self.overrule,
        }
        return [name for name, value in given.items() if value is not None]


def _history(lake: Any, problem: str, window: str | None, said: _Said) -> list[dict[str, Any]]:
    """The verdicts, on a window or all, once what was typed is written down."""
    from neuro.problems import problem as problems
    from neuro.promotion import verdict_log
    from tasks.runtime import settings

    name, now = problems.load(problem).name, datetime.now(UTC)
    if len(said.kinds) > 1:
        raise ConfigError(f"say one thing at a time: --{' or --'.join(said.kinds)}")
    for kind in said.kinds:
        response = verdict_log.response(
            kind,
            who=settings.user(),
            reason=said.reason,
            now=now,
            days=said.snooze,
            outcome=said.overrule or "",
        )
        verdict_log.respond(lake, verdict_log.last(lake, name, window), response)
    found = verdict_log.all_of(lake, name)
    return [each.row() for each in found if window in (None, each.window)]
