"""Lance over S3: what its own object store is told, and repetition where it gives up too early."""

import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from neuro.errors import StorageError
from neuro.storage import bucket_store, location
from neuro.storage.location import Place

# What Lance says when it meets its own work of a try whose answer was lost.
_OWN_TRACES = ("Ref conflict error", "Ref not found error", "Clone operation should not enter")

LEFT_BEHIND = "neuro: "  # how the names of waiting threads begin

T = TypeVar("T")


def options(where: Place) -> dict[str, str]:
    """Storage options for Lance; it finds credentials by itself, where boto3 does.

    Its outermost layer of retries is off, because layers multiply and a hang would outlive the
    deadline; `repeat` does it instead.
    """
    settings = {
        "aws_region": location.region(location.session()),
        "timeout": f"{where.attempt_s:.3f}s",
        "client_retry_timeout": str(max(1, int(where.attempt_s))),
        "client_max_retries": "10",
        "download_retry_count": "10",
        "lance_aimd_max_retries": "0",
    }
    if where.endpoint:
        settings |= {"aws_endpoint": where.endpoint, "allow_http": "true"}
    return settings


def repeat(where: Place, what: str, call: Callable[[], T]) -> T:
    """Repeat an idempotent piece of work until the store has carried all of it.

    Lance does not repeat a conditional PUT, a POST or a listing whose answer broke off, and its
    time limits are those of one request. So the work is begun again until the deadline has passed,
    and while it lasts the store is asked for a sign of life: work may take hours, silence may not.

    Raises StorageError naming the work, the place and the reason.
    """
    ends, pause = time.monotonic() + where.deadline_s, 0.1
    while True:
        try:
            return _watched(where, what, call)
        except StorageError:  # final, from within
            raise
        except Exception as error:
            failure = _store_failure(error)
            if failure is None:
                raise
            reason, may_help = failure
            if not may_help or time.monotonic() > ends:
                raise location.permanent_error(f"{what} in {where.full_address}", reason) from error
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def _watched(where: Place, what: str, call: Callable[[], T]) -> T:
    """The call's value, unless the store falls silent first; then its thread is left behind."""
    outcome: list[Any] = []
    context = contextvars.copy_context()  # the run that the log lines belong to

    def work() -> None:
        try:
            outcome.append((context.run(call), None))
        except BaseException as error:  # noqa: BLE001 - raised again by the one who waits
            outcome.append((None, error))

    thread = threading.Thread(target=work, name=f"{LEFT_BEHIND}{what}", daemon=True)
    thread.start()
    thread.join(where.deadline_s / 2)
    while thread.is_alive():
        _require_sign_of_life(where, what)
        thread.join(where.deadline_s / 2)
    value, error = outcome[0]
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


def _require_sign_of_life(where: Place, what: str) -> None:
    """Raise StorageError where the store does not answer a listing within half the deadline.

    The other half is what the caller has waited for its work before it asked.
    """
    half = replace(where, deadline_s=where.deadline_s / 2)
    try:
        next(iter(bucket_store.BucketStore(half).entries()), None)
    except StorageError as error:
        raise StorageError(
            f"{what} in {where.full_address}: the store fell silent for {where.deadline_s:g} s; "
            "run the same command again when it answers"
        ) from error


def _store_failure(error: BaseException | None) -> tuple[str, bool] | None:
    """What went wrong between Lance and the store, and whether another try may help.

    None where the error is of another kind.
    """
    while error is not None:
        text = str(error)
        if "Generic S3 error" in text or "LanceError(IO)" in text:
            permanent = location.permanent_reason(error)
            return permanent or location.first_line(error), permanent is None
        if any(sign in text for sign in _OWN_TRACES):
            return location.first_line(error), True
        error = error.__cause__
    return None
