"""Seeded random choices by hashing: each is a function of its purpose, never the next number of a shared generator.

So the same run gives the same bytes, in series or in parallel, and adding one choice changes no other.
"""

import random
from functools import lru_cache
from hashlib import blake2b

Entropy = str | int | bytes


def digest(*ingredients: Entropy) -> bytes:
    """Returns 32 bytes that depend on all values and their order."""
    return hashed(mixed(*ingredients))


def mixed(*ingredients: Entropy) -> bytes:
    """Values to hash. Mixes can be concatenated: `mixed(a, b) == mixed(a) + mixed(b)`."""
    parts = []
    for item in ingredients:
        if item.__class__ is str:
            data = item.encode("utf-8", "surrogatepass")
        elif item.__class__ is bytes:
            data = item
        elif item.__class__ is int:
            data = b"%d" % item
        else:  # a subclass
            data = bytes(item) if isinstance(item, bytes) else str(item).encode("utf-8", "surrogatepass")
        parts.append(b"%d:%b" % (len(data), data))  # length first, so that ("ab", "c") and ("a", "bc") differ
    return b"".join(parts)


mixed_before = lru_cache(maxsize=1024)(mixed)
"""The same, cached, for values that are used often."""


def digest_of(purpose: str, item: bytes) -> bytes:
    """Returns `digest(purpose, item)`."""
    return hashed(b"%b%d:%b" % (mixed_before(purpose), len(item), item))


def hashed(mixture: bytes) -> bytes:
    """Returns the digest of mixed values."""
    return blake2b(mixture, digest_size=32).digest()


def roll(*ingredients: Entropy) -> int:
    """Returns an integer in [0, 2**64)."""
    return int.from_bytes(digest(*ingredients)[:8], "big")


def fraction(*ingredients: Entropy) -> float:
    """Returns a number in [0, 1)."""
    return (roll(*ingredients) >> 11) / (1 << 53)


def generator(*ingredients: Entropy) -> random.Random:
    """Returns a separate generator, for work that needs many numbers, such as generating a text."""
    return random.Random(roll(*ingredients))


_ALPHANUMERIC = bytes(
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[byte % 62] for byte in range(256)
)


def letters(entropy: bytes, length: int) -> str:
    """Returns letters and digits from random bytes, at most one per byte."""
    return entropy[:length].translate(_ALPHANUMERIC).decode()


def alphanumeric(length: int, *ingredients: Entropy) -> str:
    """Returns `length` (at most 32) letters and digits, for ids."""
    return letters(digest(*ingredients), length)
