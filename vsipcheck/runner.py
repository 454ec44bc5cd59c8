"""Runs checks side by side, judges once, and writes the report. The deadline and signals take one path: `stop`."""

from __future__ import annotations

import asyncio
import datetime
import platform
import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from vsipcheck import VERSION
from vsipcheck.checks.base import Check, Context, Facts, ProgressSink, Recorder
from vsipcheck.model import (
    REPORT_SCHEMA,
    CheckEvidence,
    FaultDomain,
    Finding,
    Hop,
    Host,
    PastRun,
    Path,
    Profile,
    Report,
    Settings,
    Status,
    Tool,
)
from vsipcheck.net import Network
from vsipcheck.profiles.secrets import without_secrets

# How long a cancelled check may take to write down what it knows.
GRACE_S = 1.0
# It sends to addresses that it need not look up: its probes are on their way while the other checks are loaded.
FIRST = "media"


def _no_progress(check: str, done: int, total: int, what: str) -> None:
    return None


def is_whole(wanted: Iterable[str], checks: Mapping[str, Check]) -> bool:
    """Whether `wanted` is a run of everything that needs nothing of the customer's: then the checklist is answered."""
    from vsipcheck.checks.registry import ON_REQUEST

    return set(checks) - set(ON_REQUEST) <= set(wanted)


def with_needs(wanted: Sequence[str], checks: Mapping[str, Check]) -> list[str]:
    """`wanted` and everything that they need, in the registry's order."""
    if is_whole(wanted, checks):  # seen without loading them
        return [name for name in checks if name in wanted]
    found: set[str] = set()
    todo = list(wanted)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(checks[name].needs)
    return [name for name in checks if name in found]


async def run(
    network: Network,
    profile: Profile,
    settings: Settings,
    *,
    progress: ProgressSink | None = None,
    stop: asyncio.Event | None = None,
    checks: Mapping[str, Check] | None = None,
    past: Sequence[PastRun] = (),
) -> Report:
    """One run: measure `settings.checks` and what they need side by side, then judge.

    `stop` ends the measuring early (a signal); so does `settings.deadline_s`. What was recorded until then is judged.
    """
    if checks is None:
        from vsipcheck.checks.registry import CHECKS

        checks = CHECKS
    started_at = datetime.datetime.now(datetime.UTC)
    stop = stop or asyncio.Event()
    ended = asyncio.Event()
    names = with_needs([name for name in checks if name in settings.checks], checks)
    recorders = {name: Recorder(name, network.now_ms) for name in names}
    deadline_ms = settings.deadline_s * 1000
    context = Context(
        network=network,
        profile=profile,
        settings=settings,
        recorders=recorders,
        progress=progress or _no_progress,
        remaining_s=lambda: max(0.0, (deadline_ms - network.now_ms()) / 1000),
        stopping=ended.is_set,
    )
    began = {name: network.now_ms() for name in names}
    evidence: dict[str, CheckEvidence] = {}
    loaded = asyncio.Event()

    async def measure(name: str) -> str | None:
        if name != FIRST:
            await loaded.wait()
            began[name] = network.now_ms()
        return await _measure(checks, name, context, recorders[name])

    tasks = {asyncio.create_task(measure(name), name=name): name for name in sorted(names, key=lambda n: n != FIRST)}
    loading = asyncio.create_task(_load(checks, names, loaded))
    why_ended = await _wait(tasks, stop, context.remaining_s)
    ended.set()
    for task in (*tasks, loading):
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=GRACE_S)
    from vsipcheck.checklist import actions_of, build_checklist, exit_code_of, overall_of

    for name, task in sorted(((name, task) for task, name in tasks.items()), key=lambda item: names.index(item[0])):
        error = why_ended if task.cancelled() or not task.done() else task.result()
        evidence[name] = CheckEvidence(
            version=checks[name].version,
            offset_ms=round(began[name], 3),
            duration_ms=round(network.now_ms() - began[name], 3) if error else _duration(recorders[name], began[name]),
            error=error,
            facts=recorders[name].facts,
        )
    if past:
        evidence["history"] = CheckEvidence(version=1, offset_ms=0.0, duration_ms=0.0, error=None, facts=tuple(past))
    interrupted = stop.is_set()
    asked = [name for name in names if name in settings.checks]
    findings = judge_all(evidence, profile, settings, {name: checks[name] for name in asked})
    whole = is_whole(asked, checks)
    ids = None if whole else [finding_id for name in asked for finding_id in checks[name].finding_ids]
    rows = build_checklist(findings, profile, ids)
    report = Report(
        schema=REPORT_SCHEMA,  # type: ignore[arg-type]
        run_id=str(uuid.uuid4()),
        tool=Tool(version=VERSION),
        host=Host(
            os=platform.system(),
            python=platform.python_version(),
            icmp_errors=network.capabilities.icmp_errors,
        ),
        profile=without_secrets(profile),
        settings=settings,
        started_at=started_at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        duration_ms=round(network.now_ms(), 3),
        interrupted=interrupted,
        simulated=network.simulated,
        redacted=False,
        overall=overall_of(rows, findings) if whole else None,
        exit_code=int(exit_code_of(rows, settings, interrupted=interrupted, findings=findings, whole=whole)),
        actions=actions_of(findings),
        findings=tuple(findings),
        checklist=rows,
        evidence=evidence,
        traffic=network.traffic(),
        paths=_paths(Facts(evidence), profile),
    )
    return _with_requests(report)


def _with_requests(report: Report) -> Report:
    """The report with what can be sent to the provider as it is."""
    from vsipcheck.whitelisting import asks_for_whitelisting, requests_of

    if not any(asks_for_whitelisting(finding) for finding in report.findings):
        return msgspec.structs.replace(report, requests=())
    from vsipcheck.checks.public_address import SIP_RECEIVED, sightings, trunk_address

    facts = Facts(report.evidence)
    seen = sightings(facts)
    by_trunk = list(dict.fromkeys(one.address for one in seen if one.method == SIP_RECEIVED))
    if by_trunk:
        return msgspec.structs.replace(report, requests=requests_of(report, by_trunk, "as your server sees it"))
    agreed = trunk_address(facts)
    addresses = [agreed] if agreed is not None else list(dict.fromkeys(one.address for one in seen))
    told_by = "as services on the Internet see it" if seen else "the address of our own interface"
    return msgspec.structs.replace(report, requests=requests_of(report, addresses, told_by))


def _paths(facts: Facts, profile: Profile) -> tuple[Path, ...]:
    """The ways that were walked. What goes wrong in telling them must not cost the verdicts."""
    if not facts.of(Hop):
        return ()
    from vsipcheck.checks.path.check import describe_paths

    try:
        return describe_paths(facts, profile)
    except Exception:
        return ()


def _duration(recorder: Recorder, began_ms: float) -> float:
    return round((recorder.finished_ms or began_ms) - began_ms, 3)


async def _load(checks: Mapping[str, Check], names: Sequence[str], loaded: asyncio.Event) -> None:
    """Have the checks loaded: in a thread while the first one measures, so that it hears what comes back."""
    others = [name for name in names if name != FIRST]

    def load() -> None:
        for name in others:
            checks[name]

    try:
        if len(others) < len(names):
            await asyncio.to_thread(load)
    except Exception:
        pass  # a check that can't be loaded says so itself
    finally:
        loaded.set()


async def _measure(checks: Mapping[str, Check], name: str, context: Context, record: Recorder) -> str | None:
    """Measure one check. Returns a traceback when it broke: our own fault, never a verdict."""
    try:
        await checks[name].measure(context, record)
    except Exception:
        return traceback.format_exc()
    finally:
        record.finish()
    return None


async def _wait(
    tasks: Mapping[asyncio.Task[str | None], str], stop: asyncio.Event, remaining_s: Callable[[], float]
) -> str:
    """Until all tasks are done, `stop` is set, or the deadline passes. Says which, for those that are not done."""
    stopped = asyncio.create_task(stop.wait())
    pending: set[asyncio.Task[Any]] = {*tasks}
    try:
        while pending and not stop.is_set():
            left = remaining_s()
            if left <= 0:
                return "deadline"
            done, rest = await asyncio.wait({*pending, stopped}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return "deadline"
            pending = rest - {stopped}
    finally:
        stopped.cancel()
    return "interrupted"


def judge_all(
    evidence: Mapping[str, CheckEvidence], profile: Profile, settings: Settings, checks: Mapping[str, Check]
) -> list[Finding]:
    """The findings of `checks` over recorded evidence. Pure: a stored report can be judged again."""
    facts = Facts(evidence)
    spans = {
        fact.id: (fact.offset_ms, fact.offset_ms + (fact.duration_ms or 0.0))
        for recorded in evidence.values()
        for fact in recorded.facts
    }
    findings: list[Finding] = []
    for check in checks.values():
        try:
            findings.extend(_timed(finding, spans) for finding in check.judge(facts, profile, settings))
        except Exception:
            trace = traceback.format_exc()
            findings.extend(
                Finding(
                    id=finding_id,
                    target=None,
                    status=Status.UNKNOWN,
                    reason="internal_error",
                    summary=f"vsipcheck could not judge this: {trace.strip().splitlines()[-1]}",
                    fault_domain=FaultDomain.UNDETERMINED,
                    settle_by="report this with the report file: it is a defect of vsipcheck",
                )
                for finding_id in check.finding_ids
            )
    return findings


def _timed(finding: Finding, spans: Mapping[str, tuple[float, float]]) -> Finding:
    """The finding with the time that its facts cover."""
    if finding.offset_ms is not None:
        return finding
    covered = [spans[fact] for fact in finding.facts if fact in spans]
    if not covered:
        return finding
    first, last = min(start for start, _ in covered), max(end for _, end in covered)
    return msgspec.structs.replace(finding, offset_ms=round(first, 3), duration_ms=round(last - first, 3))


def rejudge(report: Report, checks: Mapping[str, Check] | None = None) -> Report:
    """The report with the verdicts that today's rules give its facts, and all that follows from them. Pure.

    Only what was asked for then is judged, and a check that there is no longer keeps its findings out.
    """
    if checks is None:
        from vsipcheck.checks.registry import CHECKS

        checks = CHECKS
    from vsipcheck.checklist import actions_of, build_checklist, exit_code_of, overall_of

    settings = report.settings
    asked = {name: checks[name] for name in checks if name in settings.checks}
    findings = judge_all(report.evidence, report.profile, settings, asked)
    whole = report.overall is not None
    rows = build_checklist(
        findings, report.profile, None if whole else [i for c in asked.values() for i in c.finding_ids]
    )
    judged = msgspec.structs.replace(
        report,
        tool=Tool(version=VERSION),
        overall=overall_of(rows, findings) if whole else None,
        exit_code=int(exit_code_of(rows, settings, interrupted=report.interrupted, findings=findings, whole=whole)),
        actions=actions_of(findings),
        findings=tuple(findings),
        checklist=rows,
        paths=_paths(Facts(report.evidence), report.profile),
    )
    return _with_requests(judged)
