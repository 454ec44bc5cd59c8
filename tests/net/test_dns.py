"""DNS exchanges with servers on loopback that answer wrongly, late, or not at all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import pytest
from net.test_tcp import serving

from vsipcheck.model import Failure
from vsipcheck.net import DnsReply
from vsipcheck.net import dns as net_dns
from vsipcheck.net.host import HostNetwork

QUERY = dns.message.make_query("pbx.example.", "A", id=4711)
WIRE = QUERY.to_wire()


def answer(*, number: int = 4711, name: str = "pbx.example.", truncated: bool = False) -> bytes:
    response = dns.message.make_response(dns.message.make_query(name, "A", id=number))
    response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.1"))
    if truncated:
        response.flags |= dns.flags.TC
    return response.to_wire()


def accept(data: bytes) -> bool:
    try:
        return QUERY.is_response(dns.message.from_wire(data))
    except dns.exception.DNSException:
        return False


class Server(asyncio.DatagramProtocol):
    """Answers each query with what `script` says, by the query's number."""

    def __init__(self, script: Callable[[int], list[bytes]]) -> None:
        self.script = script
        self.queries: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.queries.append(data)
        for reply in self.script(len(self.queries)):
            self.transport.sendto(reply, addr)


async def over_udp(
    network: HostNetwork, script: Callable[[int], list[bytes]], timeout_s: float = 2.0
) -> tuple[DnsReply, int]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Server(script), local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    reply = await network.dns_exchange(
        "127.0.0.1", port, WIRE, transport="udp", timeout_s=timeout_s, accept=accept, source="127.0.0.1"
    )
    transport.close()
    assert set(server.queries) <= {WIRE}
    return reply, len(server.queries)


def test_an_answer_is_given_with_its_time_and_our_address(network: HostNetwork) -> None:
    reply, queries = asyncio.run(over_udp(network, lambda _: [answer()]))
    assert (reply.data, reply.failure, reply.ignored, queries) == (answer(), None, 0, 1)
    assert reply.rtt_ms is not None
    assert reply.local_address == "127.0.0.1"


def test_wrong_ids_questions_and_noise_are_passed_over(network: HostNetwork) -> None:
    wrong = [answer(number=1), answer(name="other.example."), b"\x00"]
    reply, _ = asyncio.run(over_udp(network, lambda _: [*wrong, answer()]))
    assert (reply.data, reply.ignored) == (answer(), 3)


def test_only_wrong_answers_are_a_mismatch(network: HostNetwork) -> None:
    reply, queries = asyncio.run(over_udp(network, lambda _: [answer(number=1)], timeout_s=0.3))
    assert (reply.data, reply.failure, reply.ignored, queries) == (None, Failure.MISMATCH, 4, 4)


def test_a_lost_query_is_sent_again_and_its_time_counts_from_the_first(network: HostNetwork) -> None:
    reply, queries = asyncio.run(over_udp(network, lambda number: [answer()] if number == 2 else [], timeout_s=0.3))
    assert (reply.data, queries) == (answer(), 2)
    assert reply.rtt_ms is not None
    assert reply.rtt_ms >= 55


def test_silence_is_a_dns_timeout(network: HostNetwork) -> None:
    reply, queries = asyncio.run(over_udp(network, lambda _: [], timeout_s=0.3))
    assert (reply.data, reply.rtt_ms, reply.failure, reply.ignored, queries) == (None, None, Failure.DNS_TIMEOUT, 0, 4)


def test_a_truncated_answer_is_an_answer(network: HostNetwork) -> None:
    reply, _ = asyncio.run(over_udp(network, lambda _: [answer(truncated=True)]))
    assert reply.data == answer(truncated=True)


def test_answers_from_another_port_are_not_the_servers(network: HostNetwork) -> None:
    async def spoofed() -> DnsReply:
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(
            lambda: Server(lambda _: []), local_addr=("127.0.0.1", 0)
        )

        def spoof(data: bytes, addr: Any) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.sendto(answer(), addr)

        server.datagram_received = spoof  # type: ignore[method-assign]
        port = transport.get_extra_info("sockname")[1]
        reply = await network.dns_exchange("127.0.0.1", port, WIRE, transport="udp", timeout_s=0.3, accept=accept)
        transport.close()
        return reply

    reply = asyncio.run(spoofed())
    assert (reply.failure, reply.ignored) == (Failure.MISMATCH, 4)


def test_no_server_at_the_port_is_told_at_once(network: HostNetwork) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    reply = asyncio.run(network.dns_exchange("127.0.0.1", port, WIRE, transport="udp", timeout_s=30, accept=accept))
    assert reply.failure is Failure.PORT_UNREACHABLE
    assert reply.icmp is not None
    assert reply.icmp.address == "127.0.0.1"


def test_a_foreign_source_and_a_name_for_a_server_are_failures(network: HostNetwork) -> None:
    async def exchange(server: str, transport: str, source: str | None) -> Failure | None:
        reply = await network.dns_exchange(
            server, 53, WIRE, transport=transport, timeout_s=1, accept=accept, source=source
        )
        return reply.failure

    for transport in ("udp", "tcp"):
        assert asyncio.run(exchange("127.0.0.1", transport, "192.0.2.77")) is Failure.ADDRESS_UNAVAILABLE
        assert asyncio.run(exchange("ns.example", transport, None)) is Failure.LOCAL_ERROR


async def over_tcp(network: HostNetwork, chunks: list[bytes], *, hold: bool, timeout_s: float = 2.0) -> DnsReply:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        assert await reader.readexactly(size) == WIRE
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)
        if hold:
            await reader.read()

    async with serving(serve) as port:
        return await network.dns_exchange(
            "127.0.0.1", port, WIRE, transport="tcp", timeout_s=timeout_s, accept=accept, source="127.0.0.1"
        )


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def test_tcp_answers_are_put_together_from_any_pieces(network: HostNetwork) -> None:
    whole = framed(answer(number=9)) + framed(answer())
    reply = asyncio.run(over_tcp(network, [whole[i : i + 1] for i in range(len(whole))], hold=True))
    assert (reply.data, reply.ignored, reply.local_address) == (answer(), 1, "127.0.0.1")
    assert reply.rtt_ms is not None


@pytest.mark.parametrize(
    ("chunks", "hold", "failure"),
    [
        ([], True, Failure.DNS_TIMEOUT),
        ([framed(answer())[:10]], True, Failure.DNS_TIMEOUT),
        ([framed(answer(number=9))], True, Failure.MISMATCH),
        ([], False, Failure.CLOSED_EARLY),
        ([framed(answer())[:10]], False, Failure.CLOSED_EARLY),
        ([framed(answer(number=9))], False, Failure.MISMATCH),
        ([b"\x00\x00" * 5000], True, Failure.MISMATCH),
    ],
)
def test_tcp_without_an_answer_is_a_failure(
    network: HostNetwork, chunks: list[bytes], hold: bool, failure: Failure
) -> None:
    reply = asyncio.run(over_tcp(network, chunks, hold=hold, timeout_s=0.2 if hold else 2.0))
    assert (reply.data, reply.failure) == (None, failure)


def test_tcp_to_a_closed_port_is_refused(network: HostNetwork) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        reply = asyncio.run(network.dns_exchange("127.0.0.1", port, WIRE, transport="tcp", timeout_s=2, accept=accept))
    assert reply.failure is Failure.REFUSED


def test_resolv_conf_is_read_as_the_system_reads_it() -> None:
    text = (
        "# nameserver 192.0.2.1\n; nameserver 192.0.2.2\nsearch example\n"
        "nameserver\t192.0.2.3\nnameserver 192.0.2.3 # again\n nameserver 192.0.2.4\n"
        "nameserver\nnameserver not-an-address\nnameserver fe80::1%eth0\nnameserver 2001:db8::53\noptions edns0"
    )
    assert net_dns.parse_resolv_conf(text) == ["192.0.2.3", "fe80::1%eth0", "2001:db8::53"]


def test_nameservers_come_from_resolv_conf(
    network: HostNetwork, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr(net_dns, "RESOLV_CONF", path)
    assert network.nameservers() == []
    path.write_bytes(b"\xff\xfe\nnameserver 192.0.2.53\n")
    (nameserver,) = network.nameservers()
    assert (nameserver.address, nameserver.port, nameserver.source) == ("192.0.2.53", 53, "resolv.conf")


def test_elsewhere_dnspython_finds_them(network: HostNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.resolver

    monkeypatch.setattr(net_dns, "is_linux", lambda: False)

    class Configured:
        nameservers = ("192.0.2.53", "https://dns.example/")

    monkeypatch.setattr(dns.resolver, "Resolver", Configured)
    assert [row.address for row in network.nameservers()] == ["192.0.2.53"]

    def unconfigured() -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "Resolver", unconfigured)
    assert network.nameservers() == []
