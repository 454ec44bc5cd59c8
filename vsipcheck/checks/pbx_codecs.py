"""What the PBX's session descriptions say of codecs, their order, and DTMF.

- An answer may name one codec of those offered (RFC 3264 §6.1), so that one which names PCMA alone does not say that
  PCMU is refused: a second call, which offers PCMU alone, does.
- What an answer to OPTIONS describes is what the PBX can do for somebody (RFC 3261 §11.2), not what it answers to the
  trunk. It supports, and fails nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from vsipcheck.checks.pbx_calls import Calls, PlacedCall
from vsipcheck.checks.pbx_routing import code_row
from vsipcheck.checks.pbx_target import Pbx
from vsipcheck.checks.pbx_verdict import REJECTED, let_in, quoted, verdict
from vsipcheck.model import Confidence, FaultDomain, Finding, Measure, Profile, Settings, Status
from vsipcheck.wire.sdp import Codec, MediaDescription

CODECS = "pbx.codecs"
DTMF = "pbx.dtmf"
GUIDE_ORDER = "Best Practices and Pre-checks: During Configuration"

# Formats beside the audio: RFC 4733, RFC 3389.
_BESIDE = frozenset({"TELEPHONE-EVENT", "CN", "RED"})
_CLOCK_HZ = 8000  # G.711's, which its telephone-events have to share: RFC 4733 §2.1


def audio_codecs(audio: MediaDescription) -> list[str]:
    """The names of an audio section's codecs in its order, upper case, without DTMF and comfort noise."""
    return [codec.name for codec in audio.codecs if codec.name.partition("/")[0] not in _BESIDE]


def telephone_events(audio: MediaDescription) -> list[Codec]:
    """An audio section's telephone-events: wideband codecs have theirs beside that of G.711."""
    return [codec for codec in audio.codecs if codec.name == "TELEPHONE-EVENT"]


# --- codecs


def _wanted(profile: Profile) -> tuple[str, str]:
    """The codec that the trunk prefers, and the one it takes else; "" for what the profile does not name."""
    first, second, *_ = *profile.media.codecs, "", ""
    return first, second


def judge_codecs(pbx: Pbx, calls: Calls, profile: Profile, settings: Settings) -> Finding:
    """`pbx.codecs`: whether each of the trunk's codecs is accepted, the preferred one first."""
    call = calls.first
    if call is not None:
        final = call.final
        if final is not None and final.status >= 300 and code_row(final.status).reason == "offer_rejected":
            return verdict(
                CODECS,
                pbx,
                Status.FAIL,
                "offer_rejected",
                f"The PBX rejects an offer of {' and '.join(profile.media.codecs)} over plain RTP with "
                f"{quoted(f'{final.status} {final.reason}', 60)}.",
                facts=[call.exchange],
                confidence=Confidence.LIKELY,
                remedy=_allow(profile),
                settle_by="Look up in the PBX's log what it wants instead: other codecs, or SRTP.",
                guide_section="Best Practices and Pre-checks: Before Configuration",
            )
        description = call.description
        if description is not None and description.audio is not None:
            found = _answered(pbx, calls, call, description.audio, profile)
            if call.answered and call.described_early and found.status is not Status.FAIL:
                return _answered_early(pbx, call, description.audio)
            return found
        if call.answered:
            what = "whose session description has no audio" if description else "without a session description"
            return verdict(
                CODECS,
                pbx,
                Status.FAIL,
                "no_answer_sdp",
                f"The PBX answers the call with a 200 {what} that can be read: no audio can be set up.",
                facts=[call.exchange],
                confidence=Confidence.PROVEN,
                remedy="Let the PBX answer the offer in its 200 (RFC 3261 §13.2.1).",
            )
    if calls.shown is not None and calls.shown.audio is not None:
        return _shown(pbx, calls.shown.audio, profile, settings)
    return _unseen(pbx, calls, settings)


def _allow(profile: Profile) -> str:
    return (
        f"Allow {', then '.join(profile.media.codecs)} over plain RTP for the trunk (Asterisk: `disallow=all`, "
        "`allow=alaw`, `allow=ulaw`; FreeSWITCH: `inbound-codec-prefs` PCMA,PCMU)."
    )


def _answered(pbx: Pbx, calls: Calls, call: PlacedCall, audio: MediaDescription, profile: Profile) -> Finding:
    names = audio_codecs(audio)
    preferred, fallback = _wanted(profile)
    wanted = profile.media.codecs
    trunks = [name for name in names if name in wanted]
    told = quoted(", ".join(names) or "no codec", 120)
    by = "while it rings" if call.described_early else "in its answer"
    second = calls.pcmu
    facts = [call.exchange, second.exchange if second else None]
    ptime_ms = audio.ptime_ms
    measures = () if ptime_ms is None else (Measure(name="ptime_ms", value=ptime_ms, unit="ms"),)
    if audio.port == 0:
        return verdict(
            CODECS,
            pbx,
            Status.FAIL,
            "audio_rejected",
            "The PBX answers the call and rejects its audio (port 0).",
            facts=facts,
            confidence=Confidence.PROVEN,
            remedy=_allow(profile),
            measures=measures,
        )
    redefined = [
        f"{codec.payload_type} for {quoted(f'{codec.encoding}/{codec.clock_rate_hz}', 40)}, where RFC 3551 has "
        f"{codec.contradicted}"
        for codec in audio.codecs
        if codec.contradicted and {codec.name.partition("/")[0], codec.contradicted.partition("/")[0]} & set(wanted)
    ]
    if redefined:
        return verdict(
            CODECS,
            pbx,
            Status.WARN,
            "type_redefined",
            f"The PBX's SDP uses payload type {' and '.join(redefined)}: peers that go by the number hear noise, or "
            "those that go by the name do.",
            facts=facts,
            confidence=Confidence.PROVEN,
            remedy="Let the PBX answer PCMA as payload type 8 and PCMU as 0, at 8000 Hz.",
            measures=measures,
        )
    if not trunks:
        return verdict(
            CODECS,
            pbx,
            Status.FAIL,
            "no_g711",
            f"The PBX names {told} {by}, none of {' and '.join(profile.media.codecs)}, which are all that was offered.",
            facts=facts,
            confidence=Confidence.PROVEN,
            remedy=_allow(profile),
            guide_section="Best Practices and Pre-checks: Before Configuration",
            measures=measures,
        )
    order = f"Put {preferred} before {fallback} on the PBX for calls of the trunk."
    if preferred in trunks and fallback in trunks:
        if names[0] == preferred:
            return verdict(
                CODECS,
                pbx,
                Status.PASS,
                "both_accepted",
                f"The PBX names {told} {by}: each of the trunk's codecs, {preferred} first.",
                facts=facts,
                guide_section=GUIDE_ORDER,
                measures=measures,
            )
        first = names[0] if names[0] not in trunks else fallback
        return verdict(
            CODECS,
            pbx,
            Status.WARN,
            "preferred_not_first",
            f"The PBX names {told} {by}: {quoted(first, 40)} before {preferred}, though {preferred} was offered first.",
            facts=facts,
            confidence=Confidence.PROVEN,
            remedy=order,
            guide_section=GUIDE_ORDER,
            measures=measures,
        )
    if preferred not in trunks:
        return verdict(
            CODECS,
            pbx,
            Status.WARN,
            "fallback_chosen",
            f"The PBX names {told} {by}: {fallback} and not {preferred}, though {preferred} was offered first.",
            facts=facts,
            confidence=Confidence.PROVEN,
            remedy=order,
            guide_section=GUIDE_ORDER,
            measures=measures,
        )
    return _preferred_alone(pbx, told, by, second, facts, measures, profile)


def _answered_early(pbx: Pbx, call: PlacedCall, audio: MediaDescription) -> Finding:
    """An answer that is left out of the 200: what the caller makes of it hangs on the caller."""
    return verdict(
        CODECS,
        pbx,
        Status.WARN,
        "answer_only_early",
        "The PBX answers the call with a 200 that has no session description. It named "
        f"{quoted(', '.join(audio_codecs(audio)) or 'no codec', 120)} while it rang; that was not sent reliably, so "
        "that the 200 has to say the same (RFC 3261 §13.2.1). Many callers take the first all the same.",
        facts=[call.exchange],
        confidence=Confidence.PROVEN,
        remedy="Let the PBX, or the SBC in front of it, repeat its answer in the 200.",
    )


def _preferred_alone(
    pbx: Pbx,
    told: str,
    by: str,
    second: PlacedCall | None,
    facts: Sequence[object],
    measures: tuple[Measure, ...],
    profile: Profile,
) -> Finding:
    """An answer with the preferred codec alone: what the second call, which offers the other alone, says of that."""
    preferred, fallback = _wanted(profile)
    if not fallback:
        reason, says = "both_accepted", "the trunk's codec"
        return verdict(CODECS, pbx, Status.PASS, reason, f"The PBX names {told} {by}: {says}.", facts=facts)
    description = second.description if second is not None else None
    audio = description.audio if description is not None else None
    if audio is not None and audio.port and fallback in audio_codecs(audio):
        return verdict(
            CODECS,
            pbx,
            Status.PASS,
            "each_accepted",
            f"The PBX names {told} {by}, and accepts {fallback} where nothing else is offered.",
            facts=facts,
            guide_section=GUIDE_ORDER,
            measures=measures,
        )
    final = second.final if second is not None else None
    refused = final is not None and final.status >= 300 and code_row(final.status).reason == "offer_rejected"
    if refused or audio is not None:
        how = f"{final.status}" if refused and final is not None else "an answer without it"
        return verdict(
            CODECS,
            pbx,
            Status.WARN,
            "fallback_refused",
            f"The PBX takes {preferred}, and rejects {fallback} where nothing else is offered ({how}).",
            facts=facts,
            confidence=Confidence.LIKELY,
            remedy=_allow(profile),
            guide_section=GUIDE_ORDER,
            measures=measures,
        )
    return verdict(
        CODECS,
        pbx,
        Status.WARN,
        "fallback_unseen",
        f"The PBX names {told} {by}, which is right; whether it would take {fallback}, no second call showed.",
        facts=facts,
        domain=FaultDomain.UNDETERMINED,
        settle_by=f"Run again, so that the second call, which offers {fallback} alone, is answered.",
        guide_section=GUIDE_ORDER,
        measures=measures,
    )


def _shown(pbx: Pbx, audio: MediaDescription, profile: Profile, settings: Settings) -> Finding:
    """What the answer to OPTIONS lists: what the PBX can do, for somebody."""
    names = audio_codecs(audio)
    preferred, fallback = _wanted(profile)
    told = quoted(", ".join(names) or "no codec", 120)
    facts = [asked.exchange for asked in pbx.options]
    settle_by = "Place a call: --invite NUMBER." if settings.invite is None else "Let the call be answered."
    missing = [name for name in profile.media.codecs if name not in names]
    if len(missing) == len(profile.media.codecs):
        return verdict(
            CODECS,
            pbx,
            Status.UNKNOWN,
            "no_g711_listed",
            f"In its answer to OPTIONS the PBX lists {told}, and no G.711. What it answers to a call is not known.",
            facts=facts,
            remedy=_allow(profile),
            settle_by=settle_by,
        )
    if missing:
        return verdict(
            CODECS,
            pbx,
            Status.WARN,
            "one_listed",
            f"In its answer to OPTIONS the PBX lists {told}, without {' and '.join(missing)}.",
            facts=facts,
            remedy=_allow(profile),
            settle_by=settle_by,
            guide_section=GUIDE_ORDER,
        )
    if names.index(preferred) > (names.index(fallback) if fallback in names else len(names)):
        return verdict(
            CODECS,
            pbx,
            Status.WARN,
            "listed_in_other_order",
            f"In its answer to OPTIONS the PBX lists {told}: {fallback} before {preferred}.",
            facts=facts,
            remedy=f"Put {preferred} before {fallback} on the PBX for calls of the trunk.",
            settle_by=settle_by,
            guide_section=GUIDE_ORDER,
        )
    return verdict(
        CODECS,
        pbx,
        Status.PASS,
        "both_listed",
        f"In its answer to OPTIONS the PBX lists {told}. That shows what it can do, not what it answers to a call.",
        facts=facts,
        confidence=Confidence.POSSIBLE,
        settle_by=settle_by,
        guide_section=GUIDE_ORDER,
    )


def _unseen(pbx: Pbx, calls: Calls, settings: Settings) -> Finding:
    call = calls.first
    remedy: str | None = None
    facts: list[object] = [asked.exchange for asked in pbx.options]
    if call is not None:
        facts.append(call.exchange)
    if not pbx.speaks_sip and call is None:
        why, settle_by = "no SIP came from there", "See pbx.transport."
    elif settings.invite is None:
        why = "its answer to OPTIONS does not say"
        settle_by = "Give --invite NUMBER: the PBX is called just as the trunk would, and hung up on."
    elif call is not None and call.final is not None and call.final.status in REJECTED:
        why, settle_by = "it rejects a source that it does not know", "See pbx.call."
        remedy = let_in(pbx)
    elif call is not None:
        why, settle_by = "no answer to the call described any media", "Let somebody or something answer the call."
    else:
        why, settle_by = "no call could be placed", "See pbx.call."
    return verdict(
        CODECS,
        pbx,
        Status.UNKNOWN,
        "unseen",
        f"Which codecs the PBX takes was not seen: {why}.",
        facts=facts,
        domain=FaultDomain.UNDETERMINED,
        remedy=remedy,
        settle_by=settle_by,
    )


# --- DTMF


def judge_dtmf(pbx: Pbx, calls: Calls) -> Finding | None:
    """`pbx.dtmf`: telephone-events in what the PBX describes; None where it describes no audio."""
    call = calls.first
    description = call.description if call is not None else None
    audio = description.audio if description is not None else None
    if call is None or audio is None or audio.port == 0:
        return _dtmf_shown(pbx, calls)
    offered = next(iter(telephone_events(call.offer)), None) if call.offer is not None else None
    number = offered.payload_type if offered is not None else None
    event = min(
        telephone_events(audio),
        key=lambda codec: (codec.clock_rate_hz != _CLOCK_HZ, codec.payload_type != number),
        default=None,
    )
    if event is None:
        return verdict(
            DTMF,
            pbx,
            Status.WARN,
            "no_telephone_event",
            "The PBX leaves out telephone-event, which was offered: keys that callers press would have to come "
            "through as tones in the audio, which menus often miss.",
            facts=[call.exchange],
            confidence=Confidence.PROVEN,
            remedy="Set DTMF to RFC 4733 (RFC 2833) for the trunk (chan_sip: `dtmfmode=rfc2833`; PJSIP: "
            "`dtmf_mode=rfc4733`; FreeSWITCH: `dtmf-type` rfc2833).",
        )
    told = f"telephone-event/{event.clock_rate_hz} as payload type {event.payload_type}"
    if event.clock_rate_hz != _CLOCK_HZ:
        return verdict(
            DTMF,
            pbx,
            Status.WARN,
            "other_clock",
            f"The PBX's answer has {told}: with G.711 its clock has to be {_CLOCK_HZ} Hz (RFC 4733 §2.1).",
            facts=[call.exchange],
            confidence=Confidence.PROVEN,
            remedy="Let the PBX answer telephone-event with the clock rate of the audio codec.",
        )
    if number not in (None, event.payload_type):
        return verdict(
            DTMF,
            pbx,
            Status.WARN,
            "other_payload_type",
            f"The PBX's answer has {told}, offered as {number}: legal, and some peers lose key presses "
            "over it (RFC 3264 §6.1 asks to keep the number).",
            facts=[call.exchange],
            confidence=Confidence.PROVEN,
            remedy="Let the PBX keep the payload type of the offer (PJSIP: `asymmetric_rtp_codec=no`).",
        )
    return verdict(
        DTMF, pbx, Status.PASS, "telephone_event", f"The PBX's answer has {told}, as offered.", facts=[call.exchange]
    )


def _dtmf_shown(pbx: Pbx, calls: Calls) -> Finding | None:
    audio = calls.shown.audio if calls.shown is not None else None
    if audio is None:
        return None
    facts = [asked.exchange for asked in pbx.options]
    if audio.has("telephone-event"):
        return verdict(
            DTMF,
            pbx,
            Status.PASS,
            "listed",
            "The PBX lists telephone-event in its answer to OPTIONS.",
            facts=facts,
            confidence=Confidence.POSSIBLE,
        )
    return verdict(
        DTMF,
        pbx,
        Status.UNKNOWN,
        "not_listed",
        "The PBX lists no telephone-event in its answer to OPTIONS; what it answers to a call is not known.",
        facts=facts,
        settle_by="Place a call: --invite NUMBER.",
    )
