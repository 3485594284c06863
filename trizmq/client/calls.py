"""The client's calls: each waits, or is at a broker, and ends once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from .. import messages
from ..deadlines import Deadlines
from ..errors import DeadlineExceeded, Overloaded, RemoteProtocolError, Unreachable
from ..headers import add_lower_case, no_headers
from ..retries import RetryBudget
from ..wire.items import Call, Cancel, Part, Response, frames_of
from .links import LinkState, Parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..errors import LocalProtocolError, TrizmqError
    from ..wire.items import Body, Item
    from .brokers import Links
    from .links import Link, Pending

__all__ = [
    "MAX_WAITING",
    "MAX_WAITING_BYTES",
    "REFUSALS",
    "Calls",
    "ClientOutbox",
    "WaitingCalls",
]

#: How many calls may wait, and how large their bodies may be together.
MAX_WAITING: Final = 10_000


MAX_WAITING_BYTES: Final = 64 * 1024 * 1024

# Names of this module, which compiled code finds at once; others it looks up for each call.
_RESPONSE: Final = messages.Response
_fields: Final[Any] = msgspec.structs.astuple
_no_headers: Final = no_headers
_add_lower_case: Final = add_lower_case


@final
class WaitingCalls:
    """A queue, in the order in which the calls came, that a call can leave from anywhere."""

    def __init__(self) -> None:
        # An OrderedDict finds its first at once, however many before it have left.
        self._calls: OrderedDict[Pending, None] = OrderedDict()
        self.bytes = 0

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self._calls)

    @property
    def is_full(self) -> bool:
        """Whether no further call may come; those that waited before may come back."""
        return len(self._calls) >= MAX_WAITING

    @property
    def is_heavy(self) -> bool:
        """Whether no further call may come as long as no broker is there."""
        return self.bytes > MAX_WAITING_BYTES

    def push(self, pending: Pending) -> None:
        """Put ``pending`` at the end."""
        self._calls[pending] = None
        self.bytes += _body_size(pending)

    def put_back(self, pendings: Sequence[Pending]) -> None:
        """Put calls that were sent, in their order, before those that were not."""
        for pending in reversed(pendings):
            self.push(pending)
            self._calls.move_to_end(pending, last=False)

    def pop(self) -> Pending:
        """Take the first."""
        pending, _ = self._calls.popitem(last=False)
        self.bytes -= _body_size(pending)
        return pending

    def has(self, pending: Pending) -> bool:
        """Tell whether ``pending`` waits here."""
        return pending in self._calls

    def leave(self, pending: Pending) -> bool:
        """Take out ``pending``; return whether it was here."""
        if pending not in self._calls:
            return False
        del self._calls[pending]
        self.bytes -= _body_size(pending)
        return True

    def all(self) -> list[Pending]:
        """Return all that wait."""
        return list(self._calls)


def _body_size(pending: Pending) -> int:
    return sum(map(len, frames_of(pending.body)))


@final
@dataclass(eq=False)
class ClientOutbox:
    """What is to be done now, besides sending each link's ``outgoing``."""

    #: Their outcome is there: wake who waits for it.
    ended: list[Pending] = field(default_factory=list)
    #: End their connection; a new one follows.
    reopen: list[Link] = field(default_factory=list)
    #: Send what they have in ``outgoing``, then end their connection: they were removed.
    left: list[Link] = field(default_factory=list)
    #: Exceptions that were survived, to be logged.
    faults: list[Exception] = field(default_factory=list)


#: What the words mean with which a broker refuses a client, for good.
REFUSALS: Final = {
    "version": "speaks another version of the native dialect",
    "backend": "is a port for workers: connect to the endpoint of the broker's --bind",
}


@final
class Calls:
    """Each call waits, or is at a link, and ends once."""

    def __init__(self, links: Links) -> None:
        self.waiting = WaitingCalls()
        self.deadlines: Deadlines[Pending] = Deadlines()
        self.budget = RetryBudget()
        #: Responses to calls that had ended.
        self.late = 0
        #: Their outcome is there, and the driver is to be told.
        self.ended: list[Pending] = []
        #: Why the last link that was refused was.
        self.refusal = ""
        self._links = links

    def wait(self, pending: Pending) -> None:
        """Let a new call wait.

        Raises:
          Overloaded: too many calls wait already.

        """
        # While a broker is there, what waits will be sent in a moment.
        if self.waiting.is_full or (self.waiting.is_heavy and not self._links.are_connected):
            pending.ended = True
            raise Overloaded(f"{self.waiting.count} calls wait in this client", executed="no")
        self.waiting.push(pending)

    # -- responses ---------------------------------------------------------------------

    def answer(self, link: Link, item: Response) -> None:
        """Take in a response: the end of its call, or of this attempt."""
        found: tuple[int, int, dict[str, str], Body, bool, int, bool] = _fields(item)
        call_id, status, headers, body, is_taken, parts, _ = found
        pending = link.in_flight.get(call_id)
        if pending is None:
            self.late += 1
            return
        if status == 503 and not is_taken:
            self._wait_again(pending, link)
            return
        if status == 504 and pending.is_timed and pending.deadline <= link.heard_at:
            # The broker has said first what is ours to say.
            self.end(pending, self.expiry(pending))
            return
        self.budget.succeed()
        whole = body if type(body) is bytes else b"".join(frames_of(body))
        if status < 400 and (parts or pending.parts is not None):
            try:
                whole = (pending.parts or Parts()).before(whole, parts)
            except RemoteProtocolError as error:
                self.end(pending, error)
                return
        fields = _no_headers()
        if headers:
            _add_lower_case(fields, headers)
        self.end(pending, _RESPONSE(status, fields, whole))

    def gather(self, link: Link, item: Part) -> None:
        """Take in a part of a response."""
        pending = link.in_flight.get(item.id)
        if pending is None:
            self.late += 1
            return
        if pending.parts is None:
            pending.parts = Parts()
        try:
            pending.parts.add(item.seq, item.body)
        except RemoteProtocolError as error:
            self.revoke(pending)
            self.end(pending, error)

    def _wait_again(self, pending: Pending, link: Link) -> None:
        # It was on its way when the broker began to drain. No worker was given it, so another
        # broker may be, or the next one here (promise P13).
        if link.state is LinkState.READY:
            link.state = LinkState.DRAINING  # its goaway is on the way
        del link.in_flight[pending.id]
        pending.link = None
        pending.attempts -= 1
        self.waiting.push(pending)

    def fail(self, link: Link, item: Item) -> None:
        """End the call that ``item`` is about, after a fault of ours; nothing else ends by it."""
        if isinstance(item, Response | Part) and item.id in link.in_flight:
            lost = RemoteProtocolError("a fault in this client: its log says where")
            self.end(link.in_flight[item.id], lost)

    def answer_unsent(self, pending: Pending, response: messages.Response) -> None:
        """End a call that was not taken in: it is in no queue, and in no heap."""
        pending.outcome, pending.ended = response, True
        self.ended.append(pending)

    def discard_first(self, link: Link, error: LocalProtocolError) -> Pending | None:
        """Drop the first item of ``link.outgoing``, which cannot be written.

        Returns:
          Its call, which has ended with ``error``; the caller is still to be told.

        """
        item = link.outgoing.pop(0)
        pending = link.in_flight.get(item.id) if isinstance(item, Call) else None
        if pending is not None:
            link.note_unsent(pending.id)
            pending.outcome = error
            self.close(pending)
        return pending

    # -- a call's end ------------------------------------------------------------------

    def end(self, pending: Pending, outcome: messages.Response | TrizmqError) -> None:
        """End a call with its outcome."""
        pending.outcome = outcome
        self.close(pending)
        self.ended.append(pending)

    def close(self, pending: Pending) -> None:
        """Forget a call that ends."""
        pending.ended = True
        if pending.link is not None:
            pending.link.in_flight.pop(pending.id, None)
        else:
            self.waiting.leave(pending)
        if pending.is_timed:
            self.deadlines.forget()
        pending.body = b""  # the record stays in the heap of deadlines for a while

    def revoke(self, pending: Pending) -> None:
        """Tell the broker, if it has the call, that nobody waits for it.

        Without a connection it is not among those that the next hello lists.
        """
        if pending.link is not None and pending.link.state is not LinkState.CONNECTING:
            pending.link.outgoing.append(Cancel(pending.id))
            pending.link.spoken_to = True

    def expiry(self, pending: Pending) -> TrizmqError:
        """Return the error of a call whose deadline has passed."""
        link = pending.link
        if link is not None and link.state is LinkState.CONNECTING:
            lost = f"the connection to {link.endpoint} was lost while the broker there had the call"
            return Unreachable(lost, executed="maybe")
        if pending.attempts:
            return DeadlineExceeded(
                f"{pending.method} {pending.target}: no response in time", executed="maybe"
            )
        if self._links.are_connected:
            return DeadlineExceeded(
                f"{pending.method} {pending.target}: not sent in time", executed="no"
            )
        return Unreachable(f"nobody answers at {self._links.endpoints}", executed="no")

    def end_refused(self) -> None:
        """End the calls that wait, if every broker has refused us."""
        if self._links.are_refused:
            for pending in self.waiting.all():
                self.end(pending, self.refused())

    def refused(self) -> Unreachable:
        """Return the error of a call that no broker here takes."""
        return Unreachable(f"{self._links.endpoints} {self.refusal}", executed="no")

    def end_all(self) -> None:
        """End every call: the client is closed."""
        for link in self._links.all():
            for pending in list(link.in_flight.values()):
                self.end(pending, Unreachable("the client was closed", executed="maybe"))
        for pending in self.waiting.all():
            self.end(pending, Unreachable("the client was closed", executed="no"))
