"""A network without packets: echo services, STUN servers and routers as functions, for what the NAT check measures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.nat import check as nat
from vsipcheck.model import Failure, Family, Icmp, Profile, Settings
from vsipcheck.net import (
    Capabilities,
    Datagram,
    HttpReply,
    IcmpError,
    InterfaceAddress,
    RouteChoice,
    SystemLookup,
)
from vsipcheck.net.failures import from_icmp

HOST = "192.168.1.50"
GATEWAY = "192.168.1.1"
# What a router, or the end of a path, does with a datagram to (address, port) of this TTL: an ICMP error, nothing, or
# "return": it comes back to the sender, from the address it was sent to.
Path = Callable[[str, int, int | None], Icmp | str | None]
# What a STUN server sends back for a request from a local port.
StunReply = Callable[[bytes, int], Sequence[bytes | Icmp]]


def nowhere(address: str, port: int, ttl: int | None) -> None:
    return None


class FakeUdpSocket:
    """Answers arrive at once, in the order of the sends."""

    def __init__(self, network: FakeNatNetwork, port: int) -> None:
        self.local = ("0.0.0.0", port)
        self._network = network
        self._queue: asyncio.Queue[Datagram | IcmpError] = asyncio.Queue()
        self.closed = False

    def send(self, data: bytes, address: str, port: int, ttl: int | None = None) -> Failure | None:
        assert not self.closed
        self._network.sent.append((address, port, ttl))
        if self._network.denied:
            return Failure.LOCAL_DENIED
        server = self._network.stun.get((address, port))
        if server is not None:
            for reply in server(data, self.local[1]):
                self._arrive(reply, data, address, port)
            return None
        answer = self._network.path(address, port, ttl)
        if answer == "return":
            self._queue.put_nowait(Datagram(data, address, port, self._network.now_ms()))
        elif isinstance(answer, Icmp):
            self._arrive(answer, data, address, port)
        return None

    def _arrive(self, reply: bytes | Icmp, data: bytes, address: str, port: int) -> None:
        at_ms = self._network.now_ms()
        if isinstance(reply, Icmp):
            self._queue.put_nowait(IcmpError(reply, from_icmp(reply), address, port, data, at_ms))
        else:
            self._queue.put_nowait(Datagram(reply, address, port, at_ms))

    async def receive(self, timeout_s: float) -> list[Datagram | IcmpError]:
        try:
            async with asyncio.timeout(timeout_s):
                return [await self._queue.get()]
        except TimeoutError:
            return []

    def close(self) -> None:
        self.closed = True


class FakeNatNetwork:
    """`echo` maps URLs to replies, `names` host names to an address; what is not named never answers."""

    simulated = False

    def __init__(
        self,
        *,
        echo: Mapping[str, HttpReply] | None = None,
        names: Mapping[str, str] | None = None,
        stun: Mapping[tuple[str, int], StunReply] | None = None,
        path: Path = nowhere,
        source: str | None = HOST,
        denied: bool = False,
        ttl_probes: bool = True,
    ) -> None:
        self.capabilities = Capabilities(
            icmp_errors=True, ttl_probes=ttl_probes, os="test", why_not="not on this system"
        )
        self.echo = dict(echo or {})
        self.names = dict(names or {})
        self.stun = dict(stun or {})
        self.path = path
        self.source = source
        self.denied = denied
        self.sent: list[tuple[str, int, int | None]] = []
        self.sockets: list[FakeUdpSocket] = []
        self.asked: list[dict[str, Any]] = []

    def now_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1000

    async def resolve_system(self, name: str, family: Family, timeout_s: float) -> SystemLookup:
        assert family is Family.IPV4
        if name in self.names:
            return SystemLookup((self.names[name],), 1.0)
        return SystemLookup((), 1.0, Failure.NXDOMAIN)

    async def https_get(self, url: str, **asked: Any) -> HttpReply:
        self.asked.append({"url": url, **asked})
        if url in self.echo:
            return self.echo[url]
        await asyncio.sleep(asked["timeout_s"])
        return HttpReply(None, b"", None, failure=Failure.CONNECT_TIMEOUT)

    def udp_socket(self, family: Family, *, source: str | None = None) -> FakeUdpSocket:
        assert family is Family.IPV4
        self.sockets.append(FakeUdpSocket(self, 40000 + len(self.sockets)))
        return self.sockets[-1]

    def interfaces(self) -> list[InterfaceAddress]:
        return [
            InterfaceAddress("lo", "127.0.0.1", "255.0.0.0", True),
            InterfaceAddress("eth0", HOST, "255.255.255.0", False),
            InterfaceAddress("tailscale0", "100.101.7.3", "255.255.255.255", False),
            InterfaceAddress("docker0", "172.17.0.1", "255.255.0.0", False),
        ]

    def route_to(self, address: str) -> RouteChoice:
        if self.source is None:
            return RouteChoice(None, failure=Failure.NO_ROUTE)
        return RouteChoice(self.source, "eth0", GATEWAY)


async def record_nat(network: FakeNatNetwork, profile: Profile, settings: Settings) -> Recorder:
    """What the check records, and that it leaves no socket open."""
    recorder = Recorder("nat", network.now_ms)
    context = Context(
        network=network,  # type: ignore[arg-type]
        profile=profile,
        settings=settings,
        recorders={"nat": recorder},
        progress=lambda *_: None,
        remaining_s=lambda: 30.0,
        stopping=lambda: False,
    )
    await nat.CHECK.measure(context, recorder)
    recorder.finish()
    assert all(socket.closed for socket in network.sockets)
    return recorder
