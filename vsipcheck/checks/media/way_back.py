"""Whether anything comes back from a media address: a datagram proves it, and only a call settles it."""

from __future__ import annotations

from vsipcheck.checks.base import Facts, fact_ids
from vsipcheck.checks.media.targets import CALL_SETTLES, GUIDE_SECTION, is_wanted
from vsipcheck.model import AddressSeen, Confidence, FaultDomain, Finding, PortSpan, Profile, Settings, Status

RETURN = "media.return"


def judge_return(facts: Facts, profile: Profile, settings: Settings, target: str) -> Finding:
    """`media.return` of one media address; in support, what came back through the NAT within the range."""
    if not is_wanted(target, settings.family):
        return Finding(
            id=RETURN,
            target=target,
            status=Status.SKIP,
            reason="family",
            summary=f"{target} is not of the IP version that was asked for.",
            guide_section=GUIDE_SECTION,
        )
    spans = [s for s in facts.of(PortSpan, "media") if s.target == target and s.outcome == "answered"]
    if spans:
        return Finding(
            id=RETURN,
            target=target,
            status=Status.PASS,
            reason="datagram_from_target",
            summary=f"A UDP datagram came back from {target}.",
            confidence=Confidence.PROVEN,
            guide_section=GUIDE_SECTION,
            facts=fact_ids(spans),
        )
    media = profile.media
    support = [
        seen
        for seen in facts.of(AddressSeen)
        if seen.method == "stun"
        and seen.failure is None
        and seen.server_port is not None
        and media.first_port <= seen.server_port <= media.last_port
    ]
    text = f"Whether RTP from {target} reaches you is settled only by a call."
    if support:
        text += (
            f" In support: a STUN server on UDP {support[0].server_port}, inside the RTP range, got its answer back "
            "through your NAT."
        )
    return Finding(
        id=RETURN,
        target=target,
        status=Status.UNKNOWN,
        reason="no_call",
        summary=text,
        fault_domain=FaultDomain.UNDETERMINED,
        settle_by=CALL_SETTLES,
        guide_section=GUIDE_SECTION,
        facts=fact_ids(support),
    )
