"""Connections that say nothing, or never end what they say, are closed; so many are open at most.

HTTP is read by h11, which refuses a head that is too long; httptools has no limit.
"""

import asyncio
import resource

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # for the head of a request to arrive
HEAD_BYTES = 64 << 10
MOST_CONNECTIONS = 512
_FILES = 4096  # that this process may have open, where the system allows it


def raise_limit() -> None:
    """Let this process open enough files for its connections, its children and the lake."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class BoundedConnection(H11Protocol):
    """Uvicorn's protocol with a clock that runs while the head of a request is awaited."""

    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One too many takes the place of one that says nothing."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            others = (each for each in self.connections if each is not self)
            silent = (each for each in others if isinstance(each, BoundedConnection))
            next((each for each in silent if each.is_awaited), self).close()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Start the clock at the first byte of a head, stop it at the last."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    @property
    def is_awaited(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def close(self) -> None:
        """End the connection."""
        self.transport.close()

    def _watch(self) -> None:
        if not self.is_awaited:
            self._stop()
        elif self._clock is None:
            self._clock = self.loop.call_later(HEAD_S, self._late)

    def _late(self) -> None:
        self._clock = None
        if self.is_awaited:
            self.close()

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
