"""What vetting finds in an image is stored with its sample; a raw PatientID is stored nowhere."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neuro.ingest import pipeline
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import GroupRule, Problem
from tests.neuro.conftest import Stage

Dicom = Callable[..., bytes]
Png = Callable[[int], bytes]
Deliver = Callable[..., Path]
Ingest = Callable[..., Release]

TABLE = "file,dx,modality,age\na.dcm,glioma,XR,7\nb.dcm,glioma,,8\n"


@pytest.fixture
def one_patient(deliver: Deliver, dicom: Dicom) -> Path:
    """Two images of one patient and one of another."""
    ids = {"a": "Doe^Jane", "b": "Doe^Jane", "c": "Roe^Max"}
    files = {
        f"glioma/{name}.dcm": dicom(n, PatientID=who, Modality="MR", PatientAge="093Y")
        for n, (name, who) in enumerate(ids.items())
    }
    return deliver("in", files)


def samples(lake: Lake, dataset: str = "brain") -> dict[str, dict[str, Any]]:
    rows = lake.read("samples", where=f"dataset = '{dataset}'").to_pylist()
    return {row["source_name"].split("/")[-1]: row for row in rows}


def test_the_facts_of_an_image_are_stored_with_its_sample(
    ingest: Ingest, lake: Lake, one_patient: Path, png: Png
) -> None:
    (one_patient / "glioma" / "d.jpg").write_bytes(png(9))
    ingest(lake, one_patient)
    found = {name: json.loads(row["metadata"]) for name, row in samples(lake).items()}
    assert (found["a.dcm"]["modality"], found["a.dcm"]["patient_age_years"]) == ("MR", 90)
    assert found["d.jpg"] == {"format": "PNG", "bytes": len(png(9))}


def test_what_the_table_says_goes_before_what_the_file_says(
    ingest: Ingest, lake: Lake, deliver: Deliver, dicom: Dicom, brain: Problem
) -> None:
    layout = {"kind": "table", "table": "t.csv", "file": "file", "label": "dx"}
    kept = replace(brain.layout, **layout, metadata=("modality", "age"))
    files = {"a.dcm": dicom(0, Modality="MR"), "b.dcm": dicom(1, Modality="MR")}
    ingest(lake, deliver("in", files | {"t.csv": TABLE.encode()}), replace(brain, layout=kept))
    found = {name: json.loads(row["metadata"]) for name, row in samples(lake).items()}
    assert [found[name]["modality"] for name in ("a.dcm", "b.dcm")] == ["XR", "MR"]
    assert [found[name]["age"] for name in ("a.dcm", "b.dcm")] == ["7", "8"]


@pytest.mark.parametrize(
    ("rule", "is_joined"),
    [
        (GroupRule(), True),
        (GroupRule(tag="PatientID"), True),
        (GroupRule(tag="none"), False),
        (GroupRule(tag="StudyInstanceUID"), False),
        (GroupRule(pattern="^(patient[0-9]+)"), False),
    ],
)
def test_images_of_one_patient_are_one_group_where_the_rule_says_so_or_there_is_none(
    ingest: Ingest, lake: Lake, one_patient: Path, brain: Problem, rule: GroupRule, is_joined: bool
) -> None:
    ingest(lake, one_patient, replace(brain, groups=rule))
    groups = {name: row["group_id"] for name, row in samples(lake).items()}
    assert (groups["a.dcm"] == groups["b.dcm"]) is is_joined
    assert groups["a.dcm"] != groups["c.dcm"]


def test_a_second_dataset_knows_the_patients_of_images_that_the_lake_holds(
    ingest: Ingest, lake: Lake, one_patient: Path, brain: Problem
) -> None:
    ingest(lake, one_patient)
    ingest(lake, one_patient, replace(brain, dataset="other"))
    first, second = samples(lake), samples(lake, "other")
    assert second["a.dcm"]["group_key"] == second["b.dcm"]["group_key"] != ""
    assert second["a.dcm"]["group_key"] != first["a.dcm"]["group_key"]
    assert second["a.dcm"]["metadata"] == first["a.dcm"]["metadata"]


def test_a_run_cut_short_gives_the_groups_of_one_that_was_not(
    stage: Stage, lake: Lake, one_patient: Path, tmp_path: Path
) -> None:
    lake.add("images", stage(lake, one_patient).branch.rows("images"))
    again, whole = stage(lake, one_patient), stage(Lake(str(tmp_path / "whole")), one_patient)
    releases = [pipeline.publish(s, pipeline.audit_branch(s)) for s in (again, whole)]
    assert releases[0].content_hash == releases[1].content_hash
    assert lake.read("images").num_rows == 3


def test_the_raw_patient_id_is_in_no_file_and_no_row_of_the_lake(
    ingest: Ingest, lake: Lake, one_patient: Path
) -> None:
    ingest(lake, one_patient)
    files = [path for path in Path(lake.uri).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"Doe^Jane" in path.read_bytes()]
    for table in Path(lake.uri).glob("*.lance"):  # whose texts may be packed
        assert "Doe" not in str(lake.read(table.stem).to_pylist())
