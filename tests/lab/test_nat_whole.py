"""What a gateway says of itself, and what a NAT does with ports and idle bindings: real routers, real STUN servers.

miniupnpd speaks NAT-PMP and UPnP on the customer's edge, coturn has two addresses (RFC 5780), nftables and conntrack
are the NATs.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.laboratory import COMMAND, Lab
from lab.scenario import PUBLIC, Rule, Scenario, no_time_exceeded
from lab.verdicts import Case, check_report, differences, run_case, told

NAT = ("nat",)
MUTE_EDGE = (*no_time_exceeded("edge"), Rule("edge", "output", "icmp type destination-unreachable drop"))


def at_router(**more: Any) -> Scenario:
    return Scenario(site="router", **more)


CASES = {
    "upnp-and-nat-pmp": Case(at_router(igd="miniupnpd"), None, "nat.cgnat - pass at_gateway - proven", NAT),
    # Nothing but the router's own word: no ICMP error ever leaves it.
    "mute-router-tells-its-address": Case(
        at_router(igd="miniupnpd", rules=MUTE_EDGE), None, "nat.cgnat - pass wan_is_public_address - proven", NAT
    ),
    "mute-router-tells-nothing": Case(at_router(rules=MUTE_EDGE), None, "nat.cgnat - unknown", NAT),
    "mute-router-behind-cgn": Case(
        at_router(igd="100.64.7.9", cgn="100.64", rules=MUTE_EDGE),
        None,
        "nat.cgnat - fail wan_in_shared_space isp proven",
        NAT,
    ),
    "cgn-and-wan-told": Case(
        at_router(igd="100.64.7.9", cgn="100.64"), None, "nat.cgnat - fail wan_in_shared_space isp proven", NAT
    ),
    # miniupnpd behind a carrier's NAT: NAT-PMP says "network failure", UPnP an empty address.
    "cgn-and-no-wan-named": Case(
        at_router(igd="miniupnpd", cgn="100.64"), None, "nat.cgnat - fail *carrier* isp likely", NAT
    ),
    # A daemon that has its address from a STUN server is contradicted by the routers behind it.
    "cgn-and-wan-from-stun": Case(at_router(igd=PUBLIC, cgn="100.64"), None, "nat.cgnat - fail *carrier* isp", NAT),
    "double-nat-proven": Case(
        at_router(igd="10.77.7.9", cgn="10"), None, "nat.cgnat - warn wan_is_private undetermined proven", NAT
    ),
    "double-nat-no-wan-named": Case(
        at_router(igd="miniupnpd", cgn="10"), None, "nat.cgnat - warn behind_second_router undetermined likely", NAT
    ),
    # A public WAN address behind an access router in 10.0.0.0/8 is nobody's second NAT.
    "pppoe": Case(at_router(access="pppoe"), None, "nat.cgnat - pass at_gateway - proven", NAT),
    "pppoe-and-upnp": Case(at_router(access="pppoe", igd="miniupnpd"), None, "nat.cgnat - pass at_gateway", NAT),
    "pppoe-mute-and-upnp": Case(
        at_router(access="pppoe", igd="miniupnpd", rules=MUTE_EDGE), None, "nat.cgnat - pass wan_is_public_address", NAT
    ),
    "two-uplinks": Case(
        at_router(second_uplink=True, igd="miniupnpd"),
        None,
        "nat.public_address - warn methods_disagree\nnat.cgnat - pass at_gateway",
        NAT,
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_gateway(name: str) -> None:
    report = run_case(f"nat-whole-{name}", CASES[name])
    cgnat = next(finding for finding in report["findings"] if finding["id"] == "nat.cgnat")
    if cgnat["status"] != "unknown":
        assert "Chain: 192.168.10.2 (this host) -> 192.168.10.1 (gateway" in cgnat["summary"]


def measures(report: dict[str, Any], id_: str) -> dict[str, Any]:
    finding = next(finding for finding in report["findings"] if finding["id"] == id_)
    return {measure["name"]: measure["value"] for measure in finding["measures"]}


@pytest.mark.parametrize(
    ("nat", "row", "depends_on"),
    [
        ("one_to_one", "nat.behaviour - pass endpoint_independent_mapping - proven", (0, 0)),
        ("restricted", "nat.behaviour - pass endpoint_independent_mapping - proven", (0, 1)),
        ("masquerade", "nat.behaviour - pass endpoint_independent_mapping - proven", (0, 2)),
        ("remap", "nat.behaviour - pass endpoint_independent_mapping - proven", (0, 2)),
        ("symmetric", "nat.behaviour - warn address_and_port_dependent_mapping local_network proven", (2, None)),
    ],
)
def test_behaviour(nat: Any, row: str, depends_on: tuple[int, int]) -> None:
    """RFC 4787 §4.1 and §5: 0 endpoint-independent, 1 address-dependent, 2 address-and-port-dependent.

    A symmetric NAT has another port for the other address, so that no control can show its silence to be a filter's.
    """
    report = run_case(f"nat-behaviour-{nat}", Case(at_router(nat=nat, stun_pair=True), None, row, NAT))
    told_of = measures(report, "nat.behaviour")
    assert (told_of["mapping_depends_on"], told_of["filtering_depends_on"]) == depends_on
    ports = measures(report, "nat.port_masking")
    assert ports["udp_ports_seen"] >= 2
    assert (ports["udp_ports_kept"] == ports["udp_ports_seen"]) == (nat not in ("symmetric", "remap"))


def test_no_second_address_is_unknown() -> None:
    run_case("nat-behaviour-none", Case(at_router(), None, "nat.behaviour - unknown no_other_address", NAT))


def test_pcp_mapping_is_removed_at_once() -> None:
    with Lab(at_router(igd="miniupnpd")) as lab:
        done = lab.run([COMMAND, "nat", "--pcp-map", "--json"])
        rules = lab.node("edge").nft("list ruleset")
    report = json.loads(done.stdout)
    check_report(report)
    (told_by_pcp,) = (fact for fact in report["evidence"]["nat"]["facts"] if fact.get("method") == "pcp")
    assert told_by_pcp["address"] == PUBLIC, told_by_pcp
    assert not [fact for fact in report["evidence"]["nat"]["facts"] if fact.get("topic") == "pcp_map"]
    assert f"dport {told_by_pcp['local_port']}" not in rules


def test_questions_change_nothing_on_the_router() -> None:
    with Lab(at_router(igd="miniupnpd")) as lab:
        before = lab.node("edge").nft("list chains", "list tables")
        lab.run([COMMAND, "nat", "--json"])
        assert lab.node("edge").nft("list chains", "list tables") == before


def test_lifetime_of_idle_bindings() -> None:
    """A NAT that forgets UDP and TCP after 20 s, and takes no packet for a connection that it does not know."""
    scenario = at_router(stun_pair=True, rules=(Rule("edge", "forward", "ct state invalid drop"),))
    with Lab(scenario) as lab:
        for timeout in ("udp_timeout", "udp_timeout_stream", "tcp_timeout_established"):
            lab.node("edge").sysctl(f"netfilter/nf_conntrack_{timeout}", "20")
        lab.node("edge").sysctl("netfilter/nf_conntrack_tcp_loose", "0")
        done = lab.run([COMMAND, "nat", "--lifetime", "--lifetime-max", "30", "--json"])
    report = json.loads(done.stdout)
    check_report(report)
    row = "nat.lifetime - warn tcp_dropped_while_idle local_network proven"
    assert not differences(report, Case(scenario, None, row, NAT)), told(report)
    seen = measures(report, "nat.lifetime")
    assert (seen["udp_alive_s"], seen["udp_dropped_s"]) == (15, 25)
    assert (seen["tcp_alive_s"], seen["tcp_dropped_s"]) == (15, 25)
    assert seen["keepalive_s"] == 12
    assert "32 s" in next(f["summary"] for f in report["findings"] if f["id"] == "nat.lifetime")


def test_lifetime_without_response_port_is_unknown() -> None:
    with Lab(at_router()) as lab:
        done = lab.run([COMMAND, "nat", "--lifetime", "--lifetime-max", "3", "--json"])
    report = json.loads(done.stdout)
    check_report(report)
    row = "nat.lifetime - unknown udp_not_determined undetermined"
    assert not differences(report, Case(at_router(), None, row, NAT)), told(report)
    assert measures(report, "nat.lifetime")["tcp_alive_s"] == 3
