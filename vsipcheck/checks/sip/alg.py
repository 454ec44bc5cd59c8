"""Whether something on the way rewrites SIP (`sip.alg`), from the answers of the real trunk alone.

A SIP ALG writes another address over ours in Via, Contact and SDP. Of that an answer shows the Via, which the server
returns as it came (RFC 3261 §8.2.6.2), and whether the server added `received`, which it must where the source address
differs from the host of sent-by (RFC 3261 §18.2.1). An ALG that repairs the answer gives itself away by what the server
then did not have to add. Three requests on one connection differ by their sent-by alone, and have no `rport`, with
which a server adds `received` anyhow (RFC 3581 §4):

| sent-by: ours | 192.0.2.1 (RFC 5737) | the public address that the server saw | so |
| --- | --- | --- | --- |
| comes back altered | * | * | seen; a PBX must discard such answers |
| whole | altered | * | seen |
| whole | * | altered, say to our private one | seen: answers are translated back |
| `received` = our private address | another | * | seen: no server can see that address through a NAT |
| * | `received` = 192.0.2.1 | * | seen: nobody comes from there |
| no `received` | the public one | * | suspected: the server saw its own idea of us in the first, not what we wrote |
| our private one, or none | our private one | | suspected; or a private line to the provider, without any NAT |
| none | none, though with `rport` it is there | | suspected: withheld from every request |
| none | none, ever | | unknown: this server adds nothing, whatever it sees |
| the public one | the same | the same | unknown: it tells everybody, so that repairing would not show |
| the public one | the same | none | not seen: nobody wrote the public address over ours |
| (no NAT) none | our own | | not seen, likewise |

A SYN-ACK from nearer than the server (`paths.nearest_answer`) says that a proxy takes the connection. It says where,
and tips the scales where the comparison says nothing; one that hands on SIP as it is, is for `sip.connect` to tell.

None of it shows an ALG that touches Contact and SDP alone, nor one whose NAT stands behind another: it writes its own
WAN address into Via, which the server finds to be as foreign as ours. Where a carrier's NAT is known to be there,
nothing is passed. What one server shows and another on the same way disproves is that server's peculiarity. Which
device it is, the answers do not say: most stand in the customer's router, some in a carrier's NAT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from vsipcheck.checks.base import Facts, span_ms
from vsipcheck.checks.paths import nearest_answer
from vsipcheck.checks.sip.addresses import sent_and_received
from vsipcheck.checks.sip.dialogue import ALG_DOCUMENTATION, ALG_OWN, ALG_PUBLIC
from vsipcheck.checks.sip.verdict import SETTLE_BY_TRACE
from vsipcheck.checks.zones import Place
from vsipcheck.model import (
    Confidence,
    Exchange,
    Failure,
    FaultDomain,
    Finding,
    Hop,
    Profile,
    Settings,
    Status,
)
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass, classify, is_public
from vsipcheck.wire.sip.matching import match_response
from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.sip.uri import parse_uri
from vsipcheck.wire.sip.values import parse_name_addr
from vsipcheck.wire.text import sanitise

ALG = "sip.alg"

_PURPOSES = ("options", ALG_OWN, ALG_DOCUMENTATION, ALG_PUBLIC)
_OFF = "Turn off SIP ALG (SIP helper, SIP inspection) in the router and the firewall."
_OFF_OR_CARRIER = f"{_OFF} If it stays, ask the ISP whether its carrier-grade NAT has one."


@dataclass(frozen=True, slots=True)
class _Sign:
    """One thing that an exchange, or a comparison of several, shows. `seen`: nothing else known does that."""

    reason: str
    sentence: str
    facts: tuple[str, ...]
    seen: bool = False
    breaks: bool = False  # a PBX has to discard the answer
    by_nat: bool = True  # addresses are what a NAT's ALG writes; other values, nobody knows who
    place: Place | None = None  # of a proxy that accepts the connection in the server's place


@dataclass(frozen=True, slots=True)
class _Answer:
    exchange: Exchange
    request: SipRequest
    response: SipResponse
    altered: bool

    @property
    def received(self) -> str | None:
        """What the server says of our address: normalised where it is one."""
        via = self.response.top_via
        return _normal(via.received) if via is not None else None


@dataclass(slots=True)
class _Server:
    """What one address of one name said."""

    name: str
    address: str
    local: str
    answers: dict[str, list[_Answer]] = field(default_factory=dict)
    asked: int = 0

    def compared(self, purpose: str) -> _Answer | None:
        return next((each for each in self.answers.get(purpose, ()) if not each.altered), None)

    @property
    def facts(self) -> tuple[str, ...]:
        return tuple(each.exchange.id for answers in self.answers.values() for each in answers)

    @property
    def where(self) -> str:
        return self.name if self.name == self.address else f"{self.name} ({self.address})"


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a server's answers say of the way to it: signs, or none (`clear`), or why they cannot say."""

    server: _Server
    signs: tuple[_Sign, ...] = ()
    clear: bool = False
    why_not: str | None = None


def judge_alg(facts: Facts, profile: Profile, settings: Settings) -> Finding:
    """One finding for the run: the ALG stands at our end, before all servers. Never "there is none"."""
    servers = _servers(facts)
    port = profile.signalling.port
    readings = [_read(server, facts, port) for server in servers]
    clear = [reading for reading in readings if reading.clear]
    signs = [(reading.server, sign) for reading in readings for sign in reading.signs]
    seen = [(server, sign) for server, sign in signs if sign.seen]
    suspected = [(server, sign) for server, sign in signs if not sign.seen]
    exempt = "" if port == 5060 else f" Many ALGs act on port 5060 alone: one that does may be there and spare {port}."

    def found(
        status: Status,
        reason: str,
        summary: str,
        about: Sequence[str],
        *,
        domain: FaultDomain | None = None,
        confidence: Confidence | None = None,
        remedy: str | None = None,
        settle_by: str | None = None,
    ) -> Finding:
        wanted = frozenset(about)
        offset_ms, duration_ms = span_ms([fact for fact in facts.of(Exchange, "sip") if fact.id in wanted])
        return Finding(
            id=ALG,
            target=None,
            status=status,
            reason=reason,
            summary=summary,
            fault_domain=domain,
            confidence=confidence,
            remedy=remedy,
            settle_by=settle_by,
            facts=tuple(dict.fromkeys(about)),
            offset_ms=offset_ms,
            duration_ms=duration_ms,
        )

    if told := (seen or (suspected if not clear else [])):
        reason, sentence, worst = _strongest(told)
        at = list(dict.fromkeys(server.where for server, sign in told if sign.reason == reason))
        witnesses = {server.address for server, _ in told}
        # At our end it would stand before all servers: what one of them disproves is nearer to the other.
        ours = worst.by_nat and not clear
        domain, remedy = _party(facts, servers) if ours else (FaultDomain.UNDETERMINED, None)
        confidence = Confidence.LIKELY if len(witnesses) > 1 and ours else Confidence.POSSIBLE
        if worst.place is not None:
            domain, confidence, remedy = worst.place.domain, worst.place.confidence, _OFF
        word = "A SIP ALG was seen" if seen else "A SIP ALG is suspected"
        nearer = f" It is not there towards {clear[0].server.where}." if clear else ""
        return found(
            Status.FAIL if worst.breaks else Status.WARN,
            reason,
            f"{word}: {sentence} (answers of {' and '.join(at)}).{_effect(worst)}{nearer}",
            [fact for _, sign in told for fact in sign.facts],
            domain=domain,
            confidence=confidence,
            remedy=remedy,
            settle_by=SETTLE_BY_TRACE,
        )
    if clear and not suspected and _carrier_nat(facts, servers):
        return found(
            Status.UNKNOWN,
            "carrier_nat",
            "No SIP ALG was seen, but one in a router behind a carrier's NAT writes that router's own address into "
            f"Via, which the server finds to be as foreign as ours.{exempt}",
            [fact for reading in clear for fact in reading.server.facts],
            domain=FaultDomain.UNDETERMINED,
            confidence=Confidence.POSSIBLE,
            settle_by=SETTLE_BY_TRACE,
        )
    if clear:
        if suspected:
            other, sign = suspected[0]
            return found(
                Status.UNKNOWN,
                "contradictory",
                f"No SIP ALG was seen towards {clear[0].server.where}. But "
                f"{other.where} differs: {sign.sentence}. An ALG of ours would treat both alike.",
                [fact for server in servers for fact in server.facts],
                domain=FaultDomain.UNDETERMINED,
                confidence=Confidence.POSSIBLE,
                settle_by=SETTLE_BY_TRACE,
            )
        return found(
            Status.PASS,
            "not_seen",
            f"No SIP ALG was seen: Via comes back whole from {clear[0].server.where}, and received= stands where RFC "
            "3261 §18.2.1 demands it of the Via that we wrote, and nowhere else. An ALG that changes Contact and SDP "
            f"of calls alone, or stands in front of a second NAT, would not show.{exempt}",
            [fact for reading in clear for fact in reading.server.facts],
            confidence=Confidence.LIKELY,
        )
    reasons = [reading.why_not for reading in readings if reading.why_not]
    reason = next((each for each in _WHY_NOT if each in reasons), "not_answered" if servers else "not_measured")
    summary, settle_by = _WHY_NOT[reason]
    return found(
        Status.UNKNOWN,
        reason,
        f"{summary}{exempt if reason in _LOOKED else ''}",
        [fact for server in servers for fact in server.facts],
        domain=FaultDomain.UNDETERMINED,
        confidence=Confidence.POSSIBLE,
        settle_by=settle_by,
    )


# The most telling first.
_WHY_NOT = {
    "blind": (
        "No SIP ALG was seen, but one that repairs what it changes would not show: the server tells our address in "
        "every answer, whatever we write.",
        SETTLE_BY_TRACE,
    ),
    "no_received": (
        "No SIP ALG was seen, but one that repairs what it changes would not show: the answers have no received= "
        "where RFC 3261 §18.2.1 demands it, whatever we write. The server does not add it, or something takes it out.",
        SETTLE_BY_TRACE,
    ),
    "not_compared": (
        "No SIP ALG was seen in the answers that came; those that would show one that repairs what it changes did not.",
        "Run again; if it stays, compare captures (sngrep, tcpdump) on this host and on the WAN side.",
    ),
    "not_answered": ("No SIP server answered, so that nothing can be said of a SIP ALG.", "See sip.options."),
    "not_measured": ("No SIP server was asked, so that nothing can be said of a SIP ALG.", "See sip.connect."),
}
_LOOKED = frozenset({"blind", "no_received", "not_compared"})

# Of several signs the first of these is told.
_ORDER = (
    "via_rewritten",
    "via_translated",
    "received_translated",
    "from_rewritten",
    "received_withheld",
    "received_private",
    "received_differs",
    "answered_from_nearer",
    "received_missing",
    "second_via",
    "tampered",
)


def _strongest(told: Sequence[tuple[_Server, _Sign]]) -> tuple[str, str, _Sign]:
    sign = min((sign for _, sign in told), key=lambda each: (not each.breaks, _ORDER.index(each.reason)))
    return sign.reason, sign.sentence, sign


def _effect(sign: _Sign) -> str:
    if sign.breaks:
        return " A PBX has to discard such an answer (RFC 3261 §18.1.2), and hears silence."
    if sign.by_nat:
        return " What it does to Contact and SDP costs calls their audio or their end."
    return ""


def _party(facts: Facts, servers: Sequence[_Server]) -> tuple[FaultDomain, str]:
    """Whose NAT it may be. Behind a carrier's NAT there are two that could have one."""
    if _carrier_nat(facts, servers):
        return FaultDomain.UNDETERMINED, _OFF_OR_CARRIER
    return FaultDomain.LOCAL_NETWORK, _OFF


def _carrier_nat(facts: Facts, servers: Sequence[_Server]) -> bool:
    """Whether 100.64.0.0/10 (RFC 6598) is our own address, or a router's before the first one with a public address.

    Farther away, clouds use it for routers of their own.
    """
    shared: dict[str, int] = {}
    public: dict[str, int] = {}
    for hop in facts.of(Hop):
        kind = _class(hop.address) if hop.address is not None else None
        nearest = {AddressClass.SHARED: shared, AddressClass.GLOBAL: public}.get(kind) if kind is not None else None
        if nearest is not None:
            nearest[hop.target] = min(hop.ttl, nearest.get(hop.target, hop.ttl))
    return any(ttl < public.get(target, ttl + 1) for target, ttl in shared.items()) or any(
        _class(server.local) is AddressClass.SHARED for server in servers
    )


# --- what came back


def _servers(facts: Facts) -> list[_Server]:
    """Every address that was asked, with the answers by what they were asked for, in order."""
    found: dict[tuple[str | None, str], _Server] = {}
    for exchange in facts.of(Exchange, "sip"):
        if exchange.protocol != "sip" or exchange.purpose not in _PURPOSES or exchange.local_address is None:
            continue
        key = (exchange.name, exchange.remote_address)
        name = exchange.name or exchange.remote_address
        server = found.setdefault(key, _Server(name, exchange.remote_address, exchange.local_address))
        server.asked += 1
        if (answer := _answer_of(exchange)) is not None:
            server.answers.setdefault(exchange.purpose, []).append(answer)
    return list(found.values())


def _answer_of(exchange: Exchange) -> _Answer | None:
    """The final answer: the one that is quite to the request, else one that is partly. A late one of another: None."""
    request, received = sent_and_received(exchange)
    finals = [each for each in received if isinstance(each, SipResponse) and each.status >= 200]
    if request is None:
        return None
    for final in finals:
        if not _altered(request, final):
            return _Answer(exchange, request, final, altered=False)
    for final in finals:
        if exchange.failure is Failure.MISMATCH and _altered(request, final) - {"cseq_number", "cseq_method"}:
            return _Answer(exchange, request, final, altered=True)
    return None


def _altered(request: SipRequest, response: SipResponse) -> set[str]:
    return {mismatch.field for mismatch in match_response(request, response)} - {"from_tag"}


def _read(server: _Server, facts: Facts, port: int) -> _Reading:
    nearest = nearest_answer(facts, server.address, port)
    place = nearest.place if nearest is not None and nearest.forged else None
    if place is not None and nearest is not None and nearest.ttl == 1:
        # Before the first router ends: in it, or in this very host. Both are the customer's.
        place = Place(FaultDomain.LOCAL_NETWORK, Confidence.LIKELY, place.where, None)
    signs = [sign for answers in server.answers.values() for each in answers for sign in _signs_of(each, server)]
    signs += _compare(server)
    if signs:
        return _Reading(server, tuple(replace(sign, place=place) for sign in signs))
    if not server.answers:
        return _Reading(server, why_not="not_answered")
    why_not = _why_not_clear(server)
    if why_not is not None and place is not None and nearest is not None:
        proxy = _Sign(
            "answered_from_nearer",
            f"a proxy accepts connections in the server's place, {place.where}",
            (*server.facts, *nearest.facts),
            place=place,
        )
        return _Reading(server, (proxy,))
    return _Reading(server, clear=why_not is None, why_not=why_not)


def _signs_of(answer: _Answer, server: _Server) -> list[_Sign]:
    """What one answer shows by itself."""
    signs: list[_Sign] = []
    facts = (answer.exchange.id,)
    sent, back = answer.request.top_via, answer.response.top_via
    if sent is None or back is None:
        return []
    own = _normal(sent.host) == server.local
    altered = _altered(answer.request, answer.response)
    if "sent_by" in altered:
        signs.append(
            _Sign(
                "via_rewritten" if own else "via_translated",
                f"sent-by of Via was {_shown(sent.sent_by)} and came back as {_shown(back.sent_by)}",
                facts,
                seen=True,
                breaks=own,
            )
        )
    elif altered & {"branch", "call_id"}:
        what = " and ".join(name for name, each in (("branch", "branch"), ("Call-ID", "call_id")) if each in altered)
        signs.append(_Sign("tampered", f"the {what} of our request came back altered", facts, by_nat=False))
    if back.transport.upper() != sent.transport.upper():
        signs.append(
            _Sign(
                "via_rewritten",
                f"Via was of {_shown(sent.transport)} and came back as {_shown(back.transport)}",
                facts,
                seen=True,
                breaks=True,
            )
        )
    if len(answer.response.vias) > 1:
        signs.append(_Sign("second_via", "a second Via came back, which is not ours", facts, by_nat=False))
    was, became = _from_host(answer.request), _from_host(answer.response)
    # A name in its place is a server's own doing.
    if was is not None and became is not None and was != became and was == server.local and _class(became) is not None:
        signs.append(
            _Sign(
                "from_rewritten", f"the host of From was {_shown(was)} and came back as {_shown(became)}", facts, True
            )
        )
    return signs


def _compare(server: _Server) -> list[_Sign]:
    """What the requests show that differ by their sent-by alone. RFC 3261 §18.2.1."""
    own, documented, public = map(server.compared, (ALG_OWN, ALG_DOCUMENTATION, ALG_PUBLIC))
    ordinary = [each for each in server.answers.get("options", ()) if not each.altered]
    mine = server.local
    hidden = _class(mine) not in (None, AddressClass.GLOBAL)
    far = _class(server.address) is AddressClass.GLOBAL
    facts = tuple(each.exchange.id for each in (own, documented, public, *ordinary) if each is not None)
    signs: list[_Sign] = []

    def sign(reason: str, sentence: str, *, seen: bool = False, by_nat: bool = True) -> None:
        signs.append(_Sign(reason, sentence, facts, seen=seen, by_nat=by_nat))

    # What the answers to our own sent-by say, with rport (RFC 3581 §4) or without.
    told = {each.received for each in (*ordinary, own) if each is not None and each.received is not None}
    nobody = documented.request.top_via if documented is not None else None
    there = documented.received if documented is not None else None
    if there is not None and nobody is not None and there == _normal(nobody.host):
        sign("received_translated", f"received={_shown(there)}, which is nobody's address, came back", seen=True)
        return signs
    if mine in told and hidden and far:
        if there is not None and there != mine:
            sign(
                "received_translated",
                f"received= is our private {_shown(mine)} where we write that into Via, and {_shown(there)} where we "
                "write another",
                seen=True,
            )
        else:
            sign(
                "received_private",
                f"received= is our private {_shown(mine)}, which no server sees through a NAT; unless this is a "
                "private line to the provider",
            )
        return signs
    if own is None or documented is None:
        return signs
    here = own.received
    if there is None:
        if here is None and told and nobody is not None:
            sign(
                "received_missing",
                f"without rport the answers have no received=, not even where we write {_shown(nobody.host)} into Via "
                "and RFC 3261 §18.2.1 demands it; with rport they have it",
                by_nat=False,
            )
        return signs
    if there == mine:
        if hidden and far:
            sign(
                "received_private",
                f"received= is our private {_shown(mine)}, which no server sees through a NAT; unless this is a "
                "private line to the provider",
            )
        return signs
    if here is None:
        sign(
            "received_withheld",
            f"received={_shown(there)} is there where we write a documentation address into Via, and missing where we "
            f"write our own {_shown(mine)}, though the server must add it there, too (RFC 3261 §18.2.1): it has read "
            "another address than we wrote",
        )
    elif here != there:
        sign(
            "received_differs",
            f"on one connection received= is {_shown(here)} and {_shown(there)}",
            by_nat=False,
        )
    return signs


def _why_not_clear(server: _Server) -> str | None:
    """None when our own sent-by has provably reached the server; only asked where no sign was found."""
    own, documented, public = map(server.compared, (ALG_OWN, ALG_DOCUMENTATION, ALG_PUBLIC))
    if own is None or documented is None:
        return "not_compared"
    if documented.received is None:
        return "no_received"
    if documented.received == server.local:
        # No NAT: our own sent-by is the true one, and needs no `received`.
        return None if own.received is None else "blind"
    if public is None:
        return "not_compared"
    return None if public.received is None else "blind"


def _from_host(message: SipRequest | SipResponse) -> str | None:
    value = message.header("From")
    if value is None:
        return None
    try:
        return _normal(parse_uri(parse_name_addr(value).uri).host)
    except WireError:
        return None


def _normal(host: str | None) -> str | None:
    if host is None:
        return None
    try:
        return str(ip_address(host))
    except ValueError:
        return host.lower()


def _class(address: str) -> AddressClass | None:
    """None for what is no address."""
    try:
        return AddressClass.GLOBAL if is_public(address) else classify(address)
    except WireError:
        return None


def _shown(text: str) -> str:
    return sanitise(text, max_length=60)
