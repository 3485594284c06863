"""The settings file, ``trizmq.toml``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ..errors import ConfigError
from ..fields import did_you_mean
from ..limits import LIMITS, limit_of
from ..settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "DEFAULT_FILE",
    "SettingsFile",
    "config_option",
    "file_of",
    "named_file",
    "plugin_tables",
]

Command = TypeVar("Command", bound="Callable[..., Any] | click.Command")

#: Read if no file is named, and it exists.
DEFAULT_FILE: Final = Path("trizmq.toml")

#: The keys of a context for the settings file, and for the file that the user named.
FILE: Final = f"{__name__}.file"
NAMED: Final = f"{__name__}.named"

#: Set in a worker process of `trizmq run`, whose parent has already given the warnings.
SUPERVISED: Final = "TRIZMQ_SUPERVISED"


class SettingsFile:
    """The content of a settings file.

    Attributes:
      values: validated settings by name; limits by their names, under ``limits``; and the
        ``[plugin.NAME]`` tables under ``plugin``, which the plugins validate.
      mistakes: one line for each, with file and key.

    Raises:
      ConfigError: the file cannot be read, or is not TOML; one line with its name.

    """

    def __init__(self, path: Path) -> None:
        self.values: dict[str, Any] = {"plugin": {}}
        self.mistakes: list[str] = []
        self._path = path
        for key, value in _parse(path).items():
            try:
                self._read(key, value)
            except ValueError as error:
                self.mistakes.append(str(error))

    def _read(self, key: str, value: object) -> None:
        if key == "plugin":
            self.values[key] = self._tables(value)
        elif key not in SETTINGS:
            known = ", ".join([*SETTINGS, "[plugin.NAME]"])
            hint = did_you_mean(key, SETTINGS)
            raise ConfigError(
                f"{self._path}: unknown setting {key!r}{hint}; known settings: {known}"
            )
        else:
            checked = self._checked(key, value)
            self.values[key] = self._limits(checked) if key == "limits" else checked

    def _checked(self, key: str, value: object) -> Any:
        field = SETTINGS[key]
        items = value if field.is_list and isinstance(value, list) else []
        for item in items:
            # In Python, plugins can be objects of any type; here they are names.
            if not isinstance(item, str):
                raise ConfigError(
                    f"{self._path}: {key} must be {field.words}, not with {item!r} in it"
                )
        try:
            return field.check(value)
        except ValueError as error:
            raise ConfigError(f"{self._path}: {key} {error}") from None

    def _limits(self, table: dict[str, object]) -> dict[str, int | float]:
        return dict(self._each_limit(table))

    def _each_limit(self, table: dict[str, object]) -> Iterator[tuple[str, int | float]]:
        for name, value in table.items():
            try:
                yield name, limit_of(name, value, f"{self._path}: [limits] ")
            except ConfigError as error:
                self.mistakes.append(str(error))

    def _tables(self, tables: object) -> dict[str, Any]:
        if not isinstance(tables, dict):
            raise ConfigError(f"{self._path}: plugin must be tables, [plugin.NAME], not {tables!r}")
        for name, table in tables.items():
            if not isinstance(table, dict):
                self.mistakes.append(f"{self._path}: plugin.{name} must be a table, not {table!r}")
        return tables


def _parse(path: Path) -> dict[str, Any]:
    # Most commands read no file, and the import takes 4 ms.
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # a byte order mark does not matter
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML: save it in UTF-8") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def config_option(command: Command) -> Command:
    """Add ``--config`` to ``command``: its other options then have defaults from the file."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="TRIZMQ_CONFIG",
        is_eager=True,  # before the options whose defaults it holds
        expose_value=False,
        callback=_use_file,
        help="Settings file.  [default: ./trizmq.toml, if it exists]",
    )(command)


def _use_file(ctx: click.Context, _: click.Parameter, named: Path | None) -> None:
    # While a shell completes a word, an error in the file does not matter.
    if ctx.resilient_parsing:
        return
    _warn_of_variables()
    path = named or (DEFAULT_FILE if _is_there(DEFAULT_FILE) else None)
    ctx.meta[FILE], ctx.meta[NAMED] = path, named
    if path is not None:
        file = SettingsFile(path)
        if file.mistakes:
            raise ConfigError(file.mistakes[0])
        ctx.default_map = file.values


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no permission for this directory
        return False


def _warn_of_variables() -> None:
    """Warn of variables with names that are similar to those of settings.

    Other variables are ignored: a plugin may use them, and Kubernetes sets variables such as
    `TRIZMQ_PORT` in every container if there is a service named trizmq.
    """
    if SUPERVISED in os.environ:
        return
    names = ("config", *SETTINGS, *(f"limits_{name}" for name in LIMITS))
    known = {name.upper() for name in names}
    for variable in os.environ:
        name = variable.removeprefix("TRIZMQ_")
        is_ours = name != variable and not name.startswith("LIMITS_")  # which are checked
        if is_ours and name not in known and (hint := did_you_mean(name, known, "TRIZMQ_")):
            click.echo(f"trizmq: unknown variable {variable}{hint}", err=True)


def file_of(ctx: click.Context) -> Path | None:
    """Return the settings file, or None if there is none."""
    file = ctx.meta.get(FILE)
    assert file is None or isinstance(file, Path)
    return file


def named_file(ctx: click.Context) -> Path | None:
    """Return the settings file that the user named, or None."""
    named = ctx.meta.get(NAMED)
    assert named is None or isinstance(named, Path)
    return named


def plugin_tables(ctx: click.Context) -> Mapping[str, dict[str, Any]]:
    """Return the ``[plugin.NAME]`` tables of the file, unchecked: the plugins check them."""
    return dict((ctx.default_map or {}).get("plugin", {}))
