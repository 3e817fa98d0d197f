import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuro.errors import ConfigError
from neuro.image import CleanImage
from neuro.vet import Rejected, VetConfig, check_files

Png = Callable[[int], bytes]

REAL = os.environ.get("NEURO_REAL_DATA", "")


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
    expected = [Image.open(path).resize((32, 32), Image.Resampling.BILINEAR) for path in good]
    assert small == [np.asarray(picture).tobytes() for picture in expected]


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


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="NEURO_REAL_DATA is not set: no malformed files here")
@pytest.mark.parametrize("folder", ["malformed/files", "odd"])
def test_every_broken_or_odd_file_is_clean_or_rejected_with_a_reason(folder: str) -> None:
    paths = sorted(path for path in Path(REAL, folder).rglob("*") if path.is_file())
    results = list(check_files(paths, VetConfig()))
    assert len(results) == len(paths) > 50
    assert "clean" in map(code, results)
    assert all(r.code and r.message for r in results if isinstance(r, Rejected))
