"""The PBX's verdicts: one row for each, told from facts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from checks.pbx_facts import (
    ALIVE,
    BOTH,
    FLOWED,
    INSIDE,
    OK,
    PROFILE,
    PUBLIC,
    US_PUBLIC,
    Talk,
    answered,
    connection,
    facts_of,
    judged,
    keepalive,
    lookup,
    options,
    says,
    sdp,
    settings_for,
    tls,
    udp,
)

from vsipcheck.checks.pbx import check as pbx_check
from vsipcheck.checks.pbx.routing import code_row
from vsipcheck.model import AddressSeen, Confidence, Fact, Failure, FaultDomain, Finding, Icmp, Note, Status
from vsipcheck.wire.sdp import PCMA, PCMU, STATIC_CODECS, Codec, telephone_event

PASS, WARN, FAIL, UNKNOWN, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN, Status.SKIP
PBX, HOST, OPEN = FaultDomain.PBX, FaultDomain.HOST, FaultDomain.UNDETERMINED
NETWORK = FaultDomain.LOCAL_NETWORK
PROVEN, LIKELY, POSSIBLE = Confidence.PROVEN, Confidence.LIKELY, Confidence.POSSIBLE
EVENT = telephone_event(96)
CALLED = {"invite": "+912200000000"}


def holds(finding: Finding, status: Status, reason: str, domain: FaultDomain | None) -> None:
    """What every finding has to be, whatever it says."""
    assert (finding.status, finding.reason, finding.fault_domain) == (status, reason, domain)
    assert finding.summary
    assert finding.summary.isprintable()
    assert "  " not in finding.summary
    if status in (WARN, FAIL):
        assert finding.remedy or finding.settle_by
        assert finding.facts
    if status is UNKNOWN:
        assert finding.settle_by or finding.remedy
    if status in (PASS, SKIP):
        assert finding.remedy is None
    assert (finding.confidence is None) == (status is SKIP)


# --- transport

REFUSED, SILENT = connection(Failure.REFUSED), connection(Failure.CONNECT_TIMEOUT, waited_ms=5000.0)
DEAD = options(failure=Failure.NO_ANSWER)
QUIET = [connection(), DEAD, keepalive(Failure.NO_ANSWER)]
NO_TLS = tls(Failure.NO_ANSWER, None)

TRANSPORT: list[tuple[str, Sequence[Fact], Status, str, FaultDomain | None, Confidence]] = [
    ("200", ALIVE, PASS, "sip_answered", None, PROVEN),
    ("404", [connection(), options(says(404))], PASS, "sip_answered", None, PROVEN),
    ("403 is the PBX's right", [connection(), options(says(403))], PASS, "sip_answered", None, PROVEN),
    ("401 is the PBX's right", [connection(), options(says(401))], PASS, "sip_answered", None, PROVEN),
    ("503", [connection(), options(says(503))], PASS, "sip_answered", None, PROVEN),
    ("100 alone", [connection(), options(says(100), failure=Failure.NO_ANSWER)], PASS, "sip_answered", None, PROVEN),
    (
        "another branch",
        [
            connection(),
            options(lambda r: says(200)(r).replace(b"z9hG4bKoptions", b"z9hG4bKother"), failure=Failure.MISMATCH),
        ],
        PASS,
        "sip_answered",
        None,
        PROVEN,
    ),
    ("a pong", [connection(), DEAD, keepalive()], PASS, "keepalive_answered", None, LIKELY),
    ("the call alone", [*QUIET, *Talk().hears(403).facts], PASS, "call_answered", None, PROVEN),
    ("one of two connects", [*ALIVE, REFUSED], WARN, "unsteady", OPEN, POSSIBLE),
    ("one of two answers", [connection(), options(OK), connection(), DEAD], WARN, "unsteady", OPEN, POSSIBLE),
    ("RST", [REFUSED, REFUSED, udp(failure=Failure.NO_ANSWER)], FAIL, "refused", PBX, POSSIBLE),
    ("RST, UDP closed too", [REFUSED, udp(failure=Failure.PORT_UNREACHABLE)], FAIL, "refused", PBX, POSSIBLE),
    ("RST, UDP answers", [REFUSED, REFUSED, udp(OK)], FAIL, "udp_only", PBX, LIKELY),
    ("SYNs lost", [SILENT, SILENT, udp(failure=Failure.NO_ANSWER)], UNKNOWN, "connect_timeout", OPEN, POSSIBLE),
    ("SYNs lost, UDP answers", [SILENT, udp(OK)], UNKNOWN, "tcp_silent_udp_answers", PBX, POSSIBLE),
    ("TLS", [*QUIET, tls()], FAIL, "tls_only", PBX, PROVEN),
    (
        "a TLS alert",
        [connection(), options(failure=Failure.NOT_SIP, detail="tls"), NO_TLS],
        FAIL,
        "tls_only",
        PBX,
        LIKELY,
    ),
    (
        "closed, and TLS",
        [connection(), options(failure=Failure.CLOSED_EARLY), tls()],
        FAIL,
        "tls_only",
        PBX,
        PROVEN,
    ),
    (
        "HTTP",
        [connection(), options(failure=Failure.NOT_SIP, detail="http", raw=b"HTTP/1.1 400 x\r\n\r\n"), NO_TLS],
        FAIL,
        "not_sip",
        PBX,
        PROVEN,
    ),
    ("an echo", [connection(), options(lambda r: r.raw, failure=Failure.NO_ANSWER)], FAIL, "not_sip", PBX, PROVEN),
    ("a flood", [connection(), options(failure=Failure.TOO_LARGE, raw=b"x")], FAIL, "too_large", PBX, LIKELY),
    ("silence", [*QUIET, NO_TLS, udp(failure=Failure.NO_ANSWER)], UNKNOWN, "silent_after_accept", OPEN, POSSIBLE),
    (
        "closed",
        [connection(), options(failure=Failure.CLOSED_EARLY), NO_TLS],
        UNKNOWN,
        "closed_after_request",
        OPEN,
        POSSIBLE,
    ),
    (
        "reset",
        [connection(), options(failure=Failure.RESET), NO_TLS],
        UNKNOWN,
        "closed_after_request",
        OPEN,
        POSSIBLE,
    ),
    (
        "part of an answer",
        [connection(), options(failure=Failure.NO_ANSWER, raw=b"SIP/2.0 2")],
        UNKNOWN,
        "incomplete_answer",
        OPEN,
        POSSIBLE,
    ),
    (
        "damaged",
        [connection(), options(failure=Failure.MALFORMED, raw=b"SIP/2.0 x")],
        UNKNOWN,
        "malformed",
        OPEN,
        POSSIBLE,
    ),
    (
        "this host's firewall, after the connection",
        [connection(), options(failure=Failure.LOCAL_DENIED)],
        UNKNOWN,
        "not_sent",
        HOST,
        PROVEN,
    ),
    ("this host's firewall", [connection(Failure.LOCAL_DENIED)], UNKNOWN, "not_sent", HOST, PROVEN),
    ("a wrong --source", [connection(Failure.ADDRESS_UNAVAILABLE)], UNKNOWN, "not_sent", HOST, PROVEN),
    ("no route", [connection(Failure.NO_ROUTE)], UNKNOWN, "not_sent", HOST, PROVEN),
    ("nobody at the next hop", [connection(Failure.HOST_UNREACHABLE)], UNKNOWN, "unreachable", NETWORK, POSSIBLE),
    (
        "its own firewall's ICMP",
        [connection(Failure.ADMIN_PROHIBITED, icmp=Icmp(address=PUBLIC, type=3, code=13))],
        UNKNOWN,
        "unreachable",
        PBX,
        POSSIBLE,
    ),
    (
        "a router's ICMP",
        [connection(Failure.NET_UNREACHABLE, icmp=Icmp(address="10.0.0.1", type=3, code=0))],
        UNKNOWN,
        "unreachable",
        OPEN,
        POSSIBLE,
    ),
    ("a local error", [connection(Failure.LOCAL_ERROR)], UNKNOWN, "not_possible", HOST, POSSIBLE),
    ("no such name", [lookup()], UNKNOWN, "no_address", OPEN, POSSIBLE),
    ("no time", [], UNKNOWN, "not_measured", OPEN, POSSIBLE),
    ("no time to ask", [connection()], UNKNOWN, "not_measured", OPEN, POSSIBLE),
    ("cancelled", [connection(Failure.CANCELLED)], UNKNOWN, "not_measured", OPEN, POSSIBLE),
]


@pytest.mark.parametrize(
    ("given", "status", "reason", "domain", "confidence"), [row[1:] for row in TRANSPORT], ids=[r[0] for r in TRANSPORT]
)
def test_transport(
    given: Sequence[Fact], status: Status, reason: str, domain: FaultDomain | None, confidence: Confidence
) -> None:
    finding = judged(*given)["pbx.transport"]
    holds(finding, status, reason, domain)
    assert finding.confidence is confidence
    assert finding.target == f"{PUBLIC}:5061"


def test_nothing_is_judged_where_none_was_asked_for() -> None:
    assert pbx_check.judge(facts_of(), PROFILE, msgspec.structs.replace(settings_for(PUBLIC), pbx=None)) == []


def test_without_sip_there_is_one_cause_and_what_gates() -> None:
    assert set(judged(REFUSED)) == {"pbx.transport", "pbx.call", "pbx.codecs"}
    assert judged(REFUSED)["pbx.codecs"].settle_by == "See pbx.transport."


def test_how_to_let_the_test_in_names_the_address_that_the_pbx_saw() -> None:
    seen = options(lambda r: says(403)(r).replace(b";branch", b";received=198.51.100.7;branch", 1))
    assert "198.51.100.7" in (judged(connection(), seen)["pbx.options"].remedy or "")
    assert US_PUBLIC in (judged(connection(), options(says(403)))["pbx.options"].remedy or "")
    behind_nat = connection(local_address="192.168.1.50")
    assert "public address" in (judged(behind_nat, options(says(403)))["pbx.options"].remedy or "")


# --- OPTIONS

CALL_ALONE = ("Allow", "INVITE, ACK, CANCEL, BYE")
OPTIONS: list[tuple[str, Sequence[Fact], Status, str, FaultDomain | None]] = [
    ("200", ALIVE, PASS, "answered", None),
    (
        "404 with Allow",
        [connection(), options(says(404, "x", ("Allow", "INVITE, ACK, CANCEL, OPTIONS, BYE")))],
        PASS,
        "answered",
        None,
    ),
    ("405", [connection(), options(says(405))], PASS, "allow_absent", None),
    ("405 with Allow", [connection(), options(says(405, "x", CALL_ALONE))], PASS, "answered", None),
    ("an Allow without OPTIONS", [connection(), options(says(200, "x", CALL_ALONE))], PASS, "answered", None),
    ("501", [connection(), options(says(501))], PASS, "allow_absent", None),
    ("no Allow", [connection(), options(says(200))], PASS, "allow_absent", None),
    (
        "no CANCEL",
        [connection(), options(says(200, "x", ("Allow", "INVITE,ACK,BYE,OPTIONS")))],
        WARN,
        "methods_missing",
        PBX,
    ),
    ("no SDP", [connection(), options(says(200, "x", ("Accept", "text/plain")))], WARN, "sdp_not_accepted", PBX),
    ("any body", [connection(), options(says(200, "x", ("Accept", "*/*")))], PASS, "allow_absent", None),
    ("503", [connection(), options(says(503))], WARN, "server_error", PBX),
    ("600", [connection(), options(says(600))], WARN, "server_error", PBX),
    ("400", [connection(), options(says(400))], WARN, "status_400", OPEN),
    ("a loop", [connection(), options(says(483))], WARN, "status_483", PBX),
    ("302", [connection(), options(says(302))], WARN, "status_302", PBX),
    ("401", [connection(), options(says(401))], UNKNOWN, "source_rejected", PBX),
    ("403", [connection(), options(says(403))], UNKNOWN, "source_rejected", PBX),
    ("a pong alone", [connection(), DEAD, keepalive()], UNKNOWN, "ignored", PBX),
    ("100 alone", [connection(), options(says(100), failure=Failure.NO_ANSWER)], UNKNOWN, "ignored", PBX),
    ("one lost", [connection(), options(OK), DEAD], WARN, "lost_some", OPEN),
    ("200, then 503", [connection(), options(OK), options(says(503))], WARN, "server_error", PBX),
    ("503, then 200", [connection(), options(says(503)), options(OK)], WARN, "server_error", PBX),
    ("200, then 403", [connection(), options(OK), options(says(403))], PASS, "answered", None),
    ("403, then 200", [connection(), options(says(403)), options(OK)], PASS, "answered", None),
    ("403, then silence", [connection(), options(says(403)), DEAD], UNKNOWN, "source_rejected", PBX),
    (
        "200, then without CANCEL",
        [connection(), options(OK), options(says(200, "x", ("Allow", "INVITE,ACK,BYE,OPTIONS")))],
        WARN,
        "methods_missing",
        PBX,
    ),
    (
        "200, then another branch",
        [
            connection(),
            options(OK),
            options(lambda r: says(200)(r).replace(b"z9hG4bKoptions", b"z9hG4bKother"), failure=Failure.MISMATCH),
        ],
        WARN,
        "altered",
        OPEN,
    ),
    (
        "no Content-Length",
        [connection(), options(lambda r: OK(r).replace(b"Content-Length: 0\r\n", b""))],
        WARN,
        "odd_answer",
        PBX,
    ),
    ("a NUL", [connection(), options(lambda r: says(200, "O K")(r).replace(b"O K", b"O\0K"))], WARN, "odd_answer", PBX),
    (
        "another Call-ID",
        [
            connection(),
            options(lambda r: says(200)(r).replace(b"Call-ID: options", b"Call-ID: other"), failure=Failure.MISMATCH),
        ],
        WARN,
        "altered",
        OPEN,
    ),
]


@pytest.mark.parametrize(
    ("given", "status", "reason", "domain"), [row[1:] for row in OPTIONS], ids=[row[0] for row in OPTIONS]
)
def test_options(given: Sequence[Fact], status: Status, reason: str, domain: FaultDomain | None) -> None:
    holds(judged(*given)["pbx.options"], status, reason, domain)


def test_both_codes_are_told() -> None:
    for given in ([options(OK), options(says(503))], [options(says(503)), options(OK)]):
        summary = judged(connection(), *given)["pbx.options"].summary
        assert summary.startswith("503 x (to others of our OPTIONS: 200): ")


def test_what_the_pbx_says_of_itself_is_told() -> None:
    headers = [CALL_ALONE, ("Server", "X 1"), ("Supported", "replaces, timer"), ("k", "path")]
    summary = judged(connection(), options(says(200, "x", *headers)))["pbx.options"].summary
    assert "Server: X 1. Supported: replaces, timer, path." in summary


def test_options_is_left_out_where_no_sip_came() -> None:
    for given in ([REFUSED], [*QUIET, NO_TLS], [*QUIET, tls()], []):
        assert "pbx.options" not in judged(*given)


# --- the call's code

CODES: list[tuple[int, Status, str]] = [
    (300, WARN, "redirected"),
    (302, WARN, "redirected"),
    (400, WARN, "bad_request"),
    (401, UNKNOWN, "source_rejected"),
    (403, UNKNOWN, "source_rejected"),
    (404, FAIL, "not_routed"),
    (405, FAIL, "invite_not_allowed"),
    (406, FAIL, "offer_rejected"),
    (407, UNKNOWN, "source_rejected"),
    (408, WARN, "no_answer_behind"),
    (410, FAIL, "not_routed"),
    (413, FAIL, "too_large_for_it"),
    (414, FAIL, "too_large_for_it"),
    (415, FAIL, "offer_rejected"),
    (416, FAIL, "not_routed"),
    (420, FAIL, "extension_missing"),
    (421, FAIL, "extension_required"),
    (422, WARN, "extension_required"),
    (428, FAIL, "identity_required"),
    (433, WARN, "declined"),
    (436, FAIL, "identity_required"),
    (437, FAIL, "identity_required"),
    (438, FAIL, "identity_required"),
    (480, WARN, "unavailable"),
    (481, WARN, "status_481"),
    (482, FAIL, "looped"),
    (483, FAIL, "looped"),
    (484, FAIL, "not_routed"),
    (485, FAIL, "not_routed"),
    (486, PASS, "busy"),
    (487, WARN, "terminated"),
    (488, FAIL, "offer_rejected"),
    (491, WARN, "status_491"),
    (493, FAIL, "offer_rejected"),
    (499, WARN, "status_499"),
    (500, FAIL, "server_error"),
    (501, FAIL, "invite_not_allowed"),
    (502, FAIL, "server_error"),
    (503, FAIL, "server_error"),
    (504, WARN, "no_answer_behind"),
    (505, FAIL, "server_error"),
    (513, FAIL, "too_large_for_it"),
    (580, FAIL, "extension_required"),
    (599, FAIL, "server_error"),
    (600, PASS, "busy"),
    (603, WARN, "declined"),
    (604, FAIL, "not_routed"),
    (606, FAIL, "offer_rejected"),
    (607, WARN, "declined"),
    (608, WARN, "declined"),
    (699, WARN, "declined"),
]


@pytest.mark.parametrize(("code", "status", "reason"), CODES, ids=[str(code) for code, *_ in CODES])
def test_code_of_a_call(code: int, status: Status, reason: str) -> None:
    call = Talk().hears(100).hears(code).sends("ACK")
    found = judged(*ALIVE, call, **CALLED)
    holds(found["pbx.call"], status, reason, None if status is PASS else PBX)
    assert str(code) in found["pbx.call"].summary
    refused_offer = reason == "offer_rejected"
    assert found["pbx.codecs"].status is (FAIL if refused_offer else UNKNOWN)
    assert not {"pbx.dialog", "pbx.contact", "pbx.media_address"} & found.keys()


def test_the_extension_that_a_pbx_requires_is_named() -> None:
    summary = judged(*ALIVE, Talk().hears(421, ("Require", "timer")).sends("ACK"), **CALLED)["pbx.call"].summary
    assert "Require: timer." in summary


def test_every_final_code_is_read() -> None:
    for code in range(300, 700):
        row = code_row(code)
        assert row.says
        assert row.status in (PASS, UNKNOWN) or row.remedy


def garbled_after(status: int, failure: Failure = Failure.NOT_SIP) -> Talk:
    """Bytes that are no SIP follow the answer, and we hang up as fast as we can."""
    call = Talk(failure=failure, note={"failure": str(failure)}).hears(status, body=BOTH if status == 200 else b"")
    call = call.sends("ACK") if status == 200 else call
    return call.gets(b"HTTP/1.1 400 x\r\n\r\n").sends("BYE" if status == 200 else "CANCEL")


def cut(size: int) -> Talk:
    """The connection is closed before the last `size` bytes of the 200."""
    return Talk(failure=Failure.CLOSED_EARLY, note={"failure": "closed_early"}).hears(200, body=BOTH).loses(size)


def rewritten(old: bytes, new: bytes) -> Talk:
    """A 100 as it should be, and a 200 that something changed on the way."""
    return Talk().hears(100).hears(200, body=BOTH, change=(old, new)).over()


CALLS: list[tuple[str, Talk, Status, str, FaultDomain | None]] = [
    ("answered", answered(), PASS, "answered", None),
    ("answered without 1xx", Talk().hears(200, body=BOTH).over(), PASS, "answered", None),
    (
        "rang too long",
        Talk().hears(100).hears(180).sends("CANCEL", at_ms=20000.0).hears(200, to="CANCEL").hears(487).sends("ACK"),
        PASS,
        "rang",
        None,
    ),
    ("rang, and ignores CANCEL", Talk(failure=Failure.NO_ANSWER).hears(180).sends("CANCEL"), PASS, "rang", None),
    ("183 alone", Talk(failure=Failure.NO_ANSWER).hears(183, body=BOTH).sends("CANCEL"), UNKNOWN, "progress_only", PBX),
    (
        "100 alone",
        Talk().hears(100).sends("CANCEL", at_ms=20000.0).hears(200, to="CANCEL").hears(487),
        FAIL,
        "trying_only",
        PBX,
    ),
    (
        "100 alone, and dead",
        Talk(failure=Failure.NO_ANSWER).hears(100).sends("CANCEL", at_ms=20000.0),
        FAIL,
        "trying_only",
        PBX,
    ),
    (
        "100 alone, for a moment",
        Talk(failure=Failure.NO_ANSWER).hears(100).sends("CANCEL", at_ms=3000.0),
        UNKNOWN,
        "trying_only",
        PBX,
    ),
    ("silence", Talk(failure=Failure.NO_ANSWER).sends("CANCEL", at_ms=5000.0), UNKNOWN, "silent", PBX),
    ("closed", Talk(failure=Failure.CLOSED_EARLY), UNKNOWN, "closed_after_invite", PBX),
    ("reset", Talk(failure=Failure.RESET), UNKNOWN, "closed_after_invite", PBX),
    ("closed while it rings", Talk(failure=Failure.CLOSED_EARLY).hears(180), FAIL, "lost_in_setup", PBX),
    ("not SIP", Talk(failure=Failure.NOT_SIP, detail="http"), UNKNOWN, "garbled", OPEN),
    ("not SIP after 100", garbled_after(100), UNKNOWN, "garbled", OPEN),
    ("not SIP after 180", garbled_after(180), UNKNOWN, "garbled", OPEN),
    ("not SIP after the answer", garbled_after(200), UNKNOWN, "garbled", OPEN),
    ("too large after the answer", garbled_after(200, Failure.TOO_LARGE), PASS, "answered", None),
    ("cut in the body", cut(30), FAIL, "lost_in_setup", PBX),
    ("cut in the head", cut(len(BOTH) + 30), FAIL, "lost_in_setup", PBX),
    ("cut in the start line", Talk(failure=Failure.CLOSED_EARLY).gets(b"SIP/2.0 20"), FAIL, "lost_in_setup", PBX),
    (
        "Content-Length past the body",
        Talk(failure=Failure.NO_ANSWER).hears(180).hears(200, body=BOTH).loses(1).sends("CANCEL", at_ms=20000.0),
        UNKNOWN,
        "incomplete_answer",
        OPEN,
    ),
    ("lost by this host", Talk(failure=Failure.HOST_UNREACHABLE).hears(180), UNKNOWN, "lost_in_setup", OPEN),
    (
        "no 487 but another code",
        Talk().hears(180).sends("CANCEL", at_ms=20000.0).hears(200, to="CANCEL").hears(503),
        PASS,
        "rang",
        None,
    ),
    (
        "rejected in the end",
        Talk().hears(100).sends("CANCEL", at_ms=20000.0).hears(403),
        UNKNOWN,
        "source_rejected",
        PBX,
    ),
    ("refused in the end", Talk().sends("CANCEL", at_ms=5000.0).hears(404), FAIL, "not_routed", PBX),
    ("CANCEL heard alone", Talk().sends("CANCEL", at_ms=5000.0).hears(487), UNKNOWN, "silent", PBX),
    (
        "another branch",
        Talk(failure=Failure.NO_ANSWER).hears(200, change=(b"z9hG4bKinvite", b"z9hG4bKother")),
        WARN,
        "altered",
        OPEN,
    ),
    ("another sent-by after 100", rewritten(b"40000", b"40001"), WARN, "altered", OPEN),
    (
        "one more Via after 100",
        rewritten(b"From: ", b"Via: SIP/2.0/TCP 10.0.0.9;branch=z9hG4bKs\r\nFrom: "),
        WARN,
        "altered",
        OPEN,
    ),
    (
        "ended by Ctrl-C, and the connection with it",
        Talk(failure=Failure.CLOSED_EARLY, note={"outcome": "lost", "interrupted": True}).hears(180).sends("CANCEL"),
        UNKNOWN,
        "abandoned",
        OPEN,
    ),
    ("given up", Talk(failure=Failure.CANCELLED).hears(180).sends("CANCEL"), UNKNOWN, "abandoned", OPEN),
    (
        "given up, heard",
        Talk(note={"outcome": "abandoned"}).hears(180).sends("CANCEL").hears(487),
        UNKNOWN,
        "abandoned",
        OPEN,
    ),
    ("crossed our CANCEL", Talk().hears(180).sends("CANCEL").hears(200, body=BOTH).over(), PASS, "answered", None),
]


@pytest.mark.parametrize(
    ("call", "status", "reason", "domain"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS]
)
def test_call(call: Talk, status: Status, reason: str, domain: FaultDomain | None) -> None:
    holds(judged(*ALIVE, call, **CALLED)["pbx.call"], status, reason, domain)


@pytest.mark.parametrize("call", [cut(30), cut(len(BOTH) + 30), garbled_after(200), rewritten(b"40000", b"40001")])
def test_nothing_is_read_from_an_answer_that_is_none(call: Talk) -> None:
    found = judged(*ALIVE, call, **CALLED)
    holds(found["pbx.codecs"], UNKNOWN, "unseen", OPEN)
    assert not {"pbx.dialog", "pbx.contact", "pbx.media_address"} & found.keys()


def test_no_call() -> None:
    holds(judged(*ALIVE)["pbx.call"], SKIP, "not_asked", None)
    holds(judged(REFUSED, **CALLED)["pbx.call"], UNKNOWN, "not_placed", OPEN)


@pytest.mark.parametrize(
    ("values", "domain", "says"),
    [
        ({"outcome": "not_connected", "failure": "refused"}, OPEN, "its own connection failed (refused)"),
        ({"outcome": "not_sendable", "detail": "not a number"}, HOST, "can be written: not a number"),
        ({"outcome": "no_media_socket", "failure": "local_error"}, HOST, "no UDP socket for its audio (local_error)"),
    ],
)
def test_why_no_call_was_placed(values: dict[str, Any], domain: FaultDomain, says: str) -> None:
    note = Note(topic="pbx_call", text="", values={"purpose": "pbx_invite", **values})
    finding = judged(*ALIVE, note, **CALLED)["pbx.call"]
    holds(finding, UNKNOWN, "not_placed", domain)
    assert says in finding.summary
    assert finding.facts == ("pbx.1", "pbx.2", "pbx.5")


def test_a_rejected_stranger_is_no_fault() -> None:
    found = judged(connection(), options(says(401)), Talk().hears(401).sends("ACK"), **CALLED)
    assert {each.status for each in found.values()} <= {PASS, UNKNOWN}
    assert "for the time of the test" in (found["pbx.call"].remedy or "")


# --- codecs

G729 = STATIC_CODECS[18]
SECOND = {"purpose": "pbx_invite_pcmu", "codecs": (PCMU, EVENT)}
ALONE, TAKEN = answered(sdp(PCMA, EVENT)), answered(sdp(PCMU), **SECOND)
REDEFINED, REFUSED_FALLBACK = (WARN, "type_redefined", PBX), (WARN, "fallback_refused", PBX)


EARLY_SESSION = ("Content-Disposition", "early-session; handling=optional")
PARTS = b"--x\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n--x\r\nContent-Type: application/sdp\r\n\r\n"
PARTS += BOTH + b"\r\n--x--\r\n"
AS_PARTS = (b"application/sdp\r\nContent-Length", b"multipart/mixed;boundary=x\r\nContent-Length")


def early(body: bytes = BOTH, *, tag: str = "them", headers: Sequence[tuple[str, str]] = ()) -> Talk:
    """A call whose 183 has a description, and whose 200 has none."""
    return Talk().hears(183, *headers, body=body, tag=tag).hears(200).over()


def bare(body: bytes) -> bytes:
    """Without its rtpmap lines: static payload types need none."""
    return b"".join(line for line in body.splitlines(keepends=True) if not line.startswith(b"a=rtpmap:"))


CODECS: list[tuple[str, Sequence[Fact | Talk], Status, str, FaultDomain | None]] = [
    ("both", [answered()], PASS, "both_accepted", None),
    (
        "both, early",
        [Talk(failure=Failure.NO_ANSWER).hears(183, body=BOTH).sends("CANCEL")],
        PASS,
        "both_accepted",
        None,
    ),
    ("PCMU first", [answered(sdp(PCMU, PCMA, EVENT))], WARN, "preferred_not_first", PBX),
    ("G.729 first", [answered(sdp(G729, PCMA, PCMU))], WARN, "preferred_not_first", PBX),
    ("G.729 before PCMA alone", [answered(sdp(G729, PCMA)), TAKEN], WARN, "preferred_not_first", PBX),
    ("PCMU alone", [answered(sdp(PCMU, EVENT))], WARN, "fallback_chosen", PBX),
    ("PCMA alone, PCMU taken", [ALONE, TAKEN], PASS, "each_accepted", None),
    ("PCMA alone, PCMU rejected", [ALONE, Talk(**SECOND).hears(488)], WARN, "fallback_refused", PBX),  # type: ignore[arg-type]
    ("PCMA alone, PCMU refused", [ALONE, answered(sdp(PCMU, port=0), **SECOND)], WARN, "fallback_refused", PBX),
    ("PCMA alone, then busy", [ALONE, Talk(**SECOND).hears(486)], WARN, "fallback_unseen", OPEN),  # type: ignore[arg-type]
    ("PCMA alone, no second call", [ALONE], WARN, "fallback_unseen", OPEN),
    ("G.729 alone", [answered(sdp(G729))], FAIL, "no_g711", PBX),
    ("PCMA by another number", [answered(sdp(Codec(98, "pcma", 8000), PCMU))], PASS, "both_accepted", None),
    ("by the numbers alone", [answered(bare(BOTH))], PASS, "both_accepted", None),
    ("wideband PCMA", [answered(sdp(Codec(98, "PCMA", 16000), PCMU))], WARN, "fallback_chosen", PBX),
    ("wideband G.711 alone", [answered(sdp(Codec(98, "PCMA", 16000)))], FAIL, "no_g711", PBX),
    ("PCMA in stereo", [answered(sdp(Codec(98, "PCMA", 8000, 2)))], FAIL, "no_g711", PBX),
    ("wideband PCMA as 8", [answered(sdp(Codec(8, "PCMA", 16000), PCMU))], WARN, "type_redefined", PBX),
    ("8 and 0 changed places", [answered(sdp(Codec(0, "PCMA", 8000), Codec(8, "PCMU", 8000)))], *REDEFINED),
    ("PCMA as 18", [answered(sdp(Codec(18, "PCMA", 8000), PCMU))], *REDEFINED),
    ("another static type's line", [answered(sdp(PCMA, PCMU, Codec(9, "G722", 16000)))], PASS, "both_accepted", None),
    ("PCMA alone, then wideband PCMU", [ALONE, answered(sdp(Codec(98, "PCMU", 16000)), **SECOND)], *REFUSED_FALLBACK),
    ("DTMF alone", [answered(sdp(EVENT))], FAIL, "no_g711", PBX),
    ("port 0", [answered(sdp(PCMA, port=0))], FAIL, "audio_rejected", PBX),
    ("488", [Talk().hears(488)], FAIL, "offer_rejected", PBX),
    ("no SDP", [answered(b"")], FAIL, "no_answer_sdp", PBX),
    ("no audio in it", [answered(BOTH.replace(b"m=audio", b"m=video"))], FAIL, "no_answer_sdp", PBX),
    ("SDP in the 183 alone", [early()], WARN, "answer_only_early", PBX),
    ("PCMU in the 183 alone", [early(sdp(PCMU, EVENT))], WARN, "answer_only_early", PBX),
    ("G.729 in the 183 alone", [early(sdp(G729))], FAIL, "no_g711", PBX),
    ("SDP in another branch's 183", [early(tag="another")], FAIL, "no_answer_sdp", PBX),
    ("SDP in 183 for a session of its own", [early(headers=[EARLY_SESSION])], FAIL, "no_answer_sdp", PBX),
    ("among other parts", [answered(PARTS, change=AS_PARTS)], PASS, "both_accepted", None),
    ("another kind of body", [answered(change=(b"application/sdp", b"text/plain"))], FAIL, "no_answer_sdp", PBX),
    ("no SDP that can be read", [answered(b"\x00\x01")], FAIL, "no_answer_sdp", PBX),
    ("busy", [Talk().hears(486)], UNKNOWN, "unseen", OPEN),
    ("401", [Talk().hears(401)], UNKNOWN, "unseen", OPEN),
    ("no call", [], UNKNOWN, "unseen", OPEN),
]


@pytest.mark.parametrize(
    ("calls", "status", "reason", "domain"), [row[1:] for row in CODECS], ids=[row[0] for row in CODECS]
)
def test_codecs(calls: Sequence[Fact | Talk], status: Status, reason: str, domain: FaultDomain | None) -> None:
    holds(judged(*ALIVE, *calls, **CALLED)["pbx.codecs"], status, reason, domain)


SHOWN: list[tuple[str, Sequence[Codec], Status, str, FaultDomain | None]] = [
    ("both", (PCMA, PCMU), PASS, "both_listed", None),
    ("PCMU first", (PCMU, PCMA), WARN, "listed_in_other_order", PBX),
    ("PCMA alone", (PCMA,), WARN, "one_listed", PBX),
    ("no G.711 fails nobody", (G729,), UNKNOWN, "no_g711_listed", PBX),
]


@pytest.mark.parametrize(
    ("codecs", "status", "reason", "domain"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN]
)
def test_codecs_of_an_answer_to_options(
    codecs: Sequence[Codec], status: Status, reason: str, domain: FaultDomain | None
) -> None:
    shown = options(says(200, body=sdp(*codecs)))
    holds(judged(connection(), shown)["pbx.codecs"], status, reason, domain)
    # What a call is answered with goes before what OPTIONS shows.
    assert judged(connection(), shown, answered(), **CALLED)["pbx.codecs"].reason == "both_accepted"


# --- DTMF, media address

WIDE_EVENT = Codec(97, "telephone-event", 48000)
DTMF: list[tuple[str, Talk, Status, str]] = [
    ("as offered", answered(), PASS, "telephone_event"),
    ("left out", answered(sdp(PCMA, PCMU)), WARN, "no_telephone_event"),
    ("another number", answered(sdp(PCMA, PCMU, telephone_event(101))), WARN, "other_payload_type"),
    ("another clock", answered(sdp(PCMA, EVENT._replace(clock_rate_hz=48000))), WARN, "other_clock"),
    ("another clock beside it", answered(sdp(PCMA, WIDE_EVENT, EVENT)), PASS, "telephone_event"),
    ("another number beside it", answered(sdp(PCMA, telephone_event(101), EVENT)), PASS, "telephone_event"),
    ("another clock by its number", answered(sdp(PCMA, Codec(96, "telephone-event", 48000))), WARN, "other_clock"),
]


@pytest.mark.parametrize(("call", "status", "reason"), [row[1:] for row in DTMF], ids=[row[0] for row in DTMF])
def test_dtmf(call: Talk, status: Status, reason: str) -> None:
    holds(judged(*ALIVE, call, **CALLED)["pbx.dtmf"], status, reason, None if status is PASS else PBX)


def test_dtmf_of_an_answer_to_options() -> None:
    shown = options(says(200, body=BOTH))
    holds(judged(connection(), shown)["pbx.dtmf"], PASS, "listed", None)
    shown = options(says(200, body=sdp(PCMA)))
    holds(judged(connection(), shown)["pbx.dtmf"], UNKNOWN, "not_listed", PBX)
    assert "pbx.dtmf" not in judged(*ALIVE)


V6, V6_LONG, MAPPED = "2600:1f18::1", "2600:1F18:0:0::1", f"::ffff:{PUBLIC}"
OVER_V6: dict[str, Any] = {"address": V6, "contact": f"<sip:pbx@[{V6_LONG}]:5061;transport=tcp>"}


def test_the_answer_of_a_183_is_judged_as_that_of_the_call() -> None:
    found = judged(*ALIVE, early(sdp(PCMA, PCMU, EVENT, address="10.0.0.5", direction="sendonly")), **CALLED)
    assert (found["pbx.media_address"].reason, found["pbx.dtmf"].reason) == ("private_address", "telephone_event")
    found = judged(*ALIVE, early(sdp(PCMA, PCMU, EVENT, direction="sendonly")), **CALLED)
    assert found["pbx.media_address"].reason == "not_both_ways"


def savp(body: bytes = BOTH) -> bytes:
    return body.replace(b"RTP/AVP", b"RTP/SAVP")


ICE = b"a=rtcp-mux\r\na=ice-ufrag:x\r\na=candidate:1 1 UDP 1 192.168.1.10 12000 typ host\r\n"
_IN_SECTION = BOTH.replace(b"RTP/AVP 8 0 96\r\n", b"RTP/AVP 8 0 96\r\nc=IN IP4 10.0.0.5\r\n")
ITS_LINE_PRIVATE = _IN_SECTION
OWN_LINE = _IN_SECTION.replace(PUBLIC.encode(), b"*").replace(b"10.0.0.5", PUBLIC.encode()).replace(b"*", b"10.0.0.5")
HELD = b"a=sendonly\r\nm="
NOT_BOTH_WAYS = (WARN, "not_both_ways")
MEDIA: list[tuple[str, Talk, Status, str]] = [
    ("the same", answered(), PASS, "same_address"),
    ("another public one", answered(sdp(*(PCMA, PCMU), address="49.36.10.99")), UNKNOWN, "other_address"),
    ("private", answered(sdp(PCMA, address="192.168.1.10")), FAIL, "private_address"),
    ("shared", answered(sdp(PCMA, address="100.64.1.1")), FAIL, "private_address"),
    ("documentation", answered(sdp(PCMA, address="192.0.2.1")), FAIL, "private_address"),
    ("loopback", answered(sdp(PCMA, address="127.0.0.1")), FAIL, "unusable_address"),
    ("none", answered(sdp(PCMA, address="0.0.0.0")), FAIL, "unusable_address"),
    ("a name", answered(sdp(PCMA).replace(PUBLIC.encode(), b"pbx.example.com")), WARN, "hostname"),
    ("IPv6", answered(sdp(PCMA, address="2600:1f18::1")), FAIL, "other_family"),
    ("the same, spelled otherwise", answered(sdp(PCMA, address=V6_LONG), **OVER_V6), PASS, "same_address"),
    ("the same, mapped", answered(sdp(PCMA, address=MAPPED)), WARN, "mapped_address"),
    ("private, mapped", answered(sdp(PCMA, address="::ffff:192.168.1.10")), FAIL, "private_address"),
    ("mapped, over IPv6", answered(sdp(PCMA, address=MAPPED), **OVER_V6), FAIL, "other_family"),
    ("no c=", answered(sdp(PCMA).replace(b"c=IN IP4 " + PUBLIC.encode() + b"\r\n", b"")), FAIL, "no_address"),
    ("SRTP", answered(savp()), FAIL, "srtp_answered"),
    ("DTLS-SRTP", answered(BOTH.replace(b"RTP/AVP", b"UDP/TLS/RTP/SAVPF")), FAIL, "srtp_answered"),
    ("SRTP's keys alone", answered(BOTH + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n"), WARN, "srtp_keys"),
    ("a certificate alone", answered(BOTH.replace(b"m=", b"a=fingerprint:sha-256 00\r\nm=")), WARN, "srtp_keys"),
    ("with feedback", answered(BOTH.replace(b"RTP/AVP", b"RTP/AVPF")), WARN, "other_profile"),
    ("RTP over TCP", answered(BOTH.replace(b"RTP/AVP", b"TCP/RTP/AVP")), FAIL, "other_profile"),
    ("no RTP", answered(BOTH.replace(b"RTP/AVP", b"udptl")), FAIL, "other_profile"),
    ("a second stream", answered(BOTH + b"m=video 0 RTP/AVP 31\r\n"), WARN, "other_streams"),
    ("video before it", answered(BOTH.replace(b"m=", b"m=video 0 RTP/AVP 31\r\nm=")), WARN, "other_streams"),
    ("ICE and rtcp-mux beside it", answered(BOTH + ICE), PASS, "same_address"),
    ("its own c= line", answered(OWN_LINE), PASS, "same_address"),
    ("its own c= line is private", answered(ITS_LINE_PRIVATE), FAIL, "private_address"),
    ("multicast", answered(BOTH.replace(PUBLIC.encode() + b"\r\nt", b"224.2.1.1/127\r\nt")), FAIL, "unusable_address"),
    ("on hold by the session", answered(BOTH.replace(b"a=sendrecv\r\n", b"").replace(b"m=", HELD)), *NOT_BOTH_WAYS),
    ("held", answered(sdp(PCMA, direction="inactive")), *NOT_BOTH_WAYS),
    ("listens alone", answered(sdp(PCMA, direction="recvonly")), *NOT_BOTH_WAYS),
    ("port 0", answered(sdp(PCMA, port=0)), FAIL, "audio_rejected"),
    ("one way", answered(sdp(PCMA, direction="sendonly")), WARN, "not_both_ways"),
    ("a port outside", answered(sdp(PCMA, port=9000)), WARN, "port_outside"),
    ("inside", answered(sdp(PCMA, address=INSIDE), address=INSIDE), UNKNOWN, "seen_from_inside"),
    ("inside, another host", answered(sdp(PCMA, address="192.168.1.77"), address=INSIDE), UNKNOWN, "seen_from_inside"),
    ("inside, public", answered(sdp(PCMA, address="49.36.10.99"), address=INSIDE), UNKNOWN, "other_address"),
    ("inside, loopback", answered(sdp(PCMA, address="127.0.0.1"), address=INSIDE), FAIL, "unusable_address"),
]


def domain_of(status: Status) -> FaultDomain | None:
    """Nobody is at fault for where we stand."""
    if status is PASS:
        return None
    return OPEN if status is UNKNOWN else PBX


def beside(call: Talk) -> list[Fact]:
    return [connection(address=call.address), options(OK, address=call.address)]


@pytest.mark.parametrize(("call", "status", "reason"), [row[1:] for row in MEDIA], ids=[row[0] for row in MEDIA])
def test_media_address(call: Talk, status: Status, reason: str) -> None:
    finding = judged(*beside(call), call, address=call.address, **CALLED)["pbx.media_address"]
    holds(finding, status, reason, domain_of(status))


ITS_OWN, OTHER = "49.36.10.99", "8.8.8.8"


def naming(public: str, address: str) -> Talk:
    """A call to a PBX at `address` that names `public` for its audio and for itself."""
    contact = f"<sip:x@{public}:5061;transport=tcp>"
    return answered(sdp(PCMA, PCMU, EVENT, address=public), address=address, contact=contact)


KNOWN: list[tuple[str, str, str, dict[str, str], Status, Status, str]] = [
    # where the PBX is called, which address it names, which one is known; the media address, and Contact
    ("inside, given", INSIDE, ITS_OWN, {"public_address": ITS_OWN}, PASS, PASS, "public_address"),
    ("inside, expected", INSIDE, ITS_OWN, {"expect_ip": ITS_OWN}, PASS, PASS, "public_address"),
    ("inside, not known", INSIDE, OTHER, {}, UNKNOWN, UNKNOWN, "other_address"),
    ("inside, another is given", INSIDE, OTHER, {"public_address": ITS_OWN}, WARN, WARN, "other_address"),
    ("inside, another is expected", INSIDE, OTHER, {"expect_ip": ITS_OWN}, WARN, WARN, "other_address"),
    ("outside, another than called", PUBLIC, OTHER, {}, UNKNOWN, WARN, "other_address"),
    ("outside, given", PUBLIC, ITS_OWN, {"public_address": ITS_OWN}, PASS, PASS, "public_address"),
    ("outside, neither", PUBLIC, OTHER, {"public_address": ITS_OWN}, WARN, WARN, "other_address"),
]


@pytest.mark.parametrize(
    ("address", "named", "known", "media", "contact", "reason"), [row[1:] for row in KNOWN], ids=[r[0] for r in KNOWN]
)
def test_the_public_address_that_is_known(
    address: str, named: str, known: dict[str, str], media: Status, contact: Status, reason: str
) -> None:
    call = naming(named, address)
    found = judged(*beside(call), call, address=address, **CALLED, **known)
    holds(found["pbx.media_address"], media, reason, domain_of(media))
    holds(found["pbx.contact"], contact, reason, domain_of(contact))


@pytest.mark.parametrize(
    ("address", "named", "status", "reason"),
    [
        (INSIDE, ITS_OWN, PASS, "public_address"),
        (INSIDE, OTHER, WARN, "other_address"),
        # Seen from outside, what was measured is ours and not the PBX's.
        (PUBLIC, ITS_OWN, WARN, "other_address"),
    ],
)
def test_the_public_address_that_was_measured(address: str, named: str, status: Status, reason: str) -> None:
    seen = [AddressSeen(method="stun", source=each, operator=each, address=ITS_OWN) for each in ("a", "b")]
    call = naming(named, address)
    found = judged(*beside(call), call, *seen, address=address, **CALLED)
    holds(found["pbx.contact"], status, reason, domain_of(status))
    # The invitation's exchange is the third fact; the sightings are the last two.
    sightings = ("pbx.5", "pbx.6") if address == INSIDE else ()
    for finding_id in ("pbx.contact", "pbx.media_address"):
        assert found[finding_id].facts == ("pbx.3", *sightings)


# --- Contact and dialog

FROM_INSIDE = (UNKNOWN, "seen_from_inside")
BY_TCP = f"{PUBLIC}:5061;transport=tcp"
CONTACT: list[tuple[str, Talk, Status, str]] = [
    ("the same", answered(), PASS, "same_host"),
    ("missing", answered(contact=None), FAIL, "missing"),
    ("unreadable", answered(contact="<sip:"), FAIL, "unreadable"),
    ("a telephone number", answered(contact="<tel:+911>"), FAIL, "unreadable"),
    ("TLS", answered(contact=f"<sip:x@{PUBLIC}:5061;transport=tls>"), FAIL, "tls"),
    ("sips", answered(contact=f"<sips:x@{PUBLIC}:5061>"), FAIL, "tls"),
    ("UDP", answered(contact=f"<sip:x@{PUBLIC}:5061;transport=UDP>"), FAIL, "other_transport"),
    ("no transport", answered(contact=f"<sip:x@{PUBLIC}:5061>"), WARN, "transport_unstated"),
    ("private", answered(contact="<sip:x@10.0.0.5:5061;transport=tcp>"), FAIL, "private_address"),
    ("private by maddr", answered(contact=f"<sip:x@{BY_TCP};maddr=10.0.0.5>"), FAIL, "private_address"),
    ("public by maddr", answered(contact=f"<sip:x@10.0.0.5:5061;transport=tcp;maddr={PUBLIC}>"), PASS, "same_host"),
    ("loopback", answered(contact="<sip:x@127.0.0.1:5061;transport=tcp>"), FAIL, "unusable_address"),
    ("another port", answered(contact=f"<sip:x@{PUBLIC};transport=tcp>"), WARN, "other_port"),
    ("the same, spelled otherwise", answered(**OVER_V6), PASS, "same_host"),
    ("the same, mapped", answered(contact=f"<sip:x@[{MAPPED}]:5061;transport=tcp>"), WARN, "mapped_address"),
    ("private, mapped", answered(contact="<sip:x@[::ffff:10.0.0.5]:5061;transport=tcp>"), FAIL, "private_address"),
    ("a name", answered(contact="<sip:x@pbx.example.com:5061;transport=tcp>"), WARN, "hostname"),
    ("a name without a port", answered(contact="<sip:x@pbx.example.com;transport=tcp>"), WARN, "hostname"),
    ("another public one", answered(contact="<sip:x@49.36.10.99:5061;transport=tcp>"), WARN, "other_address"),
    ("inside", answered(address=INSIDE), UNKNOWN, "seen_from_inside"),
    ("inside, TLS", answered(address=INSIDE, contact=f"<sips:x@{INSIDE}>"), FAIL, "tls"),
    ("behind an SBC", answered(contact="<sip:x@10.0.0.5:5060>", routes=[f"<sip:{BY_TCP};lr>"]), PASS, "same_host"),
    (
        "an SBC whose own route is private",
        answered(contact="<sip:x@10.0.0.5:5060>", routes=["<sip:10.0.0.5:5060;transport=tcp;lr>"]),
        FAIL,
        "private_address",
    ),
]


@pytest.mark.parametrize(("call", "status", "reason"), [row[1:] for row in CONTACT], ids=[row[0] for row in CONTACT])
def test_contact(call: Talk, status: Status, reason: str) -> None:
    finding = judged(*beside(call), call, address=call.address, **CALLED)["pbx.contact"]
    holds(finding, status, reason, domain_of(status))


@pytest.mark.parametrize(
    ("address", "port", "status", "reason"),
    [
        (PUBLIC, ":5061", PASS, "same_host"),
        # What a name means to the provider, the PBX's own network does not tell.
        (INSIDE, ":5061", *FROM_INSIDE),
        # Which port that is, SRV records have to say.
        (PUBLIC, "", WARN, "hostname"),
        (PUBLIC, ":5060", WARN, "other_port"),
    ],
)
def test_the_name_it_was_called_by(address: str, port: str, status: Status, reason: str) -> None:
    call = answered(address=address, contact=f"<sip:x@PBX.example.com.{port};transport=tcp>")
    facts = facts_of(*beside(call), call)
    settings = settings_for("pbx.example.com", **CALLED)
    found = {each.id: each for each in pbx_check.judge(facts, PROFILE, settings)}
    holds(found["pbx.contact"], status, reason, domain_of(status))


@pytest.mark.parametrize(("host", "means"), [("pbx.example.com", "leaves it to DNS"), (f"{PUBLIC}:5061", "means UDP")])
def test_what_no_transport_means(host: str, means: str) -> None:
    found = judged(*ALIVE, answered(contact=f"<sip:x@{host}>"), **CALLED)["pbx.contact"]
    holds(found, WARN, "transport_unstated", PBX)
    assert means in found.summary


def ringing() -> Talk:
    return Talk().hears(100).hears(180).sends("CANCEL", at_ms=20000.0)


def up() -> Talk:
    return Talk().hears(100).hears(200, body=BOTH).sends("ACK")


DIALOG: list[tuple[str, Talk, Status, str]] = [
    ("orderly", answered(), PASS, "orderly"),
    ("no To tag", answered(tag=None), FAIL, "to_tag_missing"),
    ("no Record-Route", answered(record_route=False), FAIL, "record_route_dropped"),
    (
        "Record-Route out of place",
        Talk(record_route=False)
        .hears(200, ("Record-Route", f"<sip:{US_PUBLIC}:40000;transport=tcp;lr>"), body=BOTH, routes=[])
        .over(),
        PASS,
        "orderly",
    ),
    (
        "another route nearer to us than our own",
        Talk(record_route=False)
        .hears(
            200,
            ("Record-Route", f"<sip:{US_PUBLIC}:40000;transport=tcp;lr>"),
            ("Record-Route", f"<sip:{BY_TCP};lr>"),
            body=BOTH,
        )
        .over(),
        FAIL,
        "record_route_misplaced",
    ),
    ("closed in mid-call", answered(note={"lost_in_call": True}), FAIL, "connection_closed"),
    (
        "repeated 200",
        up().hears(200, body=BOTH, at_ms=1000.0).hears(200, body=BOTH, at_ms=2000.0).sends("BYE").hears(200, to="BYE"),
        FAIL,
        "ack_ignored",
    ),
    ("a 200 that crossed the ACK", up().hears(200, body=BOTH).sends("BYE").hears(200, to="BYE"), PASS, "orderly"),
    ("hung up first", up().asks("BYE"), WARN, "hung_up_first"),
    ("both hung up", up().sends("BYE").asks("BYE").hears(200, to="BYE"), PASS, "orderly"),
    ("BYE unanswered", up().sends("BYE"), WARN, "bye_unanswered"),
    ("481 to BYE", up().sends("BYE").hears(481, to="BYE"), WARN, "bye_rejected"),
    ("a re-INVITE", answered(note={"reinvites_acknowledged": 1}), PASS, "orderly"),
    (
        "a re-INVITE without ACK",
        up().asks("INVITE", body=BOTH).takes("INVITE").takes("INVITE").sends("BYE").hears(200, to="BYE"),
        WARN,
        "reinvite_unacknowledged",
    ),
    (
        "a re-INVITE whose ACK came late",
        up().asks("INVITE").takes("INVITE").takes("INVITE").asks("ACK").sends("BYE").hears(200, to="BYE"),
        PASS,
        "orderly",
    ),
    (
        "a re-INVITE at the end",
        up().asks("INVITE", body=BOTH).takes("INVITE").sends("BYE").hears(200, to="BYE"),
        PASS,
        "orderly",
    ),
    (
        "a re-INVITE that was refused",
        replace(
            up().asks("INVITE").takes("INVITE", 488).asks("ACK").sends("BYE").hears(200, to="BYE"),
            note={"reinvites_acknowledged": 0},
        ),
        PASS,
        "orderly",
    ),
    ("both hung up, and 481", up().sends("BYE").asks("BYE").hears(481, to="BYE"), PASS, "orderly"),
    (
        "a 200 that came once more",
        up().hears(200, body=BOTH, at_ms=1000.0).sends("BYE").hears(200, to="BYE"),
        PASS,
        "orderly",
    ),
    ("breaks rules", answered(change=(b"SIP/2.0 200 x", b"SIP/2.0 200 \0")), WARN, "odd_answer"),
    ("cancelled", ringing().hears(200, to="CANCEL").hears(487).sends("ACK"), PASS, "cancelled"),
    ("CANCEL ignored", ringing(), WARN, "cancel_ignored"),
    ("CANCEL answered, and no end", ringing().hears(200, to="CANCEL"), WARN, "cancel_ignored"),
]


def test_of_x_exotel_headers_no_more_is_said_than_was_seen() -> None:
    summary = judged(*ALIVE, answered(), **CALLED)["pbx.dialog"].summary
    assert "the X-Exotel header fields of our INVITE did not keep it from answering" in summary


@pytest.mark.parametrize(("call", "status", "reason"), [row[1:] for row in DIALOG], ids=[row[0] for row in DIALOG])
def test_dialog(call: Talk, status: Status, reason: str) -> None:
    holds(judged(*ALIVE, call, **CALLED)["pbx.dialog"], status, reason, None if status is PASS else PBX)


LOST = {"lost_in_call": True}
UNSEEN: list[tuple[str, dict[str, Any], Talk]] = [
    ("Ctrl-C", {"interrupted": True}, up().sends("BYE")),
    ("Ctrl-C, before a BYE could go out", {"interrupted": True}, up()),
    ("no SIP", {"failure": "malformed"}, up().sends("BYE")),
    ("no SIP, in an older report", {"failure": "malformed", **LOST}, up().sends("BYE")),
    ("closed after BYE", {"failure": "closed_early"}, up().sends("BYE")),
    ("lost by this host", {"failure": "host_unreachable", **LOST}, up()),
]


@pytest.mark.parametrize(("note", "call"), [row[1:] for row in UNSEEN], ids=[row[0] for row in UNSEEN])
def test_an_end_that_was_not_seen_is_nobody_s_fault(note: dict[str, Any], call: Talk) -> None:
    holds(judged(*ALIVE, replace(call, note=note), **CALLED)["pbx.dialog"], UNKNOWN, "end_unseen", OPEN)


@pytest.mark.parametrize(
    "call",
    [
        replace(ringing(), note={"interrupted": True}),
        replace(ringing(), failure=Failure.CANCELLED),
        replace(ringing(), failure=Failure.CLOSED_EARLY),
        replace(ringing(), failure=Failure.NOT_SIP),
        garbled_after(180),
        # It had left before CANCEL came.
        ringing().hears(486),
    ],
)
def test_cancel_is_not_judged_where_its_answer_could_not_come(call: Talk) -> None:
    assert "pbx.dialog" not in judged(*ALIVE, call, **CALLED)


def test_a_pbx_that_takes_cancel_may_be_slow() -> None:
    for call, confidence in ((ringing(), LIKELY), (ringing().hears(200, to="CANCEL"), POSSIBLE)):
        assert judged(*ALIVE, call, **CALLED)["pbx.dialog"].confidence is confidence


def test_the_bye_of_another_branch_is_not_that_of_the_call() -> None:
    call = up().hears(200, body=BOTH, tag="other").sends("ACK").sends("BYE", tag="other").hears(481, to="BYE")
    call = call.sends("BYE").hears(200, to="BYE")
    holds(judged(*ALIVE, call, **CALLED)["pbx.dialog"], PASS, "orderly", None)


def test_requests_of_other_calls_are_none_of_this_one() -> None:
    call = up().asks("BYE")
    other = call.messages.pop()
    text = other.text.replace("call-pbx_invite", "another")
    call.messages.append(msgspec.structs.replace(other, text=text, size=len(text)))
    call = call.sends("BYE").hears(200, to="BYE")
    holds(judged(*ALIVE, call, **CALLED)["pbx.dialog"], PASS, "orderly", None)


# --- RTP

CLOSED = {"failure": "port_unreachable", "from": PUBLIC, "address": PUBLIC, "port": 12000}

REJECTED = {"failure": "admin_prohibited", "from": "10.0.0.1", "address": PUBLIC, "port": 12000}
NOTHING: dict[str, Any] = {"received": 0, "received_after": 0, "sources": [], "payload_types": {}}
STRANGER = {"address": OTHER, "port": 9, "packets": 1, "as_answered": False}
FEW = (UNKNOWN, "too_few", OPEN)

RTP: list[tuple[str, dict[str, Any], Status, str, FaultDomain | None]] = [
    ("all of it", {}, PASS, "returned", None),
    ("late ourselves, and no harm", {"late_p95_ms": 40.0}, PASS, "returned", None),
    ("nothing", {"received": 0, "sources": []}, WARN, "nothing_returned", OPEN),
    ("nobody listens", {"received": 0, "sources": [], "icmp": [CLOSED]}, WARN, "port_closed", OPEN),
    (
        "from elsewhere",
        {"sources": [{"address": PUBLIC, "port": 9, "packets": 99, "as_answered": False}]},
        WARN,
        "other_source",
        PBX,
    ),
    ("a stranger's packet among it", {"received": 1, "payload_types": {"8": 1}, "sources": [STRANGER]}, *FEW),
    ("G.729", {"payload_types": {"18": 100}}, WARN, "other_codec", PBX),
    ("by a number that was not offered", {"payload_types": {"98": 100}}, WARN, "other_codec", PBX),
    ("a keep-alive among it", {"payload_types": {"8": 97, "20": 3}}, PASS, "returned", None),
    ("keep-alives alone", {"payload_types": {"20": 2}}, WARN, "other_codec", PBX),
    ("a codec that changes", {"payload_types": {"8": 80, "18": 20}}, WARN, "other_codec", PBX),
    ("comfort noise alone", {"payload_types": {"13": 100}}, WARN, "no_speech", OPEN),
    ("key presses alone", {"payload_types": {"96": 100}}, WARN, "no_speech", OPEN),
    ("while it rang alone", {**NOTHING, "received": 500, "received_early": 500}, WARN, "only_before_answer", OPEN),
    ("while it rang alone, in an older report", {"received": 9, "received_early": 9}, WARN, "only_before_answer", OPEN),
    ("while it rang, too", {"received": 600, "received_early": 500, "received_after": 100}, PASS, "returned", None),
    ("25 of 100", {"received_after": 25, "payload_types": {"8": 25}, "silent_end_ms": 1480.0}, WARN, "stopped", OPEN),
    (
        "25 of 100, and comfort noise",
        {
            "received_after": 26,
            "payload_types": {"8": 25, "13": 1},
            "silent_end_ms": 1480.0,
            "ends_in_comfort_noise": True,
        },
        PASS,
        "returned",
        None,
    ),
    ("5 of 100", {"received_after": 5, "payload_types": {"8": 5}, "silent_end_ms": 1880.0}, WARN, "stopped", OPEN),
    ("begins late", {"payload_types": {"8": 40}, "first_packet_ms": 1200.0}, PASS, "returned", None),
    ("an echo that lost a tenth", {"tone_packets": 87, "tone_expected": 97}, WARN, "loss", OPEN),
    ("an echo of three packets", {"tone_packets": 1, "tone_expected": 3}, PASS, "returned", None),
    ("slower than it plays", {"behind_ms": 980.0, "payload_types": {"8": 50}}, WARN, "slow_stream", OPEN),
    ("STUN", {**NOTHING, "stun": 4}, WARN, "not_rtp", OPEN),
    ("noise", {**NOTHING, "other": 100, "rtcp": 1}, WARN, "not_rtp", OPEN),
    ("RTCP alone", {**NOTHING, "rtcp": 1}, WARN, "nothing_returned", OPEN),
    ("DTMF and comfort noise among it", {"payload_types": {"8": 80, "13": 10, "96": 10}}, PASS, "returned", None),
    ("30 ms", {"ptime_ms": 30.0}, WARN, "other_ptime", PBX),
    ("loss", {"loss_ratio": 0.05}, WARN, "loss", OPEN),
    ("jitter", {"jitter_ms": 80.0}, WARN, "jitter", OPEN),
    ("jitter of our own", {"jitter_ms": 80.0, "late_p95_ms": 40.0}, UNKNOWN, "own_pacing", HOST),
    ("few", {"received": 5, "payload_types": {"8": 5}}, UNKNOWN, "too_few", OPEN),
    ("withheld", {"withheld": "no_g711", "withheld_text": "no G.711", "sent": 0}, UNKNOWN, "withheld", PBX),
    ("ended at once", {"sent": 3, "received": 0, "sources": []}, UNKNOWN, "too_few", OPEN),
    ("ended after half a second", {**NOTHING, "sent": 25}, UNKNOWN, "too_few", OPEN),
    ("ended after a second", {**NOTHING, "sent": 50}, WARN, "nothing_returned", OPEN),
    ("rejected between", {**NOTHING, "icmp": [REJECTED]}, WARN, "nothing_returned", OPEN),
    ("not sent", {"sent": 0, "send_failure": "local_denied"}, UNKNOWN, "not_sent", HOST),
    ("ended before", {"sent": 0}, UNKNOWN, "not_sent", OPEN),
]


@pytest.mark.parametrize(
    ("change", "status", "reason", "domain"), [row[1:] for row in RTP], ids=[row[0] for row in RTP]
)
def test_rtp(change: dict[str, Any], status: Status, reason: str, domain: FaultDomain | None) -> None:
    note = Note(topic="pbx_rtp", text="", values=FLOWED | change)
    holds(judged(*ALIVE, answered(), note, rtp=True, **CALLED)["pbx.rtp"], status, reason, domain)


@pytest.mark.parametrize(
    ("named", "source", "change", "status", "reason"),
    [
        # Of the two networks that a PBX stands in, we see the inner one.
        (ITS_OWN, INSIDE, {}, UNKNOWN, "source_untranslated"),
        (ITS_OWN, INSIDE, {"loss_ratio": 0.05}, WARN, "loss"),
        (ITS_OWN, OTHER, {}, WARN, "other_source"),
        ("192.168.1.77", INSIDE, {}, WARN, "other_source"),
    ],
)
def test_audio_that_no_nat_translated(
    named: str, source: str, change: dict[str, Any], status: Status, reason: str
) -> None:
    came = {"sources": [STRANGER | {"address": source, "packets": 100}]}
    note = Note(topic="pbx_rtp", text="", values=FLOWED | came | change)
    call = naming(named, INSIDE)
    found = judged(*beside(call), call, note, address=INSIDE, rtp=True, **CALLED)["pbx.rtp"]
    holds(found, status, reason, PBX if reason == "other_source" else OPEN)


def test_nothing_returned_to_a_private_address_is_not_the_pbx() -> None:
    note = Note(topic="pbx_rtp", text="", values=FLOWED | {"received": 0, "sources": []})
    finding = judged(*ALIVE, answered(us="10.0.0.9"), note, rtp=True, **CALLED)["pbx.rtp"]
    holds(finding, UNKNOWN, "nothing_returned_to_private", OPEN)
    assert "10.0.0.9" in finding.summary


def test_something_else_than_rtp_came() -> None:
    note = Note(topic="pbx_rtp", text="", values=FLOWED | NOTHING | {"other": 7, "stun": 2})
    summary = judged(*ALIVE, answered(), note, rtp=True, **CALLED)["pbx.rtp"].summary
    assert "7 that cannot be read, 2 of STUN" in summary


@pytest.mark.parametrize(
    ("offer", "change", "status", "reason"),
    [
        (sdp(PCMA, address="10.0.0.77"), {"sources": [STRANGER | {"packets": 100}]}, UNKNOWN, "moved"),
        (sdp(PCMA, address="10.0.0.77"), NOTHING, UNKNOWN, "moved"),
        (sdp(PCMA, direction="sendonly"), {"silent_end_ms": 1500.0}, UNKNOWN, "moved"),
        (sdp(PCMA, address="10.0.0.77"), {}, PASS, "returned"),
        (sdp(PCMA), NOTHING, WARN, "nothing_returned"),
        (b"", NOTHING, WARN, "nothing_returned"),
    ],
)
def test_audio_that_the_pbx_moved(offer: bytes, change: dict[str, Any], status: Status, reason: str) -> None:
    note = Note(topic="pbx_rtp", text="", values=FLOWED | change)
    call = up().asks("INVITE", body=offer).sends("BYE").hears(200, to="BYE")
    found = judged(*ALIVE, call, note, rtp=True, **CALLED)["pbx.rtp"]
    holds(found, status, reason, None if status is PASS else OPEN)


def test_who_rejects_the_audio_is_named() -> None:
    note = Note(topic="pbx_rtp", text="", values=FLOWED | NOTHING | {"icmp": [REJECTED]})
    summary = judged(*ALIVE, answered(), note, rtp=True, **CALLED)["pbx.rtp"].summary
    assert "10.0.0.1 answers by ICMP (admin_prohibited)" in summary


def test_a_pbx_that_only_listens_owes_no_audio() -> None:
    note = Note(topic="pbx_rtp", text="", values=FLOWED | NOTHING)
    call = answered(sdp(PCMA, PCMU, EVENT, direction="recvonly"))
    holds(judged(*ALIVE, call, note, rtp=True, **CALLED)["pbx.rtp"], UNKNOWN, "receives_only", OPEN)


def test_key_presses_by_the_number_of_the_answer() -> None:
    note = Note(topic="pbx_rtp", text="", values=FLOWED | {"payload_types": {"8": 90, "101": 10}})
    call = answered(sdp(PCMA, PCMU, telephone_event(101)))
    holds(judged(*ALIVE, call, note, rtp=True, **CALLED)["pbx.rtp"], PASS, "returned", None)


def test_rtp_without_a_call() -> None:
    assert "pbx.rtp" not in judged(*ALIVE, answered(), **CALLED)
    holds(judged(*ALIVE, Talk().hears(486), rtp=True, **CALLED)["pbx.rtp"], UNKNOWN, "no_call", OPEN)


def test_any_note_is_survived() -> None:
    for values in (
        {},
        {"sent": "x"},
        {"sent": True},
        FLOWED | {"sources": [1], "payload_types": {"x": 1}, "icmp": [1]},
    ):
        note = Note(topic="pbx_rtp", text="", values=values)
        assert judged(*ALIVE, answered(), note, rtp=True, **CALLED)["pbx.rtp"].status


# --- hostile words


def test_hostile_words_reach_nobody() -> None:
    evil = "\u202e\x1b[2J[red]x"
    octets = b"\xe2\x80\xae\x1b[2J[red]x"

    def change(data: bytes) -> bytes:
        return data.replace(b"EVIL", octets)

    headers = [("Server", "EVIL"), ("Warning", '399 x "EVIL"'), ("Reason", "EVIL")]
    contact = "<sip:EVIL@192.168.0.1:5061;transport=tcp>"
    body = sdp(PCMA).replace(b"PCMA", b"EVIL")
    for status in (200, 403, 404, 486, 503):
        asked = options(lambda r, status=status: change(says(status, "EVIL", *headers)(r)))  # type: ignore[misc]
        call = (
            Talk().hears(183, body=body).hears(status, *headers, body=body, contact=contact, change=(b"EVIL", octets))
        )
        for finding in judged(connection(), asked, call, rtp=True, **CALLED).values():
            for text in (finding.summary, finding.remedy or "", finding.settle_by or ""):
                assert text.isprintable()
                assert evil[0] not in text
