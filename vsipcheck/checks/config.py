"""The PBX's configuration, file by file, against the provider's guide."""

from __future__ import annotations

from vsipcheck.checks.base import Check, Context, Facts, Recorder
from vsipcheck.model import Finding, Profile, Settings


async def measure(context: Context, record: Recorder) -> None:
    return None


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    return []


CHECK = Check(name="config", title="reading the PBX's configuration", finding_ids=(), needs=(), measure=measure, judge=judge)
