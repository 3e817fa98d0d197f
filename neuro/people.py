"""Who may ask what: people with roles, tokens and passwords, in one file for its owner alone."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError

from neuro import limits
from neuro.errors import ConfigError, UnknownNameError

ROLES = ("viewer", "reader", "trainer", "approver", "admin")  # each may do what those before may
SHORTEST = 12  # of a password
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+'|-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """password: its hash, "" for none. tokens: the SHA-256 of each."""

    name: str
    role: str
    password: str = ""
    tokens: tuple[str, ...] = ()

    def may(self, role: str) -> bool:
        """Whether this person may do what a role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


People = Mapping[str, Person]  # by name


def read(path: Path) -> dict[str, Person]:
    """Everybody in the file, in the order of their names; nobody without one.

    Raises ConfigError where other accounts may read or write it, or it is no such file.
    """
    if not os.path.lexists(path):
        return {}
    limits.require_private(path, f"run chmod 600 {path}, then look at `neuro users list`")
    try:
        rows = json.loads(limits.text_of(path, f"people file {path}"))["people"]
        people = [Person(**(row | {"tokens": tuple(row["tokens"])})) for row in rows]
        for person in people:
            _check(person)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is no file of people ({error}); put back a copy of it"
        ) from error
    return {person.name: person for person in sorted(people, key=lambda person: person.name)}


def require_new(path: Path, name: str) -> None:
    """Raise ConfigError for a name that is taken."""
    _require_new(read(path), name)


def add(path: Path, name: str, role: str, hashed: str = "") -> Person:
    """A new person. hashed: what ``hashed`` made of a password, "" for none.

    Raises ConfigError for a name that is taken or a role that is none.
    """
    person = Person(name=name, role=role, password=hashed)
    _check(person)

    def change(people: dict[str, Person]) -> None:
        _require_new(people, name)
        people[name] = person

    _change(path, change)
    return person


def remove(path: Path, name: str) -> None:
    """Let a person ask nothing any more: tokens and password end at once."""
    _change(path, lambda people: people.pop(_known(people, name).name))


def new_token(path: Path, name: str) -> str:
    """Another token for a person; nobody can read it again. Those before it stay."""
    token = f"neuro_{secrets.token_urlsafe(32)}"

    def change(people: dict[str, Person]) -> None:
        person = _known(people, name)
        people[name] = replace(person, tokens=(*person.tokens, digest(token)))

    _change(path, change)
    return token


def drop_tokens(path: Path, name: str) -> int:
    """End all tokens of a person; returns how many there were."""
    ended = 0

    def change(people: dict[str, Person]) -> None:
        nonlocal ended
        person = _known(people, name)
        ended = len(person.tokens)
        people[name] = replace(person, tokens=())

    _change(path, change)
    return ended


def digest(token: str) -> str:
    """What is kept of a token: it is drawn at random, so that no slower hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def hashed(password: str) -> str:
    """What is kept of a password (Argon2id). Raises ConfigError for a short one."""
    if len(password) < SHORTEST:
        raise ConfigError(f"a password needs {SHORTEST} letters or more")
    return PasswordHash.recommended().hash(password)


def is_password(person: Person | None, password: str) -> bool:
    """Whether it is theirs; takes as long for nobody, so that the clock tells no names."""
    hasher = PasswordHash.recommended()
    if person is None or not person.password:
        hasher.verify(password, _NOBODYS)
        return False
    try:
        return hasher.verify(password, person.password)
    except PwdlibError:  # no hash that this version reads
        return False


# Argon2id of a password that nobody knows any more, by pwdlib's recommended settings.
_NOBODYS = (
    "$argon2id$v=19$m=65536,t=3,p=4$wYEVua3BxYiVUurGIY/IHA"
    "$si4zsChNwD/9IIIn2VXrH+wzUnB/xd+Thih5uoI88d0"
)


def require(path: Path, name: str, role: str) -> None:
    """Raise ConfigError unless a person may do what a role may; where nobody is named all may."""
    people = read(path)
    if people and not (name in people and people[name].may(role)):
        has = f"is a {people[name].role}" if name in people else "is not among the people"
        raise ConfigError(
            f"{name} {has} of {path}, and this needs the role {role}; `neuro users list` names "
            f"them, `neuro users add NAME --role {role}` adds one"
        )


def _check(person: Person) -> None:
    if not _NAME.fullmatch(person.name):
        raise ConfigError(
            f"a name is letters, digits and . _ @ + ' | -, 64 at most, got {person.name[:80]!r}"
        )
    if person.role not in ROLES:
        raise ConfigError(f"role must be one of {', '.join(ROLES)}, got {person.role!r}")
    if person.password and not person.password.startswith("$argon2id$"):
        raise ConfigError(f"the password of {person.name} is no hash by Argon2id")


def _require_new(people: People, name: str) -> None:
    if name in people:
        raise ConfigError(
            f"{name} is there already, as {people[name].role}; `neuro users remove {name}` first"
        )


def _known(people: People, name: str) -> Person:
    if name not in people:
        raise UnknownNameError(
            f"nobody is called {name!r}; those who are there: {', '.join(people) or 'none yet'}"
        )
    return people[name]


def _change(path: Path, change: Callable[[dict[str, Person]], Any]) -> None:
    """Change the file, whole or not at all; of two who do so at once one waits."""
    with limits.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(path.with_name(f"{path.name}.lock")):
        people = read(path)
        change(people)
        scratch = path.with_name(f"{path.name}.part")
        rows = [asdict(person) for person in people.values()]
        with limits.writing(path):
            scratch.unlink(missing_ok=True)
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump({"people": rows}, stream, indent=1)
                stream.flush()
                os.fsync(handle)
            scratch.replace(path)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with limits.writing(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
