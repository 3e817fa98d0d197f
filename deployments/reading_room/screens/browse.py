"""Browse: the images of a release as a grid, filtered and in pages."""

import streamlit as st

from deployments.reading_room import words
from deployments.reading_room.backend import Backend
from deployments.reading_room.parts import choose_problem, components
from deployments.reading_room.release_rows import Filter
from neuro.sample import NO_SPLIT, SPLITS

PER_PAGE = 24


def show(backend: Backend) -> None:
    """Draw it."""
    st.title(words.BROWSE)
    problem = choose_problem.among([each.name for each in backend.problems()])
    if not problem:
        st.info(words.NO_PROBLEM)
        return
    names = backend.release_names(problem)
    first, second, third, fourth, fifth = st.columns(5)
    release = str(first.selectbox(words.BROWSE_RELEASE, names))
    known = [(None, words.BROWSE_ALL), *((name, name) for name in backend.labels_of(problem))]
    labels = dict([*known, ("", words.BROWSE_NO_LABEL)])
    label = second.selectbox(words.BROWSE_CLASS, list(labels), format_func=lambda key: labels[key])
    splits = {"": words.BROWSE_ALL} | {name: name for name in (*SPLITS, NO_SPLIT)}
    split = third.selectbox(words.BROWSE_SPLIT, list(splits), format_func=lambda key: splits[key])
    kinds = words.BROWSE_ONLY_WHAT
    only = fourth.selectbox(words.BROWSE_ONLY, list(kinds), format_func=lambda key: kinds[key])
    beginning = fifth.text_input(words.BROWSE_GROUP)
    wanted = Filter(label=label, split=split, beginning=beginning)
    found, of = backend.browse(problem, release, wanted, only)
    n_pages = max(1, -(-found.num_rows // PER_PAGE))
    count, pager = st.columns([3, 1])
    count.write(words.browse_count(found.num_rows, of))
    page = pager.number_input(words.BROWSE_PAGE, 1, n_pages, 1)
    rows = found.slice((int(page) - 1) * PER_PAGE, PER_PAGE).to_pylist()
    pictures = backend.small(problem, release, [row["sample_id"] for row in rows])
    cells = [
        components.of_sample(
            row["sample_id"],
            pictures.get(row["sample_id"], b""),
            row["label"],
            *(row["split"], row["sample_id"][:12]),
        )
        for row in rows
    ]
    if opened := components.gallery("browse", words.BROWSE, cells, opens=True):
        query = {"problem": problem, "image": opened}
        st.switch_page(st.session_state["pages"]["image"], query_params=query)
