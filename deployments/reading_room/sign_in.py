"""The page where a person signs in, and the routes around it."""

import re
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from deployments.reading_room import words
from deployments.reading_room.entrance import (
    HEALTH,
    OIDC,
    SESSION,
    SIGN_IN,
    SIGN_OUT,
    token_of,
)
from deployments.reading_room.sessions import Sessions
from deployments.service.passwords import Passwords, TooManyGuesses
from neuro.errors import ConfigError
from neuro.people import Person

_MOST_BYTES, _MOST_PLACE = 4096, 1000  # of the form, and of the page that is asked for
_PLACE = re.compile(r"/(?![/\\])[\x21-\x7e]*")  # a page of ours, and of nobody else's
_SAFE = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "same-origin",  # with none a form says that its origin is null
    "x-content-type-options": "nosniff",
}


class SignInPage:
    """The routes of signing in and out."""

    def __init__(
        self,
        sessions: Sessions,
        passwords: Passwords,
        *,
        has_provider: bool = False,
        is_secure: bool = False,
    ) -> None:
        self.sessions, self._passwords = sessions, passwords
        self._has_provider, self._is_secure = has_provider, is_secure
        jinja = Environment(
            loader=PackageLoader("deployments.reading_room"),
            autoescape=True,
            undefined=StrictUndefined,
        )
        self._template = jinja.get_template("sign_in.html")
        self._onward = jinja.get_template("signed_in.html")

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route(SIGN_IN, self._show, methods=["GET"]),
            Route(SIGN_IN, self._sign_in, methods=["POST"]),
            Route(SIGN_OUT, self._sign_out, methods=["POST"]),
            Route(SESSION, self._session, methods=["GET"]),
            Route(SESSION, self._touch, methods=["POST"]),
            Route(HEALTH, _healthy, methods=["GET"]),
        ]

    async def _show(self, request: Request) -> Response:
        return self.shown(request.query_params.get("to", ""))

    async def _sign_in(self, request: Request) -> Response:
        raw = b""
        async for part in request.stream():
            raw += part
            if len(raw) > _MOST_BYTES:
                return self.shown(said=words.SIGN_IN_TOO_LONG, status=413)
        form = parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True)
        name, password, to = (form.get(field, [""])[0] for field in ("name", "password", "to"))
        try:
            person = await self._passwords.person(name.strip(), password)
        except TooManyGuesses as guesses:
            said = words.sign_in_later(guesses.after_s)
            return self.shown(to, said, 429)
        except ConfigError:
            return self.shown(to, words.SIGN_IN_NO_PEOPLE, 503)
        if person is None:
            return self.shown(to, words.SIGN_IN_WRONG, 401)
        return self.let_in(request, person, to)

    async def _sign_out(self, request: Request) -> Response:
        self.sessions.end(token_of(request.scope, self.sessions))
        answer = RedirectResponse(SIGN_IN, 303)
        answer.delete_cookie(
            self.sessions.cookie, httponly=True, samesite="strict", secure=self._is_secure
        )
        return answer

    async def _session(self, request: Request) -> Response:
        """How long the session lasts; asking does not make it last longer."""
        left = self.sessions.left_s(token_of(request.scope, self.sessions))
        return JSONResponse({"left_s": round(left)}, 200 if left else 401)

    async def _touch(self, request: Request) -> Response:
        """A key or a click in a page, of which the server would hear nothing."""
        self.sessions.touch(token_of(request.scope, self.sessions))
        return await self._session(request)

    def let_in(
        self, request: Request, person: Person, to: str, *, is_by_provider: bool = False
    ) -> Response:
        """Begin a session, and lead to a page of ours.

        is_by_provider: another site's page led here; a browser sends our strict cookie only from a
        page of our own, which then leads on.
        """
        self.sessions.end(token_of(request.scope, self.sessions))
        to = place(to) or "/"
        answer: Response = RedirectResponse(to, 303)
        if is_by_provider:
            answer = HTMLResponse(self._onward.render(words=words, to=to), headers=_SAFE)
        answer.set_cookie(
            self.sessions.cookie,
            self.sessions.begin(person, is_by_provider=is_by_provider),
            httponly=True,
            samesite="strict",
            secure=self._is_secure,
        )
        return answer

    def shown(self, to: str = "", said: str = "", status: int = 200) -> Response:
        """The page itself. said: why nobody was let in."""
        to = place(to)
        provider = OIDC if self._has_provider else ""
        page = self._template.render(
            words=words, said=said, to=to, action=SIGN_IN, provider=provider
        )
        return HTMLResponse(page, status, _SAFE)


def place(to: str) -> str:
    """An address of ours that somebody wants to go to, "" for any other."""
    return to if len(to) <= _MOST_PLACE and _PLACE.fullmatch(to) else ""


async def _healthy(_: Request) -> Response:
    return JSONResponse({"alive": True})
