"""What the facts say of UDP to one media address: how far each port got, and which were rejected or dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vsipcheck.checks.base import Facts, fact_ids
from vsipcheck.checks.paths import known_hops, own_addresses, reach_of
from vsipcheck.checks.zones import first_hop_outside
from vsipcheck.model import Failure, Hop, PortSpan, Route


class View:
    """The facts about one media address, read once."""

    def __init__(self, facts: Facts, target: str) -> None:
        self.target = target
        self.facts = facts
        self.own = own_addresses(facts)
        self.spans = [s for s in facts.of(PortSpan, "media") if s.target == target]
        self.sample = [s for s in self.spans if s.method == "sample"]
        self.fine = sorted((s for s in self.spans if s.method != "sweep"), key=lambda s: s.first_port)
        self.hop_facts = [h for h in facts.of(Hop, "media") if h.target == target]
        self.hops = known_hops(facts, target)
        self.outside = first_hop_outside(self.hops, self.own)
        self.in_range = [h for h in self.hop_facts if h.series == "udp_in_range"]
        self.controls = [h for h in self.hop_facts if h.series != "udp_in_range"]
        self.in_range_reach = reach_of(self.in_range)
        self.control_reach = reach_of(self.controls)

    def ids(self, spans: Sequence[PortSpan] = ()) -> tuple[str, ...]:
        return fact_ids([*self.hop_facts, *(spans or self.spans)])

    def from_target(self, span: PortSpan) -> bool:
        if span.outcome == "answered":
            return True
        return (
            span.outcome == "icmp"
            and span.failure is Failure.PORT_UNREACHABLE
            and span.icmp is not None
            and span.icmp.address == self.target
        )

    def rejected(self, span: PortSpan) -> bool:
        """Somebody on the way said so. Port-unreachable from nobody knows whom may be the target's own: no data."""
        if span.outcome != "icmp" or self.from_target(span):
            return False
        known = span.icmp is not None and span.icmp.address is not None
        return known or span.failure is not Failure.PORT_UNREACHABLE

    def dropped(self, span: PortSpan) -> bool:
        """Silent beside enough answered controls."""
        return (
            span.outcome == "silent"
            and span.stopped_ttl is not None
            and span.controls_needed > 0
            and span.controls_answered >= span.controls_needed
        )

    def blocked(self, span: PortSpan) -> bool:
        return span.outcome == "local" or self.rejected(span) or self.dropped(span)

    def passed(self, span: PortSpan) -> bool:
        if self.from_target(span):
            return True
        if self.blocked(span) or span.reached_ttl is None or self.outside is None:
            return False
        return span.reached_ttl >= self.outside and not span.unanswered

    def passed_beyond(self, ttl: int) -> Callable[[PortSpan], bool]:
        """Whether a port was seen farther than hop `ttl`: what was only followed up to a block says nothing of it."""
        return lambda span: self.passed(span) and (self.from_target(span) or (span.reached_ttl or 0) > ttl)

    def hops_with(self, sender: str | None, floor: int) -> dict[int, str]:
        """The known hops, and `sender` of an ICMP error about in-range ports at its place if no hop has it.

        A router whose answers went into rejections never says time-exceeded. It is behind `floor`, the last hop that
        the rejected ports were seen at: at the first unseen one, where there is one before the farthest.
        """
        if sender is None or sender in self.hops.values() or sender == self.target:
            return self.hops
        farthest = max(self.in_range_reach, self.control_reach)
        ttl = next((t for t in range(floor + 1, farthest) if t not in self.hops), None)
        return self.hops if ttl is None else {**self.hops, ttl: sender}

    def distance_of(self, sender: str | None, floor: int) -> int:
        """The TTL of the router that sent an ICMP error about in-range ports: behind all that is known, if unseen."""
        hops = self.hops_with(sender, floor)
        seen = next((ttl for ttl, address in sorted(hops.items()) if address == sender), None)
        if seen is None and any(route.gateway == sender for route in self.facts.of(Route)):
            return 1
        return seen if seen is not None else max([floor, *hops]) + 1
