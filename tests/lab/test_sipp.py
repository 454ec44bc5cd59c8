"""SIPp as the far end: every way of writing an answer that RFC 3261 allows, and some that it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest

from lab import Lab, Scenario
from lab.laboratory import COMMAND, find_program
from lab.scenario import IN2_ADDRESS, SIP_PORT
from lab.sipp import CALL_ID, CSEQ, FROM, LENGTH, TO, VIA, Sipp, answer, listening_sipp, usual
from lab.verdicts import Case, check_report, differences, keep, told

REQUEST = """<recv request="OPTIONS"><action>
<ereg regexp="[^ ].*" search_in="hdr" header="Via:" assign_to="via"/>
<ereg regexp="[^ ].*" search_in="hdr" header="From:" assign_to="from"/>
<ereg regexp="[^ ].*" search_in="hdr" header="To:" assign_to="to"/>
<ereg regexp="[^ ].*" search_in="hdr" header="CSeq:" assign_to="cseq"/>
<ereg regexp="SIP/2.0/TCP [^;]*" search_in="hdr" header="Via:" assign_to="sent_by"/>
</action></recv>
<Reference variables="via,from,to,cseq,sent_by"/>"""
"""Takes the request apart, for answers that do not repeat its lines as they are."""

SDP = "\n".join(
    ("v=0", "o=- 1 1 IN IP4 182.76.143.61", "s=-", "c=IN IP4 182.76.143.61", "t=0 0", "m=audio 10000 RTP/AVP 8")
)


@dataclass(frozen=True)
class Peer:
    """What SIPp sends after a request, and what has to be said of it: status, reason, fault domain, confidence."""

    sends: str
    verdict: str
    says: tuple[str, ...] = ()


PASS = "pass answered - proven"
ODD = "warn odd_answer undetermined possible"

PEERS = {
    # --- by the book
    "plain": Peer(usual("200 OK"), PASS),
    "trying-first": Peer(
        answer("100 Trying", VIA, FROM, "[last_To:]", CALL_ID, CSEQ, LENGTH)
        + '<pause milliseconds="200"/>'
        + usual("200 OK"),
        PASS,
    ),
    "compact": Peer(
        answer("200 OK", "v: [$via]", "f: [$from]", "t: [$to];tag=1", "i: [call_id]", "CSeq: [$cseq]", "l: 0"), PASS
    ),
    "folded": Peer(
        answer(
            "200 OK",
            "Via:\n\\x20[$via]",
            "From: [$from]",
            "To:\n\\x20\\x20[$to]\n\\x20;tag=1",
            CALL_ID,
            "CSeq:\n\\x20[$cseq]",
            "Allow: INVITE,\n\\x20ACK, BYE,\n\\x20OPTIONS",
            LENGTH,
        ),
        PASS,
    ),
    "letter-case-and-blanks": Peer(
        answer(
            "200 OK",
            "VIA:    [$via]",
            "from:[$from]",
            "tO:  [$to]  ;  tag=1",
            "CALL-id:   [call_id]  ",
            "cseq:   [$cseq]",
            "CONTENT-LENGTH:   0",
        ),
        PASS,
    ),
    "blank-before-colon": Peer(
        answer("200 OK", "Via : [$via]", FROM, TO, "Call-ID : [call_id]", "CSeq : [$cseq]", "Content-Length : 0"), PASS
    ),
    "body": Peer(usual("200 OK", "Content-Type: application/sdp", body=SDP), PASS),
    "utf-8-reason": Peer(usual("200 D\\xC3\\xA9j\\xC3\\xA0 vu"), PASS),
    "404": Peer(usual("404 Not Found"), PASS),
    # --- refused
    "403": Peer(usual("403 Forbidden"), "fail forbidden provider likely"),
    "503": Peer(
        usual("503 Service Unavailable", "Retry-After: 120"),
        "fail service_unavailable provider likely",
        ("Retry-After: 120",),
    ),
    # --- against the rules
    "other-branch": Peer(
        answer("200 OK", "Via: [$sent_by];branch=z9hG4bK-other", FROM, TO, CALL_ID, CSEQ, LENGTH),
        "fail altered undetermined possible",
        ("Via branch",),
    ),
    "no-cseq": Peer(answer("200 OK", VIA, FROM, TO, CALL_ID, LENGTH), "fail mismatch undetermined possible"),
    "no-to": Peer(answer("200 OK", VIA, FROM, CALL_ID, CSEQ, LENGTH), ODD, ("header_missing",)),
    "no-via": Peer(answer("200 OK", FROM, TO, CALL_ID, CSEQ, LENGTH), "fail altered undetermined possible"),
    "latin-1-reason": Peer(usual("200 D\\xE9j\\xE0 vu"), ODD, ("not_utf8",)),
    "no-content-length": Peer(answer("200 OK", VIA, FROM, TO, CALL_ID, CSEQ), ODD, ("content_length_missing",)),
    # It is not ours, so somebody wrote it: that is for sip.alg to say.
    "two-vias": Peer(
        answer("200 OK", VIA, "Via: SIP/2.0/TCP 10.1.1.1:5060;branch=z9hG4bK-1", FROM, TO, CALL_ID, CSEQ, LENGTH),
        f"{PASS}\nsip.alg - warn second_via undetermined possible",
    ),
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One place where nothing listens on the SIP port until SIPp does."""
    if find_program("sipp") is None:
        pytest.skip("no SIPp here (Debian: sip-tester)")
    with Lab(Scenario(site="router", in2=None)) as built:
        yield built


def sipp(lab: Lab, name: str, sends: str) -> AbstractContextManager[Sipp]:
    """SIPp listens at the first place, and answers every OPTIONS with `sends`."""
    return listening_sipp(lab, name, f"{REQUEST}\n{sends}", node="in2", address=IN2_ADDRESS, port=SIP_PORT)


@pytest.mark.parametrize("name", list(PEERS))
def test_sipp(lab: Lab, name: str) -> None:
    peer = PEERS[name]
    with sipp(lab, name, peer.sends):
        done = lab.run([COMMAND, "sip", "--json", "--fqdn", IN2_ADDRESS])
    keep(f"sipp-{name}", done.stdout)
    assert "Traceback" not in done.stderr, done.stderr
    report = json.loads(done.stdout)
    check_report(report)
    findings = f"sip.connect * pass connected - proven\nsip.options * {peer.verdict}"
    wrong = differences(report, Case(Scenario(), None, findings, says=peer.says))
    assert not wrong, "\n".join([*wrong, "", *told(report)])
