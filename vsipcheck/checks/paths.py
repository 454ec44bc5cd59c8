"""Where probes stop, and whose place that is: one reading of hops for all checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vsipcheck.checks.base import Context, Facts, Recorder
from vsipcheck.model import Confidence, FaultDomain, Icmp


@dataclass(frozen=True, slots=True)
class Blame:
    """Whose place a block is, how sure that is, and the sentence that says so."""

    domain: FaultDomain
    confidence: Confidence
    sentence: str  # "SYNs to 5070 reach 203.0.113.9 (hop 4) and are never answered, while ..."
    settle_by: str | None
    facts: tuple[str, ...]


async def trace_tcp(context: Context, record: Recorder, target: str, ports: Sequence[int]) -> None:
    """Record how far SYNs to each of `ports` of `target` get: Hop facts of series `tcp_PORT`, with few connections."""
    raise NotImplementedError


def blame_silence(facts: Facts, target: str, port: int) -> Blame:
    """Who has to act when SYNs to `port` of `target` are never answered."""
    raise NotImplementedError


def blame_icmp(facts: Facts, icmp: Icmp, target: str) -> Blame:
    """Whose device sent an ICMP error about a packet to `target`."""
    raise NotImplementedError
