"""The paced sweep: one datagram to each of many ports, in a thread of its own, every ICMP answer attributed."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from array import array
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from vsipcheck.model import Failure, Icmp
from vsipcheck.net import SweepEvent, SweepResult, errqueue
from vsipcheck.net.addresses import endpoint, is_linux, open_socket, socket_address, socket_family, without_zone
from vsipcheck.net.failures import from_errno, from_icmp
from vsipcheck.net.traffic import TrafficMeter
from vsipcheck.net.waiting import in_daemon_thread

_TICK_S = 0.002
# After a stall (a busy machine, a suspended one) no more than this is caught up at once; the schedule moves instead.
_MAX_CATCH_UP_S = 0.02
# The error queue is charged against the receive buffer, about 1 KiB a message: it is read at least this often.
_DRAIN_EVERY = 32
_RECEIVE_BUFFER_BYTES = 4 << 20
_PROGRESS_INTERVAL_S = 0.1
_MAX_SEND_ATTEMPTS = 16
_DRAIN_LIMIT = 4096

_SEEN_ICMP = 1
_SEEN_DATAGRAM = 2


class Sweep:
    """One sweep. `run` blocks: it belongs into a thread."""

    def __init__(
        self,
        targets: list[tuple[str, int]],
        payload: Callable[[int], bytes],
        *,
        rate: int,
        source: str | None,
        drain_s: float,
        progress: Callable[[int], None],
        stop: Callable[[], bool],
        meter: TrafficMeter,
        own: Container[str],
    ) -> None:
        self._targets = targets
        self._payload = payload
        self._rate = max(1, rate)
        self._source = source
        self._drain_s = drain_s
        self._progress = progress
        self._stop = stop
        self._meter = meter
        self._errors = errqueue.RepeatedErrors(own)
        self._error_pending = False  # going by the last send
        self._result = SweepResult()
        self._sockets: dict[socket.AddressFamily, socket.socket | Failure] = {}
        self._books: dict[str, _Book] = {}
        self._seen = bytearray(len(targets))
        self._outstanding = len(targets)
        self._icmp: dict[Icmp, tuple[Icmp, Failure]] = {}

    def run(self) -> SweepResult:
        began = time.monotonic()
        try:
            self._send_all()
            self._listen()
        finally:
            for sock in self._sockets.values():
                if isinstance(sock, socket.socket):
                    sock.close()
            for address, book in self._books.items():
                book.count(self._meter, address)
            self._result.duration_ms = (time.monotonic() - began) * 1000
        return self._result

    def _send_all(self) -> None:
        """Send on an absolute schedule: what a slow tick missed the next one makes up for, within bounds."""
        total = len(self._targets)
        began = time.monotonic()
        reported = began
        index = 0
        while index < total:
            if self._stop():
                self._result.stopped = True
                return
            now = time.monotonic()
            behind_s = now - began - index / self._rate
            if behind_s > _MAX_CATCH_UP_S:
                began += behind_s - _MAX_CATCH_UP_S
            due = min(total, int((now - began) * self._rate) + 1)
            while index < due:
                until = min(due, index + _DRAIN_EVERY)
                for current in range(index, until):
                    self._send_one(current)
                index = until
                self._drain()
            if now - reported >= _PROGRESS_INTERVAL_S or index == total:
                reported = now
                self._progress(index)
            if index < total:
                next_due = began + index / self._rate
                time.sleep(max(0.0, min(max(next_due, now + _TICK_S) - time.monotonic(), 0.05)))
                # At slow rates the next packet is far off; the queue is looked at meanwhile.
                self._drain()

    def _send_one(self, index: int) -> None:
        address, port = self._targets[index]
        book = self._books.get(address)
        if book is None:
            book = self._books[address] = _Book(self._socket_for(address))
        sock = book.sock
        if isinstance(sock, Failure) or not 0 < port < 65536:
            self._fail(index, sock if isinstance(sock, Failure) else Failure.LOCAL_ERROR)
            return
        data = self._payload(port)
        destination = (address, port) if book.plain else socket_address(address, port)
        # Before the send, because on a short path the answer is there before it returns.
        book.sent(port, index)
        if self._error_pending:  # reading it now costs less than a send that fails
            self._error_pending = self._drain_errors(sock, 1) == 1
        previous: int | None = None
        for _ in range(_MAX_SEND_ATTEMPTS):
            try:
                sock.sendto(data, destination)
            except BlockingIOError:
                time.sleep(0.001)
                continue
            except OSError as error:
                # A pending ICMP error makes the next send raise without sending; EPERM is none of these.
                if error.errno != errno.EPERM:
                    drained = self._drain_errors(sock)
                    self._error_pending = drained > 0
                    if drained or previous != error.errno:
                        previous = None if drained else error.errno
                        continue
                failure = from_errno(
                    error.errno,
                    datagram=True,
                    bound=self._source is not None,
                    six=sock.family == socket.AF_INET6,
                    nothing_sent=is_linux(),
                )
                self._fail(index, failure)
                return
            self._result.sent += 1
            book.packets += 1
            book.payload_bytes += len(data)
            return
        self._fail(index, Failure.LOCAL_ERROR)

    def _fail(self, index: int, failure: Failure) -> None:
        self._result.local_failures.append((index, failure))
        self._outstanding -= 1

    def _socket_for(self, address: str) -> socket.socket | Failure:
        family = socket_family(address)
        if family is None:
            return Failure.LOCAL_ERROR
        known = self._sockets.get(family)
        if known is not None:
            return known
        opened = open_socket(family, socket.SOCK_DGRAM, self._source)
        if not isinstance(opened, socket.socket):
            self._sockets[family] = opened[0]
            return opened[0]
        self._sockets[family] = opened
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            opened.setsockopt(socket.SOL_SOCKET, buffer, _RECEIVE_BUFFER_BYTES)
        if is_linux():
            errqueue.enable(opened)
        return opened

    def _listen(self) -> None:
        """Wait for late answers, unless every datagram has one."""
        until = time.monotonic() + self._drain_s
        while self._outstanding and not self._result.stopped and time.monotonic() < until:
            self._drain()
            if self._stop():
                self._result.stopped = True
            time.sleep(min(0.005, max(0.0, until - time.monotonic())))
        self._drain()

    def _drain(self) -> None:
        for sock in self._sockets.values():
            if not isinstance(sock, socket.socket):
                continue
            if is_linux():
                self._drain_errors(sock)
            for _ in range(_DRAIN_LIMIT):
                try:
                    _data, sender = sock.recvfrom(1)
                except BlockingIOError:
                    break
                except OSError:
                    if not is_linux():
                        continue
                    self._drain_errors(sock)
                else:
                    self._note_datagram(*endpoint(sender))

    def _drain_errors(self, sock: socket.socket, limit: int = _DRAIN_LIMIT) -> int:
        count = 0
        while count < limit:
            queued = self._errors.read(sock)
            if queued is False:
                break
            count += 1
            if queued is not True:
                self._note_icmp(*queued)
        return count

    def _note_icmp(self, icmp: Icmp, address: str, port: int) -> None:
        # The kernel has read the destination from the quoted headers, which every router must return: no mark in the
        # payload is needed, and routers that quote only 8 bytes are attributed as well.
        book = self._books.get(address)
        index = -1 if book is None else book.index_of(port)
        if index < 0:
            self._result.unattributed += 1
            return
        if self._seen[index] & _SEEN_ICMP:
            return
        self._note_seen(index, _SEEN_ICMP)
        # One Icmp object for all answers alike: a sweep can have a hundred thousand.
        known = self._icmp.get(icmp)
        if known is None:
            known = self._icmp[icmp] = (icmp, from_icmp(icmp))
        self._result.events.append(SweepEvent(index, known[1], known[0]))

    def _note_datagram(self, address: str, port: int) -> None:
        """A datagram from a target; one from anybody else is no answer."""
        book = self._books.get(address)
        index = -1 if book is None else book.index_of(port)
        if index < 0 or self._seen[index] & _SEEN_DATAGRAM:
            return
        self._note_seen(index, _SEEN_DATAGRAM)
        self._result.events.append(SweepEvent(index, None, None))

    def _note_seen(self, index: int, what: int) -> None:
        if not self._seen[index]:
            self._outstanding -= 1
        self._seen[index] |= what


@dataclass(slots=True)
class _Book:
    """What was sent to one address: the index of the last datagram to each port, in 256 KiB whatever the sweep."""

    sock: socket.socket | Failure
    packets: int = 0
    payload_bytes: int = 0
    plain: bool = field(init=False)
    first_port: int | None = None
    several_ports: bool = False
    _indices: array[int] = field(init=False)

    def __post_init__(self) -> None:
        self.plain = isinstance(self.sock, socket.socket) and self.sock.family == socket.AF_INET
        self._indices = array("i", [-1]) * 65536

    def sent(self, port: int, index: int) -> None:
        self._indices[port] = index
        if self.first_port is None:
            self.first_port = port
        elif port != self.first_port:
            self.several_ports = True

    def index_of(self, port: int) -> int:
        return self._indices[port]

    def count(self, meter: TrafficMeter, address: str) -> None:
        if self.packets:
            port = None if self.several_ports else self.first_port
            meter.count(without_zone(address), "udp", port, self.packets, self.payload_bytes)


async def sweep(
    targets: list[tuple[str, int]],
    payload: Callable[[int], bytes],
    *,
    rate: int,
    source: str | None,
    drain_s: float,
    progress: Callable[[int], None],
    stop: Callable[[], bool],
    meter: TrafficMeter,
    own: Container[str],
) -> SweepResult:
    """Run a sweep in a thread. `progress` is called in the event loop, a few times a second, `stop` and `payload` in
    the thread. Cancelled, it ends the thread before it lets the cancellation pass."""
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()
    ended = threading.Event()

    def report(sent: int) -> None:
        try:
            loop.call_soon_threadsafe(progress, sent)
        except RuntimeError:  # the loop is gone
            cancelled.set()

    work = Sweep(
        targets,
        payload,
        rate=rate,
        source=source,
        drain_s=drain_s,
        progress=report,
        stop=lambda: cancelled.is_set() or stop(),
        meter=meter,
        own=own,
    )

    def run() -> SweepResult:
        try:
            return work.run()
        finally:
            ended.set()

    future = in_daemon_thread(run, "sweep")
    try:
        return await future
    except asyncio.CancelledError:
        cancelled.set()
        # A tick is milliseconds; its sockets are closed when this returns.
        ended.wait(1.0)
        raise
