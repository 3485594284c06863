"""The fixtures that pytest finds by itself where trizmq and pytest-trio are installed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from .client.trio_client import Client

# pytest loads this file in every environment that has trizmq; pytest-trio is an extra.
with suppress(ImportError):
    import trio
    from pytest_trio import trio_fixture

    @trio_fixture  # type: ignore[untyped-decorator]  # it has no annotations
    async def trizmq_app(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
        """Give what serves plugins in memory, and connects a client to them.

        Used as ``client = await trizmq_app("users")``: called with plugins, then the
        keyword arguments of `trizmq.testing.open_app`. What it opened is closed after the
        test; state is kept in the test's ``tmp_path``.
        """
        from .testing import open_app  # not before a test asks: it brings in everything

        async with trio.open_nursery() as nursery:

            async def open_one(*plugins: object, **details: Any) -> Client:
                details.setdefault("state_dir", tmp_path / "state")
                # The test's task opens, the fixture's closes: hence in a task of its own.
                client: Client = await nursery.start(_hold, open_app(plugins, **details))
                return client

            yield open_one
            nursery.cancel_scope.cancel()

    async def _hold(
        opened: AbstractAsyncContextManager[Client], *, task_status: trio.TaskStatus[Client]
    ) -> None:
        async with opened as client:
            task_status.started(client)
            await trio.sleep_forever()
