"""What the pages on training and development say in numbers and lists is so."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from neuro.models import own_networks
from neuro.training import config, tuning
from neuro.training.config import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TEST_RUN = re.compile(r"`pytest (tests/\S+?)(?: -k (\w+))?`")
SAID = {  # of a cron line
    "0 * * * *": "hourly",
    "0 4 * * *": "daily, 04:00",
    "0 6 * * 1": "Monday, 06:00",
    "0 2 1 * *": "the 1st, 02:00",
    "*/15 * * * *": "every 15 minutes",
}
STARTED = {  # by another flow
    "predict": "by `monitor`",
    "drift": "by `monitor`",
    "retrain": "by `monitor`, and on the drift event",
}


def rows(page: str, title: str) -> list[list[str]]:
    """Cells of the table below a first row that begins with this cell."""
    text = (DOCS / page).read_text("utf-8")
    (table,) = re.findall(rf"^\| {re.escape(title)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_the_loop_page_has_every_flow_with_its_schedule() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]
    planned = {
        each["name"]: "; ".join(SAID[schedule["cron"]] for schedule in each.get("schedules", ()))
        or STARTED.get(each["name"], "")
        for each in deployments
        if not each["name"].endswith("-gpu")
    }
    assert {name.strip("`"): when for name, _, when in rows("loop.md", "flow")} == planned


@pytest.mark.parametrize(("kind", "times"), [("cpu", 1), ("cuda", 10)])
def test_the_presets_show_as_many_views_as_the_training_page_says(kind: str, times: int) -> None:
    text = (DOCS / "training.md").read_text("utf-8")
    (said,) = re.findall(r"show: ([\d,]+), ([\d,]+) or ([\d,]+) on a CPU, ten times", text)
    for preset, views in zip(config.PRESETS, said, strict=True):
        wanted = times * int(views.replace(",", ""))
        chosen = config.choose(preset, {}, images=wanted // 50, kind=kind)
        assert chosen.epochs == 50, preset  # which is within the bounds of each


def test_our_networks_have_as_many_weights_as_the_training_page_says() -> None:
    text = (DOCS / "training.md").read_text("utf-8")
    for name, build in own_networks.OURS.items():
        (said,) = re.findall(rf"^\| `{name}` \|.* ([\d.]+) M weights", text, re.MULTILINE)
        millions = sum(weight.numel() for weight in build(1).parameters()) / 1e6
        assert f"{millions:.1f}" == said, name


def test_the_tuning_page_has_every_field_that_is_searched_with_its_ends() -> None:
    recipe = TrainConfig()
    words = {"an eighth of the recipe's": 1 / 8, "a tenth of the recipe's": 1 / 10}
    words["four times"] = 4
    said = {}
    for name, low, high in rows("tuning.md", "field"):
        field = name.strip("`")
        scale = getattr(recipe, field) if low in words else 1
        ends = [words.get(end) or float(end.partition(";")[0]) for end in (low, high)]
        said[field] = pytest.approx([scale * end for end in ends])
    found = tuning.space(recipe, (), size_px=96)
    assert {name: [range_.low, range_.high] for name, range_ in found.items()} == said


def test_the_development_page_has_every_test_of_faults() -> None:
    named = {row[0].strip("`") for row in rows("development.md", "test")}
    assert named == {path.stem for path in (ROOT / "tests" / "faults").glob("test_*.py")}


def test_the_development_page_has_the_rooms_of_neuro_in_their_order() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (layers,) = [c["layers"] for c in contracts["contracts"] if c.get("containers") == ["neuro"]]
    table = rows("development.md", "room of `neuro/`, top first")
    said = [set(re.findall(r"\w+", row[0])) for row in table]
    assert said == [set(re.findall(r"\w+", layer)) for layer in layers]


@pytest.mark.parametrize(
    ("path", "chosen"), TEST_RUN.findall((DOCS / "traps.md").read_text("utf-8"))
)
def test_a_trap_names_tests_that_are_there(path: str, chosen: str) -> None:
    tests = re.findall(r"def (test_\w+)", (ROOT / path).read_text("utf-8"))
    assert any(chosen in name for name in tests)
