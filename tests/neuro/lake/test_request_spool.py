"""Lines that wait for the lake: none lost, none twice, none about an image that was erased."""

import errno
import os
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from neuro.errors import StaleError
from neuro.lake import erasure, requests
from neuro.lake.lake import Lake
from neuro.lake.request_spool import Spool
from neuro.lake.requests import Request
from neuro.sample import Prediction

SAID = Prediction(
    sample_id="a",
    model_version="7",
    preprocess_hash="p",
    probabilities=(0.25, 0.75),
    predicted="y",
    conformal_set=("y",),
    ood_score=0.5,
    decision="answer",
    reason="Only y is not ruled out.",
)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(folder=tmp_path / "requests")


def request(number: int, now: datetime, sha256: str = "a" * 64) -> Request:
    return Request(
        id=f"r{number}",
        at=now,
        route="predictions",
        who="ana",
        problem="brain",
        dataset="brain",
        sha256=sha256,
        model_version="7",
        package="d",
        prediction=SAID,
        descriptors=np.array([0.5, 1.5], np.float32),
        embedding=np.array([1, 2, 3], np.float32),
        latency_s=0.125,
        image=b"\x00\xff",
    )


def put(spool: Spool, *requests_: Request) -> None:
    spool.append([each.to_line() for each in requests_])


def test_a_line_is_read_as_it_was_written(now: datetime) -> None:
    asked = request(1, now)
    found = requests.parse(asked.to_line())
    assert found.row().keys() == asked.row().keys()
    for name, value in asked.row().items():
        np.testing.assert_array_equal(found.row()[name], value)
    assert found.prediction == SAID


def test_lines_come_into_the_lake_with_all_that_was_said(
    spool: Spool, lake: Lake, now: datetime
) -> None:
    put(spool, request(1, now))
    assert spool.waiting() > 0
    assert spool.move(lake) == 1
    assert spool.waiting() == 0
    (row,) = lake.read("requests").to_pylist()
    assert (row["predicted"], row["decision"], row["probabilities"]) == (
        "y",
        "answer",
        [0.25, 0.75],
    )
    assert (row["embedding"], row["descriptors"]) == ([1.0, 2.0, 3.0], [0.5, 1.5])
    assert (row["who"], row["at"], row["latency_s"], row["image"]) == (
        *("ana", now, 0.125),
        b"\x00\xff",
    )


def test_a_refused_image_has_its_reason_and_no_figures(lake: Lake, now: datetime) -> None:
    refused = Request(
        id="r1",
        at=now,
        route="predictions",
        who="ana",
        problem="brain",
        dataset="brain",
        sha256="b",
        refusal="damaged: it ends early",
    )
    requests.add(lake, [requests.parse(refused.to_line())])
    (row,) = lake.read("requests").to_pylist()
    assert (row["decision"], row["reason"]) == ("refused", "damaged: it ends early")
    assert (row["predicted"], row["ood_score"], row["image"]) == ("", None, None)


def test_a_move_that_was_cut_off_doubles_nothing(
    spool: Spool, lake: Lake, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, request(1, now), request(2, now))
    with monkeypatch.context() as dying:
        dying.setattr(Path, "unlink", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            spool.move(lake)
    put(spool, request(3, now))
    assert spool.move(lake) == 1
    assert sorted(lake.read("requests")["id"].to_pylist()) == ["r1", "r2", "r3"]


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_line_that_was_cut_off_costs_no_other(
    spool: Spool, lake: Lake, now: datetime, cut: int
) -> None:
    put(spool, request(1, now))
    with (spool.folder / "open.jsonl").open("ab") as stream:
        stream.write(request(2, now).to_line()[:-cut])
    put(spool, request(3, now))
    assert spool.move(lake) == (3 if cut == 1 else 2)
    wanted = ["r1", "r2", "r3"] if cut == 1 else ["r1", "r3"]
    assert sorted(lake.read("requests")["id"].to_pylist()) == wanted


def test_what_the_disk_does_not_take_leaves_no_part(
    spool: Spool, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, request(1, now))
    before, write = (spool.folder / "open.jsonl").read_bytes(), os.write

    def half(handle: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "no space")
        return write(handle, bytes(data)[: len(data) // 2])

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        with pytest.raises(OSError, match="no space"):
            put(spool, request(2, now))
    assert (spool.folder / "open.jsonl").read_bytes() == before


def test_many_writers_and_movers_lose_and_double_nothing(
    spool: Spool, lake: Lake, now: datetime
) -> None:
    done, end = [0], threading.Event()

    def write(first: int) -> None:
        for number in range(first, first + 40):
            put(spool, request(number, now))

    def move() -> None:
        while not end.is_set():
            done[0] += spool.move(lake)

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200)]
    mover = threading.Thread(target=move)
    for thread in (*writers, mover):
        thread.start()
    for thread in writers:
        thread.join()
    end.set()
    mover.join()
    done[0] += spool.move(lake)
    ids = lake.read("requests")["id"].to_pylist()
    assert done[0] == len(ids) == len(set(ids)) == 120


def test_lines_of_an_erased_image_go_and_all_others_stay(
    spool: Spool, lake: Lake, now: datetime
) -> None:
    put(spool, request(1, now), request(2, now, "b" * 64), request(3, now))
    with spool.standing_still():
        assert spool.erase(["a" * 64]) == 2
    assert b"a" * 64 not in b"".join(path.read_bytes() for path in spool.folder.iterdir())
    spool.move(lake)
    assert lake.read("requests")["id"].to_pylist() == ["r2"]


def test_nothing_is_moved_while_images_are_erased(spool: Spool, lake: Lake, now: datetime) -> None:
    put(spool, request(1, now))
    erasure.begin(lake, "erase-1")
    with pytest.raises(StaleError, match="an erasure is under way"):
        spool.move(lake)
    erasure.end(lake)
    assert spool.move(lake) == 1


def test_a_link_in_place_of_the_file_is_not_followed(
    spool: Spool, now: datetime, tmp_path: Path
) -> None:
    spool.folder.mkdir()
    (tmp_path / "theirs").touch()
    (spool.folder / "open.jsonl").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match="symbolic links"):
        put(spool, request(1, now))
    assert (tmp_path / "theirs").read_bytes() == b""


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"{}", b'{"prediction": {}}', b"null"])
def test_what_is_no_line_is_said(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"no line of a request log|Expecting|line 1"):
        requests.parse(line)
