"""A simulation of replicas that share a store: where the time goes when several requests share a packet.

Clients in a closed loop send the next request as soon as they get an answer. A replica takes what has arrived, in turn;
what its requests need from the store goes there in one packet, and so do the replies. The store is one server, first
come, first served."""

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush


@dataclass(frozen=True)
class Costs:
    """CPU in µs."""

    request: float
    """For a request, in its replica."""
    packet: float
    """For a packet to the store and back, in the replica."""
    step: float
    """For a request, in the store."""
    store_packet: float
    """For a packet, in the store."""


@dataclass(frozen=True)
class Outcome:
    """The cost in µs per request."""

    replicas: float
    store: float
    batch: float
    """Requests in a packet, on average."""
    wall: float
    """Of time."""


class _Replica:
    def __init__(self) -> None:
        self.waiting = 0
        """Requests that have arrived."""
        self.replies: deque[int] = deque()
        """The sizes of packets that came back."""
        self.is_busy = False


def simulate(replicas: int, clients: int, costs: Costs, requests: int = 5000) -> Outcome:
    """Simulates this many clients of each replica, until this many requests are answered."""
    fleet = [_Replica() for _ in range(replicas)]
    for number in range(clients):
        fleet[number % replicas].waiting += 1
    events: list[tuple[float, int, int, int]] = []
    """When each replica finishes a packet of some requests, or gets it back from the store."""
    now = store_free = busy = store_busy = 0.0
    answered = packets = serial = 0

    def turn(number: int) -> None:
        """A replica processes what has arrived, then sends one packet."""
        nonlocal busy, serial, answered
        one = fleet[number]
        if one.is_busy or not (one.waiting or one.replies):
            return
        back = sum(one.replies)
        one.replies.clear()
        answered += back
        taken = one.waiting + back  # answered clients send again
        one.waiting, one.is_busy = 0, True
        spent = taken * costs.request + costs.packet
        busy += spent
        serial += 1
        heappush(events, (now + spent, serial, number, taken))

    for number in range(replicas):
        turn(number)
    while answered < requests:
        now, _, number, size = heappop(events)
        one = fleet[number]
        if size > 0:  # sent to the store
            one.is_busy = False
            packets += 1
            spent = size * costs.step + costs.store_packet
            store_busy += spent
            store_free = max(store_free, now) + spent
            serial += 1
            heappush(events, (store_free, serial, number, -size))
        else:
            one.replies.append(-size)
        turn(number)
    return Outcome(busy / answered, store_busy / answered, answered / packets, now / answered)
