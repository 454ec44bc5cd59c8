"""How a verdict about NAT is put into a finding."""

from __future__ import annotations

from dataclasses import dataclass

from vsipcheck.model import Confidence, Failure, FaultDomain, Finding, Measure, Profile, Status


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding before the profile's section is added."""

    status: Status
    reason: str
    summary: str
    facts: tuple[str, ...] = ()
    domain: FaultDomain | None = None
    confidence: Confidence | None = None
    failure: Failure | None = None
    remedy: str | None = None
    settle_by: str | None = None
    measures: tuple[Measure, ...] = ()


def finding_of(id_: str, verdict: Verdict, profile: Profile) -> Finding:
    """The finding `id_` of a verdict, with the section of the guide that the profile names for it."""
    row = id_.partition(".")[2]
    domain = verdict.domain
    if domain is None and verdict.status in (Status.WARN, Status.FAIL, Status.UNKNOWN):
        domain = FaultDomain.UNDETERMINED
    return Finding(
        id=id_,
        target=None,
        status=verdict.status,
        reason=verdict.reason,
        summary=verdict.summary,
        failure=verdict.failure,
        fault_domain=domain,
        confidence=verdict.confidence,
        remedy=verdict.remedy,
        settle_by=verdict.settle_by,
        guide_section=next((check.section for check in profile.prechecks if check.row == row), None),
        measures=verdict.measures,
        facts=tuple(dict.fromkeys(verdict.facts)),
    )
