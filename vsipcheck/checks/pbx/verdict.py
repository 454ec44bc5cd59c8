"""How a verdict about the PBX is put into a finding, and how a PBX that keeps strangers out lets a test in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vsipcheck.checks.base import fact_ids, span_ms
from vsipcheck.checks.pbx.target import Pbx, is_inside
from vsipcheck.model import Confidence, Failure, FaultDomain, Finding, Measure, Status
from vsipcheck.wire.text import sanitise

# What a PBX is that asks who is there: by its own word, or by none at all.
REJECTED = frozenset({401, 403, 407})
GUIDE_BEFORE = "Best Practices and Pre-checks: Before Configuration"
RUN_AGAIN = "Run again, with a longer --deadline."
IN_ITS_LOG = "Look up the moment in the PBX's own log, or in a capture made on it (sngrep, tcpdump)."


def verdict(
    finding_id: str,
    pbx: Pbx,
    status: Status,
    reason: str,
    summary: str,
    *,
    facts: Iterable[Any] = (),
    domain: FaultDomain = FaultDomain.PBX,
    confidence: Confidence | None = None,
    failure: Failure | None = None,
    remedy: str | None = None,
    settle_by: str | None = None,
    guide_section: str | None = None,
    measures: tuple[Measure, ...] = (),
) -> Finding:
    """A finding about the PBX, which has to act unless `domain` names another."""
    facts = [fact for fact in facts if fact is not None]
    offset_ms, duration_ms = span_ms(facts)
    judged = status not in (Status.PASS, Status.SKIP)
    if confidence is None and status is not Status.SKIP:
        confidence = Confidence.PROVEN if status is Status.PASS else Confidence.POSSIBLE
    return Finding(
        id=finding_id,
        target=pbx.target,
        status=status,
        reason=reason,
        summary=summary,
        failure=failure if judged else None,
        fault_domain=domain if judged else None,
        confidence=None if status is Status.SKIP else confidence,
        remedy=remedy if judged else None,
        settle_by=settle_by,
        guide_section=guide_section,
        measures=measures,
        facts=tuple(dict.fromkeys(fact_ids(facts))),
        offset_ms=offset_ms,
        duration_ms=duration_ms,
    )


def count(name: str, value: int) -> Measure:
    return Measure(name=name, value=value, unit="count")


def quoted(text: str, max_length: int = 80) -> str:
    """The peer's own words, harmless."""
    return sanitise(text.strip(), max_length=max_length)


def our_address(pbx: Pbx) -> str:
    """This host as the PBX sees it: by its own word, else our own address where no NAT can stand between."""
    for asked in pbx.options:
        via = asked.answer.top_via if asked.answer is not None else None
        if via is not None and via.received:
            return quoted(via.received, 60)
    local = next((connection.local_address for connection in pbx.connections if connection.local_address), None)
    if local is None:
        return "this host"
    if is_inside(local) and not pbx.seen_from_inside:
        return "this host's public address"
    return local


def let_in(pbx: Pbx) -> str:
    """How a PBX that knows its peers by address is made to know this host, for as long as the test takes."""
    return (
        f"Let {our_address(pbx)} in for the time of the test, as the provider's addresses are (Asterisk: `match` of an "
        "identify section, or `host` of a peer; FreeSWITCH: an ACL; an SBC: its trunk's address list), and run again."
    )
