import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import lance
import pyarrow as pa
import pytest

from neuro.errors import DamagedError, StaleError, UnknownNameError
from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Draft
from neuro.lake.table_schemas import SCHEMAS


@pytest.fixture
def draft(now: datetime) -> Draft:
    return Draft(
        dataset="brain",
        passport={"images": 1},
        creator="r1",
        note="ingest",
        is_synthetic=False,
        now=now,
    )


def add_sample(lake: Lake, sha256: str, *, dataset: str = "brain", run_id: str = "r1") -> None:
    row = {"dataset": dataset, "sha256": sha256, "group_id": sha256, "split": "train"}
    row |= {"given_split": "", "source_name": f"{sha256}.png", "run_id": run_id}
    lake.add("samples", pa.Table.from_pylist([row], SCHEMAS["samples"]))


def add_label(lake: Lake, sha256: str, label: str, sequence: int = 0) -> None:
    row = {"dataset": "brain", "sha256": sha256, "sequence": sequence, "label": label}
    lake.add("labels", pa.Table.from_pylist([row], SCHEMAS["labels"]))


class Overtaken(Lake):
    """A real lake whose user is slow: at one table's turn, a rival is let through first."""

    def __init__(self, uri: str, *, before_adding: str = "", before_reading: str = "") -> None:
        super().__init__(uri)
        self.before_adding, self.before_reading = before_adding, before_reading

    def add(self, table: str, rows: pa.Table) -> int:
        if table == self.before_adding:
            self.before_adding = ""
            self.rival()
        return super().add(table, rows)

    def at(self, table: str, version: int) -> lance.LanceDataset:
        if table == self.before_reading:
            self.before_reading = ""
            self.rival()
        return super().at(table, version)

    def rival(self) -> None:
        raise NotImplementedError


def test_a_hash_is_of_the_sorted_lines(lake: Lake, draft: Draft) -> None:
    add_sample(lake, "b")
    add_sample(lake, "a")
    add_label(lake, "a", "glioma")
    lines = b"a,glioma,a,train\nb,,b,train\n"
    assert releases.publish(lake, draft).content_hash == hashlib.sha256(lines).hexdigest()


def test_of_several_who_publish_the_same_at_once_each_has_it_or_is_told(
    lake: Lake, draft: Draft
) -> None:
    add_sample(lake, "a")
    for table in ("images", "labels", "releases"):
        lake.open(table)

    def publish(_: int) -> str:
        try:
            return releases.publish(Lake(lake.uri), draft).name
        except StaleError:
            return ""

    for number in range(5):
        add_sample(lake, f"b{number}")
        with ThreadPoolExecutor(4) as pool:
            told = set(pool.map(publish, range(4)))
        assert told - {""} == {releases.find(lake, "brain").name}
    assert len(releases.history(lake, "brain")) == 5


def test_a_release_says_what_it_is_of(lake: Lake, draft: Draft, now: datetime) -> None:
    add_sample(lake, "a")
    release = releases.publish(lake, draft)
    assert release.name == f"brain-0001-{release.content_hash[:8]}"
    assert (release.n, release.parent, release.creator) == (1, "", "r1")
    assert (release.passport, release.created_at) == ({"images": 1}, now)
    assert release.pin() == {
        "release": release.name,
        "tables": release.tables,
        "filter": "",
        "sort": "sha256",
        "content_hash": release.content_hash,
    }
    assert lake.open("samples").tags.list()[release.name]["version"] == release.tables["samples"]


def test_the_same_content_twice_is_one_release(lake: Lake, draft: Draft) -> None:
    add_sample(lake, "a")
    first = releases.publish(lake, draft)
    assert releases.publish(lake, replace(draft, creator="r2")) == first
    assert releases.history(lake, "brain") == [first]


def test_history_is_a_chain_and_old_releases_stay_as_they_were(lake: Lake, draft: Draft) -> None:
    add_sample(lake, "a")
    first = releases.publish(lake, draft)
    add_sample(lake, "b", run_id="r2")
    add_label(lake, "a", "glioma")
    second = releases.publish(lake, replace(draft, creator="r2"))
    assert [r.name for r in releases.history(lake, "brain")] == [first.name, second.name]
    assert second.parent == first.name
    assert [(s.sample_id, s.label) for s in releases.samples(lake, first)] == [("a", "")]
    assert [(s.sample_id, s.label, s.entered) for s in releases.samples(lake, second)] == [
        ("a", "glioma", first.name),
        ("b", "", second.name),
    ]


def test_the_newest_label_counts(lake: Lake, draft: Draft) -> None:
    add_sample(lake, "a")
    add_label(lake, "a", "notumor", sequence=1)
    add_label(lake, "a", "glioma", sequence=0)
    (sample,) = releases.samples(lake, releases.publish(lake, draft))
    assert sample.label == "notumor"


def test_datasets_have_heads_of_their_own(lake: Lake, draft: Draft) -> None:
    add_sample(lake, "a")
    add_sample(lake, "b", dataset="chest")
    brain = releases.publish(lake, draft)
    chest = releases.publish(lake, replace(draft, dataset="chest"))
    assert releases.current(lake, "brain") == brain
    assert [s.sample_id for s in releases.samples(lake, chest)] == ["b"]


def test_an_unknown_release_is_suggested(lake: Lake, draft: Draft) -> None:
    add_sample(lake, "a")
    name = releases.publish(lake, draft).name
    with pytest.raises(UnknownNameError, match=f"no release .*: did you mean '{name}'"):
        releases.find(lake, "brain", name[:-1] + "x")
    with pytest.raises(UnknownNameError, match="`neuro releases` lists all"):
        releases.find(lake, "brain", "?")


def test_an_empty_lake_names_the_remedy(lake: Lake) -> None:
    assert releases.current(lake, "brain") is None
    with pytest.raises(UnknownNameError, match="dataset brain has no release"):
        releases.find(lake, "brain")


def test_who_publishes_on_a_stale_head_is_told(lake: Lake, draft: Draft) -> None:
    class Slow(Overtaken):
        def rival(self) -> None:
            add_sample(lake, "b", run_id="r2")
            releases.publish(lake, replace(draft, creator="r2"))

    add_sample(lake, "a")
    slow = Slow(lake.uri, before_adding="releases")
    with pytest.raises(StaleError, match="run the same command again"):
        releases.publish(slow, draft)
    (winner,) = releases.history(lake, "brain")
    assert winner.creator == "r2"
    assert releases.publish(slow, draft) == winner  # run again: everything is in it


def test_a_rival_of_another_dataset_stops_nobody(lake: Lake, draft: Draft) -> None:
    class Slow(Overtaken):
        def rival(self) -> None:
            add_sample(lake, "b", dataset="chest")
            releases.publish(lake, replace(draft, dataset="chest"))

    add_sample(lake, "a")
    release = releases.publish(Slow(lake.uri, before_adding="releases"), draft)
    assert releases.current(lake, "brain") == release


def test_rows_that_arrive_while_a_release_is_made_are_not_in_it(lake: Lake, draft: Draft) -> None:
    class Slow(Overtaken):
        def rival(self) -> None:
            add_sample(lake, "b", run_id="r2")

    add_sample(lake, "a")
    release = releases.publish(Slow(lake.uri, before_reading="samples"), draft)
    assert [s.sample_id for s in releases.samples(lake, release)] == ["a"]


def test_tables_altered_from_outside_are_told(lake: Lake, draft: Draft) -> None:
    add_sample(lake, "a")
    release = releases.publish(lake, draft)
    add_sample(lake, "b")
    moved = {**release.tables, "samples": lake.open("samples").version}
    with pytest.raises(DamagedError, match="reads back with another content hash"):
        releases.samples(lake, replace(release, tables=moved))
