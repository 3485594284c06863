"""Messages that are nearly valid: each is built like its dialect, with odd parts.

Pure noise is refused by the first byte. Only well-formed messages with a single error reach the
deeper code: a name, a number, an extra frame, a byte in the middle of a string.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final, TypeAlias

import msgspec

from trizmq.wire.mdp import MDP, Row

Frames: TypeAlias = list[bytes]

#: Bytes with a meaning: lengths and nesting of msgpack, JSON, text, MDP.
BYTES: Final = (
    *(b"", b"\0", b"\x82", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8"),
    *(b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\xc6\xff\xff\xff\xff"),
    *(b"\xc1", b"\x91\x91\x91", b"\xd4\x01\x00", b"\xcf" + b"\xff" * 8, b"\xcb" + b"\xff" * 8),
    *(b"{", b"}", b"[", b'"', b"\\ud800", b"\\u0000", b"NaN", b"1e999", b"-", b"9" * 400, b"null"),
    *(b"\r\n", b"\n", b" ", b":", b"/", b"%", b"%zz", b"MDPC01", b"MDPC02", b"MDPW01", b"MDPW02"),
    *(b"[" * 2000, b"\x91" * 2000, b'{"a":' * 500, b"\xaa\xa4\x01\x06MDPC02\x01", b"x" * 5000),
)

TEXTS: Final = (
    *("", "a", "é", "🐍" * 50, "x" * 300, "x" * 5000, "\0", "\n", "a\r\nb: c", "\u2028", "\ud7ff"),
    *(
        "\x7f",
        "\x9f",
        "a b",
        "%",
        "%zz",
        "%C3%28",
        "%00",
        "%2F",
        "..",
        "true",
        "NaN",
        "K",
        "\ufeff",
    ),
)

METHODS: Final = ("GET", "POST", "get", "HEAD", "PURGE", "G" * 17, "1", "GET ")

TARGETS: Final = (
    *("/echo", "/echo?a=1", "/echo/%C3%A9?x=%zz", "/fail", "/later", "/echo?" + "a=1&" * 50),
    *("/hired", "/hired/1", "/hired2", "/nobody", "/mmi/health", "/mmi/stats", "/mmi/services"),
    *("/mmi/routes", "/mmi.service", "/mmi.x", "/", "//", "", "echo", "/echo\n", "/%65cho", "/%"),
    *("/a%2Fb", "/my%20service", "/" + "x" * 2100, "/ü", "/..", "/?", "/#", "/mmi/" + "x" * 300),
)

SERVICES: Final = (
    *("hired", "hired2", "a/b", "my service", "echo@1", "ü", "x" * 64, "x" * 65, "x" * 255),
    *("x" * 256, "", "mmi", "mmi.service", "mmi.x", "\n", "GET /hired", "..", "%", "\0"),
)

HEADERS: Final = (
    *("accept", "Accept", "x-request-id", "authorization", "idempotency-key", "content-type"),
    *("", "a b", "ä", "a:b", "x" * 300, "\n", "K", "content-length", "retry-after-ms"),
)

NUMBERS: Final = (
    *(
        0,
        1,
        -1,
        2,
        5,
        100,
        30_000,
        2**31,
        2**53 + 1,
        2**63 - 1,
        -(2**63),
        2**64 - 1,
        0.5,
        -0.0,
        1e308,
    ),
)

Item: TypeAlias = list[Any]


def opening_of(row: Row) -> Frames:
    """Return the frames that identify the command of a row: those before its variable content."""
    return [frame for frame in row[:3] if isinstance(frame, bytes)]


class Writer:
    """Creates messages, the same ones for the same seed.

    Attributes:
      tokens: tokens that workers have received; replies use the last of them.
      instance: the broker's instance, with which clients resume.

    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.tokens: list[bytes] = [b"1"]
        self.instance = ""

    # -- small values --------------------------------------------------------------------

    def mostly(self, good: Any, *odd: Any) -> Any:
        """Return ``good``, or one time in twenty something else."""
        return self.random.choice(odd) if odd and self.random.random() < 0.1 else good

    def text(self) -> str:
        return self.random.choice(TEXTS)

    def value(self, depth: int = 2) -> Any:
        """Return any value that JSON and msgpack can represent."""
        random = self.random
        match random.randrange(8 if depth else 5):
            case 0 | 1:
                return random.choice(NUMBERS)
            case 2 | 3:
                return self.text()
            case 4:
                return random.choice([None, True, False])
            case 5 | 6:
                return [self.value(depth - 1) for _ in range(random.randrange(4))]
        return {self.text(): self.value(depth - 1) for _ in range(random.randrange(4))}

    def headers(self) -> dict[Any, Any]:
        random = self.random
        count = self.mostly(random.randrange(3), 65, 70)
        fields = {random.choice(HEADERS): random.choice(TEXTS) for _ in range(count)}
        if count > 60:
            fields = {f"a{n}": "" for n in range(count)}
        return self.mostly(fields, self.value(), {"a": self.value()}, {"a": "x" * 20_000})

    def body(self) -> bytes:
        random = self.random
        good = random.choice([b"", b"{}", b'{"a": 1}', b"x" * 100, b"\xff\0"])
        return self.mostly(good, bytes(40_000), random.choice(BYTES))

    def spoiled(self, frame: bytes) -> bytes:
        """Return ``frame``, or one time in twelve a frame with a wrong byte."""
        random = self.random
        if random.random() >= 0.08:
            return frame
        start = random.randrange(len(frame) + 1)
        end = start + random.randrange(4)
        return random.choice(
            [
                frame[:start],
                frame[:start] + random.choice(BYTES) + frame[end:],
                frame[:start] + random.randbytes(end - start) + frame[end:],
                frame[:start] + frame[end:],
            ]
        )

    def framed(self, frames: Frames) -> Frames:
        """Return ``frames``, or one time in twenty with extra, missing or swapped frames."""
        random = self.random
        if random.random() >= 0.05:
            return frames
        frames = list(frames)
        at = random.randrange(len(frames) + 1)
        match random.randrange(5):
            case 0:
                frames.insert(at, random.choice(BYTES))
            case 1:
                del frames[at : at + 1]
            case 2:
                frames[at:at] = [b"x"] * random.choice([3, 31, 33, 70, 1100])
            case 3:
                random.shuffle(frames)
            case _:
                frames.insert(at, b"")
        return frames

    def envelope(self) -> Frames:
        random = self.random
        many = [random.randbytes(5) for _ in range(random.randrange(1, 4))]
        return [*self.mostly([], many, [b"x" * 256], [b"MDPC01"], [b"\x91\x01"]), b""]

    # -- clients -------------------------------------------------------------------------

    def plain(self) -> Frames:
        random = self.random
        call: dict[Any, Any] = {"path": random.choice(TARGETS)}
        choices = {
            "method": random.choice(METHODS),
            "query": {self.text(): random.choice([*NUMBERS, *TEXTS, True, None])},
            "headers": self.headers(),
            "body": self.value(),
            "timeout": random.choice(NUMBERS),
            random.choice(TEXTS): self.value(),
        }
        for key in random.sample(list(choices), random.randrange(4)):
            call[key] = self.mostly(choices[key], self.value())
        if random.random() < 0.05:
            call = self.value()
        payload = json.dumps(call, ensure_ascii=random.random() < 0.5).encode(
            self.mostly("utf-8", "utf-16", "latin-1", "utf-8-sig"), "replace"
        )
        raw = [self.body() for _ in range(self.mostly(0, 1, 2, 32, 40))]
        return self.framed([*self.envelope(), self.spoiled(payload), *raw])

    def head(self) -> bytes:
        """Return the service frame of an MDP client: a name, or a request line with fields."""
        random = self.random
        line = random.choice(
            [
                random.choice(SERVICES),
                f"{random.choice(METHODS)} {random.choice(TARGETS)}",
            ]
        )
        fields = [
            f"{random.choice(HEADERS)}: {self.text()}" for _ in range(self.mostly(0, 1, 2, 70))
        ]
        return self.spoiled(self.mostly("\n", "\r\n").join([line, *fields]).encode())

    def mdp_client(self) -> Frames:
        random = self.random
        codec = random.choice(list(MDP.values()))
        opening = opening_of(random.choice(list(codec.client.values())))
        body = [self.body() for _ in range(self.mostly(1, 0, 2, 31, 33))]
        service = self.head()
        if codec.is_packed:
            packed = b"\xaa\xa4" + bytes([random.randrange(11)]) + b"\x06MDPC02\x01"
            first = packed + bytes([min(255, len(service))]) + service[:255]
            return self.framed([*self.mostly([], [b""]), self.spoiled(first), *body])
        frames = [*opening, service, *body]
        if opening[0] == b"":
            frames = [*self.envelope(), *frames[1:]]
        return self.framed(frames)

    def native_client(self) -> Frames:
        random = self.random
        items = [self.client_item() for _ in range(self.mostly(random.randrange(1, 4), 0, 32, 300))]
        if random.random() < 0.2:
            items.insert(0, self.hello(()))
        return self.batch(items)

    def client_item(self) -> Item:
        random = self.random
        call_id = random.choice([random.randrange(100), random.choice(NUMBERS)])
        call = [1, call_id, random.choice([500, 5000, self.mostly(1000, *NUMBERS)])]
        call += [random.choice(METHODS), random.choice(TARGETS), self.headers(), self.native_body()]
        item: Item = self.mostly(
            random.choice([call, call, call, [2, call_id], [6]]),
            *(
                [7, self.text()],
                [5, call_id, 3],
                [3, call_id, 200, {}, b""],
                self.hello(("hired",)),
            ),
            *([4, call_id, 0, b""], [random.randrange(-2, 12)], self.value(), []),
        )
        return self.fields(item)

    def native_body(self) -> Any:
        many = [self.body() for _ in range(3)]
        return self.mostly(self.body(), many, [], 1, 2, 1024, 10**6, -1, self.value())

    def fields(self, item: Item) -> Item:
        """Return an item, one time in twenty with missing, extra, or odd fields."""
        if self.random.random() >= 0.05 or not item or type(item) is not list:
            return item
        item, at = list(item), self.random.randrange(len(item))
        match self.random.randrange(4):
            case 0:
                del item[at:]
            case 1:
                item += [self.value(), self.value()]
            case 2:
                item[at] = self.value()
            case _:
                item.insert(at, self.value())
        return item

    def hello(self, services: Any) -> Item:
        random = self.random
        takes = [random.choice(NUMBERS[:12]) for _ in range(random.randrange(8))]
        return [
            *(0, self.mostly(1, 0, 2, -1), self.mostly("me", "", "x" * 1000, "\n")),
            self.mostly(random.randrange(1, 6), *NUMBERS),
            self.mostly(services, [random.choice(SERVICES)], [""] * 300, self.value()),
            self.mostly([], ["hired"], ["echo"], self.value()),
            self.mostly([], ["GET /hired"], ["x" * 1000] * 50, self.value()),
            *random.choice([[], [takes], [takes, *self.resumption()], [self.value()]]),
        ]

    def resumption(self) -> Item:
        """Return the fields of a returning client: key, broker, calls in flight, and odd values."""
        random = self.random
        ids = [random.randrange(100) for _ in range(random.randrange(4))]
        return [
            self.mostly(random.choice(["key", "other"]), "", "x" * 5000, self.value()),
            self.mostly(random.choice([self.instance, ""]), self.text(), self.value()),
            self.mostly(ids, NUMBERS, [5] * 3000, self.value()),
            *self.mostly([], [random.choice(NUMBERS)], [1, ids], [1, self.value()]),
        ]

    def batch(self, items: list[Item]) -> Frames:
        try:
            frame = msgspec.msgpack.encode(items)
        except (OverflowError, ValueError):  # a number or a text that no peer could encode
            frame = b"\x90"
        large = [self.body() for _ in range(self.mostly(0, 1, 2))]
        return self.framed([self.spoiled(frame), *large])

    # -- workers -------------------------------------------------------------------------

    def token(self) -> bytes:
        return self.random.choice(self.tokens[-20:])

    def native_worker(self) -> Frames:
        random = self.random
        if random.random() < 0.15:
            return self.batch([self.hello(["hired", "hired2"][: random.randrange(1, 3)])])
        return self.batch([self.worker_item() for _ in range(random.randrange(1, 4))])

    def worker_item(self) -> Item:
        random = self.random
        token = self.token()
        number = int(token) if token.isdigit() else random.randrange(1000)
        status = self.mostly(random.choice([200, 204, 404, 500]), 0, 99, 600, -1, 2**40)
        response = [3, number, status, self.headers(), self.native_body()]
        response += self.mostly([], [False], [True, 2], [True, 0, True], [self.value()] * 4)
        part = [4, number, self.mostly(0, 1, -1, 2**40), self.native_body()]
        item: Item = self.mostly(
            random.choice([response, response, part, [6]]),
            *([7, "draining"], [7, "closing"], [5, number, 1], [2, number], [1, number], [6, 1]),
            *(self.hello(["hired"]), self.value(), [random.randrange(-2, 12)]),
        )
        return self.fields(item)

    def mdp_worker(self, dialect: str = "") -> Frames:
        random = self.random
        codec = MDP[dialect or random.choice(list(MDP))]
        kind, row = random.choice(list(codec.worker.items()))
        opening = opening_of(row)
        body = [self.body() for _ in range(self.mostly(1, 0, 2, 63, 66))]
        name = kind.__name__
        rest: Frames = []
        if name == "Ready":
            rest = [self.spoiled(self.mostly("hired", *SERVICES).encode())]
        elif name not in ("Heartbeat", "Disconnect"):
            rest = [self.spoiled(self.token()), b"", *body]
        if codec.is_packed:
            code = opening[-1]
            first = b"\xaa\xa4" + bytes([3 + code[0] if code else 4]) + b"\x06MDPW02" + code
            if rest:
                first += bytes([min(255, len(rest[0]))]) + rest[0][:255]
            return self.framed([*self.mostly([], [b""]), self.spoiled(first), *rest[2:]])
        return self.framed([*opening, *rest])

    def noise(self) -> Frames:
        random = self.random
        return [random.choice(BYTES) for _ in range(random.randrange(1, 5))]

    def client_message(self) -> Frames:
        """Return a message that a client might send to the frontend."""
        kinds = [self.plain, self.mdp_client, self.native_client]
        return self.mostly(self.random.choice(kinds), self.mdp_worker, self.noise)()

    def worker_message(self, dialect: str) -> Frames:
        """Return a message that a worker with ``dialect`` might send to the backend."""
        odd = (self.native_client, self.plain, self.noise, self.native_worker, self.mdp_worker)
        if self.random.random() < 0.03:
            return self.random.choice(odd)()
        return self.native_worker() if dialect == "native" else self.mdp_worker(dialect)
