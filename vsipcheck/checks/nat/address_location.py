"""Where our public address lives, read from TTL-limited probes towards it.

Who answers time-exceeded forwards the packet, so that the address is beyond; who holds the address answers from it or
not at all. Two things look like a router that does not hold it, and are told apart: an address that is routed to it
(packets come back, routers repeat), and a one-to-one NAT that sends our probe back to this very host.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vsipcheck.checks.base import Facts, fact_ids
from vsipcheck.checks.nat.words import join_words
from vsipcheck.checks.paths import is_expired
from vsipcheck.checks.public_address import is_ipv4, trunk_sources
from vsipcheck.checks.zones import name_hop
from vsipcheck.model import Confidence, Hop, Note
from vsipcheck.wire.ip import AddressClass, classify

MIN_CONTRASTS = 2


class Place(Enum):
    """Where the public address was found to live. `reason` of a location is the finding's."""

    GATEWAY = "gateway"
    BEYOND = "beyond"  # past a router that is not known to be a carrier's
    CARRIER = "carrier"  # past a router in 100.64.0.0/10
    CARRIER_NEXT = "carrier_next"  # past the gateway, behind which other paths enter 100.64.0.0/10
    UNSETTLED = "unsettled"


@dataclass(frozen=True, slots=True)
class Location:
    """A place, the sentence that says so, and how sure that is. `facts` are ids."""

    place: Place
    reason: str
    sentence: str
    confidence: Confidence
    facts: tuple[str, ...]
    distance: int | None = None  # hops from this host


def locate(facts: Facts, public: str) -> Location:
    """Where `public` lives, by what came of TTL-limited probes towards it."""
    hops = sorted(
        (hop for hop in facts.of(Hop) if hop.series == "udp_public" and hop.target == public),
        key=lambda hop: hop.ttl,
    )
    ids = fact_ids(hops)
    if not hops:
        notes = [note for note in facts.of(Note, "nat") if note.topic == "public_probes"]
        ended = facts.error_of("nat") in ("deadline", "interrupted")
        why = f": {notes[0].text}" if notes else "; the run ended before" if ended else ""
        return Location(
            Place.UNSETTLED,
            "not_probed",
            f"Where {public} lives was not asked{why}.",
            Confidence.POSSIBLE,
            fact_ids(notes),
        )
    # Whatever the address itself says of a packet to it, it has got there.
    reached = min((hop.ttl for hop in hops if hop.icmp is not None and hop.address == public), default=None)
    others = [hop for hop in hops if hop.icmp is not None and hop.address != public]
    expired = {hop.ttl: hop.address for hop in others if hop.address and is_expired(hop)}
    refusers = [hop.address for hop in others if hop.address and not is_expired(hop)]
    first = next((hop for hop in hops if hop.ttl == 1), None)

    if any(hop.reached and hop.icmp is None for hop in hops):
        return Location(
            Place.GATEWAY,
            "returned_by_gateway",
            f"{public} lives at your gateway (hop 1): it translates that address to this host and sent back a probe "
            "of ours that could pass no other router.",
            Confidence.PROVEN,
            ids,
            1,
        )
    if reached == 1:
        return Location(
            Place.GATEWAY,
            "at_gateway",
            f"{public} lives at your gateway: the address itself answers at hop 1, and no other router is in between.",
            Confidence.PROVEN,
            ids,
            1,
        )
    if reached is None and (repeated := _repeated(expired)):
        if expired.get(1) in repeated:
            return Location(
                Place.GATEWAY,
                "routed_to_gateway",
                f"{public} is routed to your gateway ({name_hop(1, expired)}): packets for it leave and come back to "
                "that router, so that it is the one that translates.",
                Confidence.LIKELY,
                ids,
                1,
            )
        return Location(
            Place.UNSETTLED,
            "routing_loop",
            f"Packets for {public} run in a circle between {join_words(repeated)}; which of the routers there holds "
            "the address cannot be seen.",
            Confidence.POSSIBLE,
            ids,
        )
    carriers = {ttl: address for ttl, address in expired.items() if is_shared(address)}
    refusing = [address for address in refusers if is_shared(address)]
    if is_shared(expired.get(1, "")) and not any(is_shared(source) for source in trunk_sources(facts)):
        return Location(
            Place.BEYOND,
            "shared_space_inside",
            f"{public} lives past {name_hop(1, expired)}, in 100.64.0.0/10 although this host's own line is not: "
            "clouds, clusters and overlays use that space inside too, so that this alone shows no carrier-grade NAT.",
            Confidence.POSSIBLE,
            ids,
            reached,
        )
    if carriers or refusing:
        where = name_hop(max(carriers), expired) if carriers else refusing[0]
        certain = reached is not None and bool(carriers)
        return Location(
            Place.CARRIER,
            "behind_carrier_hop",
            f"{public} lives past {where}, a router in 100.64.0.0/10 (RFC 6598): it is the address of your ISP's "
            "carrier-grade NAT, not yours.",
            Confidence.PROVEN if certain else Confidence.LIKELY,
            ids,
            reached,
        )
    if expired:
        return _past_routers(facts, public, expired, reached, ids)
    return _silent_gateway(public, first, reached, bool(refusers), ids)


def _past_routers(
    facts: Facts, public: str, expired: dict[int, str], reached: int | None, ids: tuple[str, ...]
) -> Location:
    """Routers that are not a carrier's forward packets for `public`, so that it lives behind them."""
    last = max(expired)
    # The nearest place where it can be. An answer from farther away may have overtaken one that got lost.
    there = last + 1
    others = _other_hops(facts, expired, last)
    behind = sorted({hop.address for hop in others if hop.ttl == there and hop.address})
    ids = (*ids, *fact_ids(hop for hop in others if hop.ttl == there))
    routers = join_words([name_hop(ttl, expired) for ttl in sorted(expired)])
    passes = f"{routers} {'forwards' if len(expired) == 1 else 'forward'} packets for {public}, so the address is "
    passes += "not its own" if len(expired) == 1 else "not theirs"
    if behind and all(is_shared(address) for address in behind):
        if reached is not None:
            return Location(
                Place.CARRIER,
                "behind_carrier_hop",
                f"{passes}; it lives at hop {there}, {join_words(behind)} in 100.64.0.0/10 (RFC 6598), or past it: the "
                "address of your ISP's carrier-grade NAT, not yours.",
                Confidence.LIKELY,
                ids,
                reached,
            )
        # A one-to-one NAT that forwards our probe to ourselves is silent too, and its ISP may number routers so.
        return Location(
            Place.CARRIER_NEXT,
            "carrier_hop_next",
            f"{passes}; the next router on other paths is {join_words(behind)} in 100.64.0.0/10 (RFC 6598), which "
            "looks like carrier-grade NAT.",
            Confidence.POSSIBLE,
            ids,
        )
    known = f" ({join_words(behind)} on other paths)" if behind else ""
    if reached is None:
        found = f"; it lives at hop {there}{known} or beyond"
    elif reached == there:
        found = f"; it answers at hop {there}{known}"
    else:
        found = f"; it answers at hop {reached} or before"
    return Location(
        Place.BEYOND,
        "behind_second_router",
        f"{passes}{found}. That is a second router of your own, or a NAT of your ISP's: both look like this.",
        Confidence.POSSIBLE,
        ids,
        reached,
    )


def _silent_gateway(
    public: str, first: Hop | None, reached: int | None, refused: bool, ids: tuple[str, ...]
) -> Location:
    """No router answered time-exceeded for `public`."""
    contrasts = first.contrasts if first is not None else 0
    unanswered = first is not None and first.answered == 0 and first.sent > contrasts
    if unanswered and contrasts >= MIN_CONTRASTS:
        if reached is not None:
            return Location(
                Place.BEYOND,
                "behind_second_router",
                f"{public} answers at hop {reached} and, asked at the same moment, not at hop 1: a router that tells "
                "nothing about itself stands in front of it, a second one of your own or a NAT of your ISP's.",
                Confidence.POSSIBLE,
                ids,
                reached,
            )
        if not refused:
            return Location(
                Place.GATEWAY,
                "not_forwarded_by_gateway",
                f"{public} lives at your gateway: it lets probes to that address go no further, and {contrasts} times "
                "answered a control to another address that was sent at the same moment.",
                Confidence.LIKELY,
                ids,
                1,
            )
    if refused:
        return Location(
            Place.UNSETTLED,
            "probes_refused",
            f"Probes towards {public} are refused by a router on the way, which does not show where the address lives.",
            Confidence.POSSIBLE,
            ids,
        )
    seen = f"the address answers at hop {reached}, but n" if reached is not None else "n"
    return Location(
        Place.UNSETTLED,
        "hops_silent",
        f"Where {public} lives cannot be seen: {seen}o router in front of it answers probes reliably.",
        Confidence.POSSIBLE,
        ids,
    )


def _repeated(expired: dict[int, str]) -> list[str]:
    """The routers of a circle: one answers again two or more hops on, with another in between and no contradiction."""
    for period in (2, 3, 4):
        pairs = [(ttl, ttl + period) for ttl in sorted(expired) if ttl + period in expired]
        for start, again in pairs:
            between = {expired[ttl] for ttl in range(start + 1, again) if ttl in expired}
            agree = all(expired[one] == expired[other] for one, other in pairs if one >= start)
            if agree and between - {expired[start]}:
                return list(dict.fromkeys(expired[ttl] for ttl in sorted(expired) if ttl >= start))
    return []


def _other_hops(facts: Facts, expired: dict[int, str], last: int) -> list[Hop]:
    """Hops of paths to other targets that share the way up to hop `last`."""
    paths: dict[str, list[Hop]] = {}
    for hop in facts.of(Hop):
        if hop.series != "udp_public" and hop.address and is_expired(hop):
            paths.setdefault(hop.target, []).append(hop)
    return [
        hop
        for hops in paths.values()
        if all(hop.address == expired.get(hop.ttl, hop.address) for hop in hops if hop.ttl <= last)
        for hop in hops
    ]


def routers_towards(facts: Facts, public: str) -> list[tuple[int, str]]:
    """(ttl, address) of the routers that forward packets for `public`, nearest first."""
    return sorted(
        (hop.ttl, hop.address)
        for hop in facts.of(Hop)
        if hop.series == "udp_public" and hop.target == public and hop.address and hop.address != public
        if is_expired(hop)
    )


def is_shared(address: str) -> bool:
    """Whether it is in 100.64.0.0/10, between a carrier-grade NAT and its customers (RFC 6598)."""
    return is_ipv4(address) and classify(address) is AddressClass.SHARED
