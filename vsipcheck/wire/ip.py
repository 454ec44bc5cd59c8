"""What kind of address an IP address is, by our own table, and the IPv4 address inside a NAT64 one.

The table follows RFC 6890 and the IANA special-purpose registries that grew from it. It is ours because the standard
library's `ipaddress.is_global` answers differently in different Python versions, and calls multicast global.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from vsipcheck.wire.errors import WireError


class AddressClass(StrEnum):
    """What an address is for. Only GLOBAL is somebody's address on the Internet."""

    GLOBAL = "global"
    PRIVATE = "private"  # RFC 1918
    SHARED = "shared"  # 100.64.0.0/10, between a carrier-grade NAT and its customers, RFC 6598
    UNIQUE_LOCAL = "unique_local"  # RFC 4193
    LOOPBACK = "loopback"
    LINK_LOCAL = "link_local"
    UNSPECIFIED = "unspecified"
    BROADCAST = "broadcast"
    MULTICAST = "multicast"
    DOCUMENTATION = "documentation"
    BENCHMARKING = "benchmarking"
    SERVICE_CONTINUITY = "service_continuity"  # this side of DS-Lite or 464XLAT, RFC 7335
    MAPPED = "mapped"  # an IPv4 address in IPv6 clothes, never on the wire
    NAT64_WELL_KNOWN = "nat64_well_known"  # RFC 6052
    NAT64_LOCAL = "nat64_local"  # RFC 8215
    TEREDO = "teredo"
    SIX_TO_FOUR = "six_to_four"
    ORCHID = "orchid"  # a hash of a key, not routable at the IP layer, RFC 7343
    DISCARD = "discard"  # RFC 6666
    RESERVED = "reserved"


class AddressBlock(NamedTuple):
    """A row of the table: the prefix, what it is for, its name in the registry, and the RFC that says so."""

    prefix: str
    address_class: AddressClass
    name: str
    source: str


_C = AddressClass

# Inner rows outrank outer ones. Where a registry says "globally reachable: true" the class is GLOBAL, but for NAT64
# and ORCHIDs: the first stands for another address, the second never is on a packet.
ADDRESS_BLOCKS: tuple[AddressBlock, ...] = (
    AddressBlock("0.0.0.0/0", _C.GLOBAL, "IPv4 unicast", "RFC 791"),
    AddressBlock("0.0.0.0/8", _C.RESERVED, "This network", "RFC 791 §3.2"),
    AddressBlock("0.0.0.0/32", _C.UNSPECIFIED, "This host on this network", "RFC 1122 §3.2.1.3"),
    AddressBlock("10.0.0.0/8", _C.PRIVATE, "Private-Use", "RFC 1918"),
    AddressBlock("100.64.0.0/10", _C.SHARED, "Shared Address Space", "RFC 6598"),
    AddressBlock("127.0.0.0/8", _C.LOOPBACK, "Loopback", "RFC 1122 §3.2.1.3"),
    AddressBlock("169.254.0.0/16", _C.LINK_LOCAL, "Link Local", "RFC 3927"),
    AddressBlock("172.16.0.0/12", _C.PRIVATE, "Private-Use", "RFC 1918"),
    AddressBlock("192.0.0.0/24", _C.RESERVED, "IETF Protocol Assignments", "RFC 6890 §2.1"),
    AddressBlock("192.0.0.0/29", _C.SERVICE_CONTINUITY, "IPv4 Service Continuity Prefix", "RFC 7335"),
    AddressBlock("192.0.0.8/32", _C.RESERVED, "IPv4 dummy address", "RFC 7600"),
    AddressBlock("192.0.0.9/32", _C.GLOBAL, "Port Control Protocol Anycast", "RFC 7723"),
    AddressBlock("192.0.0.10/32", _C.GLOBAL, "Traversal Using Relays around NAT Anycast", "RFC 8155"),
    AddressBlock("192.0.0.170/31", _C.RESERVED, "NAT64/DNS64 Discovery", "RFC 7050 §2.2"),
    AddressBlock("192.0.2.0/24", _C.DOCUMENTATION, "Documentation (TEST-NET-1)", "RFC 5737"),
    AddressBlock("192.31.196.0/24", _C.GLOBAL, "AS112-v4", "RFC 7535"),
    AddressBlock("192.52.193.0/24", _C.GLOBAL, "AMT", "RFC 7450"),
    AddressBlock("192.88.99.0/24", _C.RESERVED, "Deprecated (6to4 Relay Anycast)", "RFC 7526"),
    AddressBlock("192.168.0.0/16", _C.PRIVATE, "Private-Use", "RFC 1918"),
    AddressBlock("192.175.48.0/24", _C.GLOBAL, "Direct Delegation AS112 Service", "RFC 7534"),
    AddressBlock("198.18.0.0/15", _C.BENCHMARKING, "Benchmarking", "RFC 2544"),
    AddressBlock("198.51.100.0/24", _C.DOCUMENTATION, "Documentation (TEST-NET-2)", "RFC 5737"),
    AddressBlock("203.0.113.0/24", _C.DOCUMENTATION, "Documentation (TEST-NET-3)", "RFC 5737"),
    AddressBlock("224.0.0.0/4", _C.MULTICAST, "Multicast", "RFC 5771"),
    AddressBlock("240.0.0.0/4", _C.RESERVED, "Reserved", "RFC 1112 §4"),
    AddressBlock("255.255.255.255/32", _C.BROADCAST, "Limited Broadcast", "RFC 919 §7"),
    # IANA hands out unicast from 2000::/3 alone so far, so that everything else is nobody's.
    AddressBlock("::/0", _C.RESERVED, "Reserved by IETF", "RFC 4291 §4"),
    AddressBlock("::/128", _C.UNSPECIFIED, "Unspecified Address", "RFC 4291 §2.5.2"),
    AddressBlock("::1/128", _C.LOOPBACK, "Loopback Address", "RFC 4291 §2.5.3"),
    AddressBlock("::ffff:0:0/96", _C.MAPPED, "IPv4-mapped Address", "RFC 4291 §2.5.5.2"),
    AddressBlock("64:ff9b::/96", _C.NAT64_WELL_KNOWN, "IPv4-IPv6 Translation", "RFC 6052 §2.1"),
    AddressBlock("64:ff9b:1::/48", _C.NAT64_LOCAL, "IPv4-IPv6 Translation", "RFC 8215"),
    AddressBlock("100::/64", _C.DISCARD, "Discard-Only Address Block", "RFC 6666"),
    AddressBlock("100:0:0:1::/64", _C.RESERVED, "Dummy IPv6 Prefix", "RFC 9780"),
    AddressBlock("2000::/3", _C.GLOBAL, "Global Unicast", "RFC 4291 §2.4"),
    AddressBlock("2001::/23", _C.RESERVED, "IETF Protocol Assignments", "RFC 2928"),
    AddressBlock("2001::/32", _C.TEREDO, "TEREDO", "RFC 4380"),
    AddressBlock("2001:1::1/128", _C.GLOBAL, "Port Control Protocol Anycast", "RFC 7723"),
    AddressBlock("2001:1::2/128", _C.GLOBAL, "Traversal Using Relays around NAT Anycast", "RFC 8155"),
    AddressBlock("2001:1::3/128", _C.GLOBAL, "DNS-SD Service Registration Protocol Anycast", "RFC 9665"),
    AddressBlock("2001:2::/48", _C.BENCHMARKING, "Benchmarking", "RFC 5180"),
    AddressBlock("2001:3::/32", _C.GLOBAL, "AMT", "RFC 7450"),
    AddressBlock("2001:4:112::/48", _C.GLOBAL, "AS112-v6", "RFC 7535"),
    AddressBlock("2001:10::/28", _C.RESERVED, "Deprecated (previously ORCHID)", "RFC 4843"),
    AddressBlock("2001:20::/28", _C.ORCHID, "ORCHIDv2", "RFC 7343"),
    AddressBlock("2001:30::/28", _C.ORCHID, "Drone Remote ID Protocol Entity Tags", "RFC 9374"),
    AddressBlock("2001:db8::/32", _C.DOCUMENTATION, "Documentation", "RFC 3849"),
    AddressBlock("2002::/16", _C.SIX_TO_FOUR, "6to4", "RFC 3056"),
    AddressBlock("2620:4f:8000::/48", _C.GLOBAL, "Direct Delegation AS112 Service", "RFC 7534"),
    AddressBlock("3fff::/20", _C.DOCUMENTATION, "Documentation", "RFC 9637"),
    AddressBlock("5f00::/16", _C.RESERVED, "Segment Routing (SRv6) SIDs", "RFC 9602"),
    AddressBlock("fc00::/7", _C.UNIQUE_LOCAL, "Unique-Local", "RFC 4193"),
    AddressBlock("fe80::/10", _C.LINK_LOCAL, "Link-Local Unicast", "RFC 4291 §2.5.6"),
    AddressBlock("fec0::/10", _C.RESERVED, "Deprecated (Site-Local Unicast)", "RFC 3879"),
    AddressBlock("ff00::/8", _C.MULTICAST, "Multicast", "RFC 4291 §2.7"),
)


@cache
def _by_length() -> list[tuple[IPv4Network | IPv6Network, AddressBlock]]:
    rows = ((ipaddress.ip_network(block.prefix), block) for block in ADDRESS_BLOCKS)
    return sorted(rows, key=lambda row: row[0].prefixlen, reverse=True)


# RFC 6052 §2.2: the prefix lengths there are.
_NAT64_PREFIX_LENGTHS = (96, 64, 56, 48, 40, 32)
# RFC 7050 §2.2: the addresses of ipv4only.arpa.
_WELL_KNOWN_IPV4 = (IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171"))
# Where a translator's prefix can be. An answer elsewhere is no DNS64 at work.
_NAT64_CLASSES = frozenset((_C.GLOBAL, _C.NAT64_WELL_KNOWN, _C.NAT64_LOCAL, _C.UNIQUE_LOCAL, _C.DOCUMENTATION))


def address_block(address: str) -> AddressBlock:
    """The innermost row of the table that holds the address. Raises WireError if it is no IP address."""
    parsed = _parse_address(address)
    return next(block for network, block in _by_length() if parsed in network)


def classify(address: str) -> AddressClass:
    """What the address is for. A scope (`fe80::1%eth0`) is ignored. Raises WireError if it is no IP address."""
    return address_block(address).address_class


def is_public(address: str) -> bool:
    """Whether the address is globally routable unicast, one that a peer on the Internet can be told to use.

    False for NAT64, 6to4, Teredo and IPv4-mapped addresses: what they are worth hangs on the IPv4 address inside.
    Raises WireError if it is no IP address.
    """
    return classify(address) is AddressClass.GLOBAL


def plain_address(address: str) -> str:
    """The one spelling of an IP address, for comparing: that of RFC 5952, without a scope, an IPv4-mapped one as IPv4.
    Text that is no IP address is returned as it is."""
    try:
        parsed = _parse_address(address)
    except WireError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


def synthesised_ipv4(address: str, prefixes: Sequence[str]) -> str | None:
    """The IPv4 address inside an IPv6 one, by the longest of the NAT64 prefixes that holds it; else None.

    The octet at bits 64 to 71 has to be zero where it is not the prefix's; the suffix is ignored. Raises WireError if
    the address is no IP address, or a prefix is no IPv6 prefix of a length that RFC 6052 §2.2 has. RFC 6052 §2.3.
    """
    networks = sorted((_parse_nat64_prefix(prefix) for prefix in prefixes), key=lambda n: n.prefixlen, reverse=True)
    parsed = _parse_address(address)
    if isinstance(parsed, IPv4Address):
        return None
    for network in networks:
        if parsed in network:
            embedded = _embedded_ipv4(parsed, network.prefixlen)
            if embedded is not None:
                return str(embedded)
    return None


def nat64_prefixes_from_ipv4only(addresses: Sequence[str]) -> list[str]:
    """The NAT64 prefixes behind the AAAA answers for ipv4only.arpa, in order of appearance; empty without DNS64.

    A prefix is where 192.0.0.170 or 192.0.0.171 stands at one of the places of RFC 6052 §2.2. If one stands at several
    places of an address, only the prefix for which both were seen counts, since the other place is part of the prefix
    and does not change. IPv4 addresses are passed over. Raises WireError if one is no IP address. RFC 7050 §3.
    """
    sightings: list[tuple[IPv6Network, bool]] = []
    seen: dict[IPv6Network, set[IPv4Address]] = {}
    for address in addresses:
        parsed = _parse_address(address)
        if isinstance(parsed, IPv4Address):
            continue
        matches = {
            IPv6Network((int(parsed), length), strict=False): embedded
            for length in _NAT64_PREFIX_LENGTHS
            if (embedded := _embedded_ipv4(parsed, length)) in _WELL_KNOWN_IPV4
        }
        for network, embedded in matches.items():
            sightings.append((network, len(matches) == 1))
            seen.setdefault(network, set()).add(embedded)
    prefixes = [
        str(network)
        for network, is_only in sightings
        if (is_only or len(seen[network]) == len(_WELL_KNOWN_IPV4))
        and classify(str(network.network_address)) in _NAT64_CLASSES
    ]
    return list(dict.fromkeys(prefixes))


def _parse_address(address: str) -> IPv4Address | IPv6Address:
    # ip_address() takes numbers and packed bytes too, which here could only be a mistake.
    if not isinstance(address, str):
        raise WireError(f"not an IP address: {address!r}")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as error:
        raise WireError(f"not an IP address: {address!r}") from error
    return parsed if isinstance(parsed, IPv4Address) else IPv6Address(int(parsed))


def _parse_nat64_prefix(prefix: str) -> IPv6Network:
    try:
        network = ipaddress.ip_network(prefix)
    except ValueError as error:
        raise WireError(f"not an IPv6 prefix: {prefix!r}") from error
    if isinstance(network, IPv4Network) or network.prefixlen not in _NAT64_PREFIX_LENGTHS:
        raise WireError(f"not an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits: {prefix!r}")
    return network


def _embedded_ipv4(address: IPv6Address, prefix_length: int) -> IPv4Address | None:
    """The 32 bits behind the prefix, octet 8 ("u") left out; None where that is not zero. RFC 6052 §2.2."""
    octets = address.packed
    if prefix_length == 96:
        return IPv4Address(octets[12:])
    if octets[8]:
        return None
    start = prefix_length // 8
    return IPv4Address((octets[:8] + octets[9:])[start : start + 4])
