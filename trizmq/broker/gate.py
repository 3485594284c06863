"""The gate: calls the broker hooks for a call, and acts on their verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..hook_values import AdmittedCall, Discard, Forward, Reject, SendTo
from ..name_rules import path_in_service, path_of_service
from ..retries import MAX_ATTEMPTS
from ..wire.items import frames_of
from . import statuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..hook_values import Verdict
    from ..messages import Response
    from .calls import Flight
    from .dispatcher import Dispatcher
    from .outbox import Counters
    from .services import Service
    from .workers import Worker

__all__ = ["Gate"]

# Constants of this module, because compiled code looks up imported names for each call.
_ADMITTED_CALL: Final = AdmittedCall
_FORWARD: Final = Forward


@final
class Gate:
    """Calls ``admit`` for every call, and ``admit_reply`` for every response of a worker.

    Without an ``admit``, `admits` is not called; without an ``admit_reply``, the dispatcher's
    `succeed` is called instead of `respond`. So an absent hook costs nothing.
    """

    def __init__(
        self,
        admit: Callable[[AdmittedCall], Verdict] | None,
        admit_reply: Callable[[AdmittedCall], Verdict] | None,
        counters: Counters,
        dispatcher: Dispatcher,
        worker_named: Callable[[str], Worker | None],
    ) -> None:
        self._admit = admit
        self._admit_reply = admit_reply
        self._counters = counters
        self._dispatcher = dispatcher
        self._worker_named = worker_named

    def admits(self, flight: Flight) -> bool:
        """Return whether a call that was just opened may continue; if not, it has ended."""
        assert self._admit is not None
        verdict = self._admit(_view(flight))
        if verdict is None:
            return True
        if isinstance(verdict, _FORWARD):
            flight.principal = verdict.principal
            return True
        if isinstance(verdict, SendTo):
            return self._aim(flight, verdict)
        self._end(flight, verdict)
        return False

    def begin(self, flight: Flight, response: Response) -> None:
        """Start a stream with ``response``, its head, unless a hook decides otherwise.

        No hook is called at the end of the stream.
        """
        assert self._admit_reply is not None
        verdict = self._admit_reply(_view(flight, response))
        if isinstance(verdict, Reject | Discard):
            self._end(flight, verdict)
        elif isinstance(verdict, SendTo):
            self._send_again(flight, verdict)
        else:
            self._dispatcher.send_head(flight, response)
            return
        if flight.has_worker and flight.worker is not None:
            flight.worker.cancel(flight)

    def respond(self, flight: Flight, response: Response) -> None:
        """End a call with its worker's response, or as a hook decides."""
        assert self._admit_reply is not None
        if flight.has_begun:
            self._dispatcher.succeed(flight, response)
            return
        verdict = self._admit_reply(_view(flight, response))
        match verdict:
            case Reject() | Discard():
                self._end(flight, verdict)
            case SendTo():
                self._send_again(flight, verdict)
            case _:
                self._dispatcher.succeed(flight, response)

    def _end(self, flight: Flight, verdict: Reject | Discard) -> None:
        self._counters.refused += 1
        if isinstance(verdict, Discard):
            self._dispatcher.replies.close(flight)
            return
        status, detail, headers = verdict.status, verdict.detail, verdict.headers
        outcome = statuses.refusal(flight, status, detail, headers=headers)
        self._dispatcher.replies.answer(flight, outcome)

    def _aim(self, flight: Flight, verdict: SendTo) -> bool:
        """Redirect a call to another service or worker; refuse it if there is none."""
        services = self._dispatcher.services
        service = services.get(verdict.service) if verdict.service else flight.service
        worker = self._worker_named(verdict.worker) if verdict.worker else None
        if (
            service is None
            or not service.workers
            or (verdict.worker and not _may_have(worker, service))
        ):
            self._dispatcher.replies.refuse(
                flight, 503, "the service or worker that a hook chose is not available"
            )
            return False
        if service is not flight.service:
            flight.target = path_of_service(service.name) + path_in_service(flight.target)
            flight.service = service
        flight.wanted = worker
        if verdict.principal is not None:
            flight.principal = verdict.principal
        return True

    def _send_again(self, flight: Flight, verdict: SendTo) -> None:
        if flight.attempts >= MAX_ATTEMPTS or flight.parts:
            self._dispatcher.replies.refuse(flight, 503, "a hook has redirected the call too often")
            return
        again = self._dispatcher.reopen(flight)
        if self._aim(again, verdict):
            self._dispatcher.place(again)


def _may_have(worker: Worker | None, service: Service) -> bool:
    """Return whether ``worker`` may get calls of ``service`` (promise P10)."""
    return worker is not None and not worker.is_leaving and service.name in worker.services


def _view(flight: Flight, response: Response | None = None) -> AdmittedCall:
    worker, body = flight.worker, flight.body
    return _ADMITTED_CALL(  # by position: costs half as much, for each call
        flight.service.name,
        flight.method,
        flight.target,
        flight.headers,
        (body,) if isinstance(body, bytes) else tuple(frames_of(body)),
        flight.peer.dialect,
        flight.request_id,
        flight.service.has_public_routes,
        flight.principal,
        "" if worker is None else worker.name,
        response,
    )
