"""The first page: whether all is well, what serves, what waits for whom, what runs."""

from html import escape

import streamlit as st

from deployments.reading_room import flow_runs, reports, words
from deployments.reading_room.backend import Backend
from deployments.reading_room.parts import answer_panel
from neuro.errors import NeuroError


def show(backend: Backend) -> None:
    """Draw it."""
    st.title(words.HOME)
    try:
        models, trouble = backend.models(), ""
    except NeuroError:
        models, trouble = [], words.SERVICE_AWAY
    found = backend.overview()
    is_well = not trouble and models and not found.needs_a_look
    is_well = is_well and not any(model["trouble"] for model in models)
    runs = flow_runs.running()
    is_well = is_well and runs is not None
    st.html(f'<p class="verdict {"answer" if is_well else "abstain"}">{_sign(is_well)}</p>')
    left, right = st.columns(2, gap="large")
    with left:
        st.header(words.HOME_SERVES)
        if trouble:
            answer_panel.notice("bad", trouble)
        for model in models:
            since = str(model["since"])[:16].replace("T", " ")
            version = words.version(model["version"])
            answer_panel.text(words.serves(model["problem"], version, since, model["trouble"]))
        if not models and not trouble:
            st.write(words.HOME_NOTHING_SERVES)
        st.header(words.HOME_VERDICT)
        if not found.verdicts:
            st.write(words.HOME_NO_VERDICT)
        for line, path in found.verdicts:
            place = reports.place_of(backend.here.home, path)
            st.html(answer_panel.link(line, place) if place else escape(line))
    with right:
        st.header(words.HOME_WAITS)
        answer_panel.points(words.waits(found.work, found.approvals, found.incidents))
        st.header(words.HOME_RUNS)
        _runs(runs)
        st.header(words.HOME_LINKS)
        for name, place in backend.links():
            st.markdown(f"- [{name}]({place})")


def _sign(is_well: object) -> str:
    return words.HOME_WELL if is_well else words.HOME_LOOK


def _runs(runs: list[tuple[str, str]] | None) -> None:
    if runs is None:
        st.write(words.HOME_PREFECT_AWAY)
    elif not runs:
        st.write(words.HOME_NO_RUNS)
    else:
        answer_panel.table(words.HOME_RUN_COLUMNS, runs, words.HOME_RUNS)
