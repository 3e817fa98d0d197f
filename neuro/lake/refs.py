"""Names that several parts must agree on: branches and tags in Lance, marks in a configuration.

Parts of a branch's name are joined by dots. By slashes they would be folders that branches share,
and Lance removes those with one branch while another is being made there (docs/traps.md).

The marks stand in the configuration of ``releases``, whose update is Lance's one compare-and-set.
"""

import re
from collections.abc import Mapping
from typing import Any

from neuro.lake.lake import Lake

_CONFLICT = re.compile("incompatible transaction|conflict|contention", re.IGNORECASE)


def line(dataset: str, branch: str) -> str:
    """The Lance branch of a user's branch, "" for main."""
    return f"{lines(dataset)}.{branch}" if branch else ""


def lines(dataset: str = "") -> str:
    """What the Lance branches of users, or of those of a dataset, stand below."""
    return f"user.{dataset}" if dataset else "user"


def is_of(lake: Lake, dataset: str) -> bool:
    """Whether this view may have releases of a dataset: it is main, or a branch of the dataset."""
    return not lake.branch or lake.branch.startswith(f"{lines(dataset)}.")


def runs(branch: str = "") -> str:
    """What the Lance branches of unpublished runs, or of those on a user's branch, stand below."""
    return f"ingest.{branch}" if branch else "ingest"


def head_key(lake: Lake, dataset: str) -> str:
    """The key of the releases table's configuration that names the current release."""
    branch = lake.branch.rpartition(".")[2]
    return f"head.{dataset}@{branch}" if branch else f"head.{dataset}"


def pending(lake: Lake) -> set[str]:
    """Runs that began to write to this branch's tables and have not published a release yet."""
    config = lake.open("releases").config()
    asked = pending_key(lake, "")
    return {key.removeprefix(asked) for key in config if key.startswith(asked)}


def pending_key(lake: Lake, run: str) -> str:
    """The key of the releases table's configuration that says a run is half written."""
    return f"pending@{lake.branch}/{run}"


def mark(lake: Lake, key: str, value: str | None) -> None:
    """Give a mark a value, or take it away with None; another who does the same is no rival."""
    while (handle := lake.open("releases")).config().get(key) != value:
        compare_and_set(handle, {key: value})


def compare_and_set(handle: Any, marks: Mapping[str, str | None]) -> bool:
    """Change marks; False, and nothing is, if another changed one since the handle was opened."""
    try:
        handle.update_config(dict(marks))
    except OSError as error:
        if not _CONFLICT.search(str(error)):
            raise
        return False
    return True


def tag(lake: Lake, table: str, name: str, version: int) -> int:
    """Tag a version, create-only; a tag left by a crashed run, or set meanwhile, stays as it is."""
    dataset = lake.open(table)
    if name not in (tags := dataset.tags.list()):
        try:
            dataset.tags.create(name, version)
        except (OSError, ValueError):
            if name not in (tags := dataset.tags.list()):
                raise
        else:
            return version
    return int(tags[name]["version"])
