"""Weights that timm publishes: where they are, and how one file of them is fetched.

Nothing but ``fetch`` asks a network.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from neuro.errors import ConfigError, NeuroError
from neuro.models import backbone, load_weights, own_networks, weights_store
from neuro.models.weights_store import StoredWeights

HUB = "https://huggingface.co"
_FILE = "model.safetensors"
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Weights that timm publishes. architecture: with timm's tag. licence: "" for not stated."""

    architecture: str
    url: str
    licence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchLimits:
    """When a download is given up: after so many bytes, seconds in all, or seconds of silence."""

    file_bytes: int = load_weights.LARGEST_BYTES
    deadline_s: float = 3600.0
    silence_s: float = 30.0


def published(name: str, endpoint: str = HUB) -> Published:
    """Where timm's weights of a network are; asks no network.

    name: with or without a tag; without one, the weights that timm takes itself. endpoint: the
    hub's address. Raises ConfigError for a network without any, UnknownNameError for the name.
    """
    backbone.check(name)
    if name in own_networks.OURS:
        raise ConfigError(f"nobody has published weights of {name!r}; choose a network of timm's")
    import timm  # seconds to import

    config = timm.get_pretrained_cfg(name)
    url = config.url if config is not None and isinstance(config.url, str) else ""
    if config is None or not (config.hf_hub_id or url):
        raise ConfigError(f"timm knows no published weights of {name!r}; choose another network")
    file = config.hf_hub_filename or _FILE
    on_hub = f"{endpoint.rstrip('/')}/{config.hf_hub_id}/resolve/main/{file}"
    return Published(
        architecture=f"{name.partition('.')[0]}.{config.tag}".rstrip("."),
        url=on_hub if config.hf_hub_id else url,
        licence=config.license or "",
    )


def fetch(
    name: str, folder: Path, endpoint: str = HUB, limits: FetchLimits | None = None
) -> StoredWeights:
    """Fetch timm's weights of a network, and keep them in the folder once they are known to fit.

    endpoint: the hub's address. Raises ConfigError where there are none, and where what came is not
    whole, too large, or does not fit; then nothing is kept.
    """
    there = published(name, endpoint)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
        file = Path(scratch) / there.url.rpartition("/")[2]
        try:
            expected = _download(there.url, file, limits or FetchLimits())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConfigError(
                f"the weights of {name!r} were not fetched from {there.url} "
                f"({type(error).__name__}: {str(error)[:160]}). Try again, or bring that file from "
                f"where there is a network, and `neuro weights add FILE --model {name}`"
            ) from error
        try:
            if expected:
                load_weights.require(file, expected)
            return weights_store.add(
                folder,
                file,
                there.architecture,
                licence=there.licence,
                source=there.url,
            )
        except NeuroError as error:
            raise ConfigError(f"what {there.url} gave is not kept: {error}") from error


def _download(url: str, file: Path, limits: FetchLimits) -> str:
    """Write what an address gives to a file. Returns the SHA-256 that the hub states, or ""."""
    end = time.monotonic() + limits.deadline_s
    whole = {"Accept-Encoding": "identity"}
    with (
        httpx.stream(
            "GET", url, follow_redirects=True, timeout=limits.silence_s, headers=whole
        ) as answer,
        file.open("wb") as out,
    ):
        answer.raise_for_status()
        for chunk in answer.iter_bytes(_CHUNK):
            out.write(chunk)
            if out.tell() > limits.file_bytes:
                raise ConfigError(
                    f"{url} gives more than {limits.file_bytes:,} bytes; nothing is kept"
                )
            if time.monotonic() > end:
                raise ConfigError(
                    f"{url} was not fetched within {limits.deadline_s:g} s; try again, or use a "
                    "faster network"
                )
    return next(_digests(answer), "")


def _digests(answer: httpx.Response) -> Iterator[str]:
    """SHA-256 of a file, as the hub states it, on its own answer or before it leads elsewhere."""
    for each in (*answer.history, answer):
        stated = each.headers.get("X-Linked-ETag", "").strip('"').lower()
        if len(stated) == 64 and set(stated) <= set("0123456789abcdef"):
            yield stated
