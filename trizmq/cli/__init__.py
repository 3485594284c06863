"""The command line: it reads settings from argv and runs a command.

This module has only the names of the commands and a line of help for each, to keep `trizmq --help`
quick: click takes 30 ms to import, and the rest of trizmq 200. A command is imported when it runs.
"""

from __future__ import annotations

import errno
import sys
from contextlib import suppress
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final, final

import click

from .. import __version__
from ..errors import ConfigError, PluginError
from .output import Exit, Failure, open_missing, settle

__all__ = ["COMMANDS", "command_line", "main"]

#: The built-in commands: name, module, and the line in `trizmq --help`.
COMMANDS: Final = (
    ("run", ".run", "Serve plugins, with a broker and its workers."),
    ("broker", ".run", "Connect clients to workers in other processes."),
    ("worker", ".worker", "Serve plugins for brokers in other processes."),
    ("call", ".call", "Make one call, METHOD PATH, and print the body of its response."),
    ("routes", ".listings", "List the routes that would be served."),
    ("plugins", ".listings", "List the installed plugins, and why any of them failed to load."),
    ("services", ".listings", "List the services of a running broker."),
    ("health", ".listings", "Show whether a running broker is healthy."),
    ("bench", ".bench", "Measure how fast a running service answers METHOD PATH."),
    ("config", ".config", "Show the settings, or check a settings file."),
)


@final
class Deferred(click.Command):
    """A command that is imported when it runs: until then only its name and help line exist."""

    def __init__(self, name: str, module: str, line: str) -> None:
        super().__init__(name, help=line, short_help=line)
        self._module = module

    def load(self) -> click.Command:
        """Import the command itself."""
        command = getattr(import_module(self._module, __name__), str(self.name))
        assert isinstance(command, click.Command)
        return command


@final
class Commands(click.Group):
    """The built-in commands, and commands from plugins.

    Plugins are imported only to list all commands, or to find one that is not built in.
    """

    _asked_plugins = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names: the built-in commands in their order, then those of plugins."""
        del ctx
        self._ask_plugins()
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command; a deferred one is enough for a list."""
        if cmd_name not in self.commands:
            self._ask_plugins()
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that runs, loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Deferred) else command, rest

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command.

        Raises:
          PluginError: it is not a command, or there is already one with that name.

        """
        if not isinstance(cmd, click.Command):
            raise PluginError(f"{cmd!r} is not a click command")
        if (name or cmd.name) in self.commands:
            raise PluginError(f"there is a command {name or cmd.name!r} already")
        cmd.get_short_help_str()  # an error here would break the list of all commands
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a mistake of the user is one line and exit code 2.

        A file that cannot be read or written is one line and exit code 1. Nothing is returned,
        because the return value of a command is not an exit code.
        """
        try:
            super().invoke(ctx)
        except (ConfigError, PluginError) as error:
            raise Failure(str(error), Exit.USAGE) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # click exits without a message
                raise
            raise Failure(_in_words(error), Exit.FAULT) from error

    def _ask_plugins(self) -> None:
        if self._asked_plugins:
            return
        self._asked_plugins = True
        built_in = set(self.commands)
        self._let_plugins_register()
        for name in set(self.commands) - built_in:
            _give_config(self.commands[name])

    def _let_plugins_register(self) -> None:
        # Imported here, because built-in commands need no plugins; it takes 40 ms and their time.
        from ..app.plugins import Plugins, installed

        plugins = installed()
        for broken in plugins.broken:
            _warn(f"plugin {broken.name!r} is skipped: {broken.reason}")
        # One by one: an error in one plugin must not hide the commands of the others.
        for plugin in plugins.loaded:
            try:
                for implementation in Plugins((plugin,)).hooks.of("trizmq_register_commands"):
                    implementation.ask(cli=self)
            except PluginError as error:
                _warn(error)


def _warn(reason: object) -> None:
    click.echo(f"trizmq: {reason}", err=True)


def _give_config(command: click.Command) -> None:
    """Let the options of a plugin's command get their defaults from the settings file, too."""
    # Imported here, because only the commands of plugins need it: 20 ms.
    from .toml import config_option

    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _give_config(inner)
    elif all(parameter.name != "config" for parameter in command.params):
        config_option(command)


def command_line() -> click.Group:
    """Create the command line: the group behind ``trizmq``."""
    commands = Commands(
        "trizmq",
        help="RPC over ZeroMQ on Trio: services are plugins, calls have deadlines.",
        commands=[Deferred(*entry) for entry in COMMANDS],
    )
    version = click.version_option(__version__, message=f"%(prog)s %(version)s ({_kind()})")
    return version(commands)


def _kind() -> str:
    """Return whether the hot path was compiled when this was installed."""
    # One of its modules is found as an import would find it, without the time of an import.
    spec = PathFinder.find_spec("engine", [str(Path(__file__).parents[1] / "broker")])
    return "pure Python" if str(spec and spec.origin).endswith(".py") else "compiled"


def main() -> None:
    """Run the command line: the console script ``trizmq``."""
    open_missing()
    try:
        sys.exit(_run())
    finally:
        settle()


def _run() -> int:
    try:
        code = command_line().main(prog_name="trizmq", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return error.exit_code
    except click.Abort:
        with suppress(OSError):
            click.echo("Aborted!", err=True)
        return Exit.FAULT
    except OSError as error:  # from `--help`, or from the last flush
        with suppress(OSError):
            _warn(_in_words(error))
        return Exit.FAULT
    return code if isinstance(code, int) else Exit.OK


def _in_words(error: OSError) -> str:
    # An error in a file has the file's name; without a name, it is from standard output.
    return f"{error.filename or 'standard output'}: {error.strerror or error}"
