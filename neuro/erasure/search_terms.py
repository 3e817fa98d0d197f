"""What an erasure searches for: pieces of the erased images, also as pages embed them."""

import base64
from contextlib import suppress

from neuro.images import preview, sanitize
from neuro.lake.erasure import Payload

WINDOW = 64  # bytes: long enough that no other image has them by chance


def needles(payload: Payload) -> list[bytes]:
    """Windows of each content to search for, as bytes and as base64 (pages embed images so).

    Of each content the three most varied of nine windows, none of them in the header: a run of
    black and the usual tables of a JPEG say nothing. What pages show of an image is a content, too.
    """
    windows: set[bytes] = set()
    previews: set[bytes] = set()
    for stored in payload.stored:
        with suppress(*sanitize.DECODE_ERRORS):  # damaged in the lake: then no page can show it
            previews.add(preview.small(stored))
    for content in payload.stored | payload.others | previews:
        start = _pixels_start(content)
        windows.update(_varied_windows(content[start:]))
        windows.update(_varied_windows(base64.b64encode(content)[start * 4 // 3 + 4 :]))
    return sorted(windows)


def _pixels_start(content: bytes) -> int:
    """Where the compressed pixels begin."""
    if content.startswith(b"\xff\xd8"):
        return max(content.rfind(b"\xff\xda"), 0)
    return max(content.find(b"IDAT"), 0)


def _varied_windows(content: bytes) -> list[bytes]:
    if len(content) <= WINDOW:
        return [content]
    last = len(content) - WINDOW
    starts = [last * n // 8 for n in range(9)]
    windows = {content[start : start + WINDOW] for start in starts}
    most_varied = sorted(windows, key=lambda window: (-len(set(window)), window))[:3]
    return [window for window in most_varied if len(set(window)) > WINDOW // 8]
