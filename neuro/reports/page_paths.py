"""Where pages of a release lie below the home folder. An erasure removes them by these names."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasePage:
    """A page of a release: its exploration under a problem, or, with none, its passport."""

    release: str
    problem: str = ""

    def path(self, home: Path) -> Path:
        """Where it lies."""
        folder = home / "reports" / "explore" / self.problem if self.problem else _passports(home)
        return folder / f"{self.release}.html"

    @property
    def command(self) -> str:
        """What a person types to have it drawn for the current release."""
        return f"neuro explore --problem {self.problem}" if self.problem else "neuro passport"


def named(home: Path, path: Path) -> ReleasePage | None:
    """Which page of a release lies at a path below the home folder; None for any other page."""
    if path.parent == _passports(home):
        return ReleasePage(release=path.stem)
    page = ReleasePage(release=path.stem, problem=path.parent.name)
    return page if path == page.path(home) else None


def _passports(home: Path) -> Path:
    return home / "reports" / "passport"
