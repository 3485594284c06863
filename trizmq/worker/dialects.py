"""A worker's conversation in the native dialect, and in those of MDP."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Final, final

from ..bounds import sane
from ..errors import RemoteProtocolError
from ..messages import problem
from ..wire import bridge, mdp, native
from ..wire.batches import batches
from ..wire.items import (
    DEFAULT_TAKES,
    Call,
    Cancel,
    Credit,
    Goaway,
    Heartbeat,
    Hello,
    Part,
    Response,
    body_of,
    frames_of,
)
from .conversation import Conversation, Job, WorkerOutbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import messages
    from ..wire.items import Body, Item, Takes
    from ..wire.mdp import Dialect

__all__ = ["MDP_PATIENCE", "MDPConversation", "NativeConversation"]


@final
class NativeConversation(Conversation):
    """Many services and ``capacity`` calls at once on one socket."""

    def __init__(self, hello: Hello, now: float) -> None:
        self._hello = hello
        self._items: list[Item] = []
        self._is_refused = False
        self._window = sys.maxsize
        self._on_their_way = 0  # bytes of large messages that the broker has not read
        self._held_back: deque[list[bytes]] = deque()  # until it has
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
        # libzmq has no bound in bytes: what the broker has not read would fill its memory.
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
                    case Credit(0, more):
                        self._on_their_way = max(0, self._on_their_way - more)
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
        if job is not None:  # else it has just been answered
            self._stop(job)

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


#: How long a broker may say nothing to an MDP worker that waits, unless it is set: those of the
#: zguide and of majortomo beat every 2.5 s.
MDP_PATIENCE: Final = 7.5


@final
class MDPConversation(Conversation):
    """One service and one call at a time: what MDP knows of a worker (RFC 7, RFC 18)."""

    _beats_regardless = True  # both RFCs: SHOULD NOT; but some brokers count nothing else

    def __init__(
        self,
        codec: Dialect,
        service: str,
        now: float,
        takes: Takes = DEFAULT_TAKES,
        patience: float = MDP_PATIENCE,
    ) -> None:
        self._codec = codec
        self._service = service
        super().__init__(now, takes)
        self._patience = patience

    def _say(self, command: mdp.Command) -> None:
        self._outbox.messages.append(self._codec.encode_worker(command))

    def _open(self) -> None:
        self._say(mdp.Ready(self._service))
        self.is_ready = True  # READY gets no answer

    def _read(self, frames: Sequence[bytes], now: float) -> None:
        command = self._codec.decode_worker(frames)
        match command:
            case mdp.Request(client, body):
                if not self.is_draining:
                    self._start(client, self._call(body), now)
            case mdp.Disconnect():
                self.restart()
            case mdp.Heartbeat():
                pass
            case _:
                raise RemoteProtocolError(f"a broker never sends {type(command).__name__}")

    def _call(self, body: tuple[bytes, ...]) -> Call:
        target = f"/{self._service}"
        return Call(0, bridge.DEFAULT_TTL_MS, "POST", target, {}, body_of(body))

    def _reply(self, job: Job, response: messages.Response) -> None:
        item = Response(0, response.status, response.headers, response.body)
        body = (*job.gathered, *bridge.reply_of(item, b"").body)
        job.gathered.clear()
        self._say(mdp.Final(job.token, body))

    def _say_stopped(self, job: Job) -> None:
        # Only the deadline stops a job here. MDP has no word for that, and a broker that
        # hears no FINAL takes its worker for busy.
        job.gathered.clear()
        self._reply(job, problem(504, "deadline exceeded", executed="maybe"))

    def part(self, job: Job, body: Body) -> None:
        if job.ended:
            return
        if self._codec.streams:
            self._say(mdp.Partial(job.token, tuple(frames_of(body))))
        else:
            job.gathered += frames_of(body)  # RFC 7 has no PARTIAL: all goes with the end

    @property
    def _expects_silence(self) -> bool:
        # Brokers of the zguide, and of majortomo, beat only to workers that wait; that of C
        # majordomo to no worker that beats.
        return bool(self.jobs) or self._codec.is_packed

    def _beat(self) -> None:
        self._say(mdp.Heartbeat())

    def _say_draining(self) -> None:
        # MDP has no word for it: with a call in hand nothing is said, because after
        # DISCONNECT the broker would take no reply.
        self._is_cut_off = True

    def _say_goodbye(self) -> None:
        self._say(mdp.Disconnect())
