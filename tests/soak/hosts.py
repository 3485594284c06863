"""Hosts on one machine: network namespaces on a bridge, with links that can be cut.

This needs Linux, root, iproute2 and nftables. No packets leave the namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Hosts", "why_not"]

#: From the block that RFC 5737 reserves for documentation, which is not routed.
ADDRESS: Final = "192.0.2.{}"


def why_not() -> str:
    """Return the reason why hosts are not possible here, or an empty string."""
    if os.geteuid() != 0:
        return "network namespaces are root's to make"
    missing = [name for name in ("ip", "nft") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "" if made.returncode == 0 else "this machine allows no network namespaces"


@final
class Hosts:
    """A namespace for each name, and one for the bridge between them."""

    def __init__(self, *names: str) -> None:
        self._prefix = f"soak{os.getpid()}"
        self._names = names
        self._stack = ExitStack()

    def __enter__(self) -> Hosts:
        with ExitStack() as stack:
            self._add_namespace(stack, "bridge")
            self._on("bridge", "ip link add name br0 type bridge")
            self._on("bridge", "ip link set br0 up")
            for number, name in enumerate(self._names, 1):
                self._add_namespace(stack, name)
                self._plug_in(name, number)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def address(self, name: str) -> str:
        """Return the address of a host."""
        return ADDRESS.format(self._names.index(name) + 1)

    def runner(self, name: str) -> Sequence[str]:
        """Return the command that runs another command on a host."""
        return ("ip", "netns", "exec", self._namespace(name))

    def cut(self, name: str, *directions: str) -> None:
        """Drop the packets to a host (``input``), from it (``output``), or both."""
        for direction in directions:
            self._on(name, f"nft add rule inet soak {direction} drop")

    def heal(self, name: str) -> None:
        """Let all packets pass again."""
        self._on(name, "nft flush table inet soak")

    def _namespace(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _add_namespace(self, stack: ExitStack, name: str) -> None:
        _run(f"ip netns add {self._namespace(name)}")
        stack.callback(_run, f"ip netns delete {self._namespace(name)}")
        self._on(name, "ip link set lo up")

    def _plug_in(self, name: str, number: int) -> None:
        bridge, port = self._namespace("bridge"), f"port{number}"
        self._on(name, f"ip link add eth0 type veth peer name {port} netns {bridge}")
        self._on(name, f"ip address add {ADDRESS.format(number)}/24 dev eth0")
        self._on(name, "ip link set eth0 up")
        self._on("bridge", f"ip link set {port} master br0 up")
        self._on(name, "nft add table inet soak")
        for hook in ("input", "output"):
            chain = f"{{ type filter hook {hook} priority 0; }}"
            _run(*self.runner(name), "nft", f"add chain inet soak {hook} {chain}")

    def _on(self, name: str, command: str) -> None:
        _run(*self.runner(name), *command.split())


def _run(*words: str) -> None:
    command = words[0].split() if len(words) == 1 else words
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
