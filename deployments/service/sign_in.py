"""Who asks: a bearer token or a password of the file of people, before a byte of a body is read."""

import asyncio
import base64
import hashlib
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from neuro import people
from neuro.errors import ConfigError
from neuro.people import Person

OPEN = ("/healthz", "/readyz")  # say nothing but that a service is there, and whether it can answer
PERSON = "person"  # in the state of a request
STARTED = "started"
_FAILURES = parse("20/minute")  # wrong tokens and passwords, of one address
_REMEMBERED = 256  # passwords that were right, by digest, until the file of people changes


class Directory:
    """The people of a file as it is now, and one more whose token lies in a file of its own."""

    def __init__(self, path: Path, owner: Person | None = None) -> None:
        self._path, self._owner = path, owner
        self._seen: object = None
        self._people: Mapping[str, Person] = {}
        self._by_token: dict[str, Person] = {}
        self._right: dict[str, str] = {}
        self._refresh()

    def by_token(self, token: str) -> Person | None:
        """Whose token it is."""
        self._refresh()
        return self._by_token.get(people.digest(token))

    def by_password(self, name: str, password: str) -> Person | None:
        """Who it is; takes 50 ms the first time."""
        self._refresh()
        key = hashlib.sha256(f"{name}\0{password}".encode()).hexdigest()
        if key in self._right:
            return self._people.get(self._right[key])
        person = self._people.get(name)
        if not people.is_password(person, password):
            return None
        if len(self._right) < _REMEMBERED:
            self._right[key] = name
        return person

    def _refresh(self) -> None:
        """Read the file again where it has changed: who was removed may ask nothing from now on."""
        try:
            facts = os.lstat(self._path)
            seen: object = (facts.st_ino, facts.st_mtime_ns, facts.st_size, facts.st_mode)
        except FileNotFoundError:
            seen = None
        if seen == self._seen and self._by_token:
            return
        known = people.read(self._path)
        everybody = [*known.values(), *([self._owner] if self._owner else [])]
        self._by_token = {token: each for each in everybody for token in each.tokens}
        self._people, self._right, self._seen = known, {}, seen


class SignIn:
    """An ASGI application that lets through who is known, as often as the rate allows.

    rate: requests of one person, such as ``600/minute``.
    """

    def __init__(self, app: ASGIApp, directory: Directory, rate: RateLimitItem) -> None:
        self._app, self._directory, self._rate = app, directory, rate
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 to who is not known, 429 to who asks too often."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in OPEN):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # a web socket, of which there is none: it is closed
        answer = await self._refusal(scope)
        await (answer or self._app)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        address = (scope.get("client") or ("",))[0]
        if not await self._limiter.test(_FAILURES, "failed", address):
            return await self._later(_FAILURES, "failed", address)
        try:
            person = await self._person(Headers(scope=scope).get("authorization", ""))
        except ConfigError:
            return _refused(503, "the file of people cannot be used; `neuro users list` says why")
        if person is None:
            await self._limiter.hit(_FAILURES, "failed", address)
            answer = _refused(
                401, "send Authorization: Bearer TOKEN; `neuro users token NAME` makes one"
            )
            answer.headers["www-authenticate"] = 'Bearer realm="neuro"'
            return answer
        if not await self._limiter.hit(self._rate, "asked", person.name):
            return await self._later(self._rate, "asked", person.name)
        scope.setdefault("state", {}).update({PERSON: person, STARTED: time.perf_counter()})
        return None

    async def _person(self, header: str) -> Person | None:
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer":
            return self._directory.by_token(given.strip())
        if scheme.lower() != "basic":
            return None
        try:
            name, colon, password = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            return None
        if not colon:
            return None
        return await asyncio.to_thread(self._directory.by_password, name, password)

    async def _later(self, rate: RateLimitItem, *who: str) -> JSONResponse:
        at, _ = await self._limiter.get_window_stats(rate, *who)
        answer = _refused(429, f"at most {rate}")
        answer.headers["retry-after"] = str(max(1, math.ceil(at - time.time())))
        return answer


def person_of(request: Request) -> Person:
    """Who asks."""
    person: Person = request.scope["state"][PERSON]
    return person


def _refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"detail": why}, status)
