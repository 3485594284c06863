"""The lines of the tables: what one call passes, in its order, and what was timed of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from .traffic import CALLS, FEW

if TYPE_CHECKING:
    from .clock import Costs

__all__ = ["CLIENT", "SERVER", "SIDES", "THREADS", "WHOLE", "Build", "Line", "of_process"]

SIDES: Final = ("server", "client")

#: What one build of trizmq came to: ``server``, ``client``, ``both``, ``sockets``, ``threads``.
Build: TypeAlias = "dict[str, Costs]"


@dataclass(frozen=True)
class Line:
    """A figure: what was timed, less what of it is a line of its own.

    Attributes:
      words: what is done.
      code: where.
      timed: what was timed, by name; if it is several things, their sum.
      less: likewise.
      form: how the figure is written.

    """

    words: str
    code: str
    timed: tuple[str, ...]
    less: tuple[str, ...] = ()
    form: str = "{:.2f}"

    def figure(self, costs: Costs) -> float:
        """Return its microseconds a call, or whatever it is a figure of."""
        return sum(costs[name] for name in self.timed) - sum(costs[name] for name in self.less)

    def text(self, costs: Costs) -> str:
        """Return the figure, written."""
        return self.form.format(self.figure(costs))


WHOLE: Final = f"whole of {CALLS}"
GARBAGE: Final = f"gc of {CALLS}"
STEPS: Final = f"steps of {CALLS}"
PASSES: Final = f"passes of {CALLS}"

#: How a number is written that is no time, but how often something happens for one call.
OFTEN: Final = "{:.3f}"


def _with_rest(*lines: Line) -> tuple[Line, ...]:
    """Add what is left of the whole, and the whole: so that a table always adds up."""
    timed = tuple(name for line in lines for name in line.timed)
    less = tuple(name for line in lines for name in line.less)
    return (
        *lines,
        Line("Python collects garbage", "", (GARBAGE,)),
        Line("Trio's passes, and what no line has", "", (WHOLE, *less), (GARBAGE, *timed)),
        Line("**all of it, in one process, without sockets**", "", (WHOLE,)),
        Line("*how often Trio lets a task run, for one call*", "", (STEPS,), form=OFTEN),
        Line("*how often it looks for what is ready, for one call*", "", (PASSES,), form=OFTEN),
    )


SERVER: Final = _with_rest(
    Line("a message is read: msgpack, made Structs", "`wire.dialects.read`", ("read",)),
    Line(
        "a call is taken in: its service, the limits, a record of it",
        "`broker.Intake.take`",
        ("receive",),
        ("open", "_view", "admit", "place"),
    ),
    Line(
        "its place among its client's, and in the heap of deadlines",
        "`broker.Dispatcher.open`",
        ("open",),
    ),
    Line("what hooks may see of it", "`AdmittedCall`", ("_view",)),
    Line("the hooks are asked", "`App.admit`", ("admit",), ("trizmq_admit",)),
    Line("the token is looked up", "the plugin `auth`", ("trizmq_admit",)),
    Line("a worker that has room is given it", "`broker.Dispatcher.place`", ("place",)),
    Line("the pool takes it to a task", "`worker.WorkerPool`", ("pool",), ("nothing",)),
    Line("the request is made", "`Request`", ("_request",)),
    Line("its route is found", "`app.Table.match`", ("match",)),
    Line("the precondition: is it known who calls?", "the plugin `auth`", ("guard",)),
    Line("the handler's arguments", "`app.Arguments.of`", ("arguments",)),
    Line("the handler", "the plugin `users`", ("get_user",)),
    Line("what it returned, made JSON and a response", "`app.results`", ("write",)),
    Line(
        "coroutines that join these, and catch what a handler raises",
        "`LocalWorker`, `App.handle`",
        ("_handle",),
        ("_request", "match", "guard", "arguments", "get_user", "write", "finish"),
    ),
    Line("the call ends, and its worker has room again", "`broker.Broker.finish`", ("finish",)),
    Line("responses are written, a batch at once", "`wire.batches`", ("batches",)),
    Line(
        "the loop: does what the engine wants, and asks when it wants to be woken",
        "`broker.BrokerLoop`",
        ("_receive_client", "act"),
        ("read", "receive", "batches"),
    ),
)

CLIENT: Final = _with_rest(
    Line(
        "Trio: is the caller cancelled? What is the time?",
        "`checkpoint_if_cancelled`, `current_time`",
        ("checkpoint_if_cancelled", "current_time"),
    ),
    Line("Trio: the caller's deadline", "`current_effective_deadline`", ("effective_deadline",)),
    Line("the call's deadline", "`Client.request`", ("_deadline",), ("effective_deadline",)),
    Line("the call is checked, and made", "`client.RequestMaker`", ("make",)),
    Line("a link with room is found; a record of the call", "`client.Client.submit`", ("submit",)),
    Line(
        "is it sent now, or with others of this pass?",
        "`client.Connection`",
        ("connection.submit",),
        ("submit", "encode"),
    ),
    Line("calls are written, a batch at once", "`wire.native.encode`", ("encode",)),
    Line(
        "coroutines that join these, and give the caller what has come",
        "`Client.get`, `Client.request`",
        ("step",),
        (
            "checkpoint_if_cancelled",
            "current_time",
            "_deadline",
            "make",
            "connection.submit",
            "park",
            "json",
        ),
    ),
    Line("Trio: the task parks, and later goes on", "`wait_task_rescheduled`", ("park",)),
    Line(
        "Trio: it is woken, and has its turn", "`reschedule`, the scheduler", ("turn",), ("park",)
    ),
    Line("a message is read: msgpack, made Structs", "`wire.native.decode`", ("decode",)),
    Line(
        "whose response it is; the call ends",
        "`client.Client.receive`",
        ("receive",),
        ("Response",),
    ),
    Line("the response is made", "`Response`", ("Response",)),
    Line(
        "who waits is told, and when the engine wants to be woken",
        "`client.Connection`",
        ("_receive",),
        ("decode", "receive"),
    ),
    Line("the caller reads the JSON", "the program that calls", ("json",)),
)

THREADS: Final = (
    Line("main thread: all of the table above", "", (WHOLE,)),
    Line("main thread: the same, slower, as the other side is at work too", "", ("slower",)),
    Line("main thread: more passes than there, each for fewer calls", "", ("passing",)),
    Line("main thread: `epoll`, in each pass", "", ("polling",)),
    Line("main thread: receives messages, at the least", "", ("receiving",)),
    Line("main thread: sends messages, at the least", "", ("sending",)),
    Line(
        "main thread: the rest: batches that are not full, waking libzmq's thread, and caches"
        " that four threads share",
        "",
        ("main",),
        (WHOLE, "slower", "passing", "polling", "receiving", "sending"),
    ),
    Line("**main thread**", "", ("main",)),
    Line("libzmq's thread, between its queues and TCP", "", ("io",)),
    Line("other threads", "", ("others",)),
    Line("**the process**", "", ("main", "io", "others")),
    Line("*main thread: share of the kernel*", "", ("main, kernel",), form="{:.0%}"),
    Line("*libzmq's thread: share of the kernel*", "", ("io, kernel",), form="{:.0%}"),
    Line("*how often Trio lets a task run, for one call*", "", ("steps",), form=OFTEN),
    Line("*how often it looks for what is ready, for one call*", "", ("passes",), form=OFTEN),
    Line("*messages received, for one call*", "", ("received",), form=OFTEN),
    Line("*messages sent, for one call*", "", ("sent",), form=OFTEN),
    Line("*how often the main thread waits, for one call*", "", ("main, waits",), form=OFTEN),
    Line("*how often libzmq's thread waits, for one call*", "", ("io, waits",), form=OFTEN),
)


def of_process(side: str, build: Build) -> Costs:
    """Return what the lines of `THREADS` want to know of the ``server``, or the ``client``."""
    steps, sockets = build[side], build["sockets"]
    known = _of(side, build["threads"])
    passes, more = known["passes"], known["passes"] - steps[PASSES]
    polling = sockets["looks"] + sockets["waits"] - sockets["checkpoints"]
    in_vain = passes * sockets["receives nothing"]
    return known | {
        WHOLE: steps[WHOLE],
        "slower": build["both"][side] - steps[WHOLE],
        "passing": more * _a_pass(steps),
        "polling": passes * polling,
        "receiving": known["received"] * sockets[f"{side} receives"] + in_vain,
        "sending": known["sent"] * sockets[f"{side} sends"],
    }


def _a_pass(steps: Costs) -> float:
    """Return what one pass more costs: fewer calls share it, and nothing else is different."""
    more = steps[f"whole of {FEW}"] - steps[WHOLE]
    return more / (steps[f"passes of {FEW}"] - steps[PASSES])


def _of(side: str, costs: Costs) -> Costs:
    named = f"{side} "
    return {name.removeprefix(named): it for name, it in costs.items() if name.startswith(named)}
