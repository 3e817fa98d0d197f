"""A step: a Prefect task inside a flow run, a plain call outside one.

Decided here and nowhere else, so that `--local` and the recorded flow are one composition.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture

from tasks.runtime import runners, settings

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
Shard = TypeVar("Shard")


class _Given:
    """The arguments of a call, into which Prefect does not look.

    Of others it walks each list and dataclass for what other tasks may have made: every sample of a
    release, twice a step.
    """

    __slots__ = ("args", "kwargs")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


class Step(Generic[P, R]):
    """A function that a flow may call with or without a server."""

    __name__: str

    def __init__(self, function: Callable[P, R], **options: Any) -> None:
        # Without NO_CACHE Prefect pickles and hashes every argument, images too, and keeps nothing.
        made = task(**{"cache_policy": NO_CACHE, "name": function.__name__, **options})

        def call(given: _Given) -> R:
            return function(*given.args, **given.kwargs)

        # Not by functools.wraps: Prefect would ask the wrapped one for its parameters.
        call.__qualname__, call.__doc__ = function.__qualname__, function.__doc__
        self.function, self.task, self._whole = function, made(function), made(call)
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's value; its exceptions pass unchanged."""
        if FlowRunContext.get() is None:
            return self.function(*args, **kwargs)
        return self._whole(_Given(*args, **kwargs))

    def stream(
        self: "Step[Concatenate[Shard, Q], R]",
        shards: Iterable[Shard],
        *same: Q.args,
        **named: Q.kwargs,
    ) -> Iterator[R]:
        """One call per shard, in the order of the shards; the other arguments are the same for all.

        On the flow's task runner inside a run, in threads of this process outside. Each is given as
        soon as it and those before it are done. A bounded number of shards is under way: fewer of
        those that say what travels with them, as ``nbytes``.
        """
        run = FlowRunContext.get()
        threads = ThreadPoolExecutor(settings.cores())  # none is started inside a run
        waiting: deque[PrefectFuture[R] | Future[R]] = deque()

        def submit(shard: Shard) -> PrefectFuture[R] | Future[R]:
            if run is None:
                return threads.submit(self.function, shard, *same, **named)
            with runners.light(run):
                return self.task.submit(shard, *same, **named)

        try:
            for shard in shards:
                waiting.append(submit(shard))
                nbytes = getattr(shard, "nbytes", 0)
                limit = 2 * settings.cores() if run is None else runners.ahead(nbytes)
                while len(waiting) >= limit or (waiting and runners.is_done(waiting[0])):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def step(**options: Any) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Decorate a function; ``options`` are those of ``prefect.task``, retries count in runs."""
    return lambda function: Step(function, **options)
