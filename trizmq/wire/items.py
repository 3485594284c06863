"""The items of the native dialect, which represent messages of all dialects.

Messages of all other dialects are converted to and from items, so that any client reaches any
worker: they all have a service, a method, a path, headers and a body.

An item is a msgspec Struct, encoded as a msgpack array whose first element is the tag. The sender
chooses the ids: a response repeats the id of its call. A peer ignores fields at the end that it
does not know, so fields are only ever added at the end.
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
    "PART_OVERHEAD",
    "VERSION",
    "Body",
    "Call",
    "Cancel",
    "Credit",
    "Goaway",
    "Head",
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

#: The version of the native dialect, sent in every hello.
VERSION: Final = 1

#: The maximum number of frames of a body. MDP has up to 32; the parts of a stream may be joined.
MAX_BODY_FRAMES: Final = 1024

#: The maximum number of services in a worker's hello. The broker has a lower limit, and reports it.
_MAX_SERVICES: Final = 100_000

#: The maximum number of calls that one client may have in flight at one broker.
MAX_IN_FLIGHT: Final = 65_536

_Ids: TypeAlias = Annotated[tuple[int, ...], msgspec.Meta(max_length=MAX_IN_FLIGHT)]

_MAX_KEY: Final = 64

#: Bytes by which a part counts beyond its own, so that many small parts are bounded, too.
PART_OVERHEAD: Final = 128

#: The maximum number of routes in a worker's hello, which no program reaches.
MAX_ROUTES: Final = 20_000

#: ``bytes``: one frame, the usual case. A list: several frames (an MDP peer's body). An int: the
#: body is that number of frames of the message, after the batch (large bodies travel this way to
#: avoid a copy); it occurs only inside the codec.
Body: TypeAlias = (
    bytes
    | Annotated[list[bytes], msgspec.Meta(max_length=MAX_BODY_FRAMES)]
    | Annotated[int, msgspec.Meta(ge=1, le=MAX_BODY_FRAMES)]
)

Headers: TypeAlias = dict[str, str]


class _Bodiless(msgspec.Struct, frozen=True):
    """An item without a body, with an attribute so that the codec can treat all items alike."""

    body: ClassVar[bytes] = b""


class Takes(msgspec.Struct, array_like=True, frozen=True):
    """The size limits that a peer announces in its hello, and that senders observe.

    ``message_bytes`` limits all frames of one message together. For a request,
    ``target_bytes`` limits method and path, ``header_bytes`` the name and value of one field,
    and ``headers_bytes`` all fields; a response has no target.
    """

    body_bytes: int = 16 * 1024 * 1024
    message_bytes: int = 16 * 1024 * 1024 + 64 * 1024
    target_bytes: int = 2 * 1024
    header_fields: int = 64
    header_bytes: int = 4 * 1024
    headers_bytes: int = 16 * 1024

    @property
    def part_bytes(self) -> int:
        """A message of up to this size has no header field or body that exceeds a limit."""
        return min(self.header_bytes, self.headers_bytes, self.body_bytes)


#: The limits of a peer that announces none: the defaults.
DEFAULT_TAKES: Final = Takes()


class Hello(_Bodiless, array_like=True, tag=0, frozen=True):
    """The first item in each direction: the sender and its limits.

    ``instance`` identifies one run of one process: if a client sees a new one, the state of the
    old one is gone. ``credit`` is the number of calls that the sender accepts at once; further
    calls wait at the other side. ``services`` are the services of a worker, empty from a client;
    ``public`` are the services with a route that needs no token; ``routes`` are the worker's
    routes, for display. ``takes`` is the size limits for messages to the sender.

    A client whose connection has ended resumes on the next one. It sends ``key``, a secret by
    which the broker recognizes it; ``resumes``, the ``instance`` of the broker that it was
    connected to; and ``in_flight``, the ids of its calls there. If the broker is that instance,
    it still has these calls, except for those above ``seen``, the highest id that it has
    processed, and those in ``lost``, which will get no response.

    ``window`` comes from a broker: the number of unread bytes that may be in transit to it; 0
    means no limit. A client counts bodies over 32 KiB, and learns from heartbeats which of its
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
    """A call. The fields that a broker needs come first.

    ``ttl`` is the remaining time until the deadline in milliseconds, as the sender sees it.
    ``target`` is the path, with the query after a ``?``. A broker sets ``principal`` and
    ``request_id`` for a worker; values from a client are ignored (promise P10). ``sent`` is the
    sender's own clock in milliseconds: if a call took longer to arrive than others, the
    difference is subtracted from its ``ttl``. It is 0 for the sender's first call, or for all
    calls if the sender does not use it.

    ``window`` is the number of bytes that the caller accepts of a streamed response before it
    grants more with `Credit`; each part counts as its size and `PART_OVERHEAD`. It is 0 if the
    caller joins the parts to one body.
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
    window: int = 0


class Cancel(_Bodiless, array_like=True, tag=2, frozen=True):
    """The caller of ``id`` has gone: stop the call, and send no response."""

    id: int


class Response(msgspec.Struct, array_like=True, tag=3, gc=False):
    """The end of call ``id``.

    ``taken`` is false if a draining broker has rejected the call: no worker received it, so
    another broker may. ``parts`` is the number of parts that preceded the response; a receiver
    with fewer has lost some. ``stopped`` means that a worker has stopped the handler, because of
    a cancellation or the deadline; then this is not a response.
    """

    id: int
    status: int
    headers: Headers
    body: Body
    taken: bool = True
    parts: int = 0
    stopped: bool = False


class Part(msgspec.Struct, array_like=True, tag=4, gc=False):
    """One part of a streamed response; ``seq`` counts from 0, and a gap is an error.

    The stream ends with a `Response`. If that is an error, the receiver raises it after the parts.
    """

    id: int
    seq: int
    body: Body


class Credit(_Bodiless, array_like=True, tag=5, frozen=True):
    """The receiver may send ``more`` further bytes of stream ``id``: see `Call.window`.

    With id 0, from a broker to a worker: ``more`` further bytes, see `Hello.window`.
    """

    id: int
    more: int


class Heartbeat(_Bodiless, array_like=True, tag=6, frozen=True):
    """A sign of life. All other items count as one too.

    A broker with a ``window`` in its hello has processed all calls up to the id ``seen``.
    """

    seen: int = 0


class Goaway(_Bodiless, array_like=True, tag=7, frozen=True):
    """The receiver should send no further calls on this connection, for a ``reason``.

    ``"draining"``: running calls will be finished. ``"unknown"``: the sender does not know the
    receiver (it has restarted), which should say hello on a new connection. ``"version"``: the
    sender does not support this version. ``"closing"``: this is the last message. A broker that
    sends ``"unknown"`` or ``"closing"`` to a client has not processed its calls with ids above
    ``seen``, unless that is negative. ``"services"``: a worker's services are invalid.
    ``"full"``: a limit is reached. ``"frontend"``, ``"backend"``: this port is only for clients,
    or only for workers.
    """

    reason: str
    seen: int = -1


class Head(_Bodiless, array_like=True, tag=8, frozen=True):
    """The beginning of a streamed response, before its parts, if the `Call` has a ``window``."""

    id: int
    status: int
    headers: Headers


Item: TypeAlias = Hello | Call | Cancel | Response | Part | Credit | Heartbeat | Goaway | Head


def frames_of(body: Body) -> list[bytes]:
    """Return a decoded body as frames: at least one, which may be empty."""
    if isinstance(body, bytes):
        return [body]
    assert isinstance(body, list)  # an int occurs only inside the codec
    return body or [b""]


def body_of(frames: Sequence[bytes]) -> bytes | list[bytes]:
    """Return frames as a body, a single frame as bytes; the inverse of `frames_of`."""
    return frames[0] if len(frames) == 1 else list(frames)
