"""kill -9 of `neuro ingest` in every stage, then the same command again."""

import random
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from neuro.ingest.triage import CONFLICT
from tests.faults import holdings, seeds
from tests.faults.victims import Ended, Zygote
from tests.s3 import deliveries

pytestmark = pytest.mark.slow

KILLS = seeds.rounds(short=12, long=200)
# A stage begins with the call of its function and lasts until the next one begins.
STAGES = {
    "opened": "opening",
    "hash_files": "hashing",
    "Branch.__init__": "branching",
    "vet_new": "vetting",
    "_Writer.flush": "append images",
    "withhold": "withholding",
    "write_samples": "append samples",
    "write_labels": "append labels",
    "quarantine_files": "quarantine",
    "audit_branch": "audit",
    "Branch.publish": "merge",
    "check_sample": "read back",
    "publish": "release",
    "_tag": "tag",
    "_row": "release row",
    "advance": "advance",
}


def deliver(folder: Path) -> tuple[Path, Path]:
    """What is there before, and a delivery with a bit of everything in it."""
    first = deliveries.drawn(folder / "first", 8)
    second = deliveries.drawn(folder / "second", 12, seed=1)
    (second / "Training" / "glioma" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    for source, name, why in (
        (first / "Training" / "glioma" / "0-0.png", "glioma", "held"),
        (first / "Training" / "notumor" / "0-2.png", "pituitary", "contradicts what is held"),
        (second / "Training" / "glioma" / "1-0.png", "notumor", "contradicts the delivery"),
    ):
        shutil.copy(source, second / "Training" / name / f"{why}.png")
    return first, second


def stages(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Numbers of the watched calls in each stage, of a run that nothing disturbed."""
    found: dict[str, list[int]] = {}
    stage = "opening"
    for number, name in enumerate(names):
        event, _, called = name.partition(" ")
        if event == "call":
            stage = STAGES.get(called, stage)
        found.setdefault(stage, []).append(number)
    return found


def test_what_was_killed_is_completed_by_the_same_command(zygote: Zygote, tmp_path: Path) -> None:
    rng = seeds.draws("kill ingest")
    first, second = deliver(tmp_path)
    command = ("ingest", str(second), "--local", "--json")
    home, before = tmp_path / "home", tmp_path / "before"
    zygote.run(home, "ingest", str(first), "--local", "--json").receipt()
    shutil.copytree(home, before)
    seconds = float(zygote.run(home, *command).receipt()["seconds"])
    expected = holdings.read(home)
    assert expected.left == ()
    assert expected.doubled == []
    assert {reason for _, _, reason, *_ in expected.rows["quarantine"]} == {CONFLICT, "damaged"}
    restore(before, home)
    points = stages(zygote.run(home, *command, is_watched=True).names)
    assert set(points) == set(STAGES.values())
    met: Counter[str] = Counter()
    while met.total() < KILLS:
        restore(before, home)
        ended, where = kill(zygote, rng, home, command, points, 1.3 * seconds)
        said = f"--seed {seeds.SEED}, killed in {where}"
        if ended.status != -signal.SIGKILL:  # it was done before
            assert holdings.read(home) == expected, said
            continue
        met[where.partition(",")[0]] += 1
        assert holdings.shown(home) in (expected.chain[:1], expected.chain), said
        again = zygote.run(home, *command)
        assert again.status == 0, f"{said}: {again.err}"
        assert again.receipt()["content_hash"] == expected.chain[-1], said
        assert holdings.read(home) == expected, said
    checked = zygote.run(home, "verify", "--json").receipt()
    assert checked["ok"]
    seeds.told.append(f"ingest: {met.total()} kills, 0 lost, doubled or half-visible; {dict(met)}")


def kill(
    zygote: Zygote,
    rng: random.Random,
    home: Path,
    command: tuple[str, ...],
    points: dict[str, list[int]],
    seconds: float,
) -> tuple[Ended, str]:
    """Two of three times at a call in some stage, else at any moment."""
    if rng.random() < 1 / 3:
        delay = rng.random() * seconds
        return zygote.kill_after(delay, home, *command), f"any moment, after {delay:.3f} s"
    stage = rng.choice(sorted(points))
    number = rng.choice(points[stage])
    return zygote.run(home, *command, kill_at=number), f"{stage}, at call {number}"


def restore(before: Path, home: Path) -> None:
    shutil.rmtree(home)
    shutil.copytree(before, home)
