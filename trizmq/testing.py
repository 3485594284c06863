"""Tools for plugin authors: an app without sockets, with the usual client.

.. code-block:: python

    from trizmq.testing import open_app

    async def test_the_list() -> None:
        async with open_app(plugins=["users"]) as client:
            assert (await client.get("/users")).status == 200

    async def test_what_ada_sees() -> None:
        ada = Principal("ada", frozenset({"users:read"}))
        async with open_app(plugins=["users", "auth"], principal=ada) as client:
            assert (await client.get("/users")).status == 200

All code between client and handler is the real one, including the wire format; only ZeroMQ is
replaced by an in-memory network. It therefore works with `trio.testing.MockClock`.
"""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import quote, unquote

import msgspec

from .app.application import App
from .app.hookspecs import hookimpl
from .app.plugins import Plugin, load
from .beside import running
from .client.opening import open_client_on
from .hook_values import Forward
from .messages import Principal
from .processes.serve import serve_on
from .settings import settings_of
from .transport.memory import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from .client.trio_client import Client
    from .hook_values import AdmittedCall, Verdict

__all__ = ["as_principal", "open_app"]

ENDPOINT: Final = "memory://app"

#: Carries the principal from `as_principal` to the broker of `open_app`; others ignore it.
HEADER: Final = "x-trizmq-testing-principal"


def as_principal(principal: Principal | None) -> dict[str, str]:
    """Return headers that set the principal of one call of a client of `open_app`.

    ``await client.get("/users", headers=as_principal(Principal("ada")))``. None makes the call
    anonymous, whatever the principal of `open_app` is.
    """
    return {HEADER: quote(msgspec.json.encode(principal))}


@final
class _Callers:
    """A plugin that sets the principal at the broker, as an auth plugin does."""

    def __init__(self, principal: Principal | None) -> None:
        self._principal = principal

    @hookimpl(tryfirst=True)
    def trizmq_admit(self, call: AdmittedCall) -> Verdict:
        text = call.headers.get(HEADER)
        if text is None:
            return Forward(self._principal)
        return Forward(msgspec.json.decode(unquote(text), type=Principal | None))


@asynccontextmanager
async def open_app(
    plugins: Sequence[object] | None = None,
    *,
    modules: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    state_dir: Path | None = None,
    token: str | None = None,
    principal: Principal | None = None,
    capacity: int = 256,
) -> AsyncIterator[Client]:
    """Serve plugins in memory, and yield a client that is connected to them.

    Args:
      plugins: names of installed plugins, modules, or any objects with hooks; None loads all
        installed plugins.
      modules: plugins by import path.
      config: a table for each plugin, by name.
      state_dir: a directory for the persistent data of plugins; None creates a directory that
        is removed at the end.
      token: sent with each call of the client.
      principal: the caller, if no token determines it; auth plugins treat it like a verified
        caller. See `as_principal` for a single call.
      capacity: how many handlers may run at once.

    Raises:
      PluginError, ConfigError: as in `trizmq.serve`. Exceptions from the block are unchanged.

    """
    with ExitStack() as stack:
        if state_dir is None:
            state_dir = Path(stack.enter_context(TemporaryDirectory(prefix="trizmq-")))
        loaded = load(plugins, modules)
        callers = Plugin("trizmq.testing", _Callers(principal))
        everything = replace(loaded, loaded=(callers, *loaded.loaded))
        app = App(everything, config=config, state_dir=state_dir)
        network = MemoryTransport()
        serve = partial(
            serve_on, network, app, settings_of({"bind": ENDPOINT, "capacity": capacity})
        )
        async with running(serve), open_client_on(network, ENDPOINT, token=token) as client:
            yield client
