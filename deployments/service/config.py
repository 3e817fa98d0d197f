"""What a service is started with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limits import RateLimitItem, parse

from neuro.errors import ConfigError
from neuro.models.package_manifest import MANIFEST

MOST_FILES = 64  # images of one request
MOST_WAITING = 256  # images that are being vetted, answered or written down
MOST_BYTES, TOGETHER_BYTES = 64 << 20, 256 << 20  # of a body, and of all at once
MOST_HELD = 512 << 20  # of clean bytes that are wanted until a request is done
BODY_S = 60.0  # for a body to arrive
BATCH = 16  # images that the network is given at once, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceConfig:
    """models: package folders; without any, every problem that has a champion is served.

    problems: files of problems that are not built in. shadow: what answers beside, unseen: an alias
    or a number, with ``models`` a package folder; "" for nothing. rate: requests of one person.
    token_file: a token of the account that starts the service, made where there is none. port: None
    for the usual one, or the next that is free.
    """

    models: Sequence[Path] = ()
    problems: Sequence[str] = ()
    shadow: str = ""
    engine: str = "auto"
    rate: str = "1200/minute"
    token_file: Path | None = None
    lake: str | None = None
    port: int | None = None

    def __post_init__(self) -> None:
        _ = self.limit
        if self.port is not None and not 1024 <= self.port <= 65535:
            raise ConfigError(f"port must be within 1024..65535, got {self.port}")
        for folder in self.models:
            if not (folder / MANIFEST).is_file():
                raise ConfigError(f"model {folder} is no package folder; `neuro train` prints one")

    @property
    def limit(self) -> RateLimitItem:
        """The rate as the limiter takes it."""
        try:
            return parse(self.rate)
        except ValueError as error:
            raise ConfigError(
                f"rate must be like 600/minute or 10/second, got {self.rate!r}"
            ) from error
