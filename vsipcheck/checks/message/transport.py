"""Whether the transport of an outbound INVITE is the trunk's, wherever it is named."""

from __future__ import annotations

from vsipcheck.checks.message.calls import SAVE_WHOLE, Invite
from vsipcheck.checks.message.places import quoted, uri_in
from vsipcheck.model import Finding, Profile, Status
from vsipcheck.wire.sip.uri import SipUri

ID = "call.transport"
_SECTION = "Best Practices and Pre-checks: After Configuration"


def judge_transport(invite: Invite, profile: Profile) -> Finding:
    """Via, Request-URI, Contact and the socket of an outbound INVITE: all of them have to say the trunk's transport."""
    wanted, port = profile.signalling.transport, profile.signalling.port
    told, via, contact = invite.traced.told, invite.request.top_via, uri_in(invite.request.header("Contact"))
    remedy = f"Set the trunk's transport to {wanted} and its port to {port} in the PBX, and turn TCP on globally."
    if invite.is_cut and (via is None or contact is None):
        said = "The trace leaves out octets of this message, and Via or Contact with them."
        return invite.find(ID, Status.UNKNOWN, "cut", said, settle_by=SAVE_WHOLE)
    if via is None:
        return invite.find(
            ID, Status.FAIL, "via_unreadable", "There is no Via that can be read.", remedy=remedy, guide=_SECTION
        )
    wrong: list[tuple[str, str, int | None]] = []
    if told.transport not in (None, wanted):
        wrong.append(("sent_otherwise", f"it was sent over {quoted((told.transport or '').upper())}", None))
    if via.transport.lower() != wanted:
        wrong.append(("via_differs", f"its Via says {quoted(via.transport)}", invite.line_of("Via")))
    places = ("uri_differs", "Request-URI", invite.uri), ("uri_differs", "Route", invite.route)
    for reason, name, uri in (*places, ("contact_differs", "Contact", contact)):
        if uri is not None and (asked := _transport_of(uri)) not in (None, wanted):
            wrong.append((reason, f"its {name} says {quoted((asked or '').upper())}", invite.line_of(name)))
    hop = invite.route or invite.uri
    went_to = told.destination[1] if told.destination else hop.port if hop else None
    if went_to is not None and went_to != port:
        wrong.append(("port_differs", f"it goes to port {went_to}", None))
    if wrong:
        reason, _, line = wrong[0]
        return invite.find(
            ID,
            Status.FAIL,
            reason=reason,
            summary=f"The trunk is {wanted.upper()} {port}, and of this INVITE "
            f"{'; '.join(said for _, said, _ in wrong)}.",
            line=line,
            remedy=remedy,
            guide=_SECTION,
        )
    if went_to is None:
        return invite.find(
            ID,
            Status.UNKNOWN,
            "port_unseen",
            f"Via says {via.transport.upper()}, and the port is not to be seen: the Request-URI names none.",
            line=invite.line_of("Via"),
            settle_by=f"Hand in a trace that shows where the INVITE was sent; it has to be port {port}.",
            guide=_SECTION,
        )
    return invite.find(
        ID,
        Status.PASS,
        "match",
        f"Via says {via.transport.upper()}, as port {went_to} demands; nothing else in the INVITE names another "
        "transport.",
        line=invite.line_of("Via"),
        guide=_SECTION,
    )


def _transport_of(uri: SipUri) -> str | None:
    """The transport that a URI asks for; sips: is TLS, whatever its parameter says. RFC 3261 §26.2.2."""
    return "tls (sips:)" if uri.scheme == "sips" else uri.transport
