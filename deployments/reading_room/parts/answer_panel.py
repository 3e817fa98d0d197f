"""An answer in words: the doubt first, then numbers that are the service's own."""

from collections.abc import Mapping, Sequence
from html import escape

import streamlit as st

from deployments.reading_room import words


def verdict(decision: str, predicted: str, conformal_set: Sequence[str], reason: str) -> None:
    """The answer in one line, the sentence of the service below."""
    mark = {"answer": "\N{CHECK MARK}", "refused": "\N{MULTIPLICATION X}"}.get(decision, "?")
    sentence = words.said(decision, predicted, conformal_set, reason)
    why = "" if decision == "refused" else f'<p class="why">{escape(reason)}</p>'
    st.html(
        f'<p class="verdict {escape(decision)}"><span aria-hidden="true">{mark}</span> '
        f"{escape(sentence)}</p>{why}"
    )


def bars(probabilities: Mapping[str, float], predicted: str) -> None:
    """A row for each class, the most probable first; the numbers are those of the service."""
    rows = "".join(
        f'<tr{" class=called" if name == predicted else ""}><th scope="row">{escape(name)}</th>'
        f'<td class="number">{value:.4f}</td>'
        f'<td class="bar" aria-hidden="true"><i style="width:{100 * value:.1f}%"></i></td></tr>'
        for name, value in sorted(probabilities.items(), key=lambda each: -each[1])
    )
    head = (
        f'<thead><tr><th scope="col">{words.BARS_CLASS}</th>'
        f'<th scope="col">{words.BARS_PROBABILITY}</th><td aria-hidden="true"></td></tr></thead>'
    )
    st.html(
        f'<table class="bars"><caption>{words.BARS}</caption>{head}<tbody>{rows}</tbody></table>'
    )


def facts(rows: Sequence[tuple[str, str]]) -> None:
    """Names and what they are."""
    inner = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    st.html(f"<dl>{inner}</dl>")


def notice(kind: str, text: str) -> None:
    """A sentence not to be overlooked, in which nothing is markup. kind: good or bad."""
    sign = {"good": "\N{CHECK MARK}", "bad": "\N{BLACK UP-POINTING TRIANGLE}"}.get(kind, "")
    role = "alert" if kind == "bad" else "status"
    st.html(
        f'<p class="notice-box {escape(kind)}" role="{role}">'
        f'<span aria-hidden="true">{sign}</span> {escape(text)}</p>'
    )


def text(sentence: str) -> None:
    """A sentence as it is: of a person or a file, with nothing in it taken for markup."""
    st.html(f"<p>{escape(sentence)}</p>")


def link(text: str, place: str) -> str:
    """HTML of a link to a page that opens beside this one."""
    return f'<a href="{escape(place)}" target="_blank" rel="noopener">{escape(text)}</a>'


def picture(source: str, said: str) -> None:
    """A picture of this address, with what it says in words."""
    st.html(
        f'<div class="scrolled" tabindex="0" role="region" aria-label="{escape(said)}">'
        f'<img alt="{escape(said)}" src="{escape(source)}"></div>'
    )


def points(lines: Sequence[str]) -> None:
    """Short sentences, one below the other."""
    inner = "".join(f"<li>{escape(line)}</li>" for line in lines)
    st.html(f'<ul class="points">{inner}</ul>')


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], caption: str) -> None:
    """A table that a screen reader can read, and Streamlit's canvas is none."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    st.html(
        f'<div class="scrolled" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="plain"><caption class="unseen">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
