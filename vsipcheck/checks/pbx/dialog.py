"""Whether the PBX kept to the rules of SIP from its answer to the end of the call."""

from __future__ import annotations

from functools import partial

from vsipcheck.checks.pbx.calls import Calls, PlacedCall, first_uri
from vsipcheck.checks.pbx.target import UNREADABLE, Pbx, is_cut, messages_of
from vsipcheck.checks.pbx.verdict import IN_ITS_LOG, RUN_AGAIN, verdict
from vsipcheck.model import Confidence, Failure, FaultDomain, Finding, Status
from vsipcheck.wire.sip.message import SipResponse

DIALOG = "pbx.dialog"


def judge_dialog(pbx: Pbx, calls: Calls) -> Finding | None:
    """`pbx.dialog`: whether the PBX kept to RFC 3261 from its answer to the end; None where nothing was to be seen."""
    call = calls.first
    if call is None:
        return None
    facts = [call.exchange, call.note]
    told = partial(verdict, DIALOG, pbx, facts=facts)
    if call.final is not None and call.answered:
        return _broken(call, call.final, told) or _ended(call, told)
    if call.cancelled_ms is None or not call.provisionals:
        return None
    heard = call.cancel_status is not None and call.cancel_status < 300
    if call.final is not None:
        if not heard and call.final.status != 487:
            return None  # it had left before
        to_it = f"{call.cancel_status} to it, " if call.cancel_status is not None else ""
        return told(Status.PASS, "cancelled", f"CANCEL was heard: {to_it}{call.final.status} to the INVITE.")
    if _cut_short(call):
        return None
    return told(
        Status.WARN,
        "cancel_ignored",
        f"The PBX {'answers CANCEL' if heard else 'does not take CANCEL'} and does not settle the call in time: the "
        "telephone may ring on after the caller has hung up.",
        # RFC 3261 §9.2 wants 487 at once; who asks the telephone first says 200 to the CANCEL, and may take longer.
        confidence=Confidence.POSSIBLE if heard else Confidence.LIKELY,
        remedy="Look for what answers the call there, and why it does not end: RFC 3261 §9.2 wants 487.",
        settle_by=IN_ITS_LOG,
    )


def _cut_short(call: PlacedCall) -> str | None:
    """Why the PBX's last word was not waited for, or could not come; None where we waited in vain."""
    values = call.note.values if call.note is not None else {}
    failure = str(values.get("failure") or call.exchange.failure or Failure.NO_ANSWER)
    if values.get("interrupted") is True or failure == Failure.CANCELLED:
        return "the run ended before it"
    if failure in UNREADABLE or is_cut(call.exchange):
        return "what came cannot be read as SIP"
    return None if failure == Failure.NO_ANSWER else "the connection ended before it"


def _broken(call: PlacedCall, final: SipResponse, told: partial[Finding]) -> Finding | None:
    """A rule whose breach breaks calls of the trunk."""
    proven = partial(told, confidence=Confidence.PROVEN)
    maker = "Report it to the maker of the PBX, or of the SBC in front of it."
    if final.to_tag is None:
        return proven(
            Status.FAIL,
            "to_tag_missing",
            "The answer has no To tag: it sets up no dialog (RFC 3261 §12.1.1).",
            remedy=maker,
        )
    own_entry = call.route_set.own_entry
    if first_uri(call.invite, "Record-Route") is not None and own_entry != "returned":
        how = "left out of" if own_entry == "missing" else "out of its place in"
        return proven(
            Status.FAIL,
            "record_route_dropped" if own_entry == "missing" else "record_route_misplaced",
            f"The INVITE's Record-Route is {how} the answer: the requests of the dialog would go past the provider's "
            "proxy (RFC 3261 §12.1.1, §16.6).",
            remedy=maker,
        )
    values = call.note.values if call.note is not None else {}
    if values.get("lost_in_call") is True and values.get("failure") in (None, Failure.CLOSED_EARLY, Failure.RESET):
        return told(
            Status.FAIL,
            "connection_closed",
            "The connection was ended from the PBX's side in the middle of the call.",
            confidence=Confidence.LIKELY,
            remedy="Let the PBX keep the connection while a call is up: look for a limit on idle or on long ones.",
            settle_by=IN_ITS_LOG,
        )
    # One alone has crossed an ACK whose way to the telephone is long.
    if call.repeats > 1:
        return told(
            Status.FAIL,
            "ack_ignored",
            f"The PBX sent its 200 {call.repeats} more times after our ACK, on the same connection: it does not take "
            "the ACK for one of its call, and hangs up after half a minute.",
            confidence=Confidence.LIKELY,
            remedy="Look up in the PBX's log where it expects the ACK: its Contact and Record-Route decide (RFC 3261 "
            "§13.3.1.4).",
            settle_by=IN_ITS_LOG,
        )
    return None


def _is_unacknowledged(call: PlacedCall) -> bool:
    """Whether our 2xx to a re-INVITE had to be sent again, and no ACK came. RFC 3261 §14.2."""
    answers = [each for ours, _, each in messages_of(call.exchange) if ours and isinstance(each, SipResponse)]
    taken = [each.cseq for each in answers if each.status < 300 and each.cseq and each.cseq.method == "INVITE"]
    acknowledged = {each.cseq.number for each in call.requests if each.method == "ACK" and each.cseq}
    return any(taken.count(cseq) > 1 and cseq.number not in acknowledged for cseq in taken)


def _ended(call: PlacedCall, told: partial[Finding]) -> Finding:
    """What is odd about a call that works, or nothing."""
    final = call.final
    assert final is not None
    ours_first = call.bye_ms is not None and (call.hung_up_ms is None or call.bye_ms <= call.hung_up_ms)
    if call.hung_up_ms is not None and not ours_first and call.final_ms is not None:
        return told(
            Status.WARN,
            "hung_up_first",
            f"The PBX hung up by itself {(call.hung_up_ms - call.final_ms) / 1000:.1f} s after it had answered.",
            confidence=Confidence.PROVEN,
            remedy="Look for what answers the call there: a dial plan that ends at once, or a media failure.",
            settle_by=IN_ITS_LOG,
        )
    if call.bye_status is None and call.hung_up_ms is None:
        why = _cut_short(call) if ours_first else _cut_short(call) or "no BYE is in the record"
        if why is not None:
            return told(
                Status.UNKNOWN,
                "end_unseen",
                f"How the PBX ends a call was not seen: {why}.",
                domain=FaultDomain.UNDETERMINED,
                settle_by=f"{RUN_AGAIN} {IN_ITS_LOG}",
            )
        return told(
            Status.WARN,
            "bye_unanswered",
            "The PBX did not answer BYE: it may hold the line after the caller has hung up.",
            confidence=Confidence.LIKELY,
            remedy="Look for what the PBX does with the BYE of a call.",
            settle_by=IN_ITS_LOG,
        )
    # RFC 3261 §15.1.2: 481 is right for a call that the PBX has hung up meanwhile.
    crossed = call.bye_status == 481 and call.hung_up_ms is not None
    if call.bye_status is not None and call.bye_status >= 300 and not crossed:
        return told(
            Status.WARN,
            "bye_rejected",
            f"The PBX answered BYE with {call.bye_status}: it may hold the line after the caller has hung up.",
            confidence=Confidence.PROVEN,
            remedy="Look up in the PBX's log why it does not take BYE for one of its call.",
        )
    if _is_unacknowledged(call):
        return told(
            Status.WARN,
            "reinvite_unacknowledged",
            "The PBX changed the call by a re-INVITE and did not acknowledge our answer to it.",
            confidence=Confidence.LIKELY,
            remedy="Turn direct media off for the trunk (chan_sip: `canreinvite=no`; PJSIP: `direct_media=no`).",
        )
    rules = list(dict.fromkeys(deviation.code for deviation in final.errors))
    if rules:
        return told(
            Status.WARN,
            "odd_answer",
            f"The PBX's answer breaks rules of SIP: {', '.join(rules[:3])}.",
            confidence=Confidence.PROVEN,
            remedy="Report it to the maker of the PBX, or of the SBC in front of it.",
        )
    more = []
    if call.renegotiations:
        more.append(f"the PBX renegotiated the call (re-INVITE or UPDATE: {call.renegotiations})")
    if call.invite.header("X-Exotel-CallSid") is not None:
        more.append("the X-Exotel header fields of our INVITE did not keep it from answering")
    tail = f"; {' and '.join(more)}" if more else ""
    end = f"BYE got {call.bye_status}" if call.bye_status is not None else "it was ended from both sides"
    return told(
        Status.PASS,
        "orderly",
        f"Record-Route came back, the ACK was taken, {end}{tail}.",
    )
