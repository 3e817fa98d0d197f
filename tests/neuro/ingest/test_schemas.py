import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest

from neuro.errors import AuditError, ManifestError
from neuro.ingest import schemas
from neuro.ingest.delivery import Item
from neuro.lake.table_schemas import SCHEMAS
from neuro.problems import problem
from neuro.problems.problem import Problem

NAME, ID = "Erika Mustermann", "patient-4711"
Deliver = Callable[..., Path]


@pytest.fixture
def skin() -> Problem:
    return problem.load("skin")


def item(label: str = "mel", group_key: str = "a" * 64, **metadata: str) -> Item:
    return Item(
        path=Path("x"),
        source_name=f"{NAME}.jpg",
        label=label,
        given_split="",
        group_key=group_key,
        metadata=json.dumps(metadata),
    )


def row(problem: Problem, table: str, **values: object) -> pa.Table:
    """One row that is well formed but for the given values."""
    good = {
        "dataset": "skin",
        "sha256": "a" * 64,
        "stored_sha256": "b" * 64,
        "media_type": "image/png",
        "width": 40,
        "height": 40,
        "group_id": "c" * 64,
        "group_key": "",
        "split": "train",
        "given_split": "",
        "sequence": 0,
        "label": "mel",
        "who": "source",
    }
    chosen = schemas.tables(problem)[table]
    schema = pa.schema([SCHEMAS[table].field(name) for name in chosen])
    return pa.Table.from_pylist([{k: v for k, v in (good | values).items() if k in chosen}], schema)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (item(label="naevus"), "label: isin"),
        (item(group_key=ID), "group_key: str_matches"),
        (item(age="121"), "age: in_range"),
        (item(age="-1"), "age: in_range"),
        (item(age=NAME), "age: not a number"),
        (replace(item(), given_split="all"), "given_split: isin"),
        (replace(item(), source_name=""), "source_name: str_length"),
        (replace(item(), metadata="[1]"), "metadata: isin"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_whose_entry_breaks_the_schema_is_counted(
    skin: Problem, bad: Item, reason: str
) -> None:
    report = schemas.check_manifest([item(age="30"), bad, bad], skin)
    assert dict(report.refused) == {reason: 2}
    with pytest.raises(ManifestError, match=f"{reason} 2"):
        report.require()


def test_ages_from_0_to_120_and_none_at_all_are_fine(skin: Problem) -> None:
    ages = [item(age=age) for age in ("0", "45.0", "120", "")]
    assert not schemas.check_manifest([*ages, item()], skin).refused


def test_missing_groups_are_shown_and_refused_only_where_the_problem_says_so(
    skin: Problem,
) -> None:
    items = [item(), item(group_key="")]
    report = schemas.check_manifest(items, skin)
    assert (dict(report.refused), dict(report.noted)) == ({}, {"group_key: missing": 1})
    strict = replace(skin, groups=replace(skin.groups, required=True))
    assert dict(schemas.check_manifest(items, strict).refused) == {"group_key: missing": 1}


def test_a_group_rule_that_matches_nothing_is_refused_with_the_remedy(skin: Problem) -> None:
    items = [item(group_key="")] * 20
    report = schemas.check_manifest(items, skin)
    assert dict(report.refused) == {"group_key: none in the whole delivery": 20}
    with pytest.raises(ManifestError, match=r"names a patient or lesion in none of the files"):
        report.require()
    assert not schemas.check_manifest([*items, item()], skin).refused


def test_few_files_without_a_group_are_only_noted(skin: Problem) -> None:
    report = schemas.check_manifest([item(group_key="")] * 19, skin)
    assert (dict(report.refused), dict(report.noted)) == ({}, {"group_key: missing": 19})


def test_a_problem_without_a_group_rule_needs_no_groups() -> None:
    items = [replace(item(label="glioma"), group_key="")] * 20
    report = schemas.check_manifest(items, problem.load("brain"))
    assert (dict(report.refused), dict(report.noted)) == ({}, {})


def test_no_value_of_the_manifest_is_in_the_error_or_the_log(
    skin: Problem, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    report = schemas.check_manifest([item(label=NAME, group_key=ID, age=NAME)], skin)
    with pytest.raises(ManifestError) as caught:
        report.require()
    error = caught.value
    told = repr((report, error, error.__dict__, error.__cause__, error.__context__)) + caplog.text
    assert not [secret for secret in (NAME, ID) if secret in told]


@pytest.mark.parametrize(
    ("table", "values", "reason"),
    [
        ("images", {"media_type": "text/html"}, "media_type: isin"),
        ("images", {"width": 0}, "width: greater_than_or_equal_to"),
        ("images", {"stored_sha256": NAME}, "stored_sha256: str_matches"),
        ("samples", {"split": "holdout"}, "split: isin"),
        ("samples", {"group_key": ID}, "group_key: str_matches"),
        ("samples", {"dataset": "brain"}, "dataset: equal_to"),
        ("labels", {"label": NAME}, "label: isin"),
        ("labels", {"who": ""}, "who: str_length"),
    ],
)
def test_a_row_of_the_branch_that_breaks_its_schema_is_counted_not_quoted(
    skin: Problem, table: str, values: dict[str, object], reason: str
) -> None:
    columns = schemas.tables(skin)[table]
    schemas.check_table(table, row(skin, table), columns)
    with pytest.raises(AuditError, match=f"{reason} 1") as caught:
        schemas.check_table(table, row(skin, table, **values), columns)
    assert not [secret for secret in (NAME, ID) if secret in str(caught.value)]


def test_a_digest_that_stands_twice_breaks_the_schema(skin: Problem) -> None:
    twice = pa.concat_tables([row(skin, "images"), row(skin, "images")])
    with pytest.raises(AuditError, match="sha256: field_uniqueness 2"):
        schemas.check_table("images", twice, schemas.tables(skin)["images"])


def test_importing_pandera_leaves_the_offset_of_times_alone() -> None:
    when = datetime(2026, 11, 25, 10, 30, tzinfo=timezone(timedelta(hours=2)))
    assert pa.array([when], pa.timestamp("us", tz="UTC"))[0].as_py() == when
