"""SIP against the messages that the RFCs print: RFC 4475's 49 and RFC 5118's 12 torture messages, and whole call flows.

The octets of RFC 4475 and RFC 5118 are those of the archives in their appendices, not of the printed text.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.deviations import Grade
from vsipcheck.wire.sip.errors import NotSipError
from vsipcheck.wire.sip.matching import match_response
from vsipcheck.wire.sip.message import SipMessage, SipRequest, SipResponse
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.sip.stream import KeepAlive, StreamDecoder, Truncated
from vsipcheck.wire.sip.uri import parse_uri
from vsipcheck.wire.sip.values import parse_name_addr

TORTURE = Path(__file__).parent / "torture"

# RFC 4475: section and the rules that the message breaks; empty where an element has to take it as well-formed.
RFC_4475 = {
    "wsinv": ("3.1.1.1", set()),
    "intmeth": ("3.1.1.2", set()),
    "esc01": ("3.1.1.3", set()),
    "escnull": ("3.1.1.4", set()),
    "esc02": ("3.1.1.5", set()),
    "lwsdisp": ("3.1.1.6", set()),
    "longreq": ("3.1.1.7", set()),
    "dblreq": ("3.1.1.8", set()),
    "semiuri": ("3.1.1.9", set()),
    "transports": ("3.1.1.10", set()),
    "mpart01": ("3.1.1.11", set()),
    "unreason": ("3.1.1.12", set()),
    "noreason": ("3.1.1.13", set()),
    "badinv01": ("3.1.2.1", {"via_malformed", "name_addr_malformed"}),
    "clerr": ("3.1.2.2", {"body_truncated"}),
    "ncl": ("3.1.2.3", {"content_length_negative"}),
    "scalar02": ("3.1.2.4", {"cseq_out_of_range", "max_forwards_out_of_range", "delta_seconds_out_of_range"}),
    "scalarlg": ("3.1.2.5", {"cseq_out_of_range", "delta_seconds_out_of_range", "warning_malformed"}),
    "quotbal": ("3.1.2.6", {"quoted_string_unterminated"}),
    "ltgtruri": ("3.1.2.7", {"request_uri_bracketed"}),
    "lwsruri": ("3.1.2.8", {"request_uri_whitespace"}),
    "lwsstart": ("3.1.2.9", {"start_line_whitespace"}),
    "trws": ("3.1.2.10", {"start_line_whitespace"}),
    "escruri": ("3.1.2.11", {"request_uri_headers"}),
    "baddate": ("3.1.2.12", {"date_malformed"}),
    "regbadct": ("3.1.2.13", {"name_addr_needed"}),
    "badaspec": ("3.1.2.14", {"uri_whitespace"}),
    # The archive's octets end without the empty line that the text shows.
    "baddn": ("3.1.2.15", {"display_name_malformed", "head_unterminated"}),
    "badvers": ("3.1.2.16", {"version_unknown"}),
    "mismatch01": ("3.1.2.17", {"cseq_method_mismatch"}),
    "mismatch02": ("3.1.2.18", {"cseq_method_mismatch"}),
    "bigcode": ("3.1.2.19", {"status_out_of_range"}),
    "badbranch": ("3.2.1", {"branch_empty"}),
    "insuf": ("3.3.1", {"header_missing"}),
    "unkscm": ("3.3.2", set()),
    "novelsc": ("3.3.3", set()),
    "unksm2": ("3.3.4", set()),
    "bext01": ("3.3.5", set()),
    "invut": ("3.3.6", set()),
    "regaut01": ("3.3.7", set()),
    "multi01": ("3.3.8", {"header_repeated"}),
    "mcl01": ("3.3.9", {"content_length_disagrees"}),
    "bcast": ("3.3.10", set()),
    "zeromf": ("3.3.11", set()),
    "cparam01": ("3.3.12", set()),
    "cparam02": ("3.3.13", set()),
    "regescrt": ("3.3.14", set()),
    "sdp01": ("3.3.15", set()),
    "inv2543": ("3.4.1", set()),
}

# The archive has bare LFs, and Content-Lengths that count CRLFs. RFC 5118's sections.
RFC_5118 = {
    "ipv6-good": ("4.1", set()),
    "ipv6-bad": ("4.2", {"uri_malformed"}),
    "port-ambiguous": ("4.3", set()),
    "port-unambiguous": ("4.4", set()),
    "via-received-param-with-delim": ("4.5", set()),
    "via-received-param-no-delim": ("4.5", set()),
    # Says 268 and has 251 octets, even with CRLF.
    "ipv6-in-sdp": ("4.6", {"body_truncated"}),
    "mult-ip-in-header": ("4.7", set()),
    "mult-ip-in-sdp": ("4.8", set()),
    "ipv4-mapped-ipv6": ("4.9", set()),
    # These two end without an empty line.
    "ipv6-bug-abnf-3-colons": ("4.10", {"head_unterminated"}),
    "ipv6-correct-abnf-2-colons": ("4.10", {"head_unterminated"}),
}


def octets(source: str, name: str) -> bytes:
    return (TORTURE / source / f"{name}.dat").read_bytes()


def torture(name: str) -> SipRequest | SipResponse:
    return parse_message(octets("rfc4475", name))


def torture_request(name: str) -> SipRequest:
    message = torture(name)
    assert isinstance(message, SipRequest)
    return message


def decode(data: bytes, step: int) -> tuple[list[object], type[WireError] | None]:
    decoder = StreamDecoder()
    events: list[object] = []
    try:
        for at in range(0, len(data), step):
            events += decoder.feed(data[at : at + step])
        events += decoder.finish()
    except WireError as error:
        return events, type(error)
    return events, None


@pytest.mark.parametrize(
    ("source", "count", "digest"),
    [
        ("rfc4475", 49, "c130abdedde20f53b7f1c70181dc8fc115afd568a12977d7db3d597f39a21378"),
        ("rfc5118", 12, "e124e714fc8d99c72de2c880f26a8e2a725bd77609e335ae781fc404ca271dfb"),
        ("rfc3665", 45, "96cc852f18d717306d53989116bfdffb474451b720346848a6be4c5c1b504c6c"),
        ("rfc3261", 10, "574ac92dbe88d33b8518b5930498fe0e2c45857891bcaf9e802784d84284f669"),
    ],
)
def test_vectors_are_the_octets_of_the_rfc(source: str, count: int, digest: str) -> None:
    files = sorted((TORTURE / source).glob("*.dat"))
    assert len(files) == count
    assert hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() == digest


def test_every_torture_message_has_its_row() -> None:
    assert {file.stem for file in (TORTURE / "rfc4475").glob("*.dat")} == set(RFC_4475)
    assert {file.stem for file in (TORTURE / "rfc5118").glob("*.dat")} == set(RFC_5118)


@pytest.mark.parametrize(("name", "broken"), [(name, row[1]) for name, row in RFC_4475.items()])
def test_torture_message_is_taken_or_its_defect_named(name: str, broken: set[str]) -> None:
    data = octets("rfc4475", name)
    message = parse_message(data)
    assert {deviation.code for deviation in message.errors} == broken
    assert message.leading + message.raw + message.trailing == data


@pytest.mark.parametrize("name", RFC_4475)
def test_torture_message_reads_alike_however_a_stream_cuts_it(name: str) -> None:
    data = octets("rfc4475", name)
    whole = decode(data, len(data))
    assert decode(data, 1) == decode(data, 7) == whole
    first = whole[0][0]
    if name in ("clerr", "baddn"):
        assert isinstance(first, Truncated)
        first = first.message
    assert isinstance(first, SipMessage)
    assert first.headers == torture(name).headers


@pytest.mark.parametrize("name", RFC_4475)
def test_every_beginning_of_a_torture_message_is_a_value_or_wire_error(name: str) -> None:
    data = octets("rfc4475", name)
    for end in range(0, len(data), 5):
        try:
            message = parse_message(data[:end])
        except WireError:
            continue
        assert message.leading + message.raw + message.trailing == data[:end]


def test_wsinv_values() -> None:
    message = torture_request("wsinv")
    assert message.uri == "sip:vivekg@chair-dnrc.example.com;unknownparam"
    assert [(via.transport, via.host, via.branch) for via in message.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert message.cseq == (9, "INVITE")
    assert (message.from_tag, message.to_tag) == ("98asjd8", "1918181833n")
    assert parse_name_addr(message.header("From") or "").display == 'J Rosenberg \\"'
    assert parse_name_addr(message.header("Contact") or "").display == 'Quoted string ""'
    assert parse_name_addr(message.header("Contact") or "").params == (
        ("newparam", "newvalue"),
        ("secondparam", None),
        ("q", "0.33"),
    )
    assert message.header("Subject") == ""
    assert message.header("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.header("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert message.header("max-forwards") == "0068"
    assert len(message.body) == 150


def test_intmeth_values() -> None:
    message = torture_request("intmeth")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    uri = parse_uri(message.uri)
    assert uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert uri.host == "example.com"
    assert message.top_via
    assert message.top_via.branch == "z9hG4bK-.!%66*_+`'~"
    assert parse_name_addr(message.header("To") or "").display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    sender = parse_name_addr(message.header("From") or "")
    assert sender.display == "token1~` token2'+_ token3*%!.-"
    assert sender.params == (("fromParam''~+*_!.-%", '"работающий"'), ("tag", "_token~1'+`*%!-."))
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.header("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_escapes_are_left_alone() -> None:
    assert parse_uri(torture_request("esc01").uri).user == "sips%3Auser%40example.com"
    contact = parse_uri(parse_name_addr(torture("esc01").header("m") or "").uri)
    assert (contact.user, contact.params) == ("cal%6Cer", (("%6C%72", None), ("n%61me", "v%61lue%25%34%31")))
    assert torture_request("esc02").method == "RE%47IST%45R"
    assert [header.value for header in torture("esc02").headers_named("Contact")] == [
        "<sip:alias1@host1.example.com>",
        "<sip:alias3@host3.example.com>",
    ]
    assert parse_uri(torture_request("semiuri").uri).user == "user;par=u%40example.net"
    assert parse_uri("sip:null-%00-null@example.com").user == "null-%00-null"


def test_long_message_keeps_its_34_vias() -> None:
    vias = torture("longreq").vias
    assert len(vias) == 34
    assert [via.host for via in vias[:3]] == ["sip33.example.com", "sip32.example.com", "sip31.example.com"]
    assert vias[-1].received == "192.0.2.5"


def test_second_message_of_a_datagram_is_trailing() -> None:
    message = torture("dblreq")
    assert isinstance(message, SipRequest)
    assert message.method == "REGISTER"
    assert [deviation.code for deviation in message.deviations] == ["trailing_bytes"]
    follower = parse_message(message.trailing)
    assert isinstance(follower, SipRequest)
    assert follower.method == "INVITE"
    # The second body is longer than its Content-Length says, so that the stream cannot go on.
    events, error = decode(octets("rfc4475", "dblreq"), 3)
    assert [type(event) for event in events] == [SipRequest, KeepAlive, SipRequest]
    assert error is NotSipError


def test_transports_and_reasons() -> None:
    assert [via.transport for via in torture("transports").vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]
    unusual = torture("unreason")
    assert isinstance(unusual, SipResponse)
    assert unusual.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    empty = torture("noreason")
    assert isinstance(empty, SipResponse)
    assert (empty.status, empty.reason) == (100, "")
    big = torture("bigcode")
    assert isinstance(big, SipResponse)
    assert big.status == 4294967301


def test_binary_body_is_kept() -> None:
    message = torture("mpart01")
    assert len(message.body) == 553
    assert b"\x30\x82\x01\x52\x06\x09\x2a\x86" in message.body


def test_missing_fields_are_named() -> None:
    missing = {deviation.detail for deviation in torture("insuf").errors if deviation.code == "header_missing"}
    assert missing == {"From", "To", "Call-ID"}
    assert torture("insuf").call_id is None


def test_rfc_2543_message_gets_notices_only() -> None:
    notices = {deviation.code: deviation.grade for deviation in torture("inv2543").deviations}
    assert notices == dict.fromkeys(("branch_missing", "from_tag_missing", "max_forwards_missing"), Grade.NOTICE)
    # On a stream the same message cannot be framed.
    events, _ = decode(octets("rfc4475", "inv2543"), 512)
    assert isinstance(events[0], SipMessage)
    assert "content_length_missing" in {deviation.code for deviation in events[0].errors}


@pytest.mark.parametrize(("name", "broken"), [(name, row[1]) for name, row in RFC_5118.items()])
def test_ipv6_torture_message_is_taken_or_its_defect_named(name: str, broken: set[str]) -> None:
    data = octets("rfc5118", name)
    message = parse_message(data.replace(b"\n", b"\r\n"))
    assert {deviation.code for deviation in message.errors} == broken
    as_archived = parse_message(data)
    assert as_archived.raw + as_archived.trailing == data
    assert {deviation.code for deviation in as_archived.errors} >= {"bare_lf"}
    assert [header.value for header in as_archived.headers] == [header.value for header in message.headers]


def test_ipv6_values() -> None:
    for name in ("via-received-param-with-delim", "via-received-param-no-delim"):
        via = parse_message(octets("rfc5118", name)).top_via
        assert via
        assert (via.host, via.port, via.received) == ("2001:db8::9:1", None, "2001:db8::9:255")
        assert via.sent_by == "[2001:db8::9:1]"
    via = parse_message(octets("rfc5118", "ipv4-mapped-ipv6")).top_via
    assert via
    assert via.sent_by == "[::ffff:192.0.2.10]:19823"
    ambiguous = parse_uri("sip:[2001:db8::10:5070]")
    assert (ambiguous.host, ambiguous.port) == ("2001:db8::10:5070", None)
    unambiguous = parse_uri("sip:[2001:db8::10]:5070")
    assert (unambiguous.host, unambiguous.port) == ("2001:db8::10", 5070)
    # RFC 5118 §4.10: the extra colon that RFC 3261's grammar asks for is tolerated.
    assert parse_uri("sip:user@[2001:db8:::192.0.2.1]").host == "2001:db8:::192.0.2.1"


@pytest.mark.parametrize(
    "path", sorted((*TORTURE.glob("rfc3665/*.dat"), *TORTURE.glob("rfc3261/*.dat"))), ids=lambda path: path.stem
)
def test_message_of_an_rfc_call_flow_breaks_no_rule(path: Path) -> None:
    data = path.read_bytes()
    message = parse_message(data)
    assert message.errors == ()
    assert message.raw == data
    events, error = decode(data, 1)
    assert error is None
    assert [event.raw for event in events if isinstance(event, SipMessage)] == [data]


def test_answer_of_an_rfc_call_flow_matches_its_request() -> None:
    for source, asked, answered in (
        ("rfc3665", "3.1-f5", "3.1-f6"),
        ("rfc3665", "3.8-f9", "3.8-f10"),
        ("rfc3261", "24.1-f1", "24.1-f2"),
        ("rfc3261", "24.2-f13", "24.2-f14"),
    ):
        request, response = parse_message(octets(source, asked)), parse_message(octets(source, answered))
        assert isinstance(request, SipRequest)
        assert isinstance(response, SipResponse)
        assert match_response(request, response) == ()
