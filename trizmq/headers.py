"""Header fields: a mapping with case-insensitive names."""

from __future__ import annotations

from collections.abc import Iterable, KeysView, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Headers", "add_lower_case", "no_headers"]

#: The arguments from which header fields can be created: a mapping, or pairs.
_Fields: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

#: Also accepts a subclass of `str`, ignores its own `lower`, and returns a `str`.
_lower: Final = str.lower


class Headers(dict[str, str]):
    """Header fields: case-insensitive names, stored in lower case, with text values.

    It is a dict, with the performance of a dict. There can be only one field with each name:
    when it is created from fields whose names differ only in case, their values are joined by a
    comma (RFC 9110, section 5.3). When fields are set or updated, the new value replaces the old
    one.
    """

    __slots__ = ()

    def __init__(self, fields: _Fields | None = None) -> None:
        dict.__init__(self, _folded(fields) if fields else {})

    def __getitem__(self, name: str) -> str:
        return dict.__getitem__(self, _lower(name))

    def __setitem__(self, name: str, value: str) -> None:
        dict.__setitem__(self, _lower(name), value)

    def __delitem__(self, name: str) -> None:
        dict.__delitem__(self, _lower(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and dict.__contains__(self, _lower(name))

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of ``name`` in any case, or ``default``."""
        return dict.get(self, _lower(name), default)

    def pop(self, name: str, *default: Any) -> Any:
        """Remove ``name`` in any case and return its value, or ``default`` if given."""
        return dict.pop(self, _lower(name), *default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return the value of ``name`` in any case; if it is new, set it to ``default``."""
        return dict.setdefault(self, _lower(name), default)

    def update(self, fields: _Fields = (), /, **more: str) -> None:  # type: ignore[override]
        """Set ``fields``, replacing fields with the same names."""
        add_lower_case(self, _folded(fields))
        add_lower_case(self, _folded(more))

    def copy(self) -> Headers:
        """Return a copy with the same fields."""
        made = no_headers()
        add_lower_case(made, self)
        return made

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return a view of the names, with lookups in any case."""
        return KeysView(self)

    def __or__(self, other: object) -> Headers:  # type: ignore[override]
        if not isinstance(other, Mapping):
            return NotImplemented
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: object) -> Headers:  # type: ignore[override]
        if not isinstance(other, Mapping):
            return NotImplemented
        return Headers(other) | self

    def __ior__(self, other: _Fields) -> Headers:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        if any(not isinstance(name, str) for name in other):
            return False
        return dict.__eq__(self, other if isinstance(other, Headers) else _folded(other))

    def __ne__(self, other: object) -> bool:  # dict defines its own
        return not self == other

    __hash__ = None


def _folded(fields: _Fields) -> dict[str, str]:
    folded: dict[str, str] = {}
    for name, value in fields.items() if isinstance(fields, Mapping) else fields:
        lower = _lower(name)
        folded[lower] = f"{folded[lower]}, {value}" if lower in folded else value
    return folded


#: Creates empty headers without a Python call: it is used for every request and response.
no_headers: Final[Callable[[], Headers]] = partial(dict.__new__, Headers)

#: Adds fields whose names are already in lower case, also without a Python call.
add_lower_case: Final[Callable[[Headers, Mapping[str, str]], None]] = dict.update
