"""A site tries a model on its own images, without a server."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from deployments.cli.app import app
from flows.accept import accept
from flows.erase import erase
from neuro.errors import ConfigError
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.problems import problem as problems
from tasks import accept as steps
from tasks.load import release_data
from tests.flows.conftest import LABELS, Draw

BRAIN = problems.load("brain")
EASY = "[least]\naccuracy = 0.05\nin_scope = 0.01\n"
HARD = "[least]\naccuracy = 0.99\n"


@pytest.fixture
def site(draw: Draw) -> Path:
    return draw(LABELS, 6, name="ward", seed=77)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def made(text: str) -> str:
        path = tmp_path / "limits.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return made


def judged(lake: Path) -> list[dict[str, Any]]:
    bodies = [entry.body for entry in journal.entries(Lake(str(lake)), "acceptance")]
    return [body for body in bodies if body["passed"] is not None]


def test_limits_that_are_met_pass_with_exit_code_0_and_others_with_3(
    model: str, site: Path, write: Callable[[str], str]
) -> None:
    words = ["accept", str(site), "--model", model, "--local", "--json", "--limits"]
    passed = CliRunner().invoke(app, [*words, write(EASY)])
    told = json.loads(passed.stdout)
    assert (passed.exit_code, told["passed"], told["n"], told["changed"]) == (0, True, 24, [])
    assert Path(told["page"]).is_file()
    refused = CliRunner().invoke(app, [*words, write(HARD)])
    told = json.loads(refused.stdout)
    assert (refused.exit_code, told["passed"]) == (3, False)
    assert [limit["outcome"] for limit in told["limits"]] == ["missed"]


def test_nothing_of_the_site_is_kept_but_page_and_journal(
    model: str, site: Path, home: Path, write: Callable[[str], str]
) -> None:
    lake = home / "lake"
    before = {path for path in home.rglob("*") if path.is_file()}
    got = accept.fn(source=str(site), model=model, limits=write(EASY), who="ada")
    new = {path for path in home.rglob("*") if path.is_file()} - before
    assert Path(got["page"]) in new
    assert all(
        path.is_relative_to(lake / f"{journal.TABLE}.lance") for path in new - {Path(got["page"])}
    )
    assert journal.entries(Lake(str(lake)), "look") == []


def test_the_journal_has_the_limits_before_the_model_answers_and_then_the_result(
    model: str, site: Path, home: Path, write: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"source": str(site), "model": model, "limits": write(EASY), "who": "ada"}
    with monkeypatch.context() as broken:
        broken.setattr(steps.evaluation, "evaluate", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            accept.fn(**given)
    (first,) = journal.entries(Lake(str(home / "lake")), "acceptance")
    assert (first.body["passed"], first.body["limits_text"]) == (None, EASY)
    got = accept.fn(**given)
    (kept,) = judged(home / "lake")
    assert (kept["who"], kept["site"], kept["passed"]) == ("ada", "ward", True)
    assert kept == json.loads(json.dumps(got))
    assert got["set_at"] == first.at.isoformat(timespec="seconds")


def test_a_later_run_of_the_site_says_that_its_limits_changed_and_from_what(
    model: str, site: Path, home: Path, write: Callable[[str], str]
) -> None:
    given = {"source": str(site), "model": model}
    accept.fn(**given, limits=write(HARD), who="ada", site="Ward 3")
    same = accept.fn(**given, limits=write(HARD), site="Ward 3")
    assert same["changed"] == []
    got = accept.fn(**given, limits=write(EASY), site="another name")
    (changed,) = got["changed"]
    assert changed["who"] == "ada"
    assert "accuracy: at least 0.99 before, at least 0.05 now" in changed["differences"]
    assert "The limits have changed." in Path(got["page"]).read_text(encoding="utf-8")
    assert len(judged(home / "lake")) == 3


def test_limits_of_the_home_folder_hold_where_no_file_is_given_and_else_the_recall_floors(
    model: str, site: Path, home: Path
) -> None:
    got = accept.fn(source=str(site), model=model)
    assert {"recall_glioma", "accuracy"} <= got["asked"].keys()
    assert got["limits_from"].startswith("no limits file: the recall floors")
    kept = home / "acceptance" / "brain.toml"
    kept.parent.mkdir()
    kept.write_text(EASY)
    got = accept.fn(source=str(site), model=model)
    assert got["limits_from"] == "acceptance/brain.toml of the home folder"
    assert got["asked"] == {"accuracy": "at least 0.05", "in_scope": "at least 0.01"}


def test_what_the_model_knows_and_what_is_broken_is_left_out_and_told(
    model: str, site: Path, write: Callable[[str], str]
) -> None:
    known = release_data.load(release_data.open_lake(None), BRAIN)
    row = int(known.frames.labelled("train")[0])
    picture = Image.fromarray(known.frames.pixels[row][..., 0])
    again = site / known.samples[row].label / "again.png"
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(again)
    (site / "glioma" / "broken.png").write_bytes(b"no image")
    got = accept.fn(source=str(site), model=model, limits=write(EASY))
    assert got["n"] == 24
    assert "1 left out as twins of what the model knows, 1 files refused" in got["said"]
    assert "1 left out as twins" in Path(got["page"]).read_text(encoding="utf-8")


def flat(site: Path) -> None:
    for folder in [path for path in site.iterdir() if path.is_dir()]:
        for picture in folder.iterdir():
            picture.rename(site / picture.name)
        folder.rmdir()


def only_broken(site: Path) -> None:
    shutil.rmtree(site)
    (site / "glioma").mkdir(parents=True)
    (site / "glioma" / "no.png").write_bytes(b"no image")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (flat, "none of the 24 images of folder ward has a label; put each into a folder"),
        (only_broken, "no image that passes vetting"),
        (lambda site: (site / "glioma").rename(site / "gliom"), "'gliom' is no class"),
        (shutil.rmtree, "is no folder; give the folder of the site's labelled images"),
    ],
)
def test_a_folder_that_cannot_be_judged_is_refused_by_name_and_nothing_is_written(
    model: str, site: Path, home: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(site)
    with pytest.raises(ConfigError, match=says):
        accept.fn(source=str(site), model=model)
    assert journal.entries(Lake(str(home / "lake")), "acceptance") == []


def test_the_page_goes_when_an_image_of_the_models_release_is_erased(
    model: str, site: Path, write: Callable[[str], str]
) -> None:
    page = Path(accept.fn(source=str(site), model=model, limits=write(EASY))["page"])
    sample = release_data.load(release_data.open_lake(None), BRAIN).samples[0]
    done = erase.fn(sample=sample.sample_id, reason="withdrawn")
    assert done["is_proven"]
    assert str(page) in done["removed"]["pages"]
    assert not page.exists()
    assert "neuro accept DIR --problem brain --model MODEL" in done["removed"]["redraw"]
