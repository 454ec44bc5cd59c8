"""SIP messages out of a capture file (pcap, pcapng), as text in the form of a trace.

TCP streams are put together from their segments, messages are told apart by their start lines, so that a false
Content-Length stays visible, and each is given with its time, sockets and true size. Of a datagram in fragments the
first is read. Every cost is linear in the input, but for sorting, and capped; what was left out is told.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.grammar import join_hostport

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
_LAST_NS = 1 << 62
# The rest of a message follows its beginning at once; where a capture goes on for so long, there was none.
_GOES_ON_NS = 1_000_000_000

# https://www.tcpdump.org/linktypes.html
_RAW, _PPP = (12, 14, 101, 228, 229), 9
_LOOPBACK = (0, 108)
# Where the EtherType stands, and where what it tells of begins: Ethernet, Linux "any" in its two versions.
_ETHERTYPE_AT = {1: (12, 14), 113: (14, 16), 276: (0, 20)}
_VLAN = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
_PPPOE = b"\x88\x64"
_IP = (b"\x08\x00", b"\x86\xdd")
_IP_IN_PPP = (b"\x00\x21", b"\x00\x57")
_TCP, _UDP = 6, 17
_IPV6_EXTENSIONS, _IPV6_FRAGMENT = (0, 43, 60), 44
# What keeps a TCP connection alive repeats the last octet, as this one. RFC 9293 §3.8.4.
_KEEPALIVE = b"\0"
_SYN = 0x02

# A message begins at the start of what was sent, or at that of a line. RFC 3261 §7.1, §7.2.
_START_LINE = re.compile(
    rb"(?:[A-Z]{3,20} (?:sips?|tel|urn):[^\r\n]{0,4096} SIP/2\.0|SIP/2\.0 [1-6][0-9]{2}[^\r\n]{0,256})\r?\n"
)
_START = re.compile(rb"(?:^|(?<=\n))" + _START_LINE.pattern)
_LENGTH = re.compile(rb"\n(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,9})[ \t]*\r?\n", re.IGNORECASE)
_HEAD_END = re.compile(rb"\n\r?\n")
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
    is_full: bool = False

    def add(self, sequence: int, at_ns: int, data: bytes, length: int) -> None:
        """A segment; `length` is what it had on the wire, where the capture cut it."""
        if self.size + len(data) > _MAX_STREAM:
            self.is_full = True
        if self.is_full or data == _KEEPALIVE:
            return
        # RFC 9293 §3.4: sequence numbers are compared modulo 2**32.
        distance = (sequence - self.base) & 0xFFFFFFFF
        offset = distance - (1 << 32) if distance >= 1 << 31 else distance
        self.segments.append(_Segment(offset, at_ns, data))
        if length > len(data):
            self.segments.append(_Segment(offset + length, at_ns, b""))
        self.size += len(data)

    def stretches(self) -> Iterator[tuple[list[tuple[int, int]], bytes, int]]:
        """What follows one another without a gap: where each segment begins and when it came, the octets, and how many
        are missing behind them."""
        marks: list[tuple[int, int]] = []
        octets = bytearray()
        reached: int | None = None
        for segment in sorted(self.segments, key=lambda each: (each.offset, each.at_ns)):
            reached = segment.offset if reached is None else reached
            if segment.offset > reached:
                yield marks, bytes(octets), segment.offset - reached
                marks, octets, reached = [], bytearray(), segment.offset
            if new := segment.data[reached - segment.offset :]:
                marks.append((len(octets), segment.at_ns))
                octets += new
                reached += len(new)
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


@dataclass(slots=True)
class _Losses:
    """What of a capture was not read, or is not in it."""

    missing: int = 0  # octets of TCP streams that carry SIP
    long_streams: int = 0
    unread_links: set[int] = field(default_factory=set)
    others: list[str] = field(default_factory=list)

    def told(self) -> tuple[str, ...]:
        found = list(self.others)
        if self.unread_links:
            numbers = ", ".join(map(str, sorted(self.unread_links)[:8]))
            found.append(f"its packets of link type {numbers} are of a kind that is not read")
        if self.missing:
            found.append(f"{self.missing} octets of TCP streams that carry SIP are not in it")
        if self.long_streams:
            found.append(
                f"a TCP stream that carries SIP is longer than the {_MAX_STREAM >> 20} MiB that are read of one"
            )
        return tuple(found)


@dataclass(frozen=True, slots=True)
class CaptureText:
    """The SIP messages of a capture in order of time, each under a line with its time (UTC), sockets, transport and
    size. `left_out` says, a clause each, what was not read or is not in the capture: messages may be missing there."""

    text: bytes
    left_out: tuple[str, ...]


def is_capture(data: bytes) -> bool:
    """Whether a file begins as a capture does."""
    return data[:4] in _CLASSIC or data[:4] == _NG


def capture_text(data: bytes) -> CaptureText:
    """The SIP messages of a capture as text; empty without any. Raises WireError if the data is no capture."""
    losses = _Losses()
    if len(data) > MAX_CAPTURE:
        data = data[:MAX_CAPTURE]
        losses.others.append(f"of the file the first {MAX_CAPTURE >> 20} MiB were read")
    if data[:4] in _CLASSIC:
        packets = _read_classic(data, losses)
    elif data[:4] == _NG:
        packets = _read_ng(data, losses)
    else:
        raise WireError(f"no capture file: {data[:8]!r}")
    lines: list[bytes] = []
    size = 0
    for message in sorted(_messages(packets, losses), key=lambda each: each.at_ns):
        clock = datetime.fromtimestamp(message.at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        head = (
            f"{clock}.{message.at_ns // 1000 % 1_000_000:06} {join_hostport(*message.source)} -> "
            f"{join_hostport(*message.destination)} over {message.transport.upper()}, {message.size} bytes\n"
        )
        # An empty line would end a head of which the rest is lost.
        end = b"\n" if _HEAD_END.search(message.data) else b""
        piece = head.encode() + message.data + (b"" if message.data.endswith(b"\n") else b"\n") + end
        size += len(piece)
        if size > _MAX_TEXT:
            losses.others.append(f"of its SIP messages the first {_MAX_TEXT >> 20} MiB were read")
            break
        lines.append(piece)
    return CaptureText(b"".join(lines), losses.told())


def _read_classic(data: bytes, losses: _Losses) -> Iterator[_Packet]:
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
    if at != len(data) and not losses.others:
        losses.others.append("it ends in the middle of a packet")


def _read_ng(data: bytes, losses: _Losses) -> Iterator[_Packet]:
    """https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html"""
    order = "<"
    interfaces: list[tuple[int, int]] = []  # link type, time units a second
    at = at_ns = 0
    while at + 12 <= len(data):
        if data[at : at + 4] == _NG:
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, length = struct.unpack_from(f"{order}II", data, at)
        if length < 12 or length % 4 or at + length > len(data):
            break
        body = data[at + 8 : at + length - 4]
        at += length
        if kind == 1 and len(body) >= 8:
            interfaces.append((struct.unpack_from(f"{order}H", body)[0], _units(body[8:], order)))
        elif kind in (2, 6) and len(body) >= 20:
            # The obsolete Packet Block has the interface in 16 bits, and counts drops in the others.
            number, high, low, captured, _ = struct.unpack_from(f"{order}{'IIIII' if kind == 6 else 'HxxIIII'}", body)
            if number < len(interfaces):
                link, units = interfaces[number]
                at_ns = min(((high << 32) | low) * 1_000_000_000 // units, _LAST_NS)
                yield _Packet(at_ns, link, body[20 : 20 + captured])
        elif kind == 3 and len(body) >= 4 and interfaces:
            # A Simple Packet Block has no time of its own.
            (length,) = struct.unpack_from(f"{order}I", body)
            yield _Packet(at_ns, interfaces[0][0], body[4 : 4 + length])
    if at != len(data) and not losses.others:
        losses.others.append("it ends in the middle of a packet, or is damaged there")


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


def _network_layer(packet: _Packet) -> bytes | None:
    """The IP packet; empty where it is another protocol's, None where the link layer is none that is read."""
    data, link = packet.data, packet.link
    if link in _RAW:
        return data
    if link in _LOOPBACK:
        return data[4:]
    if link == _PPP:
        return _in_ppp(data.removeprefix(b"\xff\x03"))
    if link not in _ETHERTYPE_AT:
        return None
    type_at, at = _ETHERTYPE_AT[link]
    kind = data[type_at : type_at + 2]
    for _ in range(3):
        if kind not in _VLAN:
            break
        kind, at = data[at + 2 : at + 4], at + 4
    if kind == _PPPOE:  # RFC 2516 §4
        return _in_ppp(data[at + 6 :])
    return data[at:] if kind in _IP else b""


def _in_ppp(data: bytes) -> bytes:
    return data[2:] if data[:2] in _IP_IN_PPP else b""


def _transport_layer(data: bytes) -> tuple[int, str, str, bytes, int] | None:
    """Protocol, source, destination, payload and the payload's length on the wire; None for a fragment that is not the
    first, or what is no IP."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        header, total, fragment = (data[0] & 15) * 4, int.from_bytes(data[2:4]), int.from_bytes(data[6:8])
        if header < 20 or fragment & 0x1FFF:
            return None
        # A total length of 0 is that of a packet that the network card was still to cut (TSO).
        end = total or len(data)
        return data[9], str(IPv4Address(data[12:16])), str(IPv4Address(data[16:20])), data[header:end], end - header
    if len(data) >= 40 and data[0] >> 4 == 6:
        following, at = data[6], 40
        length = int.from_bytes(data[4:6])
        end = at + length if length else len(data)
        for _ in range(5):
            if following not in (*_IPV6_EXTENSIONS, _IPV6_FRAGMENT) or at + 8 > len(data):
                break
            is_fragment = following == _IPV6_FRAGMENT
            if is_fragment and int.from_bytes(data[at + 2 : at + 4]) >> 3:
                return None
            following, at = data[at], at + 8 + (0 if is_fragment else data[at + 1] * 8)
        return following, str(IPv6Address(data[8:24])), str(IPv6Address(data[24:40])), data[at:end], end - at
    return None


def _messages(packets: Iterator[_Packet], losses: _Losses) -> Iterator[_Message]:
    open_streams: dict[tuple[Socket, Socket], _Stream] = {}
    streams: list[_Stream] = []
    last_ns = 0
    for packet in packets:
        last_ns = max(last_ns, packet.at_ns)
        inner = _network_layer(packet)
        if inner is None:
            losses.unread_links.add(packet.link)
            continue
        found = _transport_layer(inner)
        if found is None:
            continue
        protocol, source, destination, data, length = found
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
            header = max(header, 20)
            if payload := data[header:]:
                stream.add(sequence, packet.at_ns, payload, length - header)
    for stream in streams:
        yield from _split(stream, last_ns, losses)


def _split(stream: _Stream, last_ns: int, losses: _Losses) -> Iterator[_Message]:
    count = gaps = 0
    for marks, octets, missing in stream.stretches():
        mark = 0
        gaps += missing
        for start, end in pairwise((*_starts(octets), len(octets))):
            while mark + 1 < len(marks) and marks[mark + 1][0] <= start:
                mark += 1
            piece = _without_keepalives(octets[start:end])
            # What the capture lost belongs to the message before it, unless that is complete.
            lost = missing if end == len(octets) and _end_of(piece, 0, len(piece)) != len(piece) else 0
            if end == len(octets) and not lost and last_ns - marks[-1][1] < _GOES_ON_NS and (lost := _lacking(piece)):
                losses.others.append("it ends in the middle of a message")
            count += 1
            yield _Message(marks[mark][1], "tcp", stream.source, stream.destination, piece, len(piece) + lost)
    if count:
        losses.missing += gaps
        losses.long_streams += stream.is_full


def _starts(octets: bytes) -> Iterator[int]:
    """Where messages begin: at the start of a line, or where the Content-Length of one that ends without a line end
    says."""
    lines = (match.start() for match in _START.finditer(octets))
    for start, end in pairwise((*lines, len(octets))):
        yield start
        at = _end_of(octets, start, end)
        while at is not None and at < end and _START_LINE.match(octets, at, end):
            yield at
            at = _end_of(octets, at, end)


def _end_of(octets: bytes, start: int, end: int) -> int | None:
    """Where the message from `start` on ends by its Content-Length; None where it does not tell."""
    body = octets.find(b"\r\n\r\n", start, end)
    length = _LENGTH.search(octets, start, body + 2) if body >= 0 else None
    return body + 4 + int(length[1]) if length else None


def _lacking(message: bytes) -> int:
    """How many octets a message lacks: by its Content-Length, or one at least where its head has no end."""
    end = _end_of(message, 0, len(message))
    return max(0, end - len(message)) if end is not None else int(not _HEAD_END.search(message))


def _without_keepalives(piece: bytes) -> bytes:
    """The message without the CRLFs that keep the connection alive behind it. RFC 5626 §4.4.1."""
    ends = _EXTRA_ENDS.search(piece)
    if ends is None:
        return piece
    head, empty, _ = piece.partition(b"\r\n\r\n")
    wanted = 4 if not empty or len(head) >= ends.start() else 2
    return piece[: min(len(piece), ends.start() + wanted)]
