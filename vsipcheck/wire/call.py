"""A call as the trunk places it: one INVITE client transaction over a reliable transport, its dialogs, and their end.

Sans-IO: received messages and the time go in, messages to send and events come out. The caller is the provider's B2BUA
and the record-routing proxy in front of it in one, so that its own Record-Route entry heads every route set and is
taken off before sending. RFC 3261 §9, §12 to §15, §17.1.1, RFC 6026.

Whatever a peer sends, nothing is raised, and what is kept and sent is bounded: what does not belong to the call is
ignored and counted.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.building import build_answer, build_request
from vsipcheck.wire.sip.fields import MAGIC_COOKIE
from vsipcheck.wire.sip.grammar import split_list
from vsipcheck.wire.sip.message import SipMessage, SipRequest, SipResponse
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.sip.uri import parse_uri
from vsipcheck.wire.sip.values import parse_name_addr

# What the trunk's own INVITE says that it takes (the guide's section A), in its order.
TRUNK_METHODS = "INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, MESSAGE"
# RFC 3261 §17.1.1.1: T1 and T2, by which §13.3.1.4 spaces the 2xx to a re-INVITE, over TCP too.
T1_MS, T2_MS = 500.0, 4000.0

# What an honest peer stays far below.
_MAX_PROVISIONALS = 32
_MAX_DIALOGS = 8
_MAX_EARLY_TAGS = 32
_MAX_ACKS = 64
_MAX_ANSWERS = 64
_MAX_REINVITE_ANSWERS = 8
_MAX_ROUTES = 16
_MAX_URI = 1024
_MAX_ECHOED = 2048

_REASONS = {
    200: "OK",
    405: "Method Not Allowed",
    481: "Call/Transaction Does Not Exist",
    488: "Not Acceptable Here",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    603: "Decline",
}
# Answered with 200 inside a dialog: they ask for nothing that we would have to do.
_HARMLESS = frozenset({"INFO", "OPTIONS", "NOTIFY", "MESSAGE"})


class Phase(StrEnum):
    """Where a call stands."""

    IDLE = "idle"
    CALLING = "calling"  # the INVITE is out, and nothing has come back
    PROCEEDING = "proceeding"
    CANCELLING = "cancelling"
    UP = "up"
    HANGING_UP = "hanging_up"
    ENDED = "ended"


class Outcome(StrEnum):
    """What became of the INVITE."""

    ANSWERED = "answered"
    REJECTED = "rejected"  # a final answer of 300 or more, before we gave up
    RANG_TOO_LONG = "rang_too_long"  # some 1xx above 100 came, and no final answer in time
    SILENT_AFTER_TRYING = "silent_after_trying"  # 100, and no more
    NO_RESPONSE = "no_response"
    ABANDONED = "abandoned"  # we were stopped
    LOST = "lost"  # the connection ended first


class Provisional(NamedTuple):
    """A 1xx to our INVITE. `body` is None where it has none: early media is announced by one."""

    response: SipResponse

    @property
    def body(self) -> bytes | None:
        return self.response.body or None


class Answered(NamedTuple):
    """The 2xx that sets up the call. Its ACK is on the way."""

    response: SipResponse


class AnswerRepeated(NamedTuple):
    """A 2xx again that had its ACK: it gets another. RFC 3261 §13.2.2.4."""

    response: SipResponse


class AnsweredElsewhere(NamedTuple):
    """A 2xx that we do not want: of another branch of a fork, or one that crossed our CANCEL. ACK and BYE are out."""

    response: SipResponse


class Rejected(NamedTuple):
    """A final answer of 300 or more; 487 where our CANCEL was heard."""

    response: SipResponse


class CancelAnswered(NamedTuple):
    response: SipResponse


class ByeAnswered(NamedTuple):
    response: SipResponse


class RequestReceived(NamedTuple):
    """A request of the peer, and the status that it got; None for an ACK."""

    request: SipRequest
    status: int | None
    in_dialog: bool


class Ignored(NamedTuple):
    """A message that does not belong to this call, or comes too late, or once too often."""

    message: SipMessage
    why: str


class Expired(NamedTuple):
    """A time of ours ran out in this phase."""

    phase: Phase


class Ended(NamedTuple):
    """No more is sent."""

    outcome: Outcome


Event = (
    Provisional
    | Answered
    | AnswerRepeated
    | AnsweredElsewhere
    | Rejected
    | CancelAnswered
    | ByeAnswered
    | RequestReceived
    | Ignored
    | Expired
    | Ended
)


class CallLimits(NamedTuple):
    """How long each thing may take. Timers B and F of RFC 3261 would be 32 s, and a 1xx may put off the first."""

    first_response_ms: float = 5000.0  # from the INVITE to any response
    ring_ms: float = 20000.0  # from the INVITE to the final response
    cancel_ms: float = 2000.0  # from our CANCEL to the final response
    bye_ms: float = 2000.0  # from our BYE to its answer


class RouteSet(NamedTuple):
    """The routes of a dialog in the order of travel, our own entry taken off; and what became of that entry."""

    routes: tuple[str, ...]
    own_entry: str  # "returned", "misplaced" (somewhere else than next to us), "missing"
    unreadable: int = 0


@dataclass(slots=True)
class _Dialog:
    """One dialog that a 2xx confirmed."""

    tag: str | None
    to: str
    target: str
    routes: tuple[str, ...]
    ack: bytes | None = None
    bye_branch: str | None = None
    bye_answered: bool = False
    over: bool = False  # the peer hung up
    remote_cseq: int | None = None

    @property
    def open(self) -> bool:
        return not self.over and self.bye_branch is None


@dataclass(slots=True)
class _ReinviteAnswer:
    """Our 2xx to a re-INVITE, which is sent again until its ACK. RFC 3261 §13.3.1.4, §14.2."""

    data: bytes
    cseq: int
    due_ms: float
    interval_ms: float = T1_MS
    left: int = 4


class Timed(NamedTuple):
    """A provisional response in short."""

    status: int
    at_ms: float
    has_body: bool


class TimedRequest(NamedTuple):
    """A request of the peer in short."""

    method: str
    status: int | None
    at_ms: float
    in_dialog: bool


@dataclass(slots=True, kw_only=True)
class CallLog:
    """What has happened so far, in numbers. Times are those that were handed in."""

    started_ms: float | None = None
    provisionals: list[Timed] = field(default_factory=list)  # the first 32
    provisional_count: int = 0
    ringing_ms: float | None = None  # the first 1xx above 100
    final_ms: float | None = None
    acks: int = 0
    answer_repeats: int = 0
    answers_elsewhere: int = 0
    crossed: bool = False  # a 2xx met our CANCEL
    cancel_sent_ms: float | None = None
    cancel_status: int | None = None
    bye_sent_ms: float | None = None
    bye_status: int | None = None
    bye_answered_ms: float | None = None
    bye_received_ms: float | None = None
    requests: list[TimedRequest] = field(default_factory=list)  # the first 32
    reinvites: int = 0
    reinvites_acknowledged: int = 0
    ignored: Counter[str] = field(default_factory=Counter)


class Call:
    """One call, from its INVITE to its end.

    `answer_offer` gives the SDP answer to an offer of the peer (re-INVITE, UPDATE), or None to refuse it with 488; by
    default it is what our INVITE offered. Raises WireError if `invite` is no INVITE that can be read again.
    """

    def __init__(
        self,
        invite: bytes,
        *,
        limits: CallLimits | None = None,
        user_agent: str = "vsipcheck",
        answer_offer: Callable[[bytes], bytes | None] | None = None,
        token: Callable[[], str] = lambda: secrets.token_hex(12),
    ) -> None:
        request = parse_message(invite)
        via = request.top_via
        if not isinstance(request, SipRequest) or request.method != "INVITE" or request.errors:
            raise WireError("not an INVITE that can be sent")
        if via is None or via.branch is None or request.cseq is None or request.from_tag is None:
            raise WireError("an INVITE without branch, CSeq or From tag")
        self.invite = request
        self.limits = limits or CallLimits()
        self.phase = Phase.IDLE
        self.outcome: Outcome | None = None
        self.abandoned = False
        self.final: SipResponse | None = None
        self.log = CallLog()
        self.route_set: RouteSet | None = None  # of the answer
        self._invite_bytes = invite
        self._via_start = via.raw.partition(";")[0].strip()
        self._via = request.header("Via") or ""
        self._branch = via.branch
        self._cseq = request.cseq.number
        self._user_agent = user_agent
        self._answer_offer = answer_offer or (lambda offer: request.body)
        self._token = token
        self._tag = token()  # for answers to requests outside of the dialog
        self._out: list[bytes] = []
        self._early: list[str] = []
        self._dialogs: dict[str | None, _Dialog] = {}
        self._main: _Dialog | None = None
        self._answers = 0
        self._reinvite_answers = 0
        self._reinvite: _ReinviteAnswer | None = None
        self._deadline_ms: float | None = None
        self._cancel_due_ms: float | None = None  # a CANCEL that waits for a provisional response

    @property
    def ended(self) -> bool:
        return self.phase is Phase.ENDED

    @property
    def next_deadline(self) -> float | None:
        """When `expired` wants to be called; None when nothing is waited for."""
        due = [self._deadline_ms, self._cancel_due_ms, self._reinvite.due_ms if self._reinvite else None]
        return min((each for each in due if each is not None), default=None) if not self.ended else None

    @property
    def remote_target(self) -> str | None:
        """Where requests within the dialog go: the Contact of the 2xx, or our Request-URI where that is unusable."""
        return self._main.target if self._main else None

    def to_send(self) -> list[bytes]:
        """The messages to send now, in order, each given once."""
        out, self._out = self._out, []
        return out

    def start(self, now_ms: float) -> None:
        """Send the INVITE."""
        if self.phase is not Phase.IDLE:
            return
        self.phase = Phase.CALLING
        self.log.started_ms = now_ms
        self._out.append(self._invite_bytes)
        self._deadline_ms = now_ms + min(self.limits.first_response_ms, self.limits.ring_ms)

    def receive(self, message: SipMessage, now_ms: float) -> list[Event]:
        """What a message of the peer means. Its answers and ACKs are in `to_send`."""
        if self.phase in (Phase.IDLE, Phase.ENDED):
            return [self._ignore(message, "not_in_a_call")]
        if isinstance(message, SipResponse):
            return self._take_response(message, now_ms)
        if isinstance(message, SipRequest):
            return self._take_request(message, now_ms)
        return [self._ignore(message, "unreadable")]

    def hang_up(self, now_ms: float) -> None:
        """Send BYE, if the call is up. RFC 3261 §15.1.1."""
        if self.phase is not Phase.UP or self._main is None:
            return
        self.phase = Phase.HANGING_UP
        self._reinvite = None
        self._deadline_ms = now_ms + self.limits.bye_ms
        self._bye(self._main, now_ms)

    def abandon(self, now_ms: float, patience_ms: float) -> None:
        """End the call as fast as can be, whatever it is at: CANCEL or BYE, and `patience_ms` for what comes back.

        Where nothing has come back yet, half of that is spent waiting for the provisional response that RFC 3261 §9.1
        wants before a CANCEL; then it goes out all the same. What the rule is for, a CANCEL that overtakes its INVITE,
        TCP rules out, and a telephone that goes on ringing is worse.
        """
        self.abandoned = True
        if self.phase is Phase.UP:
            self.hang_up(now_ms)
        elif self.phase in (Phase.CALLING, Phase.PROCEEDING):
            self._give_up(now_ms, Outcome.ABANDONED, patience_ms, wait_ms=patience_ms / 2)
        if self._deadline_ms is not None and not self.ended:
            self._deadline_ms = min(self._deadline_ms, now_ms + patience_ms)

    def connection_lost(self) -> None:
        """The connection is gone: nothing more can be sent."""
        if self.phase is not Phase.IDLE:
            self._end(Outcome.LOST)

    def expired(self, now_ms: float) -> list[Event]:
        """Act on the times that have run out by now."""
        if self.ended:
            return []
        if self._reinvite and now_ms >= self._reinvite.due_ms:
            self._repeat_reinvite_answer(now_ms)
        if self._cancel_due_ms is not None and now_ms >= self._cancel_due_ms:
            self._cancel(now_ms)
        if self._deadline_ms is None or now_ms < self._deadline_ms:
            return []
        phase = self.phase
        events: list[Event] = [Expired(phase)]
        if phase is Phase.CALLING:
            self._give_up(now_ms, Outcome.NO_RESPONSE, self.limits.cancel_ms, wait_ms=0.0)
        elif phase is Phase.PROCEEDING:
            rang = self.log.ringing_ms is not None
            outcome = Outcome.RANG_TOO_LONG if rang else Outcome.SILENT_AFTER_TRYING
            self._give_up(now_ms, outcome, self.limits.cancel_ms, wait_ms=0.0)
        else:
            events += self._end(Outcome.LOST)
        return events

    # Responses.

    def _take_response(self, response: SipResponse, now_ms: float) -> list[Event]:
        via, cseq = response.top_via, response.cseq
        if not 100 <= response.status <= 699:
            return [self._ignore(response, "status")]
        if via is None or cseq is None:
            return [self._ignore(response, "unreadable")]
        if response.call_id != self.invite.call_id:
            return [self._ignore(response, "call_id")]
        # RFC 3261 §8.1.3.3: we put one Via on it.
        if len(response.vias) > 1:
            return [self._ignore(response, "via_count")]
        if via.branch == self._branch:
            if cseq.number != self._cseq:
                return [self._ignore(response, "cseq")]
            if cseq.method == "INVITE":
                return self._take_invite_response(response, now_ms)
            if cseq.method == "CANCEL" and self.log.cancel_sent_ms is not None:
                if response.status >= 200 and self.log.cancel_status is None:
                    self.log.cancel_status = response.status
                return [CancelAnswered(response)]
            return [self._ignore(response, "cseq")]
        dialog = next((each for each in self._dialogs.values() if each.bye_branch == via.branch), None)
        if dialog is None or via.branch is None:
            return [self._ignore(response, "branch")]
        if cseq.method != "BYE" or cseq.number != self._cseq + 1:
            return [self._ignore(response, "cseq")]
        return self._take_bye_response(dialog, response, now_ms)

    def _take_invite_response(self, response: SipResponse, now_ms: float) -> list[Event]:
        if response.status < 200:
            return self._take_provisional(response, now_ms)
        if response.status < 300:
            return self._take_success(response, now_ms)
        return self._take_refusal(response, now_ms)

    def _take_provisional(self, response: SipResponse, now_ms: float) -> list[Event]:
        if self.final is not None:
            return [self._ignore(response, "late")]
        log = self.log
        log.provisional_count += 1
        if len(log.provisionals) < _MAX_PROVISIONALS:
            log.provisionals.append(Timed(response.status, now_ms, bool(response.body)))
        if response.status > 100 and log.ringing_ms is None:
            log.ringing_ms = now_ms
        tag = response.to_tag
        if tag and response.status > 100 and tag not in self._early and len(self._early) < _MAX_EARLY_TAGS:
            self._early.append(tag)
        if self.phase is Phase.CALLING:
            self.phase = Phase.PROCEEDING
            self._deadline_ms = (log.started_ms or 0.0) + self.limits.ring_ms
        elif self._cancel_due_ms is not None:
            self._cancel(now_ms)
        return [Provisional(response)]

    def _take_success(self, response: SipResponse, now_ms: float) -> list[Event]:
        known = self._dialogs.get(response.to_tag)
        if known is not None:
            self.log.answer_repeats += 1
            if not self._acknowledge(known.ack):
                return [self._ignore(response, "too_many")]
            return [AnswerRepeated(response)]
        if len(self._dialogs) >= _MAX_DIALOGS:
            return [self._ignore(response, "too_many")]
        dialog, route_set = self._confirm(response)
        self._dialogs[dialog.tag] = dialog
        self._acknowledge(dialog.ack)
        if self.phase in (Phase.CALLING, Phase.PROCEEDING):
            self.phase = Phase.UP
            self.outcome = Outcome.ANSWERED
            self._settle(response, now_ms)
            self._main, self.route_set = dialog, route_set
            return [Answered(response)]
        if self.phase is Phase.CANCELLING:
            # RFC 3261 §9.1: the CANCEL came too late, or this had left before: the call is there, and has to end.
            self.log.crossed = True
            self.phase = Phase.HANGING_UP
            self._settle(response, now_ms)
            self._deadline_ms = now_ms + self.limits.bye_ms
            self._main, self.route_set = dialog, route_set
        else:
            self.log.answers_elsewhere += 1
        self._bye(dialog, now_ms)
        return [AnsweredElsewhere(response)]

    def _take_refusal(self, response: SipResponse, now_ms: float) -> list[Event]:
        if self.final is not None:
            return [self._ignore(response, "late")]
        self._settle(response, now_ms)
        self._acknowledge(self._build_hop_ack(response))
        return [Rejected(response), *self._end(Outcome.REJECTED)]

    def _settle(self, response: SipResponse, now_ms: float) -> None:
        self.final = response
        self.log.final_ms = now_ms
        self._deadline_ms = None
        self._cancel_due_ms = None

    def _take_bye_response(self, dialog: _Dialog, response: SipResponse, now_ms: float) -> list[Event]:
        if response.status < 200:
            return [self._ignore(response, "provisional_to_bye")]
        if dialog.bye_answered:
            return [self._ignore(response, "late")]
        dialog.bye_answered = True
        if dialog is self._main:
            self.log.bye_status = response.status
            self.log.bye_answered_ms = now_ms
        return [ByeAnswered(response), *self._end_if_all_is_said(now_ms)]

    # Requests.

    def _take_request(self, request: SipRequest, now_ms: float) -> list[Event]:
        cseq = request.cseq
        if cseq is None or cseq.method != request.method or request.top_via is None:
            return [self._ignore(request, "unreadable")]
        of_call = request.call_id == self.invite.call_id and request.to_tag == self.invite.from_tag
        dialog = self._dialogs.get(request.from_tag) if of_call else None
        early = of_call and dialog is None and request.from_tag in self._early
        if request.method == "ACK":
            return self._take_ack(request, dialog, cseq.number, now_ms)
        if self._answers >= _MAX_ANSWERS:
            return [self._ignore(request, "too_many")]
        body = b""
        if dialog is not None:
            status, body = self._status_in(dialog, request, cseq.number)
        elif early:
            # RFC 3261 §14.2: no session before our own INVITE is settled. The early dialog is there all the same.
            status = 491 if request.method in ("INVITE", "UPDATE") else _status_of(request.method)
        else:
            status = 481
        data = self._answer(request, status, body)
        if data is None:
            return [self._ignore(request, "unreadable")]
        self._answers += 1
        self._out.append(data)
        if status < 300 and body and request.method == "INVITE":
            self._reinvite = _ReinviteAnswer(data, cseq.number, now_ms + T1_MS)
        in_dialog = dialog is not None or early
        events: list[Event] = [self._note(request, status, in_dialog, now_ms)]
        if dialog is not None and request.method == "BYE" and status == 200:
            dialog.over = True
            if dialog is self._main:
                self.log.bye_received_ms = now_ms
                self._reinvite = None
            events += self._end_if_all_is_said(now_ms)
        return events

    def _take_ack(self, request: SipRequest, dialog: _Dialog | None, cseq: int, now_ms: float) -> list[Event]:
        if dialog is None:
            return [self._ignore(request, "ack")]
        if self._reinvite and self._reinvite.cseq == cseq:
            self._reinvite = None
            self.log.reinvites_acknowledged += 1
        return [self._note(request, None, True, now_ms)]

    def _status_in(self, dialog: _Dialog, request: SipRequest, cseq: int) -> tuple[int, bytes]:
        """The answer to a request within a dialog, and its body."""
        method = request.method
        if method == "CANCEL":
            # RFC 3261 §9.2: what it would cancel has had its final answer.
            return (200 if dialog.remote_cseq == cseq else 481), b""
        # RFC 3261 §12.2.2: out of order.
        if dialog.remote_cseq is not None and cseq < dialog.remote_cseq:
            return 500, b""
        dialog.remote_cseq = cseq
        if method == "BYE":
            return 200, b""
        # RFC 3261 §15.1.1: whoever has sent BYE, or was sent one, has no dialog any more.
        if not dialog.open:
            return 481, b""
        if method == "INVITE":
            self.log.reinvites += 1
        if method == "INVITE" or (method == "UPDATE" and request.body):
            return self._renegotiate(dialog, request)
        return _status_of(method), b""

    def _renegotiate(self, dialog: _Dialog, request: SipRequest) -> tuple[int, bytes]:
        if self._reinvite_answers >= _MAX_REINVITE_ANSWERS:
            return 500, b""
        # Without an offer the 2xx makes one, RFC 3261 §14.2: what we offered before.
        body = self._answer_offer(request.body) if request.body else self.invite.body
        if body is None:
            return 488, b""
        self._reinvite_answers += 1
        # RFC 3261 §12.2.2: a target refresh.
        dialog.target = _read_target(request) or dialog.target
        return 200, body

    def _answer(self, request: SipRequest, status: int, body: bytes) -> bytes | None:
        extra = [("User-Agent", self._user_agent)]
        contact = self.invite.header("Contact")
        if status == 200 and request.method in ("INVITE", "UPDATE", "OPTIONS") and contact:
            extra.insert(0, ("Contact", contact))
        if status in (405, 501) or (status == 200 and request.method in ("INVITE", "OPTIONS")):
            extra.insert(0, ("Allow", self.invite.header("Allow") or TRUNK_METHODS))
        if status == 500:
            extra.insert(0, ("Retry-After", "1"))  # RFC 3261 §14.2
        if body:
            extra.append(("Content-Type", "application/sdp"))
        try:
            return build_answer(request, status, _REASONS[status], to_tag=self._tag, extra=extra, body=body)
        except WireError:
            return None

    def _repeat_reinvite_answer(self, now_ms: float) -> None:
        answer = self._reinvite
        if answer is None:
            return
        if answer.left == 0:
            self._reinvite = None
            return
        self._out.append(answer.data)
        answer.left -= 1
        answer.interval_ms = min(2 * answer.interval_ms, T2_MS)
        answer.due_ms = now_ms + answer.interval_ms

    def _note(self, request: SipRequest, status: int | None, in_dialog: bool, now_ms: float) -> RequestReceived:
        if len(self.log.requests) < _MAX_PROVISIONALS:
            self.log.requests.append(TimedRequest(request.method, status, now_ms, in_dialog))
        return RequestReceived(request, status, in_dialog)

    # What we send.

    def _give_up(self, now_ms: float, outcome: Outcome, patience_ms: float, *, wait_ms: float) -> None:
        """CANCEL, at once or, before any provisional response, after `wait_ms`; then wait for what becomes of it."""
        unheard = self.phase is Phase.CALLING
        self.phase = Phase.CANCELLING
        self.outcome = outcome
        self._deadline_ms = now_ms + patience_ms
        if unheard and wait_ms:
            self._cancel_due_ms = now_ms + wait_ms
        else:
            self._cancel(now_ms)

    def _cancel(self, now_ms: float) -> None:
        """RFC 3261 §9.1: Request-URI, To, From, Call-ID, number of the CSeq and the one Via are those of the INVITE."""
        self._cancel_due_ms = None
        self.log.cancel_sent_ms = now_ms
        self._out.append(self._build_hop_request("CANCEL", self.invite.header("To") or ""))

    def _build_hop_ack(self, response: SipResponse) -> bytes:
        """RFC 3261 §17.1.1.3: as the INVITE in all but the To, which is the response's."""
        return self._build_hop_request("ACK", self._to_value(response))

    def _build_hop_request(self, method: str, to: str) -> bytes:
        return build_request(
            method,
            self.invite.uri,
            (
                *(("Route", header.value) for header in self.invite.headers_named("Route")),
                ("Via", self._via),
                *self._identity(to, self._cseq, method),
            ),
        )

    def _identity(self, to: str, cseq: int, method: str) -> tuple[tuple[str, str], ...]:
        return (
            ("From", self.invite.header("From") or ""),
            ("To", to),
            ("Call-ID", self.invite.call_id or ""),
            ("CSeq", f"{cseq} {method}"),
            ("Max-Forwards", "70"),
            ("User-Agent", self._user_agent),
        )

    def _confirm(self, response: SipResponse) -> tuple[_Dialog, RouteSet]:
        """The dialog that a 2xx sets up, with the ACK for it. RFC 3261 §12.1.2, §13.2.2.4."""
        own = next(iter(_route_entries(self.invite)), None)
        route_set = read_route_set(response, own)
        dialog = _Dialog(
            tag=response.to_tag,
            to=self._to_value(response),
            target=_read_target(response) or self.invite.uri,
            routes=route_set.routes,
        )
        dialog.ack = self._build_in_dialog(dialog, "ACK", self._cseq, self._new_branch())
        return dialog, route_set

    def _build_in_dialog(self, dialog: _Dialog, method: str, cseq: int, branch: str) -> bytes:
        """RFC 3261 §12.2.1.1, strict routers of RFC 2543 included."""
        uri, routes = dialog.target, list(dialog.routes)
        if routes and not _is_loose(routes[0]):
            uri = routes.pop(0)
            routes.append(dialog.target)
        return build_request(
            method,
            uri,
            (
                *(("Route", f"<{route}>") for route in routes),
                ("Via", f"{self._via_start};branch={branch}"),
                *self._identity(dialog.to, cseq, method),
            ),
        )

    def _bye(self, dialog: _Dialog, now_ms: float) -> None:
        if not dialog.open:
            return
        dialog.bye_branch = self._new_branch()
        if dialog is self._main:
            self.log.bye_sent_ms = now_ms
        self._out.append(self._build_in_dialog(dialog, "BYE", self._cseq + 1, dialog.bye_branch))

    def _acknowledge(self, ack: bytes | None) -> bool:
        if ack is None or self.log.acks >= _MAX_ACKS:
            return False
        self.log.acks += 1
        self._out.append(ack)
        return True

    def _new_branch(self) -> str:
        return f"{MAGIC_COOKIE}{self._token()}"

    def _to_value(self, response: SipResponse) -> str:
        """The To of a response as we may send it: its own, or ours with its tag where that would break a line."""
        value = response.header("To") or ""
        if value and response.to_tag and len(value) <= _MAX_ECHOED and not any(char in value for char in "\r\n\0"):
            return value
        own, tag = self.invite.header("To") or "", response.to_tag or ""
        usable = 0 < len(tag) <= _MAX_ECHOED and tag.isprintable() and not any(char in tag for char in ' \t";,<>')
        return f"{own};tag={tag}" if usable else own

    # The end.

    def _end_if_all_is_said(self, now_ms: float) -> list[Event]:
        """Ended once the call is over on either side, and no BYE of ours waits."""
        if self._main is None or self._main.open:
            return []
        if any(each.bye_branch is not None and not each.bye_answered for each in self._dialogs.values()):
            if self.phase is Phase.UP:
                self.phase = Phase.HANGING_UP
                self._deadline_ms = now_ms + self.limits.bye_ms
            return []
        return self._end(Outcome.ANSWERED)

    def _end(self, outcome: Outcome) -> list[Event]:
        """`outcome` stands unless there is one already."""
        if self.ended:
            return []
        self.phase = Phase.ENDED
        self.outcome = self.outcome or outcome
        self._deadline_ms = self._cancel_due_ms = self._reinvite = None
        return [Ended(self.outcome)]

    def _ignore(self, message: SipMessage, why: str) -> Ignored:
        self.log.ignored[why] += 1
        return Ignored(message, why)


def read_route_set(response: SipResponse, own: str | None) -> RouteSet:
    """The route set that a response's Record-Route gives the client, `own` (a URI) taken off its near end.

    Record-Route is read backwards, URI parameters kept. Entries that cannot be read, or are past 1,024 characters or
    the sixteenth, are left out and counted. RFC 3261 §12.1.2.
    """
    entries = _route_entries(response)
    entries.reverse()
    total = sum(len(split_list(header.value)) for header in response.headers_named("Record-Route"))
    routes = entries[:_MAX_ROUTES]
    lost = total - len(routes)
    if own is None or not any(_is_same_hop(route, own) for route in routes):
        return RouteSet(tuple(routes), "missing", lost)
    if not _is_same_hop(routes[0], own):
        return RouteSet(tuple(routes), "misplaced", lost)
    return RouteSet(tuple(routes[1:]), "returned", lost)


def build_trunk_invite(
    *,
    number: str,
    host: str,
    port: int,
    transport: str,
    local_host: str,
    local_port: int,
    caller: str,
    domain: str,
    call_id: str,
    branch: str,
    from_tag: str,
    sids: Sequence[tuple[str, str]],
    user_agent: str,
    body: bytes,
    cseq: int = 102,
) -> bytes:
    """The octets of an INVITE with the header fields of the provider's own, in its order, and our User-Agent.

    Record-Route, Via and Contact name `local_host` and `local_port`, so that all the dialog comes back on this
    connection. `sids` are the X-Exotel fields. Raises WireError for a value that its field cannot carry, and for a
    number that would not be the user part of the Request-URI. The guide's section A, RFC 3261 §8.1.1, §13.2.1.
    """
    here, there = _bracketed(local_host), _bracketed(host)
    uri = f"sip:{number}@{there}:{port};transport={transport}"
    if parse_uri(uri).user != number:
        raise WireError(f"not a number that can be called: {number[:60]!r}")
    identity = f"sip:{caller}@{domain}"
    if parse_uri(identity).user != caller or '"' in caller or "\\" in caller:
        raise WireError(f"not a number that can call: {caller[:60]!r}")
    headers = [
        ("Record-Route", f"<sip:{here}:{local_port};transport={transport};lr>"),
        ("Via", f"SIP/2.0/{transport.upper()} {here}:{local_port};branch={branch}"),
        ("From", f'"{caller}" <{identity}>;tag={from_tag}'),
        ("To", f"<sip:{number}@{there}>"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} INVITE"),
        ("Allow", TRUNK_METHODS),
        ("Supported", "replaces"),
        *sids,
        ("P-Asserted-Identity", f"<{identity}>"),
        ("P-Early-Media", "supported"),
        ("Contact", f"<sip:{caller}@{here}:{local_port};transport={transport}>"),
        ("Content-Type", "application/sdp"),
        ("Max-Forwards", "67"),
        ("User-Agent", user_agent),
    ]
    head, _, _ = build_request("INVITE", uri, headers, body).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    # The guide's order: Content-Length stands before Max-Forwards.
    length = lines.pop()
    lines.insert(len(lines) - 2, length)
    return b"\r\n".join((*lines, b"", body))


def _status_of(method: str) -> int:
    """What a request within a dialog gets that asks for no session."""
    if method in _HARMLESS or method in ("BYE", "UPDATE"):
        return 200
    if method == "REFER":
        return 603  # a transfer would be a call to somebody else
    return 405 if method in TRUNK_METHODS.split(", ") or method in ("PRACK", "REGISTER") else 501


def _route_entries(message: SipMessage) -> list[str]:
    """The URIs of Record-Route that can be sent again, topmost first."""
    found: list[str] = []
    for header in message.headers_named("Record-Route"):
        for part in split_list(header.value):
            uri = _sendable_uri(part)
            if uri is not None:
                found.append(uri)
    return found


def _read_target(message: SipMessage) -> str | None:
    """The URI of the first Contact; None where there is none that a request could be sent to."""
    parts = split_list(message.header("Contact") or "")
    return _sendable_uri(parts[0]) if parts else None


def _sendable_uri(value: str) -> str | None:
    try:
        uri = parse_name_addr(value).uri
        parse_uri(uri)
    except WireError:
        return None
    return uri if len(uri) <= _MAX_URI else None


def _is_loose(uri: str) -> bool:
    return any(name.lower() == "lr" for name, _ in parse_uri(uri).params)


def _is_same_hop(one: str, other: str) -> bool:
    if one == other:
        return True
    first, second = parse_uri(one), parse_uri(other)
    return first.host is not None and (first.host.lower(), first.port) == ((second.host or "").lower(), second.port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
