"""RTP and RTCP against bytes laid out by hand after RFC 3550 §5.1, §6.4.1 and §6.5, and any bytes whatever."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.rtp import (
    MAX_PROBE_NUMBER,
    PCMA_TONE,
    PCMU_TONE,
    RtcpPacket,
    RtpExtension,
    RtpPacket,
    SequenceCount,
    count_sequence,
    interarrival_jitter,
    parse_rtcp,
    parse_rtp,
    probe_number,
    probe_packet,
    rtcp_probe_number,
    rtcp_probe_packet,
    rtp_packet,
    silence_packet,
    timestamp_step,
)

SSRC = 0xDEADBEEF
numbers = st.integers(0, MAX_PROBE_NUMBER)
ssrcs = st.integers(0, 0xFFFFFFFF)


def test_silence_packet_is_laid_out_as_rfc3550_draws_it() -> None:
    packet = silence_packet(sequence=0x1234, timestamp=0x56789ABC, ssrc=SSRC)
    # V=2 P=0 X=0 CC=0 | M=0 PT=8 | sequence | timestamp | SSRC | 20 ms of PCMA
    assert packet == bytes.fromhex("80 08 12 34  56 78 9a bc  de ad be ef") + b"\xd5" * 160


def test_silence_packet_with_marker_duration_and_mark() -> None:
    packet = silence_packet(sequence=0, timestamp=0, ssrc=1, marker=True, payload_ms=10, mark=b"vsip")
    assert packet == bytes.fromhex("80 88 00 00  00 00 00 00  00 00 00 01") + b"vsip" + b"\xd5" * 76


def test_silence_is_the_quietest_code_of_a_law() -> None:
    # G.711 table 1: the even bits (0x55) are inverted, sign 1 is positive, segment and step 0 are the smallest value.
    assert silence_packet(sequence=0, timestamp=0, ssrc=0)[-1] ^ 0x55 == 0x80


@pytest.mark.parametrize(
    "fields",
    [
        {"sequence": 0x10000},
        {"sequence": -1},
        {"timestamp": 1 << 32},
        {"ssrc": 1 << 32},
        {"payload_ms": 0},
        {"payload_ms": 201},
        {"mark": b"x" * 161},
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, object]) -> None:
    arguments: dict[str, object] = {"sequence": 0, "timestamp": 0, "ssrc": 0} | fields
    with pytest.raises(WireError):
        silence_packet(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "header"),
    [
        (0, "80 08 00 00  00 00 00 00"),
        (1, "80 08 00 01  00 00 00 a0"),
        (2, "80 08 00 02  00 00 01 40"),
        (0x10000, "80 08 00 00  00 00 00 01"),
        (0xFFFF, "80 08 ff ff  00 9f ff 60"),
        (MAX_PROBE_NUMBER, "80 08 ff ff  00 9f ff 5f"),
    ],
)
def test_probe_numbers_look_like_a_stream(number: int, header: str) -> None:
    assert probe_packet(number, SSRC)[:8] == bytes.fromhex(header)
    assert len(probe_packet(number, SSRC)) == 172


@given(numbers, ssrcs, st.integers(0, 172))
@example(MAX_PROBE_NUMBER, SSRC, 12)
def test_probe_number_from_a_quote_of_any_length(number: int, ssrc: int, quoted: int) -> None:
    packet = probe_packet(number, ssrc)
    assert probe_number(packet[:quoted], ssrc) == (number if quoted >= 12 else None)
    assert parse_rtp(packet).payload == b"\xd5" * 160


@given(numbers, ssrcs, st.integers(0, 60))
@example(MAX_PROBE_NUMBER, SSRC, 14)
def test_rtcp_probe_number_from_a_quote_of_any_length(number: int, ssrc: int, quoted: int) -> None:
    packet = rtcp_probe_packet(number, ssrc)
    assert len(packet) >= 56
    assert rtcp_probe_number(packet[:quoted], ssrc) == (number if quoted >= 14 else None)


def test_foreign_packets_are_not_our_probes() -> None:
    rtp, rtcp = probe_packet(7, SSRC), rtcp_probe_packet(7, SSRC)
    assert probe_number(rtp, SSRC + 1) is None
    assert rtcp_probe_number(rtcp, SSRC + 1) is None
    assert probe_number(rtcp, SSRC) is None
    assert rtcp_probe_number(rtp, SSRC) is None
    assert probe_number(b"\x81" + rtp[1:], SSRC) is None
    assert probe_number(rtp[:1] + b"\x00" + rtp[2:], SSRC) is None
    assert rtcp_probe_number(b"\x81" + rtcp[1:], SSRC) is None


def test_rtcp_probe_is_laid_out_as_rfc3550_draws_it() -> None:
    assert rtcp_probe_packet(0x0001_8000, SSRC) == bytes.fromhex(
        "80 c8 00 06  de ad be ef"  # V=2 P=0 RC=0 | PT=SR=200 | length 6 | SSRC
        "00 00 00 01  80 00 00 00"  # NTP timestamp: 1.5 s
        "00 00 2e e0"  # RTP timestamp: 1.5 s at 8000 Hz
        "00 00 00 00  00 00 00 00"  # sender's packet and octet counts
        "81 ca 00 07  de ad be ef"  # V=2 P=0 SC=1 | PT=SDES=202 | length 7 | SSRC of chunk 1
        "01 12 76 73 69 70 63 68 65 63 6b 2d 64 65 61 64 62 65 65 66"  # CNAME=1, 18 octets, "vsipcheck-deadbeef"
        "00 00 00 00"  # end of the items, to the next word
    )


@given(numbers, ssrcs)
def test_rtcp_probe_is_a_valid_compound(number: int, ssrc: int) -> None:
    data = rtcp_probe_packet(number, ssrc)
    report, description = parse_rtcp(data)
    assert (report.packet_type, report.count, report.length) == (200, 0, 6)
    assert (description.packet_type, description.count) == (202, 1)
    assert len(data) % 4 == 0
    assert description.body.endswith(b"\0")
    assert report.body[:4] == description.body[:4] == ssrc.to_bytes(4, "big")


@pytest.mark.parametrize("number", [-1, MAX_PROBE_NUMBER + 1])
def test_numbers_of_more_than_48_bits_are_refused(number: int) -> None:
    with pytest.raises(WireError):
        probe_packet(number, SSRC)
    with pytest.raises(WireError):
        rtcp_probe_packet(number, SSRC)


@pytest.mark.parametrize("ssrc", [-1, 1 << 32])
def test_ssrcs_of_more_than_32_bits_are_refused(ssrc: int) -> None:
    with pytest.raises(WireError):
        probe_packet(0, ssrc)
    with pytest.raises(WireError):
        rtcp_probe_packet(0, ssrc)


def test_parse_rtp_with_everything_in_it() -> None:
    data = bytes.fromhex(
        "b2 e0 00 01  00 00 00 02  00 00 00 03"  # V=2 P=1 X=1 CC=2 | M=1 PT=96
        "00 00 00 04  00 00 00 05"  # CSRCs
        "be de 00 01  10 aa 00 00"  # extension, one word
        "68 69  00 00 00 04"  # payload, four octets of padding
    )
    assert parse_rtp(data) == RtpPacket(
        version=2,
        padding=4,
        marker=True,
        payload_type=96,
        sequence=1,
        timestamp=2,
        ssrc=3,
        csrcs=(4, 5),
        extension=RtpExtension(0xBEDE, b"\x10\xaa\x00\x00"),
        payload=b"hi",
    )
    for end in range(22):
        with pytest.raises(WireError):
            parse_rtp(data[:end])


def test_parse_rtp_of_a_bare_header() -> None:
    packet = parse_rtp(bytes.fromhex("80 00 ff ff  00 00 00 02  00 00 00 03"))
    assert (packet.payload_type, packet.payload, packet.padding, packet.extension) == (0, b"", 0, None)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "80 08 00 01 00 00 00 02 00 00 00",
        "40 08 00 01 00 00 00 02 00 00 00 03",
        "00 01 00 00 21 12 a4 42 00 00 00 00 00 00 00 00 00 00 00 00",  # STUN
        "81 08 00 01 00 00 00 02 00 00 00 03",  # a CSRC that is not there
        "90 08 00 01 00 00 00 02 00 00 00 03",  # an extension that is not there
        "90 08 00 01 00 00 00 02 00 00 00 03 be de 00 01",  # its word is not there
        "a0 08 00 01 00 00 00 02 00 00 00 03",  # padding in an empty payload
        "a0 08 00 01 00 00 00 02 00 00 00 03 00",  # no octets of padding
        "a0 08 00 01 00 00 00 02 00 00 00 03 ff ff 04",  # more octets of padding than there are
        "80 c8 00 06 de ad be ef 00 00 00 00",  # RTCP
    ],
)
def test_what_is_no_rtp(data: str) -> None:
    with pytest.raises(WireError):
        parse_rtp(bytes.fromhex(data))


def test_a_payload_may_be_all_padding() -> None:
    packet = parse_rtp(bytes.fromhex("a0 08 00 01 00 00 00 02 00 00 00 03 ff ff 03"))
    assert (packet.payload, packet.padding) == (b"", 3)


def test_parse_rtcp() -> None:
    data = bytes.fromhex("81 c9 00 07" + "11" * 28 + "80 cb 00 00" + "a0 cc 00 02  00 00 00 01  00 00 00 04")
    assert parse_rtcp(data) == [
        RtcpPacket(201, 1, 7, b"\x11" * 28),
        RtcpPacket(203, 0, 0, b""),
        RtcpPacket(204, 0, 2, bytes.fromhex("0000000100000004")),
    ]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "80",
        "80 c9 00",
        "80 c9 00 01",
        "80 c9 00 01 00 00 00",
        "80 c9 00 01 00 00 00 01 00",  # trailing octet
        "80 c9 00 00 80",
        "40 c9 00 01 00 00 00 01",
        "80 08 00 01 00 00 00 01",
        "80 e0 00 01 00 00 00 01",
        "a0 c9 00 01 00 00 00 04 80 cb 00 00",  # padded, but not last
        "a0 c9 00 00",
        "a0 c9 00 01 00 00 00 00",
        "a0 c9 00 01 00 00 00 03",
        "a0 c9 00 01 00 00 00 08",
        "80 c9 00 00" * 257,
    ],
)
def test_what_is_no_rtcp(data: str) -> None:
    with pytest.raises(WireError):
        parse_rtcp(bytes.fromhex(data))


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda tail: b"\xbf\x88" + tail)))
def test_any_bytes_give_an_rtp_packet_or_wire_error(data: bytes) -> None:
    try:
        packet = parse_rtp(data)
    except WireError:
        return
    assert packet.version == 2
    assert len(packet.payload) + packet.padding <= len(data) - 12


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda tail: b"\x81\xc8\x00\x01" + tail)))
def test_any_bytes_give_rtcp_packets_or_wire_error(data: bytes) -> None:
    try:
        packets = parse_rtcp(data)
    except WireError:
        return
    assert sum(4 + len(packet.body) for packet in packets) == len(data)


@given(st.binary(max_size=80), ssrcs)
def test_any_quote_gives_a_number_or_none(quoted: bytes, ssrc: int) -> None:
    for number in (probe_number(quoted, ssrc), rtcp_probe_number(quoted, ssrc)):
        assert number is None or 0 <= number <= MAX_PROBE_NUMBER


# What a received stream is told by.


@pytest.mark.parametrize(
    ("law", "tone", "milliwatt"),
    [
        ("a", PCMA_TONE, "34 21 21 34 b4 a1 a1 b4"),  # G.711 table 5
        ("mu", PCMU_TONE, "1e 0b 0b 1e 9e 8b 8b 9e"),  # G.711 table 6
    ],
)
def test_the_tone_is_the_digital_milliwatt_24_db_down(law: str, tone: bytes, milliwatt: str) -> None:
    def decode(octet: int) -> int:
        if law == "a":
            code = octet ^ 0x55
            segment, step = code >> 4 & 7, code & 15
            size = 2 * step + 1 if segment == 0 else (2 * step + 33) << (segment - 1)
            return size if code & 0x80 else -size
        code = ~octet & 0xFF
        size = (2 * (code & 15) + 33 << (code >> 4 & 7)) - 33
        return -size if code & 0x80 else size

    # 10 ** (24.08 / 20) is 16; a code of mu-law is up to a sixteenth off.
    for quiet, loud in zip(tone, bytes.fromhex(milliwatt), strict=True):
        assert decode(quiet) * 16 == pytest.approx(decode(loud), rel=1 / 16)


def test_a_packet_of_any_payload_type() -> None:
    packet = rtp_packet(payload_type=0, sequence=1, timestamp=2, ssrc=3, payload=b"\xff", marker=True)
    assert packet == bytes.fromhex("80 80 00 01  00 00 00 02  00 00 00 03  ff")
    with pytest.raises(WireError):
        rtp_packet(payload_type=128, sequence=1, timestamp=2, ssrc=3, payload=b"")


@pytest.mark.parametrize(
    ("sequences", "expected", "received", "missing", "reordered", "duplicates"),
    [
        ([], 0, 0, 0, 0, 0),
        ([7], 1, 1, 0, 0, 0),
        ([1, 2, 3, 4], 4, 4, 0, 0, 0),
        ([1, 2, 4, 5], 5, 4, 1, 0, 0),
        ([1, 3, 2, 4], 4, 4, 0, 1, 0),
        ([1, 2, 2, 3], 3, 4, 0, 0, 1),
        ([1, 2, 2, 4], 4, 4, 1, 0, 1),  # RFC 3550's figure would be no loss
        ([65534, 65535, 0, 1], 4, 4, 0, 0, 0),
        ([65534, 0, 65535, 1], 4, 4, 0, 1, 0),
        ([5, 4, 6], 2, 3, 0, 1, 0),  # before the first: not expected
        # A.1: one number far away is passed over; two in a row are a restart.
        ([1, 2, 30000, 3], 3, 3, 0, 0, 0),
        ([1, 2, 30000, 30001, 30002], 4, 4, 0, 0, 0),
    ],
)
def test_sequence_numbers(
    sequences: list[int], expected: int, received: int, missing: int, reordered: int, duplicates: int
) -> None:
    found = count_sequence(sequences)
    assert found == SequenceCount(expected, received, missing, reordered, duplicates)
    assert found.lost == expected - received


def test_jitter_of_even_packets_is_nothing() -> None:
    assert interarrival_jitter([(160 * n, 1000 + 20.0 * n) for n in range(10)], 8000) == (0.0, 0.0)


def test_jitter_by_hand() -> None:
    # RFC 3550 §6.4.1: J += (|D| - J) / 16, with D of 8, -8 and 4 ms.
    arrivals = [(0, 0.0), (160, 28.0), (320, 40.0), (480, 64.0)]
    found = interarrival_jitter(arrivals, 8000)
    assert found is not None
    first = 8 / 16
    second = first + (8 - first) / 16
    third = second + (4 - second) / 16
    assert found.last_ms == pytest.approx(third)
    assert found.max_ms == pytest.approx(max(first, second, third))


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        (0, 160, 160),
        (160, 0, -160),
        (0xFFFFFFB0, 80, 160),
        (80, 0xFFFFFFB0, -160),
        (0, 0x7FFFFFFF, 0x7FFFFFFF),
        (0, 0x80000000, -0x80000000),
    ],
)
def test_the_step_from_a_timestamp_to_the_next(before: int, after: int, step: int) -> None:
    assert timestamp_step(before, after) == step


def test_jitter_over_a_wrap_of_the_timestamp() -> None:
    assert interarrival_jitter([((0xFFFFFFFF - 79 + 160 * n) & 0xFFFFFFFF, 20.0 * n) for n in range(3)], 8000) == (
        0.0,
        0.0,
    )


@pytest.mark.parametrize("arrivals", [[], [(0, 0.0)]])
def test_there_is_no_jitter_without_two_packets(arrivals: list[tuple[int, float]]) -> None:
    assert interarrival_jitter(arrivals, 8000) is None


def test_a_clock_that_stands_still_is_refused() -> None:
    with pytest.raises(WireError):
        interarrival_jitter([], 0)


@given(st.lists(st.integers(0, 65535), max_size=60))
def test_any_sequence_numbers_are_counted(sequences: list[int]) -> None:
    found = count_sequence(sequences)
    assert 0 <= found.received <= len(sequences)
    assert 0 <= found.missing <= found.expected
    assert found.duplicates + found.reordered <= found.received


@given(st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.floats(0, 1e9)), min_size=2, max_size=40))
def test_any_arrivals_have_a_jitter(arrivals: list[tuple[int, float]]) -> None:
    found = interarrival_jitter(arrivals, 8000)
    assert found is not None
    assert 0 <= found.last_ms <= found.max_ms


def test_loss_and_jitter_as_wireshark_counts_them() -> None:
    # tshark 4.0.17, -z rtp,streams, on a capture of these packets: 10 packets, 2 lost, jitter at most 5.843 ms, which
    # is that of the last packet. One of the ten comes late.
    arrivals = [(100, 0, 0.0), (101, 160, 23.0), (102, 320, 41.0), (103, 480, 69.0), (105, 800, 104.0)]
    arrivals += [(104, 640, 110.0), (106, 960, 134.0), (109, 1440, 182.0), (110, 1600, 225.0), (111, 1760, 261.0)]
    counted = count_sequence(sequence for sequence, _, _ in arrivals)
    assert (counted.received, counted.lost, counted.missing, counted.reordered) == (10, 2, 2, 1)
    jitter = interarrival_jitter([(timestamp, at_ms) for _, timestamp, at_ms in arrivals], 8000)
    assert jitter is not None
    assert round(jitter.max_ms, 3) == round(jitter.last_ms, 3) == 5.843
