"""The emulator inside a Python program: a server in a thread of its own, on a free port."""

import threading
from collections.abc import Mapping
from os import PathLike
from types import TracebackType
from typing import Any, Literal, Self

from emulator.engine import Options
from emulator.errors import EmulatorError, UsageError, did_you_mean
from emulator.journal import Exchange
from emulator.namespace import script_from
from emulator.pace import Pace
from emulator.providers import PROVIDERS
from emulator.scenario import Scenario
from emulator.server import Server, ServerOptions, bind
from emulator.shipped import DEFAULT_SCENARIO

START_TIMEOUT = 10.0


class Emulator:
    """A local stand-in for every documented provider.

        with Emulator(scenario="scenarios/weather.yaml") as emulator:
            client = OpenAI(base_url=emulator.url("serevix") + "/v1", api_key="sk-any")

    scenario: a path, or the same as a dict; left out, the documented examples are answered, and everything else with
        generated text.
    port: 0 takes a free one.
    provider: serve this provider alone, at the root.
    speed: all written paces are this many times as fast; `inf` makes everything come at once.
    pace: the pace of streams for which no file gives one; none: everything comes at once.
    seed: replaces the scenario's.

    Raises ScenarioError for a scenario that cannot be used, UsageError for an option that makes no sense, and, once it
    starts, BindError when the address is taken."""

    def __init__(
        self,
        scenario: str | PathLike[str] | Mapping[str, Any] | Scenario | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        provider: str | None = None,
        speed: float = 1.0,
        pace: Pace | None = None,
        seed: int | None = None,
        loop: Literal["auto", "uvloop", "asyncio"] = "auto",
        http: Literal["httptools", "h11"] = "httptools",
    ) -> None:
        if provider is not None:
            _known(provider)
        if not speed > 0:
            raise UsageError(f"speed is {speed}. Give a number above 0, such as 2, or inf.")
        self.host = host
        self.port = port
        self.provider = provider
        script = script_from(DEFAULT_SCENARIO if scenario is None else scenario)
        self._server = Server(ServerOptions(script, Options(pace, speed), provider, seed, loop, http))
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self) -> Self:
        """Listen, and return once requests are answered."""
        sock = bind(self.host, self.port)
        self.port = sock.getsockname()[1]
        ready = threading.Event()

        def serve() -> None:
            try:
                self._server.run(sock, ready.set)
            except BaseException as error:
                self._error = error
            finally:
                ready.set()

        self._thread = threading.Thread(target=serve, name="emulator", daemon=True)
        self._thread.start()
        if not ready.wait(START_TIMEOUT) or self._error is not None:
            raise EmulatorError(f"The emulator did not start: {self._error or 'no answer'}") from self._error
        return self

    def stop(self) -> None:
        """End open answers and stop listening."""
        self._server.stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def url(self, provider: str) -> str:
        """The base URL of a provider; its documented path follows."""
        _known(provider)
        return self.origin if self.provider == provider else f"{self.origin}/{provider}"

    @property
    def journal(self) -> tuple[Exchange, ...]:
        """What happened so far, oldest first."""
        app = self._server.app
        return tuple(app.namespaces.default.journal) if app is not None else ()


def _known(provider: str) -> None:
    if provider not in PROVIDERS:
        hint = did_you_mean(provider, list(PROVIDERS))
        raise UsageError(f"There is no provider '{provider}'.{hint} Providers: {', '.join(PROVIDERS)}")
