"""The real network: this host's sockets."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from vsipcheck.model import Failure, Family, Traffic
from vsipcheck.net import (
    Capabilities,
    DnsReply,
    HttpReply,
    InterfaceAddress,
    Nameserver,
    RouteChoice,
    SweepResult,
    SystemLookup,
    TcpConnect,
    UdpSocket,
    errqueue,
    tcp,
)
from vsipcheck.net.addresses import OwnAddresses, family_of_word, is_linux, open_socket, socket_family
from vsipcheck.net.traffic import TrafficMeter
from vsipcheck.net.udp import ConnectedUdpSockets, ErrorQueueSocket

_OS_NAMES = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}


class _Closable(Protocol):
    @property
    def closed(self) -> bool: ...

    def close_now(self) -> None: ...


class HostNetwork:
    """`Network` on this host. Use as a context manager, or `close` it: sockets still open are closed then."""

    simulated = False

    def __init__(self, start_monotonic: float | None = None, *, connected_udp: bool | None = None) -> None:
        """`start_monotonic`: the `time.monotonic()` at which the run began. `connected_udp` forces (or forbids) the
        fallback of platforms without an error queue."""
        self._start = time.monotonic() if start_monotonic is None else start_monotonic
        self._meter = TrafficMeter()
        self._own = OwnAddresses()
        self.capabilities = _capabilities() if connected_udp is None else _forced(connected_udp)
        self._open: list[_Closable] = []
        self._https: object | None = None

    def __enter__(self) -> HostNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is still open."""
        for item in self._open:
            item.close_now()
        self._open.clear()

    def now_ms(self) -> float:
        return (time.monotonic() - self._start) * 1000

    def traffic(self) -> Traffic:
        return self._meter.traffic()

    async def resolve_system(self, name: str, family: Family, timeout_s: float) -> SystemLookup:
        from vsipcheck.net import system

        return await system.resolve_system(name, family, timeout_s, self.now_ms)

    def nameservers(self) -> list[Nameserver]:
        from vsipcheck.net import dns

        return dns.configured_nameservers()

    async def dns_exchange(
        self,
        server: str,
        port: int,
        query: bytes,
        *,
        transport: str,
        timeout_s: float,
        accept: Callable[[bytes], bool],
        source: str | None = None,
    ) -> DnsReply:
        from vsipcheck.net import dns

        if transport == "tcp":
            deadline_ms = self.now_ms() + timeout_s * 1000
            connected = await self.tcp_connect(server, port, timeout_s, source=source)
            return await dns.exchange_tcp(connected, query, deadline_ms=deadline_ms, accept=accept, now_ms=self.now_ms)
        six = ":" in server
        sock = self.udp_socket(Family.IPV6 if six else Family.IPV4, source=source)
        if isinstance(sock, Failure):
            return DnsReply(None, None, sock)
        try:
            return await dns.exchange_udp(
                sock,
                server,
                port,
                query,
                timeout_s=timeout_s,
                accept=accept,
                source=source,
                now_ms=self.now_ms,
            )
        finally:
            sock.close()

    async def tcp_connect(
        self, address: str, port: int, timeout_s: float, *, source: str | None = None, ttl: int | None = None
    ) -> TcpConnect:
        connected = await tcp.connect(
            address,
            port,
            timeout_s,
            source=source,
            ttl=ttl,
            now_ms=self.now_ms,
            meter=self._meter,
            own=self._own,
        )
        if isinstance(connected.stream, tcp.TcpStream):
            self._keep(connected.stream)
        return connected

    def udp_socket(self, family: Family, *, source: str | None = None) -> UdpSocket | Failure:
        """ANY is the family of `source`, else IPv4."""
        wanted = (socket_family(source) if source and family is Family.ANY else None) or family_of_word(family)
        opened: ErrorQueueSocket | ConnectedUdpSockets | Failure
        if self.capabilities.icmp_errors:
            opened = ErrorQueueSocket.open(wanted, source, self.now_ms, self._meter, self._own)
        else:
            opened = ConnectedUdpSockets.open(wanted, source, self.now_ms, self._meter)
        if not isinstance(opened, Failure):
            self._keep(opened)
        return opened

    def _keep(self, item: _Closable) -> None:
        self._open = [kept for kept in self._open if not kept.closed]
        self._open.append(item)

    async def https_get(
        self, url: str, *, timeout_s: float, max_bytes: int, source: str | None = None, family: Family = Family.IPV4
    ) -> HttpReply:
        from vsipcheck.net import http

        if not isinstance(self._https, http.HttpsClient):
            self._https = http.HttpsClient(self.resolve_system, self.now_ms, self._meter)
        return await self._https.get(url, timeout_s=timeout_s, max_bytes=max_bytes, source=source, family=family)

    async def http_exchange(
        self,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        max_bytes: int,
        source: str | None = None,
    ) -> HttpReply:
        from vsipcheck.net import http

        if not isinstance(self._https, http.HttpsClient):
            self._https = http.HttpsClient(self.resolve_system, self.now_ms, self._meter)
        return await self._https.exchange(
            url, body=body, headers=headers or {}, timeout_s=timeout_s, max_bytes=max_bytes, source=source
        )

    async def sweep(
        self,
        targets: list[tuple[str, int]],
        payload: Callable[[int], bytes],
        *,
        rate: int,
        source: str | None,
        drain_s: float,
        progress: Callable[[int], None],
        stop: Callable[[], bool],
    ) -> SweepResult:
        """`progress` is called in the event loop; `payload` and `stop` are called in the sweep's thread."""
        from vsipcheck.net import sweep

        return await sweep.sweep(
            targets,
            payload,
            rate=rate,
            source=source,
            drain_s=drain_s,
            progress=progress,
            stop=stop,
            meter=self._meter,
            own=self._own,
        )

    def interfaces(self) -> list[InterfaceAddress]:
        from vsipcheck.net import interfaces

        return interfaces.interface_addresses()

    def route_to(self, address: str) -> RouteChoice:
        from vsipcheck.net import interfaces

        return interfaces.route_to(address)

    def kernel_counters(self) -> dict[str, int]:
        return system_counters() if is_linux() else {}


def system_counters(path: str = "/proc/net/netstat") -> dict[str, int]:
    """TCPSynRetrans and TCPRetransFail of this network namespace; {} where they can't be read."""
    try:
        with open(path, encoding="ascii") as file:
            names, values = (line.split() for line in file if line.startswith("TcpExt:"))
        counted = dict(zip(names[1:], map(int, values[1:]), strict=True))
        return {name: counted[name] for name in ("TCPSynRetrans", "TCPRetransFail")}
    except (OSError, ValueError, KeyError):
        return {}


def _capabilities() -> Capabilities:
    name = _OS_NAMES.get(sys.platform, sys.platform)
    if not is_linux():
        return Capabilities(False, False, name, f"{name} shows an ordinary user no ICMP errors with their sender")
    # Some look-alikes of Linux (gVisor, WSL 1) lack it.
    import socket

    opened = open_socket(socket.AF_INET, socket.SOCK_DGRAM, None, bind=False)
    if isinstance(opened, socket.socket):
        heard = errqueue.enable(opened)
        opened.close()
        if not heard:
            return Capabilities(False, False, name, "this kernel has no error queue for sockets (IP_RECVERR)")
    return Capabilities(True, True, name)


def _forced(connected_udp: bool) -> Capabilities:
    name = _OS_NAMES.get(sys.platform, sys.platform)
    if connected_udp:
        return Capabilities(False, False, name, "connected UDP sockets were asked for")
    return Capabilities(True, True, name)
