"""Arguments that `trizmq.serve` refuses before it serves anything."""

from __future__ import annotations

import sys
from functools import partial

import pytest
import trio

import trizmq
from trizmq.beside import running
from trizmq.processes import serve as module

NAMED = trizmq.Router("/one"), trizmq.Router("/two")


async def nothing() -> None:
    pass


for router in NAMED:
    router.get("")(nothing)


class Plugin:
    @trizmq.hookimpl
    def trizmq_register_routes(self) -> list[trizmq.Router]:
        return list(NAMED)


async def refused(**settings) -> str:
    with trio.fail_after(10), pytest.raises(trizmq.ConfigError) as caught:
        await trizmq.serve(plugins=[Plugin()], bind="tcp://127.0.0.1:*", **settings)
    return str(caught.value)


async def test_workers_without_a_command_are_refused(tmp_path) -> None:
    assert "worker_command=" in await refused(workers=1, state_dir=tmp_path)


async def test_workers_on_windows_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    reason = await refused(workers=1, worker_command=["worker"], state_dir=tmp_path)
    assert "POSIX" in reason


async def test_more_services_than_the_limit_are_refused(tmp_path) -> None:
    reason = await refused(limits={"services": 1}, state_dir=tmp_path)
    assert reason.endswith("set services = 2 in [limits]")


async def test_a_backend_that_cannot_be_bound_frees_the_frontend(tmp_path) -> None:
    front, back = f"ipc://{tmp_path}/front", f"ipc://{tmp_path}/no/such/folder/back"
    serve = partial(trizmq.serve, plugins=[Plugin()], bind=front, state_dir=tmp_path)
    with trio.fail_after(10):
        with pytest.raises(trizmq.ConfigError):
            await serve(backend=back)
        async with running(serve) as endpoint:
            assert endpoint == front


def test_no_directory_for_the_socket_of_workers_is_an_error(tmp_path, monkeypatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(module, "PLACES", [str(long)])
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with pytest.raises(trizmq.ConfigError, match=r"there is no directory for the workers' socket"):
        module.private_folder()
