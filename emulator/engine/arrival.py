"""The arrival of a request: its record, its attempt, and the entropy for its ids and random choices."""

from emulator import seeded
from emulator.engine.options import Options
from emulator.providers.base import Provider
from emulator.request import HttpRequest
from emulator.state.exchanges import Exchange
from emulator.state.namespace import Namespace


def arrive(
    http_request: HttpRequest, namespace: Namespace, options: Options, identity: bytes
) -> tuple[Exchange, Provider, bytes, str]:
    """Records a request that has just arrived. Returns its record, the provider as of now, its entropy and its
    request id. `identity` is the same for equal requests.
    """
    exchange = namespace.begin(http_request)
    provider = namespace.compiled.providers[http_request.provider].at(exchange.received)
    attempt = exchange.attempt = namespace.attempt(identity)
    entropy = entropy_of(namespace.seed, identity, attempt, options.salt)
    return exchange, provider, entropy, provider.request_id(exchange.received, entropy)


def identity_of(http_request: HttpRequest) -> bytes:
    """Returns a digest that is the same for equal requests."""
    place, body = seeded.mixed_before(http_request.provider, http_request.method, http_request.path), http_request.body
    return seeded.hashed(b"%b%d:%b" % (place, len(body), body))


def entropy_of(seed: int, identity: bytes, attempt: int, salt: int) -> bytes:
    """Returns what the ids and random choices of a request come from."""
    before, number, after = seeded.mixed_before(seed, "id"), b"%d" % attempt, seeded.mixed_before(salt)
    return seeded.hashed(b"%b%d:%b%d:%b%b" % (before, len(identity), identity, len(number), number, after))
