"""`sip.redundancy`: how many of the signalling addresses both connect and answer."""

from __future__ import annotations

from collections.abc import Sequence

from vsipcheck.checks.sip.target import Target
from vsipcheck.model import Confidence, FaultDomain, Finding, Profile, Settings, Status

REDUNDANCY = "sip.redundancy"


def _address_status(connect: Finding, options: Finding) -> Status:
    """What an address is worth to the trunk: both findings pass, or the worse of them."""
    both = (connect.status, options.status)
    for status in (Status.FAIL, Status.UNKNOWN, Status.WARN, Status.PASS):
        if status in both:
            return status
    return Status.SKIP


def judge_redundancy(
    judged: Sequence[tuple[Target, Finding, Finding]], profile: Profile, settings: Settings
) -> Finding:
    """`sip.redundancy` over every target with its `sip.connect` and `sip.options`."""
    primary = settings.primary
    counted = [row for row in judged if primary is None or row[0].name == primary]
    statuses = [(row[0], _address_status(row[1], row[2])) for row in counted]
    considered = [(target, status) for target, status in statuses if status is not Status.SKIP]
    names = list(dict.fromkeys(target.name for target, _ in considered))
    told = "; ".join(
        f"{name}: "
        + ", ".join(f"{row.address or 'no address'} {status}" for row, status in considered if row.name == name)
        for name in names
    )
    alone = f" Only {primary} decides (--primary)." if primary is not None else ""
    evidence = [finding for _, connect, options in counted for finding in (connect, options)]
    facts = tuple(dict.fromkeys(fact for finding in evidence for fact in finding.facts))

    def verdict(status: Status, reason: str, summary: str, *, settle_by: str | None = None) -> Finding:
        guilty = [
            finding
            for finding in evidence
            if finding.status in (Status.FAIL, Status.WARN) and finding.fault_domain is not None
        ]
        return Finding(
            id=REDUNDANCY,
            target=None,
            status=status,
            reason=reason,
            summary=f"{summary} {told}.{alone}" if told else f"{summary}{alone}",
            fault_domain=None if status is Status.PASS else _common_domain(guilty),
            confidence=Confidence.PROVEN if status is Status.PASS else _least_confidence(guilty),
            remedy=next((finding.remedy for finding in guilty if finding.remedy), None),
            settle_by=settle_by or next((finding.settle_by for finding in guilty if finding.settle_by), None),
            facts=facts,
        )

    values = {status for _, status in considered}
    if not considered or values == {Status.UNKNOWN}:
        return verdict(
            Status.UNKNOWN,
            "not_judged",
            "No signalling address could be judged.",
            settle_by="See dns.resolution and sip.connect.",
        )
    if not values & {Status.PASS, Status.WARN}:
        return verdict(Status.FAIL, "none_answers", "No signalling address answers as it should.")
    if values == {Status.PASS}:
        count = len(names)
        summary = f"All {len(considered)} signalling addresses of {count} names answer."
        if count == 1:
            summary = "The signalling addresses answer."
        return verdict(Status.PASS, "all_answer", summary)
    if Status.FAIL in values:
        return verdict(Status.WARN, "some_fail", "Some signalling addresses answer, some do not.")
    if Status.UNKNOWN in values:
        return verdict(
            Status.WARN,
            "some_unknown",
            "Some signalling addresses answer, some could not be judged.",
            settle_by="See dns.resolution and sip.connect of those that could not be judged.",
        )
    return verdict(Status.WARN, "some_warn", "The signalling addresses answer, not all as they should.")


def _common_domain(guilty: Sequence[Finding]) -> FaultDomain:
    domains = {finding.fault_domain for finding in guilty}
    only = next(iter(domains)) if len(domains) == 1 else None
    return only or FaultDomain.UNDETERMINED


_CONFIDENCES = (Confidence.POSSIBLE, Confidence.LIKELY, Confidence.PROVEN)


def _least_confidence(guilty: Sequence[Finding]) -> Confidence:
    told = [finding.confidence for finding in guilty if finding.confidence in _CONFIDENCES]
    return (
        min(told, key=_CONFIDENCES.index)
        if told and _common_domain(guilty) is not FaultDomain.UNDETERMINED
        else (Confidence.POSSIBLE)
    )
