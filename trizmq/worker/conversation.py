"""The worker's side of a conversation with a broker, whatever the dialect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from ..calls import Work
from ..deadlines import Deadlines, Lag
from ..errors import RemoteProtocolError
from ..wire.items import DEFAULT_TAKES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import messages
    from ..wire.items import Body, Call, Takes

__all__ = ["Conversation", "Job", "WorkerOutbox"]


#: Seconds between heartbeats (docs/reference/statuses.md).
HEARTBEAT: Final = 1.0


@final
class Job(Work):
    """A call that this worker was given.

    Attributes:
      token: what the broker knows it by: the client address of MDP; in the native dialect its id.
      parts: how many were sent.
      gathered: frames of parts that could not be.

    """

    def __init__(
        self, conversation: Conversation, call: Call, deadline: float, token: bytes = b""
    ) -> None:
        super().__init__(call, deadline, call.request_id)
        self.principal = call.principal  # the broker's word
        self.conversation = conversation
        self.token = token
        self.parts = 0
        self.gathered: list[bytes] = []


@final
@dataclass(eq=False)
class WorkerOutbox:
    """What is to be done now."""

    messages: list[list[bytes]] = field(default_factory=list)
    started: list[Job] = field(default_factory=list)
    stopped: list[Job] = field(default_factory=list)
    #: Exceptions that were survived, to be logged.
    faults: list[Exception] = field(default_factory=list)
    #: End the connection before anything is sent: another one follows (RFC 18: a worker that is
    #: told to go begins anew on a new socket).
    reopen: bool = False
    #: The broker has refused this worker, and said why in this word.
    refused: str = ""


class Conversation(ABC):
    """One socket's talk with one broker; `take_outbox` is what to do about it.

    Theory of operation. The conversation opens (hello, or READY) when there is a connection, and
    lasts until that ends: by itself, or because the broker says that it is over. Then another
    connection is made, and it begins anew. Whatever is in hand at that moment is stopped: the
    broker that wants it is not there any more. Draining says goodbye, takes nothing more, and
    finishes what is in hand.

    ``takes`` is how large a response may be: what the broker has said in its hello, or else the
    default limits, or our own where the dialect has no word for it.

    A job is in ``jobs`` until its handler is done with it, though it may have ended before:
    the broker keeps its room until it is told.
    """

    #: How long the broker may be silent. Ours may be busy for as long as it likes: that it is there
    #: is known from the connection.
    _patience: float = float("inf")
    #: Whether heartbeats go out beside other messages, too.
    _beats_regardless: bool = False

    def __init__(self, now: float, takes: Takes = DEFAULT_TAKES) -> None:
        self.takes = takes
        self.jobs: dict[bytes, Job] = {}
        self.is_draining = False
        self.is_ready = False
        self._is_connected = False
        self._is_cut_off = False  # the broker sends no more calls: it has said so
        self._outbox = WorkerOutbox()
        self._deadlines: Deadlines[Job] = Deadlines()
        self._lag = Lag()
        self._heard_at = now
        self._has_spoken = False
        self._next_beat = now + HEARTBEAT

    # -- what a dialect adds -----------------------------------------------------------

    @abstractmethod
    def _open(self) -> None:
        """Say who we are."""

    @abstractmethod
    def _read(self, frames: Sequence[bytes], now: float) -> None:
        """Take in one message; raise RemoteProtocolError if it is none of the dialect's."""

    @abstractmethod
    def _reply(self, job: Job, response: messages.Response) -> None:
        """Send the response of a job that has not ended."""

    @abstractmethod
    def _say_stopped(self, job: Job) -> None:
        """Say that a job has come to its end that nobody waited for: there is room again."""

    @abstractmethod
    def part(self, job: Job, body: Body) -> None:
        """Send a part of a response, ahead of its end; nothing if the job has ended."""

    @abstractmethod
    def _beat(self) -> None:
        """Say that we live."""

    @abstractmethod
    def _say_draining(self) -> None:
        """Say, if the dialect can, that we take no more, and still have calls in hand."""

    @abstractmethod
    def _say_goodbye(self) -> None:
        """Say that we are gone."""

    @property
    def _expects_silence(self) -> bool:
        """Whether a broker may say nothing now, and be well."""
        return False

    # -- what all have in common -------------------------------------------------------

    def take_outbox(self) -> WorkerOutbox:
        """Return what is to be done, and start anew."""
        outbox, self._outbox = self._outbox, WorkerOutbox()
        return outbox

    def receive(self, frames: Sequence[bytes], now: float) -> None:
        """Take in one message of the broker; one that is no proper one ends the talk."""
        if self._outbox.reopen:
            return  # it was still in the socket of the talk before
        self._heard_at = now
        try:
            self._read(frames, now)
        except RemoteProtocolError:
            self.restart()
        except Exception as error:
            self._outbox.faults.append(error)
            self.restart()

    def finish(self, job: Job, response: messages.Response | None) -> None:
        """Be told that a job is done.

        None: it was cancelled before it had a response. If the broker did not ask for that,
        this worker is about to `leave`, and the broker will give the call to another.
        """
        if self.jobs.get(job.token) is not job:
            return  # the broker that wanted it is gone
        del self.jobs[job.token]
        if job.ended:
            self._say_stopped(job)
        else:
            self._end(job)
            if response is not None:
                self._has_spoken = True
                self._reply(job, response)
        self._leave_if_drained()

    def drain(self) -> None:
        """Take nothing more. When `is_drained` the socket may be closed."""
        self.is_draining = True
        if self._is_connected:
            self._say_draining()
        else:
            self._is_cut_off = True
        self._leave_if_drained()

    @property
    def is_drained(self) -> bool:
        """Whether all that it was given is answered, and nothing more can come."""
        return self.is_draining and self._is_cut_off and not self.jobs

    @property
    def holds_back(self) -> bool:
        """Whether messages wait until the broker has read those before them."""
        return False

    def _leave_if_drained(self) -> None:
        if self.is_drained and self._is_connected:
            self._say_goodbye()

    def leave(self) -> None:
        """Be gone: stop what is in hand. The broker gives it to another, where it may."""
        self.stop_all()
        if self._is_connected and not self.is_draining:
            self._say_goodbye()

    def connect(self, now: float) -> None:
        """Be told that there is a connection, on which nothing was said yet."""
        self._is_connected = True
        self._heard_at = now
        if not self.is_draining:
            self._open()

    def disconnect(self) -> None:
        """Be told that the connection has ended."""
        self._lag = Lag()  # the next broker has another clock
        self.stop_all()
        self._outbox.messages.clear()
        self._is_connected = self.is_ready = False
        if self.is_draining:
            self._is_cut_off = True

    def restart(self) -> None:
        """End the connection, and begin anew on another: the broker has sent us away."""
        self.disconnect()
        self._outbox.reopen = True

    def stop_all(self) -> None:
        """Stop every job: nobody waits for them any more, nor for the word that they have."""
        for job in self.jobs.values():
            self._stop(job)
        self.jobs.clear()

    @property
    def next_tick(self) -> float:
        """When to call `tick`, at the latest."""
        return min(self._deadlines.next, self._next_beat)

    def tick(self, now: float) -> None:
        """Let time pass: stop what is due, beat, give up a broker that is silent."""
        for job in self._deadlines.due(now):
            self._stop(job)  # the broker ends the call by itself
        if now >= self._next_beat:
            # If we come late, nobody listened meanwhile: that is not the broker's silence.
            self._heard_at += now - self._next_beat
            self._next_beat = now + HEARTBEAT
            self._check_pulse(now)

    def _check_pulse(self, now: float) -> None:
        if self._expects_silence:
            self._heard_at = now
        if self.is_ready and now - self._heard_at > self._patience:
            self.restart()
        elif (
            self.is_ready
            and not self.is_draining
            and (self._beats_regardless or not self._has_spoken)
        ):
            self._beat()
        self._has_spoken = False

    def _start(self, token: bytes, call: Call, now: float) -> None:
        job = Job(self, call, now, token)
        lag = self._lag.of(job.sent_at, now)
        job.deadline = now + job.ttl / 1000 - lag
        if lag and job.deadline <= now:
            self._say_stopped(job)  # its caller has gone while it lay in our socket
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
