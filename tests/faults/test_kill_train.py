"""kill -9 in the midst of training, again and again, until the same command has ended by itself.

Replay one draw of moments: pytest tests/faults/test_kill_train.py --seed 7
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import seeds

pytestmark = pytest.mark.slow

ROUNDS = seeds.rounds(short=2, long=40)
CHILD = """
import hashlib, sys
from pathlib import Path
import torch
from neuro.training import trainer as training
from neuro.training.checkpoint import Checkpoint
from tests.neuro.training.test_trainer import CONFIG, PROBLEM, discs
from dataclasses import replace
torch.set_num_threads(1)
trainer = training.Trainer(discs(), PROBLEM, replace(CONFIG, epochs=60, mixup=0.2, cutmix=0.2))
kept = Checkpoint(path=Path(sys.argv[1]), key="k")
print("ready", flush=True)
told = list(trainer.epochs(kept))
assert [epoch.number for epoch in told] == list(range(1, 61))
weights = b"".join(w.numpy().tobytes() for w in trainer.network.state_dict().values())
print(hashlib.sha256(weights).hexdigest())
"""


def run(path: Path, kill_after_s: float | None = None) -> tuple[str, float]:
    """The child's last words, "" if it was killed, and its seconds after "ready"."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    started = time.perf_counter()
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        child.kill()
    said, _ = child.communicate()
    return said.strip(), time.perf_counter() - started


def test_training_that_is_killed_again_and_again_ends_with_the_same_weights(tmp_path: Path) -> None:
    expected, seconds = run(tmp_path / "undisturbed" / "training.pt")
    assert len(expected) == 64
    draws, kills = seeds.draws("train"), 0
    for number in range(ROUNDS):
        path, said = tmp_path / str(number) / "training.pt", ""
        while not said:
            patience = draws.uniform(0.1, 0.7) * seconds
            said, _ = run(path, patience)
            kills += not said
        assert said == expected
    seeds.told.append(f"training was killed {kills} times in {ROUNDS} runs")
    assert kills
