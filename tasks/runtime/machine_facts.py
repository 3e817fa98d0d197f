"""Where a training runs: versions, processor, and how busy they are."""

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
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
    facts = {"python": platform.python_version(), "os": platform.platform()}
    facts |= {name: metadata.version(name) for name in _PACKAGES}
    facts |= {
        "torch": torch.__version__,  # with the CUDA it was built for
        "processor": _processor(),
        "cores": str(settings.cores()),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
    return {f"env.{name}": value for name, value in facts.items()}


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clocks:
    """What has passed until now: for everybody, in this process, and of the machine's ticks."""

    wall_s: float
    process_s: float
    busy_ticks: int
    ticks: int

    @classmethod
    def read(cls) -> "_Clocks":
        busy, ticks = _ticks()
        return cls(wall_s=perf_counter(), process_s=process_time(), busy_ticks=busy, ticks=ticks)


class Usage:
    """How busy machine and process were since the last sample.

    Named as MLflow's own samples are, that its page shows them; those need psutil and a thread.
    """

    def __init__(self) -> None:
        self._last = _Clocks.read()

    def sample(self) -> dict[str, float]:
        """CPU of the whole machine in %, cores that this process kept busy, memory in MB.

        What the system does not tell is left out. Of a GPU that one process uses: its memory, and
        where nvidia-ml-py is installed its load in %.
        """
        last, now = self._last, _Clocks.read()
        self._last = now
        usage = {"process_cpu_cores": (now.process_s - last.process_s) / (now.wall_s - last.wall_s)}
        with suppress(OSError):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            usage["process_memory_megabytes"] = pages * os.sysconf("SC_PAGE_SIZE") / _MB
        if now.ticks > last.ticks:
            busy = (now.busy_ticks - last.busy_ticks) / (now.ticks - last.ticks)
            usage["cpu_utilization_percentage"] = 100 * busy
        return {f"system/{name}": value for name, value in (usage | _gpu()).items()}


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
    usage = {
        "gpu_0_memory_usage_megabytes": (total - free) / _MB,
        "gpu_0_memory_usage_percentage": 100 * (1 - free / total),
    }
    try:
        refused = import_module("pynvml").NVMLError
    except ModuleNotFoundError:
        return usage
    with suppress(refused, RuntimeError):  # a slice of a GPU has no load of its own
        usage["gpu_0_utilization_percentage"] = float(torch.cuda.utilization())
    return usage
