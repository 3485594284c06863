"""The worker's conversations in the native dialect and in those of MDP."""

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
    MAX_ROUTES,
    VERSION,
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
    from collections.abc import Iterator, Sequence

    from .. import messages
    from ..app.application import App
    from ..settings import Settings
    from ..wire.items import Body, Item, Takes
    from ..wire.mdp import Dialect

__all__ = ["MDP_PATIENCE", "MDPConversation", "NativeConversation", "conversations"]


@final
class NativeConversation(Conversation):
    """A conversation with many services and ``capacity`` calls at once on one socket."""

    def __init__(self, hello: Hello, now: float) -> None:
        self._hello = hello
        self._items: list[Item] = []
        self._is_refused = False
        self._window = sys.maxsize
        self._on_their_way = 0  # bytes of large messages that the broker has not read
        self._held_back: deque[list[bytes]] = deque()  # messages that wait for that
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

    def part(self, job: Job, body: Body) -> None:
        if not job.ended:
            self._items.append(Part(job.id, job.parts, body))
            job.parts += 1

    def _beat(self) -> None:
        # A refused worker asks again at each heartbeat, because the reason may disappear.
        self._items.append(self._hello if self._is_refused else Heartbeat())

    def _say_draining(self) -> None:
        self._items.append(Goaway("draining"))

    def _say_goodbye(self) -> None:
        self._items.append(Goaway("closing"))


#: How long a broker may be silent to a waiting MDP worker, unless it is set: the brokers of the
#: zguide and of majortomo send a heartbeat every 2.5 s.
MDP_PATIENCE: Final = 7.5


@final
class MDPConversation(Conversation):
    """A conversation with one service and one call at a time, as in MDP (RFC 7, RFC 18)."""

    _beats_regardless = True  # both RFCs: SHOULD NOT; but some brokers accept nothing else

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
        self.is_ready = True  # there is no response to READY

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
        # Only the deadline stops a job here. MDP cannot express that, and a broker that receives
        # no FINAL considers its worker busy.
        job.gathered.clear()
        self._reply(job, problem(504, "deadline exceeded", executed="maybe"))

    def part(self, job: Job, body: Body) -> None:
        if job.ended:
            return
        if self._codec.streams:
            self._say(mdp.Partial(job.token, tuple(frames_of(body))))
        else:
            job.gathered += frames_of(body)  # RFC 7 has no PARTIAL: send it with the end

    @property
    def _expects_silence(self) -> bool:
        # The brokers of the zguide and of majortomo send heartbeats only to waiting workers, and C
        # majordomo's only to workers that send none.
        return bool(self.jobs) or not self._codec.beats_back

    def _beat(self) -> None:
        self._say(mdp.Heartbeat())

    def _say_draining(self) -> None:
        # MDP cannot express it. While a call is running nothing is sent, because after a
        # DISCONNECT the broker would not accept its reply.
        self._is_cut_off = True

    def _say_goodbye(self) -> None:
        self._say(mdp.Disconnect())


#: Bytes of all routes in a hello, a size that every broker accepts.
HELLO_BYTES: Final = 512 * 1024


def conversations(app: App, settings: Settings, name: str, now: float) -> Iterator[Conversation]:
    """Return the conversations that a worker has with one broker, in the dialect of the settings.

    There is one with all services and the whole capacity; in a dialect of MDP one for each
    service and each unit of capacity, because an MDP worker has one service and one call at a time.
    """
    services, takes = sorted(app.services), settings.bounds.takes
    dialect = mdp.MDP.get(settings.dialect)  # None: the native one
    if dialect is None:
        hello = Hello(
            VERSION,
            name,
            settings.capacity,
            tuple(services),
            tuple(sorted(app.public_services)),
            _fitting(app.route_lines),
            takes,
        )
        yield NativeConversation(hello, now)
        return
    patience = settings.bounds.mdp_silence
    for service in services:
        for _ in range(settings.capacity):
            yield MDPConversation(dialect, service, now, takes, patience)


def _fitting(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return as many lines as fit into a hello, which is sent before any limits are known."""
    size = 0
    for number, line in enumerate(lines):
        size += len(line.encode())
        if size > HELLO_BYTES or number == MAX_ROUTES:
            return lines[:number]
    return lines
