"""What a provider's support asks for, in one file: the report for machines and for people, and what SIP said."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Iterator, Sequence

import msgspec

from vsipcheck.model import Connection, Exchange, Failure, Report, Route
from vsipcheck.render import RenderOptions, render
from vsipcheck.render.safe import clean
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.pcap import Chunk, Conversation, capture
from vsipcheck.wire.text import escape, unescape

# A connection whose opening was not recorded began at least so long before its first byte.
_OPENED_BEFORE_US = 1000
_REFUSALS = (Failure.REFUSED, Failure.RESET)
# Connections over which SIP is spoken: to the trunk, and to the customer's own PBX.
_SIP_PURPOSES = ("sip", "pbx")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer adds to the report, ready to be shown: redacted already where that was asked for."""

    account_sid: str | None = None
    call_time: str | None = None
    numbers: tuple[str, ...] = ()


def build_ticket(report: Report, case: Case) -> bytes:
    """A zip file: summary.md, report.html, report.json, sip.txt and sip.pcap. The same for the same report and case."""
    options = RenderOptions(verbose=True, unicode=True)
    files = {
        "summary.md": _summary(report, case).encode(),
        "report.html": render(report, "html", options).encode(),
        "report.json": render(report, "json", options).encode(),
        "sip.txt": sip_text(report).encode(),
        "sip.pcap": sip_capture(report),
    }
    moment = _moment(report)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (max(moment.year, 1980), *moment.timetuple()[1:6]))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def sip_capture(report: Report) -> bytes:
    """Every recorded SIP exchange, with its real sockets and times, as a capture file."""
    return capture(conversations(report))


def sip_text(report: Report) -> str:
    """Every recorded SIP exchange as text, message by message, as it was on the wire."""
    lines = [
        "SIP messages as vsipcheck sent and received them. Octets that are not printable are written \\xNN, and a",
        f"backslash twice. Times are UTC. Run {report.run_id}.",
        "",
    ]
    began = _moment(report)
    for exchange in _exchanges(report):
        ours = _end(exchange.local_address, exchange.local_port)
        theirs = _end(exchange.remote_address, exchange.remote_port)
        head = f"=== {exchange.id} {exchange.purpose}: {ours} -> {theirs} over {exchange.transport.upper()}"
        lines.append(clean(head + (f" ({exchange.name})" if exchange.name else "")))
        if not exchange.messages:
            lines.append("(nothing was sent or received)")
        for message in exchange.messages:
            at = (began + datetime.timedelta(milliseconds=message.offset_ms)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
            way = f"{ours} -> {theirs}" if message.sent else f"{theirs} -> {ours}"
            cut = ", cut short in the record" if message.truncated else ""
            lines += ["", f"--- {at} {way}, {message.size} bytes{cut}"]
            lines += [_line(line) for line in message.text.replace("\r\n", "\n").split("\n")]
        if exchange.failure is not None:
            lines.append(clean(f"--- {exchange.failure}" + (f": {exchange.detail}" if exchange.detail else "")))
        lines.append("")
    for connection in _failed_connections(report):
        at = (began + datetime.timedelta(milliseconds=connection.offset_ms)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        where = _end(connection.address, connection.port) + (f" ({connection.name})" if connection.name else "")
        lines += [clean(f"=== {connection.id} {at} no connection to {where}: {connection.failure}"), ""]
    if len(lines) == 3:
        lines.append("No SIP was exchanged in this run.")
    return "\n".join(lines) + "\n"


def conversations(report: Report) -> Iterator[Conversation]:
    """The streams behind the exchanges: those of one connection belong together, and connections that failed count."""
    began_us = round(_moment(report).timestamp() * 1_000_000)
    opened = {
        fact.id: fact
        for recorded in report.evidence.values()
        for fact in recorded.facts
        if isinstance(fact, Connection) and fact.purpose in _SIP_PURPOSES and fact.ttl is None
    }
    streams: dict[tuple[object, ...], list[Exchange]] = {}
    for exchange in _exchanges(report):
        key = (
            exchange.connection or "",
            exchange.transport,
            exchange.local_address,
            exchange.local_port,
            exchange.remote_address,
            exchange.remote_port,
        )
        streams.setdefault(key, []).append(exchange)
    used = set()
    for exchanges in streams.values():
        first = exchanges[0]
        connection = opened.get(first.connection or "")
        used.add(first.connection)
        chunks = tuple(
            Chunk(message.sent, began_us + round(message.offset_ms * 1000), _octets(message.text), message.size)
            if message.truncated
            else Chunk(message.sent, began_us + round(message.offset_ms * 1000), _octets(message.text))
            for exchange in exchanges
            for message in exchange.messages
        )
        if first.local_address is None or not chunks:
            continue
        earliest_us = min(chunk.at_us for chunk in chunks)
        rtt_us = round((connection.rtt_ms or 0.0) * 1000) if connection else 0
        opened_us = began_us + round(connection.offset_ms * 1000) if connection else earliest_us - _OPENED_BEFORE_US
        yield Conversation(
            transport="udp" if first.transport == "udp" else "tcp",
            client=(first.local_address, first.local_port or 0),
            server=(first.remote_address, first.remote_port),
            opened_us=max(0, min(opened_us, earliest_us - rtt_us)),
            chunks=chunks,
            rtt_us=rtt_us,
            end=_how_it_ended(exchanges[-1].failure),
        )
    for connection in opened.values():
        # A connection that failed has no socket to ask for its address: the route says which one it had. Its port is
        # not known, and shown as 0.
        source = connection.local_address or _source_towards(report, connection.address)
        if connection.id in used or source is None:
            continue
        established = connection.failure is None
        yield Conversation(
            transport="tcp",
            client=(source, connection.local_port or 0),
            server=(connection.address, connection.port),
            opened_us=began_us + round(connection.offset_ms * 1000),
            rtt_us=round((connection.rtt_ms or 0.0) * 1000),
            end="fin" if established else "reset" if connection.failure in _REFUSALS else "open",
        )


def _source_towards(report: Report, address: str) -> str | None:
    """The local address that packets to `address` leave with, as far as a route of the same family tells."""
    routes = [
        fact
        for recorded in report.evidence.values()
        for fact in recorded.facts
        if isinstance(fact, Route) and fact.source_address and (":" in fact.source_address) == (":" in address)
    ]
    exact = [route for route in routes if route.destination == address]
    return (exact or routes)[0].source_address if routes else None


def _how_it_ended(failure: Failure | None) -> str:
    if failure is Failure.RESET:
        return "reset"
    return "fin_by_server" if failure is Failure.CLOSED_EARLY else "fin"


def _summary(report: Report, case: Case) -> str:
    support = report.profile.support
    lines = [f"# {clean(report.profile.provider)}: a report of vsipcheck", ""]
    given = (
        ("Account SID", case.account_sid),
        ("Time of the call", case.call_time),
        ("Number", ", ".join(case.numbers) or None),
    )
    lines += [f"- {name}: {_inline(value) if value else 'not given'}" for name, value in given]
    lines += [
        "- SIP trace: `sip.pcap` (Wireshark, sngrep, tshark) and `sip.txt`. Addresses, ports, times and SIP messages",
        "  are as recorded; the IP and TCP headers around them, and acknowledgements, were written by vsipcheck.",
        "- Everything else: `report.html` to read, `report.json` for machines (`vsipcheck show report.json`).",
    ]
    if report.redacted:
        lines.append(
            "- Redacted: values that identify the customer are replaced by others of their kind, everywhere alike."
        )
    if support is not None and support.wants:
        lines.append(f"- Asked for by support: {_inline('; '.join(support.wants))}.")
    return "\n".join(lines) + "\n\n" + render(report, "markdown", RenderOptions(verbose=True))


def _exchanges(report: Report) -> Sequence[Exchange]:
    return [
        fact
        for recorded in report.evidence.values()
        for fact in recorded.facts
        if isinstance(fact, Exchange) and fact.protocol == "sip"
    ]


def _failed_connections(report: Report) -> Sequence[Connection]:
    return [
        fact
        for recorded in report.evidence.values()
        for fact in recorded.facts
        if isinstance(fact, Connection)
        and fact.purpose in _SIP_PURPOSES
        and fact.ttl is None
        and fact.failure is not None
    ]


def _moment(report: Report) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(report.started_at)
    except ValueError:
        moment = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _octets(text: str) -> bytes:
    try:
        return unescape(text)
    except WireError:  # another version's way of escaping: better shown as it is than lost
        return text.encode("utf-8", "backslashreplace")


def _line(line: str) -> str:
    """A line of a message, harmless in a terminal even if the report was not written by us."""
    return line if line.isascii() and line.replace("\t", " ").isprintable() else escape(line.encode("utf-8", "replace"))


def _inline(text: str) -> str:
    """Text in a line of Markdown in which nothing is markup."""
    return "".join(f"\\{character}" if character in "\\`*_{}[]<>#|!~" else character for character in clean(text))


def _end(address: str | None, port: int | None) -> str:
    if address is None:
        return "an unknown address"
    host = f"[{address}]" if ":" in address else address
    return host if port is None else f"{host}:{port}"
