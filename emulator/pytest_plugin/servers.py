"""The servers of one test process: a shared one, and another one for each set of server options."""

import os
from typing import Any

from emulator.embedded import Emulator
from emulator.server.app import App

Key = tuple[int, str]


class Servers:
    """Starts servers on demand, and keeps them until the session ends."""

    def __init__(self) -> None:
        self._running: dict[Key, Emulator] = {}

    def get(self, options: dict[str, Any]) -> Emulator:
        """Returns a running server with these options of `Emulator`. Raises EmulatorError."""
        key = (os.getpid(), repr(sorted(options.items())))  # in a forked process, the parent's servers can't be used
        server = self._running.get(key)
        if server is None:
            server = self._running[key] = Emulator(None, **options).start()
        return server

    def give_back(self, server: Emulator) -> None:
        """Handles the end of a test: drops a server if the test has left its listening socket closed or broken."""
        if server._server.call(lambda: _is_whole(server._server.app, server)):
            return
        for key in [key for key, running in self._running.items() if running is server]:
            del self._running[key]
        server.stop()

    def stop(self) -> None:
        """Stops all servers."""
        for server in self._running.values():
            server.stop()
        self._running.clear()


def _is_whole(app: App | None, server: Emulator) -> bool:
    control = server._server.listener_control
    return app is not None and control is not None and control.is_untouched
