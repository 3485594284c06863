"""All rules about names: methods, targets, header fields, services."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq import name_rules as names
from trizmq.errors import LocalProtocolError


class Colour(StrEnum):
    RED = "red"


class Markup(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "<overridden>"

    def strip(self, chars: str | None = None) -> str:
        raise AssertionError


@pytest.mark.parametrize("method", ["GET", "get", "M-SEARCH", "VERSION_2", "X" * 16])
def test_methods(method: str) -> None:
    assert names.check_method(method) == method.upper()


@pytest.mark.parametrize("method", ["", "G T", "2GET", "-", "X" * 17, "GÉT", "GET\n", "\u017fET"])
def test_no_methods(method: str) -> None:
    with pytest.raises(LocalProtocolError):
        names.check_method(method)


@pytest.mark.parametrize("name", ["users", "a.B_c-1", "x" * 64])
def test_a_plugins_services(name: str) -> None:
    assert names.is_service(name)
    assert names.is_mdp_service(name)


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "ü", "a/b", "a\n"])
def test_no_services_of_a_plugin(name: str) -> None:
    assert not names.is_service(name)


@pytest.mark.parametrize(
    "name", ["a/b", "my service", "echo@1", "größe", "日本", "x" * 255, "é" * 127, " ", "%zz", "/a"]
)
def test_an_mdp_workers_services_and_their_paths(name: str) -> None:
    assert names.is_mdp_service(name)
    path = names.path_of_service(name)
    assert path.isascii()
    assert names.service_of(path) == names.service_of(f"{path}/more?query=1") == name
    assert names.path_in_service(f"{path}/more?query=1") == "/more?query=1"


@pytest.mark.parametrize(
    "name", ["", "a\nb", "a\0", "\x85", "\u2028", "x" * 256, "é" * 128, "GET /"]
)
def test_no_services_of_an_mdp_worker(name: str) -> None:
    assert not names.is_mdp_service(name)


@given(st.text(min_size=1, max_size=255))
def test_any_service_is_found_by_its_path(name: str) -> None:
    if names.is_mdp_service(name):
        assert names.service_of(names.path_of_service(name)) == name


@pytest.mark.parametrize(
    ("target", "service"),
    [
        ("/users/1", "users"),
        ("/users?x=/1", "users"),
        ("/%75sers", "users"),
        ("/a%2Fb/c", "a/b"),
        ("/", ""),
        ("", ""),
        ("users", ""),
        ("/%", None),
        ("/%4", None),
        ("/%GG", None),
        ("/%ff", None),
    ],
)
def test_the_service_of_a_target(target: str, service: str | None) -> None:
    assert names.service_of(target) == service


def test_fields_are_made_normal() -> None:
    fields: list[tuple[Any, Any]] = [("A", " b "), ("a", "c"), ("X-Tenant", "é"), ("x", Colour.RED)]
    assert names.check_fields(fields) == {"a": "b, c", "x-tenant": "é", "x": "red"}


def test_a_subclass_of_str_is_its_text() -> None:
    checked = names.check_fields([(Markup("A"), Markup("b"))])
    assert checked == {"a": "b"}
    assert [type(text) for text in [*checked, *checked.values()]] == [str, str]
    assert not names.are_fields_normal({"a": Markup("b")})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        ("a b", "x"),
        ("a:", "x"),
        ("\u212aelvin", "x"),
        ("a", "x\ny"),
        ("a", "x\ty"),
        ("a", "\x00"),
        ("a", "\x80"),
        ("a", "\ud800"),
        ("a", 1),
        ("a", None),
        ("a", b"x"),
        (1, "x"),
    ],
)
def test_invalid_header_fields(name: Any, value: Any) -> None:
    assert not names.are_fields_normal({name: value})
    with pytest.raises(LocalProtocolError, match="headers: "):
        names.check_fields([(name, value)])


@given(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3))
def test_normal_fields_are_not_changed(headers: dict[str, str]) -> None:
    if names.are_fields_normal(headers):
        assert names.check_fields(headers.items()) == headers


@given(st.text(max_size=4), st.text(max_size=9).map("/".__add__))
def test_a_normal_line_passes_every_check(method: str, target: str) -> None:
    if names.is_line_normal(method, target):
        assert names.check_method(method) == method
        assert names.check_target(target) == target


def test_names_of_peers_in_logs() -> None:
    assert names.label("ada-1", 64) == "ada-1"
    assert names.label("é" * 99, 64) == "é" * 64
    assert names.label("a\nERROR b\x1b[2J\u2028", 64) == "a?ERROR b?[2J?"
