"""Every request, on this machine's disk before it is answered, and soon after in the lake."""

import asyncio
from collections.abc import Sequence
from logging import getLogger

from deployments.service.batching import Batcher
from neuro.errors import NeuroError, StorageError
from neuro.lake import requests
from neuro.lake.lake import Lake
from neuro.lake.request_spool import Spool
from neuro.lake.requests import GivenAnswer, Request
from tasks.record import remembered

MOVING_S = 5.0  # between two moves to the lake
_TOGETHER = 256  # requests that one write makes safe
_LEAST_ROOM = 16 << 20  # bytes that are free on the disk
_LAKES = "seen_lakes"  # what is remembered: those that were there once

_log = getLogger(__name__)


class RequestLog:
    """A spool, and what moves it. trouble: why the lake does not take it, "" where it does.

    is_broken: the last write failed.
    """

    def __init__(self, spool: Spool, lake: Lake) -> None:
        self._spool, self._lake = spool, lake
        self._writer = Batcher[Sequence[Request], None]("request-log", self._write, size=_TOGETHER)
        self._end = asyncio.Event()
        self._mover: asyncio.Task[None] | None = None
        self.trouble = ""
        self.is_broken = False

    @property
    def is_writable(self) -> bool:
        """Whether the next request can be written down."""
        return not self.is_broken and self._spool.room() > _LEAST_ROOM

    def start(self) -> None:
        """Begin to write and to move."""
        self._writer.start()
        self._mover = asyncio.create_task(self._move_often())

    async def write(self, lines: Sequence[Request]) -> None:
        """Return when all of it is on the disk; raises OSError or NeuroError where it cannot be."""
        await self._writer.ask(lines)

    def asked(self, dataset: str, beginning: str) -> set[str]:
        """The digests that begin so and are not in the lake yet."""
        return self._spool.asked(dataset, beginning)

    def answered_by(self, dataset: str, sample_id: str) -> GivenAnswer | None:
        """The last answer about an image; None where there is none."""
        found = (
            self._spool.answered_by(dataset, sample_id),
            requests.answered_by(self._lake, dataset, sample_id),
        )
        given = (each for each in found if each is not None)
        return max(given, key=lambda answer: answer.at, default=None)

    def waiting(self) -> int:
        """Bytes that are not in the lake yet."""
        return self._spool.waiting()

    async def stop(self) -> None:
        """Write what waits, and move it once more."""
        await self._writer.stop()
        self._end.set()
        if self._mover is not None:
            await self._mover

    def _write(self, blocks: list[Sequence[Request]]) -> list[None]:
        try:
            self._spool.append([request.to_line() for block in blocks for request in block])
        except (OSError, NeuroError):
            self.is_broken = True
            raise
        self.is_broken = False
        return [None] * len(blocks)

    async def _move_often(self) -> None:
        is_last = False
        while not is_last:
            try:
                await asyncio.wait_for(self._end.wait(), MOVING_S)
                is_last = True
            except TimeoutError:
                pass
            await asyncio.to_thread(self._look_after)

    def _look_after(self) -> None:
        """Move what waits, and try whether a disk that was full takes a line again."""
        try:
            if self.is_broken:
                self._spool.append([b"\n"])
                self.is_broken = False
            moved = self._move()
        except Exception as error:  # noqa: BLE001 - Lance raises of every kind; the lines stay here
            if not self.trouble:
                _log.warning("requests wait here, the lake does not take them: %s", error)
            self.trouble = str(error) or type(error).__name__
            return
        if self.trouble:
            _log.info("the lake takes requests again")
        self.trouble = ""
        if moved:
            _log.debug("%d requests moved to the lake", moved)

    def _move(self) -> int:
        """Raises StorageError where a lake that was there has gone: none is made in its place."""
        is_there = bool(self._lake.tables())
        if not is_there and remembered.get(_LAKES, self._lake.uri):
            raise StorageError(f"the lake {self._lake.uri} was there, and is gone")
        moved = self._spool.move(self._lake)
        if is_there or moved:
            seen = "it held tables"
            if remembered.get(_LAKES, self._lake.uri) != seen:
                remembered.put(_LAKES, self._lake.uri, seen)
        return moved
