"""How spools pack exchanges: when a whole answer is sent, and when one begins and is about to end."""

from emulator.server.playback import BODILESS
from emulator.server.spool import Catch
from emulator.state.blanks import Recollection
from emulator.state.exchanges import Exchange
from emulator.state.packed import Packer, wire_of
from emulator.state.recorded import as_sent
from emulator.wire import PlannedBody, Playback


def whole(packer: Packer, exchange: Exchange, catch: Catch, recollection: Recollection | None) -> bytes:
    """Packs an exchange whose whole answer is about to be sent."""
    record, playback = None, exchange.playback
    if recollection is not None and playback is not None:
        record = packer.pack_again(exchange, recollection, playback)
    return packer.pack(exchange, catch.wire, catch.own_lines, playback) if record is None else record


def begun(packer: Packer, exchange: Exchange) -> bytes:
    """Packs an exchange whose answer is about to be sent: as if it had been sent, if that is done in one go."""
    answer = exchange.planned
    if not isinstance(answer, PlannedBody) or answer.at:
        return packer.pack(exchange)
    size, now = 0 if answer.status in BODILESS else len(answer.body()), exchange.started
    sent = Playback("complete", size, sum([len(run.pieces) for run in answer.runs]), now, now)
    return packer.pack(exchange, wire_of(answer), 0, sent)


def almost_over(packer: Packer, exchange: Exchange, playback: Playback, size: int, frames: int, now: float) -> bytes:
    """Packs an exchange the last bytes of whose answer are about to be sent, as if they had been."""
    first = now if playback.first_sent is None else playback.first_sent
    frames += playback.frames_sent
    sent = Playback("complete", playback.bytes_sent + size, frames, first, now, playback.late)
    answer = None if exchange.planned is None else as_sent(exchange.planned, sent)
    return packer.pack(exchange, wire_of(answer), 0, sent)


def ended(packer: Packer, exchange: Exchange) -> bytes:
    """Packs an exchange that is over, or one that is still open."""
    answer, playback = exchange._answer, exchange.playback
    record = None
    if isinstance(answer, Recollection) and playback is not None:
        record = packer.pack_again(exchange, answer, playback)
    return packer.pack(exchange, wire_of(answer), 0, playback) if record is None else record
