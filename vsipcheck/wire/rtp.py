"""RTP and RTCP packets (RFC 3550): probes of PCMA silence (RFC 3551) that carry a number, parsers, and what a received
stream is told by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from vsipcheck.wire.errors import WireError

PCMA_PAYLOAD_TYPE = 8
PCMA_CLOCK_RATE_HZ = 8000
# Zero amplitude in A-law with the even bits inverted, G.711 as RFC 3551 §4.5.14 takes it.
PCMA_SILENCE = 0xD5
# One period of 1 kHz at 8000 samples a second, 24 dB below the digital milliwatt of G.711 tables 5 and 6: a quiet tone.
# In A-law each segment is half the one above, so these are the table's octets four segments down.
PCMA_TONE = bytes.fromhex("74 61 61 74 f4 e1 e1 f4")
PCMU_TONE = bytes.fromhex("5a 49 49 5a da c9 c9 da")
# How much of a probe has to be quoted: an RTP header, or an SR up to the end of the number.
RTP_HEADER_LENGTH = 12
RTCP_NUMBER_END = 14
# A probe's number fills sequence and timestamp.
MAX_PROBE_NUMBER = (1 << 48) - 1

RTCP_SENDER_REPORT = 200
RTCP_SDES = 202

_SDES_CNAME = 1
_SAMPLES_A_PACKET = 160
# RFC 3550 §A.1: sequence numbers further ahead than the first are a restart, those behind by up to the second are late.
_MAX_DROPOUT = 3000
_MAX_MISORDER = 100
# RFC 3551 §4.2: a receiver should accept packets of 0 to 200 ms.
_MAX_PAYLOAD_MS = 200
# An Ethernet frame holds 184 packets that name a source, at 8 octets each; the cap is for larger datagrams.
_MAX_RTCP_PACKETS = 256


class RtpExtension(NamedTuple):
    """A header extension: the 16 bits that its profile defines, and its words. RFC 3550 §5.3.1."""

    profile: int
    data: bytes


class RtpPacket(NamedTuple):
    """An RTP packet. `padding` counts the octets of padding, 0 where the P bit is off; the payload is without them."""

    version: int
    padding: int
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    csrcs: tuple[int, ...]
    extension: RtpExtension | None
    payload: bytes


class RtcpPacket(NamedTuple):
    """One packet of an RTCP compound. `length` is the header's, in words minus one; `body` is all after the header."""

    packet_type: int
    count: int  # type: ignore[assignment]  # RFC 3550's word for it; nobody counts in this tuple
    length: int
    body: bytes


def rtp_packet(
    *, payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, marker: bool = False
) -> bytes:
    """The octets of an RTP packet without padding, extension or contributing sources. Raises WireError for a field that
    does not fit. RFC 3550 §5.1."""
    if not 0 <= payload_type <= 127:
        raise WireError(f"payload type {payload_type} does not fit into 7 bits")
    header = bytes((0x80, (0x80 if marker else 0) | payload_type))
    return header + _pack_unsigned(sequence, 2) + _pack_unsigned(timestamp, 4) + _pack_unsigned(ssrc, 4) + payload


def silence_packet(
    *,
    sequence: int,
    timestamp: int,
    ssrc: int,
    marker: bool = False,
    payload_ms: int = 20,
    mark: bytes = b"",
) -> bytes:
    """A valid RTP packet of PCMA silence, 8 octets a millisecond; `mark` stands in for the first octets of silence.

    Raises WireError for a field that does not fit, or a mark longer than the payload. RFC 3550 §5.1, RFC 3551 §6.
    """
    if not 1 <= payload_ms <= _MAX_PAYLOAD_MS:
        raise WireError(f"a payload of {payload_ms} ms, 1 to {_MAX_PAYLOAD_MS} are allowed")
    octets = payload_ms * PCMA_CLOCK_RATE_HZ // 1000
    if len(mark) > octets:
        raise WireError(f"a mark of {len(mark)} octets in a payload of {octets}")
    return rtp_packet(
        payload_type=PCMA_PAYLOAD_TYPE,
        sequence=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=mark + bytes((PCMA_SILENCE,)) * (octets - len(mark)),
        marker=marker,
    )


def probe_packet(number: int, ssrc: int) -> bytes:
    """20 ms of PCMA silence that carry a number of 48 bits where a stream has its position.

    The low 16 bits are the sequence number; the timestamp is 160 samples a packet plus the high 32 bits, so that
    consecutive numbers look like one ordinary stream. Raises WireError for a number or an SSRC that does not fit.
    """
    _require_probe_number(number)
    sequence = number & 0xFFFF
    timestamp = (sequence * _SAMPLES_A_PACKET + (number >> 16)) & 0xFFFFFFFF
    return silence_packet(sequence=sequence, timestamp=timestamp, ssrc=ssrc)


def probe_number(quoted: bytes, ssrc: int) -> int | None:
    """The number of our own probe, from as much of it as an ICMP error quotes; None if it is not ours or too short.

    Needs the 12 octets of the RTP header. A router may quote only 8 octets after the IP header (RFC 792), which is
    the UDP header and none of this: then only the ports tell the probe.
    """
    if len(quoted) < RTP_HEADER_LENGTH or quoted[0] != 0x80 or quoted[1] & 0x7F != PCMA_PAYLOAD_TYPE:
        return None
    if int.from_bytes(quoted[8:12], "big") != ssrc:
        return None
    sequence, timestamp = int.from_bytes(quoted[2:4], "big"), int.from_bytes(quoted[4:8], "big")
    return ((timestamp - sequence * _SAMPLES_A_PACKET) & 0xFFFFFFFF) << 16 | sequence


def rtcp_probe_packet(number: int, ssrc: int) -> bytes:
    """A valid compound RTCP packet, SR without report blocks and SDES CNAME, that carries a number of 48 bits.

    The number is the NTP timestamp in units of 1/65536 s, octets 8 to 13: a sender without a wall clock may put the
    time since it joined there (RFC 3550 §6.4.1), and that is what numbers counted from 0 look like. The RTP timestamp
    tells the same instant. Raises WireError for a number or an SSRC that does not fit. RFC 3550 §6.1, §6.5.
    """
    _require_probe_number(number)
    source = _pack_unsigned(ssrc, 4)
    rtp_timestamp = (number * PCMA_CLOCK_RATE_HZ >> 16) & 0xFFFFFFFF
    report = source + (number << 16).to_bytes(8, "big") + rtp_timestamp.to_bytes(4, "big") + bytes(8)
    cname = f"vsipcheck-{ssrc:08x}".encode()
    chunk = source + bytes((_SDES_CNAME, len(cname))) + cname
    # The list of items ends with at least one null octet, and goes on with them to the next word.
    chunk += bytes(4 - len(chunk) % 4)
    return _rtcp_header(0, RTCP_SENDER_REPORT, report) + report + _rtcp_header(1, RTCP_SDES, chunk) + chunk


def rtcp_probe_number(quoted: bytes, ssrc: int) -> int | None:
    """The number of our own RTCP probe, from its first 14 octets or more; None if it is not ours or too short."""
    if len(quoted) < RTCP_NUMBER_END or quoted[:4] != b"\x80\xc8\x00\x06":
        return None
    if int.from_bytes(quoted[4:8], "big") != ssrc:
        return None
    return int.from_bytes(quoted[8:14], "big")


def parse_rtp(data: bytes) -> RtpPacket:
    """Decode an RTP packet. Raises WireError if it is truncated, not version 2, or its padding does not add up.

    Payload types 72 to 76 are refused: they are what the packet types 200 to 204 of RTCP look like (RFC 3551 §6).
    RFC 3550 §5.1, checks after §A.1.
    """
    if len(data) < RTP_HEADER_LENGTH:
        raise WireError(f"{len(data)} octets are too short for an RTP header")
    version, has_padding, has_extension, csrc_count = data[0] >> 6, data[0] & 0x20, data[0] & 0x10, data[0] & 0x0F
    if version != 2:
        raise WireError(f"RTP version {version} instead of 2")
    payload_type = data[1] & 0x7F
    if 72 <= payload_type <= 76:
        raise WireError(f"payload type {payload_type} is reserved: this looks like RTCP")
    offset = RTP_HEADER_LENGTH + 4 * csrc_count
    if offset > len(data):
        raise WireError(f"{csrc_count} contributing sources run past the end of the packet")
    csrcs = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(RTP_HEADER_LENGTH, offset, 4))
    extension = None
    if has_extension:
        if offset + 4 > len(data):
            raise WireError("the header extension runs past the end of the packet")
        words = int.from_bytes(data[offset + 2 : offset + 4], "big")
        end = offset + 4 + 4 * words
        if end > len(data):
            raise WireError(f"a header extension of {words} words runs past the end of the packet")
        extension = RtpExtension(int.from_bytes(data[offset : offset + 2], "big"), data[offset + 4 : end])
        offset = end
    padding = 0
    if has_padding:
        padding = data[-1] if offset < len(data) else 0
        if not 1 <= padding <= len(data) - offset:
            raise WireError(f"{padding} octets of padding in {len(data) - offset} of payload")
    return RtpPacket(
        version=version,
        padding=padding,
        marker=bool(data[1] & 0x80),
        payload_type=payload_type,
        sequence=int.from_bytes(data[2:4], "big"),
        timestamp=int.from_bytes(data[4:8], "big"),
        ssrc=int.from_bytes(data[8:12], "big"),
        csrcs=csrcs,
        extension=extension,
        payload=data[offset : len(data) - padding],
    )


def parse_rtcp(data: bytes) -> list[RtcpPacket]:
    """The packets of an RTCP compound in order, at least one. A padded last packet keeps its padding in `body`.

    Raises WireError if there is none, one is truncated, not version 2, not an RTCP type (192 to 223, RFC 5761 §4), or
    padded before the end. A compound need not start with a report here: RFC 5506 allows that. RFC 3550 §6.4, §A.2.
    """
    packets: list[RtcpPacket] = []
    offset = 0
    while offset < len(data) or not packets:
        if len(packets) == _MAX_RTCP_PACKETS:
            raise WireError(f"more than {_MAX_RTCP_PACKETS} RTCP packets in one datagram")
        if offset + 4 > len(data):
            raise WireError(f"{len(data) - offset} octets are too short for an RTCP header")
        version, packet_type = data[offset] >> 6, data[offset + 1]
        length = int.from_bytes(data[offset + 2 : offset + 4], "big")
        end = offset + 4 + 4 * length
        if version != 2:
            raise WireError(f"RTCP version {version} instead of 2")
        if not 192 <= packet_type <= 223:
            raise WireError(f"packet type {packet_type} is not one of RTCP")
        if end > len(data):
            raise WireError(f"an RTCP packet of {length + 1} words runs past the end of the datagram")
        if data[offset] & 0x20:
            if end != len(data):
                raise WireError("an RTCP packet before the last one is padded")
            if length == 0 or not 4 <= data[-1] <= 4 * length or data[-1] % 4:
                raise WireError(f"the padding of an RTCP packet of {length + 1} words does not add up")
        packets.append(RtcpPacket(packet_type, data[offset] & 0x1F, length, data[offset + 4 : end]))
        offset = end
    return packets


class SequenceCount(NamedTuple):
    """What the sequence numbers of one source tell. `lost` is RFC 3550's: expected less received, so that a duplicate
    hides a loss and it may be negative; `missing` are the numbers that never came."""

    expected: int
    received: int
    missing: int
    reordered: int  # that came after a later one
    duplicates: int

    @property
    def lost(self) -> int:
        return self.expected - self.received


def count_sequence(sequences: Iterable[int]) -> SequenceCount:
    """Losses, duplicates and late arrivals of one source, from its sequence numbers in order of arrival.

    Numbers are extended over wraps. A jump by 3,000 or more ahead, or more than 100 back, is passed over once, and
    with the number after it begins a new count, which is added. RFC 3550 §A.1, §A.3.
    """
    expected = received = missing = reordered = duplicates = 0
    seen: set[int] = set()
    base = highest = 0
    bad: int | None = None

    def close() -> None:
        nonlocal expected, missing
        if seen:
            expected += highest - base + 1
            # What was sent before the first that came is expected by nobody, as in the RFC.
            missing += highest - base + 1 - sum(each >= base for each in seen)

    for sequence in sequences:
        number = sequence & 0xFFFF
        ahead = (number - highest) & 0xFFFF
        if not seen or (bad == number and _MAX_DROPOUT <= ahead <= 0x10000 - _MAX_MISORDER):
            close()
            base = highest = number
            seen = {number}
            bad = None
            received += 1
        elif ahead < _MAX_DROPOUT or ahead > 0x10000 - _MAX_MISORDER:
            extended = highest + (ahead if ahead < _MAX_DROPOUT else ahead - 0x10000)
            if extended in seen:
                duplicates += 1
            elif extended < highest:
                reordered += 1
            seen.add(extended)
            highest = max(highest, extended)
            received += 1
        else:
            bad = (number + 1) & 0xFFFF
    close()
    return SequenceCount(expected, received, missing, reordered, duplicates)


def timestamp_step(before: int, after: int) -> int:
    """From one timestamp to another, which may be the earlier one, by the shorter way round their 32 bits."""
    step = (after - before) & 0xFFFFFFFF
    return step - ((step & 0x80000000) << 1)


class Jitter(NamedTuple):
    """The interarrival jitter in milliseconds: as it stood at the end, and at its largest."""

    last_ms: float
    max_ms: float


def interarrival_jitter(arrivals: Iterable[tuple[int, float]], clock_rate_hz: int) -> Jitter | None:
    """The jitter of one source from (timestamp, arrival in ms) in order of arrival; None for fewer than two packets.

    J += (|D| - J) / 16, where D is by how much a packet came later than its timestamp, compared with the one before.
    Raises WireError for a clock rate that is none. RFC 3550 §6.4.1, §A.8.
    """
    if clock_rate_hz <= 0:
        raise WireError(f"a clock of {clock_rate_hz} Hz")
    jitter = largest = 0.0
    before: tuple[int, float] | None = None
    count = 0
    for timestamp, arrival_ms in arrivals:
        if before is not None:
            step = timestamp_step(before[0], timestamp)
            difference_ms = (arrival_ms - before[1]) - step * 1000 / clock_rate_hz
            jitter += (abs(difference_ms) - jitter) / 16
            largest = max(largest, jitter)
        before = timestamp, arrival_ms
        count += 1
    return Jitter(jitter, largest) if count > 1 else None


def _rtcp_header(count: int, packet_type: int, body: bytes) -> bytes:
    return bytes((0x80 | count, packet_type)) + (len(body) // 4).to_bytes(2, "big")


def _require_probe_number(number: int) -> None:
    if not 0 <= number <= MAX_PROBE_NUMBER:
        raise WireError(f"probe number {number} does not fit into 48 bits")


def _pack_unsigned(value: int, length: int) -> bytes:
    if not 0 <= value < 1 << (8 * length):
        raise WireError(f"{value} does not fit into {length} octets")
    return value.to_bytes(length, "big")
