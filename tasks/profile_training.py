"""How fast a training was, beside what its step allows; and where the time of a step goes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from logging import getLogger
from pathlib import Path
from statistics import median

from neuro.errors import TrainingError
from neuro.training import profiling
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.trainer import Epoch
from tasks.load.release_data import Loaded
from tasks.record import tracking
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Images a second: of the median epoch at the largest views, and of its step in memory."""

    full_images_per_s: float
    limit_images_per_s: float
    share_of_limit: float


def measure(
    run: tracking.Run,
    loaded: Loaded,
    config: TrainConfig,
    machine: Machine,
    epochs: Sequence[Epoch],
) -> Pace | None:
    """Time the step without its data, and record its share; None, and said, where it cannot be."""
    if machine.devices > 1:
        _log.info("the limit of the step is of one process, and was not measured for several")
        return None
    try:
        limit = profiling.limit(loaded.frames, loaded.problem, config, machine, epochs[-1])
    except (RuntimeError, TrainingError) as error:  # what was trained is whole
        _log.warning("the limit of the step was not measured: %s", error)
        return None
    size_px = epochs[-1].size_px  # views grow: the last are the largest
    rate = median(epoch.images_per_s for epoch in epochs if epoch.size_px == size_px)
    pace = Pace(full_images_per_s=rate, limit_images_per_s=limit, share_of_limit=rate / limit)
    _log.info("%.0f images/s, %.0f %% of the step on one batch in memory", rate, 100 * rate / limit)
    tracking.log_values(run, asdict(pace), step=0)
    return pace


@step(name="profile")
def profile(
    loaded: Loaded, config: TrainConfig, machine: Machine, run_id: str, digest: str
) -> Path:
    """Write trace and table of some steps of a training to profiles/RUN, and to its MLflow run.

    RUN: the id of the MLflow run or, where there is none, of the package. Returns the folder.
    """
    folder = settings.load().home / "profiles" / (run_id or digest[:16])
    found = profiling.profile(loaded.frames, loaded.problem, config, machine, folder)
    tracking.log_files(tracking.Run(run_id=run_id), folder, "profile")
    longest = max(found.parts, key=lambda name: found.parts[name])
    _log.info("%s of each step takes longest; %s says more", longest, folder / profiling.TABLE)
    return folder
