"""The INVITEs of a trace: which of them begin calls, which way each goes, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple
from urllib.parse import unquote

from vsipcheck.checks.dns_answers import class_of
from vsipcheck.model import Confidence, FaultDomain, Finding, Profile, Settings, Status
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass
from vsipcheck.wire.sip import (
    NameAddr,
    SipMessage,
    SipRequest,
    SipResponse,
    SipUri,
    parse_name_addr,
    parse_uri,
    split_list,
)
from vsipcheck.wire.text import sanitise
from vsipcheck.wire.trace import Trace, TracedMessage

Direction = Literal["from_provider", "to_provider"]

# Whole findings for each header field of each call: a trace of a busy hour is not judged call by call.
MAX_INVITES = 10
# The call was carried as far as it could: no answer, busy, cancelled, declined. RFC 3261 §21.
CALLEES_OWN = (480, 486, 487, 600, 603)
_SHOWN = 80
# A capture on all interfaces shows one packet more than once. RFC 3261 §17.1.1.1: a repetition comes after T1, 0.5 s.
_ONE_PACKET_S = 0.1
# What shows packets, or segments of a stream, one by one, and so a long message in pieces.
_IN_PIECES = ("tcpdump", "tshark", "ngrep")
_TABLES = {
    "from_provider": "Header Reference -- INVITE from Exotel",
    "to_provider": "Header Reference -- INVITE to Exotel",
}
# Nobody on the Internet can send a call to these. Documentation addresses are not among them: they stand where a person
# wrote over the real ones.
_UNREACHABLE = {
    AddressClass.PRIVATE: "private (RFC 1918)",
    AddressClass.SHARED: "of a carrier's NAT (RFC 6598)",
    AddressClass.UNIQUE_LOCAL: "private (RFC 4193)",
    AddressClass.LOOPBACK: "the host's own loopback",
    AddressClass.LINK_LOCAL: "link-local",
    AddressClass.UNSPECIFIED: "unspecified",
    AddressClass.BROADCAST: "the broadcast address",
    AddressClass.MULTICAST: "multicast, no single host's",
    AddressClass.BENCHMARKING: "for benchmarks alone (RFC 2544)",
    AddressClass.SERVICE_CONTINUITY: "within the host or its router (RFC 7335)",
    AddressClass.MAPPED: "an IPv4 address in IPv6 form, which is never on the wire",
    AddressClass.NAT64_LOCAL: "of a translator in the local network (RFC 8215)",
    AddressClass.ORCHID: "no address that packets go to (RFC 7343)",
    AddressClass.DISCARD: "where packets are discarded (RFC 6666)",
    AddressClass.RESERVED: "reserved, and nobody's",
}
# Names that mean something in a local network alone. RFC 6761, RFC 6762, RFC 8375, and what routers make up.
_LOCAL_NAMES = (".localhost", ".local", ".localdomain", ".invalid", ".home.arpa", ".internal", ".lan", ".home", ".corp")
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
    """An INVITE that begins a call. `direction` is None where nothing tells it; `relayed`: not the trunk's own hop, but
    one between the customer's SBC and PBX."""

    traced: TracedMessage
    request: SipRequest
    uri: SipUri | None
    route: SipUri | None  # where a Route header field sends it, whatever its Request-URI says
    direction: Direction | None
    told_by: str
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
        values = [header.value for header in self.request.headers_named("Content-Length")]
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

    def target(self, what: str | None = None) -> str | None:
        """A finding's target: "Via", "#2 Via", "#2", or None."""
        return " ".join(part for part in (self.label, what) if part) or None

    @property
    def way(self) -> str:
        """Which way it goes, and what tells, as a sentence."""
        if self.direction is None:
            return f"An INVITE whose direction could not be told: {self.told_by}."
        where = "to the provider" if self.direction == "to_provider" else "from the provider"
        relayed = ", relayed by a host with a private address" if self.relayed else ""
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


def quoted(text: str | None) -> str:
    """Text of a message as it may stand in a summary."""
    return sanitise(text or "", max_length=_SHOWN)


def unreachable(host: str | None) -> str | None:
    """Why nobody on the Internet can send to the address; None where that is not so, or where it is a name."""
    kind = class_of(host or "")
    return _UNREACHABLE.get(kind) if kind is not None else None


def is_local_name(host: str | None) -> bool:
    """Whether a host is a name that nobody outside the local network can look up."""
    name = (host or "").lower().rstrip(".")
    is_name = class_of(name) is None and not name.replace(".", "").isdigit()
    return bool(name) and is_name and ("." not in name or name.endswith(_LOCAL_NAMES))


def number_in(uri: SipUri | None) -> str:
    """The number that a SIP or tel URI names, without its parameters; empty where there is none. RFC 3261 §19.1.4: an
    escaped + is a +."""
    if uri is None:
        return ""
    return unquote((uri.user or (uri.opaque if uri.scheme == "tel" else "") or "").partition(";")[0])


def address_in(value: str | None) -> NameAddr | None:
    """The first address of a header value; None where there is none that can be read."""
    try:
        return parse_name_addr((split_list(value or "") or ("",))[0])
    except WireError:
        return None


def uri_in(value: str | None) -> SipUri | None:
    """The URI of the first address of a header value; None where there is none that can be read."""
    address = address_in(value)
    try:
        return parse_uri(address.uri) if address else None
    except WireError:
        return None


class Provider:
    """What is the provider's and what is the customer's own, as far as the profile and the settings say."""

    def __init__(self, profile: Profile, settings: Settings) -> None:
        names = [pop.fqdn for pop in profile.signalling.pops]
        # pstn.in2.exotel.com -> exotel.com
        self.domains = {".".join(name.split(".")[-2:]) for name in names if not name[-1].isdigit() and "." in name}
        self.addresses = {address for pop in profile.signalling.pops for address in pop.addresses}
        self.addresses |= {media.address for media in profile.media.addresses} | set(names)
        self.own = {address for address in (settings.public_address, settings.expect_ip) if address}
        ours = {row.name.lower() for row in profile.headers if row.direction == "to_provider"}
        self.marks = {
            row.name
            for row in profile.headers
            if row.direction == "from_provider" and row.name.lower().startswith("x-") and row.name.lower() not in ours
        }
        self.signalling = profile.signalling

    def has(self, host: str | None) -> bool:
        """Whether a host is the provider's: one of its addresses, or a name in its domain."""
        host = (host or "").lower().rstrip(".")
        return host in self.addresses or any(host == each or host.endswith(f".{each}") for each in self.domains)

    def direction_of(self, traced: TracedMessage, uri: SipUri | None) -> tuple[Direction | None, str]:
        """Which way an INVITE goes, and what tells. The strongest sign decides; From and To do not count, since the
        account's domain stands in either direction."""
        source = traced.told.source[0] if traced.told.source else None
        target, port = traced.told.destination or (None, None)
        host = uri.host if uri else None
        via = traced.message.top_via
        mark = next((name for name in sorted(self.marks) if traced.message.header(name) is not None), None)
        asked = next(iter(_routes(traced.message)), None)
        routes = [found for header in traced.message.headers_named("Record-Route") if (found := uri_in(header.value))]
        route = next((each.host for each in routes if self.has(each.host)), None)
        sent_by = via.host if via else None
        trunk, back = self.signalling.port, self.signalling.in_dialog_port
        via_port = via.port if via else None
        # The trunk's port counts where the provider can be: a PBX may listen on the same.
        dialled = uri is not None and uri.port == trunk and unreachable(host) is None
        signs: tuple[tuple[bool, Direction, str], ...] = (
            (self.has(target), "to_provider", f"it was sent to {quoted(target)}"),
            (self.has(source), "from_provider", f"it came from {quoted(source)}"),
            (self.has(host), "to_provider", f"its Request-URI names {quoted(host)}"),
            (asked is not None and self.has(asked.host), "to_provider", "its Route names the provider"),
            (mark is not None, "from_provider", f"it carries {mark}"),
            (target in self.own, "from_provider", f"it was sent to your public address {quoted(target)}"),
            (source in self.own, "to_provider", f"it came from your public address {quoted(source)}"),
            (route is not None, "from_provider", f"its Record-Route names {quoted(route)}"),
            (self.has(sent_by), "from_provider", f"its Via names {quoted(sent_by)}"),
            (host in self.own, "from_provider", f"its Request-URI names your public address {quoted(host)}"),
            (sent_by in self.own, "to_provider", f"its Via names your public address {quoted(sent_by)}"),
            (back is not None and via_port == back, "from_provider", f"its Via has port {back}, as the provider's do"),
            (port == trunk, "to_provider", f"it was sent to port {trunk}, the trunk's"),
            (dialled, "to_provider", f"its Request-URI has port {trunk}, the trunk's"),
        )
        nothing = "neither its Request-URI nor its header fields or addresses name the provider"
        direction, why = next(((each, why) for holds, each, why in signs if holds), (None, nothing))
        if direction == "to_provider" and unreachable(target):
            return None, f"it was sent to {quoted(target)}, a hop inside your own network"
        return direction, why


def _routes(message: SipMessage) -> list[SipUri]:
    """Where a request goes before its Request-URI: its Route header fields, if they are loose. RFC 3261 §16.12.1."""
    values = [value for header in message.headers_named("Route") for value in split_list(header.value)]
    found = [uri for value in values if (uri := uri_in(value)) is not None]
    return found if found and is_loose(found[0]) else []


def is_loose(uri: SipUri) -> bool:
    """Whether a URI of Route or Record-Route has lr."""
    return any(name.lower() == "lr" for name, _ in uri.params)


def read_invites(trace: Trace, record: Record, profile: Profile, settings: Settings) -> tuple[Invite, ...]:
    """The INVITEs that begin calls, in the order of the trace: not those inside a call, no retransmission, and of a
    call whose INVITE was sent again with credentials the first only."""
    provider = Provider(profile, settings)
    firsts: dict[_CallKey, TracedMessage] = {}
    for traced in trace.messages:
        if _begins_call(traced):
            firsts.setdefault(_key(traced), traced)
    chosen = list(firsts.values())
    messages = _by_call(trace.messages)
    found: list[Invite] = []
    for number, traced in enumerate(chosen, 1):
        label = f"#{number}" if len(chosen) > 1 else None
        found.append(_invite(traced, messages.get(traced.message.call_id, []), label, record, provider))
    return tuple(found)


_CallKey = tuple[str | None, str | None, str | None]


def _begins_call(traced: TracedMessage) -> bool:
    message = traced.message
    return isinstance(message, SipRequest) and message.method == "INVITE" and message.to_tag is None


def _key(traced: TracedMessage) -> _CallKey:
    message, via = traced.message, traced.message.top_via
    return message.call_id, message.from_tag, via.sent_by if via else None


def _by_call(messages: Sequence[TracedMessage]) -> dict[str | None, list[TracedMessage]]:
    found: dict[str | None, list[TracedMessage]] = {}
    for traced in messages:
        found.setdefault(traced.message.call_id, []).append(traced)
    return found


def _invite(
    traced: TracedMessage, call: Sequence[TracedMessage], label: str | None, record: Record, provider: Provider
) -> Invite:
    request = traced.message
    assert isinstance(request, SipRequest)
    try:
        uri = parse_uri(request.uri)
    except WireError:
        uri = None
    direction, told_by = provider.direction_of(traced, uri)
    via = request.top_via
    relayed = direction == "from_provider" and via is not None and unreachable(via.host) is not None
    return Invite(
        traced=traced,
        request=request,
        uri=uri,
        route=next(iter(_routes(request)), None),
        direction=direction,
        told_by=told_by,
        relayed=relayed,
        answer=_answer(traced, call),
        label=label,
        record=record,
    )


def _answer(invite: TracedMessage, call: Sequence[TracedMessage]) -> Answer:
    """What came back to the INVITE, or to the last of its kind in the same call that has a final answer."""
    answers = [_answer_to(invite, call)]
    number = _number(invite)
    for traced in _after(invite, call):
        if _begins_call(traced) and _key(traced) == _key(invite) and _number(traced) > number:
            number = _number(traced)
            answers.append(_answer_to(traced, call))
    final = [each for each in answers if each.final is not None]
    if not final:
        return answers[0]
    refused = tuple(each.status for each in final[:-1] if each.status is not None)
    return replace(final[-1], refused=refused)


def _number(traced: TracedMessage) -> int:
    return traced.message.cseq.number if traced.message.cseq else -1


def _answer_to(invite: TracedMessage, call: Sequence[TracedMessage]) -> Answer:
    """What came back to one INVITE: its own transaction's only; ACK and BYE are the dialog's."""
    cseq, via = invite.message.cseq, invite.message.top_via
    provisional: list[TracedMessage] = []
    finals: list[TracedMessage] = []
    acks: list[TracedMessage] = []
    repeats: list[TracedMessage] = []
    bye = None
    for traced in _after(invite, call):
        message = traced.message
        same = message.cseq is not None and cseq is not None and message.cseq.number == cseq.number
        if isinstance(message, SipResponse):
            branch = message.top_via.branch if message.top_via else None
            if not same or message.cseq is None or message.cseq.method != "INVITE" or (via and branch != via.branch):
                continue
            (provisional if message.status < 200 else finals).append(traced)
        elif isinstance(message, SipRequest):
            own = message.top_via
            if message.method == "INVITE" and same and via and own and own.branch == via.branch:
                repeats.append(traced)
            acks += [traced] if message.method == "ACK" and same else []
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
        repeats=_times([invite, *repeats]) - 1,
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


def _after(invite: TracedMessage, call: Sequence[TracedMessage]) -> Iterator[TracedMessage]:
    return (traced for traced in call if traced.line > invite.line)
