"""A peer that uses ZMTP 3.0 (RFC 23) over a plain TCP stream, without PING.

To such a peer, a heartbeat is a message, or a reason to disconnect: libzmq up to 4.1, go-zeromq,
chumak, and programs on small devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ZmtpPeer"]

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
MORE, LONG, COMMAND = 1, 2, 4


@final
class ZmtpPeer:
    """One connection; ``kind`` is the type of socket that it claims to be."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""

    @classmethod
    async def connect(cls, endpoint: str, kind: bytes) -> ZmtpPeer:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        peer = cls(await trio.open_tcp_stream(host, int(port)))
        await peer.shake_hands(kind)
        return peer

    async def shake_hands(self, kind: bytes) -> None:
        ready = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
        await self._stream.send_all(GREETING + bytes([COMMAND, len(ready)]) + ready)
        assert (await self._take(64))[12:16] == b"NULL"
        flags, answer = await self._frame()
        assert flags & COMMAND
        assert answer.startswith(b"\x05READY")

    async def send(self, *frames: bytes) -> None:
        data = b""
        for number, frame in enumerate(frames, 1):
            flags = MORE if number < len(frames) else 0
            if len(frame) < 256:
                data += bytes([flags, len(frame)]) + frame
            else:
                data += bytes([flags | LONG]) + len(frame).to_bytes(8, "big") + frame
        await self._stream.send_all(data)

    async def receive(self) -> list[bytes]:
        """Return the next message; this peer does not know any command."""
        frames = []
        while True:
            flags, frame = await self._frame()
            assert not flags & COMMAND, f"a command that ZMTP 3.0 does not know: {frame!r}"
            frames.append(frame)
            if not flags & MORE:
                return frames

    async def receive_other(self, *than: Sequence[bytes]) -> list[bytes]:
        while (frames := await self.receive()) in than:
            pass
        return frames

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def _frame(self) -> tuple[int, bytes]:
        flags = (await self._take(1))[0]
        size = int.from_bytes(await self._take(8 if flags & LONG else 1), "big")
        return flags, await self._take(size)

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = await self._stream.receive_some()
            assert data, "the other end has hung up"
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken
