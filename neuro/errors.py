"""Every error neuro raises on purpose: each says what, where, what was expected and what to do."""

from collections.abc import Mapping


class NeuroError(Exception):
    """Base of all; the command line ends with its ``exit_code``."""

    exit_code = 1


class ConfigError(NeuroError, ValueError):
    """A field, name or file of the request is wrong; the message names it and the remedy."""

    exit_code = 2


class FileAccessError(NeuroError):
    """This machine does not let a file be read or written; the message names it and the remedy."""


class UnknownNameError(ConfigError):
    """A problem, model, release or flag nobody has heard of; near misses are suggested."""


class BadImageError(NeuroError):
    """Bytes that are no usable image. ``code`` is the quarantine reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ManifestError(ConfigError):
    """A delivery's manifest breaks its schema. ``counts``: files by broken check, no value."""

    def __init__(self, message: str, counts: Mapping[str, int]) -> None:
        super().__init__(message)
        self.counts = counts


class AuditError(NeuroError):
    """A branch failed its audit and was not published. ``counts``: rows by broken check."""

    def __init__(self, message: str, counts: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.counts = dict(counts or {})


class SplitOverlapError(NeuroError):
    """One group stands in two splits."""


class DamagedError(NeuroError):
    """Stored bytes no longer match their digest."""


class ErasedError(NeuroError):
    """A release held images that were erased since; the message names what took its place."""


class StaleError(NeuroError):
    """Somebody else advanced the lake meanwhile; run the command again."""


class TrainingError(NeuroError):
    """Training cannot start or cannot go on."""


class PackageError(NeuroError):
    """A model package is incomplete, altered or of another kind."""


class SignatureError(PackageError):
    """Something is not signed, or not by a key that is believed here, or was altered since."""


class StorageError(NeuroError):
    """An object store did not answer in time, refused, or cannot be trusted with what is asked."""


class DeniedError(StorageError):
    """A store refused, because the credentials or the role's policy do not allow it."""


class ServerError(NeuroError):
    """A server that is needed is not reached, or a port is taken."""
