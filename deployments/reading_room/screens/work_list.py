"""The work list: say what an image shows, see what stands behind it, say it once more."""

from collections.abc import Sequence

import streamlit as st

from deployments.reading_room import words
from deployments.reading_room.backend import Backend, Shown
from deployments.reading_room.parts import answer_panel, choose_problem, components, doing
from neuro.lake.work_list import ADJUDICATED, CANNOT_TELL, FINAL, FIRST, MOST_NOTE, Reading, WorkKey

_BEGINNING = 12  # characters of a digest in the address


def show(backend: Backend) -> None:
    """Draw the image that is before this person, and what is to be said of it."""
    backend.require("reader")
    st.title(words.WORK)
    problem = choose_problem.among([each.name for each in backend.problems()])
    if not problem:
        st.info(words.NO_PROBLEM)
        return
    _store_drafts(backend)
    work = backend.work(problem)
    st.progress(work.share, text=words.progress(work.done, len(work.waiting)))
    if work.waiting:
        _item(backend, work.waiting)
    else:
        st.info(words.WORK_EMPTY)
        st.write(words.WORK_FILL)
    if st.toggle(words.WORK_AGREEMENT_SHOW):
        _agreement(backend, problem)


def _item(backend: Backend, waiting: Sequence[Reading]) -> None:
    keys = [each.item.key for each in waiting]
    key = _current(keys)
    reading = waiting[keys.index(key)]
    backend.open_item(key)
    left, right = st.columns([3, 2], gap="large")
    with left:
        image = backend.sample_picture(key.problem, key.sha256)
        if image:
            components.picture(key.sha256, image, words.picture_of(key.sha256[:_BEGINNING]))
        else:
            answer_panel.notice("bad", words.PICTURE_DAMAGED)
    with right:
        _panel(backend, reading)
        _moves(keys, key)
        _note(backend, key)
        st.write(words.WORK_KEYS)


def _panel(backend: Backend, reading: Reading) -> None:
    """What is asked: the first read, the final one, or whom of two readers to follow."""
    key = reading.item.key
    labels = backend.labels_of(key.problem)
    first = reading.by(backend.name, FIRST)
    if reading.is_disputed:
        st.header(words.WORK_DISPUTED)
        for name, read in zip(words.WORK_READER, reading.finals, strict=False):
            answer_panel.facts([(name, words.reader_said(read.label, read.note))])
        shown = backend.shown(reading)
        _behind(reading, shown)
        _choices(key, ADJUDICATED, labels, shown)
    elif first is None:
        st.header(words.WORK_READ)
        st.write(words.WORK_BLIND)
        _choices(key, FIRST, labels, None)
    else:
        st.header(words.WORK_AGAIN)
        answer_panel.facts([(words.WORK_YOURS, words.reader_said(first.label, ""))])
        shown = backend.shown(reading)
        st.button(
            words.WORK_KEEP,
            key=f"keep-{key.sha256}-{key.round}",
            type="primary",
            shortcut="K",  # Enter would be taken from the button or link that has the focus
            width="stretch",
            on_click=doing.act,
            args=(_say, key, FINAL, first.label, shown),
        )
        _behind(reading, shown)
        _choices(key, FINAL, labels, shown)


def _behind(reading: Reading, shown: Shown) -> None:
    """The label of now and the model's answer."""
    rows = [(words.WORK_LABEL, shown.label or words.WORK_NO_LABEL)]
    rows.append((words.WORK_WHY, reading.item.why))
    said = shown.prediction
    if said is None:
        rows.append((words.WORK_MODEL, words.WORK_NO_ANSWER))
    answer_panel.facts(rows)
    if said is not None:
        answer_panel.verdict(
            said["decision"], said["predicted"], said["conformal_set"], said["reason"]
        )
        answer_panel.bars(said["probabilities"], said["predicted"])


def _choices(key: WorkKey, step: str, labels: Sequence[str], shown: Shown | None) -> None:
    """A button and a digit for each answer."""
    for number, label in [*enumerate(labels, 1), (0, CANNOT_TELL)]:
        st.button(
            label or words.WORK_CANNOT_TELL,
            key=f"{step}-{key.sha256}-{key.round}-{number}",
            shortcut=str(number) if number < 10 else None,
            width="stretch",
            on_click=doing.act,
            args=(_say, key, step, label, shown),
        )


def _moves(keys: Sequence[WorkKey], key: WorkKey) -> None:
    at = keys.index(key)
    back, ahead = st.columns(2)
    back.button(words.WORK_BACK, shortcut="B", width="stretch", on_click=_go, args=(keys, at - 1))
    ahead.button(words.WORK_NEXT, shortcut="N", width="stretch", on_click=_go, args=(keys, at + 1))


def _note(backend: Backend, key: WorkKey) -> None:
    """A note, kept on the server while it is written."""
    name = f"{key.sha256}-{key.round}"
    known = backend.draft(key).note
    sent = components.note(name, known, MOST_NOTE)
    if sent and sent[0] == name and sent[1] != known and _last_note() != sent:
        st.session_state["note-sent"] = sent
        with doing.told():
            backend.note(key, sent[1])


def _last_note() -> tuple[str, str] | None:
    found: tuple[str, str] | None = st.session_state.get("note-sent")
    return found


def _current(keys: Sequence[WorkKey]) -> WorkKey:
    """The one in the address, else the first."""
    asked = st.query_params.get("image", "")
    found = (key for key in keys if asked and key.sha256.startswith(asked))
    key = next(found, keys[0])
    st.query_params["image"] = key.sha256[:_BEGINNING]
    return key


def _go(keys: Sequence[WorkKey], at: int) -> None:
    st.query_params["image"] = keys[at % len(keys)].sha256[:_BEGINNING]


def _say(backend: Backend, key: WorkKey, step: str, label: str, shown: Shown | None) -> str | None:
    """Store a read; what is told of it."""
    note = backend.draft(key).note
    sent = _last_note()
    if sent and sent[0] == f"{key.sha256}-{key.round}":
        note = sent[1]
    reading = backend.say(key, step, label, note, shown)
    if step == FIRST:
        return None
    st.query_params.pop("image", None)
    decided = reading.decision
    if decided and backend.name not in decided.who.split(", "):
        return words.WORK_DECIDED.format(who=decided.who)
    what = label or words.WORK_CANNOT_TELL
    return words.WORK_DONE.format(what=what, image=key.sha256[:_BEGINNING])


def _store_drafts(backend: Backend) -> None:
    """What waited on this machine since the lake was away."""
    n, troubles = backend.store_drafts()
    if n:
        answer_panel.notice("good", words.WORK_STORED.format(n=n))
    for trouble in troubles:
        answer_panel.notice("bad", trouble)


def _agreement(backend: Backend, problem: str) -> None:
    rows = [
        (each.first, each.second, words.kappa(value))
        for each in backend.agreements(problem)
        if (value := each.value) is not None
    ]
    answer_panel.table(words.WORK_AGREEMENT_COLUMNS, rows, words.WORK_AGREEMENT)
