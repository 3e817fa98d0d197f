"""Files searched for byte strings, and removed where their bytes are a given image's."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from neuro.storage.store import Store, Version

_READERS = 8  # each holds two pieces

# What a file of this name (a path or an address) may not hold.
Forbidden = Callable[[str], Sequence[bytes]]


def outermost(stores: Iterable[Store]) -> list[Store]:
    """Each store that lies in none of the others, once."""
    by_uri = {store.uri: store for store in stores}
    return [
        store
        for uri, store in sorted(by_uri.items())
        if not any(uri.startswith(f"{other}/") for other in by_uri)
    ]


def search(store: Store, forbidden: Forbidden) -> list[str]:
    """Names of the files that hold one of the byte strings forbidden to them, sorted.

    Versions that a bucket keeps are searched, too.
    """

    def is_forbidden(version: Version) -> bool:
        return holds(store.version_pieces(version), forbidden(version.uri))

    return sorted(version.uri for version in _matching(store, is_forbidden))


def remove_copies(store: Store, digests: Collection[str]) -> int:
    """Remove the files whose bytes have one of these SHA-256; returns how many.

    A file that is a copy goes with all its versions; where only older ones are, only those go.
    """

    def is_copy(version: Version) -> bool:
        sha256 = hashlib.sha256()
        for piece in store.version_pieces(version):
            sha256.update(piece)
        return sha256.hexdigest() in digests

    copies = _matching(store, is_copy)
    current_keys = {version.key for version in copies if version.is_current}
    for key in current_keys:
        store.remove_key(key)
    older = [version for version in copies if version.key not in current_keys]
    return len(current_keys) + store.remove_versions(older)


def holds(pieces: Iterable[bytes], needles: Sequence[bytes]) -> bool:
    """Whether a stream of bytes has one of the byte strings, also where its pieces meet."""
    if not needles:
        return False
    overlap = max(map(len, needles)) - 1
    tail = b""
    for piece in pieces:
        view = tail + piece
        if any(needle in view for needle in needles):
            return True
        tail = view[max(0, len(view) - overlap) :]
    return False


def _matching(store: Store, is_match: Callable[[Version], bool]) -> list[Version]:
    matching: list[Version] = []
    with ThreadPoolExecutor(_READERS) as pool:
        for page in store.versions():
            readable = [version for version in page if not version.is_delete_marker]
            matches = pool.map(is_match, readable)
            matching += [v for v, is_one in zip(readable, matches, strict=True) if is_one]
    return matching
