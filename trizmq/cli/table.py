"""Plain aligned columns, for people and for ``awk``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["table"]


def table(heads: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Return what ``rows`` have under ``heads``, one line each, below a line of the heads."""
    lines = [list(map(str.upper, heads))]
    lines += [[_cell(row.get(head)) for head in heads] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "-"
        case list():
            return ",".join(map(str, value)) or "-"
        case None | "":
            return "-"
        case _:
            return str(value)
