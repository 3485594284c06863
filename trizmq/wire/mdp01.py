"""Dialect ``mdp01``: the Majordomo Protocol 0.1, RFC 7, as the zguide's peers speak it.

Every message begins with an empty frame; a REQ socket makes it by itself. A reply is one
whole: there is no PARTIAL, and `Final` is what the RFC calls REPLY.
"""

from __future__ import annotations

from typing import Final as Constant

from .commands import (
    ClientFinal,
    ClientRequest,
    Disconnect,
    Final,
    Heartbeat,
    Ready,
    Request,
)
from .mdp import DELIMITER, Codec

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
    name="mdp01",
    worker={
        Ready: (DELIMITER, b"MDPW01", b"\x01"),
        Request: (DELIMITER, b"MDPW01", b"\x02"),
        Final: (DELIMITER, b"MDPW01", b"\x03"),
        Heartbeat: (DELIMITER, b"MDPW01", b"\x04"),
        Disconnect: (DELIMITER, b"MDPW01", b"\x05"),
    },
    client={
        ClientRequest: (DELIMITER, b"MDPC01"),
        ClientFinal: (DELIMITER, b"MDPC01"),
    },
)

decode_worker, encode_worker = CODEC.decode_worker, CODEC.encode_worker
decode_request, encode_request = CODEC.decode_request, CODEC.encode_request
decode_reply, encode_reply = CODEC.decode_reply, CODEC.encode_reply
