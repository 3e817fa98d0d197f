"""A body that is too large, or too slow, is refused by its header or at the byte that is too many.

Plain ASGI, and no ``BaseHTTPMiddleware``: there what ``receive`` raises comes back as a group of
exceptions, and the client reads 500. After a refusal some more is read and dropped: a socket that
is closed with unread bytes is reset, and many clients then never see the answer.
"""

import asyncio
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FORM = "multipart/form-data"
_TEXT_BYTES = 64 << 10  # of a body that is no form
_DROPPED, _DROPPING_S = 64 << 20, 2.0  # bytes, and how long they are waited for
_CLOSE = {"connection": "close"}
_BUSY = "too much is being sent at once; ask again"


@dataclass(slots=True)
class _Body:
    """What has arrived of one. is_refused: what follows is dropped."""

    most: int
    end: float
    n_read: int = 0
    is_refused: bool = False
    is_whole: bool = False

    def refusal(self, status: int, why: str) -> HTTPException:
        """To be raised: no more of it is taken."""
        self.is_refused = True
        later = {"retry-after": "1"} if status == 429 else {}
        return HTTPException(status, why, {**_CLOSE, **later})


class BodyLimit:
    """An ASGI application whose requests bring so many bytes at most, one by one and together.

    most: of one form. together: of all that have arrived and are not answered yet. seconds: for a
    body to arrive.
    """

    def __init__(self, app: ASGIApp, *, most: int, together: int, seconds: float) -> None:
        self._app, self._most, self._together, self._seconds = app, most, together, seconds
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 to what is too large, 429 while too much is under way, 408 to what is late."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_form = headers.get("content-type", "").lower().startswith(FORM)
        most = self._most if is_form else _TEXT_BYTES
        length = headers.get("content-length", "")
        size = int(length) if length.isdecimal() else 0
        if size > most:
            await _refuse(413, _too_large(most), scope, receive, send)
            return
        if self._held + size > self._together:
            await _refuse(429, _BUSY, scope, receive, send)
            return
        body = _Body(most=most, end=asyncio.get_running_loop().time() + self._seconds)
        try:
            await self._app(scope, *self._watched(body, receive, send))
        finally:
            self._held -= body.n_read

    def _watched(self, body: _Body, receive: Receive, send: Send) -> tuple[Receive, Send]:
        async def counted() -> Message:
            if body.is_whole:  # what is waited for now is that the client goes
                return await receive()
            try:
                async with asyncio.timeout_at(body.end):
                    message = await receive()
            except TimeoutError:
                raise body.refusal(408, "the body did not arrive in time") from None
            size = len(message.get("body", b""))
            body.n_read += size
            self._held += size  # what has not arrived takes no place from others
            body.is_whole = not message.get("more_body", False)
            if body.n_read > body.most:
                raise body.refusal(413, _too_large(body.most))
            if self._held > self._together:
                raise body.refusal(429, _BUSY)
            return message

        async def answering(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if body.is_refused and is_last:
                await send({**message, "more_body": True})
                await _drop(receive)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        return counted, answering


def _too_large(most: int) -> str:
    size = f"{most >> 20} MB" if most >> 20 else f"{most >> 10} KB"
    return f"at most {size} a request; send fewer images, or smaller ones"


async def _refuse(status: int, why: str, scope: Scope, receive: Receive, send: Send) -> None:
    later = {"retry-after": "1"} if status == 429 else {}

    async def answering(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send({**message, "more_body": True})
            await _drop(receive)
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    answer = JSONResponse({"detail": why}, status, {**_CLOSE, **later})
    await answer(scope, receive, answering)


async def _drop(receive: Receive) -> None:
    left = _DROPPED
    try:
        async with asyncio.timeout(_DROPPING_S):
            while left > 0 and (message := await receive()).get("more_body"):
                left -= len(message.get("body", b""))
    except TimeoutError:
        pass
