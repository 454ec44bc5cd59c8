"""Where the PBX wants the audio of the call, and the trunk's ACK and BYE.

A private address, seen from outside, is the classic one-way audio. Seen from inside the PBX's own network it is what it
should be, and the trunk may be given another (`localnet`, `externip`): then it is not known.

Requests within a dialog go to the first Record-Route entry that the PBX's side added, else to the Contact of the 2xx
(RFC 3261 §12.1.2, §12.2.1.1); over UDP where a SIP URI with an address or a port names no transport (RFC 3263 §4.1).
That the call on our own connection went well does not say that they arrive: over it everything arrives.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns.answers import class_of
from vsipcheck.checks.pbx.calls import Calls, PlacedCall, first_uri
from vsipcheck.checks.pbx.target import Pbx
from vsipcheck.checks.pbx.verdict import quoted, verdict
from vsipcheck.checks.public_address import sightings, trunk_address
from vsipcheck.model import (
    AddressSeen,
    Confidence,
    Connection,
    Exchange,
    Fact,
    FaultDomain,
    Finding,
    Profile,
    Route,
    Settings,
    Status,
)
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass, plain_address
from vsipcheck.wire.sdp import MediaDescription, SessionDescription
from vsipcheck.wire.sip.uri import SipUri, parse_uri

MEDIA_ADDRESS = "pbx.media_address"
CONTACT = "pbx.contact"
# RFC 3261 §19.1.2.
_DEFAULT_PORT = 5060

_WRONG_PLACE = {
    AddressClass.LOOPBACK: "the PBX's own loopback",
    AddressClass.UNSPECIFIED: "no address (as for a call on hold, RFC 2543)",
    AddressClass.LINK_LOCAL: "an address of one network segment",
    AddressClass.PRIVATE: "a private address (RFC 1918)",
    AddressClass.SHARED: "an address inside a carrier's NAT (RFC 6598)",
    AddressClass.UNIQUE_LOCAL: "a private address (RFC 4193)",
    AddressClass.MULTICAST: "a multicast address",
    AddressClass.BROADCAST: "a broadcast address",
}
_UNROUTED = "an address that nobody routes"
# Where no packet of another host's goes.
_UNREACHABLE_PLACES = frozenset(
    (AddressClass.LOOPBACK, AddressClass.UNSPECIFIED, AddressClass.MULTICAST, AddressClass.BROADCAST)
)
_EXTERNAL = (
    "Tell the PBX its public address and what is local (chan_sip: `externip`, `localnet`; PJSIP: "
    "`external_media_address`, `external_signaling_address`, `local_net`; FreeSWITCH: `ext-rtp-ip`, `ext-sip-ip`)."
)


def _leads_nowhere(kind: AddressClass, called_at: str) -> bool:
    """Whether an address of this class takes no packet of the trunk's; loopback is in order where it was called at."""
    return kind in _UNREACHABLE_PLACES and not (kind is class_of(called_at) is AddressClass.LOOPBACK)


def _is_mapped(address: str) -> bool:
    """Whether it is an IPv4 address in the form of IPv6: RFC 4291 §2.5.5.2."""
    return class_of(address) is AddressClass.MAPPED


class PublicAddresses(NamedTuple):
    """The PBX's public addresses as far as they are known, and the facts that show them: none where they were given."""

    addresses: frozenset[str]
    facts: tuple[Fact, ...] = ()


def public_addresses(pbx: Pbx, facts: Facts, settings: Settings) -> PublicAddresses:
    """Those handed in, else, beside the PBX, the one that was measured. From outside, what was measured is another
    network's."""
    given = {plain_address(each) for each in (settings.public_address, settings.expect_ip) if each}
    measured = trunk_address(facts) if pbx.seen_from_inside and not given else None
    if measured is None:
        return PublicAddresses(frozenset(given))
    seen = {one.fact_id for one in sightings(facts) if one.address == measured}
    found: list[Fact] = [each for each in (*facts.of(AddressSeen), *facts.of(Exchange)) if each.id in seen]
    found += [each for each in facts.of(Connection) if each.purpose == "sip" and each.local_address == measured]
    found += [each for each in facts.of(Route) if each.failure is None and each.source_address == measured]
    return PublicAddresses(frozenset((measured,)), tuple(found))


# --- where the audio goes


_NO_SRTP = "Turn SRTP off for the trunk (PJSIP: `media_encryption=no`; chan_sip: `encryption=no`)."


def _odd_answer(description: SessionDescription, audio: MediaDescription) -> tuple[str, str, str] | None:
    """What RFC 3264 §6 forbids in an answer to one plain audio stream, and some peers refuse a call over: the reason, a
    sentence's end, the remedy; None where there is nothing of it."""
    kinds = [media.media for media in description.media]
    if kinds != ["audio"]:
        says = f"answers the one stream that was offered with {len(kinds)} ({quoted(', '.join(kinds), 60)})"
        return "other_streams", says, "Let the PBX answer each offered stream with one, and add none."
    if audio.has_crypto or audio.has_fingerprint:
        says = "adds keys for SRTP, which was not offered: what it sends may be encrypted"
        return "srtp_keys", says, _NO_SRTP
    if audio.protocol.upper() != "RTP/AVP":
        says = f"answers with {quoted(audio.protocol, 40)}, where RTP/AVP was offered"
        return (
            "other_profile",
            says,
            "Let the PBX answer RTP/AVP with RTP/AVP (PJSIP: `use_avpf=no`; chan_sip: `avpf=no`).",
        )
    return None


def judge_media_address(pbx: Pbx, calls: Calls, profile: Profile, public: PublicAddresses) -> Finding | None:
    """`pbx.media_address`: where the PBX wants the audio of the call; None where no call described any."""
    call = calls.first
    if call is None or call.description is None or call.audio is None:
        return None
    description, audio = call.description, call.audio
    told = partial(verdict, MEDIA_ADDRESS, pbx, facts=[call.exchange])
    proven = partial(told, confidence=Confidence.PROVEN)
    if audio.is_encrypted:
        return proven(
            Status.FAIL,
            "srtp_answered",
            f"The PBX answers with {quoted(audio.protocol, 40)}, where plain RTP (RTP/AVP) was offered, as the trunk "
            "does: it would send what the trunk cannot decrypt.",
            remedy=_NO_SRTP,
        )
    if not audio.is_plain:
        return proven(
            Status.FAIL,
            "other_profile",
            f"The PBX answers with {quoted(audio.protocol, 40) or 'no protocol'}, where RTP/AVP was offered: no audio "
            "can be set up.",
            remedy="Let the PBX answer an offer of RTP/AVP with RTP/AVP (RFC 3264 §6).",
        )
    if audio.port in (0, None):
        said = "rejects the audio of the call (port 0)" if audio.port == 0 else "names no port that can be read"
        return proven(
            Status.FAIL,
            "audio_rejected",
            f"The PBX {said}.",
            remedy="Allow G.711 over plain RTP (RTP/AVP) for calls of the trunk.",
        )
    written = description.media_address(audio)
    if written is None:
        return proven(
            Status.FAIL,
            "no_address",
            "The PBX's session description has no c= line: nobody knows where the audio goes.",
            remedy="Report it to the maker of the PBX.",
        )
    address = plain_address(written)
    kind = class_of(address)
    where = f"{quoted(written, 80)}, port {audio.port}"
    there = plain_address(call.exchange.remote_address)
    if kind is None:
        return proven(
            Status.WARN,
            "hostname",
            f"The PBX wants the audio at a name, {where}: legal, and many peers do not look it up.",
            remedy="Let the PBX write its public address into the SDP.",
        )
    if _leads_nowhere(kind, there):
        return proven(
            Status.FAIL,
            "unusable_address",
            f"The PBX wants the audio at {where}: {_WRONG_PLACE[kind]}.",
            remedy=_EXTERNAL,
        )
    if (":" in address) != (":" in there):
        return proven(
            Status.FAIL,
            "other_family",
            f"The PBX wants the audio at {where}, of another IP version than the call came over.",
            remedy="Let the PBX answer with an address of the offer's IP version.",
        )
    if kind is not AddressClass.GLOBAL and address != there and not pbx.seen_from_inside:
        return proven(
            Status.FAIL,
            "private_address",
            f"The PBX is called at {there} and wants the audio at {where}: "
            f"{_WRONG_PLACE.get(kind, _UNROUTED)}. The trunk's audio goes nowhere, and callers are heard one way, if "
            "at all.",
            remedy=_EXTERNAL,
            guide_section="Troubleshooting",
        )
    if _is_mapped(written):
        return proven(
            Status.WARN,
            "mapped_address",
            f"The PBX wants the audio at {where}: an IPv4 address in the form of IPv6, which a peer that knows IPv4 "
            "alone cannot read.",
            remedy=f"Let the PBX write {address}, with IP4.",
        )
    if (odd := _odd_answer(description, audio)) is not None:
        reason, says, remedy = odd
        return proven(Status.WARN, reason, f"The PBX wants the audio at {where}, and {says}.", remedy=remedy)
    media = profile.media
    if audio.direction != "sendrecv" and call.answered:
        return proven(
            Status.WARN,
            "not_both_ways",
            f"The PBX wants the audio at {where}, {quoted(audio.direction, 20)}: one side would stay silent, as when a "
            "call is on hold.",
            remedy="Look for what answers the call: music on hold, an announcement, a forgotten hold.",
        )
    if audio.port is not None and not media.first_port <= audio.port <= media.last_port:
        return proven(
            Status.WARN,
            "port_outside",
            f"The PBX wants the audio at {where}, outside of UDP {media.first_port}-{media.last_port}, which the guide "
            "has firewalls open.",
            remedy=f"Let the PBX use RTP ports from {media.first_port} to {media.last_port}, or open its own range to "
            "the provider's media addresses.",
            guide_section="Required Configuration: Ports to Open",
        )
    if pbx.seen_from_inside and kind is not AddressClass.GLOBAL:
        return told(
            Status.UNKNOWN,
            "seen_from_inside",
            f"The PBX wants the audio at {where}. Inside its own network that may be as it should be; which address it "
            "would name to the trunk cannot be seen from here.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="Check the PBX's configuration (`vsipcheck config lint`), or run it from outside.",
        )
    if address == there:
        return told(Status.PASS, "same_address", f"The PBX wants the audio at {where}, where it is called.")
    told = partial(told, facts=[call.exchange, *public.facts])
    if address in public.addresses:
        return told(
            Status.PASS,
            "public_address",
            f"The PBX wants the audio at its public address, {where}.",
            confidence=Confidence.LIKELY,
        )
    known = f", nor its public one, {' or '.join(sorted(public.addresses))}" if public.addresses else ""
    whose = "its media server's" if known else "its media server's or its own public address"
    return told(
        Status.WARN if known else Status.UNKNOWN,
        "other_address",
        f"The PBX wants the audio at {where}, which is not the address that it is called at{known}: right if that is "
        f"{whose}, and its firewall lets the provider's media in there.",
        domain=FaultDomain.PBX if known else FaultDomain.UNDETERMINED,
        remedy=_EXTERNAL,
        settle_by="Compare it with nat.public_address of a run beside the PBX (--report, --expect-ip); --rtp shows "
        "whether audio returns.",
    )


# --- Contact


def judge_contact(pbx: Pbx, calls: Calls, profile: Profile, public: PublicAddresses) -> Finding | None:
    """`pbx.contact`: whether requests within the dialog would reach the PBX; None where no call was answered."""
    call = calls.first
    if call is None or call.final is None or not call.answered:
        return None
    told = partial(verdict, CONTACT, pbx, facts=[call.exchange])
    proven = partial(told, confidence=Confidence.PROVEN)
    contact = first_uri(call.final, "Contact")
    if contact is None:
        absent = call.final.header("Contact") is None
        return proven(
            Status.FAIL,
            "missing" if absent else "unreadable",
            f"The PBX's answer has {'no Contact' if absent else 'a Contact that cannot be read'}: the trunk does not "
            "know where to send ACK and BYE (RFC 3261 §12.1.1).",
            remedy="Report it to the maker of the PBX.",
        )
    routes = call.route_set.routes
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
    # RFC 3261 §19.1.1: maddr overrides the host.
    maddr = next((value for name, value in uri.params if name.lower() == "maddr" and value), None)
    if maddr is not None:
        uri = uri._replace(host=maddr.strip("[]"))
    return _judge_hop(pbx, call, header, hop, uri, profile, public, told)


def _judge_hop(
    pbx: Pbx,
    call: PlacedCall,
    header: str,
    hop: str,
    uri: SipUri,
    profile: Profile,
    public: PublicAddresses,
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
    if kind is not None and _leads_nowhere(kind, there):
        return proven(
            Status.FAIL,
            "unusable_address",
            f"The {where}, is {_WRONG_PLACE[kind]}: the trunk's ACK and BYE go nowhere.",
            remedy=_EXTERNAL,
        )
    if kind not in (None, AddressClass.GLOBAL) and address != there and not pbx.seen_from_inside:
        return proven(
            Status.FAIL,
            "private_address",
            f"The PBX is called at {there}, and the {where}, is "
            f"{_WRONG_PLACE.get(kind, _UNROUTED)}: the trunk's ACK and BYE go nowhere, and calls break off after half "
            "a minute.",
            remedy=_EXTERNAL,
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
    if _is_mapped(uri.host):
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
    told = partial(told, facts=[call.exchange, *public.facts])
    if address in public.addresses:
        return told(
            Status.PASS,
            "public_address",
            f"The {where}, is the PBX's public address.",
            confidence=Confidence.LIKELY,
        )
    if pbx.seen_from_inside and not public.addresses:
        return told(
            Status.UNKNOWN,
            "other_address",
            f"The {where}, is a public address. Whether it is the PBX's, nothing here tells.",
            domain=FaultDomain.UNDETERMINED,
            settle_by="Name the PBX's public address with --expect-ip, or give --report of a run beside it; "
            "`vsipcheck all --pbx` measures it.",
        )
    known = " or ".join(sorted(public.addresses)) if pbx.seen_from_inside else there
    return told(
        Status.WARN,
        "other_address",
        f"The {where}, is a public address other than {known}, where "
        f"{'the provider reaches the PBX' if pbx.seen_from_inside else 'it was called'}: ACK and BYE go there.",
        remedy="See that the PBX can be reached at that address from the provider's, or let it name the one it is "
        "called at.",
    )
