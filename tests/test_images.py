"""The size of an image is read from the first bytes of its file."""

import base64

import pytest

from emulator.images import Size, size_of, size_of_base64, size_of_url

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (640).to_bytes(4, "big") + (480).to_bytes(4, "big")
GIF = b"GIF89a" + (320).to_bytes(2, "little") + (200).to_bytes(2, "little")
FRAME = b"\xff\xc0\0\x11\x08" + (30).to_bytes(2, "big") + (40).to_bytes(2, "big") + b"\0\0"
JPEG = b"\xff\xd8\xff\xe0\0\x04ab" + FRAME


def webp(kind: bytes, rest: bytes) -> bytes:
    return (b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0" + rest).ljust(30, b"\0")


EXTENDED = webp(b"VP8X", b"\0\0\0\0" + (99).to_bytes(3, "little") + (49).to_bytes(3, "little"))
LOSSLESS = webp(b"VP8L", b"\x2f" + (99 | 49 << 14).to_bytes(4, "little"))
LOSSY = webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + (100).to_bytes(2, "little") + (50).to_bytes(2, "little"))


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (PNG, (640, 480)),
        (PNG[:20], None),
        (PNG[:16] + b"\0" * 8, None),
        (GIF, (320, 200)),
        (GIF[:8], None),
        (EXTENDED, (100, 50)),
        (LOSSLESS, (100, 50)),
        (LOSSY, (100, 50)),
        (LOSSY[:29], None),
        (JPEG, (40, 30)),
        (b"\xff\xd8\xff" + FRAME, (40, 30)),  # a fill byte
        (b"\xff\xd8\xff\x01\xff\xd0" + FRAME, (40, 30)),  # segments without content
        (b"\xff\xd8\xff\xc4\0\x02" + FRAME, (40, 30)),  # a table, whose marker is among those of frames
        (b"\xff\xd8" + b"\0" * 20, None),
        (JPEG[:12], None),
        (b"BM" + b"\0" * 40, None),
    ],
)
def test_the_size_in_each_format(data: bytes, size: Size | None) -> None:
    text = base64.b64encode(data).decode()
    assert (size_of(data), size_of_base64(text), size_of_url(f"data:image/x;base64,{text}")) == (size, size, size)


@pytest.mark.parametrize("text", ["*" * 40, "é" * 40])
def test_what_is_not_base64_has_no_size(text: str) -> None:
    assert size_of_base64(text) is None


def test_a_link_has_no_size() -> None:
    assert size_of_url("https://example.com/a.png") is None
