"""What the call showed of its dialog: where the trunk's ACK and BYE would go, and whether the PBX kept to the rules.

Requests within a dialog go to the first Record-Route entry that the PBX's side added, else to the Contact of the 2xx
(RFC 3261 §12.1.2, §12.2.1.1); over UDP where a SIP URI with an address or a port names no transport (RFC 3263 §4.1).
That the call on our own connection went well does not say that they arrive: over it everything arrives.
"""

from __future__ import annotations

from functools import partial

from vsipcheck.checks.dns_answers import class_of
from vsipcheck.checks.pbx_calls import Calls, PlacedCall
from vsipcheck.checks.pbx_media import EXTERNAL, WRONG_PLACE, is_mapped, leads_nowhere
from vsipcheck.checks.pbx_target import UNREADABLE, Pbx, is_cut, messages_of
from vsipcheck.checks.pbx_verdict import IN_ITS_LOG, RUN_AGAIN, quoted, verdict
from vsipcheck.model import Confidence, Failure, FaultDomain, Finding, Profile, Status
from vsipcheck.wire.call import RouteSet, read_route_set
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass, plain_address
from vsipcheck.wire.sip import SipMessage, SipRequest, SipResponse, SipUri, parse_name_addr, parse_uri, split_list

CONTACT = "pbx.contact"
DIALOG = "pbx.dialog"
# RFC 3261 §19.1.2.
_DEFAULT_PORT = 5060


def _first_uri(message: SipMessage, header: str) -> str | None:
    """The URI of the first value of a header field; None where it is absent or unreadable."""
    values = split_list(message.header(header) or "")
    if not values:
        return None
    try:
        return parse_name_addr(values[0]).uri
    except WireError:
        return None


def _routes(call: PlacedCall, final: SipResponse) -> RouteSet:
    return read_route_set(final, _first_uri(call.invite, "Record-Route"))


# --- Contact


def judge_contact(pbx: Pbx, calls: Calls, profile: Profile, public: frozenset[str]) -> Finding | None:
    """`pbx.contact`: whether requests within the dialog would reach the PBX; None where no call was answered. `public`:
    the PBX's public addresses, as far as they are known."""
    call = calls.first
    if call is None or call.final is None or not call.answered:
        return None
    told = partial(verdict, CONTACT, pbx, facts=[call.exchange])
    proven = partial(told, confidence=Confidence.PROVEN)
    contact = _first_uri(call.final, "Contact")
    if contact is None:
        absent = call.final.header("Contact") is None
        return proven(
            Status.FAIL,
            "missing" if absent else "unreadable",
            f"The PBX's answer has {'no Contact' if absent else 'a Contact that cannot be read'}: the trunk does not "
            "know where to send ACK and BYE (RFC 3261 §12.1.1).",
            remedy="Report it to the maker of the PBX.",
        )
    routes = _routes(call, call.final).routes
    header, hop = ("Record-Route", routes[0]) if routes else ("Contact", contact)
    try:
        uri = parse_uri(hop)
    except WireError:
        uri = None
    if uri is None or uri.host is None:
        return proven(
            Status.FAIL,
            "unreadable",
            f"The {header} of the PBX's answer is no SIP URI ({quoted(hop)}): ACK and BYE go nowhere.",
            remedy="Report it to the maker of the PBX.",
        )
    return _judge_hop(pbx, call, header, hop, uri, profile, public, told)


def _judge_hop(
    pbx: Pbx,
    call: PlacedCall,
    header: str,
    hop: str,
    uri: SipUri,
    profile: Profile,
    public: frozenset[str],
    told: partial[Finding],
) -> Finding:
    """The place that ACK and BYE go to: transport first, which no address makes up for, then the address."""
    proven = partial(told, confidence=Confidence.PROVEN)
    assert uri.host is not None
    transport = profile.signalling.transport
    where = f"{header} of the PBX's answer, {quoted(hop, 100)}"
    named = "tls" if uri.scheme == "sips" else uri.transport
    if named == "tls":
        return proven(
            Status.FAIL,
            "tls",
            f"The {where}, wants TLS, and the trunk speaks plain {transport.upper()}: its ACK and BYE would not "
            "arrive, and calls break off after half a minute.",
            remedy=f"Let the PBX write its {transport.upper()} address into Contact for calls that come over "
            f"{transport.upper()} (PJSIP: `transport` of the trunk's endpoint; chan_sip: `transport={transport}`).",
        )
    if named is not None and named != transport:
        return proven(
            Status.FAIL,
            "other_transport",
            f"The {where}, wants {quoted(named, 20)}, and the call came over {transport.upper()}: the trunk's ACK and "
            "BYE would go to a port that may not listen, and calls break off after half a minute.",
            remedy=f"Let the PBX write `;transport={transport}` into Contact for calls that come over "
            f"{transport.upper()}.",
        )
    address = plain_address(uri.host)
    kind = class_of(address)
    there = plain_address(call.exchange.remote_address)
    if kind is not None and leads_nowhere(kind, there):
        return proven(
            Status.FAIL,
            "unusable_address",
            f"The {where}, is {WRONG_PLACE[kind]}: the trunk's ACK and BYE go nowhere.",
            remedy=EXTERNAL,
        )
    foreign = kind is not None and kind is not AddressClass.GLOBAL and address != there
    if foreign and not pbx.seen_from_inside:
        return proven(
            Status.FAIL,
            "private_address",
            f"The PBX is called at {there}, and the {where}, is "
            f"{WRONG_PLACE.get(kind, 'an address that nobody routes') if kind else ''}: the trunk's ACK and BYE go "
            "nowhere, and calls break off after half a minute.",
            remedy=EXTERNAL,
        )
    if named is None:
        means = "leaves it to DNS, else to UDP" if kind is None and uri.port is None else "means UDP"
        return proven(
            Status.WARN,
            "transport_unstated",
            f"The {where}, names no transport, which {means} (RFC 3263 §4.1), and the call came over "
            f"{transport.upper()}. Many peers stay on the connection all the same.",
            remedy=f"Let the PBX write `;transport={transport}` into Contact.",
        )
    # RFC 3263 §4.2: a name without a port is for SRV to tell.
    port = uri.port or (None if kind is None else _DEFAULT_PORT)
    if port not in (None, pbx.port):
        return told(
            Status.WARN,
            "other_port",
            f"The {where}, is port {port}, and the PBX was called on {pbx.port}: new connections of the trunk for ACK "
            "and BYE go there.",
            remedy=f"See that {transport.upper()} {port} of the PBX is open to the provider, or let the PBX name "
            f"{pbx.port}.",
        )
    if is_mapped(uri.host):
        return proven(
            Status.WARN,
            "mapped_address",
            f"The {where}, is an IPv4 address in the form of IPv6, which a peer that knows IPv4 alone cannot read.",
            remedy=f"Let the PBX write {address}.",
        )
    as_called = uri.host.lower().rstrip(".") == pbx.host.lower().rstrip(".")
    if kind is None and not (as_called and port):
        which = "a name without a port" if as_called else "a name other than the one it was called by"
        return told(
            Status.WARN,
            "hostname",
            f"The {where}, is {which}: the provider has to look it up{'' if port else ', SRV first (RFC 3263 §4.2)'}.",
            remedy="See that the name resolves for everybody to the PBX's public address and port, or let the PBX name "
            "those.",
        )
    if pbx.seen_from_inside and kind is not AddressClass.GLOBAL:
        return told(
            Status.UNKNOWN,
            "seen_from_inside",
            f"The {where}, has the right transport. {'That name' if kind is None else 'Its address'} may be as it "
            "should be inside the PBX's own network; where the trunk would be sent, or get by it, cannot be seen from "
            "here.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="Check the PBX's configuration (`vsipcheck config lint`), or run it from outside.",
        )
    if kind is None or address == there:
        return told(Status.PASS, "same_host", f"The {where}, is where it was called.")
    if address in public:
        return told(
            Status.PASS,
            "public_address",
            f"The {where}, is the PBX's public address.",
            confidence=Confidence.LIKELY,
        )
    if pbx.seen_from_inside and not public:
        return told(
            Status.UNKNOWN,
            "other_address",
            f"The {where}, is a public address. Whether it is the PBX's, nothing here tells.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="Name the PBX's public address with --expect-ip, or give --report of a run beside it; "
            "`vsipcheck all --pbx` measures it.",
        )
    known = " or ".join(sorted(public)) if pbx.seen_from_inside else there
    return told(
        Status.WARN,
        "other_address",
        f"The {where}, is a public address other than {known}, where "
        f"{'the provider reaches the PBX' if pbx.seen_from_inside else 'it was called'}: ACK and BYE go there.",
        remedy="See that the PBX can be reached at that address from the provider's, or let it name the one it is "
        "called at.",
    )


# --- the dialog


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
        f"The PBX {'answers CANCEL' if heard else 'does not take CANCEL'} and does not settle the call: the telephone "
        "may ring on after the caller has hung up.",
        confidence=Confidence.LIKELY,
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
    own_entry = _routes(call, final).own_entry
    if _first_uri(call.invite, "Record-Route") is not None and own_entry != "returned":
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
    if isinstance(call.invite, SipRequest) and call.invite.headers_named("X-Exotel-CallSid"):
        more.append("the X-Exotel header fields of our INVITE did not keep it from answering")
    tail = f"; {' and '.join(more)}" if more else ""
    end = f"BYE got {call.bye_status}" if call.bye_status is not None else "it was ended from both sides"
    return told(
        Status.PASS,
        "orderly",
        f"Record-Route came back, the ACK was taken, {end}{tail}.",
    )
