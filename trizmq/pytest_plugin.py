"""The pytest fixtures, available wherever trizmq and pytest-trio are installed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from .client.trio_client import Client

# pytest loads this module in every environment with trizmq; pytest-trio is an extra.
with suppress(ImportError):
    import trio
    from pytest_trio import trio_fixture

    @trio_fixture  # type: ignore[untyped-decorator]  # it has no annotations
    async def trizmq_app(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
        """Return a function that serves plugins in memory and returns a connected client.

        Use it as ``client = await trizmq_app("users")``. It accepts plugins, followed by the
        keyword arguments of `trizmq.testing.open_app`. Everything it opens is closed after the
        test; state is kept in the ``tmp_path`` of the test.
        """
        from .testing import open_app  # only when a test needs it, because it loads everything

        async with trio.open_nursery() as nursery:

            async def open_one(*plugins: object, **details: Any) -> Client:
                details.setdefault("state_dir", tmp_path / "state")
                # The test's task opens it and the fixture's task closes it, so it gets its own.
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
