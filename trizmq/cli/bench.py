"""`trizmq bench`: measures how fast and how evenly a running service answers."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from math import ceil, floor, log2
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import click
import orjson
import trio

from ..client.opening import open_client
from ..errors import CallError
from ..settings import SETTINGS
from .call import Outgoing, exchange, find_token
from .options import Seconds, chosen, flags, json_option
from .output import Exit

if TYPE_CHECKING:
    from ..client.trio_client import Client

__all__ = ["bench"]

#: Seconds that are not counted, for connections and caches.
WARM_UP: Final = 0.5

#: The outcome of calls that had not ended when the measurement and its timeout had.
UNANSWERED: Final = "unanswered"

#: Steps of the progress bar per second, and the width of the longest bar of the histogram.
STEPS: Final = 10
WIDTH: Final = 50

#: Buckets to each doubling: a quantile is off by at most 9 %.
FINENESS: Final = 8


class Work(NamedTuple):
    """The call, how many are in flight, and the timeout of the last ones."""

    method: str
    path: str
    concurrency: int
    timeout: float


class Bar(NamedTuple):
    """The number of calls that took at least ``low`` and less than ``high`` seconds."""

    low: float
    high: float
    calls: int


@final
class Histogram:
    """Counts durations in buckets with fixed bounds: powers of two of a microsecond."""

    def __init__(self) -> None:
        self.count = 0
        self.most = 0.0
        self._buckets: Counter[int] = Counter()

    def note(self, seconds: float) -> None:
        """Count a duration; one shorter than a microsecond counts as a microsecond."""
        self.count += 1
        self.most = max(self.most, seconds)
        self._buckets[floor(log2(max(seconds * 1e6, 1)) * FINENESS)] += 1

    def quantile(self, share: float) -> float:
        """Return the duration that ``share`` of all calls did not exceed; 0 without calls."""
        left = ceil(self.count * share)
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return min(_bound((bucket + 1) / FINENESS), self.most)
        return 0.0

    def bars(self) -> list[Bar]:
        """Return one bar for each doubling, from the shortest to the longest."""
        doublings: Counter[int] = Counter()
        for bucket, count in self._buckets.items():
            doublings[bucket // FINENESS] += count
        span = range(min(doublings, default=0), max(doublings, default=-1) + 1)
        return [Bar(_bound(number), _bound(number + 1), doublings[number]) for number in span]


@dataclass
class Tally:
    """The results of the calls: ``outcomes`` are by status, or by the name of the error."""

    latency: Histogram = field(default_factory=Histogram)
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether every call ended with a status of 2xx or 3xx."""
        return all(outcome[0] in "23" for outcome in self.outcomes)


@click.command
@click.argument("method", default="GET")
@click.argument("path", default="/mmi/health")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    help="Calls in flight, on one connection.",
)
@click.option(
    "--duration",
    type=Seconds(SETTINGS["timeout"]),
    default=10.0,
    show_default=True,
    help="Seconds to measure, after half a second that is not counted.",
)
@flags("token", "timeout", "connect", "config", "state_dir")
@json_option
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    method: str,
    path: str,
    concurrency: int,
    duration: float,
    as_json: bool,
) -> None:
    """Measure how fast a running service answers METHOD PATH.

    Without these, the broker answers by itself, without a worker. The exit code is 0 if every
    call had a status of 2xx or 3xx, 1 if any had not, 3 if no broker answers.
    """
    settings = chosen(ctx)
    connect, timeout = settings.connect, settings.timeout
    token = settings.token or find_token(connect, settings.state_dir)
    # A first call shows whether a broker and the service answer, as `trizmq call` does.
    exchange(Outgoing(method, path, connect, token, timeout))
    work = Work(method.upper(), path, concurrency, timeout)
    tally = _run(connect, token, work, duration)
    click.echo(_json(work, tally) if as_json else "\n".join(_text(tally)))
    ctx.exit(Exit.OK if tally.is_clean else Exit.FAULT)


def _run(connect: str, token: str | None, work: Work, duration: float) -> Tally:
    try:
        return trio.run(_measure, connect, token, work, duration)
    except BaseExceptionGroup as group:
        # Ctrl-C that arrived inside a nursery.
        if group.subgroup(KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


async def _measure(connect: str, token: str | None, work: Work, duration: float) -> Tally:
    async with open_client(connect, token=token) as client, trio.open_nursery() as nursery:
        nursery.start_soon(_show_progress, WARM_UP + duration)
        await _load(client, work, WARM_UP)
        tally = await _load(client, work, duration)
        nursery.cancel_scope.cancel()
    return tally


async def _load(client: Client, work: Work, duration: float) -> Tally:
    """Keep calls in flight for ``duration``, and wait for the last ones."""
    tally, began = Tally(), perf_counter()
    with trio.move_on_after(duration + work.timeout):
        async with trio.open_nursery() as nursery:
            for _ in range(work.concurrency):
                nursery.start_soon(_keep_calling, client, work, began + duration, tally)
    tally.seconds = perf_counter() - began
    return tally


async def _keep_calling(client: Client, work: Work, until: float, tally: Tally) -> None:
    while (began := perf_counter()) < until:
        outcome = UNANSWERED
        try:
            response = await client.request(work.method, work.path)
            outcome = str(response.status)
            tally.latency.note(perf_counter() - began)
        except CallError as error:
            outcome = type(error).__name__
            await trio.lowlevel.checkpoint()  # the error may have come without one
        finally:
            tally.outcomes[outcome] += 1


async def _show_progress(duration: float) -> None:
    if not sys.stderr.isatty():
        return
    steps = round(duration * STEPS)
    with click.progressbar(length=steps, file=sys.stderr, show_eta=False) as bar:
        for _ in range(steps):
            await trio.sleep(1 / STEPS)
            bar.update(1)


def _summary(tally: Tally) -> dict[str, float]:
    latency = tally.latency
    quantiles = {f"p{round(share * 100)}": latency.quantile(share) for share in (0.5, 0.9, 0.99)}
    return {**quantiles, "max": latency.most}


def _json(work: Work, tally: Tally) -> bytes:
    report: dict[str, Any] = {
        "method": work.method,
        "path": work.path,
        "concurrency": work.concurrency,
        "calls": tally.latency.count,
        "seconds": tally.seconds,
        "calls_per_second": tally.latency.count / tally.seconds,
        "latency": _summary(tally),
        "outcomes": tally.outcomes,
        "histogram": [bar._asdict() for bar in tally.latency.bars()],
    }
    return orjson.dumps(report, option=orjson.OPT_INDENT_2)


def _text(tally: Tally) -> list[str]:
    calls, bars = tally.latency.count, tally.latency.bars()
    longest = max((bar.calls for bar in bars), default=0)
    return [
        f"{calls:,} calls in {tally.seconds:.1f} s: {calls / tally.seconds:,.0f} calls/s",
        ", ".join(f"{name} {_duration(value)}" for name, value in _summary(tally).items()),
        ", ".join(f"{outcome}: {count:,}" for outcome, count in sorted(tally.outcomes.items())),
        *(_line(bar, longest) for bar in bars),
    ]


def _line(bar: Bar, longest: int) -> str:
    low, high = _duration(bar.low), _duration(bar.high)
    return f"{low:>7} to {high:>7}  {'#' * round(WIDTH * bar.calls / longest)} {bar.calls:,}"


def _duration(seconds: float) -> str:
    """Write a duration in a suitable unit, with three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _bound(doublings: float) -> float:
    return float(2**doublings * 1e-6)
