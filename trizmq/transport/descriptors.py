"""Whether there are file descriptors left for sockets."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

__all__ = ["check_descriptors"]

#: What a ZeroMQ context and its first socket need, and some more: pairs.
PAIRS: Final = 8


def check_descriptors() -> None:
    """Look before libzmq does: it ends the whole process where it finds no descriptor.

    Raises:
      OSError: too few are left.

    """
    held: list[int] = []
    try:
        for _ in range(PAIRS):
            held += os.pipe()
    finally:
        for descriptor in held:
            with suppress(OSError):
                os.close(descriptor)
