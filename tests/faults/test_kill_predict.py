"""kill -9 in the midst of answering files, until the same command has ended by itself.

Replay one draw of moments: pytest tests/faults/test_kill_predict.py --seed 7
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from neuro.images.preprocess import PreprocessSpec
from tests.faults import seeds
from tests.flows.conftest import draw_phantoms
from tests.neuro.prediction.sealed import untrained

pytestmark = pytest.mark.slow

ROUNDS = seeds.rounds(short=2, long=40)
LABELS = ["glioma", "meningioma", "notumor", "pituitary"]
N_FILES = 240


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("p") / "model"
    return untrained(folder, "brain", tuple(LABELS), PreprocessSpec())


def run(model: Path, home: Path, out: Path, kill_after: int | None = None) -> int:
    """How the command ended. kill_after: so many parts, those of earlier runs among them."""
    asked = ["predict", str(home / "scans"), "--out", str(out), "--model", str(model)]
    child = subprocess.Popen(
        [sys.executable, "-m", "deployments.cli.app", *asked, "--local", "--json"],
        cwd=home,
        env={
            **os.environ,
            "NEURO_HOME": str(home / ".neuro"),
            "OMP_NUM_THREADS": "1",
            "NEURO_SHARD": "8",  # few files make many shards
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    room = out.with_name(f"{out.name}.part")
    while child.poll() is None and kill_after is not None:
        if len(list(room.glob("*.parquet"))) >= kill_after:
            child.kill()
        time.sleep(0.002)
    return child.wait()


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_answers(
    model: Path, tmp_path: Path
) -> None:
    draw_phantoms(tmp_path / "scans", LABELS, N_FILES // len(LABELS))
    assert run(model, tmp_path, tmp_path / "undisturbed.parquet") == 0
    expected = pq.read_table(tmp_path / "undisturbed.parquet")
    assert len(expected) == N_FILES
    draws, kills = seeds.draws("predict"), 0
    for number in range(ROUNDS):
        out, parts = tmp_path / f"{number}.parquet", 0
        while not out.exists():
            parts += draws.randint(1, 12)
            kills += run(model, tmp_path, out, parts) != 0
        assert pq.read_table(out).equals(expected)
        assert not out.with_name(f"{out.name}.part").exists()
    seeds.told.append(f"predict was killed {kills} times in {ROUNDS} runs")
    assert kills
