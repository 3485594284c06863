"""Which endpoints stay on this machine."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

__all__ = ["is_local", "split_endpoints"]


def split_endpoints(endpoints: str) -> list[str]:
    """Return the endpoints of a list that is separated by commas."""
    return [endpoint.strip() for endpoint in endpoints.split(",")]


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
