"""Who is signed in: random tokens, in the memory of the one process, each for a bounded time."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from deployments.service.directory import Directory
from neuro.people import Person

IDLE_S, MOST_S = 30 * 60.0, 10 * 3600.0


@dataclass(slots=True)
class _Session:
    """password: the hash of the person when it began; another one ends the session.

    is_by_provider: an identity provider said who it is, who can only be somebody of the file.
    """

    name: str
    password: str
    started: float
    seen: float
    is_by_provider: bool


class Sessions:
    """Sessions by token. idle_s: without a key or click; most_s: of any session.

    cookie: the name under which browsers keep it; of each port its own, which cookies do not see.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        cookie: str = "neuro_reading_room",
        idle_s: float = IDLE_S,
        most_s: float = MOST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory, self._idle_s, self._most_s = directory, idle_s, most_s
        self.cookie = cookie
        self._clock, self._lock = clock, threading.Lock()
        self._all: dict[str, _Session] = {}

    def begin(self, person: Person, *, is_by_provider: bool = False) -> str:
        """A new session; returns its token, and forgets those that are over."""
        token, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._all = {key: each for key, each in self._all.items() if self._left(each) > 0}
            self._all[token] = _Session(person.name, person.password, now, now, is_by_provider)
        return token

    def end(self, token: str) -> None:
        """Sign out."""
        with self._lock:
            self._all.pop(token, None)

    def person(self, token: str) -> Person | None:
        """Who is signed in, with the role of now; None where the session is over."""
        session = self._all.get(token)
        if session is None or self._left(session) <= 0:
            return None
        known = self._directory
        find = known.listed if session.is_by_provider else known.named
        person = find(session.name)
        return person if person and person.password == session.password else None

    def touch(self, token: str) -> None:
        """The person does something; a session that is over stays so."""
        session = self._all.get(token)
        if session and self._left(session) > 0:
            session.seen = self._clock()

    def left_s(self, token: str) -> float:
        """Seconds until the session is over, 0 where it is."""
        session = self._all.get(token)
        return max(0.0, self._left(session)) if session and self.person(token) else 0.0

    def _left(self, session: _Session) -> float:
        ends = min(session.seen + self._idle_s, session.started + self._most_s)
        return ends - self._clock()
