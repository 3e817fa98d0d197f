"""The picture of a sample as pages show it: small, and the same bytes wherever it is shown.

One function for all pages, so that an erasure can search them for what it made of an image.
"""

import io

from PIL import Image

SIDE_PX = 128
_QUALITY = 82


def small(stored: bytes) -> bytes:
    """Shrink a stored PNG or JPEG to at most 128 px a side; a JPEG, which holds nothing but it."""
    with Image.open(io.BytesIO(stored), formats=("PNG", "JPEG")) as opened:
        opened.draft(None, (2 * SIDE_PX, 2 * SIDE_PX))
        picture = opened.convert("L" if opened.mode in ("1", "L", "LA") else "RGB")
    picture.info.clear()  # Pillow writes a comment on, even after convert
    picture.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
