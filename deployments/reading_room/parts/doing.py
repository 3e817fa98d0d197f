"""What a click does, and what is told of it: callbacks run before the page, and outside of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import getLogger
from typing import Any, Literal

import streamlit as st

from deployments.reading_room import installed, words
from deployments.reading_room.parts import answer_panel
from neuro.errors import DeniedError, NeuroError, StorageError

_TOLD = "told"  # in the state of a session: what the page says next
_log = getLogger("deployments.reading_room")

Kind = Literal["good", "bad"]


def act(work: Callable[..., str | None], *given: Any) -> None:
    """Do something in the name of who is signed in now; the page that follows tells what came.

    work: gets the backend and what is given; returns what is told, None for nothing.
    """
    with told():
        backend = installed.backend(str(st.user.get("name") or ""))
        if backend is None:
            raise DeniedError(words.SIGNED_OUT)
        if said := work(backend, *given):
            tell("good", said)


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong inside is told on the page that follows."""
    try:
        yield
    except NeuroError as error:
        tell("bad", sentence(error))
    except (OSError, RuntimeError, ValueError) as error:  # what Lance raises of a lake that is away
        _log.exception("what a click asked for was not done")
        tell("bad", words.not_done(type(error).__name__))


def sentence(error: NeuroError) -> str:
    """For a person."""
    said = str(error)
    if isinstance(error, StorageError) and not isinstance(error, DeniedError):
        return f"{words.LAKE_AWAY} {said}"
    return said[:1].upper() + said[1:]


def tell(kind: Kind, text: str) -> None:
    """Say something on the page that follows."""
    st.session_state.setdefault(_TOLD, []).append((kind, text))


def show_told() -> None:
    """What was told since the last page."""
    for kind, text in st.session_state.pop(_TOLD, []):
        answer_panel.notice(kind, text)
