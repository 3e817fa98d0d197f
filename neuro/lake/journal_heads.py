"""Signed heads of the journal, kept where a tail that is cut off does not take them along.

A head is one small file, named by its number and hash, written once: beside the tables of the lake,
and in the home of whoever exported it.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from neuro import signing
from neuro.errors import SignatureError
from neuro.lake.journal import Head
from neuro.signing import Keys, Signature
from neuro.storage.store import Store

FOLDER, PURPOSE = "journal_heads", "head of a journal"

Sign = Callable[[str, bytes], Signature]  # of a purpose and bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedHead:
    """A head, and what it was exported with: a release, or a decision."""

    number: int
    hash: str
    at: str
    why: str
    signature: Signature

    @property
    def head(self) -> Head:
        """What the journal must still have."""
        return Head(number=self.number, hash=self.hash)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """Heads by signers that are believed, and what is wrong with the others, a sentence each."""

    heads: tuple[SignedHead, ...]
    faults: tuple[str, ...]


def sealed(head: Head, why: str, now: datetime, sign: Sign) -> SignedHead:
    """A head that says when and with what it was exported, signed."""
    at = now.astimezone(UTC).isoformat(timespec="seconds")
    signature = sign(PURPOSE, _signed_bytes(head.number, head.hash, at, why))
    return SignedHead(number=head.number, hash=head.hash, at=at, why=why, signature=signature)


def to_json(head: SignedHead) -> str:
    """One line of JSON."""
    return json.dumps(asdict(head), sort_keys=True) + "\n"


def export(head: SignedHead, stores: Iterable[Store]) -> None:
    """Write a head once into each of these places."""
    raw = to_json(head).encode()
    name = f"{FOLDER}/{head.number:09d}-{hashlib.sha256(raw).hexdigest()[:16]}.json"
    for store in stores:
        store.write_once(name, raw)


def read(stores: Iterable[Store], keys: Keys) -> Kept:
    """Every head of these places, each once. keys: those that are believed."""
    heads, faults = {}, {}
    for store in stores:
        for entry in store.entries(FOLDER):
            name = entry.key.rpartition("/")[2]
            try:
                heads[name] = parse(store.read(entry.key), keys, f"head {name}")
            except SignatureError as error:
                faults[name] = str(error)
    return Kept(
        heads=tuple(heads[name] for name in sorted(heads)),
        faults=tuple(faults[name] for name in sorted(faults.keys() - heads.keys())),
    )


def parse(raw: bytes, keys: Keys, what: str) -> SignedHead:
    """A head, if a believed key has signed it. Raises SignatureError. what: names it."""
    try:
        facts = json.loads(raw)
        number, sha256, at, why = (facts[name] for name in ("number", "hash", "at", "why"))
        if type(number) is not int or not all(isinstance(text, str) for text in (sha256, at, why)):
            raise TypeError("of other types")
        signature = signing.parse(json.dumps(facts["signature"]).encode(), what)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SignatureError(f"{what} is no head of a journal") from error
    signing.check(keys, PURPOSE, _signed_bytes(number, sha256, at, why), signature, what)
    return SignedHead(number=number, hash=sha256, at=at, why=why, signature=signature)


def _signed_bytes(number: int, sha256: str, at: str, why: str) -> bytes:
    return json.dumps([number, sha256, at, why]).encode()
