"""Numbers and lists that a page gives are those of the code."""

import re
from pathlib import Path

from neuro.export import croissant
from neuro.images import sanitize
from neuro.images.sandbox import VetConfig
from neuro.ingest import triage
from neuro.lake import tombstones
from neuro.promotion.drift_policy import DriftPolicy
from neuro.reports import passport_text
from neuro.splits.draw_splits import SHARES

ROOT = Path(__file__).resolve().parents[1]

# Where the code of a refused file is written down, and not taken from a constant.
REASON = re.compile(
    r"(?:BadImageError\(|Rejected\(sha256=\"\", code=|\bcode(?:, message)? = )\"([a-z_]+)\""
)


def page(name: str) -> str:
    """A page in one line: where it is broken says nothing."""
    return " ".join((ROOT / "docs" / name).read_text("utf-8").split())


def first_cells(name: str, head: str) -> list[str]:
    """The first column of the table under a head."""
    lines = (ROOT / "docs" / name).read_text("utf-8").splitlines()
    rows = lines[lines.index(head) + 2 :]
    end = next(number for number, row in enumerate(rows) if not row.startswith("|"))
    return [row.split("|")[1].strip() for row in rows[:end]]


def test_the_lake_page_names_every_reason_of_quarantine_and_no_other() -> None:
    files = [*(ROOT / "neuro" / "images").glob("*.py"), ROOT / "neuro" / "ingest" / "vet_new.py"]
    found = {code for path in files for code in REASON.findall(path.read_text("utf-8"))}
    cells = " ".join(first_cells("lake.md", "| reason | means |"))
    said = re.findall(r"`([a-z_]+)`", cells)
    assert len(said) == len(set(said))
    assert set(said) == found | {triage.CONFLICT, tombstones.REASON}


def test_the_limits_of_vetting_are_those_of_the_code() -> None:
    limits = VetConfig()
    memory = f"{limits.memory_bytes / 1e9:g} GB of address space"
    time = f"{limits.deadline_s:g} s of processor time"
    assert f"{memory} and {time}" in page("formats.md")
    size = f"over {sanitize.MAX_PIXELS / 1e6:g} megapixel or {limits.file_bytes / 1e6:g} MB"
    assert f"a side under {sanitize.MIN_SIDE_PX} px; {size}" in page("lake.md")


def test_the_columns_of_an_exported_manifest_are_listed_in_their_order() -> None:
    *columns, last = croissant.COLUMNS
    said = f"The manifest has {', '.join(columns)} and {last} of every image"
    assert said in page("releases.md")


def test_the_shares_of_the_splits_are_those_that_are_drawn() -> None:
    rows = re.findall(r"\| `([a-z]+)` \| (\d+) % \|", page("splits.md"))
    assert {name: int(percent) / 100 for name, percent in rows} == SHARES
    assert ", ".join(f"`{name}` {percent} %" for name, percent in rows) in page("lake.md")


def test_the_passport_page_explains_every_part_in_the_order_of_the_passport() -> None:
    titles = [advice.title for advice in passport_text.advise({})]
    assert first_cells("passport.md", "| part | it says | do |") == titles


def test_the_numbers_of_a_drift_verdict_are_those_of_the_code() -> None:
    config, text = DriftPolicy(), page("drift.md")
    assert f"set to {100 * config.alpha:g} %" in text
    assert f"fewer than {config.min_groups} groups in the window or the reference" in text
    labelled = re.findall(r"at least (\d+) labelled groups", text)
    assert labelled == [str(config.min_labelled_groups)] * 2
    points = re.findall(r"(?:below|The) (\d+) points", text)
    assert points == [f"{100 * config.harm:g}"] * 3
