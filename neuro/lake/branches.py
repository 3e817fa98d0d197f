"""Branches that users make: a line of releases of their own, seen by nobody else."""

import re
from dataclasses import dataclass

from neuro.errors import ConfigError, StaleError, UnknownNameError
from neuro.lake import branch_names, marks, migration, releases
from neuro.lake.lake import Lake, quoted
from neuro.lake.releases import PINNED, Release
from neuro.lake.table_schemas import BRANCHED

_GOING = "going"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class UserBranch:
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


def create(lake: Lake, dataset: str, name: str) -> UserBranch:
    """Begin a branch at main's current release; again, before anything is on it: the same.

    Raises ConfigError for a name that cannot be one or is taken.
    """
    if not _NAME.fullmatch(name) or name == "main":
        raise ConfigError(
            f"branch name {name!r} may have letters, digits, - and _, up to 64, and not be 'main'"
        )
    base = releases.find(lake, dataset)
    if name in names(lake, dataset):
        found = find(lake, dataset, name)
        if (found.base, found.head) == (base, base):
            return found
        raise ConfigError(f"branch {name} of {dataset} exists; publish or drop it, or take another")
    lake.prepare_write(*BRANCHED)
    lake.insist(f"make branch {name}", lambda: _begin(lake, base, name))
    return find(lake, dataset, name)


def names(lake: Lake, dataset: str) -> list[str]:
    """Names of a dataset's branches, sorted."""
    start = _base_key(dataset, "")
    return sorted(key.removeprefix(start) for key in marks.read(lake) if key.startswith(start))


def find(lake: Lake, dataset: str, name: str) -> UserBranch:
    """A branch by name. Raises UnknownNameError, StaleError for one whose removal was cut short."""
    _require(lake, dataset, name)
    if (dataset, name) in half_removed(lake):
        raise StaleError(
            f"branch {name} of {dataset} is being removed, or its removal was cut short; "
            f"`neuro branch drop {name}` completes it"
        )
    view = lake.on(branch_names.user_branch(dataset, name))
    base = marks.read(lake)[_base_key(dataset, name)]
    return UserBranch(
        name=name,
        lake=view,
        base=releases.known(lake, dataset)[base],
        head=releases.find(view, dataset),
    )


def half_removed(lake: Lake) -> dict[tuple[str, str], str]:
    """By dataset and name of a branch whose removal has begun: what it was published as."""
    found: dict[tuple[str, str], str] = {}
    for key, value in marks.read(lake).items():
        kind, _, line = key.partition(".")
        if kind == _GOING:
            dataset, _, name = line.rpartition("@")
            found[dataset, name] = value
    return found


def published_as(lake: Lake, dataset: str, name: str) -> Release | None:
    """The release that a branch was published as, where its removal was cut short after that."""
    made = half_removed(lake).get((dataset, name))
    return releases.known(lake, dataset).get(made) if made else None


def drop(lake: Lake, dataset: str, name: str, as_release: str = "") -> None:
    """Remove a branch and everything it alone holds. Raises UnknownNameError.

    as_release: what it was published as. The branch is marked first and its name goes last, so that
    a removal that was cut short can be repeated, and nobody reads what is left meanwhile.
    """
    _require(lake, dataset, name)
    if (dataset, name) not in half_removed(lake):
        marks.put(lake, _going_key(dataset, name), as_release or "dropped")
    lake.insist(f"drop branch {name}", lambda: _end(lake, dataset, name))


def _begin(lake: Lake, base: Release, name: str) -> None:
    dataset = base.dataset
    view = lake.on(branch_names.user_branch(dataset, name))
    _remove(lake, dataset, name)  # what a crashed creation left
    for table in BRANCHED:
        origin = lake.at(table, base.tables[table]) if table in PINNED else lake.open(table)
        origin.create_branch(view.branch)
    migration.update(view)  # the release may be older than the lake's version
    view.open("quarantine").delete("true")  # what waits on main is no matter of the branch
    lake.open("releases").update_config(
        {_base_key(dataset, name): base.name, marks.head_key(view.branch, dataset): base.name}
    )


def _end(lake: Lake, dataset: str, name: str) -> None:
    _remove(lake, dataset, name)
    view = lake.on(branch_names.user_branch(dataset, name))
    lake.open("releases").delete(f"dataset = {quoted(dataset)} AND branch = {quoted(name)}")
    runs = marks.half_written_runs(view)
    keys = [marks.half_written_key(view.branch, run) for run in runs]
    keys += [_base_key(dataset, name), _going_key(dataset, name)]
    keys.append(marks.head_key(view.branch, dataset))
    lake.open("releases").update_config(dict.fromkeys(keys))


def complete_drops(lake: Lake) -> None:
    """Finish every removal that was cut short."""
    for dataset, name in half_removed(lake):
        drop(lake, dataset, name)


def _remove(lake: Lake, dataset: str, name: str) -> None:
    """Tags, unfinished runs and tables of a branch; harmless where there are none."""
    branch = branch_names.user_branch(dataset, name)
    for table in BRANCHED:
        lake.drop_tags(table, branch)
        lake.drop_branch(table, branch_names.run_branches(branch))  # made of it, so before it
        lake.drop_branch(table, branch)


def _require(lake: Lake, dataset: str, name: str) -> None:
    if name not in (known := names(lake, dataset)):
        raise UnknownNameError(
            f"dataset {dataset} has no branch {name!r} (known: {', '.join(known) or 'none'}); make "
            f"it with `neuro branch create {name}`"
        )


def _base_key(dataset: str, name: str) -> str:
    return f"branch.{dataset}@{name}"


def _going_key(dataset: str, name: str) -> str:
    return f"{_GOING}.{dataset}@{name}"
