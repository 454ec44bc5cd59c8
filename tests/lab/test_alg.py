"""SIP ALGs of every kind, what looks like one and is not, and large requests that get stuck. Whole runs."""

from __future__ import annotations

import pytest

from lab import Answerer, Scenario
from lab.scenario import no_fragmentation_needed
from lab.verdicts import Case, run_case

NEVER, ALWAYS = Answerer("never_tells"), Answerer("always_tells")
NOT_SEEN = "sip.alg - pass not_seen -"
NARROW = (("isp1", 1400),)

CASES = {
    "healthy": Case(Scenario(site="router"), "ready", NOT_SEEN),
    "inner-firewall": Case(Scenario(), "ready_with_warnings", NOT_SEEN),
    "no-nat": Case(Scenario(site="direct", nat="none"), "ready", NOT_SEEN),
    "one-to-one": Case(Scenario(site="router", nat="one_to_one"), "ready", NOT_SEEN),
    "changed-ports": Case(Scenario(site="router", nat="remap"), "ready_with_warnings", NOT_SEEN),
    "carrier-nat": Case(
        Scenario(site="router", cgn="100.64"), "not_ready", "sip.alg - unknown carrier_nat undetermined"
    ),
    "server-never-tells": Case(
        Scenario(site="router", in2=NEVER, in4=NEVER), "ready", "sip.alg - unknown no_received undetermined"
    ),
    "server-always-tells": Case(
        Scenario(site="router", in2=ALWAYS, in4=ALWAYS), "ready", "sip.alg - unknown blind undetermined"
    ),
    "one-server-never-tells": Case(Scenario(site="router", in2=NEVER), "ready", NOT_SEEN),
    "no-nat-server-never-tells": Case(
        Scenario(site="direct", nat="none", in2=NEVER, in4=NEVER), "ready", "sip.alg - unknown no_received undetermined"
    ),
    "alg-proxy": Case(
        Scenario(site="router", alg_proxy="rewrite"),
        "not_ready",
        """sip.alg - fail via_rewritten local_network likely
        sip.options * fail altered local_network""",
    ),
    "alg-proxy-that-repairs": Case(
        Scenario(site="router", alg_proxy="repair"),
        "ready_with_warnings",
        """sip.alg - warn received_withheld local_network likely
        sip.options * pass""",
    ),
    "alg-of-the-kernel": Case(
        Scenario(site="router", sip_alg=True),
        "ready_with_warnings",
        """sip.alg - warn via_translated local_network likely
        sip.options * pass""",
    ),
    "alg-of-the-kernel-and-changed-ports": Case(
        Scenario(site="router", sip_alg=True, nat="remap"),
        "ready_with_warnings",
        "sip.alg - warn received_translated|via_translated local_network likely",
    ),
    "alg-of-the-kernel-server-never-tells": Case(
        Scenario(site="router", sip_alg=True, in2=NEVER, in4=NEVER),
        "ready",
        "sip.alg - unknown no_received undetermined",
    ),
    "size": Case(Scenario(site="router"), None, "sip.size * pass all_answered -", ("sip", "--size"), 0),
    "size-narrow-link": Case(
        Scenario(site="router", mtu=NARROW), None, "sip.size * pass all_answered -", ("sip", "--size"), 0
    ),
    "size-black-hole": Case(
        Scenario(site="router", mtu=NARROW, rules=no_fragmentation_needed("isp1")),
        None,
        """sip.size * fail mtu_black_hole undetermined likely
        sip.options * pass""",
        ("sip", "--size"),
        0,
    ),
    "size-silent-routers-and-ordinary-links": Case(
        Scenario(site="router", rules=no_fragmentation_needed("isp1", "edge")),
        None,
        "sip.size * pass all_answered -",
        ("sip", "--size"),
        0,
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_alg(name: str) -> None:
    report = run_case(f"alg-{name}", CASES[name])
    for finding in report["findings"]:
        if finding["id"] == "sip.size" and finding["reason"] == "mtu_black_hole":
            sizes = {measure["name"]: measure["value"] for measure in finding["measures"]}
            assert (sizes["largest_answered"], sizes["smallest_unanswered"]) == (1300, 1400)
