"""Running checks: needs, deadlines, stop, our own errors."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vsipcheck.checks.base import Check, Context, Facts, Recorder
from vsipcheck.model import Finding, Note, Profile, Report, Settings, Status, Traffic
from vsipcheck.net import Capabilities, Network
from vsipcheck.profiles import load_profile
from vsipcheck.runner import run, with_needs

PROFILE = load_profile("exotel-tcp-mumbai")


def network() -> Network:
    started = time.monotonic()
    return cast(
        Network,
        SimpleNamespace(
            capabilities=Capabilities(icmp_errors=True, ttl_probes=True, os="test"),
            simulated=True,
            now_ms=lambda: (time.monotonic() - started) * 1000,
            traffic=lambda: Traffic(packets_sent=0, bytes_sent=0, by_destination=()),
        ),
    )


def check(name: str, measure: Any, *, needs: tuple[str, ...] = (), judge: Any = None) -> Check:
    def notes(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
        seen = facts.of(Note, name)
        status = Status.PASS if seen else Status.UNKNOWN
        return [Finding(id=f"{name}.x", target=None, status=status, reason="r", summary=f"{len(seen)} notes")]

    return Check(name=name, title=name, finding_ids=(f"{name}.x",), needs=needs, measure=measure, judge=judge or notes)


async def note(context: Context, record: Recorder) -> None:
    record.add(Note(topic="t", text="seen"))


async def hang(context: Context, record: Recorder) -> None:
    record.add(Note(topic="t", text="before"))
    try:
        await asyncio.sleep(3600)
    finally:
        record.add(Note(topic="t", text="written down on the way out"))


def go(
    checks: list[Check],
    *,
    asked: tuple[str, ...] | None = None,
    deadline_s: float = 5,
    stop: asyncio.Event | None = None,
) -> Report:
    by_name = {c.name: c for c in checks}
    settings = Settings(checks=asked or tuple(by_name), deadline_s=deadline_s)

    async def main() -> Report:
        return await run(network(), PROFILE, settings, checks=by_name, stop=stop)

    return asyncio.run(main())


def test_needs_are_measured_but_only_what_was_asked_for_is_judged() -> None:
    report = go([check("a", note), check("b", note, needs=("a",)), check("c", note)], asked=("b",))
    assert set(report.evidence) == {"a", "b"}
    assert [f.id for f in report.findings] == ["b.x"]
    assert report.overall is None


def test_needs_of_needs() -> None:
    checks = {c.name: c for c in (check("a", note), check("b", note, needs=("a",)), check("c", note, needs=("b",)))}
    assert with_needs(["c"], checks) == ["a", "b", "c"]


def test_the_deadline_loses_no_fact() -> None:
    report = go([check("slow", hang), check("quick", note)], deadline_s=0.05)
    assert report.evidence["slow"].error == "deadline"
    assert len(report.evidence["slow"].facts) == 2
    assert report.evidence["quick"].error is None
    assert not report.interrupted


def test_a_signal_ends_the_run_and_it_is_still_judged() -> None:
    stop = asyncio.Event()

    async def signalled(context: Context, record: Recorder) -> None:
        stop.set()
        await hang(context, record)

    report = go([check("a", signalled)], stop=stop)
    assert report.interrupted
    assert report.exit_code == 130
    assert report.evidence["a"].error == "interrupted"
    assert report.findings[0].status is Status.PASS


def test_our_own_error_is_an_unknown_with_its_traceback() -> None:
    async def broken(context: Context, record: Recorder) -> None:
        raise RuntimeError("our own defect")

    report = go([check("a", broken), check("b", note)])
    assert "our own defect" in (report.evidence["a"].error or "")
    assert report.findings[0].status is Status.UNKNOWN
    assert report.findings[1].status is Status.PASS


def test_a_judge_that_breaks_is_unknown_too() -> None:
    def broken(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
        raise KeyError("x")

    report = go([check("a", note, judge=broken), check("b", note)])
    assert (report.findings[0].status, report.findings[0].reason) == (Status.UNKNOWN, "internal_error")
    assert report.findings[1].status is Status.PASS


def test_a_check_awaits_the_fact_of_another() -> None:
    got: list[Note | None] = []

    async def waits(context: Context, record: Recorder) -> None:
        got.append(await context.first("a", Note, lambda n: n.text == "seen"))
        got.append(await context.first("a", Note, lambda n: n.text == "never"))
        got.append(await context.first("absent", Note, lambda n: True))

    go([check("b", waits), check("a", note)])
    assert got[0] is not None
    assert got[1:] == [None, None]


def test_fact_ids_are_unique_and_findings_get_their_time() -> None:
    def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
        ids = tuple(n.id for n in facts.of(Note))
        return [Finding(id="a.x", target=None, status=Status.PASS, reason="r", summary="s", facts=ids)]

    async def twice(context: Context, record: Recorder) -> None:
        await note(context, record)
        await note(context, record)

    report = go([check("a", twice, judge=judge)])
    ids = [fact.id for fact in report.evidence["a"].facts]
    assert ids == ["a.1", "a.2"]
    assert report.findings[0].offset_ms is not None


@pytest.mark.parametrize("name", ["a", "b"])
def test_progress_goes_to_whoever_asked(name: str) -> None:
    told: list[str] = []

    async def tells(context: Context, record: Recorder) -> None:
        context.progress(name, 1, 2, "half")

    async def main() -> None:
        await run(
            network(),
            PROFILE,
            Settings(checks=(name,)),
            checks={name: check(name, tells)},
            progress=lambda check, done, total, what: told.append(f"{check} {done}/{total} {what}"),
        )

    asyncio.run(main())
    assert told == [f"{name} 1/2 half"]
