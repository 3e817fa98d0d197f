"""timm's own train.py, run as a user would: its arguments, its epochs in given minutes, its log."""

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.rivals.learners import PRETRAINED, PRETRAINED_PX, TIMM_PX
from bench.rivals.running import ROOT, environment

LOCK = ROOT / "requirements" / "peers-training.txt"
HOW = (
    "give --peers DIR, an environment that is made if missing, and put train.py of timm's "
    "repository (github.com/huggingface/pytorch-image-models, the tag of the timm in requirements/"
    "peers-training.txt) into it"
)
BF16 = ("--amp", "--amp-dtype", "bfloat16", "--channels-last")
PILOT_S = 45.0
_LOGGED = re.compile(r"Train: (\d+) .*?Time: .*?\([\d.]+s, +([\d.]+)/s\)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """train.py, which may be missing, and the Python of the peers that runs it."""

    python: str
    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One run. log: what it wrote; failed: its last line where it ended by an error."""

    log: str
    failed: str


def find(peers: Path | None) -> Script | None:
    """The peers' environment, made if missing, and where the script should be in it."""
    if peers is None:
        return None
    folder = peers.absolute()
    return Script(python=environment(folder, LOCK), path=folder / "train.py")


def run(script: Script, arguments: list[str], seconds: float) -> Session:
    """Run train.py with the arguments, for so many seconds at most."""
    if not script.path.exists():
        return Session(log="", failed=f"no {script.path}: {HOW}")
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environ.pop("PYTHONPATH", None)
    started = subprocess.Popen(
        [script.python, str(script.path), *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        log, _ = started.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGTERM)  # its loader's workers with it
        log, _ = started.communicate()
        return Session(log=log, failed="")
    lines = log.strip().splitlines() or ["no word"]
    return Session(log=log, failed=lines[-1][:160] if started.returncode else "")


def plain(
    folder: Path, out: Path, *, model: str, px: int, batch: int, device: str = "cpu"
) -> list[str]:
    """What makes it train on a folder of grey class folders, without looking at any."""
    cores = len(os.sched_getaffinity(0))
    given = f"""
        --data-dir {folder} --val-split= --output {out} --experiment run --checkpoint-hist 1000
        --model {model} --num-classes {len(list(folder.iterdir()))} --in-chans 1
        --input-size 1 {px} {px} --mean 0.5 --std 0.5 --batch-size {batch} --workers {cores}
        --device {device}
    """
    return given.split()


def fitted(folder: Path, out: Path, epochs: int, seed: int, weights: str = "") -> list[str]:
    """Settings for small grey pictures: AdamW, mild views, bf16 where it is native.

    weights: file of PRETRAINED's to start from, "" for resnet18 from scratch.
    """
    rate = "5e-4" if weights else "2e-3"
    recipe = f"""
        --opt adamw --lr {rate} --weight-decay 0.05 --epochs {epochs} --sched cosine
        --sched-on-updates --warmup-epochs {min(1, epochs - 1)} --scale 0.7 1.0 --ratio 0.9 1.1
        --color-jitter 0.15 --seed {seed}
    """
    able = torch.cpu.get_capabilities()
    fast = BF16 if able.get("avx512_bf16") or able.get("amx_bf16") else ()
    if weights:
        model = plain(folder, out, model=PRETRAINED, px=PRETRAINED_PX, batch=64)
        model += ["--pretrained", "--pretrained-path", weights]
    else:
        model = plain(folder, out, model="resnet18", px=TIMM_PX, batch=64)
    return [*model, *recipe.split(), *fast]


def epochs_in(seconds: float, script: Script, folder: Path, out: Path, weights: str = "") -> int:
    """How many epochs fit, one at least, by a pilot: when it began to train, and how fast.

    Raises ValueError where it did not come to train.
    """
    launched = time.time()
    arguments = fitted(folder, out, 2, seed=0, weights=weights)
    done = run(script, [*arguments, "--log-interval", "1"], PILOT_S)
    begun = out / "run" / "args.yaml"
    if done.failed or not _LOGGED.search(done.log):
        raise ValueError(done.failed or f"train.py did not train within {PILOT_S:.0f} s")
    epoch_s = sum(1 for _ in folder.glob("*/*")) / images_per_s(done.log)
    return max(1, int((seconds - (begun.stat().st_mtime - launched)) / epoch_s))


def images_per_s(log: str) -> float:
    """The newest mean of the last epoch that the log tells; train.py takes it by itself."""
    told = _LOGGED.findall(log)
    last = told[-1][0]
    return float([rate for epoch, rate in told if epoch == last][-1])
