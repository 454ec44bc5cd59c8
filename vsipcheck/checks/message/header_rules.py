"""What the trunk wants of each header field, beyond its grammar."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from vsipcheck.checks.message.calls import Invite
from vsipcheck.checks.message.direction import is_loose
from vsipcheck.checks.message.places import (
    E164,
    is_local_name,
    is_other_family,
    number_in,
    quoted,
    unreachable,
    uri_in,
    values_in,
)
from vsipcheck.checks.message.sdp import session_of
from vsipcheck.model import Profile, Settings, Status
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.uri import SipUri

# Without them no call can be set up and ended. RFC 3261 §13, §15.
_NEEDED_METHODS = ("INVITE", "ACK", "CANCEL", "BYE")


class Fault(NamedTuple):
    """What is wrong with a header field. `alterable`: something on the way may have done it as well."""

    status: Status
    reason: str
    says: str
    remedy: str
    alterable: bool = True


Rule = Callable[[Invite, Profile, Settings], Fault | None]


def _check_request_uri(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
    uri, wanted = invite.uri, profile.signalling
    outbound = invite.direction == "to_provider"
    if uri is None or uri.scheme != "sip":
        return Fault(
            Status.FAIL,
            "wrong_scheme",
            f"{quoted(invite.request.uri)} is no sip: URI.",
            "Dial sip: URIs: the trunk has no TLS (sips:), and tel: names no host.",
            alterable=False,
        )
    if uri.transport not in (None, wanted.transport):
        return Fault(
            Status.FAIL if outbound else Status.WARN,
            "wrong_transport",
            f"it asks for {quoted((uri.transport or '').upper())}, and the trunk is {wanted.transport.upper()}.",
            f"Set the trunk's transport to {wanted.transport} in the PBX.",
            alterable=False,
        )
    return _check_dialled(invite, uri, profile) if outbound else _check_called(invite, uri)


def _check_dialled(invite: Invite, uri: SipUri, profile: Profile) -> Fault | None:
    port, told = profile.signalling.port, invite.traced.told.destination
    went_right = (told is not None and told[1] == port) or (invite.route is not None and invite.route.port == port)
    if uri.port != port and not went_right:
        absent = uri.port is None
        return Fault(
            Status.WARN if absent else Status.FAIL,
            "port_missing" if absent else "wrong_port",
            f"it has {'no port, which means 5060' if absent else f'port {uri.port}'}, and the trunk is at {port}.",
            f"Set the trunk's port to {port} in the PBX.",
            alterable=False,
        )
    user = number_in(uri)
    if not user:
        return Fault(
            Status.FAIL, "number_missing", "it names no number to call.", "Have the dial plan put the number in."
        )
    if not E164.fullmatch(user):
        return Fault(
            Status.WARN,
            "not_e164",
            f"{quoted(user)} is no number in E.164 form: +, country code, number.",
            "Have the dial plan send numbers as +91 and ten digits.",
            alterable=False,
        )
    return None


def _check_called(invite: Invite, uri: SipUri) -> Fault | None:
    why = unreachable(uri.host)
    if why and not invite.relayed:
        return Fault(
            Status.WARN,
            "private_address",
            f"it names {quoted(uri.host)}, which is {why}. The provider cannot have sent to that: something on the way "
            "wrote it, or the trunk is set up with it.",
            "",
        )
    return None if uri.user else Fault(Status.WARN, "number_missing", "it names no number.", "")


def _check_via(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
    via, wanted = invite.request.top_via, profile.signalling.transport.upper()
    if via is None or via.transport.upper() == wanted or invite.relayed:
        return None
    return Fault(
        Status.FAIL if invite.direction == "to_provider" else Status.WARN,
        "wrong_transport",
        f"its transport is {quoted(via.transport)}, and the trunk is {wanted}.",
        f"Set the trunk's transport to {wanted.lower()} in the PBX.",
        alterable=False,
    )


def _check_from(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
    uri = uri_in(invite.request.header("From"))
    if invite.direction == "from_provider":
        return None
    if uri is None or uri.scheme != "sip":
        return Fault(
            Status.FAIL,
            "wrong_scheme",
            "its URI is no sip: URI.",
            "Have the PBX send a sip: URI in From.",
            alterable=False,
        )
    pattern, host = profile.signalling.domain_pattern, (uri.host or "").lower()
    suffix = pattern.partition("{account_sid}")[2]
    if settings.account_sid:
        wanted = pattern.replace("{account_sid}", settings.account_sid).lower()
        fits = host == wanted
    else:
        wanted, fits = pattern.replace("{account_sid}", "<account SID>"), host.endswith(suffix) and host != suffix
    if fits:
        return None
    taken = invite.answer.accepted
    return Fault(
        Status.WARN if taken else Status.FAIL,
        "wrong_domain",
        f"its domain is {quoted(uri.host)}, and the account's is {wanted}: the provider answers 403 to a wrong domain, "
        f"says the guide.{' The call was taken on all the same.' if taken else ''}",
        f"Set fromdomain (chan_sip) or from_domain (PJSIP, FreeSWITCH) to {wanted}.",
        alterable=False,
    )


def _check_record_route(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
    uri = uri_in(invite.request.header("Record-Route"))
    if uri is not None and not is_loose(uri):
        return Fault(
            Status.WARN,
            "lr_missing",
            "its URI lacks lr, so that requests inside the call are routed as before RFC 3261 (§16.12.1.1).",
            "Have the proxy that records the route put ;lr in.",
            alterable=False,
        )
    return None


def _check_contact(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
    uri, wanted = uri_in(invite.request.header("Contact")), profile.signalling.transport
    outbound = invite.direction == "to_provider"
    if uri is None or uri.scheme != "sip":
        return Fault(
            Status.FAIL if outbound else Status.WARN,
            "wrong_scheme",
            f"{quoted(invite.request.header('Contact'))} names no sip: URI.",
            "Have the PBX send a sip: URI with its public address in Contact.",
        )
    if not outbound:
        return _check_their_contact(invite, uri, wanted)
    if why := unreachable(uri.host):
        return Fault(
            Status.FAIL,
            "private_address",
            f"it names {quoted(uri.host)}, which is {why}: the provider cannot send BYE or a re-INVITE there, "
            "unless a device on the way rewrites it.",
            "Set the PBX's public address (externip, external_signaling_address, ext-sip-ip).",
        )
    if is_local_name(uri.host):
        return Fault(
            Status.WARN,
            "local_name",
            f"it names {quoted(uri.host)}, which nobody outside your network can look up, unless it was written over: "
            "the provider cannot send BYE or a re-INVITE there.",
            "Set the PBX's public address (externip, external_signaling_address, ext-sip-ip).",
        )
    if is_other_family(uri.host, profile):
        return Fault(
            Status.WARN,
            "other_family",
            f"it names the IPv6 address {quoted(uri.host)}, and the provider's addresses are all IPv4.",
            "Have the PBX use its public IPv4 address for the trunk.",
        )
    if uri.transport not in (None, wanted):
        return Fault(
            Status.FAIL,
            "wrong_transport",
            f"it asks for {quoted((uri.transport or '').upper())}, and the trunk is {wanted.upper()}: requests "
            "inside the call go nowhere.",
            f"Set the trunk's transport to {wanted} in the PBX.",
            alterable=False,
        )
    if uri.transport is None:
        return Fault(
            Status.WARN,
            "transport_missing",
            f"it has no ;transport={wanted}, and without it a SIP URI means UDP (RFC 3263 §4.1).",
            f"Have the PBX add ;transport={wanted} to its Contact: it does where the trunk's transport is {wanted}.",
            alterable=False,
        )
    own = settings.public_address or settings.expect_ip
    if own and uri.host != own and uri.host and re.fullmatch(r"[0-9.]+", uri.host):
        return Fault(
            Status.WARN,
            "other_address",
            f"it names {quoted(uri.host)}, and your public address is {quoted(own)}.",
            f"Set the PBX's public address to {quoted(own)}.",
        )
    return None


def _check_their_contact(invite: Invite, uri: SipUri, wanted: str) -> Fault | None:
    if (why := unreachable(uri.host)) and not invite.relayed:
        return Fault(
            Status.WARN,
            "private_address",
            f"it names {quoted(uri.host)}, which is {why}: ACK and BYE go there, unless a Record-Route leads "
            "elsewhere.",
            "",
        )
    if uri.transport not in (None, wanted):
        return Fault(
            Status.WARN,
            "wrong_transport",
            f"it asks for {quoted((uri.transport or '').upper())}, and the trunk is {wanted.upper()}.",
            "",
            alterable=False,
        )
    return None


def _check_allow(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
    named = set(map(str.upper, values_in(invite.request, "Allow")))
    if lacking := [method for method in _NEEDED_METHODS if method not in named]:
        return Fault(
            Status.WARN,
            "methods_missing",
            f"it lacks {', '.join(lacking)}, without which no call can be made and ended.",
            f"Have the PBX name {', '.join(_NEEDED_METHODS)} in Allow.",
        )
    return None


def _check_max_forwards(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
    hops = invite.request.header("Max-Forwards") or ""
    if not (hops.isascii() and hops.isdigit()):
        return Fault(
            Status.FAIL,
            "malformed",
            f"{quoted(hops)} is no number.",
            "Correct Max-Forwards in the PBX's configuration.",
        )
    if int(hops) == 0:
        return Fault(
            Status.FAIL,
            "used_up",
            "it is 0: the next proxy has to answer 483.",
            "Look for a loop in the routing; RFC 3261 §8.1.1.6 begins with 70.",
        )
    return None


def _check_content_type(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
    kind = (invite.request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if kind == "application/sdp":
        return None
    if kind.startswith("multipart/"):
        return Fault(
            Status.WARN,
            "multipart",
            f"the body is {quoted(kind)}, where the table has application/sdp alone.",
            "Have the PBX send the SDP alone, without further parts.",
            alterable=False,
        )
    return Fault(
        Status.FAIL,
        "wrong_type",
        f"it is {quoted(kind) or 'empty'}, where application/sdp belongs.",
        "Have the PBX send Content-Type: application/sdp.",
    )


def _check_identity(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
    if uri_in(invite.request.header("P-Asserted-Identity")) is None:
        return Fault(Status.WARN, "malformed", "no address can be read in it.", "")
    return None


def _check_sdp(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
    try:
        session_of(invite.traced)
    except WireError as error:
        return Fault(
            Status.FAIL, "malformed", f"it cannot be read: {quoted(str(error))}.", "Have the PBX send SDP (RFC 8866)."
        )
    return None


def _check_value(name: str) -> Rule:
    def check(invite: Invite, profile: Profile, settings: Settings) -> Fault | None:
        values = {header.value for header in invite.request.headers_named(name)}
        if len(values) > 1 and name.lower().startswith("x-"):
            both = ", ".join(map(quoted, sorted(values)))
            return Fault(Status.WARN, "repeated", f"it has several values: {both}.", f"Have the PBX send one {name}.")
        if any(map(str.strip, values)):
            return None
        return Fault(Status.WARN, "empty", "it is empty.", f"Have the PBX fill in {name}.")

    return check


_RULES: dict[str, Rule] = {
    "request-uri": _check_request_uri,
    "via": _check_via,
    "from": _check_from,
    "record-route": _check_record_route,
    "contact": _check_contact,
    "allow": _check_allow,
    "max-forwards": _check_max_forwards,
    "content-type": _check_content_type,
    "p-asserted-identity": _check_identity,
    "sdp": _check_sdp,
}


def rule_of(name: str) -> Rule:
    """What the trunk wants of the header field of that name, the Request-URI and the SDP among them."""
    return _RULES.get(name.lower()) or _check_value(name)
