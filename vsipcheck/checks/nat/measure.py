"""Measuring of the NAT check: this host's side, who sees us come from where, and where our public address lives."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections import Counter
from collections.abc import Callable, Collection

from vsipcheck.checks.base import Context, Facts, Recorder
from vsipcheck.checks.nat.behaviour import NatBehaviour
from vsipcheck.checks.nat.gateway import GatewayQuestions
from vsipcheck.checks.nat.lifetime import NatLifetime
from vsipcheck.checks.nat.public_probe import SSRC, PublicProbe
from vsipcheck.checks.nat.stun_mapping import StunMapping
from vsipcheck.checks.public_address import SIP_RECEIVED, is_ipv4, is_public_ipv4, sightings
from vsipcheck.checks.udp_prober import UdpProber
from vsipcheck.model import (
    AddressSeen,
    CheckEvidence,
    EchoService,
    Exchange,
    Failure,
    Family,
    Interface,
    Note,
    Route,
    StunServer,
)
from vsipcheck.net import HttpReply
from vsipcheck.wire import stun
from vsipcheck.wire.text import escape, sanitise

ECHO_MAX_BYTES = 1024
DETAIL_BYTES = 60
DETAIL_LENGTH = 200
# Where the public address lives is asked once somebody has named it, so that this may outlast the exchanges.
AFTERTHOUGHT_S = 1.0
# How long a first view waits for a second one that agrees before the address is probed on its word alone.
AGREEMENT_S = 0.4
# Every address costs probes, and a helper that lies must not make us probe the world.
MAX_PUBLIC_ADDRESSES = 2


async def measure(context: Context, record: Recorder) -> None:
    """Record interfaces, routes, what the gateway says of itself, echo and STUN answers, TTL-limited probes towards our
    public address, and how the NAT maps and filters. IPv4 only.

    Takes at most the time-out of one exchange and `AFTERTHOUGHT_S`; with `lifetime`, the longest idle time on top.
    """
    settings = context.settings
    if settings.family is Family.IPV6:
        return
    left_s = _countdown(context, settings.timeout_s)
    all_left_s = _countdown(context, settings.timeout_s + AFTERTHOUGHT_S)
    source = _record_host(context, record)
    seen = _Views(context.network.now_ms)
    behaviour = NatBehaviour(context, record, source, all_left_s)
    lifetime = NatLifetime(context, record) if settings.lifetime else None
    total, done = len(context.profile.echo_services) + len(context.profile.stun_servers) + 1, 0

    def tick(what: str) -> None:
        nonlocal done
        done += 1
        context.progress("nat", min(done, total), total, what)

    def take(fact: AddressSeen) -> None:
        if fact.failure is None:
            seen.add(fact.address)
        tick(fact.source)

    def take_message(server: StunServer, address: str, message: stun.StunMessage, rtt_ms: float | None) -> None:
        offered = behaviour.offer(server, address, message, rtt_ms)
        if lifetime is not None and offered.other is not None:
            lifetime.offer(offered)

    context.progress("nat", 0, total, "asking who sees us")
    async with asyncio.TaskGroup() as probing:
        probing.create_task(_probe_public_addresses(context, record, seen, source, all_left_s))
        probing.create_task(GatewayQuestions(context, record, left_s).measure())
        probing.create_task(behaviour.measure())
        if lifetime is not None:
            probing.create_task(lifetime.measure())
        async with asyncio.TaskGroup() as asking:
            for service in context.profile.echo_services:
                asking.create_task(_ask_echo(context, record, service, left_s(), take))
            asking.create_task(StunMapping(context, record, source, left_s, take, take_message).measure())
            asking.create_task(_listen_to_sip(context, seen, left_s()))
        seen.finish()
        behaviour.finish()
        if lifetime is not None:
            lifetime.finish()
    context.progress("nat", total, total, "where the public address lives")


def _countdown(context: Context, seconds: float) -> Callable[[], float]:
    now_ms = context.network.now_ms
    ends_ms = now_ms() + 1000 * min(seconds, context.remaining_s())
    return lambda: max((ends_ms - now_ms()) / 1000, 0.0)


def _record_host(context: Context, record: Recorder) -> str | None:
    """Interfaces, and the routes towards the media addresses; returns the source address of the first route."""
    network, asked = context.network, context.settings.source
    for interface in network.interfaces():
        record.add(
            Interface(
                name=interface.name,
                address=interface.address,
                netmask=interface.netmask,
                is_loopback=interface.is_loopback,
            )
        )
    source: str | None = None
    for address in (media.address for media in context.profile.media.addresses):
        if not is_ipv4(address):
            continue
        choice = network.route_to(address)
        # With --source the trunk's packets carry that address, whatever the kernel would choose.
        chosen = asked if asked and is_ipv4(asked) else choice.source_address
        record.add(
            Route(
                destination=address,
                source_address=chosen,
                interface=choice.interface,
                gateway=choice.gateway,
                failure=choice.failure,
            )
        )
        if choice.failure is None:
            source = source or chosen
    return source


class _Views:
    """The public addresses that have come to light so far, for the one who probes them."""

    def __init__(self, now_ms: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self._votes: Counter[str] = Counter()
        self._first_ms: dict[str, float] = {}
        self._finished = False
        self._news = asyncio.Event()

    def add(self, address: str | None, votes: int = 1) -> None:
        if address is not None and is_public_ipv4(address):
            self._votes[address] += votes
            self._first_ms.setdefault(address, self._now_ms())
            self._news.set()

    def finish(self) -> None:
        self._finished = True
        self._news.set()

    async def next(self, probed: Collection[str]) -> str | None:
        """The next address worth a probe: two agree on it, or nobody joined the first for a moment. None: no more."""
        while True:
            fresh = [address for address, _ in self._votes.most_common() if address not in probed]
            wait_s: float | None = None
            if fresh:
                wait_s = AGREEMENT_S - (self._now_ms() - self._first_ms[fresh[0]]) / 1000
                if self._votes[fresh[0]] > 1 or self._finished or wait_s <= 0:
                    return fresh[0]
            elif self._finished:
                return None
            self._news.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                continue


async def _listen_to_sip(context: Context, seen: _Views, timeout_s: float) -> None:
    """The trunk's own view of us, as soon as the SIP check has one."""

    def address_of(exchange: Exchange) -> str | None:
        evidence = CheckEvidence(version=1, offset_ms=0, duration_ms=0, error=None, facts=(exchange,))
        return next((s.address for s in sightings(Facts({"sip": evidence})) if s.method == SIP_RECEIVED), None)

    try:
        async with asyncio.timeout(timeout_s):
            found = await context.first("sip", Exchange, lambda exchange: address_of(exchange) is not None)
    except TimeoutError:
        return
    if found is not None:
        seen.add(address_of(found), votes=2)


async def _probe_public_addresses(
    context: Context, record: Recorder, seen: _Views, source: str | None, left_s: Callable[[], float]
) -> None:
    network = context.network
    if not network.capabilities.ttl_probes:
        why = network.capabilities.why_not or "this platform shows no ICMP errors to an ordinary user"
        record.add(Note(topic="public_probes", text=f"not probed where the public address lives: {why}"))
        return
    probed: list[str] = []
    probe: PublicProbe | None = None
    prober: UdpProber | None = None
    try:
        while len(probed) < MAX_PUBLIC_ADDRESSES and left_s() > 0:
            public = await seen.next(probed)
            if public is None or context.stopping():
                return
            probed.append(public)
            if public == source:
                continue
            if probe is None:
                socket = network.udp_socket(Family.IPV4, source=context.settings.source)
                if isinstance(socket, Failure):
                    record.add(Note(topic="public_probes", text=f"no UDP socket for probes: {socket}"))
                    return
                prober = UdpProber(network, socket, SSRC, context.answers)
                probe = PublicProbe(context, record, prober, socket.local[1], left_s)
            await probe.probe(public)
    finally:
        if prober is not None:
            await prober.close()


async def _ask_echo(
    context: Context, record: Recorder, service: EchoService, timeout_s: float, take: Callable[[AddressSeen], None]
) -> None:
    started = context.network.now_ms()
    reply = await context.network.https_get(
        service.url,
        timeout_s=timeout_s,
        max_bytes=ECHO_MAX_BYTES,
        source=context.settings.source,
        family=Family.IPV4,
    )
    address, failure, detail = _judge_reply(service, reply)
    fact = record.add(
        AddressSeen(
            method="https_echo",
            source=service.id,
            operator=service.operator,
            transport="tcp",
            server_address=reply.server[0] if reply.server else None,
            server_port=reply.server[1] if reply.server else None,
            local_address=reply.local[0] if reply.local else None,
            local_port=reply.local[1] if reply.local else None,
            address=address,
            rtt_ms=reply.rtt_ms,
            failure=failure,
            detail=detail,
            duration_ms=round(context.network.now_ms() - started, 3),
        ),
        offset_ms=started,
    )
    take(fact)


def _judge_reply(service: EchoService, reply: HttpReply) -> tuple[str | None, Failure | None, str | None]:
    if reply.failure is not None:
        return None, reply.failure, sanitise(reply.detail, max_length=DETAIL_LENGTH) if reply.detail else None
    if reply.status != 200:
        return None, Failure.HTTP_STATUS, f"status {reply.status}"
    address, detail = read_echo(service, reply.body)
    return address, None if address else Failure.BAD_BODY, detail


def read_echo(service: EchoService, body: bytes) -> tuple[str | None, str | None]:
    """The IPv4 address that is the whole body, or the value of the JSON key; else what is there, escaped and short."""
    if len(body) > ECHO_MAX_BYTES:
        return None, f"{len(body)} bytes instead of an address"
    said: object = None
    try:
        if service.format == "json":
            document = json.loads(body)
            said = document.get(service.json_key) if isinstance(document, dict) else None
        else:
            said = body.decode("ascii").strip(" \t\r\n")
        if isinstance(said, str):
            return str(ipaddress.IPv4Address(said)), None
    except (ValueError, RecursionError):
        pass
    if not body.strip():
        return None, "an empty body"
    return None, f"not one IPv4 address: {escape(body[:DETAIL_BYTES].strip())}"
