"""SIP messages out of a capture file (pcap, pcapng), as text in the form of a trace.

TCP streams are put together from their segments, messages are told apart by their start lines, so that a false
Content-Length stays visible, and each is given with its time, sockets and true size. IP fragments are left out. Every
cost is linear in the input, but for sorting, and capped.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

from vsipcheck.wire.errors import WireError

MAX_CAPTURE = 64 << 20
# The first octets of a file: pcap in both byte orders with micro- and nanoseconds, and pcapng.
_CLASSIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_NG = b"\x0a\x0d\x0d\x0a"
_MAX_STREAM = 4 << 20
_MAX_TEXT = 1 << 20

# https://www.tcpdump.org/linktypes.html
_ETHERNET, _RAW, _SLL, _SLL2 = 1, (12, 14, 101, 228, 229), 113, 276
_LOOPBACK = (0, 108)
_VLAN = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
_IP = (b"\x08\x00", b"\x86\xdd")
_TCP, _UDP = 6, 17
_IPV6_EXTENSIONS = (0, 43, 60)
_SYN = 0x02

# A message begins at the start of what was sent, or at that of a line. RFC 3261 §7.1, §7.2.
_START = re.compile(
    rb"(?:^|(?<=\n))(?:[A-Z]{3,20} (?:sips?|tel|urn):[^\r\n]{0,4096} SIP/2\.0"
    rb"|SIP/2\.0 [1-6][0-9]{2}[^\r\n]{0,256})\r?\n"
)
_EXTRA_ENDS = re.compile(rb"(?:\r\n)+\Z")

Socket = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Packet:
    at_ns: int
    link: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Segment:
    offset: int
    at_ns: int
    data: bytes


@dataclass(slots=True)
class _Stream:
    """One direction of one TCP connection."""

    source: Socket
    destination: Socket
    base: int
    segments: list[_Segment] = field(default_factory=list)
    size: int = 0

    def add(self, sequence: int, at_ns: int, data: bytes) -> None:
        if self.size + len(data) > _MAX_STREAM:
            return
        # RFC 9293 §3.4: sequence numbers are compared modulo 2**32.
        distance = (sequence - self.base) & 0xFFFFFFFF
        offset = distance - (1 << 32) if distance >= 1 << 31 else distance
        self.segments.append(_Segment(offset, at_ns, data))
        self.size += len(data)

    def stretches(self) -> Iterator[tuple[list[tuple[int, int]], bytes, int]]:
        """What follows one another without a gap: where each segment begins and when it came, the octets, and how many
        are missing behind them."""
        marks: list[tuple[int, int]] = []
        octets = bytearray()
        reached: int | None = None
        for segment in sorted(self.segments, key=lambda each: (each.offset, each.at_ns)):
            if reached is not None and segment.offset > reached:
                yield marks, bytes(octets), segment.offset - reached
                marks, octets, reached = [], bytearray(), None
            new = segment.data if reached is None else segment.data[max(0, reached - segment.offset) :]
            if new:
                marks.append((len(octets), segment.at_ns))
                octets += new
                reached = (segment.offset if reached is None else reached) + len(new)
        if octets:
            yield marks, bytes(octets), 0


@dataclass(frozen=True, slots=True)
class _Message:
    at_ns: int
    transport: str
    source: Socket
    destination: Socket
    data: bytes
    size: int


def is_capture(data: bytes) -> bool:
    """Whether a file begins as a capture does."""
    return data[:4] in _CLASSIC or data[:4] == _NG


def capture_text(data: bytes) -> bytes:
    """The SIP messages of a capture in order of time, each under a line with its time (UTC), sockets, transport and
    size; empty without any. Raises WireError if the data is no capture. What is cut short or damaged is left out."""
    if data[:4] in _CLASSIC:
        packets = _read_classic(data)
    elif data[:4] == _NG:
        packets = _read_ng(data)
    else:
        raise WireError(f"no capture file: {data[:8]!r}")
    lines: list[bytes] = []
    size = 0
    for message in sorted(_messages(packets), key=lambda each: each.at_ns):
        clock = datetime.fromtimestamp(message.at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        head = (
            f"{clock}.{message.at_ns // 1000 % 1_000_000:06} {_shown(message.source)} -> {_shown(message.destination)} "
            f"over {message.transport.upper()}, {message.size} bytes\n"
        )
        piece = head.encode() + message.data + (b"\n" if message.data.endswith(b"\n") else b"\n\n")
        size += len(piece)
        if size > _MAX_TEXT:
            break
        lines.append(piece)
    return b"".join(lines)


def _shown(end: Socket) -> str:
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"


def _read_classic(data: bytes) -> Iterator[_Packet]:
    """https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html"""
    order, unit_ns = _CLASSIC[data[:4]]
    if len(data) < 24:
        return
    link = struct.unpack_from(f"{order}I", data, 20)[0] & 0xFFFF
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, captured, _ = struct.unpack_from(f"{order}IIII", data, at)
        yield _Packet(seconds * 1_000_000_000 + fraction * unit_ns, link, data[at + 16 : at + 16 + captured])
        at += 16 + captured


def _read_ng(data: bytes) -> Iterator[_Packet]:
    """https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html"""
    order = "<"
    interfaces: list[tuple[int, int]] = []  # link type, time units a second
    at = 0
    while at + 12 <= len(data):
        if data[at : at + 4] == _NG:
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, length = struct.unpack_from(f"{order}II", data, at)
        if length < 12 or length % 4 or at + length > len(data):
            return
        body = data[at + 8 : at + length - 4]
        at += length
        if kind == 1 and len(body) >= 8:
            interfaces.append((struct.unpack_from(f"{order}H", body)[0], _units(body[8:], order)))
        elif kind == 6 and len(body) >= 20:
            number, high, low, captured, _ = struct.unpack_from(f"{order}IIIII", body)
            if number < len(interfaces):
                link, units = interfaces[number]
                at_ns = ((high << 32) | low) * 1_000_000_000 // units
                yield _Packet(min(at_ns, 1 << 62), link, body[20 : 20 + captured])


def _units(options: bytes, order: str) -> int:
    """The option if_tsresol: negative powers of ten, or of two; microseconds without it."""
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from(f"{order}HH", options, at)
        if code == 9 and length == 1 and at + 4 < len(options):
            power = options[at + 4]
            return int((2 if power & 0x80 else 10) ** min(power & 0x7F, 30))
        if code == 0:
            break
        at += 4 + length + -length % 4
    return 1_000_000


def _network_layer(packet: _Packet) -> bytes:
    """The IP packet; empty where there is none."""
    data, link = packet.data, packet.link
    if link in _RAW:
        return data
    if link in _LOOPBACK:
        return data[4:]
    if link == _SLL:
        return data[16:] if data[14:16] in _IP else b""
    if link == _SLL2:
        return data[20:] if data[:2] in _IP else b""
    if link != _ETHERNET:
        return b""
    at = 12
    while data[at : at + 2] in _VLAN and at < 24:
        at += 4
    return data[at + 2 :] if data[at : at + 2] in _IP else b""


def _transport_layer(data: bytes) -> tuple[int, str, str, bytes] | None:
    """Protocol, source, destination and payload of an IP packet; None for a fragment or what is no IP."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        header, total, fragment = (data[0] & 15) * 4, int.from_bytes(data[2:4]), int.from_bytes(data[6:8])
        if header < 20 or fragment & 0x3FFF:
            return None
        # A total length of 0 is that of a packet that the network card was still to cut (TSO).
        payload = data[header : total or len(data)]
        return data[9], str(IPv4Address(data[12:16])), str(IPv4Address(data[16:20])), payload
    if len(data) >= 40 and data[0] >> 4 == 6:
        following, at = data[6], 40
        length = int.from_bytes(data[4:6])
        end = at + length if length else len(data)
        for _ in range(4):
            if following not in _IPV6_EXTENSIONS or at + 8 > len(data):
                break
            following, at = data[at], at + 8 + data[at + 1] * 8
        return following, str(IPv6Address(data[8:24])), str(IPv6Address(data[24:40])), data[at:end]
    return None


def _messages(packets: Iterator[_Packet]) -> Iterator[_Message]:
    open_streams: dict[tuple[Socket, Socket], _Stream] = {}
    streams: list[_Stream] = []
    for packet in packets:
        found = _transport_layer(_network_layer(packet))
        if found is None:
            continue
        protocol, source, destination, data = found
        if len(data) < 8:
            continue
        source_port, destination_port = struct.unpack_from("!HH", data)
        ends = (source, source_port), (destination, destination_port)
        if protocol == _UDP:
            payload = data[8:]
            if _START.match(payload):
                declared = int.from_bytes(data[4:6]) - 8
                yield _Message(packet.at_ns, "udp", *ends, payload, max(declared, len(payload)))
        elif protocol == _TCP and len(data) >= 20:
            sequence, flags, header = int.from_bytes(data[4:8]), data[13], (data[12] >> 4) * 4
            stream = open_streams.get(ends)
            begins = bool(flags & _SYN)
            first = (sequence + begins) & 0xFFFFFFFF
            # A SYN with another number is another connection over the same ports; with the same one, a repetition.
            if stream is None or (begins and stream.base != first):
                stream = open_streams[ends] = _Stream(*ends, first)
                streams.append(stream)
            if payload := data[max(header, 20) :]:
                stream.add(sequence, packet.at_ns, payload)
    for stream in streams:
        yield from _split(stream)


def _split(stream: _Stream) -> Iterator[_Message]:
    for marks, octets, missing in stream.stretches():
        starts = [match.start() for match in _START.finditer(octets)]
        mark = 0
        for start, end in pairwise((*starts, len(octets))):
            while mark + 1 < len(marks) and marks[mark + 1][0] <= start:
                mark += 1
            piece = _without_keepalives(octets[start:end])
            # What the capture lost belongs to the message before it.
            size = len(piece) + (missing if end == len(octets) else 0)
            yield _Message(marks[mark][1], "tcp", stream.source, stream.destination, piece, size)


def _without_keepalives(piece: bytes) -> bytes:
    """The message without the CRLFs that keep the connection alive behind it. RFC 5626 §4.4.1."""
    ends = _EXTRA_ENDS.search(piece)
    if ends is None:
        return piece
    head, empty, _ = piece.partition(b"\r\n\r\n")
    wanted = 4 if not empty or len(head) >= ends.start() else 2
    return piece[: min(len(piece), ends.start() + wanted)]
