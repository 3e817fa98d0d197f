"""One image: its deliveries, labels and by whom, its group, every answer it ever got, erasure."""

import streamlit as st

from deployments.reading_room import words
from deployments.reading_room.backend import Backend
from deployments.reading_room.parts import answer_panel, components


def show(backend: Backend) -> None:
    """Draw it."""
    st.title(words.IMAGE)
    problem, sample_id = (st.query_params.get(name, "") for name in ("problem", "image"))
    if not (problem and sample_id):
        st.info(words.IMAGE_NONE)
        return
    told = backend.image(problem, sample_id)
    left, right = st.columns([2, 3], gap="large")
    with left:
        if told.picture:
            name = told.sample_id[:12]
            components.picture(told.sample_id, told.picture, words.picture_of(name))
        else:
            answer_panel.notice("bad", words.PICTURE_DAMAGED)
    with right:
        st.header(words.IMAGE_FACTS)
        answer_panel.facts(told.facts)
        for title, columns, rows in (
            (words.IMAGE_LABELS, words.IMAGE_LABEL_COLUMNS, told.labels),
            (words.IMAGE_READS, words.IMAGE_READ_COLUMNS, told.reads),
            (words.IMAGE_ANSWERS, words.IMAGE_ANSWER_COLUMNS, told.answers),
        ):
            st.header(title)
            if rows:
                answer_panel.table(columns, rows, title)
            else:
                st.write(words.IMAGE_NOTHING)
    if told.group:
        st.header(words.IMAGE_GROUP)
        cells = [
            components.of_sample(
                *(each.sample_id, each.picture, each.label), *(each.split, each.sample_id[:12])
            )
            for each in told.group
        ]
        if opened := components.gallery("group", words.IMAGE_GROUP, cells, opens=True):
            st.query_params["image"] = opened
            st.rerun()
    st.header(words.IMAGE_ERASE)
    st.code(
        words.IMAGE_ERASE_HOW.format(sample=told.sample_id[:16], problem=problem), language=None
    )
