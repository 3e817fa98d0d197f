"""The passport as Markdown, for a run's page: what it says and asks for, in counts alone.

No picture and no digest: Prefect keeps what a run shows for as long as it likes.
"""

import html
import re

from neuro.reports import passport_text, render
from neuro.reports.passport_text import SealedPassport

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~])")


def build(release: str, passport: SealedPassport) -> str:
    """Markdown in which every text is escaped."""
    synthetic = f" {render.SYNTHETIC}" if passport.get("is_synthetic") else ""
    lines = [
        f"## Passport of {plain(release)}",
        f"**{render.RESEARCH_USE}**{synthetic}",
        _counts(passport),
        "| | What | It says | What to do |\n|---|---|---|---|",
    ]
    advices = passport_text.by_status(passport_text.advise(passport))
    rows = [
        f"| {render.STATUS_WORDS[each.status]} | {plain(each.title)} | {plain(each.says)} | "
        f"{plain(each.remedy)} |"
        for each in advices
    ]
    return "\n\n".join(lines) + "\n" + "\n".join(rows) + "\n"


def plain(text: str) -> str:
    """Text in which no character means anything to Markdown or HTML."""
    escaped = _SPECIAL.sub(r"\\\1", " ".join(text.replace("`", "'").split()))
    return html.escape(escaped, quote=False)


def _counts(passport: SealedPassport) -> str:
    parts = [f"**{passport['images']:,}** images in **{passport['groups']:,}** groups"]
    for kind in ("labels", "splits"):
        counts = passport.get(kind) or {}
        named = [f"{plain(name or '(none)')} {n:,}" for name, n in counts.items()]
        parts.append(f"{kind}: {', '.join(named)}")
    return "; ".join(parts)
