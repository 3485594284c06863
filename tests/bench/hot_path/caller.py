"""A client process, as users write it: `python -m bench.hot_path.caller ENDPOINT`.

Each line on stdin is a number: `CALLS` tasks make that many calls each, one after the other. Then
this prints, as JSON, how often Trio has scheduled tasks here and in the server so far, and how
many messages each of them has sent and received.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, final

import trio

from trizmq.client.opening import open_client_on
from trizmq.limits import Limits
from trizmq.transport.zeromq import ZmqTransport

from ..peers.users import read
from .stand_ins import Transport
from .traffic import CALLS, PATH, admin_token
from .turns import Turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trizmq import Client
    from trizmq.transport.face import Dealer


@final
class CountedDealer:
    """A DEALER that counts its messages."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer = dealer
        self.wait_readable, self.settle = dealer.wait_readable, dealer.settle
        self.close = dealer.close
        self.wait_connected, self.wait_lost = dealer.wait_connected, dealer.wait_lost
        self.sent = self.received = 0

    @property
    def is_lost(self) -> bool:
        return self._dealer.is_lost

    @property
    def is_ending(self) -> bool:
        return self._dealer.is_ending

    def send_nowait(self, frames: Sequence[bytes]) -> None:
        self.sent += 1
        self._dealer.send_nowait(frames)

    def receive_nowait(self) -> list[bytes] | None:
        message = self._dealer.receive_nowait()
        self.received += message is not None
        return message


async def main(endpoint: str) -> None:
    token, turns = admin_token(os.environ["TRIZMQ_STATE_DIR"]), Turns()
    trio.lowlevel.add_instrument(turns)
    # Like `open_client`, but with counters.
    async with ZmqTransport(max_frame=Limits().frame_bytes) as transport:
        dealer = CountedDealer(transport.connect(endpoint, beats=True))
        async with open_client_on(Transport(dealer=dealer), endpoint, token=token) as client:
            while line := await trio.to_thread.run_sync(sys.stdin.readline):
                await _call(client, int(line))
                theirs = (await client.get("/turns")).json()
                print(json.dumps(_counted(dealer, turns, theirs)), flush=True)


async def _call(client: Client, times: int) -> None:
    async def call() -> None:
        for _ in range(times):
            read((await client.get(PATH)).body)

    async with trio.open_nursery() as nursery:
        for _ in range(CALLS):
            nursery.start_soon(call)


def _counted(dealer: CountedDealer, ours: Turns, theirs: dict[str, int]) -> dict[str, int]:
    return {
        "client steps": ours.steps,
        "client passes": ours.passes,
        "client sent": dealer.sent,
        "client received": dealer.received,
        "server steps": theirs["steps"],
        "server passes": theirs["passes"],
        "server sent": dealer.received,
        "server received": dealer.sent,
    }


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
