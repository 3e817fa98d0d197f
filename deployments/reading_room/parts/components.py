"""Our own components: small programs of the browser, which get their data and no address."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import streamlit as st

from deployments.reading_room import words
from neuro.client import Map

_STATIC = resources.files("deployments.reading_room") / "static"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One picture of a gallery. picture: PNG or JPEG, b"" for one that is damaged."""

    id: str
    picture: bytes
    title: str
    lines: Sequence[str] = ()


def picture(id_: str, image: bytes, alt: str, maps: Sequence[Map] = ()) -> None:
    """A picture to be looked at closely, with maps to lay over it."""
    data = {
        "id": id_,
        "image": data_uri(image),
        "alt": alt,
        "words": words.PICTURE,
        "overlays": [
            {"label": words.overlay(each), "src": data_uri(each.png)} for each in maps if each.png
        ],
    }
    _component("picture")(key="picture", data=data)


def note(id_: str, text: str, most: int) -> tuple[str, str] | None:
    """A box for a note; the id and text that the browser sent last, None for nothing yet."""
    data = {"id": id_, "text": text, "label": words.WORK_NOTE, "most": most}
    sent = getattr(_component("note")(key="note", data=data, on_note_change=_nothing), "note", None)
    return (str(sent["id"]), str(sent["text"])) if sent else None


def gallery(key: str, label: str, cells: Sequence[Cell], *, opens: bool = False) -> str:
    """Small pictures; returns the id of the one that was just clicked, "" for none."""
    data = {
        "label": label,
        "opens": opens,
        "cells": [
            {
                "id": cell.id,
                "image": data_uri(cell.picture) if cell.picture else "",
                "alt": words.picture_of(cell.title) if cell.picture else words.PICTURE_DAMAGED,
                "title": cell.title,
                "lines": list(cell.lines),
            }
            for cell in cells
        ],
    }
    result = _component("gallery", "<ul></ul>")(key=key, data=data, on_opened_change=_nothing)
    return str(getattr(result, "opened", None) or "")


def download(key: str, label: str, name: str, content: str) -> None:
    """A button that saves a page of HTML."""
    data = {"label": label, "name": name, "content": content, "type": "text/html"}
    _component("download", "<button type='button'></button>")(key=key, data=data)


def watch_session() -> None:
    """Leave the page when the session is over."""
    _component("session")(key="session")


def data_uri(image: bytes) -> str:
    """A PNG or JPEG as an address that holds it."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


@cache
def _component(name: str, html: str = "") -> Any:
    texts: Mapping[str, str | None] = {
        kind: (_STATIC / f"{name}.{kind}").read_text("utf-8")
        if (_STATIC / f"{name}.{kind}").is_file()
        else None
        for kind in ("html", "css", "js")
    }
    if name == "download":
        texts = {**texts, "css": (_STATIC / "picture.css").read_text("utf-8")}
    return st.components.v2.component(
        f"neuro_{name}", html=texts["html"] or html or None, css=texts["css"], js=texts["js"]
    )


def _nothing() -> None:
    """What happens at a click is asked of the result."""
