"""Whether the NAT keeps the source ports of this host, and whether they depend on the destination.

Mapped ports: RFC 4787 §4.1. Towards one destination nothing is told about others. Servers that see different addresses
of ours are on different lines and cannot be compared. A port that differs once may have been taken; one that differs
again, out of another socket, depends on the destination. TCP connections have a local port each: a change can be seen,
a dependence on the destination cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vsipcheck.checks.base import fact_ids
from vsipcheck.checks.nat.behaviour import MAPPING
from vsipcheck.checks.nat.cgnat import whose_nat
from vsipcheck.checks.nat.verdict import Verdict
from vsipcheck.checks.nat.view import View
from vsipcheck.checks.nat.words import counted, join_failures, join_words
from vsipcheck.checks.public_address import is_public_ipv4
from vsipcheck.checks.sip.addresses import SipAddress, addresses_from_sip
from vsipcheck.model import AddressSeen, Confidence, FaultDomain, Measure, Status

PORT_MASKING = "nat.port_masking"


@dataclass(frozen=True, slots=True)
class _UdpMapping:
    """What the STUN servers told about one local UDP port."""

    answers: tuple[AddressSeen, ...]

    @property
    def changed(self) -> list[AddressSeen]:
        return [fact for fact in self.answers if fact.port != fact.local_port]

    @property
    def destinations(self) -> int:
        return len({fact.server_address for fact in self.answers})

    @property
    def lines(self) -> list[_UdpMapping]:
        """The answers by the address that they see: servers on different lines can't be compared."""
        return [
            _UdpMapping(tuple(fact for fact in self.answers if fact.address == address))
            for address in dict.fromkeys(fact.address for fact in self.answers)
        ]

    @property
    def differs(self) -> bool:
        return any(len({fact.port for fact in line.answers}) > 1 and line.destinations > 1 for line in self.lines)

    @property
    def changed_steadily(self) -> bool:
        """Wherever two destinations of one line see one port, it is not ours. To be asked where no line `differs`."""
        lines = [line for line in self.lines if line.destinations > 1]
        return bool(lines) and all(line.changed for line in lines)

    @property
    def steady(self) -> bool:
        """Two destinations of one line see one port."""
        return any(len({fact.port for fact in line.answers}) == 1 and line.destinations > 1 for line in self.lines)


def _udp_rounds(view: View) -> list[_UdpMapping]:
    rounds: dict[int, list[AddressSeen]] = {}
    for fact in view.facts.of(AddressSeen):
        # A server inside our own network sees no NAT, and says nothing about ports outside.
        usable = fact.method == "stun" and fact.failure is None and is_public_ipv4(fact.address)
        if usable and fact.port and fact.server_address and fact.local_port:
            rounds.setdefault(fact.local_port, []).append(fact)
    return [_UdpMapping(tuple(answers)) for answers in rounds.values()]


def judge_port_masking(view: View, cgnat: Verdict) -> Verdict:
    """Whether ports are kept, changed steadily, or changed by destination, and whose NAT does so."""
    rounds = _udp_rounds(view)
    udp = rounds[0] if rounds else _UdpMapping(())
    tcp = [told for told in addresses_from_sip(view.facts) if told.trusted and told.port and told.local_port]
    tcp_changed = [told for told in tcp if told.port != told.local_port]
    tcp_destinations = len({told.remote_address for told in tcp})
    measures = (
        Measure(name="udp_destinations", value=udp.destinations, unit="count"),
        Measure(name="tcp_destinations", value=tcp_destinations, unit="count"),
        *_kept_measures("udp", _udp_ports(view)),
        *_kept_measures("tcp", [(told.local_port or 0, told.port or 0) for told in tcp]),
    )
    ids = (*(fact.id for one in rounds for fact in one.answers), *(told.fact_id for told in tcp))
    domain, confidence = whose_nat(cgnat)
    remedy = (
        "Ask your ISP for a public address without carrier-grade NAT; no setting of your own router changes its ports."
        if domain is FaultDomain.ISP
        else "Let the router keep the source ports of the PBX (static port, 1:1 NAT, endpoint-independent mapping)."
    )

    def masked(status: Status, reason: str, summary: str, certainty: Confidence) -> Verdict:
        return Verdict(
            status,
            reason,
            summary,
            facts=ids,
            domain=domain,
            confidence=certainty,
            remedy=remedy,
            settle_by="Find the NAT that changes ports: yours, if its WAN address is the public one; else your ISP's."
            if domain is FaultDomain.UNDETERMINED
            else None,
            measures=measures,
        )

    if udp.differs:
        again = rounds[1] if len(rounds) > 1 else None
        if again is None or not again.steady or again.differs:
            repeated = again is not None and again.differs
            return masked(
                Status.FAIL,
                "differs_by_destination",
                f"The NAT gives UDP another port for each destination (RFC 4787 §4.1): {_ports(udp)}"
                + (", and again out of a second socket." if repeated else "."),
                confidence if repeated else Confidence.POSSIBLE,
            )
        return masked(
            Status.WARN,
            "differed_once",
            f"UDP ports differed by destination once ({_ports(udp)}), but not out of a second socket.",
            Confidence.POSSIBLE,
        )
    if udp.changed_steadily:
        return masked(
            Status.WARN,
            "changed_consistently",
            f"The NAT changes UDP ports, to the same one for every destination: {_ports(udp)}."
            + (f" TCP ports are changed too: {_tcp_ports(tcp_changed)}." if tcp_changed else ""),
            confidence,
        )
    if tcp_changed:
        return masked(
            Status.WARN,
            "tcp_changed",
            f"The NAT changes TCP ports: {_tcp_ports(tcp_changed)}."
            + (f" UDP ports are kept: {_ports(udp)}." if udp.destinations > 1 and not udp.changed else ""),
            confidence,
        )
    if udp.destinations > 1 and not udp.changed:
        kept = f"UDP port {udp.answers[0].local_port} keeps its number towards {udp.destinations} destinations"
        if tcp:
            kept += f", and so do TCP ports towards {counted(tcp_destinations, 'SIP address', 'SIP addresses')}"
        return Verdict(
            Status.PASS,
            "ports_kept",
            f"{kept}." + ("" if tcp else " Of TCP nothing was told."),
            facts=ids,
            confidence=Confidence.PROVEN,
            measures=measures,
        )
    return _masking_unknown(view, udp, tcp_destinations, ids, measures)


def _udp_ports(view: View) -> list[tuple[int, int]]:
    """(local, mapped) of every local UDP port that somebody outside saw, once each."""
    seen: dict[int, int] = {}
    for fact in view.facts.of(AddressSeen, "nat"):
        usable = fact.method in ("stun", MAPPING) and fact.failure is None and is_public_ipv4(fact.address)
        if usable and fact.local_port and fact.port:
            seen.setdefault(fact.local_port, fact.port)
    return list(seen.items())


def _kept_measures(protocol: str, ports: Sequence[tuple[int, int]]) -> tuple[Measure, ...]:
    """How many of the ports kept their number, and how many their parity (RFC 4787 §4.2.1, §4.2.2)."""
    kept = sum(local == mapped for local, mapped in ports) if ports else None
    parity = sum(local % 2 == mapped % 2 for local, mapped in ports) if ports else None
    return (
        Measure(name=f"{protocol}_ports_seen", value=len(ports), unit="count"),
        Measure(name=f"{protocol}_ports_kept", value=kept, unit="count"),
        Measure(name=f"{protocol}_parity_kept", value=parity, unit="count"),
    )


def _masking_unknown(
    view: View, udp: _UdpMapping, tcp_destinations: int, ids: tuple[str, ...], measures: tuple[Measure, ...]
) -> Verdict:
    failed = [fact for fact in view.facts.of(AddressSeen, "nat") if fact.method == "stun" and fact.failure is not None]
    if udp.destinations > 1:
        reason = "several_uplinks"
        summary = f"UDP leaves by several lines, and ports cannot be compared between them: {_ports(udp)}."
    elif udp.destinations == 1:
        reason = "one_destination"
        summary = f"Only one STUN destination answered ({_ports(udp)}): nothing is told about others."
    else:
        reason = "no_stun_answer"
        summary = "No STUN server answered, so that nothing is told about UDP ports."
    if failed:
        summary += f" Without an answer: {join_failures(failed)}."
    if tcp_destinations:
        summary += f" TCP ports are kept towards {counted(tcp_destinations, 'SIP address', 'SIP addresses')}."
    return Verdict(
        Status.UNKNOWN,
        reason,
        summary,
        facts=(*ids, *fact_ids(failed)),
        confidence=Confidence.POSSIBLE,
        settle_by="Let UDP to the STUN servers of the profile out and run it again, or name others in a profile.",
        measures=measures,
    )


def _ports(udp: _UdpMapping) -> str:
    local = udp.answers[0].local_port if udp.answers else None
    several = len({fact.address for fact in udp.answers}) > 1
    seen = [
        f"{f'{fact.address}:' if several else ''}{fact.port} at {fact.operator or fact.source}" for fact in udp.answers
    ]
    return f"local {local} is seen as {join_words(seen)}"


def _tcp_ports(tcp: Sequence[SipAddress]) -> str:
    shown = [f"{told.local_port} is seen as {told.port} at {told.remote_address}" for told in tcp[:3]]
    return join_words(shown)
