"""DNS messages to one nameserver and back, as bytes; and which nameservers the host is configured with."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path

from vsipcheck.model import Failure
from vsipcheck.net import Datagram, DnsReply, Nameserver, TcpConnect, UdpSocket
from vsipcheck.net.addresses import is_linux, socket_family, source_towards, without_zone

RESOLV_CONF = Path("/etc/resolv.conf")
DNS_PORT = 53
# The shares of the time-out after which an unanswered UDP query is sent once more: on a line that loses every third
# exchange, one nameserver in sixty still seems dead, instead of one in nine.
RESEND_AFTER = (0.2, 0.4, 0.6)
# Datagrams that are not the answer: after this many, somebody floods us and no time is lost on more.
MAX_IGNORED = 1000
_LENGTH = struct.Struct("!H")


async def exchange_udp(
    sock: UdpSocket,
    server: str,
    port: int,
    query: bytes,
    *,
    timeout_s: float,
    accept: Callable[[bytes], bool],
    source: str | None,
    now_ms: Callable[[], float],
) -> DnsReply:
    """The first datagram from (server, port) that `accept` takes, or why there was none.

    `rtt_ms` runs from the first sending: after a loss it tells what a client would have waited, and a server that needs
    longer than the resend interval never looks quick. An ICMP error ends the exchange at once, as it does for the
    system's resolver.
    """
    wanted = without_zone(server)
    local_address, _ = source_towards(server, source)
    ignored = 0
    began_ms = now_ms()
    deadline_ms = began_ms + timeout_s * 1000
    resends_ms = [began_ms + timeout_s * 1000 * share for share in RESEND_AFTER]
    failure = sock.send(query, server, port)
    if failure is not None:
        return DnsReply(None, None, failure, local_address=local_address)
    while ignored < MAX_IGNORED:
        now = now_ms()
        if resends_ms and now >= resends_ms[0]:
            del resends_ms[0]
            failure = sock.send(query, server, port)
            if failure is not None:
                return DnsReply(None, None, failure, ignored=ignored, local_address=local_address)
        if now >= deadline_ms:
            break
        until_ms = min([*resends_ms[:1], deadline_ms])
        for arrival in await sock.receive((until_ms - now) / 1000):
            if (arrival.address, arrival.port) != (wanted, port):
                ignored += 1
            elif not isinstance(arrival, Datagram):
                return DnsReply(None, None, arrival.failure, arrival.icmp, ignored, local_address)
            elif accept(arrival.data):
                rtt_ms = max(0.0, arrival.at_ms - began_ms)
                return DnsReply(arrival.data, rtt_ms, ignored=ignored, local_address=local_address)
            else:
                ignored += 1
    failure = Failure.MISMATCH if ignored else Failure.DNS_TIMEOUT
    return DnsReply(None, None, failure, ignored=ignored, local_address=local_address)


async def exchange_tcp(
    connected: TcpConnect,
    query: bytes,
    *,
    deadline_ms: float,
    accept: Callable[[bytes], bool],
    now_ms: Callable[[], float],
) -> DnsReply:
    """The first message of the stream that `accept` takes; each is preceded by its length in two bytes (RFC 1035
    §4.2.2). `rtt_ms` runs from the SYN to the whole answer. The stream is closed."""
    stream = connected.stream
    if stream is None:
        return DnsReply(
            None,
            None,
            connected.failure,
            connected.icmp,
            local_address=connected.local[0] if connected.local else None,
        )
    local_address = stream.local[0]
    ignored = 0

    def failed(failure: Failure) -> DnsReply:
        return DnsReply(None, None, failure, ignored=ignored, local_address=local_address)

    try:
        failure = await stream.send(_LENGTH.pack(len(query)) + query, (deadline_ms - now_ms()) / 1000)
        if failure is not None:
            return failed(Failure.DNS_TIMEOUT if failure is Failure.NO_ANSWER else failure)
        buffer = bytearray()
        while ignored < MAX_IGNORED:
            received = await stream.receive((deadline_ms - now_ms()) / 1000)
            if received.failure is Failure.NO_ANSWER:
                return failed(Failure.MISMATCH if ignored else Failure.DNS_TIMEOUT)
            if received.failure is not None:
                return failed(received.failure)
            if received.closed:
                return failed(Failure.MISMATCH if ignored and not buffer else Failure.CLOSED_EARLY)
            buffer += received.data
            while len(buffer) >= 2 and len(buffer) >= 2 + _LENGTH.unpack_from(buffer)[0]:
                end = 2 + _LENGTH.unpack_from(buffer)[0]
                message = bytes(buffer[2:end])
                del buffer[:end]
                if accept(message):
                    rtt_ms = received.at_ms - connected.at_ms
                    return DnsReply(message, rtt_ms, ignored=ignored, local_address=local_address)
                ignored += 1
        return failed(Failure.MISMATCH)
    finally:
        await asyncio.shield(stream.close())


def configured_nameservers() -> list[Nameserver]:
    """The nameservers that this host is configured with, in order; [] where there are none or they can't be told."""
    if is_linux():
        try:
            text = RESOLV_CONF.read_bytes().decode("utf-8", "replace")
        except OSError:
            return []
        return [Nameserver(address, DNS_PORT, "resolv.conf") for address in parse_resolv_conf(text)]
    return _from_dnspython()


def parse_resolv_conf(text: str) -> list[str]:
    """The addresses of the `nameserver` lines, in order, once each; lines that make no sense are passed over, as the
    system's resolver does (resolv.conf(5))."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        words = line.split()
        # The keyword must start its line; comments are only told by their first character.
        named = len(words) >= 2 and words[0] == "nameserver" and line.startswith("nameserver")
        if named and socket_family(words[1]) is not None:
            found.setdefault(words[1])
    return list(found)


def _from_dnspython() -> list[Nameserver]:
    """What dnspython finds: resolv.conf on macOS, the registry on Windows."""
    import dns.exception
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver()
    except (dns.exception.DNSException, OSError):
        return []
    addresses = [str(nameserver) for nameserver in resolver.nameservers]
    return [Nameserver(address, DNS_PORT, "system") for address in addresses if socket_family(address) is not None]
