"""Settings: flag over ``TRIZMQ_*`` over ``trizmq.toml`` over default.

click knows that order by itself: the file becomes the command's ``default_map``. What is
left to do here is to read the file and to say clearly what is wrong with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from ..errors import ConfigError
from ..limits import limits_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SETTINGS", "config_option", "named_file", "plugin_tables", "read_settings"]

Command = TypeVar("Command", bound="Callable[..., Any] | click.Command")


class Kind(NamedTuple):
    """What a setting may be: in words, and its types in TOML."""

    words: str
    types: tuple[type, ...]


TEXT = Kind("a string", (str,))
WORDS = Kind("a string or a list of strings", (str, list))
WHOLE = Kind("an integer", (int,))
SECONDS = Kind("a number of seconds", (int, float))
SWITCH = Kind("true or false", (bool,))
TABLE = Kind("a table, [limits]", (dict,))

#: Every key at the top of ``trizmq.toml``: each is the long option of that name.
SETTINGS: Final = {
    "access_log": SWITCH,
    "backend": WORDS,
    "bind": WORDS,
    "capacity": WHOLE,
    "connect": WORDS,
    "dialect": TEXT,
    "grace": SECONDS,
    "insecure": SWITCH,
    "limits": TABLE,
    "log_level": TEXT,
    "modules": WORDS,
    "plugins": WORDS,
    "state_dir": TEXT,
    "threads": WHOLE,
    "timeout": SECONDS,
    "token": TEXT,
    "wait": SECONDS,
    "workers": WHOLE,
}

#: Read when no file is named, if it is there.
DEFAULT_FILE: Final = Path("trizmq.toml")


def config_option(command: Command) -> Command:
    """Add ``--config`` to ``command``: its other options then have defaults from the file."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="TRIZMQ_CONFIG",
        is_eager=True,  # before the options whose defaults it holds
        expose_value=False,
        callback=_use_file,
        help="Settings file.  [default: ./trizmq.toml, if it is there]",
    )(command)


def _use_file(ctx: click.Context, _: click.Parameter, named: Path | None) -> None:
    # While a shell completes a word, a file that is wrong is no news.
    if ctx.resilient_parsing:
        return
    ctx.meta[__name__] = named
    if named or _is_there(DEFAULT_FILE):
        ctx.default_map = read_settings(named or DEFAULT_FILE)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # this directory is not ours to look into
        return False


def named_file(ctx: click.Context) -> Path | None:
    """Return the settings file that the user named; None if none was."""
    named = ctx.meta.get(__name__)
    assert named is None or isinstance(named, Path)
    return named


def plugin_tables(ctx: click.Context) -> dict[str, dict[str, Any]]:
    """Return the file's ``[plugin.NAME]`` tables, as they are: the app validates them."""
    return dict((ctx.default_map or {}).get("plugin", {}))


def read_settings(path: Path) -> dict[str, Any]:
    """Read a settings file; ``a,b`` and ``["a", "b"]`` both come as a list.

    Raises:
      ConfigError: the file cannot be read, is not TOML, or has a key that is unknown or
        of the wrong type. One line that names the file and the key.

    """
    document = _parse(path)
    tables = document.pop("plugin", {})
    settings = {key: _checked(path, key, value) for key, value in document.items()}
    return {**settings, "plugin": _checked_tables(path, tables)}


def _parse(path: Path) -> dict[str, Any]:
    # Here, for most starts have no file: 4 ms of each `--help`.
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # a byte order mark is no matter
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML: save it in UTF-8") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def _checked(path: Path, key: str, value: object) -> object:
    if key not in SETTINGS:
        known = ", ".join([*SETTINGS, "[plugin.NAME]"])
        raise ConfigError(f"{path}: unknown setting {key!r}; known are {known}")
    kind = SETTINGS[key]
    # By `type`, for to `isinstance` true is an integer.
    if type(value) not in kind.types:
        raise ConfigError(f"{path}: {key} must be {kind.words}, not {value!r}")
    if kind is TABLE:
        return _assignments(path, value)
    return _listed(path, key, value) if kind is WORDS else value


def _assignments(path: Path, table: Any) -> list[str]:
    """Return a table of limits as the flag has them: ``NAME=VALUE``."""
    try:
        limits_of(table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return [f"{name}={value}" for name, value in table.items()]


def _listed(path: Path, key: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else str(value).split(",")
    for item in values:
        if not isinstance(item, str):
            raise ConfigError(f"{path}: {key} must be {WORDS.words}, not with {item!r} in it")
    return values


def _checked_tables(path: Path, tables: object) -> dict[str, Any]:
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: plugin must be tables, [plugin.NAME], not {tables!r}")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: plugin.{name} must be a table, not {table!r}")
    return tables
