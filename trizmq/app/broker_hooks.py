"""The hooks that a broker calls while it serves, each compiled into one function.

They run in the broker's loop, between a call and its worker: they never raise an exception, and an
error in a plugin never lets a call or a response pass.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from ..hook_values import AdmittedCall, Discard, Event, Forward, Reject, SendTo, Verdict
from ..messages import Principal, problem
from .failures import is_ctrl_c
from .results import check_response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .hooks import Hooks, Implementation
    from .resources import Resources

__all__ = ["Admit", "OnEvent", "compile_admit", "compile_admit_reply", "compile_on_event"]

LOGGER = logging.getLogger("trizmq.app")

# Names in this module, which compiled code finds faster than a lookup for each call.
_FORWARD: Final = Forward
_PRINCIPAL: Final = Principal

#: Calls every plugin's hook with a call. Raises only KeyboardInterrupt on Ctrl-C.
Admit: TypeAlias = "Callable[[AdmittedCall], Verdict]"

#: Calls every plugin's hook with an event. Raises only KeyboardInterrupt on Ctrl-C.
OnEvent: TypeAlias = "Callable[[Event], None]"

#: Calls one plugin's hook.
_Ask: TypeAlias = "Callable[[AdmittedCall], object]"


def compile_admit(hooks: Hooks, resources: Resources) -> Admit | None:
    """Return a function that calls all `trizmq_admit`, or None if no plugin has one."""
    found = hooks.of("trizmq_admit")
    return _asking([(one, one.asking("call", resources=resources)) for one in found])


def compile_admit_reply(hooks: Hooks, resources: Resources) -> Admit | None:
    """Return a function that calls all `trizmq_admit_reply`, or None if no plugin has one."""
    found = hooks.of("trizmq_admit_reply")
    return _asking([(one, _reply_asker(one, resources)) for one in found])


def _asking(hooks: Sequence[tuple[Implementation, _Ask]]) -> Admit | None:
    steps = tuple((found, ask) for found, ask in hooks)

    def admit(call: AdmittedCall) -> Verdict:
        principal = None
        for found, ask in steps:
            try:
                verdict = _checked(ask(call))
            except BaseException as error:  # fail closed; a hook may even call sys.exit
                if is_ctrl_c(error):
                    raise
                LOGGER.exception(
                    "plugin %r: %s failed (request %s)", found.plugin, found.hook, call.request_id
                )
                return Reject(500)
            if verdict is None:
                continue
            if not isinstance(verdict, Forward):
                return _aimed(verdict, principal)
            if verdict.principal is not None:
                if len(steps) == 1:  # no other plugin receives it
                    return verdict
                principal = verdict.principal
                call = msgspec.structs.replace(call, principal=principal)
        return Forward(principal) if principal is not None else None

    return admit if steps else None


def _aimed(verdict: Discard | Reject | SendTo, principal: Principal | None) -> Verdict:
    """Return ``verdict``; if it redirects the call, add the principal."""
    if isinstance(verdict, SendTo) and verdict.principal is None:
        return msgspec.structs.replace(verdict, principal=principal)
    return verdict


def _reply_asker(found: Implementation, resources: Resources) -> _Ask:
    ask = found.asking("call", "response", resources=resources)
    return lambda call: ask(call, call.response)


def compile_on_event(hooks: Hooks, resources: Resources) -> OnEvent:
    """Return a function that calls all `trizmq_on_event`."""
    steps = tuple(
        (found.plugin, found.asking("event", resources=resources))
        for found in hooks.of("trizmq_on_event")
    )

    def on_event(event: Event) -> None:
        for plugin, tell in steps:
            try:
                _refuse_coroutine(tell(event))
            except BaseException as error:  # an observer must not stop anything
                if is_ctrl_c(error):
                    raise
                LOGGER.exception("plugin %r: trizmq_on_event failed (%s)", plugin, event.kind)

    return on_event


def _checked(verdict: object) -> Verdict:
    """Return ``verdict`` if it is valid.

    Raises:
      Exception: if it is not a verdict, or one of its fields is invalid.

    """
    if isinstance(verdict, _FORWARD):
        principal = verdict.principal
        if principal is None or type(principal) is _PRINCIPAL:
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
    raise TypeError(f"not a verdict: {verdict!r}")


def _check_rejection(status: object, detail: object, headers: object) -> None:
    # It becomes a problem document as an HTTPError does, so it can have the same errors.
    match status, detail, headers:
        case int(), None | str(), dict() if 400 <= status <= 599:
            check_response(problem(status, detail, headers=headers))
        case _:
            raise TypeError(f"not a valid rejection: {status!r}, {detail!r}, {headers!r}")


def _refuse_coroutine(answer: object) -> None:
    if inspect.iscoroutine(answer):
        answer.close()
        raise TypeError("it is `async def`; the broker does not wait for a hook")
