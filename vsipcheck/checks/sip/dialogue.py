"""TCP connections and OPTIONS exchanges with every address of every signalling name, recorded as they happen."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from vsipcheck import VERSION
from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.dns.names import is_address, record_types, signalling_names
from vsipcheck.checks.path.trace import trace_tcp
from vsipcheck.checks.paths import KERNEL_COUNTERS
from vsipcheck.model import Connection, Exchange, Failure, Lookup, Message, Note, Route
from vsipcheck.net import Stream, TcpConnect
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass, classify, is_public
from vsipcheck.wire.sip.building import build_options
from vsipcheck.wire.sip.errors import NotSipError, TooLargeError
from vsipcheck.wire.sip.matching import match_response
from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.sip.stream import KeepAlive, StreamDecoder
from vsipcheck.wire.sip.values import Via
from vsipcheck.wire.text import escape, sanitise

# When to look where an unanswered SYN got stuck: the first retransmission is due (RFC 6298 §2.1).
STALL_S = 1.0
# How long the right answer may still follow a final one that does not match.
MISMATCH_GRACE_S = 1.0
# A server's answer to OPTIONS is below 2 KiB. Everything past these is an attack or not SIP.
MAX_MESSAGE_BYTES = 16 * 1024
MAX_EXCHANGE_BYTES = 64 * 1024
MAX_MESSAGES = 32
MAX_ADDRESSES = 16
# RFC 5626 §4.4.1.
PING, PONG = b"\r\n\r\n", b"\r\n"

# What an OPTIONS exchange is for, beside the "options" that are counted. The three ALG_ ones differ by their sent-by
# alone and ask for no `rport`, so that RFC 3261 §18.2.1 decides whether the server adds `received`: see `alg`.
ALG_OWN, ALG_DOCUMENTATION, ALG_PUBLIC = "alg_own", "alg_documentation", "alg_public"
SIZE, SIZE_CONTROL = "size", "size_control"
# What a connection is for, beside "sip" and "control": where requests within a dialog go (RFC 3261 §16.12).
IN_DIALOG = "in_dialog"
# RFC 5737 §3 and RFC 3849: nobody's address, and nothing that a NAT translates.
DOCUMENTATION = {4: "192.0.2.1", 6: "2001:db8::1"}
# For what comes after answers on the same connection.
SHORT_WAIT_S = 2.0
# Bytes of a whole request. 1,400 fits into one segment of an ordinary Ethernet, 4,000 takes three.
SIZES = (600, 1000, 1200, 1300, 1400, 2000, 4000)
_PADDING_LINE = 100

# Where a provider can be. A resolver that hands out anything else is judged by the DNS check; connecting there would
# speak to a sinkhole, or to this very host: a PBX that listens on 5070 here would answer in the provider's place.
_DIALLED = frozenset({AddressClass.GLOBAL, AddressClass.NAT64_WELL_KNOWN, AddressClass.NAT64_LOCAL})


def is_dialled(name: str, address: str) -> bool:
    """Whether `address` is tried at all: it can be somebody's on the Internet, or was given in place of a name."""
    try:
        return name == address or classify(address) in _DIALLED
    except WireError:
        return False


async def measure(context: Context, record: Recorder) -> None:
    """Record connections and OPTIONS exchanges with every address of every name, as soon as the name is resolved."""
    progress = _Progress(context)
    before = context.network.kernel_counters()
    try:
        await _measure_names(context, record, progress)
    finally:
        _record_counters(context, record, before)


def _record_counters(context: Context, record: Recorder, before: dict[str, int]) -> None:
    """SYNs that were sent again meanwhile, and those that this host itself could not send."""
    after = context.network.kernel_counters()
    counted = {name: after[name] - before[name] for name in before if name in after}
    if any(counted.values()):
        text = "how often this host's TCP sent SYNs again meanwhile, and how often that failed, for all its programs"
        record.add(Note(topic=KERNEL_COUNTERS, text=text, values=counted))


async def _measure_names(context: Context, record: Recorder, progress: _Progress) -> None:
    async with asyncio.TaskGroup() as tasks:
        for name in signalling_names(context.profile):
            if is_address(name):
                tasks.create_task(_measure_addresses(context, record, progress, name, [name]))
                continue
            for rtype in record_types(context.settings):
                tasks.create_task(_measure_name(context, record, progress, name, rtype))


@dataclass(slots=True)
class _Progress:
    context: Context
    done: int = 0
    total: int = 0

    def planned(self, count: int) -> None:
        self.total += count

    def finished(self, what: str) -> None:
        self.done += 1
        self.context.progress("sip", self.done, self.total, what)


async def _measure_name(context: Context, record: Recorder, progress: _Progress, name: str, rtype: str) -> None:
    lookup = await context.first(
        "dns",
        Lookup,
        lambda fact: fact.server is None and fact.name == name and fact.record_type == rtype,
    )
    if lookup is None:
        return
    addresses = [address for address in lookup.addresses if is_dialled(name, address)]
    if len(addresses) > MAX_ADDRESSES:
        record.add(
            Note(
                topic="addresses_left_out",
                text=f"{name} has {len(addresses)} addresses; the first {MAX_ADDRESSES} are tried",
                values={"name": name, "left_out": addresses[MAX_ADDRESSES:]},
            )
        )
    await _measure_addresses(context, record, progress, name, addresses[:MAX_ADDRESSES])


async def _measure_addresses(
    context: Context, record: Recorder, progress: _Progress, name: str, addresses: Sequence[str]
) -> None:
    progress.planned(len(addresses))
    async with asyncio.TaskGroup() as tasks:
        for number, address in enumerate(addresses):
            # One server of a name is enough to look for an ALG, which stands at our end.
            tasks.create_task(_measure_address(context, record, progress, name, address, compares=number == 0))


async def _measure_address(
    context: Context, record: Recorder, progress: _Progress, name: str, address: str, *, compares: bool
) -> None:
    source = context.settings.source
    if source is not None and _version(source) != _version(address):
        record.add(Route(destination=address, source_address=source, failure=Failure.NOT_SUPPORTED))
        return
    route = context.network.route_to(address)
    if route.failure is Failure.NO_ROUTE:
        record.add(
            Route(
                destination=address,
                source_address=route.source_address,
                interface=route.interface,
                gateway=route.gateway,
                failure=route.failure,
            )
        )
        return
    shares = _shares(context.settings.options_count, context.settings.options_connections)
    loop = asyncio.get_running_loop()
    outcomes: list[asyncio.Future[Failure | None]] = [loop.create_future() for _ in shares]
    async with asyncio.TaskGroup() as tasks:
        for number, (share, outcome) in enumerate(zip(shares, outcomes, strict=True), start=1):
            tasks.create_task(
                _measure_connection(
                    context, record, name, address, number, share, outcome, compares=compares and number == 1
                )
            )
        in_dialog = context.profile.signalling.in_dialog_port
        others = {} if in_dialog is None else {in_dialog: loop.create_future()}
        for port, other in others.items():
            tasks.create_task(_measure_in_dialog(context, record, name, address, port, other))
        tasks.create_task(_measure_path(context, record, name, address, outcomes, others))
    if context.settings.size and any(outcome.done() and outcome.result() is None for outcome in outcomes):
        await _measure_sizes(context, record, name, address)
    progress.finished(f"{name} {address}")


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


def _shares(count: int, connections: int) -> list[int]:
    """How many OPTIONS each connection carries: 3 over 2 are 2 and 1."""
    connections = max(1, min(count, connections))
    return [count // connections + (number < count % connections) for number in range(connections)]


async def _measure_in_dialog(
    context: Context,
    record: Recorder,
    name: str,
    address: str,
    port: int,
    outcome: asyncio.Future[Failure | None],
) -> None:
    """One connection to where the provider's Record-Route sends ACK and BYE. Nothing is said on it."""
    connection, stream = await connect(context, record, name, address, port, IN_DIALOG, 1)
    outcome.set_result(connection.failure)
    if stream is not None:
        await stream.close()


async def _measure_path(
    context: Context,
    record: Recorder,
    name: str,
    address: str,
    outcomes: Sequence[asyncio.Future[Failure | None]],
    others: Mapping[int, asyncio.Future[Failure | None]],
) -> None:
    """Who answers SYNs, or, once one fails or stalls: another port of the same address, and where SYNs get stuck."""
    await asyncio.wait([*outcomes, *others.values()], timeout=STALL_S)
    signalling = context.profile.signalling.port
    by_port = {signalling: list(outcomes)} | {port: [other] for port, other in others.items()}
    silent = [port for port, seen in by_port.items() if any(not each.done() for each in seen)]
    refused = [port for port, seen in by_port.items() if any(_is(each, Failure.REFUSED) for each in seen)]
    accepted = all(each.done() and each.result() is None for each in outcomes)
    controls = [port for port in context.profile.controls.tcp_ports if port not in others]
    async with asyncio.TaskGroup() as tasks:
        if not accepted:
            for port in controls:
                tasks.create_task(_control(context, record, name, address, port))
            if silent:
                silent += controls
        if silent or refused or accepted:
            tasks.create_task(_trace(context, record, address, silent, refused, [signalling] if accepted else []))


def _is(outcome: asyncio.Future[Failure | None], failure: Failure) -> bool:
    return outcome.done() and outcome.result() is failure


async def _control(context: Context, record: Recorder, name: str, address: str, port: int) -> None:
    _, stream = await connect(context, record, name, address, port, "control", 1)
    if stream is not None:
        await stream.close()


async def _trace(
    context: Context,
    record: Recorder,
    address: str,
    silent: Sequence[int],
    refused: Sequence[int],
    answered: Sequence[int],
) -> None:
    try:
        async with asyncio.timeout(context.settings.timeout_s):
            await trace_tcp(context, record, address, silent, refused=refused, answered=answered)
    except TimeoutError:
        record.add(Note(topic="trace_cut_short", text=f"The path to {address} could not be walked in time"))


async def connect(
    context: Context, record: Recorder, name: str, address: str, port: int, purpose: str, attempt: int
) -> tuple[Connection, Stream | None]:
    """The recorded outcome of one connection attempt, and its stream."""
    begun = context.network.now_ms()
    found = TcpConnect(stream=None, at_ms=begun, failure=Failure.CANCELLED)
    try:
        found = await context.network.tcp_connect(
            address, port, context.settings.timeout_s, source=context.settings.source
        )
    finally:
        took = round(context.network.now_ms() - begun, 3)
        connection = record.add(
            Connection(
                name=name,
                address=address,
                port=port,
                purpose=purpose,
                attempt=attempt,
                local_address=found.local[0] if found.local else None,
                local_port=found.local[1] if found.local else None,
                rtt_ms=found.rtt_ms,
                failure=found.failure,
                errno=found.errno,
                icmp=found.icmp,
                waited_ms=found.waited_ms,
                duration_ms=took,
            ),
            offset_ms=begun,
        )
    return connection, found.stream


async def _measure_connection(
    context: Context,
    record: Recorder,
    name: str,
    address: str,
    number: int,
    share: int,
    outcome: asyncio.Future[Failure | None],
    *,
    compares: bool,
) -> None:
    connection, stream = await connect(context, record, name, address, context.profile.signalling.port, "sip", number)
    outcome.set_result(connection.failure)
    if stream is None:
        return
    try:
        dialogue = OptionsDialogue(context, record, stream, connection.id, name)
        for cseq in range(1, share + 1):
            if context.stopping() or not await dialogue.ask(cseq):
                break
        else:
            if compares:
                await _compare_sent_by(dialogue, share + 1)
    finally:
        await stream.close()


async def _compare_sent_by(dialogue: OptionsDialogue, cseq: int) -> None:
    """OPTIONS that differ by their sent-by alone: ours, a documentation address, the public one that the server saw."""
    host, port = dialogue.stream.local

    async def ask(number: int, purpose: str, via: tuple[str, int]) -> bool:
        return not dialogue.context.stopping() and await dialogue.ask(
            number, purpose=purpose, via=via, via_rport=False, timeout_s=SHORT_WAIT_S
        )

    if not await ask(cseq, ALG_OWN, (host, port)):
        return
    if not await ask(cseq + 1, ALG_DOCUMENTATION, (DOCUMENTATION[_version(host)], port)):
        return
    public = next((via.received for via in reversed(dialogue.vias) if _is_elsewhere(via.received, host)), None)
    if public is not None:
        mapped = next((via.rport for via in dialogue.vias if via.rport), port)
        await ask(cseq + 2, ALG_PUBLIC, (public, mapped))


def _is_elsewhere(received: str | None, host: str) -> bool:
    """Whether the server saw a public address that is not the one we send from."""
    try:
        return received is not None and received != host and is_public(received)
    except WireError:
        return False


async def _measure_sizes(context: Context, record: Recorder, name: str, address: str) -> None:
    """Requests of growing size until one is not answered; then whether it, or the connection, or the server is why."""
    stopped = await _climb(context, record, name, address, 1, SIZES)
    if stopped is not None and not context.stopping():
        # The same again, on a connection of its own, after a small one: loss and a server that went away look alike.
        await _climb(context, record, name, address, 2, (SIZES[0], stopped))


async def _climb(
    context: Context, record: Recorder, name: str, address: str, attempt: int, sizes: Sequence[int]
) -> int | None:
    """The size that was not answered; None when all were, or none could be asked."""
    port = context.profile.signalling.port
    connection, stream = await connect(context, record, name, address, port, SIZE, attempt)
    if stream is None:
        return None
    try:
        dialogue = OptionsDialogue(context, record, stream, connection.id, name)
        for cseq, size in enumerate(sizes, start=1):
            if context.stopping():
                return None
            purpose = SIZE if attempt == 1 or cseq > 1 else SIZE_CONTROL
            if await dialogue.ask(cseq, purpose=purpose, size=size):
                continue
            unacknowledged = stream.unacknowledged()
            record.add(
                Note(
                    topic="send_queue",
                    text=f"{unacknowledged} bytes of the request of {size} bytes are not acknowledged"
                    if unacknowledged is not None
                    else "this system does not say what of the request is acknowledged",
                    values={
                        "connection": connection.id,
                        "size": size,
                        "unacknowledged": unacknowledged,
                        "mss": stream.segment_bytes(),
                    },
                )
            )
            # TCP keeps the order: an answer to this one says that the one before has arrived.
            if attempt == 1 and dialogue.hung:
                await dialogue.ask(cseq + 1, purpose=SIZE_CONTROL, timeout_s=SHORT_WAIT_S)
            return size
    finally:
        await stream.close()
    return None


@dataclass(slots=True)
class OptionsDialogue:
    """OPTIONS after OPTIONS over one connection."""

    # The purpose of the exchanges in whose silence a keep-alive is tried, and that of the keep-alive.
    counted: ClassVar[str] = "options"
    keepalive: ClassVar[str] = "keepalive"

    context: Context
    record: Recorder
    stream: Stream
    connection: str
    name: str
    decoder: StreamDecoder = field(
        default_factory=lambda: StreamDecoder(max_head=MAX_MESSAGE_BYTES, max_body=MAX_MESSAGE_BYTES)
    )
    tail: bytearray = field(default_factory=bytearray)  # received, and part of no message yet
    asked: list[SipRequest] = field(default_factory=list)
    vias: list[Via] = field(default_factory=list)  # topmost ones of matched answers
    hung: bool = False  # the last request was met with silence

    async def ask(
        self,
        cseq: int,
        *,
        purpose: str | None = None,
        via: tuple[str, int] | None = None,
        via_rport: bool = True,
        size: int | None = None,
        timeout_s: float | None = None,
    ) -> bool:
        """Whether the connection can carry another request after this one.

        `via` is another sent-by than ours, `size` the length to fill the request up to.
        """
        purpose = purpose or self.counted
        sent = self.compose(cseq, via or self.stream.local, via_rport=via_rport)
        if size is not None and size > len(sent):
            padding = _padding(size - len(sent))
            sent = self.compose(cseq, via or self.stream.local, via_rport=via_rport, extra=padding)
        request = parse_message(sent)
        assert isinstance(request, SipRequest)
        begun = self.context.network.now_ms()
        patience_s = min(timeout_s or self.context.settings.timeout_s, self.context.settings.timeout_s)
        attempt = _Attempt(self, request, begun, [recorded(True, begun, sent)], purpose, patience_s)
        try:
            failure = await self.stream.send(sent, patience_s)
            if failure is None:
                await attempt.wait()
            else:
                attempt.failure = failure
        finally:
            attempt.keep()
        self.asked.append(request)
        self.hung = attempt.failure is Failure.NO_ANSWER
        return attempt.failure is None and self.decoder.error is None

    def compose(
        self, cseq: int, via: tuple[str, int], *, via_rport: bool, extra: Sequence[tuple[str, str]] = ()
    ) -> bytes:
        """The octets of one request: `via` is its sent-by."""
        profile, settings = self.context.profile, self.context.settings
        host, port = self.stream.local
        here = bracketed(host)
        there = bracketed(self.name)
        domain = profile.signalling.domain_pattern.replace("{account_sid}", settings.account_sid or "")
        return build_options(
            uri=f"sip:{there}:{profile.signalling.port};transport={profile.signalling.transport}",
            via_host=via[0],
            via_port=via[1],
            via_rport=via_rport,
            transport=profile.signalling.transport.upper(),
            branch=f"z9hG4bK{secrets.token_hex(12)}",
            call_id=secrets.token_hex(16),
            from_uri=f"sip:vsipcheck@{domain if settings.account_sid else here}",
            from_tag=secrets.token_hex(6),
            # RFC 3261 §19.1.1, table 1: neither port nor transport in To.
            to_uri=f"sip:{there}",
            cseq=cseq,
            user_agent=f"vsipcheck/{VERSION}",
            contact=f"sip:vsipcheck@{here}:{port};transport={profile.signalling.transport}",
            extra=extra,
        )

    def exchange(
        self,
        purpose: str,
        begun: float,
        messages: Sequence[Message],
        *,
        failure: Failure | None,
        rtt_ms: float | None,
        detail: str | None = None,
    ) -> None:
        self.record.add(
            Exchange(
                protocol="sip",
                purpose=purpose,
                connection=self.connection,
                name=self.name,
                transport="tcp",
                local_address=self.stream.local[0],
                local_port=self.stream.local[1],
                remote_address=self.stream.remote[0],
                remote_port=self.stream.remote[1],
                messages=tuple(messages),
                rtt_ms=rtt_ms,
                failure=failure,
                detail=detail,
                duration_ms=round(self.context.network.now_ms() - begun, 3),
            ),
            offset_ms=begun,
        )


@dataclass(slots=True)
class _Attempt:
    """One OPTIONS, from its first byte to the final answer or to what came instead."""

    dialogue: OptionsDialogue
    request: SipRequest
    begun: float
    messages: list[Message]
    purpose: str
    timeout_s: float
    failure: Failure | None = Failure.CANCELLED
    detail: str | None = None
    rtt_ms: float | None = None
    size: int = 0
    pinged_ms: float | None = None
    ponged: bool = False
    settle_ms: float = float("inf")

    async def wait(self) -> None:
        """Read until a final answer, the time-out, or the end. Half the time in silence, a keep-alive is tried.

        Nothing is over before what has arrived was looked at, and the keep-alive has the other half of the time even
        when a busy machine lets us send it late.
        """
        network, timeout_ms = self.dialogue.context.network, self.timeout_s * 1000
        deadline, ping_ms = self.begun + timeout_ms, self.begun + timeout_ms / 2
        while True:
            silent = self._is_silent()
            until = min(ping_ms if silent else deadline, self.settle_ms)
            left_ms = until - network.now_ms()
            got = await self.dialogue.stream.receive(max(0.0, left_ms) / 1000)
            if got.data and self._take(got.data, got.at_ms):
                return
            if got.failure is Failure.RESET or got.closed:
                self._end(Failure.RESET if got.failure is Failure.RESET else Failure.CLOSED_EARLY)
                return
            if got.failure is not None and got.failure is not Failure.NO_ANSWER:
                self._end(got.failure)
                return
            if left_ms > 0:
                continue
            if not silent:
                break
            if self._is_silent():
                self.pinged_ms = network.now_ms()
                deadline = max(deadline, self.pinged_ms + timeout_ms / 2)
                await self.dialogue.stream.send(PING, timeout_ms / 2000)
        self._end(Failure.NO_ANSWER if self.settle_ms == float("inf") else Failure.MISMATCH)

    def _is_silent(self) -> bool:
        """Whether a keep-alive is still to be tried. A CRLF of the peer's own is no answer."""
        return (
            self.purpose == self.dialogue.counted
            and len(self.messages) == 1
            and not self.dialogue.tail.strip(b"\r\n")
            and self.pinged_ms is None
        )

    def keep(self) -> None:
        """Record what happened."""
        if self.failure is Failure.CANCELLED:
            self._keep_tail()
        if self.pinged_ms is not None and not self.ponged:
            self._keep_ping(None)
        self.dialogue.exchange(
            self.purpose,
            self.begun,
            self.messages,
            failure=self.failure,
            rtt_ms=self.rtt_ms,
            detail=self.detail,
        )

    def _end(self, failure: Failure) -> None:
        self.failure = failure
        self._keep_tail()

    def _keep_tail(self) -> None:
        tail = self.dialogue.tail
        if tail:
            self.messages.append(recorded(False, self.dialogue.context.network.now_ms(), bytes(tail)))
            tail.clear()

    def _keep_ping(self, ponged_ms: float | None) -> None:
        assert self.pinged_ms is not None
        messages = [recorded(True, self.pinged_ms, PING)]
        if ponged_ms is not None:
            messages.append(recorded(False, ponged_ms, PONG))
        self.dialogue.exchange(
            self.dialogue.keepalive,
            self.pinged_ms,
            messages,
            failure=None if ponged_ms is not None else Failure.NO_ANSWER,
            rtt_ms=None if ponged_ms is None else round(ponged_ms - self.pinged_ms, 3),
        )

    def _take(self, data: bytes, at_ms: float) -> bool:
        """Whether these bytes end the attempt."""
        dialogue = self.dialogue
        self.size += len(data)
        dialogue.tail += data
        error: WireError | None = None
        events = []
        try:
            events = dialogue.decoder.feed(data)
            error = dialogue.decoder.error
        except WireError as raised:
            error = raised
        answered = False
        for event in events:
            if isinstance(event, KeepAlive):
                if self.pinged_ms is not None and not self.ponged:
                    self.ponged = True
                    self.size -= len(PONG)
                    del dialogue.tail[: len(PONG)]
                    self._keep_ping(at_ms)
                continue
            if len(self.messages) > MAX_MESSAGES:
                break
            # From the end of the message before to the end of this one, so that no byte is lost.
            end = dialogue.tail.find(event.raw) + len(event.raw)
            self.messages.append(recorded(False, at_ms, bytes(dialogue.tail[:end])))
            del dialogue.tail[:end]
            if answered or not isinstance(event, SipResponse) or event.status < 200:
                continue
            if not altered_fields(self.request, event):
                answered = True
                self.failure, self.rtt_ms = None, round(at_ms - self.begun, 3)
                if event.top_via is not None:
                    dialogue.vias.append(event.top_via)
            elif all(altered_fields(earlier, event) for earlier in dialogue.asked):
                self.settle_ms = min(self.settle_ms, at_ms + MISMATCH_GRACE_S * 1000)
        if answered:
            return True
        if error is not None:
            self.detail = what_it_was(error)
            self._end(failure_of(error))
            return True
        if self.size > MAX_EXCHANGE_BYTES or len(self.messages) > MAX_MESSAGES:
            self.detail = f"{self.size} bytes, {len(self.messages)} messages at least, and no final answer"
            self._end(Failure.TOO_LARGE)
            return True
        return False


def failure_of(error: WireError) -> Failure:
    """The word for bytes that could not be read."""
    if isinstance(error, NotSipError):
        return Failure.NOT_SIP
    return Failure.TOO_LARGE if isinstance(error, TooLargeError) else Failure.MALFORMED


def what_it_was(error: WireError) -> str:
    """What unreadable bytes look like: the name of a protocol, or what is wrong with them."""
    if isinstance(error, NotSipError) and error.looks_like:
        return error.looks_like
    return sanitise(str(error), max_length=200)


def recorded(sent: bool, at_ms: float, data: bytes) -> Message:
    """One message as it stands in an exchange, cut at MAX_MESSAGE_BYTES."""
    return Message(
        sent=sent,
        offset_ms=round(at_ms, 3),
        text=escape(data[:MAX_MESSAGE_BYTES]),
        size=len(data),
        truncated=len(data) > MAX_MESSAGE_BYTES,
    )


def _padding(size: int) -> list[tuple[str, str]]:
    """Header fields of `size` bytes in all, each line short enough for any server; none when there is no room for one.

    Extension fields that nobody knows are ignored (RFC 3261 §20), and no rule limits how many there are.
    """
    fields: list[tuple[str, str]] = []
    overhead = len("X-Padding-00: \r\n")
    while size > overhead:
        length = size if size < _PADDING_LINE + 2 * overhead else _PADDING_LINE
        fields.append((f"X-Padding-{len(fields):02}", "x" * (length - overhead)))
        size -= length
    return fields


def bracketed(host: str) -> str:
    """`host` as it stands in a URI: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def altered_fields(request: SipRequest, response: SipResponse) -> tuple[str, ...]:
    """Which of branch, sent_by, call_id, cseq_number, cseq_method came back other than sent; empty for our answer.

    The From tag is left out: no transaction is matched by it (RFC 3261 §17.1.3), so that a PBX would take the answer.
    """
    return tuple(mismatch.field for mismatch in match_response(request, response) if mismatch.field != "from_tag")
