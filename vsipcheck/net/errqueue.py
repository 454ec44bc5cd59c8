"""Linux's socket error queue: ICMP errors with their sender, without privileges (ip(7), IP_RECVERR).

One message is our own packet's payload as far as it was quoted, the destination that it was sent to as its address,
and a control message: struct sock_extended_err (errno u32, origin u8, type u8, code u8, pad u8, info u32, data u32),
then the offender as a sockaddr.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Container
from typing import Any

import msgspec

from vsipcheck.model import Icmp

# Python names none of these before 3.14; the numbers are the kernel's ABI.
IP_RECVERR = 11
IPV6_RECVERR = 25
SO_TIMESTAMPNS = 35
MSG_ERRQUEUE = 0x2000

_ORIGIN_ICMP = 2
_ORIGIN_ICMP6 = 3
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_TIMESPECS = {16: struct.Struct("@qq"), 8: struct.Struct("@ii")}
_ANCILLARY_BYTES = 256
_ERRORS = ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR))
_MAX_KNOWN = 1024


class QueuedError(msgspec.Struct, frozen=True, gc=False):
    """One ICMP error: about a packet to (address, port), whose payload began with `quoted`."""

    icmp: Icmp
    address: str
    port: int
    quoted: bytes
    stamp_ns: int | None  # the kernel's wall clock when it came


def enable(sock: socket.socket) -> bool:
    """Whether `sock` now hears ICMP errors."""
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    except OSError:
        return False
    return True


def disable(sock: socket.socket) -> None:
    """Hear no ICMP errors any more: on an established connection they would abort it instead of being retried over."""
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 0)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 0)
    except OSError:
        pass


def enable_timestamps(sock: socket.socket) -> None:
    """Ask for the kernel's receive stamps; where there are none, reading time has to do."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        pass


def stamp_of(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """The kernel's receive stamp in a message's control data, wall-clock nanoseconds."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            layout = _TIMESPECS.get(len(data))
            if layout is not None:
                seconds, nanoseconds = layout.unpack(data)
                return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return None


def read_error(sock: socket.socket, own: Container[str]) -> QueuedError | bool:
    """The next ICMP error of the queue; True for a message that is none (a local error); False when it is empty.

    `own` are the addresses of this host: an error that it raised itself about a packet to elsewhere has no sender.
    """
    try:
        quoted, ancillary, _flags, destination = sock.recvmsg(2048, _ANCILLARY_BYTES, MSG_ERRQUEUE)
    except OSError:
        return False
    for level, kind, data in ancillary:
        if (level, kind) in _ERRORS:
            return _queued(quoted, data, destination, stamp_of(ancillary), own)
    return True


class RepeatedErrors:
    """Reads errors of which many are alike: what a control message says is worked out once for all that are equal."""

    def __init__(self, own: Container[str]) -> None:
        self._own = own
        self._known: dict[tuple[bytes, str], Icmp] = {}

    def read(self, sock: socket.socket) -> tuple[Icmp, str, int] | bool:
        """The next ICMP error and the (address, port) it is about; True and False as `read_error` has them."""
        try:
            _quoted, ancillary, _flags, destination = sock.recvmsg(1, _ANCILLARY_BYTES, MSG_ERRQUEUE)
        except OSError:
            return False
        for level, kind, data in ancillary:
            if (level, kind) in _ERRORS:
                key = (data, destination[0] if destination else "")
                icmp = self._known.get(key)
                if icmp is None:
                    queued = _queued(b"", data, destination, None, self._own)
                    if not isinstance(queued, QueuedError):
                        return queued
                    if len(self._known) >= _MAX_KNOWN:  # a router that makes up senders
                        self._known.clear()
                    icmp = self._known[key] = queued.icmp
                return icmp, key[1], destination[1]
        return True


def _queued(
    quoted: bytes, data: bytes, destination: Any, stamp_ns: int | None, own: Container[str]
) -> QueuedError | bool:
    if len(data) < _EXTENDED_ERROR.size or not destination:
        return True
    _errno, origin, kind, code, _pad, _info, _data = _EXTENDED_ERROR.unpack_from(data)
    if origin not in (_ORIGIN_ICMP, _ORIGIN_ICMP6):
        return True
    address, port = str(destination[0]), int(destination[1])
    offender = _offender(data[_EXTENDED_ERROR.size :])
    if offender is not None and offender != address and offender in own:
        offender = None
    icmp = Icmp(address=offender, type=kind, code=code, version=6 if origin == _ORIGIN_ICMP6 else 4)
    return QueuedError(icmp, address, port, quoted, stamp_ns)


def _offender(raw: bytes) -> str | None:
    """The address in a sockaddr_in or sockaddr_in6; None for AF_UNSPEC."""
    if len(raw) < 8:
        return None
    (family,) = struct.unpack_from("=H", raw)
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[4:8])
    if family == socket.AF_INET6 and len(raw) >= 24:
        return socket.inet_ntop(socket.AF_INET6, raw[8:24])
    return None
