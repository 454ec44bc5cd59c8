"""The measuring half of what paths tell: routers by UDP, then how far SYNs get and where they are answered.

- Distances are found with UDP first: all TTLs at once, one datagram each, so that TCP needs few connections.
- A SYN that is lost says nothing alone. Each is followed by a UDP control with the same TTL towards the same address:
  when that one is answered, the router had an answer left, and the SYN never got there (a contrast).
- A SYN whose TTL cannot reach the target, and that draws a RST or a SYN-ACK all the same, was answered by something
  nearer. The nearest TTL that is answered so tells where that stands.
- What routers answer is a budget of the whole run (`AnswerBudget`): a hop without answers left is asked later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence

import msgspec

from vsipcheck.checks.base import Context, Facts, Recorder
from vsipcheck.checks.paths import MIN_AT_ONE_HOP, MIN_CONTRASTS, TIME_EXCEEDED, edge_of, nearest_suspect
from vsipcheck.checks.udp_prober import Probe, UdpProber
from vsipcheck.checks.zones import first_hop_outside
from vsipcheck.model import CheckEvidence, Failure, Family, Hop, Icmp
from vsipcheck.net import TcpConnect

MAX_TTL = 30
SSRC = 0x76736970
SYN_WAIT_S = 0.6
CONTROL_WAIT_S = 0.4
# A SYN was sent before its control: once that one is back, the SYN's own answer is due.
GRACE_S = 0.05
ROUNDS = 10
# SYNs beside controls, sent to one hop in one round where a block is suspected.
PAIRS = 2
ROUND_GAP_S = 0.1
DRY_GAP_S = 0.35
# Up to here hop 1, which serves every check of the run, is worth its answers.
NEAR_TTL = 3
# So long a router between the last hop that answers for SYNs and the first that misses them is looked for.
TURNS_FOR_A_GAP = 8
# How many silent routers may stand between the last one that answers and the target, when its RST is followed.
HIDDEN = 6
IDENTIFY_ROUNDS = 5


class _Tally(msgspec.Struct):
    sent: int = 0
    answered: int = 0
    contrasts: int = 0
    address: str | None = None
    icmp: Icmp | None = None
    reached: bool = False
    rtt_ms: float | None = None

    def take(self, address: str | None, icmp: Icmp | None, rtt_ms: float | None, *, reached: bool) -> None:
        self.answered += 1
        self.reached = self.reached or reached
        if self.address is None or reached:
            self.address, self.icmp = address, icmp
        if rtt_ms is not None:
            self.rtt_ms = rtt_ms if self.rtt_ms is None else min(self.rtt_ms, rtt_ms)


async def trace_tcp(
    context: Context,
    record: Recorder,
    target: str,
    silent: Sequence[int] = (),
    *,
    answered: Sequence[int] = (),
    refused: Sequence[int] = (),
    in_range: bool = False,
) -> None:
    """Record how far SYNs get, by port: to `silent` ones until it is clear where they stop; where the RST of `refused`
    ones comes from; whether something nearer than the target answers for `answered` ones.

    Hop facts of series `tcp_PORT`, `udp_control` and, with `in_range`, `udp_in_range`.
    """
    network = context.network
    if not network.capabilities.ttl_probes:
        return
    socket = network.udp_socket(Family.IPV6 if ":" in target else Family.IPV4, source=context.settings.source)
    if isinstance(socket, Failure):
        return
    prober = UdpProber(network, socket, SSRC, context.answers)
    trace = PathTrace(context, prober, target)
    started = network.now_ms()
    try:
        await trace.find_distances(in_range=in_range)
        async with asyncio.TaskGroup() as tasks:
            if silent:
                tasks.create_task(trace.follow(silent))
            for port in refused:
                tasks.create_task(trace.find_nearest(port))
            for port in answered:
                tasks.create_task(trace.look_for_nearer(port))
    finally:
        for hop in trace.facts():
            record.add(hop, offset_ms=started)
        await prober.close()


class PathTrace:
    """What is known of the way to one target: the routers, and what each series of probes drew at each TTL."""

    def __init__(self, context: Context, prober: UdpProber, target: str) -> None:
        self._context = context
        self._prober = prober
        self.target = target
        self.hops: dict[int, str] = {}
        self.shared: dict[int, str] = {}  # first hops, as the ways to other targets show them
        self.distance: int | None = None  # a TTL at which the target itself answered UDP: it is no farther
        self._tallies: dict[tuple[str, int, int], _Tally] = {}  # series, ttl, port
        self._turn = 0
        source = context.settings.source or context.network.route_to(target).source_address
        self._own = (source,) if source else ()

    # -- distances

    async def find_distances(self, *, in_range: bool = False) -> None:
        """The routers that answer, by UDP: out of range, and in range too where asked for."""
        controls, media = self._context.profile.controls.udp_ports, self._context.profile.media
        sent: list[tuple[str, Probe]] = []
        # What several ways share need not be asked again. Hop 1 serves every check of the run: it is asked when a block
        # is looked for there, or by those who draw.
        self.shared = self._context.answers.agreed()
        nearest = max(self.shared, default=0 if in_range else 1) + 1
        for turn in range(2):
            # Near ones first: a target that rations its answers spends them where it is, not on TTLs far beyond.
            wanted = [ttl for ttl in range(2, nearest - 1) if ttl not in self._known]
            wanted += [ttl for ttl in range(nearest, MAX_TTL + 1) if ttl not in self.hops]
            now = [("udp_control", probe) for probe in await self._send(wanted, controls)]
            if in_range:
                spread = [media.first_port + (media.last_port - media.first_port) * i // 7 for i in range(8)]
                now += [("udp_in_range", probe) for probe in await self._send(wanted, spread)]
            sent += now
            probes = [probe for _, probe in now]
            await self._prober.settle(probes, enough=lambda probes=probes: self._is_whole(probes))  # type: ignore[misc]
            for probe in probes:
                self._learn(probe)
            if self.hops or self.distance is not None or turn or self._context.stopping():
                break
        farthest = max([0, *self.hops, self.distance or 0])
        for series, probe in sent:
            if probe.ttl is not None and probe.ttl <= farthest + 1:
                self._count_udp(series, probe)

    async def _send(self, ttls: Iterable[int], ports: Sequence[int]) -> list[Probe]:
        return await self._prober.send_all((self.target, ports[ttl % len(ports)], ttl) for ttl in ttls)

    @staticmethod
    def _is_whole(probes: Collection[Probe]) -> bool:
        """The target has answered, and every hop before it: the rest can tell nothing new."""
        distance = min((probe.ttl or 0 for probe in probes if probe.from_target), default=None)
        return distance is not None and all(probe.answered for probe in probes if (probe.ttl or 0) < distance)

    def _learn(self, probe: Probe) -> None:
        if probe.ttl is None:
            return
        if probe.expired and probe.icmp is not None and probe.icmp.address:
            self.hops.setdefault(probe.ttl, probe.icmp.address)
        elif probe.from_target:
            self.distance = min(probe.ttl, self.distance or probe.ttl)

    def _count_udp(self, series: str, probe: Probe) -> None:
        self._learn(probe)
        tally = self._tally(series, probe.ttl or 0, probe.port)
        tally.sent += 1
        if probe.answered:
            address = probe.icmp.address if probe.icmp is not None else self.target
            tally.take(address, probe.icmp, probe.rtt_ms, reached=probe.from_target)

    def _tally(self, series: str, ttl: int, port: int) -> _Tally:
        return self._tallies.setdefault((series, ttl, port), _Tally())

    def _of_port(self, port: int) -> list[tuple[int, _Tally]]:
        return [(ttl, tally) for (name, ttl, _), tally in self._tallies.items() if name == f"tcp_{port}"]

    # -- silence

    async def follow(self, ports: Sequence[int]) -> None:
        """SYNs at the farthest hops, then between the last hop that answers for them and the first that does not."""
        if max(self._known, default=0) < 2:  # where nothing gets past the first router, ports cannot be told apart
            return
        with self._context.answers.reserving():
            for turn in range(ROUNDS):
                if self._context.stopping() or self._context.remaining_s() < 1.0:
                    return
                still = [port for port in ports if not self._is_decided(port, turn)]
                if not still:
                    return
                asked = await asyncio.gather(*(self._ask(port, turn) for port in still))
                await asyncio.sleep(ROUND_GAP_S if any(asked) else DRY_GAP_S)

    @property
    def _known(self) -> dict[int, str]:
        """The routers of this way, and those that other ways make likely: a control tells whether they are there."""
        return {**self.shared, **self.hops}

    def _reach(self, port: int) -> int:
        return max((ttl for ttl, tally in self._of_port(port) if tally.answered), default=0)

    def _is_decided(self, port: int, turn: int) -> bool:
        reach = self._reach(port)
        if reach >= max(self._known):
            return True
        if reach == 0 and not any(ttl == 1 for ttl, _ in self._of_port(port)):
            return False
        missed = {ttl: tally.contrasts for ttl, tally in self._of_port(port) if ttl > reach and tally.contrasts}
        nearest = min(ttl for ttl in self._known if ttl > reach)
        if nearest > reach + 1 and turn < TURNS_FOR_A_GAP:  # a router in between may have been out of answers
            return False
        return missed.get(nearest, 0) >= MIN_AT_ONE_HOP and sum(missed.values()) >= MIN_CONTRASTS

    async def _ask(self, port: int, turn: int) -> bool:
        """One round. False when no router that could tell has an answer left."""
        known = self._known
        reach, farthest = self._reach(port), max(known)
        missed = [ttl for ttl, tally in self._of_port(port) if tally.contrasts > 0 and ttl > reach]
        stop = min(missed, default=farthest)
        if turn == 0:
            wanted = sorted(known, reverse=True)[:2]
        else:
            others = {*known} - {1}
            near = others if turn < 2 and stop > NEAR_TTL and any(ttl < stop for ttl in others) else {*others, 1}
            if missed and stop - reach <= HIDDEN:
                near |= {*range(max(reach + 1, min(near)), stop)}
            wanted = sorted((ttl for ttl in near if reach < ttl <= stop), reverse=True)
        work = []
        for ttl in wanted:
            router = known.get(ttl)
            left = 2.0 if router is None else self._context.answers.tokens(router, self._context.network.now_ms())
            pairs = min(PAIRS if ttl == stop and turn else 1, int(left))
            work += [self._ask_hop(port, ttl, delay_s=0.004 * number) for number in range(pairs)]
        await asyncio.gather(*work)
        return bool(work)

    async def _ask_hop(self, port: int, ttl: int, *, delay_s: float = 0.0) -> None:
        """A SYN, and a UDP control with the same TTL right behind it."""
        await asyncio.sleep(delay_s)
        controls = self._context.profile.controls.udp_ports
        connecting = asyncio.create_task(self._connect(port, ttl, SYN_WAIT_S))
        try:
            await asyncio.sleep(0.002)  # the SYN leaves first
            control = self._prober.send(self.target, controls[ttl % len(controls)], ttl)
            await self._prober.settle([control], CONTROL_WAIT_S)
            if control.answered:
                await asyncio.wait([connecting], timeout=max(GRACE_S, 2 * (control.rtt_ms or 0.0) / 1000))
            else:
                await asyncio.wait([connecting])
        finally:
            connecting.cancel()
        result = connecting.result() if connecting.done() and not connecting.cancelled() else None
        self._count_udp("udp_control", control)
        tally = self._count_tcp(port, ttl, result)
        if not tally and control.expired:
            self._tally(f"tcp_{port}", ttl, port).contrasts += 1

    async def _connect(self, port: int, ttl: int, wait_s: float) -> TcpConnect:
        result = await self._context.network.tcp_connect(
            self.target, port, wait_s, source=self._context.settings.source, ttl=ttl
        )
        if result.stream is not None:
            await result.stream.close()
        return result

    def _count_tcp(self, port: int, ttl: int, result: TcpConnect | None) -> bool:
        """Keep what a SYN drew. Whether it drew anything."""
        tally = self._tally(f"tcp_{port}", ttl, port)
        tally.sent += 1
        if result is None:
            return False
        arrived = result.stream is not None or result.failure is Failure.REFUSED
        if arrived:
            tally.take(self.target, None, result.rtt_ms, reached=True)
        elif result.icmp is not None and result.icmp.address is not None:
            tally.take(result.icmp.address, result.icmp, result.rtt_ms, reached=False)
            if result.icmp.type == TIME_EXCEEDED:
                self.hops.setdefault(ttl, result.icmp.address)
                self._context.answers.saw(self.target, ttl, result.icmp.address)
            self._context.answers.answered(result.icmp.address, result.at_ms)
        return arrived or result.icmp is not None

    # -- UDP to the media ports

    async def follow_media(self) -> None:
        """In-range probes where controls get and they were not seen, each with a control right behind."""
        for turn in range(ROUNDS):
            beyond = self._media_unseen()
            if not beyond or self._context.stopping() or self._context.remaining_s() < 1.0:
                return
            now = self._context.network.now_ms()
            wanted = [ttl for ttl in beyond if self._context.answers.tokens(self.hops[ttl], now) >= 1.0]
            await asyncio.gather(*(self._ask_media(ttl, delay_s=0.004 * n) for ttl in wanted for n in range(PAIRS)))
            if turn + 1 < ROUNDS:
                await asyncio.sleep(ROUND_GAP_S if wanted else DRY_GAP_S)

    def _media_unseen(self) -> list[int]:
        """Hops beyond the last that in-range probes were seen at: the farthest; once that is missed, the next."""
        mine = [(ttl, tally) for (name, ttl, _), tally in self._tallies.items() if name == "udp_in_range"]
        if any(tally.reached for _, tally in mine):
            return []
        reach = max((ttl for ttl, tally in mine if tally.answered), default=0)
        beyond = sorted(ttl for ttl in self.hops if ttl > reach)
        missed: dict[int, int] = {}
        for ttl, tally in mine:
            if ttl > reach and tally.contrasts:
                missed[ttl] = missed.get(ttl, 0) + tally.contrasts
        if not beyond or (missed.get(beyond[0], 0) >= MIN_AT_ONE_HOP and sum(missed.values()) >= MIN_CONTRASTS):
            return []
        return beyond[-1:] if not missed else sorted({beyond[0], *beyond[: len(beyond) // 2]})

    async def _ask_media(self, ttl: int, *, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        media, controls = self._context.profile.media, self._context.profile.controls.udp_ports
        self._turn += 1
        port = media.first_port + (media.last_port - media.first_port) * (self._turn % 13) // 12
        probe = self._prober.send(self.target, port, ttl)
        control = self._prober.send(self.target, controls[ttl % len(controls)], ttl)
        await self._prober.settle([probe, control], CONTROL_WAIT_S)
        self._count_udp("udp_in_range", probe)
        self._count_udp("udp_control", control)
        if control.expired and not probe.answered and probe.local_failure is None:
            self._tally("udp_in_range", ttl, port).contrasts += 1

    # -- answers from nearer than the target

    async def look_for_nearer(self, port: int) -> None:
        """One SYN that cannot reach the target. When it is answered all the same: by whom."""
        ttl = nearest_suspect(self._known, first_hop_outside(self._known, self._own, edge=self._edge()))
        if ttl is None:
            return
        await self._ask_hop(port, ttl)
        if any(at == ttl and tally.reached for at, tally in self._of_port(port)):
            await self.find_nearest(port)

    async def find_nearest(self, port: int) -> None:
        """SYNs of every TTL at once, the far ones first; those before the nearest answer twice, and hop 1 last."""
        farthest = max(self._known, default=0)
        last = min(farthest + HIDDEN, self.distance or MAX_TTL)
        for _ in range(2):
            done = {ttl for ttl, tally in self._of_port(port) if tally.answered}
            nearest = min((ttl for ttl, tally in self._of_port(port) if tally.reached), default=last + 1)
            wanted = [ttl for ttl in range(min(nearest, last + 1) - 1, 1, -1) if ttl not in done]
            await self._connect_all(port, wanted)
            if self._context.stopping():
                return
        nearest = min((ttl for ttl, tally in self._of_port(port) if tally.reached), default=0)
        for _ in range(2):
            if nearest == 2 and not any(ttl == 1 and tally.answered for ttl, tally in self._of_port(port)):
                await self._connect_all(port, [1])
        if nearest and nearest <= farthest:
            await self._identify([ttl for ttl in (nearest - 1, nearest) if ttl > 1])

    async def _identify(self, ttls: Sequence[int]) -> None:
        """Have the routers at `ttls` say who they are: once they have answers left."""
        with self._context.answers.reserving():
            for _ in range(IDENTIFY_ROUNDS):
                missing = [ttl for ttl in ttls if ttl not in self.hops]
                if not missing or self._context.stopping():
                    return
                probes = await self._send(missing, self._context.profile.controls.udp_ports)
                await self._prober.settle(probes, CONTROL_WAIT_S)
                for probe in probes:
                    self._count_udp("udp_control", probe)
                if not all(probe.answered for probe in probes):
                    await asyncio.sleep(DRY_GAP_S)

    async def _connect_all(self, port: int, ttls: Sequence[int]) -> None:
        async def one(ttl: int) -> None:
            self._count_tcp(port, ttl, await self._connect(port, ttl, SYN_WAIT_S))

        async with asyncio.TaskGroup() as tasks:
            for ttl in ttls:
                tasks.create_task(one(ttl))

    def _edge(self) -> int | None:
        evidence = {
            name: CheckEvidence(version=1, offset_ms=0.0, duration_ms=0.0, error=None, facts=recorder.facts)
            for name, recorder in self._context.recorders.items()
        }
        return edge_of(Facts(evidence))

    # -- facts

    def facts(self) -> list[Hop]:
        """What was sent and answered, by series and TTL."""
        return [
            Hop(
                target=self.target,
                series=series,
                ttl=ttl,
                ports=(port,),
                sent=tally.sent,
                answered=tally.answered,
                address=tally.address,
                rtt_ms=None if tally.rtt_ms is None else round(tally.rtt_ms, 3),
                icmp=tally.icmp,
                reached=tally.reached,
                contrasts=tally.contrasts,
            )
            for (series, ttl, port), tally in sorted(self._tallies.items())
        ]
