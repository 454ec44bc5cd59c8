"""The system's own resolution, with getaddrinfo replaced: no test asks a nameserver."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from vsipcheck.model import Failure, Family
from vsipcheck.net import SystemLookup
from vsipcheck.net.host import HostNetwork


def look_up(network: HostNetwork, family: Family = Family.IPV4, timeout_s: float = 2.0) -> SystemLookup:
    return asyncio.run(network.resolve_system("pbx.example", family, timeout_s))


def replace(monkeypatch: pytest.MonkeyPatch, result: Any) -> list[Any]:
    asked: list[Any] = []

    def getaddrinfo(*arguments: Any) -> Any:
        asked.append(arguments)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_addresses_come_in_order_and_once(network: HostNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, canonical, (address, 0))
        for address, canonical in (("192.0.2.2", "edge.example"), ("192.0.2.1", ""), ("192.0.2.2", ""))
    ]
    asked = replace(monkeypatch, rows)
    lookup = look_up(network)
    assert lookup.addresses == ("192.0.2.2", "192.0.2.1")
    assert (lookup.failure, lookup.canonical_name) == (None, "edge.example")
    assert asked[0][2] == socket.AF_INET


@pytest.mark.parametrize(
    ("family", "wanted"),
    [(Family.IPV4, socket.AF_INET), (Family.IPV6, socket.AF_INET6), (Family.ANY, socket.AF_UNSPEC)],
)
def test_the_family_is_asked_for(
    network: HostNetwork, monkeypatch: pytest.MonkeyPatch, family: Family, wanted: int
) -> None:
    asked = replace(monkeypatch, [])
    assert look_up(network, family).failure is Failure.NODATA
    assert asked[0][2] == wanted


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (socket.gaierror(socket.EAI_NONAME, ""), Failure.NXDOMAIN),
        (socket.gaierror(socket.EAI_AGAIN, ""), Failure.SERVFAIL),
        (socket.gaierror(socket.EAI_FAIL, ""), Failure.SERVFAIL),
        (UnicodeError("label too long"), Failure.DNS_ERROR),
        (OSError(24, "too many open files"), Failure.LOCAL_ERROR),
    ],
)
def test_errors_are_failures(
    network: HostNetwork, monkeypatch: pytest.MonkeyPatch, error: Exception, failure: Failure
) -> None:
    replace(monkeypatch, error)
    lookup = look_up(network)
    assert (lookup.addresses, lookup.failure) == ((), failure)


def test_a_time_out_leaves_the_thread_behind(network: HostNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def getaddrinfo(*_: Any) -> Any:
        release.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert look_up(network, timeout_s=0.02).failure is Failure.DNS_TIMEOUT
    release.set()


def test_a_look_up_that_never_ends_does_not_keep_the_process() -> None:
    script = (
        "import asyncio, socket, time\n"
        "from vsipcheck.model import Family\n"
        "from vsipcheck.net.host import HostNetwork\n"
        "socket.getaddrinfo = lambda *_: time.sleep(600)\n"
        "print(asyncio.run(HostNetwork().resolve_system('pbx.example', Family.IPV4, 0.01)).failure)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "dns_timeout"
