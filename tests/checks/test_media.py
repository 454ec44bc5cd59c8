"""media.egress and media.return: one row for every verdict, and pairs that look alike."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from vsipcheck.checks.base import Facts
from vsipcheck.checks.media import check as media
from vsipcheck.checks.media.sample import sample_ports
from vsipcheck.model import (
    AddressSeen,
    AnyFact,
    CheckEvidence,
    Confidence,
    Failure,
    Family,
    FaultDomain,
    Finding,
    Hop,
    Icmp,
    Note,
    PortSpan,
    Route,
    Settings,
    Status,
)
from vsipcheck.profiles import load_profile

PROFILE = load_profile("exotel-tcp-mumbai")
TARGET = PROFILE.media.addresses[0].address
HOST = "192.168.1.50"
# Two private hops of one block, an access router, a core router, the provider's edge in the target's network.
PATH = {1: "192.168.1.1", 2: "192.168.0.1", 3: "49.44.1.1", 4: "49.44.2.1", 5: TARGET.rsplit(".", 1)[0] + ".1"}
FAR = 5
PORTS = (10000, 14000, 18001, 22000, 26001, 30000, 34001, 40000)


def icmp(address: str | None, type_: int = 11, code: int = 0) -> Icmp:
    return Icmp(address=address, type=type_, code=code)


def hops(series: str, upto: int, *, path: dict[int, str] = PATH, ports: Sequence[int] = PORTS[:1]) -> list[Hop]:
    facts = [
        Hop(target=TARGET, series=series, ttl=ttl, ports=tuple(ports), sent=1, answered=1, address=a, icmp=icmp(a))
        for ttl, a in path.items()
        if ttl <= upto
    ]
    silent = upto + 1
    return [*facts, Hop(target=TARGET, series=series, ttl=silent, ports=tuple(ports), sent=3, answered=0)]


def span(
    port: int, reached: int | None = FAR, *, contrasts: int = 0, method: str = "sample", **more: object
) -> PortSpan:
    values: dict[str, object] = {
        "target": TARGET,
        "method": method,
        "first_port": port,
        "last_port": port,
        "sent": 2,
        "reached_ttl": reached,
        "reached_address": PATH.get(reached or 0),
        "controls_needed": 3,
    }
    if contrasts:
        values |= {"stopped_ttl": (reached or 0) + 1, "unanswered": contrasts, "controls_answered": contrasts}
    return PortSpan(**(values | more))  # type: ignore[arg-type]


def spans(reached: int | None = FAR, **more: object) -> list[PortSpan]:
    return [span(port, reached, **more) for port in PORTS]  # type: ignore[arg-type]


ROUTE = Route(destination=TARGET, source_address=HOST, gateway="192.168.1.1")


def judge(
    facts: Sequence[AnyFact], *, finding_id: str = "media.egress", error: str | None = None, family: Family = Family.ANY
) -> Finding:
    numbered = tuple(
        fact.__class__(**{f: getattr(fact, f) for f in fact.__struct_fields__} | {"id": f"media.{i}"})
        for i, fact in enumerate((ROUTE, *facts))
    )
    evidence = CheckEvidence(version=1, offset_ms=0, duration_ms=1, error=error, facts=numbered)
    settings = Settings(checks=("media",), family=family)
    found = media.judge(Facts({"media": evidence}), PROFILE, settings)
    return next(f for f in found if f.id == finding_id and f.target == TARGET)


BOTH = [*hops("udp_in_range", FAR), *hops("udp_control", FAR)]
UNREACHABLE = icmp(TARGET, 3, 3)
REJECTED = icmp("49.44.2.1", 3, 13)

ROWS: dict[str, tuple[list[AnyFact], Status, str, FaultDomain | None, Confidence | None]] = {
    "all ports as far as the controls": ([*BOTH, *spans()], Status.PASS, "leaves_network", None, Confidence.PROVEN),
    "in range gets farther than out of range": (
        [*hops("udp_in_range", FAR), *hops("udp_control", 2), *spans()],
        Status.PASS,
        "leaves_network",
        None,
        Confidence.PROVEN,
    ),
    "the target says port-unreachable": (
        [*BOTH, *spans(outcome="icmp", failure=Failure.PORT_UNREACHABLE, icmp=UNREACHABLE)],
        Status.PASS,
        "target_answered",
        None,
        Confidence.PROVEN,
    ),
    "a router says port-unreachable, like iptables REJECT": (
        [*BOTH, *spans(outcome="icmp", failure=Failure.PORT_UNREACHABLE, icmp=icmp("192.168.1.1", 3, 3))],
        Status.FAIL,
        "port_unreachable",
        FaultDomain.LOCAL_NETWORK,
        Confidence.PROVEN,
    ),
    "somebody says port-unreachable, and the platform does not tell who: it may be the target": (
        [
            *hops("udp_in_range", 1),
            *hops("udp_control", 1),
            *spans(1, outcome="icmp", failure=Failure.PORT_UNREACHABLE, icmp=icmp(None, 3, 3)),
        ],
        Status.UNKNOWN,
        "nothing_beyond_edge",
        FaultDomain.UNDETERMINED,
        None,
    ),
    "a hidden router rejects some ports, and the others were seen no farther than before it": (
        [
            *(hop for hop in BOTH if hop.ttl != 4),
            *(span(port, 3) for port in PORTS[:4]),
            *(span(p, 3, outcome="icmp", failure=Failure.ADMIN_PROHIBITED, icmp=REJECTED) for p in PORTS[4:]),
        ],
        Status.FAIL,
        "admin_prohibited",
        FaultDomain.ISP,
        Confidence.LIKELY,
    ),
    "a hidden router rejects some ports, and the others pass it": (
        [
            *(hop for hop in BOTH if hop.ttl != 4),
            *(span(port) for port in PORTS[:4]),
            *(span(p, 3, outcome="icmp", failure=Failure.ADMIN_PROHIBITED, icmp=REJECTED) for p in PORTS[4:]),
        ],
        Status.FAIL,
        "part_admin_prohibited",
        FaultDomain.ISP,
        Confidence.LIKELY,
    ),
    "dropped in a gap where a router rejects the same to another address": (
        [
            *hops("udp_in_range", 1),
            *(hop for hop in hops("udp_control", FAR) if hop.ttl != 2),
            *spans(1, contrasts=3, stopped_ttl=3),
            PortSpan(
                target=PROFILE.media.addresses[1].address,
                method="sample",
                first_port=10000,
                last_port=10000,
                outcome="icmp",
                failure=Failure.ADMIN_PROHIBITED,
                icmp=icmp("192.168.0.1", 3, 13),
            ),
        ],
        Status.FAIL,
        "blocked",
        FaultDomain.LOCAL_NETWORK,
        Confidence.LIKELY,
    ),
    "controls get out, in-range ports are not seen, and nothing was answered at the same moment": (
        [*hops("udp_in_range", 1), *hops("udp_control", FAR), *spans(1, contrasts=1)],
        Status.UNKNOWN,
        "too_few_contrasts",
        FaultDomain.UNDETERMINED,
        None,
    ),
    "prohibited by the gateway": (
        [*BOTH, *spans(None, outcome="icmp", failure=Failure.ADMIN_PROHIBITED, icmp=icmp("192.168.1.1", 3, 13))],
        Status.FAIL,
        "admin_prohibited",
        FaultDomain.LOCAL_NETWORK,
        Confidence.PROVEN,
    ),
    "prohibited by the ISP": (
        [*BOTH, *spans(3, outcome="icmp", failure=Failure.ADMIN_PROHIBITED, icmp=icmp("49.44.2.1", 3, 13))],
        Status.FAIL,
        "admin_prohibited",
        FaultDomain.ISP,
        Confidence.LIKELY,
    ),
    "host unreachable, said by the provider's last router": (
        [*BOTH, *spans(outcome="icmp", failure=Failure.HOST_UNREACHABLE, icmp=icmp(PATH[5], 3, 1))],
        Status.FAIL,
        "host_unreachable",
        FaultDomain.PROVIDER,
        Confidence.LIKELY,
    ),
    "EPERM": (
        spans(None, outcome="local", failure=Failure.LOCAL_DENIED),
        Status.FAIL,
        "local_denied",
        FaultDomain.HOST,
        Confidence.PROVEN,
    ),
    "no route": (
        spans(None, outcome="local", failure=Failure.NO_ROUTE),
        Status.FAIL,
        "no_route",
        FaultDomain.HOST,
        Confidence.PROVEN,
    ),
    "stops inside the customer's network": (
        [*hops("udp_in_range", 1), *hops("udp_control", FAR), *spans(1, contrasts=3)],
        Status.FAIL,
        "blocked",
        FaultDomain.LOCAL_NETWORK,
        Confidence.PROVEN,
    ),
    "stops between the customer and the ISP: two filters look alike": (
        [*hops("udp_in_range", 2), *hops("udp_control", FAR), *spans(2, contrasts=3)],
        Status.FAIL,
        "blocked",
        FaultDomain.UNDETERMINED,
        Confidence.LIKELY,
    ),
    "stops inside the ISP": (
        [*hops("udp_in_range", 3), *hops("udp_control", FAR), *spans(3, contrasts=3)],
        Status.FAIL,
        "blocked",
        FaultDomain.ISP,
        Confidence.LIKELY,
    ),
    "no UDP passes, but SYNs to the same address do": (
        [*hops("udp_in_range", 1), *hops("udp_control", 1), *hops("tcp_443", FAR), *spans(1, contrasts=3)],
        Status.FAIL,
        "blocked",
        FaultDomain.LOCAL_NETWORK,
        Confidence.PROVEN,
    ),
    "a part is dropped": (
        [*BOTH, *[span(p) if p < 20000 else span(p, 1, contrasts=3) for p in PORTS]],
        Status.FAIL,
        "part_blocked",
        FaultDomain.LOCAL_NETWORK,
        Confidence.PROVEN,
    ),
    "one sampled port without an answer or a control": (
        [*BOTH, *[span(p) if p != 26001 else span(p, None) for p in PORTS]],
        Status.WARN,
        "partly_judged",
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
    ),
    "seen outside, but a probe to a farther hop was lost": (
        [*BOTH, *[span(p) if p != 26001 else span(p, 3, unanswered=1) for p in PORTS]],
        Status.WARN,
        "partly_judged",
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
    ),
    "too few contrasts on a path that loses packets": (
        [*BOTH, *[span(p) if p != 26001 else span(p, 1, contrasts=3, controls_needed=9) for p in PORTS]],
        Status.WARN,
        "partly_judged",
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
    ),
    "outside, but short of the controls": (
        [*hops("udp_in_range", 3), *hops("udp_control", FAR), *spans(3)],
        Status.WARN,
        "short_of_controls",
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
    ),
    "no hop answers": (
        [*hops("udp_in_range", 0), *spans(None)],
        Status.UNKNOWN,
        "no_hop_answers",
        FaultDomain.UNDETERMINED,
        None,
    ),
    "everything stops at one place": (
        [*hops("udp_in_range", 2), *hops("udp_control", 2), *hops("tcp_443", 2), *spans(2)],
        Status.UNKNOWN,
        "nothing_beyond_edge",
        FaultDomain.UNDETERMINED,
        None,
    ),
    "no ICMP errors on this platform": (
        [Note(topic="platform", text="macOS has no error queue"), *spans(None)],
        Status.UNKNOWN,
        "platform",
        FaultDomain.UNDETERMINED,
        None,
    ),
    "nothing measured": ([], Status.UNKNOWN, "not_measured", FaultDomain.UNDETERMINED, None),
    "a sweep found a filter that the sample missed": (
        [
            *BOTH,
            *spans(),
            PortSpan(
                target=TARGET,
                method="sweep",
                first_port=12000,
                last_port=12010,
                outcome="icmp",
                failure=Failure.ADMIN_PROHIBITED,
                icmp=icmp("192.168.1.1", 3, 13),
            ),
        ],
        Status.FAIL,
        "part_admin_prohibited",
        FaultDomain.LOCAL_NETWORK,
        Confidence.PROVEN,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_egress(name: str) -> None:
    facts, status, reason, domain, confidence = ROWS[name]
    found = judge(facts)
    assert (found.status, found.reason, found.fault_domain, found.confidence) == (status, reason, domain, confidence)
    assert TARGET in found.summary
    if status is Status.FAIL:
        assert found.remedy
    if status is Status.UNKNOWN:
        assert found.settle_by


def test_the_other_ip_version_is_skipped() -> None:
    found = judge([], family=Family.IPV6)
    assert (found.status, found.reason, found.fault_domain) == (Status.SKIP, "family", None)


def test_the_edges_of_a_block_are_named() -> None:
    exact = [span(20000, method="bracket"), span(20001, 1, contrasts=3, method="bracket")]
    part = [span(p) if p < 20000 else span(p, 1, contrasts=3) for p in PORTS]
    assert "UDP 20001-40000 " in judge([*BOTH, *part, *exact]).summary
    assert "the lower edge lies between 18001 and 22000" in judge([*BOTH, *part]).summary


def test_a_host_that_answers_a_control_at_its_own_ttl_is_no_witness_against_the_range() -> None:
    # Port-unreachable from the target for a closed control port: its open media ports stay silent, rightly.
    closed = Hop(
        target=TARGET, series="udp_control", ttl=6, ports=(50123,), sent=1, answered=1, address=TARGET, icmp=UNREACHABLE
    )
    assert judge([*BOTH, closed, *spans()]).status is Status.PASS


def test_two_sides_are_named_where_two_filters_look_alike() -> None:
    found = judge(ROWS["stops between the customer and the ISP: two filters look alike"][0])
    assert "your router on the way out, or your ISP on the way in" in found.summary
    assert "WAN side" in (found.settle_by or "")


def test_return_is_settled_by_a_call() -> None:
    found = judge([*BOTH, *spans()], finding_id="media.return")
    assert (found.status, found.reason) == (Status.UNKNOWN, "no_call")
    assert "call" in (found.settle_by or "")


def test_return_names_a_stun_reply_through_the_range_as_support_only() -> None:
    reply = AddressSeen(method="stun", source="google", server_port=19302, address="49.36.10.7", port=40000)
    found = judge([*BOTH, *spans(), reply], finding_id="media.return")
    assert found.status is Status.UNKNOWN
    assert "19302" in found.summary
    outside = AddressSeen(method="stun", source="x", server_port=3478, address="49.36.10.7", port=40000)
    assert "3478" not in judge([*BOTH, *spans(), outside], finding_id="media.return").summary


def test_return_passes_on_a_datagram_from_the_target() -> None:
    found = judge([*BOTH, *spans(outcome="answered")], finding_id="media.return")
    assert (found.status, found.reason) == (Status.PASS, "datagram_from_target")


@pytest.mark.parametrize("count", [1, 2, 3, 16, 64])
def test_the_sample_is_spread(count: int) -> None:
    ports = sample_ports(10000, 40000, count, random.Random(7))
    assert len(ports) == count == len(set(ports))
    assert all(10000 <= port <= 40000 for port in ports)
    if count >= 16:
        assert {10000, 40000} <= set(ports)
        assert {port % 2 for port in ports} == {0, 1}
        widest = max(high - low for low, high in zip(sorted(ports), sorted(ports)[1:], strict=False))
        assert widest <= 2 * 30000 / (count - 2) + 2
        first = sorted(ports[:4])
        assert first[0] < 17500
        assert first[-1] > 30000


def test_the_sample_is_the_same_for_the_same_seed() -> None:
    one, other = (sample_ports(10000, 40000, 16, random.Random(3)) for _ in range(2))
    assert one == other


def test_a_small_range_is_taken_whole() -> None:
    assert sample_ports(5, 9, 16, random.Random(1)) == [5, 6, 7, 8, 9]
