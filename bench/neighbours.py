"""The search for twins as a dataset grows: time, memory, and what of planted copies is found."""

import argparse
import multiprocessing
import os
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from bench import plants
from bench.rivals import indexing, judging
from neuro.duplicates import near_pairs
from neuro.duplicates import twins as twinning
from neuro.duplicates.pose_invariants import Vectors
from neuro.images import sanitize
from neuro.images.thumbnail import THUMBNAIL_PX
from neuro.splits.draw_splits import Pairs

COSINE = 0.985
PLANTED = 300
OF_A_PICTURE = (0.75, 0.95)  # cosines that a made picture has with the one it comes of
OF_A_COPY = (0.988, 0.9995)  # cosines that a planted copy has with what it copies, in some pose
PEER_MOST = 25_000  # thumbnails: brute force in eight poses takes minutes above

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Of one search in a process of its own. before_mb: its memory with the thumbnails loaded."""

    wall_s: float
    cpu_s: float
    before_mb: float
    peak_mb: float
    pairs: int
    found: float


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench neighbours", description=__doc__)
    parser.add_argument(
        "--most", type=int, default=100_000, help="thumbnails; also a half, a quarter"
    )
    parser.add_argument("--rounds", type=int, default=1, help="interleaved; the least is shown")
    parser.add_argument("--peer", action="store_true", help="also brute force by scikit-learn")
    parser.add_argument("--index", action="store_true", help="also candidates by Lance's indexes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    data = os.environ.get("NEURO_REAL_DATA")
    if not data:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    real = _thumbnails(Path(data))
    cores = len(os.sched_getaffinity(0))
    print(
        f"Made of {len(real)} distinct real thumbnails of brain, chest and skin: each mixed with "
        "another one\nwhose phases are scrambled, so that the spectrum is theirs and the cosine "
        f"with its source\n{OF_A_PICTURE[0]} to {OF_A_PICTURE[1]}; {PLANTED} of them planted "
        f"again, mirrored or turned, at {OF_A_COPY[0]} to {OF_A_COPY[1]}.\nTwins reach {COSINE}. "
        f"{cores} cores. MB: before the search, and its peak above that.\nCompared: all pairs in "
        "eight poses, nearly all by bounds alone.\n"
    )
    print(
        f"{'thumbnails':>10}  {'search':28}{'s':>8}{'CPU s':>8}{'before':>8}{'above MB':>10}"
        f"{'compared':>11}{'joined':>9}{'planted found':>15}{'exponent':>10}"
    )
    searches: dict[str, Callable[[Vectors], Pairs]] = {
        "near pairs": _near_pairs,
        "near pairs and crops": _twins,
    }
    if options.peer:
        searches["scikit-learn, eight poses"] = _brute_force
    last: dict[str, tuple[int, Cost]] = {}
    for n in (options.most // 4, options.most // 2, options.most):
        costs: dict[str, list[Cost]] = {}
        for _ in range(options.rounds):
            for name, search in searches.items():
                if search is _brute_force and n > PEER_MOST:
                    continue
                context = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(1, mp_context=context) as one:
                    cost = one.submit(_measured, search, real, n, options.seed).result()
                costs.setdefault(name, []).append(cost)
        for name, some in costs.items():
            cost = min(some, key=lambda cost: cost.cpu_s)
            _row(n, name, cost, last.get(name))
            last[name] = (n, cost)
    if options.index:
        indexing.show(*grown(real, options.most, options.seed))


def _row(n: int, name: str, cost: Cost, last: tuple[int, Cost] | None) -> None:
    exponent = ""
    if last is not None:
        exponent = f"{np.log(cost.cpu_s / last[1].cpu_s) / np.log(n / last[0]):.2f}"
    print(
        f"{n:10}  {name:28}{cost.wall_s:8.1f}{cost.cpu_s:8.1f}{cost.before_mb:8.0f}"
        f"{cost.peak_mb - cost.before_mb:10.0f}{n * (n - 1) // 2:11.2e}{cost.pairs:9}"
        f"{cost.found:15.3f}{exponent:>10}",
        flush=True,
    )


def _measured(search: Callable[[Vectors], Pairs], real: Pixels, n: int, seed: int) -> Cost:
    made, source = grown(real, n, seed)
    rows = twinning.vectors([one.tobytes() for one in made])
    del made
    _forget_peak()
    before, started, used = _mb("VmRSS"), perf_counter(), _cpu_s()
    pairs = search(rows)
    wall_s, cpu_s, peak_mb = perf_counter() - started, _cpu_s() - used, _mb("VmHWM")
    number = judging.clustered(pairs, n)
    copies = np.flatnonzero(source >= 0)
    return Cost(
        wall_s=wall_s,
        cpu_s=cpu_s,
        before_mb=before,
        peak_mb=peak_mb,
        pairs=len(pairs),
        found=float((number[copies] == number[source[copies]]).mean()),
    )


def _near_pairs(rows: Vectors) -> Pairs:
    return near_pairs.near_pairs(rows, 0, COSINE)


def _twins(rows: Vectors) -> Pairs:
    return twinning.find(rows, 0, COSINE)


def _brute_force(rows: Vectors) -> Pairs:
    index = NearestNeighbors(radius=float(np.sqrt(2 - 2 * COSINE)), algorithm="brute").fit(rows)
    found = [np.empty((0, 2), np.int64)]
    with threadpool_limits(1, user_api="blas"):  # its own threads are the outer ones
        for pose in near_pairs.poses(rows):
            near = index.radius_neighbors(np.ascontiguousarray(pose), return_distance=False)
            which = np.repeat(np.arange(len(rows)), [len(some) for some in near])
            found.append(np.stack([which, np.concatenate(near).astype(np.int64)], axis=1))
    pairs = np.concatenate(found)
    return np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)


def grown(real: Pixels, n: int, seed: int) -> tuple[Pixels, NDArray[np.int64]]:
    """Thumbnails, (n, 32, 32), and of each the row that it copies, -1 for most. (n,) int64."""
    rng = np.random.default_rng(seed)
    of = np.resize(rng.permutation(len(real)), n - PLANTED)
    made = [_mixed(real[some], real, OF_A_PICTURE, rng) for some in np.array_split(of, n // 5000)]
    copied = rng.choice(n - PLANTED, PLANTED, replace=False)
    whole = np.concatenate(made)
    copies = _mixed(whole[copied], real, OF_A_COPY, rng)
    turned = [_posed(copy, int(rng.integers(8))) for copy in copies]
    source = np.concatenate([np.full(n - PLANTED, -1), copied])
    return np.concatenate([whole, np.stack(turned)]), source


def _mixed(some: Pixels, real: Pixels, cosines: tuple[float, float], rng: Generator) -> Pixels:
    """Pictures with noise of a real spectrum, at cosines drawn evenly. (m, 32, 32) uint8."""
    other = real[rng.integers(len(real), size=len(some))].astype(np.float32)
    waves = np.abs(np.fft.rfft2(other - other.mean(axis=(1, 2), keepdims=True)))
    phase = np.angle(np.fft.rfft2(rng.normal(size=other.shape)))
    noise = np.fft.irfft2(waves * np.exp(1j * phase), s=(THUMBNAIL_PX, THUMBNAIL_PX))
    mean = some.mean(axis=(1, 2), keepdims=True)
    bare = some - mean
    length = np.linalg.norm(bare, axis=(1, 2), keepdims=True)
    noise -= (noise * bare).sum(axis=(1, 2), keepdims=True) / (length**2 + 1e-6) * bare
    noise /= np.linalg.norm(noise, axis=(1, 2), keepdims=True) + 1e-6
    cosine = rng.uniform(*cosines, size=(len(some), 1, 1))
    seen = cosine * bare + np.sqrt(1 - cosine**2) * length * noise
    room = np.minimum(1, 100 / (np.abs(seen).max(axis=(1, 2), keepdims=True) + 1e-6))
    mixed: Pixels = np.rint(np.clip(128 + room * seen, 0, 255)).astype(np.uint8)
    return mixed


def _posed(picture: Pixels, pose: int) -> Pixels:
    turned = np.rot90(picture, pose % 4)
    return turned[:, ::-1] if pose >= 4 else turned


def _thumbnails(data: Path) -> Pixels:
    paths = [real.path for name in plants.SETS for real in plants.images(data, name)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context) as pool:
        small = set(pool.map(_thumbnail, paths, chunksize=64))
    side = THUMBNAIL_PX
    return np.frombuffer(b"".join(sorted(small)), np.uint8).reshape(-1, side, side)


def _thumbnail(path: Path) -> bytes:
    return sanitize.clean(path.read_bytes()).thumbnail


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _forget_peak() -> None:
    """Linux: the high-water mark starts again from what is held now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _mb(name: str) -> float:
    """VmRSS or VmHWM of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
