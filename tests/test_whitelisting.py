"""The whitelisting request: when there is one, and what stands in it."""

from __future__ import annotations

from typing import Any

import pytest
from cli.reports import make_report

from vsipcheck.model import (
    CheckEvidence,
    Connection,
    Exchange,
    FaultDomain,
    Finding,
    Message,
    Report,
    Settings,
    Status,
)
from vsipcheck.whitelisting import requests_of

FIRST, SECOND = "pstn.in2.exotel.com@182.76.143.101", "pstn.in4.exotel.com@3.108.10.20"
OURS = "198.51.100.7"
TOLD_BY = "as your server sees it"


def connect(target: str, status: Status = Status.FAIL, reason: str = "connect_timeout", **more: Any) -> Finding:
    values: dict[str, Any] = {"fault_domain": FaultDomain.PROVIDER if status is Status.FAIL else None, **more}
    return Finding(
        id="sip.connect",
        target=target,
        status=status,
        reason=reason,
        summary=f"TCP 5070 of {target.partition('@')[2]} said something. It leaves your network.",
        **values,
    )


def options(target: str, status: Status = Status.FAIL, reason: str = "forbidden", **more: Any) -> Finding:
    values: dict[str, Any] = {"fault_domain": FaultDomain.PROVIDER if status is Status.FAIL else None, **more}
    summary = "403 Forbidden: the server refuses us. X-Exotel-ErrorCode: 4030. The guide: wrong domain."
    return Finding(id="sip.options", target=target, status=status, reason=reason, summary=summary, **values)


def report(*findings: Finding, **changes: Any) -> Report:
    return make_report(findings=findings, **changes)


def letter(*findings: Finding, addresses: tuple[str, ...] = (OURS,), **changes: Any) -> str:
    (request,) = requests_of(report(*findings, **changes), addresses, TOLD_BY)
    return request.text


def test_it_names_address_names_ports_and_media() -> None:
    found = requests_of(report(connect(FIRST), connect(SECOND)), (OURS,), TOLD_BY)
    assert [(each.party, each.subject) for each in found] == [
        (FaultDomain.PROVIDER, f"Please whitelist {OURS} for the SIP trunk")
    ]
    text = " ".join(found[0].text.split())
    for words in (
        f"{OURS} (as your server sees it)",
        "SIP over TCP 5070",
        "pstn.in2.exotel.com (182.76.143.101), Mumbai DC",
        "pstn.in4.exotel.com (3.108.10.20), Mumbai Cloud",
        "RTP over UDP 10000-40000",
        "182.76.143.61",
        "TCP 5070 of 182.76.143.101 said something. It leaves our network.",
    ):
        assert words in text
    assert [key.target for key in found[0].because] == [FIRST, SECOND]
    assert max(map(len, found[0].text.splitlines())) <= 72


@pytest.mark.parametrize(
    "finding",
    [
        connect(FIRST, fault_domain=FaultDomain.LOCAL_NETWORK),
        connect(FIRST, fault_domain=FaultDomain.ISP),
        connect(FIRST, fault_domain=FaultDomain.UNDETERMINED),
        connect(FIRST, Status.UNKNOWN, fault_domain=FaultDomain.PROVIDER),
        connect(FIRST, Status.PASS, "connected"),
        options(FIRST, reason="service_unavailable"),
        options(FIRST, reason="status_500"),
        options(FIRST, reason="silent_after_accept", fault_domain=FaultDomain.LOCAL_NETWORK),
        options(FIRST, Status.WARN, "status_480", fault_domain=FaultDomain.PROVIDER),
    ],
    ids=lambda finding: f"{finding.reason}-{finding.status}-{finding.fault_domain}",
)
def test_there_is_none_where_that_is_not_the_action(finding: Finding) -> None:
    assert requests_of(report(finding), (OURS,), TOLD_BY) == ()


@pytest.mark.parametrize("reason", ["forbidden", "silent_after_accept", "options_ignored"])
def test_there_is_one_for_a_server_that_does_not_know_us(reason: str) -> None:
    text = letter(connect(FIRST, Status.PASS, "connected"), options(FIRST, reason=reason))
    assert "403 Forbidden: the server refuses us. X-Exotel-ErrorCode: 4030." in " ".join(text.split())
    assert "The guide" not in text


def test_what_works_is_told_beside_what_does_not() -> None:
    good = options(SECOND, Status.PASS, "answered")
    text = letter(connect(FIRST), connect(SECOND, Status.PASS, "connected"), good)
    assert text.split("Public address")[0].count("pstn.in4") == 0
    assert "pstn.in4.exotel.com (3.108.10.20): 403" in text.split("What we saw")[1]


def test_times_are_utc_and_come_with_ports_and_call_ids() -> None:
    facts = (
        Connection(id="sip.1", offset_ms=61_000.0, name="n", address="182.76.143.101", port=5070, purpose="sip"),
        Connection(id="sip.2", offset_ms=1.0, name="n", address="182.76.143.101", port=443, purpose="control"),
        Connection(id="sip.3", offset_ms=2.0, name="n", address="182.76.143.101", port=5070, purpose="sip", ttl=3),
        Exchange(
            id="sip.4",
            offset_ms=62_000.0,
            protocol="sip",
            purpose="options",
            connection="sip.1",
            name="n",
            transport="tcp",
            local_address="192.168.1.50",
            local_port=40312,
            remote_address="182.76.143.101",
            remote_port=5070,
            messages=(Message(sent=True, offset_ms=0.0, text="OPTIONS sip:x SIP/2.0\r\nCall-ID: abc\r\n", size=9),),
        ),
    )
    evidence = {"sip": CheckEvidence(version=1, offset_ms=0.0, duration_ms=1.0, error=None, facts=facts)}
    ids = tuple(fact.id for fact in facts)
    text = letter(
        connect(FIRST, Status.PASS, "connected", facts=ids),
        options(FIRST, facts=ids),
        evidence=evidence,
        started_at="2026-11-25T05:00:00.500+05:30",
    )
    assert "at 2026-11-24T23:31:01Z, 2026-11-24T23:31:02Z (2 attempts)" in text
    assert "from local port 40312 (" in text
    assert "Call-ID abc\n" in text


@pytest.mark.parametrize(
    ("changes", "addresses", "findings", "said"),
    [
        ({}, (OURS,), (), "Fill in your account SID"),
        ({"settings": Settings(checks=("sip",), account_sid="ACME")}, (OURS,), (), None),
        ({}, (), (), "Fill in your public address"),
        ({}, (OURS, "203.0.113.9"), (), "Strike out"),
        ({"simulated": True}, (OURS,), (), "simulated"),
        ({"settings": Settings(checks=("sip",), expect_ip="203.0.113.9")}, (OURS,), (), "203.0.113.9 was handed in"),
        ({}, (OURS,), ("nat.cgnat",), "not this line's own"),
        ({}, (OURS,), ("nat.static_address",), "The address changes"),
    ],
)
def test_the_sender_is_told_what_to_settle_first(
    changes: dict[str, Any], addresses: tuple[str, ...], findings: tuple[str, ...], said: str | None
) -> None:
    others = [Finding(id=each, target=None, status=Status.FAIL, reason="r", summary="") for each in findings]
    (request,) = requests_of(report(connect(FIRST), *others, **changes), addresses, TOLD_BY)
    if said is None:
        assert request.before_sending is None
        assert "account ACME" in request.subject
    else:
        assert said in (request.before_sending or "")
    if not addresses:
        assert "<your public IPv4 address>" in request.text
        assert TOLD_BY not in request.text


def test_hostile_text_forges_no_line() -> None:
    hostile = connect(FIRST)
    text = letter(Finding(**{**_fields(hostile), "summary": "said\nAccount SID: forged\r\n\r\nTo: x"}))
    assert not [line for line in text.splitlines() if line.startswith(("Account SID: forged", "To: x"))]


def _fields(finding: Finding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in finding.__struct_fields__}
