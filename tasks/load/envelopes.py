"""The envelope of a problem: what may happen to its model without a person."""

from neuro.problems.problem import Problem
from neuro.promotion import retrain_envelope
from neuro.promotion.retrain_envelope import Envelope
from tasks.runtime import settings


def of_problem(problem: Problem) -> Envelope:
    """``envelopes/NAME.toml`` in the home, else ``envelope.toml`` there, else the defaults."""
    home = settings.load().home
    for path in (home / "envelopes" / f"{problem.name}.toml", home / "envelope.toml"):
        if path.exists():
            return retrain_envelope.load(path)
    return Envelope()
