"""What a survey knows so far of each port and each media address, and what follows: passes, blocked, still open."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from vsipcheck.checks.paths import TIME_EXCEEDED
from vsipcheck.checks.udp_prober import Probe
from vsipcheck.checks.zones import first_hop_outside
from vsipcheck.model import Failure, Icmp

# Contrasts that make "blocked" out of silence when the path loses nothing; more are asked on a lossy path, so that
# all the misses happen by chance less than once in ten thousand.
MIN_CONTRASTS = 3
CHANCE = 1e-4
MAX_CONTRASTS = 14


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
            if icmp is not None and icmp.type == TIME_EXCEEDED and icmp.address:
                found.setdefault(ttl, icmp.address)
        return found

    def in_range_reach(self) -> int:
        return max((state.reached[0] for state in self.ports.values() if state.reached), default=0)

    def control_reach(self) -> int:
        """The farthest TTL at which a router answered for a control. The target's own answer is left out: what it says
        of a control port tells nothing of its media ports."""
        udp = (probe.ttl or 0 for probe in self.control_probes if probe.expired)
        tcp = (ttl for _, ttl, icmp, _ in self.tcp_probes if icmp is not None and icmp.type == TIME_EXCEEDED)
        return max([0, *udp, *tcp])


class Known(msgspec.Struct, frozen=True):
    """What the answers so far, of all targets together, tell of each port."""

    targets: Sequence[TargetState]
    own: tuple[str, ...]  # addresses of this host

    def outside_ttl(self, target: TargetState) -> int | None:
        """The first TTL that is surely behind the customer's edge, or None when no hop shows it."""
        outside = first_hop_outside(self.shared_hops(target), self.own)
        return outside if outside is not None and any(ttl >= outside for ttl in target.hops()) else None

    def settled(self, target: TargetState, state: PortState) -> bool:
        """Nothing more need be asked of this port."""
        if state.local_failure or state.rejected or state.target_answered:
            return True
        reached = state.reached
        outside = self.outside_ttl(target)
        floor = outside if outside is not None else 1
        seen_outside = reached is not None and reached[0] >= floor
        if seen_outside and not self.unexplained(target, state) and not self.stops_short(target):
            return True
        return state.contrasts_beyond(reached[0] if reached else 0) >= self.needed_contrasts(target)

    @staticmethod
    def stops_short(target: TargetState) -> bool:
        """Some control got farther than any in-range probe did: being outside is then not enough."""
        return target.control_reach() > target.in_range_reach()

    def needed_contrasts(self, target: TargetState) -> int:
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

    def usable_hops(self, target: TargetState) -> list[int]:
        """TTLs that can tell something about a port of `target`, the farthest first."""
        hops = target.hops()
        reach = target.in_range_reach()
        outside = self.outside_ttl(target)
        if target.control_reach() > reach:  # a block: only hops past it can show a contrast
            return sorted((ttl for ttl in hops if ttl > reach), reverse=True)
        if outside is None:
            return []
        return sorted((ttl for ttl in hops if ttl >= outside), reverse=True)

    @staticmethod
    def unexplained(target: TargetState, state: PortState) -> int:
        """Misses at hops that answer others, farther than this port was ever seen: a rate limit, loss, or a block."""
        hops = target.hops()
        reach = state.reached[0] if state.reached else 0
        return sum(p.ttl is not None and p.ttl > reach and p.ttl in hops and not p.answered for p in state.probes)

    @staticmethod
    def farthest_miss(target: TargetState, state: PortState) -> int:
        """The farthest answering hop that did not answer for this port, beyond where it was seen; 0 for none."""
        hops = target.hops()
        reach = state.reached[0] if state.reached else 0
        missed = (p.ttl for p in state.probes if p.ttl is not None and p.ttl > reach and p.ttl in hops)
        return max((ttl for ttl in missed), default=0)

    def blocked(self, target: TargetState, state: PortState) -> bool:
        """Refused, by this host or on the way, or missed beside answered controls more often than by chance."""
        if state.rejected or state.local_failure:
            return True
        reached = state.reached
        return state.contrasts_beyond(reached[0] if reached else 0) >= self.needed_contrasts(target)

    def passes(self, target: TargetState, state: PortState) -> bool:
        """Seen behind the customer's edge, and past the hop where blocked ports stop: before it, all look alike."""
        if state.target_answered:
            return True
        outside = self.outside_ttl(target)
        reached = state.reached
        if reached is None or outside is None or state.rejected:
            return False
        return reached[0] >= outside and reached[0] > target.block_ttl

    def find_block(self, target: TargetState) -> int:
        """The farthest hop that blocked ports were seen at, or that rejected them; 0 for no block."""
        blocked = [state for state in target.ports.values() if self.blocked(target, state)]
        seen = max((state.reached[0] for state in blocked if state.reached), default=0)
        hops = self.shared_hops(target)
        senders = {probe.icmp.address for state in blocked if (probe := state.rejected) and probe.icmp}
        if senders - set(hops.values()) - {None}:
            # A router whose answers went into rejections is at an unseen hop: in a gap, or behind all others.
            farthest = max(hops, default=0)
            return next((ttl for ttl in range(farthest - 1, seen, -1) if ttl not in hops), farthest + 1)
        return max([seen, *(ttl for ttl, address in hops.items() if address in senders)])

    def beyond_block(self, target: TargetState) -> list[int]:
        """TTLs of routers that blocked ports never get to, the farthest first."""
        outside = self.outside_ttl(target) or 1
        return [ttl for ttl in sorted(target.hops(), reverse=True) if ttl > target.block_ttl and ttl >= outside]

    def pooled_contrasts(self) -> dict[tuple[int, str], int]:
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

    def stop_of(self, target: TargetState, state: PortState, pooled: Mapping[tuple[int, str], int]) -> int | None:
        """The nearest hop at which this port was missed, by enough misses: its own there and before, or there those of
        ports and targets that share the router, which has not answers enough to show it for each."""
        needed, missed, hops = self.needed_contrasts(target), 0, target.hops()
        floor = state.reached[0] if state.reached else 0
        for ttl in sorted(state.contrasts):
            if ttl > floor:
                missed += state.contrasts[ttl]
                if max(missed, pooled.get((ttl, hops.get(ttl, "")), 0)) >= needed:
                    return ttl
        return None

    def shared_hops(self, target: TargetState) -> dict[int, str]:
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
