"""This host's addresses, and the route that the kernel picks. "No route" is only ever the kernel's own word: netifaces
does not see on-link and multipath defaults, and reads 0.0.0.0/1 as a default route."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from vsipcheck.model import Failure
from vsipcheck.net import InterfaceAddress, RouteChoice
from vsipcheck.net.addresses import bindable, is_linux, socket_family, source_towards, without_zone

_ROUTE_TABLE = Path("/proc/net/route")
_ROUTE_TABLE6 = Path("/proc/net/ipv6_route")
_RTF_UP = 0x1
_RTF_REJECT = 0x200


class TableRoute(msgspec.Struct, frozen=True):
    """One row of the kernel's main table; `gateway` is None on the link itself."""

    interface: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    gateway: str | None
    metric: int


def interface_addresses() -> list[InterfaceAddress]:
    """Every IPv4 and IPv6 address of every interface; [] where the system won't tell."""
    import netifaces

    found: list[InterfaceAddress] = []
    try:
        names = list(netifaces.interfaces())
    except OSError:
        return []
    for name in names:
        try:
            by_family = netifaces.ifaddresses(name)
        except (OSError, ValueError):  # it has just gone
            continue
        for family in (netifaces.AF_INET, netifaces.AF_INET6):
            for row in by_family.get(family, []):
                address = without_zone(str(row.get("addr", "")))
                if socket_family(address) is None:
                    continue
                netmask = row.get("netmask") or row.get("mask")
                found.append(
                    InterfaceAddress(
                        str(name),
                        address,
                        str(netmask) if netmask else None,
                        ipaddress.ip_address(address).is_loopback,
                    )
                )
    return found


def route_to(address: str, source: str | None = None) -> RouteChoice:
    """The source address that the kernel picks towards `address`, its interface, and the gateway as far as the main
    routing table tells: with policy routing it may not, and then it is None."""
    source_address, failure = source_towards(address, source)
    if source_address is None:
        return RouteChoice(None, failure=failure or Failure.LOCAL_ERROR)
    owners = list(dict.fromkeys(row.name for row in interface_addresses() if row.address == source_address))
    route = best_route(address, kernel_routes(address), owners)
    if route is not None:
        return RouteChoice(source_address, route.interface, route.gateway)
    interface = owners[0] if len(owners) == 1 else None
    gateway = None if is_linux() or interface is None else _default_gateway(address, interface)
    return RouteChoice(source_address, interface, gateway)


def best_route(address: str, routes: Iterable[TableRoute], interfaces: Iterable[str]) -> TableRoute | None:
    """The row of the longest prefix, then of the least metric, if it leaves by one of `interfaces`.

    If it leaves by another, some other table has decided, and this one tells nothing.
    """
    destination = ipaddress.ip_address(without_zone(address))
    matching = [route for route in routes if destination in route.network]
    if not matching:
        return None
    best = max(matching, key=lambda route: (route.network.prefixlen, -route.metric))
    return best if best.interface in set(interfaces) else None


def kernel_routes(address: str) -> list[TableRoute]:
    """Linux's main table of the address's family; [] elsewhere."""
    if not is_linux():
        return []
    six = ":" in address
    try:
        text = (_ROUTE_TABLE6 if six else _ROUTE_TABLE).read_text("ascii", "replace")
    except OSError:
        return []
    return parse_route_table6(text) if six else parse_route_table(text)


def parse_route_table(text: str) -> list[TableRoute]:
    """The rows of /proc/net/route: addresses are hexadecimal words in the host's byte order."""
    found: list[TableRoute] = []
    for line in text.splitlines()[1:]:
        columns = line.split()
        try:
            interface, destination, gateway, flags, mask = (columns[i] for i in (0, 1, 2, 3, 7))
            metric = int(columns[6])
            if not int(flags, 16) & _RTF_UP or int(flags, 16) & _RTF_REJECT:
                continue
            network = ipaddress.IPv4Network((_ipv4(destination), str(_ipv4(mask))))
            hop = _ipv4(gateway)
        except (IndexError, ValueError):
            continue
        found.append(TableRoute(interface, network, None if int(hop) == 0 else str(hop), metric))
    return found


def parse_route_table6(text: str) -> list[TableRoute]:
    """The rows of /proc/net/ipv6_route, which has no heading."""
    found: list[TableRoute] = []
    for line in text.splitlines():
        columns = line.split()
        try:
            flags = int(columns[8], 16)
            if not flags & _RTF_UP or flags & _RTF_REJECT:
                continue
            network = ipaddress.IPv6Network((bytes.fromhex(columns[0]), int(columns[1], 16)))
            hop = ipaddress.IPv6Address(bytes.fromhex(columns[4]))
            metric = int(columns[5], 16)
            interface = columns[9]
        except (IndexError, ValueError):
            continue
        found.append(TableRoute(interface, network, None if int(hop) == 0 else str(hop), metric))
    return found


def _ipv4(word: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(word, 16).to_bytes(4, sys.byteorder))


def _default_gateway(address: str, interface: str) -> str | None:
    """netifaces' default gateway by `interface`, where the platform has no table that we read."""
    import netifaces

    family = netifaces.AF_INET6 if socket_family(address) == socket.AF_INET6 else netifaces.AF_INET
    try:
        rows: Any = netifaces.gateways().get(family, [])
    except (OSError, ValueError):
        return None
    return next((without_zone(str(row[0])) for row in rows if row[1] == interface), None)


def validate_source(address: str) -> str | None:
    """None when sockets can be bound to `address`; otherwise one clause that says why not."""
    if socket_family(address) is None:
        return "is not an IP address"
    parsed = ipaddress.ip_address(without_zone(address))
    if parsed.is_unspecified:
        return "is the unspecified address, not one of this host"
    # The kernel lets sockets bind to these, although nothing can be sent from them.
    if parsed.is_multicast or str(parsed) == "255.255.255.255":
        return "is a group address, not one of this host"
    failure = bindable(address)
    if failure is None:
        return None
    if failure is Failure.ADDRESS_UNAVAILABLE:
        return "is not an address of this host"
    return f"cannot be bound on this host ({failure.value})"
