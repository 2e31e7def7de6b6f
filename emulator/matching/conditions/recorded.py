"""The condition that finds a recorded request: by the digest of its redacted form."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emulator.matching.conditions.base import READS_NOTHING, Compiling, Condition, MatchContext
from emulator.matching.conditions.values import RecordedCondition
from emulator.request import HttpRequest

if TYPE_CHECKING:
    from emulator.recording.redaction import Redaction


class Recorded(Condition[RecordedCondition]):
    """The digest of a recorded request, as `emulator record` writes it."""

    key = "recorded"
    reads = READS_NOTHING

    def __init__(self, value: RecordedCondition, compiling: Compiling) -> None:
        from emulator.recording.redaction import Redaction, redaction_of  # only for scenarios with recordings

        super().__init__(value, compiling)
        lists = value.redact
        self.redaction = Redaction() if lists is None else redaction_of(lists.model_dump())

    def holds(self, ask: MatchContext) -> bool:
        return _digest(ask.request.http_request, self.redaction) == self.value.digest

    def mismatch(self, ask: MatchContext) -> str:
        found = _digest(ask.request.http_request, self.redaction)
        return f"the request differs from the recorded one: its digest is {found[:8]}…, not {self.value.digest[:8]}…"

    def differences(self, ask: MatchContext, recorded: Mapping[str, Any]) -> list[str]:
        """How a request differs from the recorded one, as its wire file holds it; empty if they are the same."""
        from emulator.recording.differences import differences

        return [] if self.holds(ask) else differences(ask.request.http_request, recorded, self.redaction)


_latest: list[tuple[HttpRequest, "Redaction", str]] = []
"""Caches the last digest: every recorded rule needs that of the same request."""


def _digest(http_request: HttpRequest, redaction: "Redaction") -> str:
    from emulator.recording.keys import digest_of

    for known, lists, digest in tuple(_latest):
        if known is http_request and lists == redaction:
            return digest
    digest = digest_of(http_request, redaction)
    _latest[:] = [(http_request, redaction, digest)]
    return digest
