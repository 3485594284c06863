"""Which endpoints stay on this machine."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from ..errors import ConfigError

__all__ = ["check_endpoint", "is_local", "is_taken", "split_endpoints"]


def split_endpoints(endpoints: str) -> list[str]:
    """Return the endpoints of a list that is separated by commas."""
    return [endpoint.strip() for endpoint in endpoints.split(",")]


def check_endpoint(endpoint: str) -> None:
    """Refuse what libzmq takes without a word and misunderstands.

    Raises:
      ConfigError: one line: the port is none (libzmq would take the rest modulo 65,536).

    """
    transport, _, address = endpoint.partition("://")
    port = address.rpartition(":")[2]
    if transport == "tcp" and port.isdecimal() and int(port) > 65535:
        raise ConfigError(f"{endpoint}: a port is at most 65535")


def is_taken(endpoint: str) -> bool:
    """Tell whether somebody listens at an ipc endpoint; libzmq would take it from them."""
    transport, _, path = endpoint.partition("://")
    if transport != "ipc" or not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def is_local(endpoint: str) -> bool:
    """Tell whether only this machine can be at the other end; of an unknown one, no."""
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
