"""TCP: one connection attempt on a socket of our own, and the stream that it gives."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Container

from vsipcheck.model import Failure, Icmp
from vsipcheck.net import Received, TcpConnect, errqueue
from vsipcheck.net.addresses import endpoint, is_linux, open_socket, socket_address, socket_family, without_zone
from vsipcheck.net.failures import from_errno, from_icmp
from vsipcheck.net.traffic import TrafficMeter
from vsipcheck.net.waiting import Readiness

# Offsets in Linux's struct tcp_info, whose fields are never moved (tcp(7), TCP_INFO).
_TCP_INFO_LAST_DATA_RECV_MS = 52
_TCP_INFO_RTT_US = 68
_TCP_INFO_TOTAL_RETRANS = 100
_TCP_INFO_DATA_SEGS_OUT = 156
_TCP_INFO_BYTES_SENT = 200
_TCP_INFO_SIZE = 232
# What the kernel tells of it is counted in its ticks, of 10 ms at most.
_LATE_MS = 20

_IN_PROGRESS = {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY, getattr(errno, "WSAEWOULDBLOCK", errno.EAGAIN)}


class TcpStream:
    """A connected TCP socket. Reads are bounded by the caller; failures are values."""

    def __init__(
        self,
        sock: socket.socket,
        readiness: Readiness,
        remote: tuple[str, int],
        now_ms: Callable[[], float],
        meter: TrafficMeter,
    ) -> None:
        self._sock = sock
        self._readiness = readiness
        self._now_ms = now_ms
        self._meter = meter
        self._broken: Failure | None = None
        self._sent_ms = float("-inf")
        self.local = endpoint(sock.getsockname())
        self.remote = remote

    async def send(self, data: bytes, timeout_s: float) -> Failure | None:
        """None when the kernel took all of it. NO_ANSWER: the peer did not read for `timeout_s`."""
        left = memoryview(data)
        try:
            async with asyncio.timeout(max(0.0, timeout_s)) as deadline:
                while left:
                    try:
                        taken = self._sock.send(left)
                    except (BlockingIOError, InterruptedError):
                        await self._readiness.ready(write=True)
                        continue
                    self._meter.count(self.remote[0], "tcp", self.remote[1], 1, taken)
                    self._sent_ms = self._now_ms()
                    left = left[taken:]
        except TimeoutError as error:
            if deadline.expired():
                return Failure.NO_ANSWER
            return self._break(error)
        except OSError as error:
            return self._break(error)
        return None

    async def receive(self, timeout_s: float, max_bytes: int = 65536) -> Received:
        """The next bytes, at most `max_bytes`; or the end, or a failure. After NO_ANSWER the stream stays usable.

        What has arrived is never NO_ANSWER, even where a busy machine lets us look only after the time-out; where the
        kernel tells when it came, that is `at_ms`.
        """
        try:
            try:
                async with asyncio.timeout(max(0.0, timeout_s)) as deadline:
                    while (data := self._read(max_bytes)) is None:
                        await self._readiness.ready()
            except TimeoutError:
                if not deadline.expired():
                    raise
                data = self._read(max_bytes)
        except OSError as error:
            return Received(b"", self._now_ms(), failure=self._break(error))
        if data is None:
            return Received(b"", self._now_ms(), failure=Failure.NO_ANSWER)
        if data:
            return Received(data, self._arrived_ms())
        # A reset that a send has seen reads as an orderly end afterwards.
        if self._broken is not None:
            return Received(b"", self._now_ms(), failure=self._broken)
        return Received(b"", self._now_ms(), closed=True)

    def _read(self, max_bytes: int) -> bytes | None:
        """What there is to read, b"" at the end of the stream; None where nothing is there yet."""
        try:
            return self._sock.recv(max_bytes)
        except (BlockingIOError, InterruptedError):
            return None

    def _arrived_ms(self) -> float:
        """When the last data came: now, unless it had to wait for us."""
        now, info = self._now_ms(), _tcp_info(self._sock)
        if len(info) < _TCP_INFO_LAST_DATA_RECV_MS + 4:
            return now
        (waited_ms,) = struct.unpack_from("=I", info, _TCP_INFO_LAST_DATA_RECV_MS)
        return now if waited_ms < _LATE_MS else min(now, max(now - waited_ms, self._sent_ms))

    def unacknowledged(self) -> int | None:
        """Bytes of ours that the peer has not acknowledged, those not yet sent included; None off Linux. tcp(7)."""
        if not is_linux() or self.closed:
            return None
        import fcntl
        import termios

        try:
            (count,) = struct.unpack("=i", fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))
        except OSError:
            return None
        return int(count)

    def segment_bytes(self) -> int | None:
        """The most payload bytes that a segment towards the peer carries; None where the system does not tell."""
        number = getattr(socket, "TCP_MAXSEG", None)
        if number is None or self.closed:
            return None
        try:
            return self._sock.getsockopt(socket.IPPROTO_TCP, number)
        except OSError:
            return None

    async def close(self) -> None:
        self.close_now()

    def close_now(self) -> None:
        """Close at once; bytes that the kernel took are still delivered."""
        self._readiness.close()

    @property
    def closed(self) -> bool:
        return self._sock.fileno() < 0

    def _break(self, error: OSError) -> Failure:
        failure = from_errno(error.errno)
        if failure is Failure.REFUSED:  # an ICMP error on an established connection, never an RST to our SYN
            failure = Failure.RESET
        self._broken = failure
        return failure


async def connect(
    address: str,
    port: int,
    timeout_s: float,
    *,
    source: str | None,
    ttl: int | None,
    now_ms: Callable[[], float],
    meter: TrafficMeter,
    own: Container[str],
) -> TcpConnect:
    """One attempt to connect to a literal address. ICMP errors end it and are named with their sender (Linux).

    Without IP_RECVERR the kernel may take an unreachable for a passing trouble and go on sending SYNs; with it a
    prohibition is seen with its sender, and so is the router where a `ttl` ran out.
    """
    at_ms = now_ms()
    family = socket_family(address)
    if family is None or not 0 < port < 65536:
        return TcpConnect(None, at_ms, failure=Failure.LOCAL_ERROR)
    opened = open_socket(family, socket.SOCK_STREAM, source, bind=False)
    if not isinstance(opened, socket.socket):
        return TcpConnect(None, at_ms, failure=opened[0], errno=opened[1])
    sock = opened
    readiness = Readiness(sock)
    kept = False
    try:
        hears_icmp = is_linux() and errqueue.enable(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if ttl is not None:
            _set_hop_limit(sock, ttl)
        at_ms = now_ms()
        code = sock.connect_ex(socket_address(address, port))
        nothing_sent = hears_icmp and code != 0 and code not in _IN_PROGRESS
        if code == 0 or code in _IN_PROGRESS:
            meter.count(without_zone(address), "tcp", port, 1, 0)
        expired = False
        if code in _IN_PROGRESS:
            try:
                async with asyncio.timeout(max(0.0, timeout_s)) as deadline:
                    code = errno.EINPROGRESS
                    while code == errno.EINPROGRESS:
                        await readiness.ready(write=True)
                        code = _connect_result(sock)
                        if code == errno.EINPROGRESS:  # woken for nothing: never spin
                            await asyncio.sleep(0.001)
            except TimeoutError:
                if not deadline.expired():
                    raise
                # A busy machine may let us look only now.
                code = _connect_result(sock)
                expired = code == errno.EINPROGRESS
        took_ms = now_ms() - at_ms
        local = _local_of(sock)
        if code == 0:
            if hears_icmp:
                errqueue.disable(sock)
            rtt_ms = _handshake_ms(sock, took_ms)
            stream = TcpStream(sock, readiness, (without_zone(address), port), now_ms, meter)
            kept = True
            return TcpConnect(stream, at_ms, rtt_ms=rtt_ms, local=local)
        icmp = _icmp_error(sock, own) if hears_icmp else None
        if icmp is not None:
            failure, number = from_icmp(icmp), (None if expired else code)
        elif expired:
            failure, number = Failure.CONNECT_TIMEOUT, None
        else:
            failure = from_errno(
                code, bound=source is not None, six=family == socket.AF_INET6, nothing_sent=nothing_sent
            )
            number = code
        # An answer of the network's, not our own kernel giving up.
        answered = failure is Failure.REFUSED if icmp is None else icmp.address is not None
        return TcpConnect(
            None,
            at_ms,
            rtt_ms=took_ms if answered and not expired else None,
            local=local,
            failure=failure,
            errno=number,
            icmp=icmp,
            waited_ms=took_ms,
        )
    except OSError as error:
        return TcpConnect(None, at_ms, failure=from_errno(error.errno), errno=error.errno)
    finally:
        if not kept:
            readiness.close()


def _connect_result(sock: socket.socket) -> int:
    """The outcome of a connect that was in progress: 0, an errno, or EINPROGRESS when the wake-up was for nothing."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        return code
    try:
        sock.getpeername()
    except OSError as error:
        return errno.EINPROGRESS if error.errno == errno.ENOTCONN else (error.errno or errno.EIO)
    return 0


def _icmp_error(sock: socket.socket, own: Container[str]) -> Icmp | None:
    """The last ICMP error about this attempt: the one that ended it."""
    found: Icmp | None = None
    while (queued := errqueue.read_error(sock, own)) is not False:
        if isinstance(queued, errqueue.QueuedError):
            found = queued.icmp
    return found


def _local_of(sock: socket.socket) -> tuple[str, int] | None:
    try:
        local = endpoint(sock.getsockname())
    except OSError:
        return None
    return local if local[1] else None


def _set_hop_limit(sock: socket.socket, ttl: int) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


def _tcp_info(sock: socket.socket) -> bytes:
    """Linux's struct tcp_info as far as the kernel fills it; empty elsewhere."""
    if not is_linux():
        return b""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except OSError:
        return b""


def _handshake_ms(sock: socket.socket, took_ms: float) -> float:
    """SYN to SYN-ACK. The kernel's own figure where it has one that can be right: ours also holds how late a busy event
    loop woke us. After a repeated SYN the time that we waited is told."""
    info = _tcp_info(sock)
    if len(info) < _TCP_INFO_TOTAL_RETRANS + 4:
        return took_ms
    (rtt_us,) = struct.unpack_from("=I", info, _TCP_INFO_RTT_US)
    (repeated,) = struct.unpack_from("=I", info, _TCP_INFO_TOTAL_RETRANS)
    if repeated or not 0 < rtt_us / 1000 <= took_ms:
        return took_ms
    return float(rtt_us / 1000)


def sent_on(sock: socket.socket) -> tuple[int, int] | None:
    """(segments with data, payload bytes) that the kernel sent on a connection; None where it does not tell."""
    info = _tcp_info(sock)
    if len(info) < _TCP_INFO_BYTES_SENT + 8:
        return None
    (segments,) = struct.unpack_from("=I", info, _TCP_INFO_DATA_SEGS_OUT)
    (size,) = struct.unpack_from("=Q", info, _TCP_INFO_BYTES_SENT)
    return (segments, size)
