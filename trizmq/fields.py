"""One setting, declared as a field of a Struct: its type, default, bounds and help.

`Settings` and `Limits` are the Structs. A value is read and checked here, whether it comes from a
flag, a variable, a file or a keyword argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

__all__ = ["Field", "did_you_mean", "fields_of"]

#: Descriptions of the kinds of value.
WORDS: Final = {
    bool: "true or false",
    float: "a number",
    int: "an integer",
    str: "a string",
    tuple: "a string or a list of strings",
    Path: "a path",
}


class Field(msgspec.Struct, frozen=True):
    """A setting.

    Attributes:
      name: its key in the file, and its keyword in Python.
      kind: ``bool``, ``int``, ``float``, ``str``, ``tuple``, ``dict`` or ``Path``; or a tuple of
        the strings that are allowed.
      default: its value if it is not set.
      is_optional: whether it can be None.
      meta: its bounds and its help. ``extra`` can have ``flags``, ``metavar``, ``unset`` (the
        meaning of None), ``unit``, ``most`` (a larger number is reduced to this one),
        ``is_joined`` (a list of strings becomes one string), ``is_repeated`` (the flag) and
        ``is_secret``.

    """

    name: str
    kind: Any
    default: Any
    is_optional: bool
    meta: msgspec.Meta

    @property
    def extra(self) -> dict[str, Any]:
        """The other properties of the setting."""
        return self.meta.extra or {}

    @property
    def variable(self) -> str:
        """The environment variable of a setting."""
        return f"TRIZMQ_{self.name.upper()}"

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of a setting."""
        return tuple(self.extra.get("flags", ("--" + self.name.replace("_", "-"),)))

    @property
    def is_list(self) -> bool:
        """Whether a text is a list, separated by commas."""
        return self.kind is tuple or "is_joined" in self.extra

    @property
    def words(self) -> str:
        """The allowed values, after "must be"."""
        if isinstance(self.kind, tuple):
            return "one of " + ", ".join(self.kind)
        if self.kind is dict:
            return f"a table, [{self.name}]"
        unit = f" of {self.extra['unit']}" if "unit" in self.extra else ""
        return WORDS[tuple if self.is_list else self.kind] + unit + self._range

    @property
    def _range(self) -> str:
        low, high, above = self.meta.ge, self.meta.le, self.meta.gt
        if low is not None and high is not None:
            return f" from {low:.15g} to {high:.15g}"
        if low is not None:
            return f", {low:.15g} or more"
        return "" if above is None else f", more than {above:.15g}"

    def parse(self, text: str) -> Any:
        """Read the text of a flag or a variable.

        Raises:
          ValueError: "must be ..., not ..."

        """
        if self.kind not in (int, float):
            return self.check(text)
        try:
            number = int(text) if self.kind is int else float(text)
        except ValueError:
            raise self._refusal(text) from None
        return self.check(number)

    def check(self, value: Any) -> Any:
        """Return ``value``, converted to the type of the setting.

        Raises:
          ValueError: "must be ..., not ..."

        """
        if value is None and self.is_optional:
            return None
        if isinstance(self.kind, tuple):
            return self._choice(value)
        if self.kind in (int, float):
            return self._number(value)
        if self.is_list:
            return self._list(value)
        if self.kind is Path and isinstance(value, (str, Path)):
            return Path(value)
        if not isinstance(value, Mapping if self.kind is dict else self.kind):
            raise self._refusal(value)
        return value

    def argv(self, value: Any) -> list[str]:
        """Return the flags that set ``value`` in the command line of another process."""
        flag = self.flags[-1]
        if value is None:
            return []
        if self.kind is bool:
            return [flag.split("/")[0 if value else 1]]
        if self.kind is dict:
            return [word for pair in value.items() for word in (flag, "{}={}".format(*pair))]
        if "is_repeated" in self.extra:
            return [word for item in value for word in (flag, item)]
        return [flag, ",".join(value) if self.kind is tuple else str(value)]

    def _choice(self, value: Any) -> str:
        if isinstance(value, str) and value.lower() in self.kind:
            return value.lower()
        raise self._refusal(value)

    def _number(self, value: Any) -> Any:
        # To `isinstance`, true is an integer; and NaN is neither in a range nor outside of it.
        kinds = int if self.kind is int else (int, float)
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not is_number or value != value or not self._is_within(value):
            raise self._refusal(value)
        if self.kind is int:
            return value
        return float(min(value, self.extra.get("most", value)))

    def _is_within(self, number: float) -> bool:
        low, high, above = self.meta.ge, self.meta.le, self.meta.gt
        return (
            (low is None or number >= low)
            and (high is None or number <= high)
            and (above is None or number > above)
        )

    def _list(self, value: Any) -> tuple[Any, ...] | str:
        if not isinstance(value, (str, list, tuple)):
            raise self._refusal(value)
        items = value.split(",") if isinstance(value, str) else value
        items = [item.strip() if isinstance(item, str) else item for item in items]
        if self.kind is tuple:
            return tuple(item for item in items if item != "")
        # An empty endpoint stays: its error points out the surplus comma.
        if wrong := [item for item in items if not isinstance(item, str)]:
            raise ValueError(f"must be {self.words}, not with {wrong[0]!r} in it")
        return ",".join(items)

    def _refusal(self, value: object) -> ValueError:
        return ValueError(f"must be {self.words}, not {value!r}")


def fields_of(struct: type[msgspec.Struct]) -> dict[str, Field]:
    """Return the fields of ``struct`` by name."""
    return {info.name: _field(info) for info in fields(struct)}


def _field(info: FieldInfo) -> Field:
    kind, meta = info.type, msgspec.Meta()
    if get_origin(kind) is Annotated:
        kind, *metas = get_args(kind)
        meta = _merged(metas)
    parts = [part for part in get_args(kind) or (kind,) if part is not type(None)]
    is_optional = type(None) in get_args(kind)
    if get_origin(kind) is Literal:
        kind = get_args(kind)
    else:
        kind = parts[0] if is_optional else kind
        kind = get_origin(kind) or kind
        kind = dict if kind is Mapping else kind
    default = None if info.default is msgspec.NODEFAULT else info.default
    return Field(info.name, kind, default, is_optional, meta)


def _merged(metas: Iterable[msgspec.Meta]) -> msgspec.Meta:
    names = ("gt", "ge", "le", "description", "extra")
    found = {
        name: getattr(meta, name)
        for meta in metas
        for name in names
        if getattr(meta, name) is not None
    }
    return msgspec.Meta(**found)


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return `` (did you mean ...?)``, or nothing if no known name is like ``name``."""
    near = get_close_matches(name, known, n=1, cutoff=0.8)
    return f" (did you mean {prefix}{near[0]}?)" if near else ""
