"""Two guards: no test of this process sends a packet anywhere but loopback, unless it sits in a namespace made for it;
and no judge returns a finding that `vsipcheck explain` has no words for. And a clock that no busy machine can hurry."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import Any

import explained
import hypothesis
import pytest
import unhurried

import vsipcheck.net.host
import vsipcheck.sim.network

# A test that runs inside a network namespace of its own, with no way out, says so with this variable.
NAMESPACE_VARIABLE = "VSIPCHECK_TEST_NAMESPACE"


# Machines are shared: how long an example takes says nothing of it.
hypothesis.settings.register_profile("shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("shared")


@pytest.fixture(autouse=True, scope="session")
def no_hurry() -> Iterator[None]:
    """Time-outs within this process are never brought about by other processes of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.events, "new_event_loop", unhurried.UnhurriedLoop)
        patch.setattr(vsipcheck.net.host, "time", unhurried)
        patch.setattr(vsipcheck.sim.network, "time", unhurried)
        yield


class PacketRefusedError(AssertionError):
    """A test tried to reach a host that is not on loopback."""


def _is_loopback(address: object) -> bool:
    if not isinstance(address, tuple) or not address:
        return True  # a Unix socket
    host = address[0]
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def _in_own_namespace() -> bool:
    return bool(os.environ.get(NAMESPACE_VARIABLE))


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Iterator[None]:
    """Refuse connects, sends and look-ups that would leave this machine. Connecting a UDP socket sends nothing."""
    if _in_own_namespace():
        yield
        return
    patch = pytest.MonkeyPatch()

    def guard(name: str, position: int) -> None:
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, *args: Any, **kwargs: Any) -> Any:
            address = args[position] if len(args) > abs(position) - (position < 0) else None
            harmless = name in ("connect", "connect_ex") and self.type & 0xF == socket.SOCK_DGRAM
            inet = self.family in (socket.AF_INET, socket.AF_INET6)
            if inet and not harmless and isinstance(address, tuple) and not _is_loopback(address):
                raise PacketRefusedError(f"{name} to {address}: tests stay on loopback")
            return original(self, *args, **kwargs)

        patch.setattr(socket.socket, name, guarded)

    guard("connect", 0)
    guard("connect_ex", 0)
    guard("sendto", -1)
    guard("sendmsg", -1)
    look_up = socket.getaddrinfo

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not _is_name_of_loopback(name):
            raise PacketRefusedError(f"getaddrinfo({name!r}): tests stay on loopback")
        return look_up(host, *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield
    patch.undo()


def _is_name_of_loopback(name: str) -> bool:
    try:
        ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return name in ("", "localhost") or name.endswith((".invalid", ".localhost"))
    return True


# Before the test modules are imported: what they import is the watched function.
explained.watch_all()


@pytest.fixture(autouse=True)
def every_finding_is_explained() -> Iterator[None]:
    """Fails the test in which a judge returned a finding whose id, reason or status is not explained."""
    explained.unexplained.clear()
    yield
    assert not explained.unexplained, sorted(explained.unexplained)
