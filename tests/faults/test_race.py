"""Two writers at the same time, in two processes."""

import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from neuro.ingest.triage import CONFLICT
from tests.faults import holdings, seeds
from tests.faults.victims import Ended, Zygote
from tests.s3 import deliveries

pytestmark = pytest.mark.slow

ROUNDS = seeds.rounds(short=2, long=20)


def both(
    zygote: Zygote, rng: random.Random, home: Path, folders: tuple[Path, Path]
) -> tuple[list[Ended], Counter[str]]:
    """Two ingests side by side; whoever was told to run again does so, as a user would."""
    started = []
    for folder in folders:
        started.append(zygote.start(home, "ingest", str(folder), "--local", "--json"))
        time.sleep(rng.random() * 0.3)
    ended, met = [zygote.end(one) for one in started], Counter[str]()
    for number, folder in enumerate(folders):
        while ended[number].status != 0:
            err = " ".join(ended[number].err.split())
            assert ended[number].status == 1, err
            assert "Traceback" not in err, ended[number].err[-1500:]
            assert "run the same command again" in err, err
            met["told to run again"] += 1
            ended[number] = zygote.run(home, "ingest", str(folder), "--local", "--json")
    return ended, met


def test_two_writers_of_the_same_images_leave_each_once(zygote: Zygote, tmp_path: Path) -> None:
    rng, met = seeds.draws("race"), Counter[str]()
    folder = deliveries.drawn(tmp_path / "delivery", 100)
    for number in range(ROUNDS):
        home = tmp_path / f"home{number}"
        ended, told = both(zygote, rng, home, (folder, folder))
        met += told
        held = holdings.read(home)
        said = f"--seed {seeds.SEED}, round {number}"
        assert {one.receipt()["content_hash"] for one in ended} == set(held.chain), said
        assert len(held.chain) == 1, said
        assert [held.rows[t].total() for t in ("images", "samples", "labels")] == [100] * 3, said
        assert (held.doubled, held.left) == ([], ()), said
        assert holdings.shown(home) == held.chain
        shutil.rmtree(home)
    seeds.told.append(f"race, same images: {ROUNDS} rounds of 100 rows; {dict(met)}")


def test_of_two_labels_at_once_one_enters_and_the_other_is_shown(
    zygote: Zygote, tmp_path: Path
) -> None:
    rng, met, n = seeds.draws("race of labels"), Counter[str](), 12
    mine = deliveries.drawn(tmp_path / "mine", n)
    theirs = tmp_path / "theirs"
    others = dict(zip(deliveries.CLASSES, deliveries.CLASSES[::-1], strict=True))
    for path in mine.rglob("*.png"):
        target = theirs / "Training" / others[path.parent.name] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for number in range(ROUNDS):
        home, said = tmp_path / f"home{number}", f"--seed {seeds.SEED}, round {number}"
        ended, told = both(zygote, rng, home, (mine, theirs))
        met += told
        held = holdings.read(home)
        assert [held.rows[t].total() for t in ("images", "samples", "labels")] == [n] * 3, said
        assert held.left == (), said
        entered = {(sha256, label) for _, sha256, _, label in held.rows["labels"]}
        waits = {(row[1], row[3]) for row in held.rows["quarantine"] if row[2] == CONFLICT}
        assert {sha256 for sha256, _ in waits} == {sha256 for sha256, _ in entered}, said
        assert waits == {(sha256, others[label]) for sha256, label in entered}, said
        assert sum(one.receipt()["accepted"] for one in ended) <= n, said
        assert holdings.shown(home) == held.chain
    seeds.told.append(f"race, other labels: {ROUNDS} rounds, {n} conflicts shown; {dict(met)}")
