"""Options: each setting as a flag, with its variable, and its default from the settings file.

click implements the order: flag over variable over file (the ``default_map`` of the command) over
default.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

import click
from click.core import ParameterSource

from ..errors import ConfigError
from ..limits import LIMITS, limit_of
from ..settings import SETTINGS, Settings
from .toml import config_option, file_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..fields import Field

__all__ = [
    "Flag",
    "Seconds",
    "chosen",
    "find_here",
    "flags",
    "json_option",
    "origins",
]

Command = TypeVar("Command", bound="Callable[..., Any] | click.Command")

#: The keys of a context for the values of its flags, and for the origin of each limit.
VALUES: Final = f"{__name__}.values"
LIMIT_ORIGINS: Final = f"{__name__}.limits"

#: The prefix of the variables of limits: ``TRIZMQ_LIMITS_BODY_BYTES``.
LIMIT_VARIABLE: Final = "TRIZMQ_LIMITS_"

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _Checked(click.ParamType[Any]):
    """A type that leaves validation to the setting."""

    field: Field

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.field.parse(value) if isinstance(value, str) else self.field.check(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class Seconds(_Checked, click.FloatRange):
    """A number, with its range in the help."""

    def __init__(self, field: Field) -> None:
        low, above = field.meta.ge, field.meta.gt
        super().__init__(low if above is None else above, min_open=above is not None)
        self.field = field


class _Whole(_Checked, click.IntRange):
    def __init__(self, field: Field) -> None:
        super().__init__(field.meta.ge, field.meta.le)  # type: ignore[arg-type]
        self.field = field


class _OneOf(_Checked, click.Choice[str]):
    def __init__(self, field: Field) -> None:
        super().__init__(field.kind, case_sensitive=False)
        self.field = field


class _Text(_Checked):
    name = "text"

    def __init__(self, field: Field) -> None:
        self.field = field


def _type_of(field: Field) -> click.ParamType[Any] | None:
    if isinstance(field.kind, tuple):
        return _OneOf(field)
    if field.kind is bool or field.kind is dict:
        return None  # use click's own type; limits have names and values
    if field.kind is Path:
        return click.Path(path_type=Path, file_okay=False)
    return {int: _Whole, float: Seconds}.get(field.kind, _Text)(field)


@final
class Flag(click.Option):
    """The option of a setting. Its value is not an argument of the command: see `chosen`.

    Args:
      name: the name of the setting.
      default: the default in this command.
      declarations: the flags in this command, if they differ from the setting's.
      help: the help in this command, if it differs.

    """

    def __init__(
        self,
        name: str,
        *,
        default: Any = None,
        declarations: Sequence[str] = (),
        help: str = "",  # noqa: A002 (click's word)
    ) -> None:
        field = SETTINGS[name]
        default = field.default if default is None else default
        is_plain = field.kind is not bool and field.kind is not dict and default not in (None, ())
        unset = field.extra.get("unset") if default is None else None
        super().__init__(
            [*(declarations or field.flags), name],
            type=_type_of(field),
            default=None if field.kind is dict or default == () else default,
            multiple="is_repeated" in field.extra,
            is_flag=True if field.kind is bool else None,
            metavar=field.extra.get("metavar"),
            envvar=field.variable,
            show_default=is_plain,
            help=(help or field.meta.description or "")
            + (f"  [default: {unset}]" if unset else ""),
            expose_value=False,
            callback=_note,
        )

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert the value; an error in a variable names the variable, not the flag.

        Raises:
          ConfigError: if the value of a variable is invalid.

        """
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter as error:
            if ctx.get_parameter_source(str(self.name)) is ParameterSource.ENVIRONMENT:
                message = error.message.rstrip(".")
                raise ConfigError(f"{self.envvar}: {message}") from None
            raise


def _note(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    name = str(option.name)
    if name == "limits":
        value = _limits(ctx, value)
    elif name == "modules":
        value = find_here(tuple(module for modules in value for module in modules))
    ctx.meta.setdefault(VALUES, {})[name] = value


def find_here(modules: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``modules``, and let Python find them in the current directory."""
    # `python -m trizmq` looks in the current directory, so `trizmq` does it, too; but last, so
    # that no file there hides an installed module.
    if modules:
        with suppress(FileNotFoundError):  # the current directory is gone
            if (here := str(Path.cwd())) not in sys.path:
                sys.path.append(here)
    return modules


def _limits(ctx: click.Context, given: Sequence[str]) -> dict[str, int | float]:
    """Combine the limits, each by its name: flags over variables over the settings file."""
    values: dict[str, int | float] = dict((ctx.default_map or {}).get("limits", {}))
    origins = dict.fromkeys(values, f"file {file_of(ctx)}" if values else "")
    is_flag = ctx.get_parameter_source("limits") is ParameterSource.COMMANDLINE
    for origin, where, name, value in _each_limit(given if is_flag else ()):
        values[name] = limit_of(name, value, where)
        origins[name] = origin
    ctx.meta[LIMIT_ORIGINS] = origins
    return values


def _each_limit(flags: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each limit of a variable or a flag: its origin, the start of an error, name, value."""
    for variable, value in os.environ.items():
        if variable.startswith(LIMIT_VARIABLE):
            name = variable.removeprefix(LIMIT_VARIABLE).lower()
            yield f"variable {variable}", f"{variable}: ", name, value
    variable = SETTINGS["limits"].variable
    for text in os.environ.get(variable, "").split():
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{variable}: must be NAME=VALUE, not {text!r}")
        yield f"variable {variable}", f"{variable}: ", _name(name), value
    for text in flags:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"must be NAME=VALUE, not {text!r}")
        yield "flag --limit", "--limit ", _name(name), value


def _name(text: str) -> str:
    return text.strip().replace("-", "_")


def flags(*options: str | Flag) -> Callable[[Command], Command]:
    """Add the options of settings to a command, in this order; ``config`` is ``--config``."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            if option == "config":
                command = config_option(command)
            else:
                flag = Flag(option) if isinstance(option, str) else option
                _add(command, flag)
        return command

    return add


def _add(command: Any, flag: Flag) -> None:
    # Like `click.option`, which creates the option again for each command.
    if isinstance(command, click.Command):
        command.params.append(flag)
    else:
        vars(command).setdefault("__click_params__", []).append(flag)


def chosen(ctx: click.Context) -> Settings:
    """Return the settings of this command; those without an option have their defaults."""
    return Settings(**ctx.meta.get(VALUES, {}))


def origins(ctx: click.Context) -> dict[str, str]:
    """Return the origin of each setting; the names of limits begin with ``limits.``."""
    found = {name: _origin(ctx, name) for name in ctx.meta[VALUES] if name != "limits"}
    limits = ctx.meta[LIMIT_ORIGINS]
    return found | {f"limits.{name}": limits.get(name, "default") for name in LIMITS}


def _origin(ctx: click.Context, name: str) -> str:
    match ctx.get_parameter_source(name):
        case ParameterSource.COMMANDLINE:
            return f"flag {SETTINGS[name].flags[-1].partition('/')[0]}"
        case ParameterSource.ENVIRONMENT:
            return f"variable {SETTINGS[name].variable}"
        case ParameterSource.DEFAULT_MAP:
            return f"file {file_of(ctx)}"
        case _:
            return "default"
