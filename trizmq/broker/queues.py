"""The calls that wait for a worker: clients take turns."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from .calls import Connection, Flight, Peer

__all__ = ["Line", "RequestQueue"]


#: Where a queue is full, among so many lines the longest is looked for.
LOOKED_AT: Final = 8


@final
class Line:
    """The calls of one connection. Behind a queue device are many clients: these take turns, too.

    Attributes:
      count: how many calls wait.
      newest_first: nobody knows how long the callers wait, and it will be long.

    """

    def __init__(self) -> None:
        self.count = 0
        self.newest_first = False
        # Ordered dicts, because a call can leave from anywhere in its line, and at once:
        # were it only marked, a client that calls and cancels could fill the memory.
        self._peers: OrderedDict[Peer, OrderedDict[Flight, None]] = OrderedDict()

    def push(self, flight: Flight, *, at_front: bool) -> None:
        """Add a call at the end, or before all others."""
        calls = self._peers.get(flight.peer)
        if calls is None:
            calls = self._peers[flight.peer] = OrderedDict()
        calls[flight] = None
        if at_front:
            calls.move_to_end(flight, last=False)
            self._peers.move_to_end(flight.peer, last=False)
        self.count += 1

    def next(self) -> Flight:
        """Return the call whose turn it is."""
        peer = next(iter(self._peers))
        self._peers.move_to_end(peer)
        calls = self._peers[peer]
        return next(reversed(calls)) if self.newest_first else next(iter(calls))

    @property
    def oldest(self) -> Flight:
        """The oldest call of the client whose turn is next."""
        return next(iter(self._peers[next(iter(self._peers))]))

    @property
    def newest(self) -> Flight:
        """The newest call of the client whose turn was last."""
        return next(reversed(self._peers[next(reversed(self._peers))]))

    def leave(self, flight: Flight) -> None:
        """Take out a call."""
        calls = self._peers[flight.peer]
        del calls[flight]
        if not calls:
            del self._peers[flight.peer]
        self.count -= 1

    def flights(self) -> list[Flight]:
        """Return all that waits."""
        return [flight for calls in self._peers.values() for flight in calls]


@final
class RequestQueue:
    """Calls that wait for a worker. Connections take turns; each is first in, first out.

    One client with a thousand calls delays another's single call by one call, not by a
    thousand (RFC 7: the broker SHOULD be fair).

    Apart from them wait the *suspects*: calls whose worker was lost while it had them. Each
    is to be given to a worker alone, so `pop` does not return them.
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[Connection, Line] = OrderedDict()
        self._suspects: OrderedDict[Flight, None] = OrderedDict()
        self.count = 0
        self.bytes = 0

    def push(self, flight: Flight) -> None:
        """Put ``flight`` at the end of its connection's line."""
        self._line_of(flight).push(flight, at_front=False)
        self._count(flight, 1)

    def push_front(self, flight: Flight) -> None:
        """Put ``flight`` before all others: it has waited its turn once already."""
        if flight.deaths:
            self._suspects[flight] = None
            self._suspects.move_to_end(flight, last=False)
        else:
            self._line_of(flight).push(flight, at_front=True)
            self._lines.move_to_end(flight.peer.connection, last=False)
        self._count(flight, 1)

    def _line_of(self, flight: Flight) -> Line:
        connection = flight.peer.connection
        line = self._lines.get(connection)
        if line is None:
            line = self._lines[connection] = Line()
        return line

    def pop(self) -> Flight | None:
        """Take a call of the connection whose turn it is, or None."""
        if not self._lines:
            return None
        connection = next(iter(self._lines))
        self._lines.move_to_end(connection)
        flight = self._lines[connection].next()
        self.leave(flight)
        return flight

    @property
    def has_suspects(self) -> bool:
        """Whether calls wait that are to be given to a worker alone."""
        return bool(self._suspects)

    def pop_suspect(self) -> Flight:
        """Take the first of the calls that are to be given to a worker alone."""
        flight = next(iter(self._suspects))
        self.leave(flight)
        return flight

    def line(self, connection: Connection) -> Line | None:
        """Return what waits of one connection."""
        return self._lines.get(connection)

    def before(self, connection: Connection) -> int:
        """Return how many calls go before one that would be pushed now."""
        line = self._lines.get(connection)
        if line is None or line.newest_first:
            return len(self._suspects) + len(self._lines)
        turns = (line.count + 1) * len(self._lines) - 1
        return len(self._suspects) + min(turns, self.count - len(self._suspects))

    def surplus(self, connection: Connection) -> Flight | None:
        """Return a call that should make room for one of ``connection``, which has few here.

        It is the one that would be the last of its line, the longest of some that were looked
        at: there may be many.
        """
        line = self._lines.get(connection)
        few = line.count if line is not None else 0
        longest = max(islice(self._lines.values(), LOOKED_AT), key=_count_of, default=None)
        if longest is None or longest.count <= 2 * few + 1:
            return None
        return longest.oldest if longest.newest_first else longest.newest

    def leave(self, flight: Flight) -> None:
        """Take out a call that was pushed: it is dispatched, or has ended."""
        if flight in self._suspects:
            del self._suspects[flight]
        else:
            connection = flight.peer.connection
            line = self._lines[connection]
            line.leave(flight)
            if not line.count:
                del self._lines[connection]
        self._count(flight, -1)

    def flights(self) -> list[Flight]:
        """Return all that waits."""
        waiting = [flight for line in self._lines.values() for flight in line.flights()]
        return [*self._suspects, *waiting]

    def _count(self, flight: Flight, sign: int) -> None:
        self.count += sign
        self.bytes += sign * flight.size
        flight.peer.connection.queued_bytes += sign * flight.size


def _count_of(line: Line) -> int:
    return line.count
