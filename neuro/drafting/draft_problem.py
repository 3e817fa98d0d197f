"""Draft the problem file of a user's own folder, and say what no program can know of it."""

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from neuro import limits
from neuro.drafting import infer_layout
from neuro.drafting.infer_layout import Shape
from neuro.errors import ConfigError
from neuro.images import dicom_header, sandbox
from neuro.images.preprocess import PreprocessSpec
from neuro.images.sanitize import CleanImage
from neuro.ingest import delivery, file_kinds, folder_walk, sources
from neuro.ingest.delivery import Delivery
from neuro.ingest.sources import Listing, SourceFile
from neuro.problems import problem
from neuro.problems.problem import Layout, Problem

_LOOKED_AT = 48
_SHOWN = ("Rows", "Columns", "PhotometricInterpretation")
_GREY_LEVELS = 2.0  # mean difference between channels that JPEG leaves in a grey picture
_TERMS, _NOT_STATED = ("intended_use", "licence", "citation"), "not stated"
_ALWAYS_OPEN = (
    "intended_use: who asks this question, of which images, and for what",
    "licence and citation of the images",
    "which class is safety-critical, and its recall_floors: a model is not promoted unless "
    "its interval of that recall lies above it, where the test set is large enough to show that",
    "groups.twin_cosine: 0.97 is the default; raise it where pictures are alike by nature",
    "augment: whether left and right, or top and bottom, may be exchanged",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A problem that reads the folder it was drafted from. inferred: what, and from what.

    not_inferred: what a person should look at; the problem's ``unanswered`` are among them.
    """

    text: str
    problem: Problem
    inferred: Mapping[str, str]
    not_inferred: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """A sample of the pixels. sizes: (n, 2) width and height; n_grey: how many of them are grey."""

    sizes: np.ndarray
    n_grey: int


def draft(folder: Path, follow: Sequence[str] = ()) -> Draft:
    """Look at a folder, write its problem, and read the folder with it.

    follow: folders outside it that links may lead to. Raises ConfigError if there is no image, or
    no two classes are told apart.
    """
    listing = sources.whole_folder(folder, follow)
    _refuse_lost_classes(listing)
    files = listing.files
    images, others = file_kinds.sort_files(files)
    if not images:
        raise file_kinds.no_images(folder, (*listing.skipped, *others))
    shape = infer_layout.guess(files, images)
    look = _look(images)
    spec = _preprocess(look)
    name = _name(folder)
    questions = tuple(_one_line(question) for question in shape.questions)
    open_points = (*_ALWAYS_OPEN, *questions, *_open_points(shape, look))
    text = _text(name, shape, spec, open_points)
    question = problem.parse(text, where=f"drafted from {folder}")
    read = delivery.read(listing, replace(question, unanswered=()))
    return Draft(
        text=text,
        problem=question,
        inferred=_inferred(shape, spec, look, read),
        not_inferred=open_points,
    )


def _refuse_lost_classes(listing: Listing) -> None:
    """A link to nothing that is called like a folder may be a class whose disk is not there."""
    for link in listing.skipped:
        if link.reason == folder_walk.BROKEN and not PurePosixPath(link.name).suffix:
            raise ConfigError(
                f"link {link.name!r} in {listing.where} leads to nothing and may be a class: "
                "mount what it leads to and name that with --follow, or take the link out"
            )


def write(drafted: Draft, path: Path) -> None:
    """Write the file. Raises ConfigError if there is one of that name, or no such folder."""
    with limits.writing(path), path.open("x", encoding="utf-8") as stream:
        stream.write(drafted.text)


def _name(folder: Path) -> str:
    """The folder's name as a problem's; never that of a built-in problem or dataset."""
    name = re.sub("[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_") or "own"
    return f"{name}_own" if name in problem.builtin_names() else name


def _look(images: Sequence[SourceFile]) -> _Look:
    """Vet a sample in limited children, and look at the pixels of what is let in."""
    sample = images[:: max(1, len(images) // _LOOKED_AT)][:_LOOKED_AT]
    sizes, n_grey = [], 0
    results = sandbox.check_files([found.path for found in sample], sandbox.VetConfig())
    for found, result in zip(sample, results, strict=True):
        if isinstance(result, CleanImage):
            sizes.append((result.width, result.height))
            n_grey += _is_grey(result.stored)
            continue
        header = dicom_header.read(found.path, _SHOWN)  # of a file that is not let in
        width, height = header.get("Columns", ""), header.get("Rows", "")
        if width.isdecimal() and height.isdecimal():
            sizes.append((int(width), int(height)))
            n_grey += header.get("PhotometricInterpretation", "").startswith("MONOCHROME")
    return _Look(sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2), n_grey=n_grey)


def _is_grey(stored: bytes) -> bool:
    with Image.open(io.BytesIO(stored), formats=("PNG", "JPEG")) as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    return bool(np.ptp(pixels, axis=2).mean() < _GREY_LEVELS)


def _preprocess(look: _Look) -> PreprocessSpec:
    if not len(look.sizes):
        return PreprocessSpec()
    side = int(np.median(look.sizes.min(axis=1)))
    aspect = look.sizes[:, 0] / np.maximum(look.sizes[:, 1], 1)
    is_square = bool(np.all((aspect > 0.9) & (aspect < 1.1)))
    return PreprocessSpec(
        mode="L" if look.n_grey >= 0.95 * len(look.sizes) else "RGB",
        size_px=min(PreprocessSpec().size_px, max(32, side // 16 * 16)),
        fit="stretch" if is_square else "pad",
    )


def _open_points(shape: Shape, look: _Look) -> list[str]:
    points = list(shape.open_points)
    if not (shape.column or shape.tag or shape.pattern):
        points.append(
            "groups: neither a column nor the file names show which images belong to one patient; "
            "only twins are joined, and a score may be too good"
        )
    if shape.pattern:
        points.append(f"groups: whether {shape.pattern} finds the patient in a file name")
    if shape.ids_are_numbers:
        points.append("whether the numbers that group images are patients or only numbers")
    if shape.layout.splits:
        points.append("whether the given splits keep patients apart: the passport will tell")
    if not len(look.sizes):
        points.append("preprocess: no image of the sample could be read, so it is the default")
    return points


def _inferred(shape: Shape, spec: PreprocessSpec, look: _Look, read: Delivery) -> dict[str, str]:
    layout, n = shape.layout, len(read.items)
    n_labelled = sum(bool(item.label) for item in read.items)
    keys = [item.group_key for item in read.items if item.group_key]
    rule = {"column": shape.column, "DICOM tag": shape.tag, "pattern": shape.pattern}
    source = next((f"{kind} {value}" for kind, value in rule.items() if value), "twins only")
    table = f"{layout.table}: {layout.file} holds the {layout.key}, {layout.label} the label"
    classes = _distinct(shape.classes.values())
    counted = file_kinds.skipped_counts(read.skipped)
    skipped = [
        f"{n} x {reason}: {', '.join(counted['skipped_names'][reason])}"
        for reason, n in counted["skipped"].items()
    ]
    grey = f"{look.n_grey} of {len(look.sizes)} sampled images are grey"
    return {
        "layout": "class folders" if layout.kind == "folders" else table,
        "classes": ", ".join(classes),
        "question": "two classes" if len(classes) == 2 else f"{len(classes)} classes",
        "to answer": f"{len(shape.questions)}, see `unanswered` in the file"
        if shape.questions
        else "nothing",
        "labelled": f"{n_labelled} of {n} images",
        "splits": ", ".join(f"{name} = {split}" for name, split in layout.splits.items()) or "none",
        "groups": f"{source}: {len(set(keys))} for {len(keys)} of {n} images",
        "preprocess": f"{spec.mode}, {spec.size_px} px, {spec.fit}: {grey}",
        "skipped": "; ".join(skipped) or "nothing",
    }


def _text(name: str, shape: Shape, spec: PreprocessSpec, open_points: Sequence[str]) -> str:
    """The problem as a TOML file, with what is open as a comment above."""
    layout = shape.layout
    of_table = (
        ("table", "file", "key", "label", "no_label", "split") if layout.kind == "table" else ()
    )
    classes = ", ".join(_quoted(label) for label in _distinct(shape.classes.values()))
    splits = ", ".join(f"{_quoted(key)} = {_quoted(to)}" for key, to in layout.splits.items())
    lines = [
        "# Drafted by `neuro problem init`. It could not tell, and you should:",
        *(f"# - {_one_line(point)}" for point in open_points),
        f"name = {_quoted(name)}",
        f"dataset = {_quoted(name)}",
        f"classes = [{classes}] # in the order of the probabilities",
        *(f"{field} = {_quoted(_NOT_STATED)} # yours to write" for field in _TERMS),
        *_asked(shape.questions),
        "",
        "[labels] # source label = class; two labels may lead to one class",
        *(f"{_quoted(label)} = {_quoted(name)}" for label, name in shape.classes.items()),
        "",
        "[layout]",
        *_stated(layout, ("kind", *of_table)),
        *([f"splits = {{ {splits} }}"] if splits else []),
        "",
        "[groups] # what must not be divided between training and test",
        *_stated(shape, ("pattern", "column", "tag")),
        "twin_cosine = 0.97",
        "",
        "[preprocess]",
        f"mode = {_quoted(spec.mode)}",
        f"size_px = {spec.size_px}",
        f"fit = {_quoted(spec.fit)}",
    ]
    return "\n".join(lines) + "\n"


def _asked(questions: Sequence[str]) -> list[str]:
    """The field that keeps the problem from being ingested until each question is answered."""
    if not questions:
        return []
    return [
        "# Nothing is ingested until each is answered: correct what is wrong, remove the line.",
        "unanswered = [",
        *(f"  {_quoted(_one_line(question))}," for question in questions),
        "]",
    ]


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _stated(record: Layout | Shape, names: Sequence[str]) -> list[str]:
    """A line for each of these fields that is not empty."""
    values = {name: getattr(record, name) for name in names}
    return [f"{name} = {_toml(value)}" for name, value in values.items() if value]


def _toml(value: str | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_quoted, value))}]"
    return _quoted(value)


def _quoted(text: str) -> str:
    """A TOML string: literal where that reads better, as in patterns."""
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    """Safe inside a comment: a column's name may hold anything."""
    return "".join(character if character.isprintable() else " " for character in text)
