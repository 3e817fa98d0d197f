import pytest
import torch

from neuro.errors import ConfigError
from neuro.training.device import Machine, is_out_of_memory, seed_of, seeded

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@NO_GPU
def test_a_gpu_that_is_not_there_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"torch finds none here; .*--device cpu"):
        Machine(device="cuda")


@NO_GPU
def test_without_a_gpu_the_best_device_is_the_processor() -> None:
    assert Machine().kind == "cpu"
    assert Machine().fabric().device.type == "cpu"


def test_more_devices_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--devices must be 1 to \d+ on this machine, got 4096"):
        Machine(device="cpu", devices=4096)


@pytest.mark.parametrize(("field", "value"), [("device", "tpu"), ("precision", "f16")])
def test_what_is_unknown_is_refused_by_name(field: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} must be one of .*'{value}'"):
        Machine(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("precision", "kind"), [("bf16", torch.bfloat16), ("f32", torch.float32)])
def test_products_are_of_the_precision_asked_for(precision: str, kind: torch.dtype) -> None:
    fabric = Machine(device="cpu", precision=precision).fabric()
    layer = torch.nn.Linear(4, 4)
    with fabric.autocast():
        assert layer(torch.ones(2, 4)).dtype == kind


def test_it_says_what_runs() -> None:
    assert str(Machine(device="cpu", precision="f32")).endswith("threads, f32")


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(
    error: RuntimeError, *, is_memory: bool
) -> None:
    assert is_out_of_memory(error) is is_memory


def test_seeds_of_near_numbers_differ() -> None:
    assert len({seed_of(a, b) for a in range(10) for b in range(10)}) == 100


def test_seeding_ends_with_its_block() -> None:
    before = torch.random.get_rng_state()
    with seeded(1, torch.device("cpu")):
        first = torch.rand(3)
    with seeded(1, torch.device("cpu")):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.random.get_rng_state(), before)
