"""`SimNetwork`: the real names, addresses and ports as the checks see them, on loopback sockets and a scripted path.

Bytes are real: SIP, DNS and STUN go through sockets to listeners on 127.0.0.1. What loopback cannot do is scripted:
routers, ICMP, refused and silent handshakes, the public address, HTTPS.

**Time** is real: answers take the scenario's round-trip times, and silence lasts as long as the checks are willing to
wait. They pace themselves by the clock (when to look where a SYN got stuck, when to ask again), so a silence that was
cut short, or a clock that ran faster, would show them another network than the scenario's. Only the sweep is not paced.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
import urllib.parse
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from vsipcheck.model import Failure, Family, Icmp, Profile, Traffic
from vsipcheck.net import (
    Capabilities,
    Datagram,
    DnsReply,
    HttpReply,
    IcmpError,
    InterfaceAddress,
    Nameserver,
    Received,
    RouteChoice,
    Stream,
    SweepEvent,
    SweepResult,
    SystemLookup,
    TcpConnect,
    UdpSocket,
)
from vsipcheck.net.failures import from_icmp
from vsipcheck.net.traffic import TrafficMeter
from vsipcheck.sim import gateway
from vsipcheck.sim.dns import ROOT_SERVERS, TLD_SERVER, ZONE_SERVERS, Authority, NameserverListener, Zone
from vsipcheck.sim.edge import Edge
from vsipcheck.sim.path import DNS_PORT, End, Fate, Paths
from vsipcheck.sim.scenario import Dns, DnsServer, EchoBehaviour, Name, Scenario, SipBehaviour, StunBehaviour
from vsipcheck.sim.stun import StunListener

LOOPBACK = "127.0.0.1"
# What a listener does that is there only to be connected to, and the web page in everybody's place.
_MUTE = SipBehaviour(kind="silent", pong=False)
_PORTAL = SipBehaviour(kind="http")
# glibc turns to the next nameserver after this; resolv.conf(5): options timeout:1 attempts:1.
_SYSTEM_TIMEOUT_S = 1.0
_SWEEP_CHUNK = 2000
_SYN_AGAIN_S = (1.0, 3.0, 7.0, 15.0)  # RFC 6298 §5.5


class SimStream:
    """A loopback connection that goes by the scenario's addresses."""

    def __init__(
        self,
        network: SimNetwork,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        local: tuple[str, int],
        remote: tuple[str, int],
    ) -> None:
        self.local = local
        self.remote = remote
        self._network = network
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes, timeout_s: float) -> Failure | None:
        self._network.meter.count(self.remote[0], "tcp", self.remote[1], 1, len(data))
        if self._writer.is_closing():
            return Failure.RESET
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.write(data)
                await self._writer.drain()
        except ConnectionError:
            return Failure.RESET
        except TimeoutError:
            return Failure.NO_ANSWER
        return None

    async def receive(self, timeout_s: float, max_bytes: int = 65536) -> Received:
        now_ms = self._network.now_ms
        try:
            async with asyncio.timeout(timeout_s):
                data = await self._reader.read(max_bytes)
        except ConnectionError:
            return Received(b"", now_ms(), failure=Failure.RESET)
        except TimeoutError:
            return Received(b"", now_ms(), failure=Failure.NO_ANSWER)
        return Received(data, now_ms(), closed=not data)

    def unacknowledged(self) -> int | None:
        return None

    def segment_bytes(self) -> int | None:
        return None

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


class SimUdpSocket:
    """A loopback UDP socket whose datagrams meet the scenario's path; only those to a STUN server really leave it."""

    def __init__(self, network: SimNetwork, source: str | None) -> None:
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((LOOPBACK, 0))
        self.local = (source or "0.0.0.0", self._socket.getsockname()[1])
        self._arrived: list[Datagram | IcmpError] = []
        self._news = asyncio.Event()
        self._closed = False
        self._loop.add_reader(self._socket, self._read)

    def send(self, data: bytes, address: str, port: int, ttl: int | None = None) -> Failure | None:
        if self._closed:
            return Failure.LOCAL_ERROR
        fate = self._network.paths.fate("udp", address, port, ttl)
        if fate.end is End.DENIED:
            return Failure.LOCAL_DENIED
        if fate.end is End.NO_ROUTE:
            return Failure.NO_ROUTE
        self._network.meter.count(address, "udp", port, 1, len(data))
        scenario = self._network.scenario
        if ttl is None and gateway.is_asked(scenario, address, port):
            rtt_s = scenario.routers[0].rtt_ms / 1000
            for reply, sender_port in gateway.datagrams(scenario, data, address, port):
                self._loop.call_later(rtt_s, self._take, reply, scenario.host.gateway, sender_port)
        elif fate.end is End.ICMP and fate.icmp is not None:
            self._loop.call_later(fate.rtt_ms / 1000, self._take_error, fate.icmp, address, port, data)
        elif fate.end is End.ARRIVED:
            listener = self._network.stun_listeners.get((address, port))
            if listener is not None:
                with suppress(OSError):
                    self._socket.sendto(data, (LOOPBACK, listener.port))
        return None

    async def receive(self, timeout_s: float) -> list[Datagram | IcmpError]:
        if not self._arrived:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return []
        self._news.clear()
        arrived, self._arrived = self._arrived, []
        return arrived

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _take(self, data: bytes, address: str, port: int) -> None:
        if not self._closed:
            self._arrived.append(Datagram(data, address, port, self._network.now_ms()))
            self._news.set()

    def _take_error(self, icmp: Icmp, address: str, port: int, data: bytes) -> None:
        if self._closed:
            return
        self._arrived.append(
            IcmpError(
                icmp=icmp,
                failure=from_icmp(icmp),
                address=address,
                port=port,
                quoted=data,
                at_ms=self._network.now_ms(),
            )
        )
        self._news.set()

    def _read(self) -> None:
        while True:
            try:
                data, (_, loopback_port) = self._socket.recvfrom(65536)
            except OSError:
                return
            sender = self._network.stun_addresses.get(loopback_port)
            if sender is not None:
                self._arrived.append(Datagram(data, sender[0], sender[1], self._network.now_ms()))
                self._news.set()


class SimNetwork:
    """A `Network` on one scenario. Open it with `open_simulation`, which starts and ends its listeners."""

    simulated = True
    capabilities = Capabilities(icmp_errors=True, ttl_probes=True, os="linux")

    def __init__(self, scenario: Scenario, profile: Profile) -> None:
        self.scenario = scenario
        self.profile = profile
        self.meter = TrafficMeter()
        self._started = time.monotonic()
        names = _helper_names(scenario, profile)
        helper_addresses = frozenset(address for name in names.values() for address in name.addresses)
        self.paths = Paths(scenario, helper_addresses, profile.signalling.port)
        self.zone = Zone(scenario.dns, names, frozenset(pop.fqdn.lower() for pop in profile.signalling.pops))
        self._nameservers = {server.address: NameserverListener(server, self.zone) for server in scenario.dns.servers}
        self._authorities: dict[str, NameserverListener] = {}
        if scenario.dns.authority == "answers":
            tree = Authority(Dns(servers=(), names=scenario.dns.names), names, frozenset())
            for address in (ROOT_SERVERS[0], TLD_SERVER, *ZONE_SERVERS):
                above = DnsServer(address=address, rtt_ms=scenario.elsewhere.rtt_ms)
                self._authorities[address] = NameserverListener(above, tree)
            self._authorities |= dict.fromkeys(ROOT_SERVERS, self._authorities[ROOT_SERVERS[0]])
        self._edges: dict[tuple[str, int], Edge] = {}
        for address, target in scenario.targets.items():
            if target.sip is not None:
                self._add_edge(address, profile.signalling.port, target.sip, target.rtt_ms)
            for service in target.services:
                self._add_edge(address, service.port, service.behaviour, target.rtt_ms)
        for address in helper_addresses:
            self._add_edge(address, 443, _MUTE, scenario.helpers.rtt_ms)
        self._portal = Edge(_PORTAL, scenario.routers[0].rtt_ms, lambda port: (scenario.host.address, port))
        self.stun_listeners: dict[tuple[str, int], StunListener] = {}
        for server in profile.stun_servers:
            behaviour = scenario.stun.get(server.id) or scenario.stun.get("*") or StunBehaviour(kind="silent")
            for address in self.zone.true_addresses(server.host.lower()) or (server.host,):
                mapped = partial(self._mapped, "udp", address, server.port)
                self.stun_listeners[address, server.port] = StunListener(behaviour, scenario.helpers.rtt_ms, mapped)
        self.stun_addresses: dict[int, tuple[str, int]] = {}  # by the listener's loopback port
        self._counters = {"TCPSynRetrans": 0, "TCPRetransFail": 0}
        self._streams: list[SimStream] = []
        self._udp_sockets: list[SimUdpSocket] = []

    async def start(self) -> None:
        """Open every listener, on 127.0.0.1 and a free port each."""
        for listener in self._listeners():
            await listener.start()
        self.stun_addresses = {listener.port: key for key, listener in self.stun_listeners.items()}

    async def close(self) -> None:
        """Close every listener, stream and socket."""
        for udp_socket in self._udp_sockets:
            udp_socket.close()
        for stream in self._streams:
            await stream.close()
        for listener in self._listeners():
            await listener.close()

    def listening_ports(self) -> list[int]:
        """The loopback ports of all listeners."""
        return [listener.port for listener in self._listeners()]

    def edge_port(self, address: str, port: int) -> int:
        """The loopback port behind (address, port). Raises KeyError where nothing listens."""
        return self._edges[address, port].port

    def nameserver_port(self, address: str) -> int:
        """The loopback port of a nameserver, the same for UDP and TCP. Raises KeyError for an unknown one."""
        return self._nameservers[address].port

    # The `Network` protocol.

    def now_ms(self) -> float:
        return (time.monotonic() - self._started) * 1000

    def traffic(self) -> Traffic:
        return self.meter.traffic()

    async def resolve_system(self, name: str, family: Family, timeout_s: float) -> SystemLookup:
        """As glibc does it: the configured nameservers one after the other, until one answers yes or no."""
        started_ms = self.now_ms()
        kinds = {Family.IPV4: ("A",), Family.IPV6: ("AAAA",)}.get(family, ("A", "AAAA"))

        def elapsed_ms() -> float:
            return self.now_ms() - started_ms

        for server in self.nameservers():
            wait_s = min(_SYSTEM_TIMEOUT_S, timeout_s - elapsed_ms() / 1000)
            if wait_s <= 0:
                return SystemLookup((), elapsed_ms(), Failure.DNS_TIMEOUT)
            answers = await asyncio.gather(*(self._look_up(server, name, kind, wait_s) for kind in kinds))
            failures = {failure for failure, _ in answers}
            addresses = tuple(address for _, found in answers for address in found)
            if addresses:
                return SystemLookup(addresses, elapsed_ms())
            if failures <= {Failure.NXDOMAIN, Failure.NODATA}:
                failure = Failure.NXDOMAIN if Failure.NXDOMAIN in failures else Failure.NODATA
                return SystemLookup((), elapsed_ms(), failure)
        # What EAI_AGAIN stands for: nobody said anything that counts.
        return SystemLookup((), elapsed_ms(), Failure.SERVFAIL)

    def nameservers(self) -> list[Nameserver]:
        return [
            Nameserver(server.address, DNS_PORT, "resolv.conf")
            for server in self.scenario.dns.servers
            if server.configured
        ]

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
        if not self._is_source(source):
            return DnsReply(None, None, Failure.ADDRESS_UNAVAILABLE)
        local = source or self.scenario.host.address
        listener = self._listener_at(self.scenario.dns.intercepted_by or server) if port == DNS_PORT else None
        fate = self.paths.fate("tcp" if transport == "tcp" else "udp", server, port)
        self.meter.count(server, transport, port, 1, len(query))
        if fate.end is End.NO_ROUTE:
            return DnsReply(None, None, Failure.NO_ROUTE)
        if fate.end is End.DENIED:
            return DnsReply(None, None, Failure.LOCAL_DENIED)
        if listener is None or fate.end is not End.ARRIVED:
            if fate.end is End.ICMP and fate.icmp is not None:
                await asyncio.sleep(fate.rtt_ms / 1000)
                return DnsReply(None, fate.rtt_ms, from_icmp(fate.icmp), fate.icmp, local_address=local)
            if fate.end is End.RESET:
                return DnsReply(None, fate.rtt_ms, Failure.REFUSED, local_address=local)
            await asyncio.sleep(timeout_s)
            return DnsReply(None, None, Failure.DNS_TIMEOUT, local_address=local)
        if transport == "tcp":
            return await self._dns_over_tcp(listener, query, timeout_s, accept, local)
        return await self._dns_over_udp(listener, query, timeout_s, accept, local)

    def _listener_at(self, server: str) -> NameserverListener | None:
        return self._nameservers.get(server) or self._authorities.get(server)

    async def tcp_connect(
        self, address: str, port: int, timeout_s: float, *, source: str | None = None, ttl: int | None = None
    ) -> TcpConnect:
        at_ms = self.now_ms()
        if not self._is_source(source):
            return TcpConnect(None, at_ms, failure=Failure.ADDRESS_UNAVAILABLE, errno=errno.EADDRNOTAVAIL)
        if ":" in address:
            return TcpConnect(None, at_ms, failure=Failure.NO_ROUTE, errno=errno.ENETUNREACH)
        fate = self.paths.fate("tcp", address, port, ttl)
        if fate.end is End.NO_ROUTE:
            return TcpConnect(None, at_ms, failure=Failure.NO_ROUTE, errno=errno.ENETUNREACH)
        self.meter.count(address, "tcp", port, 1, 0)
        edge = self._portal if fate.end is End.PORTAL else self._edges.get((address, port))
        if fate.end in (End.ARRIVED, End.PORTAL) and edge is not None and fate.rtt_ms <= timeout_s * 1000:
            return await self._connect_to(edge, fate, (address, port), source, at_ms)
        if fate.end is End.ICMP and fate.icmp is not None:
            await asyncio.sleep(fate.rtt_ms / 1000)
            return TcpConnect(
                None,
                at_ms,
                fate.rtt_ms,
                failure=from_icmp(fate.icmp),
                errno=errno.EHOSTUNREACH,
                icmp=fate.icmp,
            )
        if fate.end is End.RESET:
            await asyncio.sleep(fate.rtt_ms / 1000)
            return TcpConnect(None, at_ms, fate.rtt_ms, failure=Failure.REFUSED, errno=errno.ECONNREFUSED)
        await asyncio.sleep(timeout_s)
        again = sum(at_s <= timeout_s for at_s in _SYN_AGAIN_S)
        self._counters["TCPSynRetrans"] += again
        if self.paths.stays_here("tcp", address, port):
            self._counters["TCPRetransFail"] += again
        return TcpConnect(None, at_ms, failure=Failure.CONNECT_TIMEOUT, waited_ms=timeout_s * 1000)

    def udp_socket(self, family: Family, *, source: str | None = None) -> UdpSocket | Failure:
        if not self._is_source(source):
            return Failure.ADDRESS_UNAVAILABLE
        if family is Family.IPV6:
            return Failure.NO_ROUTE
        opened = SimUdpSocket(self, source)
        self._udp_sockets.append(opened)
        return opened

    async def https_get(
        self, url: str, *, timeout_s: float, max_bytes: int, source: str | None = None, family: Family = Family.IPV4
    ) -> HttpReply:
        if not self._is_source(source):
            return HttpReply(None, b"", None, failure=Failure.ADDRESS_UNAVAILABLE)
        parts = urllib.parse.urlsplit(url)
        name, port = (parts.hostname or "").lower(), parts.port or 443
        lookup = await self.resolve_system(name, family, timeout_s)
        if lookup.failure is not None:
            return HttpReply(None, b"", None, failure=lookup.failure)
        address = lookup.addresses[0]
        connected = await self.tcp_connect(address, port, timeout_s, source=source)
        if connected.stream is None:
            return HttpReply(None, b"", None, server=(address, port), local=connected.local, failure=connected.failure)
        local = connected.stream.local
        await connected.stream.close()
        # The certificate, the request and the answer: two more round trips.
        await asyncio.sleep(2 * (connected.rtt_ms or 0.0) / 1000)
        elapsed_ms = self.now_ms() - connected.at_ms
        behaviour = self._echo_behaviour(url)
        if address not in self.zone.true_addresses(name):
            behaviour = EchoBehaviour(kind="tls_failed")  # whoever it is, it does not have that name's certificate
        match behaviour.kind:
            case "silent":
                await asyncio.sleep(timeout_s)
                return HttpReply(None, b"", None, server=(address, port), local=local, failure=Failure.NO_ANSWER)
            case "tls_failed":
                return HttpReply(None, b"", None, server=(address, port), local=local, failure=Failure.TLS_FAILED)
            case "body":
                body = behaviour.text.encode()
            case "address":
                body = self._echoed_address(url, address, port)
        too_large = Failure.TOO_LARGE if len(body) > max_bytes else None
        return HttpReply(
            behaviour.status, body[:max_bytes], elapsed_ms, server=(address, port), local=local, failure=too_large
        )

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
        rtt_ms = self.scenario.routers[0].rtt_ms
        await asyncio.sleep(2 * rtt_ms / 1000)
        self.meter.count(self.scenario.host.gateway, "tcp", urllib.parse.urlsplit(url).port or 80, 2, len(body or b""))
        return gateway.http_reply(self.scenario, url, body, rtt_ms)

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
        """Scripted from end to end, and not paced: `duration_ms` is what `rate` and `drain_s` would have taken."""
        result = SweepResult()
        for start in range(0, len(targets), _SWEEP_CHUNK):
            if stop():
                result.stopped = True
                break
            for index, (address, port) in enumerate(targets[start : start + _SWEEP_CHUNK], start):
                fate = self.paths.fate("udp", address, port)
                if fate.end is End.DENIED:
                    result.local_failures.append((index, Failure.LOCAL_DENIED))
                    continue
                if fate.end is End.NO_ROUTE:
                    result.local_failures.append((index, Failure.NO_ROUTE))
                    continue
                result.sent += 1
                self.meter.count(address, "udp", port, 1, len(payload(port)))
                if fate.end is End.ICMP and fate.icmp is not None:
                    result.events.append(SweepEvent(index, from_icmp(fate.icmp), fate.icmp))
            progress(min(start + _SWEEP_CHUNK, len(targets)))
            await asyncio.sleep(0)
        result.duration_ms = 1000 * result.sent / rate + (0.0 if result.stopped else drain_s * 1000)
        return result

    def interfaces(self) -> list[InterfaceAddress]:
        host = self.scenario.host
        found = [InterfaceAddress("lo", "127.0.0.1", "255.0.0.0", True)]
        if host.interface:
            found.append(InterfaceAddress(host.interface, host.address, host.netmask, False))
        found.extend(
            InterfaceAddress(extra.name, extra.address, extra.netmask, False) for extra in host.extra_interfaces
        )
        return found

    def route_to(self, address: str) -> RouteChoice:
        host = self.scenario.host
        if not host.interface or ":" in address:
            return RouteChoice(None, failure=Failure.NO_ROUTE)
        return RouteChoice(host.address, host.interface, host.gateway)

    def kernel_counters(self) -> dict[str, int]:
        return dict(self._counters)

    # The rest.

    def _listeners(self) -> list[Edge | NameserverListener | StunListener]:
        nameservers = dict.fromkeys((*self._nameservers.values(), *self._authorities.values()))
        return [*self._edges.values(), self._portal, *nameservers, *self.stun_listeners.values()]

    def _add_edge(self, address: str, port: int, behaviour: SipBehaviour, rtt_ms: float) -> None:
        self._edges[address, port] = Edge(
            behaviour, rtt_ms, partial(self._mapped, "tcp", address, port), self.scenario.host.address
        )

    def _mapped(self, protocol: str, address: str, port: int, local_port: int) -> tuple[str, int]:
        return self.paths.mapped("tcp" if protocol == "tcp" else "udp", local_port, address, port)

    def _is_source(self, source: str | None) -> bool:
        return source is None or source in {interface.address for interface in self.interfaces()}

    async def _connect_to(
        self, edge: Edge, fate: Fate, remote: tuple[str, int], source: str | None, at_ms: float
    ) -> TcpConnect:
        await asyncio.sleep(fate.rtt_ms / 1000)
        reader, writer = await asyncio.open_connection(LOOPBACK, edge.port)
        local = (source or self.scenario.host.address, writer.get_extra_info("sockname")[1])
        stream = SimStream(self, reader, writer, local, remote)
        self._streams.append(stream)
        connected: Stream = stream
        return TcpConnect(connected, at_ms, fate.rtt_ms, local)

    async def _look_up(
        self, server: Nameserver, name: str, kind: str, timeout_s: float
    ) -> tuple[Failure | None, tuple[str, ...]]:
        """What a stub resolver takes from one nameserver. Failures but NXDOMAIN and NODATA send it to the next one."""
        query = dns.message.make_query(name, kind)

        def accept(data: bytes) -> bool:
            try:
                return query.is_response(dns.message.from_wire(data))
            except dns.exception.DNSException:
                return False

        async def ask(transport: str) -> DnsReply:
            return await self.dns_exchange(
                server.address,
                server.port,
                query.to_wire(),
                transport=transport,
                timeout_s=timeout_s,
                accept=accept,
            )

        reply = await ask("udp")
        if reply.data is not None and dns.message.from_wire(reply.data).flags & dns.flags.TC:
            reply = await ask("tcp")
        if reply.data is None:
            return reply.failure or Failure.DNS_ERROR, ()
        response = dns.message.from_wire(reply.data)
        if response.rcode() == dns.rcode.NXDOMAIN:
            return Failure.NXDOMAIN, ()
        if response.rcode() != dns.rcode.NOERROR:
            return Failure.SERVFAIL, ()
        wanted = dns.rdatatype.from_text(kind)
        found = [item.to_text() for rrset in response.answer if rrset.rdtype == wanted for item in rrset]
        return (None, tuple(found)) if found else (Failure.NODATA, ())

    async def _dns_over_udp(
        self,
        listener: NameserverListener,
        query: bytes,
        timeout_s: float,
        accept: Callable[[bytes], bool],
        local: str,
    ) -> DnsReply:
        loop = asyncio.get_running_loop()
        started_ms = self.now_ms()
        ignored = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            udp.bind((LOOPBACK, 0))
            for attempt, wait_s in enumerate((timeout_s / 3, 2 * timeout_s / 3)):
                if attempt:
                    self.meter.count(listener.address, "udp", DNS_PORT, 1, len(query))
                await loop.sock_sendto(udp, query, (LOOPBACK, listener.port))
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        while not accept(data := await loop.sock_recv(udp, 65536)):
                            ignored += 1
                        return DnsReply(data, self.now_ms() - started_ms, ignored=ignored, local_address=local)
        failure = Failure.MISMATCH if ignored else Failure.DNS_TIMEOUT
        return DnsReply(None, None, failure, ignored=ignored, local_address=local)

    async def _dns_over_tcp(
        self,
        listener: NameserverListener,
        query: bytes,
        timeout_s: float,
        accept: Callable[[bytes], bool],
        local: str,
    ) -> DnsReply:
        started_ms = self.now_ms()
        reader, writer = await asyncio.open_connection(LOOPBACK, listener.port)
        try:
            writer.write(len(query).to_bytes(2, "big") + query)
            async with asyncio.timeout(timeout_s):
                length = int.from_bytes(await reader.readexactly(2), "big")
                data = await reader.readexactly(length)
        except TimeoutError:
            return DnsReply(None, None, Failure.DNS_TIMEOUT, local_address=local)
        except (asyncio.IncompleteReadError, ConnectionError):
            return DnsReply(None, None, Failure.CLOSED_EARLY, local_address=local)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        if not accept(data):
            return DnsReply(None, None, Failure.MISMATCH, ignored=1, local_address=local)
        return DnsReply(data, self.now_ms() - started_ms, local_address=local)

    def _echo_behaviour(self, url: str) -> EchoBehaviour:
        echo = self.scenario.echo
        for service in self.profile.echo_services:
            if service.url == url and service.id in echo:
                return echo[service.id]
        return echo["*"]

    def _echoed_address(self, url: str, address: str, port: int) -> bytes:
        public, _ = self.paths.mapped("tcp", 0, address, port)
        for service in self.profile.echo_services:
            if service.url == url and service.format == "json":
                return json.dumps({service.json_key or "ip": public}).encode()
        return f"{public}\n".encode()


def _helper_names(scenario: Scenario, profile: Profile) -> dict[str, Name]:
    """An address of the scenario for each host name of the profile's echo and STUN services. Literals keep theirs."""
    hosts = [urllib.parse.urlsplit(service.url).hostname or "" for service in profile.echo_services]
    hosts += [server.host for server in profile.stun_servers]
    unique = list(dict.fromkeys(host.lower() for host in hosts))
    addresses = scenario.helpers.addresses
    return {host: Name(addresses=(addresses[place % len(addresses)],), ttl_s=300) for place, host in enumerate(unique)}
