"""Where notifications go: a private list of Apprise URLs, one a line, and the sending to each.

A URL holds its secret (a password, a token, the path of a webhook), so no message and no log of
ours shows more of it than its scheme and its host.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType
from apprise.common import PersistentStoreMode

from neuro import limits
from neuro.errors import ConfigError

DEADLINE_S = 10.0  # for all addresses together, which are asked at once
_APPRISE = logging.getLogger("apprise")
Urgency = Literal["info", "success", "warning", "failure"]
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """One line of the list. name: its scheme and host, which may be shown; no more of it may."""

    name: str
    url: str = field(repr=False)
    service: NotifyBase = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What became of a message to one address. why: it was not delivered, else ""."""

    address: str
    is_delivered: bool
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A plain text with its title. urgency: how a service that has colours shows it."""

    title: str
    body: str
    urgency: Urgency = "info"


def read(path: Path) -> list[Address]:
    """The addresses of a list, none where there is no such file.

    Raises ConfigError where other accounts may read or write the file, and with the number of a
    line that is no address.
    """
    if not os.path.lexists(path):
        return []
    limits.require_private(path, f"run chmod 600 {path}, and renew the secrets in it")
    lines = enumerate(limits.text_of(path, f"list of addresses {path}").splitlines(), 1)
    urls = [(number, line.strip()) for number, line in lines]
    return [
        _address(url, f"line {number} of {path}")
        for number, url in urls
        if url and not url.startswith("#")
    ]


def send(addresses: Sequence[Address], message: Message) -> list[Delivery]:
    """Send to all of them at once, and say for each whether it took the message.

    Returns after DEADLINE_S at the latest: an address that has not answered by then is not waited
    for, and counts as not reached.
    """
    late = f"no answer within {DEADLINE_S:g} s"
    done = [Delivery(address=each.name, is_delivered=False, why=late) for each in addresses]

    def work(number: int) -> None:
        done[number] = _delivery(addresses[number], message)

    # Daemons: one that waits for a silent server must not hold up the end of the process.
    threads = [
        threading.Thread(target=work, args=(number,), daemon=True, name="notification")
        for number in range(len(addresses))
    ]
    end = time.monotonic() + DEADLINE_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return list(done)


def _address(url: str, where: str) -> Address:
    with _heard():  # Apprise would log the URL
        service = Apprise.instantiate(url, asset=_asset())
    if service is None:
        scheme = _SCHEME.match(url)
        what = f"{scheme[1]}://... is" if scheme else "it has no scheme such as mailto://, so it is"
        raise ConfigError(
            f"{where}: {what} no address that Apprise knows; see docs/notifications.md "
            "(a webhook of your own is jsons://HOST/PATH)"
        )
    # Mail would be HTML else, with our text in it as it is.
    service.notify_format = NotifyFormat.TEXT
    return Address(name=_name(service), url=url, service=service)


def _asset() -> AppriseAsset:
    """No picture from the network in a message, and no file of Apprise's own on this disk."""
    return AppriseAsset(
        app_id="neuro",
        app_desc="neuro",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        storage_mode=PersistentStoreMode.MEMORY,
    )


def _name(service: NotifyBase) -> str:
    """Its scheme and host. Where a token or a topic stands for the host, its ends alone."""
    masked = urlsplit(str(service.url(privacy=True)))  # type: ignore[no-untyped-call]
    host = masked.netloc.rpartition("@")[2]
    is_host = "." in host or ":" in host or host == "localhost"
    return f"{masked.scheme}://{host if is_host else f'{host[:1]}...{host[-1:]}'}"


def _delivery(address: Address, message: Message) -> Delivery:
    with _heard() as said:
        try:
            is_delivered = bool(
                address.service.notify(
                    title=message.title,
                    body=message.body,
                    notify_type=NotifyType(message.urgency),
                    body_format=NotifyFormat.TEXT,
                )
            )
        except Exception as error:  # noqa: BLE001 - whatever one of a hundred services raises
            is_delivered, said[:] = False, [type(error).__name__]
    why = "" if is_delivered else _without_secrets(said[-1] if said else "not taken", address)
    return Delivery(address=address.name, is_delivered=is_delivered, why=why)


def _without_secrets(text: str, address: Address) -> str:
    """What Apprise said, without any part of the URL that its name does not show."""
    parts = {part for url in (address.url, unquote(address.url)) for part in re.split(r"\W+", url)}
    parts -= {"", urlsplit(address.url).scheme, *re.split(r"\W+", address.name)}
    for part in sorted(parts, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "****", text)
    return text


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What Apprise warns of in this thread meanwhile; none of it reaches a log by itself."""
    said: list[str] = []
    handler = _Listener(threading.get_ident(), said)
    _APPRISE.propagate = False
    _APPRISE.addHandler(handler)
    try:
        yield said
    finally:
        _APPRISE.removeHandler(handler)


class _Listener(logging.Handler):
    """Keeps the warnings of one thread."""

    def __init__(self, thread: int, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._thread, self._said = thread, said

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._said.append(record.getMessage())
