"""The fixture `emulator`: a namespace for one test, and the environment in which clients find it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from emulator.client import NamespaceClient
from emulator.embedded import Emulator
from emulator.errors import EmulatorError
from emulator.interception.environment import BASE_URLS, DUMMY_KEY, NO_PROXY, base_urls
from emulator.journal_text import counted, lines
from emulator.providers import PROVIDERS
from emulator.pytest_plugin.marker import NOTHING, Settings, settings_of
from emulator.pytest_plugin.servers import Servers
from emulator.request import ModelRequest
from emulator.scripting import Function
from emulator.state.namespace import compile_scenario, safe_name

# fmt: off
VENDORS = frozenset((
    "OPENAI", "AZURE_OPENAI", "ANTHROPIC", "CLAUDE", "DEEPSEEK", "GEMINI", "GOOGLE", "MISTRAL", "GROQ", "XAI", "COHERE",
    "CO", "TOGETHER", "TOGETHERAI", "FIREWORKS", "OPENROUTER", "PERPLEXITY", "DASHSCOPE", "MOONSHOT", "ZHIPUAI",
    "NVIDIA", "CEREBRAS", "HUGGINGFACE", "AI21", "REPLICATE", "LITELLM",
))
# fmt: on
"""Whose variables are replaced where the user has set them."""
SUFFIXES = ("_API_KEY", "_BASE_URL", "_API_BASE", "_API_URL", "_ENDPOINT")
"""The ends of variables that hold a key or an address of one of these."""


class EmulatorFixture(NamespaceClient):
    """The emulator of one test: a namespace of its own on a server that tests share."""

    def __init__(self, server: Emulator, name: str, settings: Settings) -> None:
        super().__init__(server._server, name, server)
        self._emulator = server
        self._settings = settings
        self._is_scripted = settings.is_scripted
        self._failures: list[BaseException] = []
        self.fault = None if settings.pair is None else settings.pair.fault
        """The fault of this run of a test with `emulator_faults`, as it was named."""
        self.provider = settings.provider if settings.pair is None else settings.pair.provider
        """The provider of this run, or the one that is served alone."""
        self.host, self.port = server.host, server.port

    @property
    def key(self) -> str:
        """An API key that leads to this namespace, for clients whose base URL cannot be set."""
        return f"sk-emu-{self.name}"

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI SDK."""
        provider = self.provider or "openai"
        return self.url(provider) + (PROVIDERS[provider].sdk_base_path() or "")

    def namespace(self, name: str, scenario: Any = None, seed: int | None = None) -> NamespaceClient:
        """Another namespace of this test."""
        return self._emulator.namespace(f"{self.name}/{name}", scenario, seed)

    def rule(self, rule: str | Mapping[str, Any] | None = None, /, **options: Any) -> str:
        __tracebackhide__ = True
        if not self._is_scripted:  # from now on, the test's rules are all that answers
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
        """The journal in short lines, for the report of a test that failed."""
        exchanges = self.journal
        if not exchanges:
            return f"no request came to {self.origin}"
        return "\n".join([f"{counted(len(exchanges), 'request')}:", *lines(exchanges)])

    def check(self) -> None:
        """What is wrong although the test passed. Fails the test."""
        settings = self._settings
        if self._failures:
            raise self._failures[0]
        if settings.strict is False:
            return
        wrong = ""
        try:
            self.assert_no_unmatched(also_generated=bool(settings.strict))
        except AssertionError as error:
            wrong = str(error)
        if wrong:
            hint = "" if settings.strict else "\nTo allow this: @pytest.mark.emulator(strict=False)"
            pytest.fail(wrong + hint, pytrace=False)


def _is_scripted_error(error: Exception) -> bool:
    from emulator.generation.compose import ScriptedError

    return isinstance(error, ScriptedError)


@contextmanager
def running(request: pytest.FixtureRequest, servers: Servers) -> Iterator[EmulatorFixture]:
    """The emulator for one test. What is wrong with its markers fails the test in one sentence."""
    fixture, wrong = None, ""
    try:
        fixture = _made(request, servers)
    except EmulatorError as error:
        wrong = f"{request.node.nodeid}: {error}"
    if fixture is None:  # outside of the handler, so that no traceback is shown
        pytest.fail(wrong, pytrace=False)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment_of(fixture, list(PROVIDERS)).items():
                patch.setenv(name, value)
            yield fixture
    finally:
        fixture._change(lambda app: app.namespaces.remove(fixture.name))
        servers.give_back(fixture._emulator)


def _made(request: pytest.FixtureRequest, servers: Servers) -> EmulatorFixture:
    settings = settings_of(request)
    options = dict(settings.server) | ({"provider": settings.provider} if settings.provider else {})
    server = servers.get(options)
    fixture = EmulatorFixture(server, safe_name(request.node.nodeid), settings)
    compiled = settings.compiled(server._default_scenario())
    fixture._change(lambda app: app.namespaces.give(fixture.name, compiled, settings.seed))
    return fixture


def environment_of(fixture: EmulatorFixture, providers: Sequence[str]) -> dict[str, str]:
    """The variables by which clients find the namespace. The user's own are replaced, so that no request reaches a
    real service and no real key is sent."""
    origin, provider = fixture.origin, fixture.provider
    alone = fixture._server.options.provider
    variables = dict(base_urls(origin, providers, alone, {}).set)
    for name, candidates in BASE_URLS.items():  # also for services that there are none of: their requests are refused
        first, path = candidates[0]
        variables.setdefault(name, f"{origin}{path}" if alone else f"{origin}/{first}{path}")
    if provider is not None:
        base_path = PROVIDERS[provider].sdk_base_path()
        if base_path is not None:
            variables |= dict.fromkeys(("OPENAI_BASE_URL", "OPENAI_API_BASE"), fixture.url(provider) + base_path)
    else:
        variables |= dict.fromkeys(("OPENAI_BASE_URL", "OPENAI_API_BASE"), fixture.base_url)
    for name in os.environ:  # what else leads to a model of somebody's
        suffix = next((each for each in SUFFIXES if name.endswith(each)), "")
        vendor = name.removesuffix(suffix)
        if suffix and vendor in VENDORS and name not in variables:
            variables[name] = DUMMY_KEY if suffix == "_API_KEY" else f"{origin}/{vendor.lower()}"
    for name in ("NO_PROXY", "no_proxy"):
        given = os.environ.get(name)
        variables[name] = f"{given},{NO_PROXY}" if given else NO_PROXY
    return variables
