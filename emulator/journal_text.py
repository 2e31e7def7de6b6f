"""A journal as short lines for people: in messages of assertions and in reports of tests."""

from collections.abc import Sequence

from emulator.state.exchanges import Exchange

MAX_PROMPT = 60
"""Characters of a prompt in a line."""
MAX_LINES = 20
"""Exchanges that are listed; of more, the last ones."""
MAX_MISSES = 3
"""Rules whose reason is listed for one request."""
MAX_REASON = 300


def shown(text: str, most: int = MAX_PROMPT) -> str:
    """A text in quotes, in one line, cut where it is long."""
    line = " ".join(text.split())
    return f'"{line if len(line) <= most else line[: most - 1] + "…"}"'


def is_unmatched(exchange: Exchange, *, also_generated: bool = False) -> bool:
    """Whether a request met no rule or no endpoint. also_generated: whether a generated answer counts as well."""
    if exchange.error in ("unmatched", "provider", "namespace"):
        return True
    if exchange.request.method != "OPTIONS" and not exchange.operation and exchange.status in (404, 405):
        return True
    return also_generated and exchange.outcome == "generated"


def outcome(exchange: Exchange) -> str:
    """What was answered, and how it ended."""
    if exchange.rule is not None:
        answer = f"rule {exchange.rule}"
    elif exchange.outcome == "error":
        answer = exchange.error or "error"
    else:
        answer = exchange.outcome
    faults = f", {', '.join(exchange.applied)}" if exchange.applied else ""
    ended = exchange.ended
    ending = "" if ended == "complete" else ", still open" if ended is None else f", ended: {ended}"
    return f"{exchange.status or '-'} {answer}{faults}{ending}"


def place(exchange: Exchange) -> str:
    """The provider, or the path where there is none."""
    provider, method, path = exchange.place
    return provider or f"{method} {path}"


def lines(exchanges: Sequence[Exchange], *, indent: str = "  ") -> list[str]:
    """A line for each exchange, and below it why the nearest rules did not match, where none did."""
    kept = exchanges[-MAX_LINES:]
    rows = [(f"#{each.number}", place(each), each.model or "-", shown(each.prompt), outcome(each)) for each in kept]
    widths = [max(len(row[column]) for row in rows) if rows else 0 for column in range(4)]
    made = [f"{indent}… {len(exchanges) - len(kept)} earlier ones"] if len(kept) < len(exchanges) else []
    for exchange, row in zip(kept, rows, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        made.append(indent + "  ".join([*cells, row[4]]))
        if is_unmatched(exchange) or (exchange.rule is None and exchange.outcome == "error"):
            made += [f"{indent}    {reason}" for reason in reasons(exchange)]
    return made


def reasons(exchange: Exchange) -> list[str]:
    """Why no rule answered: the nearest rules first, each with its first condition that failed; else what is noted."""
    found = exchange.misses if is_unmatched(exchange, also_generated=True) else []
    if not found:
        said = [exchange.message] if exchange.message and not exchange.notes else []
        return [_cut(note) for note in (*exchange.notes[:MAX_MISSES], *said)]
    more = len(found) - MAX_MISSES
    rest = [f"… and {more} more {'rule' if more == 1 else 'rules'}"] if more > 0 else []
    return [f"rule {_cut(reason)}" for reason in found[:MAX_MISSES]] + rest


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_REASON else f"{line[: MAX_REASON - 1]}…"


def counted(number: int, noun: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
