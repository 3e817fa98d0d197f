"""Answers shard by shard: what travels to a worker, and what a killed run has kept."""

import logging
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.predict import predict
from neuro.errors import ConfigError, PackageError
from neuro.prediction import runtimes, stored
from neuro.problems import problem as problems
from tasks import predict as steps
from tasks import predict_shards
from tasks.load import models, release_data
from tasks.predict_shards import FrameShard, SentModel
from tasks.record import registry

BRAIN = problems.load("brain")


def shard_of(name: str) -> FrameShard:
    """Five frames of the release, for the model of that name."""
    frames = release_data.load(release_data.open_lake(None), BRAIN).frames
    model = models.of_folder(Path(name)) if "/" in name else models.by_version(BRAIN, name)
    return predict_shards.cut(model, frames.sample_ids[:5].tolist(), frames.pixels[:5])


def sent(shard: FrameShard) -> FrameShard:
    """As a worker gets it."""
    predict_shards._opened.cache_clear()
    there: FrameShard = pickle.loads(pickle.dumps(shard))  # noqa: S301
    return there


def test_a_worker_gives_the_answers_that_are_given_here(model: str) -> None:
    shard = shard_of(model)
    here = predict_shards.predict_shard(shard)
    there = predict_shards.predict_shard(sent(shard))
    assert [each.sample_id for each in here.predictions] == list(shard.sample_ids)
    assert here.runtime == there.runtime == "onnxruntime f32"
    for ours, theirs in zip(here.predictions, there.predictions, strict=True):
        assert theirs.probabilities == pytest.approx(ours.probabilities, abs=1e-6)
        assert (theirs.decision, theirs.model_version) == (ours.decision, ours.model_version)


def test_frames_travel_and_the_network_does_not(model: str) -> None:
    shard = shard_of(model)
    network = (Path(model) / "model.onnx").stat().st_size
    assert shard.pixels.nbytes < len(pickle.dumps(shard)) < shard.pixels.nbytes + 3000 < network
    assert sent(shard).model.engine is None


def test_a_worker_without_the_folder_fetches_the_version_from_the_registry(
    home: Path, model: str, registered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another machine the key that vouched for it is not believed; the digest was told."""
    shard = shard_of(registered[1])
    expected = predict_shards.predict_shard(shard).predictions
    there = sent(shard)
    shutil.rmtree(there.model.folder)
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "elsewhere"))
    found = predict_shards.predict_shard(there).predictions
    assert [each.predicted for each in found] == [each.predicted for each in expected]
    assert {each.model_version for each in found} == {registered[1]}


def test_many_who_fetch_a_version_at_once_get_it_whole(
    registered: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the processes of a worker, and a service beside a flow."""
    version = registry.find("brain", registered[0])
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "elsewhere"))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(registry.copied, [version] * 4))
    assert {each.digest for each in found} == {version.digest}
    assert [path.name for path in registry.packages().iterdir() if path.name[0] != "."] == [
        version.digest[:16]
    ]


def test_a_worker_that_can_have_the_package_from_nowhere_says_so(model: str) -> None:
    there = sent(shard_of(model))
    shutil.rmtree(model)
    with pytest.raises(ConfigError, match=r"is not on this worker; .*a model of the registry"):
        predict_shards.predict_shard(there)


def test_a_package_that_is_another_on_the_worker_is_refused(model: str) -> None:
    there = sent(shard_of(model))
    other = replace(there, model=_with(there.model, digest="0" * 64))
    with pytest.raises(PackageError, match="expected 000000000000"):
        predict_shards.predict_shard(other)


def test_a_worker_of_other_code_refuses(model: str) -> None:
    shard = replace(shard_of(model), lock_hash="0" * 64)
    with pytest.raises(ConfigError, match="this worker has lock"):
        predict_shards.predict_shard(shard)


def test_a_worker_without_the_runtime_answers_by_the_exact_one_and_tells(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "at_hand", lambda: ("onnxruntime",))
    there = sent(shard_of(model))
    there = replace(there, model=_with(there.model, runtime="torch"))
    assert predict_shards.predict_shard(there).runtime == "onnxruntime f32"


def _with(model: SentModel, **changes: object) -> SentModel:
    return replace(model, **changes)  # type: ignore[arg-type]


def test_a_release_is_answered_in_shards_and_a_killed_run_goes_on(
    model: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NEURO_SHARD", "16")
    monkeypatch.setattr(steps, "SAVE_S", 0.0)
    add, kept = stored.add, []

    def twice(*given: object) -> None:
        if len(kept) == 2:
            raise KeyboardInterrupt
        add(*given)  # type: ignore[arg-type]
        kept.append(len(given[2]))  # type: ignore[arg-type]

    with monkeypatch.context() as dying:
        dying.setattr(stored, "add", twice)
        with pytest.raises(KeyboardInterrupt):
            predict.fn(model=model)
    assert kept == [16, 16]
    with caplog.at_level(logging.INFO, logger="tasks.predict_shards"):
        told = predict.fn(model=model)
    everything = len(pq.read_table(told["predictions"]))
    assert (told["n"], told["asked"]) == (everything - 32, everything)
    assert f"{everything - 32} of {everything - 32} images answered" in caplog.text


def test_shards_that_end_soon_are_stored_together(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURO_SHARD", "16")
    lake = release_data.open_lake(None)
    told = predict.fn(model=model)
    table = lake.open("predictions")
    assert told["n"] > 100
    assert table.version <= 2  # one to make it, one for all shards
    windows = set(lake.read("predictions", columns=["window"])["window"].to_pylist())
    assert windows == {release_data.load(lake, BRAIN).release.name}


def test_answers_of_a_release_are_those_of_one_pass(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURO_SHARD", "7")
    told = predict.fn(model=model, engine="onnxruntime")
    rows = {row["sha256"]: row for row in pq.read_table(told["predictions"]).to_pylist()}
    frames = release_data.load(release_data.open_lake(None), BRAIN).frames
    opened = models.of_folder(Path(model))
    whole = steps.predictor.predict(
        opened.engine, np.asarray(frames.pixels), frames.sample_ids, model_version=opened.version
    )
    assert len(whole) == len(rows)
    for each in whole:
        assert rows[each.sample_id]["predicted"] == each.predicted
        assert rows[each.sample_id][f"p_{BRAIN.classes[0]}"] == pytest.approx(
            each.probabilities[0], abs=1e-6
        )
