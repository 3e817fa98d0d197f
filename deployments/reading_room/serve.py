"""Start the reading room: by the stack, on a socket that is handed over."""

import gc
import os
import socket
import sys
from contextlib import suppress
from importlib import import_module
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deployments import console
from deployments.service import serve as service
from deployments.service.config import MOST_BYTES
from deployments.stack import guard, processes
from neuro import people
from neuro.errors import ServerError
from neuro.people import Person
from tasks.load import release_data
from tasks.runtime import settings

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from deployments.reading_room.backend import Servers

_GRACE_S = 5
_MAIN = Path(__file__).with_name("main.py")


def application(
    servers: "Servers", home: Path, lake: str | None, port: int, public_url: str = ""
) -> "ASGIApp":
    """Everything behind the port, guarded. The account that starts it signs in as an admin.

    public_url: what browsers call a proxy before it, "" for none.
    """
    import streamlit as st
    from starlette.middleware import Middleware

    from deployments.reading_room import installed, oidc
    from deployments.reading_room.backend import Installation
    from deployments.reading_room.entrance import Entrance
    from deployments.reading_room.reports import card_route, report_route
    from deployments.reading_room.sessions import Sessions
    from deployments.reading_room.sign_in import SignInPage
    from deployments.service.directory import Directory
    from deployments.service.passwords import Passwords
    from deployments.service.vetting import Vetting

    provider = oidc.read(home / settings.OIDC)
    _configure(port, public_url)
    secret = settings.load().credentials.partition(":")[2]
    hashed = people.hashed(secret) if secret else ""
    owner = Person(name=settings.user(), role="admin", password=hashed)
    directory = Directory(home / settings.PEOPLE, owner)
    is_secure = public_url.startswith("https:")
    host = "__Host-" if is_secure else ""  # no neighbour under the same domain can set it
    sessions = Sessions(directory, cookie=f"{host}neuro_reading_room_{port}")
    here = Installation(
        lake=release_data.open_lake(lake),
        home=home,
        servers=servers,
        token=service.token_of(home / settings.SERVICE_TOKEN),
        vetting=Vetting(home / "scratch" / "reading-room", 1, file_bytes=MOST_BYTES),
        directory=directory,
    )
    installed.install(here)
    page = SignInPage(
        sessions,
        Passwords(directory),
        has_provider=provider is not None,
        is_secure=is_secure,
    )
    routes = [
        *page.routes(),
        report_route(home, here),
        card_route(home),
    ]
    if provider:
        address = public_url or f"http://{processes.HOST}:{port}"
        routes += oidc.SingleSignOn(provider, page, directory, address).routes()
    app = st.App(
        _MAIN,
        routes=routes,
        middleware=[Middleware(Entrance, sessions=sessions, has_provider=provider is not None)],
    )
    return guard.Guard(app, port=port, address=public_url)


def prepared(app: "ASGIApp") -> "uvicorn.Server":
    """The server of an application."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )


def _configure(port: int, public_url: str) -> None:
    """Streamlit's options, in this process alone."""
    from streamlit import config

    from deployments.reading_room.entrance import HEADER

    options = {
        "server.headless": True,
        "server.address": processes.HOST,
        "server.port": port,
        "server.allowedHosts": [*guard.NAMES, *filter(None, [urlsplit(public_url).hostname])],
        "server.fileWatcherType": "none",
        "server.maxUploadSize": MOST_BYTES >> 20,
        "server.trustedUserHeaders": {HEADER: "name"},
        "server.enableXsrfProtection": True,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "theme.light.primaryColor": "#0b5cad",
        "theme.light.backgroundColor": "#ffffff",
        "theme.light.secondaryBackgroundColor": "#eef2f6",
        "theme.light.textColor": "#16202a",
        "theme.dark.primaryColor": "#2a74c4",
        "theme.dark.linkColor": "#8cc4ff",
        "theme.dark.backgroundColor": "#0f1419",
        "theme.dark.secondaryBackgroundColor": "#1c252e",
        "theme.dark.textColor": "#e8edf2",
    }
    for name, value in options.items():
        config.set_option(name, value)


def run(listener: socket.socket) -> None:
    """Serve until a signal ends it. Raises ServerError where it does not start."""
    from deployments.reading_room.backend import Servers

    here = settings.load()
    os.environ.update(settings.around_proxy())
    getLogger("streamlit").setLevel(ERROR)
    servers = Servers(
        service=here.service_url,
        prefect=here.prefect_api_url or "",
        mlflow=here.mlflow_tracking_uri or "",
    )
    import_module("deployments.reading_room.main")
    server = prepared(
        application(servers, here.home, None, processes.port_of(listener), here.room_public_url)
    )
    gc.freeze()  # Streamlit collects after each run of a page: 0.2 s, with all that is imported
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        raise ServerError("the reading room did not start; its log says why")


def from_stack() -> None:
    """What ``neuro up`` starts: on the socket that is the standard input."""
    os.umask(settings.PRIVATE)
    console.start_logging()
    run(socket.socket(fileno=os.dup(sys.stdin.fileno())))


if __name__ == "__main__":
    from_stack()
