"""What the findings of this check are made of: whose fault it is, a finding with its evidence, measures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vsipcheck.checks.base import fact_ids, span_ms
from vsipcheck.checks.sip.dialogue import MAX_ADDRESSES
from vsipcheck.checks.sip.target import Target
from vsipcheck.model import (
    Confidence,
    Fact,
    Failure,
    FaultDomain,
    Finding,
    Measure,
    Status,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Who has to act, how sure that is, and what to do. `facts` are what this rests on beside the finding's own."""

    domain: FaultDomain
    confidence: Confidence
    remedy: str | None = None
    settle_by: str | None = None
    sentence: str | None = None
    facts: tuple[str, ...] = ()


_UNDETERMINED = Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE)
SETTLE_BY_TRACE = "Compare captures (sngrep, tcpdump) on this host and on the WAN side."
_NO_TARGET = {
    "no_address": ("It has no address to connect to.", "Make the name resolve: see dns.resolution."),
    "not_measured": ("The run ended before it could be tried.", "Run again, with a longer --deadline."),
    "special_purpose_address": (
        "The address is in special-purpose space, where no provider can be. Nothing was sent to it.",
        "Correct the name's resolution: see dns.resolution.",
    ),
    "left_out": (
        f"Only the first {MAX_ADDRESSES} addresses of a name are tried.",
        "Give the address by itself: --fqdn ADDRESS.",
    ),
}


def build_finding(
    finding_id: str,
    target: str | None,
    status: Status,
    reason: str,
    summary: str,
    *,
    facts: Iterable[Fact] = (),
    blame: Fault | None = None,
    failure: Failure | None = None,
    settle_by: str | None = None,
    guide_section: str | None = None,
    measures: tuple[Measure, ...] = (),
) -> Finding:
    """A finding with its evidence and the time that took. Without `blame` it stays open whose fault a bad one is; a
    good one is nobody's."""
    facts = list(facts)
    offset_ms, duration_ms = span_ms(facts)
    if blame is None and status not in (Status.PASS, Status.SKIP):
        blame = _UNDETERMINED
    told = blame if status not in (Status.PASS, Status.SKIP) else None
    return Finding(
        id=finding_id,
        target=target,
        status=status,
        reason=reason,
        summary=" ".join(part for part in (summary, as_sentence(told.sentence) if told else "") if part),
        failure=failure,
        fault_domain=told.domain if told else None,
        confidence=told.confidence if told else (Confidence.PROVEN if status is Status.PASS else None),
        remedy=told.remedy if told else None,
        settle_by=settle_by or (told.settle_by if told else None),
        guide_section=guide_section,
        measures=measures,
        facts=tuple(dict.fromkeys([*fact_ids(facts), *(told.facts if told else ())])),
        offset_ms=offset_ms,
        duration_ms=duration_ms,
    )


def as_sentence(text: str | None) -> str:
    """The text with a capital letter first and one full stop; empty for none."""
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def untried(finding_id: str, target: Target) -> Finding:
    """The finding about a target that nothing was sent to."""
    assert target.why_not is not None
    summary, settle_by = _NO_TARGET[target.why_not]
    return build_finding(
        finding_id, target.key, Status.UNKNOWN, target.why_not, f"{target.key}: {summary}", settle_by=settle_by
    )


def rtt_measures(rtts: Sequence[float], warn: float | None = None) -> tuple[Measure, ...]:
    """Least, median and longest round trip; nothing where none was seen."""
    if not rtts:
        return ()
    return (
        Measure(name="rtt_min_ms", value=round(min(rtts), 3), unit="ms"),
        Measure(name="rtt_median_ms", value=round(statistics.median(rtts), 3), unit="ms", warn=warn),
        Measure(name="rtt_max_ms", value=round(max(rtts), 3), unit="ms"),
    )


def count(name: str, value: int) -> Measure:
    """A number of things as a measure."""
    return Measure(name=name, value=value, unit="count")
