"""What `neuro worklist` does: put images on the work list, and say how far readers agree."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from neuro.errors import ConfigError
from neuro.evaluation import kappa, labels_in_doubt
from neuro.lake import labels, releases, work_list
from neuro.lake.labels import Annotation
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.lake.work_list import FIRST, GIVEN, SUSPECT, UNCERTAIN, Reading, WorkItem, WorkKey
from neuro.prediction import stored
from neuro.problems.problem import Problem
from neuro.promotion import serving
from neuro.reports import page_paths
from neuro.sample import Metric
from tasks.runtime import settings

SOURCES = (GIVEN, SUSPECT, UNCERTAIN)  # what comes first is read first

Found = Iterator[tuple[str, str]]  # sample_ids, each with a sentence, the most pressing first


@dataclass(frozen=True, kw_only=True, slots=True)
class FillConfig:
    """sources: where images come from. n: of each, at most. readers: who must agree, 1 or 2."""

    sources: Sequence[str] = SOURCES
    n: int = 50
    readers: int = 1

    def __post_init__(self) -> None:
        if unknown := set(self.sources) - set(SOURCES):
            raise ConfigError(
                f"source must be one of {', '.join(SOURCES)}, got {', '.join(sorted(unknown))}"
            )
        if self.n < 1:
            raise ConfigError(f"n must be 1 or more, got {self.n}")
        if self.readers not in (1, 2):
            raise ConfigError(f"readers must be 1 or 2, got {self.readers}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How far two agree on what both have called. value: None where they share no image."""

    first: str
    second: str
    value: Metric | None

    def as_dict(self) -> dict[str, Any]:
        """A row of a table."""
        value = self.value
        figures = {} if value is None else {"low": value.low, "high": value.high}
        return {
            "first": self.first,
            "second": self.second,
            "images": value.n if value else 0,
            "groups": value.groups if value else 0,
            "kappa": value.value if value else None,
            **figures,
        }


def fill(lake: Lake, problem: Problem, config: FillConfig, now: datetime) -> dict[str, int]:
    """Put images of the current release on the list; returns how many came of each source.

    What waits already is left as it is. An image that readers have decided comes back only where
    somebody has given another label since.
    """
    release = releases.find(lake, problem.dataset)
    there = {sample.sample_id for sample in releases.samples(lake, release)}
    known = work_list.readings(lake, problem.name)
    work_list.settle(lake, known)
    decided = {each.item.key.sha256: each.decision for each in known if each.decision}
    taken = {each.item.key.sha256 for each in known if not each.is_decided}
    by_source: Mapping[str, Callable[[], Found]] = {
        GIVEN: lambda: _given(lake, problem, decided),
        SUSPECT: lambda: _suspects(release, problem),
        UNCERTAIN: lambda: _uncertain(lake, problem),
    }
    added = {}
    for source in (each for each in SOURCES if each in config.sources):
        items: list[WorkItem] = []
        for sample_id, why in by_source[source]():
            is_settled = sample_id in decided and source != GIVEN
            if sample_id in taken or sample_id not in there or is_settled:
                continue
            taken.add(sample_id)
            key = WorkKey(problem.name, sample_id)
            rank = 1e6 * SOURCES.index(source) + len(items)
            items.append(
                WorkItem(
                    key=key,
                    dataset=problem.dataset,
                    source=source,
                    why=why,
                    added_at=now,
                    readers=config.readers,
                    rank=rank,
                )
            )
            if len(items) == config.n:
                break
        added[source] = work_list.add(lake, items)
    return added


def agreements(
    lake: Lake, problem: Problem, group_of: Mapping[str, str] | None = None
) -> list[Agreement]:
    """Cohen's kappa of each two readers, by their first reads, which are blind.

    Of an image that came again the first round alone counts: its result was told. group_of: by
    sample_id, where it is known already.
    """
    every = [each for each in work_list.readings(lake, problem.name) if not each.item.key.round]
    group_of = _groups(lake, problem) if group_of is None else group_of
    names = sorted({read.who for each in every for read in each.reads if read.step == FIRST})
    return [_agreement(every, *pair, group_of) for pair in combinations(names, 2)]


def _agreement(
    every: Sequence[Reading], one: str, other: str, group_of: Mapping[str, str]
) -> Agreement:
    first, second, groups = [], [], []
    for each in every:
        a, b = each.by(one, FIRST), each.by(other, FIRST)
        if a and b:
            sample_id = each.item.key.sha256
            first.append(a.label)
            second.append(b.label)
            groups.append(group_of.get(sample_id, sample_id))
    return Agreement(first=one, second=other, value=kappa.cohen(first, second, groups))


def _groups(lake: Lake, problem: Problem) -> dict[str, str]:
    release = releases.current(lake, problem.dataset)
    samples = releases.samples(lake, release) if release else []
    return {sample.sample_id: sample.group_id for sample in samples}


def _given(lake: Lake, problem: Problem, decided: Mapping[str, Annotation]) -> Found:
    """Labels that people gave to the service since readers decided, oldest first."""
    for row in labels.waiting(lake, problem.dataset):
        decision = decided.get(row["sha256"])
        if decision and decision.at >= row["labelled_at"]:  # readers could not tell
            continue
        yield row["sha256"], f"{row['who']} says that it is {row['label']}"


def _suspects(release: Release, problem: Problem) -> Found:
    """Labels that the folds of a training doubt, then those that the passport suspects."""
    paths = page_paths.doubt_lists(settings.load().home, release.name)
    for found in labels_in_doubt.known(paths, release.content_hash).lists:
        if found.problem == problem.name:
            for label in found.labels:
                yield label.sample_id, f"{found.who} say {label.instead}, its label {label.label}"
    for row in release.passport.get("label_suspects") or ():
        said = f"similar pictures of other groups are {row['suggested']}"
        yield row["sample_id"], f"{said}, its label is {row['label']}"


def _uncertain(lake: Lake, problem: Problem) -> Found:
    """Images that the version that serves did not answer, the least sure first."""
    changed = serving.changes(lake, problem.name)
    if not changed:
        return
    columns = ["sha256", "decision", "reason", "probabilities"]
    rows = stored.rows(lake, problem, changed[-1].version, columns).to_pylist()
    unsure = [row for row in rows if row["decision"] != "answer"]
    for row in sorted(unsure, key=lambda row: (max(row["probabilities"]), row["sha256"])):
        yield row["sha256"], f"version {changed[-1].version} does not answer it: {row['reason']}"
