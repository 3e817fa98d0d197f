"""Models that answer beside the champion: their answers are written down, and shown to nobody."""

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from logging import getLogger

from deployments.service.served_models import Served
from deployments.service.vetting import Upload
from neuro.errors import NeuroError
from neuro.prediction import predict
from neuro.sample import Prediction
from tasks.load.models import Model

_WAITING = 64  # images; what comes while so many wait is not asked
_POLITE = 10  # niceness: the champion's threads go first

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shadowed:
    """id: of the request's line. who: asked it."""

    id: str
    who: str
    served: Served
    upload: Upload


class Shadowing:
    """One thread that gives way to all others.

    keep: called on it with the answer. dropped: how many images were not asked.
    """

    def __init__(self, keep: Callable[[Shadowed, Model, Prediction], None]) -> None:
        self._keep = keep
        self._queue: queue.Queue[Shadowed | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def offer(self, shadowed: Shadowed) -> None:
        """Ask the shadow, if it has time."""
        if shadowed.served.shadow is None:
            return
        try:
            self._queue.put_nowait(shadowed)
        except queue.Full:
            self.dropped += 1

    def stop(self) -> None:
        """Finish what waits, then end."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _POLITE)
        while (shadowed := self._queue.get()) is not None:
            model = shadowed.served.shadow
            if model is None:
                continue
            try:
                self._keep(shadowed, model, _prediction(shadowed, model))
            except (NeuroError, OSError) as error:
                _log.warning("the shadow %s failed: %s", model.version[:12], error)


def _prediction(shadowed: Shadowed, model: Model) -> Prediction:
    upload = shadowed.upload
    frame = upload.frame if upload.shadow_frame is None else upload.shadow_frame
    ids = [upload.sha256]
    (prediction,) = predict.predict(model.engine, frame, ids, model_version=model.version)
    return prediction
