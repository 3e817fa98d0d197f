"""Who is known: the people of a file, read again whenever it changes."""

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from neuro import people
from neuro.people import Person

_REMEMBERED = 256  # passwords that were right, by digest, until the file of people changes


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What the file held when it was read last. seen: what tells it from a later one.

    right: names by the digest of a password that was found right.
    """

    seen: object
    people: Mapping[str, Person]
    by_token: Mapping[str, Person]
    right: dict[str, str] = field(default_factory=dict)


class Directory:
    """The people of a file as it is now, and one more: the account that started what asks."""

    def __init__(self, path: Path, owner: Person | None = None) -> None:
        self._path, self._owner = path, owner
        self._lock = threading.Lock()
        self._kept: _Known | None = None
        self._known()

    def by_token(self, token: str) -> Person | None:
        """Whose token it is."""
        return self._known().by_token.get(people.digest(token))

    def named(self, name: str) -> Person | None:
        """Who has this name, as they are now."""
        found = self._known().people.get(name)
        is_owner = self._owner is not None and self._owner.name == name
        return found or (self._owner if is_owner else None)

    def listed(self, name: str) -> Person | None:
        """Who has this name in the file: the account that started what asks is not there."""
        return self._known().people.get(name)

    def remembered(self, name: str, password: str) -> Person | None:
        """Who it is, where the password was found right before."""
        return self.named(self._known().right.get(_digest(name, password), ""))

    def by_password(self, name: str, password: str) -> Person | None:
        """Who it is; takes 50 ms, and 64 MB."""
        known = self._known()
        person = self.named(name)
        if not people.is_password(person, password):
            return None
        if len(known.right) < _REMEMBERED:
            known.right[_digest(name, password)] = name
        return person

    def _known(self) -> _Known:
        """Read the file again where it has changed: who was removed may ask nothing from now on."""
        try:
            facts = os.lstat(self._path)
            seen: object = (facts.st_ino, facts.st_mtime_ns, facts.st_size, facts.st_mode)
        except FileNotFoundError:
            seen = None
        with self._lock:
            if self._kept is None or self._kept.seen != seen:
                self._kept = None  # what cannot be read lets nobody in
                known = people.read(self._path)
                everybody = [*known.values(), *([self._owner] if self._owner else [])]
                by_token = {token: each for each in everybody for token in each.tokens}
                self._kept = _Known(seen=seen, people=known, by_token=by_token)
            return self._kept


def _digest(name: str, password: str) -> str:
    return hashlib.sha256(f"{name}\0{password}".encode()).hexdigest()
