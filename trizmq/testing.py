"""For plugin authors: an app without sockets, with the client's own face.

.. code-block:: python

    from trizmq.testing import open_app

    async def test_the_list() -> None:
        async with open_app(plugins=["users"]) as client:
            assert (await client.get("/users")).status == 200

Everything between client and handler is the real thing, the wire's bytes included; only
ZeroMQ is replaced by a network in memory. So it works under `trio.testing.MockClock`.
"""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from .app.application import App
from .app.plugins import load
from .service.beside import running
from .service.opening import open_client_on
from .service.serve import serve_on
from .transport.memory import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from .service.client import Client

__all__ = ["open_app"]

ENDPOINT: Final = "memory://app"


@asynccontextmanager
async def open_app(
    plugins: Sequence[object] | None = None,
    *,
    modules: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    state_dir: Path | None = None,
    token: str | None = None,
    capacity: int = 256,
) -> AsyncIterator[Client]:
    """Serve plugins in memory, and yield a client that is connected to them.

    Args:
      plugins: names of installed plugins, modules, or any objects with hookimpls; None for
        every installed plugin.
      modules: plugins by import path.
      config: a table for each plugin by its name.
      state_dir: where plugins keep what must last; None for a directory that is removed
        at the end.
      token: sent with each call of the client.
      capacity: how many handlers may run at once.

    Raises:
      PluginError, ConfigError: as `trizmq.serve`. The block's own errors leave it as they are.

    """
    with ExitStack() as stack:
        if state_dir is None:
            state_dir = Path(stack.enter_context(TemporaryDirectory(prefix="trizmq-")))
        app = App(load(plugins, modules), config=config, state_dir=state_dir)
        network = MemoryTransport()
        serve = partial(serve_on, network, app, bind=ENDPOINT, capacity=capacity)
        async with running(serve), open_client_on(network, ENDPOINT, token=token) as client:
            yield client
