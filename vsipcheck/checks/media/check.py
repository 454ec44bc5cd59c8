"""UDP towards the media addresses: what leaves, and what comes back."""

from __future__ import annotations

from vsipcheck.checks.base import Check, Facts
from vsipcheck.checks.media.egress import EGRESS, judge_egress
from vsipcheck.checks.media.measure import measure
from vsipcheck.checks.media.way_back import RETURN, judge_return
from vsipcheck.model import Finding, Profile, Settings


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """`media.egress` and `media.return` for every media address of the profile."""
    findings = []
    for media in profile.media.addresses:
        findings.append(judge_egress(facts, profile, settings, media.address))
        findings.append(judge_return(facts, profile, settings, media.address))
    return findings


CHECK = Check(
    name="media",
    title="UDP towards the media addresses",
    finding_ids=(EGRESS, RETURN),
    needs=(),
    measure=measure,
    judge=judge,
)
