import hashlib
import io
import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image
from prefect import flow
from prefect.context import FlowRunContext, serialize_context
from prefect.testing.utilities import prefect_test_harness

from neuro.errors import ConfigError, DamagedError
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Draft, Release
from neuro.lake.table_schemas import SCHEMAS
from tasks.runtime import runners, shards
from tasks.runtime.shards import Shard
from tasks.runtime.steps import step

N = 150
SPEC = PreprocessSpec(size_px=16)


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A release and its lake."""

    lake: Lake
    release: Release


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """The mean of an image, and how many it was encoded with."""

    name: str = "means"
    digest: str = "s" * 64
    preprocess_hash: str = ""

    def encode(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        return np.array([(pixels(raw).mean(), len(images)) for raw in images], np.float32)


def pixels(raw: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(raw)))


def png(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = {hashlib.sha256(png(seed)).hexdigest(): png(seed) for seed in range(N)}
IDS = sorted(PICTURES)


def publish(lake: Lake, broken: str = "") -> Published:
    stored = [
        {"sha256": name, "stored": raw, "thumbnail": bytes(1024)}
        | {"stored_sha256": "0" * 64 if name == broken else name}
        for name, raw in PICTURES.items()
    ]
    samples = [
        {"dataset": "brain", "sha256": name, "group_id": name, "split": "train"}
        | {"given_split": "", "source_name": name, "run_id": "r"}
        for name in PICTURES
    ]
    lake.add("images", pa.Table.from_pylist(stored, SCHEMAS["images"]))
    lake.add("samples", pa.Table.from_pylist(samples, SCHEMAS["samples"]))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    much: dict[str, Any] = {"suspects": ["x"] * 100_000}
    draft = Draft(dataset="brain", passport=much, creator="r", note="", is_synthetic=False, now=now)
    return Published(lake=lake, release=releases.publish(lake, draft))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(Lake(str(tmp_path_factory.mktemp("lake"))))


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture
def of_64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURO_SHARD", "64")


def test_each_wanted_image_has_the_vector_of_its_own_bytes(
    published: Published, of_64: None
) -> None:
    found = shards.encode(published.lake, published.release, Means(), IDS[:100])
    assert sorted(found) == IDS[:100]
    for sample_id, vector in found.items():
        assert vector[0] == np.float32(pixels(PICTURES[sample_id]).mean())


@pytest.mark.parametrize(("size", "given"), [(150, [64, 64, 22]), (64, [64, 64, 22]), (32, [32])])
def test_an_encoder_is_given_at_most_64_images_at_once(
    published: Published, monkeypatch: pytest.MonkeyPatch, size: int, given: list[int]
) -> None:
    monkeypatch.setenv("NEURO_SHARD", str(size))
    wanted = IDS if size > 32 else IDS[:64]
    sizes = [
        int(vector[1])
        for vector in shards.encode(published.lake, published.release, Means(), wanted).values()
    ]
    assert list(dict.fromkeys(sizes)) == list(dict.fromkeys(given))
    assert len(sizes) == len(wanted)


def test_nothing_wanted_is_nothing_encoded(published: Published) -> None:
    assert shards.encode(published.lake, published.release, Means(), []) == {}


def test_shards_follow_the_table_whatever_order_is_wanted(
    published: Published, of_64: None
) -> None:
    cut = shards.cut(published.lake, published.release, IDS[::-1])
    assert [len(shard.sample_ids) for shard in cut] == [64, 64, 22]
    # The order of the table is that in which they came.
    assert [name for shard in cut for name in shard.sample_ids] == list(PICTURES)


def test_frames_come_in_shards_and_are_those_of_the_preprocess(
    published: Published, of_64: None
) -> None:
    parts = list(shards.decode(published.lake, published.release, IDS, SPEC))
    assert [len(pixels) for _, pixels in parts] == [64, 64, 22]
    for sample_ids, decoded in parts:
        for sample_id, frame in zip(sample_ids, decoded, strict=True):
            np.testing.assert_array_equal(frame, preprocess.frame(PICTURES[sample_id], SPEC))


@pytest.mark.parametrize("spec", [SPEC, None])
def test_a_damaged_image_is_found_whether_it_is_decoded_or_not(
    tmp_path: Path, of_64: None, spec: PreprocessSpec | None
) -> None:
    there = publish(Lake(str(tmp_path)), broken=IDS[7])
    with pytest.raises(DamagedError, match=f"image {IDS[7][:12]}"):
        list(shards.decode(there.lake, there.release, IDS, spec))


def first(published: Published) -> Shard:
    return shards.cut(published.lake, published.release, IDS)[0]


def test_what_travels_is_the_ids_and_little_more(published: Published, of_64: None) -> None:
    assert len(pickle.dumps(published.release)) > 100_000
    assert len(pickle.dumps(first(published))) < 64 * (64 + 8) + 1500


def test_a_shard_that_travelled_reads_the_same_images_from_another_folder(
    published: Published, of_64: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(published.lake.uri).parent)
    near = replace(first(published), lake=Lake(Path(published.lake.uri).name))
    sent = pickle.dumps(near)
    monkeypatch.chdir(tmp_path)
    sample_ids, _ = shards.encode_shard(pickle.loads(sent), Means(), Means().digest)  # noqa: S301
    assert sample_ids == list(PICTURES)[:64]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"revision": "0" * 40}, "this worker has commit"),
        ({"lock_hash": "0" * 64}, "this worker has lock"),
        ({"lake": Lake("/nowhere/lake")}, "lake /nowhere/lake is not on this worker"),
    ],
)
def test_a_worker_that_differs_refuses(
    published: Published, change: dict[str, Any], told: str
) -> None:
    if first(published).revision == "unknown" and "revision" in change:
        pytest.skip("this checkout has no commit")
    with pytest.raises(ConfigError, match=told):
        shards.decode_shard(replace(first(published), **change), None)


def test_a_worker_whose_encoder_is_another_refuses(published: Published) -> None:
    with pytest.raises(ConfigError, match=r"digest ssssssssssss on this worker and oooooooooooo"):
        shards.encode_shard(first(published), Means(), "o" * 64)


@step(name="within")
def within(published: Published) -> dict[str, Any]:
    return shards.encode(published.lake, published.release, Means(), IDS)


@flow(name="both", task_runner=runners.ConfiguredRunner())
def both(published: Published) -> tuple[dict[str, Any], dict[str, Any]]:
    return shards.encode(published.lake, published.release, Means(), IDS), within(published)


@pytest.mark.server
def test_threads_of_a_run_and_a_plain_call_give_the_same_bits(
    published: Published, server: None, of_64: None
) -> None:
    plain = shards.encode(published.lake, published.release, Means(), IDS)
    for found in both(published):
        assert list(found) == list(plain)
        assert all(found[name].tobytes() == plain[name].tobytes() for name in IDS)


@step(name="pass on")
def pass_on(number: int) -> int:
    return number


def test_a_shard_that_is_done_is_given_before_many_are_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a killed run has kept nothing of what was done."""
    monkeypatch.setattr(runners.settings, "cores", lambda: 16)
    drawn: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(8):
            time.sleep(0.05)
            drawn.append(number)
            yield number

    stream = pass_on.stream(numbers())
    assert next(stream) == 0
    assert len(drawn) < 8
    assert list(stream) == list(range(1, 8))


@flow(name="bounded", task_runner=runners.ConfiguredRunner())
def bounded() -> list[int]:
    drawn: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    stream = pass_on.stream(numbers())
    next(stream)
    assert len(drawn) <= 4
    return list(stream)


@pytest.mark.server
def test_only_a_few_shards_are_under_way_at_once(
    server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners.settings, "cores", lambda: 2)
    assert bounded() == list(range(1, 100))


@step(name="heavy")
def heavy(pixels: NDArray[np.uint8]) -> int:
    run = FlowRunContext.get()
    assert run is not None
    with runners.light(run):
        return len(cloudpickle.dumps(serialize_context()))


@flow(name="sent", task_runner=runners.ConfiguredRunner())
def sent() -> int:
    return heavy(np.zeros(1 << 20, np.uint8))


@pytest.mark.server
def test_the_arguments_of_a_task_do_not_travel_with_each_shard(server: None) -> None:
    assert sent() < 100_000
