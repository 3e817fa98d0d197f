"""`neuro trace` as it is typed: a tree for people, a chart, one JSON object for programs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.deployments.cli.test_app import neuro

HOSTILE = 'a"] --> n9["\N{ESCAPE}[31m.png'


@pytest.fixture
def delivered(tmp_path: Path) -> str:
    """A folder with one release of two pictures, one with a hostile name; returns the release."""
    for number, (label, name) in enumerate((("glioma", HOSTILE), ("pituitary", "b.png"))):
        (tmp_path / "in" / label).mkdir(parents=True)
        noise = np.random.default_rng(number).integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "in" / label / name)
    done = neuro("ingest", "in", "--local", "--json", cwd=tmp_path)
    return str(json.loads(done.stdout)["release"])


def test_a_release_is_printed_as_a_tree_and_what_is_missing_is_said_beside_it(
    tmp_path: Path, delivered: str
) -> None:
    done = neuro("trace", delivered, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0].split()[:2]) == (0, ["release", delivered])
    assert "2 images, 2 labels by source" in done.stdout
    assert "no MLflow server is known" in done.stderr


def test_a_file_name_breaks_out_of_neither_the_tree_nor_the_chart(
    tmp_path: Path, delivered: str
) -> None:
    name = f"glioma/{HOSTILE}"
    facts = json.loads(neuro("trace", name, "--local", "--json", cwd=tmp_path).stdout)
    assert {"id", "nodes", "edges", "mermaid", "missing"} == facts.keys()
    assert {key for node in facts["nodes"] for key in node} == {"id", "kind", "at", "who", "says"}
    kinds = [node["kind"] for node in facts["nodes"]]
    assert sorted(kinds) == ["label", "release", "run", "sample"]
    assert [facts["id"], delivered] in facts["edges"]
    chart = neuro("trace", facts["id"][:8], "--local", "--mermaid", cwd=tmp_path)
    assert chart.stdout.strip() == facts["mermaid"]
    assert chart.stdout.count("-->") == len(facts["edges"])
    assert "\N{ESCAPE}" not in neuro("trace", facts["id"], "--local", cwd=tmp_path).stdout


def test_where_nothing_was_ingested_the_message_says_what_an_id_can_be(tmp_path: Path) -> None:
    done = neuro("trace", "7", "--local", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing is known by '7'" in done.stderr
    assert "SAMPLE@VERSION" in done.stderr
    assert list(tmp_path.iterdir()) == []
