"""The broker calls hooks in the order of the plugins, and never lets a call pass by mistake."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from trizmq import (
    AdmittedCall,
    Discard,
    Event,
    Forward,
    PluginError,
    Principal,
    Reject,
    Response,
    Router,
    SendTo,
    hookimpl,
)
from trizmq.app.application import App

if TYPE_CHECKING:
    from trizmq.app.broker_hooks import Admit

Make = Callable[..., ModuleType]

ADA, BOB = Principal("ada"), Principal("bob", frozenset({"users:write"}))
CALL = AdmittedCall(
    service="users",
    method="GET",
    target="/users/1",
    headers={},
    body=(b"",),
    dialect="native",
    request_id="r-1",
)


@pytest.fixture
def admitting(make_plugin: Make) -> Callable[..., Admit]:
    """Return `App.admit` of plugins a, b, ... with these hooks, or hooks with these verdicts."""

    def of(*hooks: Any) -> Admit:
        named = zip("abcdef", hooks, strict=False)
        admit = App([make_plugin(name, admit=hook) for name, hook in named]).admit
        assert admit is not None
        return admit

    return of


def test_trizmq_admit_costs_nothing_where_no_plugin_has_it(make_plugin: Make) -> None:
    assert App([make_plugin("p", register_routes=[])]).admit is None
    assert App([]).admit is None


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ([None], None),
        ([Forward()], None),
        ([None, Forward(), None], None),
        ([Forward(ADA)], Forward(ADA)),
        ([Forward(ADA), None, Forward()], Forward(ADA)),
        ([Forward(ADA), Forward(BOB)], Forward(BOB)),
        ([Discard(), Reject(400)], Discard()),
        ([None, Reject(403, "no", {"x-why": "so"})], Reject(403, "no", {"x-why": "so"})),
        ([Forward(ADA), Reject(599)], Reject(599)),
        ([SendTo("others"), Forward(ADA)], SendTo("others")),
        ([SendTo(worker="w-1")], SendTo(worker="w-1")),
    ],
)
def test_trizmq_admit_the_first_that_is_no_forward_is_the_verdict(
    admitting: Callable[..., Admit], verdicts: list[Any], verdict: Any
) -> None:
    assert admitting(*verdicts)(CALL) == verdict


def test_trizmq_admit_is_asked_in_the_plugins_order_until_one_decides(
    admitting: Callable[..., Admit],
) -> None:
    seen: list[tuple[str, Principal | None]] = []

    def hook(name: str, verdict: Any) -> Any:
        def ask(call: AdmittedCall) -> Any:
            seen.append((name, call.principal))
            return verdict

        return ask

    admit = admitting(
        hook("a", None), hook("b", Forward(ADA)), hook("c", Discard()), hook("d", None)
    )
    admit(CALL)
    assert seen == [("a", None), ("b", None), ("c", ADA)]
    assert CALL.principal is None


def test_trizmq_admit_reply_is_called_for_responses(make_plugin: Make) -> None:
    def read(response: Response) -> SendTo | None:
        return SendTo("others") if response.status == 503 else None

    def read_both(call: AdmittedCall, response: Response) -> None:
        assert call.response is response

    app = App([make_plugin("a", admit_reply=read_both), make_plugin("b", admit_reply=read)])
    assert app.admit is None
    assert app.admit_reply is not None
    assert app.admit_reply(replace(CALL, response=Response(200))) is None
    assert app.admit_reply(replace(CALL, response=Response(503))) == SendTo("others")


def test_trizmq_admit_reply_that_fails_lets_no_response_pass(
    make_plugin: Make, caplog: pytest.LogCaptureFixture
) -> None:
    admit_reply = App([make_plugin("p", admit_reply=raising(ValueError("secret")))]).admit_reply
    assert admit_reply is not None
    assert admit_reply(replace(CALL, response=Response(200))) == Reject(500)
    (record,) = caplog.records
    assert record.getMessage() == "plugin 'p': trizmq_admit_reply failed (request r-1)"


def test_trizmq_admit_with_a_response_is_refused_and_the_error_names_the_new_hook(
    make_plugin: Make,
) -> None:
    old = make_plugin("old", admit=lambda call, response: None)
    with pytest.raises(PluginError) as caught:
        App([old])
    assert str(caught.value) == (
        "plugin 'old' is broken: trizmq_admit takes no `response`: rename the part that reads "
        "responses to trizmq_admit_reply"
    )


async def waits(call: AdmittedCall) -> None:
    raise AssertionError("awaited")


def raising(error: BaseException) -> Callable[[AdmittedCall], None]:
    def ask(call: AdmittedCall) -> None:
        raise error

    return ask


class Unruly(BaseException):
    pass


@pytest.mark.parametrize(
    "hook",
    [
        raising(ValueError("secret")),
        raising(Unruly()),
        raising(SystemExit(0)),
        raising(GeneratorExit()),
        raising(ExceptionGroup("g", [ValueError()])),
        waits,
        True,
        "forward",
        Forward,
        Response(200),
        Forward("ada"),  # type: ignore[arg-type]  # as a plugin might
        Reject(200),
        Reject(399),
        Reject(600),
        Reject("401"),  # type: ignore[arg-type]  # likewise
        Reject(401, b"no"),  # type: ignore[arg-type]  # likewise
        Reject(401, "\ud800"),
        Reject(401, headers={"x": 1}),  # type: ignore[dict-item]  # likewise
        Reject(401, headers={1: "x"}),  # type: ignore[dict-item]  # likewise
        Reject(401, headers={"x": "a\r\nset-cookie: b"}),
        Reject(401, headers=None),  # type: ignore[arg-type]  # likewise
        SendTo(),
        SendTo(1),  # type: ignore[arg-type]  # likewise
    ],
    ids=repr,
)
def test_trizmq_admit_never_falls_open(
    admitting: Callable[..., Admit], hook: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ask = hook if not isinstance(hook, type) else (lambda call: hook)
    assert admitting(None, ask, Forward(ADA))(CALL) == Reject(500)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert record.getMessage() == "plugin 'b': trizmq_admit failed (request r-1)"


@pytest.mark.parametrize("given", [(1,), ("ada", ["*"]), ("ada", frozenset([1])), ("\ud800",)])
def test_trizmq_admit_can_make_no_principal_that_could_not_travel(given: Any) -> None:
    with pytest.raises((TypeError, UnicodeEncodeError)):
        Principal(*given)


def test_trizmq_admit_a_subclass_of_forward_decides_nothing(
    admitting: Callable[..., Admit],
) -> None:
    class Mine(Forward, frozen=True):
        pass

    assert admitting(Mine(ADA), Reject(403))(CALL) == Reject(403)


def test_ctrl_c_ends_the_program_even_in_a_hook(
    admitting: Callable[..., Admit], ctrl_c: KeyboardInterrupt
) -> None:
    with pytest.raises(KeyboardInterrupt):
        admitting(raising(ctrl_c))(CALL)
    assert admitting(raising(KeyboardInterrupt()))(CALL) == Reject(500)  # from the hook itself


def test_trizmq_admit_may_take_no_argument_and_be_a_method() -> None:
    class Closed:
        @hookimpl
        def trizmq_admit(self) -> Reject:
            return Reject(503)

    class Open:
        @hookimpl
        def trizmq_admit(self, call: AdmittedCall) -> None:
            assert call is CALL

    admit = App([Open(), Closed()]).admit
    assert admit is not None
    assert admit(CALL) == Reject(503)


def test_trizmq_on_event_is_called_for_all_plugins_in_order(make_plugin: Make) -> None:
    told: list[tuple[str, Event]] = []
    plugins = [
        make_plugin(name, on_event=lambda event, name=name: told.append((name, event)))
        for name in "ba"
    ]
    event = Event("worker-lost", "w-1", ("users",), "silent for 3 s")
    App(plugins).on_event(event)
    assert told == [("b", event), ("a", event)]
    App([]).on_event(event)


@pytest.mark.parametrize("hook", [raising(ValueError()), raising(SystemExit(0)), waits])
def test_trizmq_on_event_raises_nothing_and_goes_on(
    make_plugin: Make, hook: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(event: Event) -> Any:
        return hook(event)

    told = list[Event]()
    plugins = [
        make_plugin("a", on_event=fails),
        make_plugin("b", on_event=lambda event: told.append(event)),
    ]
    App(plugins).on_event(Event("drain"))
    assert told == [Event("drain")]
    (record,) = caplog.records
    assert record.getMessage() == "plugin 'a': trizmq_on_event failed (drain)"


def test_ctrl_c_ends_the_program_even_in_an_observer(
    make_plugin: Make, ctrl_c: KeyboardInterrupt
) -> None:
    def interrupted(event: Event) -> None:
        raise ctrl_c

    with pytest.raises(KeyboardInterrupt):
        App([make_plugin("p", on_event=interrupted)]).on_event(Event("drain"))


async def test_an_app_may_have_hooks_and_no_routes(
    make_plugin: Make, calling: Callable[[App], Any]
) -> None:
    app = App([make_plugin("p", admit=None)])
    assert app.services == app.public_services == frozenset()
    assert app.routes == ()
    async with app.lifespan():
        assert (await calling(app)("GET", "/users")).status == 404


def test_public_services_have_a_public_route(make_plugin: Make) -> None:
    router = Router()
    for pattern, public in [("/a/1", False), ("/a/2", True), ("/b", False), ("/c", True)]:
        router.get(pattern, public=public)(lambda: None)
    app = App([make_plugin("p", register_routes=router)])
    assert app.public_services == {"a", "c"}
    assert app.services == {"a", "b", "c"}


def test_trizmq_admit_a_redirected_call_keeps_its_principal(
    admitting: Callable[..., Admit],
) -> None:
    assert admitting(Forward(ADA), SendTo("others"))(CALL) == SendTo("others", "", ADA)
    assert admitting(Forward(ADA), SendTo("others", "", BOB))(CALL) == SendTo("others", "", BOB)
