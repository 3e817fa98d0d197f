import numpy as np

from neuro.reports import charts
from tests.neuro.test_escaped_names import ODD


def test_the_picture_shows_each_share_and_their_sum_in_percent() -> None:
    figure = charts.explained_variance(
        np.array([0.5, 0.25, 0.05]), "brain-0001", is_synthetic=False
    )
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [50, 25, 5]
    assert axes.lines[0].get_ydata().tolist() == [50, 75, 80]  # type: ignore[union-attr]
    assert "80 %" in {text.get_text() for text in axes.texts}


def test_it_says_research_use_and_synthetic() -> None:
    said = charts.explained_variance(np.array([1.0]), "r", is_synthetic=True).get_supxlabel()
    assert "Synthetic" in said
    assert "Research use only" in said


def test_every_name_of_a_class_is_drawn() -> None:
    kinds = np.array(ODD)
    places = np.arange(2.0 * len(ODD)).reshape(-1, 2)
    for picture in (charts.sizes(places, kinds), charts.ages(places[:, 0], kinds)):
        assert picture.startswith(b"\x89PNG")
