"""How fast a training was, beside what its step allows; and where the time of a step goes."""

from collections.abc import Sequence
from dataclasses import asdict
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING

from neuro.errors import TrainingError
from neuro.models import ensemble
from neuro.training import profiling
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.profiling import Pace
from neuro.training.trainer import Epoch
from tasks.load.release_data import Loaded
from tasks.record import tracking
from tasks.runtime import settings
from tasks.runtime.steps import step

if TYPE_CHECKING:
    from tasks.train import Trained

_log = getLogger(__name__)


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
    if ensemble.is_ensemble(config.model):
        _log.info("the limit of the step is of one network, and was not measured for several")
        return None
    try:
        pace = profiling.pace(loaded.frames, loaded.problem, config, machine, epochs)
    except (RuntimeError, TrainingError) as error:  # what was trained is whole
        _log.warning("the limit of the step was not measured: %s", error)
        return None
    rate, share = pace.full_images_per_s, 100 * pace.share_of_limit
    _log.info("%.0f images/s, %.0f %% of the step on one batch in memory", rate, share)
    tracking.log_values(run, asdict(pace), step=0)
    return pace


@step(name="profile")
def profile(loaded: Loaded, config: TrainConfig, machine: Machine, trained: "Trained") -> Path:
    """Write trace and table of some steps of a training to profiles/RUN, and to its MLflow run.

    RUN: the id of the MLflow run or, where there is none, of the package. Returns the folder.
    """
    run_id = trained.run_id
    folder = settings.load().home / "profiles" / (run_id or trained.package.digest[:16])
    parts = profiling.profile(loaded.frames, loaded.problem, config, machine, folder)
    tracking.log_files(tracking.Run(run_id=run_id), folder, "profile")
    longest = max(profiling.PARTS, key=lambda name: parts[name])
    _log.info("%s of each step takes longest; %s says more", longest, folder / profiling.TABLE)
    return folder
