"""The INVITEs of a trace: which of them begin calls, which way each goes, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from msgspec import structs

from vsipcheck.checks.message.direction import Direction, Provider, route_of
from vsipcheck.checks.message.places import quoted
from vsipcheck.model import Confidence, FaultDomain, Finding, Profile, Settings, Status, first_sentence
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.sip.uri import SipUri, parse_uri
from vsipcheck.wire.sip.values import CSeq, Via
from vsipcheck.wire.trace import Trace, TracedMessage

# Whole findings for each header field of each call: a trace of a busy hour is not judged call by call.
MAX_INVITES = 10
# The call was carried as far as it could: no answer, busy, cancelled, declined. RFC 3261 §21.
CALLEES_OWN = (480, 486, 487, 600, 603)
# A capture on all interfaces shows one packet more than once. RFC 3261 §17.1.1.1: a repetition comes after T1, 0.5 s.
_ONE_PACKET_S = 0.1
# What shows packets, or segments of a stream, one by one, and so a long message in pieces.
_IN_PIECES = ("tcpdump", "tshark", "ngrep")
_TABLES = {
    "from_provider": "Header Reference -- INVITE from Exotel",
    "to_provider": "Header Reference -- INVITE to Exotel",
}
# What settles which way an INVITE goes.
SHOW_ADDRESSES = "Hand in a trace that shows the addresses, or name your public address (--expect-ip)."
SAVE_WHOLE = "Save the message whole: tcpdump with -s 0 into a file, and hand in that file."
_SHOW_TO_SUPPORT = (
    "Compare with a capture on the WAN side of the firewall: if the message is the same there, show it to the "
    "provider's support; if not, turn off SIP ALG (SIP helper, SIP inspection) between."
)


class Sizes(NamedTuple):
    """How long a body can have been on the wire, and whether the text has as many octets as the trace tells of the
    message; None where it does not tell."""

    body: tuple[int, ...]
    whole: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What messages were read from. `sizes` by the messages' lines; `is_whole`: nothing of it was left out."""

    path: str
    fact: str
    has_lines: bool  # the file is text
    sizes: Mapping[int, Sizes]
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the trace shows of an INVITE's fate; of the last one with a final answer, where it was sent anew in the same
    call: with credentials, or otherwise as a refusal asks."""

    refused: tuple[int, ...] = ()  # the final answers before
    provisional: tuple[TracedMessage, ...] = ()
    final: TracedMessage | None = None
    final_count: int = 0  # how often the final answer was sent
    after_ack: int = 0  # how often of these after an ACK
    acked: bool = False
    bye: TracedMessage | None = None
    repeats: int = 0  # how often the INVITE itself was sent again

    @property
    def status(self) -> int | None:
        """The final status code; None where there is no final answer."""
        return self.final.message.status if self.final and isinstance(self.final.message, SipResponse) else None

    @property
    def rang(self) -> bool:
        """Whether a provisional answer tells more than that the INVITE came in."""
        return any(code > 100 for code in self._codes)

    @property
    def accepted(self) -> bool:
        """Whether the far end took the call on: it rang, or was answered. A 183 may be an announcement that refuses."""
        if self.status is None or self.status in CALLEES_OWN:
            return 180 in self._codes
        return self.status < 300

    @property
    def _codes(self) -> list[int]:
        return [each.message.status for each in self.provisional if isinstance(each.message, SipResponse)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """An INVITE that begins a call. `direction` is None where nothing tells it, or where `is_elsewhere`: it is none of
    the trunk's own, but between a phone and the PBX, say. `relayed`: a proxy or SBC of the customer's sends it on from
    the provider."""

    traced: TracedMessage
    request: SipRequest
    uri: SipUri | None
    route: SipUri | None  # where a Route header field sends it, whatever its Request-URI says
    direction: Direction | None
    told_by: str
    is_elsewhere: bool
    relayed: bool
    answer: Answer
    label: str | None  # "#2" where there are several
    record: Record

    @property
    def sizes(self) -> Sizes:
        """Those from when the file was read."""
        traced = self.traced
        return self.record.sizes.get(traced.line) or Sizes(traced.body_sizes, traced.is_whole)

    @property
    def content_length(self) -> int | None:
        """What Content-Length says; None where it is missing, no number, or there are several that differ."""
        values = [header.value for header in self.traced.message.headers_named("Content-Length")]
        told = {int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None for value in values}
        return told.pop() if len(told) == 1 else None

    @property
    def is_cut(self) -> bool:
        """Whether the trace leaves out the message's end, so that what is not there says nothing."""
        traced, sizes, length = self.traced, self.sizes, self.content_length
        if sizes.whole:
            return False
        if not traced.has_head:
            return True
        if not traced.body if length is None else length > max(sizes.body):
            at_end = traced.ended_by == "end" and not self.record.is_whole
            return sizes.whole is False or at_end or traced.told.format in _IN_PIECES
        return False

    @property
    def answered(self) -> Invite | None:
        """The 2xx that took the call, as a message that goes the other way: what is wrong with it is its sender's."""
        final, status = self.answer.final, self.answer.status
        if final is None or status is None or status >= 300 or self.direction is None:
            return None
        way: Direction = "from_provider" if self.direction == "to_provider" else "to_provider"
        return replace(self, traced=final, direction=way)

    def target(self, what: str | None = None) -> str | None:
        """A finding's target: "Via", "#2 Via", "#2", or None."""
        return " ".join(part for part in (self.label, what) if part) or None

    @property
    def way(self) -> str:
        """Which way it goes, and what tells, as a sentence."""
        if self.direction is None:
            where = "that is none of the trunk's own" if self.is_elsewhere else "whose direction could not be told"
            return f"An INVITE {where}: {self.told_by}."
        where = "to the provider" if self.direction == "to_provider" else "from the provider"
        via = self.request.top_via
        relayed = f", relayed by {quoted(via.host)}" if self.relayed and via else ""
        return f"An INVITE {where} ({self.told_by}){relayed}."

    def line_of(self, name: str) -> int | None:
        """The line of the first header field of that name."""
        wanted = self.request.headers_named(name)
        pairs = zip(self.request.headers, self.traced.header_lines, strict=False)
        return next((line for header, line in pairs if wanted and header is wanted[0]), None)

    def fault(self, *, alterable: bool) -> tuple[FaultDomain, Confidence]:
        """Who is to blame for what is wrong with the message, and how sure that is. `alterable`: what something on the
        way, an ALG or an SBC, may have done as well as the sender."""
        if self.direction == "to_provider":
            return FaultDomain.PBX, Confidence.PROVEN
        if self.direction == "from_provider" and not alterable and not self.relayed:
            return FaultDomain.PROVIDER, Confidence.LIKELY
        return FaultDomain.UNDETERMINED, Confidence.POSSIBLE

    def remedy(self, words: str) -> str:
        """What to do about it: what the PBX has to change, or how to find who wrote the provider's message so."""
        return _SHOW_TO_SUPPORT if self.direction == "from_provider" else words

    def find(
        self,
        finding_id: str,
        status: Status,
        reason: str,
        summary: str,
        *,
        what: str | None = None,
        line: int | None = None,
        remedy: str | None = None,
        settle_by: str | None = None,
        alterable: bool = True,
        blame: tuple[FaultDomain, Confidence] | None = None,
        guide: str | None = None,
    ) -> Finding:
        """A finding about this INVITE."""
        clear = status in (Status.PASS, Status.SKIP)
        unsure = FaultDomain.UNDETERMINED, Confidence.POSSIBLE
        domain, confidence = blame or (unsure if status is Status.UNKNOWN else self.fault(alterable=alterable))
        return Finding(
            id=finding_id,
            target=self.target(what),
            status=status,
            reason=reason,
            summary=summary,
            fault_domain=None if clear else domain,
            confidence=(Confidence.PROVEN if status is Status.PASS else None) if clear else confidence,
            remedy=None if clear or status is Status.UNKNOWN else remedy,
            settle_by=settle_by,
            guide_section=guide or (_TABLES[self.direction] if self.direction else None),
            facts=(self.record.fact,),
            location=f"{self.record.path}:{line or self.traced.line}" if self.record.has_lines else self.record.path,
        )


def cut_here(invite: Invite, finding_id: str, says: str, what: str | None = None) -> Finding:
    """That something cannot be judged, since the trace leaves the end of the message out."""
    return invite.find(
        finding_id,
        Status.UNKNOWN,
        "cut",
        f"{says} The trace leaves out octets of this message.",
        what=what,
        settle_by=SAVE_WHOLE,
    )


def left_open(invite: Invite, found: Finding, kind: str) -> Finding:
    """A finding about a message that may be another hop's, such as that between a phone and the PBX: where it is, what
    was found is no fault. `kind`: what it is about, "an offer"."""
    told = invite.find(
        found.id,
        Status.UNKNOWN,
        "direction_unknown",
        f"{first_sentence(found.summary)}. Whether this is {kind} of the trunk could not be told: {invite.told_by}.",
        settle_by=SHOW_ADDRESSES,
    )
    return structs.replace(told, target=found.target, location=found.location)


def read_invites(trace: Trace, record: Record, profile: Profile, settings: Settings) -> tuple[Invite, ...]:
    """The INVITEs that begin calls, in the order of the trace: not those inside a call, no retransmission, and of a
    call whose INVITE was sent again with credentials the first only."""
    provider = Provider(profile, settings)
    firsts: dict[_CallKey, _Seen] = {}
    calls: dict[str | None, list[_Seen]] = {}
    for seen in map(_seen, trace.messages):
        calls.setdefault(seen.call_id, []).append(seen)
        if seen.begins_call:
            firsts.setdefault(seen.key, seen)
    found: list[Invite] = []
    for number, seen in enumerate(firsts.values(), 1):
        label = f"#{number}" if len(firsts) > 1 else None
        found.append(_invite(seen, calls[seen.call_id], label, record, provider))
    return _with_hops(found, provider)


def _with_hops(invites: Sequence[Invite], provider: Provider) -> tuple[Invite, ...]:
    """The INVITEs, with the hops told apart that are behind a proxy or SBC of your own: one that sends on what came in
    from the provider, or to which comes what then goes out."""
    came_in, went_out = set(provider.own), set(provider.own)
    for invite in invites:
        told = invite.traced.told
        if invite.direction == "from_provider" and not invite.relayed:
            called = invite.uri.host if invite.uri else None
            came_in.add(told.destination[0] if told.destination else called or "")
        if invite.direction == "to_provider" and told.source:
            went_out.add(told.source[0])
    found: list[Invite] = []
    for invite in invites:
        told, via = invite.traced.told, invite.request.top_via
        if invite.direction == "from_provider" and via is not None:
            sent_by = told.source[0] if told.source else via.host
            invite = replace(invite, relayed=invite.relayed or sent_by in came_in)
        elif invite.direction == "to_provider" and told.destination and told.destination[0] in went_out:
            hop = f"it was sent to {quoted(told.destination[0])}, from which calls go on to the provider"
            invite = replace(invite, direction=None, told_by=hop, is_elsewhere=True)
        found.append(invite)
    return tuple(found)


def split_hops(invites: Sequence[Invite]) -> tuple[list[Invite], list[Invite]]:
    """The INVITEs that are to be judged, and those of other hops; these are judged too where the trace does not show
    the trunk's own."""
    shown = {invite.direction for invite in invites if not invite.relayed} - {None}
    judged: list[Invite] = []
    others: list[Invite] = []
    for invite in invites:
        is_other = (invite.is_elsewhere and shown) or (invite.relayed and "from_provider" in shown)
        (others if is_other else judged).append(invite)
    return judged, others


_CallKey = tuple[str | None, str | None, str | None]


class _Seen(NamedTuple):
    """A message with what places it in a call and a transaction: read once, since it is compared with many others."""

    traced: TracedMessage
    call_id: str | None
    from_tag: str | None
    cseq: CSeq | None
    via: Via | None
    begins_call: bool

    @property
    def key(self) -> _CallKey:
        return self.call_id, self.from_tag, self.via.sent_by if self.via else None

    @property
    def number(self) -> int:
        return self.cseq.number if self.cseq else -1


def _seen(traced: TracedMessage) -> _Seen:
    message = traced.message
    begins_call = isinstance(message, SipRequest) and message.method == "INVITE" and message.to_tag is None
    return _Seen(traced, message.call_id, message.from_tag, message.cseq, message.top_via, begins_call)


def _invite(seen: _Seen, call: Sequence[_Seen], label: str | None, record: Record, provider: Provider) -> Invite:
    traced, request = seen.traced, seen.traced.message
    assert isinstance(request, SipRequest)
    try:
        uri = parse_uri(request.uri)
    except WireError:
        uri = None
    way = provider.direction_of(traced, uri)
    return Invite(
        traced=traced,
        request=request,
        uri=uri,
        route=route_of(request),
        direction=way.direction,
        told_by=way.told_by,
        is_elsewhere=way.is_elsewhere,
        relayed=way.direction == "from_provider" and provider.is_relayed(request),
        answer=_answer(seen, call),
        label=label,
        record=record,
    )


def _answer(invite: _Seen, call: Sequence[_Seen]) -> Answer:
    """What came back to the INVITE, or to the last of its kind in the same call that has a final answer."""
    answers = [_answer_to(invite, call)]
    number = invite.number
    for seen in _after(invite, call):
        if seen.begins_call and seen.key == invite.key and seen.number > number:
            number = seen.number
            answers.append(_answer_to(seen, call))
    final = [each for each in answers if each.final is not None]
    if not final:
        return answers[0]
    refused = tuple(each.status for each in final[:-1] if each.status is not None)
    return replace(final[-1], refused=refused)


def _answer_to(invite: _Seen, call: Sequence[_Seen]) -> Answer:
    """What came back to one INVITE: its own transaction's only; ACK and BYE are the dialog's."""
    via = invite.via
    provisional: list[TracedMessage] = []
    finals: list[TracedMessage] = []
    acks: list[TracedMessage] = []
    repeats: list[TracedMessage] = []
    bye = None
    for seen in _after(invite, call):
        traced, message, cseq, own = seen.traced, seen.traced.message, seen.cseq, seen.via
        same = cseq is not None and invite.cseq is not None and cseq.number == invite.cseq.number
        if isinstance(message, SipResponse):
            branch = own.branch if own else None
            if not same or cseq is None or cseq.method != "INVITE" or (via and branch != via.branch):
                continue
            (provisional if message.status < 200 else finals).append(traced)
        elif isinstance(message, SipRequest):
            if message.method == "INVITE" and same and via and own and own.branch == via.branch:
                repeats.append(traced)
            # The far end numbers its own re-INVITEs, and acknowledges them.
            theirs = seen.from_tag != invite.from_tag
            acks += [traced] if message.method == "ACK" and same and not theirs else []
            bye = bye or (traced if message.method == "BYE" else None)
    final = _deciding(finals)
    copies = [each for each in finals if final and each.message.to_tag == final.message.to_tag]
    after_ack = [each for each in copies if acks and each.line > acks[0].line]
    return Answer(
        provisional=tuple(provisional),
        final=final,
        final_count=_times(copies),
        after_ack=_times(after_ack),
        acked=bool(acks),
        bye=bye,
        repeats=_times([invite.traced, *repeats]) - 1,
    )


def _deciding(finals: Sequence[TracedMessage]) -> TracedMessage | None:
    """The final answer that counts: a 2xx, where one of several branches has it (RFC 3261 §16.7)."""
    taken = (each for each in finals if isinstance(each.message, SipResponse) and each.message.status < 300)
    return next(taken, finals[0] if finals else None)


def _times(copies: Sequence[TracedMessage]) -> int:
    """How often a message was sent, which was seen so often: one packet on several interfaces counts once."""
    count, before = 0, None
    for traced in copies:
        now = traced.told.at_s
        if before is None or now is None or abs(now - before) > _ONE_PACKET_S:
            count, before = count + 1, now
    return count


def _after(invite: _Seen, call: Sequence[_Seen]) -> Iterator[_Seen]:
    return (seen for seen in call if seen.traced.line > invite.traced.line)
