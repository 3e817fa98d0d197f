"""What this process stands before: set once when it starts, read by every page."""

from deployments.reading_room.backend import Backend, Installation
from deployments.service.directory import Directory

_here: list[tuple[Installation, Directory]] = []


def install(here: Installation, directory: Directory) -> None:
    """Set it, before the first page is asked for."""
    _here[:] = [(here, directory)]


def backend(name: str) -> Backend | None:
    """In the name of a person, with the role of now; None for nobody."""
    here, directory = _here[0]
    person = directory.named(name) if name else None
    return Backend(here, person) if person else None
