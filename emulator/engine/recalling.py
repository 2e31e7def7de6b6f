"""Cached answers if other processes count too: all they need is the number of the attempt."""

from emulator.engine.arrival import entropy_of
from emulator.engine.caching import note
from emulator.engine.deciding import NOTED
from emulator.engine.options import Options
from emulator.errors import StoreGone
from emulator.request import HttpRequest
from emulator.state.blanks import Recollection
from emulator.state.exchanges import Exchange
from emulator.state.namespace import Namespace
from emulator.state.response_cache import CachedResponse
from emulator.state.store import Counting, Store


async def recall_counted(
    cached: CachedResponse, http_request: HttpRequest, namespace: Namespace, options: Options, store: Store
) -> tuple[Recollection, Exchange]:
    """Does the same as `recall`, once the store has counted the request. May run outside of a task."""
    exchange = namespace.begin(http_request)
    provider = namespace.compiled.providers[http_request.provider].at(exchange.received)
    note(exchange, cached, http_request, namespace)
    exchange.body_size = len(http_request.body)
    identity, match = cached.identity, cached.match
    rule = "" if match is None else f"u:{namespace.rule_key(match.rule.position)}"
    counting, salt = Counting(identity.hex()[:32], rule, ""), 0
    try:
        attempt, _ = await store.count(namespace.name, counting)
    except StoreGone:
        attempt, salt = store.fallback.count(namespace.name, counting).attempt, options.salt
        exchange.notes += (NOTED,)
    except BaseException:  # nothing will send and end it
        exchange.end()
        namespace.journal.settle(exchange)
        raise
    exchange.attempt = attempt
    namespace.learn(identity, attempt)
    entropy = entropy_of(namespace.seed, identity, attempt, salt)
    request_id = provider.request_id(exchange.received, entropy)
    id, blank = provider.speaking(cached.dialect).make_id(entropy), cached.answer
    return Recollection(blank, blank.values(id, int(exchange.received), request_id)), exchange
