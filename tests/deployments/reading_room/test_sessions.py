"""How long a person is signed in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deployments.reading_room.sessions import Sessions
from deployments.service.directory import Directory
from neuro import people
from tests.deployments.reading_room.conftest import PASSWORD, hashed


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Signed:
    path: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        people.add(self.path, "ana", "reader", hashed=hashed(PASSWORD))
        self.sessions = Sessions(Directory(self.path), idle_s=60.0, most_s=300.0, clock=self.clock)
        self.token = self.sessions.begin(people.read(self.path)["ana"])

    def name(self) -> str:
        person = self.sessions.person(self.token)
        return person.name if person else ""


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed(tmp_path / "people.json")


def test_who_does_nothing_is_signed_out(signed: Signed) -> None:
    signed.clock.now += 59
    assert signed.name() == "ana"
    signed.clock.now += 2
    assert (signed.name(), signed.sessions.left_s(signed.token)) == ("", 0.0)


def test_who_does_something_stays_until_the_session_is_too_old(signed: Signed) -> None:
    for _ in range(5):
        signed.clock.now += 59
        signed.sessions.touch(signed.token)
        assert signed.name() == "ana"
    signed.clock.now += 6
    assert signed.name() == ""


def test_a_session_that_is_over_does_not_come_back(signed: Signed) -> None:
    signed.clock.now += 61
    signed.sessions.touch(signed.token)
    assert signed.name() == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda path: people.remove(path, "ana"),
        lambda path: (
            people.remove(path, "ana"),
            people.add(path, "ana", "admin", hashed=people.hashed("another long password")),
        ),
    ],
    ids=["removed", "another password"],
)
def test_who_is_not_the_same_any_more_is_out(
    signed: Signed, change: Callable[[Path], object]
) -> None:
    change(signed.path)
    assert signed.name() == ""


def test_a_token_is_nobody_elses(signed: Signed) -> None:
    assert signed.sessions.person("") is None
    other = signed.sessions.begin(people.read(signed.path)["ana"])
    signed.sessions.end(signed.token)
    assert other != signed.token
    assert (signed.name(), signed.sessions.left_s(other)) == ("", 60.0)
