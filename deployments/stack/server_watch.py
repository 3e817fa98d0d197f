"""End a command whose server has gone: its clients would go on asking for minutes."""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

_EVERY_S = 1.0
_REFUSALS = 5  # a server that is started again within these seconds is not missed
_CHATTER = ("prefect.events.clients", "prefect._internal.concurrency")


@contextlib.contextmanager
def end_without(urls: Sequence[str], end: Callable[[], object]) -> Iterator[None]:
    """While the block runs, call ``end`` and leave at once when one of ``urls`` is served no more.

    What a killed process leaves in a lake is completed by the same command (docs/lake.md). Only a
    refused connection counts: a server that is slow to answer is still there.
    """
    for name in _CHATTER:  # pages of them, before the one message that says what happened
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.raiseExceptions = False  # Prefect's log worker prints its own otherwise
    is_over = threading.Event()

    def watch() -> None:
        refusals = 0
        while not is_over.wait(_EVERY_S):
            refusals = refusals + 1 if any(_is_refused(url) for url in urls) else 0
            if refusals == _REFUSALS:
                end()
                # Threads of Prefect's client would hold an ordinary exit up.
                os._exit(1)

    threading.Thread(target=watch, name="server watch", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def _is_refused(url: str) -> bool:
    place = urlsplit(url)
    try:
        with socket.create_connection((str(place.hostname), place.port or 80), timeout=3.0):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
