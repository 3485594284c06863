"""The worker's side of the native dialect."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Final, final

from ..bounds import sane
from ..messages import problem
from ..wire import native
from ..wire.items import (
    MAX_ROUTES,
    Call,
    Cancel,
    Credit,
    Goaway,
    Head,
    Heartbeat,
    Hello,
    Part,
    Response,
)
from ..wire.native import batches
from .conversation import Conversation, Job, WorkerOutbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import messages
    from ..wire.items import Body, Item

__all__ = ["NativeConversation"]


@final
class NativeConversation(Conversation):
    """A conversation with many services and ``capacity`` calls at once on one socket."""

    def __init__(self, hello: Hello, now: float) -> None:
        self._hello = hello
        self._items: list[Item] = []
        self._is_refused = False
        self._window = sys.maxsize
        self._on_their_way = 0  # bytes of large messages that the broker has not read
        self._held_back: deque[list[bytes]] = deque()  # messages to send when it has
        super().__init__(now)

    def _open(self) -> None:
        self._items = [self._hello]

    def disconnect(self) -> None:
        self._items.clear()
        self._held_back.clear()
        self._on_their_way = 0
        super().disconnect()

    def take_outbox(self) -> WorkerOutbox:
        items, self._items = self._items, []
        for frames, _ in batches(items, self.takes.message_bytes):
            if len(frames) == 1 and not self._held_back:
                self._outbox.messages.append(frames)
            else:
                self._held_back.append(frames)
        if self._held_back:
            self._send_within_window()
        return super().take_outbox()

    def _send_within_window(self) -> None:
        # libzmq has no limit in bytes: unread messages would fill the broker's memory.
        while self._held_back and self._on_their_way < self._window:
            frames = self._held_back.popleft()
            if len(frames) > 1:
                self._on_their_way += sum(map(len, frames))
            self._outbox.messages.append(frames)

    @property
    def holds_back(self) -> bool:
        return bool(self._held_back)

    def _read(self, frames: Sequence[bytes], now: float) -> None:
        self._read_items(native.decode(frames), now)

    def _read_items(self, items: Sequence[Item], now: float) -> None:
        for item in items:
            try:
                match item:
                    case Call():
                        self._start(b"%d" % item.id, item, now)
                    case Cancel():
                        self._cancel(item)
                    case Credit(job_id, more):
                        self._grant(job_id, more)
                    case Hello(takes=takes, window=window):
                        self.is_ready, self._is_refused = True, False
                        self.takes = sane(takes)
                        self._window = window if window > 0 else sys.maxsize
                    case Goaway("draining"):
                        self._is_cut_off = True
                        self._leave_if_drained()
                    case Goaway("unknown" | "closing"):
                        self.restart()
                        return
                    case Goaway(word):
                        self.stop_all()
                        self.is_ready, self._is_refused = False, True
                        self._outbox.refused = word
                        return
                    case _:
                        pass
            except Exception as error:
                self._fail(item, error)

    def _cancel(self, item: Cancel) -> None:
        job = self.jobs.get(b"%d" % item.id)
        if job is not None:  # otherwise it has just finished
            self._stop(job)

    def _fail(self, item: Item, error: Exception) -> None:
        """Respond to ``item``, if it is a call, after an error in our code; no other call ends."""
        self._outbox.faults.append(error)
        if isinstance(item, Call) and b"%d" % item.id not in self.jobs:
            failure = problem(500, "an error in the worker: see its log", executed="no")
            self._items.append(Response(item.id, failure.status, failure.headers, failure.body))

    def _reply(self, job: Job, response: messages.Response) -> None:
        item = Response(job.id, response.status, response.headers, response.body)
        self._items.append(item)

    def _say_stopped(self, job: Job) -> None:
        self._items.append(Response(job.id, 504, {}, b"", stopped=True))

    def _grant(self, job_id: int, more: int) -> None:
        if job_id == 0:  # of the whole connection
            self._on_their_way = max(0, self._on_their_way - more)
            return
        job = self.jobs.get(b"%d" % job_id)
        if job is not None:
            self._outbox.granted.append((job, more))

    def begin(self, job: Job, head: messages.Response) -> None:
        if not job.ended:
            self._items.append(Head(job.id, head.status, head.headers))

    def part(self, job: Job, body: Body) -> None:
        if not job.ended:
            self._items.append(Part(job.id, job.parts, body))
            job.parts += 1

    def _beat(self) -> None:
        # A refused worker repeats its hello at each heartbeat, because the reason may disappear.
        self._items.append(self._hello if self._is_refused else Heartbeat())

    def _say_draining(self) -> None:
        self._items.append(Goaway("draining"))

    def _say_goodbye(self) -> None:
        self._items.append(Goaway("closing"))


#: Bytes of all routes in a hello, a size that every broker accepts.
HELLO_BYTES: Final = 512 * 1024


def _fitting(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return as many lines as fit into a hello, which is sent before any limits are known."""
    size = 0
    for number, line in enumerate(lines):
        size += len(line.encode())
        if size > HELLO_BYTES or number == MAX_ROUTES:
            return lines[:number]
    return lines
