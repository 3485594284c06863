"""A worker's conversation in a dialect of MDP: frames in, frames out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..errors import RemoteProtocolError
from ..messages import problem
from ..wire import bridge, commands
from ..wire.items import DEFAULT_TAKES, Call, Response, body_of, frames_of
from .conversation import Conversation, Job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import messages
    from ..wire.items import Body, Takes
    from ..wire.mdp import Codec

__all__ = ["MDP_PATIENCE", "MDPConversation"]

#: How long a broker may say nothing to an MDP worker that waits, unless it is set: those of the
#: zguide and of majortomo beat every 2.5 s.
MDP_PATIENCE: Final = 7.5


@final
class MDPConversation(Conversation):
    """One service and one call at a time: what MDP knows of a worker (RFC 7, RFC 18)."""

    _beats_regardless = True  # both RFCs: SHOULD NOT; but some brokers count nothing else

    def __init__(
        self,
        codec: Codec,
        service: str,
        now: float,
        takes: Takes = DEFAULT_TAKES,
        patience: float = MDP_PATIENCE,
    ) -> None:
        self._codec = codec
        self._service = service
        super().__init__(now, takes)
        self._patience = patience

    def _say(self, command: commands.Command) -> None:
        self._outbox.messages.append(self._codec.encode_worker(command))

    def _open(self) -> None:
        self._say(commands.Ready(self._service))
        self.is_ready = True  # READY gets no answer

    def _read(self, frames: Sequence[bytes], now: float) -> None:
        command = self._codec.decode_worker(frames)
        match command:
            case commands.Request(client, body):
                if not self.is_draining:
                    self._start(client, self._call(body), now)
            case commands.Disconnect():
                self.restart()
            case commands.Heartbeat():
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
        self._say(commands.Final(job.token, body))

    def _say_stopped(self, job: Job) -> None:
        # Only the deadline stops a job here. MDP has no word for that, and a broker that
        # hears no FINAL takes its worker for busy.
        job.gathered.clear()
        self._reply(job, problem(504, "deadline exceeded", executed="maybe"))

    def part(self, job: Job, body: Body) -> None:
        if job.ended:
            return
        if self._codec.streams:
            self._say(commands.Partial(job.token, tuple(frames_of(body))))
        else:
            job.gathered += frames_of(body)  # RFC 7 has no PARTIAL: all goes with the end

    @property
    def _expects_silence(self) -> bool:
        # Brokers of the zguide, and of majortomo, beat only to workers that wait; that of C
        # majordomo to no worker that beats.
        return bool(self.jobs) or self._codec.is_packed

    def _beat(self) -> None:
        self._say(commands.Heartbeat())

    def _say_draining(self) -> None:
        # MDP has no word for it: with a call in hand nothing is said, because after
        # DISCONNECT the broker would take no reply.
        self._is_cut_off = True

    def _say_goodbye(self) -> None:
        self._say(commands.Disconnect())
