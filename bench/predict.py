"""Images a second from files: the loop one writes first, neuro's batch, and inference alone."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from neuro.images import preprocess
from neuro.images.sandbox import VetConfig
from neuro.models import package as packages
from neuro.models.package import Package
from neuro.prediction import choose_runtime, predict, runtimes, vetted
from neuro.prediction.predict import Engine
from tasks import predict_shards
from tasks.load.models import Model
from tasks.runtime import settings

OBVIOUS_BATCH = 32


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench predict", description=__doc__)
    parser.add_argument("package", type=Path, help="that `neuro train` wrote")
    parser.add_argument("folder", type=Path, help="of images, such as real ones")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved; medians are told")
    parser.add_argument("--growth", type=int, default=0, help="only ask so many, by new names")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    found = packages.open_verified(options.package)
    files = sorted(path for path in options.folder.rglob("*") if path.is_file())
    paths = files[:: max(1, len(files) // options.images)][: options.images]
    if options.growth:
        _grow(options.package, paths, options.growth)
        return
    spec, threads = found.card.preprocess, settings.cores()
    frames = np.stack([preprocess.frame(path.read_bytes(), spec) for path in paths])
    begun = time.perf_counter()
    chosen = choose_runtime.choose(
        found, frames[: choose_runtime.FRAMES], threads=threads, clock=time.perf_counter
    )
    choosing = time.perf_counter() - begun
    torch.set_num_threads(threads)
    engines = {
        name: predict.load(found, threads=threads, runtime=name) for name in runtimes.at_hand()
    }
    arms: dict[str, Callable[[], object]] = {"obvious loop": lambda: _obvious(found, paths)}
    for engine in engines.values():
        arms[f"files, {engine.runtime}"] = _bound(_from_files, engine, paths)
        arms[f"network alone, {engine.runtime}"] = _bound(predict.outputs, engine, frames)
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    for number in range(options.rounds + 1):
        for arm, run in arms.items():
            begun = time.perf_counter()
            run()
            if number:  # the first fills caches
                seconds[arm].append(time.perf_counter() - begun)
    rates = {arm: len(paths) / median(taken) for arm, taken in seconds.items()}
    facts = {
        "package": found.digest[:16],
        "architecture": found.card.architecture,
        "side": spec.size_px,
        "images": len(paths),
        "cores": threads,
        "chosen": chosen.name,
        "why": chosen.why,
        "seconds_to_choose": round(choosing, 2),
        "images_per_s": {arm: round(rate, 1) for arm, rate in rates.items()},
    }
    if options.json:
        print(json.dumps(facts))
        return
    print(
        f"{facts['architecture']}, {spec.size_px} px, {len(paths)} files, {threads} cores; chosen "
        f"in {choosing:.1f} s: {chosen.name} ({chosen.why})\n"
    )
    print(f"{'':38} images/s  to the obvious loop  to the network alone")
    for arm, rate in rates.items():
        alone = rates.get(arm.replace("files", "network alone"), rate)
        print(f"{arm:38} {rate:8.1f} {rate / rates['obvious loop']:20.2f} {rate / alone:21.2f}")


def _bound(run: Callable[..., object], *given: object) -> Callable[[], object]:
    return lambda: run(*given)


def _from_files(engine: Engine, paths: list[Path]) -> None:
    """What `neuro predict DIR` does but for the file it writes."""
    config = VetConfig(workers=settings.cores())
    model, size = Model(version="", engine=engine, registered=None), settings.load().shard
    shards = (
        predict_shards.cut(model, part.sample_ids, part.pixels)
        for part in vetted.parts(paths, engine.package.card.preprocess, config, size=size)
    )
    for _ in predict_shards.predict_shard.stream(shards):
        pass


def _grow(model: Path, paths: list[Path], n: int) -> None:
    """`neuro predict DIR` of a folder with ever more names: its pace and memory, tenth by tenth."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "scans"
        for number in range(n):
            source = paths[number % len(paths)]
            path = folder / f"{number // 1000:04d}" / f"{number:07d}{source.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if number < len(paths):
                shutil.copy(source, path)
            else:
                first = number % len(paths)
                path.hardlink_to(folder / f"{first // 1000:04d}" / f"{first:07d}{source.suffix}")
        out = Path(scratch) / "answers.parquet"
        command = [sys.executable, "-m", "deployments.cli.app", "predict", str(folder)]
        child = subprocess.Popen(
            [*command, "--out", str(out), "--model", str(model.resolve()), "--local"],
            env={**os.environ, "NEURO_HOME": str(Path(scratch) / "home")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        began, told = time.perf_counter(), 0
        print("files       files/s  memory of the process, MB")
        while child.poll() is None:
            time.sleep(0.2)
            done = len(list(Path(f"{out}.part").glob("*.parquet"))) * settings.load().shard
            if done >= (told + n // 10) or (done and not told):
                now = time.perf_counter()
                rate = (done - told) / (now - began)
                print(f"{done:<10,} {rate:8.0f} {_resident_mb(child.pid):8.0f}", flush=True)
                told, began = done, now
        print(f"ended with {child.returncode}, {pq.read_metadata(out).num_rows:,} answers")


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _obvious(found: Package, paths: list[Path]) -> NDArray[np.float32]:
    """Pillow, torchvision's transforms, the network as it was trained, in batches."""
    spec = found.card.preprocess
    transform = v2.Compose(
        [
            v2.Resize((spec.size_px, spec.size_px)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    network = packages.restore(found)
    answers = []
    with torch.inference_mode():
        for start in range(0, len(paths), OBVIOUS_BATCH):
            some = paths[start : start + OBVIOUS_BATCH]
            batch = torch.stack([transform(Image.open(path).convert(spec.mode)) for path in some])
            answers.append(network(batch)[0].softmax(dim=1).numpy())
    return np.concatenate(answers)
