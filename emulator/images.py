"""Reads the size of an image from the first bytes of its file: PNG, GIF, JPEG, WebP. Nothing is decoded or fetched."""

import base64
import binascii
import re
from collections.abc import Callable

Size = tuple[int, int]
"""Width and height in pixels."""

DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
MAX_HEAD = 1 << 20
"""The number of base64 characters that are read: the size may follow long metadata."""


def size_of_url(url: str) -> Size | None:
    """Returns the size of an image in a data URL; None for a link, or if the size is not found."""
    found = DATA_URL.match(url)
    return size_of_base64(url[found.end() : found.end() + MAX_HEAD]) if found else None


def size_of_base64(text: str) -> Size | None:
    """Returns the size of an image in base64."""
    head = text[:MAX_HEAD]
    try:
        return size_of(base64.b64decode(head[: len(head) // 4 * 4], validate=True))
    except (binascii.Error, ValueError):
        return None


def size_of(data: bytes) -> Size | None:
    """Returns the size of an image file; None if its format is unknown."""
    for is_such, read in READERS:
        if is_such(data):
            size = read(data)
            return size if size is not None and min(size) > 0 else None
    return None


def _png(data: bytes) -> Size | None:
    return (_big(data[16:20]), _big(data[20:24])) if len(data) >= 24 else None


def _gif(data: bytes) -> Size | None:
    return (_little(data[6:8]), _little(data[8:10])) if len(data) >= 10 else None


def _webp(data: bytes) -> Size | None:
    if len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return _little(data[24:27]) + 1, _little(data[27:30]) + 1
    if kind == b"VP8L":
        bits = _little(data[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF


def _jpeg(data: bytes) -> Size | None:
    place = 2
    while place + 9 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:  # fill bytes
            place += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # segments without content
            place += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _big(data[place + 7 : place + 9]), _big(data[place + 5 : place + 7])
        else:
            place += 2 + max(2, _big(data[place + 2 : place + 4]))
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


READERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Size | None]], ...] = (
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda data: data.startswith((b"GIF87a", b"GIF89a")), _gif),
    (lambda data: data.startswith(b"\xff\xd8"), _jpeg),
    (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", _webp),
)
"""The parser for each file format, by its first bytes."""
