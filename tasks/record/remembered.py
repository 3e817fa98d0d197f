"""What was measured once on this machine and need not be measured again, by name, in the home."""

import json
from pathlib import Path

from neuro.training import checkpoint
from tasks.runtime import settings


def get(what: str, key: str) -> str:
    """What is remembered, "" for nothing."""
    return _kept(_path(what)).get(key, "")


def everything(what: str) -> dict[str, str]:
    """All that is remembered."""
    return _kept(_path(what))


def put(what: str, key: str, value: str) -> None:
    """Remember it; of two who write at once one may have to measure again."""
    path = _path(what)
    with checkpoint.replacing(path) as stream:
        stream.write(json.dumps({**_kept(path), key: value}, indent=1).encode())


def _path(what: str) -> Path:
    return settings.load().home / f"{what}.json"


def _kept(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # it is measured again
    return content if isinstance(content, dict) else {}
