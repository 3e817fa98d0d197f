"""The step by which a person locks fresh test samples."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from neuro.errors import ConfigError
from neuro.lake import journal
from neuro.promotion import locked_test
from tasks.load.release_data import Loaded
from tasks.record import artifacts, journals
from tasks.runtime.steps import step


@step(name="lock")
def lock(loaded: Loaded, reason: str, who: str) -> dict[str, Any]:
    """Lock the labelled test samples of this release that were not in the one locked before.

    Raises ConfigError without a reason or a champion, and where no such sample is there.
    """
    if not reason.strip():
        raise ConfigError('a lock needs a reason: neuro lock RELEASE --reason "..."')
    problem, frames = loaded.problem.name, loaded.frames
    after = locked_test.locked_release(loaded.lake, problem)
    if not after:
        raise ConfigError(
            f"problem {problem} has no champion, and the first one locks the test it is judged on"
        )
    tested = frames.labelled("test")
    fresh = tested[~loaded.known_at(after)[tested]]
    if not len(fresh):
        raise ConfigError(
            f"release {loaded.release.name} has no labelled test sample that {after} did not have; "
            "ingest a new delivery with labels first"
        )
    entry = {
        "problem": problem,
        "dataset": loaded.problem.dataset,
        "release": loaded.release.name,
        "after": after,
        "n": len(fresh),
        "groups": len(np.unique(frames.groups[fresh])),
        "who": who,
        "reason": reason,
        "flow_run_id": artifacts.flow_run_id() or "",
    }
    key = f"{problem}/{loaded.release.name}"
    if not journal.record(loaded.lake, locked_test.KIND, key, entry, datetime.now(UTC)):
        raise ConfigError(f"release {loaded.release.name} of {problem} was locked already")
    journals.export_head(loaded.lake, f"lock of {loaded.release.name}")
    artifacts.label_run(locked_test.KIND, name=f"lock the test of {loaded.release.name}")
    return entry
