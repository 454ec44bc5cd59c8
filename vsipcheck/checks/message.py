"""A SIP message or a trace against the guide's tables of header fields."""

from __future__ import annotations

from vsipcheck.checks.base import Check, Context, Facts, Recorder
from vsipcheck.model import Finding, Profile, Settings


async def measure(context: Context, record: Recorder) -> None:
    return None


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    return []


CHECK = Check(name="message", title="reading the SIP messages", finding_ids=(), needs=(), measure=measure, judge=judge)
