"""Sign-in with an institution's own accounts: OpenID Connect, a code for a token, with PKCE.

The provider says who it is; whether they are let in, and as what, stands in the file of people.
"""

import asyncio
import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from logging import getLogger
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from authlib.integrations.starlette_client import OAuth
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from deployments.reading_room import words
from deployments.reading_room.entrance import OIDC, OIDC_BACK, SIGN_IN
from deployments.reading_room.sign_in import SignInPage, place
from deployments.service.directory import Directory
from neuro import limits
from neuro.errors import ConfigError

_ISSUER = re.compile(
    r"https://[a-z0-9.-]+(:\d+)?(/[!-~]*)?|http://(127\.0\.0\.1|localhost)(:\d+)?(/[!-~]*)?"
)
_log = getLogger("deployments.reading_room")
_WAIT_S = 20.0  # for all that is asked of the provider at one click
_AWAY_S = 600  # from our page to the provider's and back


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """An identity provider. claim: what of its ID token is the name in the file of people.

    An address by mail counts only where the provider says that it is verified.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    claim: str = "email"


def read(path: Path) -> Provider | None:
    """The provider that a TOML file names, None without one.

    Raises ConfigError where other accounts may read or write the file, or it says something else.
    """
    if not os.path.lexists(path):
        return None
    limits.require_private(path, f"run chmod 600 {path}, and have the provider make a new secret")
    try:
        provider = Provider(**tomllib.loads(limits.text_of(path, f"OIDC file {path}")))
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"{path} must hold issuer, client_id, client_secret and, if it is not email, claim "
            f"({error}); see docs/reading-room.md"
        ) from error
    for name in Provider.__slots__:
        value = getattr(provider, name)
        if not isinstance(value, str) or not value or value != value.strip():
            raise ConfigError(f"{name} in {path} must be a text, without spaces around it")
    if not _ISSUER.fullmatch(provider.issuer):
        raise ConfigError(f"issuer in {path} must begin with https://, got {provider.issuer!r}")
    return provider


class _NotBelievedError(ValueError):
    """The provider's answer does not say who it is."""


class SingleSignOn:
    """The routes to the provider and back. address: where browsers find the room."""

    def __init__(
        self, provider: Provider, page: SignInPage, directory: Directory, address: str
    ) -> None:
        self._provider, self._page, self._directory = provider, page, directory
        self._address = address
        self._cookie = Middleware(
            SessionMiddleware,
            secret_key=secrets.token_urlsafe(32),
            session_cookie=f"{page.sessions.cookie.replace('__Host-', '__Secure-')}_oidc",
            path=SIGN_IN,
            same_site="lax",  # it comes back from the provider's page
            https_only=address.startswith("https:"),
            max_age=_AWAY_S,
        )
        self._client = OAuth().register(
            "provider",
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            server_metadata_url=f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid email profile",
                "code_challenge_method": "S256",
                "timeout": _WAIT_S / 2,
            },
        )

    def routes(self) -> list[Route]:
        """All of them."""
        around = [self._cookie]
        return [
            Route(OIDC, self._begin, methods=["GET"], middleware=around),
            Route(OIDC_BACK, self._end, methods=["GET"], middleware=around),
        ]

    async def _begin(self, request: Request) -> Response:
        """To the provider's page, with a state that only this browser can bring back."""
        to = place(request.query_params.get("to", ""))
        if request.headers["host"] != urlsplit(self._address).netloc:  # its cookies are not seen
            return RedirectResponse(f"{self._address}{OIDC}?to={quote(to, safe='')}", 303)
        request.session["to"] = to
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._check_metadata()
                answer: Response = await self._client.authorize_redirect(
                    request, f"{self._address}{OIDC_BACK}"
                )
        except Exception as error:  # noqa: BLE001 - whatever a provider answers, or its certificate
            _log.warning("the identity provider is not reached: %s", _said(error))
            return self._page.shown(to, words.SIGN_IN_PROVIDER_AWAY, 503)
        return answer

    async def _end(self, request: Request) -> Response:
        """Back from there: who it is, if the answer is the one that was asked for."""
        to = str(request.session.get("to", ""))
        try:
            async with asyncio.timeout(_WAIT_S):
                name = self._name(await self._claims(request))
        except Exception as error:  # noqa: BLE001 - whatever a provider answers
            _log.warning("a sign-in by the identity provider failed: %s", _said(error))
            return self._page.shown(to, words.SIGN_IN_PROVIDER_FAILED, 401)
        request.session.clear()
        try:
            person = self._directory.listed(name)
        except ConfigError:
            return self._page.shown(to, words.SIGN_IN_NO_PEOPLE, 503)
        if person is None:
            return self._page.shown(to, words.sign_in_unknown(ascii(name)[1:-1]), 403)
        return self._page.let_in(request, person, to, is_by_provider=True)

    async def _claims(self, request: Request) -> Mapping[str, Any]:
        """What a signed ID token says, made for this client and for this sign-in."""
        await self._check_metadata()
        self._client.server_metadata.pop("jwks", None)  # the provider's keys of now
        must = {
            "iss": {"essential": True, "value": self._client.server_metadata["issuer"]},
            "aud": {"essential": True, "value": self._provider.client_id},
        }
        token = await self._client.authorize_access_token(request, claims_options=must)
        if not token.get("id_token"):
            raise _NotBelievedError("it sent no ID token")
        claims: Mapping[str, Any] = token["userinfo"]
        return claims

    async def _check_metadata(self) -> None:
        """What the provider says of itself, asked for once; it must be the provider named."""
        metadata = await self._client.load_server_metadata()
        if str(metadata.get("issuer")).rstrip("/") != self._provider.issuer.rstrip("/"):
            name = metadata.get("issuer")
            self._client.server_metadata.clear()  # asked again at the next click
            raise _NotBelievedError(f"it calls itself {name!r}")

    def _name(self, claims: Mapping[str, Any]) -> str:
        claim = self._provider.claim
        name = claims.get(claim)
        if not isinstance(name, str) or not name:
            raise _NotBelievedError(f"its ID token has no {claim}")
        if claim == "email" and claims.get("email_verified") is not True:
            raise _NotBelievedError("its email is not verified; another claim can be named")
        return name


def _said(error: Exception) -> str:
    """An error as one line: what a stranger or a provider wrote stays text."""
    return f"{type(error).__name__}: {ascii(str(error))[:300]}"
