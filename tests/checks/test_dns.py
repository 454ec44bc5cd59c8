"""dns.resolution: one row for every verdict, and what is measured against nameservers that lie or keep still."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from checks.fakes import FakeNetwork, measured, serving

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns import check as dns_check
from vsipcheck.model import (
    CheckEvidence,
    Confidence,
    Failure,
    Family,
    FaultDomain,
    Finding,
    Icmp,
    Lookup,
    Note,
    Profile,
    Settings,
    Status,
)
from vsipcheck.net import Nameserver, SystemLookup
from vsipcheck.profiles import load_profile, override

PROFILE = load_profile("exotel-tcp-mumbai")
NAME, OTHER = (pop.fqdn for pop in PROFILE.signalling.pops)
SETTINGS = Settings(checks=("dns", "sip"), timeout_s=0.4)  # a whole run: no long look unless there is need
GOOD, ELSEWHERE = "182.76.143.101", "3.108.10.20"
ROUTER, ISP_1, ISP_2, STUB = "192.168.1.1", "49.44.0.53", "49.44.1.53", "127.0.0.53"


# --- judge


def system(*addresses: str, name: str = NAME, record_type: str = "A", **more: object) -> Lookup:
    return Lookup(
        **{  # type: ignore[arg-type]
            "name": name,
            "record_type": record_type,
            "purpose": "trunk",
            "server": None,
            "addresses": addresses,
            "rtt_ms": 12.0,
            "failure": None if addresses else Failure.NXDOMAIN,
            **more,
        }
    )


def told(server: str, *addresses: str, **more: object) -> Lookup:
    return system(
        *addresses, **({"server": server, "transport": "udp", "server_source": "resolv.conf", "ttl_s": 60} | more)
    )  # type: ignore[arg-type]


def reference(server: str, *addresses: str, **more: object) -> Lookup:
    return told(server, *addresses, purpose="reference", server_source="--resolver", **more)


def servers(count: int) -> Note:
    return Note(topic="nameservers", text="", values={"count": count})


def judge(
    facts: Sequence[Lookup | Note],
    *,
    name: str = NAME,
    settings: Settings = SETTINGS,
    profile: Profile = PROFILE,
    error: str | None = None,
) -> Finding:
    kept = []
    for number, fact in enumerate(facts):
        kept.append(
            type(fact)(**({field: getattr(fact, field) for field in fact.__struct_fields__} | {"id": f"dns.{number}"}))
        )
    evidence = CheckEvidence(version=1, offset_ms=0.0, duration_ms=0.0, error=error, facts=tuple(kept))
    findings = dns_check.judge(Facts({"dns": evidence}), profile, settings)
    findings = [finding for finding in findings if finding.id == "dns.resolution"]
    assert [finding.target for finding in findings] == [pop.fqdn for pop in profile.signalling.pops]
    return next(finding for finding in findings if finding.target == name)


NXDOMAIN, NODATA, SERVFAIL = Failure.NXDOMAIN, Failure.NODATA, Failure.SERVFAIL
TIMEOUT, REFUSED = Failure.DNS_TIMEOUT, Failure.DNS_REFUSED
HOST, NETWORK, ISP = FaultDomain.HOST, FaultDomain.LOCAL_NETWORK, FaultDomain.ISP
PROVIDER, OPEN = FaultDomain.PROVIDER, FaultDomain.UNDETERMINED
PASS, WARN, FAIL, UNKNOWN = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN

ROWS: list[tuple[str, list[Lookup | Note], Status, str, FaultDomain | None]] = [
    ("agreed", [servers(1), system(GOOD), told(ROUTER, GOOD)], PASS, "resolved", None),
    ("no nameserver, an answer all the same", [servers(0), system(GOOD)], PASS, "resolved", None),
    (
        "a rotating set that overlaps",
        [system(GOOD, "1.2.3.4"), told(ROUTER, "1.2.3.4", "1.2.3.5")],
        PASS,
        "resolved",
        None,
    ),
    ("no AAAA is nothing bad", [system(GOOD), system(record_type="AAAA", failure=NODATA)], PASS, "resolved", None),
    ("our reference keeps silent", [system(GOOD), reference("8.8.8.8", failure=TIMEOUT)], PASS, "resolved", None),
    (
        "NAT64 alone",
        [system(failure=NODATA), system("64:ff9b::b64c:8f65", record_type="AAAA")],
        PASS,
        "resolved",
        None,
    ),
    (
        "NAT64 by a prefix of the network's own",
        [
            system(GOOD),
            system("2a01:4f8:1:64::b64c:8f65", record_type="AAAA"),
            system("2a01:4f8:1:64::c000:aa", name="ipv4only.arpa", record_type="AAAA", purpose="helper"),
        ],
        PASS,
        "resolved",
        None,
    ),
    (
        "one nameserver of two is dead",
        [system(GOOD), told(ROUTER, failure=TIMEOUT), told(ISP_1, GOOD)],
        WARN,
        "nameserver_failed",
        NETWORK,
    ),
    (
        "a public one is dead",
        [system(GOOD), told(ISP_1, failure=TIMEOUT), told(ROUTER, GOOD)],
        WARN,
        "nameserver_failed",
        OPEN,
    ),
    (
        "one has no DNS service",
        [
            system(GOOD),
            told(STUB, failure=Failure.PORT_UNREACHABLE, icmp=Icmp(address=STUB, type=3, code=3)),
            told(ISP_1, GOOD),
        ],
        WARN,
        "nameserver_failed",
        HOST,
    ),
    ("one fails", [system(GOOD), told(ROUTER, GOOD), told(ISP_1, failure=SERVFAIL)], WARN, "nameserver_failed", OPEN),
    ("every nameserver fails us", [system(GOOD), told(ROUTER, failure=TIMEOUT)], WARN, "nameservers_failed", NETWORK),
    (
        "one says NXDOMAIN",
        [system(GOOD), told(ROUTER, failure=NXDOMAIN), told(ISP_1, GOOD)],
        WARN,
        "nameservers_disagree",
        NETWORK,
    ),
    (
        "one says another address",
        [system(GOOD), told(ROUTER, GOOD), told(ISP_1, "1.2.3.4")],
        WARN,
        "nameservers_disagree",
        OPEN,
    ),
    ("one is poisoned", [system(GOOD), told(ROUTER, GOOD), told(ISP_1, "10.0.0.1")], WARN, "nameservers_disagree", ISP),
    (
        "the system alone says so",
        [system(GOOD), told(ROUTER, "1.2.3.4"), told(ISP_1, "1.2.3.4")],
        WARN,
        "system_differs",
        HOST,
    ),
    (
        "the nameserver does not know the name",
        [system(GOOD), told(ROUTER, failure=NXDOMAIN)],
        WARN,
        "system_differs",
        HOST,
    ),
    (
        "our reference says otherwise",
        [system(GOOD), told(ROUTER, GOOD), reference("8.8.8.8", "1.2.3.4")],
        WARN,
        "reference_differs",
        OPEN,
    ),
    ("one address for both", [system(GOOD), system(GOOD, name=OTHER)], WARN, "shared_address", OPEN),
    (
        "one address for both, and the reference agrees",
        [system(GOOD), system(GOOD, name=OTHER), reference("8.8.8.8", GOOD), reference("8.8.8.8", GOOD, name=OTHER)],
        PASS,
        "resolved",
        None,
    ),
    (
        "AAAA fails",
        [system(GOOD), told(ROUTER, GOOD), told(ROUTER, record_type="AAAA", failure=TIMEOUT)],
        WARN,
        "aaaa_failed",
        NETWORK,
    ),
    ("slow", [system(GOOD, rtt_ms=1500.0), told(ROUTER, GOOD)], WARN, "slow", OPEN),
    ("IPv6 alone", [system(failure=NODATA), system("2600:1f18::1", record_type="AAAA")], WARN, "only_ipv6", OPEN),
    ("NXDOMAIN by one private resolver", [system(), told(ROUTER, failure=NXDOMAIN)], FAIL, "nxdomain", OPEN),
    (
        "NXDOMAIN by several public ones",
        [system(), told(ISP_1, failure=NXDOMAIN), told(ISP_2, failure=NXDOMAIN)],
        FAIL,
        "nxdomain",
        PROVIDER,
    ),
    (
        "NXDOMAIN, but not everywhere",
        [system(), told(ROUTER, failure=NXDOMAIN), told(ISP_1, GOOD)],
        FAIL,
        "nxdomain",
        NETWORK,
    ),
    ("NXDOMAIN against the reference", [system(), reference("8.8.8.8", GOOD)], FAIL, "nxdomain", OPEN),
    (
        "NXDOMAIN, and references agree",
        [system(), reference("8.8.8.8", failure=NXDOMAIN), reference("9.9.9.9", failure=NXDOMAIN)],
        FAIL,
        "nxdomain",
        PROVIDER,
    ),
    ("NXDOMAIN by the system alone", [system(), told(ROUTER, GOOD)], FAIL, "nxdomain", HOST),
    ("no address", [system(failure=NXDOMAIN), told(ROUTER, failure=NODATA)], FAIL, "no_address", OPEN),
    ("SERVFAIL", [system(failure=SERVFAIL), told(ISP_1, failure=SERVFAIL)], FAIL, "servfail", OPEN),
    (
        "a dead private resolver",
        [system(failure=SERVFAIL), told(ROUTER, failure=TIMEOUT)],
        FAIL,
        "dns_timeout",
        NETWORK,
    ),
    ("a dead public resolver", [system(failure=SERVFAIL), told(ISP_1, failure=TIMEOUT)], FAIL, "dns_timeout", OPEN),
    (
        "a dead stub",
        [system(failure=SERVFAIL), told(STUB, failure=Failure.PORT_UNREACHABLE)],
        FAIL,
        "port_unreachable",
        HOST,
    ),
    (
        "the dead one is asked first",
        [system(failure=TIMEOUT), told(ROUTER, failure=TIMEOUT), told(ISP_1, GOOD)],
        FAIL,
        "dns_timeout",
        NETWORK,
    ),
    (
        "the system waited in vain while its nameserver answers the second time: loss",
        [system(failure=TIMEOUT), told(ISP_1, GOOD, rtt_ms=1012.0), told(ISP_1, record_type="AAAA", failure=NODATA)],
        UNKNOWN,
        "resolution_unsteady",
        OPEN,
    ),
    (
        "the system waits in vain while its nameserver answers at once",
        [system(failure=TIMEOUT), told(ISP_1, GOOD), told(ISP_1, record_type="AAAA", failure=NODATA)],
        FAIL,
        "dns_timeout",
        HOST,
    ),
    ("REFUSED", [system(failure=SERVFAIL), told(ROUTER, failure=REFUSED)], FAIL, "dns_refused", NETWORK),
    (
        "answers to other questions",
        [system(failure=TIMEOUT), told(ISP_1, failure=Failure.MISMATCH)],
        FAIL,
        "mismatch",
        OPEN,
    ),
    ("no nameserver", [servers(0), system(failure=SERVFAIL)], FAIL, "no_nameserver", HOST),
    ("no route", [system(failure=SERVFAIL), told(ISP_1, failure=Failure.NO_ROUTE)], FAIL, "no_route", HOST),
    (
        "a firewall of this host",
        [system(failure=SERVFAIL), told(ISP_1, failure=Failure.LOCAL_DENIED)],
        FAIL,
        "local_denied",
        HOST,
    ),
    ("nobody was asked directly", [servers(1), system(failure=SERVFAIL)], FAIL, "servfail", OPEN),
    ("hijack by the router", [system("10.0.0.1"), told(ROUTER, "10.0.0.1")], FAIL, "special_purpose_answer", NETWORK),
    (
        "hijack by the ISP",
        [system("100.64.3.3"), told(ISP_1, "100.64.3.3"), told(ROUTER, GOOD)],
        FAIL,
        "special_purpose_answer",
        ISP,
    ),
    ("sinkhole", [system("0.0.0.0"), told(STUB, "0.0.0.0")], FAIL, "special_purpose_answer", HOST),
    ("/etc/hosts", [system("127.0.1.1"), told(ROUTER, GOOD)], FAIL, "special_purpose_answer", HOST),
    ("special, and nobody was asked", [system("192.0.2.1")], FAIL, "special_purpose_answer", OPEN),
    (
        "one good, one special",
        [system(GOOD, "10.0.0.1"), told(ROUTER, GOOD, "10.0.0.1")],
        FAIL,
        "special_purpose_answer",
        NETWORK,
    ),
    (
        "IPv6 sinkhole",
        [system(GOOD), system("::", record_type="AAAA"), told(ROUTER, GOOD)],
        FAIL,
        "special_purpose_answer",
        OPEN,
    ),
    (
        "IPv6 sinkhole of the router",
        [system(GOOD), system("::", record_type="AAAA"), told(ROUTER, "::", record_type="AAAA")],
        FAIL,
        "special_purpose_answer",
        NETWORK,
    ),
    (
        "IPv6 in /etc/hosts",
        [system(GOOD), system("::1", record_type="AAAA"), told(ROUTER, record_type="AAAA", failure=NODATA)],
        FAIL,
        "special_purpose_answer",
        HOST,
    ),
    (
        "NAT64 with something private in it",
        [system(failure=NODATA), system("64:ff9b::a00:1", record_type="AAAA")],
        FAIL,
        "special_purpose_answer",
        OPEN,
    ),
    ("the system was not asked", [reference("8.8.8.8", failure=TIMEOUT)], UNKNOWN, "not_measured", OPEN),
    ("cancelled", [system(failure=Failure.CANCELLED)], UNKNOWN, "not_measured", OPEN),
    ("our own error", [system(failure=Failure.LOCAL_ERROR), told(ROUTER, GOOD)], UNKNOWN, "not_measured", OPEN),
]


@pytest.mark.parametrize(
    ("facts", "status", "reason", "domain"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_verdict(facts: list[Lookup | Note], status: Status, reason: str, domain: FaultDomain | None) -> None:
    finding = judge(facts)
    assert (finding.status, finding.reason, finding.fault_domain) == (status, reason, domain)
    assert NAME in finding.summary
    assert (finding.confidence is Confidence.PROVEN) or (status is not PASS)
    if status in (WARN, FAIL, UNKNOWN):
        assert finding.remedy or finding.settle_by


def test_icmp_from_a_router_names_its_sender() -> None:
    prohibited = told(ISP_1, failure=Failure.ADMIN_PROHIBITED, icmp=Icmp(address=ROUTER, type=3, code=13))
    finding = judge([system(failure=SERVFAIL), prohibited])
    assert (finding.status, finding.reason, finding.fault_domain) == (FAIL, "admin_prohibited", NETWORK)
    assert ROUTER in finding.summary


@pytest.mark.parametrize(
    ("other", "reason", "domain"),
    [
        (
            {"failure": Failure.ADMIN_PROHIBITED, "icmp": Icmp(address=ROUTER, type=3, code=13)},
            "admin_prohibited",
            NETWORK,
        ),
        ({"failure": TIMEOUT}, "dns_timeout", OPEN),
    ],
)
def test_one_icmp_error_tells_why_other_questions_met_with_silence(
    other: dict[str, object], reason: str, domain: FaultDomain
) -> None:
    """Routers ration them."""
    silent = told(ISP_1, failure=TIMEOUT)
    control = told(ISP_1, name="random.invalid", purpose="control", **other)
    finding = judge([system(failure=TIMEOUT), silent, control])
    assert (finding.status, finding.reason, finding.fault_domain) == (FAIL, reason, domain)
    assert (ROUTER in finding.summary) == ("dns.2" in finding.facts) == ("icmp" in other)
    # A nameserver that answers something is not cut off.
    answered = told(ISP_1, name="other.invalid", purpose="control", failure=NXDOMAIN, rcode="NXDOMAIN")
    assert judge([system(failure=TIMEOUT), silent, control, answered]).reason == "dns_timeout"


def test_a_dated_address_that_moved_is_a_warning() -> None:
    import msgspec

    pops = tuple(msgspec.structs.replace(pop, addresses=("1.2.3.4",)) for pop in PROFILE.signalling.pops)
    signalling = msgspec.structs.replace(PROFILE.signalling, pops=pops)
    dated = msgspec.structs.replace(PROFILE, signalling=signalling)
    finding = judge([system(GOOD), told(ROUTER, GOOD)], profile=dated)
    assert (finding.status, finding.reason) == (WARN, "address_not_in_profile")
    assert judge([system("1.2.3.4"), told(ROUTER, "1.2.3.4")], profile=dated).status is PASS


def test_every_doubt_is_told() -> None:
    finding = judge([system(GOOD, rtt_ms=1500.0), told(ROUTER, failure=TIMEOUT), told(ISP_1, GOOD)])
    assert finding.reason == "nameserver_failed"
    assert "slow" in finding.summary
    assert {measure.name: measure.value for measure in finding.measures}["system_rtt_ms"] == 1500.0


def test_an_address_literal_is_skipped() -> None:
    literal = override(PROFILE, fqdns=["182.76.143.101"])
    finding = judge([], name="182.76.143.101", profile=literal)
    assert (finding.status, finding.reason, finding.fault_domain) == (Status.SKIP, "address_literal", None)


def test_only_the_asked_family_counts() -> None:
    six = Settings(checks=("dns",), family=Family.IPV6)
    finding = judge(
        [system(record_type="AAAA", failure=NODATA), told(ISP_1, record_type="AAAA", failure=NODATA)], settings=six
    )
    assert (finding.status, finding.reason) == (FAIL, "no_address")
    assert judge([system("2600:1f18::1", record_type="AAAA")], settings=six).status is PASS


def test_the_deadline_is_told() -> None:
    assert "the run ended first" in judge([], error="deadline").summary


# --- measure

Respond = Callable[[dns.message.Message], Sequence[bytes]]


def answer(
    query: dns.message.Message, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR
) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(rcode)
    for record in records:
        name, ttl, rtype, data = record.split()
        response.answer.append(dns.rrset.from_text(name, int(ttl), "IN", rtype, data))
    return response


def a(query: dns.message.Message) -> list[bytes]:
    name = query.question[0].name
    address = GOOD if str(name) == f"{NAME}." else ELSEWHERE
    return (
        [answer(query, f"{name} 60 A {address}").to_wire()]
        if query.question[0].rdtype == 1
        else [answer(query).to_wire()]
    )


class _Responder(asyncio.DatagramProtocol):
    def __init__(self, respond: Respond, asked: list[dns.message.Message]) -> None:
        self._respond = respond
        self._asked = asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self._asked.append(query)
        for reply in self._respond(query):
            self._transport.sendto(reply, addr)  # type: ignore[attr-defined]


@asynccontextmanager
async def nameserver(
    respond: Respond, asked: list[dns.message.Message], over_tcp: Respond | None = None
) -> AsyncIterator[Nameserver]:
    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert over_tcp is not None
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        query = dns.message.from_wire(await reader.readexactly(length))
        for reply in over_tcp(query):
            writer.write(struct.pack("!H", len(reply)) + reply)
        await writer.drain()

    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(stream)) if over_tcp else 0
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Responder(respond, asked), ("127.0.0.1", port))
        stack.callback(transport.close)
        yield Nameserver("127.0.0.1", transport.get_extra_info("sockname")[1], "resolv.conf")


def measure(
    respond: Respond, *, over_tcp: Respond | None = None, settings: Settings = SETTINGS
) -> tuple[Facts, list[dns.message.Message], FakeNetwork]:
    asked: list[dns.message.Message] = []

    async def run() -> tuple[Facts, FakeNetwork]:
        async with nameserver(respond, asked, over_tcp) as server:
            names = {
                (NAME, Family.IPV4): SystemLookup((GOOD,), 3.0),
                (OTHER, Family.IPV4): SystemLookup((ELSEWHERE,), 3.0),
            }
            network = FakeNetwork(names=names, nameservers=[server])
            return await measured(network, [dns_check.CHECK], PROFILE, settings), network

    facts, network = asyncio.run(run())
    return facts, asked, network


def direct(facts: Facts, name: str = NAME, record_type: str = "A") -> Lookup:
    return next(
        fact
        for fact in facts.of(Lookup)
        if fact.server
        and fact.purpose in ("trunk", "reference")
        and (fact.name, fact.record_type) == (name, record_type)
    )


def test_everything_is_asked_once() -> None:
    facts, asked, network = measure(a)
    assert sorted((str(query.question[0].name), query.question[0].rdtype.name) for query in asked) == sorted(
        (f"{name}.", rtype) for name in (NAME, OTHER) for rtype in ("A", "AAAA")
    )
    assert all(query.edns == 0 and query.payload == 1232 for query in asked)
    assert sorted(network.looked_up) == sorted((n, f) for n in (NAME, OTHER) for f in (Family.IPV4, Family.IPV6))
    assert facts.of(Note)[0].values["count"] == 1
    found = direct(facts)
    assert (found.addresses, found.ttl_s, found.rcode, found.transport) == ((GOOD,), 60, "NOERROR", "udp")
    assert found.failure is None
    assert found.rtt_ms is not None
    assert direct(facts, record_type="AAAA").failure is NODATA
    system_found = next(fact for fact in facts.of(Lookup) if fact.server is None and fact.name == NAME)
    assert (system_found.addresses, system_found.transport) == ((GOOD,), "system")


def test_only_the_wanted_family_is_asked() -> None:
    _, asked, network = measure(a, settings=Settings(checks=("dns", "sip"), timeout_s=0.4, family=Family.IPV4))
    assert {query.question[0].rdtype.name for query in asked} == {"A"}
    assert {family for _, family in network.looked_up} == {Family.IPV4}


def test_ipv4only_is_asked_only_after_an_ipv6_answer() -> None:
    network = FakeNetwork(names={(NAME, Family.IPV6): SystemLookup(("64:ff9b::b64c:8f65",), 3.0)})
    asyncio.run(measured(network, [dns_check.CHECK], PROFILE, SETTINGS))
    assert ("ipv4only.arpa", Family.IPV6) in network.looked_up


def test_a_given_resolver_is_a_reference() -> None:
    network = FakeNetwork(nameservers=[Nameserver("127.0.0.1", 9, "resolv.conf")])
    settings = Settings(checks=("dns", "sip"), timeout_s=0.05, resolvers=("127.0.0.1",))
    facts = asyncio.run(measured(network, [dns_check.CHECK], PROFILE, settings))
    lookups = [fact for fact in facts.of(Lookup) if fact.server == "127.0.0.1" and fact.record_type in ("A", "AAAA")]
    lookups = [fact for fact in lookups if fact.name in (NAME, OTHER)]
    assert {(fact.server_source, fact.purpose) for fact in lookups} == {("--resolver", "reference")}


def test_the_whole_chain_and_its_smallest_ttl() -> None:
    def respond(query: dns.message.Message) -> list[bytes]:
        name = query.question[0].name
        chain = (f"{name} 300 CNAME a.example.", "a.example. 30 CNAME b.example.", f"b.example. 90 A {GOOD}")
        return [answer(query, *chain, "stray.example. 1 A 6.6.6.6").to_wire()]

    found = direct(measure(respond)[0])
    assert found.cname_chain == ("a.example.", "b.example.")
    assert (found.addresses, found.ttl_s) == ((GOOD,), 30)
    assert len(found.answers) == 4


def test_a_chain_that_bites_its_tail_ends() -> None:
    def respond(query: dns.message.Message) -> list[bytes]:
        name = query.question[0].name
        return [answer(query, f"{name} 1 CNAME a.example.", f"a.example. 1 CNAME {name}").to_wire()]

    assert direct(measure(respond)[0]).failure is NODATA


def test_truncation_is_completed_over_tcp() -> None:
    def short(query: dns.message.Message) -> list[bytes]:
        response = answer(query)
        response.flags |= dns.flags.TC
        return [response.to_wire()]

    found = direct(measure(short, over_tcp=a)[0])
    assert (found.truncated, found.transport, found.addresses) == (True, "tcp", (GOOD,))


def test_truncation_without_tcp_is_told() -> None:
    def short(query: dns.message.Message) -> list[bytes]:
        response = answer(query)
        response.flags |= dns.flags.TC
        return [response.to_wire()]

    found = direct(measure(short)[0])
    assert (found.truncated, found.transport, found.failure) == (True, "tcp", Failure.REFUSED)


def test_a_server_from_before_edns_is_asked_again() -> None:
    def respond(query: dns.message.Message) -> Sequence[bytes]:
        return a(query) if query.edns < 0 else [answer(query, rcode=dns.rcode.FORMERR).to_wire()]

    facts, asked, _ = measure(respond)
    assert direct(facts).addresses == (GOOD,)
    assert len(asked) == 8


@pytest.mark.parametrize(
    ("rcode", "failure"),
    [
        (dns.rcode.NXDOMAIN, NXDOMAIN),
        (dns.rcode.SERVFAIL, SERVFAIL),
        (dns.rcode.REFUSED, REFUSED),
        (dns.rcode.YXDOMAIN, Failure.DNS_ERROR),
    ],
)
def test_rcode(rcode: dns.rcode.Rcode, failure: Failure) -> None:
    found = direct(measure(lambda query: [answer(query, rcode=rcode).to_wire()])[0])
    assert (found.failure, found.rcode) == (failure, dns.rcode.to_text(rcode))


def wrong_id(query: dns.message.Message) -> list[bytes]:
    response = answer(query, f"{NAME}. 60 A 6.6.6.6")
    response.id = query.id ^ 1
    return [response.to_wire()]


def other_question(query: dns.message.Message) -> list[bytes]:
    response = answer(dns.message.make_query("other.example", "A", id=query.id), "other.example. 60 A 6.6.6.6")
    return [response.to_wire()]


def no_question(query: dns.message.Message) -> list[bytes]:
    response = answer(query, f"{NAME}. 60 A 6.6.6.6")
    response.question = []
    return [response.to_wire()]


def our_own_query(query: dns.message.Message) -> list[bytes]:
    return [query.to_wire()]


def garbage(query: dns.message.Message) -> list[bytes]:
    return [query.id.to_bytes(2, "big") + b"\x81\x80" + b"\xff" * 40, b"", b"\0"]


@pytest.mark.parametrize("lie", [wrong_id, other_question, no_question, our_own_query, garbage])
def test_what_is_no_answer_is_passed_over(lie: Respond) -> None:
    found = direct(measure(lambda query: [*lie(query), *a(query)])[0])
    assert found.addresses == (GOOD,)
    assert found.detail is not None
    alone = direct(measure(lie, settings=Settings(checks=("dns", "sip"), timeout_s=0.1))[0])
    assert (alone.failure, alone.addresses) == (Failure.MISMATCH, ())


def test_an_empty_question_with_an_error_is_an_answer() -> None:
    def respond(query: dns.message.Message) -> list[bytes]:
        response = answer(query, rcode=dns.rcode.SERVFAIL)
        response.question = []
        return [response.to_wire()]

    assert direct(measure(respond)[0]).failure is SERVFAIL


def test_silence_is_a_timeout() -> None:
    found = direct(measure(lambda query: [], settings=Settings(checks=("dns", "sip"), timeout_s=0.1))[0])
    assert found.failure is TIMEOUT
    assert found.rcode is None


def test_an_address_literal_is_not_asked() -> None:
    network = FakeNetwork()
    facts = asyncio.run(measured(network, [dns_check.CHECK], override(PROFILE, fqdns=["182.76.143.101"]), SETTINGS))
    assert network.looked_up == []
    assert facts.of(Lookup) == []
