"""The work list: say what an image shows, see what stands behind it, say it once more."""

from collections.abc import Sequence

import streamlit as st

from deployments.reading_room import words
from deployments.reading_room.backend import Backend, Shown
from deployments.reading_room.parts import answer_panel, choose_problem, components
from neuro.errors import NeuroError, UnknownNameError
from neuro.lake.work_list import ADJUDICATED, CANNOT_TELL, FINAL, FIRST, Reading, WorkKey

_STARTS = 12  # characters of a digest in the address


def show(backend: Backend) -> None:
    """Draw it."""
    backend.require("reader")
    st.title(words.WORK)
    problem = choose_problem.among([each.name for each in backend.problems()])
    if not problem:
        st.info(words.NO_PROBLEM)
        return
    _trouble(backend)
    waiting = backend.work(problem)
    done, n_waiting = backend.progress(problem)
    st.progress(done / max(1, done + n_waiting), text=words.progress(done, n_waiting))
    if not waiting:
        st.info(words.WORK_EMPTY)
        st.write(words.WORK_FILL)
        _agreement(backend, problem)
        return
    keys = [each.item.key for each in waiting]
    key = _current(keys)
    reading = backend.open_item(key)
    left, right = st.columns([3, 2], gap="large")
    with left:
        image = backend.sample_picture(problem, key.sha256)
        if image:
            components.picture(f"{key.sha256}", image, words.picture_of(key.sha256[:_STARTS]))
        else:
            st.error(words.PICTURE_DAMAGED)
    with right:
        _panel(backend, reading)
        _moves(keys, key)
    _agreement(backend, problem)


def _panel(backend: Backend, reading: Reading) -> None:
    who, key = backend.person.name, reading.item.key
    labels = backend.labels_of(key.problem)
    first = reading.by(who, FIRST)
    if reading.is_disputed:
        st.header(words.WORK_DISPUTED)
        for name, read in zip(words.WORK_READER, reading.finals, strict=False):
            answer_panel.facts([(name, words.reader_said(read.label, read.note))])
        _behind(reading, backend.shown(reading))
        _choices(backend, key, ADJUDICATED, labels)
    elif first is None:
        st.header(words.WORK_READ)
        st.write(words.WORK_BLIND)
        _choices(backend, key, FIRST, labels)
    else:
        st.header(words.WORK_AGAIN)
        answer_panel.facts([(words.WORK_YOURS, words.reader_said(first.label, ""))])
        _behind(reading, backend.shown(reading))
        st.button(
            words.WORK_KEEP,
            key=f"keep-{key.sha256}-{key.round}",
            type="primary",
            shortcut="Enter",
            width="stretch",
            on_click=_say,
            args=(backend, key, FINAL, first.label),
        )
        _choices(backend, key, FINAL, labels)
    note = f"note-{key.sha256}-{key.round}"
    st.session_state.setdefault(note, backend.draft(key).note)
    st.text_area(words.WORK_NOTE, key=note, on_change=_note, args=(backend, key, note))
    st.write(words.WORK_KEYS)


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


def _choices(backend: Backend, key: WorkKey, step: str, labels: Sequence[str]) -> None:
    """A button and a digit for each answer."""
    named = [*enumerate(labels, 1), (0, CANNOT_TELL)]
    for number, label in named:
        st.button(
            label or words.WORK_CANNOT_TELL,
            key=f"{step}-{key.sha256}-{key.round}-{number}",
            shortcut=str(number) if number < 10 else None,
            width="stretch",
            on_click=_say,
            args=(backend, key, step, label),
        )


def _moves(keys: Sequence[WorkKey], key: WorkKey) -> None:
    at = keys.index(key)
    back, ahead = st.columns(2)
    back.button(words.WORK_BACK, shortcut="B", width="stretch", on_click=_go, args=(keys, at - 1))
    ahead.button(words.WORK_NEXT, shortcut="N", width="stretch", on_click=_go, args=(keys, at + 1))


def _current(keys: Sequence[WorkKey]) -> WorkKey:
    """The one in the address, else the first."""
    asked = st.query_params.get("image", "")
    found = (key for key in keys if asked and key.sha256.startswith(asked))
    key = next(found, keys[0])
    st.query_params["image"] = key.sha256[:_STARTS]
    return key


def _go(keys: Sequence[WorkKey], at: int) -> None:
    st.query_params["image"] = keys[at % len(keys)].sha256[:_STARTS]


def _say(backend: Backend, key: WorkKey, step: str, label: str) -> None:
    note = st.session_state.get(f"note-{key.sha256}-{key.round}", "")
    try:
        reading = backend.say(key, step, label, note)
    except UnknownNameError:
        st.session_state["trouble"] = words.WORK_GONE
    except NeuroError as error:
        st.session_state["trouble"] = str(error)
    except (OSError, RuntimeError, ValueError) as error:  # what Lance raises of a lake that is away
        st.session_state["trouble"] = words.WORK_KEPT.format(why=type(error).__name__)
    else:
        decided = reading.decision
        if step == FIRST and decided and decided.who != backend.person.name:
            st.session_state["told"] = words.WORK_DECIDED.format(who=decided.who)
        if step != FIRST:
            st.query_params.pop("image", None)


def _note(backend: Backend, key: WorkKey, name: str) -> None:
    backend.note(key, st.session_state[name])


def _trouble(backend: Backend) -> None:
    """What went wrong at the last click, and what waited on this machine since."""
    if trouble := st.session_state.pop("trouble", ""):
        st.error(trouble)
    elif n := backend.store_drafts():
        st.success(words.WORK_STORED.format(n=n))
    if told := st.session_state.pop("told", ""):
        st.info(told)


def _agreement(backend: Backend, problem: str) -> None:
    rows = [
        (each.first, each.second, words.kappa(value.value, value.low, value.high, value.n))
        for each in backend.agreements(problem)
        if (value := each.value) is not None
    ]
    if rows:
        answer_panel.table(("", "", "kappa"), rows, words.WORK_AGREEMENT)
