"""The test calls, read again from the messages that were recorded: what came to the INVITE, and how the call ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vsipcheck.checks.base import Facts
from vsipcheck.checks.pbx.sdp import answer_of, description_in
from vsipcheck.checks.pbx.target import CALL_NOTE, CHECK_NAME, INVITE, INVITE_PCMU, Asked, messages_of
from vsipcheck.checks.sip.dialogue import altered_fields
from vsipcheck.model import Exchange, Failure, Note
from vsipcheck.wire.call import RouteSet, read_route_set
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import plain_address
from vsipcheck.wire.sdp import MediaDescription, SessionDescription
from vsipcheck.wire.sip.grammar import split_list
from vsipcheck.wire.sip.message import SipMessage, SipRequest, SipResponse
from vsipcheck.wire.sip.values import parse_name_addr


@dataclass(frozen=True, slots=True)
class At:
    """A message, and when it came or went."""

    at_ms: float
    message: SipRequest | SipResponse


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """One call, from its INVITE to its end. Times are those of the messages; None where a thing did not happen.

    `altered`: an answer that does not match the INVITE and says more than all that do.
    `repeats`: how often the 2xx came again at least REPEAT_MS after our ACK. `hung_up_ms`: when the PBX's BYE came.
    `description`: the SDP of the answer; `described_early`: whether it is a provisional answer's.
    """

    exchange: Exchange
    note: Note | None
    invite: SipRequest
    invite_ms: float
    provisionals: tuple[SipResponse, ...]
    ringing_ms: float | None  # the first answer past 100
    final: SipResponse | None
    final_ms: float | None
    altered: SipResponse | None
    repeats: int
    cancelled_ms: float | None
    cancel_status: int | None
    bye_ms: float | None
    bye_status: int | None
    hung_up_ms: float | None
    requests: tuple[SipRequest, ...]
    description: SessionDescription | None
    described_early: bool

    @property
    def answered(self) -> bool:
        return self.final is not None and 200 <= self.final.status < 300

    @property
    def rang(self) -> bool:
        """Whether anything past 100 came before the final answer: RFC 3261 §21.1."""
        return any(each.status > 100 for each in self.provisionals)

    @property
    def alerted(self) -> bool:
        """Whether the PBX said that it rings, forwards or queues the call: 183 alone says none of it."""
        return any(each.status in (180, 181, 182) for each in self.provisionals)

    @property
    def audio(self) -> MediaDescription | None:
        """The audio of the answer."""
        return self.description.audio if self.description is not None else None

    @property
    def offer(self) -> MediaDescription | None:
        description = description_in(self.invite)
        return description.audio if description else None

    @property
    def route_set(self) -> RouteSet:
        """What the Record-Route of the final answer says of the way of the requests that follow it."""
        assert self.final is not None
        return read_route_set(self.final, first_uri(self.invite, "Record-Route"))

    @property
    def renegotiations(self) -> int:
        """Re-INVITEs and UPDATEs of the PBX."""
        return sum(each.method in ("INVITE", "UPDATE") for each in self.requests)

    @property
    def moved(self) -> bool:
        """Whether one of these put the audio elsewhere, or on hold: what is sent to the first place tells less then."""
        first = _places(self.description)
        offers = [_places(description_in(each)) for each in self.requests if each.method in ("INVITE", "UPDATE")]
        return any(offer is not None and offer != first for offer in offers)


# What crosses our ACK on the wire is no repetition in spite of it. Timers of RFC 3261 §13.3.1.4 begin at 500 ms.
REPEAT_MS = 400.0


def first_uri(message: SipMessage, header: str) -> str | None:
    """The URI of the first value of a header field; None where it is absent or unreadable."""
    values = split_list(message.header(header) or "")
    if not values:
        return None
    try:
        return parse_name_addr(values[0]).uri
    except WireError:
        return None


def _places(description: SessionDescription | None) -> tuple[str, int | None, str] | None:
    """Where a description wants its audio, and in which directions; None where it has none."""
    audio = description.audio if description is not None else None
    if description is None or audio is None:
        return None
    return plain_address(description.media_address(audio) or ""), audio.port, audio.direction


def _placed(facts: Facts, purpose: str) -> tuple[PlacedCall | None, Note | None]:
    """The call of that purpose, None where it was not placed, and the note of how it went."""
    notes = (each for each in facts.of(Note, CHECK_NAME) if each.topic == CALL_NOTE)
    note = next((each for each in notes if each.values.get("purpose") == purpose), None)
    exchange = next((each for each in facts.of(Exchange, CHECK_NAME) if each.purpose == purpose), None)
    return None if exchange is None else _read(exchange, note), note


def _read(exchange: Exchange, note: Note | None) -> PlacedCall | None:
    messages = messages_of(exchange)
    invites = [(at, each) for sent, at, each in messages if sent and _is(each, "INVITE")]
    if not invites:
        return None
    invite_ms, invite = invites[0]
    assert isinstance(invite, SipRequest)
    sent = [At(at, each) for ours, at, each in messages if ours]
    heard = [At(at, each) for ours, at, each in messages if not ours]
    answers = [(each.at_ms, each.message) for each in heard if isinstance(each.message, SipResponse)]
    ours = [(at, each) for at, each in answers if _is_ours(invite, each)]
    finals = [(at, each) for at, each in ours if 200 <= each.status <= 699]
    said = max((each.status for _, each in ours), default=0)
    of_invite = [each for _, each in answers if (cseq := each.cseq) is None or cseq.method == "INVITE"]
    altered = [each for each in of_invite if each.status > said and not _is_ours(invite, each)]
    asked = [(each.at_ms, each.message) for each in heard if isinstance(each.message, SipRequest)]
    requests = [(at, each) for at, each in asked if each.call_id == invite.call_id]
    acked_ms = _when(sent, "ACK")
    final_ms, final = finals[0] if finals else (None, None)
    provisionals = tuple(each for _, each in ours if each.status < 200)
    description, described_early = _answer_in(final, provisionals)
    again = [at for at, each in finals[1:] if 200 <= each.status < 300 and final and each.to_tag == final.to_tag]
    # Other branches of a fork get a BYE of their own.
    of_final = [each for each in sent if final is None or each.message.to_tag == final.to_tag]
    bye = next((each for each in of_final if _is(each.message, "BYE")), None)
    return PlacedCall(
        exchange=exchange,
        note=note,
        invite=invite,
        invite_ms=invite_ms,
        provisionals=provisionals,
        ringing_ms=next((at for at, each in ours if 100 < each.status < 200), None),
        final=final,
        final_ms=final_ms,
        altered=altered[-1] if altered else None,
        repeats=sum(acked_ms is not None and at >= acked_ms + REPEAT_MS for at in again),
        cancelled_ms=_when(sent, "CANCEL"),
        cancel_status=_status_of(answers, "CANCEL", invite),
        bye_ms=bye.at_ms if bye else None,
        bye_status=_status_of(answers, "BYE", bye.message) if bye else None,
        hung_up_ms=next((at for at, each in requests if each.method == "BYE"), None),
        requests=tuple(each for _, each in requests),
        description=description,
        described_early=described_early,
    )


def _answer_in(
    final: SipResponse | None, provisionals: Sequence[SipResponse]
) -> tuple[SessionDescription | None, bool]:
    """The answer to our offer, and whether it is a provisional answer's: that of the 2xx or its dialog, else the last
    that came."""
    if final is not None and final.status < 300:
        found, where = answer_of(final, provisionals)
        return found, where == "provisional"
    early = (description_in(each) for each in reversed(provisionals))
    found = next((each for each in early if each is not None), None)
    return found, found is not None


def _is_ours(invite: SipRequest, answer: SipResponse) -> bool:
    """Whether the trunk would take an answer for one to its INVITE: RFC 3261 §17.1.3, §18.1.2, and §8.1.3.3."""
    return len(answer.vias) == 1 and not altered_fields(invite, answer)


def _is(message: SipRequest | SipResponse, method: str) -> bool:
    return isinstance(message, SipRequest) and message.method == method


def _when(messages: Sequence[At], method: str) -> float | None:
    return next((each.at_ms for each in messages if _is(each.message, method)), None)


def _status_of(answers: Sequence[tuple[float, SipResponse]], method: str, sent: SipMessage) -> int | None:
    """The final status that the request of that method got which has the branch of `sent`."""
    of_method = [each for _, each in answers if each.status >= 200 and each.cseq and each.cseq.method == method]
    return next((each.status for each in of_method if _branch(each) == _branch(sent)), None)


def _branch(message: SipMessage) -> str | None:
    return message.top_via.branch if message.top_via else None


@dataclass(frozen=True, slots=True)
class Calls:
    """The call that offers all codecs, the one that offers PCMU alone, and the description that OPTIONS showed; None
    for what was not placed or shown. `note`: how the first went, or why it was not placed."""

    first: PlacedCall | None
    note: Note | None
    pcmu: PlacedCall | None
    shown: SessionDescription | None


def calls_of(facts: Facts, options: Sequence[Asked]) -> Calls:
    """What was said about media, and where."""
    first, note = _placed(facts, INVITE)
    pcmu, _ = _placed(facts, INVITE_PCMU)
    shown = [
        description_in(asked.answer) for asked in options if asked.answer is not None and asked.answer.status < 300
    ]
    audible = (each for each in shown if each is not None and each.audio is not None)
    return Calls(first, note, pcmu, next(audible, None))


def broke_off(call: PlacedCall) -> Failure | None:
    """How the connection ended before the call was settled; None where it did not."""
    failure = call.exchange.failure
    return failure if failure in (Failure.RESET, Failure.CLOSED_EARLY) and call.final is None else None
