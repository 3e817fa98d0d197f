"""Reports as pages: read from the home folder, for who is signed in, and never as one of our own.

A report holds what came from files, so that the browser runs it apart: it sees no cookie of ours.
"""

import asyncio
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from deployments.reading_room import words
from deployments.reading_room.backend import Backend, Installation
from deployments.reading_room.entrance import PERSON
from neuro.people import Person

FOLDER, PLACE, CARDS = "reports", "/reports/", "/cards/"
DRIFT = "drift"  # a kind
_SHORT = 16  # characters of a digest by which a card is named
_DIGEST = re.compile(f"[0-9a-f]{{{_SHORT}}}")
_NAME = re.compile(r"(?!.*(?:^|/)\.)[\w./ -]+\.html")  # no hidden part, nothing above
_APART = "sandbox allow-scripts allow-popups; default-src 'none'; img-src data: blob:; "
_APART += "style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval' blob: data:; "
_APART += "font-src data:; frame-ancestors 'self'"

_HEADERS = {
    "content-security-policy": _APART,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def report_route(home: Path, here: Installation) -> Route:
    """GET /reports/NAME."""

    async def show(request: Request) -> Response:
        path = found(home, request.path_params["name"])
        if path is None:
            return PlainTextResponse("no such report\n", 404)
        person: Person = request.scope["state"][PERSON]
        is_open = await asyncio.to_thread(_may_open, here, person.name, path)
        if not is_open:
            return PlainTextResponse(f"{words.REPORT_UNREAD}\n", 403)
        return FileResponse(path, media_type="text/html", headers=_HEADERS)

    return Route(f"{PLACE}{{name:path}}", show, methods=["GET"])


def _may_open(here: Installation, name: str, path: Path) -> bool:
    return Backend(here, name).may_open(path.read_bytes())


def card_route(home: Path) -> Route:
    """GET /cards/DIGEST, the beginning of a package's: its card, which names no image."""

    async def show(request: Request) -> Response:
        path = _card(home, request.path_params["digest"])
        if path is None:
            return PlainTextResponse("no such card\n", 404)
        return FileResponse(path, media_type="text/html", headers=_HEADERS)

    return Route(f"{CARDS}{{digest}}", show, methods=["GET"])


def card_place(home: Path, digest: str) -> str:
    """The address of a package's card, "" where it has none here."""
    return f"{CARDS}{digest[:_SHORT]}" if _card(home, digest[:_SHORT]) else ""


def _card(home: Path, digest: str) -> Path | None:
    path = home / "packages" / f"{digest}-card.html"
    return path if _DIGEST.fullmatch(digest) and path.is_file() else None


def found(home: Path, name: str) -> Path | None:
    """The page of this name below the folder of reports; None for anything else."""
    folder = (home / FOLDER).resolve()
    if not _NAME.fullmatch(name):
        return None
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder) and path.is_file() else None


def all_of(home: Path) -> list[tuple[str, Path]]:
    """Kind and path of every page, the newest first; those in no folder are of drift."""
    folder = home / FOLDER
    pages = [path for path in folder.rglob("*.html") if not path.name.startswith(".")]
    pages.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    places = [path.relative_to(folder).parts for path in pages]
    return [
        (parts[0] if parts[1:] else DRIFT, path) for parts, path in zip(places, pages, strict=True)
    ]


def place_of(home: Path, path: Path) -> str:
    """Its address here, "" where it is no report of this home."""
    folder = (home / FOLDER).resolve()
    path = path.resolve()
    return f"{PLACE}{path.relative_to(folder)}" if path.is_relative_to(folder) else ""
