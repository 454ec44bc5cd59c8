"""What became of the test call's INVITE: what every code says when the trunk calls the PBX, and what silence says.

A PBX that knows its peers by address has us for a stranger. 401, 403 and 407 are then right, and nothing about the
trunk; so may be a 404, where strangers get a dial plan of their own. Busy, declined and unanswered calls reached the
telephone: routing works, which is all that this finding is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from vsipcheck.checks.pbx.calls import Calls, PlacedCall, broke_off
from vsipcheck.checks.pbx.target import NO_SOCKET, NOT_CONNECTED, NOT_SENDABLE, UNREADABLE, Pbx, is_cut
from vsipcheck.checks.pbx.verdict import IN_ITS_LOG, REJECTED, RUN_AGAIN, let_in, our_address, quoted, verdict
from vsipcheck.model import Confidence, Failure, FaultDomain, Finding, Measure, Note, Settings, Status
from vsipcheck.wire.sip.message import SipResponse

CALL = "pbx.call"
GUIDE_AFTER = "How to Test Your Setup: Inbound Test"
# What the answer itself names for its cause; Require and Unsupported where it is an extension (RFC 3261 §21.4.15).
_REASONS = ("Reason", "Warning", "Retry-After", "Require", "Unsupported")
# A PBX that has got hold of a telephone, or of the next hop, says so within seconds.
TRYING_MS = 10_000.0


@dataclass(frozen=True, slots=True)
class CodeRow:
    """What a final code says of a call from the trunk. `reason` None is status_CODE."""

    status: Status
    reason: str | None
    says: str
    remedy: str | None = None


_W, _F, _P = Status.WARN, Status.FAIL, Status.PASS
_U = Status.UNKNOWN
_ROUTE = (
    "Route the number on the PBX, in the form in which the trunk sends it (E.164 with +), in the context where the "
    "trunk's calls arrive."
)
_OFFER = "Allow G.711 (PCMA, then PCMU) over plain RTP (RTP/AVP) for calls of the trunk."
_BEHIND = "Look for what the PBX hands the call to: a telephone, a queue, another server."
_LOG = "Look up in the PBX's log why."
_CODES: dict[int, CodeRow] = {
    400: CodeRow(_W, "bad_request", "finds the INVITE malformed, or something on the way damaged it", _LOG),
    401: CodeRow(_U, "source_rejected", "wants credentials from a source that it does not know"),
    403: CodeRow(_U, "source_rejected", "refuses a source, or a caller, that it does not know"),
    404: CodeRow(_F, "not_routed", "has no such number where calls from us arrive", _ROUTE),
    405: CodeRow(_F, "invite_not_allowed", "takes no INVITE", "Allow INVITE on this port of the PBX."),
    406: CodeRow(_F, "offer_rejected", "accepts none of the body types offered", _OFFER),
    407: CodeRow(_U, "source_rejected", "wants credentials from a source that it does not know"),
    408: CodeRow(_W, "no_answer_behind", "got no answer in time from what it hands the call to", _BEHIND),
    410: CodeRow(_F, "not_routed", "has this number no longer", _ROUTE),
    413: CodeRow(_F, "too_large_for_it", "finds the INVITE too large", "Let the PBX take messages of 4 KiB and more."),
    414: CodeRow(_F, "too_large_for_it", "finds the Request-URI too long", "Let the PBX take longer URIs."),
    415: CodeRow(_F, "offer_rejected", "does not take the SDP that is offered", _OFFER),
    416: CodeRow(_F, "not_routed", "does not know the scheme of the Request-URI", _ROUTE),
    420: CodeRow(_F, "extension_missing", "refuses an extension that is not required of it", _LOG),
    421: CodeRow(
        _F,
        "extension_required",
        "requires an extension that the trunk does not offer",
        "Make extensions (100rel, timer, path) optional for calls of the trunk.",
    ),
    422: CodeRow(_W, "extension_required", "wants a longer session interval", "Make session timers optional."),
    428: CodeRow(_F, "identity_required", "wants a signed caller identity", "Ask the trunk for no Identity header."),
    433: CodeRow(_W, "declined", "takes no anonymous calls", "Allow callers without a number."),
    436: CodeRow(
        _F, "identity_required", "cannot check the caller's identity", "Ask the trunk for no Identity header."
    ),
    437: CodeRow(
        _F, "identity_required", "cannot check the caller's identity", "Ask the trunk for no Identity header."
    ),
    438: CodeRow(
        _F, "identity_required", "finds the caller's identity invalid", "Ask the trunk for no Identity header."
    ),
    480: CodeRow(
        _W,
        "unavailable",
        "knows the number, and nobody is there: no telephone registered, do not disturb; some PBXs say so where they "
        "have no route, too",
        "See that a telephone is registered for this number, and run again.",
    ),
    481: CodeRow(_W, None, "takes the INVITE for one within a call that it does not know", _LOG),
    482: CodeRow(_F, "looped", "sees the call come back to it", "Break the loop in the routing of this number."),
    483: CodeRow(_F, "looped", "sees the call go round until its hops are used up", "Break the loop in the routing."),
    484: CodeRow(_F, "not_routed", "finds the number incomplete", _ROUTE),
    485: CodeRow(_F, "not_routed", "finds the number ambiguous", _ROUTE),
    486: CodeRow(_P, "busy", "reached the telephone, which is busy: routing works"),
    487: CodeRow(_W, "terminated", "ended the call by itself before anybody answered", _BEHIND),
    488: CodeRow(_F, "offer_rejected", "does not accept the media offered: G.711 over plain RTP", _OFFER),
    491: CodeRow(_W, None, "has another request for the same call pending, though there is none", _LOG),
    493: CodeRow(_F, "offer_rejected", "wants an encrypted body", _OFFER),
    500: CodeRow(_F, "server_error", "failed at this call", _LOG),
    501: CodeRow(_F, "invite_not_allowed", "does not know INVITE", "Serve calls on this port of the PBX."),
    502: CodeRow(_F, "server_error", "got a bad answer from what it hands the call to", _BEHIND),
    503: CodeRow(_F, "server_error", "is overloaded, out of service, or has no line left for this call", _LOG),
    504: CodeRow(_W, "no_answer_behind", "got no answer in time from a server that it asked", _BEHIND),
    505: CodeRow(_F, "server_error", "does not speak SIP 2.0", _LOG),
    513: CodeRow(_F, "too_large_for_it", "finds the INVITE too large", "Let the PBX take messages of 4 KiB and more."),
    580: CodeRow(_F, "extension_required", "wants preconditions met", "Make preconditions optional."),
    600: CodeRow(_P, "busy", "reached the telephones, all of which are busy: routing works"),
    603: CodeRow(_W, "declined", "reached somebody, or a rule, that declines the call", _LOG),
    604: CodeRow(_F, "not_routed", "knows that this number exists nowhere", _ROUTE),
    606: CodeRow(_F, "offer_rejected", "reached somebody who does not accept the media offered", _OFFER),
    607: CodeRow(_W, "declined", "reached somebody who does not want this caller", _LOG),
    608: CodeRow(_W, "declined", "has a call filter that rejects this caller", _LOG),
}


def code_row(code: int) -> CodeRow:
    """What a final code of 300 to 699 says of a call that the trunk places to its customer."""
    if row := _CODES.get(code):
        return row
    match code // 100:
        case 3:
            return CodeRow(
                _W,
                "redirected",
                "sends the caller elsewhere, and nothing says that the trunk follows",
                "Let the PBX route the call itself, instead of redirecting it.",
            )
        case 5:
            return CodeRow(_F, "server_error", "failed at this call", _LOG)
        case 6:
            return CodeRow(_W, "declined", "declines the call, for itself and all others", _LOG)
        case _:
            return CodeRow(_W, None, "has something against this call", _LOG)


def judge_call(pbx: Pbx, calls: Calls, settings: Settings) -> Finding:
    """`pbx.call`: whether the PBX takes a call as the trunk places it, to the number that was given."""
    call = calls.first
    if call is None:
        return _not_placed(pbx, calls.note, settings)
    told = partial(verdict, CALL, pbx, facts=[call.exchange, call.note])
    final = call.final
    if call.answered and final is not None:
        early = " Early media was offered before." if any(each.body for each in call.provisionals) else ""
        return told(
            Status.PASS,
            "answered",
            f"The call to {_number(settings)} was answered{_after(call)}.{early} {_heard(call)}",
            guide_section=GUIDE_AFTER,
            measures=_measures(call),
        )
    if call.exchange.failure in UNREADABLE:
        return _garbled(call, told)
    if _abandoned(call):
        return told(
            Status.UNKNOWN,
            "abandoned",
            f"The call was given up when the run ended. {_heard(call)}",
            domain=FaultDomain.UNDETERMINED,
            settle_by=RUN_AGAIN,
        )
    if final is None and call.altered is not None:
        return _altered(call.altered, told)
    if final is None and is_cut(call.exchange):
        return _cut(call, told)
    rejected = final is not None and final.status in REJECTED and not call.rang
    if call.cancelled_ms is not None and call.provisionals and not rejected:
        return _given_up(call, call.cancelled_ms, settings, told)
    if final is not None and (call.cancelled_ms is None or final.status != 487):
        return _refused(pbx, call, final, settings, told)
    return _unsettled(pbx, call, told)


def _not_placed(pbx: Pbx, note: Note | None, settings: Settings) -> Finding:
    if settings.invite is None:
        return verdict(
            CALL,
            pbx,
            Status.SKIP,
            "not_asked",
            "No call was placed: what the PBX answers to one is not known.",
            settle_by="Give --invite NUMBER: the PBX is called just as the trunk would, and hung up on.",
        )
    values = note.values if note is not None else {}
    told = partial(verdict, CALL, pbx, Status.UNKNOWN, "not_placed", facts=[*pbx.connections, note])
    failure = quoted(str(values.get("failure")), 40)
    outcome = values.get("outcome")
    if outcome == NOT_SENDABLE:
        return told(
            f"No INVITE to {_number(settings)} can be written: {quoted(str(values.get('detail')), 160)}.",
            domain=FaultDomain.HOST,
            settle_by="Give --invite, --caller and the host as they may stand in a SIP URI.",
        )
    if outcome == NO_SOCKET:
        return told(
            f"The call was not placed: this host gave no UDP socket for its audio ({failure}).",
            domain=FaultDomain.HOST,
            settle_by="See that this host has file descriptors and ports left, and run again.",
        )
    why = f": its own connection failed ({failure})" if outcome == NOT_CONNECTED else ""
    return told(
        f"The call could not be placed{why}.",
        domain=FaultDomain.UNDETERMINED,
        settle_by="See pbx.transport; where it is in order, run again with a longer --deadline.",
    )


def _abandoned(call: PlacedCall) -> bool:
    values = call.note.values if call.note is not None else {}
    ended = values.get("outcome") == "abandoned" or values.get("interrupted") is True
    return ended or call.exchange.failure is Failure.CANCELLED


def _given_up(call: PlacedCall, cancelled_ms: float, settings: Settings, told: partial[Finding]) -> Finding:
    """We cancelled what the PBX had taken: it rang too long, or nothing followed the 100.

    The final answer comes of that, whatever its code: not every PBX says 487.
    """
    waited_s = (cancelled_ms - call.invite_ms) / 1000
    if call.rang and not call.alerted:
        return told(
            Status.UNKNOWN,
            "progress_only",
            f"The PBX took the call to {_number(settings)} and said 183 for {waited_s:.0f} s, neither ringing nor "
            f"answered: early audio may be a ringing tone, a menu, or the announcement of why it fails. {_heard(call)}",
            settle_by="Listen to it: call the number by telephone, or capture the early audio on the PBX.",
            guide_section=GUIDE_AFTER,
            measures=_measures(call),
        )
    if call.rang:
        return told(
            Status.PASS,
            "rang",
            f"The call to {_number(settings)} rang and was cancelled after {waited_s:.0f} s: routing works, and nobody "
            f"answered. {_heard(call)}",
            settle_by="Let somebody or something answer, to see the rest: codecs, media address, dialog.",
            guide_section=GUIDE_AFTER,
            measures=_measures(call),
        )
    proven = waited_s * 1000 >= TRYING_MS
    return told(
        Status.FAIL if proven else Status.UNKNOWN,
        "trying_only",
        f"The PBX took the INVITE (100) and then said nothing for {waited_s:.0f} s: what it hands the call to is "
        "dead, or its dial plan waits.",
        confidence=Confidence.LIKELY if proven else Confidence.POSSIBLE,
        remedy=_BEHIND,
        settle_by=IN_ITS_LOG if proven else "Give --ring 20 or more.",
        measures=_measures(call),
    )


def _refused(pbx: Pbx, call: PlacedCall, final: SipResponse, settings: Settings, told: partial[Finding]) -> Finding:
    row = code_row(final.status)
    phrase = quoted(f"{final.status} {final.reason}", 60)
    more = "".join(f" {name}: {quoted(value)}." for name in _REASONS if (value := final.header(name)))
    rejected = row.reason == "source_rejected"
    stranger = (
        ""
        if row.status is Status.PASS or rejected or row.reason == "offer_rejected"
        else " A PBX may treat so what does not come from the trunk."
    )
    says = f"The call to {_number(settings)} got {phrase}: the PBX {row.says}.{more}{stranger}"
    if rejected:
        says += f" Calls from {our_address(pbx)} are not the trunk's: a PBX that knows it by address is right to."
    return told(
        row.status,
        row.reason or f"status_{final.status}",
        says,
        confidence=None if row.status is Status.PASS else Confidence.LIKELY if not stranger else Confidence.POSSIBLE,
        remedy=let_in(pbx) if rejected else row.remedy,
        settle_by=None if row.status is Status.PASS else IN_ITS_LOG,
        guide_section=GUIDE_AFTER,
        measures=_measures(call),
    )


def _garbled(call: PlacedCall, told: partial[Finding]) -> Finding:
    """Bytes came that are no SIP: we hung up at once, so that nothing after them is the PBX's."""
    what = quoted(call.exchange.detail or str(call.exchange.failure))
    return told(
        Status.UNKNOWN,
        "garbled",
        f"What came to the INVITE cannot be read as SIP ({what}). {_heard(call)}",
        failure=call.exchange.failure,
        domain=FaultDomain.UNDETERMINED,
        settle_by="Capture the call on the PBX (sngrep, tcpdump).",
    )


def _altered(answer: SipResponse, told: partial[Finding]) -> Finding:
    return told(
        Status.WARN,
        "altered",
        f"An answer ({quoted(f'{answer.status} {answer.reason}', 40)}) came that does not match the INVITE: its Via, "
        "Call-ID or CSeq was rewritten, and the trunk would discard it.",
        domain=FaultDomain.UNDETERMINED,
        failure=Failure.MISMATCH,
        remedy="Turn off SIP ALG (SIP helper, SIP inspection) in the routers and firewalls between.",
        settle_by="Compare captures on this host and on the PBX.",
    )


def _cut(call: PlacedCall, told: partial[Finding]) -> Finding:
    """Part of an answer came, and never the rest; once we have cancelled, it may be that of another one."""
    if broke_off(call) and call.cancelled_ms is None:
        return _lost(call, "The connection ended in the middle of an answer.", told)
    return told(
        Status.UNKNOWN,
        "incomplete_answer",
        "Part of an answer came, and never the rest: its Content-Length is larger than its body, or something between "
        f"holds back large messages. {_heard(call)}",
        domain=FaultDomain.UNDETERMINED,
        failure=call.exchange.failure,
        settle_by="Compare captures on this host and on the PBX.",
    )


def _lost(call: PlacedCall, how: str, told: partial[Finding]) -> Finding:
    """The PBX had begun to take the call, which then was lost: by itself, or by this host's own network."""
    broke = broke_off(call) is not None
    return told(
        Status.FAIL if broke else Status.UNKNOWN,
        "lost_in_setup",
        f"{how} {_heard(call)}",
        domain=FaultDomain.PBX if broke else FaultDomain.UNDETERMINED,
        failure=call.exchange.failure,
        remedy=_LOG if broke else None,
        settle_by=IN_ITS_LOG if broke else "Run again; how the connection was lost is in the evidence.",
    )


def _unsettled(pbx: Pbx, call: PlacedCall, told: partial[Finding]) -> Finding:
    """No final answer, and none that our CANCEL was to bring."""
    broke = broke_off(call)
    failure = call.exchange.failure
    if call.provisionals:
        how = "connection ended before it was settled" if broke else f"connection was lost ({failure or 'unrecorded'})"
        return _lost(call, f"The PBX took the call, and the {how}.", told)
    after = f" for {(call.cancelled_ms - call.invite_ms) / 1000:.0f} s" if call.cancelled_ms is not None else ""
    how = "is closed after the INVITE" if broke else f"stays silent after the INVITE{after}"
    return told(
        Status.UNKNOWN,
        "closed_after_invite" if broke else "silent",
        f"The connection {how}. A PBX that knows its peers by address may drop the calls of others so. {_heard(call)}",
        failure=failure or Failure.NO_ANSWER,
        remedy=let_in(pbx),
        settle_by=IN_ITS_LOG,
    )


def _number(settings: Settings) -> str:
    return quoted(settings.invite or "the number", 40)


def _after(call: PlacedCall) -> str:
    return "" if call.final_ms is None else f" after {(call.final_ms - call.invite_ms) / 1000:.1f} s"


def _heard(call: PlacedCall) -> str:
    """The codes in the order in which they came, repeated ones once."""
    codes = [str(each.status) for each in call.provisionals] + ([str(call.final.status)] if call.final else [])
    return f"Heard: {', '.join(dict.fromkeys(codes))}." if codes else "Heard: nothing."


def _measures(call: PlacedCall) -> tuple[Measure, ...]:
    told = []
    for name, at_ms in (("post_dial_delay_ms", call.ringing_ms), ("final_answer_ms", call.final_ms)):
        if at_ms is not None:
            told.append(Measure(name=name, value=round(at_ms - call.invite_ms, 3), unit="ms"))
    return tuple(told)
