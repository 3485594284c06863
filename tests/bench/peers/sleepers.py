"""Bare Trio tasks that sleep: no server, no client, no messages."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio

from .trio_load import obey


class Sleeper:
    async def sleep(self):
        await trio.sleep(0.1)


@asynccontextmanager
async def connect():
    yield Sleeper()


obey(connect)
