"""What passes between peers, whatever the dialect: the native dialect's items.

Every other dialect is read into these and written from them, so that any client reaches
any worker: everything meets in service, method, path, headers and body.

An item is a msgspec Struct written as a msgpack array whose first element is the tag.
Ids are the sender's: a response repeats the id of its call. A peer that does not know a
field that was added at the end ignores it; hence fields are only ever added at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeAlias

import msgspec

from ..messages import Principal  # noqa: TC001 (msgspec reads the annotations)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DEFAULT_TAKES",
    "MAX_BODY_FRAMES",
    "MAX_IN_FLIGHT",
    "MAX_ROUTES",
    "VERSION",
    "Body",
    "Call",
    "Cancel",
    "Credit",
    "Goaway",
    "Headers",
    "Heartbeat",
    "Hello",
    "Item",
    "Part",
    "Response",
    "Takes",
    "body_of",
    "frames_of",
]

#: The native dialect's version, in every hello.
VERSION: Final = 1

#: Frames of one body. An MDP message holds 32; the parts of a stream may be gathered.
MAX_BODY_FRAMES: Final = 1024

#: Services that one worker may name. A broker's own limit is lower, and it can say so.
_MAX_SERVICES: Final = 100_000

#: Calls that one client has in flight at one broker.
MAX_IN_FLIGHT: Final = 65_536

_Ids: TypeAlias = Annotated[tuple[int, ...], msgspec.Meta(max_length=MAX_IN_FLIGHT)]

_MAX_KEY: Final = 64

#: Routes that one worker may tell of: more than any program has.
MAX_ROUTES: Final = 20_000

#: ``bytes``: one frame, the usual case. A list: as many frames (an MDP peer's body). An
#: int: the body is that many frames of the message itself, after the batch (large bodies,
#: which so travel without a copy); it never leaves the codec.
Body: TypeAlias = (
    bytes
    | Annotated[list[bytes], msgspec.Meta(max_length=MAX_BODY_FRAMES)]
    | Annotated[int, msgspec.Meta(ge=1, le=MAX_BODY_FRAMES)]
)

Headers: TypeAlias = dict[str, str]


class _Bodiless(msgspec.Struct, frozen=True):
    """An item that never has a body, so that the codec need not ask each item what it is."""

    body: ClassVar[bytes] = b""


class Takes(msgspec.Struct, array_like=True, frozen=True):
    """How large may be what a peer is sent: it says so in its hello, and a sender looks first.

    ``message_bytes``: of all frames of one message together. Of a request ``target_bytes`` are
    those of method and path, ``header_bytes`` of the name and value of one field,
    ``headers_bytes`` of all fields; a response has no target.
    """

    body_bytes: int = 16 * 1024 * 1024
    message_bytes: int = 16 * 1024 * 1024 + 64 * 1024
    target_bytes: int = 2 * 1024
    header_fields: int = 64
    header_bytes: int = 4 * 1024
    headers_bytes: int = 16 * 1024

    @property
    def part_bytes(self) -> int:
        """In a message of so few bytes no header field and no body is over a bound."""
        return min(self.header_bytes, self.headers_bytes, self.body_bytes)


#: What a peer takes that does not say: the default limits.
DEFAULT_TAKES: Final = Takes()


class Hello(_Bodiless, array_like=True, tag=0, frozen=True):
    """The first item either way: who speaks, and what it can take.

    ``instance`` names one life of one process: a client that reads a new one knows that
    what the old one held is gone. ``credit`` is how many calls the sender takes at once;
    more wait at the other side. ``services``: what a worker offers, empty from a client;
    ``public``: those of them that have a route for which nobody needs a token; ``routes``:
    its routes, for people to read. ``takes``: how large may be what the sender is sent.

    A client whose connection has ended resumes on the next one. It says ``key``, a secret by
    which the broker knows it again, ``resumes``, the ``instance`` of the broker that it was
    connected to, and ``in_flight``, the ids of its calls there. A broker that is that instance
    still has these calls, but for those above ``seen``, the highest id that it has looked at,
    and those in ``lost``, to which no response will come.

    ``window`` comes from a broker: how many bytes that it has not read may be on their way to it;
    0: it sets no bound. A client counts bodies over 32 KiB, and learns from heartbeats which of its
    calls were read; a worker counts messages of several frames, and gets credit for their bytes.
    """

    version: int
    instance: str
    credit: int = 0
    services: Annotated[tuple[str, ...], msgspec.Meta(max_length=_MAX_SERVICES)] = ()
    public: Annotated[tuple[str, ...], msgspec.Meta(max_length=_MAX_SERVICES)] = ()
    routes: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_ROUTES)] = ()
    takes: Takes = DEFAULT_TAKES
    key: Annotated[str, msgspec.Meta(max_length=_MAX_KEY)] = ""
    resumes: str = ""
    in_flight: _Ids = ()
    seen: int = 0
    lost: _Ids = ()
    window: int = 0


class Call(msgspec.Struct, array_like=True, tag=1, gc=False):
    """One call. What a broker needs comes first.

    ``ttl``: milliseconds that remain until the deadline, seen from the sender. ``target``
    is the path, with the query behind a ``?``. ``principal`` and ``request_id`` are written
    by a broker for a worker; from a client they are ignored (promise P10). ``sent``: when, in
    milliseconds of the sender's own clock: what was longer on its way than others has less of
    its ``ttl`` left. 0 for its first call; or for all, if it does not say.
    """

    id: int
    ttl: int
    method: str
    target: str
    headers: Headers
    body: Body
    principal: Principal | None = None
    request_id: str = ""
    sent: int = 0


class Cancel(_Bodiless, array_like=True, tag=2, frozen=True):
    """The caller of ``id`` has gone: stop it, answer nothing."""

    id: int


class Response(msgspec.Struct, array_like=True, tag=3, gc=False):
    """The end of call ``id``.

    ``taken`` is false where a broker that drains has turned the call away: no worker was
    given it, so that another broker may be. ``parts``: how many parts went before; who has
    read fewer has lost some. ``stopped``: a worker's word that it has stopped its handler,
    because it was told to or the deadline had passed: then this is no response.
    """

    id: int
    status: int
    headers: Headers
    body: Body
    taken: bool = True
    parts: int = 0
    stopped: bool = False


class Part(msgspec.Struct, array_like=True, tag=4, gc=False):
    """One part of a streamed response; ``seq`` counts from 0, and a gap is an error."""

    id: int
    seq: int
    body: Body


class Credit(_Bodiless, array_like=True, tag=5, frozen=True):
    """Send ``more`` further parts of stream ``id``.

    With id 0, from a broker to a worker: ``more`` further bytes, see `Hello.window`.
    """

    id: int
    more: int


class Heartbeat(_Bodiless, array_like=True, tag=6, frozen=True):
    """Still here. Any item says as much.

    A broker that names a ``window`` in its hello has looked at all calls up to the id ``seen``.
    """

    seen: int = 0


class Goaway(_Bodiless, array_like=True, tag=7, frozen=True):
    """Send no further calls on this connection; ``reason`` is one of the words below.

    ``"draining"``: what runs will be finished. ``"unknown"``: we do not know you (a broker
    that has restarted): say hello on a new connection. ``"version"``: we do not speak yours.
    ``"closing"``: this is the last word. A broker that says ``"unknown"`` or ``"closing"`` to a
    client has not looked at its calls whose ids are above ``seen``, if that is not negative.
    ``"services"``: a worker cannot offer these. ``"full"``: a limit of ours is reached.
    ``"frontend"``, ``"backend"``: this port is for clients, or for workers, and you are not.
    """

    reason: str
    seen: int = -1


Item: TypeAlias = Hello | Call | Cancel | Response | Part | Credit | Heartbeat | Goaway


def frames_of(body: Body) -> list[bytes]:
    """Return a decoded body as frames; at least one, which may be empty."""
    if isinstance(body, bytes):
        return [body]
    assert isinstance(body, list)  # an int never leaves the codec
    return body or [b""]


def body_of(frames: Sequence[bytes]) -> bytes | list[bytes]:
    """Return frames as a body: a single one as itself; the inverse of `frames_of`."""
    return frames[0] if len(frames) == 1 else list(frames)
