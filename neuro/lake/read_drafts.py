"""What readers have chosen or written and not stored yet: on the server's disk, a file for each.

A page that is reloaded, a connection that is cut and a lake that is away lose none of it.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from neuro import limits
from neuro.errors import ConfigError
from neuro.lake.work_list import WorkKey

FOLDER = "reading-room/drafts"  # in the home of an installation
_NAME = re.compile(r"(?P<problem>[a-z0-9_]+)-(?P<sha256>[0-9a-f]{64})-(?P<round>\d+)")
_PERSON = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+'| -]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadDraft:
    """label: what was chosen, None for nothing yet. step: at which step it was chosen."""

    label: str | None = None
    note: str = ""
    step: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadDrafts:
    """The drafts below a folder; each person's lie in a folder of their own."""

    folder: Path

    def put(self, who: str, key: WorkKey, draft: ReadDraft) -> None:
        """Keep a draft, whole or not at all; an empty one is dropped."""
        path = self._path(who, key)
        if draft == ReadDraft():
            path.unlink(missing_ok=True)
            return
        with limits.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = path.with_suffix(".part")
            # The digest stands in it, too: an erasure is proven by what files hold.
            scratch.write_text(json.dumps(key._asdict() | asdict(draft)), encoding="utf-8")
            scratch.replace(path)

    def get(self, who: str, key: WorkKey) -> ReadDraft:
        """The draft of a person, an empty one where there is none."""
        try:
            facts = json.loads(self._path(who, key).read_text(encoding="utf-8"))
            return ReadDraft(**{name: facts[name] for name in ("label", "note", "step")})
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or a damaged one
            return ReadDraft()

    def drop(self, who: str, key: WorkKey) -> None:
        """Forget a draft."""
        self._path(who, key).unlink(missing_ok=True)

    def of(self, who: str) -> list[WorkKey]:
        """The items that a person has a draft of, sorted."""
        return sorted(_key(path) for path in self._files(who) if _NAME.fullmatch(path.stem))

    def erase(self, sample_ids: Collection[str]) -> int:
        """Remove the drafts about these images; returns how many there were."""
        gone = 0
        for path in self._files("*"):
            named = _NAME.fullmatch(path.stem)
            if path.suffix == ".part" or named is None or named["sha256"] in sample_ids:
                path.unlink(missing_ok=True)
                gone += 1
        return gone

    def _files(self, who: str) -> Iterator[Path]:
        return self.folder.glob(f"{who}/*")

    def _path(self, who: str, key: WorkKey) -> Path:
        name = f"{key.problem}-{key.sha256}-{key.round}"
        if not _PERSON.fullmatch(who) or not _NAME.fullmatch(name):
            raise ConfigError(f"no draft can be called {who[:80]!r}, {name[:120]!r}")
        return self.folder / who / f"{name}.json"


def _key(path: Path) -> WorkKey:
    named = _NAME.fullmatch(path.stem)
    assert named is not None  # noqa: S101 - its caller has looked
    return WorkKey(named["problem"], named["sha256"], int(named["round"]))
