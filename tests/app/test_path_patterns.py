"""Patterns are parsed completely or refused with a reason; converters accept exact formats."""

from __future__ import annotations

import enum
from uuid import UUID

import pytest

from trizmq.app.path_patterns import CONVERTERS, Parameter, parse_pattern, shape_of

ID = "0e984725-c51c-4bf4-9960-e1c80e27aba0"


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("pattern", "segments"),
    [
        ("", ()),
        ("/users", ("users",)),
        ("/users/{user_id}", ("users", Parameter("user_id", str))),
        ("/users/{user_id:str}", ("users", Parameter("user_id", str))),
        ("/users/:user_id", ("users", Parameter("user_id", str))),
        ("/users/{n:int}/x", ("users", Parameter("n", CONVERTERS["int"]), "x")),
        ("/files/{rest:path}", ("files", Parameter("rest", CONVERTERS["path"]))),
        ("/c/{colour:colour}", ("c", Parameter("colour", Colour))),
        ("/größe/a b:c", ("größe", "a b:c")),
    ],
)
def test_a_pattern_is_read(pattern: str, segments: tuple[object, ...]) -> None:
    assert parse_pattern(pattern, {"colour": Colour}) == segments


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("users", "must begin with '/'"),
        ("/", "empty segment"),
        ("/users/", "empty segment"),
        ("/users//x", "empty segment"),
        ("/{a}/{a:int}", "two parameters named 'a'"),
        ("/{a:hex}", "no converter 'hex' .there are: str, int, float, uuid, path."),
        ("/{a}.json", "whole segment"),
        ("/{1}", "whole segment"),
        ("/{ä}", "whole segment"),
        ("/{a", "whole segment"),
        ("/a}", "whole segment"),
        ("/:", "whole segment"),
        ("/{rest:path}/x", "nothing can follow {rest:path}"),
        ("/a%20b", "decoded"),
        ("/a?b", "decoded"),
        ("/a#b", "decoded"),
    ],
)
def test_invalid_patterns_are_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse_pattern(pattern, {})
    assert repr(pattern) in str(caught.value)


@pytest.mark.parametrize(
    ("converter", "text", "value"),
    [
        ("str", "a b", "a b"),
        ("int", "007", 7),
        ("int", "-12", -12),
        ("float", "1", 1.0),
        ("float", "-1.50", -1.5),
        ("uuid", ID, UUID(ID)),
        ("uuid", ID.upper(), UUID(ID)),
        ("path", "a/../b", "a/../b"),
    ],
)
def test_converters_take(converter: str, text: str, value: object) -> None:
    converted = CONVERTERS[converter](text)
    assert (converted, type(converted)) == (value, type(value))


@pytest.mark.parametrize(
    ("converter", "text"),
    [
        *(
            ("int", text)
            for text in [
                "",
                "-",
                "+1",
                "1_0",
                " 1",
                "1.0",
                "0x1",
                "\N{ARABIC-INDIC DIGIT ONE}",
                "\N{SUPERSCRIPT TWO}",
                "--1",
            ]
        ),
        ("int", "1" * 5000),
        *(
            ("float", text)
            for text in [
                "",
                ".5",
                "1.",
                "nan",
                "inf",
                "1e9",
                "1_0.0",
                "\N{ARABIC-INDIC DIGIT ONE}",
                "1\n",
            ]
        ),
        *(("uuid", text) for text in ["", f"{{{ID}}}", ID.replace("-", ""), f"urn:uuid:{ID}"]),
    ],
)
def test_converters_leave(converter: str, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (only the type matters)
        CONVERTERS[converter](text)


@pytest.mark.parametrize(
    ("convert", "given"),
    [*zip(CONVERTERS.values(), (str, int, float, UUID, str), strict=True), (Colour, Colour)],
)
def test_a_parameter_knows_its_type(convert: object, given: type) -> None:
    assert Parameter("x", convert).type is given  # type: ignore[arg-type]  # a table of callables


def test_of_other_converters_the_type_is_not_known() -> None:
    assert Parameter("x", lambda text: text).type is None


def test_names_do_not_make_a_shape() -> None:
    one, other, third = (parse_pattern(f"/a/{p}", {}) for p in ("{x}", ":y", "{x:int}"))
    assert shape_of(one) == shape_of(other) != shape_of(third)
