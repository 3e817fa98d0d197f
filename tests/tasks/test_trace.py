"""A whole loop on phantoms, with MLflow's registry in SQLite, traced from both of its ends.

Two deliveries, two trainings, a verdict, a late label and a rollback. What is expected is read from
the tables and the registry themselves.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.erase import erase
from flows.ingest import ingest
from flows.rollback import rollback
from flows.train import train
from monitoring.verdicts import Verdict
from neuro.errors import UnknownNameError
from neuro.ingest import late_labels
from neuro.lake import journal, releases
from neuro.lake.lake import Lake
from neuro.models import package, package_manifest
from neuro.problems import problem as problems
from neuro.promotion.drift_policy import DriftPolicy
from tasks import drift, featurize, predict, promote, retrain
from tasks import evaluate as evaluation
from tasks import trace as steps
from tasks.load import models, release_data
from tasks.record import registry, signing_keys, tracking
from tasks.trace import Trace
from tests.fixtures import lakes
from tests.flows.conftest import LABELS, QUICK, at_home, draw_phantoms
from tests.flows.test_promotion import OPEN, WIDE, right

BRAIN = problems.load("brain")
pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True, slots=True)
class Loop:
    """What the loop made. samples: of the first, and of the second delivery."""

    home: Path
    releases: tuple[str, str, str]
    digests: tuple[str, str]
    runs: tuple[str, str]
    cause: str
    samples: tuple[str, str]

    @property
    def lake(self) -> Lake:
        return Lake(str(self.home / "lake"))


def registered(seed: int) -> tuple[str, str, str]:
    """Train on the current release and register: version, digest of the package, MLflow run."""
    folder = train.fn(config=replace(QUICK, seed=seed))["package"]
    signing_keys.require()
    package_manifest.sign(Path(folder), signing_keys.folder())
    found = package.open_verified(Path(folder))
    run = tracking.client().create_run("0").info.run_id
    tracking.client().log_artifacts(run, folder, "package")
    return registry.register(run, "brain", found).version, found.digest, run


def later_label(lake: Lake, sample_id: str, folder: Path) -> str:
    """A release with a label that somebody gave afterwards."""
    path = folder / "labels.csv"
    path.write_text(f"sample,label,who\n{sample_id},pituitary,A. Reader\n")
    return late_labels.import_file(lake, BRAIN, path, datetime.now(UTC)).release.name


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """The loop, once for all tests, in a folder whose registry is used meanwhile."""
    folder = tmp_path_factory.mktemp("traced")
    with at_home(folder / "home") as home, pytest.MonkeyPatch.context() as patch:
        home.mkdir()
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
        patch.chdir(home)
        tracking.client.cache_clear()
        first = ingest.fn(source=str(draw_phantoms(folder / "first", LABELS, 30)))["release"]
        one = registered(0)
        lake = release_data.open_lake(None)
        loaded = release_data.load(lake, BRAIN)
        champion = right(loaded, models.by_version(BRAIN, one[0]))
        evaluation.evaluate(loaded, champion.model)  # the look by which it was judged
        promote.promote(loaded, champion, None, OPEN, promote.BY_HAND)
        drawn = draw_phantoms(folder / "second", LABELS, 6, seed=1)
        second = ingest.fn(source=str(drawn))["release"]
        loaded = release_data.load(lake, BRAIN)
        predict.score(loaded, models.by_version(BRAIN, one[0]), second)
        verdict = Verdict(
            window=second, reference="r", signals=(), verdict="retrain", reason="darker"
        )
        featurize.describe(loaded)
        serving = models.by_version(BRAIN, one[0])
        compared = drift.observe(loaded, serving, second, 0.0, DriftPolicy(), is_counted=False)
        told = drift.remember(loaded, serving, compared, verdict, home, "brain")
        assert retrain.claim(lake, BRAIN, told["cause"])
        two = registered(1)
        challenger = right(loaded, models.by_version(BRAIN, two[0]))
        evaluation.evaluate(loaded, challenger.model)
        champion = replace(
            champion, evaluation=evaluation.evaluate(loaded, champion.model).evaluation
        )
        alone = replace(WIDE, needs_approval=False)
        promote.promote(loaded, challenger, champion, alone, told["cause"])
        predict.score(loaded, models.by_version(BRAIN, two[0]), second)
        samples = sorted(each.sample_id for each in loaded.samples if each.entered == second)
        old = sorted(each.sample_id for each in loaded.samples if each.entered == first)
        third = later_label(lake, samples[0], folder)
        rollback.fn(reason="misses pituitary", who="ada")
        yield Loop(
            home=home,
            releases=(first, second, third),
            digests=(one[1], two[1]),
            runs=(one[2], two[2]),
            cause=told["cause"],
            samples=(old[0], samples[0]),
        )
        tracking.client.cache_clear()


def trace(whole: Loop, name: str, **given: bool) -> Trace:
    return steps.trace(whole.lake, BRAIN, name, **given)


def keys(lake: Lake, *kinds: str) -> set[str]:
    return {entry.key for entry in journal.entries(lake, *kinds)}


def champions(lake: Lake) -> set[str]:
    """Every line after which another served; here each decision was a promotion."""
    return {f"champion/{key}" for key in keys(lake, "decision", "rollback")}


def test_from_the_root_release_every_descendant_is_found(whole: Loop) -> None:
    """All that the lake and the registry hold came of it, but for what brought things in."""
    lineage = trace(whole, whole.releases[0]).lineage
    rows = whole.lake.read("predictions").select(["model_version", "window"]).to_pylist()
    expected = {*whole.releases[1:], *keys(whole.lake), *champions(whole.lake)}
    expected |= {
        f"model/brain/{each.version}" for each in tracking.client().search_model_versions()
    }
    expected |= {f"training/{run}" for run in whole.runs}
    expected |= {f"predictions/brain/{row['model_version']}/{row['window']}" for row in rows}
    expected |= {f"test-set/{release}/own" for release in whole.releases[:2]}
    assert lineage.descendants(whole.releases[0]) == expected
    assert len(expected) == 21


def test_from_a_prediction_every_ancestor_is_found(whole: Loop) -> None:
    """Neither the late label nor the rollback nor the third release, which came afterwards."""
    first, second, _ = whole.releases
    sample = whole.samples[1]
    (row,) = whole.lake.read("samples", where=f"sha256 = '{sample}'").to_pylist()
    found = trace(whole, f"{row['source_name']}@2")
    deliveries = whole.lake.read("releases", columns=["name", "creator"]).to_pylist()
    expected = {f"run/{each['creator']}" for each in deliveries if each["name"] in (first, second)}
    expected |= {first, second, sample, f"label/{sample}/0", f"prediction/brain/1/{sample}"}
    expected |= {f"training/{run}" for run in whole.runs} | {"model/brain/1", "model/brain/2"}
    expected |= {f"test-set/{release}/own" for release in (first, second)}
    promotions = keys(whole.lake, "decision")
    expected |= keys(whole.lake, "look", "verdict", "claim") | promotions
    expected |= {f"champion/{key}" for key in promotions} | {f"predictions/brain/1/{second}"}
    card = json.loads((whole.home / "packages" / whole.digests[1][:16] / "model.json").read_text())
    expected.add(f"code/{card['code_revision']}")
    assert found.node_id == f"prediction/brain/2/{sample}"
    assert found.lineage.ancestors(found.node_id) == expected
    assert found.lineage.descendants(found.node_id) == set()


def test_a_prediction_on_which_a_verdict_rests_leads_to_the_model_that_came_of_it(
    whole: Loop,
) -> None:
    found = trace(whole, f"{whole.samples[1][:8]}@1")
    later = found.lineage.descendants(found.node_id)
    assert {
        f"verdict/{whole.cause}",
        "model/brain/2",
        f"predictions/brain/2/{whole.releases[1]}",
    } <= later


def test_a_late_label_leads_to_the_release_it_made_and_not_into_the_past(whole: Loop) -> None:
    found = trace(whole, f"label/{whole.samples[1]}/1")
    assert found.lineage.descendants(found.node_id) == {whole.releases[2]}
    assert found.lineage.nodes[found.node_id].who == "A. Reader"
    assert whole.samples[1] in found.lineage.ancestors(found.node_id)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("2", "model/brain/2"),
        ("brain/2", "model/brain/2"),
        ("{digest}", "model/brain/2"),
        ("{sample}", "{whole_sample}"),
        ("{predicted}", "{whole_predicted}"),
        ("{predicted}@brain/1", "prediction/brain/1/{whole_predicted}"),
        ("glioma/first_0_000.png", None),
        ("{cause}", "verdict/{cause}"),
        ("{run}", "training/{run}"),
        ("rollback/brain/7/1", "rollback/brain/7/1"),
    ],
)
def test_each_name_of_a_thing_finds_it(whole: Loop, name: str, meant: str | None) -> None:
    values = {"digest": whole.digests[1][:8], "sample": whole.samples[0][:9]}
    values |= {"whole_sample": whole.samples[0], "cause": whole.cause, "run": whole.runs[0]}
    values |= {"predicted": whole.samples[1][:9], "whole_predicted": whole.samples[1]}
    found = trace(whole, name.format(**values)).node_id
    if meant is None:
        picture = (whole.home.parent / "first" / name).read_bytes()
        meant = hashlib.sha256(picture).hexdigest()
    assert found == meant.format(**values)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("9", "nothing is known by '9'"),
        ("brain-0002-0000", "did you mean one of these: .*brain-0002-"),
        ("brain-000", "may be one of 3, give more of one: brain-0001"),
        ("{sample}@9", "did you mean one of these: .*{sample}.*@model/brain/1"),
    ],
)
def test_what_is_unknown_or_may_be_several_is_refused_with_those_near(
    whole: Loop, name: str, says: str
) -> None:
    sample = whole.samples[1][:12]
    with pytest.raises(UnknownNameError, match=says.format(sample=sample)):
        trace(whole, name.format(sample=sample))


@pytest.mark.parametrize("is_local", [True, False])
def test_without_a_registry_it_says_what_is_missing_and_traces_the_rest(
    whole: Loop, monkeypatch: pytest.MonkeyPatch, *, is_local: bool
) -> None:
    """The looks say which package a version is, so that its training is found by that."""
    if not is_local:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    found = trace(whole, "2", is_local=is_local)
    (missing,) = found.missing
    assert ("--local" if is_local else "is not reached") in missing
    assert f"training/{whole.digests[1]}" in found.lineage.ancestors("model/brain/2")
    assert trace(whole, whole.releases[0], is_local=True).lineage.descendants(
        whole.releases[0]
    ) >= {*keys(whole.lake), "model/brain/1", "model/brain/2"}


def test_an_erased_sample_is_named_by_its_tombstone_alone(
    whole: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a line of the journal, such as a decision on quarantine, names it."""
    home = Path(shutil.copytree(whole.home, tmp_path / "home"))
    monkeypatch.setenv("NEURO_HOME", str(home))
    lake, gone = Lake(str(home / "lake")), whole.samples[1]
    (row,) = lake.read("samples", where=f"sha256 = '{gone}'").to_pylist()
    decided = {"dataset": "brain", "sha256": gone, "action": "release", "who": "A", "why": ""}
    journal.record(
        lake, "quarantine", f"brain/{gone}/label_conflict/glioma", decided, datetime.now(UTC)
    )
    assert any(gone in key for key in steps.trace(lake, BRAIN, gone).lineage.nodes)
    run = erase.fn(sample=gone, reason="consent withdrawn", who="ada")["run"]
    for name in [*whole.releases, "1", "2", whole.cause, f"erasure/{run}"]:
        found = steps.trace(lake, BRAIN, name)
        told = json.dumps(found.as_dict()) + found.tree
        assert gone[:12] not in told
        assert row["source_name"] not in told
    found = steps.trace(lake, BRAIN, gone[:10])
    assert found.node_id == f"erasure/{run}"
    heir = releases.find(lake, "brain").name
    assert heir in found.lineage.descendants(found.node_id)
    assert set(whole.releases[1:]) <= found.lineage.ancestors(found.node_id)


def test_a_lake_of_version_1_is_traced_on_main_and_on_its_branch(tmp_path: Path) -> None:
    lake = Lake(lakes.copy_v1(tmp_path))
    root = lakes.MAIN[0]["name"]
    found = steps.trace(lake, BRAIN, root, is_local=True)
    known = {release["name"] for release in lakes.EXPECTED["releases"]}
    assert known - {root} <= found.lineage.descendants(root)
    assert lake.version == 1
