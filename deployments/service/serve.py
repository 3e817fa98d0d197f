"""Start the service: alone by ``neuro serve``, or by the stack on a socket that is handed over."""

import gc
import os
import secrets
import socket
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING

from deployments import console
from deployments.service.config import ServiceConfig
from deployments.stack import processes, servers
from neuro import limits, people
from neuro.errors import ConfigError, ServerError
from neuro.people import Person
from tasks.load import release_data
from tasks.runtime import settings

if TYPE_CHECKING:
    import uvicorn

_GRACE_S = 8  # for what was asked; `neuro down` ends it after ten
_SWITCH_S = 0.0005  # in which a thread lets another work: the one that talks waits for no picture

Report = Callable[[str], None]


def run(config: ServiceConfig, report: Report, listener: socket.socket | None = None) -> None:
    """Serve until a signal ends it; what was asked by then is answered.

    listener: a socket that listens, else one is made. Raises ConfigError for a people or token file
    that others may read, and for a package that cannot be used; ServerError for a taken port.
    """
    here = settings.load()
    if not config.models and not here.mlflow_tracking_uri:
        raise ServerError(
            "no MLflow server is known in this folder, which has the champions; start it with "
            "`neuro up`, or give --model PACKAGE"
        )
    os.environ.update(
        {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
            "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
            **settings.around_proxy(),
            **settings.mlflow_secrets(here.mlflow_credentials),
        }
    )
    with ExitStack() as closing:
        if listener is None:
            listener = closing.enter_context(processes.listening(config.port, servers.SERVICE_PORT))
        path = config.token_file or here.home / settings.SERVICE_TOKEN
        token = token_of(path)
        server = prepared(config, processes.port_of(listener), token, here.home)
        url = f"http://{processes.HOST}:{processes.port_of(listener)}"
        report(f"images are answered at {url}/v1/predictions")
        report(f"the token of this account lies in {path}")
        gc.freeze()  # what is imported is walked through no more, 0.2 s each time
        with suppress(KeyboardInterrupt):  # it has finished what was asked
            server.run(sockets=[listener])
        if not server.started:
            raise ServerError("the service did not start; its log says why")
        report("the service has ended")


def prepared(config: ServiceConfig, port: int, token: str, home: Path) -> "uvicorn.Server":
    """The server, with everything behind it. token: of the account that starts it."""
    import uvicorn  # with all that follows it takes seconds to import

    from deployments.service import app, connections
    from deployments.service.directory import Directory
    from deployments.service.service import Service

    connections.raise_limit()
    warnings.filterwarnings("ignore", "lance is not fork-safe")  # nothing is forked here
    getLogger("urllib3").setLevel(ERROR)  # a server that is away is said once, by us
    sys.setswitchinterval(_SWITCH_S)
    owner = Person(name=settings.user(), role="admin", tokens=(people.digest(token),))
    directory = Directory(home / settings.PEOPLE, owner)
    service = Service(config, release_data.open_lake(config.lake), home)
    if config.models:
        service.models.refresh()  # what cannot be used is said before anybody asks
    return uvicorn.Server(
        uvicorn.Config(
            app.guarded(service, directory, port),
            log_level="warning",
            access_log=False,
            server_header=False,
            http=connections.BoundedConnection,
            h11_max_incomplete_event_size=connections.HEAD_BYTES,
            ws="none",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )


def token_of(path: Path) -> str:
    """The token in a file, made where there is none; for its owner alone. Raises ConfigError."""
    with limits.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.path.lexists(path):
            return _read(path)
        token = f"neuro_{secrets.token_urlsafe(32)}"
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(f"{token}\n")
            # Whole or not at all: the reading room, started beside it, reads or makes it, too.
            os.link(scratch, path)
        except FileExistsError:
            return _read(path)
        finally:
            scratch.unlink()
    return token


def _read(path: Path) -> str:
    limits.require_private(path, "remove it: a new token is made at the next start")
    token = limits.text_of(path, f"token file {path}").strip()
    if len(token) < 32 or len(token.split()) != 1:
        raise ConfigError(f"{path} holds no token of 32 letters or more; remove it")
    return token


def from_stack() -> None:
    """What ``neuro up`` starts: on the socket that is the standard input."""
    os.umask(settings.PRIVATE)
    console.start_logging()
    listener = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    run(ServiceConfig(), console.say, listener)


if __name__ == "__main__":
    from_stack()
