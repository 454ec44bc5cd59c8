"""Where this host stands: its public address, what translates it, and how. Whole runs, default profile."""

from __future__ import annotations

import pytest

from lab import Rule, Scenario
from lab.scenario import PUBLIC, no_time_exceeded
from lab.verdicts import ADDRESS_KNOWN, AT_GATEWAY, NAT_PLAIN, PORTS_KEPT, REACHES_ALL, Case, run_case

ELSEWHERE = "49.36.99.99"
ON_INTERFACE = """
nat.public_address - pass public_on_interface - proven
nat.cgnat - pass no_translation - proven
"""
NO_SIP = """
sip.connect * fail refused
sip.options * unknown not_connected
sip.redundancy - fail none_answers
media.egress * pass leaves_network
"""
HELPERS_SILENT = """
nat.port_masking - unknown no_stun_answer undetermined
"""

CASES = {
    "public-on-interface": Case(
        Scenario(site="direct", nat="none"),
        "ready",
        REACHES_ALL + ON_INTERFACE + PORTS_KEPT,
        says=("Nothing translates",),
    ),
    "public-behind-router": Case(Scenario(site="router", nat="none"), "ready", REACHES_ALL + ON_INTERFACE + PORTS_KEPT),
    "ordinary-nat": Case(Scenario(site="router"), "ready", REACHES_ALL + NAT_PLAIN),
    "one-to-one": Case(Scenario(site="router", nat="one_to_one"), "ready", REACHES_ALL + NAT_PLAIN),
    # A router of one's own in front of the one that translates, and a NAT of the ISP's in RFC 1918 space, look alike.
    "inner-firewall": Case(
        Scenario(),
        "ready_with_warnings",
        REACHES_ALL + ADDRESS_KNOWN + PORTS_KEPT + "nat.cgnat - warn behind_second_router undetermined possible",
    ),
    "cgn-10": Case(
        Scenario(site="router", cgn="10"),
        "ready_with_warnings",
        REACHES_ALL + ADDRESS_KNOWN + PORTS_KEPT + "nat.cgnat - warn behind_second_router undetermined possible",
    ),
    "cgn-10-inner-firewall": Case(
        Scenario(cgn="10"),
        "ready_with_warnings",
        REACHES_ALL + ADDRESS_KNOWN + PORTS_KEPT + "nat.cgnat - warn behind_second_router undetermined possible",
    ),
    # A single NAT at the first hop: whether that router is one's own or the ISP's, nobody can see.
    "nat-at-isp": Case(Scenario(site="direct", cgn="10"), "ready", REACHES_ALL + NAT_PLAIN),
    "cgn-100.64": Case(
        Scenario(site="router", cgn="100.64"),
        "not_ready",
        REACHES_ALL + ADDRESS_KNOWN + "nat.cgnat - fail behind_carrier_hop isp likely|proven",
    ),
    "cgn-on-interface": Case(
        Scenario(site="direct", cgn="100.64"),
        "not_ready",
        REACHES_ALL + ADDRESS_KNOWN + "nat.cgnat - fail source_in_shared_space isp proven",
    ),
    "cgn-symmetric": Case(
        Scenario(site="router", cgn="100.64", cgn_nat="symmetric"),
        "not_ready",
        ADDRESS_KNOWN
        + """nat.cgnat - fail behind_carrier_hop isp likely|proven
        nat.port_masking - fail differs_by_destination isp likely""",
    ),
    "symmetric": Case(
        Scenario(site="router", nat="symmetric"),
        "not_ready",
        REACHES_ALL
        + ADDRESS_KNOWN
        + AT_GATEWAY
        + "nat.port_masking - fail differs_by_destination local_network likely",
    ),
    "remap": Case(
        Scenario(site="router", nat="remap"),
        "ready_with_warnings",
        REACHES_ALL + ADDRESS_KNOWN + AT_GATEWAY + "nat.port_masking - warn changed_consistently local_network likely",
    ),
    "sip-alg": Case(
        Scenario(site="router", sip_alg=True),
        "ready_with_warnings",
        REACHES_ALL
        + AT_GATEWAY
        + """sip.alg - warn * local_network
        nat.public_address - pass methods_agree - likely""",
    ),
    "expected-address": Case(
        Scenario(site="router"), "ready", REACHES_ALL + NAT_PLAIN, ("all", "--expect-ip", PUBLIC), says=("handed in",)
    ),
    "unexpected-address": Case(
        Scenario(site="router"),
        "not_ready",
        REACHES_ALL + AT_GATEWAY + "nat.public_address - fail not_the_expected_address local_network proven",
        ("all", "--expect-ip", ELSEWHERE),
        says=(f"{PUBLIC}, but {ELSEWHERE}",),
    ),
    "unexpected-by-helpers": Case(
        Scenario(site="router", in2=None, in4=None),
        "not_ready",
        NO_SIP + "nat.public_address - fail not_the_expected_address local_network likely",
        ("all", "--expect-ip", ELSEWHERE),
    ),
    # Helpers that fail or lie: never a verdict about the trunk, and never a silent pass.
    "stun-dead": Case(
        Scenario(site="router", stun=False), "not_proven", REACHES_ALL + ADDRESS_KNOWN + AT_GATEWAY + HELPERS_SILENT
    ),
    "stun-dead-allowed": Case(
        Scenario(site="router", stun=False), "not_proven", HELPERS_SILENT, ("all", "--allow-unknown"), exit_code=0
    ),
    "helpers-dead": Case(
        Scenario(site="router", stun=False, echo="unavailable"),
        "not_proven",
        REACHES_ALL + AT_GATEWAY + HELPERS_SILENT + "nat.public_address - pass received_by_trunk - likely",
    ),
    "helpers-dead-no-sip": Case(
        Scenario(site="router", stun=False, echo="unavailable", in2=None, in4=None),
        "not_ready",
        NO_SIP
        + HELPERS_SILENT
        + """nat.public_address - unknown no_method_answered undetermined
        nat.cgnat - unknown * undetermined""",
    ),
    "one-method-only": Case(
        Scenario(site="router", stun=False, in2=None, in4=None),
        "not_ready",
        NO_SIP + HELPERS_SILENT + "nat.public_address - unknown one_method_only undetermined",
    ),
    "echo-portal": Case(Scenario(site="router", echo="portal"), "ready", REACHES_ALL + NAT_PLAIN),
    "echo-private": Case(Scenario(site="router", echo="private"), "ready", REACHES_ALL + NAT_PLAIN),
    "echo-endless": Case(Scenario(site="router", echo="endless"), "ready", REACHES_ALL + NAT_PLAIN),
    "echo-other": Case(
        Scenario(site="router", echo="other"),
        "ready_with_warnings",
        REACHES_ALL + AT_GATEWAY + PORTS_KEPT + "nat.public_address - warn methods_disagree undetermined likely",
    ),
    "silent-gateway": Case(
        Scenario(site="router", rules=no_time_exceeded("edge")),
        None,
        REACHES_ALL + ADDRESS_KNOWN + PORTS_KEPT + "nat.cgnat - pass|unknown at_gateway|hops_silent",
    ),
    "mute-gateway": Case(
        Scenario(
            site="router",
            rules=(Rule("edge", "output", "meta l4proto icmp drop"), Rule("edge", "input", f"ip daddr {PUBLIC} drop")),
        ),
        "not_proven",
        REACHES_ALL + ADDRESS_KNOWN + PORTS_KEPT + "nat.cgnat - unknown hops_silent undetermined",
    ),
    "no-default-route": Case(
        Scenario(site="router", default_route=False),
        "not_ready",
        """dns.resolution * fail no_route host
        sip.options * unknown no_address
        media.egress * fail no_route host proven
        nat.public_address - unknown no_route undetermined
        nat.cgnat - unknown * undetermined
        nat.port_masking - unknown * undetermined""",
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_nat(name: str) -> None:
    run_case(f"nat-{name}", CASES[name])
