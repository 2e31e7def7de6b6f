"""Signatures of thoughts, with which a later request proves that the thoughts are the model's own."""

import base64
import binascii

from emulator import seeded

SIZE = 228
SALT, DIGEST = 16, 16
SECRET = "signature"


def signed(text: str, salt: seeded.Entropy) -> str:
    """Returns the signature of a thought. A different salt gives a different signature, as in a different answer."""
    head = seeded.digest("salt", salt)[:SALT] + seeded.digest("thought", text)[:DIGEST]
    rest = b"".join([seeded.digest("padding", head, number) for number in range(6)])
    data = head + seeded.digest(SECRET, head)[:DIGEST] + rest
    return base64.b64encode(b"\x12\xe1\x01" + data[: SIZE - 3]).decode()


def is_genuine(signature: str | None, text: str) -> bool:
    """Whether `signed` made a signature for this thought. A hidden thought comes back without its text."""
    try:
        data = base64.b64decode(signature or "", validate=True)
    except (binascii.Error, ValueError):
        return False
    head, proof = data[3 : 3 + SALT + DIGEST], data[3 + SALT + DIGEST : 3 + SALT + 2 * DIGEST]
    if len(data) != SIZE or proof != seeded.digest(SECRET, head)[:DIGEST]:
        return False
    return not text or head[SALT:] == seeded.digest("thought", text)[:DIGEST]
