"""From an endpoint's name to addresses, asked in time, and whether a server listens at one."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Final

import trio

__all__ = ["find_addresses", "is_refused"]

#: How long a name server may take, in seconds.
LOOKUP_SECONDS: Final = 5.0

#: How long a machine may take to refuse a connection.
PROBE_SECONDS: Final = 1.0


async def find_addresses(endpoint: str) -> list[str]:
    """Return endpoints with addresses in place of the name in ``endpoint``; IPv4 comes first.

    libzmq looks names up in the one thread that serves every connection of a context: a name
    server that does not answer stops them all for 10 to 20 s. So libzmq is given addresses.

    Returns:
      ``endpoint`` alone if it has no name; nothing if its name cannot be found now.

    """
    transport, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    if transport != "tcp" or ";" in host or _is_address(host):
        return [endpoint]
    found: list[tuple[int, str]] = []
    with trio.move_on_after(LOOKUP_SECONDS):
        try:
            infos = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # UnicodeError: no name can be like that
            return []
        found = [(info[0], str(info[4][0])) for info in infos]
    # Our servers are bound to 127.0.0.1 unless they are told otherwise, and "localhost" may
    # be ::1, where none listens. The order within a family is the system's.
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
    """Tell whether it is certain that no server listens at ``address``.

    A server that is stopped or busy is still there: the kernel accepts for it.
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
