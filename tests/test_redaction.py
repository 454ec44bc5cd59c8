"""Redacted reports identify nobody, and their facts give the same verdicts."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from typing import Any

import pytest
from cli.reports import make_report
from hypothesis import example, given, settings
from hypothesis import strategies as st
from render.fixture import make_report as make_rich_report

from vsipcheck.checks.registry import CHECKS
from vsipcheck.model import (
    AddressSeen,
    CheckEvidence,
    Exchange,
    Finding,
    Hop,
    Interface,
    Lookup,
    Message,
    Note,
    Report,
    Route,
    Settings,
    Status,
    UnreadFact,
)
from vsipcheck.profiles import DEFAULT_PROFILE, load_profile
from vsipcheck.reading import read_report
from vsipcheck.redaction import Redactor, redact
from vsipcheck.render import FORMATS, RenderOptions, render
from vsipcheck.runner import rejudge, run
from vsipcheck.sim import SCENARIOS, open_simulation
from vsipcheck.wire.ip import classify
from vsipcheck.wire.text import escape, unescape

KEY = b"a key for tests"
BODY = "v=0\r\no=- 1 1 IN IP4 192.168.1.50\r\nc=IN IP4 192.168.1.50\r\n"
ANSWER = (
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.168.1.50:40000;branch=z9hG4bK1;received=49.36.10.7;rport=40000\r\n"
    'From: "A" <sip:+919876543210@acmecorp1.pstn.exotel.com>;tag=1\r\nTo: <sip:9876543210@pbx.customer.lan>;tag=2\r\n'
    "Call-ID: 5@192.168.1.50\r\nCSeq: 1 OPTIONS\r\nServer: sbc-7.customer.lan\r\nContact: <sip:1001@10.1.2.3:5060>\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
)
SECRETS = (
    *("192.168.1.50", "192.168.1.1", "10.1.2.3", "100.64.3.4", "fd12:3456::7", "fe80::1234"),
    *("9876543210", "acmecorp1", "customer.lan", "mail-host-3", "alice", "1001@"),
)
PUBLIC = ("49.36.10.7", "49.36.10.1")


def planted() -> Report:
    """What identifies the customer, in every kind of place."""
    exchange = Exchange(
        id="sip.1",
        protocol="sip",
        purpose="options",
        connection=None,
        name="pbx.customer.lan",
        transport="tcp",
        local_address="192.168.1.50",
        local_port=40000,
        remote_address="182.76.143.101",
        remote_port=5070,
        messages=(
            Message(sent=False, offset_ms=1, text=escape(ANSWER.encode()), size=len(ANSWER)),
            Message(sent=False, offset_ms=2, text=escape(b"\x00192.168.1.50\xff10.1.2.3\\192.168.1.1"), size=35),
        ),
        detail="first bytes: \\x00192.168.1.50",
    )
    facts: tuple[Any, ...] = (
        exchange,
        Interface(id="nat.1", name="eth0", address="192.168.1.50", netmask="255.255.255.0"),
        Interface(id="nat.2", name="eth0", address="fd12:3456::7"),
        Interface(id="nat.3", name="eth0", address="fe80::1234%eth0"),
        Route(id="nat.4", destination="182.76.143.61", source_address="192.168.1.50", gateway="192.168.1.1"),
        AddressSeen(id="nat.5", method="stun", source="google", address="49.36.10.7", local_address="192.168.1.50"),
        Hop(
            id="nat.6", target="182.76.143.61", series="s", ttl=2, ports=(1,), sent=1, answered=1, address="49.36.10.1"
        ),
        Hop(
            id="nat.7", target="182.76.143.61", series="s", ttl=3, ports=(1,), sent=1, answered=1, address="100.64.3.4"
        ),
        Lookup(id="nat.8", name="sbc-7.customer.lan", record_type="A", purpose="trunk", server="192.168.1.1"),
        Note(id="nat.9", topic="x", text="50.1.168.192.in-addr.arpa", values={"192.168.1.1": ["10-1-2-3.dyn", 7]}),
        UnreadFact({"kind": "new", "id": "nat.10", "where": {"address": "10.1.2.3", "who": "+91 98765 43210"}}),
    )
    finding = Finding(
        id="sip.options",
        target="pbx.customer.lan@10.1.2.3",
        status=Status.FAIL,
        reason="silent_after_accept",
        summary="192.168.1.50, ::ffff:192.168.1.50 and [fd12:3456::7]:5060 of +919876543210 (09876543210).",
        remedy="Tell mail-host-3 about acmecorp1.",
    )
    return make_report(
        settings=Settings(checks=("sip",), account_sid="acmecorp1", expect_ip="49.36.10.7"),
        findings=(finding,),
        evidence={
            "sip": CheckEvidence(
                version=1,
                offset_ms=0,
                duration_ms=1,
                error='Traceback\n  File "/home/alice/x.py", line 1',
                facts=facts,
            )
        },
    )


def hidden(**options: Any) -> Report:
    return redact(planted(), host_names=["mail-host-3"], numbers=["+91 98765-43210"], key=KEY, **options)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("public", [False, True])
def test_no_secret_is_left_in_any_format(format: str, public: bool) -> None:
    text = render(hidden(public=public), format, RenderOptions(verbose=True))
    compact = re.sub(r"[\s-]", "", text) if format != "json" else text
    for secret in SECRETS + (PUBLIC if public else ()):
        assert secret not in text
        assert secret not in compact
    for other in ("10-1-2-3", "50.1.168.192", "98765 43210", "10.1.2.3"):
        assert other not in text


def test_the_public_address_stays_unless_asked() -> None:
    text = render(hidden(), "json")
    assert all(address in text for address in PUBLIC)
    shown = hidden(public=True)
    assert shown.redacted
    address = str(shown.settings.expect_ip)
    assert classify(address) == "global"
    facts = shown.evidence["sip"].facts
    assert facts[5].address == address  # type: ignore[union-attr]
    # Its neighbour, a router of the same /24, is still its neighbour.
    hop = facts[6].address  # type: ignore[union-attr]
    assert hop != address
    assert hop is not None
    assert hop.rpartition(".")[0] == address.rpartition(".")[0]


def test_values_are_the_same_everywhere_and_of_their_kind() -> None:
    report = hidden()
    exchange, interface, six, link, route = report.evidence["sip"].facts[:5]
    assert isinstance(exchange, Exchange)
    assert isinstance(interface, Interface)
    assert isinstance(route, Route)
    host = ipaddress.ip_address(interface.address)
    assert host in ipaddress.ip_network("192.168.0.0/16")
    assert interface.netmask == "255.255.255.0"
    assert exchange.local_address == route.source_address == interface.address
    assert str(route.gateway).rpartition(".")[0] == interface.address.rpartition(".")[0]
    assert six.address.startswith("fd") or six.address.startswith("fc")  # type: ignore[union-attr]
    assert link.address.startswith("fe80:")  # type: ignore[union-attr]
    assert link.address.endswith("%eth0")  # type: ignore[union-attr]
    text = unescape(exchange.messages[0].text).decode()
    assert f"Via: SIP/2.0/TCP {interface.address}:40000;branch=z9hG4bK1;received=49.36.10.7" in text
    number = re.search(r"sip:\+91(\d{10})@", text)
    assert number is not None
    assert f"To: <sip:{number[1]}@{exchange.name}>" in text
    assert f"+91{number[1]} (0{number[1]})" in report.findings[0].summary
    sid = report.settings.account_sid
    assert f"@{sid}.pstn.exotel.com" in text
    assert str(report.findings[0].target).startswith(f"{exchange.name}@10.")
    assert report.findings[0].id == "sip.options"
    assert report.findings[0].reason == "silent_after_accept"
    assert report.profile == planted().profile
    assert exchange.remote_address == "182.76.143.101"


def test_the_content_length_fits_the_body_again() -> None:
    for message, before in ((hidden().evidence["sip"].facts[0].messages[0].text, ANSWER),):  # type: ignore[union-attr]
        text = unescape(message).decode()
        assert text != before
        length = re.search(r"Content-Length: (\d+)", text)
        assert length is not None
        assert int(length[1]) == len(text.partition("\r\n\r\n")[2])


def test_it_is_drawn_anew_each_time() -> None:
    one, other = redact(planted()), redact(planted())
    assert one.evidence["sip"].facts[0] != other.evidence["sip"].facts[0]


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_addresses_keep_their_class_and_what_they_share(one: Any, other: Any) -> None:
    redactor = Redactor(key=KEY)
    hidden_one, hidden_other = (ipaddress.ip_address(redactor.text(str(address))) for address in (one, other))
    assert classify(str(hidden_one)) is classify(str(one))
    assert (hidden_one == hidden_other) == (one == other)


@settings(deadline=None)
@example("fe80::/10", 0, 1 << 64)  # one inside the /64 that link-local addresses use, one beyond
@given(
    st.sampled_from(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10"]),
    st.integers(min_value=0),
    st.integers(min_value=0),
)
def test_prefixes_are_kept_bit_by_bit(block: str, one: int, other: int) -> None:
    network = ipaddress.ip_network(block)
    addresses = [network[number % network.num_addresses] for number in (one, other)]
    redactor = Redactor(key=KEY)
    hidden_ones = [ipaddress.ip_address(redactor.text(str(address))) for address in addresses]
    assert all(address in network for address in hidden_ones)
    assert (int(addresses[0]) ^ int(addresses[1])).bit_length() == (
        int(hidden_ones[0]) ^ int(hidden_ones[1])
    ).bit_length()


@pytest.mark.parametrize(
    "text",
    [
        *("", "no address", "8.8.8.8 and 127.0.0.1", "SIP/2.0 200 OK", "1.2.3", "12:34:56", "a::b::c", "999.1.1.1"),
        *("pstn.in2.exotel.com", "192.0.2.1", "2001:db8::1", "255.255.255.0", "0.0.0.0/0", "vsipcheck 0.1.0"),
        "2026-11-25T02:41:02.898Z",
    ],
)
def test_what_identifies_nobody_stays(text: str) -> None:
    redactor = Redactor(key=KEY, public=True)
    redactor.learn(planted())
    assert redactor.text(text) == text


@settings(deadline=None)  # a cold start is no fault
@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    redactor = Redactor(key=KEY, public=True, numbers=[text], account_sids=[text], host_names=[text])
    redactor.learn(planted())
    redactor.text(text)


def test_hostile_texts_come_to_an_end() -> None:
    """An expression that tries everything would take hours here."""
    redactor = Redactor(key=KEY)
    redactor.learn(planted())
    for piece in ("1.", "1:", "a.", "::", "sip:1", "1-", "\\x00", "a" * 63 + "."):
        redactor.text(piece * (200_000 // len(piece)))


def test_every_fact_of_the_rich_report_is_walked() -> None:
    report = redact(make_rich_report(), public=True, key=KEY)
    assert [len(recorded.facts) for recorded in report.evidence.values()] == [
        len(recorded.facts) for recorded in make_rich_report().evidence.values()
    ]
    assert read_report(render(report, "json").encode()).redacted


def simulated(name: str) -> Report:
    async def measured() -> Report:
        profile = load_profile(DEFAULT_PROFILE)
        async with open_simulation(SCENARIOS[name], profile) as network:
            return await run(network, profile, Settings(checks=tuple(CHECKS), account_sid="acmecorp1"))

    return asyncio.run(measured())


def verdicts(report: Report) -> list[tuple[Any, ...]]:
    return [(one.id, one.target, one.status, one.reason, one.fault_domain, one.confidence) for one in report.findings]


@pytest.mark.parametrize("name", ["healthy", "cgnat", "double-nat", "sip-alg-repaired", "dns-hijack"])
def test_redacted_facts_give_the_same_verdicts(name: str) -> None:
    report = simulated(name)
    assert verdicts(rejudge(report)) == verdicts(report)
    for public in (False, True):
        shown = redact(report, public=public, key=KEY)
        again = rejudge(shown)
        assert verdicts(again) == verdicts(shown)
        assert [one[2:] for one in verdicts(again)] == [one[2:] for one in verdicts(report)]
        assert again.overall == report.overall
        assert [(row.id, row.status) for row in again.checklist] == [(row.id, row.status) for row in report.checklist]


CONFIGURATION = """\
[general]
externip = 49.36.10.7
localnet = 192.168.1.0/255.255.255.0
#include sip-custom.conf
[exotel]
host = pstn.in2.exotel.com
fromdomain = acmecorp1.pstn.exotel.com
outboundproxy = sbc-7.customer.lan
exten => 01140000000,1,Dial(SIP/1001)
exten => +911140000000,1,Dial(SIP/1001)
"""


def test_files_and_what_was_asked_of_a_pbx_are_hidden_too() -> None:
    file = Note(id="config.1", topic="file", text="sip.conf", values={"path": "sip.conf", "text": CONFIGURATION})
    evidence = {"config": CheckEvidence(version=1, offset_ms=0.0, duration_ms=1.0, error=None, facts=(file,))}
    asked = Settings(
        checks=("config", "pbx"),
        pbx="pbx.customer.lan:5061",
        invite="+911140000001",
        caller="+919876543210",
        exophones=("+911140000002",),
        public_address="49.36.10.7",
    )
    found = Finding(
        id="config.external_address",
        target="sip.conf",
        status=Status.FAIL,
        reason="r",
        summary="sip.conf says 49.36.10.7, dialled 01140000000 at pbx.customer.lan:5061",
        patch="--- sip.conf\n+++ sip.conf\n@@ -1,2 +1,2 @@\n [general]\n-externip = 49.36.10.7\n+externip = "
        "49.36.10.1\n",
    )
    report = make_report(settings=asked, evidence=evidence, findings=(found,))
    shown = render(redact(report, public=True, key=KEY), "json", RenderOptions())
    for secret in ("49.36.10", "192.168.1.0", "acmecorp1", "customer.lan", "1140000000", "9876543210", "114000000"):
        assert secret not in shown, secret
    for kept in ("sip.conf", "sip-custom.conf", "pstn.in2.exotel.com", ":5061", "SIP/1001"):
        assert kept in shown, kept


def test_addresses_in_a_trace_are_hidden_but_for_the_providers() -> None:
    text = "INVITE sip:a@45.79.11.22:5061 SIP/2.0\nVia: SIP/2.0/TCP 45.79.11.22:5061\n\nc=IN IP4 182.76.143.61\n"
    file = Note(id="message.1", topic="file", text="call.txt", values={"path": "call.txt", "text": text})
    evidence = {"message": CheckEvidence(version=1, offset_ms=0.0, duration_ms=1.0, error=None, facts=(file,))}
    report = make_report(settings=Settings(checks=("message",)), evidence=evidence)
    shown = render(redact(report, public=True, key=KEY), "json", RenderOptions())
    assert "45.79.11" not in shown
    assert "c=IN IP4 182.76.143.61" in shown
