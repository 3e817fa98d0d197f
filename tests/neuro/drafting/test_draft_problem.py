"""Each of the five shapes is drafted, and the draft reads its folder as a person would."""

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from neuro.drafting import draft_problem
from neuro.drafting.draft_problem import Draft
from neuro.errors import ConfigError
from neuro.ingest import delivery
from neuro.ingest.delivery import Item
from neuro.problems import problem
from tests.neuro.conftest import REAL, needs_real

Deliver = Callable[[str, Mapping[str, bytes]], Path]
Dicom = Callable[..., bytes]
Png = Callable[[int], bytes]

NFC, NFD = "\u00e9", "e\u0301"


def csv(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def loaded(folder: Path, tmp_path: Path) -> tuple[Draft, dict[str, Item]]:
    """Draft, write, load the file as a user would, and read the folder with it."""
    drafted = draft_problem.draft(folder)
    draft_problem.write(drafted, tmp_path / "own.toml")
    own = problem.load(str(tmp_path / "own.toml"))
    assert own == drafted.problem
    return drafted, {item.source_name: item for item in delivery.read(folder, own).items}


def key_of(dataset: str, group: str) -> str:
    return hashlib.sha256(f"{dataset}/{group}".encode()).hexdigest()


def test_class_folders(deliver: Deliver, png: Png, tmp_path: Path) -> None:
    names = ["cyst/a.png", "cyst/b.png", "normal tissue/c.png"]
    folder = deliver("Wrist 2026", {name: png(n) for n, name in enumerate(names)})
    drafted, items = loaded(folder, tmp_path)
    assert [item.label for item in items.values()] == ["cyst", "cyst", "normal tissue"]
    assert drafted.problem.name == drafted.problem.dataset == "wrist_2026"
    assert drafted.problem.classes == ("cyst", "normal tissue")
    assert drafted.inferred["question"] == "two classes"
    assert any("only twins are joined" in point for point in drafted.not_inferred)


STRAY = {
    "Thumbs.db": b"\xd0\xcf\x11\xe0" + bytes(600),
    "a.xml": b"<a/>",
    "desktop.ini": b"[x]",
    "README": b"P1 is a patient",
    "__MACOSX/a/._a.png": b"\0",
    ".DS_Store": b"x",
    "notes.csv": "jour;médecin\n3;José\n".encode("latin-1"),
}


def test_stray_files_change_nothing_of_a_draft_and_are_named(deliver: Deliver, png: Png) -> None:
    folders = {f"{'ab'[n % 2]}/{n}.png": png(n) for n in range(4)}
    flat = {f"p{n % 2}/{n}.png": png(n) for n in range(4)}
    flat["labels.csv"] = csv("name,label", *(f"{n},{'xy'[n // 2]}" for n in range(4)))
    for number, files in enumerate((folders, flat)):
        own, both = f"bare{number}/wrist", f"both{number}/wrist"
        beside = {f"{part}/{name}": raw for part in ("a", "b") for name, raw in STRAY.items()}
        bare = draft_problem.draft(deliver(own, files))
        stray = draft_problem.draft(deliver(both, files | STRAY | beside))
        assert stray.problem == bare.problem
        assert "notes.csv" in " ".join(stray.not_inferred)
        assert bare.inferred["skipped"] == "nothing"
        assert stray.inferred["skipped"].startswith("6 x hidden: .DS_Store, __MACOSX, a/.DS_Store")
        assert "15 x no image: README, Thumbs.db, a.xml" in stray.inferred["skipped"]


def test_a_class_folder_behind_a_link_is_drafted_only_where_it_is_followed(
    deliver: Deliver, png: Png
) -> None:
    folder = deliver("wrist", {"a/1.png": png(1), "b/2.png": png(2)})
    away = deliver("away", {"3.png": png(3)})
    (folder / "cyst").symlink_to(folder / "unmounted")
    with pytest.raises(ConfigError, match=r"'cyst' .* leads to nothing"):
        draft_problem.draft(folder)
    (folder / "cyst").unlink()
    (folder / "cyst").symlink_to(away)
    with pytest.raises(ConfigError, match=r"'cyst' .* --follow"):
        draft_problem.draft(folder)
    assert draft_problem.draft(folder, [str(away)]).problem.classes == ("a", "b", "cyst")


def test_split_and_class_folders_with_the_patient_in_the_name(
    deliver: Deliver, png: Png, tmp_path: Path
) -> None:
    names = {
        "Training/bad/person1_bacteria_1.png": ("bad", "train", "person1"),
        "Training/bad/person1_virus_2.png": ("bad", "train", "person1"),
        "Training/good/person2_3.png": ("good", "train", "person2"),
        "Testing/bad/person123_bacteria_45.png": ("bad", "test", "person123"),
        "Testing/good/person12_45.png": ("good", "test", "person12"),
    }
    folder = deliver("in", {name: png(n) for n, name in enumerate(names)})
    drafted, items = loaded(folder, tmp_path)
    expected = {n: (label, to, key_of("in", who)) for n, (label, to, who) in names.items()}
    read = {n: (i.label, i.given_split, i.group_key) for n, i in items.items()}
    assert read == expected
    assert drafted.problem.groups.pattern == r"^(person\d+)"
    assert any(r"^(person\d+) finds the patient" in point for point in drafted.not_inferred)


def test_flat_images_with_a_table(deliver: Deliver, png: Png, tmp_path: Path) -> None:
    table = csv(
        "lesion_id,image_id,dx,dx_type,age,fold",
        "L1,I1,mel,histo,40.5,train",
        "L1,I2,mel,histo,40.5,train",
        "L2,I3,nv,follow_up,31.0,Test",
        "L3,I4,nv,follow_up,,Test",
        "L4,I9,df,follow_up,,train",
        "L5,I8,df,histo,,train",
    )
    folder = deliver("in", {f"I{n}.png": png(n) for n in range(1, 5)} | {"labels.csv": table})
    drafted, items = loaded(folder, tmp_path)
    assert [(i.label, i.given_split) for i in items.values()] == [
        ("mel", "train"),
        ("mel", "train"),
        ("nv", "test"),
        ("nv", "test"),
    ]
    groups = [key_of("in", lesion) for lesion in ("L1", "L1", "L2", "L3")]
    assert [item.group_key for item in items.values()] == groups
    assert drafted.problem.classes == ("df", "mel", "nv")
    assert any("dx_type, age of labels.csv" in point for point in drafted.not_inferred)


@pytest.mark.parametrize("key", ["SOPInstanceUID", "PatientID"])
def test_a_dicom_tree(deliver: Deliver, dicom: Dicom, tmp_path: Path, key: str) -> None:
    where = {"10/1/a": ("1.2.1", "10"), "10/1/b": ("1.2.2", "10"), "20/1/a": ("1.2.3", "20")}
    where |= {"30/1/a": ("1.2.4", "30")}
    files = {
        name: dicom(SOPInstanceUID=uid, PatientID=patient) for name, (uid, patient) in where.items()
    }
    ids = [uid if key == "SOPInstanceUID" else patient for uid, patient in where.values()]
    labels = ["1", "1", "0", "0"]
    lines = [f"{i},{label}" for i, label in zip(ids, labels, strict=True)]
    folder = deliver("in", files | {"truth.csv": csv("who,outcome", *lines)})
    drafted, items = loaded(folder, tmp_path)
    assert drafted.problem.layout.key == key
    assert [item.label for item in items.values()] == labels
    patients = [key_of("in", patient) for _, patient in where.values()]
    assert [item.group_key for item in items.values()] == patients
    assert any("numbers that group images" in point for point in drafted.not_inferred)
    assert (drafted.problem.preprocess.mode, drafted.problem.preprocess.size_px) == ("L", 32)


def test_one_table_of_paths(deliver: Deliver, png: Png, tmp_path: Path) -> None:
    table = csv(
        "file,subject,label",
        "images/x/1.png,S1,clear",
        "images/x/2.png,S1,clear",
        "images/y/1.png,S2,tumour",
        r"images\y\2.png,S3,tumour",
    )
    names = ["images/x/1.png", "images/x/2.png", "images/y/1.png", "images/y/2.png"]
    files = {name: png(n) for n, name in enumerate(names)}
    drafted, items = loaded(deliver("in", files | {"all.csv": table}), tmp_path)
    assert drafted.problem.layout.key == "path"
    assert [item.label for item in items.values()] == ["clear", "clear", "tumour", "tumour"]
    subjects = [key_of("in", subject) for subject in ("S1", "S1", "S2", "S3")]
    assert [item.group_key for item in items.values()] == subjects


def test_a_table_of_names_that_two_files_have_gives_way_to_class_folders(
    deliver: Deliver, png: Png, tmp_path: Path
) -> None:
    table = csv("file,label", "1.png,cyst", "2.png,clear", "3.png,cyst", "4.png,clear")
    files = {"cyst/1.png": png(1), "clear/1.png": png(2), "x.csv": table}
    drafted, items = loaded(deliver("in", files), tmp_path)
    assert drafted.problem.layout.kind == "folders"
    assert [item.label for item in items.values()] == ["clear", "cyst"]


def test_a_label_that_was_only_guessed_is_an_open_point(deliver: Deliver, png: Png) -> None:
    lines = ["image,view,side", *(f"{n}.png,{'ab'[n % 2]},{'lr'[n // 2]}" for n in range(4))]
    files = {f"{n}.png": png(n) for n in range(4)} | {"x.csv": csv(*lines)}
    drafted = draft_problem.draft(deliver("in", files))
    assert "whether 'view' is the label; it may be side" in drafted.not_inferred


def test_a_file_that_is_there_is_not_overwritten(
    deliver: Deliver, png: Png, tmp_path: Path
) -> None:
    drafted = draft_problem.draft(deliver("in", {"a/1.png": png(1), "b/1.png": png(2)}))
    (tmp_path / "own.toml").write_text("mine")
    with pytest.raises(ConfigError, match=r"own\.toml exists; .* name another"):
        draft_problem.write(drafted, tmp_path / "own.toml")
    assert (tmp_path / "own.toml").read_text() == "mine"


def test_a_draft_never_takes_the_name_of_a_built_in_problem(deliver: Deliver, png: Png) -> None:
    drafted = draft_problem.draft(deliver("brain", {"a/1.png": png(1), "b/1.png": png(2)}))
    assert drafted.problem.dataset == "brain_own"


def test_names_that_are_no_plain_words_stay_what_they_are(
    deliver: Deliver, png: Png, tmp_path: Path
) -> None:
    odd = ['say "a"', "b\\c'd", "größer #1"]
    folder = deliver("in", {f"{label}/1.png": png(n) for n, label in enumerate(odd)})
    drafted, items = loaded(folder, tmp_path)
    assert {item.label for item in items.values()} == set(odd) == set(drafted.problem.classes)


def test_what_could_not_be_told_stands_in_the_file(deliver: Deliver, png: Png) -> None:
    drafted = draft_problem.draft(deliver("in", {"a/1.png": png(1), "b/1.png": png(2)}))
    comments = [line[4:] for line in drafted.text.splitlines() if line.startswith("# - ")]
    assert tuple(comments) == drafted.not_inferred
    for word in ("intended_use", "licence", "citation", "safety-critical"):
        assert any(word in comment for comment in comments)
    assert tomllib.loads(drafted.text)["intended_use"] == "not stated"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.txt": b"x"}, "holds no images"),
        ({"a.png": b"1", "b.png": b"2"}, "no two classes .* 0 deep; tables: none"),
        ({"data/train/a/1.png": b"1", "data/train/b/1.png": b"2"}, "one inner folder"),
        ({"a/1.png": b"1", "x.csv": b"id,age\n9,4\n"}, r"tables: x\.csv"),
        ({"a/1.png": b"1", "x.csv": b"\xff\xfe"}, r"x\.csv cannot be read"),
    ],
    ids=["no images", "flat", "one level too high", "a table of other things", "no table"],
)
def test_a_folder_that_shows_no_classes_names_the_remedy(
    deliver: Deliver, files: Mapping[str, bytes], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        draft_problem.draft(deliver("in", files))


def flat(deliver: Deliver, png: Png, table: str, n: int = 12, **files: bytes) -> Path:
    """Images 00.png to 11.png beside a table."""
    images = {f"{i:02}.png": png(i) for i in range(n)}
    return deliver("in", images | {"x.csv": table.encode()} | files)


def lines(head: str, line: Callable[[int], str], n: int = 12) -> str:
    return "\n".join([head, *(line(i) for i in range(n))]) + "\n"


@pytest.mark.parametrize(
    ("table", "question"),
    [
        (lines("f,sex", lambda i: f"{i:02},{'MF'[i % 2]}"), "whether 'sex' is the label"),
        (lines("f,Scanner Site", lambda i: f"{i:02},{'ab'[i % 2]}"), "whether 'Scanner Site' is"),
        (lines("f,case,sex", lambda i: f"{i:02},{i % 2},{'MF'[i // 6]}"), "'case' is the label;"),
        (lines("f,label,target", lambda i: f"{i:02},{i % 2},{i // 6}"), "it may be target"),
        (
            lines("f,dx,use_case", lambda i: f"{i:02},{i % 2},{i // 4}"),
            "whether use_case names the patient",
        ),
        (
            lines("f,MEL,NV", lambda i: f"{i:02},{i % 2},{1 - i % 2}"),
            "MEL, NV hold 0 and 1, as where each class has a column of its own",
        ),
        (lines("f,study_id", lambda i: f"{i:02},S{i // 3}"), "'study_id' is the label; its values"),
        (lines("f,result", lambda i: f"{i:02},10{i // 3}"), "'result' is the label; its values"),
        (
            lines("f,label,side", lambda i: f"{i:02},0.{i + 1},{'lr'[i % 2]}"),
            "'label' is not taken, it holds measured numbers",
        ),
        (lines("f,dx,patient", lambda i: f"{i:02},{i % 2},{i % 2}"), "patient names the patient"),
        (lines("f,dx", lambda i: f"{i:02},{['Yes', 'yes', 'No'][i % 3]}"), "'Yes', 'yes' are one"),
        (lines("f,dx", lambda i: f"{i:02},{['a b', 'A_b', 'c'][i % 3]}"), "'A_b', 'a b' are one"),
        (lines("f,dx", lambda i: f"{i:02},{['1', '1.0', '0'][i % 3]}"), "'1', '1.0' are one"),
        (lines("f,dx", lambda i: f"{i:02},{[NFC, NFD, 'c'][i % 3]}"), "are one class"),
        (lines("f,dx", lambda i: f"{i:02},{['A|B', 'B|A', 'c'][i % 3]}"), "'A|B', 'B|A' are one"),
        (lines("f,dx", lambda i: f"{i:02},{['A|B', 'A', 'c'][i % 3]}"), "name several findings"),
        (lines("f,dx", lambda i: f"{i:02},{['a', 'b', 'NaN'][i % 3]}"), "'NaN' is a class or"),
        (lines("f,dx", lambda i: f"{i:02},{['tumour', 'none'][i % 2]}"), "drafted as a class"),
        (
            lines("f,dx", lambda i: f"{i:02},{['benign', 'x'][i % 2] if i < 11 else 'begnin'}", 12)
            + "".join(f"o{i},benign\n" for i in range(9)),
            "whether 'begnin' (1 images) is a class; it may mean 'benign'",
        ),
        (
            lines("f,dx", lambda i: f"{i:02},{'benign' if i < 6 else 'Benign'}", 11)
            + "11,begnin\n",
            "whether 'begnin' (1 images) is a class; it may mean",
        ),
    ],
)
def test_what_is_doubtful_is_asked_and_keeps_the_delivery_out(
    deliver: Deliver, png: Png, table: str, question: str
) -> None:
    folder = flat(deliver, png, table)
    drafted = draft_problem.draft(folder)
    assert any(question in asked for asked in drafted.problem.unanswered)
    assert set(drafted.problem.unanswered) <= set(drafted.not_inferred)
    with pytest.raises(ConfigError, match="asks what no program can tell") as caught:
        delivery.read(folder, drafted.problem)
    assert question in str(caught.value)
    answered = replace(drafted.problem, unanswered=())
    assert len(delivery.read(folder, answered).items) == 12


@pytest.mark.parametrize(
    ("table", "group"),
    [
        (
            lines("f,patient_sex,patient_age,dx", lambda i: f"{i:02},{'MF'[i // 6]},4{i},{i % 2}"),
            "",
        ),
        (
            lines("f,Patient ID,lesion_id,dx", lambda i: f"{i:02},{i // 3},L{i // 2},{i % 2}"),
            "Patient ID",
        ),
        (lines("f,lesionId,dx", lambda i: f"{i:02},L{i // 2},{i % 2}"), "lesionId"),
        (lines("f,subject,dx", lambda i: f"{i:02},S{i // 2},{i % 2}"), "subject"),
    ],
)
def test_a_patient_is_a_column_whose_whole_name_and_values_say_so(
    deliver: Deliver, png: Png, table: str, group: str
) -> None:
    drafted = draft_problem.draft(flat(deliver, png, table)).problem
    assert drafted.groups.column == group
    assert drafted.layout.label == "dx"
    assert drafted.unanswered == ()


def test_spellings_lead_to_one_class_and_nan_to_none(deliver: Deliver, png: Png) -> None:
    names = ["Yes", "yes", "yes", "no", "nan", ""]
    table = lines("f,dx", lambda i: f"{i:02},{names[i % 6]}")
    folder = flat(deliver, png, table)
    drafted = draft_problem.draft(folder).problem
    assert drafted.classes == ("yes", "no") or drafted.classes == ("no", "yes")
    assert drafted.labels == {"Yes": "yes", "yes": "yes", "no": "no"}
    assert drafted.layout.no_label == ("nan",)
    read = delivery.read(folder, replace(drafted, unanswered=())).items
    assert [item.label for item in read] == ["Yes", "yes", "yes", "no", "", ""] * 2


@pytest.mark.parametrize(
    ("other", "question"),
    [
        (lines("f,label", lambda i: f"{i:02},{'ba'[i % 2]}"), "contradict each other in 12"),
        (lines("f,label", lambda i: f"{i:02},{'cd'[i % 2]}"), "the two ask different things"),
        ("f,label\n20,a\n11,b\n11,b\n", ""),
        (lines("f,label", lambda i: f"{i:02},{'AB'[i % 2]}"), ""),
    ],
    ids=["contradiction", "another question", "no more images", "the same"],
)
def test_two_tables_that_contradict_are_asked_about(
    deliver: Deliver, png: Png, other: str, question: str
) -> None:
    table = lines("f,label", lambda i: f"{i:02},{'ab'[i % 2]}")
    drafted = draft_problem.draft(flat(deliver, png, table, **{"z.csv": other.encode()})).problem
    assert bool(drafted.unanswered) == bool(question)
    assert all(question in asked for asked in drafted.unanswered)


def test_images_that_only_a_second_table_names_are_asked_about(deliver: Deliver, png: Png) -> None:
    table = lines("f,label", lambda i: f"{i:02},{'ab'[i % 2]}", 8)
    rest = "f,label\n" + "".join(f"{i:02},{'ab'[i % 2]}\n" for i in range(8, 12))
    drafted = draft_problem.draft(flat(deliver, png, table, **{"z.csv": rest.encode()})).problem
    (asked,) = drafted.unanswered
    assert "that z.csv names and x.csv does not (4)" in asked


def test_folders_that_contradict_the_table_are_asked_about(deliver: Deliver, png: Png) -> None:
    files = {f"{'ab'[i % 2]}/{i:02}.png": png(i) for i in range(6)}
    table = lines("f,label", lambda i: f"{i:02},{'ab'[i // 3]}", 6).encode()
    (asked,) = draft_problem.draft(deliver("in", files | {"x.csv": table})).problem.unanswered
    assert "or the folders are: they differ in 2 images" in asked


@pytest.mark.parametrize(
    ("names", "table", "is_asked"),
    [
        ([f"{n:05}" for n in range(4)], "BraTS21ID,v\n0,a\n1,b\n2,a\n3,b\n", True),
        ([f"{n:05}" for n in range(4)], "", True),
        ([f"patient {n}" for n in range(4)], "", True),
        ([f"P{n}" for n in range(12)], "", True),
        (["A7", "B9", "Cx"], "who,v\nA7,a\nB9,b\nCx,a\nD,b\n", True),
        (["0", "1", "2", "3", "4"], "", False),
        (["grade1", "grade2"], "class,meaning\ngrade1,mild\ngrade2,severe\n", False),
    ],
)
def test_folders_that_look_like_patients_are_asked_about(
    deliver: Deliver, png: Png, names: list[str], table: str, is_asked: bool
) -> None:
    files = {f"{name}/{n}.png": png(10 * m + n) for m, name in enumerate(names) for n in range(2)}
    folder = deliver("in", files | ({"x.csv": table.encode()} if table else {}))
    asked = draft_problem.draft(folder).problem.unanswered
    assert [("they look like patients" in question) for question in asked] == [True] * is_asked


def test_over_fifty_folders_are_no_classes(deliver: Deliver) -> None:
    folder = deliver("in", {f"P{n}/1.png": b"1" for n in range(51)})
    with pytest.raises(
        ConfigError, match=r"51 folders would be as many classes.* each is a patient"
    ):
        draft_problem.draft(folder)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("f;label\n00;a\n01;b\n", "separated by semicolons; save it as CSV with commas"),
        ("f\tlabel\n00\ta\n01\tb\n", "separated by tabs"),
        (lines("f,score", lambda i: f"{i:02},0.{i + 1}"), "'score': it holds measured numbers"),
        (lines("f,score", lambda i: f"{i:02},1.{i // 3 + 1}e-05"), "'score': it holds measured"),
        (lines("f,dx", lambda i: f"{i:02},c{i}"), "'dx': almost each of its values stands there o"),
        (lines("f,dx", lambda i: f"{i:02},a"), "'dx': it has one value only"),
        (lines("f,dx", lambda i: f"/data/{i:02}.png,{i % 2}"), "absolute paths in column 'f'"),
        (lines("f,dx", lambda i: f"C:\\x\\{i:02}.png,{i % 2}"), "absolute paths in column 'f'"),
        (lines("f,dx", lambda i: f"x{i:02},{i % 2}"), "x.csv names none of the images"),
        (lines("f,dx", lambda i: f"{i:02},{i % 2}", 3), "x.csv names 25% of the images"),
        (lines("f", lambda i: f"{i:02}"), "it has no other column"),
    ],
)
def test_the_cause_is_named_where_a_table_shows_no_classes(
    deliver: Deliver, png: Png, table: str, message: str
) -> None:
    with pytest.raises(ConfigError, match="no two classes are told apart") as caught:
        draft_problem.draft(flat(deliver, png, table))
    assert message in str(caught.value)


def test_over_fifty_labels_and_a_spreadsheet_are_named(deliver: Deliver) -> None:
    images = {f"{n:03}.png": b"1" for n in range(110)}
    table = lines("f,dx", lambda n: f"{n:03},c{n % 52}", 110).encode()
    with pytest.raises(ConfigError, match=r"52 values, and over 50 classes") as caught:
        draft_problem.draft(deliver("in", images | {"x.csv": table, "labels.xlsx": b"PK"}))
    assert "labels.xlsx is no CSV and is not read: save it as CSV" in str(caught.value)


@pytest.mark.real
@needs_real("skin")
def test_real_skin_is_a_table_of_seven_classes_grouped_by_lesion() -> None:
    drafted = draft_problem.draft(Path(REAL) / "skin")
    expected = problem.load("skin7")
    assert drafted.problem.classes == expected.classes
    assert drafted.problem.groups.column == "lesion_id"
    assert (drafted.problem.layout.file, drafted.problem.layout.label) == ("image_id", "dx")
    assert drafted.problem.preprocess.mode == "RGB"


@pytest.mark.real
@needs_real("brain")
def test_real_brain_is_split_and_class_folders_without_patients() -> None:
    drafted = draft_problem.draft(Path(REAL) / "brain")
    assert drafted.problem.classes == problem.load("brain").classes
    assert drafted.problem.layout.splits == problem.load("brain").layout.splits
    assert drafted.problem.groups == problem.load("brain").groups
    assert drafted.problem.preprocess.mode == "L"
