import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pytest

from neuro.errors import ConfigError
from neuro.ingest import delivery, sources
from neuro.ingest.delivery import Delivery, Item
from neuro.problems import problem

Deliver = Callable[..., Path]
Dicom = Callable[..., bytes]

TABLE = (
    "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
    "HAM_0000118,ISIC_0027419,bkl,histo,80.0,male,scalp\n"
    "HAM_0001396,ISIC_0031633,mel,histo,,female,back\n"
)


def items(folder: Path, name: str) -> Mapping[str, Item]:
    read = delivery.read(folder, problem.load(name)).items
    return {item.source_name: item for item in read}


def test_a_class_folder_is_the_label(deliver: Deliver) -> None:
    read = items(deliver("in", {"glioma/a.jpg": b"1", "notumor/b.jpg": b"2"}), "brain")
    assert {name: item.label for name, item in read.items()} == {
        "glioma/a.jpg": "glioma",
        "notumor/b.jpg": "notumor",
    }
    assert {item.given_split for item in read.values()} == {""}
    assert read["glioma/a.jpg"].path.read_bytes() == b"1"


@pytest.mark.parametrize("name", ["Testing/glioma/a.jpg", "glioma/Testing/a.jpg"])
def test_a_split_folder_is_the_given_split_above_or_below_the_class(
    deliver: Deliver, name: str
) -> None:
    (item,) = items(deliver("in", {name: b"1"}), "brain").values()
    assert (item.label, item.given_split) == ("glioma", "test")


def test_a_flat_delivery_has_no_labels(deliver: Deliver) -> None:
    read = items(deliver("in", {"a.jpg": b"1", "b.jpg": b"2"}), "brain")
    assert [(i.label, i.given_split, i.group_key) for i in read.values()] == [("", "", "")] * 2


def test_an_alias_folder_stays_the_source_label(deliver: Deliver) -> None:
    (item,) = items(deliver("in", {"Non-Cancer/a.jpg": b"1"}), "brain_tumor").values()
    assert item.label == "Non-Cancer"


def test_an_unknown_class_folder_is_named_with_those_that_are_known(
    deliver: Deliver,
) -> None:
    folder = deliver("in", {"gliom/a.jpg": b"1"})
    with pytest.raises(ConfigError, match=r"'gliom'.*glioma, meningioma, notumor, pituitary"):
        delivery.read(folder, problem.load("brain"))


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        delivery.read(tmp_path / "gone", problem.load("brain"))


def test_a_file_in_the_place_of_a_folder_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "in.zip").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"in\.zip is no folder; .*unpack an archive first"):
        delivery.read(tmp_path / "in.zip", problem.load("brain"))


@pytest.mark.parametrize("part", ["a.png", "a", "Thumbs.db"])
def test_what_decodes_or_is_named_like_an_image_is_one(
    deliver: Deliver, png: Callable[[int], bytes], part: str
) -> None:
    folder = deliver("in", {f"glioma/{part}": png(0), "glioma/b.png": b"broken"})
    assert list(items(folder, "brain")) == sorted([f"glioma/{part}", "glioma/b.png"])


def test_stray_files_stand_in_no_folder_that_must_be_a_class(deliver: Deliver) -> None:
    stray = ["docs/readme.pdf", "docs/sub/x.xml", "Thumbs.db", "y/desktop.ini", "README"]
    folder = deliver("in", dict.fromkeys(stray, b"1") | {"glioma/c.jpg": b"2"})
    read = delivery.read(folder, problem.load("brain"))
    assert [item.source_name for item in read.items] == ["glioma/c.jpg"]
    assert {one.name: one.reason for one in read.skipped} == dict.fromkeys(stray, "no image")


def test_one_file_that_is_alone_in_an_archive_keeps_its_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("x.7z", b"1")
    with sources.opened(str(tmp_path / "in.zip"), tmp_path / "scratch") as listing:
        (one,) = delivery.read(listing, problem.load("brain")).skipped
    assert (one.name, one.reason) == ("x.7z", "archive inside")


def test_a_table_behind_a_link_that_is_not_followed_is_named(
    deliver: Deliver, tmp_path: Path
) -> None:
    folder = deliver("in", {"ISIC_0027419.jpg": b"1"})
    (tmp_path / "table.csv").write_text(TABLE)
    (folder / "HAM10000_metadata.csv").symlink_to(tmp_path / "table.csv")
    with pytest.raises(ConfigError, match=r"'HAM10000_metadata\.csv' .* link out of the source"):
        delivery.read(folder, problem.load("skin"))


def test_hidden_files_and_sidecars_are_no_items(deliver: Deliver) -> None:
    skipped = [".DS_Store", ".cache/a.jpg", "glioma/.b.jpg", "labels.csv", "LICENSE.TXT", "a.json"]
    folder = deliver("in", dict.fromkeys(skipped, b"1") | {"glioma/c.jpg": b"2"})
    assert list(items(folder, "brain")) == ["glioma/c.jpg"]


def test_a_delivery_below_a_hidden_folder_is_read(deliver: Deliver) -> None:
    folder = deliver(".inbox/in", {"glioma/a.jpg": b"1"})
    assert list(items(folder, "brain")) == ["glioma/a.jpg"]


def test_a_table_gives_label_group_and_metadata(deliver: Deliver) -> None:
    folder = deliver(
        "in",
        {"HAM10000_metadata.csv": TABLE.encode("utf-8-sig"), "part_1/ISIC_0027419.jpg": b"1"},
    )
    (item,) = items(folder, "skin").values()
    assert item.source_name == "part_1/ISIC_0027419.jpg"
    assert item.label == "bkl"
    assert item.group_key == hashlib.sha256(b"skin/HAM_0000118").hexdigest()
    assert json.loads(item.metadata) == {
        "age": "80.0",
        "sex": "male",
        "localization": "scalp",
        "dx_type": "histo",
    }


def test_a_file_the_table_does_not_name_has_no_label_and_is_counted(deliver: Deliver) -> None:
    files = {"ISIC_0027419.jpg": b"1", "ISIC_1.jpg": b"2"}
    folder = deliver("in", {"HAM10000_metadata.csv": TABLE.encode(), **files})
    read = delivery.read(folder, problem.load("skin"))
    item = read.items[1]
    assert (item.label, item.group_key, item.metadata) == ("", "", "{}")
    (remark,) = read.remarks
    assert remark == (
        "images that HAM10000_metadata.csv does not name, and so without a label: 1 of 2; "
        "names in it that belong to no image here: 1"
    )


def test_a_missing_table_is_named(deliver: Deliver) -> None:
    with pytest.raises(ConfigError, match=r"needs the table HAM10000_metadata\.csv"):
        items(deliver("in", {"ISIC_0027419.jpg": b"1"}), "skin")


def test_a_missing_column_is_named(deliver: Deliver) -> None:
    table = TABLE.replace("lesion_id", "lesion")
    with pytest.raises(ConfigError, match=r"no column \['lesion_id'\]"):
        items(deliver("in", {"HAM10000_metadata.csv": table.encode()}), "skin")


def test_an_unknown_label_in_the_table_is_named(deliver: Deliver) -> None:
    table = TABLE.replace("mel", "melanoma")
    with pytest.raises(ConfigError, match=r"'dx'.*\['melanoma'\]"):
        items(deliver("in", {"HAM10000_metadata.csv": table.encode()}), "skin")


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("PNEUMONIA/person123_bacteria_45.jpeg", "person123"),
        ("PNEUMONIA/person123_virus_1.jpeg", "person123"),
        ("NORMAL/NORMAL2-IM-0001-0001.jpeg", "NORMAL2-IM-0001"),
        ("NORMAL/IM-0115-0001.jpeg", "IM-0115"),
    ],
)
def test_a_patient_in_the_file_name_becomes_a_digest(
    deliver: Deliver, name: str, patient: str
) -> None:
    (item,) = items(deliver("in", {name: b"1"}), "chest").values()
    assert item.group_key == hashlib.sha256(f"chest/{patient}".encode()).hexdigest()


def test_a_name_without_a_patient_has_no_group(deliver: Deliver) -> None:
    (item,) = items(deliver("in", {"NORMAL/scan7.jpeg": b"1"}), "chest").values()
    assert item.group_key == ""


def test_the_same_patient_id_of_two_datasets_is_two_groups(deliver: Deliver) -> None:
    folder = deliver("in", {"NORMAL/IM-0115-0001.jpeg": b"1"})
    chest = problem.load("chest")
    here = delivery.read(folder, chest).items[0].group_key
    assert here != delivery.read(folder, replace(chest, dataset="other")).items[0].group_key


def test_a_note_says_where_a_delivery_comes_from(deliver: Deliver) -> None:
    folder = deliver("in", {"a.jpg": b"1"})
    before = delivery.read(folder, problem.load("brain"))
    assert (before.source, before.is_synthetic) == ("folder", False)
    delivery.write_note(folder, source='phantoms "1"', is_synthetic=True)
    read = delivery.read(folder, problem.load("brain"))
    assert (read.source, read.is_synthetic, len(read.items)) == ('phantoms "1"', True, 1)


def test_a_note_that_is_no_toml_is_named(deliver: Deliver) -> None:
    folder = deliver("in", {"delivery.toml": b"source ="})
    with pytest.raises(ConfigError, match=r"delivery\.toml is not valid TOML"):
        delivery.read(folder, problem.load("brain"))


PATHS = """
name = "wrist"
dataset = "wrist"
classes = ["fracture", "normal"]
intended_use = "tests"
licence = "none"
citation = "none"
[layout]
kind = "table"
table = "lists/all.csv"
file = "image"
key = "path"
label = "finding"
split = "fold"
splits = {1 = "train", 2 = "test"}
[groups]
column = "patient"
"""


def paths_table(*lines: str) -> bytes:
    return "\n".join(["image,finding,fold,patient", *lines]).encode()


def test_a_table_of_paths_gives_label_split_and_group(deliver: Deliver) -> None:
    table = paths_table("a/x.png,fracture,1,P1", "./b\\x.png,normal,2,P2")
    folder = deliver("in", {"lists/all.csv": table, "lists/a/x.png": b"1", "lists/b/x.png": b"2"})
    read = delivery.read(folder, problem.parse(PATHS, where="wrist")).items
    assert [(i.source_name, i.label, i.given_split) for i in read] == [
        ("lists/a/x.png", "fracture", "train"),
        ("lists/b/x.png", "normal", "test"),
    ]
    assert read[0].group_key == hashlib.sha256(b"wrist/P1").hexdigest()


@pytest.mark.parametrize("path", ["../../x.png", "/x.png", "a/../../../x.png", "C:/x.png", "../.."])
def test_a_path_that_leaves_the_delivery_is_named_by_its_line(deliver: Deliver, path: str) -> None:
    table = paths_table("a/x.png,fracture,1,P1", f"{path},normal,2,P2")
    folder = deliver("in", {"lists/all.csv": table})
    with pytest.raises(
        ConfigError, match=r"all\.csv, line 3: the path (leaves|is absolute)"
    ) as caught:
        delivery.read(folder, problem.parse(PATHS, where="wrist"))
    assert "P2" not in str(caught.value)


def test_a_colon_in_a_name_makes_no_path_absolute(deliver: Deliver) -> None:
    folder = deliver(
        "in",
        {
            "lists/all.csv": paths_table("axial:01.png,fracture,1,P1"),
            "lists/axial:01.png": b"\x89PNG\r\n",
        },
    )
    (item,) = delivery.read(folder, problem.parse(PATHS, where="wrist")).items
    assert item.label == "fracture"


def test_an_unknown_split_in_the_table_is_named(deliver: Deliver) -> None:
    folder = deliver("in", {"lists/all.csv": paths_table("a/x.png,fracture,3,P1")})
    with pytest.raises(ConfigError, match=r"'fold'.*splits unknown to problem wrist: \['3'\]"):
        delivery.read(folder, problem.parse(PATHS, where="wrist"))


def test_a_table_that_says_two_things_of_one_file_names_the_lines(deliver: Deliver) -> None:
    same = "a/x.png,fracture,1,P1"
    table = paths_table(same, same, "a/x.png,normal,1,P1")
    with pytest.raises(ConfigError, match="says two things of one file, in lines 2 and 4"):
        delivery.read(deliver("in", {"lists/all.csv": table}), problem.parse(PATHS, where="wrist"))


def test_two_files_that_one_name_may_mean_are_refused(deliver: Deliver) -> None:
    files = {"HAM10000_metadata.csv": TABLE.encode(), "p1/ISIC_0027419.jpg": b"1"}
    folder = deliver("in", files | {"p2/ISIC_0027419.jpg": b"2"})
    with pytest.raises(ConfigError, match=r"'p1/ISIC_0027419\.jpg' and 'p2.*layout\.key"):
        items(folder, "skin")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.encode("utf-16"), "cannot be read: .* UTF-8"),
        (TABLE.replace("scalp", '"scalp').encode(), "cannot be read"),
        (TABLE.replace("dx_type", "dx").encode(), "has the column 'dx' twice"),
        (TABLE.replace(",", ";").encode(), "separated by semicolons; save it as CSV with commas"),
        (b"", "is empty"),
    ],
    ids=["another encoding", "an open quote", "a column twice", "semicolons", "empty"],
)
def test_a_table_that_cannot_be_read_names_the_remedy(
    deliver: Deliver, table: bytes, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        items(deliver("in", {"HAM10000_metadata.csv": table}), "skin")


DICOM = """
name = "ct"
dataset = "ct"
classes = ["clear", "nodule"]
intended_use = "tests"
licence = "none"
citation = "none"
[layout]
kind = "table"
table = "labels.csv"
file = "id"
key = "KEY"
label = "finding"
[groups]
tag = "PatientID"
"""


@pytest.mark.parametrize("key", ["SOPInstanceUID", "PatientID", "name"])
def test_a_dicom_tree_is_labelled_by_identifier_or_name(
    deliver: Deliver, dicom: Dicom, key: str
) -> None:
    files = {
        "DICOMDIR": b"index",
        "P1/S1/I1": dicom(SOPInstanceUID="1.2.1", PatientID="P1"),
        "P2/S1/I2": dicom(SOPInstanceUID="1.2.2", PatientID="P2"),
        "P2/S1/I3": dicom(SOPInstanceUID="1.2.3", PatientID="P2"),
    }
    ids = {
        "SOPInstanceUID": ["1.2.1", "1.2.2", "1.2.3"],
        "PatientID": ["P1", "P2", "P2"],
        "name": ["I1", "I2", "I3"],
    }[key]
    lines = [f"{i},{label}" for i, label in zip(ids, ["clear", "nodule", "nodule"], strict=True)]
    folder = deliver("in", {**files, "labels.csv": "\n".join(["id,finding", *lines]).encode()})
    read = delivery.read(folder, problem.parse(DICOM.replace("KEY", key), where="ct")).items
    assert [i.label for i in read] == ["clear", "nodule", "nodule"]
    patients = [hashlib.sha256(f"ct/{p}".encode()).hexdigest() for p in ("P1", "P2", "P2")]
    assert [i.group_key for i in read] == patients


def test_a_patient_in_the_header_groups_class_folders_too(deliver: Deliver, dicom: Dicom) -> None:
    folder = deliver("in", {"NORMAL/a.dcm": dicom(PatientID="P7"), "NORMAL/b.jpeg": b"no dicom"})
    chest = problem.load("chest")
    asked = replace(chest, groups=replace(chest.groups, tag="PatientID"))
    keys = [item.group_key for item in delivery.read(folder, asked).items]
    assert keys == [hashlib.sha256(b"chest/P7").hexdigest(), ""]


NAMES = """
name = "wrist"
dataset = "wrist"
classes = ["Mélanome", "nævus"]
intended_use = "tests"
licence = "none"
citation = "none"
[layout]
kind = "table"
table = "labels.csv"
file = "file"
label = "label"
"""


def with_table(
    deliver: Deliver, lines: str | bytes, names: list[str], key: str = "name"
) -> Delivery:
    """Read these files beside a table of file and label."""
    raw = lines.encode() if isinstance(lines, str) else lines
    files = {name: b"\x89PNG\r\n" + str(n).encode() for n, name in enumerate(names)}
    asked = problem.parse(NAMES + f'key = "{key}"', where="wrist")
    return delivery.read(deliver("in", files | {"labels.csv": raw}), asked)


@pytest.mark.parametrize(
    ("named", "file", "key", "difference"),
    [
        ("a.jpg", "a.JPG", "name", "upper and lower case"),
        ("IMG_1", "img_1.png", "name", "upper and lower case"),
        ("X/a.JPG", "x/A.jpg", "path", "upper and lower case"),
        ("a.dcm", "a.png", "name", "the ending"),
        ("scan.nii.gz", "scan", "name", "the ending"),
        ("x/a", "x/a.tiff", "path", "the ending"),
        ("1", "00001.png", "name", "leading zeros"),
        ("7.0", "007.png", "name", "leading zeros"),
        ("0012.PNG", "12.png", "name", "leading zeros"),
        ("x/7.png", "x/007.png", "path", "leading zeros"),
        (normalize("NFC", "Müller.png"), normalize("NFD", "Müller.png"), "name", ""),
        (normalize("NFD", "é/1.png"), normalize("NFC", "é/1.png"), "path", ""),
    ],
)
def test_a_name_written_another_way_is_matched_and_said(
    deliver: Deliver, named: str, file: str, key: str, difference: str
) -> None:
    read = with_table(deliver, f"file,label\n{named},nævus\nother,Mélanome\n", [file], key)
    assert [item.label for item in read.items] == ["nævus"]
    expected = [f"images that labels.csv names with another spelling ({difference}): 1"]
    said = [remark.partition(";")[0] for remark in read.remarks]
    assert said == (expected if difference else [])


def test_an_exact_name_goes_before_a_like_one(deliver: Deliver) -> None:
    table = "file,label\na.jpg,nævus\nA.jpg,Mélanome\n1,nævus\n01,Mélanome\n"
    read = with_table(deliver, table, ["a.jpg", "A.jpg", "1.png", "01.png"])
    labels = {item.source_name: item.label for item in read.items}
    assert labels == {"a.jpg": "nævus", "A.jpg": "Mélanome", "1.png": "nævus", "01.png": "Mélanome"}
    assert read.remarks == ()


@pytest.mark.parametrize(
    ("table", "names", "message"),
    [
        ("file,label\nA.jpg,nævus\n", ["a.jpg", "a.JPG"], "one file where there are two"),
        ("file,label\n001,nævus\n", ["1.png", "01.png"], "one file where there are two"),
        ("file,label\n01,nævus\n001,Mélanome\n", ["1.png"], "two lines .* leading zeros"),
        ("file,label\nA.JPG,nævus\na.jpg,Mélanome\n", ["a.Jpg"], "two lines .* lower case"),
    ],
)
def test_a_name_that_may_mean_two_is_refused(
    deliver: Deliver, table: str, names: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        with_table(deliver, table, names)


def test_a_table_that_names_none_of_the_images_is_refused(deliver: Deliver) -> None:
    with pytest.raises(ConfigError, match=r"none of the 2 images.*'file'.*layout\.key"):
        with_table(deliver, "file,label\nx7,nævus\nx8,Mélanome\n", ["a.png", "b.png"])


def test_a_label_and_a_class_folder_are_compared_in_nfc(deliver: Deliver) -> None:
    asked = problem.parse(NAMES.partition("[layout]")[0], where="wrist")
    folder = deliver("folders", {normalize("NFD", "Mélanome/a.png"): b"1"})
    assert [item.label for item in delivery.read(folder, asked).items] == ["Mélanome"]
    read = with_table(deliver, f"file,label\na,{normalize('NFD', 'Mélanome')}\n", ["a.png"])
    assert [item.label for item in read.items] == ["Mélanome"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,label\na,nævus\nb,nævus, in situ\nc,x, y\n", "not the 2 cells of line 1: 3, 4"),
        ("file,who,label\na,x,nævus\nb\nc,x\n", "not the 3 cells of line 1: 3, 4"),
        ("file,label\n" + "a,b,c\n" * 20, "2, 3, 4, 5, 6, 7, 8, 9 and 12 more"),
        ("\n\nfile,label\na,nævus\n\nb\n", "not the 2 cells of line 3: 6"),
        ("file,label\na,nævus\nfile,label\nb,nævus\n", "repeat the column names of line 1: 3"),
        ("file,label\n,nævus\nb,nævus\n", "name no file in column 'file': 2"),
        ("file,label,label\na,nævus,nævus\n", "the column 'label' twice"),
        ("a.png,nævus\nb.png,nævus\n", "no column names: its line 1 holds data"),
        ("i1,nævus\ni2,nævus\ni3,nævus\ni4,Mélanome\n", "no column names: its line 1"),
        ("1,nævus\n2,nævus\n3,nævus\n4,Mélanome\n", "no column names: its line 1"),
        ("file;label\na;nævus\n", "separated by semicolons; save it as CSV with commas"),
        ("sep=;\nfile;label\na;nævus\n", "separated by semicolons"),
        ("file\tlabel\na\tnævus\n", "separated by tabs"),
        ('file,label\na,nævus\nb,"nævus\n', "cannot be read \\(line 3"),
        ("", "is empty"),
        ("\n , \n", "is empty"),
        ("file,label\na,nævus\n".encode("utf-16"), "is UTF-16, not UTF-8"),
        ("file,label\na,nævus\n".encode("utf-16-le"), "is UTF-16, not UTF-8"),
        ("file,label\na,x\nb,nævus\n".encode("latin-1"), "line 3 is not UTF-8 .*Latin-1"),
        (b"file,label\n" + b"x" * 90 + b"\0,y\n", "zero bytes"),
    ],
)
def test_broken_lines_of_a_table_are_refused_with_their_numbers(
    deliver: Deliver, table: str | bytes, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        with_table(deliver, table, ["a.png", "b.png"])


@pytest.mark.parametrize(
    "table",
    [
        "\ufefffile,label\r\na,nævus\r\n\r\n",
        "file,label\na,nævus,,\n",
        "file,label,,\na,nævus,,\n , \n",
        ",file,label\n0,a,nævus\n",
        'file,label\n"a","nævus"\n',
    ],
    ids=["BOM and CRLF", "commas after", "empty columns", "an index", "quotes"],
)
def test_what_loses_nothing_is_read(deliver: Deliver, table: str) -> None:
    read = with_table(deliver, table, ["a.png"])
    assert [(item.label, read.remarks) for item in read.items] == [("nævus", ())]


@pytest.mark.parametrize("nobody", ["", "nan", "NaN", "N/A", "none", "-"])
def test_an_id_that_is_none_joins_no_images(deliver: Deliver, nobody: str) -> None:
    table = f"file,label,patient\na,nævus,{nobody}\nb,nævus,{nobody}\nc,nævus,P1\n"
    files = {"a.png": b"1", "b.png": b"2", "c.png": b"3", "labels.csv": table.encode()}
    asked = problem.parse(NAMES + '[groups]\ncolumn = "patient"', where="wrist")
    keys = [item.group_key for item in delivery.read(deliver("in", files), asked).items]
    assert keys == ["", "", hashlib.sha256(b"wrist/P1").hexdigest()]


def test_a_value_that_means_no_label_is_none(deliver: Deliver) -> None:
    table = b"file,label\na.png,n\xc3\xa6vus\nb.png,NA\n"
    folder = deliver("in", {"a.png": b"1", "b.png": b"2", "labels.csv": table})
    with pytest.raises(ConfigError, match=r"\['NA'\].*layout\.no_label those that mean none"):
        delivery.read(folder, problem.parse(NAMES, where="wrist"))
    asked = problem.parse(NAMES + 'no_label = ["NA"]', where="wrist")
    assert [item.label for item in delivery.read(folder, asked).items] == ["nævus", ""]


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000, "a = ["])
def test_a_note_that_no_reader_bears_is_one_message(deliver: Deliver, text: str) -> None:
    folder = deliver("in", {"nævus/1.png": b"\x89PNG\r\n", "delivery.toml": text.encode()})
    with pytest.raises(ConfigError, match=r"delivery\.toml is not valid TOML"):
        delivery.read(folder, problem.load("brain"))
