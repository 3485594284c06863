"""Queues of calls that wait for a worker; clients take turns."""

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

#: The maximum number of lines to search for the longest one if a queue is full.
LOOKED_AT: Final = 8


@final
@dataclass(eq=False)
class Connection:
    """The state that all clients behind one routing id share: they share limits and turns."""

    calls: int = 0
    queued_bytes: int = 0
    #: The bytes of the bodies of its calls that wait, or that workers have.
    held: int = 0
    lag: Lag = field(default_factory=Lag)


class Queued(Work):
    """A call that can wait in a queue.

    Attributes:
      connection: its connection, which takes turns with the other connections.
      client: its client, any object; the clients of a connection take turns.
      size: the number of bytes that it occupies while it waits.
      deaths: the number of workers that were lost while they had it.

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
    """The calls of one connection. Its clients take turns; behind a queue device, there are many.

    Attributes:
      count: the number of calls that wait.
      newest_first: whether the newest call goes first, because the wait is long without deadlines.

    """

    def __init__(self) -> None:
        self.count = 0
        self.newest_first = False
        # Ordered dicts, because a call can leave immediately from anywhere in its line. If it
        # were only marked, a client that calls and cancels could fill the memory.
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
        """Return the call that is next; then it is another client's turn."""
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
        """Remove a call."""
        calls = self._peers[call.client]
        del calls[call]
        if not calls:
            del self._peers[call.client]
        self.count -= 1

    def calls(self) -> list[Q]:
        """Return all calls that wait."""
        return [call for calls in self._peers.values() for call in calls]


@final
class RequestQueue(Generic[Q]):
    """Calls that wait for a worker. Connections take turns; each is first in, first out.

    One client with a thousand calls delays another's single call by one call, not by a
    thousand (RFC 7: the broker SHOULD be fair).

    The *suspects* wait separately: calls whose worker was lost while it had them. Each goes to a
    worker that has no other call, so `pop` does not return them.
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
        """Put ``call``, which has already waited once, before all others."""
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
        """Remove and return a call of the connection whose turn it is; None if none waits."""
        if not self._lines:
            return None
        connection = next(iter(self._lines))
        self._lines.move_to_end(connection)
        call = self._lines[connection].next()
        self.leave(call)
        return call

    @property
    def has_suspects(self) -> bool:
        """Whether suspects wait."""
        return bool(self._suspects)

    def pop_suspect(self) -> Q:
        """Remove and return the first suspect."""
        call = next(iter(self._suspects))
        self.leave(call)
        return call

    def line(self, connection: Connection) -> Line[Q] | None:
        """Return the waiting calls of a connection; None if none waits."""
        return self._lines.get(connection)

    def before(self, connection: Connection) -> int:
        """Return the number of calls before one that would be pushed now."""
        line = self._lines.get(connection)
        if line is None or line.newest_first:
            return len(self._suspects) + len(self._lines)
        turns = (line.count + 1) * len(self._lines) - 1
        return len(self._suspects) + min(turns, self.count - len(self._suspects))

    def surplus(self, connection: Connection) -> Q | None:
        """Return a call to refuse in favor of one of ``connection``, if that has few calls here.

        It is the call that would be the last of its line, which is the longest of the first
        `LOOKED_AT` lines.
        """
        line = self._lines.get(connection)
        few = line.count if line is not None else 0
        longest = max(islice(self._lines.values(), LOOKED_AT), key=_count_of, default=None)
        if longest is None or longest.count <= 2 * few + 1:
            return None
        return longest.oldest if longest.newest_first else longest.newest

    def leave(self, call: Q) -> None:
        """Remove a call that was pushed: it is dispatched, or has ended."""
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
        """Return all calls that wait."""
        waiting = [call for line in self._lines.values() for call in line.calls()]
        return [*self._suspects, *waiting]

    def _count(self, call: Q, sign: int) -> None:
        self.count += sign
        self.bytes += sign * call.size
        call.connection.queued_bytes += sign * call.size


def _count_of(line: Line[Any]) -> int:
    return line.count
