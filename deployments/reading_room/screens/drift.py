"""Drift: what each window of a problem was judged, over time, and what a person says of it."""

import streamlit as st

from deployments.reading_room import judged, reports, words
from deployments.reading_room.backend import Backend
from deployments.reading_room.parts import answer_panel, choose_problem, doing
from neuro.promotion.verdict_log import (
    MOST_SNOOZE_DAYS,
    OVERRULE,
    SNOOZE,
    TO_OVERRULE,
    Judged,
)
from neuro.reports import verdict_history

_ROWS = 100  # of the table, the last ones


def show(backend: Backend) -> None:
    """Draw it."""
    st.title(words.DRIFT)
    problem = choose_problem.among([each.name for each in backend.problems()])
    found = judged.all_of(backend, problem) if problem else []
    if not found:
        st.write(words.HOME_NO_VERDICT)
        return
    last = found[-1]
    st.header(words.DRIFT_LAST.format(outcome=last.outcome, window=last.window))
    answer_panel.text(last.reason)
    if place := reports.place_of(backend.here.home, last.report):
        st.html(answer_panel.link(words.JUDGE_REPORT, place))
    _history(found)
    answer_panel.table(words.DRIFT_COLUMNS, _rows(found), words.DRIFT_TABLE)
    if backend.person.may("reader"):
        _respond(backend, found)


def _history(found: list[Judged]) -> None:
    st.header(words.DRIFT_HISTORY)
    answer_panel.text(words.DRIFT_LETTERS)
    strip = verdict_history.strip(found)
    answer_panel.picture(strip.uri, strip.said)
    of_model = [each for each in found if each.model == found[-1].model]
    for name, line in verdict_history.lines(of_model).items():
        answer_panel.text(words.SIGNALS.get(name, name))
        answer_panel.picture(line.uri, line.said)


def _rows(found: list[Judged]) -> list[tuple[object, ...]]:
    return [
        (
            f"{each.at:%Y-%m-%d %H:%M}",
            each.window,
            each.model,
            each.found,
            each.outcome,
            "; ".join(map(str, each.responses)),
        )
        for each in reversed(found[-_ROWS:])
    ]


def _respond(backend: Backend, found: list[Judged]) -> None:
    st.header(words.DRIFT_SAY)
    by_name = {
        f"{each.at:%Y-%m-%d %H:%M} {each.window}, model {each.model}: {each.outcome}": each.cause
        for each in found[-_ROWS:]
    }
    with st.form("respond"):
        which = str(st.selectbox(words.DRIFT_WINDOW, list(reversed(by_name))))
        said = str(
            st.radio(words.DRIFT_WHAT, judged.sayable(backend), format_func=words.DRIFT_SAID.get)
        )
        outcome = str(st.selectbox(words.DRIFT_OUTCOME, TO_OVERRULE))
        days = float(st.number_input(words.DRIFT_DAYS, 1, MOST_SNOOZE_DAYS, value=14))
        reason = st.text_area(words.JUDGE_REASON)
        if not st.form_submit_button(words.DRIFT_DO):
            return
    if not reason.strip():
        answer_panel.notice("bad", words.JUDGE_NEEDS_REASON)
        return
    chosen = outcome if said == OVERRULE else ""
    for_days = days if said == SNOOZE else None
    doing.act(judged.respond, by_name[which], said, reason, chosen, for_days)
    st.rerun()
