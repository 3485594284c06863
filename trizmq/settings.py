"""Every setting, once: its type, default, bounds and help.

The flags, the ``TRIZMQ_*`` variables, ``trizmq.toml``, the keyword arguments of `trizmq.serve` and
of `work`, and the command lines of worker processes come from `Settings`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence  # noqa: TC003 (msgspec reads it)
from pathlib import Path  # noqa: TC003 (likewise)
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypedDict

import msgspec
from msgspec import Meta

from .errors import ConfigError
from .fields import did_you_mean, fields_of
from .limits import Limits, limit_of

__all__ = [
    "DEFAULTS",
    "DEFAULT_BACKEND",
    "SETTINGS",
    "ServeSettings",
    "Settings",
    "WorkSettings",
    "settings_of",
]

#: The default endpoint at which `trizmq broker` accepts workers, and `trizmq worker` connects.
DEFAULT_BACKEND: Final = "tcp://127.0.0.1:5556"

#: The maximum number of seconds; more are reduced to it, as for the deadline of a call.
HOUR: Final = 3600.0

#: The maximum numbers of calls and of workers: more would be a mistake that uses up the memory.
MOST_CALLS: Final = 65_536
MOST_WORKERS: Final = 1024

_ENDPOINTS: Final = {"metavar": "E[,E]", "is_joined": True}
_SECONDS: Final = {"unit": "seconds", "most": HOUR}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, for all roles. Created by `settings_of`, which checks them."""

    plugins: Annotated[
        tuple[object, ...] | None,
        Meta(
            description="Installed plugins to load, in this order.",
            extra={"metavar": "A[,B]", "unset": "all"},
        ),
    ] = None
    modules: Annotated[
        tuple[str, ...],
        Meta(
            description="A module to load as a plugin, by its import path; can be repeated.",
            extra={"flags": ("-p", "--module"), "metavar": "MODULE", "is_repeated": True},
        ),
    ] = ()
    bind: Annotated[
        str, Meta(description="Endpoints for clients. Port * selects a free one.", extra=_ENDPOINTS)
    ] = "tcp://127.0.0.1:5555"
    backend: Annotated[
        str | None,
        Meta(
            description="Endpoints for workers in other processes, in any dialect. If they are"
            " those of --bind, one socket serves both.",
            extra={**_ENDPOINTS, "unset": "none"},
        ),
    ] = None
    workers: Annotated[
        int,
        Meta(
            ge=0,
            le=MOST_WORKERS,
            description="Number of worker processes. With 0, handlers run in the broker's process.",
        ),
    ] = 0
    connect: Annotated[
        str, Meta(description="Endpoints of the brokers, for clients.", extra=_ENDPOINTS)
    ] = "tcp://127.0.0.1:5555"
    dialect: Annotated[
        Literal["native", "mdp01", "mdp02", "majortomo", "packed"],
        Meta(
            description="Dialect of the brokers. In all but native, a worker of capacity N appears"
            " as N workers."
        ),
    ] = "native"
    wait: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds that a call waits for a service that no worker has offered yet.",
            extra=_SECONDS,
        ),
    ] = Limits().wait
    insecure: Annotated[
        bool, Meta(description="Allow unencrypted endpoints that other machines can reach.")
    ] = False
    capacity: Annotated[
        int, Meta(ge=1, le=MOST_CALLS, description="Calls that one process handles at once.")
    ] = 256
    threads: Annotated[
        int,
        Meta(
            ge=1,
            le=MOST_CALLS,
            description="Handlers without async that run at once, each in a thread.",
        ),
    ] = 40
    access_log: Annotated[
        bool,
        Meta(
            description="Log each call: request id, route, status, duration.",
            extra={"flags": ("--access-log/--no-access-log",)},
        ),
    ] = False
    state_dir: Annotated[
        Path | None,
        Meta(
            description="Directory of tokens and keys.",
            extra={"unset": "the user's state directory"},
        ),
    ] = None
    limits: Annotated[
        Mapping[str, Any],
        Meta(
            description="A limit, as in [limits] of the settings file; can be repeated:"
            " body_bytes=32MiB, client_calls (in flight, of one client), service_calls (queued, of"
            " one service), heartbeat, liveness, mdp_silence (seconds), ...",
            extra={"flags": ("--limit",), "metavar": "NAME=VALUE", "is_repeated": True},
        ),
    ] = MappingProxyType({})
    grace: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds that running calls have to finish after a signal.",
            extra=_SECONDS,
        ),
    ] = 20.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Lowest level to log, on stderr."),
    ] = "info"
    timeout: Annotated[
        float,
        Meta(
            gt=0,
            description="Seconds until the call ends with exit code 124, or 3 if no broker"
            " answers.",
            extra=_SECONDS,
        ),
    ] = 30.0
    token: Annotated[
        str | None,
        Meta(
            description="Bearer token of the caller.",
            extra={
                "unset": "the local token in the state directory, on this machine",
                "is_secret": True,
            },
        ),
    ] = None

    @property
    def bounds(self) -> Limits:
        """All limits: those that are set, and the defaults of the others."""
        return Limits(**self.limits, wait=self.wait)


#: Each setting by its name.
SETTINGS: Final = fields_of(Settings)

#: The value of each setting that is not set.
DEFAULTS: Final = Settings()


class PluginSettings(TypedDict, total=False):
    """Keyword arguments of every process that loads plugins."""

    plugins: Sequence[object] | None
    modules: Sequence[str]
    state_dir: Path | None
    capacity: int
    threads: int
    grace: float
    limits: Mapping[str, Any]
    access_log: bool


class ServeSettings(PluginSettings, total=False):
    """Keyword arguments of `trizmq.serve` that are settings."""

    bind: str
    backend: str | None
    workers: int
    wait: float
    insecure: bool


class WorkSettings(PluginSettings, total=False):
    """Keyword arguments of `work` that are settings."""

    dialect: str


def settings_of(given: Mapping[str, object], known: Collection[str] = ()) -> Settings:
    """Return the defaults, except for the keyword arguments that are ``given``.

    Raises:
      TypeError: if a keyword is not ``known``; by default all settings are known.
      ConfigError: if a value has the wrong type, or is out of bounds; the message contains the
        allowed values.

    """
    checked: dict[str, Any] = {}
    known = known or SETTINGS
    for name, value in given.items():
        if name not in known:
            raise TypeError(f"{name!r} is not a keyword argument{did_you_mean(name, known)}")
        try:
            checked[name] = SETTINGS[name].check(value)
        except ValueError as error:
            raise ConfigError(f"{name} {error}") from None
    limits = {name: limit_of(name, value) for name, value in checked.pop("limits", {}).items()}
    return Settings(**checked, limits=limits)
