"""What a lake holds of a lineage: read by column and by key, never an image.

Branches of users are read, too.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from neuro.lake import erasure, journal, releases, tombstones
from neuro.lake.lake import Lake, among, quoted
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from neuro.promotion.lineage_facts import Arrival, Facts, Followed, GivenLabel, Predicted

SHORTEST = 8  # of a digest that is given by its beginning
_HEX = re.compile(rf"[0-9a-f]{{{SHORTEST},64}}")
_AFTER_HEX = "g"  # sorts behind every digit of a digest


def read(lake: Lake) -> Facts:
    """Everything but single samples: releases that can be found, the journal, and counts."""
    return Facts(
        releases=_releases(lake),
        arrivals=_arrivals(lake),
        entries=journal.entries(lake, *journal.KINDS),
        predicted=_predicted(lake),
        erased=frozenset(tombstones.erased(lake)),
    )


def sample_ids(lake: Lake, problem: Problem, name: str) -> list[str]:
    """The samples of a problem's dataset that a name may mean, sorted.

    name: a source name, a digest or its beginning; also inside of another name, as that of a node.
    """
    names = {part for text in (name, name.rpartition("@")[0]) for part in (text, *text.split("/"))}
    names -= {""}
    files = names | {problem.name_digest(each) for each in names}
    tests = [among("source_name", files)]
    tests += [
        f"(sha256 >= {quoted(each)} AND sha256 < {quoted(each + _AFTER_HEX)})"
        for each in sorted(names)
        if _HEX.fullmatch(each)
    ]
    where = f"dataset = {quoted(problem.dataset)} AND ({' OR '.join(tests)})"
    rows = [
        row for view in erasure.views(lake) for row in _rows(view, "samples", ["sha256"], where)
    ]
    return sorted({row["sha256"] for row in rows})


def followed(lake: Lake, problem: Problem, wanted: Collection[str]) -> list[Followed]:
    """These samples of a problem's dataset, with their labels; only those that entered a release.

    A sample on several branches and main is told once, as main has it.
    """
    return [sample for sample in _every_followed(lake, problem, wanted).values() if sample.entered]


def _every_followed(
    lake: Lake, problem: Problem, wanted: Collection[str]
) -> Mapping[str, Followed]:
    where = f"dataset = {quoted(problem.dataset)} AND {among('sha256', wanted)}"
    columns = ["sha256", "source_name", "split", "run_id"]
    of_labels = ["sha256", "sequence", "label", "who", "labelled_at", "run_id"]
    found: dict[str, Followed] = {}
    for view in erasure.views(lake):  # main comes last
        entered = releases.entered_with(releases.history(view, problem.dataset))
        at = _rows(view, "images", ["sha256", "ingested_at"], among("sha256", wanted))
        ingested = {row["sha256"]: row["ingested_at"] for row in at}
        labels: dict[str, list[GivenLabel]] = defaultdict(list)
        for row in _rows(view, "labels", of_labels, where):
            given_label = GivenLabel(
                sequence=row["sequence"],
                label=row["label"],
                who=row["who"],
                at=row["labelled_at"],
                run_id=row["run_id"],
            )
            labels[row["sha256"]].append(given_label)
        for row in _rows(view, "samples", columns, where):
            sample_id = row["sha256"]
            found[sample_id] = Followed(
                sample_id=sample_id,
                source_name=row["source_name"],
                split=row["split"],
                run_id=row["run_id"],
                entered=entered.get(sample_id) or entered.get(row["run_id"], ""),
                at=ingested.get(sample_id),
                labels=labels[sample_id],
            )
    return found


def predictions_of(lake: Lake, problem: Problem, wanted: Collection[str]) -> list[Predicted]:
    """Each single prediction of these samples, of every problem of the dataset."""
    where = f"dataset = {quoted(problem.dataset)} AND {among('sha256', wanted)}"
    columns = ["sha256", "problem", "model_version", "predicted", "decision", "predicted_at"]
    return [
        Predicted(
            problem=row["problem"],
            version=row["model_version"],
            window=row["window"] or "",
            n=1,
            first=row["predicted_at"],
            last=row["predicted_at"],
            sample_id=row["sha256"],
            says=f"{row['predicted']}, {row['decision'].replace('_', ' ')}",
        )
        for row in _rows(lake, "predictions", [*columns, "window"], where)
    ]


def _releases(lake: Lake) -> list[Release]:
    """Every release that was ever current, of main and all branches."""
    found = {
        release.name: release
        for view, dataset in erasure.lines(lake)
        for release in releases.history(view, dataset)
    }
    return sorted(found.values(), key=lambda release: release.created_at)


def _arrivals(lake: Lake) -> list[Arrival]:
    """What each run brought. A row stands on main and on branches that began after it: once."""
    images: dict[str, int] = {}
    labels: dict[str, dict[str, int]] = defaultdict(dict)
    for view in erasure.views(lake):
        runs = view.read("samples", columns=["run_id"])["run_id"].to_pylist()
        images |= Counter(runs)
        given = view.read("labels", columns=["run_id", "who"])
        for row in given.group_by(["run_id", "who"]).aggregate([([], "count_all")]).to_pylist():
            labels[row["run_id"]][row["who"]] = row["count_all"]
    return [
        Arrival(run_id=run, n_images=images.get(run, 0), labels=labels[run])
        for run in sorted(images.keys() | labels.keys())
    ]


def _predicted(lake: Lake) -> list[Predicted]:
    """The predictions of each version for each window, counted."""
    keys = ["problem", "model_version", "window"]
    stored = lake.read("predictions", columns=[*keys, "predicted_at"])
    counted = stored.group_by(keys).aggregate(
        [("predicted_at", "count"), ("predicted_at", "min"), ("predicted_at", "max")]
    )
    return [
        Predicted(
            problem=row["problem"],
            version=row["model_version"],
            window=row["window"] or "",
            n=row["predicted_at_count"],
            first=row["predicted_at_min"],
            last=row["predicted_at_max"],
        )
        for row in counted.to_pylist()
    ]


def _rows(view: Lake, table: str, columns: list[str], where: str) -> Iterator[dict[str, Any]]:
    yield from view.read(table, columns=columns, where=where).to_pylist()
