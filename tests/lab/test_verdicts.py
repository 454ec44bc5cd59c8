"""Each green line has a look-alike that must not be green; and what a run leaves behind, however it ends."""

from __future__ import annotations

import json
import signal
import stat

import pytest

from lab import Lab, Rule, Scenario, test_verdicts_dns, test_verdicts_media, test_verdicts_nat, test_verdicts_sip
from lab.laboratory import COMMAND
from lab.scenario import IN2, MEDIA
from lab.verdicts import Case, check_report

THEMES: dict[str, dict[str, Case]] = {
    "dns": test_verdicts_dns.CASES,
    "sip": test_verdicts_sip.CASES,
    "media": test_verdicts_media.CASES,
    "nat": test_verdicts_nat.CASES,
}

LOOK_ALIKES = [
    # finding, why it passes, what looks like that from inside, and what it is then
    ("dns.resolution", "nat ordinary-nat", "dns hijack-private", "fail"),
    ("dns.resolution", "dns hosts-right", "dns hosts-other", "warn"),
    ("dns.resolution", "nat ordinary-nat", "dns one-address-for-both", "warn"),
    ("sip.connect", "sip answered", "sip no-listener", "fail"),
    ("sip.connect", "sip answered", "sip rst-forged-by-router", "fail"),
    ("sip.options", "sip answered", "sip silent-after-accept", "fail"),
    ("sip.options", "sip answered", "sip hostile-web-and-ssh", "fail"),
    ("sip.options", "sip answered", "sip hostile-rewrites", "fail"),
    ("sip.options", "sip 404", "sip 403", "fail"),
    ("sip.redundancy", "sip answered", "sip one-pop-down", "warn"),
    ("sip.redundancy", "sip primary-up", "sip primary-down", "fail"),
    # Silent relays in every one of these.
    ("media.egress", "nat ordinary-nat", "media drop-isp-deep", "fail"),
    ("media.egress", "media strict-firewall", "media only-5070-and-53", "fail"),
    ("media.egress", "media some-routers-silent", "media all-routers-silent", "unknown"),
    ("media.egress", "media strict-no-icmp-out", "media strict-no-icmp-in", "unknown"),
    ("media.egress", "nat ordinary-nat", "media only-10000-20000", "fail"),
    ("media.egress", "media media-unreachable", "media port-unreachable-router", "fail"),
    ("media.return", "media media-answering", "media media-unreachable", "unknown"),
    ("nat.public_address", "nat expected-address", "nat unexpected-address", "fail"),
    ("nat.public_address", "nat ordinary-nat", "nat one-method-only", "unknown"),
    ("nat.public_address", "nat ordinary-nat", "nat echo-other", "warn"),
    ("nat.cgnat", "nat public-on-interface", "nat cgn-on-interface", "fail"),
    ("nat.cgnat", "nat ordinary-nat", "nat cgn-100.64", "fail"),
    ("nat.cgnat", "nat ordinary-nat", "nat cgn-10", "warn"),
    ("nat.cgnat", "nat one-to-one", "nat mute-gateway", "unknown"),
    ("nat.port_masking", "nat ordinary-nat", "nat symmetric", "fail"),
    ("nat.port_masking", "nat ordinary-nat", "nat remap", "warn"),
    ("nat.port_masking", "nat ordinary-nat", "nat stun-dead", "unknown"),
]


def case_named(words: str) -> Case:
    theme, name = words.split()
    return THEMES[theme][name]


@pytest.mark.parametrize(("finding_id", "passing", "alike", "status"), LOOK_ALIKES)
def test_each_pass_has_a_look_alike(finding_id: str, passing: str, alike: str, status: str) -> None:
    """The table is true of the cases, and the cases are run."""
    expectation = case_named(passing)
    assert expectation.expects(finding_id, "pass") or expectation.expects(finding_id, "*")
    other = case_named(alike)
    assert other.expects(finding_id, status) or other.expects(finding_id, "*")
    assert not other.expects(finding_id, "pass")


def test_every_pass_has_some_look_alike() -> None:
    """No finding passes anywhere in the lab without one."""
    passing = {
        line.split()[0]
        for cases in THEMES.values()
        for case in cases.values()
        for line in case.findings.splitlines()
        if len(line.split()) > 2 and line.split()[2] == "pass"
    }
    assert passing == {row[0] for row in LOOK_ALIKES}


def test_outputs_and_the_one_line() -> None:
    """`-o` leaves whole files, `--quiet` a line; both say what the exit code says."""
    with Lab(Scenario(site="router", in4=None)) as lab:
        home = lab.work / "home"
        command = [COMMAND, "all", "--quiet", "-o", "json:report.json", "-o", "terminal:report.txt"]
        done = lab.run(command)
        report = json.loads((home / "report.json").read_text())
        text = (home / "report.txt").read_text()
        left = sorted(path.name for path in home.iterdir() if stat.S_ISREG(path.stat().st_mode))
        lost = lab.run([*command[:3], "-o", "json:/proc/version"])
    assert done.returncode == report["exit_code"] == 0
    check_report(report)
    assert report["overall"] == "ready_with_warnings"
    assert len(done.stdout.splitlines()) == 1
    assert "warn" in done.stdout.lower()
    assert done.stderr == ""
    assert IN2 in text
    assert "\x1b" not in text
    assert left == ["report.json", "report.txt"]
    assert lost.returncode == 4
    assert "/proc/version" in lost.stderr
    assert "Traceback" not in lost.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_renders_what_it_has(number: signal.Signals) -> None:
    with Lab(Scenario(rules=(Rule("isp1", "forward", "tcp dport 5070 drop"),))) as lab:
        process = lab.popen([COMMAND, "all", "--json"])
        isp1 = lab.node("isp1")
        while isp1.counters()["sip"] < 3 or isp1.counters()["rtp"] < 20:
            assert process.poll() is None, process.communicate()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    report = json.loads(out)
    check_report(report)
    assert process.returncode == report["exit_code"] == 130
    assert report["interrupted"] is True
    assert report["traffic"]["packets_sent"] >= 20
    assert not any(f["status"] == "pass" for f in report["findings"] if f["id"] in ("sip.options", "sip.redundancy"))
    assert "Traceback" not in err


def test_deadline_of_a_second_proves_nothing_it_did_not_see() -> None:
    with Lab(Scenario(rules=(Rule("isp1", "forward", "drop"),))) as lab:
        done = lab.run([COMMAND, "all", "--deadline", "1", "--json"])
    report = json.loads(done.stdout)
    check_report(report)
    assert report["overall"] == "not_proven"
    assert done.returncode == 3
    assert not any(finding["status"] == "pass" for finding in report["findings"])
    assert "deadline" in {evidence["error"] for evidence in report["evidence"].values()}


def test_sweep_finds_a_rejected_span_to_the_port() -> None:
    first, last = 25000, 25099
    rule = f"ip daddr {MEDIA[0]} udp dport {first}-{last} reject with icmp type admin-prohibited"
    with Lab(Scenario(site="router", rules=(Rule("edge", "forward", rule),))) as lab:
        lab.node("edge").sysctl("ipv4/icmp_ratemask", "0")  # a router that says every time what it rejects
        done = lab.run([COMMAND, "media", "--sweep", "--rate", "20000", "--json"])
        rtp = lab.node("isp1").counters()["rtp"]
    report = json.loads(done.stdout)
    check_report(report)
    spans = {
        (fact["target"], fact["outcome"], fact["first_port"], fact["last_port"])
        for fact in report["evidence"]["media"]["facts"]
        if fact.get("method") == "sweep"
    }
    assert spans == {
        (MEDIA[0], "silent", 10000, first - 1),
        (MEDIA[0], "icmp", first, last),
        (MEDIA[0], "silent", last + 1, 40000),
        *((address, "silent", 10000, 40000) for address in MEDIA[1:]),
    }
    swept = 4 * 30001
    assert rtp >= swept - (last - first + 1)
    assert swept <= report["traffic"]["packets_sent"] <= swept + 1500
    (egress,) = (f for f in report["findings"] if (f["id"], f["target"]) == ("media.egress", MEDIA[0]))
    assert (egress["status"], egress["fault_domain"], egress["confidence"]) == ("fail", "local_network", "proven")
    assert done.returncode == report["exit_code"] == 1


def test_traffic_of_a_healthy_run_is_what_the_isp_sees() -> None:
    with Lab(Scenario(site="router")) as lab:
        report = json.loads(lab.run([COMMAND, "all", "--json"]).stdout)
        counters = lab.node("isp1").counters()
    told = report["traffic"]["by_destination"]
    media = sum(entry["packets"] for entry in told if entry["protocol"] == "udp" and entry["address"] in MEDIA)
    # Some of it are controls out of the range, and probes that end at the router before it.
    assert 60 < counters["rtp"] <= media
    assert counters["rtp"] >= 0.5 * media
    assert 0 < report["traffic"]["packets_sent"] <= 1000
    assert report["traffic"]["bytes_sent"] < 200_000
