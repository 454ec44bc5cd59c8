"""Our public IPv4 address: who saw us come from where, and which of that may be told to the provider."""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass

from vsipcheck.checks.base import Facts
from vsipcheck.checks.sip.addresses import addresses_from_sip
from vsipcheck.model import AddressSeen, Connection, Route
from vsipcheck.wire.ip import AddressClass, classify, is_public

SIP_RECEIVED = "sip_received"
# What looks at us from outside. A router's word about its own WAN address is none of it.
_OUTSIDE = ("https_echo", "stun")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One party outside saw us come from one public IPv4 address."""

    address: str
    method: str  # "https_echo", "stun", "sip_received"
    who: str  # the operator, or the trunk's address
    fact_id: str


def is_ipv4(address: str | None) -> bool:
    """Whether it is an IPv4 address at all."""
    try:
        return address is not None and ipaddress.ip_address(address).version == 4
    except ValueError:
        return False


def is_public_ipv4(address: str | None) -> bool:
    """Whether it is an IPv4 address that a peer on the Internet can be told to use."""
    return address is not None and is_ipv4(address) and is_public(address)


def sightings(facts: Facts) -> list[Sighting]:
    """All usable views of us from outside: echo services, STUN servers, and trusted `received` of the trunk."""
    seen = [
        Sighting(fact.address, fact.method, fact.operator or fact.source, fact.id)
        for fact in facts.of(AddressSeen)
        if fact.method in _OUTSIDE and fact.failure is None and fact.address and is_public_ipv4(fact.address)
    ]
    seen += [
        Sighting(told.address, SIP_RECEIVED, told.remote_address, told.fact_id)
        for told in addresses_from_sip(facts)
        if told.trusted and told.address and is_public_ipv4(told.address)
    ]
    return seen


def trunk_sources(facts: Facts) -> tuple[str, ...]:
    """The IPv4 addresses of this host that the kernel uses towards the trunk, those of signalling first."""
    chosen = [fact.local_address for fact in facts.of(Connection) if fact.purpose == "sip"]
    chosen += [fact.source_address for fact in facts.of(Route) if fact.failure is None]
    nobody = (AddressClass.UNSPECIFIED, AddressClass.LOOPBACK)
    return tuple(
        dict.fromkeys(address for address in chosen if address and is_ipv4(address) and classify(address) not in nobody)
    )


def trunk_address(facts: Facts) -> str | None:
    """The public IPv4 address that the trunk sees, as well as it is known; None where that would be a guess.

    The trunk's own word (`received`) comes first, then an address that all helpers of at least two operators agree on
    or that is this host's own, then a public source address that nobody contradicts.
    """
    seen = sightings(facts)
    if told := Counter(one.address for one in seen if one.method == SIP_RECEIVED):
        return told.most_common(1)[0][0]
    sources = trunk_sources(facts)
    addresses = {one.address for one in seen}
    if len(addresses) == 1:
        address = addresses.pop()
        agreed = len({one.who for one in seen}) > 1 or address in sources
        return address if agreed else None
    if not addresses and len(sources) == 1 and is_public_ipv4(sources[0]):
        return sources[0]
    return None
