"""Messages and traces against the provider's tables: one row per verdict, and the guide's own samples explained.

tests/messages: guide-*.sip are the guide's two sample INVITEs retyped with numbers and documentation addresses;
from-provider.sip and to-provider.sip are the same made clean.
"""

from __future__ import annotations

import asyncio
import gzip
import io
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from checks.fakes import FakeNetwork
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from vsipcheck.checks.base import Context, Facts, Recorder
from vsipcheck.checks.message import check as message
from vsipcheck.checks.message.calls import MAX_INVITES
from vsipcheck.model import CheckEvidence, Confidence, Failure, FaultDomain, Finding, Note, Settings, Status
from vsipcheck.profiles import load_profile
from vsipcheck.wire import capture as capture_module
from vsipcheck.wire.pcap import Chunk, Conversation, capture
from vsipcheck.wire.trace import MAX_TRACE

MESSAGES = Path(__file__).parents[1] / "messages"
TORTURE = sorted(path for path in (Path(__file__).parents[1] / "wire/torture").rglob("*") if path.is_file())
PROFILE = load_profile("exotel-tcp-mumbai")
_P, _W, _F, _U, _S = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN, Status.SKIP
PBX, PROVIDER, UNDETERMINED = FaultDomain.PBX, FaultDomain.PROVIDER, FaultDomain.UNDETERMINED


def lint(data: bytes, **asked: object) -> list[Finding]:
    note = msgspec.structs.replace(message.read_file("call.txt", data), id="message.1")
    return judged(note, **asked)


def judged(*notes: Note, **asked: object) -> list[Finding]:
    evidence = CheckEvidence(version=1, offset_ms=0.0, duration_ms=1.0, error=None, facts=notes)
    settings = Settings(checks=("message",), message="call.txt", **asked)  # type: ignore[arg-type]
    return message.judge(Facts({"message": evidence}), PROFILE, settings)


def one(found: list[Finding], finding_id: str, target: str | None = None) -> Finding:
    (finding,) = [each for each in found if (each.id, each.target) == (finding_id, target)]
    return finding


def worth_a_look(found: list[Finding]) -> set[tuple[str, str | None, str, Status]]:
    return {(each.id, each.target, each.reason, each.status) for each in found if each.status not in (_P, _S)}


def sample(name: str, *changes: tuple[str, str]) -> bytes:
    """A fixture with texts of its head or body changed; Content-Length is made true again unless it was changed."""
    text = (MESSAGES / name).read_bytes().decode()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    if any("Content-Length" in old for old, _ in changes):
        return text.encode()
    head, empty, body = text.partition("\r\n\r\n")
    lines = [
        f"Content-Length: {len(body)}" if line.startswith("Content-Length:") else line for line in head.split("\r\n")
    ]
    return ("\r\n".join(lines) + empty + body).encode()


# --- the guide's own samples, and their clean forms ---


def test_the_guides_sample_from_the_provider() -> None:
    found = lint((MESSAGES / "guide-from-provider.sip").read_bytes())
    assert worth_a_look(found) == {
        # Its Content-Length of 1168 is that of a longer body than the one printed: shortened, as a reader can guess but
        # not prove.
        ("message.framing", None, "length_differs", _W),
        # `Record-Route: sip:...;transport=tls;lr`: RFC 3261 §20.34 wants <> around the URI, or lr is not the URI's.
        ("message.header", "Record-Route", "brackets_missing", _W),
        # No s= line, which RFC 8866 §5.3 makes mandatory.
        ("message.sdp", "syntax", "breaks_rules", _W),
    }
    assert one(found, "message.header", "Record-Route").fault_domain is PROVIDER
    assert "1168" in one(found, "message.framing").summary
    # It is no call of the customer's: nothing is said of the rows about outbound INVITEs.
    assert {one(found, each).reason for each in ("call.transport", "call.caller_id")} == {"no_outbound_invite"}


def test_the_guides_sample_to_the_provider() -> None:
    found = lint((MESSAGES / "guide-to-provider.sip").read_bytes(), account_sid="exotelt")
    assert worth_a_look(found) == {
        ("message.framing", None, "length_differs", _W),  # 371, of a body of 250 bytes
        ("message.sdp", "syntax", "breaks_rules", _W),  # no s= line
        ("call.caller_id", None, "not_compared", _U),  # whose number it is, nobody said
    }
    # The branch z9hG4bKbK4041f853 has the magic cookie and a token after it: legal, though it looks like a slip.
    assert one(found, "message.header", "Via").reason == "well_formed"
    # Its Request-URI has no transport parameter, and the Via and the port say TCP 5070: the guide's own way.
    assert one(found, "call.transport").reason == "match"


def test_clean_ones() -> None:
    assert worth_a_look(lint(sample("from-provider.sip"))) == set()
    found = lint(
        sample("to-provider.sip"), account_sid="acme", exophones=("+918045678901",), public_address="203.0.113.9"
    )
    assert worth_a_look(found) == set()
    assert one(found, "call.caller_id").reason == "authorised"
    targets = [each.target for each in found if each.id == "message.header"]
    assert targets == [row.name for row in PROFILE.headers if row.direction == "to_provider"]
    assert all(each.location and each.facts == ("message.1",) for each in found)


def test_a_pbx_out_of_the_box_behind_a_nat() -> None:
    found = lint((MESSAGES / "to-provider-out-of-the-box.sip").read_bytes())
    assert worth_a_look(found) == {
        ("message.header", "Request-URI", "port_missing", _W),
        ("message.header", "Via", "wrong_transport", _F),
        ("message.header", "From", "wrong_domain", _F),
        ("message.header", "Contact", "private_address", _F),
        ("message.header", "Allow", "missing", _F),
        ("message.sdp", "media", "encrypted", _F),
        ("message.sdp", "codecs", "preferred_missing", _W),
        ("message.sdp", "dtmf", "dtmf_missing", _W),
        ("message.sdp", "address", "private_address", _F),
        ("message.sdp", "ptime", "other_ptime", _W),
        ("message.sdp", "direction", "one_way", _W),
        ("call.transport", None, "via_differs", _F),
        ("call.caller_id", None, "not_e164", _F),
    }
    assert {each.fault_domain for each in found if each.status is _F} == {PBX}
    assert one(found, "message.header", "Supported").status is _S


def test_an_alg_between_is_not_blamed_on_the_provider() -> None:
    found = lint((MESSAGES / "from-provider-through-alg.sip").read_bytes())
    assert worth_a_look(found) == {
        ("message.framing", None, "length_differs", _W),
        ("message.header", "Request-URI", "private_address", _W),
        ("message.header", "X-Exotel-CallSid", "missing", _F),
        ("message.sdp", "address", "private_address", _W),
    }
    assert {each.fault_domain for each in found if each.status in (_W, _F)} == {UNDETERMINED}


# --- one row per verdict ---

OUT, IN = "to-provider.sip", "from-provider.sip"
REQUEST = "INVITE sip:+919876543210@pstn.in2.exotel.com:5070;transport=tcp SIP/2.0"
CONTACT = "Contact: <sip:+918045678901@203.0.113.9:5061;transport=tcp>"
FROM = 'From: "+918045678901" <sip:+918045678901@acme.pstn.exotel.com>;tag=as63e4d7f1'
VIA = "Via: SIP/2.0/TCP 203.0.113.9:5061;branch=z9hG4bK4041f853"
ROUTE = "Record-Route: <sip:198.51.100.70:443;transport=tls;lr>"
THEIR_CONTACT = "Contact: <sip:+919876543210@198.51.100.70:5070;transport=tcp>"


@pytest.mark.parametrize(
    ("name", "old", "new", "target", "status", "reason", "domain"),
    [
        (OUT, REQUEST, REQUEST.replace("sip:", "sips:"), "Request-URI", _F, "wrong_scheme", PBX),
        (OUT, REQUEST, REQUEST.replace("=tcp", "=udp"), "Request-URI", _F, "wrong_transport", PBX),
        (OUT, REQUEST, REQUEST.replace(":5070", ":5060"), "Request-URI", _F, "wrong_port", PBX),
        (OUT, REQUEST, REQUEST.replace(":5070", ""), "Request-URI", _W, "port_missing", PBX),
        (OUT, REQUEST, REQUEST.replace("+919876543210@", ""), "Request-URI", _F, "number_missing", PBX),
        (OUT, REQUEST, REQUEST.replace("+91", "0"), "Request-URI", _W, "not_e164", PBX),
        (OUT, REQUEST, REQUEST.replace("+91", "%2B91"), "Request-URI", _P, "well_formed", None),
        (
            *(OUT, REQUEST),
            f"{REQUEST.replace(':5070', '')}\r\nRoute: <sip:198.51.100.70:5070;transport=tcp;lr>",
            *("Request-URI", _P, "well_formed", None),
        ),
        (OUT, REQUEST, REQUEST.replace("5070;", "5070?a=b;"), "Request-URI", _F, "malformed", PBX),
        (IN, "203.0.113.9:5061;transport=tcp", "192.168.1.9", "Request-URI", _W, "private_address", UNDETERMINED),
        (IN, "+918045678901@203.0.113.9:5061", "203.0.113.9:5061", "Request-URI", _W, "number_missing", UNDETERMINED),
        (IN, "5061;transport=tcp SIP", "5061;transport=tls SIP", "Request-URI", _W, "wrong_transport", PROVIDER),
        (OUT, VIA, VIA.replace("TCP", "UDP"), "Via", _F, "wrong_transport", PBX),
        (OUT, VIA, VIA.replace("203.0.113.9:5061", "203.0.113.9:x"), "Via", _F, "malformed", PBX),
        (OUT, VIA, VIA.partition(";")[0], "Via", _W, "old_form", PBX),
        (OUT, f"{VIA}\r\n", "", "Via", _F, "missing", PBX),
        (IN, "SIP/2.0/TCP", "SIP/2.0/TLS", "Via", _W, "wrong_transport", PROVIDER),
        (OUT, FROM, FROM.replace("sip:", "tel:"), "From", _F, "wrong_scheme", PBX),
        (OUT, FROM, FROM.replace("acme.pstn.exotel.com", "203.0.113.9"), "From", _F, "wrong_domain", PBX),
        (OUT, FROM, FROM.replace("acme.pstn.exotel.com", "pstn.exotel.com"), "From", _F, "wrong_domain", PBX),
        (OUT, FROM, FROM.partition(";tag")[0], "From", _W, "old_form", PBX),
        (OUT, FROM, f"{FROM}\r\n{FROM}", "From", _F, "repeated", PBX),
        (OUT, "To: <sip:", "To: <sip:a b", "To", _F, "malformed", PBX),
        (OUT, CONTACT, CONTACT.replace("203.0.113.9", "10.0.0.9"), "Contact", _F, "private_address", PBX),
        (OUT, CONTACT, CONTACT.replace("203.0.113.9", "100.64.3.9"), "Contact", _F, "private_address", PBX),
        (OUT, CONTACT, CONTACT.replace("203.0.113.9", "224.0.0.5"), "Contact", _F, "private_address", PBX),
        (OUT, CONTACT, CONTACT.replace("203.0.113.9", "255.255.255.255"), "Contact", _F, "private_address", PBX),
        (OUT, CONTACT, CONTACT.replace("203.0.113.9", "[::]"), "Contact", _F, "private_address", PBX),
        (OUT, CONTACT, CONTACT.replace("203.0.113.9", "[2001:db8::9]"), "Contact", _W, "other_family", PBX),
        (OUT, CONTACT, CONTACT.replace("203.0.113.9", "pbx"), "Contact", _W, "local_name", PBX),
        (OUT, CONTACT, CONTACT.replace("203.0.113.9", "pbx.office.local"), "Contact", _W, "local_name", PBX),
        (OUT, CONTACT, CONTACT.replace("203.0.113.9", "pbx.example.com"), "Contact", _P, "well_formed", None),
        (OUT, CONTACT, CONTACT.replace("=tcp", "=tls"), "Contact", _F, "wrong_transport", PBX),
        (OUT, CONTACT, CONTACT.replace(";transport=tcp", ""), "Contact", _W, "transport_missing", PBX),
        (OUT, CONTACT, CONTACT.replace("sip:", "sips:"), "Contact", _F, "wrong_scheme", PBX),
        (OUT, f"{CONTACT}\r\n", "", "Contact", _W, "missing", PBX),
        (OUT, CONTACT, "Contact: <sip:a b>", "Contact", _W, "malformed", PBX),
        (IN, THEIR_CONTACT, THEIR_CONTACT.replace("=tcp", "=tls"), "Contact", _W, "wrong_transport", PROVIDER),
        (
            IN,
            THEIR_CONTACT,
            THEIR_CONTACT.replace("198.51.100.70", "10.1.1.1"),
            "Contact",
            _W,
            "private_address",
            UNDETERMINED,
        ),
        (IN, ROUTE, "Record-Route: sip:198.51.100.70:443;lr", "Record-Route", _W, "brackets_missing", PROVIDER),
        (IN, ROUTE, ROUTE.replace(";lr", ""), "Record-Route", _W, "lr_missing", PROVIDER),
        (IN, f"{ROUTE}\r\n", "", "Record-Route", _S, "left_out", None),
        (OUT, "CSeq: 102 INVITE", "CSeq: 102 OPTIONS", "CSeq", _F, "malformed", PBX),
        (OUT, "CSeq: 102 INVITE", "CSeq: 4294967296 INVITE", "CSeq", _F, "malformed", PBX),
        (OUT, "Call-ID: ", "Call-ID: a b ", "Call-ID", _F, "malformed", PBX),
        (OUT, "Allow: INVITE, ACK, CANCEL", "Allow: INVITE", "Allow", _W, "methods_missing", PBX),
        (OUT, "Supported: replaces, timer\r\n", "", "Supported", _S, "left_out", None),
        (OUT, "Supported: replaces, timer", "Supported:", "Supported", _W, "empty", PBX),
        (OUT, "Max-Forwards: 70\r\n", "", "Max-Forwards", _F, "missing", PBX),
        (OUT, "Max-Forwards: 70", "Max-Forwards: 0", "Max-Forwards", _F, "used_up", PBX),
        (OUT, "Max-Forwards: 70", "Max-Forwards: 300", "Max-Forwards", _F, "malformed", PBX),
        (OUT, "Max-Forwards: 70", "Max-Forwards: 70 hops", "Max-Forwards", _F, "malformed", PBX),
        (
            IN,
            "X-Exotel-LegSid:",
            "X-Exotel-CallSid: b\r\nX-Exotel-LegSid:",
            "X-Exotel-CallSid",
            _W,
            "repeated",
            UNDETERMINED,
        ),
        (OUT, "application/sdp", "text/plain", "Content-Type", _F, "wrong_type", PBX),
        (OUT, "application/sdp", "multipart/mixed;boundary=b", "Content-Type", _W, "multipart", PBX),
        (OUT, "Content-Length: 255", "Content-Length: 255\r\nl: 255", "Content-Length", _W, "old_form", PBX),
        (
            IN,
            "P-Asserted-Identity: <sip:",
            "P-Asserted-Identity: <<sip",
            "P-Asserted-Identity",
            _W,
            "malformed",
            UNDETERMINED,
        ),
        (IN, "P-Early-Media: supported\r\n", "", "P-Early-Media", _S, "left_out", None),
        (IN, "X-Exotel-TrunkSid: trmum1c0ffee", "X-Exotel-TrunkSid:", "X-Exotel-TrunkSid", _W, "empty", UNDETERMINED),
    ],
)
def test_headers(
    name: str, old: str, new: str, target: str, status: Status, reason: str, domain: FaultDomain | None
) -> None:
    finding = one(lint(sample(name, (old, new))), "message.header", target)
    assert (finding.status, finding.reason, finding.fault_domain) == (status, reason, domain)
    assert bool(finding.remedy) == (status in (_W, _F))


def test_no_number_of_broken_lines_hides_another() -> None:
    noise = "".join(f"no colon {number}\r\n" for number in range(70))
    for old, new, target, reason in (
        ("CSeq: 102 INVITE", "CSeq: 102 OPTIONS", "CSeq", "malformed"),
        ("To: <sip:", "To: <sip:a b", "To", "malformed"),
        (FROM, f"{FROM}\r\n{FROM}", "From", "repeated"),
    ):
        found = lint(sample(OUT, (old, new), ("Max-Forwards", f"{noise}Max-Forwards")))
        finding = one(found, "message.header", target)
        assert (finding.status, finding.reason) == (_F, reason)
        assert one(found, "message.framing").reason == "breaks_rules"
    # As many faults in one header field leave the rest's to be told.
    vias = "".join(f"Via: {number}\r\n" for number in range(70))
    found = lint(sample(OUT, ("Supported: ", f"{vias}no colon\r\nSupported: ")))
    assert one(found, "message.header", "Via").reason == "malformed"
    assert one(found, "message.framing").reason == "breaks_rules"


def test_damage_of_the_text_is_no_proven_fault_of_a_header_field() -> None:
    finding = one(lint(sample(OUT, ('"+918045678901"', '"+9180\x0145678901"'))), "message.header", "From")
    assert (finding.status, finding.reason) == (_W, "malformed")


def test_compact_forms_and_folded_lines_are_the_same_header_fields() -> None:
    short = {"Via": "v", "From": "f", "To": "t", "Contact": "m", "Call-ID": "i", "Supported": "k"}
    short |= {"Content-Type": "c", "Content-Length": "l"}
    head, _, body = sample(OUT).decode().partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    told = [f"{short.get(name, name)}:\r\n {value}" for name, _, value in (line.partition(": ") for line in lines)]
    assert worth_a_look(lint("\r\n".join([start, *told, ""]).encode() + b"\r\n" + body.encode())) == worth_a_look(
        lint(sample(OUT))
    )


def test_credentials_are_none_of_the_trunks() -> None:
    asked = ("Supported: replaces", 'Authorization: Digest username="a"\r\nSupported: replaces')
    finding = one(lint(sample(OUT, asked)), "message.header", "Authorization")
    assert (finding.status, finding.reason, finding.fault_domain) == (_W, "credentials_sent", PBX)


def test_a_body_that_is_missing_or_unreadable() -> None:
    head = sample(OUT).partition(b"\r\n\r\n")[0]
    nothing = lint(head.replace(b"Content-Length: 255", b"Content-Length: 0") + b"\r\n\r\n")
    assert one(nothing, "message.header", "SDP").reason == "missing"
    assert not [each for each in nothing if each.id == "message.sdp"]
    broken = lint(head.replace(b"255", b"7") + b"\r\n\r\nhello\r\n")
    assert one(broken, "message.header", "SDP").reason == "malformed"


def test_the_accounts_own_domain() -> None:
    assert one(lint(sample(OUT), account_sid="acme"), "message.header", "From").status is _P
    other = one(lint(sample(OUT), account_sid="other"), "message.header", "From")
    assert (other.status, other.reason) == (_F, "wrong_domain")
    assert "other.pstn.exotel.com" in (other.remedy or "")


def test_the_public_address_that_was_measured() -> None:
    found = lint(sample(OUT), public_address="203.0.113.77")
    assert one(found, "message.header", "Contact").reason == "other_address"
    assert one(found, "message.sdp", "address").reason == "other_address"


@pytest.mark.parametrize(
    ("name", "old", "new", "target", "status", "reason"),
    [
        (OUT, "s=-\r\n", "", "syntax", _W, "breaks_rules"),
        (OUT, "m=audio", "m=video", "media", _F, "no_audio"),
        (OUT, "RTP/AVP", "RTP/SAVP", "media", _F, "encrypted"),
        (OUT, "a=ptime:20", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA", "media", _W, "encrypted"),
        (OUT, "RTP/AVP", "udptl", "media", _F, "not_rtp"),
        (OUT, "m=audio 18232", "m=audio 0", "media", _F, "no_port"),
        (OUT, "RTP/AVP 8 0 101", "RTP/AVP 0 8 101", "codecs", _W, "other_first"),
        (OUT, "RTP/AVP 8 0 101", "RTP/AVP 18 8 0 101", "codecs", _W, "other_first"),
        (OUT, "RTP/AVP 8 0 101", "RTP/AVP 101 8 0", "codecs", _P, "preferred_first"),
        (OUT, "RTP/AVP 8 0 101", "RTP/AVP 8 101", "codecs", _W, "fallback_missing"),
        (OUT, "RTP/AVP 8 0 101", "RTP/AVP 0 101", "codecs", _W, "preferred_missing"),
        (OUT, "RTP/AVP 8 0 101", "RTP/AVP 18 101", "codecs", _F, "no_g711"),
        # Redundancy and comfort noise are wrapped around a codec, and no codec of their own.
        (OUT, "8 0 101\r\n", "97 13 8 0 101\r\na=rtpmap:97 RED/8000\r\n", "codecs", _P, "preferred_first"),
        (OUT, "8 0 101\r\n", "98 8 0 101\r\na=rtpmap:98 CN/16000\r\n", "codecs", _P, "preferred_first"),
        (OUT, "8 PCMA/8000", "8 PCMA/16000", "codecs", _W, "preferred_missing"),
        (OUT, "8 PCMA/8000", "8 PCMA/8000/2", "codecs", _W, "preferred_missing"),
        (OUT, "RTP/AVP 8 0 101", "RTP/AVP 8 0", "dtmf", _W, "dtmf_missing"),
        (OUT, "telephone-event/8000", "telephone-event/48000", "dtmf", _W, "dtmf_other_rate"),
        (OUT, "0 101\r\n", "0 9 101\r\na=rtpmap:9 telephone-event/48000\r\n", "dtmf", _P, "dtmf_offered"),
        (OUT, "RTP/AVP", "RTP/AVPF", "media", _W, "with_feedback"),
        (OUT, "a=ptime:20", "a=fingerprint:sha-256 AA:BB", "media", _W, "encrypted"),
        (OUT, "m=audio", "m=audio 18230 RTP/SAVP 8 0\r\nm=audio", "media", _W, "several_streams"),
        (OUT, "m=audio", "m=audio 0 RTP/SAVP 18\r\nm=audio", "codecs", _P, "preferred_first"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP4 172.16.0.9", "address", _F, "private_address"),
        (OUT, "c=IN IP4 203.0.113.9\r\n", "", "address", _F, "address_missing"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP4 pbx.example.com", "address", _W, "address_is_name"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP4 0.0.0.0", "address", _W, "on_hold"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP4 224.0.0.5/127", "address", _F, "private_address"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP4 255.255.255.255", "address", _F, "private_address"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP4 0.1.2.3", "address", _F, "private_address"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP4 240.0.0.1", "address", _F, "private_address"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP6 0:0:0:0:0:0:0:0", "address", _F, "private_address"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP6 ::ffff:203.0.113.9", "address", _F, "private_address"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP6 ff02::1", "address", _F, "private_address"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP6 2001:db8::9", "address", _W, "other_family"),
        (OUT, "c=IN IP4 203.0.113.9", "c=IN IP4 203.0.113.999", "address", _F, "address_missing"),
        (IN, "c=IN IP4 182.76.143.61", "c=IN IP4 18.142.150.245", "address", _W, "unlisted_address"),
        (IN, "c=IN IP4 182.76.143.61", "c=IN IP4 10.0.0.1", "address", _W, "private_address"),
        (OUT, "a=ptime:20", "a=ptime:30", "ptime", _W, "other_ptime"),
        (OUT, "a=ptime:20\r\n", "", "ptime", _P, "usual_ptime"),
        (OUT, "a=ptime:20", "a=ptime:many", "ptime", _W, "other_ptime"),
        (OUT, "a=maxptime:150", "a=maxptime:10", "ptime", _W, "other_ptime"),
        (OUT, "a=sendrecv", "a=inactive", "direction", _W, "one_way"),
        (OUT, "a=sendrecv\r\n", "", "direction", _P, "both_ways"),
        (IN, "m=audio 37456", "m=audio 50010", "port", _W, "port_outside"),
        (IN, "m=audio 37456", "m=audio 0", "port", _S, "no_port"),
    ],
)
def test_sdp(name: str, old: str, new: str, target: str, status: Status, reason: str) -> None:
    finding = one(lint(sample(name, (old, new))), "message.sdp", target)
    assert (finding.status, finding.reason) == (status, reason)


def taken(name: str, line: str, *changes: tuple[str, str]) -> bytes:
    """An answer with the other sample's SDP."""
    body = sample(IN if name == OUT else OUT).decode().partition("\r\n\r\n")[2]
    for old, new in changes:
        assert old in body
        body = body.replace(old, new, 1)
    sdp = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    return answer(name, line).replace(b"Content-Length: 0\r\n\r\n", sdp.encode())


@pytest.mark.parametrize(
    ("name", "old", "new", "target", "status", "reason", "domain"),
    [
        (IN, "c=", "c=", "answer address", _P, "reachable", None),
        (IN, "c=IN IP4 203.0.113.9", "c=IN IP4 192.168.1.20", "answer address", _F, "private_address", PBX),
        (IN, "c=IN IP4 203.0.113.9", "c=IN IP4 203.0.113.8", "answer address", _W, "other_address", PBX),
        (IN, "c=IN IP4 203.0.113.9\r\n", "", "answer address", _F, "address_missing", PBX),
        (OUT, "c=", "c=", "answer address", _P, "reachable", None),
        (OUT, "c=", "c=", "answer port", _P, "port_inside", None),
        (OUT, "c=IN IP4 182.76.143.61", "c=IN IP4 10.0.0.1", "answer address", _W, "private_address", UNDETERMINED),
        (
            OUT,
            "c=IN IP4 182.76.143.61",
            "c=IN IP4 198.51.100.9",
            "answer address",
            _W,
            "unlisted_address",
            UNDETERMINED,
        ),
        (OUT, "m=audio 37456", "m=audio 50010", "answer port", _W, "port_outside", PROVIDER),
    ],
)
def test_where_the_answer_wants_audio(
    name: str, old: str, new: str, target: str, status: Status, reason: str, domain: FaultDomain | None
) -> None:
    data = sample(name) + taken(name, "200 OK", (old, new))
    finding = one(lint(data, public_address="203.0.113.9"), "message.sdp", target)
    assert (finding.status, finding.reason, finding.fault_domain) == (status, reason, domain)
    assert int((finding.location or "").rpartition(":")[2]) > sample(name).count(b"\n")
    # What refuses the call, or is another hop's, says nothing about the trunk.
    assert not [each for each in lint(sample(name) + taken(name, "183 Progress", (old, new))) if each.target == target]


def test_an_answer_that_the_trace_cuts_tells_no_address() -> None:
    data = captured(sample(IN), taken(IN, "200 OK", ("m=audio", "m=audio")).lstrip())
    assert one(lint(data), "message.sdp", "answer address").status is _P
    cut = data[: data.rindex(b"a=rtpmap:0")]
    assert not [each for each in lint(cut) if each.target == "answer address"]


def test_a_redacted_report_keeps_what_its_answer_said() -> None:
    note = message.read_file(
        "call.txt", sample(IN) + taken(IN, "200 OK", ("c=IN IP4 203.0.113.9", "c=IN IP4 10.0.0.9"))
    )
    shorter = {**note.values, "text": str(note.values["text"]).replace("10.0.0.9", "10.0.0.1")}
    redacted = msgspec.structs.replace(note, id="message.1", values=shorter)
    assert one(judged(redacted), "message.sdp", "answer address").reason == "private_address"


def test_findings_about_sdp_name_their_line() -> None:
    data = sample(OUT, ("RTP/AVP 8 0 101", "RTP/AVP 0 8 101"))
    line = data.decode().split("\r\n").index("m=audio 18232 RTP/AVP 0 8 101") + 1
    assert one(lint(data), "message.sdp", "codecs").location == f"call.txt:{line}"
    data = anonymous().replace(b"RTP/AVP 8 0 101", b"RTP/AVP 0 8 101")
    finding = one(lint(data), "message.sdp", "codecs")
    assert (finding.reason, finding.location) == ("direction_unknown", f"call.txt:{line}")


def test_sdp_within_a_multipart_body() -> None:
    head, empty, body = sample(OUT).partition(b"\r\n\r\n")
    parts = b"--b\r\nContent-Type: application/sdp\r\n\r\n" + body + b"--b--\r\n"
    head = head.replace(b"application/sdp", b"multipart/mixed;boundary=b").replace(b"255", b"%d" % len(parts))
    found = lint(head + empty + parts)
    assert one(found, "message.framing").reason == "length_true"
    assert one(found, "message.sdp", "codecs").reason == "preferred_first"


@pytest.mark.parametrize(
    ("length", "status", "reason"),
    [
        ("Content-Length: 255", _P, "length_true"),
        ("Content-Length: 253", _P, "length_true"),  # without the last line end
        ("Content-Length: 242", _P, "length_true"),  # lines ended by LF on the wire
        ("Content-Length: 371", _W, "length_differs"),
        ("Content-Length: 200", _W, "length_differs"),
        ("Content-Length: many", _F, "length_unusable"),
        ("Content-Length: 255\r\nContent-Length: 256", _F, "length_unusable"),
        ("Subject: none", _F, "length_missing"),
        ("Content-Length: 255\r\nno colon here", _W, "breaks_rules"),
    ],
)
def test_framing(length: str, status: Status, reason: str) -> None:
    finding = one(lint(sample(OUT, ("Content-Length: 255", length))), "message.framing")
    assert (finding.status, finding.reason) == (status, reason)


def pjsip(data: bytes, size: int) -> bytes:
    return b"<--- Transmitting SIP request (%d bytes) to TCP:198.51.100.70:5070 --->\n" % size + data


def test_a_length_is_proven_false_where_the_trace_tells_the_size() -> None:
    wrong = sample(OUT, ("Content-Length: 255", "Content-Length: 251"))
    finding = one(lint(pjsip(wrong, len(wrong))), "message.framing")
    assert (finding.status, finding.reason, finding.fault_domain) == (_F, "length_wrong", PBX)
    # With the size known, so are the line ends: 242 would be the length of a body whose lines end in LF.
    lf = sample(OUT, ("Content-Length: 255", "Content-Length: 242"))
    assert one(lint(pjsip(lf, len(lf))), "message.framing").reason == "length_wrong"
    # The same text, shorter than what was on the wire: nothing can be said.
    whole = sample(OUT)
    cut = whole.replace(b"a=maxptime:150\r\n", b"")
    finding = one(lint(pjsip(cut, len(whole))), "message.framing")
    assert (finding.status, finding.reason) == (_U, "cut")


def test_a_message_that_the_capture_cut() -> None:
    data = (MESSAGES / "traces/tcpdump-refused.txt").read_bytes()
    head, _, rest = data.partition(b"a=ptime:20\n")
    cut = head + rest.partition(b"a=sendrecv\n")[2].lstrip(b"\n")
    assert one(lint(cut), "message.framing").reason == "cut"


def packets(data: bytes, *cut: int) -> bytes:
    """As tcpdump -A shows a message in several segments: what is before the payload of each is no text."""
    ends = b"198.51.100.70.443 > 203.0.113.9.5061" if b"X-Exotel" in data else b"203.0.113.9.40112 > 198.51.100.70.5070"
    head = b"16:00:00.020000 IP " + ends + b": Flags [P.], seq 1, length 855\nE..R..@....\n..."
    text = data.replace(b"\r", b"")
    return b"".join(head + text[start:end] + b"\n" for start, end in pairwise((0, *cut, len(text))))


WHOLE_LINES = sample(OUT).replace(b"\r", b"").index(b"Contact:")


@pytest.mark.parametrize("cut", [WHOLE_LINES, WHOLE_LINES + 12, 640])
def test_what_a_trace_leaves_out_of_a_message_is_not_missing(cut: int) -> None:
    found = lint(packets(sample(OUT), cut), account_sid="acme", exophones=("+918045678901",))
    assert {each.reason for each in found if each.status in (_W, _F)} == set()
    assert one(found, "message.framing").reason == "cut"
    lacking = {each.target for each in found if (each.id, each.reason) == ("message.header", "cut")}
    assert {each.target for each in found if (each.id, each.reason) == ("message.header", "well_formed")} >= {
        *("Request-URI", "Via", "Max-Forwards", "From", "To")
    }
    if cut == 640:
        assert lacking == set()
        assert one(found, "message.sdp", "syntax").reason == "cut"
        assert one(found, "call.transport").reason == "match"
    else:
        assert lacking == {"Contact", "Call-ID", "CSeq", "Allow", "Supported", "Content-Type", "Content-Length", "SDP"}
        assert one(found, "call.transport").reason == "cut"
    assert one(found, "call.caller_id").reason == "authorised"


def test_a_caller_id_that_a_trace_leaves_out() -> None:
    data = sample(OUT).replace(b"\r", b"")
    assert one(lint(packets(data, data.index(b"From:"))), "call.caller_id").reason == "cut"


def test_a_message_without_content_length_is_whole_where_its_body_is_there() -> None:
    data = sample(OUT, ("Content-Length: 255\r\n", ""))
    assert one(lint(packets(data)), "message.framing").reason == "length_missing"


def test_datagrams_need_no_content_length() -> None:
    data = sample(OUT, ("SIP/2.0/TCP", "SIP/2.0/UDP"), ("Content-Length: 255\r\n", ""))
    assert one(lint(data), "message.framing").status is _P
    assert one(lint(data), "message.header", "Content-Length").reason == "missing"


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ([], _P, "match"),
        ([("SIP/2.0/TCP", "SIP/2.0/UDP")], _F, "via_differs"),
        ([("SIP/2.0/TCP", "SIP/2.0")], _F, "via_unreadable"),
        ([("5070;transport=tcp", "5070;transport=udp")], _F, "uri_differs"),
        ([("5061;transport=tcp", "5061;transport=tls")], _F, "contact_differs"),
        ([("com:5070", "com:5061")], _F, "port_differs"),
        ([("com:5070", "com")], _U, "port_unseen"),
        # sips: is TLS, whatever its parameter says.
        ([("INVITE sip:", "INVITE sips:")], _F, "uri_differs"),
        ([("<sip:+918045678901@203", "<sips:+918045678901@203")], _F, "contact_differs"),
        # A Route decides where it goes.
        ([("com:5070", "com"), ("Via", "Route: <sip:198.51.100.70:5070;transport=tcp;lr>\r\nVia")], _P, "match"),
        ([("Via", "Route: <sip:198.51.100.70:5060;transport=tcp;lr>\r\nVia")], _F, "port_differs"),
        ([("Via", "Route: <sip:198.51.100.70:5070;transport=udp;lr>\r\nVia")], _F, "uri_differs"),
    ],
)
def test_transport(changes: list[tuple[str, str]], status: Status, reason: str) -> None:
    finding = one(lint(sample(OUT, *changes)), "call.transport")
    assert (finding.status, finding.reason) == (status, reason)


def test_the_transport_that_the_trace_tells() -> None:
    data = b"2025/11/24 16:00:00.000000 203.0.113.9:5061 -> 198.51.100.70:5070 (UDP)\n" + sample(OUT)
    assert one(lint(data), "call.transport").reason == "sent_otherwise"


@pytest.mark.parametrize(
    ("number", "exophones", "status", "reason"),
    [
        ("+918045678901", ("+918045678901",), _P, "authorised"),
        ("+918045678901", ("918045678901",), _P, "authorised"),  # named without its +
        ("918045678901", ("918045678901",), _F, "not_e164"),
        ("+918045678901", ("+918045678902",), _F, "not_authorised"),
        ("+918045678901", (), _U, "not_compared"),
        ("918045678901", (), _F, "not_e164"),
        ("08045678901", ("08045678901",), _F, "not_e164"),
        ("anonymous", (), _F, "no_number"),
        ("%2B918045678901", ("+918045678901",), _P, "authorised"),
    ],
)
def test_caller_id(number: str, exophones: tuple[str, ...], status: Status, reason: str) -> None:
    data = sample(OUT, (FROM, f"From: <sip:{number}@acme.pstn.exotel.com>;tag=1"))
    finding = one(lint(data, exophones=exophones), "call.caller_id")
    assert (finding.status, finding.reason) == (status, reason)


def test_a_call_that_was_taken_on_shows_that_its_caller_id_is_good() -> None:
    data = (MESSAGES / "traces/sngrep-answered.txt").read_bytes()
    assert one(lint(data), "call.caller_id").reason == "accepted"
    # Then what is odd about it did not matter this time.
    for exophones in ((), ("+918045678909",)):
        number = b"sip:8045678901@acme" if not exophones else b"sip:+918045678901@acme"
        finding = one(lint(data.replace(b"sip:+918045678901@acme", number), exophones=exophones), "call.caller_id")
        assert (finding.status, finding.reason) == (_W, "not_authorised" if exophones else "not_e164")


def test_a_caller_id_that_another_call_of_the_trace_shows_to_be_good() -> None:
    refused = sample(OUT, ("Call-ID: ", "Call-ID: 1"))
    refused += answer(OUT, "503 Service Unavailable").replace(b"Call-ID: ", b"Call-ID: 1")
    found = lint(refused + b"\r\n" + sample(OUT) + answer(OUT, "200 OK"))
    assert {(each.target, each.reason) for each in found if each.id == "call.caller_id"} == {
        ("#1", "accepted"),
        ("#2", "accepted"),
    }


def test_what_the_provider_took_on_did_not_fail() -> None:
    data = sample(OUT, (FROM, "From: <sip:anonymous@anonymous.invalid>;tag=1"))
    ok = answer(OUT, "200 OK").replace(FROM.encode(), b"From: <sip:anonymous@anonymous.invalid>;tag=1")
    for taken_on, status in (False, _F), (True, _W):
        found = lint(data + ok if taken_on else data)
        finding = one(found, "call.caller_id")
        assert (finding.status, finding.reason) == (status, "no_number")
        finding = one(found, "message.header", "From")
        assert (finding.status, finding.reason) == (status, "wrong_domain")
        assert ("taken on" in finding.summary) == taken_on


# --- which way it goes ---


@pytest.mark.parametrize(
    ("data", "asked", "told_by"),
    [
        (sample(OUT), {}, "to the provider (its Request-URI names pstn.in2.exotel.com)"),
        (
            sample(OUT, ("@pstn.in2.exotel.com:", "@198.51.100.70:")),
            {},
            "to the provider (its Request-URI has port 5070",
        ),
        (sample(IN), {}, "from the provider (it carries X-Exotel-CallSid)"),
        (
            sample(OUT, ("@pstn.in2.exotel.com:5070", "@198.51.100.70")),
            {"public_address": "203.0.113.9"},
            "to the provider (its Via names your public address",
        ),
    ],
)
def test_direction(data: bytes, asked: dict[str, object], told_by: str) -> None:
    assert told_by in one(lint(data, **asked), "message.framing").summary


@pytest.mark.parametrize(
    ("above", "data", "asked", "told_by"),
    [
        # Sockets are stronger than names.
        (b"182.76.143.61:443 -> 203.0.113.9:5061", sample(OUT), {}, "from the provider (it came from 182.76.143.61)"),
        (
            b"198.51.100.70:443 -> 203.0.113.9:5070",
            sample(OUT, ("@pstn.in2.exotel.com:5070", "@203.0.113.9:5070")),
            {"public_address": "203.0.113.9"},
            "from the provider (it was sent to your public address",
        ),
        (
            b"",
            sample(
                OUT,
                ("@pstn.in2.exotel.com:5070", "@198.51.100.70"),
                ("Via", "Route: <sip:pstn.in4.exotel.com:5070;lr>\r\nVia"),
            ),
            {},
            "to the provider (its Route names the provider)",
        ),
    ],
)
def test_what_is_stronger_tells_the_direction(
    above: bytes, data: bytes, asked: dict[str, object], told_by: str
) -> None:
    head = b"2025/11/24 16:00:00.0 " + above + b"\n" if above else b""
    assert told_by in one(lint(head + data, **asked), "message.framing").summary


def anonymous() -> bytes:
    """An INVITE in which nothing tells the direction: Asterisk to a phone."""
    return sample(OUT, ("@pstn.in2.exotel.com:5070", "@198.51.100.70"))


def without_marks(data: bytes) -> bytes:
    return b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(b"X-Exotel"))


@pytest.mark.parametrize(
    ("above", "asked", "told_by"),
    [
        (b"2025/11/24 16:00:00.0 182.76.143.61:5070 -> 203.0.113.9:5061\n", {}, "it came from 182.76.143.61"),
        (b"", {"expect_ip": "203.0.113.9"}, "its Request-URI names your public address"),
        (b"", {}, "its Via has port 443"),
    ],
)
def test_direction_of_an_invite_whose_marks_were_stripped(above: bytes, asked: dict[str, object], told_by: str) -> None:
    finding = one(lint(above + without_marks(sample(IN)), **asked), "message.framing")
    assert "An INVITE from the provider" in finding.summary
    assert told_by in finding.summary


@pytest.mark.parametrize(
    "above",
    [
        b"45.95.147.1:5099 -> 203.0.113.9:5060",  # a scanner, or a phone away from the office
        b"45.95.147.1:5099 -> 203.0.113.9:5070",  # to a PBX that listens on the trunk's port
        b"203.0.113.9:5060 -> 185.45.152.1:5060",  # another trunk
    ],
)
def test_your_own_address_alone_makes_no_call_the_trunks(above: bytes) -> None:
    data = sample(OUT, ("@acme.pstn.exotel.com", "@203.0.113.9"), ("@pstn.in2.exotel.com:5070", "@203.0.113.9:5070"))
    found = lint(b"2025/11/24 16:00:00.0 " + above + b"\n" + data, public_address="203.0.113.9")
    assert one(found, "message.header", "INVITE").reason == "direction_unknown"
    assert "calls of other trunks and phones" in one(found, "message.framing").summary
    assert not [each for each in found if each.status in (_W, _F)]


@pytest.mark.parametrize("above", [b"", b"2025/11/24 16:00:00.0 198.51.100.70:5070 -> 203.0.113.9:5070\n"])
def test_the_trunks_port_at_both_ends_tells_no_direction(above: bytes) -> None:
    changes = ("203.0.113.9:5061", "203.0.113.9:5070"), (":443;branch", ":5070;branch"), (f"{ROUTE}\r\n", "")
    found = lint(above + without_marks(sample(IN, *changes)))
    assert one(found, "message.header", "INVITE").reason == "direction_unknown"


def test_an_unknown_direction_judges_what_does_not_depend_on_it() -> None:
    found = lint(anonymous())
    header = one(found, "message.header", "INVITE")
    assert (header.status, header.reason, header.confidence) == (_U, "direction_unknown", Confidence.POSSIBLE)
    assert {one(found, each).reason for each in ("call.transport", "call.caller_id")} == {"direction_unknown"}
    assert one(found, "message.framing").status is _P
    assert one(found, "message.sdp", "codecs").status is _P


def test_an_offer_of_another_hop_is_not_held_to_the_trunks_wants() -> None:
    for old, new in (("RTP/AVP 8 0 101", "RTP/SAVP 18"), ("c=IN IP4 203.0.113.9", "c=IN IP4 10.0.0.9")):
        found = lint(anonymous().replace(old.encode(), new.encode()))
        assert {each.status for each in found if each.id == "message.sdp" and each.target != "syntax"} == {_P, _U}


def test_a_hop_between_sbc_and_pbx_is_not_the_trunks() -> None:
    data = sample(
        IN,
        ("203.0.113.9:5061;transport=tcp", "10.0.0.5"),
        ("SIP/2.0/TCP 198.51.100.70:443", "SIP/2.0/UDP 10.0.0.1:5060"),
    )
    found = lint(data)
    assert "relayed" in one(found, "message.framing").summary
    for target in ("Via", "Request-URI"):
        assert one(found, "message.header", target).status is _P
    # Nor is the PBX's private Contact on this hop what keeps an ACK away.
    ok = answer(IN, "200 OK").replace(b"SIP/2.0/TCP 198.51.100.70:443", b"SIP/2.0/UDP 10.0.0.1:5060")
    ok = ok.replace(b"Content-Length", b"Contact: <sip:a@10.0.0.5>\r\nContent-Length")
    assert one(lint(data + ok * 3), "message.answer").fault_domain is UNDETERMINED


def relayed(above: bytes, via: str, *more: tuple[str, str]) -> bytes:
    """The provider's INVITE as a proxy of the customer's with a public address sends it on to the PBX."""
    top = f"Via: SIP/2.0/UDP {via};branch=z9hG4bK9\r\nVia: SIP/2.0/TCP 198.51.100.70:443"
    data = sample(
        IN, ("203.0.113.9:5061;transport=tcp", "10.0.0.5"), ("Via: SIP/2.0/TCP 198.51.100.70:443", top), *more
    )
    return b"2025/11/24 16:00:00.1 " + above + b"\n" + data


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        # The Via beneath is the provider's.
        (relayed(b"203.0.113.9:5060 -> 10.0.0.5:5060", "203.0.113.9:5060"), {}),
        # The one that sends it is where the provider's went to.
        (
            b"2025/11/24 16:00:00.0 198.51.100.70:5070 -> 203.0.113.9:5061\n"
            + sample(IN, (":443;branch", ":5070;branch"))
            + b"\n"
            + relayed(b"203.0.113.9:5060 -> 10.0.0.5:5060", "203.0.113.9:5060", (":443;branch", ":5070;branch")),
            {},
        ),
        # It is your own address.
        (
            relayed(b"203.0.113.9:5060 -> 10.0.0.5:5060", "203.0.113.9:5060", (":443;branch", ":5070;branch")),
            {"public_address": "203.0.113.9"},
        ),
    ],
)
def test_a_hop_behind_a_proxy_of_your_own_with_a_public_address_is_not_the_trunks(
    data: bytes, asked: dict[str, object]
) -> None:
    found = lint(data, **asked)
    assert any("relayed by 203.0.113.9" in each.summary for each in found)
    assert not [each for each in found if each.status in (_W, _F)]


@pytest.mark.parametrize("asked", [{}, {"expect_ip": "203.0.113.8"}])
def test_a_hop_to_an_sbc_of_your_own_with_a_public_address_is_not_the_trunks(asked: dict[str, object]) -> None:
    inner = sample(OUT, ("SIP/2.0/TCP 203.0.113.9:5061", "SIP/2.0/UDP 10.0.0.5:5060"))
    inside = b"2025/11/24 16:00:00.0 10.0.0.5:5060 -> 203.0.113.8:5060\n" + inner + b"\n"
    outside = b"2025/11/24 16:00:00.1 203.0.113.8:5061 -> 198.51.100.70:5070\n" + sample(OUT)
    found = lint(inside + outside, **asked)
    hop = one(found, "message.header", "#1 INVITE")
    assert (hop.status, hop.reason) == (_S, "other_hop")
    assert "calls go on to the provider" in hop.summary
    assert [(each.target, each.status) for each in found if each.id == "call.transport"] == [("#2", _P)]


def test_a_hop_between_pbx_and_sbc_is_not_the_trunks() -> None:
    inner = sample(OUT, ("SIP/2.0/TCP 203.0.113.9:5061", "SIP/2.0/UDP 10.0.0.5:5060"))
    inside = b"2025/11/24 16:00:00.0 10.0.0.5:5060 -> 10.0.0.1:5060\n" + inner + b"\n"
    outside = b"2025/11/24 16:00:00.1 203.0.113.9:5061 -> 198.51.100.70:5070\n" + sample(OUT)
    found = lint(inside + outside)
    assert one(found, "message.header", "#1 INVITE").reason == "other_hop"
    assert "inside your own network" in one(found, "message.header", "#1 INVITE").summary
    assert [(each.target, each.status) for each in found if each.id == "call.transport"] == [("#2", _P)]
    # Alone it may be what was to be judged.
    assert one(lint(inside), "message.header", "INVITE").reason == "direction_unknown"


def test_a_test_call_of_ours_is_not_the_providers() -> None:
    """As a PBX's log has it, or a ticket of `vsipcheck pbx --invite`."""
    ours = sample(
        IN,
        ("c=IN IP4 182.76.143.61", "c=IN IP4 203.0.113.7"),
        ("Supported", "User-Agent: vsipcheck/0.1.0\r\nSupported"),
    )
    finding = one(lint(ours), "message.header", "INVITE")
    assert (finding.status, finding.reason) == (_U, "direction_unknown")
    assert "a test call of vsipcheck" in finding.summary
    found = lint(ours.replace(b"Call-ID: ", b"Call-ID: 1") + b"\n" + sample(IN))
    assert one(found, "message.header", "#1 INVITE").reason == "other_hop"
    assert not [each for each in found if each.status in (_W, _F)]


def test_a_hop_between_two_programs_of_one_host_is_not_the_trunks() -> None:
    inner = sample(OUT, ("SIP/2.0/TCP 203.0.113.9:5061", "SIP/2.0/UDP 203.0.113.9:5080"))
    inside = b"2025/11/24 16:00:00.0 203.0.113.9:5080 -> 203.0.113.9:5060\n" + inner + b"\n"
    outside = b"2025/11/24 16:00:00.1 203.0.113.9:5061 -> 198.51.100.70:5070\n" + sample(OUT)
    assert one(lint(inside + outside), "message.header", "#1 INVITE").reason == "other_hop"
    finding = one(lint(inside), "message.header", "INVITE")
    assert finding.reason == "direction_unknown"
    assert "a hop inside your own network" in finding.summary


def to_a_phone(above: bytes, number: int = 1) -> bytes:
    """A hop that no trunk wants so, refused."""
    changes = [("@pstn.in2.exotel.com:5070;transport=tcp", "@192.168.1.31"), ("RTP/AVP 8 0 101", "RTP/SAVP 111")]
    changes += [("Call-ID: ", f"Call-ID: {number}"), ("acme.pstn.exotel.com>", "192.168.1.20>")]
    changes += [("TCP 203.0.113.9", "UDP 192.168.1.20"), ("c=IN IP4 203.0.113.9", "c=IN IP4 192.168.1.20")]
    data = sample(OUT, *changes)
    refused = b"SIP/2.0 488 Not Acceptable Here\r\n" + b"\r\n".join(data.split(b"\r\n")[1:8])
    return above + b"\n" + data + b"\n" + above + b"\n" + refused + b"\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "above",
    [
        b"2025/11/24 16:00:00.0 192.168.1.20:5060 -> 192.168.1.31:5062",
        b"2025/11/24 16:00:00.0 192.168.1.31:5062 -> 192.168.1.20:5060",
        b"2025/11/24 16:00:00.0 203.0.113.9:5060 -> 203.0.113.9:5080",  # two programs of one host
        b"<--- Transmitting SIP request (1 bytes) to UDP:192.168.1.31:5062 --->",
        b"Sent:",  # neither end told, and both named
    ],
)
@pytest.mark.parametrize("name", [IN, OUT])
def test_the_way_to_a_phone_is_none_of_the_trunks(above: bytes, name: str) -> None:
    trunk = b"2025/11/24 16:00:00.0 " + (b"203.0.113.9:40112 -> 198.51.100.70:5070" if name == OUT else b"")
    phones = b"".join(to_a_phone(above, number) for number in range(MAX_INVITES + 1))
    asked = {"account_sid": "acme", "exophones": ("+918045678901",)}
    found = lint(phones + trunk + b"\n" + sample(name), **asked)
    assert worth_a_look(found) == set()
    assert one(found, "message.framing", f"#{MAX_INVITES + 2}").status is _P
    assert one(found, "message.header", "#1 INVITE").reason == "other_hop"
    # In a trace without the trunk nothing is passed over.
    assert one(lint(to_a_phone(above)), "message.header", "INVITE").reason == "direction_unknown"


# --- whole traces ---


@pytest.mark.parametrize(
    ("name", "status", "reason", "domain"),
    [
        ("sngrep-answered.txt", _P, "answered", None),
        ("tshark-follow-answered.txt", _P, "answered", None),
        ("freeswitch-answered.txt", _P, "answered", None),
        ("tcpdump-refused.txt", _F, "forbidden", UNDETERMINED),
        ("pjsip-refused.txt", _F, "forbidden", UNDETERMINED),
        ("chan-sip-no-ack.txt", _F, "ack_missing", PBX),
    ],
)
def test_traces(name: str, status: Status, reason: str, domain: FaultDomain | None) -> None:
    finding = one(lint((MESSAGES / "traces" / name).read_bytes()), "message.answer")
    assert (finding.status, finding.reason, finding.fault_domain) == (status, reason, domain)


def test_ringing_before_a_refusal_does_not_show_that_a_caller_id_is_good() -> None:
    data = sample(OUT) + answer(OUT, "183 Session Progress") + answer(OUT, "403 Forbidden")
    assert one(lint(data), "call.caller_id").reason == "not_compared"
    data = sample(OUT) + answer(OUT, "183 Session Progress") + answer(OUT, "480 Gone")
    assert one(lint(data), "call.caller_id").reason == "not_compared"  # it may have been an announcement
    data = sample(OUT) + answer(OUT, "180 Ringing") + answer(OUT, "486 Busy Here")
    assert one(lint(data), "call.caller_id").reason == "accepted"


def test_both_readings_of_a_403_are_told() -> None:
    finding = one(lint((MESSAGES / "traces/tcpdump-refused.txt").read_bytes()), "message.answer")
    for said in ("X-Exotel-ErrorCode: 1010", "Wrong domain", "not whitelisted"):
        assert said in finding.summary


@pytest.mark.parametrize(
    ("name", "line", "status", "reason", "domain"),
    [
        (OUT, "486 Busy Here", _P, "not_taken", None),
        (OUT, "401 Unauthorized", _F, "credentials_asked", UNDETERMINED),
        (OUT, "488 Not Acceptable Here", _F, "codecs_refused", UNDETERMINED),
        (OUT, "404 Not Found", _F, "status_404", UNDETERMINED),  # the number has its form, and nobody may have it
        (OUT, "484 Address Incomplete", _F, "status_484", UNDETERMINED),
        (OUT, "503 Service Unavailable", _F, "status_503", PROVIDER),
        (OUT, "302 Moved", _F, "status_302", UNDETERMINED),
        (OUT, "183 Session Progress", _U, "no_final_answer", UNDETERMINED),
        (IN, "401 Unauthorized", _F, "rejected_by_pbx", PBX),
        (IN, "403 Forbidden", _F, "rejected_by_pbx", PBX),
        (IN, "404 Not Found", _F, "status_404", PBX),
        (IN, "488 Not Acceptable Here", _F, "codecs_refused", PBX),
        (IN, "486 Busy Here", _P, "not_taken", None),
        # Nothing rang: the PBX has no phone for it, and what the provider did with it is not to be seen.
        (IN, "480 Temporarily Unavailable", _W, "no_phone", PBX),
        (IN, "603 Decline", _W, "no_phone", PBX),
        (IN, "487 Request Terminated", _U, "never_rang", UNDETERMINED),
        (OUT, "480 Temporarily Unavailable", _U, "never_rang", UNDETERMINED),
        (OUT, "487 Request Terminated", _U, "never_rang", UNDETERMINED),
    ],
)
def test_answers(name: str, line: str, status: Status, reason: str, domain: FaultDomain | None) -> None:
    finding = one(lint(sample(name) + answer(name, line)), "message.answer")
    assert (finding.status, finding.reason, finding.fault_domain) == (status, reason, domain)


@pytest.mark.parametrize("name", [IN, OUT])
@pytest.mark.parametrize("line", ["480 Temporarily Unavailable", "487 Request Terminated", "603 Decline"])
def test_a_call_that_rang_and_was_not_taken(name: str, line: str) -> None:
    found = lint(sample(name) + answer(name, "180 Ringing") + answer(name, line))
    assert (one(found, "message.answer").status, one(found, "message.answer").reason) == (_P, "not_taken")


def test_an_error_code_of_the_edge_is_no_callees_answer() -> None:
    refused = answer(OUT, "603 Decline").replace(b"Content-Length", b"X-Exotel-ErrorCode: 1010\r\nContent-Length")
    finding = one(lint(sample(OUT) + refused), "message.answer")
    assert (finding.status, finding.reason) == (_F, "status_603")


def test_an_offer_without_the_trunks_codecs_is_to_blame_for_its_refusal() -> None:
    for old, new in (("RTP/AVP 8 0 101", "RTP/AVP 18 101"), ("RTP/AVP", "RTP/SAVP")):
        finding = one(lint(sample(OUT, (old, new)) + answer(OUT, "488 Not Acceptable Here")), "message.answer")
        assert (finding.reason, finding.fault_domain) == ("codecs_refused", PBX)


def test_a_demand_that_the_provider_does_not_meet_is_the_pbxs() -> None:
    refused = answer(OUT, "420 Bad Extension")
    finding = one(lint(sample(OUT, ("Supported", "Require: 100rel\r\nSupported")) + refused), "message.answer")
    assert (finding.reason, finding.fault_domain) == ("status_420", PBX)
    assert "100rel" in (finding.remedy or "")
    # Where the INVITE demands nothing, something else did.
    assert one(lint(sample(OUT) + refused), "message.answer").fault_domain is UNDETERMINED


@pytest.mark.parametrize("line", ["404 Not Found", "484 Address Incomplete"])
def test_a_number_that_is_none_is_the_pbxs(line: str) -> None:
    data = sample(OUT, (REQUEST, REQUEST.replace("+91", "0"))) + answer(OUT, line)
    assert one(lint(data), "message.answer").fault_domain is PBX


def test_the_last_answer_counts_where_an_invite_is_sent_anew() -> None:
    anew = ("CSeq: 102", 'Authorization: Digest response="0123456789abcdef"\r\nCSeq: 103')
    again = sample(OUT, anew, ("branch=z9hG4bK4041f853", "branch=z9hG4bK2"))
    ok = (
        answer(OUT, "200 OK").replace(b"CSeq: 102", b"CSeq: 103").replace(b"branch=z9hG4bK4041f853", b"branch=z9hG4bK2")
    )
    finding = one(lint(sample(OUT) + answer(OUT, "401 Unauthorized") + again + ok), "message.answer")
    assert (finding.status, finding.reason) == (_P, "answered")
    assert "after 401" in finding.summary
    # Without an answer to the second, that to the first is what there is.
    finding = one(lint(sample(OUT) + answer(OUT, "401 Unauthorized") + again), "message.answer")
    assert finding.reason == "credentials_asked"


@pytest.mark.parametrize("line", ["401 Unauthorized", "404 Not Found", "488 Not Acceptable Here", "480 Gone"])
def test_a_refusal_on_another_hop_is_none_of_the_trunks(line: str) -> None:
    data = anonymous() + answer(OUT, line)
    finding = one(lint(data), "message.answer")
    assert (finding.status, finding.reason) == (_U, "direction_unknown")


def answer(name: str, line: str) -> bytes:
    head = sample(name).decode().partition("\r\n\r\n")[0].split("\r\n")
    kept = [each for each in head if each.startswith(("Via", "From", "To", "Call-ID", "CSeq"))]
    return "\r\n".join(["", f"SIP/2.0 {line}", *kept, "Content-Length: 0", "", ""]).encode()


def in_dialog(name: str, method: str) -> bytes:
    head = sample(name).decode().partition("\r\n\r\n")[0].split("\r\n")
    kept = [
        f"{each};tag=9" if each.startswith("To") else each
        for each in head
        if each.startswith(("Via", "From", "To", "Call"))
    ]
    return "\r\n".join(
        ["", f"{method} sip:a@192.0.2.1 SIP/2.0", *kept, f"CSeq: 102 {method}", "Content-Length: 0", "", ""]
    ).encode()


def at(clock: str) -> bytes:
    return f"\r\n2025/11/24 {clock} 203.0.113.9:40112 -> 198.51.100.70:5070\r\n".encode()


@pytest.mark.parametrize(
    ("acked", "ended", "status", "reason"),
    [
        (True, "16:05:00.000000", _P, "answered"),
        (True, "16:00:34.500000", _W, "ended_after_30_s"),
        (True, "16:00:32.100000", _W, "ended_after_30_s"),
        (True, "16:00:30.000000", _P, "answered"),  # 28 s, which nobody's timer is
        (True, "16:00:37.000000", _P, "answered"),
        (False, "16:00:34.500000", _F, "ack_missing"),
        (False, "16:05:00.000000", _P, "answered"),
    ],
)
def test_when_calls_end(acked: bool, ended: str, status: Status, reason: str) -> None:
    data = at("16:00:00.000000") + sample(OUT) + at("16:00:02.000000") + answer(OUT, "200 OK")
    data += at("16:00:02.100000") + in_dialog(OUT, "ACK") if acked else b""
    data += at(ended) + in_dialog(OUT, "BYE")
    finding = one(lint(data), "message.answer")
    assert (finding.status, finding.reason) == (status, reason)


OK_AT = ("16:00:02.000000", "16:00:02.500000", "16:00:03.500000", "16:00:05.500000")
ELSEWHERE = "Record-Route: <sip:198.51.100.70:443;transport=tls;lr>\r\n"


@pytest.mark.parametrize(
    ("copies", "acks", "extra", "ended", "status", "reason"),
    [
        (4, 0, "", None, _F, "ack_missing"),
        (4, 0, ELSEWHERE, None, _F, "ack_missing"),  # wherever it went, it did not arrive
        (2, 0, "", None, _U, "ack_unseen"),  # the trace may end before it
        (2, 1, "", None, _P, "answered"),
        # A call that ends by itself after half a minute, its ACK where a trace of one port does not look.
        (1, 0, ELSEWHERE, "16:00:34.500000", _U, "ack_unseen"),
        (1, 0, ELSEWHERE.replace("tls", "tcp"), "16:00:34.500000", _U, "ack_unseen"),
        (1, 0, ELSEWHERE.replace("443;transport=tls", "5070"), "16:00:34.500000", _F, "ack_missing"),
        # The ACK is sent each time, and never arrives.
        (4, 4, "", None, _W, "ack_lost"),
        (4, 4, "", "16:00:34.500000", _F, "ack_lost"),
        (4, 4, "", "16:05:00.000000", _W, "ack_lost"),
    ],
)
def test_acks(copies: int, acks: int, extra: str, ended: str | None, status: Status, reason: str) -> None:
    ok = answer(OUT, "200 OK").replace(b"Content-Length", f"{extra}Content-Length".encode())
    data = at("16:00:00.000000") + sample(OUT)
    for number, clock in enumerate(OK_AT[:copies]):
        data += at(clock) + ok + (at(clock) + in_dialog(OUT, "ACK") if number < acks else b"")
    data += at(ended) + in_dialog(OUT, "BYE") if ended else b""
    finding = one(lint(data), "message.answer")
    assert (finding.status, finding.reason) == (status, reason)


def test_the_ack_of_the_far_ends_own_invite_is_not_this_ones() -> None:
    """Both ends number their requests on their own."""
    theirs = in_dialog(OUT, "ACK").replace(b"tag=as63e4d7f1", b"tag=8").replace(b"tag=9", b"tag=as63e4d7f1")
    data = at("16:00:00.000000") + sample(OUT)
    data += b"".join(at(clock) + answer(OUT, "200 OK") for clock in OK_AT[:3]) + at(OK_AT[3]) + theirs
    assert one(lint(data), "message.answer").reason == "ack_missing"


def test_one_packet_on_several_interfaces_is_no_repetition() -> None:
    ok = [at(f"16:00:02.00000{number}") + answer(OUT, "200 OK") for number in range(4)]
    invites = [at(f"16:00:00.00000{number}") + sample(OUT) for number in range(4)]
    finding = one(lint(b"".join(invites + ok)), "message.answer")
    assert (finding.status, finding.reason) == (_P, "answered")
    assert "times" not in finding.summary


def test_a_call_that_two_branches_took_was_answered_once_each() -> None:
    other = answer(OUT, "200 OK").replace(b"exotel.com>\r\nCall", b"exotel.com>;tag=2\r\nCall")
    refused = answer(OUT, "486 Busy Here")
    data = sample(OUT) + refused + answer(OUT, "200 OK") + other * 2 + in_dialog(OUT, "ACK")
    assert one(lint(data), "message.answer").reason == "answered"


def test_a_call_of_a_day_and_half_a_minute_ended_by_itself() -> None:
    data = at("16:00:02.000000") + sample(OUT) + at("16:00:02.000000") + answer(OUT, "200 OK")
    data += at("16:00:34.000000").replace(b"11/24", b"11/25") + in_dialog(OUT, "BYE")
    assert one(lint(data), "message.answer").reason == "answered"


def test_an_invite_that_nobody_answers_in_the_trace() -> None:
    assert not [each for each in lint(sample(OUT)) if each.id == "message.answer"]
    finding = one(lint(sample(OUT) + b"\r\n" + sample(OUT)), "message.answer")
    assert (finding.status, finding.reason) == (_U, "no_answer")
    assert "2 times" in finding.summary


def test_several_calls_are_numbered() -> None:
    found = lint(sample(OUT) + b"\r\n" + sample(IN))
    assert {one(found, "message.header", each).status for each in ("#1 Via", "#2 Via", "#2 X-Exotel-CallSid")} == {_P}
    assert one(found, "message.framing", "#2").status is _P
    # The rows of the checklist are about the customer's own call alone.
    assert [each.target for each in found if each.id == "call.transport"] == ["#1"]


def test_what_is_not_a_call_of_its_own_is_not_judged_again() -> None:
    again = sample(OUT, ("CSeq: 102", 'Authorization: Digest response="0123456789abcdef"\r\nCSeq: 103'))
    inside = sample(OUT, ("com>\r\nContact", "com>;tag=7\r\nContact"))
    found = lint(b"\r\n".join((sample(OUT), sample(OUT), again, inside)))
    assert [each.target for each in found if each.id == "message.framing"] == [None]


def test_more_calls_than_are_judged() -> None:
    calls = [sample(OUT, ("Call-ID: 0c9a5f1e", f"Call-ID: {number}")) for number in range(MAX_INVITES + 2)]
    found = lint(b"\r\n".join(calls))
    assert len([each for each in found if each.id == "call.transport"]) == MAX_INVITES
    left_out = one(found, "message.framing", "trace")
    assert (left_out.status, left_out.reason) == (_U, "left_out")


# --- what was not read ---


def captured(*messages: bytes) -> bytes:
    """A call as a capture: what begins with SIP comes back to whoever sent the INVITE."""
    chunks = [Chunk(not data.startswith(b"SIP"), 10**15 + 10**6 * at, data) for at, data in enumerate(messages)]
    ends = ("203.0.113.9", 40112), ("198.51.100.70", 5070)
    if b"X-Exotel" in messages[0]:
        ends = ("198.51.100.70", 443), ("203.0.113.9", 5061)
    return capture([Conversation("tcp", *ends, 10**15 - 1, chunks)])


@pytest.mark.parametrize("name", [IN, OUT])
@pytest.mark.parametrize("copies", [0, 300])
def test_no_part_of_a_good_call_is_a_bad_one(name: str, copies: int) -> None:
    """Whatever a capture or a text lacks: without a packet, ended at any octet, or in pieces, nothing is blamed."""
    invite = sample(name, ("Supported: replaces", f"Supported: replaces{', timer' * copies}"))
    rest = [answer(name, "180 Ringing"), answer(name, "200 OK"), in_dialog(name, "ACK"), in_dialog(name, "BYE")]
    data = captured(invite, *(each.lstrip() for each in rest))
    at, packets_of = 24, []
    while at < len(data):
        size = 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        packets_of.append(data[at : at + size])
        at += size
    parts = [data[:24] + b"".join(packets_of[:at] + packets_of[at + 1 :]) for at in range(len(packets_of))]
    parts += [data[:end] for end in range(24, len(data), 61)]
    parts += [packets(invite, end) for end in range(90, len(invite) - 40, 31)]
    for part in parts:
        found = lint(part, account_sid="acme", exophones=("+918045678901",), public_address="203.0.113.9")
        assert worth_a_look([each for each in found if each.status is not _U]) == set()


def test_a_capture_that_was_not_read_whole_proves_no_missing_ack(monkeypatch: pytest.MonkeyPatch) -> None:
    ok = answer(OUT, "200 OK").lstrip()
    data = captured(sample(OUT), ok, ok, ok, in_dialog(OUT, "ACK").lstrip())
    assert one(lint(captured(sample(OUT), ok, ok, ok)), "message.answer").reason == "ack_missing"
    monkeypatch.setattr(capture_module, "MAX_CAPTURE", data.index(b"ACK sip:"))
    found = lint(data)
    finding = one(found, "message.answer")
    assert (finding.status, finding.reason) == (_U, "ack_unseen")
    left_out = one(found, "message.framing", "trace")
    assert (left_out.status, left_out.reason) == (_U, "left_out")
    assert "Not all of call.txt was read: of the file the first" in left_out.summary


def test_a_capture_without_an_invite_says_what_was_not_read() -> None:
    (finding,) = lint(captured(sample(OUT))[:20] + b"\xbd\0\0\0" + captured(sample(OUT))[24:])
    assert finding.reason == "no_message"
    assert "link type 189" in finding.summary


def test_a_packed_file_has_to_be_unpacked() -> None:
    (finding,) = lint(gzip.compress(captured(sample(OUT))))
    assert (finding.status, finding.reason) == (_U, "no_message")
    assert "packed (gzip)" in finding.summary


def test_a_text_that_is_longer_than_what_is_read() -> None:
    found = lint(sample(OUT) + b"\r\n" + b"log\n" * (MAX_TRACE // 4))
    assert one(found, "message.framing").reason == "length_true"
    assert "the first 1 MiB" in one(found, "message.framing", "trace").summary
    # Where the end of what is read falls into a message, what is missing in it says nothing.
    log = b"log\n" * ((MAX_TRACE - 400) // 4)
    found = lint(log + sample(OUT))
    assert one(found, "message.framing").reason == "cut"
    assert not [each for each in found if each.status is _F]


def test_a_report_of_before_says_that_something_was_left_out() -> None:
    note = msgspec.structs.replace(message.read_file("call.txt", sample(OUT)), id="message.1")
    values = {key: value for key, value in note.values.items() if key != "left_out"} | {"truncated": True}
    assert one(judged(msgspec.structs.replace(note, values=values)), "message.framing", "trace").reason == "left_out"


# --- what cannot be judged ---


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no_message"),
        (b"hello\n", "no_message"),
        (b"INVITE sip:a@b SIP/2.0\r\n" + b"X: y\r\n" * 300, "no_message"),
        (answer(OUT, "200 OK"), "no_invite"),
        ((MESSAGES / "traces/tshark-dissected.txt").read_bytes(), "dissected"),
        (b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00", "no_message"),
        (b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00", "no_message"),
    ],
)
def test_files_without_an_invite(data: bytes, reason: str) -> None:
    (finding,) = lint(data)
    assert (finding.id, finding.status, finding.reason) == ("message.framing", _U, reason)
    assert finding.settle_by


def test_a_run_that_ended_before_the_file_was_read() -> None:
    (finding,) = judged()
    assert (finding.status, finding.reason) == (_U, "not_read")
    assert message.judge(Facts({}), PROFILE, Settings(checks=("dns",))) == []


def test_a_redacted_report_keeps_how_long_bodies_were() -> None:
    note = message.read_file("call.txt", sample(OUT))
    shorter = {**note.values, "text": str(note.values["text"]).replace("203.0.113.9", "203.0.113.199")}
    redacted = msgspec.structs.replace(note, id="message.1", values=shorter)
    assert one(judged(redacted), "message.framing").status is _P


def test_a_profile_without_tables_judges_the_rest() -> None:
    note = msgspec.structs.replace(message.read_file("call.txt", sample(OUT)), id="message.1")
    evidence = CheckEvidence(version=1, offset_ms=0.0, duration_ms=1.0, error=None, facts=(note,))
    bare = msgspec.structs.replace(PROFILE, headers=())
    found = message.judge(Facts({"message": evidence}), bare, Settings(checks=("message",), message="call.txt"))
    assert {each.id for each in found} == {"message.framing", "message.sdp", "call.transport", "call.caller_id"}


# --- reading ---


def measured(settings: Settings) -> tuple[Note, ...]:
    async def run() -> tuple[Note, ...]:
        network = FakeNetwork()
        recorder = Recorder("message", network.now_ms)
        context = Context(
            network=network,  # type: ignore[arg-type]
            profile=PROFILE,
            settings=settings,
            recorders={"message": recorder},
            progress=lambda *_: None,
            remaining_s=lambda: 5.0,
            stopping=lambda: False,
        )
        await message.measure(context, recorder)
        return tuple(fact for fact in recorder.facts if isinstance(fact, Note))

    return asyncio.run(run())


def test_no_secret_and_no_other_line_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    secret = "00112233445566778899aabbccddeeff"
    challenge = f'Supported: replaces, timer\r\nAuthorization: Digest username="a", response="{secret}"'
    data = b"register => acme:hunter2@pstn.in2.exotel.com\r\n" + sample(OUT, ("Supported: replaces, timer", challenge))
    path.write_bytes(data)
    (note,) = measured(Settings(checks=("message",), message=str(path)))
    said = str(note)
    assert secret not in said
    assert "hunter2" not in said
    assert note.text == f"{path}, 28 lines, 1 secret masked"
    assert note.values["path"] == str(path)
    assert note.values["failure"] is None


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sample(OUT))))
    (note,) = measured(Settings(checks=("message",), message="-"))
    assert note.values["path"] == "stdin"
    assert one(judged(note), "message.framing").status is _P


@pytest.mark.parametrize("name", ["missing.txt", ".", "a\0b"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (note,) = measured(Settings(checks=("message",), message=str(tmp_path / name)))
    assert note.values["failure"] == Failure.LOCAL_ERROR
    (finding,) = judged(note)
    assert finding.reason == "unreadable"


def test_nothing_is_read_unless_asked_for() -> None:
    assert measured(Settings(checks=("message",))) == ()


@pytest.mark.parametrize("path", TORTURE, ids=[path.name for path in TORTURE])
def test_torture_messages_get_verdicts(path: Path) -> None:
    found = lint(path.read_bytes())
    assert found
    assert len({(each.id, each.target) for each in found}) == len(found)


@hypothesis_settings(max_examples=60)
@given(st.data())
def test_damaged_messages_get_verdicts(data: st.DataObject) -> None:
    octets = bytearray(sample(data.draw(st.sampled_from([IN, OUT]))))
    for _ in range(data.draw(st.integers(1, 12))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    found = lint(bytes(octets))
    assert len({(each.id, each.target) for each in found}) == len(found) >= 1
    assert all(each.summary.isprintable() for each in found)
