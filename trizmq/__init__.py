"""trizmq: RPC over ZeroMQ, built on Trio. This module contains only the public names.

Each name is imported on first use (PEP 562): ``trizmq --help`` loads no sockets, and a plugin
that only declares routes loads no client.

Layout: `broker`, `worker` and `client` are the three roles. Each has an engine, with values as
inputs and outputs, and the loops that drive it; `processes` combines them into servers. They use
`wire` (frames), `transport` (sockets) and `app` (routes, handlers, plugins). The modules at this
level are shared by all of them. `cli` is the command line, and `testing` is for plugin authors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import testing as testing
    from .app.config import local_token_file as local_token_file
    from .app.config import state_dir as state_dir
    from .app.hookspecs import hookimpl as hookimpl
    from .app.router import Route as Route
    from .app.router import Router as Router
    from .client.opening import open_client as open_client
    from .client.requests import Details as Details
    from .client.requests import StreamDetails as StreamDetails
    from .client.streams import ResponseStream as ResponseStream
    from .client.sync_client import SyncClient as SyncClient
    from .client.sync_client import SyncDetails as SyncDetails
    from .client.sync_streams import SyncResponseStream as SyncResponseStream
    from .client.trio_client import Client as Client
    from .errors import CallError as CallError
    from .errors import ConfigError as ConfigError
    from .errors import DeadlineExceeded as DeadlineExceeded
    from .errors import HTTPError as HTTPError
    from .errors import LocalProtocolError as LocalProtocolError
    from .errors import NoResponseError as NoResponseError
    from .errors import Overloaded as Overloaded
    from .errors import PluginError as PluginError
    from .errors import ProtocolError as ProtocolError
    from .errors import RemoteProtocolError as RemoteProtocolError
    from .errors import TrizmqError as TrizmqError
    from .errors import Unreachable as Unreachable
    from .headers import Headers as Headers
    from .hook_values import AdmittedCall as AdmittedCall
    from .hook_values import Discard as Discard
    from .hook_values import Event as Event
    from .hook_values import Forward as Forward
    from .hook_values import Reject as Reject
    from .hook_values import SendTo as SendTo
    from .hook_values import Verdict as Verdict
    from .later import Later as Later
    from .messages import Precondition as Precondition
    from .messages import Principal as Principal
    from .messages import Request as Request
    from .messages import Response as Response
    from .messages import ResponseError as ResponseError
    from .messages import problem as problem
    from .processes.serve import serve as serve

__version__ = "0.1.0"

#: The module that defines each public name; `tests/test_face.py` compares it with the above.
_ROOMS = {
    "hook_values": ["AdmittedCall", "Discard", "Event", "Forward", "Reject", "SendTo", "Verdict"],
    "app.config": ["local_token_file", "state_dir"],
    "app.hookspecs": ["hookimpl"],
    "app.router": ["Route", "Router"],
    "errors": [
        "CallError",
        "ConfigError",
        "DeadlineExceeded",
        "HTTPError",
        "LocalProtocolError",
        "NoResponseError",
        "Overloaded",
        "PluginError",
        "ProtocolError",
        "RemoteProtocolError",
        "TrizmqError",
        "Unreachable",
    ],
    "headers": ["Headers"],
    "later": ["Later"],
    "messages": ["Precondition", "Principal", "Request", "Response", "ResponseError", "problem"],
    "client.opening": ["open_client"],
    "client.requests": ["Details", "StreamDetails"],
    "client.streams": ["ResponseStream"],
    "client.sync_streams": ["SyncResponseStream"],
    "client.sync_client": ["SyncClient", "SyncDetails"],
    "client.trio_client": ["Client"],
    "processes.serve": ["serve"],
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = sorted([*_ROOM_OF, "__version__", "testing"])


def __getattr__(name: str) -> object:
    if name == "testing":
        return import_module(".testing", __name__)
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOM_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
