"""Ask: drop images, see the answer with its doubt, where the network looked, and what is alike."""

import json
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

import streamlit as st

from deployments.reading_room import answer_page, reports, words
from deployments.reading_room.backend import Backend, SimilarCase
from deployments.reading_room.parts import answer_panel, choose_problem, components
from deployments.service.config import MOST_FILES
from neuro.client import Answer, CaseAnswer, Map
from neuro.errors import NeuroError


@dataclass(slots=True)
class Question:
    """One upload and what is known of it by now; in the memory of this session alone."""

    name: str
    raw: bytes
    picture: bytes
    answer: Answer
    maps: tuple[list[Map], str] | None = None
    similar: list[SimilarCase] | None = None
    no_similar: str = ""


@dataclass(slots=True)
class Asked:
    """All uploads that were asked together, and their answer as one case."""

    questions: dict[str, Question] = field(default_factory=dict)
    case: CaseAnswer | None = None


def show(backend: Backend) -> None:
    """Draw it."""
    backend.require("reader")
    st.title(words.ASK)
    models = {model["problem"]: model for model in backend.models()}
    problem = choose_problem.among(sorted(models))
    if not problem:
        st.info(words.ASK_NO_MODEL)
        return
    files = st.file_uploader(words.ASK_UPLOAD, accept_multiple_files=True)
    has_rule = backend.has_case_rule(problem)
    is_case = has_rule and len(files) > 1 and st.toggle(words.ASK_CASE, value=True)
    keep = st.checkbox(words.ASK_KEEP, help=words.ASK_KEPT_NOT)
    if not files:
        st.session_state.pop("asked", None)
        st.write(words.ASK_KEPT_NOT)
        return
    if len(files) > MOST_FILES:
        st.warning(words.ASK_MANY)
    given = {each.file_id: (each.name, each.getvalue()) for each in files[:MOST_FILES]}
    asked = _asked(backend, given, (problem, is_case, keep))
    if asked.case:
        st.header(words.ASK_CASE_TITLE)
        case = asked.case
        answer_panel.verdict(case.decision, case.predicted, case.conformal_set, case.reason)
        answer_panel.bars(case.probabilities, case.predicted)
    chosen = _chosen(asked)
    question = asked.questions[chosen]
    left, right = st.columns([3, 2], gap="large")
    with left:
        if question.picture:
            maps = question.maps[0] if question.maps else []
            components.picture(chosen, question.picture, words.picture_of(question.name), maps)
        if question.maps is not None:
            st.header(words.MAPS)
            answer_panel.text(question.maps[1] or words.MAPS_NONE)
    with right:
        _answer(backend, question, models[problem])
    _below(backend, question, models[problem])
    _complete(backend, question, problem)


def _asked(
    backend: Backend, given: dict[str, tuple[str, bytes]], how: tuple[str, bool, bool]
) -> Asked:
    """The answers, asked once for the same uploads."""
    problem, is_case, keep = how
    known = st.session_state.get("asked")
    if known and known[0] == (tuple(given), how):
        found: Asked = known[1]
        return found
    raws = [raw for _, raw in given.values()]
    answers, case = backend.ask(raws, problem, is_case=is_case, keep=keep)
    questions = {
        file_id: Question(name=name, raw=raw, picture=backend.picture(raw), answer=answer)
        for (file_id, (name, raw)), answer in zip(given.items(), answers, strict=True)
    }
    asked = Asked(questions=questions, case=case)
    st.session_state["asked"] = ((tuple(given), how), asked)
    return asked


def _chosen(asked: Asked) -> str:
    ids = list(asked.questions)
    if len(ids) == 1:
        return ids[0]

    def label(file_id: str) -> str:
        question = asked.questions[file_id]
        answer = question.answer
        told = answer.predicted if answer.decision == "answer" else ""
        decision = words.WORDS_OF_DECISION[answer.decision]
        return f"{ids.index(file_id) + 1}. {question.name}: {told or decision}"

    chosen: str = st.selectbox(words.ASK_WHICH, ids, format_func=label)
    return chosen


def _answer(backend: Backend, question: Question, model: dict[str, Any]) -> None:
    answer = question.answer
    answer_panel.verdict(answer.decision, answer.predicted, answer.conformal_set, answer.reason)
    if answer.decision == "refused":
        return
    called = answer.probabilities[answer.predicted]
    if answer.decision == "answer":
        st.html(f"<p>{escape(words.of_hundred(called))}</p>")
    if copy := backend.copy_of(question.similar or (), answer.problem):
        answer_panel.notice("bad", words.COPY.format(split=copy.split))
    if answer.decision == "out_of_scope":
        with st.expander(words.UNUSED):
            answer_panel.bars(answer.probabilities, answer.predicted)
    else:
        answer_panel.bars(answer.probabilities, answer.predicted)
    rows = [(words.SET_TITLE, words.conformal(answer.conformal_set))]
    if answer.ood_score is not None:
        rows.append((words.WORDS_OF_DECISION["out_of_scope"], words.scope(answer.ood_score)))
    since = model["since"][:16].replace("T", " ")
    line = words.MODEL_LINE.format(
        version=words.version(answer.model_version),
        architecture=model["architecture"],
        since=since,
    )
    answer_panel.facts([*rows, (words.MODEL, line)])
    if question.picture:
        side_px = answer_page.side_px(answer.problem)
        answer_panel.points(answer_page.quality(question.picture, side_px))


def _below(backend: Backend, question: Question, model: dict[str, Any]) -> None:
    answer, problem = question.answer, str(model["problem"])
    if answer.decision == "refused":
        return
    if question.similar:
        st.header(words.SIMILAR)
        cells = [
            components.of_sample(
                *(case.sample_id, case.picture, case.label),
                *(words.SIMILAR_LINE.format(cosine=case.cosine), case.split),
            )
            for case in question.similar
        ]
        components.gallery("similar", words.SIMILAR, cells)
    elif question.no_similar:
        answer_panel.text(words.SIMILAR_NONE.format(why=question.no_similar))
    left, right = st.columns(2, gap="large")
    with left:
        _report(backend, question)
    with right:
        _give_label(backend, question, problem)
    if question.maps is not None and question.picture:
        page = answer_page.build(answer, question.picture, question.maps)
        components.download("save", words.SAVE, f"answer-{answer.sample_id[:12]}.html", page)
    _model(backend, model)
    with st.expander(words.CODE):
        address = backend.here.servers.service
        st.code(words.curl(address, problem), language="bash")
        st.code(words.python(address, problem), language="python")
    with st.expander(words.RAW):
        st.code(json.dumps(asdict(answer), indent=1), language="json")


def _model(backend: Backend, model: dict[str, Any]) -> None:
    """What answers, behind a click, with its card where that is here."""
    with st.expander(words.CARD):
        values = (model["intended_use"], model["engine"], ", ".join(model["classes"]))
        answer_panel.facts(list(zip(words.CARD_FACTS, values, strict=True)))
        if place := reports.card_place(backend.here.home, model["package"]):
            st.html(answer_panel.link(words.CARD_LINK, place))


def _report(backend: Backend, question: Question) -> None:
    with st.expander(words.REPORT), st.form("report"):
        what = st.text_area(words.REPORT_TEXT, max_chars=2000)
        if st.form_submit_button(words.REPORT_SEND):
            if not what.strip():
                answer_panel.notice("bad", words.REPORT_EMPTY)
                return
            is_new = backend.report(question.raw, question.answer, what)
            answer_panel.notice("good", words.REPORT_DONE if is_new else words.REPORT_AGAIN)


def _give_label(backend: Backend, question: Question, problem: str) -> None:
    with st.expander(words.GIVE_LABEL), st.form("label"):
        label = st.selectbox(words.GIVE_LABEL_WHICH, backend.labels_of(problem))
        if st.form_submit_button(words.GIVE_LABEL_SEND):
            is_new = backend.give_label(question.raw, question.answer, label)
            answer_panel.notice("good", words.GIVE_LABEL_DONE if is_new else words.GIVE_LABEL_AGAIN)


def _complete(backend: Backend, question: Question, problem: str) -> None:
    """What takes seconds comes after the answer is there to be read."""
    if question.answer.decision == "refused" or question.maps is not None:
        return
    with st.spinner(words.ASK_LOOKING):
        question.maps = backend.explain(question.raw, problem)
        try:
            question.similar = backend.similar(question.raw, problem)
        except NeuroError as error:
            question.no_similar = str(error)
    st.rerun()
