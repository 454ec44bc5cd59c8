"""The one place where errno values, exception types and ICMP numbers become a `Failure`. Message text is never read.

`TimeoutError` is two things: the kernel's ETIMEDOUT (it gave up: KERNEL_TIMEOUT) and our own deadline. Only the caller
knows its deadline, by `asyncio.timeout(...).expired()`, so it says so itself and does not ask this module.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

from vsipcheck.model import Failure, Icmp

ICMP_DEST_UNREACHABLE = 3
ICMP_TIME_EXCEEDED = 11
ICMP6_DEST_UNREACHABLE = 1
ICMP6_PACKET_TOO_BIG = 2
ICMP6_TIME_EXCEEDED = 3
ICMP6_PARAMETER_PROBLEM = 4

_BY_ERRNO_NAME = {
    "ECONNREFUSED": Failure.REFUSED,
    "ECONNRESET": Failure.RESET,
    "ECONNABORTED": Failure.RESET,
    "EPIPE": Failure.RESET,
    "ENOTCONN": Failure.RESET,
    "ESHUTDOWN": Failure.RESET,
    "ETIMEDOUT": Failure.KERNEL_TIMEOUT,
    # Without an ICMP message in the error queue, our own kernel's neighbour resolution says EHOSTUNREACH.
    "EHOSTUNREACH": Failure.HOST_UNREACHABLE,
    "EHOSTDOWN": Failure.HOST_UNREACHABLE,
    # ENETUNREACH that no router sent is our own routing table speaking. A family that the host has switched off
    # (EAFNOSUPPORT) is no route either: nothing that is wrong with the far end.
    "ENETUNREACH": Failure.NO_ROUTE,
    "ENETDOWN": Failure.NO_ROUTE,
    "ENODEV": Failure.NO_ROUTE,
    "EAFNOSUPPORT": Failure.NO_ROUTE,
    "EPERM": Failure.LOCAL_DENIED,
    "EACCES": Failure.LOCAL_DENIED,
    "EADDRNOTAVAIL": Failure.ADDRESS_UNAVAILABLE,
    "EMSGSIZE": Failure.MESSAGE_TOO_BIG,
    "ENOPROTOOPT": Failure.PROTOCOL_UNREACHABLE,
    "EOPNOTSUPP": Failure.NOT_SUPPORTED,
    "ENOSYS": Failure.NOT_SUPPORTED,
}
BY_ERRNO = {getattr(errno, name): failure for name, failure in _BY_ERRNO_NAME.items() if hasattr(errno, name)}

# RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1 (13 to 15).
_UNREACHABLE = {
    0: Failure.NET_UNREACHABLE,
    1: Failure.HOST_UNREACHABLE,
    2: Failure.PROTOCOL_UNREACHABLE,
    3: Failure.PORT_UNREACHABLE,
    4: Failure.MESSAGE_TOO_BIG,
    5: Failure.HOST_UNREACHABLE,  # source route failed
    6: Failure.NET_UNREACHABLE,  # network unknown
    7: Failure.HOST_UNREACHABLE,  # host unknown
    8: Failure.HOST_UNREACHABLE,  # source host isolated
    9: Failure.ADMIN_PROHIBITED,
    10: Failure.ADMIN_PROHIBITED,
    11: Failure.NET_UNREACHABLE,  # for this type of service
    12: Failure.HOST_UNREACHABLE,  # for this type of service
    13: Failure.ADMIN_PROHIBITED,
    14: Failure.ADMIN_PROHIBITED,  # host precedence violation
    15: Failure.ADMIN_PROHIBITED,  # precedence cut-off
}

# RFC 4443 §3.1, codes 7 and 8 from RFC 6550 and RFC 8883.
_UNREACHABLE6 = {
    0: Failure.NET_UNREACHABLE,
    1: Failure.ADMIN_PROHIBITED,
    2: Failure.NET_UNREACHABLE,  # beyond the scope of the source address
    3: Failure.HOST_UNREACHABLE,
    4: Failure.PORT_UNREACHABLE,
    5: Failure.ADMIN_PROHIBITED,  # source address failed a policy
    6: Failure.ADMIN_PROHIBITED,  # reject route
    7: Failure.HOST_UNREACHABLE,
    8: Failure.HOST_UNREACHABLE,
}

# getaddrinfo cannot tell a name that does not exist from one without addresses of the family asked for, unless the
# platform still knows EAI_NODATA: glibc gives EAI_NONAME for NXDOMAIN and EAI_NODATA for an empty answer; musl, macOS
# and Windows give EAI_NONAME for both. EAI_AGAIN is SERVFAIL, REFUSED and a nameserver's silence alike: look-ups of the
# single nameservers tell which.
_BY_EAI_NAME = {
    "EAI_NONAME": Failure.NXDOMAIN,
    "EAI_NODATA": Failure.NODATA,
    "EAI_ADDRFAMILY": Failure.NODATA,
    "EAI_AGAIN": Failure.SERVFAIL,
    "EAI_FAIL": Failure.SERVFAIL,
    "EAI_MEMORY": Failure.LOCAL_ERROR,
    "EAI_SYSTEM": Failure.LOCAL_ERROR,
}
# On platforms where two names share a number, the first one wins.
BY_EAI: dict[int, Failure] = {}
for _name, _failure in _BY_EAI_NAME.items():
    if hasattr(socket, _name):
        BY_EAI.setdefault(getattr(socket, _name), _failure)


def from_errno(
    code: int | None, *, datagram: bool = False, bound: bool = True, six: bool = False, nothing_sent: bool = False
) -> Failure:
    """The failure that an errno stands for, where no ICMP message explains it.

    `datagram`: on a UDP socket a refusal is the port-unreachable of the far host. `bound`: a source address was asked
    for, so EADDRNOTAVAIL speaks of it; otherwise this host has no IPv6 address to send from (`six`), or no free port.
    `nothing_sent`: the call itself failed, so EHOSTUNREACH is an `unreachable` route of this host's own (ip-route(8)):
    a neighbour that does not answer is only found out later.
    """
    if code is None:
        return Failure.LOCAL_ERROR
    if datagram and code in (errno.ECONNREFUSED, errno.ECONNRESET):
        return Failure.PORT_UNREACHABLE
    if code == errno.EHOSTUNREACH and nothing_sent:
        return Failure.NO_ROUTE
    if code == errno.EADDRNOTAVAIL and not bound:
        return Failure.NO_ROUTE if six else Failure.LOCAL_ERROR
    return BY_ERRNO.get(code, Failure.LOCAL_ERROR)


def from_icmp(icmp: Icmp) -> Failure:
    """The failure that an ICMP error stands for.

    `icmp.address` None means that this host itself raised it for a packet to somewhere else: a prohibition or a
    refusal is then its own firewall's (LOCAL_DENIED), an unreachable network its own routing table's. A host that is
    unreachable stays so: the next hop did not answer our neighbour resolution.
    """
    failure = _from_icmp6(icmp.type, icmp.code) if icmp.version == 6 else _from_icmp4(icmp.type, icmp.code)
    if icmp.address is None:
        if failure in (Failure.ADMIN_PROHIBITED, Failure.PORT_UNREACHABLE, Failure.PROTOCOL_UNREACHABLE):
            return Failure.LOCAL_DENIED
        if failure is Failure.NET_UNREACHABLE:
            return Failure.NO_ROUTE
    return failure


def _from_icmp4(kind: int, code: int) -> Failure:
    if kind == ICMP_DEST_UNREACHABLE:
        return _UNREACHABLE.get(code, Failure.HOST_UNREACHABLE)
    # Code 1 is the far host's reassembly giving up, which is no hop.
    if kind == ICMP_TIME_EXCEEDED and code == 0:
        return Failure.TTL_EXCEEDED
    return Failure.OTHER


def _from_icmp6(kind: int, code: int) -> Failure:
    if kind == ICMP6_DEST_UNREACHABLE:
        return _UNREACHABLE6.get(code, Failure.HOST_UNREACHABLE)
    if kind == ICMP6_PACKET_TOO_BIG:
        return Failure.MESSAGE_TOO_BIG
    if kind == ICMP6_TIME_EXCEEDED and code == 0:
        return Failure.TTL_EXCEEDED
    if kind == ICMP6_PARAMETER_PROBLEM and code == 1:  # unrecognised next header
        return Failure.PROTOCOL_UNREACHABLE
    return Failure.OTHER


def from_gai(code: int | None) -> Failure:
    """The failure that a getaddrinfo error number stands for."""
    if code is None:
        return Failure.DNS_ERROR
    return BY_EAI.get(code, Failure.DNS_ERROR)


def from_exception(error: BaseException, *, datagram: bool = False, bound: bool = True, six: bool = False) -> Failure:
    """The failure that an exception stands for, by its type and errno, looking through the exceptions it wraps.

    A bare TimeoutError without an errno is NO_ANSWER: whoever set the deadline knows better and decides first.
    """
    cause = root_cause(error)
    if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Failure.CLOSED_EARLY
    if isinstance(cause, ssl.SSLError):  # is an OSError whose errno is OpenSSL's own number
        return Failure.TLS_FAILED
    if isinstance(cause, socket.gaierror):
        return from_gai(cause.errno)
    if isinstance(cause, OSError) and cause.errno is not None:
        return from_errno(cause.errno, datagram=datagram, bound=bound, six=six)
    # asyncio raises some of these without an errno.
    if isinstance(cause, ConnectionRefusedError):
        return Failure.PORT_UNREACHABLE if datagram else Failure.REFUSED
    if isinstance(cause, ConnectionError):
        return Failure.RESET
    if isinstance(cause, PermissionError):
        return Failure.LOCAL_DENIED
    if isinstance(cause, TimeoutError):
        return Failure.NO_ANSWER
    return Failure.LOCAL_ERROR


def root_cause(error: BaseException) -> BaseException:
    """The exception inside `error` that says most: a TLS error, the deepest OSError with an errno, or itself."""
    best = error
    for current in causes(error):
        if isinstance(current, ssl.SSLError):
            return current
        if isinstance(current, OSError) and (current.errno is not None or not isinstance(best, OSError)):
            best = current
    return best


def causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and the exceptions that led to it, outermost first; of a group the first one.

    Contexts count even where they are suppressed: httpcore raises its own exceptions anew `from None`.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            current = current.exceptions[0]
        else:
            current = current.__cause__ or current.__context__
