"""Capture files: those of Wireshark's own tools, segments in any order, link layers, and any bytes whatever.

tests/messages/captures: answered.pcapng was written by editcap, ethernet-nanoseconds.pcap by text2pcap and editcap.
"""

from __future__ import annotations

import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vsipcheck.wire.capture import capture_text, is_capture
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.pcap import Chunk, Conversation, capture
from vsipcheck.wire.sip import SipRequest, SipResponse
from vsipcheck.wire.trace import Trace, read_trace

MESSAGES = Path(__file__).parents[1] / "messages"
INVITE = (MESSAGES / "to-provider.sip").read_bytes()
# Longer than a segment.
LONG = INVITE.replace(b"Supported: replaces, timer", b"Supported: replaces, timer\r\nX-Long: " + b"y" * 2500)
OK = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"
PBX, TRUNK = ("203.0.113.9", 40112), ("198.51.100.70", 5070)
OPENED_US = 1_764_000_000_000_000


def read(data: bytes) -> Trace:
    assert is_capture(data)
    return read_trace(capture_text(data))


def starts(trace: Trace) -> list[str]:
    found = []
    for traced in trace.messages:
        assert isinstance(traced.message, SipRequest | SipResponse)
        found.append(traced.message.method if isinstance(traced.message, SipRequest) else str(traced.message.status))
    return found


def recorded(
    *chunks: tuple[bool, bytes], transport: str = "tcp", pbx: tuple[str, int] = PBX, trunk: tuple[str, int] = TRUNK
) -> bytes:
    timed = [Chunk(sent, OPENED_US + 100_000 * at, data) for at, (sent, data) in enumerate(chunks, 1)]
    return capture([Conversation(transport, pbx, trunk, OPENED_US, timed)])


def records(data: bytes) -> list[bytes]:
    """The packets of a little-endian capture, each with its header."""
    at, found = 24, []
    while at < len(data):
        size = 16 + struct.unpack_from("<I", data, at + 8)[0]
        found.append(data[at : at + size])
        at += size
    return found


def test_a_call_in_pcapng() -> None:
    trace = read((MESSAGES / "captures/answered.pcapng").read_bytes())
    assert starts(trace) == ["INVITE", "100", "180", "200", "ACK", "BYE", "200"]
    first, second = trace.messages[0].told, trace.messages[1].told
    assert (first.transport, first.source, first.destination) == ("tcp", PBX, TRUNK)
    assert (second.source, second.destination) == (TRUNK, PBX)
    assert all(traced.is_whole for traced in trace.messages)
    times = [traced.told.at_s or 0.0 for traced in trace.messages]
    assert [round(b - a, 3) for a, b in pairwise(times)] == [0.02, 0.86, 3.1, 0.01, 59.99, 0.02]


def test_ethernet_and_nanoseconds() -> None:
    data = (MESSAGES / "captures/ethernet-nanoseconds.pcap").read_bytes()
    (traced,) = read(data).messages
    assert (traced.told.source, traced.told.destination) == (("203.0.113.9", 5061), TRUNK)
    assert traced.message.raw == INVITE
    # The same with a VLAN tag.
    (record,) = records(data)
    tagged = record[:28] + b"\x81\x00\x00\x07" + record[28:]
    size = struct.unpack_from("<I", record, 8)[0] + 4
    tagged = tagged[:8] + struct.pack("<II", size, size) + tagged[16:]
    (traced,) = read(data[:24] + tagged).messages
    assert traced.message.raw == INVITE


@pytest.mark.parametrize(
    ("link", "header"), [(113, b"\0" * 14 + b"\x08\x00"), (276, b"\x08\x00" + b"\0" * 18), (0, b"\2\0\0\0")]
)
def test_other_link_layers(link: int, header: bytes) -> None:
    data = recorded((True, INVITE), transport="udp")
    (record,) = records(data)
    size = struct.unpack_from("<I", record, 8)[0] + len(header)
    changed = data[:20] + struct.pack("<I", link) + record[:8] + struct.pack("<II", size, size) + header + record[16:]
    (traced,) = read(changed).messages
    assert traced.message.raw == INVITE


def test_datagrams() -> None:
    trace = read(recorded((True, INVITE), (False, OK), (True, b"\x80\x08rtp-like"), transport="udp"))
    assert starts(trace) == ["INVITE", "200"]
    assert trace.messages[0].told.transport == "udp"


def test_ipv6() -> None:
    trace = read(recorded((True, INVITE), pbx=("2001:db8::9", 40112), trunk=("2001:db8::70", 5070)))
    assert trace.messages[0].told.source == ("2001:db8::9", 40112)


def test_segments_in_any_order_and_more_than_once() -> None:
    data = recorded((True, LONG), (False, OK), (True, LONG.replace(b"CSeq: 102", b"CSeq: 103")))
    whole = records(data)
    for seed in range(5):
        mixed = [*whole, *whole[3:6]]
        random.Random(seed).shuffle(mixed)
        # The handshake comes first, or sequence numbers have no beginning.
        trace = read(data[:24] + b"".join([*whole[:2], *mixed]))
        assert sorted(starts(trace)) == ["200", "INVITE", "INVITE"]
        assert all(traced.is_whole for traced in trace.messages)
        assert {traced.message.raw for traced in trace.messages} >= {LONG}


def test_sequence_numbers_that_wrap() -> None:
    # The writer begins at four times the moment: this one ends close to 2**32.
    opened = (OPENED_US >> 30 << 30) + 2**30 - 100
    data = capture([Conversation("tcp", PBX, TRUNK, opened, [Chunk(True, opened + 1000, LONG)])])
    (traced,) = read(data).messages
    assert traced.message.raw == LONG


def test_a_gap_makes_the_message_cut() -> None:
    data = recorded((True, LONG), (True, OK))
    whole = records(data)
    longest = max(range(len(whole)), key=lambda at: len(whole[at]))
    trace = read(data[:24] + b"".join(whole[: longest + 2] + whole[longest + 4 :]))
    assert starts(trace) == ["INVITE", "200"]
    assert [traced.is_whole for traced in trace.messages] == [False, True]


def test_several_messages_in_a_segment_and_keepalives_between() -> None:
    trace = read(recorded((True, b"\r\n\r\n" + INVITE + b"\r\n\r\n" + INVITE + OK + b"\r\n\r\n")))
    assert starts(trace) == ["INVITE", "INVITE", "200"]
    assert all(traced.is_whole for traced in trace.messages)


def test_a_false_length_does_not_swallow_the_next_message() -> None:
    trace = read(recorded((True, INVITE.replace(b"Content-Length: 255", b"Content-Length: 400") + OK)))
    assert starts(trace) == ["INVITE", "200"]
    assert trace.messages[0].is_whole


def test_a_port_that_is_used_again() -> None:
    one = Conversation("tcp", PBX, TRUNK, OPENED_US, [Chunk(True, OPENED_US + 10, INVITE)])
    two = Conversation("tcp", PBX, TRUNK, OPENED_US + 10**7, [Chunk(True, OPENED_US + 10**7 + 10, INVITE)])
    assert starts(read(capture([one, two]))) == ["INVITE", "INVITE"]


def test_captures_without_sip() -> None:
    assert capture_text(capture([])) == b""
    assert capture_text(recorded((True, b"GET / HTTP/1.1\r\n\r\n"))) == b""


@pytest.mark.parametrize("data", [b"", b"INVITE sip:a@b SIP/2.0\r\n", b"\xd4\xc3"])
def test_what_is_no_capture(data: bytes) -> None:
    assert not is_capture(data)
    with pytest.raises(WireError):
        capture_text(data)


_CLASSIC = recorded((True, LONG), (False, OK))
_NG = (MESSAGES / "captures/answered.pcapng").read_bytes()


@given(st.sampled_from([_CLASSIC, _NG]), st.data())
def test_damaged_captures(data: bytes, draws: st.DataObject) -> None:
    octets = bytearray(data)
    for _ in range(draws.draw(st.integers(1, 20))):
        octets[draws.draw(st.integers(4, len(octets) - 1))] = draws.draw(st.integers(0, 255))
    read_trace(capture_text(bytes(octets[: draws.draw(st.integers(4, len(octets)))])))


@given(st.sampled_from([_CLASSIC[:24], _NG[:4], b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1"]), st.binary(max_size=300))
@example(b"\x0a\x0d\x0d\x0a", b"\x0c\x00\x00\x00" * 4)
def test_any_bytes_give_text(head: bytes, rest: bytes) -> None:
    capture_text(head + rest)
