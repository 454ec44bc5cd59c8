"""`SimNetwork` method by method: real bytes on loopback under the scenario's addresses, and nothing left open."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import dns.message
import msgspec
import pytest

from vsipcheck.model import Failure, Family, Profile
from vsipcheck.net import Datagram, IcmpError, Network, Received, Stream, UdpSocket
from vsipcheck.profiles import load_profile
from vsipcheck.sim import SCENARIOS, Scenario, SimNetwork, open_simulation
from vsipcheck.sim.scenario import DnsRule, EchoBehaviour, Hop, SipBehaviour
from vsipcheck.wire import stun

T = TypeVar("T")

PROFILE: Profile = load_profile("exotel-tcp-mumbai")
IN2, IN2_ADDRESS = "pstn.in2.exotel.com", "182.76.143.101"
IN4_ADDRESS = "3.108.10.20"
MEDIA, CLOSED_MEDIA = "182.76.143.61", "61.246.82.75"
HOST, PUBLIC = "192.168.1.50", "49.36.10.7"
OPTIONS = (
    f"OPTIONS sip:{IN2} SIP/2.0\r\nVia: SIP/2.0/TCP {HOST};branch=z9hG4bKx;rport\r\nFrom: <sip:a@b>;tag=1\r\n"
    f"To: <sip:{IN2}>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
).encode()


def on(scenario: str | Scenario, work: Callable[[SimNetwork], Awaitable[T]]) -> T:
    """What `work` gives on a network of the scenario."""

    async def run() -> T:
        chosen = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
        async with open_simulation(chosen, PROFILE) as network:
            return await asyncio.wait_for(work(network), 20)

    return asyncio.run(run())


def healthy_but(**changes: Any) -> Scenario:
    return msgspec.structs.replace(SCENARIOS["healthy"], **changes)


def with_sip(address: str, behaviour: SipBehaviour) -> Scenario:
    healthy = SCENARIOS["healthy"]
    target = msgspec.structs.replace(healthy.targets[address], sip=behaviour)
    return healthy_but(targets={**healthy.targets, address: target})


async def connect(network: SimNetwork, address: str = IN2_ADDRESS, port: int = 5070) -> Stream:
    connected = await network.tcp_connect(address, port, 5.0)
    assert connected.stream is not None
    return connected.stream


def test_it_is_a_network_and_says_that_it_is_simulated() -> None:
    async def work(network: SimNetwork) -> tuple[bool, bool]:
        as_protocol: Network = network
        return as_protocol.simulated, as_protocol.capabilities.icmp_errors

    assert on("healthy", work) == (True, True)


# TCP.


def test_a_connection_goes_by_the_scenarios_addresses_and_the_edge_sees_the_public_one() -> None:
    async def work(network: SimNetwork) -> tuple[Any, ...]:
        connected = await network.tcp_connect(IN2_ADDRESS, 5070, 5.0)
        assert connected.stream is not None
        await connected.stream.send(OPTIONS, 1.0)
        received = await connected.stream.receive(5.0)
        return connected, connected.stream.local, connected.stream.remote, received

    connected, local, remote, received = on("healthy", work)
    assert connected.rtt_ms == 9.4
    assert connected.local == local
    assert local[0] == HOST
    assert remote == (IN2_ADDRESS, 5070)
    assert received.data.startswith(b"SIP/2.0 200 OK\r\n")
    assert f";rport={local[1]};received={PUBLIC}".encode() in received.data


@pytest.mark.parametrize(
    ("scenario", "address", "port", "ttl", "failure", "answered_by"),
    [
        ("not-whitelisted", IN2_ADDRESS, 5070, None, Failure.CONNECT_TIMEOUT, None),
        ("tcp-refused", IN2_ADDRESS, 5070, None, Failure.REFUSED, None),
        ("healthy", IN2_ADDRESS, 5070, 1, Failure.TTL_EXCEEDED, "192.168.1.1"),
        ("healthy", IN2_ADDRESS, 5070, 6, Failure.TTL_EXCEEDED, "182.76.143.1"),
        ("healthy", IN2_ADDRESS, 5070, 7, None, None),
        ("no-icmp", IN2_ADDRESS, 5070, 3, Failure.CONNECT_TIMEOUT, None),
        ("healthy", "2001:db8::1", 5070, None, Failure.NO_ROUTE, None),
        ("offline", IN2_ADDRESS, 5070, None, Failure.NO_ROUTE, None),
    ],
)
def test_handshakes(
    scenario: str, address: str, port: int, ttl: int | None, failure: Failure | None, answered_by: str | None
) -> None:
    connected = on(scenario, lambda network: network.tcp_connect(address, port, 0.04, ttl=ttl))
    assert connected.failure is failure
    assert (connected.icmp.address if connected.icmp else None) == answered_by
    assert (connected.waited_ms == 40.0) == (failure is Failure.CONNECT_TIMEOUT)
    assert (connected.stream is None) == (failure is not None)


def test_silence_is_no_answer_and_leaves_the_stream_usable() -> None:
    async def work(network: SimNetwork) -> list[Received]:
        stream = await connect(network)
        await stream.send(OPTIONS, 1.0)
        silence = await stream.receive(0.03)
        await stream.send(b"\r\n\r\n", 1.0)
        return [silence, await stream.receive(5.0)]

    silence, pong = on("sip-silent", work)
    assert (silence.data, silence.closed, silence.failure) == (b"", False, Failure.NO_ANSWER)
    assert pong.data == b"\r\n"


@pytest.mark.parametrize(
    ("kind", "closed", "failure"), [("close", True, None), ("reset", False, Failure.RESET), ("http", False, None)]
)
def test_ends_of_streams(kind: str, closed: bool, failure: Failure | None) -> None:
    async def work(network: SimNetwork) -> Received:
        stream = await connect(network)
        await stream.send(OPTIONS, 1.0)
        return await stream.receive(5.0)

    received = on(with_sip(IN2_ADDRESS, SipBehaviour(kind=kind)), work)  # type: ignore[arg-type]
    assert (received.closed, received.failure) == (closed, failure)


def test_a_portal_takes_every_connection() -> None:
    async def work(network: SimNetwork) -> bytes:
        stream = await connect(network, IN4_ADDRESS)
        await stream.send(OPTIONS, 1.0)
        return (await stream.receive(5.0)).data

    assert on("captive-portal", work).startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("source", [HOST, "172.17.0.1", "10.9.9.9"])
def test_a_source_address_has_to_be_ours(source: str) -> None:
    async def work(network: SimNetwork) -> tuple[Any, ...]:
        return (
            await network.tcp_connect(IN2_ADDRESS, 5070, 5.0, source=source),
            network.udp_socket(Family.IPV4, source=source),
            await network.https_get("https://api.ipify.org/", timeout_s=5.0, max_bytes=99, source=source),
        )

    connected, udp, fetched = on("healthy", work)
    if source == "10.9.9.9":
        assert connected.failure is udp is fetched.failure is Failure.ADDRESS_UNAVAILABLE
    else:
        assert connected.local[0] == udp.local[0] == fetched.local[0] == source


# Names.


def exchange(network: SimNetwork, server: str, transport: str = "udp", timeout_s: float = 5.0) -> Awaitable[Any]:
    query = dns.message.make_query(IN2, "A")

    def accept(data: bytes) -> bool:
        try:
            return query.is_response(dns.message.from_wire(data))
        except dns.exception.DNSException:
            return False

    return network.dns_exchange(server, 53, query.to_wire(), transport=transport, timeout_s=timeout_s, accept=accept)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("server", ["192.168.1.1", "49.44.0.53", "8.8.8.8"])
def test_every_nameserver_answers_over_both_transports(server: str, transport: str) -> None:
    reply = on("healthy", lambda network: exchange(network, server, transport=transport))
    assert reply.failure is None
    assert dns.message.from_wire(reply.data).answer[0][0].to_text() == IN2_ADDRESS


@pytest.mark.parametrize(
    ("behaviour", "udp", "tcp"),
    [
        ("silent", Failure.DNS_TIMEOUT, Failure.DNS_TIMEOUT),
        ("wrong_id", Failure.MISMATCH, Failure.MISMATCH),
        ("other_question", Failure.MISMATCH, Failure.MISMATCH),
        ("servfail", None, None),
    ],
)
def test_exchanges_that_fail(behaviour: str, udp: Failure | None, tcp: Failure | None) -> None:
    healthy = SCENARIOS["healthy"].dns
    rule = DnsRule(names="trunk", behaviour=behaviour)  # type: ignore[arg-type]
    scenario = healthy_but(dns=msgspec.structs.replace(healthy, rules=(rule,)))
    over_udp = on(scenario, lambda network: exchange(network, "192.168.1.1", timeout_s=0.3))
    over_tcp = on(scenario, lambda network: exchange(network, "192.168.1.1", "tcp", timeout_s=0.3))
    assert (over_udp.failure, over_tcp.failure) == (udp, tcp)
    assert (over_udp.ignored > 0) == (udp is Failure.MISMATCH)


def test_exchanges_with_nobody() -> None:
    assert on("healthy", lambda network: exchange(network, "49.44.0.99", timeout_s=0.03)).failure is Failure.DNS_TIMEOUT
    assert on("offline", lambda network: exchange(network, "192.168.1.1")).failure is Failure.NO_ROUTE
    assert (
        on("captive-portal", lambda network: exchange(network, "8.8.8.8", timeout_s=0.03)).failure
        is Failure.DNS_TIMEOUT
    )


@pytest.mark.parametrize(
    ("scenario", "name", "family", "addresses", "failure"),
    [
        ("healthy", IN2, Family.ANY, (IN2_ADDRESS,), None),
        ("healthy", "pstn.in4.exotel.com", Family.IPV4, (IN4_ADDRESS,), None),
        ("healthy", IN2, Family.IPV6, (), Failure.NODATA),
        ("healthy", "nobody.example", Family.ANY, (), Failure.NXDOMAIN),
        ("dns-nxdomain", IN2, Family.IPV4, (), Failure.NXDOMAIN),
        ("dns-nxdomain", "stun.cloudflare.com", Family.IPV4, ("162.159.207.1",), None),
        ("dns-servfail", IN2, Family.IPV4, (), Failure.SERVFAIL),
        ("dns-hijack", IN2, Family.IPV4, ("192.168.1.1",), None),
        ("dns-dead-resolver", IN2, Family.IPV4, (IN2_ADDRESS,), None),
        ("offline", IN2, Family.IPV4, (), Failure.SERVFAIL),
    ],
)
def test_system_look_ups(
    scenario: str, name: str, family: Family, addresses: tuple[str, ...], failure: Failure | None
) -> None:
    lookup = on(scenario, lambda network: network.resolve_system(name, family, 5.0))
    assert (lookup.addresses, lookup.failure) == (addresses, failure)
    assert (lookup.rtt_ms >= 1000) == (scenario == "dns-dead-resolver")


def test_a_system_look_up_that_waits_longer_than_it_may() -> None:
    lookup = on("dns-dead-resolver", lambda network: network.resolve_system(IN2, Family.IPV4, 0.05))
    assert lookup.failure is Failure.DNS_TIMEOUT


def test_nameservers_of_the_host_are_those_that_it_is_configured_with() -> None:
    async def work(network: SimNetwork) -> list[str]:
        return [server.address for server in network.nameservers()]

    assert on("healthy", work) == ["192.168.1.1", "49.44.0.53"]


# UDP.


def collect(scenario: str, *sent: tuple[bytes, str, int, int | None], count: int) -> list[Datagram | IcmpError]:
    async def work(network: SimNetwork) -> list[Datagram | IcmpError]:
        opened = network.udp_socket(Family.IPV4)
        assert not isinstance(opened, Failure)
        for data, address, port, ttl in sent:
            assert opened.send(data, address, port, ttl) is None
        got: list[Datagram | IcmpError] = []
        while len(got) < count:
            got += await opened.receive(5.0)
        assert await opened.receive(0.0) == []
        return got

    return on(scenario, work)


def test_icmp_errors_quote_our_datagram_and_name_who_sent_them() -> None:
    got = collect(
        "healthy",
        (b"far", MEDIA, 20000, 6),
        (b"near", MEDIA, 20002, 1),
        (b"closed", CLOSED_MEDIA, 20004, None),
        (b"silent", MEDIA, 20006, None),
        count=3,
    )
    seen = {
        event.quoted: (event.icmp.address, event.failure, event.port) for event in got if isinstance(event, IcmpError)
    }
    assert seen == {
        b"far": ("182.76.143.1", Failure.TTL_EXCEEDED, 20000),
        b"near": ("192.168.1.1", Failure.TTL_EXCEEDED, 20002),
        b"closed": (CLOSED_MEDIA, Failure.PORT_UNREACHABLE, 20004),
    }


def test_the_hosts_own_firewall_and_a_missing_route_refuse_to_send() -> None:
    async def work(network: SimNetwork) -> tuple[Failure | None, ...]:
        opened = network.udp_socket(Family.IPV4)
        assert not isinstance(opened, Failure)
        return opened.send(b"x", MEDIA, 20000), opened.send(b"x", MEDIA, 9731)

    assert on("media-host-firewall", work) == (Failure.LOCAL_DENIED, None)
    assert on("offline", work) == (Failure.NO_ROUTE, Failure.NO_ROUTE)


def test_stun_servers_tell_the_mapped_address_out_of_one_socket() -> None:
    async def work(network: SimNetwork) -> tuple[UdpSocket, dict[str, tuple[str, int] | None]]:
        opened = network.udp_socket(Family.IPV4)
        assert not isinstance(opened, Failure)
        for index, server in enumerate(PROFILE.stun_servers):
            address = network.zone.true_addresses(server.host)[0]
            opened.send(stun.binding_request(bytes([index]) * 12), address, server.port)
        mapped: dict[str, tuple[str, int] | None] = {}
        while len(mapped) < len(PROFILE.stun_servers):
            for event in await opened.receive(5.0):
                assert isinstance(event, Datagram)
                message = stun.decode(event.data)
                mapped[PROFILE.stun_servers[message.transaction_id[0]].id] = stun.mapped_address(message)
        return opened, mapped

    opened, mapped = on("healthy", work)
    assert set(mapped.values()) == {(PUBLIC, opened.local[1])}
    opened, mapped = on("port-remap", work)
    assert len(set(mapped.values())) == 1
    assert set(mapped.values()) != {(PUBLIC, opened.local[1])}
    _, mapped = on("port-masking", work)
    assert len(set(mapped.values())) == len(PROFILE.stun_servers)


def test_a_stun_reply_with_a_foreign_transaction_id() -> None:
    address = SCENARIOS["healthy"].helpers.addresses[3]
    request = stun.binding_request(bytes(12))
    got = collect("hostile-peer", (request, address, PROFILE.stun_servers[0].port, None), count=1)
    assert isinstance(got[0], Datagram)
    assert stun.decode(got[0].data).transaction_id != bytes(12)


def test_a_sweep_attributes_every_answer_and_stops_when_told() -> None:
    targets = [(MEDIA, 20000), (CLOSED_MEDIA, 20000), (MEDIA, 9731), (CLOSED_MEDIA, 9731)]

    async def work(network: SimNetwork, *, stopped: bool = False) -> Any:
        counted: list[int] = []
        result = await network.sweep(
            targets,
            lambda port: bytes(172),
            rate=1000,
            source=None,
            drain_s=1.0,
            progress=counted.append,
            stop=lambda: stopped,
        )
        return result, counted

    result, counted = on("healthy", work)
    assert (result.sent, [event.index for event in result.events], counted) == (4, [1, 3], [4])
    result, _ = on("media-host-firewall", work)
    assert (result.sent, [index for index, _ in result.local_failures]) == (2, [0, 1])
    result, _ = on("healthy", lambda network: work(network, stopped=True))
    assert (result.sent, result.stopped) == (0, True)


# HTTPS.


@pytest.mark.parametrize(
    ("scenario", "status", "body", "failure"),
    [
        ("healthy", 200, b"49.36.10.7\n", None),
        ("several-uplinks", 200, b"106.51.20.9\n", None),
        ("captive-portal", 200, b"<html><body>Welcome! Please log in.</body></html>", None),
        ("offline", None, b"", Failure.SERVFAIL),
    ],
)
def test_echo_services(scenario: str, status: int | None, body: bytes, failure: Failure | None) -> None:
    url = PROFILE.echo_services[0].url
    reply = on(scenario, lambda network: network.https_get(url, timeout_s=5.0, max_bytes=4096))
    assert (reply.status, reply.body, reply.failure) == (status, body, failure)


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (EchoBehaviour(kind="silent"), Failure.NO_ANSWER),
        (EchoBehaviour(kind="tls_failed"), Failure.TLS_FAILED),
        (EchoBehaviour(kind="body", text="x" * 5000), Failure.TOO_LARGE),
    ],
)
def test_echo_services_that_fail(behaviour: EchoBehaviour, failure: Failure) -> None:
    url = PROFILE.echo_services[0].url
    scenario = healthy_but(echo={"*": behaviour})
    reply = on(scenario, lambda network: network.https_get(url, timeout_s=0.2, max_bytes=4096))
    assert reply.failure is failure
    assert len(reply.body) <= 4096


def test_a_hijacked_echo_service_has_no_certificate() -> None:
    rule = DnsRule(names="any", behaviour="hijack", addresses=(IN2_ADDRESS,))
    scenario = healthy_but(dns=msgspec.structs.replace(SCENARIOS["healthy"].dns, rules=(rule,)))
    url = PROFILE.echo_services[0].url
    reply = on(scenario, lambda network: network.https_get(url, timeout_s=5.0, max_bytes=4096))
    assert reply.failure is Failure.TLS_FAILED


# The host.


def test_interfaces_and_routes() -> None:
    async def work(network: SimNetwork) -> tuple[Any, ...]:
        return [i.name for i in network.interfaces()], network.route_to(MEDIA), network.route_to("2001:db8::1")

    names, route, route6 = on("healthy", work)
    assert names == ["lo", "eth0", "docker0", "tailscale0"]
    assert (route.source_address, route.interface, route.gateway) == (HOST, "eth0", "192.168.1.1")
    assert route6.failure is Failure.NO_ROUTE
    names, route, _ = on("offline", work)
    assert (names, route.failure) == (["lo"], Failure.NO_ROUTE)


def test_traffic_names_the_scenarios_addresses() -> None:
    async def work(network: SimNetwork) -> Any:
        stream = await connect(network)
        await stream.send(OPTIONS, 1.0)
        opened = network.udp_socket(Family.IPV4)
        assert not isinstance(opened, Failure)
        opened.send(bytes(172), MEDIA, 20000)
        return network.traffic()

    traffic = on("healthy", work)
    rows = [(d.address, d.protocol, d.port, d.packets, d.bytes) for d in traffic.by_destination]
    assert rows == [(IN2_ADDRESS, "tcp", 5070, 2, len(OPTIONS)), (MEDIA, "udp", 20000, 1, 172)]


# What is left behind.


def test_every_listener_is_on_loopback() -> None:
    async def work(network: SimNetwork) -> list[str]:
        opened = network.udp_socket(Family.IPV4)
        assert not isinstance(opened, Failure)
        await connect(network)
        return _own_socket_addresses()

    assert set(on("healthy", work)) == {"127.0.0.1"}


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_stays_open_or_running(fails: bool) -> None:
    async def run() -> None:
        before = _open_sockets()
        try:
            async with open_simulation(SCENARIOS["hostile-peer"], PROFILE) as network:
                streams = [await connect(network), await connect(network, IN4_ADDRESS)]
                for stream in streams:
                    await stream.send(OPTIONS, 1.0)
                network.udp_socket(Family.IPV4)
                await exchange(network, "49.44.0.53", timeout_s=0.03)
                assert _open_sockets() > before
                if fails:
                    raise LookupError
        except LookupError:
            pass
        # asyncio closes a transport's socket in the loop's next turn.
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        assert _open_sockets() == before

    asyncio.run(run())
    gc.collect()  # an unclosed socket or transport would warn here


def _open_sockets() -> int:
    links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sum(link.startswith("socket:") for link in links)


def _own_socket_addresses() -> list[str]:
    found = []
    for entry in list(Path("/proc/self/fd").iterdir()):
        if entry.is_symlink() and os.readlink(entry).startswith("socket:"):
            with socket.socket(fileno=os.dup(int(entry.name))) as copy:
                if copy.family in (socket.AF_INET, socket.AF_INET6):
                    found.append(copy.getsockname()[0])
    return found


def test_routers_that_say_nothing_are_data() -> None:
    healthy = SCENARIOS["healthy"]
    mute = Hop(address="49.44.18.25", rtt_ms=4.0, silent=True)
    scenario = healthy_but(routers=(*healthy.routers[:2], mute, healthy.routers[3]))

    async def work(network: SimNetwork) -> list[Failure | None]:
        return [(await network.tcp_connect(IN2_ADDRESS, 443, 0.05, ttl=ttl)).failure for ttl in (2, 3, 4)]

    assert on(scenario, work) == [Failure.TTL_EXCEEDED, Failure.CONNECT_TIMEOUT, Failure.TTL_EXCEEDED]
