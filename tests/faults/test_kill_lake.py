"""kill -9 in the midst of an erasure or of a branch's publication, then the same command again.

Replay one draw of moments: pytest tests/faults/test_kill_lake.py --seed 7
"""

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuro.images import sanitize
from neuro.ingest import delivery, pipeline
from neuro.ingest.vet_new import IngestRun
from neuro.lake import branches, marks, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems import problem
from tests.faults import seeds

pytestmark = pytest.mark.slow

ROUNDS = seeds.rounds(short=2, long=25)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
CHILD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from neuro.erasure import erase as erasing
from neuro.erasure.proof import Installation
from neuro.ingest import merge_branch
from neuro.lake.lake import Lake
from neuro.problems import problem
what, uri, home, sample = sys.argv[1:]
now, brain = datetime(2026, 11, 21, tzinfo=UTC), problem.load("brain")
print("ready", flush=True)
if what == "publish":
    merge_branch.publish(Lake(uri), brain, "mine", now)
else:
    asked = erasing.ErasureRequest(problem=brain, group="", sample=sample, reason="r", who="w")
    installation = Installation(home=Path(home))
    print(erasing.erase(Lake(uri), asked, installation, {"brain": brain}, now).found)
"""


def picture(seed: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def ingest(lake: Lake, folder: Path, label: str, seeds: range) -> Release:
    (folder / label).mkdir(parents=True)
    for seed in seeds:
        (folder / label / f"{seed}.png").write_bytes(picture(seed))
    brain = problem.load("brain")
    arrived = delivery.read(folder, brain)
    run = IngestRun(
        problem=brain,
        delivery=arrived,
        check=lambda paths: [sanitize.clean(path.read_bytes()) for path in paths],
        now=NOW,
    )
    staged = pipeline.stage(lake, run)
    return pipeline.publish(staged, pipeline.audit_branch(staged))


def run(arguments: list[str], kill_after_s: float | None = None) -> tuple[str, float]:
    """The child's output after "ready", and its seconds; with a delay it is killed by then."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    started = time.perf_counter()
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        child.send_signal(signal.SIGKILL)
    out = child.communicate()[0]
    return out, time.perf_counter() - started


@pytest.fixture
def set_up(tmp_path: Path) -> Callable[[str], tuple[Lake, Path]]:
    def make(name: str) -> tuple[Lake, Path]:
        home = tmp_path / name
        lake = Lake(str(home / "lake"))
        ingest(lake, tmp_path / f"{name}-1", "glioma", range(6))
        ingest(lake, tmp_path / f"{name}-2", "notumor", range(6, 10))
        mine = branches.create(lake, "brain", "mine")
        ingest(mine.lake, tmp_path / f"{name}-3", "pituitary", range(10, 14))
        return lake, home

    return make


@pytest.mark.parametrize("what", ["erase", "publish"])
def test_what_was_killed_is_completed_by_the_same_command(
    set_up: Callable[[str], tuple[Lake, Path]], what: str
) -> None:
    rng = seeds.draws(what)
    sample = sanitize.clean(picture(7)).sha256
    whole, home = set_up("whole")
    out, seconds = run([what, whole.uri, str(home), sample])
    expected = state(whole)
    for number in range(ROUNDS):
        lake, home = set_up(f"hurt{number}")
        arguments = [what, lake.uri, str(home), sample]
        before = len(releases.history(lake, "brain"))
        delay = rng.random() * seconds
        run(arguments, kill_after_s=delay)
        for release in releases.history(lake, "brain")[:before]:
            if not release.superseded_by:
                releases.samples(lake, release)  # whole, or it raises
        if what == "publish" and "mine" not in branches.names(lake, "brain"):
            assert state(lake) == expected
            continue
        again, _ = run(arguments)
        said = f"--seed {seeds.SEED}: {what} killed after {delay:.3f} s"
        was_done = what == "erase" and not again  # then there is no such sample any more
        assert again == out or was_done, said
        assert state(lake) == expected, said


def state(lake: Lake) -> list[tuple[str, str, bool, list[str]]]:
    """Every release of main by content; the branches and runs that are left."""
    chain = releases.history(lake, "brain")
    left = [*branches.names(lake, "brain"), *marks.half_written_runs(lake)]
    return [(r.content_hash, r.note, bool(r.superseded_by), left) for r in chain]
