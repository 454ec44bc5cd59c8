"""A test call to the customer's PBX, placed as the trunk places one, recorded as it happens."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vsipcheck import VERSION
from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.pbx.rtp import DRAIN_MS, PACKET_MS, PACKETS, MediaTarget, RtpSession, media_target
from vsipcheck.checks.pbx.sdp import answer_of, answer_to
from vsipcheck.checks.pbx.target import (
    CALL_NOTE,
    CONNECT,
    INVITE,
    INVITE_PCMU,
    NO_SOCKET,
    NOT_CONNECTED,
    NOT_SENDABLE,
    UNREADABLE,
    provider_domain,
)
from vsipcheck.checks.sip.dialogue import MAX_MESSAGE_BYTES, connect, failure_of, recorded, what_it_was
from vsipcheck.model import Exchange, Failure, Family, Message, Note
from vsipcheck.net import Received, Stream
from vsipcheck.wire.call import (
    Answered,
    AnswerRepeated,
    Call,
    CallLimits,
    Event,
    Outcome,
    Phase,
    Provisional,
    build_trunk_invite,
)
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sdp import PCMA, PCMU, Codec, SessionDescription, build_audio, telephone_event
from vsipcheck.wire.sip.message import SipResponse
from vsipcheck.wire.sip.stream import KeepAlive, StreamDecoder
from vsipcheck.wire.text import sanitise

# The guide's section A, where the payload type of DTMF is 96.
TRUNK_CODECS = (PCMA, PCMU, telephone_event(96))
PCMU_CODECS = (PCMU, telephone_event(96))
# How long a call without RTP is held: a PBX that hangs up by itself, or has second thoughts, mostly does so at once.
HOLD_MS = 1000.0
# A 2xx whose ACK does not arrive comes again after 0.5 and 1.5 s (RFC 3261 §13.3.1.4): until the second is due, a first
# repetition may be that of a PBX to which the ACK had a long way.
REPEATS_MS = 2000.0
# How long a cancelled run may spend on hanging up; the runner waits a second for all checks.
ABANDON_S = 0.6
CANCEL_S, BYE_S = 2.0, 2.0
# A call needs this much of the run's time to end in good order, besides its ringing.
_RESERVE_S = CANCEL_S + BYE_S
_MIN_CALL_S = 2.0
# The account in the guide's own sample, where the user named none.
_SAMPLE_ACCOUNT = "exotelt"

# A call of ours takes about ten messages of at most two kilobytes.
_MAX_MESSAGES = 96
# Of head and body each, so that no whole message is cut in the record.
_MAX_PART_BYTES = MAX_MESSAGE_BYTES // 2
_MAX_RECORDED_BYTES = 128 * 1024
_MAX_RECEIVED_BYTES = 512 * 1024
_MAX_PROVISIONALS = 24
_MAX_PONGS = 16
_SOCKET_ATTEMPTS = 8
_CRLF = b"\r\n"


async def measure_call(context: Context, record: Recorder, *, host: str, address: str, port: int) -> None:
    """Record one call to `settings.invite`, and a second that offers PCMU alone if the first was answered without it.

    `host` is as it was asked for, and stands in Request-URI and To; packets go to `address` and `port`, and RTP to
    where the SDP answer wants it. Each call has a connection of its own: Connection (purpose "pbx", attempt 3 and 4),
    Exchange (purpose "pbx_invite", "pbx_invite_pcmu"), Note (topic "pbx_call"); with `settings.rtp` the first has a
    Note of topic "pbx_rtp". A cancelled call is hung up, at best effort and in well below a second.
    """
    if context.settings.invite is None:
        return
    first = _LiveCall(context, record, host, address, port, INVITE, TRUNK_CODECS)
    await first.place(attempt=3)
    if first.lacks_pcmu and not context.stopping() and context.remaining_s() > _MIN_CALL_S + _RESERVE_S:
        await _LiveCall(context, record, host, address, port, INVITE_PCMU, PCMU_CODECS).place(attempt=4)


@dataclass(slots=True)
class _LiveCall:
    """One call: its connection, its sockets, and everything that was said."""

    context: Context
    record: Recorder
    host: str
    address: str
    port: int
    purpose: str
    codecs: Sequence[Codec]
    connection: str | None = None
    stream: Stream | None = None
    media: RtpSession | None = None
    call: Call | None = None
    exchange: str | None = None
    decoder: StreamDecoder = field(
        default_factory=lambda: StreamDecoder(max_head=_MAX_PART_BYTES, max_body=_MAX_PART_BYTES)
    )
    tail: bytearray = field(default_factory=bytearray)  # received, and part of no message yet
    outbox: list[bytes] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    kinds: set[object] = field(default_factory=set)  # of the messages that are kept
    left_out: int = 0
    provisionals: int = 0
    size: int = 0
    recorded_bytes: int = 0
    keepalives: int = 0
    begun: float = 0.0
    failure: Failure | None = None  # of the connection, or of what came over it
    detail: str | None = None
    lost_in_call: bool = False
    interrupted: bool = False
    answered_ms: float | None = None
    hold_until: float | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    early: list[SipResponse] = field(default_factory=list)  # the 1xx that have a body
    answer: SessionDescription | None = None
    sdp_from: str | None = None

    @property
    def lacks_pcmu(self) -> bool:
        """Whether the call was answered with audio that has no PCMU. Refused audio tells nothing of a codec."""
        streams = [each for each in self.answer.media if each.media == "audio" and each.port] if self.answer else []
        return bool(streams) and not any(each.has("PCMU") for each in streams)

    @property
    def _has_media(self) -> bool:
        return self.context.settings.rtp and self.purpose == INVITE

    async def place(self, attempt: int) -> None:
        """Call, hold, hang up, and record it, however it ends."""
        context = self.context
        try:
            connection, stream = await connect(
                context, self.record, self.host, self.address, self.port, CONNECT, attempt
            )
            self.connection, self.stream = connection.id, stream
            if stream is None:
                self._keep_note(NOT_CONNECTED, connection.failure)
                return
            self.media = self._open_media(stream)
            if self.media is None:
                self._keep_note(NO_SOCKET, self.failure)
                return
            self.begun = context.network.now_ms()
            try:
                self.call = self._compose(stream, self.media)
            except WireError as error:
                self.detail = sanitise(str(error), max_length=200)
                self._keep_note(NOT_SENDABLE, Failure.LOCAL_ERROR)
                return
            await self._talk(self.media)
        finally:
            if self.stream is not None:
                await self.stream.close()
            if self.media is not None:
                self.media.rtp.close()
                if self.media.rtcp is not None:
                    self.media.rtcp.close()

    def _open_media(self, stream: Stream) -> RtpSession | None:
        """Sockets for the offer to name, on the address that signalling leaves from; None if the system gives none.

        RTP has an even port, as RFC 3550 §11 wants it; RTCP's is named by a=rtcp (RFC 3605), so that it can be any.
        """
        network = self.context.network
        family = Family.IPV6 if ":" in stream.local[0] else Family.IPV4
        odd = []
        try:
            for _ in range(_SOCKET_ATTEMPTS):
                opened = network.udp_socket(family, source=stream.local[0])
                if isinstance(opened, Failure):
                    self.failure = opened
                    return None
                if opened.local[1] % 2 == 0:
                    break
                odd.append(opened)
            else:
                opened = odd.pop()
            rtcp = odd.pop() if odd else network.udp_socket(family, source=stream.local[0])
        finally:
            for each in odd:
                each.close()
        return RtpSession(network, opened, None if isinstance(rtcp, Failure) else rtcp)

    def _compose(self, stream: Stream, media: RtpSession) -> Call:
        settings, profile = self.context.settings, self.context.profile
        local_host, local_port = stream.local
        session_id = secrets.randbits(31)
        said: list[tuple[tuple[Codec, ...], str]] = []

        def offer(codecs: Sequence[Codec], direction: str = "sendrecv") -> bytes:
            # RFC 3264 §8: the version of o= grows with each change, and with nothing else.
            if not said or said[-1] != (tuple(codecs), direction):
                said.append((tuple(codecs), direction))
            return build_audio(
                local_host,
                media.rtp.local[1],
                codecs,
                direction=direction,
                username="root",  # as in the guide
                session_id=session_id,
                session_version=session_id + len(said) - 1,
                rtcp_port=media.rtcp.local[1] if media.rtcp else None,
            )

        def answer_offer(data: bytes) -> bytes | None:
            return answer_to(data, offer)

        mark = secrets.token_hex(8)
        user_agent = f"vsipcheck/{VERSION}"
        invite = build_trunk_invite(
            number=settings.invite or "",
            host=self.host,
            port=self.port,
            transport="tcp",
            local_host=local_host,
            local_port=local_port,
            caller=settings.caller,
            domain=provider_domain(profile, settings.account_sid or _SAMPLE_ACCOUNT),
            call_id=f"{uuid.uuid4()}@{local_host}",
            branch=f"z9hG4bK{secrets.token_hex(12)}",
            from_tag=secrets.token_hex(6),
            sids=(
                ("X-Exotel-LegSid", f"vsipcheck-test-leg-{mark}"),
                ("X-Exotel-CallSid", f"vsipcheck-test-call-{mark}"),
                ("X-Exotel-TrunkSid", "vsipcheck-test-trunk"),
            ),
            user_agent=user_agent,
            body=offer(self.codecs),
        )
        ring_s = min(settings.ring_s, max(_MIN_CALL_S, self.context.remaining_s() - _RESERVE_S))
        limits = CallLimits(
            first_response_ms=settings.timeout_s * 1000,
            ring_ms=ring_s * 1000,
            cancel_ms=CANCEL_S * 1000,
            bye_ms=BYE_S * 1000,
        )
        return Call(invite, limits=limits, user_agent=user_agent, answer_offer=answer_offer)

    async def _talk(self, media: RtpSession) -> None:
        call, network = self.call, self.context.network
        assert call is not None
        self.tasks.append(asyncio.create_task(media.listen()))
        try:
            call.start(network.now_ms())
            await self._until_ended(call)
        except asyncio.CancelledError:
            await self._abandon(call)
            raise
        finally:
            for task in self.tasks:
                task.cancel()
            self._keep(call, media)
            ended = await asyncio.gather(*self.tasks, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    async def _until_ended(self, call: Call) -> None:
        """Send, read and wait, until the call has ended in one way or another."""
        network, stream = self.context.network, self.stream
        assert stream is not None
        while True:
            now = network.now_ms()
            call.expired(now)
            if call.phase is Phase.UP and self.hold_until is not None and now >= self.hold_until:
                call.hang_up(now)
            await self._flush(call)
            if call.ended:
                return
            hold_until = self.hold_until if call.phase is Phase.UP else None
            due = [each for each in (call.next_deadline, hold_until) if each is not None]
            wait_ms = min(due, default=now + 1000.0) - network.now_ms()
            if wait_ms <= 0:
                continue
            got = await stream.receive(wait_ms / 1000)
            if got.data:
                self._take(call, got)
            if got.closed or got.failure not in (None, Failure.NO_ANSWER):
                self._lose(call, Failure.CLOSED_EARLY if got.closed else got.failure)

    async def _flush(self, call: Call) -> None:
        """Hand everything that is to be sent to the kernel."""
        network, stream = self.context.network, self.stream
        assert stream is not None
        self.outbox += call.to_send()
        while self.outbox:
            data = self.outbox[0]
            now = network.now_ms()
            try:
                failure = await stream.send(data, self.context.settings.timeout_s)
            except asyncio.CancelledError:
                # Only a peer that reads nothing lets a send wait: how much of it went out, nobody knows.
                self.outbox.clear()
                call.connection_lost()
                raise
            self.outbox.pop(0)
            self._record(True, now, data)
            if failure is not None:
                self.outbox.clear()
                self._lose(call, failure)
                return

    async def _abandon(self, call: Call) -> None:
        """CANCEL or BYE at once, and a little time for the answer."""
        self.interrupted = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ABANDON_S):
                call.abandon(self.context.network.now_ms(), ABANDON_S * 900)
                await self._until_ended(call)
        call.connection_lost()

    def _lose(self, call: Call, failure: Failure | None) -> None:
        """The connection is of no more use."""
        if call.ended:
            return
        self.failure = self.failure or failure
        self.lost_in_call = call.phase is Phase.UP
        call.connection_lost()
        self.outbox.clear()

    def _take(self, call: Call, got: Received) -> None:
        """Read bytes of the peer: keep them, and let the call act on them."""
        self.size += len(got.data)
        self.tail += got.data
        error: WireError | None = None
        events: Sequence[Any] = ()
        try:
            events = self.decoder.feed(got.data)
            error = self.decoder.error
        except WireError as raised:
            error = raised
        for event in events:
            if isinstance(event, KeepAlive):
                self._take_keepalive(event)
                continue
            # From the end of the message before to the end of this one, so that no byte is lost.
            end = self.tail.find(event.raw) + len(event.raw)
            self._record(False, got.at_ms, bytes(self.tail[:end]), event)
            del self.tail[:end]
            for told in call.receive(event, got.at_ms):
                self._act(call, told, got.at_ms)
        if error is not None:
            self.detail = what_it_was(error)
            self._break_off(call, failure_of(error), got.at_ms)
        elif self.size > _MAX_RECEIVED_BYTES:
            self.detail = f"more than {_MAX_RECEIVED_BYTES} bytes in one call"
            self._break_off(call, Failure.TOO_LARGE, got.at_ms)

    def _take_keepalive(self, event: KeepAlive) -> None:
        if self.tail.startswith(_CRLF):
            del self.tail[: len(_CRLF)]
        # RFC 5626 §4.4.1.
        if event.completes_ping and self.keepalives < _MAX_PONGS:
            self.keepalives += 1
            self.outbox.append(_CRLF)

    def _act(self, call: Call, event: Event, at_ms: float) -> None:
        match event:
            case Provisional(response) if call.log.provisional_count <= _MAX_PROVISIONALS:
                self.context.progress("pbx", 2, 3, f"{response.status} {sanitise(response.reason, max_length=40)}")
                if response.body:
                    self.early.append(response)
            case Answered(response):
                self._answered(response, at_ms)
            case AnswerRepeated() if self.answered_ms is not None and self.purpose == INVITE:
                self.hold_until = max(self.hold_until or 0.0, self.answered_ms + REPEATS_MS)
            case _:
                pass

    def _answered(self, response: SipResponse, at_ms: float) -> None:
        self.answered_ms = at_ms
        call, media = self.call, self.media
        assert call is not None
        assert media is not None
        self.answer, self.sdp_from = answer_of(response, self.early)
        audio = self.answer.audio if self.answer else None
        if self.answer is not None and audio is not None:
            media.named = self.answer.media_address(audio), audio.port
        if self._has_media:
            media.target = media_target(self.answer, self.address)
            if isinstance(media.target, MediaTarget):
                # The ACK is on its way first: it is sent before anything is waited for.
                sender = media.stream(media.target, lambda: call.phase is Phase.UP)
                self.tasks.append(asyncio.create_task(sender))
                self.hold_until = at_ms + PACKETS * PACKET_MS + DRAIN_MS
                return
        self.hold_until = at_ms + (HOLD_MS if self.purpose == INVITE else 0.0)

    def _break_off(self, call: Call, failure: Failure, at_ms: float) -> None:
        """What comes can no longer be read: CANCEL or BYE, and hear no more."""
        if call.ended:
            return
        self._record_tail(at_ms)
        self.failure = failure
        call.abandon(at_ms, 0.0)
        self.outbox += call.to_send()
        call.connection_lost()

    def _record(self, sent: bool, at_ms: float, data: bytes, event: object = None) -> None:
        """Keep a message for the exchange, within bounds: the first of each kind, of many 1xx the first ones, and of
        everything else the most."""
        is_provisional = isinstance(event, SipResponse) and event.status < 200
        self.provisionals += is_provisional
        full = len(self.messages) >= _MAX_MESSAGES or self.recorded_bytes >= _MAX_RECORDED_BYTES
        kind = (event.status, event.cseq) if isinstance(event, SipResponse) else (sent, data.partition(b" ")[0])
        if kind in self.kinds and (full or (is_provisional and self.provisionals > _MAX_PROVISIONALS)):
            self.left_out += 1
            return
        self.kinds.add(kind)
        message = recorded(sent, at_ms, data)
        self.recorded_bytes += min(len(data), MAX_MESSAGE_BYTES)
        self.messages.append(message)

    def _record_tail(self, at_ms: float) -> None:
        """Keep what is part of no whole message."""
        if self.tail:
            self._record(False, at_ms, bytes(self.tail))
            self.tail.clear()

    def _keep(self, call: Call, media: RtpSession) -> None:
        """Record the exchange and the notes about it."""
        network, stream = self.context.network, self.stream
        assert stream is not None
        self._record_tail(network.now_ms())
        # Of the INVITE: what comes after its final answer is the note's, unless it may be part of that answer.
        failure = self.failure if call.final is None or self.failure in UNREADABLE else None
        if call.final is None and failure is None:
            failure = Failure.CANCELLED if call.abandoned else Failure.NO_ANSWER
        final_ms, started_ms = call.log.final_ms, call.log.started_ms
        took_ms = final_ms - started_ms if final_ms is not None and started_ms is not None else None
        left_out = f"{self.left_out} messages are left out" if self.left_out else None
        self.exchange = self.record.add(
            Exchange(
                protocol="sip",
                purpose=self.purpose,
                connection=self.connection,
                name=self.host,
                transport="tcp",
                local_address=stream.local[0],
                local_port=stream.local[1],
                remote_address=stream.remote[0],
                remote_port=stream.remote[1],
                messages=tuple(self.messages),
                rtt_ms=round(took_ms, 3) if took_ms is not None else None,
                failure=failure,
                detail=self.detail or left_out,
                duration_ms=round(network.now_ms() - self.begun, 3),
            ),
            offset_ms=self.begun,
        ).id
        if self._has_media:
            self.record.add(media.note(self.purpose, self.answered_ms))
        outcome = call.outcome or Outcome.ABANDONED
        if outcome is Outcome.ABANDONED and self.failure is not None:
            outcome = Outcome.LOST
        self._keep_note(outcome.value, self.failure, call)

    def _keep_note(self, outcome: str, failure: Failure | None, call: Call | None = None) -> None:
        values: dict[str, Any] = {
            "purpose": self.purpose,
            "exchange": self.exchange,
            "connection": self.connection,
            "outcome": outcome,
            "failure": failure.value if failure else None,
            "detail": self.detail,
        }
        if call is not None:
            values |= _told(call)
            values |= {
                "lost_in_call": self.lost_in_call,
                "interrupted": self.interrupted,
                "sdp_from": self.sdp_from,
                "keepalives": self.keepalives,
                "messages_left_out": self.left_out,
                "rtp_port": self.media.rtp.local[1] if self.media else None,
                "rtcp_port": self.media.rtcp.local[1] if self.media and self.media.rtcp else None,
                "rtp_received": self.media.received if self.media else None,
            }
        status = f", {values['status']}" if values.get("status") else ""
        self.record.add(Note(topic=CALL_NOTE, text=f"{self.purpose}: {outcome}{status}", values=values))


def _told(call: Call) -> dict[str, Any]:
    """How a call went, in figures; offsets are from the sending of the INVITE."""
    log = call.log
    started = log.started_ms or 0.0

    def since(at_ms: float | None) -> float | None:
        return None if at_ms is None else round(at_ms - started, 3)

    ring_end = log.final_ms if log.cancel_sent_ms is None else log.cancel_sent_ms
    ring_ms = ring_end - log.ringing_ms if ring_end is not None and log.ringing_ms is not None else None
    route_set = call.route_set
    bye_rtt_ms = (
        log.bye_answered_ms - log.bye_sent_ms
        if log.bye_answered_ms is not None and log.bye_sent_ms is not None
        else None
    )
    held_end = log.bye_sent_ms if log.bye_received_ms is None else log.bye_received_ms
    up = call.outcome is Outcome.ANSWERED
    return {
        "status": call.final.status if call.final else None,
        "reason": sanitise(call.final.reason, max_length=80) if call.final else None,
        "final_ms": since(log.final_ms),
        "provisionals": [
            {"status": each.status, "at_ms": since(each.at_ms), "has_body": each.has_body} for each in log.provisionals
        ],
        "provisional_count": log.provisional_count,
        "ringing_at_ms": since(log.ringing_ms),
        "ring_ms": None if ring_ms is None else round(ring_ms, 3),
        "ring_limit_ms": round(call.limits.ring_ms, 3),
        "acks": log.acks,
        "answer_repeats": log.answer_repeats,
        "answers_elsewhere": log.answers_elsewhere,
        "cancel_sent_ms": since(log.cancel_sent_ms),
        "cancel_status": log.cancel_status,
        "crossed": log.crossed,
        "held_ms": round(held_end - log.final_ms, 3) if up and held_end and log.final_ms is not None else None,
        "hung_up_by": _who_hung_up(call),
        "bye_sent_ms": since(log.bye_sent_ms),
        "bye_answered": None if log.bye_sent_ms is None else log.bye_status is not None,
        "bye_status": log.bye_status,
        "bye_rtt_ms": None if bye_rtt_ms is None else round(bye_rtt_ms, 3),
        "bye_received_ms": since(log.bye_received_ms),
        "requests": [
            {"method": each.method, "status": each.status, "at_ms": since(each.at_ms), "in_dialog": each.in_dialog}
            for each in log.requests
        ],
        "reinvites": log.reinvites,
        "reinvites_acknowledged": log.reinvites_acknowledged,
        "ignored": dict(log.ignored),
        "remote_target": call.remote_target,
        "record_route": route_set.own_entry if route_set else None,
        "route_set": list(route_set.routes) if route_set else None,
        "routes_unreadable": route_set.unreadable if route_set else None,
    }


def _who_hung_up(call: Call) -> str | None:
    """ "pbx" if its BYE came before ours went out, else "us"; None if neither was sent."""
    ours, theirs = call.log.bye_sent_ms, call.log.bye_received_ms
    if theirs is not None and (ours is None or theirs < ours):
        return "pbx"
    return None if ours is None else "us"
