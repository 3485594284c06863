"""Every target: trizmq as its users start it, and its peers."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .target import CALLS, Target

__all__ = [
    "BROKER",
    "CHEAP",
    "MANY",
    "MDP",
    "MDP_WORKER",
    "PADDED",
    "PEERS",
    "RAW",
    "SLEEPERS",
    "SYNC",
    "TRIZMQ",
]

RUN = "-m trizmq run --bind tcp://127.0.0.1:* --plugins users,auth --module peers.routes"
BETWEEN = "-m trizmq broker --bind tcp://127.0.0.1:* --backend tcp://127.0.0.1:{port}"
WORKER = "-m trizmq worker --connect tcp://127.0.0.1:{port}"

TRIZMQ: Final = Target("trizmq", (RUN,), "-m peers.trizmq trio", CALLS | {"route", "sleep", "spin"})
MANY: Final = replace(
    TRIZMQ,
    name="trizmq, call_many",
    calls=frozenset({"many"}),
    note="16 calls per await, 4 of them at the same time",
)
SYNC: Final = replace(
    TRIZMQ,
    name="trizmq, SyncClient",
    client="-m peers.trizmq sync",
    calls=CALLS,
    note="a thread for each call in flight",
)
CHEAP: Final = replace(
    TRIZMQ,
    name="trizmq, cheap client",
    client="-m peers.native call",
    calls=frozenset({"batch", "lone"}),
    note="calls written beforehand, 16 a message; responses are counted, not decoded",
)
PADDED: Final = replace(
    TRIZMQ,
    name="trizmq, freed memory kept",
    calls=frozenset({"echo"}),
    variables={"MALLOC_TOP_PAD_": "67108864"},
    note="`MALLOC_TOP_PAD_` is set, for the client too",
)
BROKER: Final = replace(
    TRIZMQ,
    name="trizmq, broker between",
    servers=(f"{BETWEEN} --plugins auth", f"{WORKER} --plugins users,auth --module peers.routes"),
    calls=CALLS,
)
MDP: Final = Target(
    "trizmq, MDP 0.2 both ways",
    (BETWEEN, "-m peers.mdp02 work tcp://127.0.0.1:{port}"),
    "-m peers.mdp02 call",
    frozenset({"get"}),
    note="bare sockets, 16 workers, a broker between; no token, because MDP cannot carry one",
)
MDP_WORKER: Final = Target(
    "trizmq, MDP 0.2 worker of ours",
    (BETWEEN, f"{WORKER} --plugins= --module peers.lookup --dialect mdp02"),
    "-m peers.mdp02 call",
    frozenset({"get"}),
    note="a broker between; capacity 256, so it appears as 256 workers",
)
RAW: Final = Target(
    "raw pyzmq", ("-m peers.raw serve",), "-m peers.raw call", note="one loop, no tasks"
)
SLEEPERS: Final = Target("bare Trio tasks", (), "-m peers.sleepers call", frozenset({"sleep"}))


def _peer(name: str, *packages: str, program: str = "", note: str = "") -> Target:
    module = f"-m peers.{name}"
    return Target(
        name=packages[0] if name in ("nats", "grpc") else name,
        servers=(f"{module} serve",),
        client=f"{module} call",
        packages=(*packages, "orjson"),
        program=program,
        note=note,
    )


HTTP = ("uvicorn", "uvloop", "httptools", "aiohttp")

PEERS: Final = (
    RAW,
    _peer("rpyc", "rpyc", note="`async_`"),
    _peer("nats", "nats-py", program="nats-server", note="nats-server between"),
    _peer("aiozmq", "aiozmq", "msgpack", note="`aiozmq.rpc`"),
    _peer("starlette", "starlette", *HTTP, note="a connection for each call in flight"),
    _peer("fastapi", "fastapi", *HTTP, note="a connection for each call in flight"),
    _peer("grpc", "grpcio", note="`grpc.aio`, JSON without protobuf"),
    _peer("zerorpc", "zerorpc"),
)
