"""Whose place a hop is: the customer's network, the ISP's, the provider's end, or not to be told.

Only addresses are seen, so ownership is inferred: the gateway and the leading private hops of the gateway's own
RFC 1918 block are the customer's; 100.64.0.0/10 is a carrier's (RFC 6598); a public hop that is not in the customer's
own network is outside it; one in the target's /24 is the provider's. A private hop of another block, behind the
customer's, may be either side's. The last routers before the target, where their addresses do not tell, may be the
ISP's, a network's in between, or the provider's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

import msgspec

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


def first_hop_outside(hops: Mapping[int, str], own: Sequence[str] = (), *, edge: int | None = None) -> int | None:
    """The nearest TTL whose router is surely not the customer's: public or carrier space, at least the second hop, and
    not in a network of `own` addresses; or behind `edge`, the hop at which the customer's public address lives. None
    when no hop shows that."""
    for ttl in sorted(hops):
        address = hops[ttl]
        if edge is not None and ttl > edge:
            return ttl
        if ttl < 2 or any(same_network(address, mine) for mine in own):
            continue
        if is_public(address) or classify(address) is AddressClass.SHARED:
            return ttl
    return None


class Zone(msgspec.Struct, frozen=True):
    """Whose place a router is, and the fact that says so."""

    domain: FaultDomain
    why: str  # "private, of the same block as your gateway", "in the /24 of the target"


_CANNOT_TELL = "no router answers here"


def zone_of(
    ttl: int, hops: Mapping[int, str], target: str, own: Sequence[str] = (), *, edge: int | None = None
) -> FaultDomain:
    """Whose place the router at `ttl` is: LOCAL_NETWORK, ISP, PROVIDER or UNDETERMINED."""
    return describe_zone(ttl, hops, target, own, edge=edge).domain


def describe_zone(
    ttl: int, hops: Mapping[int, str], target: str, own: Sequence[str] = (), *, edge: int | None = None
) -> Zone:
    """Whose place the router at `ttl` is, and why. `edge` is the hop where the customer's public address lives."""
    address = hops.get(ttl)
    if address is None:
        below = [t for t in hops if t < ttl]
        above = [t for t in hops if t > ttl]
        if below and above:
            near = zone_of(max(below), hops, target, own, edge=edge)
            if near is zone_of(min(above), hops, target, own, edge=edge) and near is not FaultDomain.UNDETERMINED:
                return Zone(near, f"{_CANNOT_TELL}, but before and behind it")
        return Zone(FaultDomain.UNDETERMINED, _CANNOT_TELL)
    if address == target:
        return Zone(FaultDomain.PROVIDER, "the target itself")
    if ttl == 1:
        return Zone(FaultDomain.LOCAL_NETWORK, "your gateway, the first router")
    if edge is not None and ttl <= edge:
        return Zone(FaultDomain.LOCAL_NETWORK, "before your public address, or where it lives")
    if any(same_network(address, mine) for mine in own):
        return Zone(FaultDomain.LOCAL_NETWORK, "in the network of this host's own address")
    outside = first_hop_outside(hops, own, edge=edge)
    if outside is not None and ttl >= outside:
        if same_network(address, target):
            return Zone(FaultDomain.PROVIDER, f"in the {'/64' if ':' in target else '/24'} of the target")
        last = max(t for t, other in hops.items() if other != target)
        if ttl > outside + 1 and ttl >= last - 1:
            return Zone(FaultDomain.UNDETERMINED, "near the target: your ISP's, the provider's, or in between")
        if classify(address) is AddressClass.SHARED:
            return Zone(FaultDomain.ISP, "in 100.64.0.0/10, a carrier's (RFC 6598)")
        if edge is not None and _is_inside(address):
            return Zone(FaultDomain.ISP, f"private, but behind hop {edge}, where your public address lives")
        return Zone(FaultDomain.ISP, "the first public hop" if ttl == outside else "behind the first hop outside")
    if not _is_inside(address):
        return Zone(FaultDomain.UNDETERMINED, "neither private nor public")
    # Access routers of ISPs are often in 10.0.0.0/8, and so are large networks of customers.
    nearer = [*(hops[t] for t in sorted(hops) if t < ttl), *own]
    blocks = {_private_block(other) for other in nearer if _is_inside(other)} or {_private_block(address)}
    if _private_block(address) not in blocks:
        return Zone(FaultDomain.UNDETERMINED, "private, of another block than your gateway: yours or the ISP's")
    if _is_home_block(address) or any(_near(address, other) for other in nearer):
        return Zone(FaultDomain.LOCAL_NETWORK, "private, of the same block as your gateway")
    return Zone(FaultDomain.UNDETERMINED, "private, but far from your gateway's network: yours or the ISP's")


def _is_home_block(address: str) -> bool:
    """In 192.168.0.0/16, or not IPv4: nobody numbers access lines so."""
    return _private_block(address) in (None, _RFC1918[2])


def _near(one: str, other: str) -> bool:
    """Both in one private /16."""
    try:
        return ipaddress.ip_address(other) in ipaddress.ip_network(f"{one}/16", strict=False)
    except ValueError:
        return False


class Place(msgspec.Struct, frozen=True):
    """Whose filter stands between two neighbouring hops."""

    domain: FaultDomain
    confidence: Confidence
    where: str  # "between 192.168.1.1 (hop 1) and 203.0.113.1 (hop 2)"
    settle_by: str | None


def name_hop(ttl: int, hops: Mapping[int, str]) -> str:
    """`203.0.113.9 (hop 4)`, or `hop 4` when nothing answered there."""
    return f"{hops[ttl]} (hop {ttl})" if ttl in hops else f"hop {ttl}"


def place_between(
    reached: int,
    beyond: int,
    hops: Mapping[int, str],
    target: str,
    own: Sequence[str] = (),
    *,
    left_host: bool = True,
    edge: int | None = None,
) -> Place:
    """Whose filter stops probes that get to hop `reached` (0: to none) while controls get to hop `beyond`.

    `left_host`: this host is known not to have dropped them itself; for UDP, EPERM would have said so.
    """
    if reached == 0 and beyond == 1:
        where = f"before {name_hop(1, hops)}, the first router"
        if left_host:
            return Place(FaultDomain.LOCAL_NETWORK, Confidence.LIKELY, where, None)
        return Place(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            where,
            "look at this host's own firewall first, then at what the first router does with packets from this host",
        )
    where = f"between {name_hop(reached, hops) if reached else 'this host'} and {name_hop(beyond, hops)}"
    near = zone_of(reached, hops, target, own, edge=edge) if reached else FaultDomain.LOCAL_NETWORK
    far = zone_of(beyond, hops, target, own, edge=edge)
    if near is FaultDomain.PROVIDER or far is FaultDomain.PROVIDER:
        return Place(
            FaultDomain.PROVIDER,
            Confidence.LIKELY,
            where,
            None if near is far else "the operator of the last hop before the provider can say whether it filters",
        )
    outside = first_hop_outside(hops, own, edge=edge)
    if near is FaultDomain.UNDETERMINED or far is FaultDomain.UNDETERMINED:
        if outside is not None and reached >= outside:
            return Place(
                FaultDomain.UNDETERMINED,
                Confidence.LIKELY,
                f"{where}, behind your network",
                f"whois names who runs {name_hop(reached, hops)} and {name_hop(beyond, hops)}: the ISP, a network in "
                "between, or the provider",
            )
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
        f"{where}: your router on the way out, or your ISP {'on the way in' if beyond == reached + 1 else 'behind it'}",
        "capture on the WAN side of your router: if the packets are seen leaving, the ISP drops them; if not, your "
        "router does",
    )
