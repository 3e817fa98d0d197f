from pathlib import Path

import pytest

from neuro.errors import ConfigError, UnknownNameError
from neuro.problems import problem

OWN = """
name = "lung"
dataset = "lung"
classes = ["benign", "malignant", "normal"]
intended_use = "tests"
licence = "none"
citation = "none"
"""


def test_five_problems_come_with_neuro() -> None:
    assert problem.builtin_names() == ["brain", "brain_tumor", "chest", "skin", "skin7"]


@pytest.mark.parametrize("name", problem.builtin_names())
def test_a_built_in_problem_loads_under_its_own_name(name: str) -> None:
    loaded = problem.load(name)
    assert loaded.name == name
    assert set(loaded.recall_floors) <= set(loaded.classes)
    assert loaded.intended_use
    assert loaded.licence
    assert loaded.citation


def test_two_questions_are_asked_of_one_brain_dataset() -> None:
    assert problem.load("brain_tumor").dataset == problem.load("brain").dataset == "brain"
    assert problem.load("skin7").dataset == problem.load("skin").dataset == "skin"


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("brain", "glioma", "glioma"),
        ("brain_tumor", "glioma", "tumor"),
        ("brain_tumor", "Non-Cancer", "no_tumor"),
        ("skin", "akiec", "malignant"),
        ("skin", "df", "benign"),
        ("brain", "Cancer", ""),
        ("brain", "", ""),
    ],
)
def test_a_source_label_answers_a_problem(name: str, source: str, expected: str) -> None:
    assert problem.load(name).class_of(source) == expected


def test_a_sixth_problem_is_one_more_file(tmp_path: Path) -> None:
    path = tmp_path / "lung.toml"
    path.write_text(OWN + '[groups]\npattern = "^(P[0-9]+)"\n[preprocess]\nsize_px = 64\n')
    loaded = problem.load(str(path))
    assert loaded.classes == ("benign", "malignant", "normal")
    assert loaded.labels == {name: name for name in loaded.classes}
    assert (loaded.groups.pattern, loaded.preprocess.size_px) == ("^(P[0-9]+)", 64)


def test_a_misspelt_problem_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="no problem 'brian': did you mean 'brain'"):
        problem.load("brian")


def test_a_name_like_no_other_gets_the_list() -> None:
    with pytest.raises(UnknownNameError, match=r"'x': Built in: brain, brain_tumor, .*\.toml file"):
        problem.load("x")


def test_a_problem_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml does not exist"):
        problem.load(str(tmp_path / "gone.toml"))


WRONG = {
    "an unknown field": (OWN + "colour = 1", r"unknown \['colour'\].*'recall_floors'"),
    "an unknown field of a table": (
        OWN + "[groups]\ntwins = 1",
        r"\[groups\]: unknown \['twins'\].*'twin_cosine'",
    ),
    "a label of no class": (
        OWN + '[labels]\nx = "benign"\ny = "cystic"',
        r"labels or recall_floors name no class of lung: \{'cystic'\}",
    ),
    "a floor of no class": (OWN + "[recall_floors]\ncystic = 0.5", "name no class.*cystic"),
    "a floor in percent": (OWN + "[recall_floors]\nnormal = 85", "recall_floors.normal .* 0 to 1"),
    "a floor of nan": (OWN + "[recall_floors]\nnormal = nan", "recall_floors.normal .* 0 to 1"),
    "a floor as text": (OWN + "[recall_floors]\nnormal = '0.8'", "recall_floors.normal .* 0 to 1"),
    "no look at all": (OWN + "test_looks = 0", "test_looks must be a number from 1 up, got 0"),
    "looks as text": (OWN + "test_looks = '9'", "test_looks must be a number from 1 up, got '9'"),
    "a class without labels": (OWN + '[labels]\nx = "benign"', "no source label leads to"),
    "one class": (OWN.replace('"malignant", "normal"', ""), "two or more distinct"),
    "a class twice": (OWN.replace("malignant", "benign"), "two or more distinct"),
    "classes that are no list": (OWN.replace('["benign", "malignant", "normal"]', "3"), "classes"),
    "classes that are a text": (
        OWN.replace('["benign", "malignant", "normal"]', '"abc"'),
        "classes",
    ),
    "classes that are numbers": (
        OWN.replace('["benign", "malignant", "normal"]', "[1, 2]"),
        "classes must be a list of names",
    ),
    "labels that are no table": (OWN + "labels = 3", "labels must be a table"),
    "split folders that are no table": (
        OWN + '[layout]\nsplits = "train"',
        r"\[layout\]: splits must be a table",
    ),
    "a name with a space": (OWN.replace('name = "lung"', 'name = "my lung"'), "name must be"),
    "a dataset with a slash": (OWN.replace('dataset = "lung"', 'dataset = "a/b"'), "dataset must"),
    "a missing field": (OWN.replace("licence", "# licence"), "has no licence; add a line for each"),
    "an empty file": (
        "",
        "has no name, dataset, classes, labels, intended_use, licence, citation;",
    ),
    "no end of brackets": ("classes = " + "[" * 5000, "not valid TOML"),
    "a class that is no label": (
        OWN + '[layout]\nno_label = ["benign"]',
        r"no_label and labels both name \['benign'\]",
    ),
    "a table that is a value": (OWN + "layout = 3", "expected a table, got 3"),
    "no TOML": (OWN + "[", "not valid TOML"),
    "an unknown way with names": (OWN + '[layout]\nnames = "hash"', "layout.names must be one of"),
    "an unknown layout": (OWN + '[layout]\nkind = "bucket"', "layout.kind must be one of"),
    "a table without its columns": (OWN + '[layout]\nkind = "table"', "needs layout.table"),
    "a key that is none": (OWN + '[layout]\nkey = "age"', "layout.key must be one of"),
    "a tag that is none": (OWN + '[groups]\ntag = "PatientName"', "groups.tag must be one of"),
    "a pattern without a group": (OWN + '[groups]\npattern = "P"', "exactly one"),
    "a pattern that is none": (OWN + '[groups]\npattern = "("', "groups.pattern"),
    "a cosine above one": (OWN + "[groups]\ntwin_cosine = 1.5", "groups.twin_cosine"),
    "a mode that is none": (OWN + '[preprocess]\nmode = "CMYK"', "preprocess.mode"),
    "a size that is a text": (OWN + '[preprocess]\nsize_px = "96"', "preprocess"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_problem_file_is_named_with_the_field(what: str) -> None:
    text, message = WRONG[what]
    with pytest.raises(ConfigError, match=message) as caught:
        problem.parse(text, where="lung.toml")
    assert "lung.toml" in str(caught.value)


def test_a_view_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"augment.blur_px must be 0 to 1, got 3"):
        problem.Augmentation(blur_px=3)


@pytest.mark.parametrize("blank", ['""', '" "', '"\\n"'])
def test_a_class_whose_name_cannot_be_seen_is_refused(blank: str) -> None:
    with pytest.raises(ConfigError, match="names that can be seen"):
        problem.parse(OWN.replace('"normal"', blank), where="own")


def test_a_file_of_this_folder_is_meant_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lung.toml").write_text(OWN)
    (tmp_path / "brain.toml").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert problem.load("lung").name == "lung"
    assert problem.reference("lung") == str(tmp_path / "lung.toml")
    assert problem.load("brain").name == problem.reference("brain") == "brain"  # built in
    with pytest.raises(UnknownNameError, match="no problem 'liver'"):
        problem.load("liver")
    (tmp_path / "lungs.toml").write_text(OWN)
    assert problem.load("lungs.toml").name == "lung"
    with pytest.raises(ConfigError, match=r"lungs\.toml .*problem lung, not lungs; rename"):
        problem.load("lungs")
