"""The calls that wait for a worker: clients take turns."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

from ..calls import Work
from ..deadlines import Lag

if TYPE_CHECKING:
    from ..wire.items import Call

__all__ = ["Connection", "Line", "Queued", "RequestQueue"]

#: Where a queue is full, among so many lines the longest is looked for.
LOOKED_AT: Final = 8


@final
@dataclass(eq=False)
class Connection:
    """What all clients behind one routing id share: their limits, and their turn."""

    calls: int = 0
    queued_bytes: int = 0
    #: Bytes of the bodies of its calls that wait, or that workers have.
    held: int = 0
    lag: Lag = field(default_factory=Lag)


class Queued(Work):
    """A call that can wait in a queue.

    Attributes:
      connection: it takes turns with the other connections.
      client: on its connection it takes turns with the calls of other clients; any object.
      size: how many bytes it keeps while it waits.
      deaths: how many workers were lost while they had it.

    """

    def __init__(
        self, call: Call, deadline: float, name: str, connection: Connection, client: object
    ) -> None:
        super().__init__(call, deadline, name)
        self.connection = connection
        self.client = client
        self.size = 0
        self.deaths = 0


Q = TypeVar("Q", bound=Queued)


@final
class Line(Generic[Q]):
    """The calls of one connection. Behind a queue device are many clients: these take turns, too.

    Attributes:
      count: how many calls wait.
      newest_first: whether the newest call goes first: the wait is long, and deadlines are unknown.

    """

    def __init__(self) -> None:
        self.count = 0
        self.newest_first = False
        # Ordered dicts, because a call can leave from anywhere in its line, and at once:
        # were it only marked, a client that calls and cancels could fill the memory.
        self._peers: OrderedDict[object, OrderedDict[Q, None]] = OrderedDict()

    def push(self, call: Q, *, at_front: bool) -> None:
        """Add a call at the end, or before all others."""
        calls = self._peers.get(call.client)
        if calls is None:
            calls = self._peers[call.client] = OrderedDict()
        calls[call] = None
        if at_front:
            calls.move_to_end(call, last=False)
            self._peers.move_to_end(call.client, last=False)
        self.count += 1

    def next(self) -> Q:
        """Return the call whose turn it is."""
        peer = next(iter(self._peers))
        self._peers.move_to_end(peer)
        calls = self._peers[peer]
        return next(reversed(calls)) if self.newest_first else next(iter(calls))

    @property
    def oldest(self) -> Q:
        """The oldest call of the client whose turn is next."""
        return next(iter(self._peers[next(iter(self._peers))]))

    @property
    def newest(self) -> Q:
        """The newest call of the client whose turn was last."""
        return next(reversed(self._peers[next(reversed(self._peers))]))

    def leave(self, call: Q) -> None:
        """Take out a call."""
        calls = self._peers[call.client]
        del calls[call]
        if not calls:
            del self._peers[call.client]
        self.count -= 1

    def calls(self) -> list[Q]:
        """Return all that waits."""
        return [call for calls in self._peers.values() for call in calls]


@final
class RequestQueue(Generic[Q]):
    """Calls that wait for a worker. Connections take turns; each is first in, first out.

    One client with a thousand calls delays another's single call by one call, not by a
    thousand (RFC 7: the broker SHOULD be fair).

    Apart from them wait the *suspects*: calls whose worker was lost while it had them. Each
    goes to a worker that has nothing else, so `pop` does not return them.
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[Connection, Line[Q]] = OrderedDict()
        self._suspects: OrderedDict[Q, None] = OrderedDict()
        self.count = 0
        self.bytes = 0

    def push(self, call: Q) -> None:
        """Put ``call`` at the end of its connection's line."""
        self._line_of(call).push(call, at_front=False)
        self._count(call, 1)

    def push_front(self, call: Q) -> None:
        """Put ``call`` before all others: it has waited its turn once already."""
        if call.deaths:
            self._suspects[call] = None
            self._suspects.move_to_end(call, last=False)
        else:
            self._line_of(call).push(call, at_front=True)
            self._lines.move_to_end(call.connection, last=False)
        self._count(call, 1)

    def _line_of(self, call: Q) -> Line[Q]:
        connection = call.connection
        line = self._lines.get(connection)
        if line is None:
            line = self._lines[connection] = Line()
        return line

    def pop(self) -> Q | None:
        """Take a call of the connection whose turn it is, or None."""
        if not self._lines:
            return None
        connection = next(iter(self._lines))
        self._lines.move_to_end(connection)
        call = self._lines[connection].next()
        self.leave(call)
        return call

    @property
    def has_suspects(self) -> bool:
        """Whether calls wait that are to be given to a worker alone."""
        return bool(self._suspects)

    def pop_suspect(self) -> Q:
        """Take the first of the calls that are to be given to a worker alone."""
        call = next(iter(self._suspects))
        self.leave(call)
        return call

    def line(self, connection: Connection) -> Line[Q] | None:
        """Return what waits of one connection."""
        return self._lines.get(connection)

    def before(self, connection: Connection) -> int:
        """Return how many calls go before one that would be pushed now."""
        line = self._lines.get(connection)
        if line is None or line.newest_first:
            return len(self._suspects) + len(self._lines)
        turns = (line.count + 1) * len(self._lines) - 1
        return len(self._suspects) + min(turns, self.count - len(self._suspects))

    def surplus(self, connection: Connection) -> Q | None:
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

    def leave(self, call: Q) -> None:
        """Take out a call that was pushed: it is dispatched, or has ended."""
        if call in self._suspects:
            del self._suspects[call]
        else:
            connection = call.connection
            line = self._lines[connection]
            line.leave(call)
            if not line.count:
                del self._lines[connection]
        self._count(call, -1)

    def calls(self) -> list[Q]:
        """Return all that waits."""
        waiting = [call for line in self._lines.values() for call in line.calls()]
        return [*self._suspects, *waiting]

    def _count(self, call: Q, sign: int) -> None:
        self.count += sign
        self.bytes += sign * call.size
        call.connection.queued_bytes += sign * call.size


def _count_of(line: Line[Any]) -> int:
    return line.count
