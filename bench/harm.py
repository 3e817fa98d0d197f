"""Weeks until harm is found from a few labels a week, and how often none is found where none is."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.random import Generator
from scipy.stats import binom

from monitoring import audit_sample, harm
from monitoring.harm import Audit
from monitoring.windows import Observed

CLASSES = 4
YEAR = 52
ALPHA = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What happens to a model whose error rate is 5.1 %.

    drop: accuracy lost, by the images that changed. part: of the images that change, whose
    descriptors show it. seen: whether the unlabelled signals flag the window. start: quiet weeks
    before.
    """

    name: str
    drop: float = 0.0
    part: float = 1.0
    seen: bool = False
    start: int = 0


SCENES = (
    Scene(name="quiet"),
    Scene(name="quiet, one week in ten flagged", seen=True),
    Scene(name="10 points lost, from the first week", drop=0.10),
    Scene(name="10 points lost after 12 weeks, flagged", drop=0.10, start=12, seen=True),
    Scene(name="10 points lost after 12 weeks, unseen", drop=0.10, start=12),
    Scene(name="20 % of the images lose 40 points, flagged", drop=0.40, part=0.2, seen=True),
    Scene(name="20 % of the images lose 40 points, unseen", drop=0.40, part=0.2),
)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench harm", description=__doc__)
    parser.add_argument("--years", type=int, default=400, help="years of each scene")
    parser.add_argument("--labels", type=int, default=40, help="labels a week")
    parser.add_argument("--groups", type=int, default=300, help="groups of window and reference")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    rows = [
        {"scene": scene.name, "method": name, **_run(scene, name, options)}
        for scene in SCENES
        for name in METHODS
    ]
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{options.years} years of each scene, {options.labels} labels a week; weeks to the find")
    print(f"{'scene':46}{'method':36}{'within 4':>9}{'a year':>8}{'median':>8}")
    for row in rows:
        print(
            f"{row['scene']:46}{row['method']:36}{row['within_4']:9.3f}{row['in_a_year']:8.3f}"
            f"{row['median_weeks']:8.1f}"
        )


def _run(scene: Scene, method: str, options: argparse.Namespace) -> dict[str, float]:
    """Shares of years in which harm is found within four weeks and within the year of its start."""
    rng = np.random.default_rng(options.seed)
    found = [
        METHODS[method](scene, options.labels, options.groups, rng) for _ in range(options.years)
    ]
    weeks = [week - scene.start for week in found]
    early = sum(week < 0 for week in weeks)
    return {
        "within_4": sum(0 <= week < 4 for week in weeks) / len(weeks),
        "in_a_year": sum(0 <= week < YEAR for week in weeks) / len(weeks),
        "before_the_start": early / len(weeks),
        "median_weeks": float(median(week + 1 if week < YEAR else np.inf for week in weeks)),
    }


def _weeks(scene: Scene, groups: int, rng: Generator) -> "list[tuple[Observed, bool]]":
    """The windows until a year after the start, each with whether it is flagged."""
    weeks = []
    for week in range(scene.start + YEAR):
        is_changed = scene.drop > 0 and week >= scene.start
        flagged = scene.seen and (is_changed or (scene.drop == 0 and rng.random() < 0.1))
        weeks.append((_period(groups, rng, scene if is_changed else None), flagged))
    return weeks


def _period(n: int, rng: Generator, scene: Scene | None = None) -> Observed:
    """Groups of one image. Who is unsure errs more often; a change moves a descriptor."""
    margin = rng.normal(5.5, 2.0, n)
    confidence = 1 / (1 + (CLASSES - 1) * np.exp(-np.maximum(margin, 0.05)))  # calibrated
    wrong = rng.random(n) > confidence
    figures = rng.normal(size=(n, 6))
    if scene is not None:
        changed = rng.random(n) < scene.part
        figures[changed, 0] += 2.5
        wrong |= changed & (rng.random(n) < scene.drop / 0.949)
    rest = ((1 - confidence) / (CLASSES - 1))[:, None]
    probabilities = np.repeat(rest, CLASSES, axis=1)
    probabilities[np.arange(n), rng.integers(CLASSES, size=n)] = confidence
    return Observed(
        groups=np.arange(n).astype(str),
        descriptors=figures,
        features=np.zeros((len(figures), 1)),
        probabilities=probabilities,
        confidence=confidence,
        correct=(~wrong).astype(np.float64),
    )


def _betting(scene: Scene, n: int, groups: int, rng: Generator, *, is_uniform: bool = False) -> int:
    """The first week in which the wealth is 1 / ALPHA or more; a large number for none."""
    reference = _period(groups, rng)
    allowed, audits = harm.allowed_error(reference), []
    for week, (window, flagged) in enumerate(_weeks(scene, groups, rng)):
        if is_uniform:
            rows = rng.permutation(window.n)[:n]
            errors = 1 - window.correct[rows]
        else:
            unusual = audit_sample.unusualness(reference.descriptors, window.descriptors)
            drawn = audit_sample.draw(window, unusual, n, rng)
            wrong = 1 - window.correct[[each.row for each in drawn]]
            errors = wrong * np.array([each.weight for each in drawn])
        audits.append(Audit(errors=errors, is_flagged=flagged))
        if harm.evidence(audits, allowed).wealth >= 1 / ALPHA:
            return week
    return 10**6


def _weekly_test(scene: Scene, n: int, groups: int, rng: Generator) -> int:
    """Each week by itself: a binomial test of uniform labels against the reference's rate."""
    reference = _period(groups, rng)
    rate = 1 - float(reference.correct.mean())
    for week, (window, _) in enumerate(_weeks(scene, groups, rng)):
        wrong = int((1 - window.correct[rng.permutation(window.n)[:n]]).sum())
        if binom.sf(wrong - 1, n, rate) < ALPHA:
            return week
    return 10**6


METHODS: dict[str, Callable[[Scene, int, int, Generator], int]] = {
    "betting, strata": _betting,
    "betting, uniform labels": lambda *given: _betting(*given, is_uniform=True),
    "binomial test each week at 1 %": _weekly_test,
}
