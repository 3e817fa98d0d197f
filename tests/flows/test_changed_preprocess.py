"""A champion of another preprocess than the problem's of today: compared with, and not served."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.ingest import ingest
from flows.predict import predict
from flows.promote import promote
from flows.retrain import retrain
from flows.train import train
from neuro.errors import ConfigError, PackageError
from neuro.models import package
from neuro.problems import problem as problems
from tasks.load import models, release_data
from tasks.record import registry, tracking
from tests.flows.conftest import MARKS, QUICK, Draw

MODELS = ("champion", "challenger")


@pytest.fixture
def changed(home: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A problem file that asks for larger frames than its champion, version 1, learnt from."""
    asked = home.parent / "marks.toml"
    asked.write_text(MARKS)
    ingest.fn(problem=str(asked), source=str(draw(["a", "b"], 30)))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    monkeypatch.chdir(home)  # artifacts lie beside the database
    tracking.client.cache_clear()
    with prefect_test_harness(server_startup_timeout=120):  # two cores, often busy
        trained = train(problem=str(asked), config=QUICK)
        registered = registry.register(
            trained["run_id"], "marks", package.open_verified(Path(trained["package"]))
        )
        registry.set_alias(registered, "champion")
        asked.write_text(MARKS.replace("size_px = 32", "size_px = 48"))
        yield str(asked)
    tracking.client.cache_clear()


@pytest.mark.server
def test_a_new_model_is_compared_with_the_champion_of_another_preprocess(
    changed: str, home: Path
) -> None:
    by_itself = retrain(problem=changed, cause="monthly", config=QUICK)  # the champion stays
    assert by_itself["decision"] in ("promote", "keep", "inconclusive")
    assert (by_itself["champion"], by_itself["challenger"]) == ("1", "2")
    n = {name: {metric["n"] for metric in by_itself["old_test"][name]} for name in MODELS}
    assert n["champion"] == n["challenger"]
    by_hand = promote(problem=changed, model="2")
    assert by_hand["old_test"] == by_itself["old_test"]


@pytest.mark.server
def test_the_champion_is_still_refused_by_name_and_where_it_has_other_classes(
    changed: str,
) -> None:
    for use in (predict, promote):
        with pytest.raises(ConfigError, match=r"another preprocess .* train again"):
            use(problem=changed, model="champion")
    other = replace(problems.load(changed), classes=("b", "a"))
    with pytest.raises(PackageError, match="a name of its own"):
        models.champion(release_data.open_lake(None), other)
