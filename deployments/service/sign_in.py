"""Who asks: a bearer token or a password of the file of people, before a byte of a body is read."""

import base64
import time
from collections.abc import Callable
from logging import getLogger

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.service.directory import Directory
from deployments.service.passwords import Passwords, TooManyGuesses, seconds_until_room
from neuro.errors import ConfigError
from neuro.people import Person

OPEN = ("/healthz", "/readyz")  # say nothing but that a service is there, and whether it can answer
_log = getLogger(__name__)

PERSON, STARTED = "person", "started"  # in the state of a request
FOR = "x-neuro-person"  # the header by which an admin's program asks in another person's name
ASKS = "reader"  # the role that every POST needs: refused before a byte of its body is read


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
        self._passwords = Passwords(directory)

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
            after = await seconds_until_room(self._limiter, self._rate, "asked", person.name)
            answer = _refused(429, f"at most {self._rate}, of requests")
            answer.headers["retry-after"] = str(after)
            return answer
        scope.setdefault("state", {}).update({PERSON: person, STARTED: time.perf_counter()})
        return None

    def _in_the_name_of(self, name: str, asking: Person) -> Person | JSONResponse:
        """Whom an admin's program asks for, with the role of that person and no more."""
        if not asking.may("admin"):
            return _refused(403, f"{asking.name} is a {asking.role}; {FOR} needs an admin")
        person = self._directory.named(name)
        return person or _refused(403, f"{FOR} names nobody of the file of people")

    async def _by_password(self, given: str) -> Person | JSONResponse | None:
        try:
            name, colon, password = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            return None
        if not colon:
            return None
        try:
            return await self._passwords.person(name, password)
        except TooManyGuesses as guesses:
            answer = _refused(429, guesses.why)
            if guesses.after_s is not None:
                answer.headers["retry-after"] = str(guesses.after_s)
            return answer


def person_of(request: Request) -> Person:
    """Who asks."""
    person: Person = request.scope["state"][PERSON]
    return person


def _refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"detail": why}, status)
