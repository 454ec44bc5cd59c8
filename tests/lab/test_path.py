"""Where it breaks and whose place that is: forged answers, filters on every side, this host's firewall, 443 alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from lab import Lab, Rule, Scenario
from lab.laboratory import COMMAND
from lab.peers import ANSWERERS
from lab.scenario import IN2, IN2_ADDRESS, IN4, IN4_ADDRESS, MEDIA, no_time_exceeded
from lab.verdicts import check_report, keep

SIP = f"ip daddr {{ {IN2_ADDRESS}, {IN4_ADDRESS} }} tcp dport 5070"
IN_DIALOG = f"ip daddr {{ {IN2_ADDRESS}, {IN4_ADDRESS} }} tcp dport 443"
RTP = "udp dport 10000-40000"
LANFW, EDGE, ISP1, ISP2 = "192.168.10.1", "192.168.1.1", "49.36.10.1", "49.44.1.1"
ACCESS_ROUTER = "10.77.0.1"
FORGER_PORT = 7070


@dataclass(frozen=True)
class Case:
    """`domains`: who may be blamed, and nobody else. `words`: what the summary has to name, the hop above all."""

    scenario: Scenario
    finding: str
    status: str
    reason: str
    domains: tuple[str, ...]
    words: tuple[str, ...] = ()
    confidence: str | None = None
    prepare: Callable[[Lab, ExitStack], None] | None = None
    settles: bool = False
    """What would settle it has to be said."""


def at(node: str, text: str, chain: str = "forward") -> Rule:
    return Rule(node, chain, text)  # type: ignore[arg-type]


def site(*rules: Rule, **more: Any) -> Scenario:
    return Scenario(rules=rules, **more)


def forging(node: str, below: str) -> Callable[[Lab, ExitStack], None]:
    """A router that takes connections to 5070 itself, in place of whom they are for, and says nothing on them."""

    def prepare(lab: Lab, stack: ExitStack) -> None:
        lab.node(node).nft(
            "table ip forge {",
            "chain prerouting {",
            "type nat hook prerouting priority -110;",
            f'iifname "{below}" tcp dport 5070 redirect to :{FORGER_PORT}',
            "}",
            "}",
        )
        stack.enter_context(listener(lab, node))

    return prepare


@contextmanager
def listener(lab: Lab, node: str) -> Iterator[None]:
    command = [sys.executable, "-I", "-S", ANSWERERS, "tcp", "mute", f"0.0.0.0:{FORGER_PORT}"]
    process = lab.popen(command, node=node, root=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while ("tcp", FORGER_PORT) not in lab.node(node).listening():
            assert process.poll() is None
        yield
    finally:
        process.kill()
        process.wait()


def access_router(lab: Lab, _: ExitStack) -> None:
    """The ISP's first router speaks from 10/8 to a customer whose WAN address is public, as on PPPoE lines."""
    lab.node("isp1").ip(
        f"address add {ACCESS_ROUTER}/32 dev lo", f"route replace 49.36.10.0/28 dev edge src {ACCESS_ROUTER}"
    )


CASES = {
    "rst-inner-firewall": Case(
        site(at("lanfw", f"{SIP} reject with tcp reset")),
        "sip.connect",
        "fail",
        "refused",
        ("local_network",),
        ("forged", LANFW, "(hop 1)"),
        "proven",
    ),
    "rst-edge": Case(
        site(at("edge", f"{SIP} reject with tcp reset")),
        "sip.connect",
        "fail",
        "refused",
        ("undetermined",),
        ("forged", EDGE, ISP1, "your router", "your ISP"),
        "likely",
        settles=True,
    ),
    "rst-isp": Case(
        site(at("isp1", f"{SIP} reject with tcp reset")),
        "sip.connect",
        "fail",
        "refused",
        ("isp",),
        ("forged", ISP1, "(hop 3)"),
        "likely",
    ),
    "rst-of-the-far-end": Case(
        site(site="router", in2=None, in4=None), "sip.connect", "fail", "refused", ("provider",), ("as far as",)
    ),
    "syn-ack-edge": Case(
        site(),
        "sip.connect",
        "warn",
        "answered_from_nearer",
        ("local_network",),
        (EDGE,),
        None,
        forging("edge", "lanfw"),
    ),
    "silent-after-forged-accept": Case(
        site(),
        "sip.options",
        "fail",
        "silent_after_accept",
        ("local_network",),
        ("nearer",),
        None,
        forging("edge", "lanfw"),
    ),
    "syn-ack-isp": Case(
        site(),
        "sip.connect",
        "warn",
        "answered_from_nearer",
        ("isp", "undetermined"),
        (ISP1,),
        None,
        forging("isp1", "edge"),
    ),
    "customer-egress": Case(
        site(at("edge", f"{SIP} drop")),
        "sip.connect",
        "fail",
        "connect_timeout",
        ("undetermined",),
        (EDGE, "(hop 2)", "your router", "your ISP"),
        "likely",
        settles=True,
    ),
    "isp-ingress": Case(
        site(at("isp1", f"{SIP} drop", "prerouting")),
        "sip.connect",
        "fail",
        "connect_timeout",
        ("undetermined",),
        (EDGE, "(hop 2)", "your router", "your ISP"),
        "likely",
        settles=True,
    ),
    "inner-firewall": Case(
        site(at("lanfw", f"{SIP} drop")),
        "sip.connect",
        "fail",
        "connect_timeout",
        ("local_network",),
        (LANFW, "(hop 1)"),
        "proven",
    ),
    "isp": Case(
        site(at("isp1", f"{SIP} drop")), "sip.connect", "fail", "connect_timeout", ("isp",), (ISP1, "(hop 3)"), "likely"
    ),
    "provider": Case(
        site(at("dc_in2", f"{SIP} drop"), at("dc_in4", f"{SIP} drop")),
        "sip.connect",
        "fail",
        "connect_timeout",
        ("provider",),
        ("leave your network", "(hop 7)", "TCP 443 to the same address is answered"),
        "likely",
    ),
    "host-tcp": Case(
        site(at("host", f"{SIP} drop", "output"), site="router"),
        "sip.connect",
        "fail",
        "connect_timeout",
        ("host",),
        ("never leave this host",),
        "proven",
    ),
    "host-udp": Case(
        site(at("host", f"{RTP} drop", "output"), site="router"),
        "media.egress",
        "fail",
        "local_denied",
        ("host",),
        ("EPERM",),
        "proven",
    ),
    "icmp-silent-isp": Case(
        site(at("isp2", f"{SIP} drop"), *no_time_exceeded("isp1", "isp2"), site="router"),
        "sip.connect",
        "fail",
        "connect_timeout",
        ("undetermined", "isp"),
        ("192.168.10.1 (hop 1)",),
        settles=True,
    ),
    "access-router-in-10/8": Case(
        site(at("isp1", f"{SIP} drop"), site="router"),
        "sip.connect",
        "fail",
        "connect_timeout",
        ("isp", "undetermined"),
        (ACCESS_ROUTER, "(hop 2)"),
        prepare=access_router,
    ),
    "access-router-in-10/8-media": Case(
        site(at("isp1", f"{RTP} drop"), site="router"),
        "media.egress",
        "fail",
        "blocked",
        ("isp", "undetermined"),
        (ACCESS_ROUTER, "(hop 2)"),
        prepare=access_router,
    ),
    "443-inner-firewall": Case(
        site(at("lanfw", f"{IN_DIALOG} drop")),
        "sip.in_dialog",
        "fail",
        "connect_timeout",
        ("local_network",),
        (LANFW, "(hop 1)"),
    ),
    "443-refused-inside": Case(
        site(at("lanfw", f"{IN_DIALOG} reject with tcp reset")),
        "sip.in_dialog",
        "fail",
        "refused",
        ("local_network",),
        ("forged", LANFW),
    ),
    "443-provider": Case(
        site(at("dc_in2", f"{IN_DIALOG} drop"), at("dc_in4", f"{IN_DIALOG} drop")),
        "sip.in_dialog",
        "fail",
        "connect_timeout",
        ("provider",),
        ("TCP 5070 to the same address is answered",),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_whose_place(name: str) -> None:
    case = CASES[name]
    with Lab(case.scenario) as lab, ExitStack() as stack:
        if case.prepare is not None:
            case.prepare(lab, stack)
        done = lab.run([COMMAND, "all", "--json"])
    keep(f"path-{name.replace('/', '-')}", done.stdout)
    report = json.loads(done.stdout)
    check_report(report)
    found = [finding for finding in report["findings"] if finding["id"] == case.finding]
    assert found
    for finding in found:
        told = f"{finding['summary']} | {finding['fault_domain']} {finding['confidence']} | {finding['settle_by']}"
        assert (finding["status"], finding["reason"]) == (case.status, case.reason), told
        assert finding["fault_domain"] in case.domains, told
        assert case.confidence in (None, finding["confidence"]), told
        assert finding["settle_by"] or not case.settles, told
    # On a loaded machine a router's answer may be missing on the way to one of them: then the next one is named there.
    summaries = [finding["summary"] for finding in found]
    assert any(all(word in summary for word in case.words) for summary in summaries), summaries


def test_443_alone_gates_nothing() -> None:
    with Lab(site(at("edge", f"{IN_DIALOG} drop"), site="router")) as lab:
        done = lab.run([COMMAND, "sip", "--json"])
    report = json.loads(done.stdout)
    assert done.returncode == report["exit_code"] == 0
    found = {(f["id"], f["target"]): f["status"] for f in report["findings"]}
    for name, address in ((IN2, IN2_ADDRESS), (IN4, IN4_ADDRESS)):
        assert found["sip.in_dialog", f"{name}@{address}"] == "fail"
        assert found["sip.connect", f"{name}@{address}"] == "pass"


def test_no_sip_is_said_on_443() -> None:
    with Lab(Scenario(site="router")) as lab:
        done = lab.run([COMMAND, "sip", "--json"])
    to_443 = [entry for entry in json.loads(done.stdout)["traffic"]["by_destination"] if entry["port"] == 443]
    assert {entry["address"] for entry in to_443} == {IN2_ADDRESS, IN4_ADDRESS}
    assert all(entry["bytes"] == 0 for entry in to_443)


def test_the_way_is_walked_and_drawn() -> None:
    with Lab(Scenario()) as lab:
        drawn = lab.run([COMMAND, "path", MEDIA[0]])
        plain = lab.run([COMMAND, "path", IN2], env={"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"})
        report = json.loads(lab.run([COMMAND, "path", "--json"]).stdout)
        refused = lab.run([COMMAND, "path", "www.example.com"])
    assert drawn.returncode == plain.returncode == 0, drawn.stderr
    for address in (LANFW, EDGE, ISP1, ISP2, MEDIA[0]):
        assert address in drawn.stdout
    assert all(len(line) <= 80 for line in drawn.stdout.splitlines())
    assert IN2_ADDRESS in plain.stdout
    assert plain.stdout.isascii()
    check_report(report)
    assert {path["target"] for path in report["paths"]} == {IN2_ADDRESS, IN4_ADDRESS, *MEDIA}
    assert [finding["status"] for finding in report["findings"]] == ["pass"] * 6
    assert refused.returncode == 2
