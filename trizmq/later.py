"""A response that is given later than its handler's return."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Later"]


@final
class Later:
    """The response that a handler still owes; made by `Request.reply_later`.

    It ends once: by `respond` or `fail`; by an error that the handler raises; at the call's
    deadline, with its caller's cancellation or the end of the server. What is said then is
    dropped, and says so: each method returns whether it came in time.

    The methods do not wait. Any task of the Trio run that serves may call them, and a
    thread by `trio.from_thread.run_sync`.

    Attributes:
      is_over: whether the call has ended, in whatever way.
      sent: bytes that were sent by `acknowledge`.

    """

    __slots__ = ("_end", "_part", "is_over", "sent")

    def __init__(self, part: Callable[[bytes], object], end: Callable[[object], object]) -> None:
        self.is_over = False
        self.sent = 0
        self._part = part
        self._end = end

    def acknowledge(self, data: bytes) -> bool:
        """Send ``data`` now, as a part of the response, ahead of what `respond` sends.

        A client whose dialect knows no parts gets it in front of the body. All parts and the
        body together may be as large as one body; a part beyond that ends the call with a 500.

        Raises:
          TypeError: if ``data`` is not bytes.

        """
        if not isinstance(data, bytes):
            raise TypeError(f"a part is bytes, not {type(data).__name__}")
        if self.is_over:
            return False
        self.sent += len(data)
        self._part(data)
        return not self.is_over

    def respond(self, value: object) -> bool:
        """Answer the call with ``value``: what a handler may return; None is 404.

        What no response can be made of is logged, and answered 500.
        """
        if self.is_over:
            return False
        self.is_over = True
        self._end(value)
        return True

    def fail(self, error: BaseException) -> bool:
        """Answer the call as if its handler had raised ``error``.

        Raises:
          trio.Cancelled: if ``error`` is one, or has one in it: it is not this call's to
            keep. The call has ended with 502. Likewise KeyboardInterrupt, from Ctrl-C.

        """
        return self.respond(error)
