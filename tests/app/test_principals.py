"""Only the broker determines the caller, however a handler declares it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, NamedTuple, NewType, TypedDict, TypeVar

import msgspec
import pytest

from trizmq import PluginError, Principal, Request, Response

Call = Callable[..., Awaitable[Response]]
Handled = Callable[..., Call]
ADA = Principal("ada")

T = TypeVar("T")

# Created at run time, because type checkers refuse some of their uses below.
type_var: Any = TypeVar
new_type: Any = NewType
Bound: Any = type_var("Bound", bound=Principal)
Choice: Any = type_var("Choice", Principal, int)
CurrentUser: Any = new_type("CurrentUser", Principal)

#: Bodies from a caller who wants to appear as someone else.
FORGED = [b'["eve",["*"]]', b'{"name":"eve","scopes":["*"]}', b'[["eve",["*"]]]']
FORGED += [b'{"%s":["eve",["*"]]}' % name for name in (b"who", b"item", b"it")]


class Admin(Principal, frozen=True): ...


class Box(msgspec.Struct, Generic[T]):
    item: T


class Note(msgspec.Struct):
    text: str = ""
    who: Principal | None = None


class Notes(msgspec.Struct):
    notes: list[Note] = []
    by_name: dict[str, Notes] = {}


class Named(NamedTuple):
    who: Principal


class Typed(TypedDict, total=False):
    who: Principal


@dataclasses.dataclass
class Data:
    who: Principal


class MyRequest(Request): ...


def taking(annotation: Any, default: Any = ...) -> Any:
    async def handler(it: Any) -> Any:
        return [type(it).__name__, it.name if isinstance(it, Principal) else None]

    handler.__annotations__["it"] = annotation
    if default is not ...:
        handler.__defaults__ = (default,)
    return handler


WHOLE: dict[str, Any] = {
    "itself": Principal,
    "text": "Principal",
    "annotated": Annotated[Principal, "whoever calls"],
    "new type": CurrentUser,
    "bound": Bound,
    "annotated new type": Annotated[CurrentUser, msgspec.Meta(description="it")],
}

PARTS: dict[str, Any] = {
    "subclass": Admin,
    "subclass or none": Admin | None,
    "list": list[Principal],
    "list of bound": list[Bound],
    "sequence": Sequence[Principal],
    "mapping": Mapping[str, Principal],
    "tuple": tuple[Principal, ...],
    "pair": tuple[int, Principal],
    "or a number": Principal | int,
    "or a body": Principal | Note,
    "or bytes": Principal | bytes,
    "or the request": Principal | Request,
    "field": Note,
    "field of a field": Notes,
    "named tuple": Named,
    "typed dict": Typed,
    "dataclass": Data,
    "generic": Box[Principal],
    "generic of a list": Box[list[Principal | None]],
    "annotated list": Annotated[list[Principal], msgspec.Meta(max_length=1)],
    "choice": Choice,
    "list of requests": list[Request],
    "own request": MyRequest,
}

try:
    from typing_extensions import TypeAliasType
except ImportError:  # an extra that comes with mypy; servers may not have it
    pass
else:
    WHOLE["alias of typing_extensions"] = TypeAliasType("Extended", Principal)

ALIASES: dict[str, Any] = {"Principal": Principal, "msgspec": msgspec, "Annotated": Annotated}

if sys.version_info >= (3, 12):
    exec(
        """
type Alias = Principal
type Again = Alias
type Optional = Principal | None
type Same[X] = X
type List[X] = list[X]
type Swapped[K, V] = dict[V, K]
type Id = Annotated[int, msgspec.Meta(ge=1)]
type Ids = list[Id]
type Body = Struct
class Struct(msgspec.Struct):
    name: str
async def aliases(one: Id, some: Ids, body: Body, none: Ids | None) -> list:
    return [one, some, body.name, none]
class Holder[X: Principal](msgspec.Struct):
    item: X
async def parametrized[X: Principal](it: X) -> list[str]:
    return ["Principal", it.name]
""",
        ALIASES,
    )
    alias = ALIASES["Alias"]
    WHOLE |= {"alias": alias, "alias of an alias": ALIASES["Again"]}
    WHOLE["alias with a parameter"] = ALIASES["Same"][Principal]
    PARTS |= {
        "list of an alias": list[alias],
        "alias of a list": ALIASES["List"][Principal],
        "alias or a number": alias | int,
        "alias of a dict": ALIASES["Swapped"][Principal, str],
        "alias as parameter": Box[alias],
        "bound in a class": ALIASES["Holder"],
    }


@pytest.mark.parametrize("annotation", WHOLE.values(), ids=WHOLE)
async def test_a_whole_annotation_is_the_caller(handled: Handled, annotation: Any) -> None:
    call = handled(taking(annotation))
    for body in [b"", *FORGED]:
        assert (await call("POST", "/t", body, ADA)).json() == ["Principal", "ada"]
        assert (await call("POST", "/t?it=eve", body)).status == 401


@pytest.mark.parametrize("annotation", WHOLE.values(), ids=WHOLE)
async def test_or_none_if_it_may_be_none(handled: Handled, annotation: Any) -> None:
    optional = "Principal | None" if annotation == "Principal" else annotation | None
    call = handled(taking(optional))
    for body in [b"", *FORGED]:
        assert (await call("POST", "/t", body, ADA)).json() == ["Principal", "ada"]
        assert (await call("POST", "/t", body)).json() == ["NoneType", None]


async def test_or_the_default(handled: Handled) -> None:
    call = handled(taking(Principal, Principal("guest")))
    assert (await call("POST", "/t", FORGED[0])).json() == ["Principal", "guest"]


@pytest.mark.parametrize("annotation", PARTS.values(), ids=PARTS)
def test_a_principal_inside_another_type_stops_the_start(handled: Handled, annotation: Any) -> None:
    with pytest.raises(PluginError) as caught:
        handled(taking(annotation))
    text = str(caught.value)
    assert "/t (handler, plugin 'things'): parameter `it`: " in text
    assert "test_principals.py:" in text
    assert "\n" not in text
    if annotation is not Choice:  # msgspec itself refuses that one
        assert "a Principal or a Request is never read from what a caller sends" in text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is of 3.12")
async def test_a_type_parameter_of_the_handler(handled: Handled) -> None:
    call = handled(ALIASES["parametrized"])
    assert (await call("POST", "/t", FORGED[0], ADA)).json() == ["Principal", "ada"]
    assert (await call("POST", "/t", FORGED[0])).status == 401


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is of 3.12")
async def test_aliases_of_other_types(handled: Handled) -> None:
    call = handled(ALIASES["aliases"])
    response = await call("POST", "/t?one=1&some=2&some=3", b'{"name": "x"}')
    assert response.json() == [1, [2, 3], "x", None]
    refused = await call("POST", "/t?one=0&some=2", b'{"name": "x"}')
    assert refused.json()["detail"] == "query parameter `one`: Expected `int` >= 1"


@pytest.mark.parametrize("annotation", [Principal, Admin, Request, Principal | None])
def test_a_principal_is_not_created_from_a_path(handled: Handled, annotation: Any) -> None:
    with pytest.raises(PluginError, match="parameter `it`"):
        handled(taking(annotation), "/t/{it}")
    with pytest.raises(PluginError, match="parameter `it`: a Principal or a Request is never"):
        handled(taking(annotation), "/t/{it:who}", converters={"who": lambda name: ADA})


async def test_another_class_named_principal_is_a_body(handled: Handled) -> None:
    own = msgspec.defstruct("Principal", [("name", str)])
    call = handled(taking(own))
    assert (await call("POST", "/t", FORGED[1])).json() == ["Principal", None]


@pytest.mark.parametrize("annotation", [Request, Request | None, Annotated[Request, "it"]])
async def test_the_request_itself(handled: Handled, annotation: Any) -> None:
    assert (await handled(taking(annotation))("POST", "/t")).json() == ["Request", None]
