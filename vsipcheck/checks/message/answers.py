"""What a trace shows of the calls that its INVITEs asked for: the final answer, the ACK, the end."""

from __future__ import annotations

from vsipcheck.checks.message.calls import CALLEES_OWN, Invite, left_open
from vsipcheck.checks.message.places import E164, number_in, quoted, unreachable, uri_in, values_in
from vsipcheck.checks.message.sdp import offers_what_is_wanted
from vsipcheck.model import Confidence, FaultDomain, Finding, Profile, Status
from vsipcheck.wire.sip.message import SipResponse
from vsipcheck.wire.sip.uri import SipUri
from vsipcheck.wire.trace import TracedMessage

ID = "message.answer"
# RFC 3261 §13.3.1.4: who answered and sees no ACK repeats the 200, and hangs up after 64*T1, 32 s. Media servers hang
# up after 30 s without RTP. A second or two for what lies between, and no more: people hang up as well.
_GIVEN_UP_S = (29.0, 34.0)
# The 200 goes out again after T1, 0.5 s, which a slow way may take; the next time is 1 s later.
_UNHEARD = 3
# Busy is the callee's, whether it rang or not. Before it rang, what else is "the callee's own" has other causes.
_BUSY = (486, 600)
# Logs of the program that sent or received the messages show every connection, decrypted.
_OWN_LOGS = ("pjsip", "chan_sip", "freeswitch", "sipp")
_TROUBLES = "Troubleshooting"
_PBX = (FaultDomain.PBX, Confidence.LIKELY)
_PROVIDER = (FaultDomain.PROVIDER, Confidence.POSSIBLE)
_NOBODY = (FaultDomain.UNDETERMINED, Confidence.POSSIBLE)
# What a refusal means, and what to do where that is not the usual. RFC 3261 §21.
_LOOP = "Look for a loop in the routing, of the PBX first: an INVITE that comes back to where it was."
_READINGS: dict[int, tuple[str, str | None]] = {
    400: (" Something in the INVITE could not be read.", "Look at what message.framing and message.header say of it."),
    404: (" Most often the number is not known, or not in E.164 form.", None),
    408: (" Something behind the edge did not answer.", None),
    420: (
        " The INVITE demands an extension (Require) that the other side does not have.",
        "Have the PBX support, and not require, it: 100rel, timer and the like.",
    ),
    422: (
        " The session timer of the INVITE is too short, and no INVITE with a longer one followed.",
        "Set the PBX's session timer to Min-SE of the answer, or turn it off for the trunk.",
    ),
    482: (" The INVITE went in a circle.", _LOOP),
    483: (" Too many hops: Max-Forwards was used up.", _LOOP),
    484: (" The number is incomplete, or not in E.164 form.", None),
    503: (" The network behind the edge is overloaded or out of service.", None),
    504: (" Something behind the edge did not answer.", None),
}
_COMPARE = "Compare Contact and Record-Route of the 200 with where the ACK can be sent: address, port, transport."


def judge_answer(invite: Invite, profile: Profile, *, goes_on: bool) -> Finding | None:
    """What became of the INVITE; None where the trace shows nothing after it. `goes_on`: other messages follow."""
    answer = invite.answer
    if answer.final is None:
        return _judge_open(invite, goes_on=goes_on)
    found = _judge_final(invite, profile, answer.final)
    if found is not None and invite.direction is None and found.status is not Status.PASS:
        return left_open(invite, found, "a call")
    return found


def _judge_final(invite: Invite, profile: Profile, final: TracedMessage) -> Finding | None:
    answer = invite.answer
    response = final.message
    if not isinstance(response, SipResponse):
        return None
    line = final.line
    before = f", after {', '.join(map(str, answer.refused))}" if answer.refused else ""
    said = f"{response.status} {quoted(response.reason)}{before}"
    if response.status < 300:
        return _judge_answered(invite, said, line)
    error = response.header("X-Exotel-ErrorCode")
    if response.status in CALLEES_OWN and error is None:
        return _judge_not_taken(invite, response.status, said, line)
    return _judge_refused(invite, response, said, line, profile)


def _judge_not_taken(invite: Invite, status: int, said: str, line: int) -> Finding:
    if invite.answer.rang or status in _BUSY:
        why = "was ended before anybody took it" if status == 487 else "the callee did not take it"
        return invite.find(ID, Status.PASS, "not_taken", f"{said}: the call was carried, and {why}.", line=line)
    if invite.direction == "from_provider" and status != 487:
        return invite.find(
            ID,
            Status.WARN,
            "no_phone",
            f"{said}, and the trace shows no ringing before it: the PBX found no phone to ring, or its dial plan "
            "ended. A phone that refuses calls looks the same.",
            line=line,
            remedy="Look in the PBX whether the phones behind this number are registered, and where its dial plan "
            "leads.",
            blame=(FaultDomain.PBX, Confidence.POSSIBLE),
        )
    return invite.find(
        ID,
        Status.UNKNOWN,
        "never_rang",
        f"{said}, and the trace shows no ringing before it: whether the call got to the callee is not to be seen.",
        line=line,
        settle_by="Hand in the trace of a call that rings.",
    )


def _judge_open(invite: Invite, *, goes_on: bool) -> Finding | None:
    answer = invite.answer
    if not answer.provisional and not answer.repeats and not goes_on:
        return None
    repeats = f" It was sent {answer.repeats + 1} times." if answer.repeats else ""
    if answer.provisional:
        last = answer.provisional[-1].message
        code = last.status if isinstance(last, SipResponse) else "1xx"
        said = f"The trace shows a {code} and no final answer.{repeats}"
    else:
        said = f"The trace shows no answer.{repeats}"
    return invite.find(
        ID,
        Status.UNKNOWN,
        "no_final_answer" if answer.provisional else "no_answer",
        said,
        settle_by="Hand in a trace of the whole call, both directions. A silent trunk: `vsipcheck sip` asks it "
        "directly.",
    )


def _judge_answered(invite: Invite, said: str, line: int) -> Finding:
    answer = invite.answer
    ended = _seconds_until_bye(invite)
    gave_up = ended is not None and _GIVEN_UP_S[0] <= ended <= _GIVEN_UP_S[1]
    unheard = answer.final_count >= _UNHEARD
    end = f"the call ended after {ended:.0f} s" if ended is not None and gave_up else ""
    repeats = f"it was sent {answer.final_count} times" if answer.final_count > 1 else ""
    signs = ", and ".join(filter(None, (repeats, end)))
    if not answer.acked and signs:
        why_unseen = _why_unseen(invite, unheard=unheard, gave_up=gave_up)
        if why_unseen:
            return invite.find(
                ID,
                Status.UNKNOWN,
                "ack_unseen",
                f"{said}, and no ACK is in the trace, while {signs}. {why_unseen}",
                line=line,
                settle_by="Hand in a trace of the whole call, of all ports: tcpdump without `port 5070`.",
            )
        why, blame = _why_no_ack(invite)
        return invite.find(
            ID,
            Status.FAIL,
            "ack_missing",
            f"{said} was never acknowledged: {signs}. RFC 3261 §13.3.1.4 gives up after 32 s. {why}",
            line=line,
            remedy=_COMPARE,
            blame=blame,
            guide=_TROUBLES,
        )
    if answer.after_ack >= _UNHEARD - 1:
        why, blame = _why_no_ack(invite)
        return invite.find(
            ID,
            Status.FAIL if gave_up else Status.WARN,
            "ack_lost",
            f"{said} was acknowledged, and went on being sent, {answer.final_count} times in all"
            f"{f', and {end}' if end else ''}: the ACK does not arrive. {why}",
            line=line,
            remedy=_COMPARE,
            blame=blame,
            guide=_TROUBLES,
        )
    if gave_up:
        return invite.find(
            ID,
            Status.WARN,
            "ended_after_30_s",
            f"{said}, acknowledged, and the call ended after {ended:.0f} s. If nobody hung up: the guide reads calls "
            "that drop after 30 s as a lost NAT binding.",
            line=line,
            remedy="Turn on symmetric RTP and force_rport (with comedia) in the PBX, and look whether RTP flows both "
            "ways.",
            blame=_NOBODY,
            guide=_TROUBLES,
        )
    acked = "acknowledged" if answer.acked else "no ACK is in the trace, and no sign that it was missed"
    again = f"; the INVITE was sent {answer.repeats + 1} times, which TCP makes needless" if answer.repeats else ""
    return invite.find(ID, Status.PASS, "answered", f"{said}, {acked}{again}.", line=line)


def _why_unseen(invite: Invite, *, unheard: bool, gave_up: bool) -> str:
    """Why an ACK that the trace does not show may have been sent, and have arrived; empty where none may."""
    if not invite.record.is_whole:
        return "Part of the trace was not read, and the ACK may be there."
    if unheard:
        return ""
    if not gave_up:
        return "One repetition may have crossed the ACK, which comes later then."
    after, told = _hop_of_ack(invite), invite.traced.told
    if after is None or told.format in _OWN_LOGS:
        return ""
    if after.scheme == "sips" or after.transport == "tls":
        return "Record-Route or Contact of the 200 ask for TLS, in which a trace of packets shows no SIP."
    went_to = told.destination[1] if told.destination else None
    if went_to is not None and (after.port or 5060) != went_to:
        return (
            f"By Record-Route or Contact of the 200 it goes to port {after.port or 5060}, and the INVITE went to "
            f"{went_to}: a trace of that port alone does not show it."
        )
    return ""


def _hop_of_ack(invite: Invite) -> SipUri | None:
    """Where the ACK goes: the last of the 200's Record-Routes, or its Contact. RFC 3261 §12.1.2."""
    final = invite.answer.final
    if final is None:
        return None
    routes = values_in(final.message, "Record-Route")
    return uri_in(routes[-1] if routes else final.message.header("Contact"))


def _seconds_until_bye(invite: Invite) -> float | None:
    final, bye = invite.answer.final, invite.answer.bye
    if final is None or bye is None or final.told.at_s is None or bye.told.at_s is None:
        return None
    ended = bye.told.at_s - final.told.at_s
    return ended if ended >= 0 else ended % 86400  # without a date, past midnight


def _why_no_ack(invite: Invite) -> tuple[str, tuple[FaultDomain, Confidence]]:
    final = invite.answer.final
    contact = uri_in(final.message.header("Contact")) if final else None
    if invite.direction == "from_provider" and not invite.relayed and contact is not None:
        if why := unreachable(contact.host):
            return f"The 200's Contact names {quoted(contact.host)}, which is {why}: the ACK goes nowhere.", _PBX
        if contact.transport not in (None, "tcp"):
            transport = quoted((contact.transport or "").upper())
            return f"The 200's Contact asks for {transport}, and the call came over TCP: the ACK goes nowhere.", _PBX
    return "The ACK follows Record-Route and Contact of the 200.", _NOBODY


def _judge_refused(invite: Invite, response: SipResponse, said: str, line: int, profile: Profile) -> Finding:
    status = response.status
    code = response.header("X-Exotel-ErrorCode")
    extra = f" X-Exotel-ErrorCode: {quoted(code)}." if code else ""
    inbound = invite.direction == "from_provider"
    guide = next((row for row in profile.troubleshooting if status in row.codes), None)
    if status in (415, 488, 606):
        return invite.find(
            ID,
            Status.FAIL,
            "codecs_refused",
            f"{said}: the offer's codecs or its protocol were refused; see message.sdp.{extra}",
            line=line,
            remedy=f"Offer and accept {' and '.join(profile.media.codecs)} over RTP/AVP.",
            blame=_PBX if inbound or not offers_what_is_wanted(invite, profile) else _NOBODY,
        )
    if inbound:
        return _refused_by_pbx(invite, status, said, line)
    if status in (401, 407):
        return invite.find(
            ID,
            Status.FAIL,
            "credentials_asked",
            f"{said}: credentials were asked for, and the trunk has none, since it knows its customers by their "
            f"address.{extra}",
            line=line,
            remedy="Have the address whitelisted, send the account's own domain in From, and configure no credentials.",
            blame=_NOBODY,
            guide=_TROUBLES,
        )
    if status == 403:
        reading = f"The guide reads it as: {guide.cause}. " if guide else ""
        return invite.find(
            ID,
            Status.FAIL,
            "forbidden",
            f"{said}.{extra} {reading}The provider's error page reads it as an address that is not whitelisted. Both "
            "look alike; a caller ID that is no Exophone of the account is refused as well.",
            line=line,
            remedy="Set fromdomain to the account's domain, send no credentials, and have the public address "
            "whitelisted.",
            blame=_NOBODY,
            guide=_TROUBLES if guide else None,
        )
    is_number = E164.fullmatch(number_in(invite.uri)) is not None
    asks_too_much = status == 420 and invite.request.header("Require") is not None
    is_ours = asks_too_much or (status in (404, 484) and not is_number)
    reading, remedy = _READINGS.get(status, ("", None))
    return invite.find(
        ID,
        Status.FAIL,
        f"status_{status}",
        f"{said}: the call was refused.{reading}{extra}",
        line=line,
        remedy=remedy
        or "Look at the number in the Request-URI and at the caller ID first; then show the message to the provider.",
        blame=_PROVIDER if 500 <= status < 600 else _PBX if is_ours else _NOBODY,
    )


def _refused_by_pbx(invite: Invite, status: int, said: str, line: int) -> Finding:
    if status in (401, 403, 407):
        return invite.find(
            ID,
            Status.FAIL,
            "rejected_by_pbx",
            f"{said}: the PBX refuses the trunk's own call. It has to know the trunk by its address, and the trunk "
            "sends no credentials.",
            line=line,
            remedy="Identify the trunk by its addresses (insecure=port,invite; type=identify with match=; an ACL).",
            blame=_PBX,
        )
    return invite.find(
        ID,
        Status.FAIL,
        f"status_{status}",
        f"{said}: the PBX refused the call.{' Its dial plan does not know the number.' if status == 404 else ''}",
        line=line,
        remedy="Look into the PBX's log for this Call-ID; a 404 is the dial plan's (context, number form).",
        blame=_PBX,
    )
