"""The C library's allocator, and what a process that serves wants of it."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import Final

__all__ = ["keep_freed_memory"]


# What happens without it. A large body is in two blocks of memory: libzmq's message, filled
# by its thread, and the `bytes` that a handler gets. When they are freed glibc gives their
# memory back to the kernel, and asks for it again for the next body, which costs a fault for
# each of its pages, 256 a MiB: two fifths of a server's CPU time where bodies have 1 MiB.
#
# Why M_TOP_PAD, of all that mallopt(3) offers. It says how much free memory at the end of a
# heap stays there. Bodies that fit live there, over and over; those that do not are mapped,
# each by itself, and unmapped as soon as they are freed. So what stays is bounded, whatever
# the load was. M_TRIM_THRESHOLD with M_MMAP_THRESHOLD is as fast, but there all bodies live in
# the heaps, which one small block at their end keeps from shrinking. After a hundred calls
# at once with bodies of 10 MiB a server so had 97 to 808 MiB; this way always 157, and 1.1 GB
# at its peak instead of 1.7. (By default 67 to 97 stay, and the peak is 1.7 too.)

#: From <malloc.h>.
_M_TOP_PAD: Final = -2


_M_MMAP_THRESHOLD: Final = -3


#: Bytes kept free in each heap that is used: the process's, and that of libzmq's thread. Enough
#: for 4 of the largest bodies at once (docs/reference/statuses.md). It is address space until a
#: body has been there: an idle process has no more memory than without.
KEPT: Final = 64 * 1024 * 1024


#: Blocks of this size and more are mapped if no heap has room: glibc's own default, which it
#: no longer adapts, and the most that it allows.
_MAPPED: Final = 128 * 1024


_MOST: Final = 32 * 1024 * 1024


#: Who sets one of these has decided for himself: see mallopt(3) and its tunables.
_DECIDED: Final = (
    "MALLOC_TOP_PAD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
    "GLIBC_TUNABLES",
)


def keep_freed_memory() -> bool:
    """Let this process use freed memory again, rather than return it and ask for more.

    For processes that are ours alone: it changes all of the process, for good. Nothing is
    changed if one of the allocator's own variables is set, or where it is not glibc's.

    Returns:
      Whether it was done.

    """
    if any(name in os.environ for name in _DECIDED):
        return False
    # Another C library has no mallopt, and Windows has none under this name.
    with suppress(OSError, AttributeError, TypeError):
        return _pad_heaps(ctypes.CDLL(None))
    return False


def _pad_heaps(library: ctypes.CDLL) -> bool:
    if not (library.mallopt(_M_TOP_PAD, KEPT) and library.mallopt(_M_MMAP_THRESHOLD, _MOST)):
        return False
    # The process's heap has its end already. One block that must be put there moves it, and
    # leaves the padding behind; it is fresh memory, which nobody touches, not even to clear it.
    bytes(_MOST // 2)
    return bool(library.mallopt(_M_MMAP_THRESHOLD, _MAPPED))
