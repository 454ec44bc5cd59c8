"""A scenario, the command's arguments, and the verdicts that are right for it: as data, and how a run is held to it."""

from __future__ import annotations

import fnmatch
import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]

from lab.laboratory import COMMAND, Lab
from lab.scenario import Scenario

PACKETS_OF_A_RUN = 1500
"""A run that sweeps no ports sends no more, whatever it meets."""
DONE = {"ready": 0, "ready_with_warnings": 0, "not_ready": 1, "not_proven": 3}
COLUMNS = ("id", "target", "status", "reason", "fault_domain", "confidence")


@dataclass(frozen=True)
class Case:
    """What the run of a scenario has to say.

    `findings` is a line for each expectation: id, target, status, reason, fault domain, confidence; the last ones may
    be left out. `-` is null, `*` and `?` are wildcards, `a|b` is either. An id and target that match several findings
    speak of all of them, and of one at least.
    """

    scenario: Scenario
    overall: str | None
    """None: either, where chance has its hand in it; the findings decide."""
    findings: str
    arguments: tuple[str, ...] = ()
    exit_code: int | None = None
    """Where it does not follow from `overall`."""
    says: tuple[str, ...] = ()
    """Words that some finding's summary must hold."""

    def expects(self, finding_id: str, status: str) -> bool:
        """Whether a line of `findings` is about that id and status."""
        rows = (line.split() for line in self.findings.splitlines() if line.strip())
        return any(words[0] == finding_id and len(words) > 2 and status in words[2].split("|") for words in rows)


NAMES_RESOLVE = """
dns.resolution * pass resolved
"""
SIP_ANSWERS = """
sip.connect * pass connected - proven
sip.options * pass answered - proven
sip.redundancy - pass all_answer - proven
"""
MEDIA_LEAVES = """
media.egress * pass leaves_network - proven
media.return * unknown no_call undetermined
"""
ADDRESS_KNOWN = """
nat.public_address - pass received_by_trunk - proven
"""
AT_GATEWAY = """
nat.cgnat - pass at_gateway - proven
"""
PORTS_KEPT = """
nat.port_masking - pass ports_kept
"""
NAT_PLAIN = ADDRESS_KNOWN + AT_GATEWAY + PORTS_KEPT
REACHES_ALL = NAMES_RESOLVE + SIP_ANSWERS + MEDIA_LEAVES


def run_case(name: str, case: Case) -> dict[str, Any]:
    """The report of a whole run in the case's scenario, which is as the case has it. Raises AssertionError."""
    with Lab(case.scenario) as lab:
        arguments = case.arguments or ("all",)
        done = lab.run([COMMAND, *arguments, "--json"])
        counters = lab.node("isp1").counters()
    keep(name, done.stdout)
    assert "Traceback" not in done.stderr, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    check_report(report)
    wrong = differences(report, case)
    assert not wrong, "\n".join([*wrong, "", *told(report)])
    assert done.returncode == report["exit_code"]
    check_traffic(report, counters)
    return report


def keep(name: str, text: str) -> None:
    """With VSIPCHECK_LAB_REPORTS=DIRECTORY, the reports of all runs are kept there, to be looked at."""
    directory = os.environ.get("VSIPCHECK_LAB_REPORTS")
    if directory:
        Path(directory, f"{name}.json").write_text(text)


@functools.cache
def schema() -> Any:
    """The JSON Schema that the command itself prints."""
    with Lab(Scenario(stun=False)) as lab:
        done = lab.run([COMMAND, "schema"])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_report(report: dict[str, Any]) -> None:
    """What holds for every report, whatever it says."""
    jsonschema.validate(report, schema())
    assert report["schema"] == "vsipcheck.report/1"
    assert report["simulated"] is False
    known = {fact["id"] for evidence in report["evidence"].values() for fact in evidence["facts"]}
    for evidence in report["evidence"].values():
        assert evidence["error"] in (None, "deadline", "interrupted"), evidence["error"]
    keys = [(finding["id"], finding["target"]) for finding in report["findings"]]
    assert len(keys) == len(set(keys))
    for finding in report["findings"]:
        assert set(finding["facts"]) <= known, finding
        quiet = finding["status"] in ("pass", "skip")
        assert (finding["fault_domain"] is None) == quiet, finding
        # A green line that rests on nothing is the one thing that must never be.
        assert finding["facts"] or finding["status"] in ("skip", "unknown"), finding
        if finding["status"] in ("fail", "warn"):
            assert finding["remedy"] or finding["settle_by"], finding
        for text in (finding["summary"], finding["remedy"] or "", finding["settle_by"] or ""):
            assert text.isprintable(), finding
            assert "None" not in text, finding
    for row in report["checklist"]:
        assert {(key["id"], key["target"]) for key in row["findings"]} <= set(keys)


def differences(report: dict[str, Any], case: Case) -> list[str]:
    """What is not as the case has it, a line each."""
    wrong = []
    overall = report["overall"]
    if overall == "ready_with_warnings" and case.overall == "ready" and only_slow(report):
        overall = "ready"
    if case.overall is not None and overall != case.overall:
        wrong.append(f"overall is {overall}, not {case.overall}")
    expected = case.exit_code if case.exit_code is not None else DONE.get(case.overall or "")
    if expected is not None and report["exit_code"] != expected:
        wrong.append(f"exit code is {report['exit_code']}, not {expected}")
    for line in filter(None, map(str.strip, case.findings.splitlines())):
        words = line.split()
        about = [
            finding
            for finding in report["findings"]
            if _is(finding["id"], words[0]) and (len(words) < 2 or _is(finding["target"], words[1]))
        ]
        if not about:
            wrong.append(f"nothing about {line}")
        for finding in about:
            values = [finding[column] for column in COLUMNS]
            if (words[2:3] == ["pass"] and _is_slow(finding)) or _is_own_pacing(finding):
                continue
            if not all(_is(value, word) for value, word in zip(values, words, strict=False)):
                wrong.append(f"{' '.join(str(value or '-') for value in values)}, not {line}: {finding['summary']}")
    for words_said in case.says:
        if not any(words_said in finding["summary"] for finding in report["findings"]):
            wrong.append(f"no finding says {words_said!r}")
    return wrong


def _is_slow(finding: dict[str, Any]) -> bool:
    """A warning about time alone, or about such warnings: it tells how busy this machine is."""
    return finding["status"] == "warn" and finding["reason"] in ("slow", "some_warn")


def _is_own_pacing(finding: dict[str, Any]) -> bool:
    """Left open because this host sent its own packets late, as the figures show: what a busy machine must say."""
    late = (each for each in finding["measures"] if each["name"] == "late_p95_ms")
    return finding["reason"] == "own_pacing" and any(each["value"] > each["warn"] for each in late)


def only_slow(report: dict[str, Any]) -> bool:
    """Whether all warnings are about time alone."""
    return all(_is_slow(finding) for finding in report["findings"] if finding["status"] == "warn")


def _is(value: str | None, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(value or "-", choice) for choice in pattern.split("|"))


def told(report: dict[str, Any]) -> list[str]:
    """All findings in the words of a case's expectations."""
    lines = [f"overall {report['overall']}, exit code {report['exit_code']}"]
    for finding in report["findings"]:
        lines.append(" ".join(str(finding[column] or "-") for column in COLUMNS) + f"  # {finding['summary']}")
    return lines


def check_traffic(report: dict[str, Any], counters: dict[str, int]) -> None:
    """What the report says was sent is bounded, and is what the ISP's first router has seen, as far as it got there."""
    sent = report["traffic"]["packets_sent"]
    assert 0 <= sent <= PACKETS_OF_A_RUN, report["traffic"]
    by_destination = report["traffic"]["by_destination"]
    assert sum(entry["packets"] for entry in by_destination) == sent
    # UDP is counted by the packet; TCP by what was asked of the kernel, which adds its own acknowledgements.
    udp = sum(entry["packets"] for entry in by_destination if entry["protocol"] == "udp")
    assert counters["rtp"] + counters["other_udp"] <= udp + SYSTEM_LOOKUPS, (counters, report["traffic"])


SYSTEM_LOOKUPS = 200
"""Datagrams that the system's own resolution sends: the C library's, so that nobody can count them."""
