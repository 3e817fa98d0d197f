"""The passport as Markdown of bounded size, for a run's page: what it says, and a few pictures."""

import base64
import html
import re
from collections.abc import Iterator

from neuro.reports import html as pages
from neuro.reports import passport_text
from neuro.reports.passport_page import Subject
from neuro.reports.passport_sections import Pictures
from neuro.reports.passport_text import Sealed

MAX_BYTES = 300_000
N_CLUSTERS = 4
N_OF_CLUSTER = 3
N_SUSPECTS = 4
N_NEIGHBOURS = 2

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~])")


def build(subject: Subject, sealed: Sealed, pictures: Pictures) -> str:
    """Markdown of at most MAX_BYTES; every text in it is escaped. Each picture names its sample."""
    heading = f"## Passport of {plain(subject.release)}\n\n**{pages.RESEARCH_USE}**"
    if sealed.get("is_synthetic"):
        heading += f" {pages.SYNTHETIC}"
    found = passport_text.by_status(passport_text.advise(sealed))
    rows = [
        f"| {pages.WORDS[each.status]} | {plain(each.title)} | {plain(each.says)} | "
        f"{plain(each.remedy)} |"
        for each in found
    ]
    head = "| | What | It says | What to do |\n|---|---|---|---|"
    text = "\n".join([heading, "", _figures(sealed), "", head, *rows, ""])
    for line in (*_twins(sealed, pictures), *_suspects(sealed, pictures)):
        if len(text.encode()) + len(line.encode()) >= MAX_BYTES:
            break
        text += f"\n{line}\n"
    return text


def _figures(sealed: Sealed) -> str:
    counts = [f"**{sealed['images']:,}** images in **{sealed['groups']:,}** groups"]
    for name in ("labels", "splits"):
        told = (f"{plain(key or '(none)')} {n:,}" for key, n in (sealed.get(name) or {}).items())
        counts.append(f"{name}: {', '.join(told)}")
    return "; ".join(counts)


def plain(text: str) -> str:
    """Text in which no character means anything to Markdown or HTML."""
    escaped = _SPECIAL.sub(r"\\\1", " ".join(text.replace("`", "'").split()))
    return html.escape(escaped, quote=False)


def _twins(sealed: Sealed, pictures: Pictures) -> Iterator[str]:
    clusters = (sealed.get("twins") or {}).get("examples") or []
    if clusters:
        yield "### Copies of the same picture"
    for cluster in clusters[:N_CLUSTERS]:
        members = cluster[:N_OF_CLUSTER]
        told = (f"{m['label'] or '(no label)'} ({m['given_split'] or 'no split'})" for m in members)
        drawn = " ".join(_picture(m["sample_id"], "copy", pictures) for m in members)
        yield f"{drawn}\n\n{plain(', '.join(told))}"


def _suspects(sealed: Sealed, pictures: Pictures) -> Iterator[str]:
    rows = sealed.get("label_suspects") or []
    if rows:
        yield "### Labels in doubt, each with similar pictures"
    for row in rows[:N_SUSPECTS]:
        shown = [row, *row.get("neighbours", [])[:N_NEIGHBOURS]]
        drawn = " ".join(_picture(each["sample_id"], "image", pictures) for each in shown)
        similar = ", ".join(each["label"] for each in shown[1:])
        told = f"given {row['label']}, suggested {row['suggested']}; similar images: {similar}"
        yield f"{drawn}\n\n{plain(told)}"


def _picture(sample_id: str, what: str, pictures: Pictures) -> str:
    if sample_id not in pictures:
        return plain(f"({what} {sample_id[:12]})")
    encoded = base64.b64encode(pictures[sample_id]).decode()
    return f"![{what} {plain(sample_id)}](data:image/jpeg;base64,{encoded})"
