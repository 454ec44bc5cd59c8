"""Who has to act, read from TTL-limited probes against controls towards the same address. Pure; `path.trace` measures.

- Silence: the block stands between the last hop that SYNs were seen at and the first where they were missed beside an
  answered control. Whether they left this host at all, its kernel's counters tell.
- RST or SYN-ACK: whoever answers a SYN whose TTL cannot reach the target is nearer than it. That is direct proof, while
  the time that an answer took only supports.
- ICMP: its sender is who blocks, or who knows why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from vsipcheck.checks.base import Facts, fact_ids
from vsipcheck.checks.zones import (
    Place,
    describe_zone,
    first_hop_outside,
    name_hop,
    place_between,
    same_network,
    zone_of,
)
from vsipcheck.model import (
    AddressSeen,
    Confidence,
    Connection,
    Failure,
    FaultDomain,
    Hop,
    Icmp,
    Interface,
    Note,
    Route,
)
from vsipcheck.wire.ip import AddressClass, classify

# SYNs that were missed beside an answered control: so many in all say that there is a block, and so many of them at one
# hop that it stands before that one.
MIN_CONTRASTS = 3
MIN_AT_ONE_HOP = 2
TIME_EXCEEDED = 11
KERNEL_COUNTERS = "kernel_counters"  # topic of a Note: what this host's TCP counted while the SIP check ran
# A SYN is sent again after one second, then after twice as long each time (RFC 6298 §2.1, §5.5).
SYN_AGAIN_MS = (1000.0, 3000.0, 7000.0, 15000.0, 31000.0)
# Paths of one flow and another may differ by so many hops (load balancing): no proof that somebody is nearer.
UNEQUAL_HOPS = 2
# Two neighbouring hops are told apart by time when their round trips differ by more than timers and queues do.
TELLING_MS = 3.0


class Blame(msgspec.Struct, frozen=True):
    """Whose place a block is, how sure that is, and the sentence that says so."""

    domain: FaultDomain
    confidence: Confidence
    sentence: str  # "SYNs to 5070 reach 203.0.113.9 (hop 4) and are never answered, while ..."
    settle_by: str | None
    facts: tuple[str, ...]
    leaves_network: bool = False  # the probes were seen behind the customer's edge


def own_addresses(facts: Facts) -> tuple[str, ...]:
    """The addresses of this host that the trunk's path uses."""
    sources = {route.source_address for route in facts.of(Route) if route.source_address}
    sources |= {c.local_address for c in facts.of(Connection) if c.local_address and not _is_to_pbx(c)}
    return tuple(sorted(sources))


def _is_to_pbx(connection: Connection) -> bool:
    """Whether a connection is to the customer's own PBX, which may be anywhere, by another interface too."""
    return connection.purpose.startswith("pbx")


def known_hops(facts: Facts, target: str) -> dict[int, str]:
    """TTL -> router on the way to `target`. Hops that it did not show itself may come from paths to other targets: up
    to the last router that both paths share, and up to the first one outside the customer's network."""
    paths: dict[str, dict[int, str]] = {target: {}}
    for hop in facts.of(Hop):
        if hop.address and is_expired(hop) and (hop.series != "udp_public" or hop.target == target):
            paths.setdefault(hop.target, {}).setdefault(hop.ttl, hop.address)
    own = own_addresses(facts)
    first: dict[int, str] = {}
    for path in paths.values():
        for ttl, address in path.items():
            first.setdefault(ttl, address)
    outside = first_hop_outside(first, own, edge=edge_of(facts))
    hops = dict(paths[target])
    for path in paths.values():
        shared = max((ttl for ttl, address in path.items() if paths[target].get(ttl) == address), default=0)
        for ttl, address in path.items():
            if ttl <= shared:
                hops.setdefault(ttl, address)
    for ttl, address in first.items():
        if outside is None or ttl <= outside:
            hops.setdefault(ttl, address)
    return hops


def reach_of(hops: Iterable[Hop]) -> int:
    """The farthest TTL at which a router answered time-exceeded, 0 for none."""
    return max((hop.ttl for hop in hops if is_expired(hop)), default=0)


def edge_of(facts: Facts) -> int | None:
    """The hop at which the customer's public address is known to live: 1, the gateway; None where it is not known.

    Only the first hop counts: a public address behind another private router may be a carrier's NAT's.
    """
    for hop in facts.of(Hop):
        if hop.series != "udp_public" or not hop.reached:
            continue
        returned = hop.icmp is None and hop.ttl == 2  # a probe that passed one router came back to us from it
        if hop.ttl == 1 or returned:
            return 1
    seen = [fact for fact in facts.of(AddressSeen) if fact.address and fact.failure is None]
    outside = {fact.address for fact in seen if fact.method in ("https_echo", "stun")}
    gateways = {route.gateway for route in facts.of(Route) if route.gateway}
    for fact in seen:
        if fact.method in ("nat_pmp", "upnp", "pcp") and fact.address in outside and fact.server_address in gateways:
            return 1
    return None


def nearest_suspect(hops: Mapping[int, str], outside: int | None) -> int | None:
    """The TTL of a SYN that cannot reach the target, so that whoever answers it is nearer; None if no hop tells.

    A load balancer may lead a SYN by a shorter way than UDP, but not past the customer's edge.
    """
    farthest = max(hops, default=0)
    ttl = max(farthest - UNEQUAL_HOPS, outside or 0)
    return ttl if 1 <= ttl <= farthest else None


def left_host(facts: Facts, target: str, port: int) -> bool | None:
    """Whether SYNs to `port` of `target` left this host, by what its kernel counted; None when that does not tell.

    A SYN that this host's own firewall drops is sent again in vain, and each time the kernel counts a retransmission
    that failed; one that was lost outside is counted as sent.
    """
    lost = [c for c in facts.of(Connection) if c.failure in (Failure.CONNECT_TIMEOUT, Failure.KERNEL_TIMEOUT)]
    mine = [c for c in lost if (c.address, c.port, c.ttl) == (target, port, None) and not _is_to_pbx(c)]
    again = _sent_again(mine)
    notes = [note.values for note in facts.of(Note) if note.topic == KERNEL_COUNTERS]
    repeated = sum(values.get("TCPSynRetrans", 0) for values in notes)
    failed = sum(values.get("TCPRetransFail", 0) for values in notes)
    if again < 2 or repeated < again:
        return None
    # A PBX's SYNs that were lost meanwhile may be among those that failed.
    if failed >= again + _sent_again(c for c in lost if _is_to_pbx(c)):
        return False
    return True if failed == 0 else None


def _sent_again(attempts: Iterable[Connection]) -> int:
    """How many SYNs were retransmissions, by how long each attempt waited."""
    return sum(at_ms <= (attempt.waited_ms or 0.0) for attempt in attempts for at_ms in SYN_AGAIN_MS)


class Nearest(msgspec.Struct, frozen=True):
    """Who answers SYNs to a port: the nearest TTL that draws a SYN-ACK or a RST, and whether that can be the target."""

    ttl: int
    forged: bool  # by something nearer than the target
    place: Place | None  # of what answers, where it is not the target
    hidden: bool  # routers may stand in between that no probe has shown
    facts: tuple[str, ...]


def nearest_answer(facts: Facts, target: str, port: int) -> Nearest | None:
    """From where SYNs to `port` of `target` are answered, by TTL-limited ones; None when none of these was answered."""
    own, edge, hops = own_addresses(facts), edge_of(facts), known_hops(facts, target)
    of_target = [hop for hop in facts.of(Hop) if hop.target == target and hop.series != "udp_public"]
    mine = [hop for hop in of_target if hop.series == f"tcp_{port}"]
    nearest = min((hop.ttl for hop in mine if hop.reached), default=None)
    if nearest is None:
        return None
    ids = fact_ids(of_target)
    routers = [ttl for ttl, address in hops.items() if address != target and _forwards(of_target, ttl)]
    farthest = max(routers, default=0)
    suspect = nearest_suspect(hops, first_hop_outside(hops, own, edge=edge))
    if nearest > farthest or suspect is None or nearest > suspect:
        return Nearest(nearest, False, None, nearest > farthest + 1, ids)
    # A RST or SYN-ACK is not rationed: SYNs that drew none, twice, did not get there.
    passed = max((hop.ttl for hop in mine if hop.ttl < nearest and (is_expired(hop) or hop.sent > 1)), default=0)
    place = place_between(passed, nearest, hops, target, own, left_host=False, edge=edge)
    if place.domain is FaultDomain.UNDETERMINED and passed == nearest - 1 and passed:
        place = _by_time(facts, mine, target, port, passed, hops, own, edge) or place
    return Nearest(nearest, True, place, False, ids)


def _forwards(hops: Iterable[Hop], ttl: int) -> bool:
    """A router at `ttl` answered time-exceeded for this very target."""
    return any(hop.ttl == ttl and is_expired(hop) for hop in hops)


def is_expired(hop: Hop) -> bool:
    """A router answered time-exceeded."""
    return hop.answered > 0 and hop.icmp is not None and hop.icmp.type == TIME_EXCEEDED


def _by_time(
    facts: Facts,
    mine: Iterable[Hop],
    target: str,
    port: int,
    near: int,
    hops: Mapping[int, str],
    own: tuple[str, ...],
    edge: int | None,
) -> Place | None:
    """The nearer of two neighbouring hops, where an answer comes too soon for the other; None where time can't tell."""

    def best(ttl: int) -> float | None:
        same = [h for h in facts.of(Hop) if h.ttl == ttl and h.address == hops.get(ttl) and h.rtt_ms is not None]
        return min((h.rtt_ms for h in same if h.rtt_ms is not None and is_expired(h)), default=None)

    near_ms, far_ms = best(near), best(near + 1)
    took = [hop.rtt_ms for hop in mine if hop.reached and hop.rtt_ms is not None]
    took += [c.rtt_ms for c in facts.of(Connection) if c.address == target and c.port == port and c.rtt_ms is not None]
    if near_ms is None or far_ms is None or not took or far_ms - near_ms < TELLING_MS:
        return None
    if min(took) >= (near_ms + far_ms) / 2:
        return None
    zone = zone_of(near, hops, target, own, edge=edge)
    if zone is FaultDomain.UNDETERMINED:
        return None
    where = f"at {name_hop(near, hops)}: it came after {min(took):.1f} ms, too soon for {name_hop(near + 1, hops)}"
    return Place(zone, Confidence.LIKELY, f"{where}, which takes {far_ms:.1f} ms", None)


def blame_refusal(facts: Facts, target: str, port: int) -> Blame | None:
    """Who sent the RST to SYNs to `port` of `target`; None when no TTL-limited SYN shows it."""
    own, edge, hops = own_addresses(facts), edge_of(facts), known_hops(facts, target)
    nearest = nearest_answer(facts, target, port)
    if nearest is None:
        return None
    outside = first_hop_outside(hops, own, edge=edge)
    if nearest.forged and nearest.place is not None:
        place = nearest.place
        if nearest.ttl == 1:
            return Blame(
                FaultDomain.UNDETERMINED,
                Confidence.LIKELY,
                f"a SYN to {port} that can get no farther than {name_hop(1, hops)} draws the RST: it is forged by this "
                "host's own firewall or by the first router",
                "look at this host's own firewall (nft list ruleset) and at the first router's",
                nearest.facts,
            )
        return Blame(
            place.domain,
            place.confidence,
            f"the RST is forged {place.where}: a SYN to {port} that can get no farther than hop {nearest.ttl} draws "
            f"it, and the target is behind {name_hop(max(hops), hops)}",
            place.settle_by,
            nearest.facts,
            leaves_network=outside is not None and nearest.ttl > outside,
        )
    before = max((ttl for ttl in hops if ttl < nearest.ttl), default=0)
    if not before:
        return None
    far = zone_of(before, hops, target, own, edge=edge)
    if outside is None or before < outside:
        return Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            f"the RST comes from hop {nearest.ttl}, and the last router seen before it, {name_hop(before, hops)}, may "
            "still be your own",
            "compare a capture on the WAN side: a RST that is not in it is your own firewall's",
            nearest.facts,
        )
    same = [c for c in facts.of(Connection) if c.address == target and c.port != port and c.failure is None]
    certain = far is FaultDomain.PROVIDER or not nearest.hidden or bool(same)
    return Blame(
        FaultDomain.PROVIDER,
        Confidence.LIKELY if certain else Confidence.POSSIBLE,
        f"the RST comes from hop {nearest.ttl}, as far as the target, behind {name_hop(before, hops)}: nothing nearer "
        "sends it",
        None if certain else "compare a capture at the far end",
        nearest.facts,
        leaves_network=True,
    )


def blame_silence(facts: Facts, target: str, port: int) -> Blame:
    """Who has to act when SYNs to `port` of `target` are never answered. Needs the facts of `trace_tcp`."""
    own = own_addresses(facts)
    hops = known_hops(facts, target)
    mine = [hop for hop in facts.of(Hop) if hop.target == target and hop.series == f"tcp_{port}"]
    other = [hop for hop in facts.of(Hop) if hop.target == target and hop.series not in (f"tcp_{port}", "udp_public")]
    controls = [c for c in facts.of(Connection) if c.address == target and c.port != port and c.ttl is None]
    connected = [c for c in controls if c.failure is None]
    answered = connected or [c for c in controls if c.failure is Failure.REFUSED]
    reach = reach_of(mine)
    control_reach = reach_of(other)
    ids = fact_ids([*mine, *other, *controls])
    edge, sent = edge_of(facts), left_host(facts, target, port)
    if sent is False and reach == 0:
        contrasted = sum(hop.contrasts for hop in mine) >= MIN_CONTRASTS
        seen = "" if not contrasted else f", while UDP to the same address gets to {name_hop(control_reach, hops)}"
        notes = [note for note in facts.of(Note) if note.topic == KERNEL_COUNTERS]
        return Blame(
            FaultDomain.HOST,
            Confidence.PROVEN if contrasted else Confidence.LIKELY,
            f"SYNs to {port} never leave this host: its kernel counted a failure each time that it sent one "
            f"again{seen}",
            None if contrasted else "look at the OUTPUT chain of this host's firewall: nft list ruleset",
            (*ids, *fact_ids(notes)),
        )
    if not mine or (reach == 0 and control_reach == 0):
        if connected:
            return Blame(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                f"TCP {connected[0].port} to the same address is answered, so the address is reachable; no router on "
                f"the way shows how far SYNs to {port} get",
                f"capture on the WAN side of your router: are SYNs to {port} seen leaving?",
                ids,
            )
        return Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            f"no router on the way shows how far SYNs to {port} get",
            f"capture on the WAN side of your router: are SYNs to {port} seen leaving?",
            ids,
        )
    outside = first_hop_outside(hops, own, edge=edge)
    missed = {hop.ttl: hop.contrasts for hop in mine if hop.ttl > reach and hop.contrasts}
    stopped = min((ttl for ttl, count in missed.items() if count >= MIN_AT_ONE_HOP), default=None)
    if sum(missed.values()) < MIN_CONTRASTS:
        stopped = None
    if stopped is not None and reach < control_reach:
        # Hops between the two were not heard about these SYNs, so that they say nothing.
        place = place_between(reach, stopped, hops, target, own, left_host=sent is True, edge=edge)
        return Blame(
            place.domain,
            place.confidence,
            f"SYNs to {port} stop {place.where}, while other probes to the same address, sent at the same moment, get "
            f"to {name_hop(control_reach, hops)}",
            place.settle_by,
            ids,
            leaves_network=outside is not None and reach >= outside,
        )
    if outside is None or reach < outside:
        return Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            f"SYNs to {port} get to {name_hop(reach, hops)}, which may still be your own network; nothing was seen "
            "beyond"
            if reach
            else f"no router on the way shows how far SYNs to {port} get",
            f"capture on the WAN side of your router: are SYNs to {port} seen leaving?",
            ids,
        )
    last = f"SYNs to {port} leave your network (seen as far as {name_hop(reach, hops)}) and are never answered"
    if answered and reach >= control_reach:
        how = "is answered" if connected else "is refused by a RST, so something is there"
        return Blame(
            FaultDomain.PROVIDER,
            Confidence.LIKELY,
            f"{last}, while TCP {answered[0].port} to the same address {how}",
            None,
            ids,
            leaves_network=True,
        )
    near = zone_of(reach, hops, target, own, edge=edge)
    return Blame(
        FaultDomain.PROVIDER if near is FaultDomain.PROVIDER else FaultDomain.UNDETERMINED,
        Confidence.LIKELY if near is FaultDomain.PROVIDER else Confidence.POSSIBLE,
        f"{last}, as far as any probe to this address gets"
        if reach >= control_reach
        else f"{last}; other probes were seen as far as {name_hop(control_reach, hops)}",
        "the provider can see at its edge whether the SYNs arrive; if they do not, the ISP behind "
        f"{name_hop(reach, hops)} drops them",
        ids,
        leaves_network=True,
    )


def blame_icmp(facts: Facts, icmp: Icmp, target: str, hops: Mapping[int, str] | None = None) -> Blame:
    """Whose device sent an ICMP error about a packet to `target`: the sender is who blocks, or who knows why.

    `hops` are those of the way to `target`, where more is known than the facts say by themselves.
    """
    own, edge = own_addresses(facts), edge_of(facts)
    sender = icmp.address
    said = f"ICMP type {icmp.type} code {icmp.code}"
    local = {interface.address for interface in facts.of(Interface)} | set(own)
    if sender is None or sender in local:
        return Blame(FaultDomain.HOST, Confidence.PROVEN, f"this host's own network stack said {said}", None, ())
    if sender == target:
        return Blame(FaultDomain.PROVIDER, Confidence.LIKELY, f"{said} came from {sender} itself", None, ())
    hops = known_hops(facts, target) if hops is None else hops
    seen = [ttl for ttl, address in hops.items() if address == sender]
    public = {fact.address for fact in facts.of(AddressSeen) if fact.address}
    shared = any(classify(address) is AddressClass.SHARED for address in hops.values())
    if sender in public and shared:
        return Blame(
            FaultDomain.ISP,
            Confidence.LIKELY,
            f"{said} came from {sender}, your public address, which is a carrier's NAT's: there are routers in "
            "100.64.0.0/10 on the way",
            None,
            (),
        )
    if sender in public:
        return Blame(
            FaultDomain.LOCAL_NETWORK,
            Confidence.LIKELY,
            f"{said} came from {sender}, your own public address: the device that does your NAT",
            None,
            (),
        )
    if seen:
        zone = zone_of(min(seen), hops, target, own, edge=edge)
        confidence = Confidence.PROVEN if zone is FaultDomain.LOCAL_NETWORK and min(seen) == 1 else Confidence.LIKELY
        settle = f"find out who runs {sender}: whois names it" if zone is FaultDomain.UNDETERMINED else None
        outside = first_hop_outside(hops, own, edge=edge)
        leaves = outside is not None and min(seen) >= outside
        return Blame(zone, confidence, f"{said} came from {name_hop(min(seen), hops)}", settle, (), leaves)
    kind = classify(sender)
    if any(route.gateway == sender for route in facts.of(Route)):
        return Blame(FaultDomain.LOCAL_NETWORK, Confidence.PROVEN, f"{said} came from {sender}, your gateway", None, ())
    if kind in (AddressClass.PRIVATE, AddressClass.LINK_LOCAL, AddressClass.UNIQUE_LOCAL):
        told = describe_zone(2, {2: sender}, target, own)
        if told.domain is FaultDomain.LOCAL_NETWORK:
            return Blame(told.domain, Confidence.LIKELY, f"{said} came from {sender}: {told.why}", None, ())
        return Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            f"{said} came from {sender}: {told.why}",
            f"find out who runs {sender}: a router of yours, or the ISP's access router",
            (),
        )
    if kind is AddressClass.SHARED:
        return Blame(FaultDomain.ISP, Confidence.LIKELY, f"{said} came from {sender}, carrier space", None, ())
    if same_network(sender, target):
        return Blame(
            FaultDomain.PROVIDER, Confidence.LIKELY, f"{said} came from {sender}, in the target's network", None, ()
        )
    return Blame(
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
        f"{said} came from {sender}, a router outside your network",
        f"whois {sender} names the operator to ask: the ISP, a network in between, or the provider",
        (),
        leaves_network=True,
    )
