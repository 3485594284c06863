"""The command line: argv to settings to service.

Only names and one line of help live here, for `trizmq --help` must be quick: click takes
30 ms, and the rest of the house 200. A command's module is imported when it is run.
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
from .toml import config_option

__all__ = ["COMMANDS", "command_line", "main"]

#: The commands of the house: name, module, and what `trizmq --help` says of it.
COMMANDS: Final = (
    ("run", ".run", "Serve plugins: the broker and its workers in one go."),
    ("broker", ".run", "Stand between clients and workers of other processes."),
    ("worker", ".worker", "Serve plugins to brokers of other processes."),
    ("call", ".call", "Make one call, METHOD PATH, and print the body of its response."),
    ("routes", ".listings", "List what would be served."),
    ("plugins", ".listings", "List what is installed, and what failed and why."),
    ("services", ".mmi", "List what a running broker serves now."),
    ("health", ".mmi", "Tell whether a running broker is well."),
    ("bench", ".bench", "Measure how fast a running service answers METHOD PATH."),
    ("config", ".config", "Show the settings, or check a settings file."),
)


@final
class Deferred(click.Command):
    """A command of which only the name and the one line are here yet."""

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
    """The commands of the house, and those that plugins add to them.

    Plugins are imported only for what needs them: to list every command, or to find one
    that the house does not have.
    """

    _asked_plugins = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every name: the house's in their order, then the plugins'."""
        del ctx
        self._ask_plugins()
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, perhaps a deferred one: enough to list it."""
        if cmd_name not in self.commands:
            self._ask_plugins()
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is to run, loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Deferred) else command, rest

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command.

        Raises:
          PluginError: it is none, or there is one of that name already.

        """
        if not isinstance(cmd, click.Command):
            raise PluginError(f"{cmd!r} is no click command")
        if (name or cmd.name) in self.commands:
            raise PluginError(f"there is a command {name or cmd.name!r} already")
        cmd.get_short_help_str()  # what fails here would fail for all of them
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what the user did wrong ends as one line and exit code 2.

        A file that cannot be read or written is one line too, and a fault. Nothing is returned:
        what a command returns is no exit code.
        """
        try:
            super().invoke(ctx)
        except (ConfigError, PluginError) as error:
            raise Failure(str(error), Exit.USAGE) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends in silence
                raise
            raise Failure(_in_words(error), Exit.FAULT) from error

    def _ask_plugins(self) -> None:
        if self._asked_plugins:
            return
        self._asked_plugins = True
        house = set(self.commands)
        self._let_plugins_register()
        for name in set(self.commands) - house:
            _give_config(self.commands[name])

    def _let_plugins_register(self) -> None:
        # Here, for a command of the house needs no plugin to be found: 40 ms and theirs.
        from ..app.plugins import Plugins, installed

        plugins = installed()
        for broken in plugins.broken:
            _warn(f"plugin {broken.name!r} is skipped: {broken.reason}")
        # One by one: what is wrong with one plugin must not hide the others' commands.
        for plugin in plugins.loaded:
            try:
                for implementation in Plugins((plugin,)).hooks.of("trizmq_register_commands"):
                    implementation.ask(cli=self)
            except PluginError as error:
                _warn(error)


def _warn(reason: object) -> None:
    click.echo(f"trizmq: {reason}", err=True)


def _give_config(command: click.Command) -> None:
    """Let the options of a plugin's command have their defaults from the settings file too."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _give_config(inner)
    elif all(parameter.name != "config" for parameter in command.params):
        config_option(command)


def command_line() -> click.Group:
    """Make the command line: the group behind ``trizmq``."""
    commands = Commands(
        "trizmq",
        help="RPC over ZeroMQ on Trio: services are plugins, calls have deadlines.",
        commands=[Deferred(*entry) for entry in COMMANDS],
    )
    version = click.version_option(__version__, message=f"%(prog)s %(version)s ({_kind()})")
    return version(commands)


def _kind() -> str:
    """Return whether the hot path was compiled when this was installed."""
    # One of its modules, found as an import would, and not imported: it must be quick.
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
    except OSError as error:  # of `--help`, or of what was still to be flushed
        with suppress(OSError):
            _warn(_in_words(error))
        return Exit.FAULT
    return code if isinstance(code, int) else Exit.OK


def _in_words(error: OSError) -> str:
    # Files are named by what opens them; what has no name is standard output.
    return f"{error.filename or 'standard output'}: {error.strerror or error}"
