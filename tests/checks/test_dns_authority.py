"""dns.authority, dns.resolver and dns.records: one row for every verdict of the long look."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns import check as dns_check
from vsipcheck.model import (
    CheckEvidence,
    DnsRecord,
    Failure,
    FaultDomain,
    Finding,
    Lookup,
    Note,
    Settings,
    Status,
)
from vsipcheck.profiles import load_profile, override

PROFILE = override(load_profile("exotel-tcp-mumbai"), fqdns=["pstn.in2.exotel.com"])
NAME = "pstn.in2.exotel.com"
GOOD, NEIGHBOUR, OTHER = "182.76.143.101", "182.76.9.9", "49.44.99.9"
ROUTER, ISP, ISP_2, PUBLIC, STUB = "192.168.1.1", "49.44.0.53", "49.44.1.53", "8.8.8.8", "127.0.0.53"
ROOT, ZONE_1, ZONE_2 = "198.41.0.4", "205.251.192.10", "205.251.196.20"
MADE_UP, SIBLING = "0123456789ab.invalid", "0123456789ab.in2.exotel.com"
NXDOMAIN, NODATA, SERVFAIL, TIMEOUT = Failure.NXDOMAIN, Failure.NODATA, Failure.SERVFAIL, Failure.DNS_TIMEOUT
PASS, WARN, UNKNOWN = Status.PASS, Status.WARN, Status.UNKNOWN
HOST, NETWORK, BY_ISP = FaultDomain.HOST, FaultDomain.LOCAL_NETWORK, FaultDomain.ISP
PROVIDER, OPEN = FaultDomain.PROVIDER, FaultDomain.UNDETERMINED
Row = Sequence[Lookup | Note]


def lookup(server: str | None, *addresses: str, **more: object) -> Lookup:
    failure = more.get("failure", None if addresses else NXDOMAIN)
    spoke = server is not None and failure in (None, NXDOMAIN, NODATA, SERVFAIL)
    return Lookup(
        **{  # type: ignore[arg-type]
            "name": NAME,
            "record_type": "A",
            "purpose": "trunk",
            "server": server,
            "server_source": "resolv.conf" if server else None,
            "addresses": addresses,
            "failure": failure,
            "rcode": "NOERROR" if spoke else None,
            "flags": ("ra",) if spoke else (),
            "ttl_s": 60 if addresses else None,
            "rtt_ms": 3.0,
            **more,
        }
    )


def system(*addresses: str, **more: object) -> Lookup:
    return lookup(None, *addresses, **more)


def authority(*addresses: str, server: str = ZONE_1, **more: object) -> Lookup:
    given: dict[str, object] = {"purpose": "authority", "server_source": "servers of exotel.com.", "flags": ("aa",)}
    return lookup(server, *addresses, **(given | {"ttl_s": 300} | more))


def root(*addresses: str, **more: object) -> Lookup:
    """A root server that sends us on, or one that does not."""
    given: dict[str, object] = {"purpose": "authority", "server_source": "root servers", "flags": (), "failure": NODATA}
    return lookup(ROOT, *addresses, **(given | more))


def walk(ended: str = "answered") -> Note:
    return Note(topic="dns_walk", text="", values={"name": NAME, "ended": ended, "zone": "exotel.com."})


DEEP = Note(topic="dns_deep", text="", values={"why": "asked for", "impossible": [MADE_UP, SIBLING]})
CONFIRMED: Row = (root(), authority(GOOD), walk())


def control(server: str, name: str = MADE_UP, *addresses: str, **more: object) -> Lookup:
    return lookup(server, *addresses, **({"purpose": "control", "name": name} | more))


def honest(server: str) -> list[Lookup]:
    return [control(server, MADE_UP), control(server, SIBLING)]


def judge(facts: Row, finding_id: str, target: str | None = None) -> Finding:
    numbered = tuple(msgspec.structs.replace(fact, id=f"dns.{number}") for number, fact in enumerate([DEEP, *facts]))
    evidence = CheckEvidence(version=2, offset_ms=0.0, duration_ms=0.0, error=None, facts=numbered)
    findings = dns_check.judge(Facts({"dns": evidence}), PROFILE, Settings(checks=("dns",)))
    chosen = [f for f in findings if f.id == finding_id and target in (None, f.target)]
    assert len(chosen) == 1, [(f.id, f.target) for f in findings]
    return chosen[0]


def check(finding: Finding, status: Status, reason: str, domain: FaultDomain | None) -> None:
    assert (finding.status, finding.reason, finding.fault_domain) == (status, reason, domain), finding.summary
    assert finding.summary.isprintable()
    assert "None" not in finding.summary
    assert finding.facts
    if status in (WARN, UNKNOWN):
        assert finding.remedy or finding.settle_by


AUTHORITY: dict[str, tuple[Row, Status, str, FaultDomain | None]] = {
    "agreed": ([system(GOOD), *CONFIRMED], PASS, "confirmed", None),
    "a neighbour: it rotates": ([system(NEIGHBOUR), *CONFIRMED], PASS, "confirmed", None),
    "the zone's second server has it": (
        [system(OTHER), *CONFIRMED, authority(OTHER, server=ZONE_2)],
        PASS,
        "confirmed",
        None,
    ),
    "by way of an alias": (
        [
            system(GOOD),
            root(),
            authority(failure=NODATA, cname_chain=("in2.edge.example.",)),
            authority(GOOD, name="in2.edge.example"),
            walk(),
        ],
        PASS,
        "confirmed",
        None,
    ),
    "other addresses, of a nameserver": ([system(OTHER), lookup(ISP, OTHER), *CONFIRMED], WARN, "differs", OPEN),
    "a private address, of the ISP": (
        [system("10.0.0.1"), lookup(ISP, "10.0.0.1"), *CONFIRMED],
        WARN,
        "differs",
        BY_ISP,
    ),
    "other addresses, of nobody": ([system(OTHER), lookup(ISP, GOOD), *CONFIRMED], WARN, "differs", HOST),
    "the zone does not know it": (
        [system(OTHER), lookup(ISP, OTHER), root(), authority(), walk("denied")],
        WARN,
        "not_in_zone",
        OPEN,
    ),
    "nobody knows it": ([system(), lookup(ISP), root(), authority(), walk("denied")], WARN, "denied", PROVIDER),
    "the router denies it": ([system(), lookup(ROUTER), *CONFIRMED], WARN, "host_has_none", NETWORK),
    "nothing answers the host": (
        [system(failure=TIMEOUT), lookup(ROUTER, failure=TIMEOUT), *CONFIRMED],
        WARN,
        "host_has_none",
        OPEN,
    ),
    "the system was not asked": ([lookup(ISP, GOOD), *CONFIRMED], UNKNOWN, "not_compared", OPEN),
    "no root server answers": (
        [system(GOOD), root(failure=TIMEOUT, rcode=None), walk("silent")],
        UNKNOWN,
        "not_reached",
        OPEN,
    ),
    "no route to the root servers": (
        [system(GOOD), root(failure=Failure.NO_ROUTE, rcode=None), walk("silent")],
        UNKNOWN,
        "not_reached",
        OPEN,
    ),
    "the zone's servers are silent": (
        [system(GOOD), root(), authority(failure=TIMEOUT, rcode=None, flags=()), walk("silent")],
        UNKNOWN,
        "not_reached",
        OPEN,
    ),
    "the walk was cut short": ([system(GOOD), root()], UNKNOWN, "not_measured", OPEN),
    "errors on the way": ([system(GOOD), root(failure=SERVFAIL), walk("refused")], UNKNOWN, "walk_failed", OPEN),
    "not authoritative": (
        [system(GOOD), root(), authority(OTHER, flags=()), walk("not_authoritative")],
        UNKNOWN,
        "walk_failed",
        OPEN,
    ),
    "a root server that recurses": (
        [system(OTHER), root(flags=("ra",)), walk("not_authoritative")],
        UNKNOWN,
        "port_53_intercepted",
        OPEN,
    ),
    "a root server that knows the name": (
        [system(OTHER), root(GOOD, flags=("aa",), failure=None), walk()],
        UNKNOWN,
        "port_53_intercepted",
        OPEN,
    ),
    "somebody answers where nobody is": (
        [system(OTHER), *CONFIRMED, control("192.0.2.1", NAME, OTHER)],
        UNKNOWN,
        "port_53_intercepted",
        OPEN,
    ),
}


@pytest.mark.parametrize("case", AUTHORITY.values(), ids=AUTHORITY)
def test_authority(case: tuple[Row, Status, str, FaultDomain | None]) -> None:
    check(judge(case[0], "dns.authority"), *case[1:])


CAUGHT = control("192.0.2.1", NAME, OTHER)
RESOLVER: dict[str, tuple[str, Row, Status, str, FaultDomain | None]] = {
    "agrees": (ISP, [lookup(ISP, GOOD), *honest(ISP), *CONFIRMED], PASS, "agrees", None),
    "a neighbour: it rotates": (ISP, [lookup(ISP, NEIGHBOUR), *honest(ISP), *CONFIRMED], PASS, "agrees", None),
    "the second time it has the zone's": (
        ISP,
        [lookup(ISP, OTHER), lookup(ISP, GOOD), *honest(ISP), *CONFIRMED],
        PASS,
        "agrees",
        None,
    ),
    "a wildcard that the zone has too": (
        ISP,
        [
            lookup(ISP, GOOD),
            control(ISP, MADE_UP),
            control(ISP, SIBLING, OTHER),
            *CONFIRMED,
            authority(OTHER, name=SIBLING),
        ],
        PASS,
        "agrees",
        None,
    ),
    "silent": (ISP, [lookup(ISP, failure=TIMEOUT), *CONFIRMED], UNKNOWN, "no_answer", OPEN),
    "makes up names": (
        ISP,
        [lookup(ISP, GOOD), control(ISP, MADE_UP, OTHER), control(ISP, SIBLING, OTHER), *CONFIRMED],
        WARN,
        "invents_names",
        BY_ISP,
    ),
    "a router that hands on what is made up": (
        ROUTER,
        [lookup(ROUTER, GOOD), control(ROUTER, MADE_UP, OTHER), *CONFIRMED],
        WARN,
        "invents_names",
        NETWORK,
    ),
    "makes up names below the zone alone": (
        ISP,
        [
            lookup(ISP, GOOD),
            control(ISP, MADE_UP),
            control(ISP, SIBLING, OTHER),
            *CONFIRMED,
            authority(name=SIBLING),
        ],
        WARN,
        "invents_names",
        BY_ISP,
    ),
    "makes up names, or somebody on the way does": (
        PUBLIC,
        [lookup(PUBLIC, GOOD), control(PUBLIC, MADE_UP, OTHER), CAUGHT, *CONFIRMED],
        WARN,
        "invents_names",
        OPEN,
    ),
    "fails validation": (
        ISP,
        [lookup(ISP, failure=SERVFAIL), control(ISP, NAME, GOOD), *honest(ISP), *CONFIRMED],
        WARN,
        "validation_fails",
        OPEN,
    ),
    "fails validation where another validates": (
        ISP,
        [
            lookup(ISP, failure=SERVFAIL),
            control(ISP, NAME, GOOD),
            lookup(PUBLIC, GOOD, flags=("ra", "ad")),
            *honest(ISP),
            *CONFIRMED,
        ],
        WARN,
        "validation_fails",
        BY_ISP,
    ),
    "fails for another reason": (
        ISP,
        [lookup(ISP, failure=SERVFAIL), *honest(ISP), *CONFIRMED],
        UNKNOWN,
        "fails",
        OPEN,
    ),
    "a private address": (
        ROUTER,
        [lookup(ROUTER, "192.168.1.9"), *honest(ROUTER), *CONFIRMED],
        WARN,
        "special_purpose_answer",
        NETWORK,
    ),
    "denies what the zone has": (ISP, [lookup(ISP), *honest(ISP), *CONFIRMED], WARN, "denies_name", BY_ISP),
    "denies it, and says that it filters": (
        ISP,
        [lookup(ISP, extended_errors=(15,)), *honest(ISP), *CONFIRMED],
        WARN,
        "filtered",
        BY_ISP,
    ),
    "denies it from an old cache": (
        ISP,
        [lookup(ISP, extended_errors=(19,)), *honest(ISP), *CONFIRMED],
        WARN,
        "stale",
        BY_ISP,
    ),
    "denies what the zone denies": (
        ISP,
        [lookup(ISP), *honest(ISP), root(), authority(), walk("denied")],
        PASS,
        "agrees",
        None,
    ),
    "stale, as it says": (
        ISP,
        [lookup(ISP, OTHER, extended_errors=(3,)), *honest(ISP), *CONFIRMED],
        WARN,
        "stale",
        BY_ISP,
    ),
    "forged, as it says": (
        ISP,
        [lookup(ISP, OTHER, extended_errors=(4,)), *honest(ISP), *CONFIRMED],
        WARN,
        "filtered",
        BY_ISP,
    ),
    "a zone of its own": (
        ROUTER,
        [lookup(ROUTER, OTHER, flags=("aa", "ra")), *honest(ROUTER), *CONFIRMED],
        WARN,
        "split_horizon",
        NETWORK,
    ),
    "lives longer than in the zone": (
        ISP,
        [lookup(ISP, OTHER, ttl_s=86400), *honest(ISP), *CONFIRMED],
        WARN,
        "altered",
        OPEN,
    ),
    "old, or for another place": (ISP, [lookup(ISP, OTHER), *honest(ISP), *CONFIRMED], WARN, "stale_or_local", OPEN),
    "nothing to compare with": (
        ISP,
        [lookup(ISP, GOOD), *honest(ISP), root(failure=TIMEOUT, rcode=None), walk("silent")],
        UNKNOWN,
        "not_compared",
        OPEN,
    ),
    "no name that cannot exist was answered": (ISP, [lookup(ISP, GOOD), *CONFIRMED], UNKNOWN, "not_compared", OPEN),
    "it was asked for no address": (
        ISP,
        [lookup(ISP, record_type="AAAA"), *honest(ISP), *CONFIRMED],
        UNKNOWN,
        "not_compared",
        OPEN,
    ),
    "behind one who takes all of port 53": (
        PUBLIC,
        [lookup(PUBLIC, OTHER), *honest(PUBLIC), CAUGHT, *CONFIRMED],
        UNKNOWN,
        "port_53_intercepted",
        OPEN,
    ),
    "inside, before one who takes all of port 53": (
        ROUTER,
        [lookup(ROUTER, GOOD), *honest(ROUTER), CAUGHT, *CONFIRMED],
        UNKNOWN,
        "not_compared",
        OPEN,
    ),
    "a stub of this host with a zone of its own": (
        STUB,
        [lookup(STUB, OTHER, flags=("aa", "ra")), *honest(STUB), *CONFIRMED],
        WARN,
        "split_horizon",
        HOST,
    ),
}


@pytest.mark.parametrize("case", RESOLVER.values(), ids=RESOLVER)
def test_resolver(case: tuple[str, Row, Status, str, FaultDomain | None]) -> None:
    server, facts, *expected = case
    check(judge([system(GOOD), *facts], "dns.resolver", server), *expected)  # type: ignore[arg-type]


def records(rtype: str, *data: str, failure: Failure | None = None) -> Lookup:
    name = NAME if rtype == "NAPTR" else f"_sip._tcp.{NAME}"
    answers = tuple(DnsRecord(name=f"{name}.", type=rtype, ttl_s=60, data=text) for text in data)
    failure = failure or (None if data else NODATA)
    return lookup(ISP, purpose="records", record_type=rtype, name=name, answers=answers, failure=failure)


def test_without_records_the_port_is_what_counts() -> None:
    finding = judge([system(GOOD), records("NAPTR"), records("SRV")], "dns.records")
    check(finding, PASS, "explicit_port", None)
    assert "RFC 3263" in finding.summary
    assert "port 5070" in finding.summary
    assert "5060" in finding.summary


def test_records_are_shown() -> None:
    finding = judge([system(GOOD), records("NAPTR"), records("SRV", f"0 5 5060 {NAME}.")], "dns.records")
    check(finding, PASS, "explicit_port", None)
    assert f"SRV 0 5 5060 {NAME}." in finding.summary


def test_records_that_were_not_answered_are_unknown() -> None:
    check(
        judge([system(GOOD), records("NAPTR"), records("SRV", failure=TIMEOUT)], "dns.records"),
        UNKNOWN,
        "not_measured",
        OPEN,
    )


RESOLUTION: dict[str, tuple[Row, Status, str, FaultDomain | None]] = {
    "a neighbour is no disagreement": (
        [system(GOOD), lookup(ROUTER, GOOD), lookup(ISP, NEIGHBOUR)],
        PASS,
        "resolved",
        None,
    ),
    "the zone knows both": (
        [system(GOOD), lookup(ROUTER, GOOD), lookup(ISP, OTHER), root(), authority(GOOD, OTHER), walk()],
        PASS,
        "resolved",
        None,
    ),
    "asked again it has the same": (
        [system(GOOD), lookup(ROUTER, GOOD), lookup(ISP, OTHER), lookup(ISP, GOOD)],
        PASS,
        "resolved",
        None,
    ),
    "the zone speaks against a denial": (
        [system(GOOD), lookup(ROUTER, GOOD), lookup(ISP), *CONFIRMED],
        WARN,
        "nameservers_disagree",
        BY_ISP,
    ),
    "the zone speaks against all": (
        [system(OTHER), lookup(ISP, OTHER), *CONFIRMED],
        WARN,
        "authority_differs",
        OPEN,
    ),
    "the zone has it, the nameserver denies it": ([system(), lookup(ISP), *CONFIRMED], Status.FAIL, "nxdomain", BY_ISP),
    "the zone denies it": (
        [system(), lookup(ROUTER), root(), authority(), walk("denied")],
        Status.FAIL,
        "nxdomain",
        PROVIDER,
    ),
    "who intercepts is not believed": (
        [system(), lookup(ROUTER), root(flags=("ra",)), authority(), walk("denied")],
        Status.FAIL,
        "nxdomain",
        OPEN,
    ),
    "validation fails": (
        [system(failure=SERVFAIL), lookup(ISP, failure=SERVFAIL), control(ISP, NAME, GOOD), *CONFIRMED],
        Status.FAIL,
        "servfail",
        OPEN,
    ),
}


@pytest.mark.parametrize("case", RESOLUTION.values(), ids=RESOLUTION)
def test_resolution_by_what_the_zone_says(case: tuple[Row, Status, str, FaultDomain | None]) -> None:
    check(judge(case[0], "dns.resolution"), *case[1:])


def test_without_the_long_look_there_is_no_more_than_the_resolution() -> None:
    evidence = CheckEvidence(version=2, offset_ms=0.0, duration_ms=0.0, error=None, facts=(system(GOOD),))
    findings = dns_check.judge(Facts({"dns": evidence}), PROFILE, Settings(checks=("dns", "sip")))
    assert [finding.id for finding in findings] == ["dns.resolution"]
