"""The loop of a worker process: it joins conversations with brokers to the pool."""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Final, final

import trio

from ..ticker import Faults, Ticker
from ..transport.reconnection import Line, Lines
from ..wire.mdp import MDP
from .mdp import conversations
from .runner import LocalWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..app.application import App
    from ..messages import Response
    from ..settings import Settings
    from ..transport.face import Dealer, Transport
    from ..wire.items import Body, Takes
    from .conversation import Conversation, Job, WorkerOutbox

__all__ = ["WorkerLoop"]

LOGGER = logging.getLogger("trizmq.worker")

#: The maximum number of messages to read in one pass; then other tasks run.
MESSAGES_A_PASS: Final = 256

#: Explanations of a broker's reasons for refusing a worker.
REFUSALS: Final = {
    "frontend": "this port is for clients: connect to the endpoint of its --backend",
    "services": "this worker offers an invalid service name",
    "full": "it has as many services or workers as its [limits] allow; its log says more",
    "version": "it uses another version of the native dialect: install the same trizmq",
}

#: Seconds that a goodbye may take to arrive.
GOODBYE_SECONDS: Final = 0.5


@final
class _Talk:
    """A conversation, and the line that it uses."""

    def __init__(self, loop: WorkerLoop, conversation: Conversation, endpoint: str) -> None:
        self.conversation = conversation
        self.endpoint = endpoint
        self.line = loop.line_to(endpoint, self)
        self.is_leaving = False
        self._loop = loop
        self._unsent: list[list[bytes]] = []
        self._was_ready = False
        self._refused = ""

    def act(self) -> WorkerOutbox:
        """Send the messages of the conversation; return its other actions."""
        outbox = self.conversation.take_outbox()
        if outbox.reopen:
            self.line.reset()
        dealer = self.line.dealer
        if dealer is None:
            self._unsent.clear()
        else:
            self._unsent += outbox.messages
            self._send(dealer)
        self._note_state()
        self._note_refusal(outbox.refused)
        return outbox

    def _send(self, dealer: Dealer) -> None:
        try:
            while self._unsent:
                dealer.send_nowait(self._unsent[0])
                del self._unsent[0]
        except trio.WouldBlock:
            pass  # the reader waits for room as well, and continues
        dealer.settle()

    def _note_state(self) -> None:
        is_ready = self.conversation.is_ready
        if is_ready is not self._was_ready:
            self._was_ready = is_ready
            LOGGER.info("%s %s", "ready at" if is_ready else "lost the broker at", self.endpoint)
            self._refused = ""

    def _note_refusal(self, word: str) -> None:
        if word and word != self._refused:
            self._refused = word
            why = REFUSALS.get(word, word)
            LOGGER.error("refused by the broker at %s: %s", self.endpoint, why)

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def leave(self) -> None:
        """Accept no new calls; the conversation ends when the current ones are done."""
        if not self.is_leaving:
            self.is_leaving = True
            self.conversation.drain()

    @property
    def has_left(self) -> bool:
        return self.is_leaving and self.is_done and not self._unsent

    @property
    def is_done(self) -> bool:
        return self.conversation.is_drained and not self.conversation.holds_back

    def connected(self) -> None:
        self.conversation.connect(trio.current_time())
        self._loop.touch(self)

    def read(self, dealer: Dealer) -> bool:
        now = trio.current_time()
        count = 0
        while count < MESSAGES_A_PASS and (frames := dealer.receive_nowait()) is not None:
            count += 1
            self.conversation.receive(frames, now)
        self._loop.touch(self)
        return count == MESSAGES_A_PASS

    def ending(self) -> None:
        pass

    def lost(self) -> None:
        self.conversation.disconnect()
        self._loop.touch(self)

    def missed(self) -> bool:
        return False

    def refused(self) -> None:
        pass


@final
class WorkerLoop:
    """Serves an app to the brokers at ``connect``, and to those that `add` adds.

    Args:
      settings: with the native ``dialect``, there is one conversation with all services and the
        whole capacity. With the others, there is one for each service and each unit of
        capacity, because an MDP worker has one service and one call at a time. The limits
        apply to messages for this worker, and to the silence of an MDP broker.
      connect: the brokers' endpoints for workers; each gets separate conversations.
      name: the name of this worker at the broker.

    """

    def __init__(
        self,
        transport: Transport,
        app: App,
        settings: Settings,
        *,
        connect: Sequence[str],
        name: str,
    ) -> None:
        self._worker: LocalWorker[Job] = LocalWorker(
            app, self, capacity=settings.capacity, access_log=settings.access_log
        )
        self._transport = transport
        self._app = app
        self._settings = settings
        self._name = name
        self._lines = Lines()
        self._talks: list[_Talk] = []
        self._talk_of: dict[Conversation, _Talk] = {}
        # Only conversations that have actions to take: at another broker, there are hundreds.
        self._touched: dict[_Talk, None] = {}
        self._faults = Faults(LOGGER)
        self._ticker = Ticker(self, self.act, self._faults)
        self._nothing_in_hand = trio.Event()
        self._is_draining = False
        for endpoint in connect:
            self._open(endpoint)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then cancel the running calls, and notify the brokers."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._worker.run)
                nursery.start_soon(self._lines.run)
                nursery.start_soon(self._ticker.run)
                self.act()
                task_status.started()
        finally:
            self._leave()

    def add(self, endpoint: str) -> None:
        """Work for one more broker; do nothing if this worker does so already, or drains.

        Raises:
          ConfigError: ``endpoint`` is not an endpoint.

        """
        self._open(endpoint)
        self.act()

    def remove(self, endpoint: str) -> None:
        """Accept no more calls from a broker; finish the current ones, say goodbye and close."""
        for talk in self._talks:
            if talk.endpoint == endpoint:
                talk.leave()
                self._touched[talk] = None
        self.act()

    def _open(self, endpoint: str) -> None:
        is_known = any(one.endpoint == endpoint and not one.is_leaving for one in self._talks)
        if is_known or self._is_draining:
            return
        now = trio.current_time()
        for conversation in conversations(self._app, self._settings, self._name, now):
            talk = _Talk(self, conversation, endpoint)
            self._talks.append(talk)
            self._talk_of[conversation] = talk
            self._touched[talk] = None
            self._lines.add(talk.line)

    def line_to(self, endpoint: str, talk: _Talk) -> Line:
        """Return a line for ``talk``."""
        is_ours = self._settings.dialect not in MDP
        return Line(self._transport, endpoint, talk, beats=is_ours)

    async def drain(self, grace: float) -> None:
        """Accept no new calls; return when the current ones are done, or after ``grace``."""
        self._is_draining = True
        for talk in self._talks:
            talk.leave()
            self._touched[talk] = None
        self.act()
        with trio.move_on_after(grace):
            await self._nothing_in_hand.wait()

    @property
    def next_tick(self) -> float:
        """The latest time for the next `tick`."""
        return min((talk.conversation.next_tick for talk in self._talks), default=inf)

    def tick(self, now: float) -> None:
        """Process the time in every conversation that is due."""
        for talk in self._talks:
            if talk.conversation.next_tick <= now:
                talk.conversation.tick(now)
                self._touched[talk] = None

    def act(self) -> None:
        """Carry out the actions of all conversations, including those that follow from them."""
        while self._touched:
            touched, self._touched = self._touched, {}
            for talk in touched:
                self._act_on(talk)
        if self._is_draining and all(talk.is_done for talk in self._talks):
            self._nothing_in_hand.set()

    def _act_on(self, talk: _Talk) -> None:
        outbox = talk.act()
        if outbox.started:
            self._worker.start(outbox.started)
        if outbox.stopped:
            self._worker.stop(outbox.stopped)
        for job, more in outbox.granted:
            self._worker.grant(job, more)
        for error in outbox.faults:
            self._faults.note(error, "taking in a message")
        if talk.has_left and not self._is_draining:
            self._drop(talk)
        else:
            self._ticker.note(talk.conversation.next_tick)

    def _drop(self, talk: _Talk) -> None:
        if self._talk_of.pop(talk.conversation, None) is not None:
            self._talks.remove(talk)
            talk.line.close(GOODBYE_SECONDS)

    # -- results of the worker, see `Sink` ---------------------------------------------

    def finish(self, job: Job, response: Response | None) -> None:
        job.conversation.finish(job, response)
        talk = self._talk_of.get(job.conversation)
        if talk is not None:  # the conversation has not ended before its job
            self._touched[talk] = None

    def begin(self, job: Job, head: Response) -> None:
        job.conversation.begin(job, head)
        talk = self._talk_of.get(job.conversation)
        if talk is not None:
            self._touched[talk] = None

    def part(self, job: Job, body: Body) -> None:
        job.conversation.part(job, body)
        talk = self._talk_of.get(job.conversation)
        if talk is not None:
            self._touched[talk] = None

    def takes(self, job: Job) -> Takes:
        return job.conversation.takes

    def touch(self, talk: _Talk) -> None:
        """Carry out the actions of ``talk`` soon."""
        self._touched[talk] = None
        self.act()

    def _leave(self) -> None:
        for talk in self._talks:
            talk.conversation.leave()
            talk.act()
            talk.line.close(GOODBYE_SECONDS)
