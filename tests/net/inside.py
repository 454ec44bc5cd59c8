"""Scenarios that run inside the network of `namespaces.py`; printed as JSON: what each saw, or its traceback.

They run side by side, each on sockets of its own. Judging is done outside, in test_namespaces.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from vsipcheck.model import Failure, Family
from vsipcheck.net import Datagram, IcmpError, TcpConnect
from vsipcheck.net.host import HostNetwork
from vsipcheck.net.interfaces import validate_source

TARGET, TARGET6 = "10.3.0.2", "fd00:3::2"
CLONE_NEWNET = 0x40000000

Scenario = Callable[[HostNetwork], Awaitable[Any]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


@contextlib.contextmanager
def in_namespace(name: str) -> Iterator[None]:
    """Sockets made inside belong to another host of the network."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


def drop_capabilities() -> None:
    """From here on this is an ordinary user (capset(2), all three sets empty)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


class Echo(asyncio.DatagramProtocol):
    """Answers every datagram with itself."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


def told(connected: TcpConnect) -> dict[str, Any]:
    """A connection attempt, without its stream."""
    return {
        "connected": connected.stream is not None,
        "failure": connected.failure,
        "errno": connected.errno,
        "icmp": connected.icmp and msgspec.to_builtins(connected.icmp),
        "local": connected.local and connected.local[0],
        "has_rtt": connected.rtt_ms is not None,
    }


async def attempt(network: HostNetwork, address: str, port: int, **options: Any) -> dict[str, Any]:
    connected = await network.tcp_connect(address, port, options.pop("timeout_s", 5.0), **options)
    if connected.stream is not None:
        await connected.stream.close()
    return told(connected)


async def datagrams(
    network: HostNetwork, address: str, sends: list[tuple[int, int | None]], expected: int, *, wait_s: float = 5.0
) -> list[Any]:
    """Send one datagram per (port, TTL) and tell what each came to, until `expected` answers are there."""
    sock = network.udp_socket(Family.IPV6 if ":" in address else Family.IPV4)
    assert not isinstance(sock, Failure)
    rows: list[Any] = []
    for port, ttl in sends:
        failure = sock.send(f"probe {port} {ttl}".encode(), address, port, ttl)
        if failure is not None:
            rows.append(["local", port, failure])
    deadline_ms = network.now_ms() + wait_s * 1000
    heard = 0
    while heard < expected and network.now_ms() < deadline_ms:
        for arrival in await sock.receive((deadline_ms - network.now_ms()) / 1000):
            heard += 1
            assert 0 <= arrival.at_ms <= network.now_ms()
            if isinstance(arrival, IcmpError):
                icmp = [arrival.icmp.address, arrival.icmp.type, arrival.icmp.code, arrival.icmp.version]
                rows.append(["icmp", arrival.port, arrival.failure, icmp, arrival.quoted.decode(), arrival.address])
            else:
                assert isinstance(arrival, Datagram)
                rows.append(["datagram", arrival.port, arrival.address, arrival.data.decode()])
    sock.close()
    return sorted(rows, key=str)


@scenario
async def tcp_accepted(network: HostNetwork) -> Any:
    return await attempt(network, TARGET, 5070)


@scenario
async def tcp_accepted_ipv6(network: HostNetwork) -> Any:
    return await attempt(network, TARGET6, 5070)


@scenario
async def tcp_from_source(network: HostNetwork) -> Any:
    return [
        await attempt(network, TARGET, 5070, source="10.1.0.2"),
        await attempt(network, TARGET, 5070, source="10.1.0.77"),
        await attempt(network, TARGET, 5070, source="fd00:1::2"),
    ]


@scenario
async def tcp_refused_by_target(network: HostNetwork) -> Any:
    return await attempt(network, TARGET, 5099)


@scenario
async def tcp_reset_by_router(network: HostNetwork) -> Any:
    return await attempt(network, TARGET, 5072)


@scenario
async def tcp_prohibited(network: HostNetwork) -> Any:
    return await attempt(network, TARGET, 5071)


@scenario
async def tcp_prohibited_ipv6(network: HostNetwork) -> Any:
    return await attempt(network, TARGET6, 5071)


@scenario
async def tcp_port_unreachable(network: HostNetwork) -> Any:
    return await attempt(network, TARGET, 5074)


@scenario
async def tcp_host_unreachable(network: HostNetwork) -> Any:
    return await attempt(network, TARGET, 5075)


@scenario
async def tcp_dropped_by_router(network: HostNetwork) -> Any:
    return await attempt(network, TARGET, 5073, timeout_s=0.2)


@scenario
async def tcp_kernel_gives_up(network: HostNetwork) -> Any:
    return await attempt(network, TARGET, 5073, timeout_s=30.0)


@scenario
async def tcp_dropped_by_own_firewall(network: HostNetwork) -> Any:
    return await attempt(network, TARGET, 20003, timeout_s=0.2)


@scenario
async def tcp_rejected_by_own_firewall(network: HostNetwork) -> Any:
    return await attempt(network, TARGET, 20004)


@scenario
async def tcp_ttls(network: HostNetwork) -> Any:
    return [await attempt(network, TARGET, 5070, ttl=ttl) for ttl in (1, 2, 3)]


@scenario
async def tcp_ttls_ipv6(network: HostNetwork) -> Any:
    return [await attempt(network, TARGET6, 5070, ttl=ttl) for ttl in (1, 2, 3)]


@scenario
async def tcp_without_route(network: HostNetwork) -> Any:
    return {
        address: await attempt(network, address, 5070)
        for address in ("203.0.113.9", "2001:db8::9", "10.8.0.1", "10.9.1.1", "10.9.2.1")
    }


@scenario
async def tcp_silent_neighbour(network: HostNetwork) -> Any:
    return await attempt(network, "10.1.0.99", 5070, timeout_s=30.0)


@scenario
async def udp_ttls(network: HostNetwork) -> Any:
    return await datagrams(network, TARGET, [(30000, ttl) for ttl in (1, 2, 3)], 3)


@scenario
async def udp_ttls_ipv6(network: HostNetwork) -> Any:
    return await datagrams(network, TARGET6, [(30000, ttl) for ttl in (1, 2, 3)], 3)


@scenario
async def udp_rejections(network: HostNetwork) -> Any:
    return await datagrams(network, TARGET, [(port, None) for port in (30000, 30001, 30002, 30009)], 4)


@scenario
async def udp_rejections_ipv6(network: HostNetwork) -> Any:
    return await datagrams(network, TARGET6, [(port, None) for port in (30000, 30001, 30002, 30009)], 4)


@scenario
async def udp_dropped(network: HostNetwork) -> Any:
    return await datagrams(network, TARGET, [(30003, None)], 1, wait_s=0.2)


@scenario
async def udp_own_firewall(network: HostNetwork) -> Any:
    return await datagrams(network, TARGET, [(20000, None), (20001, None), (20002, None), (30000, None)], 3)


@scenario
async def udp_without_route(network: HostNetwork) -> Any:
    seen = {}
    for address in ("203.0.113.9", "10.9.1.1", "10.9.2.1", "10.9.3.1"):
        seen[address] = await datagrams(network, address, [(30000, None)], 0)
    seen["10.8.0.1"] = await datagrams(network, "10.8.0.1", [(30000, None)], 1)
    seen["10.1.0.99"] = await datagrams(network, "10.1.0.99", [(30000, None)], 1, wait_s=30.0)
    return seen


@scenario
async def routes(network: HostNetwork) -> Any:
    rows = [network.route_to(address) for address in (TARGET, TARGET6, "10.1.0.77", "203.0.113.9", "127.0.0.1")]
    return [[row.source_address, row.interface, row.gateway, row.failure] for row in rows]


@scenario
async def interfaces(network: HostNetwork) -> Any:
    return sorted([row.name, row.address, row.is_loopback] for row in network.interfaces() if "fe80" not in row.address)


@scenario
async def sources(network: HostNetwork) -> Any:
    return [validate_source(address) for address in ("10.1.0.2", "fd00:1::2", "10.1.0.77", "fd00:1::77")]


@scenario
async def swept(network: HostNetwork) -> Any:
    """5,000 closed ports, 100 dropped, 100 prohibited, 1 that echoes, 1 that the own firewall drops."""
    ports = [*range(40000, 45200), 30000, 20000]
    done: list[int] = []
    result = await network.sweep(
        [(TARGET, port) for port in ports],
        lambda port: b"%d" % port,
        rate=20000,
        source=None,
        drain_s=0.3,
        progress=done.append,
        stop=lambda: False,
    )
    kinds: dict[str, list[int]] = {}
    for event in result.events:
        sender = event.icmp.address if event.icmp else None
        kinds.setdefault(f"{event.failure} {sender}", []).append(ports[event.index])
    return {
        "sent": result.sent,
        "spans": {kind: [min(found), max(found), len(found)] for kind, found in kinds.items()},
        "local": [[ports[index], failure] for index, failure in result.local_failures],
        "unattributed": result.unattributed,
        "progress": done[-1] if done else None,
        "traffic": [
            [row.protocol, row.port, row.packets, row.bytes]
            for row in network.traffic().by_destination
            if row.address == TARGET
        ],
    }


async def main() -> dict[str, Any]:
    with in_namespace("target"):
        listeners = [
            socket.create_server(("0.0.0.0", 5070)),
            socket.create_server(("::", 5070), family=socket.AF_INET6),
        ]
        echoes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)]
    loop = asyncio.get_running_loop()
    servers = [await asyncio.start_server(lambda _, writer: writer.close(), sock=sock) for sock in listeners]
    transports = []
    for sock, address in zip(echoes, ("0.0.0.0", "::"), strict=True):
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, 30000))
        transports.append((await loop.create_datagram_endpoint(Echo, sock=sock))[0])

    drop_capabilities()

    async def observe(function: Scenario) -> dict[str, Any]:
        try:
            with HostNetwork() as network:
                return {"seen": await function(network)}
        except Exception:
            return {"error": traceback.format_exc()}

    # The sweep comes last: its burst overflows the queues between the namespaces, and then the others lose packets.
    quiet = {name: function for name, function in SCENARIOS.items() if function is not swept}
    seen = dict(zip(quiet, await asyncio.gather(*map(observe, quiet.values())), strict=True))
    seen[swept.__name__] = await observe(swept)
    for server in servers:
        server.close()
        await server.wait_closed()
    for transport in transports:
        transport.close()
    await asyncio.sleep(0)
    return seen


if __name__ == "__main__":
    seen = asyncio.run(main())
    gc.collect()
    json.dump(seen, sys.stdout)
