"""Typical values for the name of a property, and values for each format."""

import datetime
import re
import string
import uuid
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from emulator.generation.prose import Fake

# fmt: off
WORDS = tuple(re.findall(r"\w+", """
amber anchor apple bridge canyon cedar clover coral delta ember falcon forest garden harbor island jasmine lantern maple
meadow mirror ocean orchard pebble pepper quartz ribbon river saffron silver summit thunder timber violet willow winter
"""))
SENTENCES = (
    "A short note on the {} {}, with an example from the {}.", "This is about the {} {} and what belongs to the {}.",
    "The {} {} works as expected, and so does the {}.", "Everything worth knowing about the {} {} near the {}.",
    "The {} {} comes first, and the {} follows soon after.", "Please compare the {} {} with the {} before you decide.",
    "In short, the {} {} matters more than the {}.", "The {} {} is ready, while the {} needs one more day.",
)
# The typical value of a property with this name: a method of Faker, or a key of `FORMS`.
NAMES = {
    "name": "name", "full_name": "name", "first_name": "first_name", "last_name": "last_name", "surname": "last_name",
    "author": "name", "customer": "name", "person": "name", "user": "user_name", "username": "user_name",
    "user_name": "user_name", "email": "email", "mail": "email", "phone": "phone_number", "city": "city",
    "town": "city", "location": "city", "country": "country", "address": "street_address", "street": "street_address",
    "zip": "postcode", "zip_code": "postcode", "postcode": "postcode", "postal_code": "postcode", "state": "state",
    "company": "company", "company_name": "company", "organization": "company", "job": "job", "profession": "job",
    "job_title": "job", "color": "color_name", "colour": "color_name", "currency": "currency_code",
    "country_code": "country_code", "language": "language_name", "timezone": "timezone", "ip": "ipv4",
    "ip_address": "ipv4", "file": "file_name", "filename": "file_name", "file_name": "file_name",
    "user_agent": "user_agent", "hostname": "hostname", "domain": "hostname", "url": "uri", "uri": "uri",
    "link": "uri", "website": "uri", "homepage": "uri", "uuid": "uuid", "guid": "uuid", "id": "id", "key": "id",
    "token": "id", "date": "date", "day": "date", "birthday": "date", "deadline": "date", "birth_date": "date",
    "time": "clock", "timestamp": "date-time", "datetime": "date-time", "at": "date-time",
    "duration": "duration", "title": "title", "subject": "title", "headline": "title", "heading": "title",
    "product_name": "words", "event_name": "words", "file_path": "path", "path": "path",
    "description": "prose", "summary": "prose", "text": "prose", "content": "prose", "message": "prose",
    "comment": "prose", "body": "prose", "bio": "prose", "reason": "prose", "answer": "prose", "explanation": "prose",
    "note": "prose", "question": "prose", "query": "title", "reasoning": "prose", "thought": "prose",
}
# Lowest, highest, decimals.
SPANS = {
    "price": (5, 250, 2), "amount": (5, 500, 2), "cost": (5, 250, 2), "total": (10, 900, 2), "balance": (0, 900, 2),
    "age": (18, 80, 0), "year": (1990, 2026, 0), "month": (1, 12, 0), "day": (1, 28, 0), "hour": (0, 23, 0),
    "minute": (0, 59, 0), "count": (1, 20, 0), "quantity": (1, 10, 0), "number": (1, 100, 0), "id": (1000, 9999, 0),
    "rating": (1, 5, 1), "score": (0, 1, 2), "confidence": (0, 1, 2), "probability": (0, 1, 2), "percent": (0, 100, 0),
    "percentage": (0, 100, 0), "latitude": (-60, 70, 4), "lat": (-60, 70, 4), "longitude": (-170, 170, 4),
    "lon": (-170, 170, 4), "lng": (-170, 170, 4), "temperature": (-5, 32, 1), "humidity": (20, 95, 0),
    "weight": (1, 100, 1), "height": (1, 200, 1), "width": (1, 200, 1), "size": (1, 100, 0),
    "population": (900, 9**7, 0), "line": (1, 400, 0), "port": (1024, 65535, 0), "status": (200, 204, 0),
    "timestamp": (1_700_000_000, 1_790_000_000, 0),
}


def _day(random: Random) -> str:
    return (datetime.date(2024, 1, 1) + datetime.timedelta(days=random.randrange(1000))).isoformat()


def _clock(random: Random) -> str:
    return f"{random.randrange(6, 22):02}:{random.randrange(0, 60, 5):02}"


def _letters(random: Random, length: int) -> str:
    return "".join(random.choices(string.ascii_lowercase, k=length))


def _labels(random: Random, length: int) -> str:
    """Returns a host name of exactly `length` characters, with labels of at most 60."""
    text = list(_letters(random, length))
    for at in range(60, length - 1, 61):
        text[at] = "."
    return "".join(text)


FORMS: dict[str, Callable[[Random], str]] = {
    "date": _day,
    "time": lambda random: f"{_clock(random)}:00Z",
    "clock": _clock,
    "date-time": lambda random: f"{_day(random)}T{_clock(random)}:00Z",
    "duration": lambda random: random.choice(("PT{}M", "PT{}H", "P{}D", "P{}W")).format(random.randint(1, 48)),
    "email": lambda random: f"{random.choice(WORDS)}.{random.choice(WORDS)}@example.com",
    "idn-email": lambda random: f"{random.choice(WORDS)}@example.org",
    "hostname": lambda random: f"{random.choice(WORDS)}.example.com",
    "idn-hostname": lambda random: f"{random.choice(WORDS)}.example.org",
    "ipv4": lambda random: f"192.0.2.{random.randint(1, 254)}",
    "ipv6": lambda random: f"2001:db8::{random.randint(1, 0xFFFF):x}",
    "uri": lambda random: f"https://www.example.com/{random.choice(WORDS)}/{random.choice(WORDS)}",
    "uri-reference": lambda random: f"/{random.choice(WORDS)}/{random.choice(WORDS)}",
    "iri": lambda random: f"https://www.example.com/{random.choice(WORDS)}/größe",
    "iri-reference": lambda random: f"/{random.choice(WORDS)}/größe",
    "uri-template": lambda random: f"https://www.example.com/{random.choice(WORDS)}/{{id}}",
    "relative-json-pointer": lambda random: f"{random.randint(0, 3)}/{random.choice(WORDS)}",
    "json-pointer": lambda random: f"/{random.choice(WORDS)}/{random.randint(0, 9)}",
    "regex": lambda random: f"^{random.choice(WORDS)}+$",
    "uuid": lambda random: str(uuid.UUID(int=random.getrandbits(128), version=4)),
    "id": lambda random: "".join(random.choices("abcdefghjkmnpqrstuvwxyz23456789", k=10)),
    "title": lambda random: " ".join(random.sample(WORDS, 3)).capitalize(),
    "words": lambda random: " ".join(random.sample(WORDS, 2)).title(),
    "path": lambda random: f"/{random.choice(WORDS)}/{random.choice(WORDS)}.txt",
    "prose": lambda random: random.choice(SENTENCES).format(*random.sample(WORDS, 3)),
}
# The formats whose values can have almost any length; each function returns exactly the requested length.
STRETCHED: dict[str, Callable[[Random, int], str]] = {
    "email": lambda random, length: f"{_letters(random, length - 5)}@b.co",
    "idn-email": lambda random, length: f"{_letters(random, length - 5)}@b.co",
    "hostname": _labels,
    "idn-hostname": _labels,
    "uri": lambda random, length: f"x:{_letters(random, length - 2)}",
    "uri-reference": _letters,
    "regex": _letters,
    "iri": lambda random, length: f"x:{_letters(random, length - 2)}",
    "iri-reference": _letters,
    "uri-template": _letters,
    "relative-json-pointer": lambda random, length: f"0/{_letters(random, length - 2)}" if length > 1 else "0",
    "json-pointer": lambda random, length: f"/{_letters(random, length - 1)}" if length else "",
    "duration": lambda random, length: f"P{'0' * max(0, length - 3)}1D",
}
# fmt: on


def looked_up(name: str, table: Mapping[str, Any]) -> Any:
    """Looks a property name up in a table: `billingZipCode` as billing_zip_code, zip_code, code."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name[:100])]
    keys = ("_".join(words[start:]) for start in range(len(words)))
    return next((table[key] for key in keys if key in table), None)


def plausible(name: str, low: int, high: int, random: Random) -> str | None:
    kind = looked_up(name, NAMES) or looked_up(name.removesuffix("s"), NAMES)
    if kind is None:
        return None
    text = FORMS[kind](random) if kind in FORMS else getattr(Fake("en_US", random.getrandbits(64)), kind)()
    return text if low <= len(text) <= high else None
