"""What Streamlit's own style lacks: less empty space, headings in order, tables, dark and light."""

from functools import cache
from importlib import resources

import streamlit as st


def apply() -> None:
    """To the page that is drawn."""
    st.html(f"<style>{_css()}</style>")


@cache
def _css() -> str:
    place = resources.files("deployments.reading_room") / "static" / "room.css"
    return place.read_text("utf-8")
