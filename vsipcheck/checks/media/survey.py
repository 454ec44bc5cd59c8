"""The measuring half of the media check: which UDP ports get how far towards each media address.

A media relay does not answer stray RTP, so silence from the target says nothing. What can be seen are the routers on
the way: a probe whose TTL runs out at hop k draws a time-exceeded error from there, which proves that this port got
past every filter before hop k. Routers answer few such probes (Linux: one a second after a burst of six), so:

- answers are a budget, spent on the far hops first and spread over all hops behind the customer's edge;
- a missing answer counts only when a control that was sent right **after** the probe, with the same TTL towards the
  same target, was answered: had the probe arrived, the router would have had an answer left for it (a contrast);
- a control is any port that is known to pass: out of range, or in range; TCP SYNs where no UDP passes at all.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.udp_prober import Probe, UdpProber
from vsipcheck.checks.zones import first_hop_outside
from vsipcheck.model import Failure, Hop, Icmp, Note, PortSpan

MAX_TTL = 30
# Shared first routers are asked once for each target; hop 1 also serves other checks, so only two targets ask it.
HOP1_TARGETS = 2
# Time for the sample, and for bracketing the edges of a block, from the start of the survey.
SAMPLE_S = 9.0
BRACKET_S = 22.0
# Contrasts that make "blocked" out of silence when the path loses nothing; more are asked on a lossy path, so that
# all the misses happen by chance less than once in ten thousand.
MIN_CONTRASTS = 3
CHANCE = 1e-4
MAX_CONTRASTS = 14
# So many misses may be a router's limit; from then on a control, which costs an answer too, goes along.
SUSPECT_AFTER = 3
SUSPECTS_A_ROUND = 3
ROUND_GAP_S = 0.15
TRACE_ROUNDS = 5
DRY_GAP_S = 0.3  # when routers answered less than they were asked
GUESS_WAIT_S = 0.25
MAX_EDGES = 4  # edges of blocks that are bracketed for one target
MAX_BRACKET_PACKETS = 160  # for one edge


def sample_ports(first: int, last: int, count: int, rng: random.Random) -> list[int]:
    """`count` ports of first..last: both ends, and one of each equal stratum, even and odd in turn.

    Ordered so that every prefix is spread over the range. Fewer when the range is smaller.
    """
    size = last - first + 1
    if count >= size:
        return list(range(first, last + 1))
    if count == 1:
        return [first]
    ports = {first, last}
    strata = count - 2
    for index in range(strata):
        low = first + 1 + (size - 2) * index // strata
        high = first + (size - 2) * (index + 1) // strata
        port = rng.randint(low, max(low, high))
        if port % 2 != index % 2:
            port = port + 1 if port < high else max(low, port - 1)
        ports.add(port)
    ordered = sorted(ports)
    order = sorted(range(len(ordered)), key=lambda i: _bit_reversed(i, max(1, (len(ordered) - 1).bit_length())))
    return [ordered[i] for i in order]


def _bit_reversed(value: int, bits: int) -> int:
    return int(f"{value:0{bits}b}"[::-1], 2)


class PortState(msgspec.Struct):
    """What is known of one port of one target."""

    port: int
    method: str = "sample"
    plain: Probe | None = None
    probes: list[Probe] = []  # TTL-limited
    contrasts: dict[int, int] = {}  # TTL -> misses with an answered control

    @property
    def reached(self) -> tuple[int, str | None] | None:
        """The farthest TTL from which an answer came, and who gave it."""
        best: tuple[int, str | None] | None = None
        for probe in self.probes:
            if probe.ttl is None or probe.icmp is None:
                continue
            if (probe.expired or probe.from_target) and (best is None or probe.ttl > best[0]):
                best = (probe.ttl, probe.icmp.address)
        return best

    @property
    def target_answered(self) -> bool:
        return any(probe.from_target for probe in self.all_probes())

    @property
    def rejected(self) -> Probe | None:
        """A probe that somebody who is not the target refused to carry."""
        for probe in self.all_probes():
            if probe.icmp is not None and not probe.expired and not probe.from_target:
                return probe
        return None

    @property
    def local_failure(self) -> Failure | None:
        for probe in self.all_probes():
            if probe.local_failure is not None:
                return probe.local_failure
        return None

    def all_probes(self) -> Iterable[Probe]:
        if self.plain is not None:
            yield self.plain
        yield from self.probes

    def contrasts_beyond(self, ttl: int) -> int:
        return sum(count for at, count in self.contrasts.items() if at > ttl)


class TargetState(msgspec.Struct):
    """What is known of one media address."""

    address: str
    controls: tuple[int, ...]
    ports: dict[int, PortState] = {}
    control_probes: list[Probe] = []
    tcp_probes: list[tuple[int, int, Icmp | None, float | None]] = []  # port, ttl, icmp, rtt
    block_ttl: int = 0  # the farthest hop that blocked ports get to, once it is known

    def udp_probes(self) -> Iterable[Probe]:
        for state in self.ports.values():
            yield from state.probes
        yield from self.control_probes

    def hops(self) -> dict[int, str]:
        """TTL -> router that answered time-exceeded, over all series."""
        found: dict[int, str] = {}
        for probe in self.udp_probes():
            if probe.expired and probe.ttl is not None and probe.icmp is not None and probe.icmp.address:
                found.setdefault(probe.ttl, probe.icmp.address)
        for _, ttl, icmp, _ in self.tcp_probes:
            if icmp is not None and icmp.type == 11 and icmp.address:
                found.setdefault(ttl, icmp.address)
        return found

    def in_range_reach(self) -> int:
        return max((state.reached[0] for state in self.ports.values() if state.reached), default=0)

    def control_reach(self) -> int:
        """The farthest TTL at which a router answered for a control. The target's own answer is left out: what it says
        of a control port tells nothing of its media ports."""
        udp = (probe.ttl or 0 for probe in self.control_probes if probe.expired)
        tcp = (ttl for _, ttl, icmp, _ in self.tcp_probes if icmp is not None and icmp.type == 11)
        return max([0, *udp, *tcp])


class _Edge(msgspec.Struct, frozen=True):
    """Two ports of one target, the lower of which is blocked or passes, and the other one not."""

    target: TargetState
    low: int
    high: int
    low_blocked: bool


def _alike(edges: Iterable[_Edge]) -> list[list[_Edge]]:
    """The edges in groups that may be one and the same: of the same kind, with a span in common, a target once."""
    groups: list[list[_Edge]] = []
    for edge in edges:
        for group in groups:
            low, high = max(edge.low, *(e.low for e in group)), min(edge.high, *(e.high for e in group))
            new = all(edge.target is not e.target for e in group)
            if new and edge.low_blocked == group[0].low_blocked and low < high:
                group.append(edge)
                break
        else:
            groups.append([edge])
    return groups


class _Group(msgspec.Struct):
    """Probes of one target with one TTL, and the control that was sent after them."""

    target: TargetState
    ttl: int
    pairs: list[tuple[PortState, Probe]]
    control: Probe | None = None
    by_tcp: bool = False


class MediaSurvey:
    """One survey of all media addresses out of one socket."""

    def __init__(self, context: Context, record: Recorder, prober: UdpProber, targets: Sequence[str]) -> None:
        self.context = context
        self.record = record
        self.prober = prober
        media = context.profile.media
        self.first_port, self.last_port = media.first_port, media.last_port
        rng = random.Random(context.settings.seed)
        controls = context.profile.controls.udp_ports
        self.targets = [TargetState(address, controls) for address in targets]
        for target in self.targets:
            for port in sample_ports(media.first_port, media.last_port, context.settings.ports_per_address, rng):
                target.ports[port] = PortState(port)
        source = context.network.route_to(targets[0]).source_address if targets else None
        self.own = (source,) if source else ()
        self.started_ms = context.network.now_ms()
        self._control_turn = 0
        self._recorded = False

    # -- time and shared knowledge

    def left_s(self, budget_s: float) -> float:
        used = (self.context.network.now_ms() - self.started_ms) / 1000
        return min(budget_s - used, self.context.remaining_s() - 1.0)

    def outside_ttl(self, target: TargetState) -> int | None:
        """The first TTL that is surely behind the customer's edge, or None when no hop shows it."""
        outside = first_hop_outside(self._shared_hops(target), self.own)
        return outside if outside is not None and any(ttl >= outside for ttl in target.hops()) else None

    # -- the survey

    async def run(self) -> None:
        try:
            await self._plain()
            await self._find_hops()
            await self._find_controls()
            await self._judge_ports()
            await self._bracket_blocks()
            await self.prober.settle(list(self._plain_probes()), 0.3)
        finally:
            self._record()

    async def run_plain(self) -> None:
        """Where no TTL can be set or no ICMP error be seen: what plain datagrams draw."""
        try:
            await self._plain()
            await self.prober.settle(list(self._plain_probes()), 1.0)
        finally:
            self._record()

    def _plain_probes(self) -> Iterable[Probe]:
        for target in self.targets:
            for state in target.ports.values():
                if state.plain is not None:
                    yield state.plain

    async def _plain(self) -> None:
        """Each sampled port once with the full TTL: targets that answer, filters that say so, this host's own."""
        wanted = [(target, state) for target in self.targets for state in target.ports.values()]
        for index, (target, state) in enumerate(wanted):
            if index and index % 16 == 0:
                await asyncio.sleep(0.004)
            state.plain = self.prober.send(target.address, state.port, None)
        self._progress("sent to every sampled port")

    async def _find_hops(self) -> None:
        """All TTLs in parallel, far ones first, each with another sampled port."""
        sent: list[Probe] = []
        for index, target in enumerate(self.targets):
            ports = list(target.ports.values())
            nearest = 1 if index < HOP1_TARGETS else 2
            for step, ttl in enumerate(range(MAX_TTL, nearest - 1, -1)):
                sent.append(self._probe(target, ports[step % len(ports)], ttl))
            await asyncio.sleep(0.004)
        await self.prober.settle(sent)
        self._progress("hops found")

    async def _find_controls(self) -> None:
        """How far a control gets, where in-range probes could not be followed to an answer of the target."""
        sent: list[Probe] = []
        for target in self.targets:
            reach = target.in_range_reach()
            if any(state.target_answered for state in target.ports.values()):
                continue
            farthest = min(MAX_TTL, reach + 10) if reach else MAX_TTL
            for ttl in range(farthest, max(reach, 1) - 1, -1):
                sent.append(self._control(target, ttl))
            await asyncio.sleep(0.004)
        if sent:
            await self.prober.settle(sent)
        await self._fill_gaps()
        await self._find_tcp_controls()

    async def _fill_gaps(self) -> None:
        """Routers that stayed hidden because the ports that asked for them are blocked: asked with one that passes."""
        sent: list[Probe] = []
        for target in self.targets:
            hops = target.hops()
            outside = self.outside_ttl(target)
            if outside is None:
                continue
            controls = (self._passing_control(target, ttl) for ttl in range(max(hops), outside, -1) if ttl not in hops)
            sent.extend(control for control in controls if control is not None)
        if sent:
            await self.prober.settle(sent)

    async def _find_tcp_controls(self) -> None:
        """Where no UDP gets behind the customer's edge: do SYNs towards the same address?"""
        work: list[Coroutine[Any, Any, bool]] = []
        for target in self.targets:
            if self.outside_ttl(target) is not None or any(s.target_answered for s in target.ports.values()):
                continue
            if any(state.local_failure for state in target.ports.values()):
                continue
            reach = max(target.in_range_reach(), target.control_reach())
            ports = self._tcp_ports()
            work.extend(
                self._tcp_control(target, ports[ttl % len(ports)], ttl)
                for ttl in range(max(1, reach), min(MAX_TTL, reach + 9) + 1)
            )
        if not work:
            return
        await asyncio.gather(*work)
        # A port that is filtered itself leaves every other hop unseen: those are asked by the port that got farthest.
        gaps: list[Coroutine[Any, Any, bool]] = []
        for target in self.targets:
            hops = target.hops()
            if target.tcp_probes and hops:
                missing = [ttl for ttl in range(2, max(hops)) if ttl not in hops]
                gaps.extend(self._tcp_control(target, self._passing_tcp_port(target), ttl) for ttl in missing)
        await asyncio.gather(*gaps)

    def _tcp_ports(self) -> tuple[int, ...]:
        return (self.context.profile.signalling.port, *self.context.profile.controls.tcp_ports)

    def _passing_tcp_port(self, target: TargetState) -> int:
        """The port whose SYNs got farthest towards `target`."""
        ports = self._tcp_ports()
        reach = dict.fromkeys(reversed(ports), 0)
        for port, ttl, icmp, _ in target.tcp_probes:
            if icmp is not None and icmp.type == 11:
                reach[port] = max(reach.get(port, 0), ttl)
        return max(reach, key=lambda port: reach[port])

    async def _tcp_control(self, target: TargetState, port: int, ttl: int) -> bool:
        result = await self.context.network.tcp_connect(
            target.address, port, 0.7, source=self.context.settings.source, ttl=ttl
        )
        if result.stream is not None:
            await result.stream.close()
        target.tcp_probes.append((port, ttl, result.icmp, result.rtt_ms))
        return result.icmp is not None and result.icmp.type == 11

    def _probe(self, target: TargetState, state: PortState, ttl: int) -> Probe:
        probe = self.prober.send(target.address, state.port, ttl)
        state.probes.append(probe)
        return probe

    def _control(self, target: TargetState, ttl: int) -> Probe:
        self._control_turn += 1
        probe = self.prober.send(target.address, target.controls[self._control_turn % len(target.controls)], ttl)
        target.control_probes.append(probe)
        return probe

    # -- each port

    def _settled(self, target: TargetState, state: PortState) -> bool:
        """Nothing more need be asked of this port."""
        if state.local_failure or state.rejected or state.target_answered:
            return True
        reached = state.reached
        outside = self.outside_ttl(target)
        floor = outside if outside is not None else 1
        seen_outside = reached is not None and reached[0] >= floor
        if seen_outside and not self._unexplained(target, state) and not self._stops_short(target):
            return True
        return state.contrasts_beyond(reached[0] if reached else 0) >= self._needed_contrasts(target)

    @staticmethod
    def _stops_short(target: TargetState) -> bool:
        """Some control got farther than any in-range probe did: being outside is then not enough."""
        return target.control_reach() > target.in_range_reach()

    def _needed_contrasts(self, target: TargetState) -> int:
        """Misses beside an answered control that chance alone does not explain, given the misses of ports that pass."""
        misses = answers = 0
        for other in self.targets:
            for state in other.ports.values():
                if state.reached is None or state.contrasts_beyond(state.reached[0]) >= MIN_CONTRASTS:
                    continue
                misses += sum(count for ttl, count in state.contrasts.items() if ttl <= state.reached[0])
                answers += sum(probe.answered for probe in state.probes)
        if not misses:
            return MIN_CONTRASTS
        lost = misses / (misses + answers)
        return max(MIN_CONTRASTS, min(MAX_CONTRASTS, math.ceil(math.log(CHANCE) / math.log(lost))))

    async def _judge_ports(self) -> None:
        """Rounds that spend the routers' answers on ports that are not settled, far hops first."""
        turn = 0
        while self.left_s(SAMPLE_S) > 0 and not self.context.stopping():
            work = [
                (target, [state for state in target.ports.values() if not self._settled(target, state)])
                for target in self.targets
            ]
            work = [(target, states) for target, states in work if states and self._usable_hops(target)]
            if not work:
                return
            dry = await self._round(work, turn)
            turn += 1
            total = sum(len(target.ports) for target in self.targets)
            open_ports = sum(len(states) for _, states in work)
            self.context.progress("media", total - open_ports, total, "ports followed beyond your network")
            await asyncio.sleep(DRY_GAP_S if dry else ROUND_GAP_S)

    def _usable_hops(self, target: TargetState) -> list[int]:
        """TTLs that can tell something about a port of `target`, the farthest first."""
        hops = target.hops()
        reach = target.in_range_reach()
        outside = self.outside_ttl(target)
        if target.control_reach() > reach:  # a block: only hops past it can show a contrast
            return sorted((ttl for ttl in hops if ttl > reach), reverse=True)
        if outside is None:
            return []
        return sorted((ttl for ttl in hops if ttl >= outside), reverse=True)

    async def _round(self, work: list[tuple[TargetState, list[PortState]]], turn: int) -> bool:
        """One round. True when routers have no answers left for now: time to wait."""
        asked: dict[str, list[Probe]] = {}
        groups: list[_Group] = []
        everything: list[Probe] = []
        for target, states in work:
            hops = target.hops()
            for ttl, chosen, with_control in self._plan(target, states, turn, asked):
                pairs = [(state, self._probe(target, state, ttl)) for state in chosen]
                everything.extend(probe for _, probe in pairs)
                if with_control:
                    groups.append(_Group(target, ttl, pairs))
                    self._add_control(groups[-1], everything)
                else:
                    asked.setdefault(hops[ttl], []).extend(probe for _, probe in pairs)
        await self._settle_groups(groups, everything)
        for router, probes in asked.items():
            self.context.answers.learn(router, len(probes), sum(probe.answered for probe in probes))
        return not everything or any(not probe.answered for probe in everything)

    async def _settle_groups(self, groups: Sequence[_Group], everything: Sequence[Probe]) -> None:
        """Wait for all answers, SYNs included, and count the misses beside an answered control."""
        by_tcp = [group for group in groups if group.by_tcp]
        tcp_answers = asyncio.gather(
            *(self._tcp_control(group.target, self._passing_tcp_port(group.target), group.ttl) for group in by_tcp)
        )
        await self.prober.settle(everything)
        for group, answered in zip(by_tcp, await tcp_answers, strict=True):
            self._count_contrasts(group.target, group.ttl, group.pairs, answered)
        for group in groups:
            if group.control is not None:
                self._count_contrasts(group.target, group.ttl, group.pairs, group.control.expired)

    def _plan(
        self, target: TargetState, states: Sequence[PortState], turn: int, asked: Mapping[str, Sequence[Probe]]
    ) -> Iterable[tuple[int, list[PortState], bool]]:
        """What to ask of which hop: (TTL, ports, with a control). Far hops first, as many ports as answers are left."""
        hops, usable = target.hops(), self._usable_hops(target)
        now = self.context.network.now_ms()
        short = self._stops_short(target)
        suspects = [s for s in states if short or s.contrasts or self._unexplained(target, s) >= SUSPECT_AFTER]
        if suspects:
            able_at = [ttl for ttl in usable if any((s.reached or (0,))[0] < ttl for s in suspects)]
            if able_at:
                ttl = able_at[turn % len(able_at)]
                able = [s for s in suspects if (s.reached or (0,))[0] < ttl]
                # Once one has a contrast the others are likely blocked too: they draw no answers, so all may go.
                several = short or any(s.contrasts for s in able)
                yield ttl, able if several else able[:SUSPECTS_A_ROUND], True
        fresh = [s for s in states if s not in suspects]
        for ttl in usable:
            router = hops[ttl]
            room = self.context.answers.room(router, now) - len(asked.get(router, ()))
            # A port that was missed at a hop is asked again there or farther: nearer hops cannot clear it.
            able = [s for s in fresh if ttl >= self._farthest_miss(target, s)]
            batch = able[: max(room, 0)]
            if batch:
                fresh = [s for s in fresh if s not in batch]
                yield ttl, batch, False

    @staticmethod
    def _unexplained(target: TargetState, state: PortState) -> int:
        """Misses at hops that answer others, farther than this port was ever seen: a rate limit, loss, or a block."""
        hops = target.hops()
        reach = state.reached[0] if state.reached else 0
        return sum(p.ttl is not None and p.ttl > reach and p.ttl in hops and not p.answered for p in state.probes)

    @staticmethod
    def _farthest_miss(target: TargetState, state: PortState) -> int:
        """The farthest answering hop that did not answer for this port, beyond where it was seen; 0 for none."""
        hops = target.hops()
        reach = state.reached[0] if state.reached else 0
        missed = (p.ttl for p in state.probes if p.ttl is not None and p.ttl > reach and p.ttl in hops)
        return max((ttl for ttl in missed), default=0)

    def _add_control(self, group: _Group, everything: list[Probe]) -> None:
        """A control right after the group's probes: UDP where any passes, else a SYN."""
        usable = self._usable_hops(group.target)
        if not any(probe.expired and (probe.ttl or 0) in usable for probe in group.target.udp_probes()):
            group.by_tcp = True
            return
        group.control = self._passing_control(group.target, group.ttl)
        if group.control is not None:
            everything.append(group.control)

    def _passing_control(self, target: TargetState, ttl: int) -> Probe | None:
        """A probe with the same TTL on a port that is known to get there."""
        if any(probe.expired and probe.ttl == ttl for probe in target.control_probes):
            return self._control(target, ttl)
        if target.control_reach() >= ttl:
            return self._control(target, ttl)
        for state in target.ports.values():
            if state.reached is not None and state.reached[0] >= ttl and state.rejected is None:
                return self._probe(target, state, ttl)
        return None

    @staticmethod
    def _count_contrasts(
        target: TargetState, ttl: int, pairs: Sequence[tuple[PortState, Probe]], control_answered: bool
    ) -> None:
        if not control_answered:
            return
        for state, probe in pairs:
            if not probe.answered and probe.local_failure is None:
                state.contrasts[ttl] = state.contrasts.get(ttl, 0) + 1

    # -- the edges of a block

    def _blocked(self, target: TargetState, state: PortState) -> bool:
        if state.rejected or state.local_failure:
            return True
        reached = state.reached
        return state.contrasts_beyond(reached[0] if reached else 0) >= self._needed_contrasts(target)

    def _passes(self, target: TargetState, state: PortState) -> bool:
        """Seen behind the customer's edge, and past the hop where blocked ports stop: before it, all look alike."""
        if state.target_answered:
            return True
        outside = self.outside_ttl(target)
        reached = state.reached
        if reached is None or outside is None or state.rejected:
            return False
        return reached[0] >= outside and reached[0] > target.block_ttl

    def _find_block(self, target: TargetState) -> int:
        """The farthest hop that blocked ports were seen at, or that rejected them; 0 for no block."""
        blocked = [state for state in target.ports.values() if self._blocked(target, state)]
        seen = max((state.reached[0] for state in blocked if state.reached), default=0)
        hops = self._shared_hops(target)
        senders = {probe.icmp.address for state in blocked if (probe := state.rejected) and probe.icmp}
        if senders - set(hops.values()) - {None}:
            # A router whose answers went into rejections is at an unseen hop: in a gap, or behind all others.
            farthest = max(hops, default=0)
            return next((ttl for ttl in range(farthest - 1, seen, -1) if ttl not in hops), farthest + 1)
        return max([seen, *(ttl for ttl, address in hops.items() if address in senders)])

    async def _bracket_blocks(self) -> None:
        """Follow a blocked port to where it stops, and bisect between each passing and blocked neighbour."""
        await asyncio.gather(*(self._trace_blocked(target) for target in self.targets))
        for target in self.targets:
            target.block_ttl = self._find_block(target)
        edges: list[_Edge] = []
        for target in self.targets:
            ordered = sorted(target.ports.values(), key=lambda state: state.port)
            known = [s for s in ordered if self._blocked(target, s) or self._passes(target, s)]
            pairs = [
                _Edge(target=target, low=low.port, high=high.port, low_blocked=self._blocked(target, low))
                for low, high in itertools.pairwise(known)
                if self._blocked(target, low) != self._blocked(target, high)
            ]
            edges.extend(pairs[:MAX_EDGES])
        if edges:
            self.context.progress("media", 0, len(edges), "finding the edges of the block")
            await asyncio.gather(*(self._find_edge(together) for together in _alike(edges)))

    async def _find_edge(self, edges: Sequence[_Edge]) -> None:
        """One rule is mostly for all addresses, so that its edge is looked for with the answers of all their routers.

        What came of it is shown for each address: where it does not hold, that one is bisected by itself.
        """
        low, high = max(edge.low for edge in edges), min(edge.high for edge in edges)
        turn = 0
        if len(edges) > 1:
            while high - low > 1 and self.left_s(BRACKET_S) > 0 and turn < MAX_BRACKET_PACKETS:
                if self.context.stopping():
                    return
                middle = (low + high) // 2
                blocked = await self._guess(edges[turn % len(edges)].target, middle)
                turn += 1
                if blocked is None:
                    continue
                if blocked == edges[0].low_blocked:
                    low = middle
                else:
                    high = middle
        await asyncio.gather(*(self._bisect(edge, (low, high)) for edge in edges))

    async def _guess(self, target: TargetState, port: int) -> bool | None:
        """Whether this port seems blocked, by a single contrast; None when no router had an answer for it."""
        state = self._bracket_port(target, port)
        usable = self._beyond_block(target)
        if state.plain is None or not usable:
            state.plain = self.prober.send(target.address, port, None)
            if not usable:
                await self.prober.settle([state.plain], 0.4)
                return True if state.rejected else False if state.target_answered else None
        now, hops = self.context.network.now_ms(), target.hops()
        ttl = max(usable, key=lambda ttl: self.context.answers.tokens(hops[ttl], now))
        if self.context.answers.tokens(hops[ttl], now) < 1:
            await asyncio.sleep(DRY_GAP_S)
        await self.prober.settle([self._probe(target, state, ttl)], GUESS_WAIT_S)
        if self._passes(target, state) or state.rejected or state.local_failure:
            return not self._passes(target, state)
        probe = self._probe(target, state, ttl)
        control = self._passing_control(target, ttl)
        await self.prober.settle([probe] if control is None else [probe, control], 0.6)
        if self._passes(target, state) or state.rejected:
            return not self._passes(target, state)
        if control is None or not control.expired:
            return None
        self._count_contrasts(target, ttl, [(state, probe)], True)
        return True

    def _bracket_port(self, target: TargetState, port: int) -> PortState:
        if port not in target.ports:
            target.ports[port] = PortState(port, method="bracket")
        return target.ports[port]

    def _beyond_block(self, target: TargetState) -> list[int]:
        """TTLs of routers that blocked ports never get to, the farthest first."""
        outside = self.outside_ttl(target) or 1
        return [ttl for ttl in sorted(target.hops(), reverse=True) if ttl > target.block_ttl and ttl >= outside]

    async def _trace_blocked(self, target: TargetState) -> None:
        """Where blocked ports stop: probes of one of them at the hops between its reach and its nearest contrast."""
        blocked = [s for s in target.ports.values() if self._blocked(target, s) and s.contrasts]
        if not blocked:
            return
        chosen = max(blocked, key=lambda state: state.reached or (0, ""))
        hops = self._shared_hops(target)
        for turn in range(TRACE_ROUNDS):
            reach = max((s.reached[0] for s in blocked if s.reached), default=0)
            pooled = self._pooled_contrasts()
            stops = [s for s in (self._stop_of(target, state, pooled) for state in blocked) if s and s > reach]
            between = sorted((ttl for ttl in hops if reach < ttl < min(stops, default=0)), reverse=True)
            if not between or self.left_s(BRACKET_S) <= 0 or self.context.stopping():
                return
            if turn:
                await asyncio.sleep(DRY_GAP_S)
            # The nearest twice: it is the one that decides, and one miss alone proves nothing.
            asked = [*between, between[-1]] if turn else between
            groups = [_Group(target, ttl, [(chosen, self._probe(target, chosen, ttl))]) for ttl in asked]
            everything = [probe for group in groups for _, probe in group.pairs]
            for group in groups:
                self._add_control(group, everything)
            await self._settle_groups(groups, everything)

    def _pooled_contrasts(self) -> dict[tuple[int, str], int]:
        """How often blocked ports, of all targets, were missed at a router beside answered controls."""
        pooled: dict[tuple[int, str], int] = {}
        for target in self.targets:
            hops = target.hops()
            for state in target.ports.values():
                floor = state.reached[0] if state.reached else 0
                for ttl, count in state.contrasts.items():
                    if ttl > floor and ttl in hops:
                        pooled[ttl, hops[ttl]] = pooled.get((ttl, hops[ttl]), 0) + count
        return pooled

    def _stop_of(self, target: TargetState, state: PortState, pooled: Mapping[tuple[int, str], int]) -> int | None:
        """The nearest hop at which this port was missed, by enough misses: its own there and before, or there those of
        ports and targets that share the router, which has not answers enough to show it for each."""
        needed, missed, hops = self._needed_contrasts(target), 0, target.hops()
        floor = state.reached[0] if state.reached else 0
        for ttl in sorted(state.contrasts):
            if ttl > floor:
                missed += state.contrasts[ttl]
                if max(missed, pooled.get((ttl, hops.get(ttl, "")), 0)) >= needed:
                    return ttl
        return None

    def _shared_hops(self, target: TargetState) -> dict[int, str]:
        """The hops of `target`; the first ones, up to the customer's edge, also as other targets' probes saw them."""
        hops = dict(target.hops())
        others: dict[int, str] = {}
        for other in self.targets:
            for ttl, address in other.hops().items():
                others.setdefault(ttl, address)
        outside = first_hop_outside(others, self.own)
        for ttl, address in others.items():
            if outside is None or ttl <= outside:
                hops.setdefault(ttl, address)
        return hops

    async def _bisect(self, edge: _Edge, guess: tuple[int, int]) -> None:
        """Narrow the edge down to two neighbours: the ports of `guess` first."""
        target, low, high = edge.target, edge.low, edge.high
        packets = turn = 0
        candidates = [port for port in guess if low < port < high]
        while high - low > 1 and self.left_s(BRACKET_S) > 0 and packets < MAX_BRACKET_PACKETS:
            if self.context.stopping():
                return
            middle = candidates.pop(0) if candidates else (low + high) // 2
            if not low < middle < high:
                continue
            state = self._bracket_port(target, middle)
            decided: bool | None = None
            while decided is None and self.left_s(BRACKET_S) > 0 and packets < MAX_BRACKET_PACKETS:
                decided, used = await self._ask(target, state, turn)
                packets += used
                turn += 1
            if decided is None:
                return
            if decided == edge.low_blocked:
                low = middle
            else:
                high = middle

    async def _ask(self, target: TargetState, state: PortState, turn: int) -> tuple[bool | None, int]:
        """Is this port blocked? None: not decided yet. And the packets that were sent for it."""
        if state.rejected or state.local_failure:
            return True, 0
        if self._passes(target, state):
            return False, 0
        usable = self._beyond_block(target)
        if not usable:
            plain = self.prober.send(target.address, state.port, None)
            state.plain = plain
            await self.prober.settle([plain], 0.4)
            return (True if state.rejected else (False if state.target_answered else None)), 1
        ttl = usable[turn % len(usable)]
        if state.plain is None:
            state.plain = self.prober.send(target.address, state.port, None)
        probe = self._probe(target, state, ttl)
        control = self._passing_control(target, ttl)
        await self.prober.settle([probe] if control is None else [probe, control], 0.6)
        if not probe.answered and control is not None and control.expired:
            self._count_contrasts(target, ttl, [(state, probe)], True)
        elif not probe.answered:
            await asyncio.sleep(DRY_GAP_S)
        if self._passes(target, state):
            return False, 3
        if self._blocked(target, state):
            return True, 3
        return None, 3

    def _progress(self, what: str) -> None:
        total = sum(len(target.ports) for target in self.targets)
        self.context.progress("media", 0, total, what)

    # -- facts

    def _record(self) -> None:
        if self._recorded:
            return
        self._recorded = True
        offset = self.started_ms
        for target in self.targets:
            for hop in self._hop_facts(target):
                self.record.add(hop, offset_ms=offset)
            for span in self._span_facts(target):
                self.record.add(span, offset_ms=offset)
        for stray in self.prober.strays[:4]:
            self.record.add(
                Note(topic="stray_datagram", text=f"a datagram came from {stray.address}:{stray.port}"),
                offset_ms=stray.at_ms,
            )

    def _hop_facts(self, target: TargetState) -> list[Hop]:
        facts: list[Hop] = []
        farthest = max([0, *target.hops(), *(p.ttl or 0 for p in target.udp_probes() if p.from_target)])
        in_range = [probe for state in target.ports.values() for probe in state.probes]
        series: list[tuple[str, list[Probe]]] = [("udp_in_range", in_range), ("udp_control", target.control_probes)]
        for name, probes in series:
            by_ttl: dict[int, list[Probe]] = {}
            for probe in probes:
                # Beyond the farthest hop that ever answered, every TTL looks the same: one is kept.
                if probe.ttl is not None and probe.ttl <= farthest + 1:
                    by_ttl.setdefault(probe.ttl, []).append(probe)
            facts.extend(self._hop_fact(target, name, ttl, by_ttl[ttl]) for ttl in sorted(by_ttl))
        by_tcp: dict[tuple[int, int], list[tuple[Icmp | None, float | None]]] = {}
        for port, ttl, icmp, rtt in target.tcp_probes:
            by_tcp.setdefault((port, ttl), []).append((icmp, rtt))
        for (port, ttl), answers in sorted(by_tcp.items()):
            seen = [(icmp, rtt) for icmp, rtt in answers if icmp is not None]
            facts.append(
                Hop(
                    target=target.address,
                    series=f"tcp_{port}",
                    ttl=ttl,
                    ports=(port,),
                    sent=len(answers),
                    answered=len(seen),
                    address=seen[0][0].address if seen and seen[0][0] else None,
                    icmp=seen[0][0] if seen else None,
                )
            )
        return facts

    @staticmethod
    def _hop_fact(target: TargetState, series: str, ttl: int, probes: list[Probe]) -> Hop:
        answered = [probe for probe in probes if probe.answered]
        times = [probe.rtt_ms for probe in answered if probe.rtt_ms is not None]
        expired = [probe for probe in answered if probe.expired]
        first = next(iter(expired or answered), None)
        return Hop(
            target=target.address,
            series=series,
            ttl=ttl,
            ports=tuple(sorted({probe.port for probe in probes})),
            sent=len(probes),
            answered=len(answered),
            address=first.icmp.address if first is not None and first.icmp is not None else None,
            rtt_ms=round(min(times), 3) if times else None,
            icmp=first.icmp if first is not None else None,
            reached=bool(answered) and not expired and any(probe.from_target for probe in answered),
        )

    def _span_facts(self, target: TargetState) -> list[PortSpan]:
        needed, pooled = self._needed_contrasts(target), self._pooled_contrasts()
        return [self._span(target, state, needed, pooled) for _, state in sorted(target.ports.items())]

    def _span(
        self, target: TargetState, state: PortState, needed: int, pooled: Mapping[tuple[int, str], int]
    ) -> PortSpan:
        reached = state.reached
        rejected = state.rejected
        floor = reached[0] if reached else 0
        beyond = sorted(ttl for ttl in state.contrasts if ttl > floor)
        answered = next((probe for probe in state.all_probes() if probe.from_target), None)
        chosen = rejected or answered
        if state.local_failure is not None:
            outcome, failure, icmp = "local", state.local_failure, None
        elif chosen is not None and chosen.datagram_from_target:
            outcome, failure, icmp = "answered", None, None
        elif chosen is not None:
            outcome, failure, icmp = "icmp", chosen.failure, chosen.icmp
        else:
            outcome, failure, icmp = "silent", None, None
        return PortSpan(
            target=target.address,
            method=state.method,
            first_port=state.port,
            last_port=state.port,
            payload="rtcp" if state.port % 2 else "rtp",
            sent=len(state.probes) + (state.plain is not None),
            outcome=outcome,
            failure=failure,
            icmp=icmp,
            reached_ttl=reached[0] if reached else None,
            reached_address=reached[1] if reached else None,
            stopped_ttl=self._stop_of(target, state, pooled) or (beyond[-1] if beyond else None),
            unanswered=self._unexplained(target, state),
            controls_answered=sum(state.contrasts[ttl] for ttl in beyond),
            controls_needed=needed,
        )
