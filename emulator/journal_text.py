"""Formats a journal as short lines, for assertion messages and test reports."""

from collections.abc import Sequence

from emulator.state.exchanges import Exchange

MAX_PROMPT = 60
"""The maximum characters of a prompt in a line."""
MAX_LINES = 20
"""The maximum number of exchanges; the last ones are shown."""
MAX_MISSES = 3
"""The maximum number of rules that are explained for a request."""
MAX_REASON = 300


def shown(text: str, most: int = MAX_PROMPT) -> str:
    """Returns a text in quotes on one line, shortened if it is long."""
    line = " ".join(text.split())
    return f'"{line if len(line) <= most else line[: most - 1] + "…"}"'


def is_unmatched(exchange: Exchange, *, also_generated: bool = False) -> bool:
    """Whether a request matched no rule or reached no endpoint. also_generated: whether generated answers also
    count."""
    if exchange.error in ("unmatched", "provider", "namespace"):
        return True
    if exchange.request.method != "OPTIONS" and not exchange.operation and exchange.status in (404, 405):
        return True
    return also_generated and exchange.outcome == "generated"


def outcome(exchange: Exchange) -> str:
    """Returns the answer and its ending."""
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
    """Returns the provider or, if there is none, the path."""
    provider, method, path = exchange.place
    return provider or f"{method} {path}"


def lines(exchanges: Sequence[Exchange], *, indent: str = "  ") -> list[str]:
    """Returns a line for each exchange and, if no rule matched, lines that say why the nearest rules did not."""
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
    """Returns why no rule answered: the nearest rules first, each with its first failed condition; else the notes."""
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
    """Returns `1 request` or `2 requests`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
