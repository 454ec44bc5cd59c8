"""Our public address, and what the NATs on the way do: carrier-grade NAT, port masking, an address that changes.

What can be seen, what else would look just like it, and so what may be said. All of it is about IPv4, and about the
source address that the kernel uses towards the trunk: what other interfaces carry (containers, overlays, VPNs) never
counts.

- The trunk's own `received` is its view of us, unless something on the way rewrote it (sip_addresses tells). It is
  enough for the public address. Echo services and STUN servers are others' views: web traffic, UDP and SIP may leave
  by different lines, so that one of these methods alone names no address, however many operators agree in it.
- Different views: several uplinks, or a pool of addresses. Which one the trunk sees is known only from `received`.
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
- Mapped ports: RFC 4787 §4.1. Towards one destination nothing is told about others. Servers that see different
  addresses of ours are on different lines and cannot be compared. A port that differs once may have been taken; one
  that differs again, out of another socket, depends on the destination. TCP connections have a local port each: a
  change can be seen, a dependence on the destination cannot.
- An address that was the same yesterday is not static.
- The gateway's own word about its WAN address (NAT-PMP, UPnP) is direct: 100.64.0.0/10 there is a carrier's NAT in
  front of it, RFC 1918 another NAT of whoever, the public address none. Nothing (0.0.0.0), as many say behind a
  carrier's NAT, supports what else was seen and is no more. Only a probe that a router forwards can contradict it: some
  daemons tell what a STUN server told them. A second line has another WAN address: then it is asked where the trunk's
  one lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from vsipcheck.checks.base import Check, Facts, fact_ids
from vsipcheck.checks.nat.address_location import Location, Place, is_shared, join_words, locate, routers_towards
from vsipcheck.checks.nat.behaviour import BEHAVIOUR, MAPPING, judge_behaviour
from vsipcheck.checks.nat.gateway import GatewayAddress, gateway_address
from vsipcheck.checks.nat.lifetime import LIFETIME, judge_lifetime
from vsipcheck.checks.nat.measure import measure
from vsipcheck.checks.public_address import (
    SIP_RECEIVED,
    is_public_ipv4,
    sightings,
    trunk_address,
    trunk_sources,
)
from vsipcheck.checks.sip.addresses import SipAddress, addresses_from_sip
from vsipcheck.model import (
    AddressSeen,
    Confidence,
    Failure,
    Family,
    FaultDomain,
    Finding,
    Interface,
    Measure,
    PastRun,
    Profile,
    Route,
    Settings,
    Status,
)
from vsipcheck.wire.ip import AddressClass, classify

PUBLIC_ADDRESS = "nat.public_address"
CGNAT = "nat.cgnat"
PORT_MASKING = "nat.port_masking"
STATIC_ADDRESS = "nat.static_address"
FINDINGS = (PUBLIC_ADDRESS, CGNAT, PORT_MASKING, STATIC_ADDRESS, BEHAVIOUR, LIFETIME)

# Our own: fewer runs, or a shorter time, say nothing about tomorrow.
MIN_PAST_RUNS = 3
MIN_HISTORY = timedelta(hours=24)
# What overlays and VPNs call their interfaces; some of them use 100.64.0.0/10 for themselves.
_OVERLAYS = ("tailscale", "utun", "tun", "wg", "zt", "nebula")
_METHOD_NAMES = {"https_echo": "HTTPS", "stun": "STUN", SIP_RECEIVED: "the trunk (SIP received=)"}
_WAN_ADDRESS_SETTLES = (
    "Look up the WAN address on the status page of your own router: if it is {public}, the address is yours and "
    "nothing else translates."
)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A finding before the profile's section is added."""

    status: Status
    reason: str
    summary: str
    facts: tuple[str, ...] = ()
    domain: FaultDomain | None = None
    confidence: Confidence | None = None
    failure: Failure | None = None
    remedy: str | None = None
    settle_by: str | None = None
    measures: tuple[Measure, ...] = ()


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """The findings about NAT: the guide's four in its order, then the behaviour, and lifetimes where asked for."""
    if settings.family is Family.IPV6:
        nothing = _Verdict(Status.SKIP, "ipv4_not_asked", "Told about IPv4 only, and this run was to use IPv6.")
        return [_finding(id_, nothing, profile) for id_ in FINDINGS]
    view = _View(facts, settings)
    cgnat = _judge_cgnat(view)
    verdicts = {
        PUBLIC_ADDRESS: _judge_public_address(view, profile, cgnat),
        CGNAT: cgnat,
        PORT_MASKING: _judge_port_masking(view, cgnat),
        STATIC_ADDRESS: _judge_static_address(view),
    }
    findings = [_finding(id_, verdict, profile) for id_, verdict in verdicts.items()]
    domain, _ = _whose_nat(cgnat)
    return [
        *findings,
        judge_behaviour(facts, settings, domain),
        judge_lifetime(facts, profile, settings, domain),
    ]


def _finding(id_: str, verdict: _Verdict, profile: Profile) -> Finding:
    row = id_.partition(".")[2]
    domain = verdict.domain
    if domain is None and verdict.status in (Status.WARN, Status.FAIL, Status.UNKNOWN):
        domain = FaultDomain.UNDETERMINED
    return Finding(
        id=id_,
        target=None,
        status=verdict.status,
        reason=verdict.reason,
        summary=verdict.summary,
        failure=verdict.failure,
        fault_domain=domain,
        confidence=verdict.confidence,
        remedy=verdict.remedy,
        settle_by=verdict.settle_by,
        guide_section=next((check.section for check in profile.prechecks if check.row == row), None),
        measures=verdict.measures,
        facts=tuple(dict.fromkeys(verdict.facts)),
    )


class _View:
    """The facts as the four judges need them."""

    def __init__(self, facts: Facts, settings: Settings) -> None:
        self.facts = facts
        self.settings = settings
        self.sightings = sightings(facts)
        self.received = [one for one in self.sightings if one.method == SIP_RECEIVED]
        self.helpers = [one for one in self.sightings if one.method != SIP_RECEIVED]
        self.addresses = tuple(dict.fromkeys(one.address for one in self.sightings))
        self.methods = tuple(dict.fromkeys(one.method for one in self.sightings))
        self.sources = trunk_sources(facts)
        self.source = self.sources[0] if self.sources else None
        self.public_source = self.source if is_public_ipv4(self.source) else None
        self.trunk_address = trunk_address(facts)
        self.routes = [route for route in facts.of(Route) if route.source_address in self.sources]
        self.ended_early = facts.error_of("nat") in ("deadline", "interrupted")

    @property
    def helper_answers(self) -> list[AddressSeen]:
        """What echo services and STUN servers gave, failures included."""
        return [fact for fact in self.facts.of(AddressSeen, "nat") if fact.method in ("https_echo", "stun")]

    @property
    def sighting_ids(self) -> tuple[str, ...]:
        return tuple(one.fact_id for one in self.sightings)

    @property
    def source_ids(self) -> tuple[str, ...]:
        return fact_ids(self.routes)


# --- nat.public_address


def _judge_public_address(view: _View, profile: Profile, cgnat: _Verdict) -> _Verdict:
    expected = view.settings.expect_ip
    measures = (
        Measure(name="methods", value=len(view.methods), unit="count"),
        Measure(name="views", value=len(view.sightings), unit="count"),
        Measure(name="addresses", value=len(view.addresses), unit="count"),
    )
    ids = (*view.sighting_ids, *view.source_ids)
    trunk_sees = tuple(dict.fromkeys(one.address for one in view.received))
    known = trunk_sees or _without_the_trunks_word(view)
    wrong = [address for address in known if address != expected]

    # Where the trunk has not told, an address handed in may be the one of several that it will see.
    if expected is not None and wrong and (trunk_sees or len(wrong) == len(known)):
        told = join_words(wrong)
        who = "The trunk sees" if trunk_sees else "The outside sees"
        return _Verdict(
            Status.FAIL,
            "not_the_expected_address",
            f"{who} this host as {told}, but {expected} was handed in for whitelisting."
            + (f" {_told_by(view)}" if len(view.addresses) > 1 else ""),
            facts=ids,
            domain=FaultDomain.LOCAL_NETWORK,
            confidence=Confidence.PROVEN if trunk_sees else Confidence.LIKELY,
            remedy=f"Ask {profile.provider} to whitelist {told} instead of {expected}, or let the trunk leave by the "
            f"line that has {expected}.",
            measures=measures,
        )
    if len(view.addresses) > 1 or _contradicts_interface(view):
        shown = f"Whitelist {join_words(trunk_sees)}, the one that the trunk sees." if trunk_sees else None
        return _Verdict(
            Status.WARN,
            "methods_disagree",
            f"This host is seen under more than one public address. {_told_by(view)}",
            facts=ids,
            confidence=Confidence.LIKELY if len(view.sightings) > 2 else Confidence.POSSIBLE,
            remedy=shown
            or f"Have all of {join_words(_all_addresses(view))} whitelisted, or bind the trunk to one line.",
            settle_by="Find out whether this network has several uplinks, or the ISP gives addresses out of a pool; "
            "signalling and media have to leave from the address that was handed in.",
            measures=measures,
        )
    if known:
        return _address_known(view, profile, known[0], cgnat, ids, measures)
    if view.public_source is not None and not view.sightings:
        return _only_on_interface(view, profile, ids, measures)
    return _address_unknown(view, ids, measures)


def _without_the_trunks_word(view: _View) -> tuple[str, ...]:
    """The addresses of which one is ours for sure, where the trunk has not told: two methods, or the interface too."""
    if len(view.methods) > 1:
        return view.addresses
    if view.public_source is not None and view.addresses == (view.public_source,):
        return view.addresses
    return ()


def _contradicts_interface(view: _View) -> bool:
    """A public source address, and one single method that sees another: which one is right is open."""
    return (
        view.public_source is not None
        and len(view.methods) == 1
        and not view.received
        and view.addresses != (view.public_source,)
    )


def _all_addresses(view: _View) -> tuple[str, ...]:
    own = (view.public_source,) if view.public_source is not None else ()
    return tuple(dict.fromkeys((*view.addresses, *own)))


def _told_by(view: _View) -> str:
    """Which address is seen by whom: "198.51.100.7: HTTPS at Amazon and ipify; 203.0.113.9: STUN at Google."."""
    parts = []
    for address in view.addresses:
        ways = []
        for method in view.methods:
            who = sorted({one.who for one in view.sightings if (one.address, one.method) == (address, method)})
            if who:
                ways.append(f"{_METHOD_NAMES[method]}" + ("" if method == SIP_RECEIVED else f" at {join_words(who)}"))
        parts.append(f"{address}: {join_words(ways)}")
    if view.public_source is not None and view.public_source not in view.addresses:
        parts.append(f"{view.public_source}: this host's own interface")
    return "; ".join(parts) + "."


def _address_known(
    view: _View,
    profile: Profile,
    address: str,
    cgnat: _Verdict,
    ids: tuple[str, ...],
    measures: tuple[Measure, ...],
) -> _Verdict:
    ways = join_words([_METHOD_NAMES[method] for method in view.methods])
    ways = f"{ways} {'see' if len(view.methods) > 1 else 'sees'}"
    on_interface = view.public_source == address
    if on_interface:
        where = f"It is on this host's own interface, and {ways} the same."
    else:
        where = f"{ways[0].upper()}{ways[1:]} it"
        where += f"; this host's own address towards the trunk is {view.source}." if view.source else "."
    if view.settings.expect_ip is not None:
        use = "the one that was handed in for whitelisting"
    elif cgnat.status is Status.FAIL:
        use = "but it is not this line's own: before it is handed in, see carrier-grade NAT"
    else:
        use = f"the one to hand in to {profile.provider} for whitelisting"
    # Any server in the trunk's place can write what it likes into received=: another method has to agree.
    direct = on_interface or (bool(view.received) and len(view.methods) > 1)
    return _Verdict(
        Status.PASS,
        "public_on_interface" if on_interface else "received_by_trunk" if view.received else "methods_agree",
        f"The public address is {address}, {use}. {where}",
        facts=ids,
        confidence=Confidence.PROVEN if direct else Confidence.LIKELY,
        measures=measures,
    )


def _only_on_interface(view: _View, profile: Profile, ids: tuple[str, ...], measures: tuple[Measure, ...]) -> _Verdict:
    address, expected = view.public_source, view.settings.expect_ip
    if expected is not None and expected != address:
        return _Verdict(
            Status.FAIL,
            "not_the_expected_address",
            f"This host's own address towards the trunk is {address}, a public one, but {expected} was handed in for "
            "whitelisting. Nobody outside has told which one he sees.",
            facts=ids,
            domain=FaultDomain.LOCAL_NETWORK,
            confidence=Confidence.POSSIBLE,
            remedy=f"Ask {profile.provider} to whitelist {address} instead of {expected}, or let the trunk leave by "
            f"the line that has {expected}.",
            settle_by="Run it again when an echo service, a STUN server or the trunk answers.",
            measures=measures,
        )
    return _Verdict(
        Status.PASS,
        "public_on_interface",
        f"This host's own address towards the trunk, {address}, is a public one. Nobody outside has confirmed it.",
        facts=ids,
        confidence=Confidence.POSSIBLE,
        measures=measures,
    )


def _address_unknown(view: _View, ids: tuple[str, ...], measures: tuple[Measure, ...]) -> _Verdict:
    failed = [fact for fact in view.helper_answers if fact.failure is not None]
    untold = [told for told in addresses_from_sip(view.facts) if not told.trusted]
    expected = view.settings.expect_ip
    if view.sightings:
        method, address = view.methods[0], view.addresses[0]
        who = join_words(sorted({one.who for one in view.sightings}))
        summary = (
            f"Only {_METHOD_NAMES[method]} ({who}) tells an address, {address}: the trunk may leave by another line, "
            "so that one method alone settles nothing."
        )
        if expected is not None:
            said = "That is" if address == expected else "That is not"
            summary += f" {said} {expected}, which was handed in."
        reason = "one_method_only"
    elif not view.sources and not any(fact.failure is None for fact in view.helper_answers):
        summary, reason = (
            "This host has no IPv4 route towards the trunk, and nobody told its public address.",
            "no_route",
        )
    else:
        summary, reason = "Nobody told this host's public address.", "no_method_answered"
    if failed:
        summary += f" {len(failed)} of {len(failed) + len(view.helpers)} helpers gave none ({_failures(failed)})."
    if untold and view.received == []:
        summary += _why_untold(untold[0].why_not)
    if view.ended_early:
        summary += " The run ended before all had answered."
    return _Verdict(
        Status.UNKNOWN,
        reason,
        summary,
        facts=(*ids, *fact_ids(failed), *(told.fact_id for told in untold)),
        confidence=Confidence.POSSIBLE,
        settle_by="Let HTTPS and UDP to the helpers of the profile out and run it again; or read the WAN address on "
        "your router, if it is a public one.",
        measures=measures,
    )


def _why_untold(why_not: str | None) -> str:
    match why_not:
        case "alg":
            return " The trunk's answers carry this host's private address in received=: a SIP ALG rewrote them."
        case "private":
            return " The trunk's answers carry a private address in received=."
        case "altered":
            return " The Via of the trunk's answers was altered on the way, so that its received= counts for nothing."
        case _:
            return ""


def _failures(failed: Sequence[AddressSeen]) -> str:
    kinds: dict[str, list[str]] = {}
    for fact in failed:
        kinds.setdefault(str(fact.failure).replace("_", " "), []).append(fact.source)
    return "; ".join(f"{kind}: {', '.join(dict.fromkeys(sources))}" for kind, sources in kinds.items())


# --- nat.cgnat


def _judge_cgnat(view: _View) -> _Verdict:
    public, source = view.trunk_address, view.source
    ids = (*view.source_ids, *view.sighting_ids)
    if source is not None and classify(source) is AddressClass.SHARED and view.addresses:
        return _source_in_shared_space(view, source, public or view.addresses[0], ids)
    if view.public_source is not None and view.public_source == public:
        return _Verdict(
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


def _judge_translated(
    view: _View, public: str | None, gateway: GatewayAddress | None, ids: tuple[str, ...]
) -> _Verdict:
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
            return _Verdict(
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
            return _Verdict(
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
        return _Verdict(
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


def _lives_beyond(view: _View, address: str) -> bool:
    """Whether a router was seen to forward packets for `address`, so that the gateway does not hold it."""
    return locate(view.facts, address).place not in (Place.GATEWAY, Place.UNSETTLED)


def _wan_in_shared_space(
    view: _View, gateway: GatewayAddress, wan: str, public: str | None, ids: tuple[str, ...]
) -> _Verdict:
    outside = public or join_words(view.addresses)
    return _Verdict(
        Status.FAIL,
        "wan_in_shared_space",
        f"Your gateway's own WAN address is {wan}, as it says itself by {gateway.told_by}: that is in 100.64.0.0/10, "
        f"the space between a carrier-grade NAT and its customers (RFC 6598), while the outside sees {outside}.",
        facts=ids,
        domain=FaultDomain.ISP,
        confidence=Confidence.PROVEN,
        remedy=_ASK_FOR_PUBLIC,
    )


def _wan_is_private(
    view: _View, gateway: GatewayAddress, wan: str, public: str | None, ids: tuple[str, ...]
) -> _Verdict:
    outside = public or join_words(view.addresses)
    location = locate(view.facts, public) if public is not None else None
    if location is not None and location.place is Place.CARRIER:
        return _verdict_on_place(view, outside, location, ids)
    beyond = location.facts if location is not None else ()
    return _Verdict(
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


def _chain(view: _View, gateway: GatewayAddress | None, public: str | None) -> str:
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


def _source_in_shared_space(view: _View, source: str, public: str, ids: tuple[str, ...]) -> _Verdict:
    interfaces = [interface for interface in view.facts.of(Interface) if interface.address == source]
    overlay = next((i.name for i in interfaces if i.name.lower().startswith(_OVERLAYS)), None)
    summary = (
        f"This host's own address towards the trunk, {source}, is in 100.64.0.0/10, the space between a carrier-grade "
        f"NAT and its customers (RFC 6598); the outside sees {public}."
    )
    if overlay is not None:
        return _Verdict(
            Status.FAIL,
            "source_on_overlay",
            f"{summary} It is on {overlay}, which looks like an overlay or VPN: the trunk would leave through it.",
            facts=(*ids, *fact_ids(interfaces)),
            domain=FaultDomain.HOST,
            confidence=Confidence.LIKELY,
            remedy=f"Route the trunk's addresses past {overlay}, by this host's ordinary uplink.",
        )
    return _Verdict(
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


_ASK_FOR_PUBLIC = (
    "Ask your ISP for a static public IPv4 address without carrier-grade NAT on this line: calls from the trunk cannot "
    "come in through theirs, and whitelisting its address lets in its other customers."
)


def _unconfirmed_address(view: _View, ids: tuple[str, ...]) -> _Verdict:
    """A single helper's word, or words that contradict one another: enough only where the address itself answers."""
    located = [(address, locate(view.facts, address)) for address in view.addresses]
    if located and all(spot.reason == "at_gateway" for _, spot in located):
        return _verdict_on_place(view, located[0][0], located[0][1], ids)
    if not view.addresses:
        return _Verdict(
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
    return _Verdict(
        Status.UNKNOWN,
        reason,
        f"Which public address the trunk leaves from is not settled: {said}. So neither is where it lives.",
        facts=(*ids, *(id_ for _, spot in located for id_ in spot.facts)),
        confidence=Confidence.POSSIBLE,
        settle_by=_WAN_ADDRESS_SETTLES.format(public=" or ".join(view.addresses)),
    )


def _verdict_on_place(view: _View, public: str, location: Location, ids: tuple[str, ...]) -> _Verdict:
    facts = (*location.facts, *ids)
    distance = location.distance
    measures = (Measure(name="distance_hops", value=distance, unit="count"),) if distance is not None else ()
    settle_by = _WAN_ADDRESS_SETTLES.format(public=public)
    match location.place:
        case Place.GATEWAY:
            return _Verdict(
                Status.PASS,
                location.reason,
                location.sentence,
                facts=facts,
                confidence=location.confidence,
                measures=measures,
            )
        case Place.CARRIER:
            return _Verdict(
                Status.FAIL,
                location.reason,
                location.sentence,
                facts=facts,
                domain=FaultDomain.ISP,
                confidence=location.confidence,
                remedy=_ASK_FOR_PUBLIC,
                settle_by=settle_by,
                measures=measures,
            )
        case Place.CARRIER_NEXT | Place.BEYOND:
            carrier = location.place is Place.CARRIER_NEXT
            return _Verdict(
                Status.WARN,
                location.reason,
                location.sentence,
                facts=facts,
                domain=FaultDomain.ISP if carrier else FaultDomain.UNDETERMINED,
                confidence=location.confidence,
                remedy="Find out which router holds the public address. If it is yours, it has to forward the trunk's "
                f"ports; if it is your ISP's: {_ASK_FOR_PUBLIC[0].lower()}{_ASK_FOR_PUBLIC[1:]}",
                settle_by=settle_by,
                measures=measures,
            )
        case Place.UNSETTLED:
            return _Verdict(
                Status.UNKNOWN,
                location.reason,
                location.sentence,
                facts=facts,
                confidence=location.confidence,
                settle_by=settle_by,
            )


# --- nat.port_masking


@dataclass(frozen=True, slots=True)
class _UdpMapping:
    """What the STUN servers told about one local UDP port."""

    answers: tuple[AddressSeen, ...]

    @property
    def changed(self) -> list[AddressSeen]:
        return [fact for fact in self.answers if fact.port != fact.local_port]

    @property
    def destinations(self) -> int:
        return len({fact.server_address for fact in self.answers})

    @property
    def lines(self) -> list[_UdpMapping]:
        """The answers by the address that they see: servers on different lines can't be compared."""
        return [
            _UdpMapping(tuple(fact for fact in self.answers if fact.address == address))
            for address in dict.fromkeys(fact.address for fact in self.answers)
        ]

    @property
    def differs(self) -> bool:
        return any(len({fact.port for fact in line.answers}) > 1 and line.destinations > 1 for line in self.lines)

    @property
    def changed_steadily(self) -> bool:
        """Wherever two destinations of one line see one port, it is not ours. To be asked where no line `differs`."""
        lines = [line for line in self.lines if line.destinations > 1]
        return bool(lines) and all(line.changed for line in lines)

    @property
    def steady(self) -> bool:
        """Two destinations of one line see one port."""
        return any(len({fact.port for fact in line.answers}) == 1 and line.destinations > 1 for line in self.lines)


def _udp_rounds(view: _View) -> list[_UdpMapping]:
    rounds: dict[int, list[AddressSeen]] = {}
    for fact in view.facts.of(AddressSeen):
        # A server inside our own network sees no NAT, and says nothing about ports outside.
        usable = fact.method == "stun" and fact.failure is None and is_public_ipv4(fact.address)
        if usable and fact.port and fact.server_address and fact.local_port:
            rounds.setdefault(fact.local_port, []).append(fact)
    return [_UdpMapping(tuple(answers)) for answers in rounds.values()]


def _judge_port_masking(view: _View, cgnat: _Verdict) -> _Verdict:
    rounds = _udp_rounds(view)
    udp = rounds[0] if rounds else _UdpMapping(())
    tcp = [told for told in addresses_from_sip(view.facts) if told.trusted and told.port and told.local_port]
    tcp_changed = [told for told in tcp if told.port != told.local_port]
    tcp_destinations = len({told.remote_address for told in tcp})
    measures = (
        Measure(name="udp_destinations", value=udp.destinations, unit="count"),
        Measure(name="tcp_destinations", value=tcp_destinations, unit="count"),
        *_kept_measures("udp", _udp_ports(view)),
        *_kept_measures("tcp", [(told.local_port or 0, told.port or 0) for told in tcp]),
    )
    ids = (*(fact.id for one in rounds for fact in one.answers), *(told.fact_id for told in tcp))
    domain, confidence = _whose_nat(cgnat)
    remedy = (
        "Ask your ISP for a public address without carrier-grade NAT; no setting of your own router changes its ports."
        if domain is FaultDomain.ISP
        else "Let the router keep the source ports of the PBX (static port, 1:1 NAT, endpoint-independent mapping)."
    )

    def masked(status: Status, reason: str, summary: str, certainty: Confidence) -> _Verdict:
        return _Verdict(
            status,
            reason,
            summary,
            facts=ids,
            domain=domain,
            confidence=certainty,
            remedy=remedy,
            settle_by="Find the NAT that changes ports: yours, if its WAN address is the public one; else your ISP's."
            if domain is FaultDomain.UNDETERMINED
            else None,
            measures=measures,
        )

    if udp.differs:
        again = rounds[1] if len(rounds) > 1 else None
        if again is None or not again.steady or again.differs:
            repeated = again is not None and again.differs
            return masked(
                Status.FAIL,
                "differs_by_destination",
                f"The NAT gives UDP another port for each destination (RFC 4787 §4.1): {_ports(udp)}"
                + (", and again out of a second socket." if repeated else "."),
                confidence if repeated else Confidence.POSSIBLE,
            )
        return masked(
            Status.WARN,
            "differed_once",
            f"UDP ports differed by destination once ({_ports(udp)}), but not out of a second socket.",
            Confidence.POSSIBLE,
        )
    if udp.changed_steadily:
        return masked(
            Status.WARN,
            "changed_consistently",
            f"The NAT changes UDP ports, to the same one for every destination: {_ports(udp)}."
            + (f" TCP ports are changed too: {_tcp_ports(tcp_changed)}." if tcp_changed else ""),
            confidence,
        )
    if tcp_changed:
        return masked(
            Status.WARN,
            "tcp_changed",
            f"The NAT changes TCP ports: {_tcp_ports(tcp_changed)}."
            + (f" UDP ports are kept: {_ports(udp)}." if udp.destinations > 1 and not udp.changed else ""),
            confidence,
        )
    if udp.destinations > 1 and not udp.changed:
        kept = f"UDP port {udp.answers[0].local_port} keeps its number towards {udp.destinations} destinations"
        if tcp:
            kept += f", and so do TCP ports towards {_count(tcp_destinations, 'SIP address', 'SIP addresses')}"
        return _Verdict(
            Status.PASS,
            "ports_kept",
            f"{kept}." + ("" if tcp else " Of TCP nothing was told."),
            facts=ids,
            confidence=Confidence.PROVEN,
            measures=measures,
        )
    return _masking_unknown(view, udp, tcp_destinations, ids, measures)


def _udp_ports(view: _View) -> list[tuple[int, int]]:
    """(local, mapped) of every local UDP port that somebody outside saw, once each."""
    seen: dict[int, int] = {}
    for fact in view.facts.of(AddressSeen, "nat"):
        usable = fact.method in ("stun", MAPPING) and fact.failure is None and is_public_ipv4(fact.address)
        if usable and fact.local_port and fact.port:
            seen.setdefault(fact.local_port, fact.port)
    return list(seen.items())


def _kept_measures(protocol: str, ports: Sequence[tuple[int, int]]) -> tuple[Measure, ...]:
    """How many of the ports kept their number, and how many their parity (RFC 4787 §4.2.1, §4.2.2)."""
    kept = sum(local == mapped for local, mapped in ports) if ports else None
    parity = sum(local % 2 == mapped % 2 for local, mapped in ports) if ports else None
    return (
        Measure(name=f"{protocol}_ports_seen", value=len(ports), unit="count"),
        Measure(name=f"{protocol}_ports_kept", value=kept, unit="count"),
        Measure(name=f"{protocol}_parity_kept", value=parity, unit="count"),
    )


def _masking_unknown(
    view: _View, udp: _UdpMapping, tcp_destinations: int, ids: tuple[str, ...], measures: tuple[Measure, ...]
) -> _Verdict:
    failed = [fact for fact in view.facts.of(AddressSeen, "nat") if fact.method == "stun" and fact.failure is not None]
    if udp.destinations > 1:
        reason = "several_uplinks"
        summary = f"UDP leaves by several lines, and ports cannot be compared between them: {_ports(udp)}."
    elif udp.destinations == 1:
        reason = "one_destination"
        summary = f"Only one STUN destination answered ({_ports(udp)}): nothing is told about others."
    else:
        reason = "no_stun_answer"
        summary = "No STUN server answered, so that nothing is told about UDP ports."
    if failed:
        summary += f" Without an answer: {_failures(failed)}."
    if tcp_destinations:
        summary += f" TCP ports are kept towards {_count(tcp_destinations, 'SIP address', 'SIP addresses')}."
    return _Verdict(
        Status.UNKNOWN,
        reason,
        summary,
        facts=(*ids, *fact_ids(failed)),
        confidence=Confidence.POSSIBLE,
        settle_by="Let UDP to the STUN servers of the profile out and run it again, or name others in a profile.",
        measures=measures,
    )


def _whose_nat(cgnat: _Verdict) -> tuple[FaultDomain, Confidence]:
    """Whose NAT changes ports, as far as it is known where NATs are."""
    if cgnat.status is Status.FAIL and cgnat.domain is FaultDomain.ISP:
        # The customer's own router may do it as well, but would not be enough to mend.
        return FaultDomain.ISP, Confidence.LIKELY
    if cgnat.status is Status.PASS and cgnat.reason != "no_translation":
        return FaultDomain.LOCAL_NETWORK, Confidence.LIKELY
    return FaultDomain.UNDETERMINED, Confidence.LIKELY


def _ports(udp: _UdpMapping) -> str:
    local = udp.answers[0].local_port if udp.answers else None
    several = len({fact.address for fact in udp.answers}) > 1
    seen = [
        f"{f'{fact.address}:' if several else ''}{fact.port} at {fact.operator or fact.source}" for fact in udp.answers
    ]
    return f"local {local} is seen as {join_words(seen)}"


def _tcp_ports(tcp: Sequence[SipAddress]) -> str:
    shown = [f"{told.local_port} is seen as {told.port} at {told.remote_address}" for told in tcp[:3]]
    return join_words(shown)


# --- nat.static_address


def _judge_static_address(view: _View) -> _Verdict:
    past = sorted(
        (run for run in view.facts.of(PastRun) if is_public_ipv4(run.public_address)), key=lambda run: run.started_at
    )
    now = view.trunk_address
    expected = view.settings.expect_ip
    addresses = [str(run.public_address) for run in past] + ([now] if now is not None else [])
    changes = [(one, other) for one, other in pairwise(addresses) if one != other]
    ids = (*fact_ids(past), *view.sighting_ids)
    runs = sum(run.runs for run in past)
    measures = (
        Measure(name="past_runs", value=runs, unit="count"),
        Measure(name="changes", value=len(changes), unit="count"),
    )
    since = past[0].started_at if past else None
    ask = "Ask your ISP for a static address, and whether this line has one."
    if expected is not None and now is not None and now != expected and expected in addresses:
        return _Verdict(
            Status.FAIL,
            "changed_away_from_expected",
            f"The public address was {expected}, which was handed in for whitelisting, and is {now} now.",
            facts=ids,
            confidence=Confidence.LIKELY,
            remedy=ask,
            settle_by="Look whether the line lost its address, or traffic leaves by another line.",
            measures=measures,
        )
    if len(changes) > 1:
        return _Verdict(
            Status.FAIL,
            "changed_repeatedly",
            f"The public address changed {len(changes)} times since {since}: {' -> '.join(_runs_of(addresses)[-5:])}.",
            facts=ids,
            confidence=Confidence.PROVEN,
            remedy=ask,
            settle_by="Addresses that come back are several uplinks or a pool; ever new ones are a dynamic address.",
            measures=measures,
        )
    if changes:
        one, other = changes[0]
        return _Verdict(
            Status.WARN,
            "changed_once",
            f"The public address changed once since {since}, from {one} to {other}.",
            facts=ids,
            confidence=Confidence.PROVEN,
            remedy=ask,
            settle_by="If the line was changed on purpose, nothing is wrong; go on watching.",
            measures=measures,
        )
    if runs >= MIN_PAST_RUNS and _spans(past) >= MIN_HISTORY and now is not None:
        return _Verdict(
            Status.PASS,
            "unchanged",
            f"The public address, {now}, is unchanged since {since}, over {runs} earlier runs.",
            facts=ids,
            confidence=Confidence.LIKELY,
            measures=measures,
        )
    summary = f"Whether the address stays the same shows only over time: {_count(runs, 'earlier run', 'earlier runs')}"
    summary += f" since {since}, all with {addresses[0]}." if past else " to compare with."
    if past and now is None:
        summary += " This run could not tell the address."
    return _Verdict(
        Status.UNKNOWN,
        "too_little_history",
        summary,
        facts=ids,
        confidence=Confidence.POSSIBLE,
        settle_by=f"Run it at least {MIN_PAST_RUNS} times over 24 hours or more, or ask your ISP whether the address "
        "is a static one.",
        measures=measures,
    )


def _spans(past: Sequence[PastRun]) -> timedelta:
    moments = []
    for run in past:
        try:
            moment = datetime.fromisoformat(run.started_at)
        except ValueError:
            continue
        if moment.tzinfo is not None:
            moments.append(moment)
    return max(moments) - min(moments) if moments else timedelta(0)


def _runs_of(addresses: Sequence[str]) -> list[str]:
    """The addresses with neighbours that are equal told once."""
    return [address for i, address in enumerate(addresses) if i == 0 or addresses[i - 1] != address]


# --- words


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}" if number else f"no {several}"


CHECK = Check(
    name="nat",
    title="public address and NAT",
    finding_ids=FINDINGS,
    needs=("sip",),
    measure=measure,
    judge=judge,
)
