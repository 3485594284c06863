"""Dialect ``majortomo``: what the Python package of that name makes of RFC 18.

Three differences: an empty frame comes first; a client's codes are 02, 03 and 04 instead of
01, 02 and 03; a reply does not repeat the service. Its workers use the RFC's codes.
"""

from __future__ import annotations

from typing import Final as Constant

from . import mdp02
from .commands import ClientFinal, ClientPartial, ClientRequest
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
    name="majortomo",
    worker={kind: (DELIMITER, *opening) for kind, opening in mdp02.CODEC.worker.items()},
    client={
        ClientRequest: (DELIMITER, b"MDPC02", b"\x02"),
        ClientPartial: (DELIMITER, b"MDPC02", b"\x03"),
        ClientFinal: (DELIMITER, b"MDPC02", b"\x04"),
    },
    replies_name_service=False,
)

decode_worker, encode_worker = CODEC.decode_worker, CODEC.encode_worker
decode_request, encode_request = CODEC.decode_request, CODEC.encode_request
decode_reply, encode_reply = CODEC.decode_reply, CODEC.encode_reply
