"""What stands before the two servers: this machine's own pages, and whoever knows the secret.

A web page of anywhere can make a browser send requests to loopback, under a name of its own that
leads there (DNS rebinding) or as a plain form; other accounts of the machine reach it too. So each
request names this server as its host, comes from no foreign page, and carries the secret, which
stands in the stack's file that only its owner may read.
"""

import base64
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tasks.runtime import settings

NAMES = ("127.0.0.1", "localhost")
OPEN = ("/health",)  # says nothing but that a server is there


def hosts(port: int) -> list[str]:
    """What a browser on this machine calls a server on this port."""
    return [f"{name}:{port}" for name in NAMES]


def origins(port: int) -> list[str]:
    """What a browser says of its pages."""
    return [f"http://{host}" for host in hosts(port)]


class Guard:
    """An ASGI application that lets through what may pass, and answers the rest itself.

    credentials: ``user:secret`` of HTTP's basic scheme (RFC 7617); None where the application
    itself asks for them. address: what browsers call a proxy before the server, such as
    https://reading.example; "" for none.
    """

    def __init__(
        self, app: ASGIApp, *, port: int, credentials: str | None = None, address: str = ""
    ) -> None:
        self.app = app
        self.hosts, self.origins = hosts(port), origins(port)
        if address:
            self.hosts.append(urlsplit(address).netloc)
            self.origins.append(address)
        self.credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to a foreign host or page, and 401 to whoever does not know the secret."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if headers.getlist("host") not in [[host] for host in self.hosts]:
            answer = _refuse(403, f"this server is {self._names()} and nothing else")
        elif not set(self.origins).issuperset(headers.getlist("origin")):
            answer = _refuse(403, f"only pages of {self._names()} may ask this server")
        elif _is_of_another_site(headers):
            answer = _refuse(403, "a page of another site may lead here, and not ask")
        elif not self._is_known(headers) and scope["path"] not in OPEN:
            answer = _refuse(401, "`neuro status`, in the folder of the stack, says the password")
            answer.headers["WWW-Authenticate"] = f'Basic realm="neuro, user {settings.USER}"'
        else:
            await self.app(scope, receive, send)
            return
        await answer(scope, receive, send)

    def _is_known(self, headers: Headers) -> bool:
        if self.credentials is None:
            return True
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except ValueError:  # binascii.Error, or a letter that is none of base64
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self.credentials.encode())

    def _names(self) -> str:
        return " and ".join(self.hosts)


def _is_of_another_site(headers: Headers) -> bool:
    """Whether a page elsewhere asks in a way that names no origin, such as for a picture.

    A link that a person follows is no such question (Fetch Metadata). Where there is an origin it
    has been compared: the page at localhost asks the API at 127.0.0.1, which is another site.
    """
    is_elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    is_followed = headers.get("sec-fetch-mode") == "navigate"
    return is_elsewhere and not is_followed and "origin" not in headers


def _refuse(status: int, why: str) -> PlainTextResponse:
    return PlainTextResponse(f"{why}\n", status)
