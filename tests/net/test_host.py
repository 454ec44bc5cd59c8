from __future__ import annotations

import subprocess
import sys
import time

import pytest

from vsipcheck.model import Failure, Family
from vsipcheck.net import Network, host
from vsipcheck.net.host import HostNetwork


def test_it_is_a_network(network: HostNetwork) -> None:
    wanted: Network = network
    assert not wanted.simulated


def test_time_runs_from_the_start_of_the_run() -> None:
    network = HostNetwork(time.monotonic() - 100)
    assert 100_000 <= network.now_ms() < 160_000


def test_linux_shows_icmp_errors(network: HostNetwork) -> None:
    capabilities = network.capabilities
    assert (capabilities.icmp_errors, capabilities.ttl_probes, capabilities.os, capabilities.why_not) == (
        True,
        True,
        "Linux",
        None,
    )


def test_other_platforms_say_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "is_linux", lambda: False)
    monkeypatch.setattr(sys, "platform", "darwin")
    capabilities = host._capabilities()
    assert (capabilities.icmp_errors, capabilities.ttl_probes, capabilities.os) == (False, False, "macOS")
    assert capabilities.why_not


def test_a_kernel_without_an_error_queue_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsipcheck.net.errqueue.enable", lambda _: False)
    capabilities = host._capabilities()
    assert not capabilities.icmp_errors
    assert capabilities.why_not


def test_sockets_left_open_are_closed_with_the_network() -> None:
    with HostNetwork() as network:
        sock = network.udp_socket(Family.IPV4)
        assert not isinstance(sock, Failure)
    assert sock.send(b"x", "127.0.0.1", 5000) is Failure.LOCAL_ERROR


def test_heavy_modules_are_loaded_where_they_are_used() -> None:
    script = (
        "import sys, vsipcheck.net.host\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'httpx', 'dns', 'netifaces', 'anyio', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
