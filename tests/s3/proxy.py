"""A proxy in front of a real S3 server that misbehaves on purpose, in an order set by its seed."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from urllib.parse import urlsplit

SLOW_DOWN = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 40\r\n"
    b"Connection: close\r\n\r\n<Error><Code>SlowDown</Code>     </Error>"
)
FAULTS = ("unavailable", "reset", "lost", "truncated")


class Proxy:
    """Passes requests on unchanged, except for the share that meets one of the ``faults``.

    unavailable: 503. reset: the connection dies before the request arrives. lost: the request is
    carried out and its answer dropped. truncated: half of the answer. hang: silence.
    """

    def __init__(self, upstream: str, *, share: float, seed: int, faults: tuple[str, ...]) -> None:
        address = urlsplit(upstream)
        self.host, self.port = str(address.hostname), int(address.port or 80)
        self.share, self.faults = share, faults
        self.random = Random(seed)
        self.met: Counter[str] = Counter()
        self.url = ""
        self.ended = asyncio.Event()

    async def serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """One request of one connection."""
        try:
            head, body = await request(client)
            fault = self._draw()
            self.met[fault] += 1
            if fault == "hang":
                await self.ended.wait()
            elif fault == "unavailable":
                answer.write(SLOW_DOWN)
            elif fault == "reset":
                reset(answer)
            else:
                whole = await self.forward(head, body)
                if fault == "lost":
                    reset(answer)
                else:
                    answer.write(half(whole) if fault == "truncated" else whole)
            await answer.drain()
        except (OSError, EOFError):  # the client went away first
            pass
        finally:
            answer.close()

    async def forward(self, head: bytes, body: bytes) -> bytes:
        """What the server answers."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(head[:-2] + b"Connection: close\r\n\r\n" + body)
            return await reader.read()
        finally:
            writer.close()

    def _draw(self) -> str:
        if self.random.random() >= self.share:
            return "none"
        return self.random.choice(self.faults)


async def request(client: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head (without its own Connection line) and body of the next request."""
    raw = await client.readuntil(b"\r\n\r\n")
    lines = [line for line in raw.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    head = b"\r\n".join(lines)
    sizes = [line.split(b":")[1] for line in lines if line.lower().startswith(b"content-length:")]
    return head, await client.readexactly(int(sizes[0]) if sizes else 0)


def half(whole: bytes) -> bytes:
    """An answer that ends in the midst of its body, or of its head where it has no body."""
    body = whole.find(b"\r\n\r\n") + 4
    return whole[: body + (len(whole) - body) // 2] if len(whole) > body + 1 else whole[: body // 2]


def reset(answer: asyncio.StreamWriter) -> None:
    """End the connection by RST instead of by FIN."""
    answer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
    answer.transport.abort()


@contextmanager
def running(proxy: Proxy) -> Iterator[Proxy]:
    """Serve on a free port of loopback, in a thread of its own."""
    loop = asyncio.new_event_loop()
    listen = asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    server = loop.run_until_complete(listen)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        proxy.ended.set()
        while waiting := asyncio.all_tasks(loop):
            loop.run_until_complete(asyncio.wait(waiting))
        loop.close()
