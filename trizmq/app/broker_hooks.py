"""The hooks that a broker asks while it serves, compiled: each is one function to call.

Both run in the broker's loop, between a call and its worker: neither ever raises, and what
a plugin does wrong never lets a call pass.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ..admission import AdmittedCall, Discard, Event, Forward, Reject, SendTo, Verdict
from ..messages import Principal, problem
from .failures import is_ctrl_c
from .results import check_response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .hooks import Hooks, Implementation

__all__ = ["Admit", "OnEvent", "compile_admit", "compile_admit_reply", "compile_on_event"]

LOGGER = logging.getLogger("trizmq.app")

#: Asks every plugin about a call. Raises nothing but Ctrl-C.
Admit: TypeAlias = "Callable[[AdmittedCall], Verdict]"

#: Tells every plugin of an event. Likewise.
OnEvent: TypeAlias = "Callable[[Event], None]"


def compile_admit(hooks: Hooks) -> Admit | None:
    """Return what asks the plugins' `trizmq_admit` of a call, or None if no plugin has it."""
    return _asking(list(hooks.of("trizmq_admit")))


def compile_admit_reply(hooks: Hooks) -> Admit | None:
    """Return what asks those of them that take ``response`` of one, or None if none does."""
    return _asking([found for found in hooks.of("trizmq_admit") if found.wants("response")])


def _asking(implementations: Sequence[Implementation]) -> Admit | None:
    steps = tuple((found.plugin, _asker(found)) for found in implementations)

    def admit(call: AdmittedCall) -> Verdict:
        principal = None
        for plugin, ask in steps:
            try:
                verdict = _checked(ask(call))
            except BaseException as error:  # closed, not open; and a hook may call sys.exit
                if is_ctrl_c(error):
                    raise
                LOGGER.exception(
                    "plugin %r: trizmq_admit failed (request %s)", plugin, call.request_id
                )
                return Reject(500)
            if verdict is None:
                continue
            if not isinstance(verdict, Forward):
                return _aimed(verdict, principal)
            if verdict.principal is not None:
                if len(steps) == 1:  # nobody else is to see it
                    return verdict
                principal = verdict.principal
                call = msgspec.structs.replace(call, principal=principal)
        return Forward(principal) if principal is not None else None

    return admit if steps else None


def _aimed(verdict: Discard | Reject | SendTo, principal: Principal | None) -> Verdict:
    """Return ``verdict``; one that sends the call elsewhere takes along who calls."""
    if isinstance(verdict, SendTo) and verdict.principal is None:
        return msgspec.structs.replace(verdict, principal=principal)
    return verdict


def _asker(found: Implementation) -> Callable[[AdmittedCall], object]:
    if not found.wants("response"):
        return found.asking("call")
    ask = found.asking("call", "response")
    return lambda call: ask(call, call.response)


def compile_on_event(hooks: Hooks) -> OnEvent:
    """Return what tells the plugins' `trizmq_on_event`."""
    steps = tuple((found.plugin, found.asking("event")) for found in hooks.of("trizmq_on_event"))

    def on_event(event: Event) -> None:
        for plugin, tell in steps:
            try:
                _refuse_coroutine(tell(event))
            except BaseException as error:  # who observes stops nothing
                if is_ctrl_c(error):
                    raise
                LOGGER.exception("plugin %r: trizmq_on_event failed (%s)", plugin, event.kind)

    return on_event


def _checked(verdict: object) -> Verdict:
    """Return ``verdict`` if the broker can do what it says.

    Raises:
      Exception: if not: it is none, or a field is not what it should be.

    """
    if isinstance(verdict, Forward) and type(verdict.principal) in (Principal, type(None)):
        return verdict
    match verdict:
        case None | Discard():
            return verdict
        case Reject(status, detail, headers):
            _check_rejection(status, detail, headers)
            return verdict
        case SendTo(str(service), str(worker), None | Principal()) if service or worker:
            return verdict
    _refuse_coroutine(verdict)
    raise TypeError(f"no verdict: {verdict!r}")


def _check_rejection(status: object, detail: object, headers: object) -> None:
    # It is made a problem document as an HTTPError is, and so may be wrong as that may be.
    match status, detail, headers:
        case int(), None | str(), dict() if 400 <= status <= 599:
            check_response(problem(status, detail, headers=headers))
        case _:
            raise TypeError(f"no rejection: {status!r}, {detail!r}, {headers!r}")


def _refuse_coroutine(answer: object) -> None:
    if inspect.iscoroutine(answer):
        answer.close()
        raise TypeError("it is `async def`; the broker does not wait for a hook")
