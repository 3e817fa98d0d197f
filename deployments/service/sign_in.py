"""Who asks: a bearer token or a password of the file of people, before a byte of a body is read."""

import asyncio
import base64
import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from logging import getLogger
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
_log = getLogger(__name__)

PERSON, STARTED = "person", "started"  # in the state of a request
FOR = "x-neuro-person"  # the header by which an admin's program asks in another person's name
ASKS = "reader"  # the role that every POST needs: refused before a byte of its body is read
_GUESSES = parse("20/minute")  # passwords of one name
_HASHING = 4  # passwords that are checked or wait, at most
_REMEMBERED = 256  # passwords that were right, by digest, until the file of people changes


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What the file held when it was read last. seen: what tells it from a later one.

    right: names by the digest of a password that was found right.
    """

    seen: object
    people: Mapping[str, Person]
    by_token: Mapping[str, Person]
    right: dict[str, str] = field(default_factory=dict)


class Directory:
    """The people of a file as it is now, and one more whose token lies in a file of its own."""

    def __init__(self, path: Path, owner: Person | None = None) -> None:
        self._path, self._owner = path, owner
        self._lock = threading.Lock()
        self._kept: _Known | None = None
        self._known()

    def by_token(self, token: str) -> Person | None:
        """Whose token it is."""
        return self._known().by_token.get(people.digest(token))

    def named(self, name: str) -> Person | None:
        """Who has this name, as they are now."""
        if self._owner is not None and self._owner.name == name:
            return self._owner
        return self._known().people.get(name)

    def remembered(self, name: str, password: str) -> Person | None:
        """Who it is, where the password was found right before."""
        known = self._known()
        return known.people.get(known.right.get(_digest(name, password), ""))

    def by_password(self, name: str, password: str) -> Person | None:
        """Who it is; takes 50 ms, and 64 MB."""
        known = self._known()
        person = known.people.get(name)
        if not people.is_password(person, password):
            return None
        if len(known.right) < _REMEMBERED:
            known.right[_digest(name, password)] = name
        return person

    def _known(self) -> _Known:
        """Read the file again where it has changed: who was removed may ask nothing from now on."""
        try:
            facts = os.lstat(self._path)
            seen: object = (facts.st_ino, facts.st_mtime_ns, facts.st_size, facts.st_mode)
        except FileNotFoundError:
            seen = None
        with self._lock:
            if self._kept is None or self._kept.seen != seen:
                self._kept = None  # what cannot be read lets nobody in
                known = people.read(self._path)
                everybody = [*known.values(), *([self._owner] if self._owner else [])]
                by_token = {token: each for each in everybody for token in each.tokens}
                self._kept = _Known(seen=seen, people=known, by_token=by_token)
            return self._kept


def _digest(name: str, password: str) -> str:
    return hashlib.sha256(f"{name}\0{password}".encode()).hexdigest()


class SignIn:
    """An ASGI application that lets through who is known, as often as the rate allows.

    rate: requests of one person, such as ``600/minute``. observe: told the status of each refusal.
    """

    def __init__(
        self,
        app: ASGIApp,
        directory: Directory,
        rate: RateLimitItem,
        observe: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._app, self._directory, self._rate, self._observe = app, directory, rate, observe
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._has_warned = False
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._n_hashing = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 to who is not known, 429 to who asks too often."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in OPEN):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # a web socket, of which there is none: it is closed
        answer = await self._refusal(scope)
        if answer is not None:
            self._observe(answer.status_code)
        await (answer or self._app)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() == "basic":
                person = await self._by_password(given)
            else:
                person = self._directory.by_token(given.strip()) if scheme else None
            if isinstance(person, Person) and FOR in headers:
                person = self._in_the_name_of(headers[FOR], person)
        except ConfigError as error:
            if not self._has_warned:
                _log.warning("nobody gets in: %s", error)
            self._has_warned = True
            return _refused(503, "the file of people cannot be used; `neuro users list` says why")
        if isinstance(person, JSONResponse):
            return person
        if person is None:
            how = "send Authorization: Bearer TOKEN; `neuro users token NAME` makes one"
            answer = _refused(401, how)
            answer.headers["www-authenticate"] = 'Bearer realm="neuro"'
            return answer
        if scope["method"] == "POST" and not person.may(ASKS):
            return _refused(403, f"{person.name} is a {person.role}; this needs a {ASKS}")
        if not await self._limiter.hit(self._rate, "asked", person.name):
            return await self._later(self._rate, "asked", person.name, what="requests")
        scope.setdefault("state", {}).update({PERSON: person, STARTED: time.perf_counter()})
        return None

    def _in_the_name_of(self, name: str, asking: Person) -> Person | JSONResponse:
        """Whom an admin's program asks for, with the role of that person and no more."""
        if not asking.may("admin"):
            return _refused(403, f"{asking.name} is a {asking.role}; {FOR} needs an admin")
        person = self._directory.named(name)
        return person or _refused(403, f"{FOR} names nobody of the file of people")

    async def _by_password(self, given: str) -> Person | JSONResponse | None:
        """Guesses are counted before they are checked: many at once are no more than one by one."""
        try:
            name, colon, password = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            return None
        if not colon:
            return None
        if person := self._directory.remembered(name, password):
            return person
        if not await self._limiter.hit(_GUESSES, "guessed", name):
            return await self._later(
                _GUESSES, "guessed", name, what="wrong passwords for this name"
            )
        if self._n_hashing >= _HASHING:
            return _refused(429, "too many passwords are being checked; ask again")
        self._n_hashing += 1
        try:
            loop = asyncio.get_running_loop()
            check = self._directory.by_password
            return await loop.run_in_executor(self._hashing, check, name, password)
        finally:
            self._n_hashing -= 1

    async def _later(self, rate: RateLimitItem, *who: str, what: str) -> JSONResponse:
        at, _ = await self._limiter.get_window_stats(rate, *who)
        answer = _refused(429, f"at most {rate}, of {what}")
        answer.headers["retry-after"] = str(max(1, math.ceil(at - time.time())))
        return answer


def person_of(request: Request) -> Person:
    """Who asks."""
    person: Person = request.scope["state"][PERSON]
    return person


def _refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"detail": why}, status)
