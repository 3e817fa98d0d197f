"""Which problem a page is about: chosen once, kept in the address."""

from collections.abc import Sequence

import streamlit as st

from deployments.reading_room import words


def among(names: Sequence[str]) -> str:
    """The chosen one, "" where there is none to choose."""
    if not names:
        return ""
    asked = st.query_params.get("problem", "")
    first = names.index(asked) if asked in names else 0
    if len(names) == 1:
        return names[0]
    chosen: str = st.selectbox(words.PROBLEM, names, index=first)
    st.query_params["problem"] = chosen
    return chosen
