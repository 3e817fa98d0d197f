"""The journal with the keys of this installation: its heads are signed, exported and looked for."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path

from neuro import limits
from neuro.errors import ConfigError, NeuroError, SignatureError
from neuro.lake import journal, journal_heads
from neuro.lake.journal import Damage, Head
from neuro.lake.journal_heads import SignedHead
from neuro.lake.lake import Lake
from neuro.storage.folder_store import FolderStore
from neuro.storage.store import Store
from tasks.record import signing_keys
from tasks.runtime import settings

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What ``neuro journal verify`` found. heads: that were compared; faults: of other heads."""

    head: Head
    damaged: tuple[Damage, ...]
    heads: int
    faults: tuple[str, ...]

    @property
    def is_ok(self) -> bool:
        """Whether each line and each head is as it was written."""
        return not self.damaged and not self.faults


def export_head(lake: Lake, why: str) -> SignedHead | None:
    """Sign the last line, and keep it beside the lake and in the home; None of an empty journal.

    why: the release or decision it is exported with. A key that is missing, or open to others, is
    said, and stops nothing: the next export says as much and more.
    """
    try:
        signing_keys.require()
        head = _signed(lake, why)
        if head is not None:
            journal_heads.export(head, _places(lake))
    except NeuroError as error:
        _log.warning("the head of the journal was not exported: %s", error)
        return None
    return head


def export(lake: Lake, path: Path) -> SignedHead:
    """Write every line, and the signed head last, as lines of JSON.

    Raises ConfigError for a journal without a line, where no key may sign, and for a file that is
    there already: what was exported earlier is what a later tail is compared with.
    """
    if os.path.lexists(path):
        raise ConfigError(f"{path} exists; name another file, and keep the earlier export")
    signing_keys.require()
    head = _signed(lake, "export")
    if head is None:
        raise ConfigError(f"the journal of {lake.uri} holds no line to export")
    rows = [json.dumps(asdict(line), default=str) for line in journal.lines(lake)]
    with limits.writing(path):
        path.write_text("\n".join([*rows, journal_heads.to_json(head)]), encoding="utf-8")
    return head


def verify(lake: Lake, exported: Path | None = None) -> Verified:
    """Follow the chain, and compare it with each head that was kept.

    exported: a file of ``export``, whose head is compared, too.
    """
    keys = signing_keys.trusted()
    kept = journal_heads.read(_places(lake), keys)
    heads, faults = [each.head for each in kept.heads], [*kept.faults]
    if exported is not None:
        last = limits.bytes_of(exported, f"exported journal {exported}").rstrip().rpartition(b"\n")
        try:
            heads.append(journal_heads.parse(last[2], keys, f"the head of {exported}").head)
        except SignatureError as error:
            faults.append(str(error))
    return Verified(
        head=journal.head(lake),
        damaged=tuple(journal.check(journal.lines(lake), heads)),
        heads=len(heads),
        faults=tuple(faults),
    )


def _signed(lake: Lake, why: str) -> SignedHead | None:
    head = journal.head(lake)
    if not head.number:
        return None
    return journal_heads.sealed(head, why, datetime.now(UTC), signing_keys.sign)


def _places(lake: Lake) -> tuple[Store, Store]:
    return lake.store, FolderStore(settings.load().home)
