"""The demonstration's loop without servers: does it close, for several seeds and threads?

The same steps as ``neuro demo``, called as ``--local`` calls them; the pages are not drawn, and the
retraining is called instead of started by an automation.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

CHILD = "import sys; from bench import demo; demo.run_once(sys.argv[1])"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench demo", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="0, 1, ... so many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--images", type=int, help="default: the demonstration's own")
    parser.add_argument("--epochs", type=int, help="default: the demonstration's own")
    parser.add_argument("--shift", type=float, help="default: the demonstration's own")
    parser.add_argument("--scratch", type=Path, help="folder for lakes and images")
    options = parser.parse_args(argv)
    print(
        "test, new: macro-F1 of the champion on the test split, and on the new scanner's images\n"
        "whose labels nobody was given; new after: that of the retrained model. CPU s: of all\n"
        "threads and child processes. Two threads on busy cores wait for one another: the seconds\n"
        "of a shared machine say little.\n"
    )
    print(
        f"{'seed':>4}{'threads':>8}{'test':>7}{'new':>7}{'after':>7}  {'second':13}{'third':13}"
        f"{'decision':14}{'s':>6}{'CPU s':>7}"
    )
    n_promoted = n_steady = n_runs = 0
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for threads in options.threads:
            request = {"seed": seed}
            request |= {
                name: getattr(options, name)
                for name in ("images", "epochs", "shift")
                if getattr(options, name) is not None
            }
            row = _in_a_process(request, threads, options.scratch)
            n_runs += 1
            n_promoted += row["decision"] == "promote"
            n_steady += row["second"] == "steady"
            _print(row, seed, threads)
    print(f"\nof {n_runs} loops {n_promoted} promoted, {n_steady} had a steady second delivery")


def _in_a_process(request: dict[str, Any], threads: int, scratch: Path | None) -> dict[str, Any]:
    """One loop in a process and a folder of its own."""
    with tempfile.TemporaryDirectory(dir=scratch) as home:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NEURO_")} | {
            "OMP_NUM_THREADS": str(threads),
            "NEURO_HOME": home,
            "PREFECT_PLUGINS_ENABLED": "false",
        }
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
        command = [sys.executable, "-c", CHILD, json.dumps(request)]
        done = subprocess.run(
            command, env=environment, check=False, stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise SystemExit(f"the loop of {request} on {threads} threads failed")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    row["seconds"] = perf_counter() - started
    row["cpu_s"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return row


def _print(row: Mapping[str, Any], seed: int, threads: int) -> None:
    print(
        f"{seed:4}{threads:8}{row['test']:7.3f}{row['new']:7.3f}{row['after']:7.3f}  "
        f"{row['second']:13}{row['third']:13}{row['decision']:14}"
        f"{row['seconds']:6.0f}{row['cpu_s']:7.0f}"
    )
    for gate in row["gates"]:
        print(
            f"{'':12}{gate['name']:28}{gate['value']:7.3f} [{gate['low']:.3f}, {gate['high']:.3f}]"
            f"  against {gate['threshold']:.2f}: {'passed' if gate['passed'] else 'not shown'}"
        )
    for delivery in ("second", "third"):
        alarms = [signal["name"] for signal in row[f"{delivery}_signals"] if signal["alarm"]]
        print(f"{'':12}{delivery} delivery: {row[delivery]}, alarms: {', '.join(alarms) or 'none'}")
    sys.stdout.flush()


def run_once(request: str) -> None:
    """The loop of this process; prints one JSON object."""
    from deployments.demo import demo
    from flows.ingest import ingest
    from flows.train import train
    from neuro.ingest import late_labels
    from neuro.problems import problem as problems
    from neuro.promotion.retrain_envelope import Envelope
    from tasks import evaluate, promote, retrain
    from tasks import train as training
    from tasks.load import models, release_data
    from tasks.runtime import settings

    config = demo.DemoConfig(**json.loads(request))
    lake, problem, home = (
        release_data.open_lake(None),
        problems.load(config.problem),
        settings.load().home,
    )
    cut = demo.draw_and_cut(config, problem, home)

    def gate(model: Any, champion: Any = None) -> dict[str, Any]:
        loaded = release_data.load(lake, problem)
        looked = evaluate.evaluate(loaded, model)
        serving = evaluate.evaluate(loaded, champion) if champion else None
        return promote.promote(loaded, looked, serving, Envelope(), "bench")

    ingest.fn(source=str(cut.first))
    trained = train.fn(config=demo.recipe(config))
    champion = models.load(problem, trained["package"])
    first = gate(champion)
    if first["decision"] != "promote":
        raise SystemExit(f"the first model was not promoted: {first['reason']}")

    second = ingest.fn(source=str(cut.second))["release"]
    steady = _judge(lake, problem, champion, second)
    third = ingest.fn(source=str(cut.third))["release"]
    late_labels.import_file(lake, problem, cut.labels, datetime.now(UTC))
    shifted = _judge(lake, problem, champion, third)

    loaded = release_data.load(lake, problem)
    plan = retrain.plan(lake, problem, champion, None)
    retrained = training.train(loaded, plan.recipe, retrain.setup(champion, plan))
    challenger = models.load(problem, str(retrained.package.folder))
    decision = gate(challenger, champion)
    new = {
        name: _score_on_new(loaded, model, cut.held_out)
        for name, model in (("new", champion), ("after", challenger))
    }
    test = next(m["value"] for m in first["old_test"]["challenger"] if m["name"] == "macro_f1")
    row = {
        "test": test,
        **new,
        "second": steady.verdict,
        "third": shifted.verdict,
        "second_signals": [asdict(signal) for signal in steady.signals],
        "third_signals": [asdict(signal) for signal in shifted.signals],
        "decision": decision["decision"],
        "gates": decision["gates"],
    }
    print(json.dumps(row))


def _judge(lake: Any, problem: Any, model: Any, window: str) -> Any:
    """Predict a delivery and judge it, as the flows do, without the page."""
    from neuro.promotion.drift_policy import DriftPolicy
    from tasks import drift, featurize, predict
    from tasks.load import release_data

    loaded = release_data.load(lake, problem)
    predict.score(loaded, model, window)
    featurize.describe(loaded)
    return drift.judge(drift.observe(loaded, model, window, 7.0, DriftPolicy()), DriftPolicy())


def _score_on_new(loaded: Any, model: Any, held_out: Mapping[str, str]) -> float:
    from deployments.demo import comparison

    found = comparison.evaluate_held_out(loaded, model, held_out).metric("macro_f1")
    return float(found.value) if found else float("nan")
