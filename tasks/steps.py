"""A step: a Prefect task inside a flow run, a plain call outside one.

Decided here and nowhere else, so that `--local` and the recorded flow are one composition.
"""

from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from prefect import task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import PrefectFutureList

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
Shard = TypeVar("Shard")


class Step(Generic[P, R]):
    """A function that a flow may call with or without a server."""

    __name__: str

    def __init__(self, function: Callable[P, R], **options: Any) -> None:
        # Without NO_CACHE Prefect pickles and hashes every argument, images too, and keeps nothing.
        self.function = function
        self.task = task(**{"cache_policy": NO_CACHE, **options})(function)
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's value; its exceptions pass unchanged."""
        if FlowRunContext.get() is None:
            return self.function(*args, **kwargs)
        return self.task(*args, **kwargs)

    def each(
        self: "Step[Concatenate[Shard, Q], R]",
        shards: Iterable[Shard],
        *same: Q.args,
        **named: Q.kwargs,
    ) -> list[R]:
        """One call per shard, in the order of the shards; the other arguments are the same for all.

        On the flow's task runner inside a run, one after another outside.
        """
        if FlowRunContext.get() is None:
            return [self.function(shard, *same, **named) for shard in shards]
        constants = [unmapped(value) for value in same]
        others: dict[str, Any] = {name: unmapped(value) for name, value in named.items()}
        futures: PrefectFutureList[R] = self.task.map(list(shards), *constants, **others)
        return futures.result()


def step(**options: Any) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Decorate a function; ``options`` are those of ``prefect.task``, retries count in runs."""
    return lambda function: Step(function, **options)
