"""All facts by check, in lines a person can read: what `--verbose` adds to the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, TypeVar

import msgspec

from vsipcheck.model import (
    AddressSeen,
    CheckEvidence,
    Connection,
    Exchange,
    Fact,
    Hop,
    Icmp,
    Interface,
    Lookup,
    Message,
    Note,
    PastRun,
    PortSpan,
    Report,
    Route,
    UnreadFact,
)
from vsipcheck.render.digest import time_span
from vsipcheck.render.layout import BOLD, DIM, Page

F = TypeVar("F", bound=Fact)

_ID_CELLS = 11
_KNOWN = (Note, Interface, Route, Lookup, Connection, Exchange, AddressSeen, Hop, PortSpan, PastRun)


def show_evidence(page: Page, report: Report) -> None:
    """Where and how the run was made, every fact of every check, and what was sent."""
    page.heading("The run")
    settings = msgspec.to_builtins(report.settings)
    for label, value in (
        ("run id", report.run_id),
        ("host", f"{report.host.os}, Python {report.host.python}, {_icmp_words(report.host.icmp_errors)}"),
        ("settings", ", ".join(f"{name} {_value_words(value)}" for name, value in settings.items())),
    ):
        page.paragraph(page.text(value), indent=2, lead=label, hanging=_ID_CELLS, lead_style=DIM)
    for name, evidence in report.evidence.items():
        _check(page, name, evidence)
    _traffic(page, report)


def _icmp_words(shown: bool) -> str:
    return "ICMP errors are shown to us" if shown else "ICMP errors are not shown to us"


def _value_words(value: Any) -> str:
    if value is None or value in ([], (), ""):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _check(page: Page, name: str, evidence: CheckEvidence) -> None:
    page.heading(page.text(f"Facts: {name}"))
    span = f"began at {time_span(evidence.offset_ms)}, took {time_span(evidence.duration_ms)}"
    page.paragraph(f"{span}, {len(evidence.facts)} facts", indent=2, style=DIM)
    facts = evidence.facts
    _each(page, "notes", _of(facts, Note), _note)
    _each(page, "interfaces", _of(facts, Interface), _interface)
    _each(page, "routes", _of(facts, Route), _route)
    _each(page, "look-ups", _of(facts, Lookup), _lookup)
    _each(page, "connections", _of(facts, Connection), _connection)
    for exchange in _of(facts, Exchange):
        _exchange(page, exchange)
    _each(page, "addresses seen", _of(facts, AddressSeen), _address_seen)
    _hops(page, _of(facts, Hop))
    _port_spans(page, _of(facts, PortSpan))
    _each(page, "earlier runs", _of(facts, PastRun), _past_run)
    _each(page, "other facts", [fact for fact in facts if not isinstance(fact, _KNOWN)], _other)


def _of(facts: Sequence[Fact], kind: type[F]) -> list[F]:
    return [fact for fact in facts if isinstance(fact, kind)]


def _each(page: Page, title: str, facts: Sequence[F], words: Callable[[F], str]) -> None:
    if not facts:
        return
    _title(page, title)
    for fact in facts:
        page.paragraph(
            page.text(words(fact)), indent=4, lead=page.text(f"{fact.id} "), hanging=_ID_CELLS, lead_style=DIM
        )


def _title(page: Page, title: str) -> None:
    page.blank()
    page.paragraph(title, indent=2, style=BOLD)


def _joined(*parts: str | None, separator: str = ", ") -> str:
    return separator.join(part for part in parts if part)


def _socket(address: str | None, port: int | None) -> str:
    if address is None:
        return "an unknown address" if port is None else f"port {port}"
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _icmp(icmp: Icmp | None) -> str | None:
    if icmp is None:
        return None
    version = "" if icmp.version == 4 else f"v{icmp.version}"
    return f"ICMP{version} {icmp.type}/{icmp.code} from {icmp.address or 'this host itself'}"


def _note(note: Note) -> str:
    values = ", ".join(f"{name} {_value_words(value)}" for name, value in note.values.items())
    return _joined(f"{note.topic}: {note.text}", f"[{values}]" if values else None, separator=" ")


def _interface(interface: Interface) -> str:
    return _joined(
        f"{interface.name} {interface.address}",
        f"netmask {interface.netmask}" if interface.netmask else None,
        "loopback" if interface.is_loopback else None,
    )


def _route(route: Route) -> str:
    return f"towards {route.destination}: " + (
        _joined(
            f"source {route.source_address}" if route.source_address else None,
            f"by {route.interface}" if route.interface else None,
            f"gateway {route.gateway}" if route.gateway else None,
            route.failure,
        )
        or "nothing is known"
    )


def _lookup(lookup: Lookup) -> str:
    if lookup.server is None:
        asked = "from this system's own resolution"
    else:
        how = _joined(
            lookup.server_source, lookup.transport, "the UDP answer was truncated" if lookup.truncated else None
        )
        asked = f"from {lookup.server} ({how})"
    return f"{lookup.record_type} {lookup.name} ({lookup.purpose}) {asked}: " + (
        _joined(
            lookup.failure,
            lookup.rcode,
            _icmp(lookup.icmp),
            " ".join(lookup.addresses) if lookup.addresses else "no address",
            f"by way of {' '.join(lookup.cname_chain)}" if lookup.cname_chain else None,
            f"TTL {lookup.ttl_s} s" if lookup.ttl_s is not None else None,
            time_span(lookup.rtt_ms) if lookup.rtt_ms is not None else None,
            lookup.detail,
        )
    )


def _connection(connection: Connection) -> str:
    name = f"{connection.name} " if connection.name else ""
    if connection.failure is None and connection.rtt_ms is not None:
        outcome = f"connected in {time_span(connection.rtt_ms)}"
    elif connection.failure is None:
        outcome = "outcome not recorded"
    else:
        outcome = _joined(
            connection.failure,
            f"errno {connection.errno}" if connection.errno is not None else None,
            _icmp(connection.icmp),
            f"waited {time_span(connection.waited_ms)}" if connection.waited_ms is not None else None,
        )
    return (
        _joined(
            f"TCP {name}{_socket(connection.address, connection.port)} ({connection.purpose})",
            f"attempt {connection.attempt}",
            f"TTL {connection.ttl}" if connection.ttl is not None else None,
            f"from {_socket(connection.local_address, connection.local_port)}" if connection.local_address else None,
        )
        + f": {outcome}"
    )


def _exchange(page: Page, exchange: Exchange) -> None:
    _title(page, f"{page.text(exchange.protocol)} exchange")
    told = _exchange_words(exchange)
    page.paragraph(page.text(told), indent=4, lead=page.text(f"{exchange.id} "), hanging=_ID_CELLS, lead_style=DIM)
    for message in exchange.messages:
        _message(page, message)


def _exchange_words(exchange: Exchange) -> str:
    name = f"{exchange.name} " if exchange.name else ""
    outcome = _joined(
        exchange.failure,
        f"answered in {time_span(exchange.rtt_ms)}" if exchange.rtt_ms is not None else None,
        exchange.detail,
    )
    remote = _socket(exchange.remote_address, exchange.remote_port)
    local = _socket(exchange.local_address, exchange.local_port)
    return f"{exchange.purpose} to {name}{remote} over {exchange.transport} from {local}: " + (
        outcome or "no answer recorded"
    )


def _message(page: Page, message: Message) -> None:
    """A message line by line behind `>` (sent) or `<` (received), so that no line of it can pass for one of ours."""
    what = "sent" if message.sent else "received"
    cut = ", cut here" if message.truncated else ""
    page.paragraph(f"{what} at {time_span(message.offset_ms)}, {message.size} bytes{cut}", indent=4, style=DIM)
    sign = "> " if message.sent else "< "
    *lines, rest = message.text.split("\n")
    for line in lines:
        # RFC 3261 §7 wants CRLF: a bare LF ends a line for the eye too, but is shown.
        page.verbatim(page.text(line[:-1] if line.endswith("\r") else f"{line}\n"), indent=4, lead=sign)
    if rest:
        page.verbatim(page.text(rest), indent=4, lead=sign)


def _address_seen(seen: AddressSeen) -> str:
    asked = _joined(
        seen.operator,
        seen.transport,
        _socket(seen.server_address, seen.server_port) if seen.server_address else None,
        f"from {_socket(seen.local_address, seen.local_port)}" if seen.local_address else None,
    )
    outcome = _joined(
        f"saw {_socket(seen.address, seen.port)}" if seen.address else "no address",
        seen.failure,
        time_span(seen.rtt_ms) if seen.rtt_ms is not None else None,
        seen.detail,
    )
    return f"{seen.method} {seen.source} ({asked}): {outcome}"


def _hops(page: Page, hops: Sequence[Hop]) -> None:
    for target in dict.fromkeys(hop.target for hop in hops):
        for series in dict.fromkeys(hop.series for hop in hops if hop.target == target):
            _title(page, page.text(f"hops towards {target}, {series}"))
            rows = [("id", "ttl", "address", "answered", "best rtt", "ICMP", "ports")]
            of_series = [hop for hop in hops if hop.target == target and hop.series == series]
            for hop in sorted(of_series, key=lambda hop: hop.ttl):
                icmp = f"{hop.icmp.type}/{hop.icmp.code}" if hop.icmp else ""
                rows.append(
                    (
                        page.text(hop.id),
                        str(hop.ttl),
                        page.text(hop.address or "no answer") + (" (the target)" if hop.reached else ""),
                        f"{hop.answered} of {hop.sent}",
                        time_span(hop.rtt_ms) if hop.rtt_ms is not None else "",
                        icmp,
                        " ".join(map(str, hop.ports)),
                    )
                )
            page.table(rows, indent=4)


def _port_spans(page: Page, spans: Sequence[PortSpan]) -> None:
    """Neighbours with the same outcome are told together, with all their ports."""
    for target in dict.fromkeys(span.target for span in spans):
        _title(page, page.text(f"ports of {target}"))
        of_target = [span for span in spans if span.target == target]
        for outcome, members in groupby(of_target, key=_outcome):
            alike = list(members)
            ports = " ".join(
                str(span.first_port) if span.first_port == span.last_port else f"{span.first_port}-{span.last_port}"
                for span in alike
            )
            sent = sum(span.sent for span in alike)
            ids = _ids([span.id for span in alike])
            page.paragraph(page.text(f"{ports}: {sent} sent, {outcome} [{ids}]"), indent=4, hanging=2)


def _ids(ids: Sequence[str]) -> str:
    """The ids of neighbours in short: `media.20 to media.35`, if they are that."""
    stem, _, start = ids[0].rpartition(".")
    if len(ids) > 2 and start.isdecimal():
        follow = [f"{stem}.{number}" for number in range(int(start), int(start) + len(ids))]
        if follow == list(ids):
            return f"{ids[0]} to {ids[-1]}"
    return " ".join(ids)


def _outcome(span: PortSpan) -> str:
    seen = None
    if span.reached_ttl is not None:
        seen = f"seen as far as TTL {span.reached_ttl}" + (f" ({span.reached_address})" if span.reached_address else "")
    stopped = None
    if span.stopped_ttl is not None:
        stopped = (
            f"at TTL {span.stopped_ttl} {span.unanswered} unanswered"
            f" while {span.controls_answered} controls were answered"
        )
    how = f"{span.method}, {span.protocol} {span.payload}"
    return _joined(f"{span.outcome} ({how})", span.failure, _icmp(span.icmp), seen, stopped)


def _hop(hop: Hop) -> str:
    who = (hop.address or "no answer") + (" (the target)" if hop.reached else "")
    outcome = _joined(
        f"{who}, {hop.answered} of {hop.sent} answered",
        f"best {time_span(hop.rtt_ms)}" if hop.rtt_ms is not None else None,
        f"ICMP {hop.icmp.type}/{hop.icmp.code}" if hop.icmp else None,
        f"{hop.contrasts} silent beside an answered control" if hop.contrasts else None,
    )
    return f"{hop.series} towards {hop.target}, TTL {hop.ttl}, ports {' '.join(map(str, hop.ports))}: {outcome}"


def _port_span(span: PortSpan) -> str:
    ports = str(span.first_port) if span.first_port == span.last_port else f"{span.first_port}-{span.last_port}"
    return f"{span.target} ports {ports}: {span.sent} sent, {_outcome(span)}"


def describe(fact: Fact) -> str:
    """A fact in one line, its id and an exchange's messages left out. What peers have sent is in it, uncleaned."""
    match fact:
        case Note():
            return _note(fact)
        case Interface():
            return _interface(fact)
        case Route():
            return _route(fact)
        case Lookup():
            return _lookup(fact)
        case Connection():
            return _connection(fact)
        case Exchange():
            return _exchange_words(fact)
        case AddressSeen():
            return _address_seen(fact)
        case Hop():
            return _hop(fact)
        case PortSpan():
            return _port_span(fact)
        case PastRun():
            return _past_run(fact)
    return _other(fact)


def _past_run(run: PastRun) -> str:
    statuses = ", ".join(f"{name} {status}" for name, status in run.statuses.items())
    address = f"public address {run.public_address}" if run.public_address else "public address not known"
    return _joined(f"{run.run_id} at {run.started_at}: {address}", statuses, separator="; ")


def _other(fact: Fact) -> str:
    fields = dict(fact) if isinstance(fact, UnreadFact) else msgspec.structs.asdict(fact)
    return f"{type(fact).__name__} " + ", ".join(
        f"{name} {_value_words(value)}" for name, value in fields.items() if name not in ("id", "offset_ms")
    )


def _traffic(page: Page, report: Report) -> None:
    traffic = report.traffic
    page.heading("What was sent")
    page.paragraph(f"{traffic.packets_sent} packets, {traffic.bytes_sent} bytes", indent=2)
    if traffic.by_destination:
        rows = [("address", "protocol", "port", "packets", "bytes")]
        rows += [
            (
                page.text(to.address),
                page.text(to.protocol),
                "several" if to.port is None else str(to.port),
                str(to.packets),
                str(to.bytes),
            )
            for to in traffic.by_destination
        ]
        page.table(rows, indent=2)
