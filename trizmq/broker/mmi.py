"""MMI (ZeroMQ RFC 8): the broker's own services, which report about the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from ..messages import Response, problem
from ..name_rules import path_in_service
from ..wire.items import frames_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .calls import Flight
    from .outbox import Counters
    from .services import Service
    from .workers import Worker

__all__ = ["answer"]

#: Bodies of RFC 8: 200 a worker is registered; 404 none is; 501 no such MMI service.
REGISTERED: Final = b"200"
NOT_REGISTERED: Final = b"404"
NOT_IMPLEMENTED: Final = b"501"


class _Broker(Protocol):
    @property
    def counters(self) -> Counters: ...
    @property
    def is_draining(self) -> bool: ...
    @property
    def services(self) -> Mapping[str, Service]: ...
    @property
    def all_workers(self) -> Sequence[Worker]: ...
    @property
    def clients(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def queued_bytes(self) -> int: ...


def answer(flight: Flight, broker: _Broker) -> Response:
    """Return the response to a call of an MMI service (see `is_mmi`).

    RFC 8 defines ``mmi.service``, with the name of a service as body. The other reports are our
    own, in JSON: ``mmi.NAME`` for MDP clients, ``GET /mmi/NAME`` for all other clients.
    """
    service = flight.service.name
    if service == "mmi.service":
        asked = broker.services.get(frames_of(flight.body)[0].decode(errors="replace"))
        return _says(REGISTERED if asked is not None and asked.workers else NOT_REGISTERED)
    if service != "mmi":
        report = REPORTS.get(service.removeprefix("mmi."))
        return _says(NOT_IMPLEMENTED if report is None else orjson.dumps(report(broker)))
    report = REPORTS.get(path_in_service(flight.target).partition("?")[0].removeprefix("/"))
    if report is None:
        return problem(404, f"the broker has {', '.join(REPORTS)} under /mmi/", executed="no")
    if flight.method not in ("GET", "HEAD"):
        return problem(405, executed="no", headers={"allow": "GET, HEAD"})
    return _says(b"" if flight.method == "HEAD" else orjson.dumps(report(broker)))


def _says(body: bytes) -> Response:
    return Response(200, body=body)


def _services(broker: _Broker) -> list[dict[str, Any]]:
    return [_service(broker.services[name]) for name in sorted(broker.services)]


def _service(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "workers": service.workers,
        "queued": service.queue.count,
        "in_flight": service.in_flight,
    }


def _workers(broker: _Broker) -> list[dict[str, Any]]:
    return [
        {
            "name": worker.name,
            "dialect": worker.dialect,
            "services": sorted(worker.services),
            "capacity": worker.capacity,
            "busy": worker.busy,
            "leaving": worker.is_leaving,
        }
        for worker in broker.all_workers
    ]


def _routes(broker: _Broker) -> list[str]:
    return sorted({route for worker in broker.all_workers for route in worker.routes})


def _stats(broker: _Broker) -> dict[str, Any]:
    services = broker.services.values()
    return {
        "counters": broker.counters.as_dict(),
        "in_flight": broker.in_flight,
        "queued": sum(service.queue.count for service in services),
        "queued_bytes": broker.queued_bytes,
        "clients": broker.clients,
        "workers": len(broker.all_workers),
    }


def _health(broker: _Broker) -> dict[str, Any]:
    deserted = sorted(name for name, one in broker.services.items() if not one.workers)
    status = "draining" if broker.is_draining else "degraded" if deserted else "ok"
    return {"status": status, "without_workers": deserted, "workers": len(broker.all_workers)}


REPORTS: Final[Mapping[str, Callable[[_Broker], Any]]] = {
    "services": _services,
    "workers": _workers,
    "routes": _routes,
    "stats": _stats,
    "health": _health,
}
