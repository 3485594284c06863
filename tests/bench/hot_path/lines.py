"""The lines of the tables: the steps of a call, in order, and their measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from .traffic import CALLS, FEW

if TYPE_CHECKING:
    from .clock import Costs

__all__ = ["CLIENT", "SERVER", "SIDES", "THREADS", "WHOLE", "Build", "Line", "of_process"]

SIDES: Final = ("server", "client")

#: The figures of one build of trizmq: ``server``, ``client``, ``both``, ``sockets``, ``threads``.
Build: TypeAlias = "dict[str, Costs]"


@dataclass(frozen=True)
class Line:
    """A figure: measurements, minus the parts that have a line of their own.

    Attributes:
      words: a description.
      code: the function in the code.
      timed: names of measurements, which are added up.
      less: names of measurements, which are subtracted.
      form: the format of the figure.

    """

    words: str
    code: str
    timed: tuple[str, ...]
    less: tuple[str, ...] = ()
    form: str = "{:.2f}"

    def figure(self, costs: Costs) -> float:
        """Return the microseconds per call, or another figure."""
        return sum(costs[name] for name in self.timed) - sum(costs[name] for name in self.less)

    def text(self, costs: Costs) -> str:
        """Return the formatted figure."""
        return self.form.format(self.figure(costs))


WHOLE: Final = f"whole of {CALLS}"
GARBAGE: Final = f"gc of {CALLS}"
STEPS: Final = f"steps of {CALLS}"
PASSES: Final = f"passes of {CALLS}"

#: The format of a figure that is not a time, but the number of events per call.
OFTEN: Final = "{:.3f}"


def _with_rest(*lines: Line) -> tuple[Line, ...]:
    """Add the remainder and the total, so that a table always adds up."""
    timed = tuple(name for line in lines for name in line.timed)
    less = tuple(name for line in lines for name in line.less)
    return (
        *lines,
        Line("garbage collection", "", (GARBAGE,)),
        Line("Trio's passes, and everything not listed", "", (WHOLE, *less), (GARBAGE, *timed)),
        Line("**total, in one process, without sockets**", "", (WHOLE,)),
        Line("*tasks scheduled by Trio, per call*", "", (STEPS,), form=OFTEN),
        Line(
            "*how often it looks for ready tasks and sockets, per call*", "", (PASSES,), form=OFTEN
        ),
    )


SERVER: Final = _with_rest(
    Line("decode a message: msgpack to Structs", "`wire.reading.read`", ("read",)),
    Line(
        "accept a call: find its service, check the limits, create a record",
        "`broker.Acceptance.take`",
        ("receive",),
        ("open", "_view", "admit", "place"),
    ),
    Line(
        "add it to its client's calls and to the heap of deadlines",
        "`broker.Dispatcher.open`",
        ("open",),
    ),
    Line("create the view for hooks", "`AdmittedCall`", ("_view",)),
    Line("call the hooks", "`App.admit`", ("admit",), ("trizmq_admit",)),
    Line("look up the token", "the plugin `auth`", ("trizmq_admit",)),
    Line("assign it to a worker with room", "`broker.Dispatcher.place`", ("place",)),
    Line("pass it to a task of the pool", "`worker.WorkerPool`", ("pool",), ("nothing",)),
    Line("create the request", "`Request`", ("_request",)),
    Line("find the route", "`app.Table.match`", ("match",)),
    Line("run the precondition: is the caller known?", "the plugin `auth`", ("guard",)),
    Line("build the handler's arguments", "`app.Arguments.of`", ("arguments",)),
    Line("run the handler", "the plugin `users`", ("get_user",)),
    Line("encode the result as JSON and create the response", "`app.results`", ("write",)),
    Line(
        "coroutines that connect these steps, and catch exceptions",
        "`LocalWorker`, `App.handle`",
        ("_handle",),
        ("_request", "match", "guard", "arguments", "get_user", "write", "finish"),
    ),
    Line("end the call, and free room at its worker", "`broker.Broker.finish`", ("finish",)),
    Line("encode responses, in batches", "`wire.native.batches`", ("batches",)),
    Line(
        "the loop: carry out the engine's actions, and set its next wake-up",
        "`broker.BrokerLoop`",
        ("_receive_client", "act"),
        ("read", "receive", "batches"),
    ),
)

CLIENT: Final = _with_rest(
    Line(
        "Trio: check for cancellation, get the time",
        "`checkpoint_if_cancelled`, `current_time`",
        ("checkpoint_if_cancelled", "current_time"),
    ),
    Line(
        "Trio: get the caller's deadline", "`current_effective_deadline`", ("effective_deadline",)
    ),
    Line(
        "compute the call's deadline", "`Client.request`", ("_deadline",), ("effective_deadline",)
    ),
    Line("validate and create the call", "`client.RequestMaker`", ("make",)),
    Line(
        "find a link with room, create a record of the call", "`client.Client.submit`", ("submit",)
    ),
    Line(
        "decide whether to send it now or with others of this pass",
        "`client.Connection`",
        ("connection.submit",),
        ("submit", "encode"),
    ),
    Line("encode calls, in batches", "`wire.native.encode`", ("encode",)),
    Line(
        "coroutines that connect these steps, and return the response to the caller",
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
    Line("Trio: park and resume the task", "`wait_task_rescheduled`", ("park",)),
    Line("Trio: wake and schedule the task", "`reschedule`, the scheduler", ("turn",), ("park",)),
    Line("decode a message: msgpack to Structs", "`wire.native.decode`", ("decode",)),
    Line(
        "match the response to its call, and end the call",
        "`client.Client.receive`",
        ("receive",),
        ("Response",),
    ),
    Line("create the response", "`Response`", ("Response",)),
    Line(
        "wake the caller, and set the engine's next wake-up",
        "`client.Connection`",
        ("_receive",),
        ("decode", "receive"),
    ),
    Line("decode the JSON in the caller", "the program that calls", ("json",)),
)

THREADS: Final = (
    Line("main thread: total of the table above", "", (WHOLE,)),
    Line("main thread: slowdown while the other side is working", "", ("slower",)),
    Line("main thread: more passes, each with fewer calls", "", ("passing",)),
    Line("main thread: `epoll`, in each pass", "", ("polling",)),
    Line("main thread: receiving messages, at least", "", ("receiving",)),
    Line("main thread: sending messages, at least", "", ("sending",)),
    Line(
        "main thread: remainder: partly filled batches, waking libzmq's thread, and caches"
        " shared by four threads",
        "",
        ("main",),
        (WHOLE, "slower", "passing", "polling", "receiving", "sending"),
    ),
    Line("**main thread**", "", ("main",)),
    Line("libzmq's thread, between its queues and TCP", "", ("io",)),
    Line("other threads", "", ("others",)),
    Line("**process total**", "", ("main", "io", "others")),
    Line("*main thread: share of time in the kernel*", "", ("main, kernel",), form="{:.0%}"),
    Line("*libzmq's thread: share of time in the kernel*", "", ("io, kernel",), form="{:.0%}"),
    Line("*tasks scheduled by Trio, per call*", "", ("steps",), form=OFTEN),
    Line("*how often it looks for ready tasks and sockets, per call*", "", ("passes",), form=OFTEN),
    Line("*messages received, per call*", "", ("received",), form=OFTEN),
    Line("*messages sent, per call*", "", ("sent",), form=OFTEN),
    Line("*how often the main thread waits, per call*", "", ("main, waits",), form=OFTEN),
    Line("*how often libzmq's thread waits, per call*", "", ("io, waits",), form=OFTEN),
)


def of_process(side: str, build: Build) -> Costs:
    """Return the measurements for the lines of `THREADS`, of the ``server`` or the ``client``."""
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
    """Return the cost of one more pass: fewer calls share it, and nothing else is different."""
    more = steps[f"whole of {FEW}"] - steps[WHOLE]
    return more / (steps[f"passes of {FEW}"] - steps[PASSES])


def _of(side: str, costs: Costs) -> Costs:
    named = f"{side} "
    return {name.removeprefix(named): it for name, it in costs.items() if name.startswith(named)}
