"""Erasure on real tables: bytes gone everywhere, everything else as it was."""

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from neuro.dataset import frames
from neuro.erasure import derived_files, file_search, search_terms
from neuro.erasure import erase as erasing
from neuro.erasure.erase import ErasureRequest, ErasureResult
from neuro.erasure.proof import Installation
from neuro.errors import ConfigError, ErasedError, StaleError, UnknownNameError
from neuro.images import preview, sanitize
from neuro.ingest import merge_branch
from neuro.lake import (
    audits,
    branches,
    erasure,
    images,
    journal,
    marks,
    read_drafts,
    release_diff,
    releases,
    work_list,
)
from neuro.lake.audits import Audited
from neuro.lake.lake import Lake
from neuro.lake.read_drafts import ReadDraft, ReadDrafts
from neuro.lake.releases import Release
from neuro.lake.work_list import FINAL, FIRST, Read, WorkItem, WorkKey
from neuro.problems.problem import Problem

Png = Callable[[int], bytes]
Deliver = Callable[[str, Mapping[str, bytes]], Path]
Ingest = Callable[..., Release]
Erase = Callable[..., ErasureResult]

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def digest(raw: bytes) -> str:
    return sanitize.clean(raw).sha256


def ids(lake: Lake, release: Release | None = None) -> set[str]:
    found = release or releases.find(lake, "brain")
    return {sample.sample_id for sample in releases.samples(lake, found)}


@pytest.fixture
def home(lake: Lake) -> Path:
    return Path(lake.uri).parent


@pytest.fixture
def first(lake: Lake, ingest: Ingest, deliver: Deliver, png: Png) -> Release:
    return ingest(lake, deliver("deliveries/1", {f"glioma/{n}.png": png(n) for n in range(4)}))


@pytest.fixture
def second(lake: Lake, first: Release, ingest: Ingest, deliver: Deliver, png: Png) -> Release:
    return ingest(lake, deliver("deliveries/2", {f"notumor/{n}.png": png(n) for n in range(4, 8)}))


@pytest.fixture
def erase(lake: Lake, brain: Problem, tmp_path: Path) -> Erase:
    def run(sample: str = "", group: str = "", store: Lake | None = None) -> ErasureResult:
        import shutil

        shutil.rmtree(tmp_path / "deliveries", ignore_errors=True)  # the user's own originals
        asked = ErasureRequest(
            problem=brain, group=group, sample=sample, reason="asked", who="Dr. A"
        )
        installation = Installation(home=tmp_path, inbox=str(tmp_path / "inbox"))
        return erasing.erase(store or lake, asked, installation, {"brain": brain}, NOW)

    return run


def test_the_search_finds_what_is_there(lake: Lake, second: Release, png: Png, home: Path) -> None:
    """Or the empty result of an erasure would prove nothing."""
    wanted = search_terms.needles(erasure.payload(lake, [digest(png(5))]))
    assert len(wanted) >= 9
    for needle in wanted:
        if needle in sanitize.clean(png(5)).stored:
            (found,) = file_search.search(lake.store, lambda _, needle=needle: [needle])
            assert "images.lance" in found
    assert file_search.search(lake.store, lambda _: [digest(png(5)).encode()])


def test_an_erased_image_is_nowhere_and_the_rest_is_as_it_was(
    lake: Lake, first: Release, second: Release, erase: Erase, png: Png
) -> None:
    before = releases.samples(lake, second)
    gone = digest(png(5))
    done = erase(sample=gone)
    assert (done.found, done.superseded) == ([], [second.name])
    assert done.searched >= 9
    now = releases.find(lake, "brain")
    assert done.current == {"brain": now.name}
    assert releases.samples(lake, now) == [s for s in before if s.sample_id != gone]
    assert images.damaged(lake, now, releases.samples(lake, now)) == []
    assert now.passport["images"] == 7


def test_a_release_that_never_held_it_keeps_its_content_hash(
    lake: Lake, first: Release, second: Release, erase: Erase, png: Png
) -> None:
    before = releases.samples(lake, first)
    erase(sample=digest(png(5)))
    again = releases.find(lake, "brain", first.name)
    assert again.content_hash == first.content_hash
    assert releases.samples(lake, again) == before
    assert again.superseded_by == ""


def test_a_release_that_held_it_is_listed_and_says_what_took_its_place(
    lake: Lake, first: Release, second: Release, erase: Erase, png: Png
) -> None:
    erase(sample=digest(png(1)))
    chain = releases.history(lake, "brain")
    assert [r.name for r in chain[:2]] == [first.name, second.name]
    assert {r.superseded_by for r in chain[:2]} == {chain[-1].name}
    with pytest.raises(ErasedError, match=chain[-1].name):
        releases.samples(lake, chain[0])
    with pytest.raises(ErasedError):
        release_diff.restore(lake, chain[0], NOW)


def test_a_group_is_erased_by_its_digest(
    lake: Lake, ingest: Ingest, deliver: Deliver, png: Png, erase: Erase
) -> None:
    twins = {"glioma/a.png": png(1), "glioma/b.png": png(1) + b"\0", "glioma/c.png": png(2)}
    ingest(lake, deliver("deliveries/t", twins))
    group = next(
        s.group_id
        for s in releases.samples(lake, releases.find(lake, "brain"))
        if s.source_name == "glioma/a.png"
    )
    done = erase(group=group)
    assert set(done.sample_ids) == {digest(png(1)), digest(png(1) + b"\0")}
    assert (done.found, done.kept_as_group) == ([], [])
    assert ids(lake) == {digest(png(2))}


def test_the_oldest_of_a_group_leaves_its_digest_as_the_groups_name(
    lake: Lake, ingest: Ingest, deliver: Deliver, png: Png, erase: Erase
) -> None:
    again = image_of(np.asarray(Image.open(io.BytesIO(png(1)))) // 2)  # darker: a twin
    ingest(lake, deliver("deliveries/t", {"glioma/a.png": png(1), "glioma/b.png": again}))
    oldest = min(digest(png(1)), digest(again))
    done = erase(sample=oldest)
    assert (done.kept_as_group, done.found) == ([oldest], [])
    assert len(ids(lake)) == 1


def image_of(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_held_under_two_digests_is_erased_under_both(
    lake: Lake, ingest: Ingest, deliver: Deliver, png: Png, erase: Erase
) -> None:
    again = png(1) + b"\0"
    files = {"glioma/a.png": png(1), "glioma/b.png": again, "glioma/c.png": png(2)}
    ingest(lake, deliver("deliveries/t", files))
    done = erase(sample=digest(png(1)))
    assert (done.copies, set(done.sample_ids)) == ([digest(again)], {digest(png(1)), digest(again)})
    assert (done.found, done.kept_as_group) == ([], [])
    assert ids(lake) == {digest(png(2))}


@pytest.fixture
def elsewhere(brain: Problem) -> Problem:
    """A problem of another dataset, which no built-in one reads."""
    return replace(brain, name="other", dataset="other")


@pytest.mark.parametrize("is_group", [False, True])
def test_a_picture_that_another_dataset_holds_under_its_own_digest_goes_there_too(
    lake: Lake,
    ingest: Ingest,
    deliver: Deliver,
    png: Png,
    brain: Problem,
    elsewhere: Problem,
    tmp_path: Path,
    *,
    is_group: bool,
) -> None:
    again = png(1) + b"\0"
    ingest(lake, deliver("here", {"glioma/a.png": png(1), "glioma/b.png": png(2)}))
    ingest(lake, deliver("there", {"glioma/a.png": again, "glioma/b.png": png(3)}), elsewhere)
    (group,) = {
        sample.group_id
        for sample in releases.samples(lake, releases.find(lake, "other"))
        if sample.sample_id == digest(again)
    }
    asked = ErasureRequest(
        problem=elsewhere,
        group=group if is_group else "",
        sample="" if is_group else digest(again),
        reason="asked",
        who="Dr. A",
    )
    problems = {"brain": brain, "other": elsewhere}
    done = erasing.erase(lake, asked, Installation(home=tmp_path / "home"), problems, NOW)
    assert (done.copies, done.found) == ([digest(png(1))], [])
    assert ids(lake) == {digest(png(2))}
    assert ids(lake, releases.find(lake, "other")) == {digest(png(3))}


def test_a_picture_that_only_a_branch_holds_under_another_digest_goes_there_too(
    lake: Lake, first: Release, ingest: Ingest, deliver: Deliver, png: Png, erase: Erase
) -> None:
    mine = branches.create(lake, "brain", "mine")
    ingest(mine.lake, deliver("deliveries/3", {"glioma/9.png": png(9) + b"\0"}))
    ingest(lake, deliver("deliveries/4", {"glioma/9.png": png(9)}))
    done = erase(sample=digest(png(9)))
    assert (done.copies, done.found) == ([digest(png(9) + b"\0")], [])
    assert ids(mine.lake) == ids(lake) == ids(lake, first)


def test_a_dataset_that_no_problem_reads_is_named_with_a_remedy_before_anything_goes(
    lake: Lake,
    first: Release,
    ingest: Ingest,
    deliver: Deliver,
    png: Png,
    brain: Problem,
    elsewhere: Problem,
    tmp_path: Path,
) -> None:
    ingest(lake, deliver("there", {"glioma/a.png": png(1)}), elsewhere)
    asked = ErasureRequest(
        problem=brain, group="", sample=digest(png(1)), reason="asked", who="Dr. A"
    )
    installation = Installation(home=tmp_path / "home")
    with pytest.raises(ConfigError, match=r"dataset other holds .* --also FILE"):
        erasing.erase(lake, asked, installation, {"brain": brain}, NOW)
    assert digest(png(1)) in ids(lake)
    problems = {"brain": brain, "other": elsewhere}
    assert erasing.erase(lake, asked, installation, problems, NOW).found == []


def test_caches_pages_predictions_quarantine_and_inbox_are_clean_too(
    lake: Lake, second: Release, brain: Problem, erase: Erase, png: Png, home: Path
) -> None:
    gone, kept = digest(png(5)), digest(png(6))
    frames.build(
        releases.samples(lake, second),
        second.content_hash,
        brain,
        lambda spec: [frames.decode(images.stored_bytes(lake, second, ids(lake)), spec)],
        home / "frames",
    )
    (home / "predictions").mkdir()
    pq.write_table(pa.table({"sha256": [gone, kept]}), home / "predictions" / "p.parquet")
    (home / "reports").mkdir()
    (home / "reports" / "shows.html").write_text(f"<p>{gone}</p>")
    (home / "reports" / "other.html").write_text(f"<p>{kept}</p>")
    (home / "inbox" / "brain").mkdir(parents=True)
    (home / "inbox" / "brain" / "again.png").write_bytes(png(5))
    row = {
        "sha256": gone,
        "reason": "label_conflict",
        "dataset": "brain",
        "label": "",
        "raw": png(5),
    }
    lake.add("quarantine", pa.Table.from_pylist([row], lake.open("quarantine").schema))
    done = erase(sample=gone)
    assert done.found == []
    assert list((home / "frames").iterdir()) == []
    assert pq.read_table(home / "predictions" / "p.parquet")["sha256"].to_pylist() == [kept]
    assert [path.name for path in (home / "reports").iterdir()] == ["other.html"]
    assert not (home / "inbox" / "brain" / "again.png").exists()
    assert len(lake.read("quarantine")) == 0


def test_a_page_that_counted_the_image_in_goes_and_the_command_that_draws_it_again_is_named(
    lake: Lake, first: Release, second: Release, erase: Erase, png: Png, home: Path
) -> None:
    (home / "reports").mkdir()
    earlier = "7-days-to-2026-11-01"
    for release, window in ((first, earlier), (second, second.name)):
        page = home / "reports" / f"brain-{window}.html"
        page.write_text("figures of many")
        body = {
            "report": str(page),
            "window": window,
            "problem": "brain",
            "problem_reference": "brain",
            "model": "0",
        }
        body |= {"cause": f"brain/{window}/model-0/{release.name}"}
        journal.record(lake, "verdict", body["cause"], body, NOW)
    removed = erase(sample=digest(png(5))).removed
    assert removed["pages"] == [str(home / "reports" / f"brain-{second.name}.html")]
    (page,) = removed["redraw"]
    assert page["command"] == f"neuro drift --problem brain --window {second.name} --model 0"
    assert [page.name for page in (home / "reports").iterdir()] == [f"brain-{earlier}.html"]


def test_a_page_of_what_was_asked_goes_too_for_no_release_says_whom_it_shows(
    lake: Lake, second: Release, erase: Erase, png: Png, home: Path
) -> None:
    (home / "reports").mkdir()
    for window, asked in (("asked", 3), ("batches", 0)):
        page = home / "reports" / f"brain-{window}.html"
        page.write_text("figures of many")
        body = {"report": str(page), "window": window, "problem": "brain", "model": "0"}
        body |= {"problem_reference": "brain", "release": "of before", "asked": asked}
        body |= {"cause": f"brain/verdict/{window}/model-0/of before/2"}
        journal.record(lake, "verdict", body["cause"], body, NOW)
    assert erase(sample=digest(png(5))).removed["pages"] == [
        str(home / "reports" / "brain-asked.html")
    ]


def test_pages_of_releases_that_held_it_go_and_of_no_other(
    lake: Lake, first: Release, second: Release, erase: Erase, png: Png, home: Path
) -> None:
    for folder in ("passport", "explore/brain"):
        (home / "reports" / folder).mkdir(parents=True)
        for release in (first, second):
            (home / "reports" / folder / f"{release.name}.html").write_text("means of many")
    for release in (first, second):
        evaluations = home / "reports" / "evaluation" / "brain" / release.name
        evaluations.mkdir(parents=True)
        (evaluations / "3-test.html").write_text("figures of many")
    removed = erase(sample=digest(png(5))).removed
    left = sorted(path.relative_to(home / "reports") for path in (home / "reports").rglob("*.html"))
    assert [str(path) for path in left] == [
        f"evaluation/brain/{first.name}/3-test.html",
        f"explore/brain/{first.name}.html",
        f"passport/{first.name}.html",
    ]
    assert len(removed["pages"]) == 3


def test_a_list_of_labels_in_doubt_goes_with_its_release_or_if_it_names_the_image(
    lake: Lake, first: Release, second: Release, erase: Erase, png: Png, home: Path
) -> None:
    gone, kept = digest(png(5)), digest(png(1))
    folder = home / "reports" / "labels-in-doubt" / "brain"
    folder.mkdir(parents=True)
    lists = {first.name: kept, second.name: kept, "copy": gone}
    for name, sample_id in lists.items():
        (folder / f"{name}.json").write_text(json.dumps({"labels": [{"sample_id": sample_id}]}))
    done = erase(sample=gone)
    assert done.found == []
    assert [path.name for path in folder.iterdir()] == [f"{first.name}.json"]


def test_a_page_that_shows_the_picture_goes_whatever_it_is_called(
    lake: Lake, second: Release, erase: Erase, png: Png, home: Path
) -> None:
    (home / "reports").mkdir()
    for name, n in (("gone", 5), ("kept", 6)):
        encoded = base64.b64encode(preview.small(sanitize.clean(png(n)).stored)).decode()
        text = f'<img src="data:image/jpeg;base64,{encoded}">'
        (home / "reports" / f"{name}.html").write_text(text)
    done = erase(sample=digest(png(5)))
    assert done.found == []
    assert [path.name for path in (home / "reports").iterdir()] == ["kept.html"]


def test_a_passport_names_no_erased_image_any_more(
    lake: Lake, first: Release, second: Release, erase: Erase, png: Png
) -> None:
    gone, kept = digest(png(5)), digest(png(6))
    sealed = {
        **second.passport,
        "twins": {"near_groups": 1, "examples": [[{"sample_id": gone}, {"sample_id": kept}]]},
        "label_suspects": [
            {"sample_id": gone, "neighbours": [{"sample_id": kept}]},
            {"sample_id": kept, "neighbours": [{"sample_id": gone}, {"sample_id": kept}]},
        ],
    }
    rows = [
        {**row, "passport": json.dumps(sealed)} if row["name"] == second.name else row
        for row in lake.read("releases").to_pylist()
    ]
    table = lake.open("releases")
    changed = pa.Table.from_pylist(rows, table.schema)
    table.merge_insert("name").when_matched_update_all().execute(changed)
    assert erase(sample=gone).found == []
    now = releases.find(lake, "brain", second.name).passport
    assert now["twins"] == {"near_groups": 1, "examples": [[{"sample_id": kept}]]}
    assert now["label_suspects"] == [{"sample_id": kept, "neighbours": [{"sample_id": kept}]}]
    assert now["images"] == second.passport["images"]


def test_an_inbox_elsewhere_is_emptied_too(
    lake: Lake, second: Release, brain: Problem, png: Png, home: Path, deliver: Deliver
) -> None:
    inbox = deliver("elsewhere", {"brain/again.png": png(5), "brain/other.png": png(6)})
    asked = ErasureRequest(
        problem=brain, group="", sample=digest(png(5)), reason="asked", who="Dr. A"
    )
    installation = Installation(home=home / "home", inbox=str(inbox))
    done = erasing.erase(lake, asked, installation, {"brain": brain}, NOW)
    assert (done.removed["inbox"], done.found) == (1, [])
    assert [path.name for path in inbox.rglob("*.png")] == ["other.png"]


def test_a_copy_elsewhere_under_the_home_folder_is_found_and_told(
    lake: Lake, second: Release, erase: Erase, png: Png, home: Path
) -> None:
    (home / "notes.bin").write_bytes(b"x" + sanitize.clean(png(5)).stored)
    done = erase(sample=digest(png(5)))
    assert done.found == [str(home / "notes.bin")]
    (home / "notes.bin").unlink()
    assert erase(sample=digest(png(5))).found == []


def test_a_branch_loses_the_image_and_keeps_its_own_work(
    lake: Lake,
    second: Release,
    ingest: Ingest,
    deliver: Deliver,
    png: Png,
    erase: Erase,
    brain: Problem,
) -> None:
    mine = branches.create(lake, "brain", "mine")
    ingest(mine.lake, deliver("deliveries/3", {"pituitary/9.png": png(9)}))
    before = ids(mine.lake)
    done = erase(sample=digest(png(5)))
    assert done.found == []
    assert ids(mine.lake) == before - {digest(png(5))}
    assert merge_branch.publish(lake, brain, "mine", NOW).n == 8


def test_the_journal_says_who_and_why_without_the_data(
    lake: Lake, second: Release, erase: Erase, png: Png
) -> None:
    done = erase(sample=digest(png(5)))
    (entry,) = journal.entries(lake, "erasure")
    assert (entry.body["who"], entry.body["reason"]) == ("Dr. A", "asked")
    assert entry.body["sha256"] == [digest(png(5))]
    assert entry.key == f"erasure/{done.run}"


def test_work_goes_on_after_an_erasure(
    lake: Lake,
    first: Release,
    second: Release,
    erase: Erase,
    ingest: Ingest,
    deliver: Deliver,
    png: Png,
) -> None:
    erase(sample=digest(png(5)))
    restored = release_diff.restore(lake, releases.find(lake, "brain", first.name), NOW)
    assert restored.content_hash == first.content_hash
    ingest(lake, deliver("deliveries/4", {"pituitary/9.png": png(9)}))
    assert ids(lake) == ids(lake, restored) | {digest(png(9))}


class KilledError(Exception):
    pass


STEPS = ["delete", "repin", "purge", "purge_versions", "group_names", "end"]


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_cut_short_is_completed_by_the_same_command(
    lake: Lake,
    first: Release,
    second: Release,
    erase: Erase,
    png: Png,
    ingest: Ingest,
    deliver: Deliver,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    gone = digest(png(5))

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(erasure, step, killed)
        with pytest.raises(KilledError):
            erase(sample=gone)
    with pytest.raises(StaleError, match="erasure is under way"):
        ingest(lake, deliver("deliveries/9", {"pituitary/9.png": png(9)}))
    done = erase(sample=gone)
    assert (done.found, done.superseded) == ([], [second.name])
    assert releases.samples(lake, releases.find(lake, "brain", first.name))
    ingest(lake, deliver("deliveries/9", {"pituitary/9.png": png(9)}))
    assert len(ids(lake)) == 8
    assert len(journal.entries(lake, "erasure")) == 1


def test_what_nobody_holds_is_a_bad_request(lake: Lake, second: Release, erase: Erase) -> None:
    with pytest.raises(UnknownNameError, match="neuro journal list erasure"):
        erase(sample="f" * 64)


def test_a_request_names_one_thing_and_a_reason(brain: Problem) -> None:
    with pytest.raises(ConfigError, match="either"):
        ErasureRequest(problem=brain, group="a", sample="b", reason="r", who="w")
    with pytest.raises(ConfigError, match="reason"):
        ErasureRequest(problem=brain, group="a", sample="", reason=" ", who="w")


def test_windows_of_black_are_no_evidence() -> None:
    noise = np.random.default_rng(0).bytes(200)
    payload = erasure.Payload(stored=frozenset(), others={bytes(5000), noise})
    assert all(len(set(needle)) > 8 for needle in search_terms.needles(payload))


def test_an_erasure_completes_the_removal_of_a_branch_that_was_cut_short(
    lake: Lake, first: Release, erase: Erase, png: Png
) -> None:
    branches.create(lake, "brain", "mine")
    marks.put(lake, "going.brain@mine", "dropped")
    lake.drop_branch("images", "user.brain.mine")
    assert erase(sample=digest(png(1))).found == []
    assert lake.branches("samples") == []


def test_an_image_is_erased_by_a_name_of_which_the_lake_has_a_digest(
    lake: Lake, brain: Problem, ingest: Ingest, deliver: Deliver, png: Png, tmp_path: Path
) -> None:
    private = replace(brain, layout=replace(brain.layout, names="digest"))
    ingest(lake, deliver("deliveries/1", {"Jane Doe.png": png(0), "b.png": png(1)}), private)
    asked = ErasureRequest(
        problem=private, group="", sample="Jane Doe.png", reason="asked", who="Dr. A"
    )
    assert erasing.make_plan(lake, asked, tmp_path).sample_ids == [digest(png(0))]


def test_frames_of_what_cannot_be_read_go_and_a_build_under_way_stays(tmp_path: Path) -> None:
    read, gone = "a" * 64, "b" * 64
    names = {f"{read[:16]}-0", f"{gone[:16]}-0", "tmp3k_x9q2a"}
    for name in names:
        (tmp_path / "frames" / name).mkdir(parents=True)
    assert derived_files.remove_frames(tmp_path, {read}, unfinished=False) == 1
    assert {path.name for path in (tmp_path / "frames").iterdir()} == names - {f"{gone[:16]}-0"}
    assert derived_files.remove_frames(tmp_path, {read}) == 1


def test_that_an_erased_image_was_drawn_is_forgotten(
    lake: Lake, first: Release, second: Release, erase: Erase, png: Png
) -> None:
    gone, kept = (digest(png(n)) for n in (5, 6))
    facts = {"problem": "brain", "model_version": "1", "window": "w", "dataset": "brain"}
    facts |= {"stratum": "all", "weight": 1.0, "predicted": "glioma", "is_flagged": False}
    rows = [
        Audited(**facts, sequence=sequence, sha256=sample_id, drawn_at=NOW)
        for sequence, sample_id in enumerate((gone, kept))
    ]
    assert audits.add(lake, rows) == 2
    assert erase(sample=gone).found == []
    assert audits.of_version(lake, "brain", "1") == rows[1:]


def test_what_readers_said_of_an_erased_image_goes_with_it(
    lake: Lake, first: Release, second: Release, erase: Erase, png: Png, home: Path
) -> None:
    gone, kept = (WorkKey("brain", digest(png(n))) for n in (5, 6))
    item = {"dataset": "brain", "source": "uncertain", "why": "unsure", "added_at": NOW}
    work_list.add(lake, [WorkItem(key=key, **item) for key in (gone, kept)])
    drafts = ReadDrafts(folder=home / read_drafts.FOLDER)
    for key in (gone, kept):
        for step in (FIRST, FINAL):
            work_list.record(lake, key, Read(who="ana", step=step, label="glioma", at=NOW))
        drafts.put("ana", key, ReadDraft(note="a thought"))
    done = erase(sample=gone.sha256)
    assert done.found == []
    assert done.removed["drafts"] == 1
    assert [each.item.key for each in work_list.readings(lake, "brain")] == [kept]
    assert len(work_list.find(lake, kept).reads) == 2
    assert drafts.of("ana") == [kept]
