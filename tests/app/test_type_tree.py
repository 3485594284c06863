"""The inside of a type is examined at every depth: names, dataclasses and principals."""

from __future__ import annotations

import dataclasses
import enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from msgspec.inspect import DataclassType, StructType, type_info

from trizmq import PluginError, Principal, Router, hookimpl
from trizmq.app.application import App
from trizmq.app.type_tree import every_type, fill_defaults, holds_dataclass, misfits

T = TypeVar("T")


class Box(msgspec.Struct, Generic[T]):
    item: T


class Colour(enum.Enum):
    RED = "red"


class Tree(msgspec.Struct):
    branches: list[Tree] = []
    by_name: dict[str, Tree | None] = {}


@dataclasses.dataclass
class Leaf:
    size: int
    colour: str = "green"


def in_struct(kind: Any) -> Any:
    return msgspec.defstruct("Inner", [("item", kind)])


def in_tagged_struct(kind: Any) -> Any:
    return msgspec.defstruct("Inner", [("item", kind)], tag=True)


def in_dataclass(kind: Any) -> Any:
    return dataclasses.make_dataclass("Inner", [("item", kind)])


#: Each wraps a type in another type, and a document of the one in a document of the other.
AROUND: dict[str, tuple[Any, Any]] = {
    "list": (lambda kind: list[kind], lambda it: [it]),  # type: ignore[valid-type]
    "dict": (lambda kind: dict[str, kind], lambda it: {"key": it}),  # type: ignore[valid-type]
    "tuple": (lambda kind: tuple[int, kind], lambda it: [1, it]),  # type: ignore[valid-type]
    "var_tuple": (lambda kind: tuple[kind, ...], lambda it: [it]),  # type: ignore[valid-type]
    "optional": (lambda kind: kind | None, lambda it: it),
    "limited": (lambda kind: Annotated[kind, "a note"], lambda it: it),
    "described": (lambda kind: Annotated[kind, Meta(description="it")], lambda it: it),
    "new_type": (lambda kind: NewType("New", kind), lambda it: it),
    "bound": (lambda kind: TypeVar("Bound", bound=kind), lambda it: it),
    "generic": (lambda kind: Box[kind], lambda it: {"item": it}),  # type: ignore[valid-type]
    "struct": (in_struct, lambda it: {"item": it}),
    "tagged": (in_tagged_struct, lambda it: {"type": "Inner", "item": it}),
    "dataclass": (in_dataclass, lambda it: {"item": it}),
    "typed_dict": (lambda kind: TypedDict("Inner", {"item": kind}), lambda it: {"item": it}),  # type: ignore[operator]
    "named_tuple": (lambda kind: NamedTuple("Inner", [("item", kind)]), lambda it: [it]),
}

layers = st.lists(st.sampled_from(sorted(AROUND)), min_size=1, max_size=6)
scalars = st.sampled_from([int, str, Colour, Literal["a"], Tree])


def wrapped(kind: Any, layers: list[str]) -> Any:
    for layer in layers:
        kind = AROUND[layer][0](kind)
    return kind


def in_layers(document: Any, layers: list[str]) -> Any:
    for layer in layers:
        document = AROUND[layer][1](document)
    return document


def started_with(annotation: Any) -> App:
    async def handler(it: Any) -> None: ...

    handler.__annotations__["it"] = annotation
    routes = Router()
    routes.post("/t")(handler)

    class Plugin:
        @hookimpl
        def trizmq_register_routes(self) -> Router:
            return routes

    return App([Plugin()])


#: Inside these, a principal is still the whole annotation.
TRANSPARENT = {"optional", "limited", "described", "new_type", "bound"}


@given(layers)
def test_a_principal_inside_any_type_stops_the_start(layers: list[str]) -> None:
    annotation = wrapped(Principal, layers)
    if TRANSPARENT.issuperset(layers):
        started_with(annotation)
        return
    with pytest.raises(PluginError, match="`it`: a Principal or a Request is never read from"):
        started_with(annotation)


@given(layers, scalars)
def test_a_principal_beside_any_type_stops_the_start(layers: list[str], kind: Any) -> None:
    fields: list[Any] = [("other", wrapped(kind, layers)), ("who", Principal | None, None)]
    both = msgspec.defstruct("Both", fields)
    with pytest.raises(PluginError, match="`it`: a Principal or a Request is never read from"):
        started_with(both)


@given(layers, scalars)
def test_every_type_is_met_once_and_the_walk_ends(layers: list[str], kind: Any) -> None:
    found = list(every_type(type_info(wrapped(kind, layers))))
    assert len(found) == len({id(one) for one in found})
    assert any(isinstance(one, StructType) and one.cls is Tree for one in found) == (kind is Tree)


@given(layers)
def test_a_misspelt_and_a_missing_name_are_found_at_every_depth(layers: list[str]) -> None:
    info = type_info(wrapped(Leaf, layers))
    assert misfits(in_layers({"size": 1}, layers), info) == ((), ())
    (unknown,), (missing,) = misfits(in_layers({"sise": 1}, layers), info)
    assert unknown.endswith("sise")
    assert missing.endswith("size")
    assert unknown[:-4] == missing[:-4]


@given(layers)
def test_no_default_of_a_dataclass_is_lost_at_any_depth(layers: list[str]) -> None:
    kind = wrapped(Leaf, layers)
    assert holds_dataclass(type_info(kind))
    value = msgspec.json.decode(msgspec.json.encode(in_layers({"size": 1}, layers)), type=kind)
    fill_defaults(value)
    whole = in_layers({"size": 1, "colour": "green"}, layers)
    assert msgspec.json.decode(msgspec.json.encode(value)) == whole


def test_types_without_a_dataclass() -> None:
    assert not holds_dataclass(type_info(Tree))
    assert any(isinstance(one, DataclassType) for one in every_type(type_info(Leaf | None)))


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag="dog", tag_field="kind"):
    tricks: int


class Row(msgspec.Struct, array_like=True, tag=True):
    leaf: Leaf


@pytest.mark.parametrize(
    ("kind", "document", "unknown", "missing"),
    [
        (dict[str, int], {"any": 1}, (), ()),
        (list[Leaf], [{"size": 1, "a": 1}, {"b": 1}], ("[0].a", "[1].b"), ("[1].size",)),
        (dict[str, Leaf], {"x": {"size": 1, "a": 1}}, ("x.a",), ()),
        (Cat, {"type": "Cat", "live": 1}, ("live",), ("lives",)),
        (Dog | None, {"kind": "dog", "tricks": 1, "type": 1}, ("type",), ()),
        (Row, ["Row", {"sise": 1}], ("[1].sise",), ("[1].size",)),
        (Leaf, [1], (), ()),
        (Leaf, None, (), ()),
        (Row, {"leaf": 1}, (), ()),
        (Tree, {"branches": [{"by_name": {"x": {"z": 1}}}]}, ("branches[0].by_name.x.z",), ()),
    ],
)
def test_where_it_is(kind: Any, document: Any, unknown: Any, missing: Any) -> None:
    assert misfits(document, type_info(kind)) == (unknown, missing)


class Bird(msgspec.Struct, tag=True):
    wings: int


@pytest.mark.parametrize(
    ("document", "unknown", "missing"),
    [
        ({"type": "Bird", "lives": 1}, ("lives",), ("wings",)),
        ({"type": "Cat", "lives": 1}, (), ()),
        ({"type": "Cow", "lives": 1}, (), ()),
    ],
)
def test_of_tagged_alternatives_its_own(document: Any, unknown: Any, missing: Any) -> None:
    assert misfits(document, type_info(Cat | Bird)) == (unknown, missing)
