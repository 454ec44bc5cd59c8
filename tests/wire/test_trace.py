"""SIP messages out of text traces: the formats as their programs write them, what text loses, and any bytes whatever.

tests/messages/traces: the tcpdump, tshark and SIPp files are those programs' own; the others follow what Asterisk,
FreeSWITCH, sngrep, ngrep and HOMER print, with messages of our own.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.trace import MAX_MESSAGES, MAX_TRACE, Trace, keep_messages, mask_secrets, read_trace
from vsipcheck.wire.trace_markers import Told

MESSAGES = Path(__file__).parents[1] / "messages"
TRACES = MESSAGES / "traces"
INVITE = (MESSAGES / "to-provider.sip").read_bytes()
PBX, TRUNK, RECORD_ROUTE = ("203.0.113.9", 40112), ("198.51.100.70", 5070), ("198.51.100.70", 443)


def read(name: str) -> Trace:
    trace = read_trace((TRACES / name).read_bytes())
    assert trace.skipped == ()
    assert not trace.truncated
    return trace


def codes(trace: Trace) -> list[str]:
    """Method or status of each message."""
    found = []
    for traced in trace.messages:
        message = traced.message
        found.append(message.method if isinstance(message, SipRequest) else "")
        if isinstance(message, SipResponse):
            found[-1] = str(message.status)
    return found


REFUSED = ["INVITE", "100", "403", "ACK"]
ANSWERED = ["INVITE", "100", "180", "200", "ACK", "BYE", "200"]


@pytest.mark.parametrize(
    ("name", "messages", "format_name", "transport", "source", "destination", "sent"),
    [
        ("tcpdump-refused.txt", REFUSED, "tcpdump", "tcp", PBX, TRUNK, None),
        ("tshark-follow-answered.txt", ANSWERED, "tshark", "tcp", PBX, TRUNK, None),
        ("sngrep-answered.txt", ANSWERED, "arrow", None, PBX, TRUNK, None),
        ("pjsip-refused.txt", REFUSED, "pjsip", "tcp", None, TRUNK, True),
        ("homer-refused.txt", REFUSED[:3], "arrow", "tcp", PBX, TRUNK, None),
        ("ngrep-refused.txt", REFUSED[:3], "ngrep", "tcp", PBX, TRUNK, None),
        (
            "chan-sip-no-ack.txt",
            ["INVITE", "100", "200", "200", "200", "BYE"],
            *("chan_sip", "tcp", RECORD_ROUTE, None, False),
        ),
        ("freeswitch-answered.txt", ["INVITE", "100", "200", "ACK"], "freeswitch", "tcp", RECORD_ROUTE, None, False),
        ("sipp-answered.txt", ["INVITE", "180", "200", "ACK", "BYE", "200"], "sipp", "tcp", None, None, True),
        ("mail-quoted.txt", ["INVITE"], "text", None, None, None, None),
    ],
)
def test_formats(
    name: str,
    messages: list[str],
    format_name: str,
    transport: str | None,
    source: tuple[str, int] | None,
    destination: tuple[str, int] | None,
    sent: bool | None,
) -> None:
    trace = read(name)
    assert codes(trace) == messages
    first = trace.messages[0].told
    assert (first.format, first.transport, first.source, first.destination, first.sent) == (
        *(format_name, transport, source, destination),
        sent,
    )
    # Nothing of the surroundings got into a message, and nothing of a message was lost.
    for traced in trace.messages:
        length = int(traced.message.header("Content-Length") or "-1")
        assert length in traced.body_sizes
        assert not [each for each in traced.message.deviations if each.code == "header_without_colon"]
    if name == "sipp-answered.txt":
        return
    original = (MESSAGES / ("from-provider.sip" if source == RECORD_ROUTE else "to-provider.sip")).read_bytes()
    assert trace.messages[0].body == original.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("name", "gaps_s"),
    [
        ("tcpdump-refused.txt", [0.02, 0.08, 0.001]),
        ("sngrep-answered.txt", [0.02, 0.86, 3.1, 0.01, 59.99, 0.02]),
        ("freeswitch-answered.txt", [0.0012, 0.9988, 0.04]),
        ("homer-refused.txt", [0.02, 0.08]),
        ("sipp-answered.txt", [0.0003, 0.0012, 0.0, 0.2057, 0.0001]),
    ],
)
def test_times(name: str, gaps_s: list[float]) -> None:
    times = [traced.told.at_s or 0.0 for traced in read(name).messages]
    assert [round(b - a, 4) for a, b in pairwise(times)] == gaps_s


def test_the_size_that_a_trace_tells_shows_whether_the_text_is_whole() -> None:
    assert [traced.is_whole for traced in read("freeswitch-answered.txt").messages] == [True] * 4
    assert [traced.is_whole for traced in read("sngrep-answered.txt").messages] == [None] * 7
    data = (TRACES / "pjsip-refused.txt").read_bytes()
    cut = data.replace(b"a=ptime:20\n", b"", 1)
    assert [traced.is_whole for traced in read_trace(cut).messages] == [False, True, True, True]


def followed(*chunks: tuple[bool, bytes]) -> bytes:
    """As tshark -z follow,tcp,ascii,0 writes segments."""
    head = (
        b"\n====\nFollow: tcp,ascii\nFilter: tcp.stream eq 0\nNode 0: 203.0.113.9:40112\nNode 1: 198.51.100.70:5070\n"
    )
    return head + b"".join((b"" if sent else b"\t") + b"%d\n" % len(data) + data + b"\n" for sent, data in chunks)


OK = b"SIP/2.0 200 OK\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n"
DTMF = b"INFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf-relay\r\nContent-Length: 8\r\n\r\nSignal=5"
_ENDS_A_LINE = INVITE.index(b"Allow:")


@pytest.mark.parametrize("cut", [[400], [_ENDS_A_LINE], [INVITE.index(b"v=0")], [_ENDS_A_LINE, 600, 610], [840]])
def test_a_message_in_several_segments_of_a_followed_stream(cut: list[int]) -> None:
    pieces = [(True, INVITE[start:end]) for start, end in pairwise((0, *cut, len(INVITE)))]
    text = followed((True, DTMF), *pieces, (False, OK), (True, OK))
    trace = read_trace(text)
    assert codes(trace) == ["INFO", "INVITE", "200", "200"]
    traced = trace.messages[1]
    assert traced.message.raw == INVITE
    assert (traced.has_head, traced.told.source, trace.messages[2].told.source) == (True, PBX, TRUNK)
    # Lines keep their numbers, and what is recorded reads the same.
    lines = text.split(b"\n")
    assert lines[traced.line - 1].startswith(b"INVITE")
    assert lines[trace.messages[3].line - 1].startswith(b"SIP/2.0 200 OK")
    again = read_trace(keep_messages(text, trace).encode())
    assert [each.message.raw for each in again.messages] == [each.message.raw for each in trace.messages]


def test_a_followed_stream_whose_sizes_do_not_fit_is_read_as_it_stands() -> None:
    lf = INVITE.replace(b"\r\n", b"\n")
    text = followed((True, lf[:400]), (True, lf[400:]), (False, OK))
    trace = read_trace(text)
    assert codes(trace) == ["INVITE", "200"]
    assert [traced.has_head for traced in trace.messages] == [False, True]


def test_of_a_followed_stream_that_is_no_sip_nothing_is_kept() -> None:
    text = followed((True, b"POST / HTTP/1.1\r\n\r\npassword=hun"), (True, b"ter2&x=y\r\n"))
    kept = keep_messages(text, read_trace(text))
    assert "hun" not in kept
    assert "ter2" not in kept


def test_many_false_sizes_are_read_once() -> None:
    assert read_trace(followed() + b"9999999\n" * 120_000).messages == ()


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + INVITE,
        INVITE.decode().encode("utf-16"),
        INVITE.replace(b"\r\n", b"\r\r\n"),
    ],
)
def test_what_windows_makes_of_a_text(data: bytes) -> None:
    trace = read_trace(data)
    assert [traced.message.raw for traced in trace.messages] == [INVITE]
    (again,) = read_trace(keep_messages(data, trace).encode()).messages
    assert again.message.raw == INVITE


def test_ipv4_peers_of_a_socket_of_both_families() -> None:
    text = b"<--- Received SIP request (9 bytes) from TCP:[::ffff:198.51.100.70]:5070 --->\n" + INVITE
    assert read_trace(text).messages[0].told.source == TRUNK


def test_a_head_that_ends_before_its_end() -> None:
    head = INVITE.partition(b"Supported")[0]
    marker = b"2025/11/24 16:00:00.0 203.0.113.9:40112 -> 198.51.100.70:5070\n"
    for text in (head, head + marker, head + OK):
        assert not read_trace(text).messages[0].has_head
    for text in (INVITE, INVITE.replace(b"\r\n\r\n", b"\r\n"), OK):
        assert read_trace(text).messages[0].has_head


def test_a_bare_message() -> None:
    (traced,) = read_trace(INVITE).messages
    assert traced.told == Told()
    assert traced.message.raw == INVITE
    assert (traced.line, traced.last_line, traced.body_line, traced.ended_by) == (1, 26, 14, "end")
    lines = INVITE.decode().split("\r\n")
    for header, line in zip(traced.message.headers, traced.header_lines, strict=True):
        assert lines[line - 1].startswith(f"{header.name}:")


def test_line_numbers_with_folded_headers() -> None:
    folded = INVITE.replace(b"Supported: replaces, timer", b"Supported: replaces,\r\n timer")
    (traced,) = read_trace(b"\r\n\r\n" + folded).messages
    assert traced.line == 3
    lines = [
        header.name for header, line in zip(traced.message.headers, traced.header_lines, strict=True) if line >= 14
    ]
    assert lines == ["Content-Type", "Content-Length"]


@pytest.mark.parametrize(
    "text",
    [
        INVITE.replace(b"\r\n", b"\n"),
        INVITE.replace(b"\r\n\r\n", b"\r\n"),  # the empty line was lost
        INVITE.replace(b"\r\n\r\n", b"\r\n\r\n\r\n"),  # or doubled
        b"".join(b"        " + line + b"\n" for line in INVITE.splitlines()),
        b"".join(b"        " + line + b"\n" if line else b"\n" for line in INVITE.splitlines()),
        b"".join(b"> " + line + b"\n" for line in INVITE.splitlines()),
        b"".join(b"[Nov 24 16:00:00] " + line + b"\n" for line in INVITE.splitlines()),
        INVITE.removesuffix(b"\r\n"),
        INVITE + b"\r\n\r\n",
        b"Dear support,\n\n" + INVITE + b"\nRegards,\nA. Customer\n",
    ],
)
def test_what_text_loses_does_not_count(text: bytes) -> None:
    (traced,) = read_trace(text).messages
    assert traced.message.body == INVITE.partition(b"\r\n\r\n")[2]
    assert 255 in traced.body_sizes
    assert not [each for each in traced.message.deviations if each.code != "bare_lf"]


def test_sizes_with_either_line_end() -> None:
    (traced,) = read_trace(INVITE).messages
    assert traced.body_sizes == (255, 253, 242, 241)
    told = b"<--- Received SIP request (%d bytes) from TCP:198.51.100.70:5070 --->\n" % len(INVITE)
    (traced,) = read_trace(told + INVITE).messages
    assert traced.body_sizes == (255,)


def test_a_body_that_is_no_sdp_reaches_as_far_as_content_length_says() -> None:
    body = b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n"
    head = INVITE.partition(b"\r\n\r\n")[0].replace(b"application/sdp", b"multipart/mixed;boundary=b")
    text = (
        head.replace(b"Content-Length: 255", b"Content-Length: %d" % len(body)) + b"\r\n\r\n" + body + b"log: line\r\n"
    )
    (traced,) = read_trace(text).messages
    assert traced.body == body


def test_log_lines_that_quote_a_start_line_are_no_messages() -> None:
    text = b'Got "INVITE sip:a@b SIP/2.0" from b\nanswered with SIP/2.0 200 OK\n-- SIP/2.0 200 OK\n'
    assert read_trace(text).messages == ()


def test_a_dissection_is_told_and_not_read() -> None:
    trace = read_trace((TRACES / "tshark-dissected.txt").read_bytes())
    assert (trace.messages, trace.skipped) == ((), ((11, "dissected"),))


def test_what_begins_like_a_message_and_is_none_is_skipped() -> None:
    trace = read_trace(INVITE + b"\r\nINVITE sip:a@b SIP/2.0\r\n" + b"X: y\r\n" * 300 + b"\r\n" + INVITE)
    assert codes(trace) == ["INVITE", "INVITE"]
    assert trace.skipped == ((28, "more than 256 header fields"),)


def test_our_own_ticket() -> None:
    text = (
        "SIP messages as vsipcheck sent and received them. Octets that are not printable are written \\xNN, and a\n"
        "backslash twice. Times are UTC. Run 1.\n\n"
        "=== sip.4 options: 203.0.113.9:40112 -> 198.51.100.70:5070 over TCP (pstn.in2.exotel.com)\n\n"
        "--- 2026-11-24 16:00:00.020 203.0.113.9:40112 -> 198.51.100.70:5070, 80 bytes\n"
        'OPTIONS sip:pstn.in2.exotel.com SIP/2.0\nFrom: "a\\\\b \\xc3\\xa9" <sip:a@b>;tag=1\nContent-Length: 0\n\n'
        "--- 2026-11-24 16:00:00.040 198.51.100.70:5070 -> 203.0.113.9:40112, 40 bytes\n"
        "SIP/2.0 200 OK\nContent-Length: 0\n\n"
    )
    trace = read_trace(text.encode())
    assert codes(trace) == ["OPTIONS", "200"]
    assert trace.messages[0].message.header("From") == '"a\\b é" <sip:a@b>;tag=1'
    told = [(traced.told.transport, traced.told.source) for traced in trace.messages]
    assert told == [("tcp", PBX), ("tcp", TRUNK)]


def test_caps() -> None:
    assert read_trace(b"x" * (MAX_TRACE + 1)).truncated
    many = read_trace(b"SIP/2.0 200 OK\r\n\r\n" * (MAX_MESSAGES + 10))
    assert len(many.messages) == MAX_MESSAGES
    assert many.truncated


SECRETS = [
    ('Authorization: Digest username="a", response="0123456789abcdef0123456789abcdef"', "0123456789abcdef"),
    ("Proxy-Authorization: Digest response=0123456789abcdef0123456789abcdef, uri=x", "0123456789abcdef"),
    ("Authorization: Basic YWxhZGRpbjpvcGVu", "YWxhZGRpbjpvcGVu"),
    ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZi|2^20|1:32", "d0RmdmcmVCspeEc3QGZi"),
    ("a=ice-pwd:asd88fgpdd777uzjYhagZg", "asd88fgpdd777uzjYhagZg"),
    ("Contact: <sip:200:hunter2@192.0.2.1>", "hunter2"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_secrets_are_written_over_with_their_length(text: str, secret: str) -> None:
    masked, count = mask_secrets(text)
    assert count == 1
    assert secret not in masked
    assert len(masked) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "From: <sip:a@192.0.2.1:5060;transport=tcp>",
        "Via: SIP/2.0/TCP 192.0.2.1:5061;branch=z9hG4bK1",
        "o=- 1 1 IN IP4 a",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_secrets(text) == (text, 0)


def test_what_is_kept_reads_the_same_and_has_no_other_line() -> None:
    data = (TRACES / "chan-sip-no-ack.txt").read_bytes()
    before = read_trace(data)
    kept = keep_messages(data, before)
    assert "Answer" not in kept
    assert "WARNING" not in kept
    assert kept.count("\n") == data.count(b"\n")
    after = read_trace(kept.encode())
    assert [traced.message.raw for traced in before.messages] == [traced.message.raw for traced in after.messages]
    assert [traced.line for traced in before.messages] == [traced.line for traced in after.messages]
    assert [traced.told.source for traced in before.messages] == [traced.told.source for traced in after.messages]


_LINES = [
    *(TRACES / "freeswitch-answered.txt").read_bytes().splitlines(keepends=True)[:45],
    *(TRACES / "tcpdump-refused.txt").read_bytes().splitlines(keepends=True)[:40],
    *(b"Follow: tcp,ascii\n", b"Node 0: 1.2.3.4:5\n", b"\t12\n", b"12\n", b"\n", b"v=0\n", b" ", b"> ", b"\xff\n"),
    *(b"    Request-Line: INVITE sip:a@b SIP/2.0\n", b"2025-99-99 25:61:61 1.2.3.4:99999 -> 1.2.3.4:5\n"),
    *(b"<--- SIP read from x --->\n", b"Content-Length: 99999999\n", b"Content-Type: multipart/mixed\n"),
]


@given(st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(_LINES), max_size=40).map(b"".join)))
@example(b"SIP/2.0 200 OK\nContent-Length: 5\n\n")
@example(b"Follow: x,\nNode 0: \xd9\xa3:\xd9\xa3\n1\nSIP/2.0 200 .\n")
def test_any_bytes_give_a_trace(data: bytes) -> None:
    trace = read_trace(data)
    for traced in trace.messages:
        assert 1 <= traced.line <= traced.last_line
        assert len(traced.header_lines) == len(traced.message.headers)
        assert traced.is_whole in (None, True, False)
        assert min(traced.body_sizes) >= -1
    kept = read_trace(keep_messages(data, trace).encode())
    assert len(kept.messages) >= len(trace.messages)
