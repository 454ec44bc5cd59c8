"""Who translates between this host and the outside: nobody, the customer's own router, or a carrier-grade NAT.

What can be seen, what else would look just like it, and so what may be said:

- A public address on the interface: nothing translates if somebody outside sees the same one. Companies do use others'
  public addresses inside, so that without a view from outside it is only `possible`.
- A router that answers time-exceeded to a packet for our public address would forward it, so the address is not its
  own. It may still be the one that translates, with an address of a pool that is routed to it: then the packet comes
  back and the routers repeat. Or it translates one to one to this very host and sends the probe back to it, which is
  why one probe goes to our own port. Private routers in front of the address may be the customer's inner firewall or a
  NAT of the ISP's in RFC 1918 space: that is a warning whose cause only a look at the router's WAN address settles.
- Packets to our public address that expire in 100.64.0.0/10 (RFC 6598) have passed into a carrier's network. An ISP may
  number its routers so without any CG-NAT, but then our own address is nearer than them.
- The address answers at hop 1: it lives at the gateway. A NAT of the ISP's that is the first hop itself looks the same;
  it is one NAT either way.
- Silence at hop 1: the gateway takes our own address in and drops it, or it tells nobody of anything. A control with
  the same port and TTL, right behind, to another address tells these apart; silence without it is no data.
- The gateway's own word about its WAN address (NAT-PMP, UPnP) is direct: 100.64.0.0/10 there is a carrier's NAT in
  front of it, RFC 1918 another NAT of whoever, the public address none. Nothing (0.0.0.0), as many say behind a
  carrier's NAT, supports what else was seen and is no more. Only a probe that a router forwards can contradict it: some
  daemons tell what a STUN server told them. A second line has another WAN address: then it is asked where the trunk's
  one lives.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from vsipcheck.checks.base import fact_ids
from vsipcheck.checks.nat.address_location import Location, Place, is_shared, locate, routers_towards
from vsipcheck.checks.nat.gateway import GatewayAddress, gateway_address
from vsipcheck.checks.nat.verdict import Verdict
from vsipcheck.checks.nat.view import View
from vsipcheck.checks.nat.words import join_words
from vsipcheck.model import Confidence, FaultDomain, Interface, Measure, Status
from vsipcheck.wire.ip import AddressClass, classify

CGNAT = "nat.cgnat"
# What overlays and VPNs call their interfaces; some of them use 100.64.0.0/10 for themselves.
_OVERLAYS = ("tailscale", "utun", "tun", "wg", "zt", "nebula")
_WAN_ADDRESS_SETTLES = (
    "Look up the WAN address on the status page of your own router: if it is {public}, the address is yours and "
    "nothing else translates."
)
_ASK_FOR_PUBLIC = (
    "Ask your ISP for a static public IPv4 address without carrier-grade NAT on this line: calls from the trunk cannot "
    "come in through theirs, and whitelisting its address lets in its other customers."
)


def judge_cgnat(view: View) -> Verdict:
    """Who translates, and each step from this host to the address that the outside sees."""
    public, source = view.trunk_address, view.source
    ids = (*view.source_ids, *view.sighting_ids)
    if source is not None and classify(source) is AddressClass.SHARED and view.addresses:
        return _source_in_shared_space(view, source, public or view.addresses[0], ids)
    if view.public_source is not None and view.public_source == public:
        return Verdict(
            Status.PASS,
            "no_translation",
            f"Nothing translates: {public} is this host's own address towards the trunk"
            + (", and the outside sees the same." if view.addresses else ". Nobody outside has confirmed it."),
            facts=ids,
            confidence=Confidence.PROVEN if view.addresses else Confidence.POSSIBLE,
        )
    gateway = gateway_address(view.facts)
    verdict = _judge_translated(view, public, gateway, ids)
    told = (*gateway.facts, *verdict.facts) if gateway is not None else verdict.facts
    return replace(verdict, summary=f"{verdict.summary}{_chain(view, gateway, public)}", facts=told)


def _judge_translated(view: View, public: str | None, gateway: GatewayAddress | None, ids: tuple[str, ...]) -> Verdict:
    """Something translates: whose it is, by what the gateway says of itself and where the public address lives."""
    wan = gateway.address if gateway is not None else None
    space = classify(wan) if wan is not None else None
    if gateway is not None and wan is not None and view.addresses:
        if space is AddressClass.SHARED:
            return _wan_in_shared_space(view, gateway, wan, public, ids)
        if space is AddressClass.PRIVATE:
            return _wan_is_private(view, gateway, wan, public, ids)
    if public is None:
        agrees = gateway is not None and wan is not None and view.addresses == (wan,)
        if gateway is not None and wan is not None and agrees and not _lives_beyond(view, wan):
            return Verdict(
                Status.PASS,
                "wan_is_public_address",
                f"{wan} is your gateway's own WAN address, as it says itself by {gateway.told_by} and one helper "
                "outside confirms: no carrier-grade NAT.",
                facts=ids,
                confidence=Confidence.LIKELY,
            )
        return _unconfirmed_address(view, ids)
    location = locate(view.facts, public)
    verdict = _verdict_on_place(view, public, location, ids)
    if gateway is None or gateway.contradicts:
        return verdict
    if wan == public:
        said = f"{public} is your gateway's own WAN address, as it says itself by {gateway.told_by}"
        if location.place is Place.UNSETTLED:
            return Verdict(
                Status.PASS,
                "wan_is_public_address",
                f"{said}: no carrier-grade NAT.",
                facts=(*location.facts, *ids),
                confidence=Confidence.PROVEN,
            )
        if location.place is Place.GATEWAY:
            return replace(verdict, confidence=Confidence.PROVEN)
        # A router that would forward the packet does not hold the address, whatever its daemon has heard.
        return replace(
            verdict,
            summary=f"{verdict.summary} Your gateway says by {gateway.told_by} that the address is its own, which "
            "routers behind it contradict: it may have that from a STUN server.",
        )
    if gateway.unnamed:
        if location.place in (Place.BEYOND, Place.CARRIER_NEXT) and verdict.confidence is Confidence.POSSIBLE:
            # Two that are independent: the probes, and a router that has no address to tell.
            return replace(verdict, confidence=Confidence.LIKELY)
        return verdict
    if wan is not None and location.place is Place.UNSETTLED and space is AddressClass.GLOBAL:
        return Verdict(
            Status.WARN,
            "wan_differs",
            f"Your gateway's WAN address is {wan}, as it says itself by {gateway.told_by}, but the trunk is reached "
            f"under {public}: a second line of that router, a pool of addresses, or another NAT behind it.",
            facts=(*location.facts, *ids),
            confidence=Confidence.POSSIBLE,
            remedy="Let the trunk leave by the line whose address was handed in; if that router has one line only: "
            f"{_ASK_FOR_PUBLIC[0].lower()}{_ASK_FOR_PUBLIC[1:]}",
            settle_by=f"Look up all WAN addresses on the status page of {gateway.gateway}: if {public} is one, nothing "
            "else translates.",
        )
    return verdict


def _lives_beyond(view: View, address: str) -> bool:
    """Whether a router was seen to forward packets for `address`, so that the gateway does not hold it."""
    return locate(view.facts, address).place not in (Place.GATEWAY, Place.UNSETTLED)


def _wan_in_shared_space(
    view: View, gateway: GatewayAddress, wan: str, public: str | None, ids: tuple[str, ...]
) -> Verdict:
    outside = public or join_words(view.addresses)
    return Verdict(
        Status.FAIL,
        "wan_in_shared_space",
        f"Your gateway's own WAN address is {wan}, as it says itself by {gateway.told_by}: that is in 100.64.0.0/10, "
        f"the space between a carrier-grade NAT and its customers (RFC 6598), while the outside sees {outside}.",
        facts=ids,
        domain=FaultDomain.ISP,
        confidence=Confidence.PROVEN,
        remedy=_ASK_FOR_PUBLIC,
    )


def _wan_is_private(view: View, gateway: GatewayAddress, wan: str, public: str | None, ids: tuple[str, ...]) -> Verdict:
    outside = public or join_words(view.addresses)
    location = locate(view.facts, public) if public is not None else None
    if location is not None and location.place is Place.CARRIER:
        return _verdict_on_place(view, outside, location, ids)
    beyond = location.facts if location is not None else ()
    return Verdict(
        Status.WARN,
        "wan_is_private",
        f"Two NATs stand one behind the other: your gateway's own WAN address is {wan} (RFC 1918), as it says itself "
        f"by {gateway.told_by}, while the outside sees {outside}.",
        facts=(*beyond, *ids),
        confidence=Confidence.PROVEN,
        remedy=f"If the outer router is yours, put one of the two into bridge mode, or let the outer one forward the "
        f"trunk's ports to {wan}; if it is your ISP's: {_ASK_FOR_PUBLIC[0].lower()}{_ASK_FOR_PUBLIC[1:]}",
        settle_by=f"Find the router that {gateway.gateway} is connected to: in your rooms it is a second one of your "
        "own, otherwise your ISP translates in RFC 1918 space.",
    )


def _chain(view: View, gateway: GatewayAddress | None, public: str | None) -> str:
    """Each step from this host to the address that the outside sees, as far as it is known."""
    outside = public or (view.addresses[0] if len(view.addresses) == 1 else None)
    if view.source is None or outside is None:
        return ""
    gateways = {route.gateway for route in view.routes if route.gateway}
    steps = [f"{view.source} (this host)"]
    if gateway is not None:
        wan = f"WAN {gateway.address} by {gateway.told_by}" if gateway.address else "names no WAN address"
        if gateway.contradicts:
            wan = f"contradicts itself by {gateway.told_by}"
        steps.append(f"{gateway.gateway} (gateway, {wan})")
    elif len(gateways) == 1:
        steps += [f"{address} (gateway)" for address in gateways]
    # The gateway answers as hop 1, unless it is one that shows no hop of its own (clouds).
    steps += [
        f"{address} (hop {ttl})"
        for ttl, address in routers_towards(view.facts, outside)
        if ttl > 1 or (is_shared(address) and address not in gateways)
    ]
    return f" Chain: {' -> '.join(steps)} -> {outside} (seen outside)."


def _source_in_shared_space(view: View, source: str, public: str, ids: tuple[str, ...]) -> Verdict:
    interfaces = [interface for interface in view.facts.of(Interface) if interface.address == source]
    overlay = next((i.name for i in interfaces if i.name.lower().startswith(_OVERLAYS)), None)
    summary = (
        f"This host's own address towards the trunk, {source}, is in 100.64.0.0/10, the space between a carrier-grade "
        f"NAT and its customers (RFC 6598); the outside sees {public}."
    )
    if overlay is not None:
        return Verdict(
            Status.FAIL,
            "source_on_overlay",
            f"{summary} It is on {overlay}, which looks like an overlay or VPN: the trunk would leave through it.",
            facts=(*ids, *fact_ids(interfaces)),
            domain=FaultDomain.HOST,
            confidence=Confidence.LIKELY,
            remedy=f"Route the trunk's addresses past {overlay}, by this host's ordinary uplink.",
        )
    return Verdict(
        Status.FAIL,
        "source_in_shared_space",
        summary,
        facts=(*ids, *fact_ids(interfaces)),
        domain=FaultDomain.ISP,
        confidence=Confidence.PROVEN,
        remedy=_ASK_FOR_PUBLIC,
        settle_by="If 100.64.0.0/10 is your own doing (a cluster, a cloud network, a VPN), look for the public address "
        "on the router where it ends.",
    )


def _unconfirmed_address(view: View, ids: tuple[str, ...]) -> Verdict:
    """A single helper's word, or words that contradict one another: enough only where the address itself answers."""
    located = [(address, locate(view.facts, address)) for address in view.addresses]
    if located and all(spot.reason == "at_gateway" for _, spot in located):
        return _verdict_on_place(view, located[0][0], located[0][1], ids)
    if not view.addresses:
        return Verdict(
            Status.UNKNOWN,
            "public_address_unknown",
            "Where the public address lives cannot be told while nobody tells which one it is.",
            facts=ids,
            confidence=Confidence.POSSIBLE,
            settle_by="Compare the WAN address on the status page of your router with the address that a web page "
            "like those of the profile's echo services shows.",
        )
    reason = "methods_disagree" if len(view.addresses) > 1 else "address_not_confirmed"
    said = (
        f"the views differ ({join_words(view.addresses)})"
        if len(view.addresses) > 1
        else f"one helper says {view.addresses[0]}"
    )
    return Verdict(
        Status.UNKNOWN,
        reason,
        f"Which public address the trunk leaves from is not settled: {said}. So neither is where it lives.",
        facts=(*ids, *(id_ for _, spot in located for id_ in spot.facts)),
        confidence=Confidence.POSSIBLE,
        settle_by=_WAN_ADDRESS_SETTLES.format(public=" or ".join(view.addresses)),
    )


def _verdict_on_place(view: View, public: str, location: Location, ids: tuple[str, ...]) -> Verdict:
    distance = location.distance
    told = partial(
        Verdict,
        reason=location.reason,
        summary=location.sentence,
        facts=(*location.facts, *ids),
        confidence=location.confidence,
        measures=(Measure(name="distance_hops", value=distance, unit="count"),) if distance is not None else (),
    )
    settle_by = _WAN_ADDRESS_SETTLES.format(public=public)
    match location.place:
        case Place.GATEWAY:
            return told(Status.PASS)
        case Place.CARRIER:
            return told(Status.FAIL, domain=FaultDomain.ISP, remedy=_ASK_FOR_PUBLIC, settle_by=settle_by)
        case Place.CARRIER_NEXT | Place.BEYOND:
            carrier = location.place is Place.CARRIER_NEXT
            return told(
                Status.WARN,
                domain=FaultDomain.ISP if carrier else FaultDomain.UNDETERMINED,
                remedy="Find out which router holds the public address. If it is yours, it has to forward the trunk's "
                f"ports; if it is your ISP's: {_ASK_FOR_PUBLIC[0].lower()}{_ASK_FOR_PUBLIC[1:]}",
                settle_by=settle_by,
            )
        case Place.UNSETTLED:
            return told(Status.UNKNOWN, settle_by=settle_by)


def whose_nat(cgnat: Verdict) -> tuple[FaultDomain, Confidence]:
    """Whose NAT changes ports, as far as it is known where NATs are."""
    if cgnat.status is Status.FAIL and cgnat.domain is FaultDomain.ISP:
        # The customer's own router may do it as well, but would not be enough to mend.
        return FaultDomain.ISP, Confidence.LIKELY
    if cgnat.status is Status.PASS and cgnat.reason != "no_translation":
        return FaultDomain.LOCAL_NETWORK, Confidence.LIKELY
    return FaultDomain.UNDETERMINED, Confidence.LIKELY
