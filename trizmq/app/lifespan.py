"""The plugins' lifespans: entered in their order, left in reverse, and always left."""

# Theory of operation. What a plugin opens must outlive the handlers that use it, and what it has
# written behind its `yield` must run. So a cancellation from outside does not reach the lifespans
# while the app is served: it reaches what is served, and when that has ended the lifespans are
# left one after another, as if nothing had happened. Each has `LEAVE_SECONDS` for that. The
# scopes for it are opened before the plugin is entered, for a plugin may leave scopes of its own
# open until it is left, and scopes must be closed in reverse.

from __future__ import annotations

import inspect
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import trio

from ..errors import PluginError
from .config import state_dir as find_state_dir
from .failures import lone, without_cancelled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from .hooks import Hooks, Implementation

__all__ = ["LEAVE_SECONDS", "lifespan"]

LOGGER = logging.getLogger("trizmq.app")

#: How long a lifespan may take to end when it is left; then it is cancelled.
LEAVE_SECONDS: Final = 5.0


@asynccontextmanager
async def lifespan(
    hooks: Hooks, configs: Mapping[str, Any], state_dir: Path | None
) -> AsyncIterator[None]:
    """Enter what the plugins' `trizmq_lifespan` return, one after the other.

    They are left whatever ends the block: its end, an error, a cancellation; and without being
    told which. If a task of one fails, the block is cancelled.

    Args:
      hooks: of the loaded plugins.
      configs: the plugins' settings, by plugin.
      state_dir: for plugins that keep files; None: the user's own, made if one asks for it.

    Raises:
      PluginError: if a plugin's answer is not an async context manager.
      Exception: what the block raised; or what entering or leaving one, or a task of one,
        raised, as it is: not in a group.

    """
    held: BaseException | None = None
    has_begun = False
    try:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as shelter:
                try:
                    async with AsyncExitStack() as stack:
                        for found in hooks.of("trizmq_lifespan"):
                            one = _of(found, configs.get(found.plugin), state_dir)
                            if one is not None:
                                await stack.enter_async_context(_entered(found.plugin, one))
                        has_begun = shelter.shield = True
                        with trio.CancelScope() as serving:
                            nursery.start_soon(_cancel_too, serving)
                            yield
                except BaseException as error:
                    held = error
            nursery.cancel_scope.cancel()
    except BaseException:  # that we were cancelled
        if without_cancelled(held) is None:
            raise
    await _raise_again(held)
    if not has_begun:
        raise PluginError("a plugin's lifespan was cancelled from inside before all were entered")


async def _cancel_too(serving: trio.CancelScope) -> None:
    try:
        await trio.sleep_forever()
    finally:
        serving.cancel()


@asynccontextmanager
async def _entered(plugin: str, one: AbstractAsyncContextManager[object]) -> AsyncIterator[None]:
    held: BaseException | None = None
    try:
        with trio.CancelScope() as limit:
            async with one:
                try:
                    yield
                except GeneratorExit:
                    raise
                except BaseException as error:
                    held = error
                limit.shield = True
                limit.deadline = trio.current_time() + LEAVE_SECONDS
    except BaseException as error:
        if without_cancelled(held) is None:
            cause = lone(error)
            cause.add_note(f"It came from the lifespan of plugin {plugin!r}.")
            raise cause from None
        LOGGER.exception("plugin %r: its lifespan failed as it was left", plugin)
    if limit.cancelled_caught:
        LOGGER.error(
            "plugin %r: its lifespan did not end within %g s, and was cancelled: does it cancel "
            "its nursery behind the yield?",
            plugin,
            LEAVE_SECONDS,
        )
    await _raise_again(held)


async def _raise_again(held: BaseException | None) -> None:
    """Raise ``held``; where it was a cancellation, raise that only if we are still cancelled."""
    error = without_cancelled(held)
    if error is not None:
        raise error
    await trio.lowlevel.checkpoint_if_cancelled()


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
