"""Erased images stay away: their digests stand in the journal until a person lifts one."""

from collections import defaultdict
from datetime import datetime

from neuro.errors import ConfigError, UnknownNameError
from neuro.lake import journal
from neuro.lake.lake import Lake

KIND, LIFT = "erasure", "lift"
REASON = "erased"  # the code under which a file waits that was erased and is delivered again
MESSAGE = "this file was erased, and its bytes are not kept; `neuro erase --lift` lets it in again"


def erased(lake: Lake) -> set[str]:
    """Digests of every image that was erased, of whichever dataset, and is not lifted."""
    return set(_standing(lake))


def n_lifts(lake: Lake, digests: set[str]) -> int:
    """How often these images were let in again, together."""
    return sum(entry.body["sha256"] in digests for entry in journal.entries(lake, LIFT))


def lift(lake: Lake, digest: str, reason: str, who: str, now: datetime) -> str:
    """Let an erased image in again, should it be delivered; returns its whole digest.

    digest: or the beginning of it. Raises UnknownNameError if none of the erased begins so, and
    ConfigError if several do.
    """
    if not reason.strip():
        raise ConfigError("reason is empty; say why, it is kept in the journal")
    standing = _standing(lake)
    found = [sha256 for sha256 in standing if digest and sha256.startswith(digest)]
    if not found:
        raise UnknownNameError(
            f"no erased image begins with {digest!r}; `neuro journal list erasure` lists them"
        )
    if len(found) > 1:
        raise ConfigError(f"several erased images begin with {digest!r}; give more of the digest")
    (sha256,) = found
    body = {"sha256": sha256, "erasures": standing[sha256], "reason": reason, "who": who}
    journal.record(lake, LIFT, f"{sha256}/{n_lifts(lake, {sha256})}", body, now)
    return sha256


def _standing(lake: Lake) -> dict[str, list[str]]:
    """By digest, the erasures of it that nobody has lifted."""
    entries = journal.entries(lake, KIND, LIFT)
    lifted = {
        (erasure, entry.body["sha256"])
        for entry in entries
        if entry.kind == LIFT
        for erasure in entry.body["erasures"]
    }
    standing: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        for sha256 in entry.body["sha256"] if entry.kind == KIND else ():
            if (entry.key, sha256) not in lifted:
                standing[sha256].append(entry.key)
    return dict(standing)
