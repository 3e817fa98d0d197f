import csv
import hashlib
import io
import random
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuro.errors import ConfigError
from neuro.images import thumbnail
from neuro.images.sandbox import Child, Rejected, VetConfig, check_files
from neuro.images.sanitize import CleanImage, clean
from tests.neuro.conftest import REAL, needs_real

Png = Callable[[int], bytes]


def code(result: CleanImage | Rejected) -> str:
    return result.code if isinstance(result, Rejected) else "clean"


def codes(paths: list[Path], config: VetConfig) -> list[str]:
    return [code(result) for result in check_files(paths, config)]


@pytest.fixture
def good(tmp_path: Path, png: Png) -> list[Path]:
    paths = [tmp_path / f"good{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        path.write_bytes(png(seed))
    return paths


def endless_jpeg() -> bytes:
    """Progressive, its last scan 50,000 times over: 2 MB, minutes to decode."""
    picture = Image.new("L", (2000, 2000))
    picture.paste(255, (0, 0, 1000, 1000))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", progressive=True)
    raw = buffer.getvalue()
    last = raw.rindex(b"\xff\xda")
    return raw[:-2] + raw[last:-2] * 50_000 + raw[-2:]


def test_results_come_in_the_order_of_the_paths(tmp_path: Path, good: list[Path]) -> None:
    text = tmp_path / "text.png"
    text.write_bytes(b"no image")
    paths = [good[0], text, good[1], tmp_path / "gone.png", good[2]]
    results = list(check_files(paths, VetConfig(workers=2)))
    assert [code(r) for r in results] == ["clean", "not_an_image", "clean", "unreadable", "clean"]
    small = [r.thumbnail for r in results if isinstance(r, CleanImage)]
    expected = [thumbnail.thumbnail(np.asarray(Image.open(path))) for path in good]
    assert small == [one.tobytes() for one in expected]


def test_a_file_that_never_ends_costs_only_itself(tmp_path: Path, good: list[Path]) -> None:
    slow = tmp_path / "slow.jpg"
    slow.write_bytes(endless_jpeg())
    config = VetConfig(workers=1, deadline_s=3.0)
    assert codes([good[0], slow, good[1]], config) == ["clean", "decoder_timeout", "clean"]


def test_a_file_that_takes_the_memory_costs_only_itself(tmp_path: Path, good: list[Path]) -> None:
    big = tmp_path / "big.png"
    Image.new("RGB", (7000, 7000)).save(big, compress_level=1)  # 196 MB once decoded
    config = VetConfig(workers=1, memory_bytes=340_000_000)
    assert codes([good[0], big, good[1]], config) == ["clean", "decoder_died", "clean"]


def test_a_file_over_the_size_limit_is_not_even_read(good: list[Path]) -> None:
    (result,) = check_files(good[:1], VetConfig(file_bytes=100))
    assert result == Rejected(
        sha256="", code="too_large", message="the file is over the size limit"
    )


def test_no_files_give_no_results() -> None:
    assert list(check_files([], VetConfig())) == []


def test_a_vet_without_workers_is_refused() -> None:
    with pytest.raises(ConfigError, match="workers must be at least 1, got 0"):
        VetConfig(workers=0)


def test_the_rest_of_a_batch_outlives_the_file_that_ends_the_child(
    tmp_path: Path, good: list[Path]
) -> None:
    slow = tmp_path / "slow.jpg"
    slow.write_bytes(endless_jpeg())
    results = codes([*good, slow, *good], VetConfig(workers=1, deadline_s=0.5))
    assert results == [*["clean"] * 3, "decoder_timeout", *["clean"] * 3]


def test_a_batch_asked_for_ahead_outlives_the_file_that_ends_the_child(
    tmp_path: Path, good: list[Path]
) -> None:
    slow = tmp_path / "slow.jpg"
    slow.write_bytes(endless_jpeg())
    child = Child(VetConfig(deadline_s=0.5))
    child.send([good[0], slow])
    child.send(good[1:])
    results = [child.receive(), child.receive()]
    child.stop()
    assert [[*map(code, some)] for some in results] == [
        ["clean", "decoder_timeout"],
        ["clean", "clean"],
    ]


def test_many_files_with_long_names_come_back_in_order(tmp_path: Path, png: Png) -> None:
    folder = tmp_path.joinpath(*["d" * 200] * 10)
    folder.mkdir(parents=True)
    paths = [folder / f"{n}.png" for n in range(100)]
    for n, path in enumerate(paths):
        path.write_bytes(png(n))
    results = check_files(paths, VetConfig(workers=2))
    expected = [clean(path.read_bytes()).sha256 for path in paths]
    assert [result.sha256 for result in results] == expected


def test_facts_and_the_group_hint_come_through_the_pipe(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    path = tmp_path / "slice.dcm"
    path.write_bytes(Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes())
    (result,) = check_files([path], VetConfig())
    assert isinstance(result, CleanImage)
    assert result == clean(path.read_bytes())
    assert result.facts["modality"] == "CT"
    assert result.group_id_hint == "1CT1"


def test_a_child_cannot_write_a_file(good: list[Path]) -> None:
    child = Child(VetConfig())
    child.check(good)
    process = child._process
    assert process is not None
    assert resource.prlimit(process.pid, resource.RLIMIT_FSIZE) == (0, 0)
    child.stop()


def listed(folder: str) -> list[Path]:
    found = sorted(path for path in Path(REAL, folder).rglob("*") if path.is_file())
    return [path for path in found if path.suffix != ".csv"]


@pytest.mark.real
@pytest.mark.parametrize(
    "folder", [pytest.param(f, marks=needs_real(f)) for f in ("malformed/files", "odd")]
)
def test_every_broken_or_odd_file_is_clean_or_rejected_with_a_reason(folder: str) -> None:
    paths = listed(folder)
    results = list(check_files(paths, VetConfig()))
    assert len(results) == len(paths) > 50
    assert "clean" in map(code, results)
    assert all(r.code and r.message for r in results if isinstance(r, Rejected))


# Looked at one by one: docs/formats.md says why each is let in.
LET_IN = {"024_jpg_named.png", "082_MR_small_padded.dcm"}


@pytest.mark.real
@needs_real("malformed/files")
def test_what_the_manifest_wants_quarantined_is_but_for_two_files_that_are_whole() -> None:
    with Path(REAL, "malformed", "manifest.csv").open(newline="", encoding="utf-8") as stream:
        wanted = [row["file"] for row in csv.DictReader(stream) if row["expected"] == "quarantine"]
    results = codes([Path(REAL, "malformed", "files", name) for name in wanted], VetConfig())
    pairs = zip(wanted, results, strict=True)
    assert {name for name, result in pairs if result == "clean"} == LET_IN
    assert "decoder_died" not in results


@pytest.mark.real
@needs_real("brain", "chest", "skin")
@pytest.mark.parametrize(
    "count", [300, pytest.param(5000, marks=pytest.mark.slow)], ids=["300", "5000"]
)
def test_no_valid_image_is_quarantined_and_none_changes_a_pixel(count: int) -> None:
    paths = [path for folder in ("brain", "chest", "skin") for path in listed(folder)]
    paths = random.Random(0).sample(paths, count)
    for path, result in zip(paths, check_files(paths, VetConfig()), strict=True):
        assert isinstance(result, CleanImage), f"{path}: {code(result)}"
        with Image.open(path) as source, Image.open(io.BytesIO(result.stored)) as kept:
            np.testing.assert_array_equal(np.asarray(kept), np.asarray(source))


def test_a_child_that_could_not_be_started_is_behind_with_no_later_file(
    tmp_path: Path, png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that was never sent would be sent again after a later death, and answered twice."""
    paths = [tmp_path / f"{seed}.png" for seed in range(4)]
    for seed, path in enumerate(paths):
        path.write_bytes(png(seed))
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    child = Child(VetConfig(workers=1))
    with monkeypatch.context() as scarce:
        scarce.setattr(subprocess, "Popen", refuse)
        with pytest.raises(OSError, match="Too many open files"):
            child.check(paths[:1])
    child.check(paths[:1])
    assert child._process is not None
    child._process.kill()
    child.check(paths[:1])
    try:
        assert [child.check([path])[0].sha256 for path in paths] == expected
    finally:
        child.stop()
