"""Sources: the functions that extract one handler argument from a request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from ..errors import HTTPError
from ..messages import Principal, Request, Response
from .hints import (
    allows_none,
    bare_types,
    check_none_is_ours,
    check_not_ours,
    is_document,
    is_limited,
    is_scalar,
    is_scalar_list,
    shape_of_hint,
    without_alias,
)
from .type_tree import fill_defaults, holds_dataclass, misfits

if TYPE_CHECKING:
    from .path_patterns import Parameter
    from .resources import Resource

__all__ = ["Kind", "Query", "Source", "from_path", "from_request", "from_resource"]

#: The values of each name, in order.
Query: TypeAlias = Mapping[str, list[str]]

#: Returns one argument, or raises an HTTPError that becomes the response.
Source: TypeAlias = Callable[[Request, Query], Any]

Kind: TypeAlias = Literal["body", "path", "principal", "query", "request", "resource"]

_MISSING: Final = inspect.Parameter.empty

#: The maximum number of mismatched names in a 422: a caller may have sent millions of them.
_NAMES_AT_MOST: Final = 10
_NAME_AT_MOST: Final = 100
_TEXT_AT_MOST: Final = 1000

#: The maximum number of values of a body to examine for them, because the loop waits meanwhile.
_LOOKED_AT: Final = 2000


def from_path(parameter: Parameter, hint: Any) -> Source:
    """Return the source of a parameter of the pattern.

    Raises:
      TypeError: if the annotation and the pattern have different types.

    """
    name, types = parameter.name, bare_types(hint)
    if parameter.type and not types & {parameter.type, _MISSING, Any, object}:
        wanted, given = _words(hint), parameter.type.__name__
        raise TypeError(f"the pattern makes it {given}, but the annotation is {wanted}")
    check_not_ours(hint)  # even if a plugin's converter creates one from a path
    if not is_limited(hint):
        return lambda request, _: request.path_params[name]
    convert = _converter(hint, f"path parameter `{name}`")
    return lambda request, _: convert(request.path_params[name])


def from_resource(resource: Resource) -> Source:
    """Return the source of a value that a lifespan yields."""
    return lambda _, __: resource.value


def from_request(name: str, hint: Any, default: Any) -> tuple[Kind, Source]:
    """Return the source of any other parameter, and its kind, based on its annotation.

    A missing value is the default, or None if there is no default and the annotation allows it.

    Raises:
      TypeError: if no part of a request has that type.

    """
    if hint is _MISSING:
        raise TypeError("it is not in the pattern and has no annotation")
    if default is _MISSING and allows_none(hint):
        default = None
    types = bare_types(hint) - {NoneType}
    if types == {Request}:
        return "request", lambda request, _: request
    if types == {Principal}:
        return "principal", _principal(default)
    if types == {bytes}:
        return "body", _raw(hint, default)
    check_not_ours(hint)
    if types & {bytes, Response}:  # callers send no Response; bytes would hide the other types
        raise TypeError(f"nothing in a request is of type {_words(hint)}")
    return _by_shape(name, hint, default)


def _by_shape(name: str, hint: Any, default: Any) -> tuple[Kind, Source]:
    hint = without_alias(hint)
    info = shape_of_hint(hint)
    check_none_is_ours(info)
    if is_scalar(info):
        return "query", _query(name, hint, default, last_only=True)
    # A list of scalars is a repeated query parameter. To get one from a JSON body, use a Struct.
    if is_scalar_list(info):
        return "query", _query(name, hint, default, last_only=False)
    if is_document(info):
        return "body", _body(hint, info, default)
    raise TypeError(f"nothing in a request is of type {_words(hint)}")


def _principal(default: Any) -> Source:
    def source(request: Request, _: Query) -> Any:
        if request.principal is not None:
            return request.principal
        if default is not _MISSING:
            return default
        raise HTTPError(401, headers={"www-authenticate": "Bearer"})

    return source


def _query(name: str, hint: Any, default: Any, *, last_only: bool) -> Source:
    where = f"query parameter `{name}`"
    convert = _converter(hint, where)

    def source(_: Request, query: Query) -> Any:
        texts = query.get(name)
        if texts is not None:
            return convert(texts[-1] if last_only else texts)
        if default is not _MISSING:
            return default
        raise HTTPError(422, f"{where} is missing")

    return source


def _converter(hint: Any, where: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        try:
            return msgspec.convert(value, hint, strict=False)
        except msgspec.ValidationError as error:
            raise HTTPError(422, f"{where}: {_said(error)}") from None

    return convert


def _raw(hint: Any, default: Any) -> Source:
    convert = _converter(hint, "the body") if is_limited(hint) else None

    def source(request: Request, _: Query) -> Any:
        if not request.body and default is not _MISSING:
            return default
        return convert(request.body) if convert is not None else request.body

    return source


def _body(hint: Any, info: msgspec.inspect.Type, default: Any) -> Source:
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(hint).decode
    if holds_dataclass(info):
        decode = _filling(decode)

    def source(request: Request, _: Query) -> Any:
        if not request.body and default is not _MISSING:
            return default
        try:
            return decode(request.body)
        except msgspec.ValidationError as error:
            raise HTTPError(422, _explain(error, request.body, info)) from None
        # Too many levels raise RecursionError, and invalid UTF-8 a ValueError.
        except (ValueError, RecursionError) as error:
            raise HTTPError(400, f"the body is not JSON: {error}") from None

    return source


def _filling(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def filled(body: bytes) -> Any:
        value = decode(body)
        fill_defaults(value)
        return value

    return filled


def _explain(error: Exception, body: bytes, info: msgspec.inspect.Type) -> str:
    # msgspec reports only the first error, and a misspelled name only as a missing one. List
    # every name that does not fit. This decodes the body a second time, but only in this case.
    text = _said(error)
    try:
        unknown, missing = misfits(msgspec.json.decode(body), info, _LOOKED_AT)
    except (ValueError, RecursionError):  # msgspec failed before it had read all of it
        return text
    found = {"missing": _unsaid(missing, text), "not known": _unsaid(unknown, text)}
    more = "; ".join(f"{what}: {names}" for what, names in found.items() if names)
    return f"{text} ({more})" if more else text


def _said(error: Exception) -> str:
    """Return msgspec's text, truncated, because it may quote a value of any length."""
    text = str(error)
    if len(text) <= _TEXT_AT_MOST:
        return text
    return f"{text[: _TEXT_AT_MOST // 2]} ... {text[-_TEXT_AT_MOST // 2 :]}"


def _unsaid(paths: tuple[str, ...], text: str) -> str:
    """Return a few of the names that ``text`` does not mention already."""
    rest = [f"`{path[:_NAME_AT_MOST]}`" for path in paths if not _says(text, path)]
    return ", ".join(rest[:_NAMES_AT_MOST] + ["..."] * (len(rest) > _NAMES_AT_MOST))


def _says(text: str, path: str) -> bool:
    """Return whether msgspec's ``text`` is about the field at ``path``."""
    where, _, name = path.rpartition(".")
    place = f" - at `$.{where}`" if where and where[0] != "[" else f" - at `${where}`"
    return text.endswith(f" field `{name}`" + (place if where else ""))


def _words(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
