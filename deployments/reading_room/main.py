"""What Streamlit runs at every click: the frame around the pages, for the person signed in."""

from collections.abc import Callable
from functools import partial
from logging import getLogger

import streamlit as st

from deployments.reading_room import installed, words
from deployments.reading_room.backend import Backend
from deployments.reading_room.entrance import SIGN_OUT
from deployments.reading_room.parts import answer_panel, components, doing, style
from deployments.reading_room.screens import (
    ask,
    browse,
    drift,
    home,
    image,
    incidents,
    judge,
    work_list,
)
from neuro.errors import NeuroError

_log = getLogger("deployments.reading_room")


def run() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title=words.ROOM, layout="wide")
    style.apply()
    backend = installed.backend(str(st.user.get("name") or ""))
    if backend is None:  # the session ended while this page was asked for
        st.error(words.SIGNED_OUT)
        return
    pages = [
        st.Page(
            partial(_guarded, show, backend), title=title, url_path=path, default=path == "today"
        )
        for show, title, path, role in _PAGES
        if backend.person.may(role)
    ]
    st.session_state["pages"] = {page.url_path: page for page in pages}
    page = st.navigation(pages)
    with st.sidebar:
        answer_panel.text(words.signed_in(backend.person.name, backend.person.role))
        st.html(
            f'<form class="sign-out" method="post" action="{SIGN_OUT}">'
            f"<button>{words.SIGN_OUT}</button></form>"
        )
    st.html(f'<p class="research">{words.NOTICE}</p>')
    page.run()
    components.watch_session()


_PAGES: tuple[tuple[Callable[[Backend], None], str, str, str], ...] = (
    (home.show, words.HOME, "today", "viewer"),
    (ask.show, words.ASK, "ask", "reader"),
    (work_list.show, words.WORK, "work", "reader"),
    (browse.show, words.BROWSE, "browse", "viewer"),
    (image.show, words.IMAGE, "image", "viewer"),
    (drift.show, words.DRIFT, "drift", "viewer"),
    (judge.show, words.JUDGE, "judge", "viewer"),
    (incidents.show, words.INCIDENTS, "incidents", "viewer"),
)


def _guarded(show: Callable[[Backend], None], backend: Backend) -> None:
    """A page; what cannot be done now is said in its place."""
    doing.show_told()
    try:
        show(backend)
    except NeuroError as error:
        answer_panel.notice("bad", doing.sentence(error))
    except (OSError, RuntimeError, ValueError):  # what Lance raises of a lake that is away
        _log.exception("a page could not be drawn")
        answer_panel.notice("bad", words.LAKE_AWAY)


if __name__ == "__main__":  # as Streamlit runs it
    run()
