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
import random
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.media.known import Known, PortState, TargetState
from vsipcheck.checks.media.sample import sample_ports
from vsipcheck.checks.media.survey_facts import hop_facts, span_facts
from vsipcheck.checks.paths import TIME_EXCEEDED
from vsipcheck.checks.udp_prober import Probe, UdpProber
from vsipcheck.model import Note

MAX_TTL = 30
# Shared first routers are asked once for each target; hop 1 also serves other checks, so only two targets ask it.
HOP1_TARGETS = 2
# Time for the sample, and for bracketing the edges of a block, from the start of the survey.
SAMPLE_S = 9.0
BRACKET_S = 22.0
# So many misses may be a router's limit; from then on a control, which costs an answer too, goes along.
SUSPECT_AFTER = 3
SUSPECTS_A_ROUND = 3
ROUND_GAP_S = 0.15
TRACE_ROUNDS = 5
DRY_GAP_S = 0.3  # when routers answered less than they were asked
GUESS_WAIT_S = 0.25
MAX_EDGES = 4  # edges of blocks that are bracketed for one target
MAX_BRACKET_PACKETS = 160  # for one edge


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
        self.known = Known(self.targets, (source,) if source else ())
        self.started_ms = context.network.now_ms()
        self._control_turn = 0
        self._recorded = False

    # -- time

    def left_s(self, budget_s: float) -> float:
        used = (self.context.network.now_ms() - self.started_ms) / 1000
        return min(budget_s - used, self.context.remaining_s() - 1.0)

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
            outside = self.known.outside_ttl(target)
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
            if self.known.outside_ttl(target) is not None or any(s.target_answered for s in target.ports.values()):
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
            if icmp is not None and icmp.type == TIME_EXCEEDED:
                reach[port] = max(reach.get(port, 0), ttl)
        return max(reach, key=lambda port: reach[port])

    async def _tcp_control(self, target: TargetState, port: int, ttl: int) -> bool:
        result = await self.context.network.tcp_connect(
            target.address, port, 0.7, source=self.context.settings.source, ttl=ttl
        )
        if result.stream is not None:
            await result.stream.close()
        target.tcp_probes.append((port, ttl, result.icmp, result.rtt_ms))
        return result.icmp is not None and result.icmp.type == TIME_EXCEEDED

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

    async def _judge_ports(self) -> None:
        """Rounds that spend the routers' answers on ports that are not settled, far hops first."""
        turn = 0
        while self.left_s(SAMPLE_S) > 0 and not self.context.stopping():
            work = [
                (target, [state for state in target.ports.values() if not self.known.settled(target, state)])
                for target in self.targets
            ]
            work = [(target, states) for target, states in work if states and self.known.usable_hops(target)]
            if not work:
                return
            dry = await self._round(work, turn)
            turn += 1
            total = sum(len(target.ports) for target in self.targets)
            open_ports = sum(len(states) for _, states in work)
            self.context.progress("media", total - open_ports, total, "ports followed beyond your network")
            await asyncio.sleep(DRY_GAP_S if dry else ROUND_GAP_S)

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
        hops, usable = target.hops(), self.known.usable_hops(target)
        now = self.context.network.now_ms()
        short = self.known.stops_short(target)
        suspects = [s for s in states if short or s.contrasts or self.known.unexplained(target, s) >= SUSPECT_AFTER]
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
            able = [s for s in fresh if ttl >= self.known.farthest_miss(target, s)]
            batch = able[: max(room, 0)]
            if batch:
                fresh = [s for s in fresh if s not in batch]
                yield ttl, batch, False

    def _add_control(self, group: _Group, everything: list[Probe]) -> None:
        """A control right after the group's probes: UDP where any passes, else a SYN."""
        usable = self.known.usable_hops(group.target)
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

    async def _bracket_blocks(self) -> None:
        """Follow a blocked port to where it stops, and bisect between each passing and blocked neighbour."""
        await asyncio.gather(*(self._trace_blocked(target) for target in self.targets))
        for target in self.targets:
            target.block_ttl = self.known.find_block(target)
        edges: list[_Edge] = []
        for target in self.targets:
            ordered = sorted(target.ports.values(), key=lambda state: state.port)
            known = [s for s in ordered if self.known.blocked(target, s) or self.known.passes(target, s)]
            pairs = [
                _Edge(target=target, low=low.port, high=high.port, low_blocked=self.known.blocked(target, low))
                for low, high in itertools.pairwise(known)
                if self.known.blocked(target, low) != self.known.blocked(target, high)
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
        usable = self.known.beyond_block(target)
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
        if self.known.passes(target, state) or state.rejected or state.local_failure:
            return not self.known.passes(target, state)
        probe = self._probe(target, state, ttl)
        control = self._passing_control(target, ttl)
        await self.prober.settle([probe] if control is None else [probe, control], 0.6)
        if self.known.passes(target, state) or state.rejected:
            return not self.known.passes(target, state)
        if control is None or not control.expired:
            return None
        self._count_contrasts(target, ttl, [(state, probe)], True)
        return True

    def _bracket_port(self, target: TargetState, port: int) -> PortState:
        if port not in target.ports:
            target.ports[port] = PortState(port, method="bracket")
        return target.ports[port]

    async def _trace_blocked(self, target: TargetState) -> None:
        """Where blocked ports stop: probes of one of them at the hops between its reach and its nearest contrast."""
        blocked = [s for s in target.ports.values() if self.known.blocked(target, s) and s.contrasts]
        if not blocked:
            return
        chosen = max(blocked, key=lambda state: state.reached or (0, ""))
        hops = self.known.shared_hops(target)
        for turn in range(TRACE_ROUNDS):
            reach = max((s.reached[0] for s in blocked if s.reached), default=0)
            pooled = self.known.pooled_contrasts()
            stops = [s for s in (self.known.stop_of(target, state, pooled) for state in blocked) if s and s > reach]
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
        if self.known.passes(target, state):
            return False, 0
        usable = self.known.beyond_block(target)
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
        if self.known.passes(target, state):
            return False, 3
        if self.known.blocked(target, state):
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
            for hop in hop_facts(target):
                self.record.add(hop, offset_ms=offset)
            for span in span_facts(self.known, target):
                self.record.add(span, offset_ms=offset)
        for stray in self.prober.strays[:4]:
            self.record.add(
                Note(topic="stray_datagram", text=f"a datagram came from {stray.address}:{stray.port}"),
                offset_ms=stray.at_ms,
            )
