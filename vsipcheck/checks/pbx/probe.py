"""What is asked of the PBX before any call: OPTIONS over TCP; where no SIP comes, the same over UDP, and a ClientHello.

Nothing but the address and port that were asked for gets a packet.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vsipcheck import VERSION
from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.dns.names import is_address, record_types
from vsipcheck.checks.dns.query import ask_system
from vsipcheck.checks.pbx.call import measure_call
from vsipcheck.checks.pbx.target import (
    CONNECT,
    KEEPALIVE,
    LOOKUP,
    OPTIONS,
    TLS,
    UDP_OPTIONS,
    host_and_port,
    provider_domain,
    read_options,
)
from vsipcheck.checks.sip.dialogue import (
    OptionsDialogue,
    bracketed,
    connect,
    failure_of,
    recorded,
    what_it_was,
)
from vsipcheck.model import Exchange, Failure, Family, Message, Note
from vsipcheck.net import Datagram, IcmpError, Stream
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.building import build_options
from vsipcheck.wire.sip.matching import match_response
from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.tls import client_hello, read_answer

CONNECTIONS = 2
# RFC 3261 §17.1.2.2: timer E, T1 of 500 ms, doubled. Whoever serves SIP over UDP answers one of three.
_UDP_SENT_AT_S = (0.0, 0.5, 1.5)
_UDP_WAIT_S = 3.0
_TLS_WAIT_S = 3.0
_MAX_TLS_BYTES = 4096
_MAX_DATAGRAMS = 16


async def measure(context: Context, record: Recorder) -> None:
    """Record how the PBX answers, and then, where a number was given, a call to it."""
    settings = context.settings
    if settings.pbx is None:
        return
    host, port = host_and_port(settings.pbx)
    total = 2 + (settings.invite is not None)
    context.progress("pbx", 0, total, f"looking for {host}")
    address = await _address(context, record, host)
    if address is None:
        return
    context.progress("pbx", 1, total, f"asking {settings.pbx}")
    async with asyncio.TaskGroup() as tasks:
        asking = [
            tasks.create_task(_ask(context, record, host, address, port, attempt))
            for attempt in range(1, CONNECTIONS + 1)
        ]
    outcomes = [task.result() for task in asking]
    may_call = "sip" in outcomes
    if not may_call and not context.stopping():
        connected = any(outcome != "unconnected" for outcome in outcomes)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_ask_udp(context, record, host, address, port))
            greeted = tasks.create_task(_greet_tls(context, record, host, address, port)) if connected else None
        # What ignores OPTIONS may still take calls; what greets by another protocol does not.
        may_call = "silent" in outcomes and greeted is not None and not greeted.result()
    if settings.invite is not None and may_call and not context.stopping():
        context.progress("pbx", 2, total, f"calling {settings.invite} at {settings.pbx}")
        await measure_call(context, record, host=host, address=address, port=port)
    context.progress("pbx", total, total, settings.pbx)


async def _address(context: Context, record: Recorder, host: str) -> str | None:
    """The one address to try: the host itself, else the first of IPv4, which is what the trunk dials; then of IPv6."""
    source = context.settings.source
    if is_address(host):
        return host
    found: list[str] = []
    for rtype in record_types(context.settings):
        if found or (source is not None and _version(source) != (4 if rtype == "A" else 6)):
            continue
        lookup = await ask_system(context, record, host, rtype, LOOKUP)
        found = list(lookup.addresses)
    if len(found) > 1:
        text = f"{host} has {len(found)} addresses; only the first, {found[0]}, is tried"
        record.add(Note(topic="addresses_left_out", text=text, values={"name": host, "left_out": found[1:]}))
    return found[0] if found else None


def _version(address: str) -> int:
    return ipaddress.ip_address(address.partition("%")[0]).version


async def _ask(context: Context, record: Recorder, host: str, address: str, port: int, attempt: int) -> str:
    """OPTIONS over a connection of its own: "sip", "silent", "other" (something else came), or "unconnected"."""
    connection, stream = await connect(context, record, host, address, port, CONNECT, attempt)
    if stream is None:
        return "unconnected"
    try:
        dialogue = _PbxDialogue(context, record, stream, connection.id, host)
        await dialogue.ask(attempt)
    finally:
        await stream.close()
    exchanges = [fact for fact in record.facts if isinstance(fact, Exchange) and fact.connection == connection.id]
    if any(fact.purpose == KEEPALIVE and fact.failure is None for fact in exchanges):
        return "sip"
    if any(fact.purpose == OPTIONS and read_options(fact).speaks for fact in exchanges):
        return "sip"
    quiet = any(
        fact.purpose == OPTIONS and fact.failure is Failure.NO_ANSWER and all(each.sent for each in fact.messages)
        for fact in exchanges
    )
    return "silent" if quiet else "other"


@dataclass(slots=True)
class _PbxDialogue(OptionsDialogue):
    """OPTIONS as the trunk would send them to its customer."""

    counted: ClassVar[str] = OPTIONS
    keepalive: ClassVar[str] = KEEPALIVE

    def compose(
        self, cseq: int, via: tuple[str, int], *, via_rport: bool, extra: Sequence[tuple[str, str]] = ()
    ) -> bytes:
        """The octets of one request: `via` is its sent-by."""
        port = self.stream.remote[1]
        return _options(self.context, self.name, port, "tcp", cseq, via, self.stream.local)


def _options(
    context: Context, host: str, port: int, transport: str, cseq: int, via: tuple[str, int], local: tuple[str, int]
) -> bytes:
    settings = context.settings
    return build_options(
        uri=f"sip:{bracketed(host)}:{port};transport={transport}",
        via_host=via[0],
        via_port=via[1],
        transport=transport.upper(),
        branch=f"z9hG4bK{secrets.token_hex(12)}",
        call_id=secrets.token_hex(16),
        from_uri=f"sip:vsipcheck@{provider_domain(context.profile, settings.account_sid)}",
        from_tag=secrets.token_hex(6),
        # RFC 3261 §19.1.1, table 1: neither port nor transport in To.
        to_uri=f"sip:{bracketed(host)}",
        cseq=cseq,
        user_agent=f"vsipcheck/{VERSION}",
        contact=f"sip:vsipcheck@{bracketed(local[0])}:{local[1]};transport={transport}",
    )


async def _ask_udp(context: Context, record: Recorder, host: str, address: str, port: int) -> None:
    """OPTIONS over UDP to the same port, with RFC 3261's retransmissions."""
    network = context.network
    begun = network.now_ms()
    family = Family.IPV6 if ":" in address else Family.IPV4
    opened = network.udp_socket(family, source=context.settings.source)
    messages: list[Message] = []
    failure: Failure | None = Failure.CANCELLED
    detail: str | None = None
    rtt_ms: float | None = None
    local: tuple[str | None, int | None] = (None, None)
    try:
        if isinstance(opened, Failure):
            failure = opened
            return
        source = context.settings.source or network.route_to(address).source_address or opened.local[0]
        local = (source, opened.local[1])
        sent = _options(context, host, port, "udp", 1, (source, opened.local[1]), (source, opened.local[1]))
        request = parse_message(sent)
        assert isinstance(request, SipRequest)
        patience_s = min(context.settings.timeout_s, _UDP_WAIT_S)
        due = [begun + after_s * 1000 for after_s in _UDP_SENT_AT_S if after_s < patience_s]
        until = begun + patience_s * 1000
        failure = Failure.NO_ANSWER
        while (now := network.now_ms()) < until and len(messages) < _MAX_DATAGRAMS:
            if due and now >= due[0]:
                due.pop(0)
                refused = opened.send(sent, address, port)
                messages.append(recorded(True, now, sent))
                if refused is not None:
                    failure = refused
                    return
            for event in await opened.receive(((min(due[0], until) if due else until) - now) / 1000):
                if isinstance(event, IcmpError):
                    if (event.address, event.port) == (address, port):
                        failure = event.failure
                        return
                    continue
                if (event.address, event.port) != (address, port):
                    continue
                failure, detail = _take_datagram(event, request, messages)
                if failure is None:
                    rtt_ms = round(event.at_ms - begun, 3)
                    return
    finally:
        if not isinstance(opened, Failure):
            opened.close()
        record.add(
            Exchange(
                protocol="sip",
                purpose=UDP_OPTIONS,
                connection=None,
                name=host,
                transport="udp",
                local_address=local[0],
                local_port=local[1],
                remote_address=address,
                remote_port=port,
                messages=tuple(messages),
                rtt_ms=rtt_ms,
                failure=failure,
                detail=detail,
                duration_ms=round(network.now_ms() - begun, 3),
            ),
            offset_ms=begun,
        )


def _take_datagram(
    datagram: Datagram, request: SipRequest, messages: list[Message]
) -> tuple[Failure | None, str | None]:
    """Keep one datagram; (None, None) if it is the final answer, else why it is not, and what it was."""
    messages.append(recorded(False, datagram.at_ms, datagram.data))
    try:
        message = parse_message(datagram.data)
    except WireError as error:
        return failure_of(error), what_it_was(error)
    if not isinstance(message, SipResponse) or message.status < 200:
        return Failure.NO_ANSWER, None
    altered = any(each.field != "from_tag" for each in match_response(request, message))
    return (Failure.MISMATCH, None) if altered else (None, None)


async def _greet_tls(context: Context, record: Recorder, host: str, address: str, port: int) -> bool:
    """Whether a ClientHello on a connection of its own is answered by TLS. The handshake ends with that."""
    network = context.network
    connection, stream = await connect(context, record, host, address, port, TLS, 1)
    if stream is None:
        return False
    begun = network.now_ms()
    messages: list[Message] = []
    failure: Failure | None = Failure.CANCELLED
    detail: str | None = None
    rtt_ms: float | None = None
    try:
        failure, detail, rtt_ms = await _shake(context, stream, host, messages, begun)
    finally:
        await stream.close()
        record.add(
            Exchange(
                protocol="tls",
                purpose=TLS,
                connection=connection.id,
                name=host,
                transport="tcp",
                local_address=stream.local[0],
                local_port=stream.local[1],
                remote_address=stream.remote[0],
                remote_port=stream.remote[1],
                messages=tuple(messages),
                rtt_ms=rtt_ms,
                failure=failure,
                detail=detail,
                duration_ms=round(network.now_ms() - begun, 3),
            ),
            offset_ms=begun,
        )
    return failure is None


async def _shake(
    context: Context, stream: Stream, host: str, messages: list[Message], begun: float
) -> tuple[Failure | None, str | None, float | None]:
    """(failure, what came, how long it took) of one ClientHello."""
    network = context.network
    try:
        hello = client_hello(None if is_address(host) else host)
    except WireError:
        hello = client_hello()
    patience_s = min(context.settings.timeout_s, _TLS_WAIT_S)
    messages.append(recorded(True, begun, hello))
    failure = await stream.send(hello, patience_s)
    seen = b""
    while failure is None:
        got = await stream.receive(max(0.0, patience_s - (network.now_ms() - begun) / 1000), _MAX_TLS_BYTES)
        if got.data:
            seen += got.data
            messages.append(recorded(False, got.at_ms, got.data))
            try:
                answer = read_answer(seen)
            except WireError as error:
                return Failure.MISMATCH, what_it_was(error), None
            if answer is not None:
                return None, answer.kind, round(got.at_ms - begun, 3)
        failure = got.failure or (Failure.CLOSED_EARLY if got.closed else None)
        if failure is None and len(seen) > _MAX_TLS_BYTES:
            failure = Failure.TOO_LARGE
    return failure, None, None
