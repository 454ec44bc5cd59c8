"""The INVITEs of a trace: which of them begin calls, which way each goes, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vsipcheck.checks.dns_answers import class_of
from vsipcheck.model import Confidence, FaultDomain, Finding, Profile, Settings, Status
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass
from vsipcheck.wire.sip import NameAddr, SipRequest, SipResponse, SipUri, parse_name_addr, parse_uri, split_list
from vsipcheck.wire.text import sanitise
from vsipcheck.wire.trace import Trace, TracedMessage

Direction = Literal["from_provider", "to_provider"]

# Whole findings for each header field of each call: a trace of a busy hour is not judged call by call.
MAX_INVITES = 10
# The call was carried as far as it could: no answer, busy, cancelled, declined. RFC 3261 §21.
CALLEES_OWN = (480, 486, 487, 600, 603)
_SHOWN = 80
_TABLES = {
    "from_provider": "Header Reference -- INVITE from Exotel",
    "to_provider": "Header Reference -- INVITE to Exotel",
}
# Nobody on the Internet can send to these. Documentation addresses are not among them: they stand where a person wrote
# over the real ones.
_UNREACHABLE = {
    AddressClass.PRIVATE: "private (RFC 1918)",
    AddressClass.SHARED: "of a carrier's NAT (RFC 6598)",
    AddressClass.UNIQUE_LOCAL: "private (RFC 4193)",
    AddressClass.LOOPBACK: "the host's own loopback",
    AddressClass.LINK_LOCAL: "link-local",
    AddressClass.UNSPECIFIED: "unspecified",
}
_SHOW_TO_SUPPORT = (
    "Compare with a capture on the WAN side of the firewall: if the message is the same there, show it to the "
    "provider's support; if not, turn off SIP ALG (SIP helper, SIP inspection) between."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the trace shows of an INVITE's fate."""

    provisional: tuple[TracedMessage, ...]
    final: TracedMessage | None
    final_count: int  # copies of the final answer
    acked: bool
    bye: TracedMessage | None
    repeats: int  # copies of the INVITE itself

    @property
    def status(self) -> int | None:
        """The final status code; None where there is no final answer."""
        return self.final.message.status if self.final and isinstance(self.final.message, SipResponse) else None

    @property
    def accepted(self) -> bool:
        """Whether the far end took the call on: it rang, or was answered."""
        if self.status is not None and self.status >= 300 and self.status not in CALLEES_OWN:
            return False
        codes = [each.message.status for each in self.provisional if isinstance(each.message, SipResponse)]
        return any(code > 100 for code in codes) or (self.status or 999) < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """An INVITE that begins a call. `direction` is None where nothing tells it; `relayed`: not the trunk's own hop, but
    one between the customer's SBC and PBX."""

    traced: TracedMessage
    request: SipRequest
    uri: SipUri | None
    direction: Direction | None
    told_by: str
    relayed: bool
    answer: Answer
    label: str | None  # "#2" where there are several
    path: str
    has_lines: bool  # the file is text
    fact: str

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
            facts=(self.fact,),
            location=f"{self.path}:{line or self.traced.line}" if self.has_lines else self.path,
        )


def quoted(text: str | None) -> str:
    """Text of a message as it may stand in a summary."""
    return sanitise(text or "", max_length=_SHOWN)


def unreachable(host: str | None) -> str | None:
    """Why nobody on the Internet can send to the address; None where that is not so, or where it is a name."""
    kind = class_of(host or "")
    return _UNREACHABLE.get(kind) if kind is not None else None


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
        routes = [found for header in traced.message.headers_named("Record-Route") if (found := uri_in(header.value))]
        route = next((each.host for each in routes if self.has(each.host)), None)
        sent_by = via.host if via else None
        trunk, back = self.signalling.port, self.signalling.in_dialog_port
        via_port = via.port if via else None
        # The trunk's port counts where the provider can be: a PBX may listen on the same.
        dialled = uri is not None and uri.port == trunk and unreachable(host) is None
        signs: tuple[tuple[bool, Direction, str], ...] = (
            (self.has(host), "to_provider", f"its Request-URI names {quoted(host)}"),
            (self.has(target), "to_provider", f"it was sent to {quoted(target)}"),
            (mark is not None, "from_provider", f"it carries {mark}"),
            (self.has(source), "from_provider", f"it came from {quoted(source)}"),
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


def read_invites(
    trace: Trace, path: str, fact: str, profile: Profile, settings: Settings, *, has_lines: bool = True
) -> tuple[Invite, ...]:
    """The INVITEs that begin calls, in the order of the trace: not those inside a call, no retransmission, and of a
    call whose INVITE was sent again with credentials the first only."""
    provider = Provider(profile, settings)
    firsts: dict[tuple[str | None, str | None, str | None], TracedMessage] = {}
    for traced in trace.messages:
        message = traced.message
        if not isinstance(message, SipRequest) or message.method != "INVITE" or message.to_tag is not None:
            continue
        via = message.top_via
        firsts.setdefault((message.call_id, message.from_tag, via.sent_by if via else None), traced)
    chosen = list(firsts.values())
    messages = _by_call(trace.messages)
    found: list[Invite] = []
    for number, traced in enumerate(chosen, 1):
        label = f"#{number}" if len(chosen) > 1 else None
        call = messages.get(traced.message.call_id, [])
        found.append(_invite(traced, call, label, path, fact, provider, has_lines=has_lines))
    return tuple(found)


def _by_call(messages: Sequence[TracedMessage]) -> dict[str | None, list[TracedMessage]]:
    found: dict[str | None, list[TracedMessage]] = {}
    for traced in messages:
        found.setdefault(traced.message.call_id, []).append(traced)
    return found


def _invite(
    traced: TracedMessage,
    call: Sequence[TracedMessage],
    label: str | None,
    path: str,
    fact: str,
    provider: Provider,
    *,
    has_lines: bool,
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
        direction=direction,
        told_by=told_by,
        relayed=relayed,
        answer=_answer(traced, call),
        label=label,
        path=path,
        has_lines=has_lines,
        fact=fact,
    )


def _answer(invite: TracedMessage, call: Sequence[TracedMessage]) -> Answer:
    """What came back to the INVITE, its own transaction's only; ACK and BYE are the dialog's."""
    cseq, via = invite.message.cseq, invite.message.top_via
    provisional: list[TracedMessage] = []
    finals: list[TracedMessage] = []
    acked, bye, repeats = False, None, 0
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
                repeats += 1
            acked = acked or (message.method == "ACK" and same)
            bye = bye or (traced if message.method == "BYE" else None)
    final = finals[0] if finals else None
    return Answer(
        provisional=tuple(provisional), final=final, final_count=len(finals), acked=acked, bye=bye, repeats=repeats
    )


def _after(invite: TracedMessage, call: Sequence[TracedMessage]) -> Iterator[TracedMessage]:
    return (traced for traced in call if traced.line > invite.line)
