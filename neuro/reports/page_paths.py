"""Where pages of a release lie below the home folder. An erasure removes them by these names."""

from dataclasses import dataclass
from pathlib import Path

from neuro.sample import SPLITS


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasePage:
    """A page of a release: its exploration under a problem, or, with none, its passport.

    is_of_doubt: the labels that the folds of a problem doubt; the list itself lies beside the page.
    evaluated: model and split of an evaluation, as in the page's name, and then the beginning of
    the content hash of images of another source, or what of it is explained; "" for another page.
    accepted: beginnings of model, limits and content hash of a site's images, by which the page of
    its acceptance is named; "" for another page.
    """

    release: str
    problem: str = ""
    is_of_doubt: bool = False
    evaluated: str = ""
    accepted: str = ""

    def path(self, home: Path) -> Path:
        """Where it lies."""
        if self.accepted:
            return _acceptances(home) / self.problem / self.release / f"{self.accepted}.html"
        if self.evaluated:
            return _evaluations(home) / self.problem / self.release / f"{self.evaluated}.html"
        if self.is_of_doubt:
            folder = _doubts(home) / self.problem
        else:
            folder = _explorations(home) / self.problem if self.problem else _passports(home)
        return folder / f"{self.release}.html"

    @property
    def command(self) -> str:
        """What a person types to have it drawn for the current release."""
        if self.accepted:
            return f"neuro accept DIR --problem {self.problem} --model MODEL"
        if self.evaluated:
            _, split, *of_source = self.evaluated.split("-", 2)
            if split == "explained":
                what = f"--errors --split {of_source[0]}" if of_source[0] in SPLITS else "IMAGE"
                return f"neuro explain {what} --problem {self.problem} --model MODEL"
            images = "--on SOURCE" if of_source else f"--split {split}"
            return f"neuro evaluate --problem {self.problem} --model MODEL {images}"
        if self.is_of_doubt:
            return f"neuro train --problem {self.problem} --folds 5"
        return f"neuro explore --problem {self.problem}" if self.problem else "neuro passport"


def named(home: Path, path: Path) -> ReleasePage | None:
    """Which page of a release lies at a path below the home folder; None for any other page."""
    if path.parent == _passports(home):
        return ReleasePage(release=path.stem)
    folder = path.parent
    pages = [
        ReleasePage(release=folder.name, problem=folder.parent.name, evaluated=path.stem),
        ReleasePage(release=folder.name, problem=folder.parent.name, accepted=path.stem),
        ReleasePage(release=path.stem, problem=folder.name, is_of_doubt=True),
        ReleasePage(release=path.stem, problem=folder.name),
    ]
    return next((page for page in pages if path == page.path(home)), None)


def doubt_lists(home: Path, release: str) -> list[Path]:
    """The lists of labels in doubt that are there for a release, one for each problem; sorted."""
    return sorted(_doubts(home).glob(f"*/{release}.json"))


def _passports(home: Path) -> Path:
    return home / "reports" / "passport"


def _explorations(home: Path) -> Path:
    return home / "reports" / "explore"


def _evaluations(home: Path) -> Path:
    return home / "reports" / "evaluation"


def _acceptances(home: Path) -> Path:
    return home / "reports" / "acceptance"


def _doubts(home: Path) -> Path:
    return home / "reports" / "labels-in-doubt"
