"""UDP sockets: on Linux an unconnected one that hears ICMP errors; elsewhere one connected per destination."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Container, Iterator

from vsipcheck.model import Failure, Icmp
from vsipcheck.net import Datagram, IcmpError, errqueue
from vsipcheck.net.addresses import (
    SocketAddress,
    endpoint,
    open_socket,
    socket_address,
    socket_family,
    without_zone,
)
from vsipcheck.net.failures import (
    ICMP6_DEST_UNREACHABLE,
    ICMP_DEST_UNREACHABLE,
    from_errno,
    from_icmp,
)
from vsipcheck.net.traffic import TrafficMeter
from vsipcheck.net.waiting import POLL_INTERVAL_S, Readiness

Arrival = Datagram | IcmpError

_RECEIVE_BUFFER_BYTES = 1 << 20
_LARGEST_DATAGRAM = 65535
# A flood must not fill our memory: what waits beyond this is dropped, as the kernel would.
_MAX_WAITING = 8192
# Pending ICMP errors make sends raise; this many in a row are drained before the send is given up.
_MAX_SEND_ATTEMPTS = 16
_SEND_BUFFER_WAIT_MS = 20
IPV6_HOPLIMIT = getattr(socket, "IPV6_HOPLIMIT", 52)


class ErrorQueueSocket:
    """An unconnected UDP socket with IP_RECVERR: every ICMP error with its sender and the datagram it is about."""

    def __init__(
        self, sock: socket.socket, now_ms: Callable[[], float], meter: TrafficMeter, own: Container[str]
    ) -> None:
        self._sock = sock
        self._now_ms = now_ms
        self._meter = meter
        self._own = own
        self._waiting: deque[Arrival] = deque(maxlen=_MAX_WAITING)
        self._readiness = Readiness(sock)
        # No stamp may lie before this: whatever came earlier has been read.
        self._empty_at_ms = now_ms()
        self.local = endpoint(sock.getsockname())

    @classmethod
    def open(
        cls,
        family: socket.AddressFamily,
        source: str | None,
        now_ms: Callable[[], float],
        meter: TrafficMeter,
        own: Container[str],
    ) -> ErrorQueueSocket | Failure:
        opened = open_socket(family, socket.SOCK_DGRAM, source)
        if not isinstance(opened, socket.socket):
            return opened[0]
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            # The first stamps after the kernel's clocking was switched on are late, so that is done before any send.
            errqueue.enable_timestamps(opened)
            if not errqueue.enable(opened):
                opened.close()
                return Failure.NOT_SUPPORTED
            return cls(opened, now_ms, meter, own)
        except OSError as error:
            opened.close()
            return from_errno(error.errno, datagram=True)

    def send(self, data: bytes, address: str, port: int, ttl: int | None = None) -> Failure | None:
        """None when the kernel took it. A pending ICMP error makes a send raise without sending: it is read, and the
        send repeated. EPERM is a drop in this host's own output chain."""
        if socket_family(address) != self._sock.family or not 0 < port < 65536:
            return Failure.LOCAL_ERROR
        control: list[tuple[int, int, bytes]] = []
        if ttl is not None:
            if self._sock.family == socket.AF_INET6:
                control.append((socket.IPPROTO_IPV6, IPV6_HOPLIMIT, struct.pack("=i", ttl)))
            else:
                control.append((socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", ttl)))
        destination = socket_address(address, port)
        previous: int | None = None
        for _ in range(_MAX_SEND_ATTEMPTS):
            try:
                self._sock.sendmsg([data], control, 0, destination)
            except BlockingIOError:
                if not select.select([], [self._sock], [], _SEND_BUFFER_WAIT_MS / 1000)[1]:
                    return Failure.LOCAL_ERROR
            except OSError as error:
                # No ICMP error becomes EPERM, so this one is the send's own.
                if error.errno == errno.EPERM:
                    return Failure.LOCAL_DENIED
                drained = self._drain_errors()
                if drained:  # the queue is empty now, so the kernel will not wake the receiver
                    self._readiness.wake()
                if drained == 0 and previous == error.errno:
                    return from_errno(
                        error.errno,
                        datagram=True,
                        bound=self.local[0] not in ("0.0.0.0", "::"),
                        six=self._sock.family == socket.AF_INET6,
                        nothing_sent=True,
                    )
                previous = error.errno if drained == 0 else None
            else:
                self._meter.count(without_zone(address), "udp", port, 1, len(data))
                return None
        return Failure.LOCAL_ERROR

    async def receive(self, timeout_s: float) -> list[Arrival]:
        """All that has arrived, waiting up to `timeout_s` for the first. One receiver at a time; [] once closed."""
        self._drain()
        try:
            async with asyncio.timeout(max(0.0, timeout_s)) as deadline:
                while not self._waiting and self._sock.fileno() >= 0:
                    await self._readiness.ready()
                    self._drain()
        except TimeoutError:
            if not deadline.expired():
                raise
            self._drain()
        arrived = list(self._waiting)
        self._waiting.clear()
        return arrived

    def close(self) -> None:
        self.close_now()

    def close_now(self) -> None:
        self._readiness.close()

    @property
    def closed(self) -> bool:
        return self._sock.fileno() < 0

    def _drain(self) -> None:
        """Read both queues until they are empty, or until as much waits as we keep."""
        if self._sock.fileno() < 0:
            return
        began_ms = self._now_ms()
        self._drain_errors()
        for _ in range(_MAX_WAITING):
            try:
                data, ancillary, _flags, sender = self._sock.recvmsg(_LARGEST_DATAGRAM, 64)
            except BlockingIOError:
                break
            except OSError:  # a pending ICMP error, which is in the other queue
                self._drain_errors()
            else:
                at_ms = self._at_ms(errqueue.stamp_of(ancillary))
                self._waiting.append(Datagram(data, *endpoint(sender), at_ms))
        self._empty_at_ms = began_ms

    def _drain_errors(self) -> int:
        """Read the error queue until it is empty; how many messages it held."""
        count = 0
        while count < _MAX_WAITING:
            queued = errqueue.read_error(self._sock, self._own)
            if queued is False:
                break
            count += 1
            if isinstance(queued, errqueue.QueuedError):
                self._waiting.append(
                    IcmpError(
                        queued.icmp,
                        from_icmp(queued.icmp),
                        queued.address,
                        queued.port,
                        queued.quoted,
                        self._at_ms(queued.stamp_ns),
                    )
                )
        return count

    def _at_ms(self, stamp_ns: int | None) -> float:
        """The moment of arrival on the run's scale. Stamps are wall-clock: one that lies in the future, or before the
        queue was last seen empty, tells of a clock that was set meanwhile, and reading time is taken instead."""
        now_ms = self._now_ms()
        if stamp_ns is None:
            return now_ms
        at_ms = now_ms - (time.time_ns() - stamp_ns) / 1e6
        return at_ms if self._empty_at_ms <= at_ms <= now_ms else now_ms


class ConnectedUdpSockets:
    """The same for platforms without an error queue: a base socket, and one connected socket per destination.

    A connected socket is told of a port-unreachable (ECONNREFUSED, on Windows WSAECONNRESET), but not by whom, and of
    no other ICMP error reliably. All share the local port, so that a NAT sees one source.
    """

    # macOS allows 256 descriptors a process by default; destinations beyond this go through the base socket.
    MAX_CONNECTED = 128

    def __init__(self, base: socket.socket, now_ms: Callable[[], float], meter: TrafficMeter) -> None:
        self._base = base
        self._now_ms = now_ms
        self._meter = meter
        self._connected: dict[SocketAddress, socket.socket] = {}
        self._waiting: deque[Arrival] = deque(maxlen=_MAX_WAITING)
        self.local = endpoint(base.getsockname())

    @classmethod
    def open(
        cls, family: socket.AddressFamily, source: str | None, now_ms: Callable[[], float], meter: TrafficMeter
    ) -> ConnectedUdpSockets | Failure:
        opened = open_socket(family, socket.SOCK_DGRAM, source)
        if not isinstance(opened, socket.socket):
            return opened[0]
        # Bound once to draw a free port, and again with sharing allowed.
        address = opened.getsockname()
        opened.close()
        shared = _open_shared(family, address)
        return shared if isinstance(shared, Failure) else cls(shared, now_ms, meter)

    def send(self, data: bytes, address: str, port: int, ttl: int | None = None) -> Failure | None:
        """None when the kernel took it. An error that an earlier datagram left behind is kept as an arrival."""
        if socket_family(address) != self._base.family or not 0 < port < 65536:
            return Failure.LOCAL_ERROR
        destination = socket_address(address, port)
        sock = self._socket_to(destination)
        if isinstance(sock, Failure):
            return sock
        for attempt in range(2):
            try:
                with _hop_limit(sock, ttl):
                    if sock is self._base:
                        sock.sendto(data, destination)
                    else:
                        sock.send(data)
            except OSError as error:
                six = self._base.family == socket.AF_INET6
                failure = from_errno(error.errno, datagram=True, bound=False, six=six)
                if failure is Failure.PORT_UNREACHABLE and attempt == 0:
                    self._waiting.append(self._unreachable(destination))
                    continue
                return failure
            else:
                self._meter.count(without_zone(address), "udp", port, 1, len(data))
                return None
        return Failure.PORT_UNREACHABLE

    async def receive(self, timeout_s: float) -> list[Arrival]:
        """All that has arrived, waiting up to `timeout_s` for the first; looks every few milliseconds."""
        deadline_ms = self._now_ms() + timeout_s * 1000
        while True:
            self._drain()
            if self._waiting or self._now_ms() >= deadline_ms:
                break
            await asyncio.sleep(min(POLL_INTERVAL_S, max(0.0, (deadline_ms - self._now_ms()) / 1000)))
        arrived = list(self._waiting)
        self._waiting.clear()
        return arrived

    def close(self) -> None:
        self.close_now()

    @property
    def closed(self) -> bool:
        return self._base.fileno() < 0

    def close_now(self) -> None:
        for sock in (self._base, *self._connected.values()):
            sock.close()

    def _socket_to(self, destination: SocketAddress) -> socket.socket | Failure:
        sock = self._connected.get(destination)
        if sock is not None:
            return sock
        if len(self._connected) >= self.MAX_CONNECTED:
            return self._base
        shared = _open_shared(self._base.family, self._base.getsockname())
        if isinstance(shared, Failure):
            return self._base
        try:
            shared.connect(destination)
        except OSError as error:
            shared.close()
            return from_errno(error.errno, datagram=True, bound=False, six=self._base.family == socket.AF_INET6)
        self._connected[destination] = shared
        return shared

    def _drain(self) -> None:
        for destination, sock in [(None, self._base), *self._connected.items()]:
            for _ in range(_MAX_WAITING):
                if sock.fileno() < 0:
                    break
                try:
                    data, sender = sock.recvfrom(_LARGEST_DATAGRAM)
                except BlockingIOError:
                    break
                except OSError as error:
                    failure = from_errno(error.errno, datagram=True, bound=False)
                    if destination is not None and failure is Failure.PORT_UNREACHABLE:
                        self._waiting.append(self._unreachable(destination))
                    continue
                self._waiting.append(Datagram(data, *endpoint(sender), self._now_ms()))

    def _unreachable(self, destination: SocketAddress) -> IcmpError:
        """A port-unreachable whose sender the platform does not tell; the word is PORT_UNREACHABLE all the same."""
        if self._base.family == socket.AF_INET6:
            icmp = Icmp(address=None, type=ICMP6_DEST_UNREACHABLE, code=4, version=6)
        else:
            icmp = Icmp(address=None, type=ICMP_DEST_UNREACHABLE, code=3)
        return IcmpError(icmp, Failure.PORT_UNREACHABLE, *endpoint(destination), b"", self._now_ms())


def _open_shared(family: socket.AddressFamily, address: SocketAddress) -> socket.socket | Failure:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # BSDs want SO_REUSEPORT for this; on Linux that would spread the datagrams over the sockets.
        if sys.platform == "darwin" or "bsd" in sys.platform:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        return from_errno(error.errno, datagram=True)
    return sock


@contextlib.contextmanager
def _hop_limit(sock: socket.socket, ttl: int | None) -> Iterator[None]:
    """For one send: these platforms have no reliable TTL control message."""
    if ttl is None:
        yield
        return
    if sock.family == socket.AF_INET6:
        level, option = socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS
    else:
        level, option = socket.IPPROTO_IP, socket.IP_TTL
    usual = sock.getsockopt(level, option)
    sock.setsockopt(level, option, ttl)
    try:
        yield
    finally:
        sock.setsockopt(level, option, usual)
