"""What the rules about a configuration are told beside it, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vsipcheck.checks.config.files import Configuration
from vsipcheck.checks.config.patch import Edit, merged
from vsipcheck.checks.config.trunk import Trunk
from vsipcheck.model import Confidence, Failure, FaultDomain, Profile, Settings, Status
from vsipcheck.wire.asterisk import Place

_DURING = "Best Practices and Pre-checks: During Configuration"
_SAMPLE = "Sample Configuration -- Asterisk PBX"
GUIDE_SECTIONS = {
    "config.channel_driver": _SAMPLE,
    "config.peer": "SIP Domain and Proxy Details",
    "config.listener": "Best Practices and Pre-checks: Before Configuration",
    "config.registration": _DURING,
    "config.identification": "SIP Domain and Proxy Details",
    "config.domain": "Troubleshooting",
    "config.caller_id": "CLI and Exophone Roles",
    "config.codec_order": _DURING,
    "config.dtmf": _SAMPLE,
    "config.nat": _DURING,
    "config.external_address": _SAMPLE,
    "config.media_path": _SAMPLE,
    "config.rtp_range": "Ports to Open",
    "config.context": _SAMPLE,
    "config.call_rate": "Product Overview",
    "config.logging": _DURING,
}


@dataclass(frozen=True, slots=True)
class World:
    """What a judge knows beside the trunk: the configuration that it stands in, and what else the run saw."""

    configuration: Configuration
    profile: Profile
    settings: Settings
    public_address: str | None = None  # of the customer, as measured
    measured_by: str = ""
    sources: tuple[str, ...] = ()  # this host's own addresses towards the trunk, where the run saw them
    pop_addresses: Mapping[str, frozenset[str]] = field(default_factory=dict)  # of signalling names, where known


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says. `edits` mend it; `place` is the line that decided. `target` is None where it is the trunk."""

    status: Status
    reason: str
    summary: str
    remedy: str | None = None
    settle_by: str | None = None
    place: Place | None = None
    edits: tuple[Edit, ...] = ()
    confidence: Confidence = Confidence.PROVEN
    failure: Failure | None = None
    fault_domain: FaultDomain | None = None  # None: the PBX's, or nobody's as long as it is unknown
    target: str | None = None


def not_read(what: str, why: str | None, place: Place | None) -> Verdict:
    """What decides stands in a file that was not read. `what` begins the sentence, its verb included."""
    return Verdict(
        Status.UNKNOWN,
        "not_read",
        f"{what} not seen: {why}.",
        settle_by="Give that file as well.",
        place=place,
    )


def with_refusals(verdict: Verdict, finding_id: str, trunk: Trunk) -> Verdict:
    """The verdict, or that the PBX has nothing of what it is about. What mends both is one diff."""
    own = [refusal for refusal in trunk.refusals if refusal.finding_id == finding_id]
    first = next(iter(own), None)
    bad = verdict.status in (Status.WARN, Status.FAIL)
    if first is None or (bad and not first.certain):
        return verdict
    whole = all(refusal.edits for refusal in own)
    edits = [edit for refusal in own for edit in refusal.edits]
    return Verdict(
        Status.FAIL if first.certain else Status.WARN,
        first.reason,
        f"{first.summary} {verdict.summary}" if bad else first.summary,
        f"{first.remedy} {verdict.remedy}" if bad and verdict.remedy else first.remedy,
        place=first.place,
        edits=merged((*edits, *verdict.edits)) if whole else (),
        confidence=Confidence.PROVEN if first.certain else Confidence.LIKELY,
    )
