"""What a retraining starts from."""

from pathlib import Path

from flows.ingest import ingest
from neuro.problems import problem as problems
from tasks import retrain
from tasks.load import release_data
from tests.flows.conftest import Draw


def test_before_a_champion_the_recipe_is_the_default_preset_for_the_data(
    home: Path, draw: Draw
) -> None:
    ingest.fn(source=str(draw(["glioma", "meningioma", "notumor", "pituitary"], 6)))
    chosen = retrain.recipe(release_data.open_lake(None), problems.load("brain"), None)
    assert chosen.batch_size < 24  # there are fewer images than in a usual batch
    assert chosen.augment_from == 0.1
