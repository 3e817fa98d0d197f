"""The gate's decision on a model, in the page of its evaluation, which was written before it."""

from collections.abc import Mapping
from typing import Any

from neuro.errors import ConfigError
from neuro.reports import render

_BEGIN, _END = "<!-- decision -->", "<!-- end of decision -->"


def put(page: str, decided: Mapping[str, Any]) -> str:
    """The page with the decision, in place of an earlier one.

    decided: as the journal has it. Raises ConfigError for a page that has no place for it.
    """
    before, found, rest = page.partition(_BEGIN)
    _, ended, after = rest.partition(_END)
    if not (found and ended):
        raise ConfigError("the page has no place for a decision; `neuro evaluate` writes a new one")
    flips = (decided.get("shadow") or {}).get("flips", {})
    section = render.render(
        "decision.html",
        decided=decided,
        cost=decided.get("cost", {}),
        gates=[
            (
                gate["name"].replace("_", " "),
                gate["outcome"],
                f"{gate['value']:.3g}",
                f"{gate['low']:.3g} to {gate['high']:.3g}",
                f"{gate['threshold']:.3g}",
                gate["explanation"],
            )
            for gate in decided["gates"]
        ],
        flips=", ".join(f"{n} {flip}" for flip, n in flips.items()),
    )
    return f"{before}{_BEGIN}\n{section}\n{_END}{after}"
