"""The customer's own PBX or SBC: does it speak SIP over TCP, and how does it answer a call of the trunk's kind?"""

from __future__ import annotations

from vsipcheck.checks.base import Check, Context, Facts, Recorder
from vsipcheck.model import Finding, Profile, Settings


async def measure(context: Context, record: Recorder) -> None:
    return None


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    return []


CHECK = Check(name="pbx", title="calling the PBX", finding_ids=(), needs=(), measure=measure, judge=judge)
