"""How a verdict about names is put into a finding, and whose fault it tells of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vsipcheck.checks.base import fact_ids
from vsipcheck.model import Confidence, Failure, FaultDomain, Finding, Lookup, Status


@dataclass(frozen=True, slots=True)
class Blame:
    domain: FaultDomain
    confidence: Confidence
    remedy: str | None = None
    settle_by: str | None = None
    sentence: str | None = None


def build_finding(
    finding_id: str,
    target: str,
    status: Status,
    reason: str,
    summary: str,
    lookups: Sequence[Lookup],
    blame: Blame | None = None,
    failure: Failure | None = None,
) -> Finding:
    """A finding that rests on `lookups`. Without `blame` it is nobody's fault; a good one is then proven."""
    return Finding(
        id=finding_id,
        target=target,
        status=status,
        reason=reason,
        summary=" ".join(part for part in (summary, blame.sentence if blame else None) if part),
        failure=failure,
        fault_domain=blame.domain if blame else None,
        confidence=blame.confidence if blame else Confidence.PROVEN if status is Status.PASS else None,
        remedy=blame.remedy if blame else None,
        settle_by=blame.settle_by if blame else None,
        facts=tuple(dict.fromkeys(fact_ids(lookups))),
    )
