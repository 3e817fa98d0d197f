"""Who vouches for bytes: Ed25519 signatures (RFC 8032) by keys that lie in one folder.

``signing.pem`` is this installation's own private key, which only its owner may read. ``trusted/``
holds the public keys that are believed, its own among them, each named by its id.
"""

import base64
import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from neuro import limits
from neuro.errors import ConfigError, SignatureError, UnknownNameError

PRIVATE, TRUSTED, SUFFIX = "signing.pem", "trusted", ".pub"
_ID = 16  # hexadecimal digits of a key's digest
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
_PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

Keys = Mapping[str, Ed25519PublicKey]  # those that are believed, by id


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """key: id of the key that signed. value: 64 bytes as base64."""

    key: str
    value: str

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"


def create(folder: Path) -> str:
    """Make this installation's key, and believe it; returns its id.

    Whoever makes one at the same moment gets the same. Raises ConfigError where a key is there.
    """
    if (folder / PRIVATE).exists():
        raise ConfigError(
            f"{folder / PRIVATE} is there already; move it away first, and `neuro keys remove` its "
            "id if somebody else may know it"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with contextlib.suppress(FileExistsError):
        _write_once(folder / PRIVATE, pem)
    return trust(folder, public_pem(folder).encode())


def ensure(folder: Path) -> None:
    """Make a key where there never was one, and believe it.

    Where other keys are believed already, one that is missing was lost or taken away: it is not
    replaced without a word.
    """
    if (folder / PRIVATE).exists():
        trust(folder, public_pem(folder).encode())  # a kill came in between
    elif not any((folder / TRUSTED).glob(f"*{SUFFIX}")):
        with contextlib.suppress(ConfigError):  # another process has just made it
            create(folder)


def own(folder: Path) -> Ed25519PrivateKey:
    """This installation's key. Raises ConfigError where it is missing or others may read it."""
    path = folder / PRIVATE
    if not path.exists():
        raise ConfigError(
            f"the signing key {path} is missing; put it back from your backup, or make a new one "
            "with `neuro keys create`"
        )
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigError(
            f"the signing key {path} can be read by other accounts (mode {mode:o}); run "
            f"chmod 600 {path}, and if one of them may have read it make a new one: "
            "`neuro keys create` says how"
        )
    try:
        key = serialization.load_pem_private_key(
            limits.bytes_of(path, f"signing key {path}"), password=None
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} holds no key that can be read: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds a key of another kind; it must be one of Ed25519")
    return key


def own_id(folder: Path) -> str:
    """The id of the key that signs here, "" where there is none."""
    return identity(own(folder).public_key()) if (folder / PRIVATE).exists() else ""


def trusted(folder: Path) -> Keys:
    """The keys that are believed. Raises ConfigError for a file that holds none."""
    found = {}
    for path in sorted((folder / TRUSTED).glob(f"*{SUFFIX}")):
        key = _public(limits.bytes_of(path, f"public key {path}"), str(path))
        if identity(key) != path.stem:
            raise ConfigError(f"{path} holds the key {identity(key)}; remove or rename it")
        found[path.stem] = key
    return found


def trust(folder: Path, pem: bytes, what: str = "the key") -> str:
    """Believe a public key, given as PEM; returns its id. what: names it in messages."""
    key = _public(pem, what)
    (folder / TRUSTED).mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path = folder / TRUSTED / f"{identity(key)}{SUFFIX}"
        _write_once(path, _public_pem(key))
    return identity(key)


def distrust(folder: Path, key: str) -> None:
    """No longer believe a key.

    Raises UnknownNameError for an id that is none, and ConfigError for the key that signs here.
    """
    known = trusted(folder)
    if key == own_id(folder):
        raise ConfigError(
            f"key {key} signs here; move {folder / PRIVATE} away and make another one first, with "
            "`neuro keys create`"
        )
    if key not in known:
        listed = ", ".join(known) or "none"
        raise UnknownNameError(f"no key {key!r} is believed; those that are: {listed}")
    (folder / TRUSTED / f"{key}{SUFFIX}").unlink()


def public_pem(folder: Path) -> str:
    """This installation's public key, to be believed elsewhere."""
    return _public_pem(own(folder).public_key()).decode()


def sign(folder: Path, purpose: str, raw: bytes) -> Signature:
    """This installation's signature. purpose: what it is of, so that it stands for nothing else."""
    key = own(folder)
    value = base64.b64encode(key.sign(_message(purpose, raw))).decode()
    return Signature(key=identity(key.public_key()), value=value)


def parse(raw: bytes, what: str) -> Signature:
    """A signature as it was written. Raises SignatureError. what: names it in messages."""
    try:
        facts = json.loads(raw)
        signature = Signature(**facts)
        if not all(isinstance(value, str) for value in facts.values()):
            raise TypeError("not text")
    except (ValueError, TypeError, RecursionError) as error:
        raise SignatureError(f"{what} is no signature") from error
    return signature


def check(keys: Keys, purpose: str, raw: bytes, signature: Signature, what: str) -> None:
    """Raise SignatureError unless a believed key has signed these bytes for this purpose."""
    if signature.key not in keys:
        raise SignatureError(
            f"{what} is signed by {signature.key[:64]!r}, and no such key is believed here; if you "
            "know whose it is: `neuro keys add FILE` with its public key"
        )
    try:
        value = base64.b64decode(signature.value, validate=True)
        if base64.b64encode(value).decode() != signature.value:  # bits that the last sign ignores
            raise ValueError("not as it was written")
        keys[signature.key].verify(value, _message(purpose, raw))
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(
            f"{what} does not have the signature of {signature.key}; it was altered after it was "
            "signed, so do not use it"
        ) from error


def identity(key: Ed25519PublicKey) -> str:
    """The id of a key: the beginning of its SHA-256."""
    return hashlib.sha256(key.public_bytes(*_RAW)).hexdigest()[:_ID]


def _message(purpose: str, raw: bytes) -> bytes:
    return b"neuro " + purpose.encode() + b"\0" + raw


def _public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(*_PEM)


def _public(pem: bytes, what: str) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{what} is no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{what} is a key of another kind; it must be one of Ed25519")
    return key


def _write_once(path: Path, raw: bytes) -> None:
    """Write a file whole and for this account alone, or raise FileExistsError."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".key-") as scratch:  # of mode 600
        scratch.write(raw)
        scratch.flush()
        os.link(scratch.name, path)
