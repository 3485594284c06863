"""A response that is sent after its handler has returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Later"]


@final
class Later:
    """An outstanding response, created by `Request.reply_later`.

    It ends once: with `respond` or `fail`, with an exception from the handler, or with the
    call's deadline, a cancellation by its caller, or the end of the server. After that, the
    methods discard their argument; each returns whether it was in time.

    The methods do not block. Any task of the Trio run that serves may call them; threads use
    `trio.from_thread.run_sync`.

    Attributes:
      is_over: whether the call has ended, for any reason.
      sent: the number of bytes that `acknowledge` has sent.

    """

    __slots__ = ("_end", "_part", "is_over", "sent")

    def __init__(self, part: Callable[[bytes], object], end: Callable[[object], object]) -> None:
        self.is_over = False
        self.sent = 0
        self._part = part
        self._end = end

    def acknowledge(self, data: bytes) -> bool:
        """Send ``data`` immediately, as a part of the response, ahead of its body.

        If the client's dialect has no parts, they precede the body in the response. Together,
        the parts and the body may be as large as one body; a part beyond that ends the call
        with a 500.

        Raises:
          TypeError: if ``data`` is not bytes.

        """
        if not isinstance(data, bytes):
            raise TypeError(f"a part must be bytes, not {type(data).__name__}")
        if self.is_over:
            return False
        self.sent += len(data)
        self._part(data)
        return not self.is_over

    def respond(self, value: object) -> bool:
        """Respond with ``value``, which may be anything a handler may return; None means 404.

        If it cannot be converted to a response, that is logged, and the response is a 500.
        """
        if self.is_over:
            return False
        self.is_over = True
        self._end(value)
        return True

    def fail(self, error: BaseException) -> bool:
        """Respond as if the handler had raised ``error``.

        Raises:
          trio.Cancelled: if ``error`` is or contains one, because it does not belong to this
            call. The call has ended with a 502. KeyboardInterrupt from Ctrl-C is raised too.

        """
        return self.respond(error)
