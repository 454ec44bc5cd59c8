"""The sweep of the whole media range: how fast, how complete, in how much memory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lab import Lab, Scenario, obstacle
from lab.scenario import MEDIA
from lab.topology import media_node

from bench.commands import Ended, run_in_lab, write_byte_code
from bench.figures import Figure, Row, Sample, Skipped

RATE = 20_000
TITLE = f"`vsipcheck media --sweep --rate {RATE}`: 4 addresses, 30,001 ports each"
RUNS = 3
AIM_S, AIM_MB = 6.5, 60.0
# What keeps a Linux host from answering every datagram. Not every kernel has the last two in a namespace.
UNLIMITED = {"icmp_ratelimit": "0", "icmp_msgs_per_sec": "1000000", "icmp_msgs_burst": "1000000"}


def measure() -> list[Row]:
    """Against hosts that answer every datagram, and against silence. No NAT, whose table would be the limit."""
    why_not = obstacle()
    if why_not is not None:
        return [Skipped("sweep", why_not)]
    write_byte_code()
    rows: list[Row] = []
    with Lab(Scenario(site="direct", nat="none", media="unreachable")) as lab:
        for address in MEDIA:
            for name, value in UNLIMITED.items():
                with contextlib.suppress(FileNotFoundError):
                    lab.node(media_node(address)).sysctl(f"ipv4/{name}", value)
        before = answers_sent(lab)
        runs = [_run(lab) for _ in range(RUNS)]
        answers = answers_sent(lab) - before
    rows += _figures("every port answers", runs)
    sent = [packets(report) for _, report in runs]
    heard = [attributed(report) for _, report in runs]
    worst = min(range(RUNS), key=lambda run: heard[run] / sent[run])
    rows.append(
        Figure(
            "ICMP answers attributed / packets sent, the worst run",
            heard[worst] / sent[worst],
            "x",
            1.0,
            "at_least",
            noise=f"{heard[worst]:,} of {sent[worst]:,}; the far hosts answered {answers:,} times in {RUNS} runs",
        )
    )
    with Lab(Scenario(site="direct", nat="none", media="silent")) as lab:
        rows += _figures("silence", [_run(lab) for _ in range(RUNS)])
    return rows


def _run(lab: Lab) -> tuple[Ended, dict[str, Any]]:
    ended = run_in_lab(lab, ["vsipcheck", "media", "--sweep", "--rate", str(RATE), "--json"])
    return ended, json.loads(ended.output)


def _figures(what: str, runs: list[tuple[Ended, dict[str, Any]]]) -> Iterator[Figure]:
    seconds = Sample(tuple(note(report)["duration_ms"] / 1000 for _, report in runs))
    rates = Sample(tuple(packets(report) / (note(report)["duration_ms"] / 1000) for _, report in runs))
    memory = Sample(tuple(ended.peak_mb for ended, _ in runs))
    whole = Sample(tuple(ended.seconds for ended, _ in runs))
    yield Figure(f"{what}: the sweep, its last wait included", seconds.median, "s", AIM_S, noise=seconds.spread("s"))
    yield Figure(f"{what}: packets a second, of {RATE:,}", rates.median / RATE, "x", noise=rates.spread("a second"))
    yield Figure(f"{what}: peak memory of the process", memory.median, "MB", AIM_MB, noise=memory.spread("MB"))
    yield Figure(f"{what}: the whole process", whole.median, "s", noise=whole.spread("s"))


def note(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the report says about the sweep as a whole."""
    facts = report["evidence"]["media"]["facts"]
    values: Mapping[str, Any] = next(fact["values"] for fact in facts if fact.get("topic") == "sweep")
    return values


def packets(report: Mapping[str, Any]) -> int:
    return int(note(report)["packets"])


def attributed(report: Mapping[str, Any]) -> int:
    """How many ports the sweep has an ICMP answer for."""
    spans = (fact for fact in report["evidence"]["media"]["facts"] if fact.get("method") == "sweep")
    return sum(span["last_port"] - span["first_port"] + 1 for span in spans if span["outcome"] == "icmp")


def answers_sent(lab: Lab) -> int:
    """Destination-unreachable messages that the media hosts have sent so far."""
    return sum(lab.node(media_node(address)).inside(_unreachables) for address in MEDIA)


def _unreachables() -> int:
    names, values = (
        line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines() if line.startswith("Icmp:")
    )
    return int(values[names.index("OutDestUnreachs")])
