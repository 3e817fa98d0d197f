"""Where a training runs: versions, processor, and how busy they are."""

import os
import platform
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path
from time import perf_counter, process_time

import torch

from tasks.runtime import settings

_PACKAGES = ("torchvision", "timm", "lightning-fabric", "numpy", "mlflow", "prefect")
_IDLE = (3, 4)  # idle and iowait, among the columns of /proc/stat
_COUNTED = 8  # of its columns; guests are in the first two
_MB = 1e6


def facts() -> dict[str, str]:
    """Versions of what computes, the system, processor and GPU; no name of the machine."""
    found = {"python": platform.python_version(), "os": platform.platform()}
    found |= {name: metadata.version(name) for name in _PACKAGES}
    found |= {
        "torch": torch.__version__,  # with the CUDA it was built for
        "processor": _processor(),
        "cores": str(settings.cores()),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
    return {f"env.{name}": value for name, value in found.items()}


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


class Usage:
    """How busy machine and process were since the last sample.

    Named as MLflow's own samples are, that its page shows them; those need psutil and a thread.
    """

    def __init__(self) -> None:
        self._told = perf_counter(), process_time(), _ticks()

    def sample(self) -> dict[str, float]:
        """CPU of the whole machine in %, cores that this process kept busy, memory in MB.

        What the system does not tell is left out. Of a GPU that one process uses: its memory, and
        where nvidia-ml-py is installed its load in %.
        """
        before, self._told = self._told, (perf_counter(), process_time(), _ticks())
        wall, own = (now - then for now, then in zip(self._told[:2], before[:2], strict=True))
        found = {"process_cpu_cores": own / wall}
        with suppress(OSError):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            found["process_memory_megabytes"] = pages * os.sysconf("SC_PAGE_SIZE") / _MB
        busy, total = (now - then for now, then in zip(self._told[2], before[2], strict=True))
        if total:
            found["cpu_utilization_percentage"] = 100 * busy / total
        return {f"system/{name}": value for name, value in (found | _gpu()).items()}


def _ticks() -> tuple[int, int]:
    """Busy and all ticks of the machine's processors; (0, 0) where the system does not tell."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    except OSError:
        return 0, 0
    counted = [int(text) for text in line.split()[1 : 1 + _COUNTED]]
    return sum(counted) - sum(counted[number] for number in _IDLE), sum(counted)


def _gpu() -> dict[str, float]:
    """Of the device that this process computes on, if it does."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {}
    free, total = torch.cuda.mem_get_info()
    found = {
        "gpu_0_memory_usage_megabytes": (total - free) / _MB,
        "gpu_0_memory_usage_percentage": 100 * (1 - free / total),
    }
    try:
        refused = import_module("pynvml").NVMLError
    except ModuleNotFoundError:
        return found
    with suppress(refused, RuntimeError):  # a slice of a GPU has no load of its own
        found["gpu_0_utilization_percentage"] = float(torch.cuda.utilization())
    return found
