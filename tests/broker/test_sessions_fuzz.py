"""Whatever workers send, in whatever order, raises no exception, and the counters add up.

Messages of every dialect, whole and damaged, come from a few addresses, with calls, deadlines and
lost connections in between. The rig checks the counters after every step.
"""

from __future__ import annotations

import random

import pytest

from trizmq.errors import RemoteProtocolError
from trizmq.wire import native
from trizmq.wire import reading as dialects
from trizmq.wire.items import Call, Cancel, Credit, Goaway, Hello, Item, Part, Response
from trizmq.wire.items import Heartbeat as Beat
from trizmq.wire.mdp import MDP, Command, Disconnect, Final, Heartbeat, Partial, Ready, Request
from trizmq.wire.return_path import MalformedCommand

ADDRESSES = [b"u", b"v", b"w"]
STEPS = 20_000


class Chaos:
    def __init__(self, backend, seed: int) -> None:
        self.backend = backend
        self.rng = random.Random(seed)
        self.call_id = 0
        self.asked: dict[int, int] = {}

    def tokens(self) -> list:
        known = [list(worker.flights) for worker in self.backend.broker.workers]
        return [token for tokens in known for token in tokens] or [1]

    def proper_frames(self, address: bytes) -> list[bytes]:
        """Return a message that a correct worker would send now."""
        at = {worker.address: worker for worker in self.backend.broker.workers}
        if address not in at:
            if self.rng.random() < 0.5:
                return native.encode([Hello(1, "n", 3, ("users", "orders"))])
            return MDP[self.rng.choice(list(MDP))].encode_worker(Ready("users"))
        dialect, tokens = at[address].dialect, list(at[address].flights)
        token = self.rng.choice(tokens) if tokens else None
        if dialect == "native":
            item = Response(token, 200, {}, b"{}") if isinstance(token, int) else Beat()
            return native.encode([item])
        said = Final(token, (b"{}",)) if isinstance(token, bytes) else Heartbeat()
        return MDP[dialect].encode_worker(said)

    def frames(self) -> list[bytes]:
        """Return a message of some worker, perhaps damaged."""
        rng = self.rng
        token = rng.choice(self.tokens())
        if rng.random() < 0.5:
            dialect = rng.choice(list(MDP))
            client = token if isinstance(token, bytes) else b"%d" % token
            commands: list[Command] = [Ready("users"), Ready("orders"), Heartbeat(), Disconnect()]
            commands += [
                Final(client, (b"x",)),
                Final(client, (b"", b"y")),
                Request(client, (b"",)),
            ]
            if dialect != "mdp01":
                commands.append(Partial(client, (b"part",)))
            frames = MDP[dialect].encode_worker(rng.choice(commands))
        else:
            number = token if isinstance(token, int) else 7
            frames = native.encode([self.item(number) for _ in range(rng.randrange(1, 4))])
        if rng.random() < 0.1:
            frames[rng.randrange(len(frames))] = rng.randbytes(rng.randrange(4))
        return frames

    def item(self, token: int) -> Item:
        services = self.rng.choice([("users",), ("users", "orders"), (), ("mmi.x",)])
        status = self.rng.choice([0, 200, 204, 404, 500, 99, 10**9])
        items: list[Item] = [
            Hello(1, "n", self.rng.randrange(4), services),
            Response(token, status, {"A": "b"}, b"{}"),
            Response(token, 200, {}, [b"", b"z"]),
            Part(token, 0, [b"", b"p"]),
            Cancel(token),
            Credit(token, 1),
            Call(token, 1, "GET", "/users", {}, b""),
            Goaway(self.rng.choice(["draining", "closing"])),
            Beat(),
        ]
        return self.rng.choice(items)

    def step(self) -> None:
        backend, rng = self.backend, self.rng
        match rng.randrange(8):
            case 0 | 1:
                self.call_id += 1
                self.asked[self.call_id] = 0
                method = rng.choice(["GET", "POST"])
                target = rng.choice(["/users", "/orders", "/nobody"])
                backend.call(self.call_id, target, method=method, ttl=rng.choice([500, 5_000]))
            case 2 if self.call_id:
                backend.receive(Cancel(rng.randrange(1, self.call_id + 1)))
            case 3:
                backend.tick(backend.now + rng.choice([0.1, 0.2, 0.2, 0.2, 1.0]))
            case 4 if rng.random() < 0.2:
                backend.backend.lose(rng.choice(ADDRESSES), backend.now)
                backend.act()
            case _:
                address = rng.choice(ADDRESSES)
                is_proper = rng.random() < 0.9
                self.hear(address, self.proper_frames(address) if is_proper else self.frames())

    def hear(self, address: bytes, frames: list[bytes]) -> None:
        backend = self.backend
        is_known = address in backend.backend.workers
        try:
            received = dialects.read_worker(frames)
        except MalformedCommand as error:
            if not is_known:
                backend.dialects[address] = error.dialect
            backend.refuse(address, str(error), error.dialect)
            return
        except RemoteProtocolError as error:
            if is_known:
                backend.refuse(address, str(error), None)
            return
        if isinstance(received, dialects.ForeignCommand):
            if not is_known:
                backend.dialects[address] = received.dialect
            backend.backend.receive_command(address, *received, backend.now)
        else:
            backend.backend.receive(address, received, backend.now)
        backend.act()


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_messages_leaves_the_counters_right(make_backend, seed) -> None:
    backend = make_backend(client_calls=50, service_calls=20)
    chaos = Chaos(backend, seed)
    for _ in range(STEPS):
        chaos.step()
        for call_id, _ in backend.answers():
            chaos.asked[call_id] += 1
        backend.told.clear()
        backend.events.clear()
    backend.pass_time(backend.now + 100)
    for call_id, _ in backend.answers():
        chaos.asked[call_id] += 1
    assert max(chaos.asked.values()) == 1, "a call ended twice"
    assert backend.broker.in_flight == backend.broker.queued_bytes == 0
    assert backend.broker.workers == []
    assert all(service.in_flight == 0 for service in backend.broker.services.values())
    counters = backend.broker.counters
    happened = (counters.answered, counters.forged, counters.disconnected, counters.lost)
    assert min(*happened, counters.expired, counters.late) > 10
    assert counters.redispatched
