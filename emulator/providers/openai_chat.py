"""A base for providers that speak chat completions and state all their differences in one class."""

from typing import Any, Generic

import orjson

from emulator.dialects.base import Vendor
from emulator.dialects.chat_completions import BodyT, ChatCompletions
from emulator.providers.base import Provider, SettingsT_co


class ChatDialect(ChatCompletions[BodyT, Vendor], Provider[SettingsT_co], Generic[SettingsT_co, BodyT]):
    """A provider that is also its own chat completions dialect."""

    def __init__(self, settings: SettingsT_co | None = None) -> None:
        Provider.__init__(self, settings)
        self.provider = self

    def dumps(self, value: Any) -> bytes:
        return orjson.dumps(value, option=self.json_options)
