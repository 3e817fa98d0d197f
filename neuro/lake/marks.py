"""Marks: facts of a lake that change, such as which release is current.

They stand in the configuration of the table ``releases``, whose update is Lance's one
compare-and-set.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuro.lake.lake import Lake

_CONFLICT = re.compile("incompatible transaction|conflict|contention", re.IGNORECASE)


def read(lake: "Lake") -> dict[str, str]:
    """All marks; none where no table ``releases`` is there yet."""
    return dict(lake.open("releases").config()) if lake.has("releases") else {}


def put(lake: "Lake", key: str, value: str | None) -> None:
    """Give a mark a value, or take it away with None; another who does the same is no rival."""
    while (handle := lake.open("releases")).config().get(key) != value:
        compare_and_set(handle, {key: value})


def compare_and_set(handle: Any, marks: Mapping[str, str | None]) -> bool:
    """Change marks; False, and nothing is, if another changed one since the handle was opened."""
    try:
        handle.update_config(dict(marks))
    except OSError as error:
        if not is_conflict(error):
            raise
        return False
    return True


def is_conflict(error: Exception) -> bool:
    """Whether Lance refused a commit because somebody else had committed meanwhile."""
    return _CONFLICT.search(str(error)) is not None


def head_key(branch: str, dataset: str) -> str:
    """Names the current release of a dataset. branch: of Lance, "" for main."""
    name = branch.rpartition(".")[2]
    return f"head.{dataset}@{name}" if name else f"head.{dataset}"


def half_written_key(branch: str, run: str) -> str:
    """Says that a run has begun to write to a branch's tables and made no release yet."""
    return f"pending@{branch}/{run}"


def half_written_runs(lake: "Lake") -> set[str]:
    """Runs that began to write to this branch's tables and have not published a release yet."""
    beginning = half_written_key(lake.branch, "")
    return {key.removeprefix(beginning) for key in read(lake) if key.startswith(beginning)}
