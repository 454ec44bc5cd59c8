"""The nameservers held to the zone's own servers: `vsipcheck dns`, and whole runs that take the long look."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab import Lab, Resolver, Rule, Scenario
from lab.dns_tree import ZONE_SERVERS
from lab.laboratory import COMMAND
from lab.scenario import IN2, IN2_ADDRESS, IN4, IN4_ADDRESS, RESOLVER, SECOND_RESOLVER, Authority, both_names
from lab.verdicts import Case, check_report, differences, run_case, told

BOTH = (RESOLVER, SECOND_RESOLVER)
DNS = ("dns",)
ZONE = Authority()
RECURSIVE = Resolver(recursive=True)
OTHERS = "A 49.44.99.9"


def at_router(**more: object) -> Scenario:
    return Scenario(**({"site": "router", "authority": ZONE, "stun": False} | more))  # type: ignore[arg-type]


CASES = {
    "healthy": Case(
        at_router(resolver=RECURSIVE),
        None,
        f"""dns.resolution pstn.* pass resolved -
            dns.authority pstn.* pass confirmed - proven
            dns.resolver {RESOLVER} pass agrees -
            dns.records pstn.* pass explicit_port -""",
        DNS,
        0,
    ),
    "no-way-to-the-root": Case(
        at_router(authority=None),
        None,
        f"""dns.resolution pstn.* pass
            dns.authority pstn.* unknown not_reached undetermined
            dns.resolver {RESOLVER} unknown not_compared undetermined""",
        DNS,
        0,
    ),
    "rewriting": Case(
        at_router(resolver=Resolver(records=(("*", ("A 49.44.99.1",)),))),
        None,
        f"""dns.resolution pstn.* pass
            dns.authority pstn.* pass confirmed
            dns.resolver {RESOLVER} warn invents_names isp likely""",
        DNS,
        0,
    ),
    "wildcard-of-the-zone": Case(
        at_router(resolver=RECURSIVE, authority=Authority(records=(("*.in2.exotel.com", (OTHERS,)),))),
        None,
        f"dns.resolver {RESOLVER} pass agrees",
        DNS,
        0,
    ),
    "split-horizon": Case(
        at_router(nameservers=BOTH, resolver=RECURSIVE, second_resolver=Resolver(records=both_names(OTHERS))),
        None,
        f"""dns.resolution pstn.* warn nameservers_disagree
            dns.authority pstn.* pass confirmed
            dns.resolver {RESOLVER} pass agrees
            dns.resolver {SECOND_RESOLVER} warn split_horizon isp likely""",
        DNS,
        0,
    ),
    "all-lie-alike": Case(
        at_router(resolver=Resolver(records=both_names(OTHERS))),
        None,
        f"""dns.resolution pstn.* warn authority_differs|shared_address
            dns.authority pstn.* warn differs undetermined possible
            dns.resolver {RESOLVER} warn split_horizon isp likely""",
        DNS,
        0,
    ),
    "rotates-within-its-block": Case(
        at_router(
            nameservers=BOTH,
            resolver=RECURSIVE,
            second_resolver=Resolver(records=((IN2, ("A 182.76.200.7",)), (IN4, ("A 3.108.77.9",)))),
        ),
        None,
        "dns.resolution pstn.* pass\ndns.authority pstn.* pass\ndns.resolver 49.44.0.5? pass agrees",
        DNS,
        0,
    ),
    "two-sets-the-zone-knows-both": Case(
        at_router(
            nameservers=BOTH,
            authority=Authority(records=((IN2, (f"A {IN2_ADDRESS}", OTHERS)),)),
            second_resolver=Resolver(records=((IN2, (OTHERS,)),)),
        ),
        None,
        "dns.resolution pstn.* pass\ndns.authority pstn.* pass\ndns.resolver 49.44.0.5? pass agrees",
        DNS,
        0,
    ),
    "validation-fails": Case(
        at_router(resolver=Resolver(recursive=True, wrong_anchor=True)),
        None,
        f"""dns.resolution pstn.* fail servfail undetermined possible
            dns.authority pstn.* warn host_has_none undetermined
            dns.resolver {RESOLVER} warn validation_fails undetermined possible""",
        DNS,
        1,
    ),
    "gone-from-the-zone": Case(
        at_router(resolver=RECURSIVE, authority=Authority(records=both_names())),
        None,
        """dns.resolution pstn.* fail nxdomain provider likely
           dns.authority pstn.* warn denied provider likely""",
        DNS,
        1,
    ),
    "denied-by-the-resolver": Case(
        at_router(resolver=Resolver(records=both_names())),
        None,
        f"""dns.resolution pstn.* fail nxdomain isp likely
            dns.authority pstn.* warn host_has_none isp likely
            dns.resolver {RESOLVER} warn denies_name isp likely""",
        DNS,
        1,
    ),
    "all-healthy-takes-no-long-look": Case(at_router(stun=True), "ready", "dns.resolution pstn.* pass resolved"),
    "all-second-lies": Case(
        at_router(nameservers=BOTH, stun=True, second_resolver=Resolver(records=both_names(OTHERS))),
        "ready_with_warnings",
        f"""dns.resolution pstn.* warn nameservers_disagree
            dns.authority pstn.* pass confirmed
            dns.resolver {RESOLVER} pass agrees
            dns.resolver {SECOND_RESOLVER} warn split_horizon isp likely""",
    ),
    "all-dead-second": Case(
        at_router(nameservers=BOTH, stun=True, rules=(Rule("resolver", "input", f"ip daddr {SECOND_RESOLVER} drop"),)),
        "ready_with_warnings",
        f"""dns.resolution pstn.* warn nameserver_failed
            dns.authority pstn.* pass confirmed
            dns.resolver {SECOND_RESOLVER} unknown no_answer undetermined""",
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_dns_deep(name: str) -> None:
    report = run_case(f"dns-deep-{name}", CASES[name])
    dns = report["evidence"]["dns"]
    asked = [fact for fact in dns["facts"] if fact.get("purpose") == "authority"]
    assert len(asked) <= 16
    if name == "all-healthy-takes-no-long-look":
        # Unless a busy machine has made the short look take more than its second.
        short = [fact for fact in dns["facts"] if fact.get("purpose") == "trunk"]
        took_ms = max(fact["offset_ms"] + fact["duration_ms"] for fact in short) - dns["offset_ms"]
        assert not asked or took_ms > 1000
        deeper = [finding for finding in report["findings"] if finding["id"] in ("dns.authority", "dns.resolver")]
        assert bool(deeper) == bool(asked)


INTERCEPTED = """
table ip intercept {
  chain prerouting { type nat hook prerouting priority -110;
    iifname != "uplink" meta l4proto { tcp, udp } th dport 53 dnat to 49.44.0.54
  }
}
"""


@pytest.mark.parametrize("nameserver", ["8.8.8.8", RESOLVER])
def test_a_router_that_takes_all_of_port_53(nameserver: str) -> None:
    """The lie is the ISP's second resolver's, which nobody asked; nobody is blamed for what can't be seen."""
    scenario = at_router(nameservers=(nameserver,), second_resolver=Resolver(records=((IN4, (f"A {IN4_ADDRESS}",)),)))
    with Lab(scenario) as lab:
        lab.node("edge").nft(INTERCEPTED)
        report = run_in(lab)
    case = Case(
        scenario,
        None,
        f"""dns.resolution pstn.* pass resolved
            dns.authority pstn.* unknown port_53_intercepted undetermined proven
            dns.resolver {nameserver} unknown port_53_intercepted undetermined""",
        exit_code=0,
    )
    wrong = differences(report, case)
    assert not wrong, "\n".join([*wrong, "", *told(report)])


CUT = f"""
table ip cut {{
  chain input {{ type filter hook input priority 0;
    ip saddr {{ {", ".join(ZONE_SERVERS)} }} drop
  }}
}}
"""


def test_a_resolver_that_lives_on_old_answers() -> None:
    """The zone has changed since, and the resolver can no longer reach it."""
    moved = at_router(
        resolver=Resolver(recursive=True, serves_stale=True), authority=Authority(both_names(OTHERS), ttl_s=1)
    )
    with Lab(moved) as lab:
        for name in (IN2, IN4):
            assert "49.44.99.9" in ask(lab, RESOLVER, name)
        zone = lab.work / "bind" / "authority" / "zone.zone"
        text = zone.read_text()
        for name, address in ((IN2, IN2_ADDRESS), (IN4, IN4_ADDRESS)):
            text = text.replace(f"{name}. IN {OTHERS}", f"{name}. IN A {address}")
        zone.write_text(text.replace(" 1 1800 ", " 2 1800 "))
        lab.reload("named-authority")
        lab.node("resolver").nft(CUT)
        until(lambda: IN2_ADDRESS in ask(lab, ZONE_SERVERS[0], IN2))
        until(lambda: "Stale Answer" in ask(lab, RESOLVER, IN2) and "Stale Answer" in ask(lab, RESOLVER, IN4))
        report = run_in(lab)
    case = Case(
        moved,
        None,
        f"""dns.authority pstn.* warn differs undetermined possible
            dns.resolver {RESOLVER} warn stale isp proven""",
        exit_code=0,
    )
    wrong = differences(report, case)
    assert not wrong, "\n".join([*wrong, "", *told(report)])


def ask(lab: Lab, server: str, name: str) -> str:
    """What dig prints, as the customer."""
    return lab.run(["dig", "+time=1", "+tries=1", f"@{server}", name, "A"]).stdout


def until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not true():
        assert time.monotonic() < limit, "it never came to be"
        time.sleep(0.05)


def run_in(lab: Lab) -> dict[str, Any]:
    done = lab.run([COMMAND, "dns", "--json"])
    assert "Traceback" not in done.stderr, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    check_report(report)
    return report
