"""The hooks that decide which calls pass, and the responses to the others.

There are two of them. The broker verifies every token, so unknown callers never reach a worker.
The worker checks scopes, which belong to routes, and is a second line of defense.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from trizmq import ConfigError, Forward, Reject, hookimpl, problem

from .admin import ensure_admin
from .store import TokenStore
from .verifier import Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from trizmq import (
        AdmittedCall,
        Precondition,
        Principal,
        Request,
        Response,
        Route,
        Verdict,
    )

__all__ = ["trizmq_admit", "trizmq_precondition", "verifier_of"]

#: The response is the same for missing, unknown, expired and revoked tokens, at the broker and at
#: the worker, so that it reveals nothing to an attacker.
UNAUTHORIZED: Final = Reject(
    401,
    "a valid token is required: authorization: Bearer TOKEN",
    {"www-authenticate": "Bearer"},
)


def verifier_of(directory: Path) -> Verifier:
    """Return a verifier for the tokens in ``directory``; create the first token if needed.

    Raises:
      ConfigError: if they cannot be read, or the first token cannot be written.

    """
    store = TokenStore(directory)
    try:
        ensure_admin(store, directory)
    except OSError as error:
        raise ConfigError(f"cannot create a token: {error.filename}: {error.strerror}") from error
    store.tokens()  # a damaged file stops the start
    return Verifier(store)


@hookimpl
def trizmq_admit(call: AdmittedCall, *, verifier: Verifier) -> Verdict:
    """Decide what the broker does with ``call``: unknown callers are refused."""
    token = _token_in(call.headers.get("authorization", ""))
    if token is None:  # another plugin may know the caller, and the worker guards other routes
        return None if call.principal or call.has_public_routes else UNAUTHORIZED
    principal = verifier.verify(token)
    return UNAUTHORIZED if principal is None else Forward(principal)


@hookimpl
def trizmq_precondition(route: Route) -> Precondition:
    """Return the precondition for ``route``."""
    if route.public:
        return _greet
    scopes = route.scopes

    def check(request: Request, *, verifier: Verifier) -> Response | None:
        request.principal = principal = _identify(request, verifier)
        if principal is None:
            return _unauthorized(request)
        if scopes and not all(map(principal.has_scope, scopes)):
            return _forbidden(request, route)
        return None

    return check


def _greet(request: Request, *, verifier: Verifier) -> None:
    """Let every caller pass, and set the principal if it is known."""
    request.principal = _identify(request, verifier)


def _identify(request: Request, verifier: Verifier) -> Principal | None:
    # If the broker has set the principal, it is final. A broker without this plugin does not.
    if request.principal is not None:
        return request.principal
    token = _token_in(request.headers.get("authorization", ""))
    return None if token is None else verifier.verify(token)


@lru_cache(maxsize=256)  # a few callers make most of the calls
def _token_in(field: str) -> str | None:
    """Return the token in an authorization field, or None."""
    scheme, _, token = field.partition(" ")
    # RFC 9110, section 11.1: "It uses a case-insensitive token to identify the
    # authentication scheme".
    return token.strip() if scheme.lower() == "bearer" else None


def _unauthorized(request: Request) -> Response:
    return problem(
        UNAUTHORIZED.status,
        UNAUTHORIZED.detail,
        executed="no",
        request_id=request.request_id or None,
        headers=UNAUTHORIZED.headers,
    )


def _forbidden(request: Request, route: Route) -> Response:
    # RFC 6750, section 3.1: a 403 "MAY include the "scope" attribute with the scope
    # necessary to access the protected resource".
    scope = " ".join(route.scopes)
    return problem(
        403,
        f"the token lacks a scope; required: {scope}",
        executed="no",
        request_id=request.request_id or None,
        headers={"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
    )
