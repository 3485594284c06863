"""A worker's conversation in the native dialect: frames in, frames out."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..messages import problem
from ..wire import native
from ..wire.batches import batches
from ..wire.items import Call, Cancel, Goaway, Heartbeat, Hello, Part, Response
from .bounds import sane
from .conversation import Conversation, Job, WorkerOutbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import messages
    from ..wire.items import Body, Item

__all__ = ["NativeConversation"]


@final
class NativeConversation(Conversation):
    """Many services and ``capacity`` calls at once on one socket."""

    def __init__(self, hello: Hello, now: float) -> None:
        self._hello = hello
        self._items: list[Item] = []
        self._is_refused = False
        super().__init__(now)

    def _open(self) -> None:
        self._items = [self._hello]

    def disconnect(self) -> None:
        self._items.clear()
        super().disconnect()

    def take_outbox(self) -> WorkerOutbox:
        items, self._items = self._items, []
        self._outbox.messages += [frames for frames, _ in batches(items, self.takes.message_bytes)]
        return super().take_outbox()

    def _read(self, frames: Sequence[bytes], now: float) -> None:
        self._read_items(native.decode(frames), now)

    def _read_items(self, items: Sequence[Item], now: float) -> None:
        for item in items:
            try:
                match item:
                    case Call():
                        self._start(b"%d" % item.id, item, now)
                    case Cancel():
                        job = self.jobs.get(b"%d" % item.id)
                        if job is not None:  # else it has just been answered
                            self._stop(job)
                    case Hello(takes=takes):
                        self.is_ready, self._is_refused = True, False
                        self.takes = sane(takes)
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

    def _fail(self, item: Item, error: Exception) -> None:
        """Answer ``item``, if it is a call, after a fault of ours; nothing else ends by it."""
        self._outbox.faults.append(error)
        if isinstance(item, Call) and b"%d" % item.id not in self.jobs:
            failure = problem(500, "a fault in the worker: its log says where", executed="no")
            self._items.append(Response(item.id, failure.status, failure.headers, failure.body))

    def _reply(self, job: Job, response: messages.Response) -> None:
        item = Response(job.id, response.status, response.headers, response.body)
        self._items.append(item)

    def _say_stopped(self, job: Job) -> None:
        self._items.append(Response(job.id, 504, {}, b"", stopped=True))

    def part(self, job: Job, body: Body) -> None:
        if not job.ended:
            self._items.append(Part(job.id, job.parts, body))
            job.parts += 1

    def _beat(self) -> None:
        # One that was refused asks again at each beat: what is in its way may go.
        self._items.append(self._hello if self._is_refused else Heartbeat())

    def _say_draining(self) -> None:
        self._items.append(Goaway("draining"))

    def _say_goodbye(self) -> None:
        self._items.append(Goaway("closing"))
