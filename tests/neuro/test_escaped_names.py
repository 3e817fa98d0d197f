import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name

from neuro import escaped_names

ODD = (
    "Alzheimer's",
    "a (b)",
    "50 %",
    "a/b",
    "a//b",
    "..",
    ".",
    "/",
    "x" * 300,
    "x" * 301,
    "脑" * 300,
    "brain \N{BRAIN}",
    "=",
    '"quoted"',
    "two\nlines",
    "tab\there",
    "nul\0",
    "<b>bold</b>",
    "a | b",
    "a:b",
    "$x^2$",
    "$_$",
    r"\alpha",
    "_hidden",
    " spaces ",
    "CON",
    "-x27-",
    "Alzheimer-x27-s",
    "-",
    "e\u0301",
    "é",
    "grade",
    "grade_low",
    "grade_high",
    "grade-x5f-low",
)
NAMES = st.text(min_size=1, max_size=60) | st.text(alphabet="-x27as_'.", min_size=1, max_size=12)


def test_a_usual_name_stays_as_it_is() -> None:
    for name in ("glioma", "Stage 2", "T1-weighted", "no_tumor", "Größe", "3.5"):
        assert escaped_names.for_key(name) == escaped_names.for_folder(name) == name
    assert escaped_names.for_folder("Alzheimer's (50 %)") == "Alzheimer's (50 %)"


def test_an_escape_is_the_characters_number() -> None:
    assert escaped_names.for_key("Alzheimer's") == "Alzheimer-x27-s"
    assert escaped_names.for_folder("a/b") == "a-x2f-b"
    assert escaped_names.for_folder("..") == "-x2e--x2e-"


@given(NAMES)
def test_every_name_can_be_read_back(name: str) -> None:
    for escape in (escaped_names.for_key, escaped_names.for_folder):
        escaped = escape(name)
        if len(escaped.encode()) < escaped_names.LONGEST - 40 and "-xsha-" not in escaped:
            assert escaped_names.original(escaped) == name


@given(NAMES, NAMES)
def test_two_names_never_become_one(one: str, other: str) -> None:
    for escape in (escaped_names.for_key, escaped_names.for_folder):
        assert (escape(one) == escape(other)) == (one == other)


def test_no_two_odd_names_become_one_anywhere() -> None:
    for escape in (escaped_names.for_key, escaped_names.for_folder, escaped_names.for_chart):
        assert len({escape(name) for name in ODD}) == len(ODD)


def test_a_shortened_name_is_no_other_names_escape() -> None:
    short = escaped_names.for_key("x" * 300)
    assert len(short.encode()) <= escaped_names.LONGEST
    assert escaped_names.for_key(short) != short
    cut = escaped_names.for_key("y" * 94 + "-x" * 50)  # cut where an escape stands
    assert escaped_names.for_key(escaped_names.original(cut)) != cut


@pytest.mark.parametrize("name", ODD)
def test_mlflow_takes_every_key(name: str) -> None:
    key = f"baseline_lookup_sensitivity80_{escaped_names.for_key(name)}_high"
    _validate_metric_name(key)
    assert len(key) <= MAX_ENTITY_KEY_LENGTH


@pytest.mark.parametrize("name", ODD)
def test_every_name_makes_a_folder_of_its_own(name: str, tmp_path) -> None:
    folder = tmp_path / escaped_names.for_folder(name, taken=("unlabelled",))
    folder.mkdir()
    assert [entry.name for entry in tmp_path.iterdir()] == [folder.name]
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f]|[. ]$', folder.name)


def test_a_name_that_means_something_else_is_told_apart() -> None:
    assert escaped_names.for_folder("unlabelled", taken=("unlabelled",)) == "-x75-nlabelled"
    low = escaped_names.for_key("grade_low", ends=("_low", "_high"))
    assert low == "grade-x5f-low"
    assert escaped_names.for_key("grade-x5f-low", ends=("_low", "_high")) != low


@pytest.mark.parametrize("name", ODD)
def test_every_name_is_drawn_as_it_is_and_none_as_a_formula(name: str, tmp_path) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([0, 1], label=escaped_names.for_chart(name))
    assert axes.legend().get_texts()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "figure.png")
