"""The fixture `emulator`: a namespace for one test, and the environment in which clients find it."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from emulator.client import NamespaceClient
from emulator.embedded import Emulator
from emulator.errors import EmulatorError
from emulator.interception.environment import isolated
from emulator.journal_text import counted, lines
from emulator.providers import PROVIDERS
from emulator.pytest_plugin.marker import NOTHING, Settings, settings_of
from emulator.pytest_plugin.pairs import DEFAULT_PROVIDER
from emulator.pytest_plugin.servers import Servers
from emulator.request import ModelRequest
from emulator.scripting import Function
from emulator.server.app import App
from emulator.server.recorder import Recorder, prepared
from emulator.state.compiled import compile_scenario
from emulator.state.namespace import safe_name


class EmulatorFixture(NamespaceClient):
    """The emulator of one test: its own namespace on a server that tests share."""

    def __init__(self, server: Emulator, name: str, settings: Settings) -> None:
        super().__init__(server._server, name, server)
        self._emulator = server
        self._settings = settings
        self._is_scripted = settings.is_scripted
        self._failures: list[BaseException] = []
        self.recorder: Recorder | None = None
        """Records for this test."""
        self.problems: list[str] = []
        """What could not be recorded."""
        self.fault = None if settings.pair is None else settings.pair.fault
        """The fault of this run of a test with `emulator_faults`, as it is written there."""
        self.provider = settings.provider if settings.pair is None else settings.pair.provider
        """The provider of this run, or the only one that is served."""
        self.host, self.port = server.host, server.port

    @property
    def key(self) -> str:
        """An API key that selects this namespace, for clients whose base URL can't be set."""
        return f"sk-emu-{self.name}"

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI SDK."""
        provider = self.provider or DEFAULT_PROVIDER
        return self.url(provider) + (PROVIDERS[provider].sdk_base_path() or "")

    def namespace(self, name: str, scenario: Any = None, seed: int | None = None) -> NamespaceClient:
        """Returns another namespace of this test."""
        return self._emulator.namespace(f"{self.name}/{name}", scenario, seed)

    def rule(self, rule: str | Mapping[str, Any] | None = None, /, **options: Any) -> str:
        __tracebackhide__ = True
        if not self._is_scripted:  # from now on, only the test's rules answer
            self._is_scripted = True
            own = self._settings.adapted(compile_scenario(NOTHING), self._settings.default_unmatched)
            self._change(lambda app: app.namespaces.load(app.namespaces.own(self.name), own))
        return super().rule(rule, **options)

    def _watched(self, function: Function) -> Function:
        def answer(request: ModelRequest) -> Any:
            try:
                return function(request)
            except Exception as error:
                if not _is_scripted_error(error):
                    self._failures.append(error)
                raise

        answer.__qualname__ = function.__qualname__
        return answer

    def report(self) -> str:
        """Returns the journal in short lines, for the report of a failed test."""
        exchanges = self.journal
        if not exchanges:
            return f"no request reached {self.origin}"
        return "\n".join([f"{counted(len(exchanges), 'request')}:", *lines(exchanges)])

    def finish_recording(self) -> None:
        """Returns once everything that was recorded is written."""
        recorder = self.recorder
        if recorder is not None:
            self._server.call_async(lambda app: recorder.close(), 60)

    def check(self) -> None:
        """Checks a test that has passed, and fails it if requests were unmatched."""
        settings = self._settings
        if self._failures:
            raise self._failures[0]
        self.finish_recording()
        if self.recorder is not None and self.recorder.counts.failed:
            pytest.fail("\n".join(self.problems), pytrace=False)
        for problem in self.problems:
            warnings.warn(problem, stacklevel=2)
        if settings.strict is False or self.recorder is not None:
            return
        wrong = ""
        try:
            if settings.record is not None and settings.strict:
                self.assert_all_rules_used()
            self.assert_no_unmatched(also_generated=bool(settings.strict))
        except AssertionError as error:
            wrong = str(error)
        if wrong:
            hint = "" if settings.strict else "\nTo allow this: @pytest.mark.emulator(strict=False)"
            pytest.fail(wrong + hint, pytrace=False)


def _record(app: App, name: str, recorder: Recorder | None) -> None:
    app.namespaces.own(name).recorder = recorder
    app.is_recording = True


def _is_scripted_error(error: Exception) -> bool:
    from emulator.generation.needs import ScriptedError

    return isinstance(error, ScriptedError)


@contextmanager
def running(request: pytest.FixtureRequest, servers: Servers) -> Iterator[EmulatorFixture]:
    """Yields the emulator for one test. An invalid marker fails the test with one sentence."""
    fixture, wrong = None, ""
    try:
        fixture = _made(request, servers)
    except EmulatorError as error:
        wrong = f"{request.node.nodeid}: {error}"
    if fixture is None:  # outside of the handler, so that no traceback is shown
        pytest.fail(wrong, pytrace=False)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment_of(fixture).items():
                patch.setenv(name, value)
            yield fixture
    finally:
        fixture.finish_recording()
        fixture._change(lambda app: app.namespaces.remove(fixture.name))
        servers.give_back(fixture._emulator)


def _made(request: pytest.FixtureRequest, servers: Servers) -> EmulatorFixture:
    settings = settings_of(request)
    options = dict(settings.server) | ({"provider": settings.provider} if settings.provider else {})
    server = servers.get(options)
    fixture = EmulatorFixture(server, safe_name(request.node.nodeid), settings)
    compiled = settings.compiled(server._default_scenario())
    fixture._change(lambda app: app.namespaces.give(fixture.name, compiled, settings.seed))
    if settings.record is not None and settings.record.mode != "none":
        fixture.recorder = prepared(settings.record, fixture.problems.append)
        fixture._change(lambda app: _record(app, fixture.name, fixture.recorder))
    return fixture


def environment_of(fixture: EmulatorFixture) -> dict[str, str]:
    """Returns the variables with which clients find the namespace and nothing real."""
    alone, provider = fixture._server.options.provider, fixture.provider or DEFAULT_PROVIDER
    path = PROVIDERS[provider].sdk_base_path()
    base_url = None if path is None else fixture.url(provider) + path
    variables = isolated(fixture.origin, list(PROVIDERS), alone, base_url, os.environ)
    if fixture.recorder is not None:  # recording needs the real keys
        variables = {
            name: value for name, value in variables.items() if not (name.endswith("_API_KEY") and os.environ.get(name))
        }
    return variables
