"""What a worker needs before it takes a run; tests/e2e/test_worker.py shows it training."""

from pathlib import Path

import pytest
import torch

from deployments.stack import servers, worker
from deployments.stack.worker import WorkerConfig
from neuro.errors import ConfigError


def silent(message: str) -> None:
    """Nobody reads the progress of a test."""


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"device must be one of auto, cpu, cuda, got 'tpu'"):
        worker.run(WorkerConfig(device="tpu"), silent)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_gpu_that_is_not_there_is_named_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"torch finds none here; .*--device cpu"):
        worker.run(WorkerConfig(device="cuda"), silent)


def test_a_lake_without_a_release_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"lake {tmp_path} holds no release; give --lake"):
        worker.run(WorkerConfig(device="cpu", lake=str(tmp_path)), silent)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"deployments: [", "lists no deployments with a name"),
        (b"", "lists no deployments with a name"),
        (b"deployments:\n- name: a\n", "lists no deployments with a name"),
        (b"deployments:\n- work_pool: gpu\n", "lists no deployments with a name"),
        ("# größer\n".encode("latin-1"), "line 1 is not UTF-8"),
        ("deployments: []\n".encode("utf-16"), "is UTF-16, not UTF-8"),
    ],
)
def test_a_prefect_yaml_that_cannot_be_used_is_named(
    tmp_path: Path, raw: bytes, message: str
) -> None:
    (tmp_path / "prefect.yaml").write_bytes(raw)
    with pytest.raises(ConfigError, match=rf"prefect\.yaml .*{message}"):
        servers.deployments_of(tmp_path, ["gpu"])
