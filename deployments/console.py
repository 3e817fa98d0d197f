"""The terminal: one JSON object on stdout with --json, everything else on stderr."""

import functools
import importlib
import inspect
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from deployments.stack import server_watch
from neuro.errors import ConfigError, NeuroError, ServerError
from neuro.storage import lance_retry
from tasks.runtime import settings

if TYPE_CHECKING:  # imported when a verb opens a lake: it takes seconds
    from neuro.lake.lake import Lake

Problem = Annotated[
    str,
    typer.Option("--problem", "-p", help="Built-in, a .toml file, or its name in this folder."),
]
LakeUri = Annotated[
    str | None, typer.Option("--lake", help="Folder or s3:// address (default: .neuro/lake).")
]
ReleaseName = Annotated[
    str | None, typer.Option("--release", help="Release to read (default: the current one).")
]
GivenRelease = Annotated[str | None, typer.Argument(help="Release (default: current).")]
BranchName = Annotated[
    str | None, typer.Option("--branch", help="A branch of your own (default: main).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Local = Annotated[bool, typer.Option("--local", help="Run here, without any server.")]

Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", help="Address of the S3 server, else NEURO_S3_ENDPOINT, else AWS."),
]

_DIGEST, _TIME = re.compile("[0-9a-f]{64}"), re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:.*")
_METRIC = {"value", "low", "high"}
# Flags of verbs that are no parameters of their flows.
OWN_FLAGS = {"as_json", "local", "endpoint", "fail_on_drift"}
OWN_FLAGS |= {"history", "acknowledge", "snooze", "overrule", "why"}
_NOTICE = "Research use only; not a medical device."

# A name in brackets or between colons is a name: nothing is read as markup.
err = Console(stderr=True, highlight=False, markup=False, emoji=False)
out = Console(highlight=False, markup=False, emoji=False)


def start_logging() -> None:
    """Progress on stderr, for a run that no server records."""
    handler = RichHandler(console=err, show_path=False, show_level=False, log_time_format="%X")
    handler.setFormatter(_PrintableFormatter("%(message)s"))
    for name in settings.LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.handlers[:] = [handler]
        logger.propagate = False


def start_recorded_logging() -> None:
    """Progress on stderr as Prefect prints it, for a run that a server records.

    The traceback of a refusal is left to the run's page: it helps nobody to mend a request, whose
    message is printed in the end.
    """
    from prefect.logging.configuration import setup_logging

    setup_logging()
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _PrintableFormatter):
            continue  # of an earlier run of this process
        handler.addFilter(lambda record: not _is_refusal(record))
        handler.setFormatter(_PrintableFormatter(around=handler.formatter))


class _PrintableFormatter(logging.Formatter):
    """What a terminal may be given, in the form of another formatter if there is one."""

    def __init__(self, form: str | None = None, around: logging.Formatter | None = None) -> None:
        super().__init__(form)
        self.around = around

    def format(self, record: logging.LogRecord) -> str:
        return printable(self.around.format(record) if self.around else super().format(record))


def _is_refusal(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and isinstance(record.exc_info[1], NeuroError)


def printable(text: object) -> str:
    """What a terminal may be given: names of files can hold bytes of no text and control codes."""
    written = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1]
        for letter in written
    )


def add_endpoint(app: typer.Typer) -> None:
    """Give every verb that takes a lake the option --endpoint, read with the other settings."""
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_endpoint(group.typer_instance)
    for command in app.registered_commands:
        verb = command.callback
        if verb is None:
            continue
        named = inspect.signature(verb).parameters
        if "lake" in named and "endpoint" not in named:
            command.callback = _with_endpoint(verb)


def _with_endpoint(verb: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def run(*args: Any, endpoint: str | None = None, **kwargs: Any) -> Any:
        remember(endpoint)
        return verb(*args, **kwargs)

    signature = inspect.signature(verb)
    option = inspect.Parameter(
        "endpoint", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Endpoint
    )
    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {**verb.__annotations__, "endpoint": Endpoint}
    return run


def remember(endpoint: str | None) -> None:
    """Set the server's address for this process and those it starts."""
    if endpoint:
        os.environ[settings.ENDPOINTS[0]] = endpoint


def open_lake(uri: str | None) -> "Lake":
    """The given lake, or the one of this installation."""
    from tasks.load import release_data

    return release_data.open_lake(uri)


def run_flow(
    context: typer.Context,
    *,
    as_json: bool,
    is_local: bool = False,
    tables: Mapping[str, Sequence[str]] = {},
    hidden: Sequence[str] = (),
    **changed: Any,
) -> Any:
    """Run and show the flow of a verb's name; its parameters are the verb's flags.

    tables: lists of the result that a person sees as tables of these columns, and hidden: what only
    JSON has. changed: parameters that are not sent as they were typed.
    """
    flow = str(context.info_name)
    given = {name: value for name, value in context.params.items() if name not in OWN_FLAGS}
    result = call(flow, is_local=is_local, **(given | changed))
    brief = result
    if not as_json and (tables or hidden):
        for name, columns in tables.items():
            table([{each: row[each] for each in columns} for row in result[name]], name)
        left_out = {*tables, *hidden}
        brief = {name: value for name, value in result.items() if name not in left_out}
    show(brief, as_json=as_json, title=flow)
    return result


def call(flow: str, *, is_local: bool, **parameters: Any) -> Any:
    """Run the flow of this name: recorded by the running servers, or as a plain call.

    Raises ConfigError for parameters that the flow does not take.
    """
    here = settings.load()
    if is_local:
        start_logging()
        with only_results_on_stdout():
            loaded = load_flow(flow)
            return loaded.fn(**validated(loaded, parameters))
    settings.require_servers(here)
    os.environ.update(settings.flow_environment_of(here) | settings.around_proxy())
    loaded = load_flow(flow)
    parameters = validated(loaded, parameters)
    start_recorded_logging()
    urls = [url for url in (here.prefect_api_url, here.mlflow_tracking_uri) if url]
    with server_watch.end_without(urls, lambda: _report_lost(here)), only_results_on_stdout():
        return loaded(**parameters)


def validated(flow: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as a deployment's run gets them: JSON, read by the types of the flow.

    So that a plain call, a recorded one and `prefect deployment run` mean and refuse the same.
    """
    from prefect.exceptions import ParameterTypeError, SignatureMismatchError
    from pydantic_core import to_jsonable_python

    log = logging.getLogger("prefect.flows")
    try:
        log.disabled = True  # it would print what the message below says, and every parameter
        checked: dict[str, Any] = flow.validate_parameters(to_jsonable_python(dict(parameters)))
    except (ParameterTypeError, SignatureMismatchError, ValueError) as error:  # no JSON: the last
        reasons = [line.removeprefix(" - ") for line in str(error).splitlines()]
        wrong = "; ".join(reasons[1:] or reasons).replace("Value error, ", "")
        raise ConfigError(f"neuro {flow.name} was given what it does not take: {wrong}") from error
    finally:
        log.disabled = False
    return checked


def load_flow(flow: str) -> Any:
    """Import a flow, which takes seconds, and needs the server's address to be known before."""
    return getattr(importlib.import_module(f"flows.{flow}"), flow)


def _report_lost(here: settings.Settings) -> None:
    try:
        settings.require_servers(here)
        message = "a server had stopped and is there again; give the same command again"
    except ServerError as lost:
        message = f"{lost}. What was done is kept: give the same command again"
    error(message)


def only_results_on_stdout() -> AbstractContextManager[object]:
    """Whatever a library prints goes to stderr: MLflow prints a link at the end of each run."""
    return redirect_stdout(sys.stderr)


def show(result: Any, *, as_json: bool, title: str = "", columns: Sequence[str] = ()) -> None:
    """Print a result: JSON for programs, a table for people.

    columns: those of a list of rows that a table has room for; default: all.
    """
    if as_json:
        print(json.dumps(result, default=str))  # noqa: T201 - this is the command line
        return
    say(_NOTICE, style="dim")
    if isinstance(result, Mapping):
        rows = [{"": key, " ": _plain(value)} for key, value in result.items()]
        out.print(_table(rows, title))
    elif not result:
        say(f"{title}: none")
    else:
        names = columns or tuple(dict.fromkeys(name for row in result for name in row))
        rows = [{name: row.get(name, "") for name in names} for row in result]
        out.print(_table(_brief(rows), title))


def text(lines: str) -> None:
    """Print a result that is text already; no line of it is broken."""
    say(_NOTICE, style="dim")
    out.print(printable(lines), soft_wrap=True)


def is_digest(value: str) -> bool:
    """Whether it is a whole SHA-256; every verb takes the beginning of one."""
    return _DIGEST.fullmatch(value) is not None


def _brief(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows that fit a terminal: no empty column, digests by their beginning, times to the minute.

    Every verb takes the beginning of a digest; --json gives all of it.
    """
    filled = [name for name in (rows[0] if rows else ()) if any(row[name] != "" for row in rows)]
    return [{name: _short(row[name]) for name in filled} for row in rows]


def _short(value: Any) -> Any:
    if isinstance(value, str) and is_digest(value):
        return value[:12]
    if isinstance(value, str) and _TIME.fullmatch(value):
        return value[:16].replace("T", " ")
    return value


def table(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """A table on stderr."""
    err.print(_table(rows, title))


def say(message: str, *, style: str = "") -> None:
    """A line of progress. style: one of rich's, such as "bold"."""
    err.print(printable(message), style=style or None)


def address(place: object) -> None:
    """A line that is never broken: an address or a path, to be clicked or copied."""
    err.print(f"  {printable(place)}", soft_wrap=True)


def error(message: str) -> None:
    """A message whose lines are not broken, so that what it names can be copied."""
    err.print(Text.assemble(("error", "bold red"), f": {printable(message)}"), soft_wrap=True)


def fail(message: str, code: int) -> None:
    """A message on stderr and the exit code."""
    error(message)
    if any(thread.name.startswith(lance_retry.LEFT_BEHIND) for thread in threading.enumerate()):
        # It waits for a silent store inside Lance, and would abort the interpreter's own end.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    grid = Table(title=printable(title) or None, title_justify="left")
    for name in rows[0] if rows else ():
        grid.add_column(printable(name), overflow="fold")
    for row in rows:
        grid.add_row(*(printable(_plain(value)) for value in row.values()))
    return grid


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping) and set(value) >= _METRIC:
        over = f" over {value['classes']}" if value.get("classes") else ""
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]{over}"
    if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
        return "\n".join(f"{key}: {_row(inner)}" for key, inner in value.items())
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(_row(inner) for inner in value)
    return str(value)


def _row(value: Any) -> str:
    if isinstance(value, Mapping):
        filled = {key: inner for key, inner in value.items() if inner != ""}
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in filled.items())
    return _plain(value)
