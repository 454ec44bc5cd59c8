"""`vsipcheck path` to one address, against traceroute and mtr: the same hops, and what it takes to find them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from lab import Lab, Scenario, obstacle
from lab.laboratory import find_program
from lab.scenario import IN2_ADDRESS, MUMBAI_MEDIA

from bench.commands import Ended, run_in_lab, write_byte_code
from bench.figures import Figure, Row, Sample, Skipped

TITLE = "`vsipcheck path` to one address, against traceroute and mtr"
RUNS = 3
SILENT_AIM_S = 1.2
# One round trip plus 10 ms: in the lab, where a round trip takes less than one.
ANSWERING_AIM_MS = 11.0
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")


def tools(target: str) -> dict[str, tuple[str, ...]]:
    """The usual tools towards `target`, default options but for numeric output and mtr's report mode."""
    return {
        "traceroute -U": ("traceroute", "-n", "-U", "-p", "20000", target),
        "traceroute -T": ("traceroute", "-n", "-T", "-p", "5070", target),
        "mtr": ("mtr", "-n", "-u", "-r", "-c", "3", target),
    }


def routers(text: str, target: str) -> list[str]:
    """The routers that a tool's output names, in order, the target left out."""
    lines = [line for line in text.splitlines() if re.match(r"\s*\d+", line)]
    found = [match[0] for line in lines for match in [_ADDRESS.search(line)] if match is not None]
    return [address for address in dict.fromkeys(found) if address != target]


def hops_of(report: str, target: str) -> list[str]:
    """The routers in our own report's facts, in order."""
    facts = json.loads(report)["evidence"]["path"]["facts"]
    by_ttl = {f["ttl"]: f["address"] for f in facts if f["kind"] == "hop" and f["address"] and f["target"] == target}
    return [by_ttl[ttl] for ttl in sorted(by_ttl) if by_ttl[ttl] != target]


def walk_ms(report: str) -> float:
    """What the measuring itself took, without start-up."""
    return float(json.loads(report)["evidence"]["path"]["duration_ms"])


def measure() -> list[Row]:
    """For a target that answers and for one that does not: time, the tools' time as a ratio, the hops in common."""
    why_not = obstacle()
    if why_not is not None:
        return [Skipped("path", why_not)]
    write_byte_code()
    rows: list[Row] = []
    answering = Scenario(site="router", media="unreachable")
    for what, scenario, target in (
        ("answers", answering, MUMBAI_MEDIA[0]),
        ("is silent", Scenario(site="router", media="stealth"), MUMBAI_MEDIA[0]),
        ("is a SIP edge", Scenario(site="router"), IN2_ADDRESS),
    ):
        rows += _compare(what, scenario, target)
    return rows


def _compare(what: str, scenario: Scenario, target: str) -> list[Row]:
    runs = [_alone(scenario, ("vsipcheck", "path", target, "--json")) for _ in range(RUNS)]
    walks = Sample(tuple(walk_ms(run.output) for run in runs))
    whole = Sample(tuple(run.seconds for run in runs))
    ours = hops_of(runs[-1].output, target)
    aim = SILENT_AIM_S * 1000 if what == "is silent" else ANSWERING_AIM_MS if what == "answers" else None
    rows: list[Row] = [
        Figure(f"target {what}: the walk, {len(ours)} routers", walks.median, "ms", aim, noise=walks.spread("ms")),
        Figure(f"target {what}: the whole process", whole.median, "s", noise=whole.spread("s")),
    ]
    for name, command in tools(target).items():
        label = f"target {what}: {name} / the whole process"
        if find_program(command[0]) is None:
            rows.append(Skipped(label, f"{command[0]} is not here"))
            continue
        ended = _alone(scenario, command, root=True)
        theirs = routers(ended.output, target)
        rows.append(
            Figure(
                label, ended.seconds / whole.median, "x", noise=f"{ended.seconds:.2f} s, once; {_common(ours, theirs)}"
            )
        )
    return rows


def _common(ours: Sequence[str], theirs: Sequence[str]) -> str:
    only_ours, only_theirs = set(ours) - set(theirs), set(theirs) - set(ours)
    if not only_ours and not only_theirs:
        return f"the same {len(ours)} routers"
    common = len(set(ours) & set(theirs))
    return f"{common} routers in common, {len(only_ours)} ours alone, {len(only_theirs)} theirs alone"


def _alone(scenario: Scenario, command: Sequence[str], *, root: bool = False) -> Ended:
    """In a lab of its own: the one before has spent what the routers answer to a prober."""
    with Lab(scenario) as lab:
        return run_in_lab(lab, list(command), root=root)
