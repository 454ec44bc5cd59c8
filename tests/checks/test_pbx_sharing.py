"""What a PBX showed, in redacted reports and in tickets: hidden, whole, and judged as before."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import msgspec
import pytest
from checks.pbx_facts import (
    ALIVE,
    BOTH,
    FLOWED,
    INSIDE,
    NUMBER,
    OK,
    PROFILE,
    PUBLIC,
    Talk,
    answered,
    connection,
    evidence_of,
    options,
    sdp,
)
from cli.reports import make_report

from vsipcheck.model import Failure, Lookup, Note, Report, Settings
from vsipcheck.redaction import redact
from vsipcheck.render import FORMATS, RenderOptions, render
from vsipcheck.runner import rejudge
from vsipcheck.ticket import Case, build_ticket, conversations, sip_text
from vsipcheck.wire.sdp import PCMA, PCMU, telephone_event

MEDIA, V6 = "49.36.10.99", "2600:1f18::1"


def report_of(*given: Any, address: str = PUBLIC, **settings: Any) -> Report:
    values = {"invite": NUMBER} | settings
    chosen = Settings(checks=("pbx",), pbx=f"{address}:5061", **values)
    return rejudge(make_report(profile=PROFILE, settings=chosen, evidence=evidence_of(*given), findings=()))


def beside(media: str, *more: Any, **settings: Any) -> Report:
    """A call to a PBX from its own network. It names `media` for its audio and, where that is public, for itself."""
    contact = {} if media == INSIDE else {"contact": f"<sip:x@{media}:5061;transport=tcp>"}
    call = answered(sdp(PCMA, PCMU, address=media), address=INSIDE, **contact)
    return report_of(connection(address=INSIDE), options(OK, address=INSIDE), call, *more, address=INSIDE, **settings)


def verdicts(report: Report) -> list[tuple[str, str, str]]:
    return [(each.id, each.status, each.reason) for each in report.findings]


FROM_INSIDE = {"address": INSIDE, "port": 12000, "packets": 100, "as_answered": False}
SEVERAL: list[tuple[str, Report]] = [
    ("a whole call", report_of(*ALIVE, answered())),
    ("another media address", report_of(*ALIVE, answered(sdp(PCMA, PCMU, telephone_event(96), address=MEDIA)))),
    ("private media", report_of(*ALIVE, answered(sdp(PCMA, address="192.168.7.7")))),
    ("a private Contact", report_of(*ALIVE, answered(contact="<sip:x@10.1.2.3:5061;transport=tcp>"))),
    (
        "a Contact that is private by its maddr",
        report_of(*ALIVE, answered(contact=f"<sip:x@{PUBLIC}:5061;transport=tcp;maddr=10.1.2.3>")),
    ),
    ("inside", beside(INSIDE)),
    ("a public address inside, another known", beside(MEDIA, expect_ip=PUBLIC)),
    ("its own public address inside", beside(MEDIA, expect_ip=MEDIA)),
    (
        "IPv6, spelled otherwise",
        report_of(
            connection(address=V6),
            options(OK, address=V6),
            answered(
                sdp(PCMA, PCMU, address="2600:1F18:0::1"),
                address=V6,
                contact="<sip:x@[2600:1F18:0:0::1]:5061;transport=tcp>",
            ),
            address=f"[{V6}]",
        ),
    ),
    ("mapped", report_of(*ALIVE, answered(sdp(PCMA, address=f"::ffff:{PUBLIC}")))),
    ("the answer in the 183 alone", report_of(*ALIVE, Talk().hears(183, body=BOTH).hears(200).over())),
    (
        "audio that no NAT translated",
        beside(MEDIA, Note(topic="pbx_rtp", text="", values=FLOWED | {"sources": [FROM_INSIDE]}), rtp=True),
    ),
    # Extensions that are codes of SIP, too.
    ("extension 200", report_of(*ALIVE, answered(), invite="200")),
    ("extension 102", report_of(*ALIVE, answered(), invite="102")),
]


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("report", [row[1] for row in SEVERAL], ids=[row[0] for row in SEVERAL])
def test_redacted_facts_give_the_same_verdicts(report: Report, public: bool) -> None:
    assert report.findings
    assert verdicts(rejudge(redact(report, public=public, key=b"k"))) == verdicts(report)


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_nothing_of_the_pbx_is_left(format: str) -> None:
    lookup = Lookup(name="pbx.acme.in", record_type="A", purpose="pbx", server=None, addresses=(PUBLIC,))
    call = answered(sdp(PCMA, PCMU, address=MEDIA))
    flow = Note(topic="pbx_rtp", text="", values={"sources": [{"address": MEDIA, "port": 12000}]})
    named = [msgspec.structs.replace(each, name="pbx.acme.in") for each in ALIVE if not isinstance(each, Note)]
    report = report_of(lookup, *named, call, flow, address="pbx.acme.in")
    text = render(redact(report, public=True, key=b"k"), format, RenderOptions(verbose=True))
    for secret in (PUBLIC, MEDIA, NUMBER, NUMBER[-10:], "acme.in"):
        assert secret not in text


def test_a_ticket_holds_the_calls() -> None:
    report = report_of(
        connection(),
        msgspec.structs.replace(options(OK), connection="pbx.1"),
        answered(),
        connection(Failure.REFUSED, attempt=4, local_address=None),
    )
    text = sip_text(report)
    assert "pbx_options" in text
    assert f"INVITE sip:{NUMBER}@" in text
    assert f"no connection to {PUBLIC}:5061" in text
    met = list(conversations(report))
    assert {(each.transport, each.server) for each in met} == {("tcp", (PUBLIC, 5061))}
    with zipfile.ZipFile(io.BytesIO(build_ticket(report, Case()))) as archive:
        assert b"INVITE sip:" in archive.read("sip.pcap")
