"""A body that is too large, or too slow, is refused by its header or at the byte that is too many.

Plain ASGI, and no ``BaseHTTPMiddleware``: there what ``receive`` raises comes back as a group of
exceptions, and the client reads 500. After a refusal some more is read and dropped: a socket that
is closed with unread bytes is reset, and many clients then never see the answer.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DROPPED, _DROPPING_S = 64 << 20, 2.0  # bytes, and how long they are waited for
_CLOSE = {"connection": "close"}


class BodyLimit:
    """An ASGI application whose requests bring so many bytes at most, one by one and together.

    most: of one body. together: of all that are being read or worked on. seconds: for a body to
    arrive.
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
        length = headers.get("content-length", "")
        is_known = length.isdecimal()
        size = int(length) if is_known else self._most if "transfer-encoding" in headers else 0
        if size > self._most:
            await _refuse(413, self._too_large(), scope, receive, send)
        elif self._held + size > self._together:
            await _refuse(429, "too much is being sent at once; ask again", scope, receive, send)
        else:
            self._held += size
            try:
                await self._app(scope, *self._watched(receive, send))
            finally:
                self._held -= size

    def _watched(self, receive: Receive, send: Send) -> tuple[Receive, Send]:
        n_read, is_refused, is_whole = 0, False, False
        end = asyncio.get_running_loop().time() + self._seconds

        async def counted() -> Message:
            nonlocal n_read, is_refused, is_whole
            if is_whole:  # what is waited for now is that the client goes
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                is_refused = True
                raise HTTPException(
                    408, f"no whole body in {self._seconds:.0f} s", _CLOSE
                ) from None
            n_read += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if n_read > self._most:
                is_refused = True
                raise HTTPException(413, self._too_large(), _CLOSE)
            return message

        async def answering(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if is_refused and is_last:
                await send({**message, "more_body": True})
                await _drop(receive)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        return counted, answering

    def _too_large(self) -> str:
        return f"at most {self._most >> 20} MB a request; send fewer images, or smaller ones"


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
