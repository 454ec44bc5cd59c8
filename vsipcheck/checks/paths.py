"""Where TCP probes stop, and who has to act: TTL-limited SYNs against controls towards the same address."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vsipcheck.checks.base import Context, Facts, Recorder, fact_ids
from vsipcheck.checks.udp_prober import UdpProber
from vsipcheck.checks.zones import first_hop_outside, name_hop, place_between, same_network, zone_of
from vsipcheck.model import (
    AddressSeen,
    Confidence,
    Connection,
    Failure,
    Family,
    FaultDomain,
    Hop,
    Icmp,
    Interface,
    Route,
)
from vsipcheck.wire.ip import AddressClass, classify

MAX_TTL = 30
SYN_WAIT_S = 0.6
ROUNDS = 6
MIN_CONTRASTS = 3
ROUND_GAP_S = 0.35
TIME_EXCEEDED = 11


@dataclass(frozen=True, slots=True)
class Blame:
    """Whose place a block is, how sure that is, and the sentence that says so."""

    domain: FaultDomain
    confidence: Confidence
    sentence: str  # "SYNs to 5070 reach 203.0.113.9 (hop 4) and are never answered, while ..."
    settle_by: str | None
    facts: tuple[str, ...]


@dataclass(slots=True)
class _Tally:
    sent: int = 0
    answered: int = 0
    contrasts: int = 0
    address: str | None = None
    icmp: Icmp | None = None
    reached: bool = False
    rtt_ms: float | None = None


@dataclass(slots=True)
class _Trace:
    target: str
    hops: dict[int, str] = field(default_factory=dict)
    tallies: dict[tuple[str, int, int], _Tally] = field(default_factory=dict)  # series, ttl, port

    def tally(self, series: str, ttl: int, port: int) -> _Tally:
        return self.tallies.setdefault((series, ttl, port), _Tally())


async def trace_tcp(context: Context, record: Recorder, target: str, ports: Sequence[int]) -> None:
    """Record how far SYNs to each of `ports` of `target` get: Hop facts of series `tcp_PORT`, with few connections.

    Distances are found with UDP first. Each SYN is followed by a UDP control with the same TTL, so that a missing
    answer tells a block from a router that has spent its ICMP budget.
    """
    family = Family.IPV6 if ":" in target else Family.IPV4
    socket = context.network.udp_socket(family, source=context.settings.source)
    if isinstance(socket, Failure):
        return
    started = context.network.now_ms()
    trace = _Trace(target)
    prober = UdpProber(context.network, socket, ssrc=0x76736970)
    try:
        if not context.network.capabilities.ttl_probes:
            return
        await _find_distances(context, prober, trace)
        if trace.hops:
            for turn in range(ROUNDS):
                if context.stopping() or context.remaining_s() < 1.0:
                    break
                open_ports = [port for port in ports if not _decided(trace, port)]
                if not open_ports:
                    break
                await asyncio.gather(*(_ask(context, prober, trace, port, turn) for port in open_ports))
                await asyncio.sleep(ROUND_GAP_S)
    finally:
        for (series, ttl, port), tally in sorted(trace.tallies.items()):
            record.add(
                Hop(
                    target=target,
                    series=series,
                    ttl=ttl,
                    ports=(port,),
                    sent=tally.sent,
                    answered=tally.answered,
                    address=tally.address,
                    rtt_ms=tally.rtt_ms,
                    icmp=tally.icmp,
                    reached=tally.reached,
                    contrasts=tally.contrasts,
                ),
                offset_ms=started,
            )
        await prober.close()


async def _find_distances(context: Context, prober: UdpProber, trace: _Trace) -> None:
    ports = context.profile.controls.udp_ports
    probes = []
    for turn in range(2):
        # Hop 1 serves every check of the run; its answers are left to those that need it.
        wanted = [
            (trace.target, ports[ttl % len(ports)], ttl) for ttl in range(MAX_TTL, 1, -1) if ttl not in trace.hops
        ]
        sent = await prober.send_all(wanted)
        probes.extend(sent)
        await prober.settle(sent)
        for probe in sent:
            if probe.expired and probe.ttl is not None and probe.icmp is not None and probe.icmp.address:
                trace.hops[probe.ttl] = probe.icmp.address
        if trace.hops or turn:
            break
    farthest = max(trace.hops, default=0)
    for probe in probes:
        if probe.ttl is not None and probe.ttl <= farthest + 1:
            _count_udp(trace, probe.ttl, probe.port, probe.icmp, probe.rtt_ms)


def _count_udp(trace: _Trace, ttl: int, port: int, icmp: Icmp | None, rtt_ms: float | None) -> None:
    tally = trace.tally("udp_control", ttl, port)
    tally.sent += 1
    if icmp is not None:
        tally.answered += 1
        tally.address, tally.icmp, tally.rtt_ms = icmp.address, icmp, rtt_ms
        tally.reached = icmp.address == trace.target


def _reach(trace: _Trace, port: int) -> int:
    return max((ttl for (name, ttl, _), t in trace.tallies.items() if name == f"tcp_{port}" and t.answered), default=0)


def _decided(trace: _Trace, port: int) -> bool:
    reach, farthest = _reach(trace, port), max(trace.hops, default=0)
    if reach >= farthest:
        return True
    return any(
        tally.contrasts >= MIN_CONTRASTS
        for (name, ttl, _), tally in trace.tallies.items()
        if name == f"tcp_{port}" and ttl == reach + 1
    )


async def _ask(context: Context, prober: UdpProber, trace: _Trace, port: int, turn: int) -> None:
    """SYNs at the farthest hops first; once they miss, at every hop, to find the last one that answers."""
    hops = sorted(trace.hops, reverse=True)
    reach = _reach(trace, port)
    beyond = [ttl for ttl in hops if ttl > reach]
    wanted = beyond[:2] if turn == 0 else [*beyond[:1], *beyond[-2:]] if turn > 2 else beyond
    await asyncio.gather(*(_ask_hop(context, prober, trace, port, ttl) for ttl in dict.fromkeys(wanted)))


async def _ask_hop(context: Context, prober: UdpProber, trace: _Trace, port: int, ttl: int) -> None:
    controls = context.profile.controls.udp_ports
    connecting = asyncio.create_task(
        context.network.tcp_connect(trace.target, port, SYN_WAIT_S, source=context.settings.source, ttl=ttl)
    )
    await asyncio.sleep(0.002)  # the SYN leaves first: a control that is answered after it proves a free answer
    control = prober.send(trace.target, controls[ttl % len(controls)], ttl)
    result = await connecting
    if result.stream is not None:
        await result.stream.close()
    await prober.settle([control], 0.3)
    tally = trace.tally(f"tcp_{port}", ttl, port)
    tally.sent += 1
    _count_udp(trace, ttl, control.port, control.icmp, control.rtt_ms)
    arrived = result.stream is not None or result.failure is Failure.REFUSED
    if arrived or result.icmp is not None:
        tally.answered += 1
        tally.reached = arrived
        tally.icmp = result.icmp
        tally.address = trace.target if arrived else (result.icmp.address if result.icmp else None)
        tally.rtt_ms = result.rtt_ms
    elif control.expired:
        tally.contrasts += 1


# -- reading


def own_addresses(facts: Facts) -> tuple[str, ...]:
    """The addresses of this host that the trunk's path uses."""
    sources = {route.source_address for route in facts.of(Route) if route.source_address}
    sources |= {c.local_address for c in facts.of(Connection) if c.local_address}
    return tuple(sorted(sources))


def known_hops(facts: Facts, target: str) -> dict[int, str]:
    """TTL -> router on the way to `target`; the first hops may come from other targets' paths, which share them."""
    hops: dict[int, str] = {}
    for hop in facts.of(Hop):
        if hop.target == target and hop.address and hop.icmp is not None and hop.icmp.type == TIME_EXCEEDED:
            hops.setdefault(hop.ttl, hop.address)
    own = own_addresses(facts)
    others: dict[int, str] = {}
    for hop in facts.of(Hop):
        if hop.series != "udp_public" and hop.address and hop.icmp is not None and hop.icmp.type == TIME_EXCEEDED:
            others.setdefault(hop.ttl, hop.address)
    outside = first_hop_outside(others, own)
    for ttl, address in others.items():
        if outside is None or ttl <= outside:
            hops.setdefault(ttl, address)
    return hops


def reach_of(hops: Iterable[Hop]) -> int:
    """The farthest TTL at which a router answered time-exceeded, 0 for none."""
    return max((hop.ttl for hop in hops if hop.answered and hop.icmp and hop.icmp.type == TIME_EXCEEDED), default=0)


def blame_silence(facts: Facts, target: str, port: int) -> Blame:
    """Who has to act when SYNs to `port` of `target` are never answered. Needs the facts of `trace_tcp`."""
    own = own_addresses(facts)
    hops = known_hops(facts, target)
    mine = [hop for hop in facts.of(Hop) if hop.target == target and hop.series == f"tcp_{port}"]
    other = [hop for hop in facts.of(Hop) if hop.target == target and hop.series not in (f"tcp_{port}", "udp_public")]
    controls = [c for c in facts.of(Connection) if c.address == target and c.port != port and c.purpose == "control"]
    connected = [c for c in controls if c.failure is None]
    answered = connected or [c for c in controls if c.failure is Failure.REFUSED]
    reach = reach_of(mine)
    control_reach = reach_of(other)
    ids = fact_ids([*mine, *other, *controls])
    if not mine or (reach == 0 and control_reach == 0):
        if connected:
            return Blame(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                f"TCP {connected[0].port} to the same address is answered, so the address is reachable; no router on "
                f"the way shows how far SYNs to {port} get",
                f"capture on the WAN side of your router: are SYNs to {port} seen leaving?",
                ids,
            )
        return Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            f"no router on the way shows how far SYNs to {port} get",
            f"capture on the WAN side of your router: are SYNs to {port} seen leaving?",
            ids,
        )
    stopped = [hop for hop in mine if hop.ttl > reach and hop.contrasts >= MIN_CONTRASTS]
    if stopped and reach < control_reach:
        beyond = min(ttl for ttl in hops if ttl > reach)
        place = place_between(reach, beyond, hops, target, own, udp=False)
        return Blame(
            place.domain,
            place.confidence,
            f"SYNs to {port} stop {place.where}, while other probes to the same address, sent at the same moment, get "
            f"to {name_hop(control_reach, hops)}",
            place.settle_by,
            ids,
        )
    outside = first_hop_outside(hops, own)
    if outside is None or reach < outside:
        return Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            f"SYNs to {port} get to {name_hop(reach, hops)}, which may still be your own network; nothing was seen "
            "beyond",
            f"capture on the WAN side of your router: are SYNs to {port} seen leaving?",
            ids,
        )
    last = f"SYNs to {port} leave your network (seen as far as {name_hop(reach, hops)}) and are never answered"
    if answered:
        how = "is answered" if connected else "is refused by a RST, so something is there"
        return Blame(
            FaultDomain.PROVIDER,
            Confidence.LIKELY,
            f"{last}, while TCP {answered[0].port} to the same address {how}",
            None,
            ids,
        )
    near = zone_of(reach, hops, target, own)
    return Blame(
        FaultDomain.PROVIDER,
        Confidence.LIKELY if near is FaultDomain.PROVIDER else Confidence.POSSIBLE,
        f"{last}, as far as any probe to this address gets",
        "the provider can see at its edge whether the SYNs arrive; if they do not, the ISP behind "
        f"{name_hop(reach, hops)} drops them",
        ids,
    )


def blame_icmp(facts: Facts, icmp: Icmp, target: str) -> Blame:
    """Whose device sent an ICMP error about a packet to `target`: the sender is who blocks, or who knows why."""
    own = own_addresses(facts)
    sender = icmp.address
    said = f"ICMP type {icmp.type} code {icmp.code}"
    local = {interface.address for interface in facts.of(Interface)} | set(own)
    if sender is None or sender in local:
        return Blame(FaultDomain.HOST, Confidence.PROVEN, f"this host's own network stack said {said}", None, ())
    if sender == target:
        return Blame(FaultDomain.PROVIDER, Confidence.LIKELY, f"{said} came from {sender} itself", None, ())
    hops = known_hops(facts, target)
    seen = [ttl for ttl, address in hops.items() if address == sender]
    public = {fact.address for fact in facts.of(AddressSeen) if fact.address}
    if sender in public:
        return Blame(
            FaultDomain.LOCAL_NETWORK,
            Confidence.LIKELY,
            f"{said} came from {sender}, your own public address: the device that does your NAT",
            None,
            (),
        )
    if seen:
        zone = zone_of(min(seen), hops, target, own)
        confidence = Confidence.PROVEN if zone is FaultDomain.LOCAL_NETWORK and min(seen) == 1 else Confidence.LIKELY
        settle = f"find out who runs {sender}" if zone is FaultDomain.UNDETERMINED else None
        return Blame(zone, confidence, f"{said} came from {name_hop(min(seen), hops)}", settle, ())
    kind = classify(sender)
    if any(route.gateway == sender for route in facts.of(Route)):
        return Blame(FaultDomain.LOCAL_NETWORK, Confidence.PROVEN, f"{said} came from {sender}, your gateway", None, ())
    if kind in (AddressClass.PRIVATE, AddressClass.LINK_LOCAL, AddressClass.UNIQUE_LOCAL):
        return Blame(
            FaultDomain.LOCAL_NETWORK, Confidence.LIKELY, f"{said} came from {sender}, a private address", None, ()
        )
    if kind is AddressClass.SHARED:
        return Blame(FaultDomain.ISP, Confidence.LIKELY, f"{said} came from {sender}, carrier space", None, ())
    if same_network(sender, target):
        return Blame(
            FaultDomain.PROVIDER, Confidence.LIKELY, f"{said} came from {sender}, in the target's network", None, ()
        )
    return Blame(
        FaultDomain.ISP,
        Confidence.POSSIBLE,
        f"{said} came from {sender}, a router outside your network",
        f"whois {sender} names the operator to ask",
        (),
    )
