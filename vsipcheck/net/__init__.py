"""The only room that opens sockets. Everything above it speaks to one protocol, `Network`.

`HostNetwork` (net/host.py) is the real one; the simulated edge has another. Nothing here raises for what a network
can do to us: failures are data (`Failure`). Times are milliseconds; `at_ms` values come from `Network.now_ms()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from vsipcheck.model import Failure, Family, Icmp, Traffic


class Capabilities(msgspec.Struct, frozen=True):
    """What this platform shows an ordinary user."""

    icmp_errors: bool  # ICMP errors about UDP, with their sender (Linux: IP_RECVERR)
    ttl_probes: bool  # TTL per datagram, and time-exceeded seen
    os: str
    why_not: str | None = None  # one sentence, where something is missing


class Nameserver(msgspec.Struct, frozen=True):
    address: str
    port: int
    source: str  # "resolv.conf", "--resolver"


class SystemLookup(msgspec.Struct, frozen=True):
    """What getaddrinfo says: /etc/hosts, search order and all. `failure` is None only with addresses."""

    addresses: tuple[str, ...]
    rtt_ms: float
    failure: Failure | None = None
    canonical_name: str | None = None


class DnsReply(msgspec.Struct, frozen=True):
    """One DNS exchange: the accepted answer's bytes, or a failure. `ignored` counts datagrams that were not it."""

    data: bytes | None
    rtt_ms: float | None
    failure: Failure | None = None
    icmp: Icmp | None = None
    ignored: int = 0
    local_address: str | None = None


class Received(msgspec.Struct, frozen=True):
    """What one read of a stream gave: bytes, or its end (`closed`), or a failure (RESET; NO_ANSWER on time-out)."""

    data: bytes
    at_ms: float
    closed: bool = False
    failure: Failure | None = None


class Stream(Protocol):
    """A connected TCP socket."""

    local: tuple[str, int]
    remote: tuple[str, int]

    async def send(self, data: bytes, timeout_s: float) -> Failure | None: ...

    async def receive(self, timeout_s: float, max_bytes: int = 65536) -> Received:
        """The next bytes. A time-out is `failure=NO_ANSWER`; the stream stays usable."""
        ...

    def unacknowledged(self) -> int | None:
        """Bytes of ours that the peer has not acknowledged; None where the system does not tell."""
        ...

    def segment_bytes(self) -> int | None:
        """The most payload bytes that a segment towards the peer carries; None where the system does not tell."""
        ...

    async def close(self) -> None: ...


class TcpConnect(msgspec.Struct, frozen=True):
    """One connection attempt: a stream, or why not. `rtt_ms` is SYN to SYN-ACK, or to the RST or ICMP that answered."""

    stream: Stream | None
    at_ms: float
    rtt_ms: float | None = None
    local: tuple[str, int] | None = None
    failure: Failure | None = None
    errno: int | None = None
    icmp: Icmp | None = None  # type 11 for a TTL-limited attempt that a router answered
    waited_ms: float | None = None


class Datagram(msgspec.Struct, frozen=True):
    """A UDP datagram that reached us."""

    data: bytes
    address: str
    port: int
    at_ms: float


class IcmpError(msgspec.Struct, frozen=True):
    """An ICMP error about a datagram of ours: the destination it was sent to, and as much of it as was quoted."""

    icmp: Icmp
    failure: Failure
    address: str  # destination of our datagram
    port: int
    quoted: bytes  # our payload as quoted, possibly empty
    at_ms: float


class UdpSocket(Protocol):
    """An unconnected UDP socket that also hears ICMP errors, where the platform shows them."""

    local: tuple[str, int]  # ("0.0.0.0", port) when no source address was asked for

    def send(self, data: bytes, address: str, port: int, ttl: int | None = None) -> Failure | None:
        """None when the kernel took it. LOCAL_DENIED is EPERM of this host's own firewall, for this port."""
        ...

    async def receive(self, timeout_s: float) -> list[Datagram | IcmpError]:
        """All that has arrived, waiting up to `timeout_s` for the first; [] on time-out."""
        ...

    def close(self) -> None: ...


class HttpReply(msgspec.Struct, frozen=True):
    """One HTTP exchange: status and body (capped), or a failure."""

    status: int | None
    body: bytes
    rtt_ms: float | None
    server: tuple[str, int] | None = None
    local: tuple[str, int] | None = None
    failure: Failure | None = None
    detail: str | None = None


class InterfaceAddress(msgspec.Struct, frozen=True):
    name: str
    address: str
    netmask: str | None
    is_loopback: bool


class RouteChoice(msgspec.Struct, frozen=True):
    """The source address that the kernel picks towards a destination."""

    source_address: str | None
    interface: str | None = None
    gateway: str | None = None
    failure: Failure | None = None


class SweepEvent(msgspec.Struct, frozen=True):
    """An answer to one datagram of a sweep, by index into its (address, port) list."""

    index: int
    failure: Failure | None  # None: a datagram came back
    icmp: Icmp | None


class SweepResult(msgspec.Struct):
    """What a paced burst gave. Indices that appear in neither list were silent."""

    sent: int = 0
    duration_ms: float = 0.0
    events: list[SweepEvent] = []
    local_failures: list[tuple[int, Failure]] = []
    unattributed: int = 0  # ICMP errors that matched no datagram of ours
    stopped: bool = False  # the caller's stop flag ended it


class Network(Protocol):
    """Everything the checks may ask of a network. Implementations count what they send in `traffic()`."""

    capabilities: Capabilities
    simulated: bool

    def now_ms(self) -> float:
        """Milliseconds since the run began (monotonic)."""
        ...

    def traffic(self) -> Traffic: ...

    async def resolve_system(self, name: str, family: Family, timeout_s: float) -> SystemLookup:
        """The system's own resolution, in a daemon thread: it may outlive the time-out, never the process."""
        ...

    def nameservers(self) -> list[Nameserver]:
        """Those that the host is configured with, in order; [] when there are none."""
        ...

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
        """Send `query` over "udp" or "tcp" (length-prefixed) and wait for bytes that `accept` takes.

        UDP is sent once more after a third of the time-out. Datagrams from another address or not accepted are counted
        in `ignored`. A time-out is DNS_TIMEOUT; only ignored datagrams came: MISMATCH.
        """
        ...

    async def tcp_connect(
        self, address: str, port: int, timeout_s: float, *, source: str | None = None, ttl: int | None = None
    ) -> TcpConnect: ...

    def udp_socket(self, family: Family, *, source: str | None = None) -> UdpSocket | Failure: ...

    async def https_get(
        self, url: str, *, timeout_s: float, max_bytes: int, source: str | None = None, family: Family = Family.IPV4
    ) -> HttpReply:
        """Verified TLS, no redirects, no proxies, at most `max_bytes` of body (more: TOO_LARGE)."""
        ...

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
        """A GET, or a POST of `body`, over plain HTTP from a literal IPv4 address. No redirects, no proxies, at most
        `max_bytes` of body (more: TOO_LARGE)."""
        ...

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
        """Send `payload(port)` to each target in order at `rate` a second, in a thread; attribute every answer."""
        ...

    def interfaces(self) -> list[InterfaceAddress]: ...

    def route_to(self, address: str) -> RouteChoice:
        """By a connected UDP socket, which sends nothing."""
        ...

    def kernel_counters(self) -> dict[str, int]:
        """What this host's TCP has counted so far, over all its programs: TCPSynRetrans, TCPRetransFail; {} where the
        system does not tell. A SYN that the host's own firewall drops raises both when it is sent again, one that was
        lost outside only the first."""
        ...
