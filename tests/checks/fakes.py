"""A network of a few names, loopback listeners and scripted failures, for what a check measures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from vsipcheck.checks.base import Check, Context, Facts, Recorder
from vsipcheck.model import CheckEvidence, Failure, Family, Profile, Settings
from vsipcheck.net import Capabilities, DnsReply, Nameserver, RouteChoice, Stream, SystemLookup, TcpConnect
from vsipcheck.net.host import HostNetwork

LOCAL = "192.168.1.50"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeStream:
    """A loopback stream that goes by other addresses."""

    def __init__(self, stream: Stream, remote: tuple[str, int], local: str) -> None:
        self._stream = stream
        self.remote = remote
        self.local = (local, stream.local[1])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class FakeNetwork:
    """`tcp` maps (address, port) to a loopback port, to a failure, or to None: nobody ever answers."""

    simulated = False
    capabilities = Capabilities(icmp_errors=False, ttl_probes=False, os="test")

    def __init__(
        self,
        *,
        names: Mapping[tuple[str, Family], SystemLookup] | None = None,
        nameservers: Sequence[Nameserver] = (),
        tcp: Mapping[tuple[str, int], int | Failure | None] | None = None,
        without_route: Sequence[str] = (),
        local: str = LOCAL,
    ) -> None:
        self._host = HostNetwork()
        self._names = dict(names or {})
        self._nameservers = list(nameservers)
        self._tcp = dict(tcp or {})
        self._without_route = without_route
        self._local = local
        self.looked_up: list[tuple[str, Family]] = []
        self.connects: list[tuple[str, int]] = []
        self.dns_ports: dict[str, int] = {}  # loopback ports of nameservers elsewhere; the others keep silent
        self.dns_asked: list[tuple[str, bytes]] = []

    def now_ms(self) -> float:
        return self._host.now_ms()

    async def resolve_system(self, name: str, family: Family, timeout_s: float) -> SystemLookup:
        self.looked_up.append((name, family))
        return self._names.get((name, family), SystemLookup((), 1.0, Failure.NXDOMAIN))

    def nameservers(self) -> list[Nameserver]:
        return self._nameservers

    async def dns_exchange(self, server: str, port: int, query: bytes, **options: Any) -> Any:
        self.dns_asked.append((server, query))
        if not server.startswith("127."):
            if server not in self.dns_ports:
                return DnsReply(None, None, Failure.DNS_TIMEOUT)
            server, port = "127.0.0.1", self.dns_ports[server]
        return await self._host.dns_exchange(server, port, query, **options)

    async def tcp_connect(
        self, address: str, port: int, timeout_s: float, *, source: str | None = None, ttl: int | None = None
    ) -> TcpConnect:
        self.connects.append((address, port))
        at_ms = self.now_ms()
        there = self._tcp.get((address, port), Failure.REFUSED)
        if there is None:
            await asyncio.sleep(timeout_s)
            return TcpConnect(None, at_ms, failure=Failure.CONNECT_TIMEOUT, waited_ms=timeout_s * 1000)
        if isinstance(there, Failure):
            return TcpConnect(None, at_ms, failure=there, waited_ms=1.0)
        found = await self._host.tcp_connect("127.0.0.1", there, timeout_s)
        if found.stream is None or found.local is None:
            return found
        stream = FakeStream(found.stream, (address, port), self._local)
        return TcpConnect(stream, found.at_ms, rtt_ms=found.rtt_ms, local=(self._local, found.local[1]))

    def udp_socket(self, family: Family, *, source: str | None = None) -> Failure:
        return Failure.NOT_SUPPORTED

    def route_to(self, address: str) -> RouteChoice:
        failure = Failure.NO_ROUTE if address in self._without_route else None
        return RouteChoice(None if failure else self._local, failure=failure)

    def kernel_counters(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        self._host.close()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """The loopback port on which `handler` takes connections; each is ended when the block is."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*list(tasks), return_exceptions=True)


def as_facts(recorders: Mapping[str, Recorder], errors: Mapping[str, str] | None = None) -> Facts:
    return Facts(
        {
            name: CheckEvidence(
                version=1, offset_ms=0.0, duration_ms=0.0, error=(errors or {}).get(name), facts=recorder.facts
            )
            for name, recorder in recorders.items()
        }
    )


async def measured(
    network: FakeNetwork,
    checks: Sequence[Check],
    profile: Profile,
    settings: Settings,
    *,
    recorders: dict[str, Recorder] | None = None,
) -> Facts:
    """The facts that `checks` record side by side."""
    recorders = recorders if recorders is not None else {}
    recorders.update({check.name: Recorder(check.name, network.now_ms) for check in checks})
    context = Context(
        network=network,  # type: ignore[arg-type]
        profile=profile,
        settings=settings,
        recorders=recorders,
        progress=lambda *_: None,
        remaining_s=lambda: 30.0,
        stopping=lambda: False,
    )

    async def one(check: Check) -> None:
        try:
            await check.measure(context, recorders[check.name])
        finally:
            recorders[check.name].finish()

    try:
        async with asyncio.TaskGroup() as tasks:
            for check in checks:
                tasks.create_task(one(check))
    finally:
        network.close()
    return as_facts(recorders)
