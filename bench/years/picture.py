"""The year as one picture: what happened, what the monitor said, and how good the model was."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.years import weeks
from bench.years.happened import Week
from neuro.reports import verdict_history

_SCENES = (
    (weeks.SCANNER, weeks.WEEKS + 1, "new scanner", 0.0),
    (weeks.SEASON.start, weeks.SEASON.stop, "season:\nother classes", 0.09),
    (weeks.ERRORS.start, weeks.ERRORS.stop, "labels\nwrong", 0.09),
)


def draw(year: Sequence[Week], title: str, path: Path) -> Path:
    """Write the picture. year: every week, in order."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    numbers = [week.number for week in year]
    above.plot(numbers, [week.accuracy for week in year], "o-", color="#1d2126", ms=4, lw=1.2)
    lowest = min(week.accuracy for week in year)
    top = 1.0
    above.set_ylim(lowest - 0.06, top + 0.14)
    for start, stop, name, lower in _SCENES:
        above.axvspan(start - 0.5, stop - 0.5, color="#0072b2", alpha=0.07, lw=0)
        above.text(start - 0.3, top + 0.13 - lower, name, va="top", fontsize=9, color="#004a75")
    for week in year:
        if week.decision:
            is_new = week.decision == "promote"
            colour = "#d55e00" if is_new else "#8a8d91"
            above.axvline(week.number + 0.5, color=colour, lw=1.4, ls="-" if is_new else ":")
            said = "retrained,\npromoted" if is_new else f"retrained,\n{week.decision}"
            above.text(week.number + 0.6, lowest - 0.05, said, fontsize=8, color=colour)
    above.set_ylabel("accuracy of what serves,\nby the true labels")
    above.grid(axis="y", alpha=0.3)
    for week in year:
        colour, letter = verdict_history.COLOURS[week.verdict]
        below.bar(week.number, 1, width=0.92, color=colour)
        below.text(week.number, 0.5, letter, ha="center", va="center", fontsize=9)
    below.set_yticks([])
    below.set_ylabel("verdict", rotation=0, ha="right", va="center")
    below.set_xlabel("week")
    below.set_xlim(0.4, len(year) + 0.6)
    names = [f"{letter} {name}" for name, (_, letter) in verdict_history.COLOURS.items()]
    handles = [
        Rectangle((0, 0), 1, 1, color=colour) for colour, _ in verdict_history.COLOURS.values()
    ]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
    return path
