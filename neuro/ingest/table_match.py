"""Which line of a table means which image: by its very name, or by a stated, unambiguous likeness.

The rules, the surest first; a later one is asked only for images and lines that no earlier one has
matched: the same name (Unicode compared in NFC); the same but for upper and lower case; the same
but for the image's ending; the same number but for leading zeros, which spreadsheets drop.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from neuro.errors import ConfigError
from neuro.images.image_names import ENDINGS

# The longest first, so that .nii.gz goes as a whole.
_ENDING = re.compile(f"(?<=.)({'|'.join(map(re.escape, sorted(ENDINGS, key=len)[::-1]))})$")
_NUMBER = re.compile(r"(^|.*/)0*(\d+)(\.0+)?")  # 00001, 1, and the 1.0 of a column of floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Matches:
    """Key of the table by image. alike: by what differed, how many matched nevertheless."""

    keys: Mapping[str, str]
    alike: Mapping[str, int]


def nfc(text: str) -> str:
    """The text with each accented letter as one character, as most systems but macOS write it."""
    return unicodedata.normalize("NFC", text)


def without_ending(name: str) -> str:
    """A name in lower case without the ending of an image."""
    return _ENDING.sub("", nfc(name).casefold())


def without_zeros(name: str) -> str:
    """The same; of a number also without leading zeros."""
    bare = without_ending(name)
    number = _NUMBER.fullmatch(bare)
    return number.group(1) + number.group(2) if number else bare


_RULES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("", nfc),
    ("upper and lower case", lambda name: nfc(name).casefold()),
    ("the ending", without_ending),
    ("leading zeros", without_zeros),
)


def match(images: Sequence[str], rows: Mapping[str, Any], *, key: str, table: str) -> Matches:
    """Match the names of images with a table's keys, which are in NFC.

    images: names in the delivery. key: "name" or "path", as in ``layout.key``. Raises ConfigError
    where one line may mean two images, or one image two lines that differ.
    """
    keys: dict[str, str] = {}
    image_of: dict[str, str] = {}
    alike: dict[str, int] = {}
    for difference, fold in _RULES:
        free: dict[Hashable, list[str]] = defaultdict(list)
        for name in rows:
            if name not in image_of:
                free[fold(name)].append(name)
        claims: dict[str, str] = {}
        for image in images:
            if image in keys:
                continue
            alternatives = next(filter(None, (free.get(fold(n)) for n in called(image, key))), [])
            if not alternatives:
                continue
            if any(rows[name] != rows[alternatives[0]] for name in alternatives):
                raise ConfigError(
                    f"table {table} has two lines that may mean {image!r}: they differ in "
                    f"{difference} alone; write the file's name in one, and remove the other"
                )
            name = alternatives[0]
            if name in claims:
                raise ConfigError(
                    f"table {table} names one file where there are two, {claims[name]!r} and "
                    f"{image!r}; rename one, or give paths in the table and set layout.key = "
                    '"path"'
                )
            claims[name] = image
            keys[image] = name
        image_of |= claims
        if difference and claims:
            alike[difference] = len(claims)
    return Matches(keys=keys, alike=alike)


def called(image: str, key: str) -> tuple[str, ...]:
    """What an image may be called in a table, the surest first."""
    path = PurePosixPath(image)
    return (image,) if key == "path" else (path.name, path.stem)
