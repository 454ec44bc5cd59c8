"""What is measured on the way from the root servers to the zone, against nameservers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from checks.fakes import FakeNetwork, measured
from checks.test_dns import Respond, answer, nameserver

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns import check as dns_check
from vsipcheck.checks.dns import walk as dns_walk
from vsipcheck.model import Failure, Family, Lookup, Note, Settings
from vsipcheck.net import Nameserver, SystemLookup
from vsipcheck.profiles import load_profile, override

NAME = "pstn.in2.exotel.com"
GOOD, OTHER = "182.76.143.101", "49.44.99.9"
PROFILE = override(load_profile("exotel-tcp-mumbai"), fqdns=[NAME])
SETTINGS = Settings(checks=("dns",), timeout_s=0.5)
ROOTS = tuple(dns_walk.ROOT_SERVERS.values())
TLD, ZONE_1, ZONE_2 = "192.5.6.30", "205.251.192.10", "205.251.196.20"


def referral(query: dns.message.Message, zone: str, *glue: str, names: int = 1) -> list[bytes]:
    response = dns.message.make_response(query)
    targets = [
        f"ns{number}.{zone.lstrip('.')}" if glue else f"ns{number}.hosting.com."
        for number in range(max(names, len(glue)))
    ]
    response.authority.append(dns.rrset.from_text(zone, 60, "IN", "NS", *targets))
    for target, address in zip(targets, glue, strict=False):
        response.additional.append(dns.rrset.from_text(target, 60, "IN", "A", address))
    return [response.to_wire()]


def authoritative(query: dns.message.Message, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> list[bytes]:
    response = answer(query, *records, rcode=rcode)
    response.flags |= dns.flags.AA
    response.flags &= ~dns.flags.RA
    return [response.to_wire()]


def root(query: dns.message.Message) -> list[bytes]:
    return referral(query, "com.", TLD)


def tld(query: dns.message.Message) -> list[bytes]:
    return referral(query, "exotel.com.", ZONE_1, ZONE_2)


def zone(query: dns.message.Message) -> list[bytes]:
    name = str(query.question[0].name)
    if name == f"{NAME}.":
        return authoritative(query, f"{name} 300 A {GOOD}")
    return authoritative(query, rcode=dns.rcode.NXDOMAIN)


def resolver(query: dns.message.Message) -> list[bytes]:
    name = str(query.question[0].name)
    if name == f"{NAME}.":
        return [answer(query, *([f"{name} 60 A {GOOD}"] if query.question[0].rdtype == 1 else [])).to_wire()]
    return [answer(query, rcode=dns.rcode.NXDOMAIN).to_wire()]


TREE: dict[str, Respond] = {**dict.fromkeys(ROOTS, root), TLD: tld, ZONE_1: zone, ZONE_2: zone}


def measure(
    tree: Mapping[str, Respond], *, settings: Settings = SETTINGS, local: Respond = resolver
) -> tuple[Facts, list[tuple[str, dns.message.Message]]]:
    async def run() -> tuple[Facts, FakeNetwork]:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(nameserver(local, []))
            network = FakeNetwork(names={(NAME, Family.IPV4): SystemLookup((GOOD,), 3.0)}, nameservers=[server])
            ports: dict[int, Nameserver] = {}
            for address, respond in tree.items():
                key = id(respond)
                if key not in ports:
                    ports[key] = await stack.enter_async_context(nameserver(respond, []))
                network.dns_ports[address] = ports[key].port
            return await measured(network, [dns_check.CHECK], PROFILE, settings), network

    facts, network = asyncio.run(run())
    return facts, [(server, dns.message.from_wire(query)) for server, query in network.dns_asked]


def walk_of(facts: Facts) -> Note:
    return next(note for note in facts.of(Note) if note.topic == "dns_walk")


def on_the_way(facts: Facts) -> list[Lookup]:
    return [lookup for lookup in facts.of(Lookup) if lookup.purpose == "authority"]


def test_from_the_root_to_both_servers_of_the_zone() -> None:
    facts, asked = measure(TREE)
    note = walk_of(facts)
    assert (note.values["ended"], note.values["zone"]) == ("answered", "exotel.com.")
    assert sorted(note.values["servers"]) == [ZONE_1, ZONE_2]
    way = on_the_way(facts)
    assert [lookup.server_source for lookup in way[:2]] == ["root servers", "servers of com."]
    assert {lookup.server for lookup in way if lookup.addresses == (GOOD,)} == {ZONE_1, ZONE_2}
    assert all("aa" in lookup.flags for lookup in way if lookup.addresses)
    outside = [query for server, query in asked if server in TREE]
    assert len(outside) == 5  # the zone is asked for a name that cannot exist, too
    assert not any(query.flags & dns.flags.RD for query in outside)


def test_names_that_cannot_exist_are_asked_of_each_nameserver_and_nobody_is_asked_where_nobody_is() -> None:
    facts, asked = measure(TREE)
    controls = [lookup for lookup in facts.of(Lookup) if lookup.purpose == "control"]
    made_up = {lookup.name.partition(".")[2] for lookup in controls if lookup.server == "127.0.0.1"}
    assert made_up == {"invalid", "in2.exotel.com"}
    assert sum(server == "192.0.2.1" for server, _ in asked) == 1
    assert {(lookup.name, lookup.record_type) for lookup in facts.of(Lookup) if lookup.purpose == "records"} == {
        (NAME, "NAPTR"),
        (f"_sip._tcp.{NAME}", "SRV"),
    }


def test_a_whole_run_without_need_asks_nobody_else() -> None:
    facts, asked = measure(TREE, settings=Settings(checks=("dns", "sip"), timeout_s=0.5))
    assert {server for server, _ in asked} == {"127.0.0.1"}
    assert len(asked) == 2
    assert not [note for note in facts.of(Note) if note.topic.startswith("dns_")]


def test_a_whole_run_asks_when_a_nameserver_says_otherwise_and_that_one_again() -> None:
    def lying(query: dns.message.Message) -> list[bytes]:
        name = str(query.question[0].name)
        return [answer(query, f"{name} 60 A {OTHER}").to_wire()]

    facts, _ = measure(TREE, settings=Settings(checks=("dns", "sip"), timeout_s=0.5), local=lying)
    assert walk_of(facts).values["ended"] == "answered"
    said = [lookup for lookup in facts.of(Lookup) if lookup.purpose == "trunk" and lookup.addresses == (OTHER,)]
    assert len(said) == 3


def test_a_failure_is_asked_once_more_without_validation() -> None:
    def bogus(query: dns.message.Message) -> list[bytes]:
        if query.flags & dns.flags.CD:
            return resolver(query)
        return [answer(query, rcode=dns.rcode.SERVFAIL).to_wire()]

    facts, _ = measure(TREE, local=bogus)
    unchecked = [lookup for lookup in facts.of(Lookup) if lookup.purpose == "control" and lookup.name == NAME]
    assert [lookup.addresses for lookup in unchecked if lookup.server != "192.0.2.1"] == [(GOOD,)]


def lame(query: dns.message.Message) -> list[bytes]:
    return referral(query, "exotel.com.")


def bites_its_tail(query: dns.message.Message) -> list[bytes]:
    return referral(query, "com.", TLD)


def upwards(query: dns.message.Message) -> list[bytes]:
    return referral(query, ".", "198.41.0.4")


def recursing(query: dns.message.Message) -> list[bytes]:
    return resolver(query)


def refusing(query: dns.message.Message) -> list[bytes]:
    return [answer(query, rcode=dns.rcode.REFUSED).to_wire()]


def silent(query: dns.message.Message) -> list[bytes]:
    return []


def denying(query: dns.message.Message) -> list[bytes]:
    return authoritative(query, rcode=dns.rcode.NXDOMAIN)


def endless(query: dns.message.Message) -> list[bytes]:
    """Each alias leads to the next one, for ever."""
    name = query.question[0].name.to_text()
    return authoritative(query, f"{name} 60 CNAME a{len(name)}.{name}")


@pytest.mark.parametrize(
    ("changed", "ended"),
    [
        ({TLD: lame}, "lame"),
        ({TLD: bites_its_tail}, "not_authoritative"),
        ({TLD: upwards}, "not_authoritative"),
        (dict.fromkeys(ROOTS, recursing), "not_authoritative"),
        (dict.fromkeys(ROOTS, refusing), "refused"),
        (dict.fromkeys(ROOTS, silent), "silent"),
        ({ZONE_1: silent, ZONE_2: silent}, "silent"),
        ({ZONE_1: silent}, "answered"),
        ({ZONE_1: refusing}, "answered"),
        ({ZONE_1: denying, ZONE_2: denying}, "denied"),
        ({ZONE_1: endless, ZONE_2: endless}, "too_long"),
    ],
)
def test_how_a_walk_ends(changed: Mapping[str, Respond], ended: str) -> None:
    facts, asked = measure({**TREE, **changed})
    assert walk_of(facts).values["ended"] == ended
    assert len([server for server, _ in asked if server in TREE]) <= dns_walk.MAX_QUERIES


def test_a_zone_whose_servers_have_names_elsewhere() -> None:
    def foreign(query: dns.message.Message) -> list[bytes]:
        if str(query.question[0].name).endswith("hosting.com."):
            return referral(query, "hosting.com.", ZONE_2)
        return referral(query, "exotel.com.")

    def both(query: dns.message.Message) -> list[bytes]:
        name = str(query.question[0].name)
        return authoritative(query, f"{name} 300 A {GOOD if name == f'{NAME}.' else ZONE_2}")

    facts, _ = measure({**TREE, TLD: foreign, ZONE_2: both})
    assert walk_of(facts).values["ended"] == "answered"


def test_an_alias_into_another_zone_is_followed() -> None:
    def aliased(query: dns.message.Message) -> list[bytes]:
        name = str(query.question[0].name)
        if name == f"{NAME}.":
            return authoritative(query, f"{name} 300 CNAME in2.edge.com.")
        return authoritative(query, f"{name} 60 A {GOOD}")

    def by_name(query: dns.message.Message) -> list[bytes]:
        name = str(query.question[0].name)
        return referral(query, "edge.com." if name.endswith("edge.com.") else "exotel.com.", ZONE_1)

    facts, _ = measure({**TREE, TLD: by_name, ZONE_1: aliased})
    assert (walk_of(facts).values["ended"], walk_of(facts).values["zone"]) == ("answered", "edge.com.")


@pytest.mark.parametrize("name", [f"{'a' * 64}.example", "a..example", ".".join(["a" * 60] * 5)])
def test_what_dns_cannot_carry_is_not_walked_to(name: str) -> None:
    assert dns_walk._parse(name) is None


def test_garbage_on_the_way_is_a_failure_of_that_server() -> None:
    facts, _ = measure({**TREE, **dict.fromkeys(ROOTS, lambda query: [b"\xff" * 40, query.to_wire()])})
    assert walk_of(facts).values["ended"] == "silent"
    assert {lookup.failure for lookup in on_the_way(facts)} <= {Failure.MISMATCH, Failure.CANCELLED}
