"""Endpoints: their syntax, whether they are reachable from outside, and their addresses."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

import trio

from ..errors import ConfigError

__all__ = [
    "LONGEST_PATH",
    "check_bind",
    "check_connect",
    "find_addresses",
    "is_local",
    "is_refused",
    "split_endpoints",
]

#: The maximum duration of a name lookup, in seconds.
LOOKUP_SECONDS: Final = 5.0

#: The maximum time to wait for a machine to refuse a connection, in seconds.
PROBE_SECONDS: Final = 1.0


async def find_addresses(endpoint: str) -> list[str]:
    """Return ``endpoint`` with addresses instead of its host name, IPv4 addresses first.

    libzmq looks up names in the only thread that serves all connections of a context: a name
    server that does not respond blocks them all for 10 to 20 s. For this reason, libzmq gets
    addresses.

    Returns:
      Only ``endpoint`` if it has no host name; nothing if the name cannot be resolved now.

    """
    transport, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    if transport != "tcp" or ";" in host or _is_address(host):
        return [endpoint]
    found: list[tuple[int, str]] = []
    with trio.move_on_after(LOOKUP_SECONDS):
        try:
            infos = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # UnicodeError: not a possible host name
            return []
        found = [(info[0], str(info[4][0])) for info in infos]
    # By default, our servers bind to 127.0.0.1, and "localhost" may be ::1, without a listener.
    # Within a family, keep the order of the system.
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    hosts = dict.fromkeys(f"[{ip}]" if family == socket.AF_INET6 else ip for family, ip in found)
    return [f"tcp://{ip}:{port}" for ip in hosts]


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


async def is_refused(address: str) -> bool:
    """Return whether there is certainly no server at ``address``.

    A server that is stopped or busy still exists: the kernel accepts connections for it.
    """
    transport, _, place = address.partition("://")
    if transport not in ("tcp", "ipc"):
        return False
    to: str | tuple[str, int] = place
    if transport == "tcp":
        host, _, port = place.rpartition(":")
        to = host.strip("[]"), int(port)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
    else:
        family = socket.AF_UNIX
    try:
        with trio.socket.socket(family) as probe, trio.move_on_after(PROBE_SECONDS):
            await probe.connect(to)
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except (OSError, ValueError):
        pass
    return False


#: The maximum length of an ipc path: `sun_path` of unix(7), without the final zero.
LONGEST_PATH: Final = 107
LARGEST_PORT: Final = 65535

#: Addresses that mean all interfaces. They are valid only for binding.
EVERY_INTERFACE: Final = ("*", "0.0.0.0", "[::]", "[*]")  # noqa: S104


class _EndpointError(ValueError):
    """The error in an endpoint."""


def split_endpoints(endpoints: str) -> list[str]:
    """Split a comma-separated list of endpoints."""
    return [endpoint.strip() for endpoint in endpoints.split(",")]


def check_bind(endpoint: str) -> None:
    """Refuse an endpoint that cannot be bound, or only by replacing something else.

    libzmq deletes anything at the path of an ipc endpoint, including a user's file, and takes
    over from a server that is listening there.

    Raises:
      ConfigError: one line with the error and the correct form.

    """
    try:
        transport, address = _split(endpoint)
        if transport == "tcp":
            _, port = _host_and_port(address)
            _check_port(port, at_least=0, or_any=True)
        elif transport == "ipc" and not address.startswith(("@", "*")):
            _check_place(address)
    except _EndpointError as wrong:
        raise ConfigError(f"cannot bind {endpoint or repr(endpoint)}: {wrong}") from None


def check_connect(endpoint: str) -> None:
    """Refuse an endpoint to which no connection is possible.

    Raises:
      ConfigError: one line with the error and the correct form.

    """
    try:
        transport, address = _split(endpoint)
        if transport == "tcp":
            host, port = _host_and_port(address)
            if host in EVERY_INTERFACE:
                raise _EndpointError(
                    f"{host} is only for servers: use the address of a machine, as in tcp://127.0.0.1:{port}"
                )
            _check_port(port, at_least=1, or_any=False)
    except _EndpointError as wrong:
        raise ConfigError(f"cannot connect to {endpoint or repr(endpoint)}: {wrong}") from None


def is_local(endpoint: str) -> bool:
    """Return whether the other end is certainly on this machine; False if unknown."""
    transport, _, address = endpoint.partition("://")
    host = address.rpartition(":")[0].strip("[]")
    return transport in ("ipc", "inproc") or host == "localhost" or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:  # a name, an interface, or "*"
        return False
    # With IPv6 on, libzmq reports 127.0.0.1 as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _split(endpoint: str) -> tuple[str, str]:
    if not endpoint:
        raise _EndpointError("an endpoint is empty: is there an extra comma?")
    is_path = endpoint.startswith("ipc://")  # which may have spaces
    if not endpoint.isprintable() or (not is_path and re.search("[ ;]", endpoint)):
        raise _EndpointError("an endpoint has no white space or ';': separate several by commas")
    transport, separator, address = endpoint.partition("://")
    if not separator:
        raise _EndpointError(f"the transport is missing, as in tcp://{_guess(endpoint)}")
    if transport not in ("tcp", "ipc", "inproc"):
        raise _EndpointError(f"unknown transport {transport!r}: use tcp, ipc or inproc")
    if not address:
        raise _EndpointError(f"nothing follows {transport}://")
    if transport == "ipc" and len(os.fsencode(address)) > LONGEST_PATH:
        raise _EndpointError(f"the path of an ipc endpoint has at most {LONGEST_PATH} bytes")
    return transport, address


def _guess(address: str) -> str:
    address = re.sub("^[a-z]+:/+", "", address)  # a slash is missing
    return address if re.search(r":[0-9*]+$", address) else "127.0.0.1:5555"


def _host_and_port(address: str) -> tuple[str, str]:
    host, colon, port = address.rpartition(":")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise _EndpointError(
            f"an IPv6 address needs brackets, as in tcp://[{host.strip('[]')}]:{port}"
        )
    if not colon or not port or host.startswith("[") is not host.endswith("]"):
        raise _EndpointError(f"the port is missing, as in tcp://{address.rstrip(':')}:5555")
    if not host:
        raise _EndpointError(f"the host is missing, as in tcp://127.0.0.1:{port}")
    return host, port


def _check_port(port: str, *, at_least: int, or_any: bool) -> None:
    if or_any and port == "*":
        return
    if not (port.isascii() and port.isdecimal() and at_least <= int(port) <= LARGEST_PORT):
        any_port = ", or * for a free one" if or_any else ""
        raise _EndpointError(f"a port is a number from 1 to {LARGEST_PORT}{any_port}, not {port!r}")


def _check_place(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        folder = Path(path).parent
        if not folder.is_dir():
            raise _EndpointError(f"there is no directory {folder}") from None
        return
    except OSError as error:
        raise _EndpointError((error.strerror or str(error)).lower()) from None
    if not stat.S_ISSOCK(mode):
        raise _EndpointError("the path exists already and is not a socket: choose another")
    if _is_in_use(path):
        raise _EndpointError("address already in use")


def _is_in_use(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # for a server that is stopped and whose backlog is full
        # Only a refusal proves that there is no listener. If the socket cannot be opened, or has
        # another type, it belongs to another program.
        return probe.connect_ex(path) != errno.ECONNREFUSED
