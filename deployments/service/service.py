"""From an upload to an answer: vetted, asked in a batch, written down."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

import numpy as np
from fastapi import HTTPException
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from deployments.service.batching import Batcher
from deployments.service.config import BATCH, MOST_BYTES, MOST_HELD, MOST_WAITING, ServiceConfig
from deployments.service.explaining import Explainer
from deployments.service.request_log import RequestLog
from deployments.service.served_models import JOURNAL_S, Served, ServedModels
from deployments.service.shadowing import Shadowed, Shadowing
from deployments.service.vetting import Upload, Vetting, Wanted
from neuro.errors import NeuroError
from neuro.images.sandbox import Rejected
from neuro.lake import request_spool
from neuro.lake.lake import Lake
from neuro.lake.request_spool import Spool
from neuro.lake.requests import Request
from neuro.people import Person
from neuro.prediction import predict
from neuro.sample import Prediction
from tasks.load.models import Model
from tasks.runtime import settings

_SLOW_WAITING = 8  # explanations and searches

_log = getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Asked:
    """One frame for one model."""

    served: Served
    upload: Upload


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Said:
    """What the model says, and the embedding behind it."""

    prediction: Prediction
    embedding: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks, by which route, since when (of ``time.perf_counter``)."""

    person: Person
    route: str
    started: float


class Figures:
    """What Prometheus reads of a service, beside the figures of its routes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        sizes = (1, 2, 4, 8, 16)
        here = self.registry
        self.batch = Histogram("neuro_batch_images", "At once", buckets=sizes, registry=here)
        self.decisions = Counter(
            "neuro_answers", "Answers by what was decided", ["problem", "decision"], registry=here
        )
        self.refused = Counter(
            "neuro_refused", "By sign-in, before anything else", ["status"], registry=here
        )
        self.model = Gauge(
            "neuro_model", "1 for what answers", ["problem", "version"], registry=here
        )
        self.waiting = Gauge("neuro_images_waiting", "Images under way", registry=here)
        self.log_bytes = Gauge("neuro_request_log_bytes", "Not in the lake yet", registry=here)
        self.shadow_dropped = Gauge("neuro_shadow_dropped", "Not asked: no time", registry=here)


class Service:
    """Everything that stands behind the routes; started and stopped with the application."""

    def __init__(self, config: ServiceConfig, lake: Lake, home: Path) -> None:
        self.lake, self.config = lake, config
        self.models = ServedModels(config, lake)
        self.figures = Figures()
        self.explainer = Explainer()
        self._home = home
        self._waiting = 0
        self._slow_waiting = 0
        self._held = 0  # clean bytes
        self.is_loaded = False  # whether it was looked up what serves
        self._vetting: Vetting
        self._slow: ThreadPoolExecutor
        self._loop: asyncio.AbstractEventLoop
        self.log: RequestLog

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load what serves, answer, and write down the last of it."""
        self._loop = asyncio.get_running_loop()
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="slow")
        self._vetting = Vetting(
            self._home / "scratch" / "service", settings.cores(), file_bytes=MOST_BYTES
        )
        self.log = RequestLog(Spool(folder=self._home / request_spool.FOLDER), self.lake)
        self._batcher = Batcher[Asked, Said](
            "model", _run, size=BATCH, observe=self.figures.batch.observe
        )
        self._shadowing = Shadowing(self._keep_shadow)
        async with AsyncExitStack() as ending:  # last in, first out; each whatever another does
            ending.push_async_callback(asyncio.to_thread, self._vetting.stop)
            ending.callback(self._slow.shutdown, wait=True, cancel_futures=True)
            self.log.start()
            ending.push_async_callback(self.log.stop)
            self._shadowing.start()
            ending.push_async_callback(asyncio.to_thread, self._shadowing.stop)
            self._batcher.start()
            ending.push_async_callback(self._batcher.stop)
            following = asyncio.create_task(self._follow())
            ending.push_async_callback(_cancelled, following)
            yield

    def served(self, problem: str) -> Served:
        """What answers a problem, "" for the only one. Raises HTTPException with the remedy."""
        found = self.models.all()
        if not found and not self.is_loaded:
            raise HTTPException(503, "still starting; ask again", {"retry-after": "1"})
        if not found:
            away = "the lake or the registry is away; " if self.models.trouble else ""
            raise HTTPException(
                503,
                f"{away}no problem has a champion here: train a model with `neuro train` and let "
                "`neuro promote` decide, or start with --model PACKAGE",
                {"retry-after": "5"},
            )
        names = ", ".join(sorted(found))
        if problem:
            if problem not in found:
                raise HTTPException(404, f"no such problem; those that are served: {names}")
            return found[problem]
        if len(found) > 1:
            raise HTTPException(
                422,
                f"several problems are served, say which as `problem`: {names}",
            )
        return next(iter(found.values()))

    async def answer(
        self,
        served: Served,
        streams: Sequence[BinaryIO],
        caller: Caller,
        *,
        keeps_stored: bool = False,
        writes: bool = True,
    ) -> list[tuple[Request, Upload | None]]:
        """A line for each image, in their order, once all are on the disk.

        keeps_stored: the clean bytes are wanted, too. writes: False where the caller wants nothing
        of it kept; then no shadow is asked, either.

        Raises HTTPException while too many wait, and where the log cannot be written.
        """
        if self._waiting + len(streams) > MOST_WAITING:
            raise _busy()
        self._waiting += len(streams)
        self.figures.waiting.set(self._waiting)
        request_id = uuid4().hex
        wanted = Wanted(
            spec=served.model.package.card.preprocess,
            shadow=served.shadow.package.card.preprocess if served.shadow else None,
            stored=keeps_stored or served.keeps_images,
        )
        held: list[int] = []
        try:
            found = await _all(
                self._one(served, wanted, stream, f"{request_id}-{number}", caller, held)
                for number, stream in enumerate(streams)
            )
            if writes:
                await self.write([request for request, _ in found])
        finally:
            self._held -= sum(held)
            self._waiting -= len(streams)
            self.figures.waiting.set(self._waiting)
        for request, upload in found:
            decision = request.prediction.decision if request.prediction else "refused"
            self.figures.decisions.labels(served.problem, decision).inc()
            if upload is not None and writes:
                self._shadowing.offer(
                    Shadowed(id=request.id, who=request.who, served=served, upload=upload)
                )
        return found

    async def write(self, requests: Sequence[Request]) -> None:
        """Write lines down; nothing is answered that is not on the disk."""
        try:
            await self.log.write(requests)
        except (OSError, NeuroError) as error:
            raise HTTPException(
                503, "requests cannot be written down on this machine, so none is answered"
            ) from error

    async def slowly(self, work: Callable[[], T]) -> T:
        """Work of seconds, one after the other. Raises HTTPException while too much of it waits."""
        if self._slow_waiting >= _SLOW_WAITING:
            raise _busy()
        self._slow_waiting += 1
        try:
            return await self._loop.run_in_executor(self._slow, work)
        finally:
            self._slow_waiting -= 1

    async def in_lake(self, work: Callable[[], T]) -> T:
        """``slowly``, for what asks the lake. Raises HTTPException where it is away."""
        try:
            return await self.slowly(work)
        except (OSError, RuntimeError, ValueError) as error:  # what Lance raises of a store
            if isinstance(error, NeuroError):
                raise
            _log.warning("the lake does not answer: %s", error)
            raise HTTPException(503, "the lake does not answer", {"retry-after": "5"}) from error

    async def _one(
        self,
        served: Served,
        wanted: Wanted,
        stream: BinaryIO,
        line_id: str,
        caller: Caller,
        held: list[int],
    ) -> tuple[Request, Upload | None]:
        """held: gets the size of the clean bytes that are kept until the request is done."""
        if self._held > MOST_HELD:
            raise _busy()
        try:
            upload = await self._vetting.vet(stream, wanted)
        except OSError as error:
            _log.warning("an upload could not be vetted: %s", error)
            self.log.is_broken = True
            raise HTTPException(503, "this machine has no room to look at an upload") from error
        if isinstance(upload, Rejected):
            line = self.line(served, upload.sha256, caller, line_id)
            return replace(line, refusal=f"{upload.code}: {upload.message}"), None
        held.append(len(upload.stored))
        self._held += len(upload.stored)
        said = await self._batcher.ask(Asked(served=served, upload=upload))
        line = replace(
            self.line(served, upload.sha256, caller, line_id),
            prediction=said.prediction,
            descriptors=upload.descriptors,
            embedding=said.embedding,
            image=upload.stored if served.keeps_images else b"",
        )
        return line, upload

    def line(self, served: Served, sample_id: str, caller: Caller, line_id: str = "") -> Request:
        """Who asked about what, when, and how long it took until now."""
        return Request(
            id=line_id or f"{uuid4().hex}-0",
            at=datetime.now(UTC),
            route=caller.route,
            who=caller.person.name,
            problem=served.problem,
            dataset=served.model.package.card.dataset,
            sha256=sample_id,
            model_version=served.model.version,
            package=served.model.package.digest,
            latency_s=time.perf_counter() - caller.started,
        )

    def _keep_shadow(self, shadowed: Shadowed, model: Model, prediction: Prediction) -> None:
        """On the shadow's thread."""
        request = Request(
            id=f"{shadowed.id}-shadow",
            at=datetime.now(UTC),
            route="predictions",
            who=shadowed.who,
            problem=shadowed.served.problem,
            dataset=model.package.card.dataset,
            sha256=shadowed.upload.sha256,
            model_version=model.version,
            package=model.package.digest,
            prediction=prediction,
            is_shadow=True,
        )
        asyncio.run_coroutine_threadsafe(self.log.write([request]), self._loop).result()

    async def _follow(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.models.refresh)
                self.figures.model.clear()
                for name, served in self.models.all().items():
                    self.figures.model.labels(name, served.model.version).set(1)
                self.figures.log_bytes.set(self.log.waiting())
                self.figures.shadow_dropped.set(self._shadowing.dropped)
            except Exception:  # noqa: BLE001 - whatever it is, what answers now goes on
                _log.exception("what serves now was not looked up")
            self.is_loaded = True
            await asyncio.sleep(JOURNAL_S)


async def _all(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, in their order; where one fails the others are not left behind."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _run(asked: list[Asked]) -> list[Said | Exception]:
    """On the thread of the models: one pass of the network for all frames of a model."""
    rows: dict[int, list[int]] = defaultdict(list)
    for row, each in enumerate(asked):
        rows[id(each.served.model)].append(row)
    found: dict[int, Said | Exception] = {}
    for some in rows.values():
        try:
            said = _ask(asked[some[0]].served.model, [asked[row].upload for row in some])
            found |= dict(zip(some, said, strict=True))
        except (NeuroError, RuntimeError) as error:
            found |= dict.fromkeys(some, error)
    return [found[row] for row in range(len(asked))]


def _ask(model: Model, uploads: Sequence[Upload]) -> list[Said]:
    answered = predict.answer(model.engine, np.concatenate([each.frame for each in uploads]))
    predictions = predict.decide(
        model.package,
        answered.calibrated,
        [each.sha256 for each in uploads],
        model_version=model.version,
    )
    return [
        Said(prediction=prediction, embedding=embedding)
        for prediction, embedding in zip(predictions, answered.embeddings, strict=True)
    ]


def _busy() -> HTTPException:
    return HTTPException(429, "too many images are under way; ask again", {"retry-after": "1"})
