"""The verbs passport and explore, as a person types them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deployments.cli import passport as passport_verbs
from tests.deployments.cli.test_app import neuro
from tests.monitoring.passports import Reader, digest, full


def test_a_terminal_shows_five_of_a_list_and_how_many_more_there_are() -> None:
    sealed = full()
    row = sealed["label_suspects"][0]
    sealed["label_suspects"] = [dict(row, score=n / 10) for n in range(8)]
    told = passport_verbs.brief(sealed)
    assert len(told["label_suspects"]) == 6
    assert told["label_suspects"][-1] == "and 3 more: --json lists them"
    first = f"sample_id {digest('s')[:12]}, score 0.000, label glioma, suggested notumor"
    assert told["label_suspects"][0] == first
    assert told["twins"]["near_groups"] == 1359
    assert told["confounds"][0].startswith("name all, accuracy 0.840, balanced 0.710")


@pytest.mark.slow
def test_passport_and_explore_write_their_pages(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("glioma", "notumor"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for n in range(6):
            noise = rng.integers(0, 256, (40, 40), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "in" / label / f"{n}.png")
    assert neuro("ingest", "in", "--local", cwd=tmp_path).returncode == 0
    passport = json.loads(neuro("passport", "--json", cwd=tmp_path).stdout)
    assert passport["images"] == 12
    reports = tmp_path / ".neuro" / "reports"
    assert Path(passport["page"]) == reports / "passport" / f"{passport['release']}.html"
    explored = json.loads(neuro("explore", "--out", "page.html", "--json", cwd=tmp_path).stdout)
    assert (explored["images"], explored["page"]) == (12, "page.html")
    for path in (Path(passport["page"]), tmp_path / "page.html"):
        page = Reader(path.read_text())
        assert (page.is_whole, page.outside()) == (True, [])
        assert "12 images" in page.text


def test_an_unknown_release_is_a_bad_request(tmp_path: Path) -> None:
    for verb in ("passport", "explore"):
        done = neuro(verb, "brain-0001-00000000", cwd=tmp_path)
        assert done.returncode == 2
        assert "neuro ingest" in done.stderr
    assert list(tmp_path.iterdir()) == []
