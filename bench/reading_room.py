"""The reading room in a real Chromium: seconds that a person waits, and labels that are kept."""

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pyarrow as pa

from deployments.stack import processes
from flows.ingest import ingest
from neuro import people
from neuro.lake import images, releases, work_list
from neuro.lake.lake import Lake
from neuro.lake.releases import Draft
from neuro.lake.table_schemas import SCHEMAS
from neuro.lake.work_list import FINAL, FIRST, WorkItem, WorkKey
from neuro.models import package as packages
from tasks.runtime import settings

PASSWORD, READER = "a long enough password", "reader"
CASES, CUTS, LABELS = 20, 20, 200
MANY = 100_000
_PIECE = 5_000  # rows of one append
_SERVE = ("deployments.cli.app", "serve")
_LOOK_S = 0.005
_DRAWN = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench reading_room", description=__doc__)
    parser.add_argument("package", type=Path, help="a package that answers --problem")
    parser.add_argument("images", type=Path, help="a folder that `neuro ingest` takes")
    parser.add_argument("--problem", default="brain")
    parser.add_argument("--many", type=int, default=0, help=f"also a release of so many ({MANY:,})")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as closing:
        home = Path(scratch) / "home"
        os.environ["NEURO_HOME"] = str(home)
        ingest.fn(source=str(options.images.resolve()), problem=options.problem)
        facts: dict[str, Any] = {"cores": settings.cores()}
        url = closing.enter_context(_room(home, options.package))
        page = closing.enter_context(_page(url))
        files = sorted(each for each in options.images.rglob("*") if each.is_file())[:CASES]
        lake = Lake(str(home / "lake"))
        steps: list[Callable[[], dict[str, Any]]] = [
            lambda: _asked(page, url, files),
            lambda: _read(page, url, lake, options.problem),
            lambda: _cut(page, url, lake, options.problem),
        ]
        if options.many:
            steps.append(lambda: _many(page, url, lake, options))
        for step in steps:
            found = step()
            facts |= found
            for name, value in found.items():
                print(f"{name:56} {value}", file=sys.stderr if options.json else sys.stdout)
                sys.stdout.flush()
    if options.json:
        print(json.dumps(facts))


def _asked(page: Any, url: str, files: Sequence[Path]) -> dict[str, Any]:
    """From a file to its answer, from that to its maps, and from a key to the map."""
    answers, maps, switches = [], [], []
    for path in files:
        page.goto(f"{url}/ask")
        page.locator("input[type=file]").wait_for(state="attached")
        page.wait_for_timeout(500)
        answers.append(_timed(lambda: _answer(page, path)))  # noqa: B023 - called at once
        maps.append(_timed(lambda: _seen(page.get_by_role("heading", name="Where it looked"))))
        page.locator(".stage").first.focus()
        shown = page.locator(".over").first
        before = shown.evaluate("each => each.style.opacity")
        switches.append(_timed(lambda: _pressed(page, shown, before)))  # noqa: B023
    return {
        "upload to answer, s (asked < 2)": _told(answers),
        "answer to maps, s": _told(maps),
        "switch of the overlay, s (asked < 0.2)": _told(switches),
    }


def _answer(page: Any, path: Path) -> None:
    page.locator("input[type=file]").set_input_files(path)
    _seen(page.locator(".verdict"))


def _pressed(page: Any, shown: Any, before: str) -> None:
    page.keyboard.press("o")
    while shown.evaluate("each => each.style.opacity") == before:
        pass


def _read(page: Any, url: str, lake: Lake, problem: str) -> dict[str, Any]:
    """A scripted reader, by keyboard, blind."""
    ids = _fill(lake, problem, CASES, 0)
    page.goto(f"{url}/work")
    steps, whole, lost = [], [], 0
    again = page.get_by_role("heading", name="Does it change your read?")
    _on(page, ids[0])
    for following in [*ids[1:], ""]:
        started = time.perf_counter()
        lost += _press_until(page, "1", again)
        _seen(page.locator(_DRAWN))
        pressed = time.perf_counter()
        if following:
            lost += _press_until(page, "k", _picture(page, following))
            _on(page, following)
            steps.append(time.perf_counter() - pressed)
        else:
            lost += _press_until(page, "k", page.get_by_text("Nothing waits for you."))
        whole.append(time.perf_counter() - started)
    return {
        "a key to the next case, s (asked < 0.5)": _told(steps),
        "a case blind, by keyboard, s (asked <= 6)": _told(whole),
        "presses that were given again": f"{lost} of {2 * len(ids)}",
    }


def _press_until(page: Any, key: str, sign: Any) -> int:
    """Press until the page shows a sign of it; returns how many presses came to nothing."""
    for lost in range(20):
        page.keyboard.press(key)
        if _is_seen(sign, 3.0):
            return lost
    raise SystemExit(f"{key} came to nothing twenty times")


def _cut(page: Any, url: str, lake: Lake, problem: str) -> dict[str, Any]:
    """Labels by keyboard while the web socket is cut, again and again."""
    ids = _fill(lake, problem, LABELS, CASES)
    sockets: list[Any] = []

    def between(route: Any) -> None:
        server = route.connect_to_server()
        sockets.append((route, server))
        route.on_message(server.send)
        server.on_message(route.send)

    page.route_web_socket(re.compile(".*/_stcore/stream"), between)
    page.goto(f"{url}/work")
    every = max(1, len(ids) // CUTS)
    started, cuts = time.perf_counter(), 0
    for number, sample_id in enumerate(ids):
        _on(page, sample_id)
        is_cut = number % every == every // 2 and cuts < CUTS
        for step, key in ((FIRST, "2"), (FINAL, "k")):
            if is_cut and step == FINAL:
                cuts += 1
                route, server = sockets[-1]
                server.close(code=1011)
                route.close(code=1011)
            _press_until_stored(page, lake, WorkKey(problem, sample_id), step, key)
    took = time.perf_counter() - started
    rows = lake.read("reads").to_pylist()
    wanted = [row for row in rows if row["sha256"] in set(ids) and row["step"] == FINAL]
    labels = lake.read("labels", where="is_reviewed")["sha256"].to_pylist()
    kept = [sample_id for sample_id in labels if sample_id in set(ids)]
    return {
        "cuts of the web socket": cuts,
        "labels in the lake (asked 200)": f"{len(set(kept))} of {len(ids)}",
        "twice": f"{len(kept) - len(set(kept))} labels, {len(wanted) - len(set(ids))} reads",
        "seconds for all": round(took, 1),
    }


def _press_until_stored(page: Any, lake: Lake, key: WorkKey, step: str, press: str) -> None:
    """A press in the moment of a reconnection can be lost: the page shows what is stored."""
    for _ in range(60):
        page.keyboard.press(press)
        for _ in range(20):
            if work_list.find(lake, key).by(READER, step):
                if step == FIRST:
                    page.get_by_role("heading", name="Does it change your read?").wait_for()
                    page.locator(_DRAWN).wait_for()
                return
            page.wait_for_timeout(50)
    raise SystemExit(f"{key.sha256[:12]}: the {step} read was not stored")


def _many(page: Any, url: str, lake: Lake, options: argparse.Namespace) -> dict[str, Any]:
    """Pages of a large release: real pictures, each under many digests of its own."""
    _enlarge(lake, options.problem, options.many)
    page.unroute_all()
    page.goto(f"{url}/browse")
    cell = page.locator("li button span").last
    first = _timed(lambda: page.get_by_text(f"of {options.many:,} images").wait_for())
    memory = [_memory_mb(url)]
    turns = []
    for _ in range(CASES):
        before = cell.inner_text()
        turns.append(_timed(lambda: _turned(page, cell, before)))  # noqa: B023
    memory.append(_memory_mb(url))
    for _ in range(2 * CASES):
        before = cell.inner_text()
        _turned(page, cell, before)
    memory.append(_memory_mb(url))
    return {
        "images of the release": options.many,
        "first page of the grid, s": round(first, 2),
        "next page of the grid, s (asked < 1)": _told(turns),
        "memory of the room, MB: at first, after 20, 60 pages": [round(each) for each in memory],
    }


def _turned(page: Any, cell: Any, before: str) -> None:
    page.locator("[data-testid=stNumberInputStepUp]").click()
    while cell.inner_text() == before:
        pass


def _enlarge(lake: Lake, problem: str, n: int) -> None:
    release = releases.find(lake, problem)
    known = releases.samples(lake, release)[:2000]
    stored = dict(images.undamaged(lake, release, [each.sample_id for each in known]))
    facts = images.facts(lake, release, list(stored))
    sources = [each for each in known if each.sample_id in stored]
    n_new = n - release.n
    for start in range(0, n_new, _PIECE):
        numbers = range(start, min(start + _PIECE, n_new))
        ids = [hashlib.sha256(f"bench/{number}".encode()).hexdigest() for number in numbers]
        each_of = [sources[number % len(sources)] for number in numbers]
        now = datetime.now(UTC)
        _append(
            lake,
            "images",
            [
                {
                    "sha256": sample_id,
                    "stored": stored[source.sample_id],
                    "thumbnail": bytes(1024),
                    "ingested_at": now,
                    "run_id": "bench",
                    **facts[source.sample_id],
                }
                for sample_id, source in zip(ids, each_of, strict=True)
            ],
        )
        common = {"dataset": problem, "run_id": "bench"}
        _append(
            lake,
            "samples",
            [
                common
                | {"sha256": sample_id, "group_id": sample_id, "group_key": "", "split": "train"}
                | {"given_split": "", "source_name": sample_id, "source": "", "metadata": "{}"}
                | {"is_synthetic": False}
                for sample_id in ids
            ],
        )
        _append(
            lake,
            "labels",
            [
                common
                | {"sha256": sample_id, "sequence": 0, "label": source.label, "who": "source"}
                | {"labelled_at": now, "is_reviewed": False}
                for sample_id, source in zip(ids, each_of, strict=True)
            ],
        )
    releases.publish(
        lake,
        Draft(
            dataset=problem,
            passport={**release.passport},
            creator="bench",
            note="bench",
            is_synthetic=False,
            now=datetime.now(UTC),
        ),
    )


def _append(lake: Lake, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    lake.add(table, pa.Table.from_pylist(list(rows), SCHEMAS[table]))


def _fill(lake: Lake, problem: str, n: int, skip: int) -> list[str]:
    samples = releases.samples(lake, releases.find(lake, problem))[skip : skip + n]
    items = [
        WorkItem(
            key=WorkKey(problem, sample.sample_id),
            dataset=problem,
            source=work_list.UNCERTAIN,
            why="bench",
            added_at=datetime.now(UTC),
            rank=float(number),
        )
        for number, sample in enumerate(samples)
    ]
    work_list.add(lake, items)
    return [sample.sample_id for sample in samples]


def _on(page: Any, sample_id: str) -> None:
    _seen(_picture(page, sample_id))
    _seen(page.get_by_role("heading", name="What does it show?"))
    _seen(page.locator(_DRAWN))  # its keys are those of this image by then


def _is_seen(sign: Any, seconds: float) -> bool:
    """Whether it is on the page within a time; a locator itself looks each 500 ms."""
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        if sign.first.is_visible():
            return True
        time.sleep(_LOOK_S)
    return False


def _seen(sign: Any) -> None:
    if not _is_seen(sign, 60.0):
        raise SystemExit(f"{sign} is not on the page")


def _picture(page: Any, sample_id: str) -> Any:
    return page.get_by_role("img", name=re.compile(sample_id[:12]))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _told(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    most = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"median {median(ordered):.3f}, 95 % {most:.3f}, worst {ordered[-1]:.3f}"


@contextmanager
def _room(home: Path, package: Path) -> Iterator[str]:
    """A service and a reading room, each a process of its own."""
    packages.open_verified(package)
    people.add(home / settings.PEOPLE, READER, "reader", hashed=people.hashed(PASSWORD))
    with (
        processes.listening(None, 23000) as room,
        _started(
            ["deployments.cli.app", "serve", "--model", str(package), "--port", "23900"], home
        ) as service,
    ):
        more = {"NEURO_SERVICE_URL": "http://127.0.0.1:23900"}
        _wait("http://127.0.0.1:23900/readyz", service)
        with _started(["deployments.reading_room.serve"], home, more, room.fileno()) as pages:
            url = f"http://127.0.0.1:{processes.port_of(room)}"
            _wait(f"{url}/healthz", pages)
            yield url


@contextmanager
def _started(
    module: list[str], home: Path, more: Mapping[str, str] = {}, stdin: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (home / f"{module[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            env={**os.environ, "NEURO_HOME": str(home), **more},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"{url} has ended before it answered: {process.args!r}")
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


@contextmanager
def _page(url: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("no Chromium on this machine; apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(url)
        page.get_by_label("Name").fill(READER)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Today").wait_for()
        yield page
        browser.close()


def _memory_mb(url: str) -> float:
    """Of the process that listens there."""
    port = int(httpx.URL(url).port or 0)
    page = resource.getpagesize()
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [str(each.readlink()) for each in (process / "fd").iterdir()]
            is_room = b"reading_room.serve" in (process / "cmdline").read_bytes()
        except OSError:
            continue
        if is_room and any(f"socket:[{inode}]" in links for inode in inodes):
            return int((process / "statm").read_text().split()[1]) * page / 2**20
    return 0.0
