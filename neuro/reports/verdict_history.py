"""Verdicts over time as small pictures in SVG: a strip of verdicts, and a line for each signal.

A line is a statistic over its own threshold, so that 1 is the same in all of them.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from neuro.promotion.verdict_log import Judged

MOST = 26  # windows that are shown, the last ones
_CELL, _HEIGHT = 22, 44
_HIGHEST = 2.0  # of a line, in thresholds; what is higher stands there
# Of Okabe and Ito (2008), and a letter each: colour alone tells nothing to one in twelve men.
COLOURS = {
    "steady": ("#009e73", "s"),
    "look": ("#56b4e9", "l"),
    "label": ("#e69f00", "L"),
    "retrain": ("#d55e00", "R"),
    "inconclusive": ("#8a8d91", "?"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture in SVG, with what it says in words."""

    svg: str
    said: str

    @property
    def uri(self) -> str:
        """As the source of an image, which runs no script."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg.encode()).decode()}"


def strip(judged: Sequence[Judged]) -> Picture:
    """The last verdicts as cells of a strip, oldest first; a mark where a person spoke."""
    shown = judged[-MOST:]
    cells = [_cell(number, each) for number, each in enumerate(shown)]
    said = f"{len(shown)} verdicts, oldest first: " + ", ".join(each.outcome for each in shown)
    return _picture(len(shown) * _CELL, 34, said, "".join(cells))


def lines(judged: Sequence[Judged]) -> dict[str, Picture]:
    """By signal, its line over the last verdicts, oldest first."""
    shown = judged[-MOST:]
    found = [{each["name"]: each for each in one.body.get("signals", ())} for one in shown]
    names = dict.fromkeys(name for one in found for name in one)
    return {name: _line([one.get(name) for one in found], name) for name in names}


def _cell(number: int, judged: Judged) -> str:
    colour, letter = COLOURS.get(judged.outcome, COLOURS["inconclusive"])
    left, mark = number * _CELL, ""
    if judged.responses:
        mark = f'<circle cx="{left + 10}" cy="30" r="2.5" fill="#1d2126"/>'
    title = f"{judged.at:%Y-%m-%d}, {judged.window}: {judged.outcome}"
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{left}" y="2" width="20" height="22" rx="3" fill="{colour}"/>'
        f'<text x="{left + 10}" y="18" text-anchor="middle" font-size="13" fill="#000">{letter}'
        f"</text>{mark}</g>"
    )


def _line(signals: Sequence[Mapping[str, object] | None], name: str) -> Picture:
    ratios = [None if each is None else _ratio(each) for each in signals]
    places = [
        (number * _CELL + 10, _HEIGHT - 4 - (_HEIGHT - 8) * ratio / _HIGHEST)
        for number, ratio in enumerate(ratios)
        if ratio is not None
    ]
    limit = _HEIGHT - 4 - (_HEIGHT - 8) / _HIGHEST
    width = len(signals) * _CELL
    points = " ".join(f"{x:.0f},{y:.1f}" for x, y in places)
    colours = ["#d55e00" if y < limit else "#0072b2" for _, y in places]
    dots = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
        for (x, y), colour in zip(places, colours, strict=True)
    )
    said = ", ".join("none" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
    return _picture(
        width,
        _HEIGHT,
        f"{name} as a share of its threshold by dealing, oldest first: {said}",
        f'<line x1="0" y1="{limit:.1f}" x2="{width}" y2="{limit:.1f}" stroke="#5b626a" '
        f'stroke-dasharray="3 3"/>'
        f'<polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="1.5"/>{dots}',
    )


def _ratio(signal: Mapping[str, object]) -> float:
    """Statistic over threshold, 0 to the highest; of wealth, which grows by factors, their logs.

    The threshold by dealing, if there is one: what becomes usual rises all the same.
    """
    statistic, threshold = (
        float(str(value))
        for value in (signal["statistic"], signal.get("dealt") or signal["threshold"])
    )
    if signal["name"] == "audited_accuracy":
        statistic, threshold = math.log(max(statistic, 1.0)), math.log(max(threshold, 1.1))
    ratio = statistic / threshold if threshold > 0 else 0.0
    return min(max(ratio, 0.0), _HIGHEST)


def _picture(width: int, height: int, said: str, inner: str) -> Picture:
    wide = max(width, _CELL)
    opened = f'<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" width="{wide}" '
    svg = f'{opened}height="{height}" viewBox="0 0 {wide} {height}">{inner}</svg>'
    return Picture(svg=svg, said=said)
