"""Answers to files that are in no lake: one for each, and nothing is left but the answers."""

import csv
import hashlib
import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.predict import predict
from neuro.errors import ConfigError, DamagedError
from neuro.images.preprocess import PreprocessSpec
from neuro.images.sandbox import Rejected, VetConfig
from neuro.prediction import answer_parts, out_file, vetted
from neuro.prediction.answer_parts import Parts
from tasks.load import engines
from tasks.load.models import Model
from tests.flows.conftest import LABELS, draw_phantoms
from tests.neuro.conftest import REAL, needs_real


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Twelve phantoms, a broken file, a note and a file that is hidden."""
    folder = tmp_path / "scans"
    draw_phantoms(folder, LABELS[:2], 6)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (folder / "note.txt").write_text("of Tuesday")
    (folder / ".hidden.png").write_bytes(b"x")
    return folder


def asked(scans: Path, out: Path, model: str, **more: Any) -> dict[str, Any]:
    return predict.fn(source=str(scans), out=str(out), model=model, **more)


def everything(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_each_file_has_an_answer_as_from_the_release_and_nothing_else_is_left(
    model: str, home: Path, tmp_path: Path
) -> None:
    """The files are those that the model's release was made of."""
    draw_phantoms(tmp_path / "again", LABELS, 30)
    by_release = pq.read_table(predict.fn(model=model, engine="onnxruntime")["predictions"])
    known = {row["sha256"]: row for row in by_release.to_pylist()}
    before = everything(home)
    told = asked(tmp_path / "again", tmp_path / "a.parquet", model, engine="onnxruntime")
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert (told["n"], told["asked"], len(rows)) == (120, 120, 120)
    assert sum(told["decisions"].values()) == 120
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    found = [row for row in rows if row["sha256"] in known]
    assert len(found) > 100
    for row in found:
        expected = known[row["sha256"]]
        for name in ("predicted", "decision", "reason", "conformal_set", "model_version"):
            assert row[name] == expected[name]
        for name in (column for column in row if column.startswith("p_")):
            assert row[name] == pytest.approx(expected[name], abs=1e-6)
    assert everything(home) == before
    assert not list(tmp_path.glob("*.part"))


def test_a_broken_file_is_refused_with_its_reason_and_costs_no_other(
    model: str, scans: Path, tmp_path: Path
) -> None:
    told = asked(scans, tmp_path / "a.csv", model)
    with (tmp_path / "a.csv").open(encoding="utf-8") as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 13
    assert rows["broken.png"]["decision"] == "refused"
    assert rows["broken.png"]["reason"].startswith("damaged: ")
    assert rows["broken.png"]["predicted"] == ""
    assert all(row["predicted"] for name, row in rows.items() if name != "broken.png")
    assert told["decisions"]["refused"] == 1
    assert told["skipped"] == {"hidden": 1, "no image": 2}  # the note of the phantoms, too


def test_an_archive_is_answered_as_its_folder_is(model: str, scans: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        for path in sorted(scans.rglob("*")):
            archive.write(path, path.relative_to(scans))
    asked(scans, tmp_path / "folder.parquet", model)
    asked(tmp_path / "scans.zip", tmp_path / "archive.parquet", model)
    folder, archived = (
        pq.read_table(tmp_path / f"{name}.parquet").to_pylist() for name in ("folder", "archive")
    )
    assert folder == archived


def test_one_image_is_answered(model: str, scans: Path, tmp_path: Path) -> None:
    image = next(path for path in scans.rglob("*.png") if path.parent != scans)
    asked(image, tmp_path / "one.parquet", model)
    (row,) = pq.read_table(tmp_path / "one.parquet").to_pylist()
    assert row["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()


@pytest.fixture
def killed(
    model: str, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], dict[str, Any]]:
    """A run that ended after its first part of four files; what is asked again."""
    monkeypatch.setenv("NEURO_SHARD", "4")
    add = Parts.add

    def once(out: Parts, *given: Any) -> None:
        add(out, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(Parts, "add", once)
        with pytest.raises(KeyboardInterrupt):
            asked(scans, tmp_path / "a.parquet", model)
    assert not (tmp_path / "a.parquet").exists()
    return lambda: asked(scans, tmp_path / "a.parquet", model)


def test_a_killed_run_goes_on(
    model: str, scans: Path, tmp_path: Path, killed: Callable[[], dict[str, Any]]
) -> None:
    assert killed()["n"] == 13 - 4
    asked(scans, tmp_path / "whole.parquet", model)
    assert pq.read_table(tmp_path / "a.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))


def test_what_changed_or_went_meanwhile_is_not_answered_by_what_it_was(
    scans: Path, tmp_path: Path, killed: Callable[[], dict[str, Any]]
) -> None:
    answered = [path for path in sorted(scans.rglob("*.png")) if path.name[0] != "."][:4]
    assert answered[0].name == "broken.png"
    shutil.copy(answered[3], answered[0])
    answered[1].unlink()
    assert killed()["n"] == 13 - 4 + 1
    rows = {row["file"]: row for row in pq.read_table(tmp_path / "a.parquet").to_pylist()}
    assert len(rows) == 12
    assert rows["broken.png"]["decision"] != "refused"


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("how", ["cut off", "zeros"])
def test_a_part_that_is_damaged_is_answered_again_and_no_other_is_lost(
    model: str,
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damaged: int,
    how: str,
) -> None:
    monkeypatch.setenv("NEURO_SHARD", "4")
    asked(scans, tmp_path / "whole.parquet", model)
    with monkeypatch.context() as dying:
        dying.setattr(Parts, "become", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asked(scans, tmp_path / "a.parquet", model)
    part = sorted((tmp_path / "a.parquet.part").glob("*.parquet"))[damaged]
    raw = part.read_bytes()
    zeros = raw[:4] + bytes(len(raw) // 2) + raw[4 + len(raw) // 2 :]
    part.write_bytes(raw[:-9] if how == "cut off" else zeros)
    assert asked(scans, tmp_path / "a.parquet", model)["n"] == 4
    rows = (pq.read_table(tmp_path / f"{name}.parquet").to_pylist() for name in ("a", "whole"))
    ours, theirs = (sorted(each, key=lambda row: row["file"]) for each in rows)
    assert ours == theirs


def test_answers_that_are_gone_are_said_and_nothing_is_written(
    model: str, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURO_SHARD", "4")
    become = Parts.become

    def after_a_loss(parts: Parts, *given: Any) -> Any:
        next(parts.room.glob("*.parquet")).unlink()
        return become(parts, *given)

    monkeypatch.setattr(Parts, "become", after_a_loss)
    with pytest.raises(DamagedError, match=r"answers are gone.*same command again"):
        asked(scans, tmp_path / "a.parquet", model)
    assert not (tmp_path / "a.parquet").exists()


def test_files_that_changed_places_are_asked_again(
    scans: Path, tmp_path: Path, killed: Callable[[], dict[str, Any]]
) -> None:
    """Of one size and time, as an archive may leave them."""
    one, other = [path for path in sorted(scans.rglob("*.png")) if path.name[0] != "."][1:3]
    for path in (one, other):
        path.write_bytes(path.read_bytes().ljust(20_000, b"\0"))
        os.utime(path, ns=(1, 1))
    killed()
    raws = one.read_bytes(), other.read_bytes()
    (tmp_path / "a.parquet").unlink()
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(Parts, "become", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            killed()
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    assert (other.read_bytes(), one.read_bytes()) == raws
    assert killed()["n"] == 2
    for row in pq.read_table(tmp_path / "a.parquet").to_pylist():
        raw = (scans / row["file"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("facts", ["", "[]", "{"])
def test_parts_of_which_nobody_knows_what_they_are_of_go(
    tmp_path: Path, killed: Callable[[], dict[str, Any]], facts: str
) -> None:
    (tmp_path / "a.parquet.part" / "of.json").write_text(facts)
    assert killed()["n"] == 13


def test_a_refusal_that_may_have_passed_is_asked_again(tmp_path: Path) -> None:
    about = {"model": "x"}
    with answer_parts.opened(tmp_path / "a.csv", ("a", "b"), about) as parts:
        for code in ("unreadable", "damaged"):
            refused = Rejected(sha256="", code=code, message="so it is")
            parts.add([code], ["1"], [refused], "7")
        assert parts.done() == {"damaged": "1"}
        parts.add(["unreadable"], ["1"], [Rejected(sha256="", code="blank", message="x")], "7")
        told = parts.become(tmp_path / "a.csv", {"unreadable": "1", "damaged": "1"})
    assert told == {"refused": 2}
    assert '"unreadable","","","refused","blank: x"' in (tmp_path / "a.csv").read_text()


def test_a_file_that_goes_meanwhile_is_refused_and_costs_no_other(
    model: str, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Parts.done

    def meanwhile(parts: Parts) -> dict[str, str]:
        (scans / "broken.png").unlink()
        return done(parts)

    monkeypatch.setattr(Parts, "done", meanwhile)
    assert asked(scans, tmp_path / "a.parquet", model)["decisions"]["refused"] == 1


def test_parts_of_another_model_are_not_taken(
    model: str, tmp_path: Path, killed: Callable[[], dict[str, Any]]
) -> None:
    facts = tmp_path / "a.parquet.part" / "of.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"model": "0" * 64}))
    with pytest.raises(ConfigError, match=r"a\.parquet\.part holds answers .*another model;"):
        killed()


def test_two_runs_do_not_write_one_file(model: str, scans: Path, tmp_path: Path) -> None:
    classes, about = ("a", "b"), {"model": "x", "source": "y"}
    with (
        answer_parts.opened(tmp_path / "a.parquet", classes, about),
        pytest.raises(ConfigError, match="another run writes"),
    ):
        asked(scans, tmp_path / "a.parquet", model)


@pytest.mark.parametrize(
    ("out", "more", "says"),
    [
        (None, {}, r"need a place: neuro predict .* --out FILE"),
        ("a.xlsx", {}, r"must end in \.parquet or \.csv"),
        ("no/a.csv", {}, "no folder"),
        ("s3://bucket/a.csv", {}, "must be a file of this machine"),
        ("there.csv", {}, "exists; move it away"),
        ("a.csv", {"window": "r1"}, "--window is for a release"),
        ("a.csv", {"shadow": "challenger"}, "--shadow is for a release"),
        ("a.csv", {"engine": "fast"}, "engine must be one of"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_a_model_is_loaded(
    scans: Path,
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str | None,
    more: dict[str, str],
    says: str,
) -> None:
    (tmp_path / "there.csv").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=says):
        predict.fn(source=str(scans), out=out, model="nowhere", **more)
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_a_folder_without_an_image_is_refused(model: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no images"):
        asked(tmp_path / "empty", tmp_path / "a.csv", model)


def test_a_spreadsheet_computes_no_name(model: str, scans: Path, tmp_path: Path) -> None:
    image = next(path for path in scans.rglob("*.png") if path.parent != scans)
    (tmp_path / "names").mkdir()
    shutil.copy(image, tmp_path / "names" / "=1+1.png")
    asked(tmp_path / "names", tmp_path / "a.csv", model)
    assert '\n"\'=1+1.png","' in (tmp_path / "a.csv").read_text()


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("x;=1+1", '"x;=1+1"'),
        ("\n=1", '"\'\n=1"'),
        ("'=1", "\"''=1\""),
        (["=a", "b"], '"\'=a | b"'),
    ],
)
def test_what_a_spreadsheet_would_compute_is_text(tmp_path: Path, value: Any, cell: str) -> None:
    table = pa.table({"x": [value]})
    with out_file.writing(tmp_path / "a.csv", table.schema) as add:
        add(table)
    assert (tmp_path / "a.csv").read_bytes().decode() == f'"x"\r\n{cell}\r\n'


def test_a_file_that_came_meanwhile_is_not_replaced_and_nothing_is_left(tmp_path: Path) -> None:
    table = pa.table({"x": ["1"]})

    def write() -> None:
        with out_file.writing(tmp_path / "a.csv", table.schema) as add:
            add(table)
            (tmp_path / "a.csv").write_text("theirs")

    with pytest.raises(ConfigError, match="exists"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "theirs"


def test_parts_that_another_account_has_laid_there_are_not_read(
    model: str, scans: Path, tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    (tmp_path / "a.csv.part").mkdir()
    os.chown(tmp_path / "a.csv.part", 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to another account"):
        asked(scans, tmp_path / "a.csv", model)


def test_a_release_is_written_where_it_is_asked_for(model: str, tmp_path: Path) -> None:
    told = predict.fn(model=model, out=str(tmp_path / "a.csv"))
    assert told["predictions"] == str(tmp_path / "a.csv")
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 121


@pytest.mark.real
@needs_real("malformed", "odd")
@pytest.mark.parametrize("folder", ["malformed", "odd"])
def test_each_file_that_people_have_gets_an_answer_or_a_reason(
    model: str, tmp_path: Path, folder: str
) -> None:
    told = asked(Path(REAL, folder), tmp_path / "a.parquet", model)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert len(rows) == told["asked"] > 50
    for row in rows:
        if row["decision"] == "refused":
            assert re.match(r"[a-z_]+: \w", row["reason"])
            assert (row["predicted"], row["p_glioma"]) == (None, None)
        else:
            assert row["predicted"] in LABELS
            assert sum(row[f"p_{name}"] for name in LABELS) == pytest.approx(1)


def test_the_engine_is_opened_once_though_no_part_is_large_enough_to_choose_by(
    model: str, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURO_SHARD", "4")
    opened: list[int] = []

    def anew(asking: Model, *_: Any) -> Model:
        opened.append(1)
        return replace(asking)

    monkeypatch.setattr(engines, "opened", anew)
    assert asked(scans, tmp_path / "a.csv", model)["n"] == 13
    assert len(opened) == 1


def test_whoever_ends_early_waits_for_no_further_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[Path] = []
    goes_on = Event()

    def check(paths: list[Path], _: VetConfig) -> Iterator[Rejected]:
        for path in paths:
            looked_at.append(path)
            if len(looked_at) == 6:
                goes_on.wait(20)
            yield Rejected(sha256="0" * 64, code="damaged", message="it is cut off")

    monkeypatch.setattr(vetted.sandbox, "check_files", check)
    parts = vetted.parts([tmp_path] * 12, PreprocessSpec(), VetConfig(), size=4)
    next(parts)
    while len(looked_at) < 6:
        time.sleep(0.01)
    ending = Thread(target=parts.close)  # type: ignore[attr-defined]
    ending.start()
    time.sleep(0.2)
    goes_on.set()
    ending.join(20)
    assert len(looked_at) <= 7
