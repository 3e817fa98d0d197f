"""A correction by a reader: in the next release, in the measured accuracy, on the image's page."""

from datetime import UTC, datetime
from pathlib import Path

from deployments.reading_room import image_facts
from deployments.reading_room.release_rows import ReleaseRows
from flows.featurize import featurize
from flows.ingest import ingest
from flows.predict import predict
from neuro.ingest import late_labels
from neuro.lake import releases, work_list
from neuro.lake.work_list import FINAL, FIRST, UNCERTAIN, Read, WorkItem, WorkKey
from neuro.problems import problem as problems
from neuro.promotion.drift_policy import DriftPolicy
from tasks import drift
from tasks.load import models, release_data
from tests.flows.conftest import LABELS, Draw


def accuracy(model: str, window: str) -> tuple[int, float]:
    """Labels of a window, and the share of them that the model called."""
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    found = drift.observe(
        loaded, models.of_folder(Path(model)), window, 7.0, DriftPolicy()
    ).window.labelled()
    return len(found.correct), float(found.correct.mean()) if len(found.correct) else 0.0


def test_a_correction_is_in_the_next_release_the_accuracy_and_the_page(
    model: str, draw: Draw
) -> None:
    brain, lake = problems.load("brain"), release_data.open_lake(None)
    window = ingest.fn(source=str(draw(LABELS, 4, name="later", seed=9)))["release"]
    featurize.fn()
    predict.fn(model=model)
    n, before = accuracy(model, window)
    stored = lake.read("predictions").to_pylist()
    labels = {each.sample_id: each for each in releases.samples(lake, releases.find(lake, "brain"))}
    wrong = next(
        row
        for row in stored
        if row["window"] == window and labels[row["sha256"]].label != row["predicted"]
    )
    key, now = WorkKey("brain", wrong["sha256"]), datetime.now(UTC)
    item = WorkItem(key=key, dataset="brain", source=UNCERTAIN, why="", added_at=now)
    work_list.add(lake, [item])
    for step in (FIRST, FINAL):
        read = Read(who="ana", step=step, label=wrong["predicted"], at=now)
        work_list.record(lake, key, read)
    assert accuracy(model, window) == (n, before)  # of the release that was there
    made = late_labels.publish_decided(lake, brain, now)
    label_of = {each.sample_id: each.label for each in releases.samples(lake, made)}
    assert label_of[key.sha256] == wrong["predicted"]
    n_after, after = accuracy(model, window)
    assert (n_after, round((after - before) * n)) == (n, 1)
    told = image_facts.of(lake, brain, ReleaseRows(), key.sha256)
    assert told.labels[-1][:2] == (wrong["predicted"], "ana")
    assert [row[0] for row in told.reads] == ["ana", "ana"]
