"""Whose place a hop is: the customer's network, the ISP's, the provider's end, or not to be told.

Only addresses are seen, so ownership is inferred: the gateway and the leading private hops of the gateway's own
RFC 1918 block are the customer's; 100.64.0.0/10 is a carrier's (RFC 6598); a public hop that is not in the customer's
own network is outside it; one in the target's /24 is the provider's. A private hop of another block, behind the
customer's, may be either side's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vsipcheck.model import Confidence, FaultDomain
from vsipcheck.wire.ip import AddressClass, classify, is_public

_RFC1918 = tuple(ipaddress.ip_network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def same_network(one: str, other: str) -> bool:
    """Both in one /24 (IPv6: /64). The grain at which neighbours are usually one party's."""
    try:
        first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    except ValueError:
        return False
    if first.version != second.version:
        return False
    prefix = 24 if first.version == 4 else 64
    return second in ipaddress.ip_network((first, prefix), strict=False)


def _private_block(address: str) -> ipaddress.IPv4Network | None:
    parsed = ipaddress.ip_address(address)
    if not isinstance(parsed, ipaddress.IPv4Address):
        return None
    return next((block for block in _RFC1918 if parsed in block), None)  # type: ignore[return-value,unused-ignore]


def _is_inside(address: str) -> bool:
    return classify(address) in (AddressClass.PRIVATE, AddressClass.LINK_LOCAL, AddressClass.UNIQUE_LOCAL)


def first_hop_outside(hops: Mapping[int, str], own: Sequence[str] = ()) -> int | None:
    """The nearest TTL whose router is surely not the customer's: public or carrier space, at least the second hop, and
    not in a network of `own` addresses. None when no hop shows that."""
    for ttl in sorted(hops):
        address = hops[ttl]
        if ttl < 2 or any(same_network(address, mine) for mine in own):
            continue
        if is_public(address) or classify(address) is AddressClass.SHARED:
            return ttl
    return None


def zone_of(ttl: int, hops: Mapping[int, str], target: str, own: Sequence[str] = ()) -> FaultDomain:
    """Whose place the router at `ttl` is: LOCAL_NETWORK, ISP, PROVIDER or UNDETERMINED."""
    address = hops.get(ttl)
    if address is None:
        below = [t for t in hops if t < ttl]
        above = [t for t in hops if t > ttl]
        if below and above:
            near, far = zone_of(max(below), hops, target, own), zone_of(min(above), hops, target, own)
            return near if near is far else FaultDomain.UNDETERMINED
        return FaultDomain.UNDETERMINED
    if address == target:
        return FaultDomain.PROVIDER
    if ttl == 1 or any(same_network(address, mine) for mine in own):
        return FaultDomain.LOCAL_NETWORK
    outside = first_hop_outside(hops, own)
    if outside is not None and ttl >= outside:
        if same_network(address, target):
            return FaultDomain.PROVIDER
        return FaultDomain.ISP
    if not _is_inside(address):
        return FaultDomain.UNDETERMINED
    nearer = [hops[t] for t in sorted(hops) if t < ttl] or [*own]
    blocks = {_private_block(other) for other in nearer if _is_inside(other)} or {_private_block(address)}
    return FaultDomain.LOCAL_NETWORK if _private_block(address) in blocks else FaultDomain.UNDETERMINED


@dataclass(frozen=True, slots=True)
class Place:
    """Whose filter stands between two neighbouring hops."""

    domain: FaultDomain
    confidence: Confidence
    where: str  # "between 192.168.1.1 (hop 1) and 203.0.113.1 (hop 2)"
    settle_by: str | None


def name_hop(ttl: int, hops: Mapping[int, str]) -> str:
    """`203.0.113.9 (hop 4)`, or `hop 4` when nothing answered there."""
    return f"{hops[ttl]} (hop {ttl})" if ttl in hops else f"hop {ttl}"


def place_between(
    reached: int, beyond: int, hops: Mapping[int, str], target: str, own: Sequence[str] = (), *, udp: bool = True
) -> Place:
    """Whose filter stops probes that get to hop `reached` (0: to none) while controls get to hop `beyond`."""
    if reached == 0 and beyond == 1:
        where = f"before {name_hop(1, hops)}, the first router"
        if udp:  # a drop in this host's own output would have been EPERM
            return Place(FaultDomain.LOCAL_NETWORK, Confidence.LIKELY, where, None)
        return Place(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            where,
            "look at this host's own firewall first, then at what the first router does with packets from this host",
        )
    where = f"between {name_hop(reached, hops) if reached else 'this host'} and {name_hop(beyond, hops)}"
    near = zone_of(reached, hops, target, own) if reached else FaultDomain.LOCAL_NETWORK
    far = zone_of(beyond, hops, target, own)
    if near is FaultDomain.PROVIDER or far is FaultDomain.PROVIDER:
        return Place(
            FaultDomain.PROVIDER,
            Confidence.LIKELY,
            where,
            None if near is far else "the operator of the last hop before the provider can say whether it filters",
        )
    if near is FaultDomain.UNDETERMINED or far is FaultDomain.UNDETERMINED:
        return Place(
            FaultDomain.UNDETERMINED,
            Confidence.LIKELY,
            where,
            f"find out who runs {name_hop(beyond, hops)}; a capture on the link between the two routers shows which "
            "of them drops",
        )
    if near is far:
        direct = near is FaultDomain.LOCAL_NETWORK and beyond == reached + 1
        return Place(near, Confidence.PROVEN if direct else Confidence.LIKELY, where, None)
    return Place(
        FaultDomain.UNDETERMINED,
        Confidence.LIKELY,
        f"{where}: your router on the way out, or your ISP on the way in",
        "capture on the WAN side of your router: if the packets are seen leaving, the ISP drops them; if not, your "
        "router does",
    )
