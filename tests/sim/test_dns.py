"""The simulated nameservers, asked over real sockets and read by dnspython."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from vsipcheck.sim.dns import LOOPBACK, ROOT_SERVERS, TLD_SERVER, ZONE_SERVERS, Authority, NameserverListener, Zone
from vsipcheck.sim.scenario import Dns, DnsRule, DnsServer, Name

SERVER = DnsServer(address="192.168.1.1", rtt_ms=0.0)
TRUNK = "pstn.in2.exotel.com"
NAMES = {
    TRUNK: Name(addresses=("182.76.143.101",), ttl_s=300),
    "pstn.in4.exotel.com": Name(addresses=("3.108.10.20",), ttl_s=60, cname=("a.example", "b.example")),
}


def ask(
    name: str, kind: str = "A", *, transport: str = "udp", rule: dict[str, Any] | None = None
) -> dns.message.Message:
    rules = (DnsRule(names="trunk", **rule),) if rule else ()
    zone = Zone(Dns(servers=(SERVER,), names=NAMES, rules=rules), {}, frozenset(NAMES))

    async def run() -> dns.message.Message:
        listener = NameserverListener(SERVER, zone)
        await listener.start()
        try:
            query = dns.message.make_query(name, kind)
            send = dns.asyncquery.udp if transport == "udp" else dns.asyncquery.tcp
            return await send(query, LOOPBACK, timeout=2.0 if not rule else 0.05, port=listener.port)
        finally:
            await listener.close()

    return asyncio.run(run())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_truth_with_its_cname_chain_and_ttls(transport: str) -> None:
    response = ask("PSTN.in4.exotel.com", transport=transport)
    assert [rrset.to_text().replace("PSTN", "pstn") for rrset in response.answer] == [
        "pstn.in4.exotel.com. 60 IN CNAME a.example.",
        "a.example. 60 IN CNAME b.example.",
        "b.example. 60 IN A 3.108.10.20",
    ]


def test_no_ipv6_address_is_nodata_and_an_unknown_name_is_nxdomain() -> None:
    nodata = ask(TRUNK, "AAAA")
    assert (nodata.rcode(), nodata.answer) == (dns.rcode.NOERROR, [])
    assert ask("nobody.example").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("behaviour", ["nxdomain", "servfail", "refused"])
def test_rcodes(behaviour: str) -> None:
    assert ask(TRUNK, rule={"behaviour": behaviour}).rcode() == dns.rcode.from_text(behaviour)


def test_nodata_hijack_and_truncation() -> None:
    assert ask(TRUNK, rule={"behaviour": "nodata"}).answer == []
    hijacked = ask(TRUNK, rule={"behaviour": "hijack", "addresses": ("10.0.0.1",)})
    assert hijacked.answer[0][0].to_text() == "10.0.0.1"
    short = ask(TRUNK, rule={"behaviour": "truncated"})
    assert short.flags & dns.flags.TC
    assert not short.answer
    assert ask(TRUNK, transport="tcp", rule={"behaviour": "truncated"}).answer


def test_silence_and_answers_to_nothing_that_was_asked() -> None:
    with pytest.raises(dns.exception.Timeout):
        ask(TRUNK, rule={"behaviour": "silent"})
    for behaviour in ("wrong_id", "other_question"):
        with pytest.raises(dns.query.BadResponse):
            ask(TRUNK, rule={"behaviour": behaviour})


def test_a_rule_is_for_its_servers_and_names_alone() -> None:
    rules = (
        DnsRule(names="helper", behaviour="silent"),
        DnsRule(names="trunk", behaviour="servfail", servers=("9.9.9.9",)),
        DnsRule(names="any", behaviour="refused", servers=("8.8.8.8",)),
    )
    zone = Zone(Dns(servers=(SERVER,), names=NAMES, rules=rules), {}, frozenset(NAMES))
    assert zone.rule_for("192.168.1.1", TRUNK) is None
    assert zone.rule_for("9.9.9.9", TRUNK) is rules[1]
    assert zone.rule_for("8.8.8.8", TRUNK) is rules[2]
    assert zone.rule_for("9.9.9.9", "stun.example") is rules[0]


@pytest.mark.parametrize("wire", [b"", b"\x00", bytes(12), b"\xff" * 40])
def test_garbage_gets_no_answer(wire: bytes) -> None:
    zone = Zone(Dns(servers=(SERVER,), names=NAMES), {}, frozenset(NAMES))
    assert zone.respond("192.168.1.1", wire, "udp") is None


def ask_authority(server: str, name: str) -> dns.message.Message:
    tree = Authority(Dns(servers=(), names=NAMES), {}, frozenset())
    query = dns.message.make_query(name, "A", flags=0)
    answer = tree.respond(server, query.to_wire(), "udp")
    assert answer is not None
    return dns.message.from_wire(answer)


@pytest.mark.parametrize(
    ("server", "zone", "next_servers"),
    [(ROOT_SERVERS[0], "com.", {TLD_SERVER}), (TLD_SERVER, "exotel.com.", set(ZONE_SERVERS))],
)
def test_the_root_and_the_tld_send_one_on_with_glue(server: str, zone: str, next_servers: set[str]) -> None:
    response = ask_authority(server, TRUNK)
    assert not response.answer
    assert not response.flags & (dns.flags.AA | dns.flags.RA)
    assert [rrset.name.to_text() for rrset in response.authority] == [zone]
    assert {rdata.to_text() for rrset in response.additional for rdata in rrset} == next_servers


def test_the_zones_own_servers_answer_with_authority_and_without_recursion() -> None:
    response = ask_authority(ZONE_SERVERS[0], TRUNK)
    assert response.answer[0][0].to_text() == "182.76.143.101"
    assert response.flags & dns.flags.AA
    assert not response.flags & dns.flags.RA
    assert ask_authority(ZONE_SERVERS[1], "nobody.exotel.com").rcode() == dns.rcode.NXDOMAIN
