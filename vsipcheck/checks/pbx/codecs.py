"""What the PBX's session descriptions say of codecs, their order, and DTMF.

- An answer may name one codec of those offered (RFC 3264 §6.1), so that one which names PCMA alone does not say that
  PCMU is refused: a second call, which offers PCMU alone, does.
- What an answer to OPTIONS describes is what the PBX can do for somebody (RFC 3261 §11.2), not what it answers to the
  trunk. It supports, and fails nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vsipcheck.checks.pbx.calls import Calls, PlacedCall
from vsipcheck.checks.pbx.routing import code_row
from vsipcheck.checks.pbx.target import Pbx
from vsipcheck.checks.pbx.verdict import GUIDE_BEFORE, REJECTED, let_in, quoted, verdict
from vsipcheck.model import Confidence, FaultDomain, Finding, Measure, Profile, Settings, Status
from vsipcheck.wire.sdp import Codec, MediaDescription
from vsipcheck.wire.sip.message import SipResponse

CODECS = "pbx.codecs"
DTMF = "pbx.dtmf"
_GUIDE_ORDER = "Best Practices and Pre-checks: During Configuration"

_CLOCK_HZ = 8000  # G.711's, which its telephone-events have to share: RFC 4733 §2.1


def audio_codecs(audio: MediaDescription) -> list[str]:
    """The names of an audio section's codecs in its order, upper case, without what carries no speech."""
    return [codec.name for codec in audio.codecs if codec.is_speech]


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
        told = partial(verdict, CODECS, pbx, facts=[call.exchange])
        final = call.final
        if final is not None and _rejects_offer(final):
            return told(
                Status.FAIL,
                "offer_rejected",
                f"The PBX rejects an offer of {' and '.join(profile.media.codecs)} over plain RTP with "
                f"{quoted(f'{final.status} {final.reason}', 60)}.",
                confidence=Confidence.LIKELY,
                remedy=_allow(profile),
                settle_by="Look up in the PBX's log what it wants instead: other codecs, or SRTP.",
                guide_section=GUIDE_BEFORE,
            )
        if call.audio is not None:
            found = _answered(pbx, calls.pcmu, call, call.audio, profile)
            if call.answered and call.described_early and found.status is not Status.FAIL:
                return _answered_early(call.audio, told)
            return found
        if call.answered:
            what = "whose session description has no audio" if call.description else "without a session description"
            return told(
                Status.FAIL,
                "no_answer_sdp",
                f"The PBX answers the call with a 200 {what} that can be read: no audio can be set up.",
                confidence=Confidence.PROVEN,
                remedy="Let the PBX answer the offer in its 200 (RFC 3261 §13.2.1).",
            )
    if calls.shown is not None and calls.shown.audio is not None:
        return _shown(pbx, calls.shown.audio, profile, settings)
    return _unseen(pbx, calls, settings)


def _rejects_offer(final: SipResponse) -> bool:
    return final.status >= 300 and code_row(final.status).reason == "offer_rejected"


def _allow(profile: Profile) -> str:
    return (
        f"Allow {', then '.join(profile.media.codecs)} over plain RTP for the trunk (Asterisk: `disallow=all`, "
        "`allow=alaw`, `allow=ulaw`; FreeSWITCH: `inbound-codec-prefs` PCMA,PCMU)."
    )


def _answered(
    pbx: Pbx, second: PlacedCall | None, call: PlacedCall, audio: MediaDescription, profile: Profile
) -> Finding:
    names = audio_codecs(audio)
    preferred, fallback = _wanted(profile)
    wanted = profile.media.codecs
    trunks = [name for name in names if name in wanted]
    by = "while it rings" if call.described_early else "in its answer"
    named = f"The PBX names {_listed(names)} {by}"
    told = partial(
        verdict,
        CODECS,
        pbx,
        facts=[call.exchange, second.exchange if second else None],
        measures=() if audio.ptime_ms is None else (Measure(name="ptime_ms", value=audio.ptime_ms, unit="ms"),),
    )
    proven = partial(told, confidence=Confidence.PROVEN)
    if audio.port == 0:
        return proven(
            Status.FAIL,
            "audio_rejected",
            "The PBX answers the call and rejects its audio (port 0).",
            remedy=_allow(profile),
        )
    redefined = [
        f"{codec.payload_type} for {quoted(f'{codec.encoding}/{codec.clock_rate_hz}', 40)}, where RFC 3551 has "
        f"{codec.contradicted}"
        for codec in audio.codecs
        if codec.contradicted and {codec.name.partition("/")[0], codec.contradicted.partition("/")[0]} & set(wanted)
    ]
    if redefined:
        return proven(
            Status.WARN,
            "type_redefined",
            f"The PBX's SDP uses payload type {' and '.join(redefined)}: peers that go by the number hear noise, or "
            "those that go by the name do.",
            remedy="Let the PBX answer PCMA as payload type 8 and PCMU as 0, at 8000 Hz.",
        )
    if not trunks:
        return proven(
            Status.FAIL,
            "no_g711",
            f"{named}, none of {' and '.join(wanted)}, which are all that was offered.",
            remedy=_allow(profile),
            guide_section=GUIDE_BEFORE,
        )
    told, proven = (partial(each, guide_section=_GUIDE_ORDER) for each in (told, proven))
    if preferred not in trunks:
        return proven(
            Status.WARN,
            "fallback_chosen",
            f"{named}: {fallback} and not {preferred}, though {preferred} was offered first.",
            remedy=_reorder(profile),
        )
    if names[0] != preferred:
        first = names[0] if names[0] not in trunks else fallback
        return proven(
            Status.WARN,
            "preferred_not_first",
            f"{named}: {quoted(first, 40)} before {preferred}, though {preferred} was offered first.",
            remedy=_reorder(profile),
        )
    if fallback not in trunks:
        return _preferred_alone(named, second, told, profile)
    return told(Status.PASS, "both_accepted", f"{named}: each of the trunk's codecs, {preferred} first.")


def _listed(names: Sequence[str]) -> str:
    return quoted(", ".join(names) or "no codec", 120)


def _reorder(profile: Profile) -> str:
    preferred, fallback = _wanted(profile)
    return f"Put {preferred} before {fallback} on the PBX for calls of the trunk."


def _answered_early(audio: MediaDescription, told: partial[Finding]) -> Finding:
    """An answer that is left out of the 200: what the caller makes of it hangs on the caller."""
    return told(
        Status.WARN,
        "answer_only_early",
        f"The PBX answers the call with a 200 that has no session description. It named {_listed(audio_codecs(audio))} "
        "while it rang; that was not sent reliably, so that the 200 has to say the same (RFC 3261 §13.2.1). Many "
        "callers take the first all the same.",
        confidence=Confidence.PROVEN,
        remedy="Let the PBX, or the SBC in front of it, repeat its answer in the 200.",
    )


def _preferred_alone(named: str, second: PlacedCall | None, told: partial[Finding], profile: Profile) -> Finding:
    """An answer with the preferred codec alone: what the second call, which offers the other alone, says of that."""
    fallback = _wanted(profile)[1]
    if not fallback:
        return told(Status.PASS, "both_accepted", f"{named}: the trunk's codec.")
    audio = second.audio if second is not None else None
    if audio is not None and audio.port and fallback in audio_codecs(audio):
        return told(Status.PASS, "each_accepted", f"{named}, and accepts {fallback} where nothing else is offered.")
    final = second.final if second is not None else None
    refused = final is not None and _rejects_offer(final)
    if refused or audio is not None:
        how = f"{final.status}" if refused and final is not None else "an answer without it"
        return told(
            Status.WARN,
            "fallback_refused",
            f"{named}, and rejects {fallback} where nothing else is offered ({how}).",
            confidence=Confidence.LIKELY,
            remedy=_allow(profile),
        )
    return told(
        Status.WARN,
        "fallback_unseen",
        f"{named}, which is right; whether it would take {fallback}, no second call showed.",
        domain=FaultDomain.UNDETERMINED,
        settle_by=f"Run again, so that the second call, which offers {fallback} alone, is answered.",
    )


def _shown(pbx: Pbx, audio: MediaDescription, profile: Profile, settings: Settings) -> Finding:
    """What the answer to OPTIONS lists: what the PBX can do, for somebody."""
    names = audio_codecs(audio)
    preferred, fallback = _wanted(profile)
    lists = f"In its answer to OPTIONS the PBX lists {_listed(names)}"
    told = partial(
        verdict,
        CODECS,
        pbx,
        facts=[asked.exchange for asked in pbx.options],
        settle_by="Place a call: --invite NUMBER." if settings.invite is None else "Let the call be answered.",
    )
    missing = [name for name in profile.media.codecs if name not in names]
    if len(missing) == len(profile.media.codecs):
        return told(
            Status.UNKNOWN,
            "no_g711_listed",
            f"{lists}, and no G.711. What it answers to a call is not known.",
            remedy=_allow(profile),
        )
    told = partial(told, guide_section=_GUIDE_ORDER)
    if missing:
        return told(Status.WARN, "one_listed", f"{lists}, without {' and '.join(missing)}.", remedy=_allow(profile))
    if fallback and names.index(preferred) > names.index(fallback):
        return told(
            Status.WARN, "listed_in_other_order", f"{lists}: {fallback} before {preferred}.", remedy=_reorder(profile)
        )
    return told(
        Status.PASS,
        "both_listed",
        f"{lists}. That shows what it can do, not what it answers to a call.",
        confidence=Confidence.POSSIBLE,
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
    audio = call.audio if call is not None else None
    if call is None or audio is None or audio.port == 0:
        return _dtmf_shown(pbx, calls)
    told = partial(verdict, DTMF, pbx, facts=[call.exchange])
    proven = partial(told, confidence=Confidence.PROVEN)
    offered = next(iter(telephone_events(call.offer)), None) if call.offer is not None else None
    number = offered.payload_type if offered is not None else None
    event = min(
        telephone_events(audio),
        key=lambda codec: (codec.clock_rate_hz != _CLOCK_HZ, codec.payload_type != number),
        default=None,
    )
    if event is None:
        return proven(
            Status.WARN,
            "no_telephone_event",
            "The PBX leaves out telephone-event, which was offered: keys that callers press would have to come "
            "through as tones in the audio, which menus often miss.",
            remedy="Set DTMF to RFC 4733 (RFC 2833) for the trunk (chan_sip: `dtmfmode=rfc2833`; PJSIP: "
            "`dtmf_mode=rfc4733`; FreeSWITCH: `dtmf-type` rfc2833).",
        )
    named = f"The PBX's answer has telephone-event/{event.clock_rate_hz} as payload type {event.payload_type}"
    if event.clock_rate_hz != _CLOCK_HZ:
        return proven(
            Status.WARN,
            "other_clock",
            f"{named}: with G.711 its clock has to be {_CLOCK_HZ} Hz (RFC 4733 §2.1).",
            remedy="Let the PBX answer telephone-event with the clock rate of the audio codec.",
        )
    if number not in (None, event.payload_type):
        return proven(
            Status.WARN,
            "other_payload_type",
            f"{named}, offered as {number}: legal, and some peers lose key presses over it (RFC 3264 §6.1 asks to keep "
            "the number).",
            remedy="Let the PBX keep the payload type of the offer (PJSIP: `asymmetric_rtp_codec=no`).",
        )
    return told(Status.PASS, "telephone_event", f"{named}, as offered.")


def _dtmf_shown(pbx: Pbx, calls: Calls) -> Finding | None:
    audio = calls.shown.audio if calls.shown is not None else None
    if audio is None:
        return None
    told = partial(verdict, DTMF, pbx, facts=[asked.exchange for asked in pbx.options])
    if audio.has("telephone-event"):
        return told(
            Status.PASS,
            "listed",
            "The PBX lists telephone-event in its answer to OPTIONS.",
            confidence=Confidence.POSSIBLE,
        )
    return told(
        Status.UNKNOWN,
        "not_listed",
        "The PBX lists no telephone-event in its answer to OPTIONS; what it answers to a call is not known.",
        settle_by="Place a call: --invite NUMBER.",
    )
