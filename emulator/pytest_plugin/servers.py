"""The servers of one test process: one for all tests, and one more for each set of options of a whole server."""

import os
from typing import Any

from emulator.embedded import Emulator
from emulator.server.app import App

Key = tuple[int, str]


class Servers:
    """Starts servers when they are needed, and keeps them until the session ends."""

    def __init__(self) -> None:
        self._running: dict[Key, Emulator] = {}

    def get(self, options: dict[str, Any]) -> Emulator:
        """A running server with these options of `Emulator`. Raises EmulatorError."""
        key = (os.getpid(), repr(sorted(options.items())))  # in a forked process, the parent's cannot be used
        server = self._running.get(key)
        if server is None:
            server = self._running[key] = Emulator(None, **options).start()
        return server

    def give_back(self, server: Emulator) -> None:
        """A test is over. A server whose listening socket it left closed or broken is of no use to the next one."""
        if server._server.call(lambda: _is_whole(server._server.app, server)):
            return
        for key in [key for key, running in self._running.items() if running is server]:
            del self._running[key]
        server.stop()

    def stop(self) -> None:
        """Stop all of them."""
        for server in self._running.values():
            server.stop()
        self._running.clear()


def _is_whole(app: App | None, server: Emulator) -> bool:
    control = server._server.listener_control
    return app is not None and control is not None and control.is_untouched
