"""Literal addresses as socket addresses. Names never get here: a socket call would look them up and block."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Iterable
from typing import Any

from vsipcheck.model import Failure, Family
from vsipcheck.net.failures import from_errno

SocketAddress = tuple[Any, ...]


def socket_family(address: str) -> socket.AddressFamily | None:
    """AF_INET or AF_INET6 for a literal address (a zone such as fe80::1%eth0 is allowed), None for anything else."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6


def socket_address(address: str, port: int) -> SocketAddress:
    """What connect, bind and sendto take for a literal address; an unknown zone becomes zone 0."""
    if ":" not in address:
        return (address, port)
    host, _, zone = address.partition("%")
    zone_id = 0
    if zone:
        try:
            zone_id = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
        except OSError:
            zone_id = 0
    return (host, port, 0, zone_id)


def any_address(family: socket.AddressFamily) -> str:
    return "0.0.0.0" if family == socket.AF_INET else "::"


def family_of_word(family: Family) -> socket.AddressFamily:
    """The socket family of a word; ANY is IPv4, the trunk's own."""
    return socket.AF_INET6 if family is Family.IPV6 else socket.AF_INET


def without_zone(address: str) -> str:
    return address.partition("%")[0]


def endpoint(address: SocketAddress) -> tuple[str, int]:
    """(host, port) of what getsockname and getpeername give, without zone."""
    return (without_zone(str(address[0])), int(address[1]))


def open_socket(
    family: socket.AddressFamily, kind: socket.SocketKind, source: str | None, *, bind: bool = True
) -> socket.socket | tuple[Failure, int | None]:
    """A non-blocking socket, bound to `source` if there is one (else, with `bind`, to any address and a free port), or
    the failure with its errno."""
    if source is not None and socket_family(source) != family:
        return (Failure.ADDRESS_UNAVAILABLE, None)
    try:
        sock = socket.socket(family, kind)
    except OSError as error:
        return (from_errno(error.errno), error.errno)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if source is not None:
            sock.bind(socket_address(source, 0))
        elif bind:
            sock.bind(socket_address(any_address(family), 0))
    except OSError as error:
        sock.close()
        return (from_errno(error.errno), error.errno)
    except BaseException:
        sock.close()
        raise
    return sock


def source_towards(address: str, source: str | None = None) -> tuple[str | None, Failure | None]:
    """The source address that the kernel picks towards `address`, by a connected UDP socket, which sends nothing."""
    family = socket_family(address)
    if family is None:
        return (None, Failure.LOCAL_ERROR)
    opened = open_socket(family, socket.SOCK_DGRAM, source, bind=False)
    if not isinstance(opened, socket.socket):
        return (None, opened[0])
    with contextlib.closing(opened) as sock:
        try:
            # Port 9 (discard) is never contacted; port 0 is refused by some kernels.
            sock.connect(socket_address(address, 9))
            return (without_zone(sock.getsockname()[0]), None)
        except OSError as error:
            six = family == socket.AF_INET6
            bound = source is not None
            return (None, from_errno(error.errno, datagram=True, bound=bound, six=six, nothing_sent=True))


class OwnAddresses:
    """Tells whether an address is one of this host, by binding to it; remembers the answers of a run."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, str):
            return False
        known = self._known.get(address)
        if known is None:
            known = self._known[address] = bindable(address) is None
        return known


def bindable(address: str) -> Failure | None:
    """None when a socket can be bound to `address`; otherwise why not."""
    family = socket_family(address)
    if family is None:
        return Failure.ADDRESS_UNAVAILABLE
    opened = open_socket(family, socket.SOCK_DGRAM, address)
    if not isinstance(opened, socket.socket):
        return opened[0]
    opened.close()
    return None


def is_linux() -> bool:
    return sys.platform == "linux"


def each_once(addresses: Iterable[str]) -> tuple[str, ...]:
    """The addresses in order, without repetitions."""
    return tuple(dict.fromkeys(addresses))
