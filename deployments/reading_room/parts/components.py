"""Our own components: small programs of the browser, which get their data and no address."""

import base64
from collections.abc import Sequence
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


def of_sample(sample_id: str, picture: bytes, label: str, *lines: str) -> Cell:
    """A cell that is titled by a label, which may be none."""
    title = label or words.BROWSE_NO_LABEL
    return Cell(id=sample_id, picture=picture, title=title, lines=lines)


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
    sent = getattr(_component("note")(key="note", data=data), "note", None)
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
    result = _component("gallery")(key=key, data=data)
    return str(getattr(result, "opened", None) or "")


def download(key: str, label: str, name: str, content: str) -> None:
    """A button that saves a page of HTML."""
    data = {"label": label, "name": name, "content": content, "type": "text/html"}
    _component("download")(key=key, data=data)


def watch_session() -> None:
    """Leave the page when the session is over."""
    _component("session")(key="session")


def data_uri(image: bytes) -> str:
    """A PNG or JPEG as an address that holds it."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


@cache
def _component(name: str) -> Any:
    """Of the files of this name: its HTML, style and program, as far as it has them."""
    files = {kind: _STATIC / f"{name}.{kind}" for kind in ("html", "css", "js")}
    texts: dict[str, Any] = {
        kind: file.read_text("utf-8") for kind, file in files.items() if file.is_file()
    }
    return st.components.v2.component(f"neuro_{name}", **texts)
