"""Dialect ``mdp02``: the Majordomo Protocol 0.2, RFC 18, exactly as its text has it.

No delimiter, and codes that differ from 0.1: a worker's HEARTBEAT and DISCONNECT moved
from 04 and 05 to 05 and 06. A client's PARTIAL and FINAL are 02 and 03, a worker's 03 and
04: hence always the header first, then the code.
"""

from __future__ import annotations

from typing import Final as Constant

from .commands import (
    ClientFinal,
    ClientPartial,
    ClientRequest,
    Disconnect,
    Final,
    Heartbeat,
    Partial,
    Ready,
    Request,
)
from .mdp import Codec

__all__ = [
    "CODEC",
    "decode_reply",
    "decode_request",
    "decode_worker",
    "encode_reply",
    "encode_request",
    "encode_worker",
]

CODEC: Constant[Codec] = Codec(
    name="mdp02",
    worker={
        Ready: (b"MDPW02", b"\x01"),
        Request: (b"MDPW02", b"\x02"),
        Partial: (b"MDPW02", b"\x03"),
        Final: (b"MDPW02", b"\x04"),
        Heartbeat: (b"MDPW02", b"\x05"),
        Disconnect: (b"MDPW02", b"\x06"),
    },
    client={
        ClientRequest: (b"MDPC02", b"\x01"),
        ClientPartial: (b"MDPC02", b"\x02"),
        ClientFinal: (b"MDPC02", b"\x03"),
    },
)

decode_worker, encode_worker = CODEC.decode_worker, CODEC.encode_worker
decode_request, encode_request = CODEC.decode_request, CODEC.encode_request
decode_reply, encode_reply = CODEC.decode_reply, CODEC.encode_reply
