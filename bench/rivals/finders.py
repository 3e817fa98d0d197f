"""Run as a program, by any Python that has what is asked for: find pairs, and what that cost.

Usage: finders.py NAME REQUEST ANSWER. REQUEST is JSON {folder, files, cosine, problem, scratch};
ANSWER becomes JSON {cpu_s, wall_s, import_cpu_s, peak_mb, said}, and ANSWER.npy the pairs, rows of
``files``, none if the name finds none. Imports are measured apart: they are the same for any n.
"""

import importlib
import json
import resource
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]
NONE: Pairs = np.empty((0, 2), np.int64)
_SIDE = 32
# How it is meant to be used with images alone; without weights at hand it fails, and says so.
_SELFCLEAN = {"epochs": 0, "ssl_pre_training": False, "num_workers": 2}


@dataclass(frozen=True, slots=True)
class Request:
    """What is searched. files: in the folder, by class; cosine: of our rule; problem: its file."""

    folder: str
    files: list[str]
    cosine: float
    problem: str
    scratch: str


Answer = tuple[Pairs, str]
Finder = Callable[[Request], Callable[[], Answer]]


def neuro_twins(request: Request) -> Callable[[], Answer]:
    """Decode, vet and fingerprint each file once, then the search of an ingest. One process."""
    plants, image = _module("bench.plants"), _module("neuro.images.sanitize")

    def find() -> Answer:
        small = [image.clean(Path(file).read_bytes()).thumbnail for file in request.files]
        return plants.twins(small, request.cosine), ""

    return find


def neuro_ingest(request: Request) -> Callable[[], Answer]:
    """All of ``neuro ingest --local``: vetting in children, twins, lake, passport, release."""
    ingest, lake = _module("bench.ingest"), _module("neuro.lake.lake")
    question = _module("neuro.problems.problem").load(request.problem)

    def find() -> Answer:
        uri = str(Path(request.scratch) / "lake")
        return NONE, ingest.whole(lake.Lake(uri), question, Path(request.folder), 2)

    return find


def sklearn_plain(request: Request) -> Callable[[], Answer]:
    """What one would write first: Pillow to 32 px grey, and scikit-learn's brute force."""
    return _neighbours(request, poses=1)


def sklearn_flips(request: Request) -> Callable[[], Answer]:
    """The same, each picture asked in its eight flips and rotations."""
    return _neighbours(request, poses=8)


def imagededup_phash(request: Request) -> Callable[[], Answer]:
    """PHash with its defaults: Hamming distance 10 of 64 bits."""
    return _imagededup(request, distance=10)


def imagededup_strict(request: Request) -> Callable[[], Answer]:
    """PHash at distance 4."""
    return _imagededup(request, distance=4)


def imagededup_cnn(request: Request) -> Callable[[], Answer]:
    """Its network, which fetches weights."""
    method = _module("imagededup.methods").CNN(verbose=False)
    return lambda: _named(request, method.find_duplicates(request.folder, recursive=True))


def cleanvision(request: Request) -> Callable[[], Answer]:
    """Its exact and near duplicates, with its defaults."""
    imagelab = _module("cleanvision").Imagelab

    def find() -> Answer:
        lab = imagelab(data_path=request.folder)
        lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, verbose=False)
        sets = [s for kind in ("exact", "near") for s in lab.info[f"{kind}_duplicates"]["sets"]]
        return _named(request, {one: some for some in sets for one in some})

    return find


def selfclean(request: Request) -> Callable[[], Answer]:
    """Its ranking of pairs by an ImageNet network's features, as far as its own cut."""
    module = _module("selfclean.cleaner.selfclean")

    def find() -> Answer:
        module.SelfClean(memmap=False).run_on_image_folder(
            input_path=request.folder,
            pretraining_type=module.PretrainingType.IMAGENET,
            **_SELFCLEAN,
        )
        return NONE, "it ran; its ranking has no cut by itself"

    return find


FINDERS: dict[str, Finder] = {
    one.__name__: one
    for one in (
        *(neuro_twins, neuro_ingest, sklearn_plain, sklearn_flips),
        *(imagededup_phash, imagededup_strict, imagededup_cnn, cleanvision, selfclean),
    )
}


def _module(name: str) -> Any:  # known to this Python or not
    return importlib.import_module(name)


def _neighbours(request: Request, poses: int) -> Callable[[], Answer]:
    pillow, neighbours = _module("PIL.Image"), _module("sklearn.neighbors")

    def row(file: str) -> NDArray[np.float32]:
        with pillow.open(file) as picture:
            small = picture.convert("L").resize((_SIDE, _SIDE), pillow.Resampling.BILINEAR)
        flat = np.asarray(small, np.float32)
        flat = flat - flat.mean()
        unit: NDArray[np.float32] = flat / max(float(np.linalg.norm(flat)), 1e-6)
        return unit

    def find() -> Answer:
        rows = np.stack([row(file) for file in request.files])
        flat = rows.reshape(len(rows), -1)
        radius = float(np.sqrt(2 - 2 * request.cosine))
        index = neighbours.NearestNeighbors(radius=radius, algorithm="brute").fit(flat)
        found = [NONE]
        for pose in range(poses):
            turned = np.rot90(rows, pose % 4, axes=(1, 2))
            turned = turned[:, :, ::-1] if pose >= 4 else turned
            asked = np.ascontiguousarray(turned.reshape(len(rows), -1))
            near = index.radius_neighbors(asked, return_distance=False)
            which = np.repeat(np.arange(len(rows)), [len(some) for some in near])
            found.append(np.stack([which, np.concatenate(near).astype(np.int64)], axis=1))
        return _once(np.concatenate(found)), ""

    return find


def _imagededup(request: Request, distance: int) -> Callable[[], Answer]:
    method = _module("imagededup.methods").PHash(verbose=False)

    def find() -> Answer:
        codes = method.encode_images(image_dir=request.folder, recursive=True)
        found = method.find_duplicates(encoding_map=codes, max_distance_threshold=distance)
        return _named(request, found)

    return find


def _named(request: Request, found: dict[str, Iterable[str]]) -> Answer:
    """Pairs of file names, which are unique in the folder, as rows."""
    row = {Path(file).name: number for number, file in enumerate(request.files)}
    pairs = [
        (row[Path(one).name], row[Path(other).name])
        for one, some in found.items()
        for other in some
    ]
    return _once(np.array(pairs, np.int64).reshape(-1, 2)), ""


def _once(pairs: Pairs) -> Pairs:
    apart = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    keys = np.unique(apart[:, 0] << 32 | apart[:, 1])
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(name: str, asked: Path, answer: Path) -> None:
    request = Request(**json.loads(asked.read_text(encoding="utf-8")))
    find = FINDERS[name](request)
    before, started = _cpu_s(), perf_counter()
    pairs, said = find()
    cost = {
        "wall_s": perf_counter() - started,
        "cpu_s": _cpu_s() - before,
        "import_cpu_s": before,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "said": said,
    }
    np.save(answer.with_suffix(".npy"), pairs)
    answer.write_text(json.dumps(cost), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
