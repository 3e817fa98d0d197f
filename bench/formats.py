"""Every format, handled or refused: outcomes by folder beside what is expected, time and memory."""

import argparse
import csv
import math
import os
import random
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from neuro.images import sandbox
from neuro.images.sanitize import CleanImage

VALID = ("brain", "chest", "skin")
# A mark of the manifest -> the outcomes that agree with it.
AGREES = {
    "quarantine": ("refused",),
    "quarantine_or_normalise": ("refused", "clean"),
    "either": ("refused", "clean"),
    "checksum_only": ("refused", "clean"),
    "valid": ("clean",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One file: what was expected, what became of it, and for how many seconds that took."""

    path: Path
    expected: str
    code: str
    seconds: float

    @property
    def kind(self) -> str:
        """``clean`` or ``refused``."""
        return "clean" if self.code == "clean" else "refused"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench formats", description=__doc__)
    parser.add_argument("--data", default=os.environ.get("NEURO_REAL_DATA", ""))
    parser.add_argument("--valid", type=int, default=5000, help="valid files, over three folders")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    if not options.data:
        sys.exit("no real images here: set NEURO_REAL_DATA or give --data DIR")
    root = Path(options.data)
    outcomes = {
        "malformed": judge(malformed(root)),
        "odd": judge({path: "" for path in files(root / "odd")}),
        **{name: judge(valid(root, name, options)) for name in VALID},
    }
    report(outcomes)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def malformed(root: Path) -> dict[Path, str]:
    with (root / "malformed" / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {root / "malformed" / "files" / row["file"]: row["expected"] for row in rows}


def valid(root: Path, name: str, options: argparse.Namespace) -> dict[Path, str]:
    """A seeded share of one folder's images, by its size."""
    pictures = {folder: files(root / folder) for folder in VALID}
    pictures = {key: [p for p in found if p.suffix != ".csv"] for key, found in pictures.items()}
    share = options.valid / sum(map(len, pictures.values()))
    wanted = min(len(pictures[name]), math.ceil(share * len(pictures[name])))
    chosen = random.Random(options.seed).sample(pictures[name], wanted)
    return dict.fromkeys(chosen, "valid")


def judge(expected: dict[Path, str]) -> list[Outcome]:
    """Vet one file after the other, each timed by the wall clock, in one child."""
    child, outcomes = sandbox.Child(sandbox.VetConfig()), []
    child.check([Path(__file__)])  # started: its start is not the first file's time
    for path, mark in expected.items():
        start = time.perf_counter()
        (result,) = child.check([path])
        code = "clean" if isinstance(result, CleanImage) else result.code
        seconds = time.perf_counter() - start
        outcomes.append(Outcome(path=path, expected=mark, code=code, seconds=seconds))
    child.stop()
    return outcomes


def report(outcomes: dict[str, list[Outcome]]) -> None:
    print(f"{'folder':12}{'expected':26}{'files':>6}{'clean':>7}{'refused':>9}{'slowest s':>11}")
    for folder, found in outcomes.items():
        for mark in sorted({outcome.expected for outcome in found}):
            some = [outcome for outcome in found if outcome.expected == mark]
            kinds, slowest = Counter(o.kind for o in some), max(o.seconds for o in some)
            print(
                f"{folder:12}{mark or '-':26}{len(some):6}{kinds['clean']:7}{kinds['refused']:9}"
                f"{slowest:11.2f}"
            )
    everything = [outcome for found in outcomes.values() for outcome in found]
    codes = Counter(outcome.code for outcome in everything if outcome.kind == "refused")
    print("\nreasons: " + ", ".join(f"{code} {n}" for code, n in codes.most_common()))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"slowest file {max(o.seconds for o in everything):.2f} s; peak of a child {peak:.0f} MB")
    for outcome in everything:
        if outcome.expected and outcome.kind not in AGREES[outcome.expected]:
            print(f"not as expected: {outcome.path.name} ({outcome.expected}): {outcome.code}")
