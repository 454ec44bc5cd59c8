"""UDP sockets on loopback, with the error queue and with the connected fallback."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from vsipcheck.model import Failure, Family
from vsipcheck.net import Datagram, IcmpError, UdpSocket
from vsipcheck.net.host import HostNetwork
from vsipcheck.net.udp import ErrorQueueSocket


@pytest.fixture(params=["error queue", "connected"])
def either(request: pytest.FixtureRequest) -> Iterator[HostNetwork]:
    with HostNetwork(connected_udp=request.param == "connected") as network:
        yield network


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(2)
        yield sock


@pytest.fixture
def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def opened(network: HostNetwork, source: str | None = None) -> UdpSocket:
    sock = network.udp_socket(Family.IPV4, source=source)
    assert not isinstance(sock, Failure)
    return sock


async def receive_some(sock: UdpSocket, count: int) -> list[Datagram | IcmpError]:
    arrived: list[Datagram | IcmpError] = []
    while len(arrived) < count:
        more = await sock.receive(2)
        assert more, f"only {arrived}"
        arrived += more
    return arrived


def test_datagrams_go_out_and_come_back(either: HostNetwork, peer: socket.socket) -> None:
    async def exchange() -> None:
        sock = opened(either)
        before_ms = either.now_ms()
        assert sock.send(b"ping", *peer.getsockname()) is None
        data, sender = peer.recvfrom(100)
        assert data == b"ping"
        assert sender[1] == sock.local[1]
        peer.sendto(b"pong", sender)
        (arrival,) = await receive_some(sock, 1)
        assert isinstance(arrival, Datagram)
        assert (arrival.data, arrival.address, arrival.port) == (b"pong", *peer.getsockname())
        assert before_ms <= arrival.at_ms <= either.now_ms()

    asyncio.run(exchange())
    (row,) = either.traffic().by_destination
    assert (row.protocol, row.packets, row.bytes) == ("udp", 1, 4)


def test_silence_is_an_empty_list(either: HostNetwork) -> None:
    assert asyncio.run(opened(either).receive(0.02)) == []


def test_a_closed_port_is_told_with_its_sender_and_what_was_quoted(network: HostNetwork, closed_port: int) -> None:
    async def probe() -> None:
        sock = opened(network)
        assert sock.send(b"mark 1", "127.0.0.1", closed_port) is None
        (arrival,) = await receive_some(sock, 1)
        assert isinstance(arrival, IcmpError)
        assert (arrival.address, arrival.port, arrival.quoted) == ("127.0.0.1", closed_port, b"mark 1")
        assert (arrival.icmp.address, arrival.icmp.type, arrival.icmp.code) == ("127.0.0.1", 3, 3)
        assert arrival.failure is Failure.PORT_UNREACHABLE

    asyncio.run(probe())


def test_a_closed_port_is_told_without_a_sender_by_the_fallback(closed_port: int) -> None:
    async def probe(network: HostNetwork) -> None:
        sock = opened(network)
        assert sock.send(b"mark 1", "127.0.0.1", closed_port) is None
        (arrival,) = await receive_some(sock, 1)
        assert isinstance(arrival, IcmpError)
        assert (arrival.address, arrival.port, arrival.quoted) == ("127.0.0.1", closed_port, b"")
        assert arrival.icmp.address is None
        assert arrival.failure is Failure.PORT_UNREACHABLE

    with HostNetwork(connected_udp=True) as network:
        asyncio.run(probe(network))


def test_a_pending_error_costs_no_datagram(either: HostNetwork, peer: socket.socket, closed_port: int) -> None:
    """Each send after an ICMP error raises once; all must go out all the same."""

    async def probe() -> list[Datagram | IcmpError]:
        sock = opened(either)
        for number in range(20):
            assert sock.send(b"x", "127.0.0.1", closed_port) is None
            assert sock.send(b"%d" % number, *peer.getsockname()) is None
        assert [peer.recv(10) for _ in range(20)] == [b"%d" % number for number in range(20)]
        return await receive_some(sock, 20)

    arrived = asyncio.run(probe())
    assert {type(arrival) for arrival in arrived} == {IcmpError}
    assert {arrival.port for arrival in arrived} == {closed_port}


def test_all_destinations_see_one_local_port(either: HostNetwork, peer: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(2)
        sock = opened(either)
        sock.send(b"a", *peer.getsockname())
        sock.send(b"b", *other.getsockname())
        assert peer.recvfrom(10)[1][1] == other.recvfrom(10)[1][1] == sock.local[1]


def test_strangers_are_heard_as_well(either: HostNetwork, peer: socket.socket) -> None:
    async def listen() -> None:
        sock = opened(either, "127.0.0.1")
        assert sock.local[0] == "127.0.0.1"
        peer.sendto(b"hello", sock.local)
        (arrival,) = await receive_some(sock, 1)
        assert isinstance(arrival, Datagram)
        assert arrival.port == peer.getsockname()[1]

    asyncio.run(listen())


def test_ttls_are_per_datagram(either: HostNetwork, peer: socket.socket) -> None:
    peer.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTTL if hasattr(socket, "IP_RECVTTL") else 12, 1)
    sock = opened(either)
    seen = []
    for ttl in (1, 7, None, 3):
        address, port = peer.getsockname()
        sock.send(b"x", address, port, ttl)
        _, ancillary, _, _ = peer.recvmsg(10, 64)
        seen.append(int.from_bytes(ancillary[0][2], "little"))
    assert seen == [1, 7, int(_default_ttl()), 3]


def _default_ttl() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)


@pytest.mark.parametrize(
    ("source", "failure"), [("192.0.2.77", Failure.ADDRESS_UNAVAILABLE), ("::1", Failure.ADDRESS_UNAVAILABLE)]
)
def test_a_foreign_source_is_a_failure(either: HostNetwork, source: str, failure: Failure) -> None:
    assert either.udp_socket(Family.IPV4, source=source) is failure


@pytest.mark.parametrize(
    ("address", "port"), [("localhost", 5000), ("::1", 5000), ("", 5000), ("127.0.0.1", 0), ("127.0.0.1", 70000)]
)
def test_only_addresses_of_the_family_can_be_sent_to(either: HostNetwork, address: str, port: int) -> None:
    assert opened(either).send(b"x", address, port) is Failure.LOCAL_ERROR


def test_too_much_for_a_datagram_is_a_failure(either: HostNetwork, peer: socket.socket) -> None:
    assert opened(either).send(b"x" * 70000, *peer.getsockname()) is Failure.MESSAGE_TOO_BIG
    assert either.traffic().packets_sent == 0


def test_closing_ends_a_wait(network: HostNetwork) -> None:
    async def wait() -> None:
        sock = opened(network)
        waiting = asyncio.create_task(sock.receive(30))
        await asyncio.sleep(0)
        sock.close()
        assert await waiting == []
        # The number of the closed socket may be taken again at once; nothing of ours may be left in the loop.
        again = opened(network)
        assert await again.receive(0.01) == []

    asyncio.run(wait())


def test_cancelling_a_wait_is_not_swallowed(either: HostNetwork, peer: socket.socket) -> None:
    async def wait() -> None:
        sock = opened(either)
        waiting = asyncio.create_task(sock.receive(30))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        sock.send(b"x", *peer.getsockname())
        peer.sendto(b"y", ("127.0.0.1", sock.local[1]))
        assert len(await receive_some(sock, 1)) == 1

    asyncio.run(wait())


def test_a_flood_is_bounded(network: HostNetwork, monkeypatch: pytest.MonkeyPatch, peer: socket.socket) -> None:
    monkeypatch.setattr("vsipcheck.net.udp._MAX_WAITING", 16)

    async def listen() -> int:
        sock = opened(network, "127.0.0.1")
        for _ in range(100):
            peer.sendto(b"x", sock.local)
        return len(await sock.receive(1))

    assert asyncio.run(listen()) <= 16


class _Scripted:
    """A socket whose sends fail as told, for what loopback cannot do."""

    family = socket.AF_INET

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.sends = 0

    def sendmsg(self, *_: Any) -> int:
        self.sends += 1
        raise OSError(self.errors.pop(0) if len(self.errors) > 1 else self.errors[0], "")

    def recvmsg(self, *_: Any) -> Any:
        raise BlockingIOError

    def fileno(self) -> int:
        return -1

    def getsockname(self) -> tuple[str, int]:
        return ("0.0.0.0", 1234)


@pytest.mark.parametrize(
    ("code", "failure", "sends"),
    [
        (errno.EPERM, Failure.LOCAL_DENIED, 1),
        (errno.ENETUNREACH, Failure.NO_ROUTE, 2),
        (errno.EHOSTUNREACH, Failure.NO_ROUTE, 2),
        (errno.EACCES, Failure.LOCAL_DENIED, 2),
    ],
)
def test_a_send_that_fails_again_has_failed(network: HostNetwork, code: int, failure: Failure, sends: int) -> None:
    scripted: Any = _Scripted(code)
    sock = ErrorQueueSocket(scripted, network.now_ms, network._meter, ())
    assert sock.send(b"x", "127.0.0.1", 1) is failure
    assert scripted.sends == sends


def test_stamps_of_a_clock_that_was_set_are_not_believed(network: HostNetwork) -> None:
    sock = opened(network)
    assert isinstance(sock, ErrorQueueSocket)
    now_ms = network.now_ms()
    for skew_ns in (-3_600_000_000_000, 3_600_000_000_000):
        at_ms = sock._at_ms(time.time_ns() + skew_ns)
        assert now_ms <= at_ms <= network.now_ms()
    assert sock._at_ms(None) >= now_ms
