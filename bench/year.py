"""A year of weekly deliveries through the whole loop, on a simulated clock, without a hand on it.

Every week images come without labels, are scored and judged; readers label the audit sample and a
few more; what the verdict asks for is done. Each step is a run of its flow that a Prefect server
records; a retraining is, too, and its gate decides. It is the last year, not the next.
"""

import argparse
import contextlib
import csv
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from bench.years import weeks
from bench.years.happened import Week
from bench.years.weeks import Year
from neuro.problems import problem as problems
from neuro.problems.problem import Problem

PHANTOMS, PHANTOM_EPOCHS, REAL_EPOCHS = 13_000, 14, 12
LATE = 0.1  # of a week's images get a label by themselves
ON_REQUEST = 100  # images that people label in a week whose verdict suspects or shows harm
WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where the year takes place.

    reference: of the problem, a name or file. truth: the true source label of every image so far.
    """

    problem: Problem
    reference: str
    folder: Path
    year: Year
    rng: Generator
    clock: Any
    start: datetime
    truth: dict[str, str] = field(default_factory=dict)

    def at(self, week: int, **after: float) -> datetime:
        """Turn the clock to Monday of a week, 06:00, and so much later."""
        now = self.start + week * WEEK + timedelta(**after)
        self.clock.move_to(now)
        return now


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench year", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of labelled images; default: phantoms")
    parser.add_argument("--problem", default="brain")
    parser.add_argument("--images", type=int, default=PHANTOMS, help="how many phantoms are drawn")
    parser.add_argument("--epochs", type=int, help="of each training")
    parser.add_argument("--weeks", type=int, default=weeks.WEEKS, help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("year.png"))
    parser.add_argument("--json", action="store_true", help="all that happened")
    asked = parser.parse_args(argv)
    started, here = time.perf_counter(), Path.cwd()
    asked.data = asked.data and asked.data.resolve()
    if Path(asked.problem).exists():
        asked.problem = str(Path(asked.problem).resolve())
    with tempfile.TemporaryDirectory(prefix="neuro-year-") as folder, _servers(Path(folder)):
        year = _run(asked, Path(folder))
    os.chdir(here)
    seconds = time.perf_counter() - started
    of = "phantoms" if asked.data is None else f"{asked.problem} images"
    from bench.years import picture

    title = f"A year of {of}, week by week: what serves, and what the monitor says"
    picture.draw(year, title, asked.picture)
    if asked.json:
        print(json.dumps({"seconds": round(seconds), "weeks": [asdict(week) for week in year]}))
        return
    print(f"seed {asked.seed}, {of}, {seconds / 60:.0f} minutes")
    _print(year)


@contextlib.contextmanager
def _servers(folder: Path) -> Any:
    """A home of its own, MLflow in a file there, and a Prefect server."""
    os.environ |= {
        "NEURO_HOME": str(folder / "home"),
        "NEURO_LAKE": str(folder / "home" / "lake"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_PLUGINS_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }
    os.environ.pop("PREFECT_API_URL", None)
    (folder / "home" / "envelopes").mkdir(parents=True)
    os.chdir(folder)  # MLflow puts files where one is
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def _run(asked: argparse.Namespace, folder: Path) -> list[Week]:
    import time_machine

    from deployments.demo import deliveries

    problem, rng = problems.load(asked.problem), np.random.default_rng(asked.seed)
    envelope = folder / "home" / "envelopes" / f"{problem.name}.toml"
    envelope.write_text("needs_approval = false  # nobody waits beside a simulated year\n")
    source = asked.data
    if source is None:
        source = folder / "phantoms"
        deliveries.draw(source, problem, images=asked.images, seed=asked.seed)
    _say(f"before the year: dealing the images of {source} to {weeks.WEEKS} weeks")
    year = weeks.plan(source.absolute(), problem, folder / "deliveries", rng)
    today = datetime.now(UTC).replace(hour=6, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=today.weekday()) - (weeks.WEEKS + 1) * WEEK
    with time_machine.travel(start, tick=True) as clock:
        site = Site(
            problem=problem,
            reference=asked.problem,
            folder=folder,
            year=year,
            rng=rng,
            clock=clock,
            start=start,
        )
        _first_model(site, asked)
        return [_week(site, number) for number in range(1, asked.weeks + 1)]


def _first_model(site: Site, asked: argparse.Namespace) -> None:
    from flows.ingest import ingest
    from flows.promote import promote
    from flows.train import train
    from neuro.training.config import TrainConfig

    ingest(problem=site.reference, source=str(site.year.first))
    usual = PHANTOM_EPOCHS if asked.data is None else REAL_EPOCHS
    config = TrainConfig(epochs=asked.epochs or usual, seed=asked.seed)
    _say("before the year: training the first model")
    made = train(problem=site.reference, config=config)
    told = promote(problem=site.reference, model=made["model"])
    if not told["is_promoted"]:
        sys.exit(f"the gate did not accept the first model: {told['reason']}")
    _say(f"before the year: {told['decision']}, {told['reason']}")


def _week(site: Site, number: int) -> Week:
    """One week: what came is scored on Sunday, judged on Monday, and labelled on Thursday."""
    from flows.drift import drift
    from flows.ingest import ingest
    from flows.predict import predict
    from neuro.promotion import serving
    from tasks.load import release_data

    began, name = time.perf_counter(), site.reference
    site.at(number, hours=-12)
    folder = site.folder / "deliveries" / f"week-{number:02d}"
    truth = weeks.deliver(site.year, number, site.problem, folder, site.rng)
    site.truth.update(truth)
    ingest(problem=name, source=str(folder))
    predict(problem=name)
    site.at(number)
    lake = release_data.open_lake(None)
    serves = serving.changes(lake, site.problem.name)[-1].version
    told = drift(problem=name)
    result = _retrained(site, told, number) if told["verdict"] == "retrain" else {}
    week = Week(
        number=number,
        serves=serves,
        images=len(truth),
        accuracy=_accuracy(site, serves, truth),
        verdict=told["verdict"],
        alarms=tuple(each["name"] for each in told["signals"] if each["alarm"]),
        reason=told["reason"],
        labelled=_label(site, number, truth, told["verdict"]),
        decision=_outcome(result),
        why=result.get("reason", ""),
        cost=result.get("cost", {}),
        seconds=round(time.perf_counter() - began, 1),
    )
    alarms = f" ({', '.join(week.alarms)})" if week.alarms else ""
    decided = f"; retraining: {week.decision}, {week.why}" if week.decision else ""
    _say(
        f"week {number:2}: accuracy {week.accuracy:.3f}, {week.verdict}{alarms}, "
        f"{week.labelled} labels, {week.seconds:.0f} s{decided}"
    )
    return week


def _retrained(site: Site, told: Mapping[str, Any], week: int) -> Mapping[str, Any]:
    """A recorded run of the flow for the verdict's cause, an hour after it."""
    from flows.retrain import retrain

    site.at(week, hours=1)
    done: Mapping[str, Any] = retrain(problem=site.reference, cause=told["cause"])
    return done


def _outcome(result: Mapping[str, Any]) -> str:
    decision = str(result.get("decision", ""))
    return "refused" if decision == "none" else decision


def _label(site: Site, week: int, truth: Mapping[str, str], verdict: str) -> int:
    """What people label on Thursday: the audit samples, some by themselves, more where asked."""
    from neuro.ingest import late_labels
    from neuro.lake import work_list
    from neuro.lake.work_list import AUDIT
    from tasks.load import release_data

    now, lake = site.at(week, days=3), release_data.open_lake(None)
    every = work_list.readings(lake, site.problem.name)
    audits = [each.item.key.sha256 for each in every if each.item.source == AUDIT]
    known = _labelled(site)
    n = round(LATE * len(truth)) + (ON_REQUEST if verdict in ("label", "retrain") else 0)
    more = site.rng.permutation(sorted({*truth} - {*known, *audits}))[:n].tolist()
    wanted = [each for each in dict.fromkeys([*audits, *more]) if each not in known]
    said = weeks.said({each: site.truth[each] for each in wanted}, site.problem, week, site.rng)
    path = site.folder / f"labels-{week:02d}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("sample", "label", "who", "when"))
        rows.writerows((each, label, "reader", now.isoformat()) for each, label in said.items())
    known.update(said)
    if said:
        late_labels.import_file(lake, site.problem, path, now)
    return len(said)


def _labelled(site: Site) -> dict[str, str]:
    """What is labelled already, by who reads: the files of the weeks before."""
    found: dict[str, str] = {}
    for path in sorted(site.folder.glob("labels-*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            found |= {row["sample"]: row["label"] for row in csv.DictReader(file)}
    return found


def _accuracy(site: Site, version: str, truth: Mapping[str, str]) -> float:
    """Of the version that answered the week, by the true labels."""
    from neuro.prediction import stored
    from tasks.load import release_data

    lake, columns = release_data.open_lake(None), ["sha256", "predicted"]
    rows = stored.rows(lake, site.problem, version, columns).to_pylist()
    right = [
        row["predicted"] == site.problem.labels[truth[row["sha256"]]]
        for row in rows
        if row["sha256"] in truth
    ]
    return float(np.mean(right)) if right else float("nan")


def _print(year: Sequence[Week]) -> None:
    """The figures of a year: of its quiet half, and of what was found and done."""
    quiet = Counter(week.verdict for week in year if week.number >= weeks.QUIET)
    before = Counter(week.verdict for week in year if week.number < weeks.SCANNER)
    print(f"weeks 1 to {weeks.SCANNER - 1}, nothing has happened: {_counted(before)}")
    print(f"weeks {weeks.QUIET} to {weeks.WEEKS}, nothing happens: {_counted(quiet)}")
    for week in year:
        if week.decision:
            cost = ", ".join(f"{name} {value}" for name, value in week.cost.items())
            print(f"week {week.number}: retrained, {week.decision}: {week.why} ({cost})")
    print(f"{sum(week.labelled for week in year):,} labels in the year")


def _counted(verdicts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in verdicts.items()) or "-"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
