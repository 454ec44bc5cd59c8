"""TCP 5070 and what answers there. Whole runs, default profile."""

from __future__ import annotations

from typing import Any

import pytest

from lab import Answerer, Kamailio, Rule, Scenario
from lab.scenario import IN2, IN2_ADDRESS, IN4, IN4_ADDRESS, Chain, Site
from lab.verdicts import MEDIA_LEAVES, NAMES_RESOLVE, SIP_ANSWERS, Case, run_case

SIP = f"ip daddr {{ {IN2_ADDRESS}, {IN4_ADDRESS} }} tcp dport 5070"
PROHIBITED = "reject with icmp type admin-prohibited"
DOORS = ("dc_in2", "dc_in4")
BOTH = NAMES_RESOLVE + MEDIA_LEAVES


def at(node: str, text: str, chain: Chain = "forward") -> Rule:
    return Rule(node, chain, text)


def blocked(*rules: Rule, site: Site = "inner_firewall", **more: Any) -> Scenario:
    return Scenario(site=site, rules=rules, **more)


def both(server: Kamailio | Answerer | None, other: Kamailio | Answerer | None = None) -> Scenario:
    return Scenario(site="router", in2=server, in4=other or server)


def no_connection(reason: str, whose: str) -> str:
    """Neither name's address connects; `whose` is fault domain and confidence."""
    return f"""{BOTH}
    sip.connect * fail {reason} {whose}
    sip.options * unknown not_connected
    sip.redundancy - fail none_answers"""


def no_answer(text: str) -> str:
    """Both connect, and `text` is what is said of OPTIONS: status, reason, fault domain, confidence."""
    redundancy = {"fail": "fail none_answers", "warn": "warn some_warn", "pass": "pass all_answer"}[text.split()[0]]
    return f"""{BOTH}
    sip.connect * pass connected
    sip.options * {text}
    sip.redundancy - {redundancy}"""


CASES = {
    # --- dropped: how near the answers of routers show it depends on what they have left, whose it can't be does not
    "drop-inner-firewall": Case(
        blocked(at("lanfw", f"{SIP} drop")), "not_ready", no_connection("connect_timeout", "local_network|undetermined")
    ),
    "drop-router": Case(
        blocked(at("edge", f"{SIP} drop"), site="router"),
        "not_ready",
        no_connection("connect_timeout", "undetermined likely"),
    ),
    "drop-isp-entry": Case(
        blocked(at("isp1", f"{SIP} drop", "prerouting")), "not_ready", no_connection("connect_timeout", "undetermined")
    ),
    "drop-isp": Case(
        blocked(at("isp1", f"{SIP} drop")), "not_ready", no_connection("connect_timeout", "isp|undetermined likely")
    ),
    "drop-isp-deep": Case(
        blocked(at("isp2", f"{SIP} drop")), "not_ready", no_connection("connect_timeout", "isp|undetermined likely")
    ),
    "drop-provider-border": Case(
        blocked(at("prov_mum", f"{SIP} drop"), at("prov_cloud", f"{SIP} drop")),
        "not_ready",
        no_connection("connect_timeout", "undetermined|provider"),
    ),
    "drop-provider": Case(
        blocked(*(at(door, f"{SIP} drop") for door in DOORS)),
        "not_ready",
        no_connection("connect_timeout", "provider|undetermined"),
        says=("leave your network",),
    ),
    "drop-host": Case(
        blocked(at("host", f"{SIP} drop", "output"), site="router"),
        "not_ready",
        no_connection("connect_timeout", "host|undetermined"),
    ),
    "drop-everything-to-provider": Case(
        blocked(at("isp2", f"ip daddr {{ {IN2_ADDRESS}, {IN4_ADDRESS} }} drop")),
        "not_ready",
        no_connection("connect_timeout", "undetermined possible"),
    ),
    # --- rejected
    "no-listener": Case(both(None), "not_ready", no_connection("refused", "provider|undetermined likely|possible")),
    "rst-forged-by-router": Case(
        blocked(at("edge", f"{SIP} reject with tcp reset"), site="router"),
        "not_ready",
        no_connection("refused", "undetermined|local_network"),
    ),
    "rst-forged-by-isp": Case(
        blocked(at("isp1", f"{SIP} reject with tcp reset")), "not_ready", no_connection("refused", "undetermined|isp")
    ),
    "prohibited-router": Case(
        blocked(at("edge", f"{SIP} {PROHIBITED}"), site="router"),
        "not_ready",
        no_connection("admin_prohibited", "local_network proven"),
    ),
    "prohibited-isp": Case(
        blocked(at("isp1", f"{SIP} {PROHIBITED}")),
        "not_ready",
        no_connection("admin_prohibited", "isp|undetermined likely|possible"),
    ),
    "prohibited-provider": Case(
        blocked(*(at(door, f"{SIP} {PROHIBITED}") for door in DOORS)),
        "not_ready",
        no_connection("admin_prohibited", "undetermined|provider"),
    ),
    "port-unreachable-router": Case(
        blocked(at("edge", f"{SIP} reject with icmp type port-unreachable"), site="router"),
        "not_ready",
        no_connection("port_unreachable", "local_network proven"),
    ),
    # --- accepted, and then
    "options-ignored": Case(
        both(Kamailio(drop=True)),
        "not_ready",
        no_answer("fail options_ignored provider likely"),
        says=("whitelisting",),
    ),
    "silent-after-accept": Case(
        both(Answerer("mute")), "not_ready", no_answer("fail silent_after_accept provider possible")
    ),
    "403": Case(
        both(Kamailio(403, "Forbidden", ("X-Exotel-ErrorCode: 1234",))),
        "not_ready",
        no_answer("fail forbidden provider likely"),
        says=("X-Exotel-ErrorCode: 1234",),
    ),
    "404": Case(both(Kamailio(404, "Not Found")), "ready", no_answer("pass answered - proven")),
    "401": Case(
        both(Kamailio(401, "Unauthorized")), "ready_with_warnings", no_answer("warn authentication_required provider")
    ),
    "503": Case(
        both(Kamailio(503, "Service Unavailable", ("Retry-After: 30",))),
        "not_ready",
        no_answer("fail service_unavailable provider likely"),
        says=("Retry-After: 30",),
    ),
    "slow": Case(both(Kamailio(delay_ms=1500)), "ready_with_warnings", no_answer("warn slow undetermined possible")),
    # --- one place down
    "one-pop-down": Case(
        Scenario(site="router", in4=None),
        "ready_with_warnings",
        f"""{BOTH}
        sip.options {IN2}@* pass answered
        sip.connect {IN4}@* fail refused
        sip.redundancy - warn some_fail""",
    ),
    "one-pop-silent": Case(
        blocked(at("dc_in4", f"{SIP} drop"), site="router"),
        "ready_with_warnings",
        f"""{BOTH}
        sip.options {IN2}@* pass answered
        sip.connect {IN4}@* fail connect_timeout provider|undetermined
        sip.redundancy - warn some_fail""",
    ),
    "primary-up": Case(
        Scenario(site="router", in4=None),
        None,
        f"""sip.options {IN2}@* pass answered
        sip.connect {IN4}@* fail refused
        sip.redundancy - pass all_answer""",
        ("all", "--primary", IN2),
        exit_code=0,
    ),
    "primary-down": Case(
        Scenario(site="router", in4=None),
        "not_ready",
        f"""sip.options {IN2}@* pass answered
        sip.connect {IN4}@* fail refused
        sip.redundancy - fail none_answers""",
        ("all", "--primary", IN4),
    ),
    # --- peers that are no SIP servers, or hostile ones: two to a run
    "hostile-web-and-ssh": Case(both(Answerer("http"), Answerer("ssh")), "not_ready", no_answer("fail not_sip *")),
    "hostile-hang-up": Case(
        both(Answerer("close_at_request"), Answerer("close_at_once")),
        "not_ready",
        # What is closed before our request was read ends in a RST (RFC 1122 §4.2.2.13).
        no_answer("fail closed_after_request|reset_after_request provider possible"),
    ),
    "hostile-reset-and-trickle": Case(
        both(Answerer("reset_at_request"), Answerer("trickle")),
        "not_ready",
        no_answer("fail reset_after_request|incomplete_answer|closed_after_request provider|undetermined possible"),
    ),
    "hostile-floods": Case(
        both(Answerer("endless_headers"), Answerer("huge_length")),
        "not_ready",
        no_answer("fail too_large undetermined possible"),
    ),
    "hostile-rewrites": Case(
        both(Answerer("other_call"), Answerer("other_branch")),
        "not_ready",
        no_answer("fail altered undetermined possible"),
    ),
    "hostile-markup": Case(both(Answerer("markup")), "not_ready", no_answer("fail forbidden provider likely")),
    "pipelined-and-split": Case(
        both(Answerer("provisional")),
        "ready_with_warnings",
        no_answer("warn lost_some undetermined possible"),
    ),
    "answered": Case(Scenario(site="router"), "ready", BOTH + SIP_ANSWERS),
}


@pytest.mark.parametrize("name", list(CASES))
def test_sip(name: str) -> None:
    run_case(f"sip-{name}", CASES[name])
