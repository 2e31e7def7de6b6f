"""The head of a request: the provider, path and namespace in its URL and headers."""

from collections.abc import Mapping
from dataclasses import field, replace

from emulator.providers import PROVIDERS
from emulator.providers.base import ProviderError, bearer
from emulator.records import record
from emulator.request import HttpRequest
from emulator.server.uvicorn_adapter import Scope
from emulator.state.compiled import CompiledScenario
from emulator.state.namespace import NAME, Namespace
from emulator.state.namespaces import Namespaces

CONTROL = "/__emulator"
ICON = "/favicon.ico"
HOSTS: Mapping[str, str] = {
    host: name for name, provider in PROVIDERS.items() for host in (*provider.hosts, f"{name}.localhost")
}
"""The provider behind each host name."""


NO_NAMESPACE = "is not the name of a namespace: 1 to 128 letters, digits, dots, hyphens and underscores."
NAMESPACE_HEADER = "x-emulator-namespace"
NAMESPACE_KEY = "sk-emu-"


@record
class Target:
    """The destination of a request: the provider, the documented path, and the namespace and faults in the URL."""

    provider: str
    """Empty when the URL names none."""
    path: str
    namespace: str | None = None
    """As it is in the URL, valid or not."""
    faults: tuple[str, ...] = ()
    prefix: str = ""
    """The namespace and faults as they are in the URL."""


@record
class RequestHead:
    """The data in the head of a request: everything that must be known before its body is read."""

    target: Target
    method: str
    headers: Mapping[str, str]
    """Names in lower case."""
    query: str
    key: str | None
    """The credential, from any place that the provider accepts under the settings of `compiled`."""
    compiled: CompiledScenario
    namespace: str | None
    complaint: str = ""
    """Why the request can't use the namespace that it names; empty if it can."""
    sent_path: str = ""
    """The path as it was sent."""
    size: int = 0
    """Bytes of the head."""
    kind: object = None
    """The same object for all heads that differ only in the length of the body; None if that is unknown."""
    operation: str = ""
    """The endpoint, if only the head decides which one it is."""
    dialect: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    def of_length(self, length: str) -> "RequestHead":
        """Returns the same head for a body of another length."""
        return RequestHead(
            self.target,
            self.method,
            {**self.headers, "content-length": length},
            self.query,
            self.key,
            self.compiled,
            self.namespace,
            self.complaint,
            self.sent_path,
            self.size + len(length) - len(self.headers["content-length"]),
            self.kind,
            self.operation,
            self.dialect,
            self.parameters,
        )

    def within(self, namespace: Namespace) -> "RequestHead":
        """Returns the head with the credential that the provider finds under the settings of the request's
        namespace."""
        if namespace.compiled is self.compiled or not self.target.provider:
            return self
        provider = namespace.compiled.providers[self.target.provider]
        return replace(self, key=provider.credential_in(self.headers, self.query), compiled=namespace.compiled)

    def routed(self) -> "RequestHead":
        """Returns the head with its endpoint, unless that changes with time."""
        provider = self.compiled.providers[self.target.provider]
        if provider.is_dated:
            return self
        try:
            operation, parameters = provider.route(self.method, self.target.path)
        except ProviderError:
            return self
        dialect = provider.dialect_of(operation, self.with_body(b""))
        return replace(self, operation=operation.name, dialect=dialect, parameters=parameters)

    def with_body(self, body: bytes) -> HttpRequest:
        """Returns the whole request."""
        target = self.target
        return HttpRequest(
            target.provider,
            self.method,
            target.path,
            self.headers,
            self.query,
            body,
            self.key,
            self.operation,
            self.dialect,
            target.faults,
            self.parameters,
            self.sent_path,
            self.size,
            None,
            self.kind,
        )


class Heads:
    """Reads the heads of one server's requests."""

    def __init__(self, namespaces: Namespaces, provider: str | None, hosts: Mapping[str, str]) -> None:
        self._namespaces = namespaces
        self._provider = provider
        self._hosts = hosts

    def read(self, scope: Scope) -> RequestHead | None:
        """Returns the head of a request; None if it is for the front page or the control API. The key may name the
        namespace, so it is found with the settings of the default one.
        """
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        target = self.locate(scope["path"], headers.get("host", ""))
        if target is None:
            return None
        compiled = self._namespaces.default.compiled
        query = scope["query_string"].decode("latin-1")
        key = compiled.providers[target.provider].credential_in(headers, query) if target.provider else bearer(headers)
        name = named(headers, key) if target.namespace is None else target.namespace
        sent_path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
        size = len(sent_path) + len(query) + sum(len(key) + len(value) + 4 for key, value in scope["headers"])
        complaint = ""
        if name is not None and not NAME.fullmatch(name):
            name, complaint = None, f"{name!r} {NO_NAMESPACE}"
        return RequestHead(target, scope["method"], headers, query, key, compiled, name, complaint, sent_path, size)

    def locate(self, path: str, host: str) -> Target | None:
        """Returns the target of a URL: its provider by host name, by the server's only provider, or by the first
        segment. `/@NAME` (a namespace) and `/~KIND:param=value` (faults) may precede it. None for the server's own
        paths.
        """
        whole, namespace = path, None
        faults: list[str] = []
        while path.startswith(("/@", "/~")):
            name, slash, rest = path[2:].partition("/")
            if path[1] == "~":
                faults.append(name)
            else:
                namespace = name
            path = slash + rest
        prefix = whole[: len(whole) - len(path)]
        is_named = namespace is None or NAME.fullmatch(namespace)
        if path.startswith(CONTROL) and not faults and is_named:
            return None
        by_host = self._hosts.get(host.partition(":")[0].lower()) or self._provider
        if by_host is not None:
            return Target(by_host, path, namespace, tuple(faults))
        if whole in ("/", ICON):
            return None
        name, slash, rest = path[1:].partition("/")
        if name not in PROVIDERS:
            return Target("", path, namespace, tuple(faults), prefix)
        return Target(name, slash + rest, namespace, tuple(faults))


def named(headers: Mapping[str, str], key: str | None) -> str | None:
    """Returns the namespace that a header or the key names."""
    name = headers.get(NAMESPACE_HEADER)
    if name is None and key is not None and key.startswith(NAMESPACE_KEY):
        return key.removeprefix(NAMESPACE_KEY)
    return name
