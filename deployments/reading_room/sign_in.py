"""The page where a person signs in, and the routes around it."""

import re
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from deployments.reading_room import words
from deployments.reading_room.entrance import HEALTH, SESSION, SIGN_IN, SIGN_OUT, token_of
from deployments.reading_room.sessions import Sessions
from deployments.service.passwords import Passwords, TooManyGuesses
from neuro.errors import ConfigError

_MOST_BYTES = 4096  # of the form
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

    def __init__(self, sessions: Sessions, passwords: Passwords) -> None:
        self._sessions, self._passwords = sessions, passwords
        jinja = Environment(
            loader=PackageLoader("deployments.reading_room"),
            autoescape=True,
            undefined=StrictUndefined,
        )
        self._template = jinja.get_template("sign_in.html")

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
        return self._page(request.query_params.get("to", ""))

    async def _sign_in(self, request: Request) -> Response:
        raw = b""
        async for part in request.stream():
            raw += part
            if len(raw) > _MOST_BYTES:
                return self._page(said=words.SIGN_IN_TOO_LONG, status=413)
        form = parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True)
        name, password, to = (form.get(field, [""])[0] for field in ("name", "password", "to"))
        try:
            person = await self._passwords.person(name.strip(), password)
        except TooManyGuesses as guesses:
            said = words.sign_in_later(guesses.after_s)
            return self._page(to, said, 429)
        except ConfigError:
            return self._page(to, words.SIGN_IN_NO_PEOPLE, 503)
        if person is None:
            return self._page(to, words.SIGN_IN_WRONG, 401)
        self._sessions.end(token_of(request.scope, self._sessions))
        answer = RedirectResponse(to if _PLACE.fullmatch(to) else "/", 303)
        token = self._sessions.begin(person)
        is_secure = request.url.scheme == "https"
        answer.set_cookie(
            self._sessions.cookie, token, httponly=True, samesite="strict", secure=is_secure
        )
        return answer

    async def _sign_out(self, request: Request) -> Response:
        self._sessions.end(token_of(request.scope, self._sessions))
        answer = RedirectResponse(SIGN_IN, 303)
        answer.delete_cookie(self._sessions.cookie, httponly=True, samesite="strict")
        return answer

    async def _session(self, request: Request) -> Response:
        """How long the session lasts; asking does not make it last longer."""
        left = self._sessions.left_s(token_of(request.scope, self._sessions))
        return JSONResponse({"left_s": round(left)}, 200 if left else 401)

    async def _touch(self, request: Request) -> Response:
        """A key or a click in a page, of which the server would hear nothing."""
        self._sessions.touch(token_of(request.scope, self._sessions))
        return await self._session(request)

    def _page(self, to: str = "", said: str = "", status: int = 200) -> Response:
        to = to if _PLACE.fullmatch(to) else ""
        page = self._template.render(words=words, said=said, to=to, action=SIGN_IN)
        return HTMLResponse(page, status, _SAFE)


async def _healthy(_: Request) -> Response:
    return JSONResponse({"alive": True})
