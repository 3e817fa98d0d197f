"""One answer for a patient with several images: of a release, of files, and scored."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from flows.erase import erase
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.predict import predict
from flows.train import train
from neuro.errors import ConfigError
from neuro.lake import releases
from neuro.models import package
from neuro.models.package import Card
from tasks.load import release_data
from tests.flows.conftest import LABELS, QUICK, draw_phantoms

PROBLEM = Path("neuro/problems/builtin/brain.toml").read_text(encoding="utf-8")
GROUPS = "pattern = '^(p\\d+)_view'"


def draw_patients(folder: Path, labels: list[str], each: int, *, seed: int = 0) -> Path:
    """Phantoms of which three are views of one patient."""
    draw_phantoms(folder, labels, each, seed=seed)
    for path in sorted(folder.rglob("*.png")):
        _, kind, number = path.stem.rsplit("_", 2)
        patient, view = divmod(int(number), 3)
        path.rename(path.with_name(f"p{kind}{patient:03d}_view{view}.png"))
    return folder


@pytest.fixture
def patients(tmp_path: Path) -> str:
    """A problem file with patients and a rule."""
    text = PROBLEM.replace('name = "brain"', 'name = "heads"')
    text = text.replace('dataset = "brain"', 'dataset = "heads"')
    before, _, after = text.partition("[groups]")
    path = tmp_path / "heads.toml"
    path.write_text(f'{before}[cases]\nrule = "mean"\n[groups]\n{GROUPS}{after}', encoding="utf-8")
    return str(path)


@pytest.fixture
def trained(home: Path, patients: str, tmp_path: Path) -> str:
    """A package trained on forty patients of three images each."""
    ingest.fn(source=str(draw_patients(tmp_path / "delivery", LABELS, 30)), problem=patients)
    return str(train.fn(problem=patients, config=QUICK)["package"])


def card(folder: str) -> Card:
    return package.open_verified(Path(folder)).card


def test_a_package_is_calibrated_on_the_cases_of_its_calibration_split(
    trained: str, patients: str
) -> None:
    lake = release_data.open_lake(None)
    samples = releases.samples(lake, releases.find(lake, "heads"))
    groups = {each.group_id for each in samples if each.split == "calibration"}
    fitted = card(trained).cases
    assert (fitted.rule, fitted.n, fitted.n_mixed) == ("mean", len(groups), 0)


def test_of_a_release_each_group_is_a_case_beside_its_images(
    trained: str, patients: str, tmp_path: Path
) -> None:
    for out in (None, str(tmp_path / "a.csv")):
        told = predict.fn(model=trained, problem=patients, out=out)
        rows = read(told["cases"]["predictions"])
        lake = release_data.open_lake(None)
        samples = releases.samples(lake, releases.find(lake, "heads"))
        assert {row["case"]: row["images"] for row in rows} == Counter(
            each.group_id for each in samples
        )
        assert told["cases"]["n"] == len(rows)
        assert told["cases"]["decisions"] == Counter(row["decision"] for row in rows)
    again = predict.fn(model=trained, problem=patients)
    assert again["cases"]["predictions"].endswith(".cases.parquet")


def read(path: str) -> list[dict[str, Any]]:
    table = pc.read_csv(path) if path.endswith(".csv") else pq.read_table(path)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def test_of_files_the_names_tell_the_cases(trained: str, patients: str, tmp_path: Path) -> None:
    folder = draw_patients(tmp_path / "scans", LABELS, 6, seed=4)
    (folder / "glioma" / "alone.png").write_bytes(b"no image")
    out = tmp_path / "a.parquet"
    told = predict.fn(source=str(folder), model=trained, problem=patients, out=str(out))
    rows = read(told["cases"]["predictions"])
    assert told["cases"]["predictions"] == str(tmp_path / "a.cases.parquet")
    assert [row["case"] for row in rows] == sorted(
        f"p{kind}00{number}" for kind in range(4) for number in range(2)
    )
    assert {row["images"] for row in rows} == {3}
    by_image = {row["file"]: row for row in read(str(out))}
    first = [row for name, row in by_image.items() if "p0000_" in name]
    in_scope = [row for row in first if row["ood_score"] <= 1] or first
    mean = sum(row["p_glioma"] for row in in_scope) / len(in_scope)
    is_plain = card(trained).cases.temperature == 1
    assert is_plain
    assert rows[0]["p_glioma"] == pytest.approx(mean, abs=1e-6)


def test_where_no_name_tells_a_case_that_is_said_and_images_are_answered(
    trained: str, patients: str, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, path in enumerate(sorted(draw_phantoms(tmp_path / "d", LABELS, 2).rglob("*.png"))):
        (folder / f"{number}.png").write_bytes(path.read_bytes())
    out = str(tmp_path / "a.csv")
    told = predict.fn(source=str(folder), model=trained, problem=patients, out=out)
    assert (told["n"], told["cases"]) == (8, None)
    assert not (tmp_path / "a.cases.csv").exists()


def test_a_file_of_cases_that_is_there_is_not_replaced(
    trained: str, patients: str, tmp_path: Path
) -> None:
    folder = draw_patients(tmp_path / "scans", LABELS, 2)
    (tmp_path / "a.cases.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"a\.cases\.csv exists; move it away"):
        predict.fn(source=str(folder), model=trained, problem=patients, out=str(tmp_path / "a.csv"))
    assert (tmp_path / "a.cases.csv").read_text() == "mine"


def test_each_case_counts_once_in_its_figures(trained: str, patients: str) -> None:
    told = evaluate.fn(model=trained, problem=patients, split="train")
    lake = release_data.open_lake(None)
    samples = releases.samples(lake, releases.find(lake, "heads"))
    n = len({each.group_id for each in samples if each.split == "train"})
    of_cases = told["cases"]
    assert (of_cases["rule"], of_cases["n"]) == ("mean", n)
    accuracy = next(each for each in of_cases["metrics"] if each["name"] == "accuracy")
    assert (accuracy["n"], accuracy["groups"]) == (n, n)
    page = Path(told["report"]).read_text(encoding="utf-8")
    _, _, section = page.partition("One answer for a patient or lesion")
    assert "the mean of what is said of its images" in section
    assert f"{accuracy['value']:.3f}" in section.partition("Balanced accuracy")[0]


def test_without_a_rule_there_is_no_case(model: str) -> None:
    assert predict.fn(model=model)["cases"] is None
    told = evaluate.fn(model=model, split="train")
    assert told["cases"] is None
    assert "One answer for a patient" not in Path(told["report"]).read_text(encoding="utf-8")


def test_an_erasure_takes_the_answers_to_cases_with_it(
    trained: str, patients: str, home: Path
) -> None:
    told = predict.fn(model=trained, problem=patients)
    place = Path(told["cases"]["predictions"])
    assert place.exists()
    lake = release_data.open_lake(None)
    sample = releases.samples(lake, releases.find(lake, "heads"))[0]
    done = erase.fn(
        problem=patients, sample=sample.sample_id, reason="x", who="ana", also=[patients]
    )
    assert done["is_proven"]
    assert not place.exists()
