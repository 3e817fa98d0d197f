"""The signing keys of this installation: where they lie, and that they can be used."""

from pathlib import Path

from neuro import signing
from neuro.signing import Keys, Signature
from tasks.runtime import settings


def folder() -> Path:
    """Where they lie."""
    return settings.load().home / "keys"


def require() -> None:
    """Raise ConfigError unless this installation can sign; its first key is made here."""
    signing.ensure(folder())
    signing.own(folder())


def trusted() -> Keys:
    """The keys that are believed here."""
    return signing.trusted(folder())


def sign(purpose: str, raw: bytes) -> Signature:
    """A signature with the own key."""
    return signing.sign(folder(), purpose, raw)
