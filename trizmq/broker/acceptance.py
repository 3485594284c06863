"""Acceptance of new calls: each is checked against limits, passed to hooks, and dispatched."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, final

from ..bounds import find_oversize
from ..deadlines import NEVER
from ..errors import LocalProtocolError
from ..name_rules import are_fields_normal, is_line_normal, is_mmi, service_of
from ..wire.head import check
from . import statuses
from .calls import Flight
from .services import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from ..messages import Response
    from ..wire.items import Call
    from ..wire.return_path import ReturnPath
    from .clients import Peer
    from .dispatcher import Dispatcher
    from .gate import Gate
    from .outbox import Context

__all__ = ["Acceptance"]


@final
class Acceptance:
    """Opens each call at the dispatcher, then refuses it, responds to it or dispatches it.

    Args:
      gate: calls the hooks; None if there are none.
      answer_mmi: returns the response to a call of the broker's own services.
      waits: whether workers may connect. If so, a call waits a while for a service that no
        worker has offered yet; otherwise it ends with a 404 at once.

    """

    def __init__(
        self,
        context: Context,
        dispatcher: Dispatcher,
        gate: Gate | None,
        answer_mmi: Callable[[Flight], Response],
        *,
        waits: bool,
    ) -> None:
        self.is_draining = False
        self._limits = limits = context.limits
        # Copies of what each call needs: reading a field of a Struct costs ten times as much.
        self._max_ttl = limits.max_ttl
        self._header_fields = limits.header_fields
        self._target_bytes = limits.target_bytes
        self._client_calls = limits.client_calls
        self._most_of_one = 2 * limits.client_bytes
        self._most_of_all = limits.broker_bytes - limits.broker_bytes // 4  # rest: responses
        self._counters = context.counters
        self._dispatcher = dispatcher
        self._calls = dispatcher.calls
        self._replies = dispatcher.replies
        self._gate = gate
        self._answer_mmi = answer_mmi
        self._waits = waits
        self._nowhere = Service("")  # for a call whose target has not been read
        # Calls for services that no worker has offered yet, in the order of their expiry.
        self._impatient: deque[tuple[float, Flight]] = deque()

    def take(
        self, peer: Peer, call: Call, return_path: ReturnPath | None, now: float, *, thorough: bool
    ) -> None:
        """Accept or refuse a call. ``thorough``: a part of it may exceed a limit in bytes."""
        flight = Flight(peer, call, now, self._nowhere, return_path)
        peer.seen = flight.id
        if flight.id in peer.flights:
            self._counters.unexpected += 1
            return
        dispatcher = self._dispatcher
        dispatcher.now = now
        target = flight.target
        if target.startswith(peer.service_path):  # the usual case: the same service as before
            name = peer.service_name
        else:
            name = service_of(target) or ""
            path = f"/{name}/"
            if target.startswith(path):  # else the name is escaped, or the path ends
                peer.service_path, peer.service_name = path, name
        flight.service = dispatcher.services.get(name) or Service(name)
        # A stream may last as long as its caller wants: it takes no room while nothing is read.
        ttl = flight.ttl / 1000
        flight.deadline = now + (ttl if flight.window else min(ttl, self._max_ttl))
        flight.deadline -= flight.connection.lag.of(flight.sent_at, now)
        dispatcher.open(flight)
        outcome = self._why_not(flight, thorough=thorough)
        if outcome is not None:
            self._replies.refuse_with(flight, outcome)
        elif self.is_draining and not is_mmi(name):
            self._replies.turn_away(flight)
        elif self._gate is None or self._gate.admits(flight):
            self._place(flight)

    def _why_not(self, flight: Flight, *, thorough: bool) -> Response | None:
        """Return the refusal of a call that is invalid or exceeds a limit, or None."""
        # A small message can contain too many header fields, if they are empty. A character can
        # have four bytes.
        if (
            thorough
            or len(flight.headers) > self._header_fields
            or 4 * (len(flight.method) + len(flight.target)) > self._target_bytes
        ) and (oversize := find_oversize(flight, self._limits)):
            return statuses.refusal(flight, *oversize)
        if (fault := self._find_fault(flight)) is not None:
            return statuses.refusal(flight, 400, fault)
        if flight.deadline <= self._dispatcher.now:
            return statuses.expiry(flight)
        peer = flight.peer
        if flight.connection.calls > self._client_calls and self._has_too_many(peer, flight):
            return self._replies.busy(flight, 429, "this client has too many calls in flight")
        if peer.is_slow:
            return self._replies.busy(flight, 429, statuses.UNREAD)
        return self._find_excess(flight) if flight.held else None

    def _find_excess(self, flight: Flight) -> Response | None:
        """Return the refusal if the bodies in flight are too large; one call always fits."""
        calls = self._calls
        if flight.connection.held - flight.held > self._most_of_one:
            return self._replies.busy(flight, 429, "this client has too many bytes in flight")
        if calls.held_bytes + calls.unsent_bytes - flight.held > self._most_of_all:
            detail = "the server holds too many bytes of calls in flight"
            return self._replies.busy(flight, 503, detail)
        return None

    def _find_fault(self, flight: Flight) -> str | None:
        """Normalize the names in a native call; return what is invalid, or None.

        In the other dialects, the parser has normalized them.
        """
        if not (flight.peer.is_checked or self._is_normal(flight)):
            name = f"{flight.peer.instance}-{flight.id}"
            try:
                head = check(flight.method, flight.target, flight.headers.items())
            except LocalProtocolError as error:
                flight.request_id = name  # the client's own may be invalid
                return str(error)
            flight.method, flight.target, flight.headers = head
            flight.request_id = flight.headers.get("x-request-id") or name
        if not flight.service.name and service_of(flight.target) is None:
            return "path: an escape that is malformed or not UTF-8"
        return None

    def _is_normal(self, flight: Flight) -> bool:
        headers, peer = flight.headers, flight.peer
        if not is_line_normal(flight.method, flight.target):
            return False
        if headers == peer.headers:  # the usual case: a client repeats its token
            return True
        if not are_fields_normal(headers):
            return False
        peer.headers = headers
        return True

    def _has_too_many(self, peer: Peer, flight: Flight) -> bool:
        """Return whether a connection, or one of the clients behind it, has too many calls."""
        limits, path = self._limits, flight.return_path
        if path is None or not peer.pipelines:
            return True
        # MDP clients pipeline, and match replies to requests by their order. A refusal would
        # break that order, so their limit is higher: half of the service's queue.
        is_behind_a_queue = len(path.envelope) > 1
        return (is_behind_a_queue and len(peer.flights) > limits.client_calls) or (
            flight.connection.calls > limits.service_calls // 2
        )

    def _place(self, flight: Flight) -> None:
        service = flight.service
        if service.is_suspended:
            self._replies.refuse_with(flight, self._no_worker(flight))
        elif service.was_offered or flight.wanted is not None:
            self._dispatcher.place(flight)
        elif is_mmi(service.name):
            self._counters.answered += 1
            self._replies.respond(flight, self._answer_mmi(flight))
        elif not self._waits:
            detail = f"there is no service {service.name!r}"
            self._replies.refuse_with(flight, statuses.refusal(flight, 404, detail))
        else:
            self._await_service(flight)

    def _no_worker(self, flight: Flight) -> Response:
        return self._replies.busy(
            flight, 503, f"no worker offers the service {flight.service.name!r}"
        )

    # -- services without workers ------------------------------------------------------

    def expect(self, services: Iterable[str], public: Collection[str]) -> None:
        """Let calls of ``services`` wait, as if a worker had offered these before."""
        for name in services:
            service = self._dispatcher.services.setdefault(name, Service(name))
            service.expect(is_public=name in public)

    def suspend(self) -> None:
        """Refuse calls of services without workers, until a worker offers them."""
        for service in self._dispatcher.services.values():
            if not service.workers:
                service.is_suspended = True
                for flight in service.queue.calls():
                    self._replies.refuse_with(flight, self._no_worker(flight))

    def _await_service(self, flight: Flight) -> None:
        """Let a call wait for a short time for a service that no worker has offered yet."""
        services = self._dispatcher.services
        if flight.service.name not in services and len(services) >= 2 * self._limits.services:
            self._replies.refuse_with(flight, self._no_worker(flight))
            return
        services[flight.service.name] = flight.service
        self._impatient.append((self._dispatcher.now + self._limits.wait, flight))
        self._dispatcher.place(flight)

    @property
    def next_tick(self) -> float:
        """The latest time at which to call `tick`."""
        return self._impatient[0][0] if self._impatient else NEVER

    def tick(self, now: float) -> None:
        """Refuse calls that have waited too long for services that no worker has offered."""
        while self._impatient and self._impatient[0][0] <= now:
            self._lose_patience(self._impatient.popleft()[1])

    def _lose_patience(self, flight: Flight) -> None:
        service, services = flight.service, self._dispatcher.services
        if service.was_offered:
            return
        if not flight.ended:
            self._replies.refuse_with(flight, self._no_worker(flight))
        # Another service may have that name by now.
        if not service.queue.count and services.get(service.name) is service:
            del services[service.name]
