"""Variables that point clients at the emulator: base URLs and keys; for documented URLs, the proxy and its roots."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from emulator.records import struct

DUMMY_KEY = "sk-dummy"
"""A key that is valid nowhere, so that a stray request costs nothing."""
BASE_URLS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "OPENAI_BASE_URL": (("serevix", "/v1"), ("openai", "/v1")),
    "OPENAI_API_BASE": (("serevix", "/v1"), ("openai", "/v1")),
    "ANTHROPIC_BASE_URL": (("anthropic", ""), ("deepseek", "/anthropic")),
    "DEEPSEEK_API_BASE": (("deepseek", ""),),
    "GOOGLE_GEMINI_BASE_URL": (("google", ""), ("gemini", "")),
    "MISTRAL_BASE_URL": (("mistral", "/v1"),),
}
"""The variables for SDKs' base URLs: the first of these providers that exists, and the path after its own URL."""
KEYS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "DEEPSEEK_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GENERATIVE_AI_API_KEY",  # the AI SDK's
    "MISTRAL_API_KEY",
    "YOUR_API_KEY",  # as in the documents' samples
)

# fmt: off
VENDORS = frozenset((
    "OPENAI", "AZURE_OPENAI", "ANTHROPIC", "CLAUDE", "DEEPSEEK", "GEMINI", "GOOGLE", "MISTRAL", "GROQ", "XAI", "COHERE",
    "CO", "TOGETHER", "TOGETHERAI", "FIREWORKS", "OPENROUTER", "PERPLEXITY", "DASHSCOPE", "MOONSHOT", "ZHIPUAI",
    "NVIDIA", "CEREBRAS", "HUGGINGFACE", "AI21", "REPLICATE", "LITELLM",
))
# fmt: on
"""The services whose variables are replaced even if the user has set them."""
SUFFIXES = ("_API_KEY", "_BASE_URL", "_API_BASE", "_API_URL", "_ENDPOINT")
"""The suffixes of variables with a key or an address of one of these."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
NO_PROXY = "localhost,127.0.0.1,::1"
BUNDLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
    "NIX_SSL_CERT_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)
"""The variables that contain the path of a certificate bundle."""
PRELOAD = Path(__file__).parent / "node_proxy.cjs"
"""Makes Node use the proxy in its environment where it doesn't do so itself."""


@struct
class Changes:
    """The variables to set, and the user's own, which stay unchanged."""

    set: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)

    def offer(self, name: str, value: str, environment: Mapping[str, str]) -> None:
        """Sets a variable unless the user has."""
        if not environment.get(name):
            self.set[name] = value
        elif environment[name] != value:
            self.kept.append(name)


def base_urls(
    origin: str,
    providers: Iterable[str],
    alone: str | None,
    environment: Mapping[str, str],
    *,
    preferred: Sequence[str] = (),
) -> Changes:
    """The base URLs and keys for clients of a server at `origin`.

    alone: the provider at the server's root, if it serves only one.
    preferred: the providers to choose where a variable may lead to several, in order."""
    changes = Changes({"EMULATOR_URL": origin})
    names = [alone] if alone is not None else list(providers)

    def url_of(name: str) -> str:
        return origin if alone is not None else f"{origin}/{name}"

    for variable, candidates in BASE_URLS.items():
        ordered = sorted(candidates, key=lambda each: [*preferred, each[0]].index(each[0]))
        found = next((each for each in ordered if each[0] in names), None)
        if found is not None:
            changes.offer(variable, url_of(found[0]) + found[1], environment)
    for name in names:
        variable = f"{_upper(name)}_BASE_URL"
        if variable not in BASE_URLS:
            changes.offer(variable, url_of(name), environment)
    for variable in dict.fromkeys((*KEYS, *(f"{_upper(name)}_API_KEY" for name in names))):
        changes.offer(variable, DUMMY_KEY, environment)
    return changes


def isolated(
    origin: str, providers: Sequence[str], alone: str | None, sdk_base_url: str | None, environment: Mapping[str, str]
) -> dict[str, str]:
    """Returns the variables for code that must reach nothing but the emulator: they replace the user's addresses and
    keys of model providers, so that a stray request reaches no real service and has no real key.

    sdk_base_url: the base URL for OpenAI's SDKs; None: a default."""
    variables = dict(base_urls(origin, providers, alone, {}).set)
    for name, candidates in BASE_URLS.items():  # also for services that are not emulated: their requests are refused
        first, path = candidates[0]
        variables.setdefault(name, f"{origin}{path}" if alone else f"{origin}/{first}{path}")
    if sdk_base_url is not None:
        variables |= dict.fromkeys(("OPENAI_BASE_URL", "OPENAI_API_BASE"), sdk_base_url)
    for name in environment:
        suffix = next((each for each in SUFFIXES if name.endswith(each)), "")
        vendor = name.removesuffix(suffix)
        if suffix and vendor in VENDORS and name not in variables:
            variables[name] = DUMMY_KEY if suffix == "_API_KEY" else f"{origin}/{vendor.lower()}"
    for name in ("NO_PROXY", "no_proxy"):
        given = environment.get(name)
        variables[name] = f"{given},{NO_PROXY}" if given else NO_PROXY
    return variables


def interception(
    proxy: str, bundle: str, truststore: str | None, environment: Mapping[str, str], password: str = "changeit"
) -> dict[str, str]:
    """The variables that make clients use a proxy and trust its certificates. They replace the user's own, whose
    certificates are part of the bundle; otherwise clients would bypass the proxy."""
    variables = {name: proxy for upper in PROXIES for name in (upper, upper.lower())}
    variables |= {"NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY}
    variables |= dict.fromkeys(BUNDLES, bundle)
    variables |= {"NODE_USE_ENV_PROXY": "1", "EMULATOR_CA_FILE": bundle}
    variables["NODE_OPTIONS"] = _joined(environment.get("NODE_OPTIONS"), f"--require {_quoted(str(PRELOAD))}")
    host, _, port = proxy.removeprefix("http://").partition(":")
    options = [f"-D{scheme}.proxy{part}" for scheme in ("http", "https") for part in (f"Host={host}", f"Port={port}")]
    options.append("-Dhttp.nonProxyHosts=localhost|127.*|[::1]")
    if truststore is not None:
        options += [
            f"-Djavax.net.ssl.trustStore={truststore}",
            "-Djavax.net.ssl.trustStoreType=PKCS12",
            f"-Djavax.net.ssl.trustStorePassword={password}",
        ]
    variables["JAVA_TOOL_OPTIONS"] = _joined(environment.get("JAVA_TOOL_OPTIONS"), " ".join(map(_quoted, options)))
    return variables


def own_bundles(environment: Mapping[str, str]) -> list[bytes]:
    """The certificates to which the user's own variables point."""
    paths = dict.fromkeys(filter(None, map(environment.get, BUNDLES)))
    return [Path(path).read_bytes() for path in paths if os.path.isfile(path)]


def _upper(name: str) -> str:
    return name.upper().replace("-", "_").replace(".", "_")


def _joined(given: str | None, added: str) -> str:
    return f"{given} {added}" if given else added


def _quoted(word: str) -> str:
    """One word of NODE_OPTIONS or JAVA_TOOL_OPTIONS."""
    if not any(character in word for character in " '\""):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
