"""The lifespans of plugins: entered in order, left in reverse order, and always left."""

# Theory of operation. A plugin's resources must outlive the handlers that use them, and the code
# after its `yield` must run. A cancellation from outside therefore does not reach the lifespans
# while the app is served: it reaches the serving code, and when that has ended, the lifespans are
# left one after another, as if nothing had happened. Each has `LEAVE_SECONDS` for that. The scopes
# for this are opened before the plugin is entered, because a plugin may keep scopes of its own
# open until it is left, and scopes must be closed in reverse order.

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
    from .resources import Resource, Resources

__all__ = ["LEAVE_SECONDS", "lifespan"]

LOGGER = logging.getLogger("trizmq.app")

#: Seconds that a lifespan has to finish when it is left; then it is cancelled.
LEAVE_SECONDS: Final = 5.0


@asynccontextmanager
async def lifespan(
    hooks: Hooks, configs: Mapping[str, Any], state_dir: Path | None, resources: Resources
) -> AsyncIterator[None]:
    """Enter the results of the plugins' `trizmq_lifespan`, one after another.

    They are left whatever ends the block: its end, an error or a cancellation, which they cannot
    distinguish. If a task of one fails, the block is cancelled.

    Args:
      hooks: the hooks of the loaded plugins.
      configs: the plugins' settings, by plugin.
      state_dir: for plugins that keep files. None means the user's own, created on demand.
      resources: filled with the values that the lifespans yield.

    Raises:
      PluginError: if a plugin did not return an async context manager.
      Exception: the exception from the block, from entering or leaving a lifespan, or from
        one of its tasks, not in a group.

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
                                resource = resources.of(found.plugin)
                                entered = _entered(found.plugin, one, resource)
                                await stack.enter_async_context(entered)
                        has_begun = shelter.shield = True
                        with trio.CancelScope() as serving:
                            nursery.start_soon(_cancel_too, serving)
                            yield
                except BaseException as error:
                    held = error
            nursery.cancel_scope.cancel()
    except BaseException:  # our own cancellation
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
async def _entered(
    plugin: str, one: AbstractAsyncContextManager[object], resource: Resource | None
) -> AsyncIterator[None]:
    held: BaseException | None = None
    try:
        with trio.CancelScope() as limit:
            async with one as value:
                if resource is not None:
                    resource.keep(value)
                try:
                    yield
                except GeneratorExit:
                    raise
                except BaseException as error:
                    held = error
                if resource is not None:
                    resource.drop()
                limit.shield = True
                limit.deadline = trio.current_time() + LEAVE_SECONDS
    except BaseException as error:
        if without_cancelled(held) is None:
            cause = lone(error)
            cause.add_note(f"It came from the lifespan of plugin {plugin!r}.")
            raise cause from None
        LOGGER.exception("plugin %r: its lifespan failed on exit", plugin)
    if limit.cancelled_caught:
        LOGGER.error(
            "plugin %r: its lifespan did not end within %g s, and was cancelled: does it cancel "
            "its nursery after the yield?",
            plugin,
            LEAVE_SECONDS,
        )
    await _raise_again(held)


async def _raise_again(held: BaseException | None) -> None:
    """Raise ``held``; if it was a cancellation, raise it only if we are still cancelled."""
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
