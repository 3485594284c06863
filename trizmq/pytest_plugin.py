"""The fixtures that pytest finds by itself where trizmq and pytest-trio are installed."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from .service.client import Client

# pytest loads this file in every environment that has trizmq; pytest-trio is an extra.
with suppress(ImportError):
    from pytest_trio import trio_fixture

    @trio_fixture  # type: ignore[untyped-decorator]  # it has no annotations
    async def trizmq_app(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
        """Give what serves plugins in memory, and connects a client to them.

        Used as ``client = await trizmq_app("users")``: called with plugins, then the
        keyword arguments of `trizmq.testing.open_app`. What it opened is closed after the
        test; state is kept in the test's ``tmp_path``.
        """
        from .testing import open_app  # not before a test asks: it brings in everything

        async with AsyncExitStack() as stack:

            async def open_one(*plugins: object, **details: Any) -> Client:
                details.setdefault("state_dir", tmp_path / "state")
                return await stack.enter_async_context(open_app(plugins, **details))

            yield open_one
