"""Whether there are file descriptors left for sockets."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

__all__ = ["FIRST", "NEXT", "check_descriptors"]

#: What a ZeroMQ context needs with its first socket, and what another one does: pairs.
FIRST: Final = 8
NEXT: Final = 3


def check_descriptors(pairs: int) -> None:
    """Look before libzmq does: it ends the whole process where it finds no descriptor.

    Raises:
      OSError: too few are left.

    """
    held: list[int] = []
    try:
        for _ in range(pairs):
            held += os.pipe()
    finally:
        for descriptor in held:
            with suppress(OSError):
                os.close(descriptor)
