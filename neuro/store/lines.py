"""Branches that users make: a line of releases of their own, seen by nobody else."""

import re
from dataclasses import dataclass

from neuro.errors import ConfigError, UnknownNameError
from neuro.store import keys, releases
from neuro.store.lake import Lake, quoted
from neuro.store.releases import PINNED, Release
from neuro.store.tables import BRANCHED

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A user's branch of a dataset. lake: the view from it. base: main's release it began with."""

    name: str
    lake: Lake
    base: Release
    head: Release

    @property
    def own(self) -> list[Release]:
        """The releases that stand on the branch alone, oldest first."""
        chain = releases.history(self.lake, self.base.dataset)
        return [release for release in chain if release.branch == self.name]


def create(lake: Lake, dataset: str, name: str) -> Line:
    """Begin a branch at main's current release; again, before anything is on it: the same.

    Raises ConfigError for a name that cannot be one or is taken.
    """
    if not _NAME.fullmatch(name) or name == "main":
        raise ConfigError(
            f"branch name {name!r} may have letters, digits, - and _, up to 64, and not be 'main'"
        )
    base = releases.find(lake, dataset)
    if _base_key(dataset, name) in lake.open("releases").config():
        found = find(lake, dataset, name)
        if (found.base, found.head) == (base, base):
            return found
        raise ConfigError(f"branch {name} of {dataset} exists; publish or drop it, or take another")
    lake.insist(f"make branch {name}", lambda: _begin(lake, base, name))
    return find(lake, dataset, name)


def names(lake: Lake, dataset: str) -> list[str]:
    """Names of a dataset's branches, sorted."""
    if not lake.has("releases"):
        return []
    start = _base_key(dataset, "")
    config = lake.open("releases").config()
    return sorted(key.removeprefix(start) for key in config if key.startswith(start))


def find(lake: Lake, dataset: str, name: str) -> Line:
    """A branch by name. Raises UnknownNameError."""
    if name not in names(lake, dataset):
        known = ", ".join(names(lake, dataset)) or "none"
        raise UnknownNameError(
            f"dataset {dataset} has no branch {name!r} (known: {known}); make it with "
            f"`neuro branch create {name}`"
        )
    view = lake.on(keys.line(dataset, name))
    base = lake.open("releases").config()[_base_key(dataset, name)]
    return Line(
        name=name,
        lake=view,
        base=releases.known(lake, dataset)[base],
        head=releases.find(view, dataset),
    )


def drop(lake: Lake, dataset: str, name: str) -> None:
    """Remove a branch and everything it alone holds. Raises UnknownNameError.

    Its name goes last, so that a drop that was cut short can be repeated.
    """
    if name not in names(lake, dataset):
        find(lake, dataset, name)
    lake.insist(f"drop branch {name}", lambda: _end(lake, dataset, name))


def _begin(lake: Lake, base: Release, name: str) -> None:
    dataset, mine = base.dataset, keys.line(base.dataset, name)
    _remove(lake, dataset, name)  # what a crashed creation left
    for table in BRANCHED:
        origin = lake.at(table, base.tables[table]) if table in PINNED else lake.open(table)
        origin.create_branch(mine)
    view = lake.on(mine)
    view.open("quarantine").delete("true")  # what waits on main is no matter of the branch
    lake.open("releases").update_config(
        {_base_key(dataset, name): base.name, keys.head_key(view, dataset): base.name}
    )


def _end(lake: Lake, dataset: str, name: str) -> None:
    _remove(lake, dataset, name)
    view = lake.on(keys.line(dataset, name))
    mine = f"dataset = {quoted(dataset)} AND branch = {quoted(name)}"
    lake.open("releases").delete(mine)
    marks = dict.fromkeys(keys.pending_key(view, run) for run in keys.pending(view))
    gone = {_base_key(dataset, name): None, keys.head_key(view, dataset): None}
    lake.open("releases").update_config({**marks, **gone})


def _remove(lake: Lake, dataset: str, name: str) -> None:
    """Tags, unfinished runs and tables of a branch; harmless where there are none."""
    mine = keys.line(dataset, name)
    for table in BRANCHED:
        lake.drop_tags(table, mine)
        lake.drop_branch(table, keys.runs(mine))  # made of it, so before it
        lake.drop_branch(table, mine)


def _base_key(dataset: str, name: str) -> str:
    return f"branch.{dataset}@{name}"
