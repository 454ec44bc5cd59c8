"""`vsipcheck all` where all is well, against the same facts gathered by the usual tools one after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import Lab, Scenario, obstacle
from lab.laboratory import find_program
from lab.scenario import IN2_ADDRESS, IN4_ADDRESS

from bench.commands import LIMIT_S, Ended, run_in_lab, write_byte_code
from bench.figures import Figure, Row, Sample, Skipped

TITLE = "`vsipcheck all` in the healthy lab, against the usual tools one after the other"
RUNS = 5
AIM = 15.0
OPTIONS = 3
SIP_ADDRESSES = (IN2_ADDRESS, IN4_ADDRESS)
PACKAGES = {
    "dig": "bind9-dnsutils",
    "sipp": "sip-tester",
    "nmap": "nmap",
    "curl": "curl",
    "turnutils_stunclient": "coturn",
    "traceroute": "traceroute",
}
NEEDS_ROOT = frozenset({"nmap", "traceroute"})


@dataclass(frozen=True)
class Work:
    """What one tool has to be asked, as commands, for the facts of one run of `all`."""

    program: str
    what: str
    commands: tuple[tuple[str, ...], ...]


def equivalent_work(report: Mapping[str, Any]) -> list[Work]:
    """The tools' commands, default options, for the facts in this report: its names, addresses, ports and services."""
    profile, evidence = report["profile"], report["evidence"]
    names = [pop["fqdn"] for pop in profile["signalling"]["pops"]]
    port = str(profile["signalling"]["port"])
    media = [entry["address"] for entry in profile["media"]["addresses"]]
    servers = dict.fromkeys(fact["server"] for fact in evidence["dns"]["facts"] if fact.get("server"))
    ports = sampled_ports(report)
    scenario = str(Path(__file__).with_name("options.xml"))
    stun = [(server["host"], str(server["port"])) for server in profile["stun_servers"]]
    return [
        Work(
            "dig",
            f"{len(names)} names, A and AAAA, {len(servers)} nameserver",
            tuple(("dig", f"@{server}", name, kind) for server in servers for name in names for kind in ("A", "AAAA")),
        ),
        Work(
            "sipp",
            f"{OPTIONS} OPTIONS to {len(SIP_ADDRESSES)} addresses",
            tuple(
                ("sipp", "-sf", scenario, "-t", "t1", "-m", str(OPTIONS), "-nostdin", f"{address}:{port}")
                for address in SIP_ADDRESSES
            ),
        ),
        Work(
            "nmap",
            f"-sU, {len(ports)} ports on {len(media)} addresses",
            (("nmap", "-sU", "-p", ",".join(map(str, ports)), *media),),
        ),
        Work(
            "curl",
            f"{len(profile['echo_services'])} address services",
            tuple(("curl", "-sS", service["url"]) for service in profile["echo_services"]),
        ),
        Work(
            "turnutils_stunclient",
            f"{len(stun)} STUN servers",
            tuple(("turnutils_stunclient", "-p", number, host) for host, number in stun),
        ),
        Work(
            "traceroute",
            f"-U to {len(media)} media addresses, -T to {len(SIP_ADDRESSES)} edges",
            (
                *(("traceroute", "-U", "-p", str(ports[0]), address) for address in media),
                *(("traceroute", "-T", "-p", port, address) for address in SIP_ADDRESSES),
            ),
        ),
    ]


def sampled_ports(report: Mapping[str, Any]) -> list[int]:
    """The ports of the sample on the first media address."""
    spans = [fact for fact in report["evidence"]["media"]["facts"] if fact.get("method") == "sample"]
    return sorted({span["first_port"] for span in spans if span["target"] == spans[0]["target"]})


def measure() -> list[Row]:
    """The ratio, and beneath it what each tool took."""
    name = "the tools / `vsipcheck all`"
    why_not = obstacle()
    if why_not is not None:
        return [Skipped(name, why_not)]
    write_byte_code()
    # A lab for each run, as a first run finds it: the one before has spent what the routers answer to a prober.
    runs = [_run_alone() for _ in range(RUNS)]
    report = json.loads(runs[-1].output)
    ours = Sample(tuple(run.seconds for run in runs))
    rows: list[Row] = []
    with Lab(Scenario(site="router")) as lab:
        total_s = 0.0
        for work in equivalent_work(report):
            label = f"{work.program}: {work.what}"
            if find_program(work.program) is None:
                rows.append(Skipped(label, f"{work.program} is not here (Debian: {PACKAGES[work.program]})"))
                continue
            ended = [run_in_lab(lab, command, root=work.program in NEEDS_ROOT) for command in work.commands]
            took_s = sum(one.seconds for one in ended)
            total_s += took_s
            rows.append(Figure(label, took_s / ours.median, "x", noise=f"{took_s:.2f} s, once{_failures(ended)}"))
    missing = "" if not any(isinstance(row, Skipped) for row in rows) else ", tools missing"
    verdicts = sorted({f"{json.loads(run.output)['overall']}, exit {run.exit_code}" for run in runs})
    return [
        Figure(f"`vsipcheck all` ({'; '.join(verdicts)})", 1.0, "x", noise=ours.spread("s")),
        *rows,
        Figure(f"{name}{missing}", total_s / ours.median, "x", AIM, "at_least", noise=f"{total_s:.1f} s, once"),
    ]


def _run_alone() -> Ended:
    with Lab(Scenario(site="router")) as lab:
        return run_in_lab(lab, ["vsipcheck", "all", "--json"])


def _failures(ended: list[Ended]) -> str:
    """What to doubt about these runs: how many ended with an error, or at the time limit."""
    failed = [one for one in ended if one.exit_code != 0]
    if not failed:
        return ""
    late = sum(one.seconds >= LIMIT_S for one in failed)
    return f", {len(failed)} of {len(ended)} failed" + (f" ({late} at the limit of {LIMIT_S:g} s)" if late else "")
