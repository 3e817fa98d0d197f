from pathlib import Path

import pytest

from neuro.errors import ConfigError
from neuro.lake.read_drafts import ReadDraft, ReadDrafts
from neuro.lake.work_list import WorkKey

KEY = WorkKey("brain", "a" * 64, 2)
DRAFT = ReadDraft(label="glioma", note="an edge, left", step="first")


@pytest.fixture
def drafts(tmp_path: Path) -> ReadDrafts:
    return ReadDrafts(folder=tmp_path / "drafts")


def test_a_draft_is_there_for_another_process(drafts: ReadDrafts) -> None:
    drafts.put("ana", KEY, DRAFT)
    assert ReadDrafts(folder=drafts.folder).get("ana", KEY) == DRAFT


def test_a_draft_is_of_one_person_alone(drafts: ReadDrafts) -> None:
    drafts.put("ana", KEY, DRAFT)
    assert drafts.get("ben", KEY) == ReadDraft()
    assert (drafts.of("ana"), drafts.of("ben")) == ([KEY], [])


def test_an_empty_draft_leaves_no_file(drafts: ReadDrafts) -> None:
    drafts.put("ana", KEY, DRAFT)
    drafts.put("ana", KEY, ReadDraft())
    assert list(drafts.folder.rglob("*.json")) == []


def test_a_draft_that_was_damaged_is_none(drafts: ReadDrafts) -> None:
    drafts.put("ana", KEY, DRAFT)
    (path,) = drafts.folder.rglob("*.json")
    path.write_text(path.read_text()[:20])
    assert drafts.get("ana", KEY) == ReadDraft()


def test_nobody_else_of_the_machine_may_read_it(drafts: ReadDrafts) -> None:
    drafts.put("ana", KEY, DRAFT)
    assert (drafts.folder / "ana").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("who", ["../ben", "", ".", "a/b"])
def test_a_name_leads_nowhere_else(drafts: ReadDrafts, who: str) -> None:
    with pytest.raises(ConfigError, match="no draft can be called"):
        drafts.put(who, KEY, DRAFT)


def test_the_drafts_about_an_image_are_erased_whoever_wrote_them(drafts: ReadDrafts) -> None:
    other = WorkKey("brain", "b" * 64)
    for who in ("ana", "ben"):
        drafts.put(who, KEY, DRAFT)
    drafts.put("ana", other, DRAFT)
    (drafts.folder / "ana" / "left.part").write_text("of a killed process")
    assert drafts.erase([KEY.sha256]) == 3
    assert [path.name for path in drafts.folder.rglob("*.*")] == [f"brain-{'b' * 64}-0.json"]
