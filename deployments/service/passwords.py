"""Passwords of the people of a file: few guesses a minute, and never many checked at once."""

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from deployments.service.directory import Directory
from neuro.people import Person

_GUESSES = parse("20/minute")  # of one name
_HASHING = 4  # passwords that are checked or wait, at most


class TooManyGuesses(Exception):  # noqa: N818 - it is an answer, which says when to ask again
    """why: a sentence. after_s: when to try again, None for at once."""

    def __init__(self, why: str, after_s: int | None = None) -> None:
        super().__init__(why)
        self.why, self.after_s = why, after_s


class Passwords:
    """Checks them one after the other, on a thread of their own: each takes 50 ms, and 64 MB."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._n_hashing = 0

    async def person(self, name: str, password: str) -> Person | None:
        """Who it is, None for nobody or a wrong password. Raises TooManyGuesses.

        Guesses are counted before they are checked: many at once are no more than one by one.
        """
        if person := self._directory.remembered(name, password):
            return person
        if not await self._limiter.hit(_GUESSES, "guessed", name):
            after = await seconds_until_room(self._limiter, _GUESSES, "guessed", name)
            raise TooManyGuesses(f"at most {_GUESSES}, of wrong passwords for this name", after)
        if self._n_hashing >= _HASHING:
            raise TooManyGuesses("too many passwords are being checked; ask again")
        self._n_hashing += 1
        try:
            loop = asyncio.get_running_loop()
            check = self._directory.by_password
            return await loop.run_in_executor(self._hashing, check, name, password)
        finally:
            self._n_hashing -= 1


async def seconds_until_room(
    limiter: MovingWindowRateLimiter, rate: RateLimitItem, *who: str
) -> int:
    """When the next request is let through, at least a second."""
    at, _ = await limiter.get_window_stats(rate, *who)
    return max(1, math.ceil(at - time.time()))
