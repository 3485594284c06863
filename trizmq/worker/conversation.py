"""The worker's side of a conversation with a broker, for all dialects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from ..calls import Work
from ..deadlines import Deadlines, Lag
from ..errors import RemoteProtocolError
from ..pulse import Pulse, is_silent
from ..wire.items import DEFAULT_TAKES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import messages
    from ..wire.items import Body, Call, Takes

__all__ = ["Conversation", "Job", "WorkerOutbox"]


@final
class Job(Work):
    """A call that this worker has received.

    Attributes:
      token: identifies the call to the broker: the client address in MDP, the id in native.
      parts: the number of parts that were sent.
      gathered: the frames of parts that could not be sent.

    """

    def __init__(
        self, conversation: Conversation, call: Call, deadline: float, token: bytes = b""
    ) -> None:
        super().__init__(call, deadline, call.request_id)
        self.principal = call.principal  # set by the broker
        self.conversation = conversation
        self.token = token
        self.parts = 0
        self.gathered: list[bytes] = []


@final
@dataclass(eq=False)
class WorkerOutbox:
    """The actions to take now."""

    messages: list[list[bytes]] = field(default_factory=list)
    started: list[Job] = field(default_factory=list)
    stopped: list[Job] = field(default_factory=list)
    #: Jobs that may send so many further bytes of their streamed responses.
    granted: list[tuple[Job, int]] = field(default_factory=list)
    #: Exceptions that were caught, to be logged.
    faults: list[Exception] = field(default_factory=list)
    #: End the connection before anything is sent, and make another one (RFC 18: a worker that
    #: receives a DISCONNECT starts again on a new socket).
    reopen: bool = False
    #: The broker's reason for refusing this worker.
    refused: str = ""


class Conversation(ABC):
    """One socket's conversation with one broker; `take_outbox` returns the actions to take.

    Theory of operation. The conversation opens with a hello or READY when there is a connection.
    It lasts until the connection ends, by itself or because the broker ends the conversation.
    Then another connection is made, and the conversation starts again. All jobs are stopped at
    that moment, because the broker that sent them is gone. Draining says goodbye, accepts no
    more calls, and finishes the current ones.

    ``takes`` limits the size of responses: it is the limits in the broker's hello, or the default
    limits before, or our own if the dialect cannot express them.

    A job is in ``jobs`` until its handler has finished, even if it has ended before: the broker
    keeps its slot until it is informed.
    """

    #: Seconds that the broker may be silent. Our own brokers may be busy for any time, because the
    #: connection shows that they exist.
    _patience: float = float("inf")
    #: Whether heartbeats are sent even if other messages are sent, too.
    _beats_regardless: bool = False

    def __init__(self, now: float, takes: Takes = DEFAULT_TAKES) -> None:
        self.takes = takes
        self.jobs: dict[bytes, Job] = {}
        self.is_draining = False
        self.is_ready = False
        self._is_connected = False
        self._is_cut_off = False  # the broker has announced that it sends no more calls
        self._outbox = WorkerOutbox()
        self._deadlines: Deadlines[Job] = Deadlines()
        self._lag = Lag()
        self.heard_at = now
        self.spoken_to = False
        self._pulse = Pulse(now)

    # -- methods of the dialects -------------------------------------------------------

    @abstractmethod
    def _open(self) -> None:
        """Introduce this worker."""

    @abstractmethod
    def _read(self, frames: Sequence[bytes], now: float) -> None:
        """Process one message; raise RemoteProtocolError if it does not fit the dialect."""

    @abstractmethod
    def _reply(self, job: Job, response: messages.Response) -> None:
        """Send the response of a job that has not ended."""

    @abstractmethod
    def _say_stopped(self, job: Job) -> None:
        """Report the end of a job without a response, which frees its slot at the broker."""

    def begin(self, job: Job, head: messages.Response) -> None:  # noqa: B027 (MDP has no heads)
        """Send the head of a streamed response to a job with a window."""

    @abstractmethod
    def part(self, job: Job, body: Body) -> None:
        """Send a part of a response, ahead of its end; do nothing if the job has ended."""

    @abstractmethod
    def _beat(self) -> None:
        """Send a heartbeat."""

    @abstractmethod
    def _say_draining(self) -> None:
        """Announce, if the dialect can, that no more calls are accepted while some still run."""

    @abstractmethod
    def _say_goodbye(self) -> None:
        """Announce that this worker is leaving."""

    @property
    def _expects_silence(self) -> bool:
        """Whether a healthy broker may be silent now."""
        return False

    # -- common to all dialects --------------------------------------------------------

    def take_outbox(self) -> WorkerOutbox:
        """Return the actions to take, and clear them."""
        outbox, self._outbox = self._outbox, WorkerOutbox()
        return outbox

    def receive(self, frames: Sequence[bytes], now: float) -> None:
        """Process one message from the broker; an invalid one ends the conversation."""
        if self._outbox.reopen:
            return  # it was still in the socket of the previous conversation
        self.heard_at = now
        try:
            self._read(frames, now)
        except RemoteProtocolError:
            self.restart()
        except Exception as error:
            self._outbox.faults.append(error)
            self.restart()

    def finish(self, job: Job, response: messages.Response | None) -> None:
        """Record that a job has finished.

        None means that it was cancelled before it had a response. If the broker has not
        requested that, this worker is about to `leave`, and the broker dispatches the call to
        another one.
        """
        if self.jobs.get(job.token) is not job:
            return  # the broker that sent it is gone
        del self.jobs[job.token]
        if job.ended:
            self._say_stopped(job)
        else:
            self._end(job)
            if response is not None:
                self.spoken_to = True
                self._reply(job, response)
        self._leave_if_drained()

    def drain(self) -> None:
        """Accept no more calls. When `is_drained`, the socket may be closed."""
        self.is_draining = True
        if self._is_connected:
            self._say_draining()
        else:
            self._is_cut_off = True
        self._leave_if_drained()

    @property
    def is_drained(self) -> bool:
        """Whether all calls have responses, and no more can arrive."""
        return self.is_draining and self._is_cut_off and not self.jobs

    @property
    def holds_back(self) -> bool:
        """Whether messages wait until the broker has read earlier ones."""
        return False

    def _leave_if_drained(self) -> None:
        if self.is_drained and self._is_connected:
            self._say_goodbye()

    def leave(self) -> None:
        """Stop all jobs and leave. The broker dispatches them to another worker if it may."""
        self.stop_all()
        if self._is_connected and not self.is_draining:
            self._say_goodbye()

    def connect(self, now: float) -> None:
        """Record a new connection, on which no message has been sent yet."""
        self._is_connected = True
        self.heard_at = now
        if not self.is_draining:
            self._open()

    def disconnect(self) -> None:
        """Record the end of the connection."""
        self._lag = Lag()  # the next broker has a different clock
        self.stop_all()
        self._outbox.messages.clear()
        self._is_connected = self.is_ready = False
        if self.is_draining:
            self._is_cut_off = True

    def restart(self) -> None:
        """End the connection and start again on another one: the broker has disconnected us."""
        self.disconnect()
        self._outbox.reopen = True

    def stop_all(self) -> None:
        """Stop every job without a report: no broker is waiting for them any more."""
        for job in self.jobs.values():
            self._stop(job)
        self.jobs.clear()

    @property
    def next_tick(self) -> float:
        """The latest time for the next `tick`."""
        return min(self._deadlines.next, self._pulse.next_beat)

    def tick(self, now: float) -> None:
        """Process the time: stop overdue jobs, send heartbeats, disconnect from a silent broker."""
        for job in self._deadlines.due(now):
            self._stop(job)  # the broker ends the call by itself
        if self._pulse.beats(now):
            self._check_pulse(now)

    def _check_pulse(self, now: float) -> None:
        was_quiet = self._pulse.renew(self)
        if self._expects_silence:
            self.heard_at = now
        if not self.is_ready:
            return
        if is_silent(self, now, self._patience):
            self.restart()
        elif not self.is_draining and (self._beats_regardless or was_quiet):
            self._beat()

    def _start(self, token: bytes, call: Call, now: float) -> None:
        job = Job(self, call, now, token)
        lag = self._lag.of(job.sent_at, now)
        job.deadline = now + job.ttl / 1000 - lag
        if lag and job.deadline <= now:
            self._say_stopped(job)  # its deadline passed while it waited in our socket
        elif token not in self.jobs:
            self.jobs[token] = job
            self._deadlines.add(job.deadline, job)
            self._outbox.started.append(job)

    def _stop(self, job: Job) -> None:
        if not job.ended:
            self._end(job)
            self._outbox.stopped.append(job)

    def _end(self, job: Job) -> None:
        job.ended = True
        job.body = b""  # the record stays in the heap of deadlines for a while
        self._deadlines.forget()
