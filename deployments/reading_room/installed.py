"""What this process stands before: set once when it starts, read by every page."""

from deployments.reading_room.backend import Backend, Installation

_here: list[Installation] = []


def install(here: Installation) -> None:
    """Set it, before the first page is asked for."""
    _here[:] = [here]


def backend(name: str) -> Backend | None:
    """In the name of a person, with the role of now; None for nobody."""
    (here,) = _here
    return Backend(here, name) if name and here.directory.named(name) else None
