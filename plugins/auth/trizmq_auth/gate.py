"""The gate: which requests pass, and what the others are told."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from trizmq import problem

from .admin import ensure_admin
from .store import TokenStore
from .verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trizmq import Principal, Request, Response, Route

__all__ = ["guard", "tokens_of"]

# Which tokens count belongs to the app, and a process may have several, each with a state
# directory of its own. A precondition is made before there is one; but all that handles
# requests is started inside the app's lifespan, and inherits what is set there. Where it is
# not set no token is valid: closed, not open.
_verifier: ContextVar[Verifier] = ContextVar("trizmq_auth.verifier")


@contextmanager
def tokens_of(directory: Path) -> Iterator[None]:
    """Hold requests against the tokens in ``directory``, in what is started inside.

    Raises:
      ConfigError: they cannot be read.

    """
    store = TokenStore(directory)
    ensure_admin(store, directory)
    store.tokens()  # what is damaged stops the start
    former = _verifier.set(Verifier(store))
    try:
        yield
    finally:
        _verifier.reset(former)


def guard(route: Route) -> Callable[[Request], Response | None]:
    """Return the precondition of ``route``."""
    if route.public:
        return _greet

    def check(request: Request) -> Response | None:
        request.principal = principal = _identify(request)
        if principal is None:
            return _unauthorized(request)
        if all(map(principal.has_scope, route.scopes)):
            return None
        return _forbidden(request, route)

    return check


def _greet(request: Request) -> None:
    """Let everybody in, and say who it is if that is known."""
    request.principal = _identify(request)


def _identify(request: Request) -> Principal | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    # RFC 9110, section 11.1: "It uses a case-insensitive token to identify the
    # authentication scheme".
    if scheme.lower() != "bearer":
        return None
    verifier = _verifier.get(None)
    return verifier.verify(token.strip()) if verifier else None


def _unauthorized(request: Request) -> Response:
    # Missing, unknown, expired, revoked: one answer, for a guess must not learn which.
    return problem(
        401,
        "a valid token is wanted: authorization: Bearer TOKEN",
        executed="no",
        request_id=request.request_id or None,
        headers={"www-authenticate": "Bearer"},
    )


def _forbidden(request: Request, route: Route) -> Response:
    # RFC 6750, section 3.1: a 403 "MAY include the "scope" attribute with the scope
    # necessary to access the protected resource".
    scope = " ".join(route.scopes)
    return problem(
        403,
        f"the token lacks a scope; wanted: {scope}",
        executed="no",
        request_id=request.request_id or None,
        headers={"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
    )
