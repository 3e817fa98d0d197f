"""Judge: candidates that wait with their reports, rollback, all reports, and the journal."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from deployments.reading_room import reports, words
from deployments.reading_room.backend import Backend
from deployments.reading_room.parts import answer_panel, choose_problem, doing
from neuro.lake import journal
from neuro.lake.journal import Entry

_LINES = 100  # of the journal, on the page


def show(backend: Backend) -> None:
    """Draw it."""
    st.title(words.JUDGE)
    problem = choose_problem.among([each.name for each in backend.problems()])
    if problem:
        left, right = st.columns(2, gap="large")
        with left:
            _candidates(backend, problem)
        with right:
            _rollback(backend, problem)
    _reports(backend)
    _journal(backend)


def _candidates(backend: Backend, problem: str) -> None:
    st.header(words.JUDGE_WAITING)
    found = backend.waiting_for_approval(problem)
    if not found:
        st.write(words.JUDGE_NONE_WAIT)
    for version, entry in found.items():
        st.subheader(words.JUDGE_CANDIDATE.format(problem=problem, version=version))
        answer_panel.text(str(entry.body.get("reason", "")))
        place = reports.place_of(backend.here.home, Path(str(entry.body.get("report") or "-")))
        st.html(
            answer_panel.link(words.JUDGE_REPORT, place)
            if place
            else f"<p>{words.JUDGE_NO_REPORT}</p>"
        )
        if not backend.person.may("approver"):
            st.write(words.JUDGE_ONLY)
            continue
        with st.form(f"approve-{version}"):
            _decide(words.JUDGE_APPROVE, partial(backend.approve, problem, version))


def _rollback(backend: Backend, problem: str) -> None:
    st.header(words.JUDGE_ROLLBACK)
    versions = backend.earlier_versions(problem)
    if not versions:
        st.write(words.JUDGE_NEVER)
        return
    if not backend.person.may("approver"):
        st.write(words.JUDGE_ONLY)
        return
    with st.form("rollback"):
        version = str(st.selectbox(words.JUDGE_ROLLBACK_TO, versions))
        _decide(words.JUDGE_ROLLBACK_DO, partial(backend.roll_back, problem, version))


def _decide(button: str, decide: Callable[[str], str]) -> None:
    """A reason and a button of a form, and what comes of it."""
    reason = st.text_area(words.JUDGE_REASON)
    if not st.form_submit_button(button):
        return
    if not reason.strip():
        answer_panel.notice("bad", words.JUDGE_NEEDS_REASON)
        return
    with st.spinner(words.JUDGE_STARTED):
        doing.tell("good", decide(reason))
    st.rerun()


def _reports(backend: Backend) -> None:
    st.header(words.JUDGE_REPORTS)
    home = backend.here.home
    folder, found = home / reports.FOLDER, reports.all_of(home)
    if not found:
        st.write(words.JUDGE_NO_REPORTS)
    for kind in dict.fromkeys(kind for kind, _ in found):
        with st.expander(words.REPORT_KINDS.get(kind, kind)):
            links = [
                answer_panel.link(
                    str(path.relative_to(folder)).removeprefix(f"{kind}/"),
                    reports.place_of(home, path),
                )
                for each, path in found
                if each == kind
            ]
            st.html("<ul>" + "".join(f"<li>{link}</li>" for link in links) + "</ul>")


def _journal(backend: Backend) -> None:
    st.header(words.JUDGE_JOURNAL)
    left, right = st.columns(2)
    text = left.text_input(words.JUDGE_SEARCH)
    kinds = right.multiselect(words.JUDGE_KIND, journal.KINDS)
    found = backend.journal(text, kinds)[:_LINES]
    answer_panel.table(words.JOURNAL_COLUMNS, [_row(each) for each in found], words.JUDGE_JOURNAL)


def _row(entry: Entry) -> tuple[object, ...]:
    body = entry.body
    what = entry.key.removeprefix(f"{entry.kind}/")
    said = body.get("reason") or body.get("verdict") or ""
    return (entry.number, f"{entry.at:%Y-%m-%d %H:%M}", entry.kind, what, body.get("who", ""), said)
