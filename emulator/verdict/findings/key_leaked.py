"""Sending the key where it may be logged."""

from collections.abc import Iterator

from emulator.verdict.base import Check, Evidence, Found


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks where keys were sent, which the journal records without the keys."""
    for place, words in (("url", "the URL"), ("body", "the body")):
        exchanges = tuple([each.number for each in evidence.attempts if place in (each.row.get("leaks") or ())])
        if exchanges:
            count = "a request" if len(exchanges) == 1 else f"{len(exchanges)} requests"
            yield Found(exchanges, f"A key was in {words} of {count}, where logs and caches may store it.")


CHECK = Check(
    "key_leaked",
    "MUST",
    "Puts a key into the URL or the body of a request.",
    "RFC 9110, section 17.9",
    "It is therefore unwise to include information within a URI that is sensitive, personally identifiable, or a "
    "risk to disclose.",
    "Send the key in its header alone (`Authorization`, `x-api-key`), and rotate any key that was sent elsewhere.",
    judge,
)
