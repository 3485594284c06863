"""Resources: what a lifespan yields reaches the arguments that are annotated with its type."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import ModuleType
from typing import Annotated, Any, NewType

import msgspec
import pytest

from trizmq import (
    AdmittedCall,
    Event,
    Forward,
    PluginError,
    Principal,
    Request,
    Response,
    Router,
    Verdict,
    hookimpl,
)
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.testing import open_app

Make = Callable[..., ModuleType]


class Store:
    """What some handlers need."""

    name = "store"


class Database(Store):
    name = "database"


class Table(msgspec.Struct):
    """A type that a body could have, too."""

    name: str = "table"


Alias = NewType("Alias", Database)


def lifespan_of(kind: Any, value: Any) -> Any:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[Any]:
        yield value

    lifespan.__wrapped__.__annotations__["return"] = AsyncIterator[kind]  # type: ignore[attr-defined]
    return lifespan


@pytest.fixture
def serving(make_plugin: Make) -> Callable[..., Any]:
    """An app whose lifespan yields a database, with these handlers at /t/0, /t/1, ..."""

    def of(*handlers: Any, kind: Any = Database, value: Any = None) -> Any:
        router = Router("/t")
        for number, handler in enumerate(handlers):
            router.any(f"/{number}")(handler)
        value = Database() if value is None else value
        owner = make_plugin("db", lifespan=lifespan_of(kind, value))
        return open_app([owner, make_plugin("t", register_routes=router)])

    return of


async def by_type(db: Database) -> str:
    return db.name


async def by_base_class(db: Store) -> str:
    return db.name


async def annotated(db: Annotated[Database, "why"]) -> str:
    return db.name


async def optional(db: Database | None = None) -> str:
    return "none" if db is None else db.name


async def by_new_type(db: Alias) -> str:
    return db.name


async def by_keyword(*, db: Database, page: int = 1) -> str:
    return f"{db.name}"


def in_a_thread(db: Database) -> str:
    return db.name


async def test_handlers_receive_what_a_lifespan_yields(serving: Callable[..., Any]) -> None:
    handlers = [by_type, by_base_class, annotated, optional, by_new_type, by_keyword, in_a_thread]
    async with serving(*handlers) as client:
        for number in range(len(handlers)):
            assert (await client.get(f"/t/{number}")).json() == "database"


async def test_a_caller_cannot_send_a_resource(serving: Callable[..., Any]) -> None:
    async def get(table: Table) -> str:
        return table.name

    async with serving(get, kind=Table, value=Table("ours")) as client:
        assert (await client.post("/t/0?table=mine", json={"name": "mine"})).json() == "ours"


@asynccontextmanager
async def generator() -> AsyncGenerator[Database, None]:
    yield Database()


@asynccontextmanager
async def some() -> AsyncIterator[Database | None]:
    yield Database()


def manager() -> AbstractAsyncContextManager[Database]:
    return generator()


@pytest.mark.parametrize("lifespan", [generator, some, manager])
async def test_the_type_is_read_from_the_annotation(make_plugin: Make, lifespan: Any) -> None:
    router = Router("/t")
    router.get("")(by_type)
    plugin = make_plugin("p", register_routes=router, lifespan=lifespan)
    async with open_app([plugin]) as client:
        assert (await client.get("/t")).json() == "database"


@pytest.mark.parametrize("kind", [None, object, Any, str, int, list[str], Principal, Request])
def test_values_of_common_types_are_not_given_to_handlers(make_plugin: Make, kind: Any) -> None:
    app = App([make_plugin("p", lifespan=lifespan_of(kind, "x"))])
    assert app._resources.find(kind) is None
    assert app._resources.of("p") is None


def test_two_lifespans_that_yield_the_same_type_are_refused(make_plugin: Make) -> None:
    plugins = [make_plugin(name, lifespan=lifespan_of(Database, Database())) for name in "ab"]
    with pytest.raises(PluginError) as caught:
        App(plugins)
    assert str(caught.value) == "two lifespans yield a Database: of plugins 'a' and 'b'"


def test_a_base_class_of_two_resources_is_refused(make_plugin: Make) -> None:
    class Other(Store):
        pass

    router = Router("/t")
    router.get("")(by_base_class)
    plugins = [
        make_plugin("a", lifespan=lifespan_of(Database, Database())),
        make_plugin("b", lifespan=lifespan_of(Other, Other())),
        make_plugin("t", register_routes=router),
    ]
    with pytest.raises(PluginError, match=r"parameter `db`: .*lifespans yield .*'a' and 'b'"):
        App(plugins)


def test_a_type_that_no_lifespan_yields_is_refused_as_before(make_plugin: Make) -> None:
    router = Router("/t")
    router.get("")(by_type)
    with pytest.raises(PluginError, match="`db`: nothing in a request is of type Database"):
        App([make_plugin("t", register_routes=router)])


def test_a_lifespan_whose_annotation_is_not_known_is_refused(make_plugin: Make) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[Missing]:  # type: ignore[name-defined]  # noqa: F821
        yield

    with pytest.raises(PluginError, match="'p': trizmq_lifespan: `Missing` is not known"):
        App([make_plugin("p", lifespan=lifespan)])


async def test_guards_and_broker_hooks_receive_it_as_a_keyword(make_plugin: Make) -> None:
    seen = list[str]()

    class Doorman:
        @hookimpl
        def trizmq_admit(self, call: AdmittedCall, *, db: Database) -> Verdict:
            seen.append(f"admit {db.name}")
            return Forward(Principal("ada"))

        @hookimpl
        def trizmq_admit_reply(
            self, call: AdmittedCall, response: Response, *, db: Database
        ) -> None:
            seen.append(f"reply {db.name} {response.status}")

        @hookimpl
        def trizmq_on_event(self, event: Event, *, db: Store) -> None:
            if event.kind == "worker-ready":
                seen.append(f"event {db.name}")

    def guard(request: Request, *, db: Database, other: int = 1) -> None:
        seen.append(f"guard {db.name}")

    router = Router("/t")
    router.get("")(by_type)
    plugins = [
        make_plugin("db", lifespan=lifespan_of(Database, Database())),
        Doorman(),
        make_plugin("t", register_routes=router, precondition=lambda route: guard),
    ]
    async with open_app(plugins) as client:
        assert (await client.get("/t")).json() == "database"
    assert [line for line in seen if "event" not in line] == [
        "admit database",
        "guard database",
        "reply database 200",
    ]


def test_a_hook_or_guard_whose_keyword_no_lifespan_yields_is_refused(make_plugin: Make) -> None:
    def admit(call: AdmittedCall, *, db: Database) -> None:
        raise AssertionError

    def guard(request: Request, *, db: Database) -> None:
        raise AssertionError

    router = Router("/t")
    router.get("")(lambda: None)
    with pytest.raises(PluginError) as caught:
        App([make_plugin("p", admit=admit)])
    assert str(caught.value) == (
        "plugin 'p': trizmq_admit: argument `db`: no lifespan yields its type"
    )
    with pytest.raises(PluginError, match="a precondition: argument `db`: no lifespan yields"):
        App([make_plugin("p", register_routes=router, precondition=lambda route: guard)])


async def test_two_apps_of_one_plugin_have_values_of_their_own(make_plugin: Make) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[Table]:
        numbers.append(len(numbers))
        yield Table(f"{numbers[-1]}")

    async def get(table: Table) -> str:
        return table.name

    numbers = list[int]()
    router = Router("/t")
    router.get("")(get)
    plugin = make_plugin("p", register_routes=router, lifespan=lifespan)
    async with open_app([plugin]) as first, open_app([plugin]) as second:
        assert (await first.get("/t")).json() == "0"
        assert (await second.get("/t")).json() == "1"


async def test_before_and_after_its_lifespan_a_handler_fails(
    make_plugin: Make, calling: Callable[[App], Any], caplog: pytest.LogCaptureFixture
) -> None:
    router = Router("/t")
    router.get("")(by_type)
    lifespan = lifespan_of(Database, Database())
    app = App([make_plugin("p", register_routes=router, lifespan=lifespan)])
    call = calling(app)
    assert (await call("GET", "/t")).status == 500
    async with app.lifespan():
        assert (await call("GET", "/t")).status == 200
    assert (await call("GET", "/t")).status == 500
    assert "the lifespan of plugin 'p' is not entered" in caplog.text


def test_the_broker_s_process_knows_the_lifespans_of_the_workers(make_plugin: Make) -> None:
    router = Router("/t")
    router.get("")(by_type)
    plugins = [
        make_plugin("db", lifespan=lifespan_of(Database, Database())),
        make_plugin("t", register_routes=router, admit=None),
    ]
    broker_side = App(load(plugins).with_hooks("trizmq_admit"))
    assert [plugin.name for plugin in broker_side.plugins] == ["t"]
