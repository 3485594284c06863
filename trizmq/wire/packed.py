"""Dialect ``packed``: RFC 18 as its reference implementation speaks it, the C library majordomo.

The commands and their codes are those of ``mdp02``; what stands before the address or the body
is packed into one frame: see `packing`.
"""

from __future__ import annotations

from typing import Final as Constant

from . import mdp02
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
    name="packed",
    worker=mdp02.CODEC.worker,
    client=mdp02.CODEC.client,
    is_packed=True,
)

decode_worker, encode_worker = CODEC.decode_worker, CODEC.encode_worker
decode_request, encode_request = CODEC.decode_request, CODEC.encode_request
decode_reply, encode_reply = CODEC.decode_reply, CODEC.encode_reply
