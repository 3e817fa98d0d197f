"""Items gathered into batches for one worker thread: what comes while it works waits together."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """run: called with one to ``size`` items on the thread; a result for each, in their order.

    A result that is an exception is raised to who asked that item alone. Nothing waits for company:
    while the thread works, items gather by themselves. How many may wait is for the caller to
    bound. observe: told the size of each batch.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[list[Item]], Sequence[Result | Exception]],
        *,
        size: int,
        observe: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._run, self._size, self._observe = run, size, observe
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[Result]] | None] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work; to be called where the event loop runs."""
        self._task = asyncio.create_task(self._work())

    async def ask(self, item: Item) -> Result:
        """The result of one item; raises what the thread raised of it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((item, future))
        return await future

    async def stop(self) -> None:
        """Finish what waits, then end the thread."""
        self._queue.put_nowait(None)
        if self._task is not None:
            await self._task
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while (entry := await self._queue.get()) is not None:
            batch = [entry]
            while len(batch) < self._size and not self._queue.empty():
                entry = self._queue.get_nowait()
                if entry is None:
                    self._queue.put_nowait(None)  # the end, after this batch
                    break
                batch.append(entry)
            wanted = [(item, future) for item, future in batch if not future.done()]
            if not wanted:
                continue  # whoever asked has gone
            self._observe(len(wanted))
            items = [item for item, _ in wanted]
            results: Sequence[Result | Exception]
            try:
                results = await loop.run_in_executor(self._thread, self._run, items)
            except Exception as error:  # noqa: BLE001 - of any kind: it is raised to who asked
                results = [error] * len(items)
            _settle([future for _, future in wanted], results)


def _settle(
    futures: Sequence[asyncio.Future[Result]], results: Sequence[Result | Exception]
) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
