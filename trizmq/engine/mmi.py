"""MMI (ZeroMQ RFC 8): what the broker answers itself, about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from ..messages import Response, problem
from ..wire.items import frames_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..wire.items import Call
    from .records import Service

__all__ = ["answer", "is_mmi"]

#: RFC 8: 200 a worker is registered, 404 none is, 501 no such MMI service. As a body.
REGISTERED: Final = b"200"
NOT_REGISTERED: Final = b"404"
NOT_IMPLEMENTED: Final = b"501"


def is_mmi(service: str) -> bool:
    """Tell whether the broker answers for ``service``: ``mmi``, or RFC 8's ``mmi.*``."""
    return service == "mmi" or service.startswith("mmi.")


def answer(service: str, call: Call, services: Mapping[str, Service]) -> Response:
    """Answer a call for which `is_mmi` holds."""
    if service == "mmi.service":
        asked = services.get(frames_of(call.body)[0].decode("ascii", "replace"))
        return _says(REGISTERED if asked is not None and asked.workers else NOT_REGISTERED)
    if service != "mmi":
        return _says(NOT_IMPLEMENTED)
    if call.target.partition("?")[0] != "/mmi/services":
        return problem(404, f"the broker has no {call.target}", executed="no")
    if call.method not in ("GET", "HEAD"):
        return problem(405, executed="no", headers={"allow": "GET, HEAD"})
    if call.method == "HEAD":
        return _says(b"")
    return _says(orjson.dumps([_describe(services[name]) for name in sorted(services)]))


def _says(body: bytes) -> Response:
    return Response(200, body=body)


def _describe(service: Service) -> dict[str, str | int]:
    return {
        "name": service.name,
        "workers": service.workers,
        "queued": service.queue.count,
        "in_flight": service.in_flight,
    }
