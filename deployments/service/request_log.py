"""Every request, on this machine's disk before it is answered, and soon after in the lake."""

import asyncio
import time
from collections.abc import Sequence
from logging import getLogger

from deployments.service.batching import Batcher
from neuro.errors import NeuroError
from neuro.lake.lake import Lake
from neuro.lake.request_spool import Spool
from neuro.lake.requests import Request

MOVING_S = 5.0  # between two moves to the lake
_TOGETHER = 256  # requests that one write makes safe

_log = getLogger(__name__)


class RequestLog:
    """A spool, and what moves it. trouble: why the lake does not take it, "" where it does."""

    def __init__(self, spool: Spool, lake: Lake) -> None:
        self._spool, self._lake = spool, lake
        self._writer = Batcher[bytes, None]("request-log", self._write, size=_TOGETHER)
        self._end = asyncio.Event()
        self._mover: asyncio.Task[None] | None = None
        self.trouble = ""
        self.is_writable = True

    def start(self) -> None:
        """Begin to write and to move."""
        self._writer.start()
        self._mover = asyncio.create_task(self._move_often())

    async def write(self, requests: Sequence[Request]) -> None:
        """Return when all of it is on the disk; raises OSError or NeuroError where it cannot be."""
        await self._writer.ask(b"".join(request.to_line() for request in requests))

    def asked(self, dataset: str, beginning: str) -> set[str]:
        """The digests that begin so and are not in the lake yet."""
        return self._spool.asked(dataset, beginning)

    def waiting(self) -> int:
        """Bytes that are not in the lake yet."""
        return self._spool.waiting()

    async def stop(self) -> None:
        """Write what waits, and move it once more."""
        await self._writer.stop()
        self._end.set()
        if self._mover is not None:
            await self._mover

    def _write(self, blocks: list[bytes]) -> list[None]:
        try:
            self._spool.append(blocks)
        except (OSError, NeuroError):
            self.is_writable = False
            raise
        self.is_writable = True
        return [None] * len(blocks)

    async def _move_often(self) -> None:
        is_last = False
        while not is_last:
            try:
                await asyncio.wait_for(self._end.wait(), MOVING_S)
                is_last = True
            except TimeoutError:
                pass
            await asyncio.to_thread(self._move)

    def _move(self) -> None:
        started = time.monotonic()
        try:
            moved = self._spool.move(self._lake)
        except Exception as error:  # noqa: BLE001 - Lance raises of every kind; the lines stay here
            if not self.trouble:
                _log.warning(
                    "requests wait on this machine: the lake does not take them: %s", error
                )
            self.trouble = str(error)
            return
        if self.trouble:
            _log.info("the lake takes requests again")
        self.trouble = ""
        if moved:
            _log.debug("%d requests moved in %.1f s", moved, time.monotonic() - started)
