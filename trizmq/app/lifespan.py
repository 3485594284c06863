"""The plugins' lifespans: entered in their order, left in reverse."""

from __future__ import annotations

import inspect
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..errors import PluginError
from .config import state_dir as find_state_dir
from .failures import lone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from .hooks import Hooks, Implementation

__all__ = ["lifespan"]


@asynccontextmanager
async def lifespan(
    hooks: Hooks, configs: Mapping[str, Any], state_dir: Path | None
) -> AsyncIterator[None]:
    """Enter what the plugins' `trizmq_lifespan` return, one after the other.

    Args:
      hooks: of the loaded plugins.
      configs: the plugins' settings, by plugin.
      state_dir: for plugins that keep files; None: the user's own, made if one asks for it.

    Raises:
      PluginError: if a plugin's answer is not an async context manager.
      Exception: what entering or leaving one raised, as it is: not in a group.

    """
    try:
        async with AsyncExitStack() as stack:
            for found in hooks.of("trizmq_lifespan"):
                one = _of(found, configs.get(found.plugin), state_dir)
                if one is not None:
                    await stack.enter_async_context(one)
            yield
    except BaseExceptionGroup as group:  # it came through a plugin's nursery
        raise lone(group) from None


def _of(
    found: Implementation, config: Any, state_dir: Path | None
) -> AbstractAsyncContextManager[object] | None:
    where = find_state_dir(state_dir) if found.wants("state_dir") else None
    answer: Any = found.ask(state_dir=where, config=config)
    if answer is None or hasattr(type(answer), "__aenter__"):
        manager: AbstractAsyncContextManager[object] | None = answer
        return manager
    hint = " (it lacks contextlib.asynccontextmanager)" if inspect.isasyncgen(answer) else ""
    raise PluginError(
        f"plugin {found.plugin!r}: trizmq_lifespan returned no async context manager{hint}"
    )
