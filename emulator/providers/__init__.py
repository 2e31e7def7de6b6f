"""The rooms, one per provider, and the table of them."""

from collections.abc import Mapping

from emulator.providers.base import Provider
from emulator.providers.cloudsway import Cloudsway
from emulator.providers.deepseek import DeepSeek
from emulator.providers.maxtoken import MaxToken
from emulator.providers.nadles import Nadles
from emulator.providers.plugins import with_plugins
from emulator.providers.serevix import Serevix

PROVIDERS: Mapping[str, type[Provider]] = with_plugins(
    {
        "maxtoken": MaxToken,
        "nadles": Nadles,
        "serevix": Serevix,
        "cloudsway": Cloudsway,
        "deepseek": DeepSeek,
    }
)
"""Every room by its name, as it stands in URLs; installed distributions may bring along more."""

CREDENTIAL_HEADERS: tuple[str, ...] = tuple(
    sorted({room.auth_header.partition(":")[0].strip().lower() for room in PROVIDERS.values()})
)
"""The headers in which clients show their keys to one provider or another."""

COMPLETION_OPERATIONS: tuple[str, ...] = tuple(
    dict.fromkeys(each.name for room in PROVIDERS.values() for each in room.operations if each.is_completion)
)
"""The operations that a model answers, whatever a provider calls them: those of a rule that names none."""
