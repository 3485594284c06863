"""The calls of a client: each waits, or is at a broker, and ends once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from .. import messages
from ..deadlines import Deadlines
from ..errors import DeadlineExceeded, Overloaded, RemoteProtocolError, Unreachable
from ..headers import add_lower_case, no_headers
from ..retries import RetryBudget
from ..wire.items import Call, Cancel, Head, Part, Response, frames_of
from .links import LinkState, WaitingCalls
from .parts import Parts

if TYPE_CHECKING:
    from ..errors import LocalProtocolError, TrizmqError
    from ..wire.items import Body, Item
    from .brokers import Links
    from .links import Link, Pending
    from .parts import Inflow

__all__ = [
    "REFUSALS",
    "Calls",
    "ClientOutbox",
]

# Names in this module, which compiled code finds faster than a lookup for each call.
_RESPONSE: Final = messages.Response
_fields: Final[Any] = msgspec.structs.astuple
_no_headers: Final = no_headers
_add_lower_case: Final = add_lower_case


@final
@dataclass(eq=False)
class ClientOutbox:
    """The actions to take now, besides sending each link's ``outgoing``."""

    #: Calls with an outcome, whose waiters must be woken.
    ended: list[Pending] = field(default_factory=list)
    #: Links whose connection must end and be made again.
    reopen: list[Link] = field(default_factory=list)
    #: Removed links, whose connection must end after their ``outgoing`` was sent.
    left: list[Link] = field(default_factory=list)
    #: Streams with something to read: wake their readers.
    readable: list[Inflow] = field(default_factory=list)
    #: Exceptions that were caught, to be logged.
    faults: list[Exception] = field(default_factory=list)


#: Explanations of the reasons with which a broker permanently refuses a client.
REFUSALS: Final = {
    "version": "uses another version of the native dialect",
    "backend": "is a port for workers: connect to the endpoint of the broker's --bind",
}


@final
class Calls:
    """All calls: each waits, or is at a link, and ends once."""

    def __init__(self, links: Links) -> None:
        self.waiting = WaitingCalls()
        self.deadlines: Deadlines[Pending] = Deadlines()
        self.budget = RetryBudget()
        #: The number of responses to calls that had already ended.
        self.late = 0
        #: Calls with an outcome that has not been reported to the driver.
        self.ended: list[Pending] = []
        #: Streams with something to read that was not reported to the driver.
        self.readable: list[Inflow] = []
        #: The reason for the last refusal.
        self.refusal = ""
        self._links = links

    def wait(self, pending: Pending) -> None:
        """Let a new call wait.

        Raises:
          Overloaded: if too many calls are already waiting.

        """
        # While there is a broker, waiting calls will be sent in a moment.
        if self.waiting.is_full or (self.waiting.is_heavy and not self._links.are_connected):
            pending.ended = True
            raise Overloaded(f"{self.waiting.count} calls wait in this client", executed="no")
        self.waiting.push(pending)

    # -- responses ---------------------------------------------------------------------

    def answer(self, link: Link, item: Response) -> None:
        """Process a response: the end of its call, or of this attempt."""
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
            # We report this timeout ourselves; the broker was only faster.
            self.end(pending, self.expiry(pending))
            return
        self.budget.succeed()
        whole = body if type(body) is bytes else b"".join(frames_of(body))
        if pending.stream is None and status < 400 and (parts or pending.parts is not None):
            try:
                whole = (pending.parts or Parts()).before(whole, parts)
            except RemoteProtocolError as error:
                self.end(pending, error)
                return
        fields = _no_headers()
        if headers:
            _add_lower_case(fields, headers)
        response = _RESPONSE(status, fields, whole)
        if pending.stream is None:
            self.end(pending, response)
        else:
            self.end(pending, pending.stream.finish(response, parts))

    def gather(self, link: Link, item: Part) -> None:
        """Process a part of a response."""
        pending = link.in_flight.get(item.id)
        if pending is None:
            self.late += 1
            return
        try:
            if pending.stream is not None:
                pending.stream.add(item.seq, item.body)
                self.readable.append(pending.stream)
                return
            if pending.parts is None:
                pending.parts = Parts()
            pending.parts.add(item.seq, item.body)
        except RemoteProtocolError as error:
            self.revoke(pending)
            self.end(pending, error)

    def begin(self, link: Link, item: Head) -> None:
        """Process the head of a streamed response."""
        pending = link.in_flight.get(item.id)
        if pending is None or pending.stream is None:
            self.late += 1
            return
        fields = _no_headers()
        _add_lower_case(fields, item.headers)
        pending.stream.begin(item.status, fields)
        self.readable.append(pending.stream)

    def end_begun(self, link: Link) -> None:
        """End the streams that have begun on a connection that has ended: parts may be lost."""
        begun = [one for one in link.in_flight.values() if one.stream and one.stream.status]
        for pending in begun:
            lost = f"the connection to {link.endpoint} was lost during the stream"
            self.end(pending, Unreachable(lost, executed="maybe"))

    def _wait_again(self, pending: Pending, link: Link) -> None:
        # It was in transit when the broker began to drain. No worker received it, so another broker
        # may, or the next one here (promise P13).
        if link.state is LinkState.READY:
            link.state = LinkState.DRAINING  # its goaway is in transit
        del link.in_flight[pending.id]
        pending.link = None
        pending.attempts -= 1
        self.waiting.push(pending)

    def fail(self, link: Link, item: Item) -> None:
        """End the call of ``item`` after an error in our own code; no other call ends."""
        if isinstance(item, Head | Part | Response) and item.id in link.in_flight:
            lost = RemoteProtocolError("an error in this client: see its log")
            self.end(link.in_flight[item.id], lost)

    def answer_unsent(self, pending: Pending, response: messages.Response) -> None:
        """End a call that was not accepted: it is in no queue and no heap."""
        pending.outcome, pending.ended = response, True
        self.ended.append(pending)

    def discard_first(self, link: Link, error: LocalProtocolError) -> Pending | None:
        """Drop the first item of ``link.outgoing``, which cannot be encoded.

        Returns:
          Its call, which has ended with ``error``; the caller must still be notified.

        """
        item = link.outgoing.pop(0)
        pending = link.in_flight.get(item.id) if isinstance(item, Call) else None
        if pending is not None:
            link.note_unsent(pending.id)
            pending.outcome = error
            self.close(pending)
        return pending

    # -- the end of a call -------------------------------------------------------------

    def end(self, pending: Pending, outcome: messages.Response | TrizmqError) -> None:
        """End a call with its outcome."""
        pending.outcome = outcome
        self.close(pending)
        self.ended.append(pending)

    def close(self, pending: Pending) -> None:
        """Remove a call that ends."""
        pending.ended = True
        if pending.stream is not None:
            pending.stream.has_ended = True
        if pending.link is not None:
            pending.link.in_flight.pop(pending.id, None)
        else:
            self.waiting.leave(pending)
        if pending.is_timed:
            self.deadlines.forget()
        pending.body = b""  # the record stays in the heap of deadlines for a while

    def revoke(self, pending: Pending) -> None:
        """Notify the broker, if it has the call, that no caller is waiting for it.

        Without a connection, the call will not be in the list of the next hello.
        """
        if pending.link is not None and pending.link.state is not LinkState.CONNECTING:
            pending.link.outgoing.append(Cancel(pending.id))
            pending.link.spoken_to = True

    def expiry(self, pending: Pending) -> TrizmqError:
        """Return the error for a call whose deadline has passed."""
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
        return Unreachable(f"no response from {self._links.endpoints}", executed="no")

    def end_refused(self) -> None:
        """End the waiting calls, if every broker has refused us."""
        if self._links.are_refused:
            for pending in self.waiting.all():
                self.end(pending, self.refused())

    def refused(self) -> Unreachable:
        """Return the error for a call that no broker here accepts."""
        return Unreachable(f"{self._links.endpoints} {self.refusal}", executed="no")

    def end_all(self) -> None:
        """End every call, because the client is closed."""
        for link in self._links.all():
            for pending in list(link.in_flight.values()):
                self.end(pending, Unreachable("the client was closed", executed="maybe"))
        for pending in self.waiting.all():
            self.end(pending, Unreachable("the client was closed", executed="no"))
