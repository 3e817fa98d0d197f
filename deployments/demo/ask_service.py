"""One image, asked of the service as a person's program would, and the curl that does the same."""

import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deployments.stack.servers import Stack
from neuro.client import Client
from neuro.errors import ServerError
from neuro.images import image_names
from tasks.runtime import settings

_PATIENCE_S = 60.0  # for the service to notice the first promotion, and to choose its engine


def ask(up: Stack, folder: Path) -> dict[str, Any]:
    """The answer to the first image of a folder, and ``curl``; ServerError where none comes."""
    image = next(path for path in sorted(folder.rglob("*")) if image_names.has_image_ending(path.name))
    end = time.monotonic() + _PATIENCE_S
    while not settings.reachable(up.service_url, "readyz"):
        if time.monotonic() > end:
            raise ServerError("the service serves no champion; its log is in state/logs/service.log")
        time.sleep(0.5)
    token = up.token_file.read_text(encoding="utf-8").strip()
    with Client(up.service_url, token) as client:
        (answer,) = client.predict(image)
    return asdict(answer) | {"curl": curl(up, image)}


def curl(up: Stack, image: Path) -> str:
    """What asks the same in a shell."""
    header = f'-H "Authorization: Bearer $(cat {shlex.quote(str(up.token_file))})"'
    file = shlex.quote(f"files=@{image}")
    return f"curl {header} -F {file} {up.service_url}/v1/predictions"
