"""The signalling names, right and wrong. Whole runs, default profile."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from lab import Resolver, Rule, Scenario
from lab.scenario import IN2, IN2_ADDRESS, IN4, IN4_ADDRESS, RESOLVER, SECOND_RESOLVER, both_names
from lab.verdicts import MEDIA_LEAVES, NAMES_RESOLVE, SIP_ANSWERS, Case, run_case

BOTH = (RESOLVER, SECOND_RESOLVER)
RIGHT_HOSTS = f"127.0.0.1 localhost\n{IN2_ADDRESS} {IN2}\n{IN4_ADDRESS} {IN4}\n"
NO_ADDRESS = """
sip.connect * unknown no_address undetermined
sip.options * unknown no_address undetermined
sip.redundancy - unknown not_judged undetermined
"""
NOT_DIALLED = NO_ADDRESS.replace("no_address", "special_purpose_address")


def at_router(**more: Any) -> Scenario:
    return Scenario(site="router", **more)


def long_chain() -> Resolver:
    """An answer of four aliases, too long for a datagram of 512 bytes."""
    links = [f"{letter * 60}.{letter * 60}.exotel.com" for letter in "abcd"]
    aliases = ((name, (f"CNAME {after}.",)) for name, after in itertools.pairwise((IN2, *links)))
    return Resolver(records=(*aliases, (links[-1], (f"A {IN2_ADDRESS}",))), udp_limit=512)


CASES = {
    "nxdomain": Case(
        at_router(resolver=Resolver(records=both_names())),
        "not_ready",
        NO_ADDRESS + MEDIA_LEAVES + "dns.resolution * fail nxdomain",
    ),
    "nxdomain-of-one": Case(
        at_router(resolver=Resolver(records=((IN4, ()),))),
        "not_ready",
        MEDIA_LEAVES
        + f"""dns.resolution {IN2} pass resolved
        dns.resolution {IN4} fail nxdomain
        sip.options {IN2}@* pass answered
        sip.options {IN4} unknown no_address
        sip.redundancy - warn some_unknown""",
    ),
    "nodata": Case(
        at_router(resolver=Resolver(records=both_names("TXT nothing"))),
        "not_ready",
        NO_ADDRESS + MEDIA_LEAVES + "dns.resolution * fail no_address",
    ),
    "servfail": Case(
        at_router(resolver=Resolver(broken_zones=("exotel.com",))),
        "not_ready",
        NO_ADDRESS + MEDIA_LEAVES + "dns.resolution * fail servfail undetermined",
    ),
    "dead-resolver": Case(
        at_router(rules=(Rule("resolver", "input", "drop"),)),
        "not_ready",
        NO_ADDRESS + MEDIA_LEAVES + "dns.resolution * fail dns_timeout undetermined possible",
    ),
    # glibc turns to the second after five seconds: it works, and hurts.
    "dead-first-of-two": Case(
        at_router(nameservers=BOTH, rules=(Rule("resolver", "input", f"ip daddr {RESOLVER} drop"),)),
        None,
        SIP_ANSWERS + MEDIA_LEAVES + "dns.resolution * warn nameserver_failed undetermined",
    ),
    "dead-second-of-two": Case(
        at_router(nameservers=BOTH, rules=(Rule("resolver", "input", f"ip daddr {SECOND_RESOLVER} drop"),)),
        "ready_with_warnings",
        SIP_ANSWERS + MEDIA_LEAVES + "dns.resolution * warn nameserver_failed undetermined",
    ),
    "53-prohibited-by-router": Case(
        at_router(rules=(Rule("edge", "forward", "udp dport 53 reject with icmp type admin-prohibited"),)),
        "not_ready",
        NO_ADDRESS + MEDIA_LEAVES + "dns.resolution * fail admin_prohibited|dns_timeout local_network|undetermined",
        says=("192.168.10.1",),
    ),
    "second-disagrees": Case(
        at_router(nameservers=BOTH, second_resolver=Resolver(records=both_names("A 49.44.99.9"))),
        "ready_with_warnings",
        SIP_ANSWERS + MEDIA_LEAVES + "dns.resolution * warn nameservers_disagree",
    ),
    "hijack-private": Case(
        at_router(resolver=Resolver(records=both_names("A 10.0.0.1"))),
        "not_ready",
        NOT_DIALLED + MEDIA_LEAVES + "dns.resolution * fail special_purpose_answer isp",
    ),
    "hijack-zero": Case(
        at_router(resolver=Resolver(records=both_names("A 0.0.0.0"))),
        "not_ready",
        NOT_DIALLED + MEDIA_LEAVES + "dns.resolution * fail special_purpose_answer isp",
    ),
    "one-address-for-both": Case(
        at_router(resolver=Resolver(records=both_names(f"A {IN2_ADDRESS}"))),
        "ready_with_warnings",
        MEDIA_LEAVES + "dns.resolution * warn shared_address|*authority* *",
    ),
    "truncated": Case(
        at_router(resolver=long_chain()), None, SIP_ANSWERS + MEDIA_LEAVES + f"dns.resolution {IN4} pass resolved"
    ),
    "hosts-private": Case(
        at_router(hosts=f"127.0.0.1 localhost\n192.168.10.99 {IN2}\n"),
        "not_ready",
        MEDIA_LEAVES
        + f"""dns.resolution {IN2} fail special_purpose_answer host likely
        dns.resolution {IN4} pass resolved
        sip.options {IN2}@* unknown special_purpose_address
        sip.options {IN4}@* pass answered""",
    ),
    "hosts-right": Case(at_router(hosts=RIGHT_HOSTS), "ready", NAMES_RESOLVE + SIP_ANSWERS + MEDIA_LEAVES),
    "hosts-other": Case(
        at_router(hosts=f"127.0.0.1 localhost\n{IN4_ADDRESS} {IN2}\n"),
        "ready_with_warnings",
        MEDIA_LEAVES + f"dns.resolution {IN2} warn system_differs host possible|likely",
    ),
    "no-nameserver": Case(
        at_router(nameservers=()), "not_ready", NO_ADDRESS + MEDIA_LEAVES + "dns.resolution * fail no_nameserver host"
    ),
    "no-nameserver-but-hosts": Case(
        at_router(nameservers=(), hosts=RIGHT_HOSTS),
        "not_proven",
        SIP_ANSWERS
        + MEDIA_LEAVES
        + """dns.resolution * warn|pass aaaa_failed|resolved
        nat.port_masking - unknown no_stun_answer undetermined""",
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_dns(name: str) -> None:
    run_case(f"dns-{name}", CASES[name])
