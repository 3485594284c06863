"""The settings of the C library's allocator for serving processes."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import Final

__all__ = ["keep_freed_memory"]

# The problem. A large body occupies two blocks of memory: libzmq's message, filled by its thread,
# and the `bytes` for the handler. When they are freed, glibc returns their memory to the kernel
# and requests it again for the next body, which costs a fault for each of its pages, 256 per MiB:
# two fifths of a server's CPU time with bodies of 1 MiB.
#
# Why M_TOP_PAD, of all the options of mallopt(3). It sets how much free memory is kept at the end
# of a heap. Bodies that fit are stored there again and again; others are mapped individually, and
# unmapped as soon as they are freed. The memory that is kept is therefore bounded, whatever the
# load was. M_TRIM_THRESHOLD with M_MMAP_THRESHOLD is as fast, but stores all bodies in the heaps,
# which a single small block at their end keeps from shrinking: after a hundred calls at once with
# bodies of 10 MiB, a server then held 97 to 808 MiB. With M_TOP_PAD it always held 157, and 1.1 GB
# at its peak instead of 1.7. (By default it holds 67 to 97, and the peak is also 1.7.)

#: From <malloc.h>.
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3

#: Bytes kept free in each heap that is used: the process's, and that of libzmq's thread. Enough
#: for 4 of the largest bodies at once (docs/reference/statuses.md). They are only address space
#: until they have held a body: an idle process uses no more memory than without.
KEPT: Final = 64 * 1024 * 1024

#: Blocks of at least this size are mapped if no heap has room. This is glibc's default, which it
#: no longer adapts once it is set, and the maximum that it allows.
_MAPPED: Final = 128 * 1024
_MOST: Final = 32 * 1024 * 1024

#: If one of these is set, the user has made a choice: see mallopt(3) and its tunables.
_DECIDED: Final = (
    "MALLOC_TOP_PAD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
    "GLIBC_TUNABLES",
)


def keep_freed_memory() -> bool:
    """Let this process reuse freed memory instead of returning and requesting it.

    Use it only in processes that run nothing but trizmq: it changes the whole process
    permanently. It does nothing if one of the allocator's own variables is set, or if the C
    library is not glibc.

    Returns:
      Whether the setting was changed.

    """
    if any(name in os.environ for name in _DECIDED):
        return False
    # Other C libraries have no mallopt, and Windows has none under this name.
    with suppress(OSError, AttributeError, TypeError):
        return _pad_heaps(ctypes.CDLL(None))
    return False


def _pad_heaps(library: ctypes.CDLL) -> bool:
    if not (library.mallopt(_M_TOP_PAD, KEPT) and library.mallopt(_M_MMAP_THRESHOLD, _MOST)):
        return False
    # The end of the process's heap is already fixed. A block that does not fit moves it, and
    # leaves the padding behind; the memory is new, and never touched, not even to clear it.
    bytes(_MOST // 2)
    return bool(library.mallopt(_M_MMAP_THRESHOLD, _MAPPED))
