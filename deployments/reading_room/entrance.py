"""What stands before every page, its pictures and its web socket: only who is signed in gets in.

The name travels to the pages as a header of our own, which ``server.trustedUserHeaders`` gives to
``st.user``; one that a browser sends is removed.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from logging import getLogger
from typing import Any
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.reading_room import words
from deployments.reading_room.sessions import Sessions
from neuro.errors import ConfigError
from neuro.people import Person

HEADER = "x-neuro-reader"
SIGN_IN, SIGN_OUT, SESSION, HEALTH = "/sign-in", "/sign-out", "/session", "/healthz"
OIDC, OIDC_BACK = f"{SIGN_IN}/oidc", f"{SIGN_IN}/oidc/back"
OPEN, OPEN_WITH_PROVIDER = {SIGN_IN, SESSION, HEALTH}, {OIDC, OIDC_BACK}
PERSON = "person"  # in the state of a request
_log = getLogger("deployments.reading_room")
_OVER = 1008  # closes a web socket: a policy is not met (RFC 6455)
_SAFE = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}
_LOOK_S = 3.0  # how often an open web socket is asked whether its session has ended elsewhere


class Entrance:
    """An ASGI application that lets through who is signed in."""

    def __init__(self, app: ASGIApp, sessions: Sessions, *, has_provider: bool = False) -> None:
        self._app, self._sessions = app, sessions
        self._open = OPEN | OPEN_WITH_PROVIDER if has_provider else OPEN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lead a page without a session to the sign-in; refuse everything else."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        token = token_of(scope, self._sessions)
        try:
            person = self._sessions.person(token)
        except ConfigError as error:  # of the file of people: nobody gets in
            _log.warning("nobody gets in: %s", error)
            await PlainTextResponse(f"{words.SIGN_IN_NO_PEOPLE}\n", 503)(scope, receive, send)
            return
        scope = _named(scope, person)
        if scope["type"] == "websocket":
            await self._talk(scope, receive, send, token, person)
        elif person or scope["path"] in self._open:
            await self._app(scope, receive, _safely(send))
        else:
            await _refusal(scope)(scope, receive, send)

    async def _talk(
        self, scope: Scope, receive: Receive, send: Send, token: str, person: Person | None
    ) -> None:
        """Until the session is over: what a person does keeps it, what a page does by itself not.

        A page says nothing by itself over the web socket; it asks SESSION instead.
        """
        if person is None:
            await receive()
            await send({"type": "websocket.close", "code": _OVER})
            return

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                self._sessions.touch(token)
            return message

        async def talking() -> None:
            await self._app(scope, heard, send)

        talk = asyncio.create_task(talking())
        try:
            while not talk.done():
                left = self._sessions.left_s(token)
                if not left:
                    with suppress(RuntimeError):  # it is closed already
                        await send({"type": "websocket.close", "code": _OVER})
                    break
                await asyncio.wait({talk}, timeout=min(left + 0.05, _LOOK_S))
        finally:
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)


def token_of(scope: Scope, sessions: Sessions) -> str:
    """The token that a browser sends, "" for none."""
    return HTTPConnection(scope).cookies.get(sessions.cookie, "")


def _safely(send: Send) -> Send:
    """A page loads nothing from elsewhere, whatever a text in it says, and stands in no frame."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in _SAFE.items():
                headers.setdefault(name, value)
        await send(message)

    return sent


def _named(scope: Scope, person: Person | None) -> dict[str, Any]:
    """The request with the person's name, and without any that the browser gave."""
    ours = HEADER.encode()
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != ours]
    if person:
        headers.append((ours, person.name.encode()))
    state: Mapping[str, Any] = scope.get("state", {})
    return {**scope, "headers": headers, "state": {**state, PERSON: person}}


def _refusal(scope: Scope) -> Response:
    wants_page = any(
        name == b"accept" and b"text/html" in value for name, value in scope["headers"]
    )
    if not (wants_page and scope["method"] == "GET"):
        return JSONResponse({"detail": "sign in"}, 401)
    query = scope["query_string"].decode("ascii", "replace")
    place = f"{scope['path']}?{query}" if query else scope["path"]
    return RedirectResponse(f"{SIGN_IN}?to={quote(place, safe='')}", 303)
