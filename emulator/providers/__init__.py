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
