"""Whether the signalling names resolve, what each nameserver makes of them, and what the zone's own servers say."""

from __future__ import annotations

from vsipcheck.checks.base import Check, Facts
from vsipcheck.checks.dns import authority, resolution
from vsipcheck.checks.dns.measure import measure
from vsipcheck.model import Finding, Profile, Settings


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """One `dns.resolution` for every signalling name; where a long look was taken, what that one found."""
    return [*resolution.judge(facts, profile, settings), *authority.judge(facts, profile, settings)]


CHECK = Check(
    name="dns",
    title="Names",
    finding_ids=(resolution.FINDING, authority.AUTHORITY, authority.RESOLVER, authority.RECORDS),
    needs=(),
    measure=measure,
    judge=judge,
    version=2,
)
