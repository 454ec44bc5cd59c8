"""Conversations as a capture file that Wireshark, tshark and sngrep open.

What was said, when, and between which sockets is the caller's; the IP, TCP and UDP headers around it are made here: a
handshake, acknowledgements and an end that fit, so that a reader reassembles the streams. They are no evidence.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from vsipcheck.wire.errors import WireError

# https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html: the little-endian header with microseconds, and
# LINKTYPE_RAW, whose packets begin with the IP header.
_FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 101)
_MAX_SEGMENT = 1400  # payload bytes, below any path's MTU
_MAX_PACKET = 65_535
_WINDOW = 65_535
_TTL = 64
_TCP, _UDP = 6, 17
_FIN, _SYN, _RST, _PSH, _ACK = 0x01, 0x02, 0x04, 0x08, 0x10

Socket = tuple[str, int]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one side sent at one moment. `size` is more than `data` has where the record was cut short."""

    from_client: bool
    at_us: int  # since the epoch
    data: bytes
    size: int = 0  # 0: what `data` has


@dataclass(frozen=True, slots=True)
class Conversation:
    """One TCP connection, or the datagrams between two UDP sockets.

    `end`: "fin" (the client closes), "fin_by_server", "reset" (by the server), "open" (nothing was seen). For a
    connection without chunks "reset" is a refused SYN and "open" one that nobody answered.
    """

    transport: str  # "tcp", "udp"
    client: Socket
    server: Socket
    opened_us: int
    chunks: Sequence[Chunk] = ()
    rtt_us: int = 0  # from SYN to SYN-ACK
    end: str = "fin"


def capture(conversations: Iterable[Conversation]) -> bytes:
    """The capture file of all conversations, packets in order of time.

    Raises WireError if an address is none, the two differ in family, or a port or a moment is out of range.
    """
    packets: list[tuple[int, int, int, bytes]] = []
    for conversation in conversations:
        for at_us, size, packet in _packets(conversation):
            packets.append((at_us, len(packets), size, packet))
    packets.sort(key=itemgetter(0, 1))
    pieces = [_FILE_HEADER]
    for at_us, _, size, packet in packets:
        if not 0 <= at_us < 2**32 * 1_000_000:
            raise WireError(f"a moment that a capture file cannot hold: {at_us} us")
        pieces += (struct.pack("<IIII", at_us // 1_000_000, at_us % 1_000_000, len(packet), size), packet)
    return b"".join(pieces)


def checksum(data: bytes) -> int:
    """The Internet checksum: the ones' complement of the ones' complement sum of 16-bit words. RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packets(conversation: Conversation) -> Iterator[tuple[int, int, bytes]]:
    """(moment, size on the wire, packet as far as it is known), in order."""
    client, server = _parsed(conversation.client), _parsed(conversation.server)
    if client[0].version != server[0].version:
        raise WireError(f"addresses of two families: {client[0]} and {server[0]}")
    if conversation.transport == "udp":
        for chunk in sorted(conversation.chunks, key=lambda chunk: chunk.at_us):
            source, destination = (client, server) if chunk.from_client else (server, client)
            missing = max(0, min(chunk.size, _MAX_PACKET - 48) - len(chunk.data))
            yield _packed(chunk.at_us, source, destination, _UDP, _datagram, chunk.data[: _MAX_PACKET - 48], missing)
    elif conversation.transport == "tcp":
        yield from _Stream(conversation, client, server).packets()
    else:
        raise WireError(f"no transport of a capture: {conversation.transport!r}")


class _Stream:
    """Sequence numbers of one TCP connection while its packets are written. RFC 9293 §3."""

    def __init__(self, conversation: Conversation, client: tuple[_Address, int], server: tuple[_Address, int]) -> None:
        self.conversation = conversation
        self.sockets = {True: client, False: server}
        # Any will do; different ones, so that a reader of two streams over the same ports can tell them apart.
        first = (conversation.opened_us * 4) & 0xFFFFFFFF
        self.next = {True: first, False: first ^ 0x5A5A5A5A}
        self.now_us = conversation.opened_us

    def packets(self) -> Iterator[tuple[int, int, bytes]]:
        conversation = self.conversation
        chunks = sorted(conversation.chunks, key=lambda chunk: chunk.at_us)
        yield self._segment(True, _SYN)
        if not chunks and conversation.end in ("reset", "open"):
            if conversation.end == "reset":
                self._later(conversation.rtt_us)
                yield self._segment(False, _RST | _ACK)
            return
        self._later(conversation.rtt_us)
        yield self._segment(False, _SYN | _ACK)
        yield self._segment(True, _ACK)
        for chunk in chunks:
            self.now_us = max(self.now_us, chunk.at_us)
            yield from self._data(chunk)
        match conversation.end:
            case "fin" | "fin_by_server":
                first = conversation.end == "fin"
                yield self._segment(first, _FIN | _ACK)
                yield self._segment(not first, _FIN | _ACK)
                yield self._segment(first, _ACK)
            case "reset":
                yield self._segment(False, _RST | _ACK)

    def _data(self, chunk: Chunk) -> Iterator[tuple[int, int, bytes]]:
        sender = chunk.from_client
        missing = max(0, chunk.size - len(chunk.data))
        pieces = [chunk.data[at : at + _MAX_SEGMENT] for at in range(0, len(chunk.data), _MAX_SEGMENT)]
        for at, piece in enumerate(pieces):
            # What the record lacks is told as a packet that the capture cut short.
            cut = min(missing, _MAX_PACKET - 100 - len(piece)) if at == len(pieces) - 1 else 0
            yield self._segment(sender, _PSH | _ACK, piece, cut)
            yield self._segment(not sender, _ACK)

    def _later(self, microseconds: int) -> None:
        self.now_us += max(0, microseconds)

    def _segment(self, sender: bool, flags: int, data: bytes = b"", missing: int = 0) -> tuple[int, int, bytes]:
        sequence = self.next[sender]
        acknowledged = self.next[not sender] if flags & _ACK else 0

        def build(data: bytes, source_port: int, destination_port: int) -> tuple[bytes, int]:
            options = struct.pack("!BBH", 2, 4, _MAX_SEGMENT) if flags & _SYN else b""
            offset = (20 + len(options)) << 10  # in 32-bit words, in the upper four of sixteen bits
            header = struct.pack(
                "!HHIIHHHH", source_port, destination_port, sequence, acknowledged, offset | flags, _WINDOW, 0, 0
            )
            return header + options + data, 16

        packet = _packed(self.now_us, self.sockets[sender], self.sockets[not sender], _TCP, build, data, missing)
        counted = len(data) + missing + (1 if flags & (_SYN | _FIN) else 0)
        self.next[sender] = (sequence + counted) & 0xFFFFFFFF
        return packet


def _datagram(data: bytes, source_port: int, destination_port: int) -> tuple[bytes, int]:
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(data), 0) + data, 6


def _packed(
    at_us: int,
    source: tuple[_Address, int],
    destination: tuple[_Address, int],
    protocol: int,
    build: Callable[[bytes, int, int], tuple[bytes, int]],  # data and ports -> payload, where its checksum goes
    data: bytes,
    missing: int,
) -> tuple[int, int, bytes]:
    payload, checksum_at = build(data, source[1], destination[1])
    length = len(payload) + missing
    if protocol == _UDP and missing:
        payload = payload[:4] + struct.pack("!H", length) + payload[6:]
    pseudo = source[0].packed + destination[0].packed + struct.pack("!IHBB", length, 0, 0, protocol)
    value = checksum(pseudo + payload)
    if protocol == _UDP and value == 0:
        value = 0xFFFF  # RFC 768: zero says that there is none
    payload = payload[:checksum_at] + struct.pack("!H", value) + payload[checksum_at + 2 :]
    header = _ip_header(source[0], destination[0], protocol, length)
    return at_us, len(header) + length, header + payload


def _ip_header(source: _Address, destination: _Address, protocol: int, length: int) -> bytes:
    """RFC 791 §3.1, RFC 8200 §3."""
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, protocol, _TTL) + source.packed + destination.packed
    addresses = source.packed + destination.packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, _TTL, protocol, 0) + addresses
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:]


def _parsed(end: Socket) -> tuple[_Address, int]:
    address, port = end
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise WireError(f"not an IP address: {address!r}") from None
    if not 0 <= port <= 65_535:
        raise WireError(f"not a port: {port}")
    return parsed, port
