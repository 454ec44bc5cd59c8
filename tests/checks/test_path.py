"""Who answers SYNs, whether they left this host, and what the way to an address is told as."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from vsipcheck.checks.answer_budget import AnswerBudget
from vsipcheck.checks.base import Facts
from vsipcheck.checks.path.check import describe_paths, judge
from vsipcheck.checks.paths import (
    KERNEL_COUNTERS,
    blame_refusal,
    blame_silence,
    edge_of,
    known_hops,
    left_host,
    nearest_answer,
    nearest_suspect,
)
from vsipcheck.model import (
    AddressSeen,
    AnyFact,
    CheckEvidence,
    Connection,
    Failure,
    FaultDomain,
    Hop,
    Icmp,
    Lookup,
    Note,
    Route,
    Settings,
    Status,
)
from vsipcheck.profiles import load_profile

TARGET = "182.76.143.101"
HOST = "192.168.10.2"
PUBLIC = "49.36.10.7"
PROFILE = load_profile("exotel-tcp-mumbai")
SETTINGS = Settings(checks=("path",))
PATH = {
    1: "192.168.10.1",
    2: "192.168.1.1",
    3: "49.36.10.1",
    4: "49.44.1.1",
    5: "103.27.170.9",
    6: "182.79.3.2",
    7: "182.79.100.2",
}
ROUTE = Route(destination=TARGET, source_address=HOST, gateway=PATH[1])


def facts_of(*facts: AnyFact, check: str = "sip") -> Facts:
    numbered = tuple(msgspec.structs.replace(fact, id=f"{check}.{i}") for i, fact in enumerate((ROUTE, *facts)))
    return Facts({check: CheckEvidence(version=1, offset_ms=0, duration_ms=1, error=None, facts=numbered)})


def expired(ttl: int, series: str = "udp_control", *, target: str = TARGET, rtt_ms: float | None = None) -> Hop:
    return Hop(
        target=target,
        series=series,
        ttl=ttl,
        ports=(50123,),
        sent=1,
        answered=1,
        address=PATH[ttl],
        rtt_ms=rtt_ms,
        icmp=Icmp(address=PATH[ttl], type=11, code=0),
    )


def arrived(ttl: int, port: int = 5070, *, rtt_ms: float | None = None) -> Hop:
    return Hop(
        target=TARGET,
        series=f"tcp_{port}",
        ttl=ttl,
        ports=(port,),
        sent=1,
        answered=1,
        address=TARGET,
        rtt_ms=rtt_ms,
        reached=True,
    )


def missed(ttl: int, port: int = 5070, *, sent: int = 2, contrasts: int = 0) -> Hop:
    return Hop(
        target=TARGET,
        series=f"tcp_{port}",
        ttl=ttl,
        ports=(port,),
        sent=sent,
        answered=0,
        contrasts=contrasts,
    )


def connection(failure: Failure | None, port: int = 5070, **more: object) -> Connection:
    return Connection(name="a", address=TARGET, port=port, purpose="sip", failure=failure, **more)  # type: ignore[arg-type]


WAY = [expired(ttl) for ttl in PATH]
REFUSED = connection(Failure.REFUSED, rtt_ms=1.0)

RST_ROWS: dict[str, tuple[Sequence[AnyFact], str | None, str | None, str]] = {
    "forged inside": ([*WAY, expired(1, "tcp_5070"), arrived(2), arrived(3)], "local_network", "proven", "(hop 2)"),
    "forged between customer and ISP": ([*WAY, expired(2, "tcp_5070"), arrived(3)], "undetermined", "likely", "hop 3"),
    "forged at the ISP": ([*WAY, expired(3, "tcp_5070"), arrived(4)], "isp", "likely", "49.36.10.1 (hop 3)"),
    "forged by the host or the first router": ([*WAY, arrived(1)], "undetermined", "likely", "host's own firewall"),
    "the router before stays silent, and was asked twice": (
        [*WAY, missed(2), arrived(3)],
        "undetermined",
        "likely",
        "",
    ),
    "forged by one's own router: too soon for the ISP's": (
        [
            *(expired(ttl, rtt_ms=1.0 if ttl < 3 else 9.0) for ttl in PATH),
            expired(2, "tcp_5070"),
            arrived(3, rtt_ms=1.1),
        ],
        "local_network",
        "likely",
        "too soon",
    ),
    "not too soon for the ISP's": (
        [
            *(expired(ttl, rtt_ms=1.0 if ttl < 3 else 9.0) for ttl in PATH),
            expired(2, "tcp_5070"),
            arrived(3, rtt_ms=9.2),
        ],
        "undetermined",
        "likely",
        "(hop 3)",
    ),
    "the target's": ([*WAY, expired(7, "tcp_5070"), arrived(8)], "provider", "likely", "hop 8"),
    "one hop nearer than UDP: another way through a load balancer": (
        [*WAY, expired(6, "tcp_5070"), arrived(7)],
        "provider",
        "likely",
        "hop 7",
    ),
    "no router seen outside": ([expired(1), expired(2), arrived(3)], "undetermined", "possible", "may still be"),
    "no SYN with a TTL was answered": (WAY, None, None, ""),
}


@pytest.mark.parametrize("name", RST_ROWS)
def test_blame_refusal(name: str) -> None:
    facts, domain, confidence, words = RST_ROWS[name]
    blame = blame_refusal(facts_of(*facts, connection(Failure.REFUSED)), TARGET, 5070)
    if domain is None:
        assert blame is None
        return
    assert blame is not None
    assert (blame.domain, blame.confidence) == (domain, confidence)
    assert words in blame.sentence
    if blame.domain is FaultDomain.UNDETERMINED:
        assert blame.settle_by


@pytest.mark.parametrize(
    ("facts", "forged"),
    [
        ([*WAY, arrived(3)], True),
        ([*WAY, arrived(5)], True),
        ([*WAY, arrived(6)], False),  # unequal ways of a load balancer
        ([*WAY, arrived(8)], False),
        ([expired(1), expired(2), expired(3), arrived(3)], True),  # a short way: nothing balances before the ISP
        ([expired(1), arrived(2)], False),  # the next hop may be the target
    ],
)
def test_nearest_answer(facts: Sequence[AnyFact], forged: bool) -> None:
    found = nearest_answer(facts_of(*facts), TARGET, 5070)
    assert found is not None
    assert found.forged is forged


@pytest.mark.parametrize(
    ("hops", "outside", "ttl"),
    [(PATH, 3, 5), ({t: PATH[t] for t in (1, 2, 3)}, 3, 3), ({1: PATH[1]}, None, None), ({}, None, None)],
)
def test_nearest_suspect(hops: dict[int, str], outside: int | None, ttl: int | None) -> None:
    assert nearest_suspect(hops, outside) == ttl


SILENT = connection(Failure.CONNECT_TIMEOUT, waited_ms=5000.0)


def counted(repeated: int, failed: int) -> Note:
    return Note(topic=KERNEL_COUNTERS, text="", values={"TCPSynRetrans": repeated, "TCPRetransFail": failed})


@pytest.mark.parametrize(
    ("facts", "left"),
    [
        ([SILENT, counted(2, 2)], False),
        ([SILENT, counted(2, 0)], True),
        ([SILENT, counted(4, 1)], None),  # somebody else's, perhaps
        ([SILENT], None),
        ([connection(Failure.CONNECT_TIMEOUT, waited_ms=1500.0), counted(1, 1)], None),  # one is chance
        ([connection(None), counted(2, 2)], None),
    ],
)
def test_left_host(facts: Sequence[AnyFact], left: bool | None) -> None:
    assert left_host(facts_of(*facts), TARGET, 5070) is left


STUCK = [*WAY, missed(1, contrasts=2), missed(7, contrasts=2)]


@pytest.mark.parametrize(
    ("facts", "domain", "confidence", "words"),
    [
        ([*STUCK, SILENT, counted(2, 2)], "host", "proven", "never leave this host"),
        ([SILENT, counted(2, 2)], "host", "likely", "never leave this host"),
        ([*STUCK, SILENT, counted(2, 0)], "local_network", "likely", "before 192.168.10.1 (hop 1)"),
        ([*STUCK, SILENT], "undetermined", "possible", "before 192.168.10.1 (hop 1)"),
        # Counted by another program's connection: these SYNs were seen outside.
        ([*WAY, expired(7, "tcp_5070"), SILENT, counted(2, 2), connection(None, 443)], "provider", "likely", "hop 7"),
        (
            [*WAY, expired(1, "tcp_5070"), missed(2, contrasts=1), missed(7, contrasts=3), SILENT],
            "undetermined",
            "",
            "",
        ),
        (
            [*WAY, expired(1, "tcp_5070"), missed(2, contrasts=2), missed(7, contrasts=1), SILENT],
            "local_network",
            "proven",
            "between 192.168.10.1 (hop 1) and 192.168.1.1 (hop 2)",
        ),
    ],
)
def test_silence_and_this_host(facts: Sequence[AnyFact], domain: str, confidence: str, words: str) -> None:
    blame = blame_silence(facts_of(*facts), TARGET, 5070)
    assert blame.domain == domain
    assert not confidence or blame.confidence == confidence
    assert words in blame.sentence


ACCESS = {1: "192.168.10.1", 2: "10.77.0.1", 3: "49.44.1.1"}
HERE = Hop(
    target=PUBLIC,
    series="udp_public",
    ttl=1,
    ports=(61231,),
    sent=1,
    answered=1,
    address=PUBLIC,
    icmp=Icmp(address=PUBLIC, type=3, code=3),
    reached=True,
)


@pytest.mark.parametrize(
    ("facts", "edge"),
    [
        ([HERE], 1),
        ([msgspec.structs.replace(HERE, ttl=2)], None),  # a carrier's NAT may be there as well
        ([msgspec.structs.replace(HERE, ttl=2, icmp=None)], 1),  # the gateway sent a probe of ours back
        ([], None),
        (
            [
                AddressSeen(method="nat_pmp", source="gateway", server_address=PATH[1], address=PUBLIC),
                AddressSeen(method="stun", source="a", address=PUBLIC),
            ],
            1,
        ),
        ([AddressSeen(method="nat_pmp", source="gateway", server_address=PATH[1], address=PUBLIC)], None),
    ],
)
def test_edge_of(facts: Sequence[AnyFact], edge: int | None) -> None:
    assert edge_of(facts_of(*facts)) == edge


def test_hops_of_other_ways_count_as_far_as_the_ways_are_one() -> None:
    other = [expired(ttl, target="1.1.1.1") for ttl in PATH]
    facts = facts_of(*other, expired(5))
    assert known_hops(facts, TARGET) == {ttl: PATH[ttl] for ttl in (1, 2, 3, 4, 5)}
    assert known_hops(facts_of(*other), TARGET) == {ttl: PATH[ttl] for ttl in (1, 2, 3)}


def judged(*facts: AnyFact) -> list[tuple[str | None, Status, str, FaultDomain | None]]:
    found = judge(facts_of(*facts, check="path"), PROFILE, SETTINGS)
    return [(finding.target, finding.status, finding.reason, finding.fault_domain) for finding in found]


@pytest.mark.parametrize(
    ("facts", "status", "reason", "domain"),
    [
        ([*WAY, connection(None), connection(None, 443)], "pass", "nothing_stops", None),
        ([*WAY, expired(7, "tcp_5070"), connection(Failure.CONNECT_TIMEOUT)], "warn", "stops", "undetermined"),
        (
            [*WAY, expired(7, "tcp_5070"), connection(Failure.CONNECT_TIMEOUT), connection(None, 443)],
            "warn",
            "stops",
            "provider",
        ),
        ([*WAY, expired(1, "tcp_5070"), arrived(2), REFUSED], "warn", "stops", "local_network"),
        ([*WAY, arrived(3), connection(None)], "warn", "stops", "undetermined"),
        ([expired(1), connection(Failure.CONNECT_TIMEOUT)], "warn", "stops", "undetermined"),
        ([expired(1)], "unknown", "nothing_beyond_edge", "undetermined"),
        (WAY, "unknown", "target_silent", "undetermined"),
        ([], "unknown", "no_hop_answers", "undetermined"),
        ([Route(destination=TARGET, failure=Failure.NO_ROUTE)], "warn", "no_route", "host"),
    ],
)
def test_reach(facts: Sequence[AnyFact], status: str, reason: str, domain: str | None) -> None:
    assert judged(*facts) == [(TARGET, status, reason, domain)]


def test_a_name_without_address_is_told() -> None:
    lookup = Lookup(name="x", record_type="A", purpose="trunk", server=None, failure=Failure.NXDOMAIN)
    assert ("x", Status.UNKNOWN, "no_address", FaultDomain.UNDETERMINED) in judged(lookup)


def test_other_checks_ways_are_told_but_not_judged_here() -> None:
    facts = facts_of(*WAY, connection(None))
    assert judge(facts, PROFILE, SETTINGS) == []
    (path,) = describe_paths(facts, PROFILE)
    assert (path.target, path.name, [hop.address for hop in path.hops]) == (TARGET, "a", [*PATH.values()])
    assert [hop.zone for hop in path.hops][:4] == ["local_network", "local_network", "isp", "isp"]
    assert all(hop.why for hop in path.hops)


def test_the_way_says_where_each_kind_of_probe_stops() -> None:
    stuck = [expired(2, "tcp_5070"), missed(3, contrasts=3)]
    (path,) = describe_paths(facts_of(*WAY, *stuck, connection(Failure.CONNECT_TIMEOUT)), PROFILE)
    series = {each.id: each for each in path.series}
    assert (series["tcp_5070"].reached_ttl, series["tcp_5070"].stopped_ttl) == (2, 3)
    assert series["tcp_5070"].outcome == "silent"
    assert series["udp_control"].reached_ttl == 7
    assert path.hops[2].marks == {"udp_control": "answered", "tcp_5070": "missed"}


def test_answers_are_a_budget_of_the_whole_run() -> None:
    budget = AnswerBudget()
    assert budget.tokens("r", 0.0) == 5
    for at in range(5):
        budget.answered("r", float(at))
    assert budget.tokens("r", 5.0) < 1
    assert budget.tokens("r", 2005.0) >= 2
    with budget.reserving():
        reserved = budget.room("r", 2005.0)
    assert reserved == budget.room("r", 2005.0) - 1


def test_first_hops_are_agreed_on_by_two_ways() -> None:
    budget = AnswerBudget()
    for target in ("a", "b"):
        for ttl in (1, 2, 3):
            budget.saw(target, ttl, PATH[ttl] if ttl < 3 else target)
    assert budget.agreed() == {1: PATH[1], 2: PATH[2]}
    assert AnswerBudget().agreed() == {}
