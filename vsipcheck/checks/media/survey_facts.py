"""The facts that a survey leaves: how far each hop and each port was seen."""

from __future__ import annotations

from collections.abc import Mapping

from vsipcheck.checks.media.known import Known, PortState, TargetState
from vsipcheck.checks.udp_prober import Probe
from vsipcheck.model import Hop, Icmp, PortSpan


def hop_facts(target: TargetState) -> list[Hop]:
    """One `Hop` a series and TTL, up to one TTL past the farthest that answered."""
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
        facts.extend(_hop_fact(target, name, ttl, by_ttl[ttl]) for ttl in sorted(by_ttl))
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


def span_facts(known: Known, target: TargetState) -> list[PortSpan]:
    """One `PortSpan` for each port that was asked, in the order of the ports."""
    needed, pooled = known.needed_contrasts(target), known.pooled_contrasts()
    return [_span(known, target, state, needed, pooled) for _, state in sorted(target.ports.items())]


def _span(
    known: Known, target: TargetState, state: PortState, needed: int, pooled: Mapping[tuple[int, str], int]
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
        stopped_ttl=known.stop_of(target, state, pooled) or (beyond[-1] if beyond else None),
        unanswered=known.unexplained(target, state),
        controls_answered=sum(state.contrasts[ttl] for ttl in beyond),
        controls_needed=needed,
    )
