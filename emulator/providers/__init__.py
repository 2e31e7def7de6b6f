"""The rooms, one per provider, and the table of them."""

from collections.abc import Mapping

from emulator.providers.base import Provider
from emulator.providers.cloudsway import Cloudsway
from emulator.providers.maxtoken import MaxToken
from emulator.providers.nadles import Nadles
from emulator.providers.serevix import Serevix

PROVIDERS: Mapping[str, type[Provider]] = {
    "maxtoken": MaxToken,
    "nadles": Nadles,
    "serevix": Serevix,
    "cloudsway": Cloudsway,
}
