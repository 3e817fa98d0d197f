"""The table as people read it, in lines of at most 120 columns."""

from collections.abc import Callable, Sequence

from bench.drifts import scenes
from bench.drifts.audits import Year
from bench.drifts.varying import Varying
from bench.drifts.watching import Row

OUTCOMES = ("retrain", "label", "look", "steady")
LEGEND = (
    "act: `label` or `retrain`, of a peer any alarm. in two: in one of two windows in a row.",
    f"Peers see every other window. *: no strength that was tried costs {100 * scenes.ENOUGH:g} "
    f"points, or only on the {scenes.SOUGHT} images that chose it.",
)


def of_rows(rows: Sequence[Row], show: Callable[[str], None]) -> None:
    """Windows without labels. act: `label` or `retrain`, of a peer any alarm."""
    shown = "".join(f"{outcome:>8}" for outcome in OUTCOMES)
    show(f"{'no labels':28}{'lost':>5}  {'method':34}{'act':>5}{'in two':>8}{shown}{'s':>6}")
    before = ""
    for row in rows:
        outcomes = "".join(
            f"{100 * row.outcomes.get(outcome, 0):8.0f}" if row.outcomes else f"{'':8}"
            for outcome in OUTCOMES
        )
        is_mild = row.kind == "harmful" and row.lost < scenes.ENOUGH
        lost = f"{100 * row.lost:.1f}{'*' if is_mild else ' '}"
        scene, lost = ("", "") if row.scene == before else (row.scene, lost)
        before = row.scene
        show(
            f"{scene:28}{lost:>6} {row.method:34}{100 * row.acts:5.0f}"
            f"{100 * row.acts_in_two:8.0f}{outcomes}{row.seconds:6.2f}"
        )


def of_years(years: Sequence[Year], show: Callable[[str], None]) -> None:
    """Years of windows with 40 labels each."""
    show(
        f"{'40 labels a week':28}{'lost':>5}  {'method':34}{'4 weeks':>8}{'a year':>8}{'median':>8}"
    )
    before = ""
    for year in years:
        scene, lost = ("", "") if year.scene == before else (year.scene, f"{100 * year.lost:.1f}")
        before = year.scene
        show(
            f"{scene:28}{lost:>5}  {year.method:34}{100 * year.soon:8.1f}"
            f"{100 * year.in_a_year:8.1f}{year.median_weeks:8.1f}"
        )


def of_varying(weeks: Sequence[Varying], show: Callable[[str], None]) -> None:
    """Weeks that differ harmlessly: how often something is said of them, and harm is found."""
    show(f"{'weeks that vary harmlessly':34}{'method':34}{'not steady':>12}   then act on")
    before = ""
    for week in weeks:
        for method, share in week.called_unusual.items():
            named = "" if week.harmless == before else f"up to half {week.harmless}"
            before = week.harmless
            found = f"{100 * week.found[method]:7.0f} {week.harmful}"
            show(f"{named:34}{method:34}{100 * share:12.0f}{found}")
