"""The emulator inside a Python program: a server in its own thread, on a free port."""

import asyncio
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from emulator import arguments
from emulator.arguments import ScenarioSource
from emulator.client import NamespaceClient
from emulator.control import api
from emulator.control.access import access_for
from emulator.engine import Options
from emulator.errors import EmulatorError, UsageError
from emulator.faults.base import Fault
from emulator.faults.selection import fault_sources
from emulator.pace import Pace
from emulator.resources import DEFAULT_SCENARIO
from emulator.server.server import Server, ServerOptions
from emulator.server.sockets import bind
from emulator.state.compiled import CompiledScenario, compile_scenario
from emulator.state.namespace import safe_name

START_TIMEOUT = 10.0


class Emulator(NamespaceClient):
    """A local stand-in for every documented provider.

        with Emulator(scenario="scenarios/weather.yaml") as emulator:
            client = OpenAI(base_url=emulator.url("serevix") + "/v1", api_key="sk-any")

    scenario: a path, or a scenario as a dict. By default, the documented examples get their documented answers, and
        everything else gets generated text.
    port: 0 picks a free one.
    provider: serve only this provider, at the root.
    speed: multiplier for all paces; `inf` removes all delays.
    pace: the pace of streams for which no file sets one; by default, no delays.
    seed: overrides the scenario's seed.
    unmatched: the answer to a request that no rule matches, if the scenario doesn't say: `generate` or `error`. With a
        scenario, the default is an error that explains why each rule didn't match.
    faults: one fault or several to inject into every answer, as in `serve --fault`.
    request_faults: whether requests may ask for faults by header, key or URL.
    allow_code: whether scenarios may call Python functions.
    reload: whether to reload changed files.

    The emulator itself is the default namespace; `namespace(NAME)` returns others.

    Raises ScenarioError for an invalid scenario, UsageError for an invalid option, and, on start, BindError if the
    address is taken."""

    def __init__(
        self,
        scenario: ScenarioSource | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        provider: str | None = None,
        speed: float = 1.0,
        pace: Pace | None = None,
        seed: int | None = None,
        unmatched: Literal["generate", "error"] | None = None,
        faults: str | Mapping[str, Any] | Fault | Iterable[str | Mapping[str, Any] | Fault] = (),
        request_faults: bool = True,
        allow_code: bool = False,
        reload: bool = False,
        loop: Literal["auto", "uvloop", "asyncio"] = "auto",
        http: Literal["httptools", "h11"] = "httptools",
    ) -> None:
        self.host = arguments.text("host", host)
        self.port = arguments.whole("port", port, 0, 65535)
        if provider is not None:
            arguments.text("provider", provider)
        if unmatched is not None:
            arguments.one_of("unmatched", unmatched, ("generate", "error"))
        arguments.one_of("loop", loop, ("auto", "uvloop", "asyncio"))
        arguments.one_of("http", http, ("httptools", "h11"))
        sources = (DEFAULT_SCENARIO if scenario is None else arguments.source(scenario),)
        options = Options(
            pace=arguments.pace(pace),
            speed=arguments.speed(speed),
            unmatched=unmatched or ("generate" if scenario is None else "error"),
            faults=arguments.faults(faults),
            request_faults=fault_sources(
                header=arguments.switch("request_faults", request_faults), others=request_faults
            ),
            allows_code=arguments.switch("allow_code", allow_code),
        )
        server = Server(
            ServerOptions(
                compile_scenario(*sources),
                options,
                provider=provider,
                seed=arguments.seed(seed),
                sources=sources if arguments.switch("reload", reload) else (),
                access=access_for(self.host),
                loop=loop,
                http=http,
            )
        )
        super().__init__(server, "default")
        if provider is not None:
            self.url(provider)  # raises if there is no such provider
        self._thread: threading.Thread | None = None
        self._changing = threading.RLock()

    def start(self) -> Self:
        """Starts to listen, and returns once the server is ready. Does nothing if it is already running, even in a
        process forked from the one where it runs."""
        with self._changing:
            if self._thread is None:
                self._start()
        return self

    def _start(self) -> None:
        sock = bind(self.host, self.port)
        self.port = sock.getsockname()[1]
        ready = threading.Event()
        errors: list[BaseException] = []

        def serve() -> None:
            try:
                self._server.run(sock, ready.set)
            except BaseException as error:
                errors.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=serve, name="emulator", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads can start
            sock.close()
            raise EmulatorError(f"The emulator did not start: {error}") from error
        if not ready.wait(START_TIMEOUT) or errors:
            self._server.stop(0)
            cause = errors[0] if errors else None
            raise EmulatorError(f"The emulator did not start: {cause or 'it did not respond'}") from cause
        self._thread = thread

    def stop(self, grace: float = 0.0) -> None:
        """Stops listening and closes all connections. Answers still open after `grace` seconds are reset, so that no
        client mistakes half an answer for a whole one. Does nothing in a process forked from the one where it runs."""
        with self._changing:
            if self._thread is not None and not self._server.is_elsewhere:
                self._server.stop(grace)
                self._thread.join()
                self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def control_token(self) -> str | None:
        """The token for the control API; None on a loopback address, where none is needed."""
        return self._server.options.access.token

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def _default_scenario(self) -> CompiledScenario:
        return self._server.call(lambda: self._namespace().loaded)

    def namespace(self, name: str, scenario: ScenarioSource | None = None, seed: int | None = None) -> NamespaceClient:
        """Another namespace of this server, created on first use; a scenario or a seed resets it.

        Any text can be a name, even a test's `request.node.name`; the namespace's own `name` contains only characters
        that are valid in URLs and headers. A client selects it by its URL, an API key `sk-emu-NAME`, or the header
        `X-Emulator-Namespace`."""
        name = safe_name(arguments.text("The name of a namespace", name))
        if scenario is not None or seed is not None:
            if name == "default":
                raise UsageError("The namespace 'default' is the emulator itself; use load() to change its scenario.")
            arguments.seed(seed)
            compiled = None if scenario is None else compile_scenario(arguments.source(scenario))
            self._change(lambda app: api.give_namespace(app, name, compiled, seed))
        return NamespaceClient(self._server, name, self)
