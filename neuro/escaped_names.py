"""Names that people chose, such as those of classes, where not every character may stand.

One escape for all places: ``-x27-`` stands for the character U+0027. It needs letters, digits and
"-" alone, which MLflow, Windows and S3 all take. What could be mistaken for an escape is escaped
itself, so two names never become one, and ``original`` gives a name back.
"""

import hashlib
import re
from collections.abc import Callable
from functools import cache

LONGEST = 120  # bytes of an escaped name: MLflow takes keys of 250, file systems names of 255
LONGEST_IN_CHART = 40
_CUT = "-xsha-"  # before the digest of a name that was shortened; no escape begins so
_ESCAPE = re.compile("-x([0-9a-f]{2,6})-")
_FORBIDDEN_IN_FOLDERS = frozenset('<>:"/\\|?*')
# Names of devices on Windows, with any ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def for_key(name: str, ends: tuple[str, ...] = ()) -> str:
    """A name within a key of MLflow: letters, digits, "_", "-", "." and spaces stay.

    ends: what else is written behind a name; one that ends so by itself is told apart from it.
    """
    characters = _characters(name, lambda c: c.isalnum() or c in "_-. ")
    for end in ends:
        if name.endswith(end):
            characters[-len(end)] = _escaped(end[0])
    return _joined(characters, name, LONGEST)


def for_folder(name: str, taken: tuple[str, ...] = ()) -> str:
    """A name as that of a folder, on every system and in a bucket; a usual one stays as it is.

    taken: names that mean something else there.
    """
    characters = _characters(name, lambda c: c.isprintable() and c not in _FORBIDDEN_IN_FOLDERS)
    if name in taken or _DEVICES.fullmatch(name) or name[:1] in (".", " "):
        characters[0] = _escaped(name[0])
    if name[-1:] in (".", " "):
        characters[-1] = _escaped(name[-1])
    return _joined(characters, name, LONGEST)


def for_chart(name: str) -> str:
    """A name in a picture: on one line, short, and of characters that the font has."""
    characters = _characters(name, lambda c: c.isprintable() and _is_drawn(c))
    if name.startswith("_"):  # matplotlib would leave it out of a legend
        characters[0] = _escaped("_")
    # Between two $ it would read a formula.
    return _joined(characters, name, LONGEST_IN_CHART).replace("$", r"\$")


def original(escaped: str) -> str:
    """The name that ``for_key`` or ``for_folder`` escaped, unless it was shortened."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), escaped)


def _characters(name: str, may_stay: Callable[[str], bool]) -> list[str]:
    """The characters of a name, each as it stays or escaped; so is a "-" before an "x"."""
    return [
        c if may_stay(c) and not name.startswith("-x", place) else _escaped(c)
        for place, c in enumerate(name)
    ]


def _escaped(character: str) -> str:
    return f"-x{ord(character):02x}-"


def _joined(characters: list[str], name: str, longest: int) -> str:
    """All characters; of a long name the first ones and its digest, in so many bytes."""
    sizes = [len(each.encode("utf-8", "surrogatepass")) for each in characters]
    if sum(sizes) <= longest:
        return "".join(characters)
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    room, kept = longest - len(_CUT) - len(digest), 0
    while kept < len(sizes) and sum(sizes[: kept + 1]) <= room:
        kept += 1
    return "".join(characters[:kept]) + _CUT + digest


@cache
def _is_drawn(character: str) -> bool:
    """Whether matplotlib's font has the character; it draws all others as one and the same box."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return font.get_char_index(ord(character)) != 0
