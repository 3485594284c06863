"""The worker's side of the MDP dialects, and the choice of a dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..errors import RemoteProtocolError
from ..messages import problem
from ..wire import bridge, mdp
from ..wire.items import (
    DEFAULT_TAKES,
    VERSION,
    Call,
    Hello,
    Response,
    body_of,
    frames_of,
)
from .conversation import Conversation, Job
from .native import NativeConversation, _fitting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .. import messages
    from ..app.application import App
    from ..settings import Settings
    from ..wire.items import Body, Takes
    from ..wire.mdp import Dialect

__all__ = ["MDP_PATIENCE", "MDPConversation", "conversations"]


#: Seconds that a broker may be silent while an MDP worker waits, unless the setting is given: the
#: brokers of the zguide and of majortomo send a heartbeat every 2.5 s.
MDP_PATIENCE: Final = 7.5


@final
class MDPConversation(Conversation):
    """A conversation with one service and one call at a time, as in MDP (RFC 7, RFC 18)."""

    _beats_regardless = True  # both RFCs say SHOULD NOT, but some brokers accept nothing else

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
