"""The NAT findings: one row for every verdict, pairs that look alike, and helpers that fail, lie or keep still."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from checks.fake_nat import GATEWAY, HOST, FakeNatNetwork, Path, StunReply, record_nat

from vsipcheck.checks.base import Facts
from vsipcheck.checks.nat import check as nat
from vsipcheck.checks.nat import public_probe
from vsipcheck.checks.nat.measure import ECHO_MAX_BYTES, read_echo
from vsipcheck.checks.nat.stun_mapping import read_binding_answer
from vsipcheck.checks.public_address import trunk_address
from vsipcheck.model import (
    AddressSeen,
    AnyFact,
    CheckEvidence,
    Confidence,
    EchoService,
    Exchange,
    Failure,
    Family,
    FaultDomain,
    Finding,
    Hop,
    Icmp,
    Interface,
    Lookup,
    Message,
    Note,
    PastRun,
    Route,
    Settings,
    Status,
)
from vsipcheck.net import HttpReply
from vsipcheck.profiles import load_profile
from vsipcheck.wire import stun
from vsipcheck.wire.sip.building import build_answer, build_options
from vsipcheck.wire.sip.message import SipRequest
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.text import escape

PROFILE = load_profile("exotel-tcp-mumbai")
MEDIA = PROFILE.media.addresses[0].address
PUBLIC, OTHER = "49.36.10.7", "106.51.20.9"
SHARED = "100.64.0.1"
ONE, TWO = "182.76.143.101", "3.108.10.20"
LOCAL_PORT = 40000

PASS, WARN, FAIL, UNKNOWN, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN, Status.SKIP
LOCAL, ISP, OPEN, ON_HOST = (
    FaultDomain.LOCAL_NETWORK,
    FaultDomain.ISP,
    FaultDomain.UNDETERMINED,
    FaultDomain.HOST,
)
PROVEN, LIKELY, POSSIBLE = Confidence.PROVEN, Confidence.LIKELY, Confidence.POSSIBLE
Row = tuple[Status, str, FaultDomain | None, Confidence | None]


# --- facts


def https(address: str | None, who: str = "ipify", failure: Failure | None = None) -> AddressSeen:
    return AddressSeen(method="https_echo", source=who, operator=who, transport="tcp", address=address, failure=failure)


def stunned(
    address: str | None,
    port: int | None = LOCAL_PORT,
    *,
    at: str = "74.125.250.129",
    who: str = "Google",
    local_port: int = LOCAL_PORT,
    failure: Failure | None = None,
) -> AddressSeen:
    return AddressSeen(
        method="stun",
        source=who,
        operator=who,
        server_address=at,
        server_port=3478,
        local_address=HOST,
        local_port=local_port,
        address=address,
        port=port,
        failure=failure,
    )


def second(address: str, port: int = LOCAL_PORT, **more: Any) -> AddressSeen:
    return stunned(address, port, at="162.159.207.1", who="Cloudflare", **more)


def third(address: str, port: int = LOCAL_PORT, **more: Any) -> AddressSeen:
    return stunned(address, port, at="159.69.191.124", who="Nextcloud", **more)


def told(
    received: str | None,
    rport: int | None = 50000,
    *,
    local: str = HOST,
    at: str = ONE,
    altered: bool = False,
) -> Exchange:
    request = build_options(
        uri=f"sip:{at}:5070;transport=tcp",
        via_host=local,
        via_port=50000,
        transport="TCP",
        branch="z9hG4bKours",
        call_id="ours",
        from_uri=f"sip:vsipcheck@{local}",
        from_tag="f1",
        to_uri=f"sip:{at}",
        cseq=1,
        user_agent="vsipcheck/test",
    )
    parsed = parse_message(request)
    assert isinstance(parsed, SipRequest)
    answer = build_answer(parsed, 200, "OK", to_tag="t", received=received, rport=rport)
    if altered:
        answer = answer.replace(b"z9hG4bKours", b"z9hG4bKtheirs")
    return Exchange(
        protocol="sip",
        purpose="options",
        connection=None,
        name=None,
        transport="tcp",
        local_address=local,
        local_port=50000,
        remote_address=at,
        remote_port=5070,
        messages=(
            Message(sent=True, offset_ms=0.0, text=escape(request), size=len(request)),
            Message(sent=False, offset_ms=9.0, text=escape(answer), size=len(answer)),
        ),
    )


def route(source: str | None = HOST) -> Route:
    return Route(destination=MEDIA, source_address=source, failure=None if source else Failure.NO_ROUTE)


def expired(ttl: int, address: str, *, target: str = PUBLIC, series: str = "udp_public") -> Hop:
    icmp = Icmp(address=address, type=11, code=0)
    return Hop(target=target, series=series, ttl=ttl, ports=(1,), sent=1, answered=1, address=address, icmp=icmp)


def on_the_way(ttl: int, address: str) -> Hop:
    return expired(ttl, address, target=MEDIA, series="udp_control")


def arrived(ttl: int, target: str = PUBLIC, code: int = 3) -> Hop:
    icmp = Icmp(address=target, type=3, code=code)
    return Hop(
        target=target,
        series="udp_public",
        ttl=ttl,
        ports=(1,),
        sent=1,
        answered=1,
        address=target,
        icmp=icmp,
        reached=code == 3,
    )


def refused(ttl: int, address: str) -> Hop:
    icmp = Icmp(address=address, type=3, code=1)
    return Hop(target=PUBLIC, series="udp_public", ttl=ttl, ports=(1,), sent=1, answered=1, address=address, icmp=icmp)


def returned(ttl: int = 2) -> Hop:
    return Hop(
        target=PUBLIC, series="udp_public", ttl=ttl, ports=(9,), sent=1, answered=1, address=PUBLIC, reached=True
    )


def silent(ttl: int, contrasts: int = 0) -> Hop:
    return Hop(
        target=PUBLIC, series="udp_public", ttl=ttl, ports=(1,), sent=1 + contrasts, answered=0, contrasts=contrasts
    )


def past(day: int, address: str | None, hour: int = 6) -> PastRun:
    return PastRun(run_id=f"r{day}-{hour}", started_at=f"2026-11-{day:02}T{hour:02}:00:00Z", public_address=address)


def gather(*facts: AnyFact, error: str | None = None) -> Facts:
    """Each fact in the check that records it."""
    room = {Exchange: "sip", PastRun: "history"}
    sorted_facts: dict[str, list[AnyFact]] = {"nat": []}
    for fact in facts:
        check = room.get(type(fact), "nat")
        mine = sorted_facts.setdefault(check, [])
        mine.append(msgspec.structs.replace(fact, id=f"{check}.{len(mine) + 1}"))
    return Facts(
        {
            check: CheckEvidence(version=1, offset_ms=0, duration_ms=1, error=error, facts=tuple(of))
            for check, of in sorted_facts.items()
        }
    )


def judge(id_: str, *facts: AnyFact, error: str | None = None, **settings: Any) -> Finding:
    found = nat.judge(gather(*facts, error=error), PROFILE, Settings(checks=("nat",), **settings))
    assert [finding.id for finding in found] == list(nat.CHECK.finding_ids)
    for finding in found:
        assert (finding.fault_domain is None) == (finding.status in (PASS, SKIP))
        assert finding.summary.endswith(".")
        assert finding.summary[0].isupper() or finding.summary[0].isdigit()
        assert "None" not in finding.summary
        if finding.status is UNKNOWN:
            assert finding.settle_by
        if finding.status in (WARN, FAIL):
            assert finding.remedy
    return next(finding for finding in found if finding.id == id_)


def brief(finding: Finding) -> Row:
    return finding.status, finding.reason, finding.fault_domain, finding.confidence


# --- nat.public_address

TWO_METHODS = (route(), https(PUBLIC), stunned(PUBLIC))
THREE_ECHOES = (route(), https(PUBLIC), https(PUBLIC, "Amazon"), https(PUBLIC, "Cloudflare"))


@pytest.mark.parametrize(
    ("facts", "row"),
    [
        pytest.param(TWO_METHODS, (PASS, "methods_agree", None, LIKELY), id="two-methods"),
        pytest.param((route(), told(PUBLIC)), (PASS, "received_by_trunk", None, LIKELY), id="received-alone"),
        pytest.param(
            (route(), told(PUBLIC), stunned(PUBLIC)), (PASS, "received_by_trunk", None, PROVEN), id="received-and-seen"
        ),
        pytest.param(
            (route(PUBLIC), stunned(PUBLIC)), (PASS, "public_on_interface", None, PROVEN), id="on-interface-and-seen"
        ),
        pytest.param((route(PUBLIC),), (PASS, "public_on_interface", None, POSSIBLE), id="on-interface-unseen"),
        pytest.param(THREE_ECHOES, (UNKNOWN, "one_method_only", OPEN, POSSIBLE), id="one-method-of-three-operators"),
        pytest.param((route(), stunned(PUBLIC)), (UNKNOWN, "one_method_only", OPEN, POSSIBLE), id="one-helper"),
        pytest.param(
            (route(), https(None, failure=Failure.BAD_BODY), stunned(None, failure=Failure.NO_ANSWER)),
            (UNKNOWN, "no_method_answered", OPEN, POSSIBLE),
            id="all-helpers-fail",
        ),
        pytest.param((route(None),), (UNKNOWN, "no_route", OPEN, POSSIBLE), id="no-route"),
        pytest.param((), (UNKNOWN, "no_route", OPEN, POSSIBLE), id="nothing-measured"),
        pytest.param(
            (route(), https("192.168.7.7"), stunned("100.64.3.3")),
            (UNKNOWN, "no_method_answered", OPEN, POSSIBLE),
            id="helpers-inside-our-network",
        ),
        pytest.param(
            (route(), told(HOST)), (UNKNOWN, "no_method_answered", OPEN, POSSIBLE), id="alg-rewrites-received"
        ),
        pytest.param(
            (route(), told(PUBLIC, altered=True)),
            (UNKNOWN, "no_method_answered", OPEN, POSSIBLE),
            id="altered-via-is-worth-nothing",
        ),
        pytest.param(
            (route(), https(PUBLIC), stunned(OTHER)), (WARN, "methods_disagree", OPEN, POSSIBLE), id="two-lines"
        ),
        pytest.param(
            (route(), https(OTHER), stunned(PUBLIC), told(PUBLIC)),
            (WARN, "methods_disagree", OPEN, LIKELY),
            id="web-by-another-line",
        ),
        pytest.param(
            (route(), told(PUBLIC), told(OTHER, at=TWO)), (WARN, "methods_disagree", OPEN, POSSIBLE), id="pool"
        ),
        pytest.param(
            (route(PUBLIC), https(OTHER)), (WARN, "methods_disagree", OPEN, POSSIBLE), id="one-contradicts-interface"
        ),
        pytest.param(
            (route(PUBLIC), https(OTHER), stunned(OTHER)),
            (PASS, "methods_agree", None, LIKELY),
            id="public-but-translated",
        ),
    ],
)
def test_public_address(facts: Sequence[AnyFact], row: Row) -> None:
    assert brief(judge("nat.public_address", *facts)) == row


@pytest.mark.parametrize(
    ("facts", "row"),
    [
        pytest.param(
            (route(), told(PUBLIC)), (FAIL, "not_the_expected_address", LOCAL, PROVEN), id="the-trunk-sees-another"
        ),
        pytest.param(TWO_METHODS, (FAIL, "not_the_expected_address", LOCAL, LIKELY), id="two-methods-see-another"),
        pytest.param((route(PUBLIC),), (FAIL, "not_the_expected_address", LOCAL, POSSIBLE), id="interface-has-another"),
        # Many operators of one method: the web may leave by another line than the trunk.
        pytest.param(THREE_ECHOES, (UNKNOWN, "one_method_only", OPEN, POSSIBLE), id="one-method-sees-another"),
        pytest.param(
            (route(), https(PUBLIC), stunned(OTHER)), (WARN, "methods_disagree", OPEN, POSSIBLE), id="one-of-two-lines"
        ),
        pytest.param(
            (route(), https(PUBLIC), stunned(PUBLIC), told(OTHER)),
            (WARN, "methods_disagree", OPEN, LIKELY),
            id="the-trunk-sees-it-and-others-do-not",
        ),
        pytest.param(
            (route(), https(OTHER), stunned(OTHER), told(PUBLIC)),
            (FAIL, "not_the_expected_address", LOCAL, PROVEN),
            id="all-but-the-trunk-see-it",
        ),
        pytest.param(
            (route(), told(OTHER), told(PUBLIC, at=TWO)),
            (FAIL, "not_the_expected_address", LOCAL, PROVEN),
            id="the-trunk-sees-it-at-one-pop-only",
        ),
        pytest.param((route(), https(OTHER), stunned(OTHER)), (PASS, "methods_agree", None, LIKELY), id="as-handed-in"),
    ],
)
def test_expected_address(facts: Sequence[AnyFact], row: Row) -> None:
    assert brief(judge("nat.public_address", *facts, expect_ip=OTHER)) == row


def test_address_to_hand_in_is_named() -> None:
    assert f"{PUBLIC}, the one to hand in to Exotel" in judge("nat.public_address", *TWO_METHODS).summary
    fail = judge("nat.public_address", *TWO_METHODS, expect_ip=OTHER)
    assert fail.remedy is not None
    assert f"whitelist {PUBLIC} instead of {OTHER}" in fail.remedy


def test_address_of_a_carrier_is_not_offered_for_whitelisting() -> None:
    finding = judge("nat.public_address", *TWO_METHODS, expired(1, GATEWAY), expired(2, SHARED))
    assert finding.status is PASS
    assert "hand in to" not in finding.summary
    assert "not this line's own" in finding.summary


def test_finding_rests_on_facts_and_the_guide() -> None:
    finding = judge("nat.public_address", *TWO_METHODS)
    assert set(finding.facts) == {"nat.1", "nat.2", "nat.3"}
    assert finding.guide_section == "Best Practices and Pre-checks: Before Configuration"
    assert {measure.name: measure.value for measure in finding.measures}["methods"] == 2


@pytest.mark.parametrize(
    ("facts", "address"),
    [
        ((route(), told(PUBLIC), https(OTHER), stunned(OTHER)), PUBLIC),
        ((route(), https(PUBLIC), stunned(PUBLIC)), PUBLIC),
        ((route(), https(PUBLIC), https(OTHER, "Amazon")), None),
        ((route(), https(PUBLIC)), None),
        ((route(PUBLIC), https(PUBLIC)), PUBLIC),
        ((route(PUBLIC),), PUBLIC),
        ((route(PUBLIC), https(OTHER)), None),
        ((route(), told(HOST)), None),
        ((route(),), None),
    ],
)
def test_trunk_address(facts: Sequence[AnyFact], address: str | None) -> None:
    assert trunk_address(gather(*facts)) == address


# --- nat.cgnat


@pytest.mark.parametrize(
    ("hops", "row"),
    [
        pytest.param((arrived(1),), (PASS, "at_gateway", None, PROVEN), id="answers-at-the-gateway"),
        pytest.param(
            (expired(1, GATEWAY), arrived(2)),
            (WARN, "behind_second_router", OPEN, POSSIBLE),
            id="answers-behind-a-private-hop",
        ),
        pytest.param((arrived(1, code=13),), (PASS, "at_gateway", None, PROVEN), id="the-address-itself-prohibits"),
        pytest.param(
            (expired(1, GATEWAY), expired(2, "192.168.0.1")),
            (WARN, "behind_second_router", OPEN, POSSIBLE),
            id="two-private-hops-then-silence",
        ),
        pytest.param(
            (expired(1, GATEWAY), expired(2, "49.44.0.1"), arrived(3)),
            (WARN, "behind_second_router", OPEN, POSSIBLE),
            id="past-a-public-router",
        ),
        pytest.param(
            (expired(1, GATEWAY), expired(2, SHARED), arrived(3)),
            (FAIL, "behind_carrier_hop", ISP, PROVEN),
            id="past-a-carrier-hop",
        ),
        pytest.param(
            (expired(1, GATEWAY), expired(2, SHARED)),
            (FAIL, "behind_carrier_hop", ISP, LIKELY),
            id="past-a-carrier-hop-then-silence",
        ),
        pytest.param(
            (expired(1, GATEWAY), refused(2, SHARED)),
            (FAIL, "behind_carrier_hop", ISP, LIKELY),
            id="a-carrier-hop-refuses",
        ),
        pytest.param(
            (silent(1), expired(2, SHARED), arrived(3)),
            (FAIL, "behind_carrier_hop", ISP, PROVEN),
            id="silent-gateway-carrier-hop",
        ),
        # The carrier's NAT holds the address itself: its inner side shows on other paths only.
        pytest.param(
            (expired(1, GATEWAY), arrived(2), on_the_way(1, GATEWAY), on_the_way(2, SHARED)),
            (FAIL, "behind_carrier_hop", ISP, LIKELY),
            id="answers-at-the-carrier-hop",
        ),
        pytest.param(
            (expired(1, GATEWAY), arrived(2), on_the_way(2, "192.168.0.1")),
            (WARN, "behind_second_router", OPEN, POSSIBLE),
            id="answers-at-a-private-hop",
        ),
        pytest.param(
            (expired(1, GATEWAY), arrived(2), on_the_way(1, "192.168.1.2"), on_the_way(2, SHARED)),
            (WARN, "behind_second_router", OPEN, POSSIBLE),
            id="the-other-path-is-another",
        ),
        pytest.param(
            (expired(1, GATEWAY), silent(2), on_the_way(2, SHARED)),
            (WARN, "carrier_hop_next", ISP, POSSIBLE),
            id="silent-behind-the-gateway-carrier-next",
        ),
        pytest.param(
            (expired(1, GATEWAY), silent(2), arrived(3), on_the_way(2, SHARED), on_the_way(3, "49.44.0.1")),
            (FAIL, "behind_carrier_hop", ISP, LIKELY),
            id="answers-past-the-carrier-hop-or-at-it",
        ),
        pytest.param(
            (expired(1, GATEWAY), silent(2), arrived(3), on_the_way(2, "10.9.0.1"), on_the_way(3, SHARED)),
            (WARN, "behind_second_router", OPEN, POSSIBLE),
            id="answers-at-the-carrier-hop-or-before-it",
        ),
        # An ISP that numbers its routers from carrier space, in front of an address that is the customer's own.
        pytest.param((arrived(1), on_the_way(2, SHARED)), (PASS, "at_gateway", None, PROVEN), id="carrier-space-infra"),
        pytest.param(
            (expired(1, GATEWAY), expired(2, SHARED), expired(3, GATEWAY), expired(4, SHARED)),
            (PASS, "routed_to_gateway", None, LIKELY),
            id="pool-address-runs-in-a-circle",
        ),
        pytest.param(
            (expired(1, GATEWAY), expired(2, SHARED), expired(3, "49.44.0.1"), expired(4, SHARED)),
            (UNKNOWN, "routing_loop", OPEN, POSSIBLE),
            id="circle-that-does-not-show-whose",
        ),
        pytest.param(
            (expired(1, GATEWAY), expired(2, "10.9.0.1"), expired(3, GATEWAY), expired(4, SHARED)),
            (FAIL, "behind_carrier_hop", ISP, LIKELY),
            id="one-private-address-twice-is-no-circle",
        ),
        pytest.param(
            (expired(1, GATEWAY), returned(), arrived(2)),
            (PASS, "returned_by_gateway", None, PROVEN),
            id="one-to-one-nat-sends-our-probe-back",
        ),
        pytest.param(
            (silent(1, contrasts=2), silent(2), silent(3)),
            (PASS, "not_forwarded_by_gateway", None, LIKELY),
            id="gateway-keeps-it-to-itself",
        ),
        pytest.param(
            (silent(1, contrasts=1), silent(2)), (UNKNOWN, "hops_silent", OPEN, POSSIBLE), id="one-contrast-is-chance"
        ),
        pytest.param((silent(1), silent(2)), (UNKNOWN, "hops_silent", OPEN, POSSIBLE), id="all-silent"),
        pytest.param(
            (silent(1, contrasts=2), arrived(2)),
            (WARN, "behind_second_router", OPEN, POSSIBLE),
            id="behind-a-router-that-tells-nothing",
        ),
        pytest.param((silent(1), arrived(2)), (UNKNOWN, "hops_silent", OPEN, POSSIBLE), id="hop-1-lost"),
        pytest.param(
            (refused(1, GATEWAY), silent(2)), (UNKNOWN, "probes_refused", OPEN, POSSIBLE), id="gateway-refuses"
        ),
        pytest.param(
            (silent(1, contrasts=2), refused(2, "192.168.0.1")),
            (UNKNOWN, "probes_refused", OPEN, POSSIBLE),
            id="refused-behind-a-gateway-that-keeps-still",
        ),
        pytest.param((), (UNKNOWN, "not_probed", OPEN, POSSIBLE), id="not-probed"),
        pytest.param((arrived(1, OTHER),), (UNKNOWN, "not_probed", OPEN, POSSIBLE), id="another-address-probed"),
    ],
)
def test_cgnat_by_probes(hops: Sequence[Hop], row: Row) -> None:
    assert brief(judge("nat.cgnat", *TWO_METHODS, *hops)) == row


@pytest.mark.parametrize(
    ("facts", "row"),
    [
        pytest.param(
            (route("100.72.15.23"), told(PUBLIC, local="100.72.15.23")),
            (FAIL, "source_in_shared_space", ISP, PROVEN),
            id="carrier-space-on-the-interface",
        ),
        pytest.param(
            (route("100.101.7.3"), Interface(name="tailscale0", address="100.101.7.3"), stunned(PUBLIC)),
            (FAIL, "source_on_overlay", ON_HOST, LIKELY),
            id="the-trunk-leaves-through-an-overlay",
        ),
        pytest.param(
            (*TWO_METHODS, Interface(name="tailscale0", address="100.101.7.3"), arrived(1)),
            (PASS, "at_gateway", None, PROVEN),
            id="an-overlay-that-the-trunk-does-not-use",
        ),
        pytest.param(
            (route("100.72.15.23"),),
            (UNKNOWN, "public_address_unknown", OPEN, POSSIBLE),
            id="carrier-space-and-nothing-seen",
        ),
        pytest.param(
            (route(PUBLIC), stunned(PUBLIC)), (PASS, "no_translation", None, PROVEN), id="public-on-the-interface"
        ),
        pytest.param((route(PUBLIC),), (PASS, "no_translation", None, POSSIBLE), id="public-and-unconfirmed"),
        pytest.param(
            (route("51.9.9.9"), https(PUBLIC), stunned(PUBLIC), expired(1, "51.9.9.1"), arrived(2)),
            (WARN, "behind_second_router", OPEN, POSSIBLE),
            id="public-but-translated",
        ),
        pytest.param((route(),), (UNKNOWN, "public_address_unknown", OPEN, POSSIBLE), id="nobody-tells"),
        pytest.param(
            (route(), https(PUBLIC), expired(1, GATEWAY), expired(2, SHARED)),
            (UNKNOWN, "address_not_confirmed", OPEN, POSSIBLE),
            id="one-helper-may-lie",
        ),
        pytest.param(
            (route(), https(PUBLIC), arrived(1)), (PASS, "at_gateway", None, PROVEN), id="one-helper-and-the-address"
        ),
        pytest.param(
            (route(), https(OTHER), stunned(PUBLIC), arrived(1), arrived(1, OTHER)),
            (PASS, "at_gateway", None, PROVEN),
            id="both-lines-at-the-gateway",
        ),
        pytest.param(
            (route(), https(OTHER), stunned(PUBLIC), arrived(1)),
            (UNKNOWN, "methods_disagree", OPEN, POSSIBLE),
            id="one-of-two-lines-at-the-gateway",
        ),
        pytest.param(
            (route(), https(OTHER), stunned(PUBLIC), told(PUBLIC), arrived(1), expired(1, GATEWAY, target=OTHER)),
            (PASS, "at_gateway", None, PROVEN),
            id="the-trunks-own-line-counts",
        ),
        pytest.param(
            (*TWO_METHODS, Note(topic="public_probes", text="not on this system")),
            (UNKNOWN, "not_probed", OPEN, POSSIBLE),
            id="platform-cannot",
        ),
    ],
)
def test_cgnat(facts: Sequence[AnyFact], row: Row) -> None:
    assert brief(judge("nat.cgnat", *facts)) == row


# --- nat.port_masking


@pytest.mark.parametrize(
    ("facts", "row"),
    [
        pytest.param(
            (stunned(PUBLIC), second(PUBLIC), told(PUBLIC), told(PUBLIC, at=TWO)),
            (PASS, "ports_kept", None, PROVEN),
            id="kept",
        ),
        pytest.param((stunned(PUBLIC), second(PUBLIC)), (PASS, "ports_kept", None, PROVEN), id="kept-tcp-unseen"),
        pytest.param((stunned(PUBLIC), second(OTHER)), (PASS, "ports_kept", None, PROVEN), id="kept-on-two-lines"),
        pytest.param(
            (stunned(PUBLIC, 61001), second(PUBLIC, 61001)),
            (WARN, "changed_consistently", OPEN, LIKELY),
            id="the-same-for-every-destination",
        ),
        pytest.param(
            (stunned(PUBLIC), second(PUBLIC), told(PUBLIC, 61001)),
            (WARN, "tcp_changed", OPEN, LIKELY),
            id="tcp-changed",
        ),
        pytest.param(
            (stunned(PUBLIC), told(PUBLIC, 61001)), (WARN, "tcp_changed", OPEN, LIKELY), id="tcp-changed-udp-unknown"
        ),
        pytest.param(
            (stunned(PUBLIC), second(PUBLIC), told(HOST, 61001)),
            (PASS, "ports_kept", None, PROVEN),
            id="rport-of-an-alg",
        ),
        pytest.param(
            (stunned(PUBLIC, 1), second(PUBLIC, 2), stunned(PUBLIC, 3, local_port=9), second(PUBLIC, 4, local_port=9)),
            (FAIL, "differs_by_destination", OPEN, LIKELY),
            id="symmetric-twice",
        ),
        pytest.param(
            (stunned(PUBLIC), second(PUBLIC, 2), stunned(PUBLIC, 9, local_port=9), second(PUBLIC, 4, local_port=9)),
            (FAIL, "differs_by_destination", OPEN, LIKELY),
            id="kept-for-the-first-destination-only",
        ),
        pytest.param(
            (stunned(PUBLIC, 1), second(PUBLIC, 2)),
            (FAIL, "differs_by_destination", OPEN, POSSIBLE),
            id="symmetric-unconfirmed",
        ),
        pytest.param(
            (stunned(PUBLIC), second(PUBLIC, 2), stunned(PUBLIC, 9, local_port=9), second(PUBLIC, 9, local_port=9)),
            (WARN, "differed_once", OPEN, POSSIBLE),
            id="a-port-was-taken",
        ),
        pytest.param(
            (stunned(PUBLIC, 1), second(OTHER, 2)),
            (UNKNOWN, "several_uplinks", OPEN, POSSIBLE),
            id="two-lines-are-not-symmetric",
        ),
        pytest.param(
            (stunned(PUBLIC), second(PUBLIC), third(OTHER, 7)),
            (UNKNOWN, "several_uplinks", OPEN, POSSIBLE),
            id="kept-on-one-line-unknown-on-another",
        ),
        pytest.param(
            (stunned(PUBLIC, 1), stunned(PUBLIC, 2, who="Twin")),
            (UNKNOWN, "one_destination", OPEN, POSSIBLE),
            id="two-names-of-one-server",
        ),
        pytest.param((stunned(PUBLIC),), (UNKNOWN, "one_destination", OPEN, POSSIBLE), id="one-destination"),
        pytest.param(
            (stunned(PUBLIC), second(PUBLIC, failure=Failure.MISMATCH)),
            (UNKNOWN, "one_destination", OPEN, POSSIBLE),
            id="a-failed-helper-is-no-evidence",
        ),
        pytest.param(
            (told(PUBLIC), told(PUBLIC, at=TWO)), (UNKNOWN, "no_stun_answer", OPEN, POSSIBLE), id="tcp-kept-udp-unseen"
        ),
        pytest.param(
            (stunned("192.168.7.7"), second("192.168.7.7")),
            (UNKNOWN, "no_stun_answer", OPEN, POSSIBLE),
            id="servers-inside-our-network",
        ),
        pytest.param((), (UNKNOWN, "no_stun_answer", OPEN, POSSIBLE), id="nothing"),
    ],
)
def test_port_masking(facts: Sequence[AnyFact], row: Row) -> None:
    assert brief(judge("nat.port_masking", route(), *facts)) == row


@pytest.mark.parametrize(
    ("hops", "domain"),
    [
        ((arrived(1),), LOCAL),
        ((expired(1, GATEWAY), arrived(2)), OPEN),
        ((expired(1, GATEWAY), expired(2, SHARED), arrived(3)), ISP),
        ((), OPEN),
    ],
)
def test_whose_nat_masks_ports(hops: Sequence[Hop], domain: FaultDomain) -> None:
    facts = (*TWO_METHODS[:2], stunned(PUBLIC, 61001), second(PUBLIC, 61001))
    assert judge("nat.port_masking", *facts, *hops).fault_domain is domain


# --- nat.static_address


@pytest.mark.parametrize(
    ("facts", "row"),
    [
        pytest.param(
            (past(1, PUBLIC), past(2, PUBLIC), past(3, PUBLIC)), (PASS, "unchanged", None, LIKELY), id="unchanged"
        ),
        pytest.param((), (UNKNOWN, "too_little_history", OPEN, POSSIBLE), id="first-run"),
        pytest.param(
            (past(1, PUBLIC), past(3, PUBLIC)), (UNKNOWN, "too_little_history", OPEN, POSSIBLE), id="two-runs"
        ),
        pytest.param(
            (past(1, PUBLIC, 1), past(1, PUBLIC, 9), past(1, PUBLIC, 23)),
            (UNKNOWN, "too_little_history", OPEN, POSSIBLE),
            id="less-than-a-day",
        ),
        pytest.param(
            (past(1, PUBLIC), past(2, None), past(3, PUBLIC)),
            (UNKNOWN, "too_little_history", OPEN, POSSIBLE),
            id="runs-that-saw-none-do-not-count",
        ),
        pytest.param(
            (past(1, OTHER), past(2, OTHER)), (WARN, "changed_once", OPEN, PROVEN), id="changed-since-the-last-run"
        ),
        pytest.param(
            (past(1, OTHER), past(2, PUBLIC), past(3, PUBLIC)), (WARN, "changed_once", OPEN, PROVEN), id="changed-once"
        ),
        pytest.param(
            (past(3, PUBLIC), past(1, PUBLIC), past(2, OTHER)),
            (FAIL, "changed_repeatedly", OPEN, PROVEN),
            id="there-and-back-unsorted",
        ),
    ],
)
def test_static_address(facts: Sequence[AnyFact], row: Row) -> None:
    assert brief(judge("nat.static_address", *TWO_METHODS, *facts)) == row


def test_changed_away_from_the_expected_address() -> None:
    finding = judge("nat.static_address", *TWO_METHODS, past(1, OTHER), expect_ip=OTHER)
    assert brief(finding) == (FAIL, "changed_away_from_expected", OPEN, LIKELY)
    # Never having had it is another finding's business.
    finding = judge("nat.static_address", *TWO_METHODS, past(1, PUBLIC), expect_ip=OTHER)
    assert finding.reason == "too_little_history"


def test_history_without_an_address_now() -> None:
    finding = judge("nat.static_address", route(), past(1, PUBLIC), past(2, PUBLIC), past(3, PUBLIC))
    assert brief(finding) == (UNKNOWN, "too_little_history", OPEN, POSSIBLE)
    assert "This run could not tell the address" in finding.summary


def test_never_says_static() -> None:
    finding = judge("nat.static_address", *TWO_METHODS, past(1, PUBLIC), past(2, PUBLIC), past(3, PUBLIC))
    assert "static" not in finding.summary
    assert "unchanged since 2026-11-01" in finding.summary


def test_ipv6_alone_is_skipped() -> None:
    for id_ in nat.CHECK.finding_ids:
        assert brief(judge(id_, *TWO_METHODS, family=Family.IPV6)) == (SKIP, "ipv4_not_asked", None, None)


def test_interrupted_run_says_so() -> None:
    assert "ended before" in judge("nat.public_address", route(), error="deadline").summary


# --- measure: echo services

TEXT = EchoService(id="text", url="https://text.example/", operator="A", source="ours")
JSON = EchoService(id="json", url="https://json.example/", operator="B", source="ours", format="json", json_key="ip")


@pytest.mark.parametrize(
    ("service", "body", "address"),
    [
        (TEXT, b"49.36.10.7\n", PUBLIC),
        (TEXT, b" 49.36.10.7\r\n", PUBLIC),
        (TEXT, b"49.36.10.7 ok", None),
        (TEXT, b"49.36.10.7\n49.36.10.8\n", None),
        (TEXT, b"<html>49.36.10.7</html>", None),
        (TEXT, b"049.36.10.7", None),
        (TEXT, b"49.36.10", None),
        (TEXT, b"2001:db8::1", None),
        (TEXT, "４９.36.10.7".encode(), None),
        (TEXT, b"\xff\xfe", None),
        (TEXT, b"", None),
        (TEXT, b'{"ip": "49.36.10.7"}', None),
        (JSON, b'{"ip": "49.36.10.7", "country": "IN"}', PUBLIC),
        (JSON, b'{"ip": 824445447}', None),
        (JSON, b'{"address": "49.36.10.7"}', None),
        (JSON, b'["49.36.10.7"]', None),
        (JSON, b"49.36.10.7", None),
        (JSON, b"[" * ECHO_MAX_BYTES, None),
    ],
)
def test_echo_body_is_one_address(service: EchoService, body: bytes, address: str | None) -> None:
    found, detail = read_echo(service, body)
    assert found == address
    assert (detail is None) == (address is not None)
    assert detail is None or len(detail) < 300


URLS = [service.url for service in PROFILE.echo_services]
SETTINGS = Settings(checks=("nat",), timeout_s=0.15)


def reply(body: bytes = PUBLIC.encode(), status: int = 200, failure: Failure | None = None) -> HttpReply:
    return HttpReply(status, body, 9.0, server=("104.26.12.205", 443), local=(HOST, 51000), failure=failure)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEAR_WAIT_S", "FAR_WAIT_S", "SLOW_LINE_S", "BUDGET_GAP_S"):
        monkeypatch.setattr(public_probe, name, 0.02)


def recorded(network: FakeNatNetwork, settings: Settings = SETTINGS, **changes: Any) -> list[AnyFact]:
    profile = msgspec.structs.replace(PROFILE, **changes)

    async def run() -> list[AnyFact]:
        return list((await record_nat(network, profile, settings)).facts)

    return asyncio.run(run())


def only(facts: Sequence[AnyFact], kind: type[Any], **wanted: Any) -> list[Any]:
    return [
        fact
        for fact in facts
        if isinstance(fact, kind) and all(getattr(fact, name) == value for name, value in wanted.items())
    ]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (reply(), None),
        (reply(b"<html><title>Sign in</title>" + b"x" * 500), Failure.BAD_BODY),
        (reply(b"", 302), Failure.HTTP_STATUS),
        (reply(b"49.36.10.7", 503), Failure.HTTP_STATUS),
        (reply(b"x" * ECHO_MAX_BYTES, failure=Failure.TOO_LARGE), Failure.TOO_LARGE),
        (reply(b"9" * 10_000_000), Failure.BAD_BODY),
        (reply(b"\x1b]0;owned\x07[bold red]1.2.3.4[/]"), Failure.BAD_BODY),
        (HttpReply(None, b"", None, failure=Failure.TLS_FAILED, detail="bad \x1b[31mcert"), Failure.TLS_FAILED),
    ],
)
def test_echo_answers(answer: HttpReply, failure: Failure | None) -> None:
    network = FakeNatNetwork(echo=dict.fromkeys(URLS, answer))
    seen = only(recorded(network, stun_servers=()), AddressSeen, method="https_echo")
    assert len(seen) == len(URLS)
    assert {fact.failure for fact in seen} == {failure}
    for fact in seen:
        assert (fact.address == PUBLIC) == (failure is None)
        assert fact.detail is None or (fact.detail.isprintable() and len(fact.detail) <= 250)
    assert {asked["max_bytes"] for asked in network.asked} == {ECHO_MAX_BYTES}
    assert {asked["family"] for asked in network.asked} == {Family.IPV4}


def test_silent_echo_is_a_fact() -> None:
    facts = recorded(FakeNatNetwork(), stun_servers=())
    seen = only(facts, AddressSeen, method="https_echo")
    assert {fact.failure for fact in seen} == {Failure.CONNECT_TIMEOUT}
    assert not only(facts, Hop)


# --- measure: STUN

SERVERS = {server.host: (f"74.125.250.{n}", server.port) for n, server in enumerate(PROFILE.stun_servers, 1)}
NAMES = {host: address for host, (address, _) in SERVERS.items()}


def binding(data: bytes, address: str, port: int) -> bytes:
    mapped = stun.Attribute(stun.AttributeType.XOR_MAPPED_ADDRESS, (address, port))
    return stun.encode(stun.StunMessage(stun.BINDING, stun.MessageClass.SUCCESS, data[8:20], (mapped,)))


def keeps_ports(data: bytes, local_port: int) -> list[bytes]:
    return [binding(data, PUBLIC, local_port)]


def error_response(data: bytes, _port: int) -> list[bytes]:
    code = stun.Attribute(stun.AttributeType.ERROR_CODE, stun.ErrorCode(500, "\x1b[31mServer Error"))
    return [stun.encode(stun.StunMessage(stun.BINDING, stun.MessageClass.ERROR, data[8:20], (code,)))]


def wrong_id(data: bytes, port: int) -> list[bytes]:
    return [binding(bytes(8) + bytes(octet ^ 1 for octet in data[8:20]), OTHER, 9)]


def truncated(data: bytes, port: int) -> list[bytes]:
    return [binding(data, OTHER, 9)[:-3]]


def demanding(data: bytes, port: int) -> list[bytes]:
    mapped = stun.Attribute(stun.AttributeType.XOR_MAPPED_ADDRESS, (OTHER, 9))
    unknown = stun.Attribute(0x7ABC, b"....")
    return [stun.encode(stun.StunMessage(stun.BINDING, stun.MessageClass.SUCCESS, data[8:20], (mapped, unknown)))]


def ipv6(data: bytes, port: int) -> list[bytes]:
    return [binding(data, "2001:db8::1", port)]


def echoed(data: bytes, port: int) -> list[bytes]:
    return [data]


def still(data: bytes, port: int) -> list[bytes]:
    return []


def unreachable(data: bytes, port: int) -> list[Icmp]:
    return [Icmp(address="74.125.250.1", type=3, code=3)]


def forged_first(data: bytes, port: int) -> list[bytes]:
    return [*wrong_id(data, port), b"noise", *keeps_ports(data, port)]


@pytest.mark.parametrize(
    ("server", "failure"),
    [
        (keeps_ports, None),
        (forged_first, None),
        (error_response, Failure.BAD_BODY),
        (wrong_id, Failure.MISMATCH),
        (truncated, Failure.MALFORMED),
        (demanding, Failure.BAD_BODY),
        (ipv6, Failure.BAD_BODY),
        (echoed, Failure.MISMATCH),
        (still, Failure.NO_ANSWER),
        (unreachable, Failure.PORT_UNREACHABLE),
    ],
)
def test_stun_answers(server: StunReply, failure: Failure | None) -> None:
    network = FakeNatNetwork(names=NAMES, stun=dict.fromkeys(SERVERS.values(), server))
    facts = recorded(network, echo_services=())
    seen = only(facts, AddressSeen, method="stun")
    assert len(seen) == len(SERVERS)
    assert {fact.failure for fact in seen} == {failure}
    assert {fact.local_port for fact in seen} == {40000}
    for fact in seen:
        assert (fact.address, fact.port) == ((PUBLIC, 40000) if failure is None else (None, None))
        assert fact.detail is None or fact.detail.isprintable()
    assert {lookup.name for lookup in only(facts, Lookup, purpose="helper")} == set(SERVERS)


def test_stun_asks_three_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsipcheck.checks.nat.stun_mapping.RTO_S", 0.01)
    network = FakeNatNetwork(names=NAMES, stun=dict.fromkeys(SERVERS.values(), still))
    recorded(network, echo_services=())
    assert {network.sent.count((*server, None)) for server in SERVERS.values()} == {3}


def test_retransmitted_request_has_no_round_trip_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsipcheck.checks.nat.stun_mapping.RTO_S", 0.01)
    asked: list[bytes] = []

    def second_time(data: bytes, port: int) -> list[bytes]:
        asked.append(data)
        return keeps_ports(data, port) if len(asked) > 1 else []

    server = PROFILE.stun_servers[0]
    network = FakeNatNetwork(names=NAMES, stun={SERVERS[server.host]: second_time})
    (fact,) = only(recorded(network, echo_services=(), stun_servers=(server,)), AddressSeen, method="stun")
    assert (fact.failure, fact.address, fact.rtt_ms) == (None, PUBLIC, None)
    assert asked[0] == asked[1]


def test_unresolved_stun_server_is_a_failed_helper() -> None:
    seen = only(recorded(FakeNatNetwork(), echo_services=()), AddressSeen, method="stun")
    assert {fact.failure for fact in seen} == {Failure.NXDOMAIN}


def test_denied_send_is_told() -> None:
    network = FakeNatNetwork(names=NAMES, stun=dict.fromkeys(SERVERS.values(), keeps_ports), denied=True)
    seen = only(recorded(network, echo_services=()), AddressSeen, method="stun")
    assert {fact.failure for fact in seen} == {Failure.LOCAL_DENIED}


def test_differing_ports_are_asked_again_out_of_another_socket() -> None:
    def symmetric(last: int) -> StunReply:
        return lambda data, port: [binding(data, PUBLIC, (port * 7 + last) % 60000 + 1024)]

    servers = {server: symmetric(n) for n, server in enumerate(SERVERS.values())}
    network = FakeNatNetwork(names=NAMES, stun=servers)
    seen = only(recorded(network, echo_services=()), AddressSeen, method="stun")
    assert len({fact.local_port for fact in seen}) == 2
    assert len(seen) == 2 * len(SERVERS)


def test_stun_reads_an_answer_of_another_kind() -> None:
    data = stun.binding_request(bytes(12))
    assert read_binding_answer(data, bytes(12))[1] is Failure.MISMATCH


# --- measure: where the public address lives

BOTH = {"echo": dict.fromkeys(URLS, reply()), "names": NAMES, "stun": dict.fromkeys(SERVERS.values(), keeps_ports)}


def routers(*way: str | None, at: int, answers: bool = True) -> Path:
    """A path on which our public address lives at hop `at`; other targets are behind all of `way`."""

    def path(address: str, port: int, ttl: int | None) -> Icmp | None:
        hops = way[: at - 1] if address == PUBLIC else way
        if ttl is not None and ttl <= len(hops):
            router = hops[ttl - 1]
            return Icmp(address=router, type=11, code=0) if router else None
        return Icmp(address=PUBLIC, type=3, code=3) if address == PUBLIC and answers else None

    return path


def circle(*way: str) -> Path:
    def path(address: str, port: int, ttl: int | None) -> Icmp | None:
        return Icmp(address=way[((ttl or 64) - 1) % len(way)], type=11, code=0) if address == PUBLIC else None

    return path


def one_to_one(address: str, port: int, ttl: int | None) -> Icmp | str | None:
    if address != PUBLIC or ttl == 1:
        return Icmp(address=GATEWAY, type=11, code=0) if ttl == 1 else None
    return "return" if 40000 <= port < 40010 else Icmp(address=PUBLIC, type=3, code=3)


@pytest.mark.parametrize(
    ("path", "row"),
    [
        pytest.param(routers(GATEWAY, "49.44.0.1", at=1), (PASS, "at_gateway"), id="gateway"),
        pytest.param(
            routers(GATEWAY, "49.44.0.1", at=1, answers=False), (PASS, "not_forwarded_by_gateway"), id="gateway-drops"
        ),
        pytest.param(
            routers(None, None, at=1, answers=False), (UNKNOWN, "hops_silent"), id="nobody-answers-looks-like-a-drop"
        ),
        pytest.param(routers(GATEWAY, "192.168.0.1", at=2), (WARN, "behind_second_router"), id="inner-firewall"),
        pytest.param(
            routers(GATEWAY, "192.168.0.1", at=2, answers=False),
            (WARN, "behind_second_router"),
            id="inner-firewall-edge-drops",
        ),
        pytest.param(routers(None, "192.168.0.1", at=2), (WARN, "behind_second_router"), id="inner-firewall-is-silent"),
        pytest.param(routers(GATEWAY, SHARED, at=2), (FAIL, "behind_carrier_hop"), id="carrier-nat-at-hop-2"),
        pytest.param(routers(GATEWAY, SHARED, "49.44.0.1", at=3), (FAIL, "behind_carrier_hop"), id="carrier-nat"),
        pytest.param(
            routers(GATEWAY, SHARED, "49.44.0.1", at=3, answers=False),
            (FAIL, "behind_carrier_hop"),
            id="carrier-nat-is-silent",
        ),
        pytest.param(
            routers(GATEWAY, SHARED, at=2, answers=False), (WARN, "carrier_hop_next"), id="carrier-nat-at-hop-2-silent"
        ),
        pytest.param(circle(GATEWAY, SHARED), (PASS, "routed_to_gateway"), id="pool"),
        pytest.param(one_to_one, (PASS, "returned_by_gateway"), id="one-to-one"),
    ],
)
def test_where_the_public_address_lives(path: Path, row: tuple[Status, str]) -> None:
    network = FakeNatNetwork(**BOTH, path=path)
    facts = recorded(network)
    evidence = CheckEvidence(version=1, offset_ms=0, duration_ms=1, error=None, facts=tuple(facts))
    found = nat.judge(Facts({"nat": evidence}), PROFILE, SETTINGS)
    cgnat = next(finding for finding in found if finding.id == "nat.cgnat")
    assert (cgnat.status, cgnat.reason) == row
    # Polite: few packets, far from the media range, and hop 1 only as often as it takes.
    to_public = [packet for packet in network.sent if packet[0] == PUBLIC]
    assert all(port > PROFILE.media.last_port or port in range(40000, 40010) for _, port, _ in to_public)
    assert len(to_public) <= 20
    answered_by_gateway = [p for p in network.sent if p[2] == 1 and p[0] != PUBLIC]
    assert len(answered_by_gateway) <= 3


def test_public_source_is_not_probed() -> None:
    network = FakeNatNetwork(**BOTH, source=PUBLIC)
    assert not only(recorded(network), Hop)


def test_platform_without_ttl_probes_says_so() -> None:
    network = FakeNatNetwork(**BOTH, ttl_probes=False)
    facts = recorded(network)
    (note,) = only(facts, Note)
    assert "not on this system" in note.text
    assert not only(facts, Hop)


def test_a_lying_helper_makes_us_probe_two_addresses_at_most() -> None:
    lies: Mapping[str, HttpReply] = {url: reply(f"8.8.{n}.8".encode()) for n, url in enumerate(URLS)}
    network = FakeNatNetwork(**(BOTH | {"echo": lies}), path=routers(GATEWAY, at=1))
    recorded(network)
    assert len({address for address, _, ttl in network.sent if ttl and address != MEDIA}) == 2


def test_host_facts() -> None:
    facts = recorded(FakeNatNetwork(), stun_servers=(), echo_services=())
    assert [interface.name for interface in only(facts, Interface)] == ["lo", "eth0", "tailscale0", "docker0"]
    routes = only(facts, Route)
    assert {(route.source_address, route.gateway) for route in routes} == {(HOST, GATEWAY)}
    assert len(routes) == len(PROFILE.media.addresses)


def test_source_option_is_the_trunks_source() -> None:
    settings = msgspec.structs.replace(SETTINGS, source="10.1.1.9")
    facts = recorded(FakeNatNetwork(), settings, stun_servers=(), echo_services=())
    assert {route.source_address for route in only(facts, Route)} == {"10.1.1.9"}


def test_no_network_at_all() -> None:
    network = FakeNatNetwork(
        source=None, echo=dict.fromkeys(URLS, msgspec.structs.replace(reply(), failure=Failure.NO_ROUTE))
    )
    facts = recorded(network)
    assert {route.failure for route in only(facts, Route)} == {Failure.NO_ROUTE}
    assert {fact.failure for fact in only(facts, AddressSeen)} == {Failure.NO_ROUTE, Failure.NXDOMAIN}


def test_ipv6_alone_measures_nothing() -> None:
    network = FakeNatNetwork()
    assert recorded(network, msgspec.structs.replace(SETTINGS, family=Family.IPV6)) == []
