"""The whole ingest into a lake on a real S3 server beside boto3 that merely uploads the files."""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from bench import ingest
from neuro.lake.lake import Lake
from neuro.problems import problem
from neuro.storage import bucket_setup, location
from neuro.storage.bucket_store import BucketStore
from tests.s3 import server as ceph

THREADS = 16


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench upload", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved; medians are shown")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, help="folder for the copies and the server")
    parser.add_argument("--endpoint", help="a running server, with the usual AWS credentials")
    parser.add_argument(
        "--programs",
        default=os.environ.get("NEURO_S3_PROGRAMS", ""),
        help="folder of Ceph's programs [default: NEURO_S3_PROGRAMS, else PATH]",
    )
    options = parser.parse_args(argv)
    data = os.environ.get("NEURO_REAL_DATA")
    if not data:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    if options.programs:
        os.environ["PATH"] = f"{options.programs}{os.pathsep}{os.environ['PATH']}"
    if not options.endpoint and (lacking := ceph.missing()):
        parser.error(
            f"no {', '.join(lacking)}: install Debian's ceph-mon ceph-osd radosgw ceph-common, say "
            "where they are with --programs, or give a running server with --endpoint"
        )
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        home = Path(scratch)
        size = ingest.draw(Path(data), home / "delivery", options.files, options.seed)
        files = sorted(path for path in (home / "delivery").rglob("*") if path.is_file())
        where = f"{options.endpoint or 'Ceph on loopback'}, {len(os.sched_getaffinity(0))} cores"
        print(f"{len(files)} real JPEGs, {size / 1e6:.0f} MB, {where}")
        with _server(home, options.endpoint) as endpoint:
            _measure(endpoint, home / "delivery", files, options.rounds)


def _measure(endpoint: str, folder: Path, files: list[Path], rounds: int) -> None:
    question = problem.parse(ingest.PROBLEM, where="bench")
    times: dict[str, list[float]] = {}
    said: dict[str, str] = {}
    workers = len(os.sched_getaffinity(0))

    def timed(name: str, call: Callable[[], str]) -> None:
        started = perf_counter()
        said[name] = call()
        times.setdefault(name, []).append(perf_counter() - started)

    for number in range(rounds):
        place = location.parse(f"s3://neuro-bench-{os.getpid()}/{number}", endpoint)
        bucket_setup.create(place, [])
        lake = Lake(f"{place.uri}/lake", endpoint)
        timed("boto3 upload_file", partial(_upload, place, folder, files))
        timed("neuro ingest", partial(ingest.whole, lake, question, folder, workers))
        _empty(place)
    print(f"{'':20}{'s':>8}{'files/s':>10}")
    for name, values in times.items():
        print(f"{name:20}{median(values):8.2f}{len(files) / median(values):10.0f}   {said[name]}")
    pairs = [a / b for a, b in zip(*times.values(), strict=True)]
    print(f"ingest against upload: {median(pairs):.2f}x ({min(pairs):.2f} to {max(pairs):.2f})")


def _upload(place: location.Place, folder: Path, files: list[Path]) -> str:
    """What one would write first: no check, no digest, no twins, no release."""
    client = location.client(place)

    def send(path: Path) -> None:
        key = f"{place.prefix}/copies/{path.relative_to(folder).as_posix()}"
        client.upload_file(str(path), place.bucket, key)

    with ThreadPoolExecutor(THREADS) as pool:
        return f"{sum(1 for _ in pool.map(send, files))} objects"


def _empty(place: location.Place) -> None:
    """The store lies in memory; what a round left would be in the next one's way."""
    BucketStore(place).delete_folder("")


@contextmanager
def _server(home: Path, endpoint: str | None) -> Iterator[str]:
    """The given server, or one that is started for this run alone."""
    if endpoint:
        yield endpoint
        return
    server = ceph.start(home / "server")
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = ceph.OWNER
    try:
        yield server.endpoint
    finally:
        server.stop()
