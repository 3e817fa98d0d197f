"""A problem: one labelled question asked of a dataset. A TOML file, never code."""

import difflib
import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, get_origin

from neuro import limits as allowed
from neuro.errors import ConfigError, UnknownNameError
from neuro.images.dicom_header import IDENTIFIERS
from neuro.images.preprocess import PreprocessSpec

LAYOUTS = ("folders", "table")
NAMES = ("digest", "keep")
KEYS = ("name", "path", *IDENTIFIERS)
NO_TAG = "none"
MEAN, MOST = "mean", "most"  # rules by which images become the answer of a case
# By then a proof takes three times the groups that the first took, for 98 % of its error is spent.
TEST_LOOKS = 50
_VIEWS = {
    "rotate_deg": (0, 180),
    "scale": (0, 0.9),
    "shift": (0, 0.5),
    "crop": (0, 0.9),
    "gain": (0, 1),
    "gamma": (0, 4),
    "saturation": (0, 1),
    "hue_deg": (0, 180),
    "blur_px": (0, 1),
    "noise": (0, 1),
}
_BUILTIN = resources.files("neuro.problems") / "builtin"
_PLAIN_NAME = re.compile("[a-z0-9_]+")
_NAME_DIGEST = re.compile("name-[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a delivery lies on disk.

    kind "folders": the label is a folder's name, optionally below a split folder (``splits`` maps
    the folder to the given split). kind "table": one CSV names each file in its column ``file``,
    and its label, its given split (``splits`` maps the value) and metadata columns to keep. key:
    what ``file`` holds: a "name" with or without its ending, a "path" seen from the CSV, or an
    identifier of the DICOM header. ranges: lowest and highest value of a metadata column that holds
    numbers, [low, high]. names: what the lake keeps of a file's name, which may be a patient's: a
    "digest" of it, or "keep" for all of it. no_label: values of the label that mean that there is
    none, such as "nan".
    """

    kind: str = "folders"
    names: str = "digest"
    splits: Mapping[str, str] = field(default_factory=dict)
    table: str = ""
    file: str = ""
    key: str = "name"
    label: str = ""
    no_label: tuple[str, ...] = ()
    split: str = ""
    metadata: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        allowed.among(self, {"kind": LAYOUTS, "names": NAMES, "key": KEYS}, "layout.")
        if self.kind == "table" and not (self.table and self.file and self.label):
            raise ConfigError("layout.kind 'table' needs layout.table, layout.file, layout.label")
        for name, limits in self.ranges.items():
            if len(limits) != 2 or not all(isinstance(n, int | float) for n in limits):
                raise ConfigError(f"layout.ranges.{name} must be [low, high], got {limits}")
            if name not in self.metadata:
                raise ConfigError(f"layout.ranges.{name} is no column of layout.metadata")


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRule:
    """What joins images into one group, besides being twins.

    pattern: regular expression on the file name whose first group is the patient or lesion id.
    column: the table's column that holds it. tag: the DICOM identifier that is it, where the
    column is empty. The pattern goes before the column. None of them: the PatientID of a DICOM
    file; with tag "none" not even that. required: refuse a delivery in which an image has no such
    id.
    """

    pattern: str = ""
    column: str = ""
    tag: str = ""
    required: bool = False
    twin_cosine: float = 0.97

    def __post_init__(self) -> None:
        if not 0.5 < self.twin_cosine <= 1:
            raise ConfigError(f"groups.twin_cosine must be in (0.5, 1], got {self.twin_cosine}")
        if self.tag not in ("", NO_TAG, *IDENTIFIERS):
            known = (*IDENTIFIERS, NO_TAG)
            raise ConfigError(f"groups.tag must be one of {known}, got {self.tag!r}")
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ConfigError(f"groups.pattern {self.pattern!r}: {error}") from error
        if self.pattern and groups != 1:
            raise ConfigError(f"groups.pattern {self.pattern!r} needs exactly one (group)")
        if self.required and not (self.pattern or self.column):
            raise ConfigError("groups.required needs groups.pattern or groups.column")

    def id_of(self, name: str) -> str:
        """The patient or lesion that the name of a file tells, "" for none."""
        found = re.search(self.pattern, name.rpartition("/")[2]) if self.pattern else None
        return found.group(1) or "" if found else ""

    @property
    def is_patient_id(self) -> bool:
        """Whether the PatientID of a DICOM file is the group where nothing else names one."""
        return self.tag == "PatientID" or not (self.pattern or self.column or self.tag)


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Which random views keep the label: a chest has a left and a right, a skin lesion has not.

    mirror: left-right. flip: top-bottom. scale: larger or smaller by at most this share. shift:
    share of the side. crop: largest share of the side that a view leaves out. gain: share of
    brightness and contrast. gamma: 0.2 bends the range by powers of 1/1.2 to 1.2. saturation,
    hue_deg: of colour images. blur_px, noise: largest deviation, in px and as a share of the range;
    none unless asked for, so that a new scanner stays visible to the drift report.
    """

    mirror: bool = False
    flip: bool = False
    rotate_deg: float = 10.0
    scale: float = 0.1
    shift: float = 0.06
    crop: float = 0.0
    gain: float = 0.15
    gamma: float = 0.0
    saturation: float = 0.0
    hue_deg: float = 0.0
    blur_px: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        allowed.within(self, _VIEWS, "augment.")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseRule:
    """How the images of one group, a patient or a lesion, become one answer.

    rule: "mean" of what is said of them; "most": what is said of the image that shows most of
    ``finding``, a class, so that a case has it if one image has it; "" for no answer of cases.
    """

    rule: str = ""
    finding: str = ""

    def __post_init__(self) -> None:
        allowed.among(self, {"rule": ("", MEAN, MOST)}, "cases.")
        if bool(self.finding) != (self.rule == MOST):
            raise ConfigError('cases.finding names a class with cases.rule "most", and only then')


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One question: ``classes`` in order, and how each source label answers it.

    recall_floors: safety-critical classes and the recall each must have; a model is not promoted if
    its interval of it does not lie above, where enough groups are there to show that, or no test
    sample is of the class. test_looks: challengers that one test set may judge. population: whom
    the images show, and whom not. unanswered: what the draft of the problem asked; nothing is
    ingested until a person has removed each of these lines. keep_requests: whether the prediction
    service may keep the images that it is asked about.
    """

    name: str
    dataset: str
    classes: tuple[str, ...]
    labels: Mapping[str, str]
    intended_use: str
    licence: str
    citation: str
    population: str = ""
    layout: Layout = field(default_factory=Layout)
    groups: GroupRule = field(default_factory=GroupRule)
    preprocess: PreprocessSpec = field(default_factory=PreprocessSpec)
    augment: Augmentation = field(default_factory=Augmentation)
    cases: CaseRule = field(default_factory=CaseRule)
    recall_floors: Mapping[str, float] = field(default_factory=dict)
    test_looks: int = TEST_LOOKS
    unanswered: tuple[str, ...] = ()
    keep_requests: bool = False

    def __post_init__(self) -> None:
        if not _PLAIN_NAME.fullmatch(self.name):
            raise ConfigError(f"name must be lower-case letters, digits and _, got {self.name!r}")
        if not _PLAIN_NAME.fullmatch(self.dataset):
            raise ConfigError(f"dataset must be lower-case, digits and _, got {self.dataset!r}")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise ConfigError(f"classes must be two or more distinct names, got {self.classes}")
        if blank := [name for name in self.classes if not name.strip()]:
            raise ConfigError(f"classes must be names that can be seen, got {blank[0]!r}")
        unknown = {*self.labels.values(), *self.recall_floors} - set(self.classes)
        if unknown:
            raise ConfigError(f"labels or recall_floors name no class of {self.name}: {unknown}")
        for name, floor in self.recall_floors.items():
            if not isinstance(floor, int | float) or not 0 <= floor <= 1:
                raise ConfigError(f"recall_floors.{name} must be a number 0 to 1, got {floor!r}")
        if type(self.test_looks) is not int or self.test_looks < 1:
            raise ConfigError(f"test_looks must be a number from 1 up, got {self.test_looks!r}")
        if both := set(self.layout.no_label) & set(self.labels):
            raise ConfigError(f"layout.no_label and labels both name {sorted(both)}; remove one")
        if missing := set(self.classes) - set(self.labels.values()):
            raise ConfigError(f"labels: no source label leads to {missing} in problem {self.name}")
        self._check_answering()

    def _check_answering(self) -> None:
        if self.cases.finding and self.cases.finding not in self.classes:
            raise ConfigError(f"cases.finding must be a class, got {self.cases.finding!r}")
        if type(self.keep_requests) is not bool:
            raise ConfigError(f"keep_requests must be true or false, got {self.keep_requests!r}")

    @property
    def about(self) -> dict[str, str]:
        """What a passport says of the data's terms and limits."""
        return {
            "licence": self.licence,
            "citation": self.citation,
            "intended_use": self.intended_use,
            "population": self.population,
        }

    def require_answered(self) -> None:
        """Raise ConfigError while questions of its draft are open."""
        if self.unanswered:
            questions = "".join(f"\n- {question}" for question in self.unanswered)
            raise ConfigError(
                f"problem {self.name} asks what no program can tell, and nothing is ingested until "
                f"it is answered:{questions}\nCorrect the problem file where it is wrong, and "
                "remove each answered line from its list `unanswered`"
            )

    def class_of(self, source_label: str) -> str:
        """The class of a source label; "" for no label or one this problem leaves out."""
        return self.labels.get(source_label, "")

    def source_label(self, text: str) -> str:
        """The source label that a folder or cell holds, compared in NFC; "" if unknown."""
        if text in self.labels:
            return text
        plain = unicodedata.normalize("NFC", text)
        same = (name for name in self.labels if unicodedata.normalize("NFC", name) == plain)
        return next(same, "")

    def kept_name(self, name: str) -> str:
        """What the lake keeps of a file's name."""
        is_known = self.layout.names == "keep" or _NAME_DIGEST.fullmatch(name)
        return name if is_known else self.name_digest(name)

    def name_digest(self, name: str) -> str:
        """What stands for a file's name, here and wherever a person gives it."""
        return f"name-{hashlib.sha256(f'{self.dataset}/{name}'.encode()).hexdigest()[:32]}"


_TABLES: Mapping[str, type[Any]] = {
    "layout": Layout,
    "groups": GroupRule,
    "preprocess": PreprocessSpec,
    "augment": Augmentation,
    "cases": CaseRule,
}


def builtin_names() -> list[str]:
    """Names of the problems that come with neuro, sorted."""
    names = [entry.name for entry in _BUILTIN.iterdir()]
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load(name_or_file: str) -> Problem:
    """Read a built-in problem by name, or any other from its TOML file.

    Of a file in the current folder that is called after its problem the name will do.
    """
    names = builtin_names()
    path = _file_of(name_or_file)
    if path.suffix == ".toml":
        found = parse(allowed.text_of(path, f"problem file {path}"), where=str(path))
        if path != Path(name_or_file) and found.name != name_or_file:
            raise ConfigError(
                f"{path} in this folder holds problem {found.name}, not {name_or_file}; rename "
                f"one of them, or give --problem {path}"
            )
        return found
    if name_or_file not in names:
        near = difflib.get_close_matches(name_or_file, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownNameError(
            f"no problem {name_or_file!r}: {hint}Built in: {', '.join(names)}; or give the path of "
            "a .toml file"
        )
    return parse((_BUILTIN / f"{name_or_file}.toml").read_text("utf-8"), where=name_or_file)


def reference(name_or_file: str) -> str:
    """What names the problem from any folder: a built-in name, or a file's absolute path."""
    path = _file_of(name_or_file)
    return str(path.resolve()) if path.suffix == ".toml" else name_or_file


def _file_of(name_or_file: str) -> Path:
    """The file that is meant, or the name of a built-in problem."""
    here = Path(f"{name_or_file}.toml")
    is_name = _PLAIN_NAME.fullmatch(name_or_file) and name_or_file not in builtin_names()
    return here if is_name and here.is_file() else Path(name_or_file)


def parse(text: str, *, where: str) -> Problem:
    """Build a problem from TOML text; ``where`` names it in errors."""
    try:
        facts = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # too long a number, too deep a list
        raise ConfigError(f"problem {where} is not valid TOML: {error}") from error
    if isinstance(facts.get("classes"), list):  # without a table of labels, they are the classes
        facts.setdefault("labels", {str(name): name for name in facts["classes"]})
    for name, kind in _TABLES.items():
        if name in facts:
            facts[name] = _build(kind, facts[name], f"{where}, [{name}]")
    problem: Problem = _build(Problem, facts, where)
    return problem


def _build(kind: type[Any], values: Any, where: str) -> Any:
    """One of the dataclasses from a table of the file, with errors that name the table."""
    if not isinstance(values, dict):
        raise ConfigError(f"problem {where}: expected a table, got {values!r}")
    known = {entry.name for entry in fields(kind)}
    if unknown := set(values) - known:
        raise ConfigError(
            f"problem {where}: unknown {sorted(unknown)}; known fields are {sorted(known)}"
        )
    for entry in fields(kind):
        if entry.name in values:
            _check_shape(entry.type, values[entry.name], f"problem {where}: {entry.name}")
    if missing := [e.name for e in fields(kind) if _is_required(e) and e.name not in values]:
        raise ConfigError(
            f"problem {where}: it has no {', '.join(missing)}; add a line for each, such as "
            f"{missing[0]} = ... (see `neuro problem init` and docs/problems.md)"
        )
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except (TypeError, AttributeError, ConfigError) as error:  # a value of another type
        raise ConfigError(f"problem {where}: {error}") from error


def _is_required(entry: Field[Any]) -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


def _check_shape(kind: Any, value: Any, where: str) -> None:
    """Refuse what is no list of names, or no table, where the field's type says so."""
    if get_origin(kind) is Mapping and not isinstance(value, dict):
        raise ConfigError(f"{where} must be a table, got {value!r}")
    is_names = isinstance(value, list) and all(isinstance(name, str) for name in value)
    if get_origin(kind) is tuple and not is_names:
        raise ConfigError(f"{where} must be a list of names, got {value!r}")
