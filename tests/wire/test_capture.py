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

from vsipcheck.wire import capture as capture_module
from vsipcheck.wire.capture import capture_text, is_capture
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.pcap import Chunk, Conversation, capture
from vsipcheck.wire.sip.message import SipRequest, SipResponse
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
    return read_trace(capture_text(data).text)


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
    # The same with a VLAN tag, and within PPPoE.
    (record,) = records(data)
    for inside in (b"\x81\x00\x00\x07\x08\x00", b"\x88\x64\x11\x00\x00\x01\x00\x00\x00\x21"):
        frame = record[16:28] + inside + record[30:]
        (traced,) = read(data[:24] + record[:8] + struct.pack("<II", len(frame), len(frame)) + frame).messages
        assert traced.message.raw == INVITE


@pytest.mark.parametrize(
    ("link", "header"),
    [
        (113, b"\0" * 14 + b"\x08\x00"),
        (113, b"\0" * 14 + b"\x81\x00\x00\x07\x08\x00"),
        (276, b"\x08\x00" + b"\0" * 18),
        (276, b"\x81\x00" + b"\0" * 18 + b"\x00\x07\x08\x00"),
        (0, b"\2\0\0\0"),
        (9, b"\xff\x03\x00\x21"),
    ],
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


def test_a_message_that_follows_a_body_without_a_line_end() -> None:
    info = b"INFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf-relay\r\nContent-Length: 8\r\n\r\nSignal=5"
    trace = read(recorded((True, info + info + INVITE), (False, OK)))
    assert starts(trace) == ["INFO", "INFO", "INVITE", "200"]
    assert all(traced.is_whole for traced in trace.messages)


def test_a_keepalive_of_one_octet_before_a_message() -> None:
    data = recorded((True, b"\0"), (True, INVITE))
    whole = records(data)
    # A capture that begins after the handshake, with a probe that repeats the octet before the next one.
    assert starts(read(data[:24] + b"".join(whole[3:]))) == ["INVITE"]


@pytest.mark.parametrize("six", [False, True])
def test_of_a_datagram_in_fragments_the_first_is_read(six: bool) -> None:
    ends = {"pbx": ("2001:db8::9", 40112), "trunk": ("2001:db8::70", 5070)} if six else {}
    data = recorded((True, LONG), transport="udp", **ends)
    (record,) = records(data)
    packet, cut = record[16:], 1208 + (40 if six else 20)
    if six:
        fragment = struct.pack("!BBHI", 17, 0, 1, 7)
        first = packet[:4] + struct.pack("!H", 8 + 1208) + b"\x2c" + packet[7:40] + fragment + packet[40:cut]
        later = packet[:6] + b"\x2c" + packet[7:40] + struct.pack("!BBHI", 17, 0, 1208, 7) + packet[cut:]
    else:
        first = packet[:2] + struct.pack("!HHH", cut, 7, 0x2000) + packet[8:cut]
        later = packet[:2] + struct.pack("!HHH", len(packet) - 1208, 7, 151) + packet[8:20] + packet[cut:]
    pieces = [record[:8] + struct.pack("<II", len(each), len(each)) + each for each in (first, later)]
    (traced,) = read(data[:24] + b"".join(pieces)).messages
    assert (traced.is_whole, traced.told.size) == (False, len(LONG))


def block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


@pytest.mark.parametrize("kind", [2, 3])
def test_packets_in_the_other_blocks_of_pcapng(kind: int) -> None:
    (record,) = records(recorded((True, INVITE), transport="udp"))
    packet = record[16:]
    padded = packet + b"\0" * (-len(packet) % 4)
    head = struct.pack("<HHIIII", 0, 0, 0, 7, len(packet), len(packet)) if kind == 2 else struct.pack("<I", len(packet))
    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(1, struct.pack("<HHI", 101, 0, 0))
    (traced,) = read(section + interface + block(kind, head + padded)).messages
    assert traced.message.raw == INVITE


# --- what was not read ---


def left_out(data: bytes) -> str:
    return "; ".join(capture_text(data).left_out)


def test_nothing_is_left_out_of_a_whole_capture() -> None:
    for name in ("answered.pcapng", "ethernet-nanoseconds.pcap"):
        assert left_out((MESSAGES / "captures" / name).read_bytes()) == ""
    assert left_out(recorded((True, LONG), (False, OK))) == ""


def test_octets_that_the_capture_lost_are_told() -> None:
    data = recorded((True, INVITE), (True, OK), (True, OK))
    whole = records(data)
    lacking = data[:24] + b"".join(whole[:5] + whole[7:])
    assert left_out(lacking) == f"{len(OK)} octets of TCP streams that carry SIP are not in it"
    # The message before them is whole, as its Content-Length tells.
    assert all(traced.is_whole for traced in read(lacking).messages)
    nothing = recorded((True, b"GET / HTTP/1.1\r\n\r\n"), (True, b"x"), (True, b"y"))
    whole = records(nothing)
    assert left_out(nothing[:24] + b"".join(whole[:5] + whole[7:])) == ""


def test_a_packet_that_the_capture_cut_is_told() -> None:
    data = recorded((True, INVITE))
    whole = records(data)
    cut = [each[:8] + struct.pack("<I", 140) + each[12:156] if len(each) > 300 else each for each in whole]
    assert "octets of TCP streams that carry SIP are not in it" in left_out(data[:24] + b"".join(cut))
    (traced,) = read(data[:24] + b"".join(cut)).messages
    assert traced.is_whole is False


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("MAX_CAPTURE", 3000, "of the file the first 0 MiB were read"),
        ("_MAX_STREAM", 1000, "a TCP stream that carries SIP is longer than"),
        ("_MAX_TEXT", 1000, "of its SIP messages the first 0 MiB were read"),
    ],
)
def test_caps_are_told(monkeypatch: pytest.MonkeyPatch, limit: str, value: int, said: str) -> None:
    data = recorded(*((True, INVITE),) * 4)
    assert left_out(data) == ""
    monkeypatch.setattr(capture_module, limit, value)
    assert said in left_out(data)
    assert len(read(data).messages) < 4


def test_an_end_within_a_packet_is_told() -> None:
    data = recorded((True, INVITE))
    assert "ends in the middle of a packet" in left_out(data[:-50])
    assert "ends in the middle of a packet" in left_out((MESSAGES / "captures/answered.pcapng").read_bytes()[:-8])


@pytest.mark.parametrize("wanted", [b"Via: SIP/2.0/TCP 203", b"Allow: INVITE", b"\r\n\r\nv=0\r\n"])
def test_a_capture_that_ends_between_the_segments_of_a_message(wanted: bytes) -> None:
    cut = INVITE.index(wanted) + len(wanted)
    data = recorded((True, INVITE[:cut]))
    assert "ends in the middle of a message" in left_out(data)
    (traced,) = read(data).messages
    assert traced.is_whole is False
    assert traced.has_head == wanted.endswith(b"v=0\r\n")
    # Where the capture goes on for long, nothing more was sent.
    later = Conversation("tcp", PBX, TRUNK, OPENED_US, [Chunk(True, OPENED_US + 1, INVITE[:cut])], end="open")
    other = Conversation("udp", PBX, TRUNK, OPENED_US, [Chunk(True, OPENED_US + 2_000_000, b"other thing")])
    assert left_out(capture([later, other])) == ""


def test_a_link_layer_that_is_not_read_is_told() -> None:
    data = recorded((True, INVITE))
    assert "link type 189" in left_out(data[:20] + struct.pack("<I", 189) + data[24:])


def test_captures_without_sip() -> None:
    assert capture_text(capture([])).text == b""
    assert capture_text(recorded((True, b"GET / HTTP/1.1\r\n\r\n"))).text == b""


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
    read_trace(capture_text(bytes(octets[: draws.draw(st.integers(4, len(octets)))])).text)


@given(st.sampled_from([_CLASSIC[:24], _NG[:4], b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1"]), st.binary(max_size=300))
@example(b"\x0a\x0d\x0d\x0a", b"\x0c\x00\x00\x00" * 4)
def test_any_bytes_give_text(head: bytes, rest: bytes) -> None:
    capture_text(head + rest)
