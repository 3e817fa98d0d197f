"""What the faults are drawn from, how many there are, and what is said of them at the end."""

import os
import random
import secrets

SEED = 1 + secrets.randbelow(10**6)  # unless pytest is given --seed
IS_LONG = os.environ.get("NEURO_FAULTS") == "long"
told: list[str] = []  # shown below the tests


def rounds(short: int, long: int) -> int:
    """How often: `make faults` asks for the long form."""
    return long if IS_LONG else short


def draws(name: str) -> random.Random:
    """Chance of one test; the same seed gives the same faults."""
    return random.Random(f"{SEED}/{name}")
