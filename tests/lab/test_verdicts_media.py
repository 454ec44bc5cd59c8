"""UDP 10000-40000 towards the media addresses. Whole runs, default profile."""

from __future__ import annotations

from typing import Any

import pytest

from lab import Rule, Scenario
from lab.scenario import (
    IN2_ADDRESS,
    IN4_ADDRESS,
    KARNATAKA_MEDIA,
    MEDIA,
    MUMBAI_MEDIA,
    Chain,
    Site,
    loss,
    no_time_exceeded,
)
from lab.verdicts import ADDRESS_KNOWN, MEDIA_LEAVES, NAMES_RESOLVE, SIP_ANSWERS, Case, run_case

# Rules are for what the customer sends: without a direction they would hit the resolver's answers as well.
OUT = 'oifname "uplink"'
RANGE = f"{OUT} udp dport 10000-40000"
AT_PROVIDER = 'iifname "uplink" udp dport 10000-40000'
PROHIBITED = "reject with icmp type admin-prohibited"
UNREACHABLE = "reject with icmp type port-unreachable"
MEDIA_DOORS = ("dc_mum1", "dc_mum2", "dc_ka1", "dc_ka2")
ROUTERS = ("edge", "isp1", "isp2", "ix", "prov_mum", "prov_ka", "prov_cloud", *MEDIA_DOORS)
OTHERS_WORK = NAMES_RESOLVE + SIP_ANSWERS


BY_SYNS = "fail|unknown blocked|too_few_contrasts undetermined *"
"""Only SYNs show the contrast, a few a second for all four addresses: some may stay open, and some are shown."""


def at(node: str, text: str, chain: Chain = "forward") -> Rule:
    return Rule(node, chain, text)


def blocked(*rules: Rule, site: Site = "inner_firewall", **more: Any) -> Scenario:
    return Scenario(site=site, rules=rules, **more)


def egress(text: str) -> str:
    """All else works, and `text` is what is said of every media address: status, reason, fault domain, confidence."""
    return f"{OTHERS_WORK}media.egress * {text}\nmedia.return * unknown no_call undetermined"


STRICT = (
    at("edge", f"{OUT} meta l4proto udp udp dport != {{ 53, 10000-40000 }} drop"),
    at("edge", f"{OUT} meta l4proto tcp tcp dport != 5070 drop"),
)
"""A firewall that follows the guide to the letter, and lets nothing else out but DNS."""

CASES = {
    # --- dropped
    "drop-inner-firewall": Case(
        blocked(at("lanfw", f"{RANGE} drop")),
        "not_ready",
        egress("fail blocked local_network|undetermined proven|likely"),
    ),
    "drop-router": Case(
        blocked(at("edge", f"{RANGE} drop"), site="router"), "not_ready", egress("fail blocked undetermined likely")
    ),
    "drop-router-all-udp": Case(
        blocked(at("edge", f"{OUT} meta l4proto udp udp dport != 53 drop"), site="router"),
        "not_ready",
        egress(BY_SYNS) + "\nnat.port_masking - unknown no_stun_answer undetermined",
    ),
    "drop-isp-entry": Case(
        blocked(at("isp1", 'iifname "edge" udp dport 10000-40000 drop', "prerouting")),
        "not_ready",
        egress("fail blocked undetermined likely"),
    ),
    "drop-isp": Case(blocked(at("isp1", f"{RANGE} drop")), "not_ready", egress("fail blocked isp|undetermined likely")),
    "drop-isp-deep": Case(
        blocked(at("isp2", f"{RANGE} drop")), "not_ready", egress("fail blocked isp|undetermined likely")
    ),
    "drop-provider": Case(
        blocked(*(at(node, f"{AT_PROVIDER} drop") for node in ("prov_mum", "prov_ka"))),
        "not_ready",
        egress("fail blocked undetermined|provider likely"),
    ),
    # --- rejected: the sender is who blocks. Those whose rejections its limit swallowed are told by where they stop.
    "prohibited-router": Case(
        blocked(at("edge", f"{RANGE} {PROHIBITED}"), site="router"),
        "not_ready",
        egress("fail admin_prohibited|blocked local_network proven|likely"),
        says=("ICMP type 3 code 13 came from 192.168.10.1",),
    ),
    "prohibited-inner-firewall": Case(
        blocked(at("lanfw", f"{RANGE} {PROHIBITED}")),
        "not_ready",
        egress("fail admin_prohibited|blocked local_network proven|likely"),
    ),
    "prohibited-edge": Case(
        blocked(at("edge", f"{RANGE} {PROHIBITED}")),
        "not_ready",
        egress("fail admin_prohibited|blocked local_network likely"),
        says=("came from 192.168.1.1",),
    ),
    "prohibited-isp": Case(
        blocked(at("isp1", f"{RANGE} {PROHIBITED}")),
        "not_ready",
        egress("fail admin_prohibited|blocked isp|undetermined likely|possible"),
        says=("came from 49.36.10.1",),
    ),
    "prohibited-provider": Case(
        blocked(*(at(door, f"{AT_PROVIDER} {PROHIBITED}") for door in MEDIA_DOORS)),
        "not_ready",
        egress("fail admin_prohibited undetermined|provider"),
    ),
    "port-unreachable-router": Case(
        blocked(at("edge", f"{RANGE} {UNREACHABLE}"), site="router"),
        "not_ready",
        egress("fail port_unreachable|blocked local_network proven|likely"),
    ),
    "port-unreachable-isp": Case(
        blocked(at("isp1", f"{RANGE} {UNREACHABLE}")),
        "not_ready",
        egress("fail port_unreachable|blocked isp|undetermined likely|possible"),
    ),
    # --- part of it
    "only-10000-20000": Case(
        blocked(at("edge", f"{OUT} udp dport 20001-40000 drop"), site="router"),
        "not_ready",
        egress("fail part_blocked undetermined likely"),
        says=("UDP 20001-",),
    ),
    "hole-20000-30000-isp": Case(
        blocked(at("isp1", f"{OUT} udp dport 20000-30000 drop")),
        "not_ready",
        egress("fail part_blocked isp|undetermined likely"),
    ),
    "hole-prohibited": Case(
        blocked(at("edge", f"{OUT} udp dport 20000-30000 {PROHIBITED}"), site="router"),
        "not_ready",
        egress("fail part_admin_prohibited|part_blocked local_network proven|likely"),
    ),
    "mumbai-only": Case(
        blocked(at("edge", f"ip daddr {{ {', '.join(KARNATAKA_MEDIA)} }} {RANGE} drop"), site="router"),
        "not_ready",
        OTHERS_WORK
        + "\n".join(
            [
                *(f"media.egress {address} pass leaves_network - proven" for address in MUMBAI_MEDIA),
                *(f"media.egress {address} fail blocked undetermined likely" for address in KARNATAKA_MEDIA),
            ]
        ),
    ),
    "one-address-prohibited": Case(
        blocked(at("edge", f"ip daddr {MEDIA[0]} {RANGE} {PROHIBITED}"), site="router"),
        "not_ready",
        OTHERS_WORK
        + f"""media.egress {MEDIA[0]} fail admin_prohibited local_network proven
        media.egress {"|".join(MEDIA[1:])} pass leaves_network - proven""",
    ),
    "host-drops-all": Case(
        blocked(at("host", "udp dport 10000-40000 drop", "output"), site="router"),
        "not_ready",
        egress("fail local_denied host proven"),
    ),
    "host-drops-part": Case(
        blocked(at("host", "udp dport 30000-40000 drop", "output"), site="router"),
        "not_ready",
        egress("fail part_local_denied host proven"),
        says=("UDP 30000-40000",),
    ),
    # --- what looks like a block, and is none
    "media-unreachable": Case(
        Scenario(site="router", media="unreachable"), "ready", egress("pass target_answered - proven")
    ),
    "media-answering": Case(
        Scenario(site="router", media="answering"),
        "ready",
        OTHERS_WORK
        + """media.egress * pass target_answered - proven
        media.return * pass datagram_from_target - proven""",
    ),
    "media-one-answering": Case(
        Scenario(site="router", media=((MUMBAI_MEDIA[0], "answering"), (MUMBAI_MEDIA[1], "unreachable"))),
        "ready",
        OTHERS_WORK
        + f"""media.egress {"|".join(MUMBAI_MEDIA)} pass target_answered
        media.egress {"|".join(KARNATAKA_MEDIA)} pass leaves_network
        media.return {MUMBAI_MEDIA[0]} pass datagram_from_target
        media.return {"|".join(MEDIA[1:])} unknown no_call""",
    ),
    "media-stealth": Case(Scenario(site="router", media="stealth"), "ready", OTHERS_WORK + MEDIA_LEAVES),
    "some-routers-silent": Case(
        Scenario(rules=no_time_exceeded("edge", "isp2", "dc_mum1", "dc_ka1")),
        None,
        OTHERS_WORK + MEDIA_LEAVES + ADDRESS_KNOWN,
        exit_code=0,
    ),
    "customer-routers-silent": Case(
        Scenario(rules=no_time_exceeded("lanfw", "edge")), None, OTHERS_WORK + MEDIA_LEAVES + ADDRESS_KNOWN
    ),
    "strict-firewall": Case(
        blocked(*STRICT, site="router"),
        "ready_with_warnings",
        OTHERS_WORK
        + MEDIA_LEAVES
        + """nat.port_masking - pass ports_kept
        sip.in_dialog * fail connect_timeout""",
        exit_code=0,
    ),
    "strict-no-icmp-out": Case(
        blocked(
            *STRICT,
            at("edge", f"{OUT} meta l4proto icmp drop"),
            at("edge", "icmp type { time-exceeded, destination-unreachable } drop", "output"),
            site="router",
        ),
        "not_proven",
        OTHERS_WORK + MEDIA_LEAVES + ADDRESS_KNOWN.replace("proven", "*"),
    ),
    # 20 % loss in each direction: never red. What it may be is a matter of chance.
    "loss": Case(
        blocked(loss("isp1", 20), site="router"),
        None,
        """dns.resolution * pass|warn|unknown *
        sip.connect * pass|warn|unknown *
        sip.options * pass|warn|unknown *
        sip.redundancy - pass|warn|unknown *
        media.egress * pass|warn leaves_network|partly_judged|short_of_controls
        nat.public_address - pass|warn|unknown *
        nat.cgnat - pass|warn|unknown *
        nat.port_masking - pass|warn|unknown *""",
    ),
    # --- what looks like a pass, and is none
    "all-routers-silent": Case(
        Scenario(site="router", rules=no_time_exceeded(*ROUTERS)),
        "not_proven",
        egress("unknown no_hop_answers undetermined"),
    ),
    "core-silent": Case(
        Scenario(site="router", rules=no_time_exceeded(*ROUTERS[1:])),
        "not_proven",
        egress("unknown nothing_beyond_edge|no_hop_answers undetermined"),
    ),
    "strict-no-icmp-in": Case(
        blocked(*STRICT, at("edge", "meta l4proto icmp drop"), site="router"),
        "not_proven",
        egress("unknown nothing_beyond_edge|no_hop_answers undetermined"),
    ),
    "only-5070-and-53": Case(
        blocked(
            at("edge", f"{OUT} meta l4proto udp udp dport != 53 drop"),
            at("edge", f"{OUT} meta l4proto tcp tcp dport != 5070 drop"),
            site="router",
        ),
        "not_ready",
        egress(BY_SYNS),
    ),
    "everything-blackholed": Case(
        blocked(at("edge", f"{OUT} drop"), site="router"),
        "not_ready",
        """dns.resolution * fail dns_timeout undetermined possible
        sip.redundancy - unknown not_judged undetermined
        media.egress * unknown nothing_beyond_edge|no_hop_answers undetermined
        nat.public_address - unknown no_method_answered undetermined
        nat.cgnat - unknown * undetermined
        nat.port_masking - unknown * undetermined""",
    ),
    "provider-unrouted": Case(
        blocked(
            at(
                "ix",
                f"ip daddr {{ {', '.join((*MEDIA, IN2_ADDRESS, IN4_ADDRESS))} }} reject with icmp type net-unreachable",
            )
        ),
        "not_ready",
        NAMES_RESOLVE
        + """sip.connect * fail net_unreachable|connect_timeout undetermined|isp
        sip.redundancy - fail none_answers
        media.egress * fail|warn|unknown * undetermined|isp""",
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_media(name: str) -> None:
    run_case(f"media-{name}", CASES[name])
