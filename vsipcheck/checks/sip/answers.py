"""What one OPTIONS exchange says by itself.

What can be seen, what else would look just like it, and so what may be said:

- A final answer with our branch, sent-by, Call-ID and CSeq: a SIP server read our request. A SIP proxy or gateway of
  the customer's own network could give it as well, so that the answer is in the report with its Server header. It does
  not say that a call would be accepted: calls are checked for caller, domain and rate, OPTIONS often is not.
- 4xx other than 403 and the ones of the table: alive as well; about this request, not about the way. `warn`.
- 403: our address is not whitelisted, or the domain is wrong. From without, these look alike: both are told.
- Altered branch, sent-by or Call-ID in the answer to the only request outstanding: something on the way rewrites SIP.
  A PBX has to discard such an answer (RFC 3261 §18.1.2, §17.1.3) and hears silence.
- Silent after accept: the server ignores unknown sources, or a firewall accepts in its place, or drops what looks like
  SIP. A pong (RFC 5626 §4.4.1) means that SIP is alive there and OPTIONS is ignored.
- Closed or reset after our bytes: a server that does not know us, or inspection on the way. `possible`.
- Something else than SIP answers: captive portal, transparent proxy, TLS port.
- An answer to us that breaks the grammar, or whose reason phrase aims at its reader: alive, and not to be trusted.
- A message damaged beyond reading is no evidence for anybody: `unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vsipcheck.checks.base import Facts
from vsipcheck.checks.sip.addresses import our_address, sent_and_received
from vsipcheck.checks.sip.dialogue import altered_fields
from vsipcheck.checks.sip.verdict import SETTLE_BY_TRACE, Fault, as_sentence
from vsipcheck.model import Confidence, Exchange, Failure, FaultDomain, Profile, Settings, Status
from vsipcheck.wire.sip.matching import match_response
from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.text import sanitise

# Markup of terminals and of web pages.
_MARKUP = re.compile(r"\[/?[a-z#@][^\[\]]*\]|[<>]")


@dataclass(frozen=True, slots=True)
class _CodeRow:
    """What a status code says. The table is the evidence rule; the words are the field's."""

    status: Status
    reason: str | None  # None: status_CODE
    says: str


_W, _F, _P = Status.WARN, Status.FAIL, Status.PASS
_CODES: dict[int, _CodeRow] = {
    400: _CodeRow(_W, None, "the server read the request and finds it malformed: something may have altered it"),
    401: _CodeRow(_W, "authentication_required", "the server asks for credentials instead of knowing our address"),
    407: _CodeRow(_W, "authentication_required", "the server asks for credentials instead of knowing our address"),
    403: _CodeRow(_F, "forbidden", "the server refuses us: our address is not whitelisted, or the domain is wrong"),
    404: _CodeRow(_P, None, "a SIP server that does not know this user; it is alive"),
    405: _CodeRow(_P, None, "a SIP server that does not take OPTIONS; it is alive"),
    408: _CodeRow(_W, None, "something behind the server did not answer it in time"),
    420: _CodeRow(_W, None, "the server misses an extension"),
    480: _CodeRow(_W, None, "the server says that it is unavailable for now"),
    483: _CodeRow(_W, None, "the request went in a loop behind the server"),
    484: _CodeRow(_W, None, "the server wants a complete (E.164) number"),
    486: _CodeRow(_W, None, "the server says that it is busy"),
    488: _CodeRow(_W, None, "the server wants another media offer (G.711)"),
    501: _CodeRow(_P, None, "a SIP server that does not have OPTIONS; it is alive"),
    503: _CodeRow(_F, "service_unavailable", "the server, or the routing behind it, is out of service or overloaded"),
    504: _CodeRow(_F, None, "something behind the server did not answer it in time"),
}


def code_row(code: int) -> _CodeRow | None:
    """What a final status code says; None for a number that is none.

    A 4xx that the table does not list is a `warn`: a SIP server read our request and has something against the
    request, which is more than reachability and less than a trunk that works.
    """
    if row := _CODES.get(code):
        return row
    match code // 100:
        case 2:
            return _CodeRow(_P, None, "a SIP server answers")
        case 3:
            return _CodeRow(_W, None, "the server sends us elsewhere")
        case 4:
            return _CodeRow(_W, None, "the server has something against this request")
        case 5:
            return _CodeRow(_F, None, "the server failed")
        case 6:
            return _CodeRow(_F, None, "the server declines, for itself and all others")
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Answered:
    """What one OPTIONS exchange says by itself."""

    exchange: Exchange
    status: Status
    reason: str
    kind: str  # "answer": a matched final one; "wrong": something that no SIP server of ours sends; "lost"; "unread"
    sentence: str
    blame: Fault | None = None
    response: SipResponse | None = None
    failure: Failure | None = None


def read_exchange(exchange: Exchange, ponged: bool, facts: Facts, profile: Profile, settings: Settings) -> Answered:
    """The recorded messages, read again, and what they say by themselves."""
    request, received = sent_and_received(exchange)
    finals = [each for each in received if isinstance(each, SipResponse) and each.status >= 200]
    failure = exchange.failure
    if request is not None and failure is None:
        for final in finals:
            if not altered_fields(request, final):
                return _read_answer(exchange, final, facts, profile, settings)
    if failure is Failure.NOT_SIP:
        return _not_sip(exchange, exchange.detail)
    if failure is Failure.TOO_LARGE:
        return Answered(
            exchange,
            Status.FAIL,
            "too_large",
            "wrong",
            f"What answers OPTIONS sends more than any SIP server would ({sanitise(exchange.detail or 'no end')}).",
            Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=SETTLE_BY_TRACE),
            failure=failure,
        )
    if finals and request is not None and altered_fields(request, finals[-1]):
        return _altered(exchange, request, finals[-1])
    if any(
        isinstance(each, SipRequest) and request is not None and each.call_id == request.call_id for each in received
    ):
        return Answered(
            exchange,
            Status.FAIL,
            "echoed",
            "wrong",
            "Our own request came back: what answers is no SIP server.",
            Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=SETTLE_BY_TRACE),
            failure=Failure.NOT_SIP,
        )
    if failure in (Failure.MALFORMED, None, Failure.OTHER):
        return Answered(
            exchange,
            Status.UNKNOWN,
            "malformed",
            "unread",
            f"What answers OPTIONS is damaged beyond reading ({sanitise(exchange.detail or 'no final answer')}).",
            _UNREAD,
            failure=failure,
        )
    return _lost(exchange, failure, ponged, received, facts, profile)


_UNREAD = Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=SETTLE_BY_TRACE)


def _not_sip(exchange: Exchange, detail: str | None) -> Answered:
    kinds = {
        "http": ("an HTTP server answers: a captive portal or a transparent proxy", SETTLE_BY_TRACE),
        "html": ("a web page comes back: a captive portal or a transparent proxy", SETTLE_BY_TRACE),
        "tls": ("a TLS server answers", "Check port and transport: the guide has TCP 5070 without TLS."),
    }
    what, settle_by = kinds.get(detail or "", (f"something else answers ({sanitise(detail or 'unknown')})", None))
    return Answered(
        exchange,
        Status.FAIL,
        "not_sip",
        "wrong",
        f"Not SIP: {what}.",
        Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=settle_by or SETTLE_BY_TRACE),
        failure=Failure.NOT_SIP,
    )


def _altered(exchange: Exchange, request: SipRequest, final: SipResponse) -> Answered:
    """An answer that is not quite to our request, which was the only one outstanding."""
    altered = {each.field: each for each in match_response(request, final) if each.field != "from_tag"}
    names = {"branch": "the Via branch", "sent_by": "sent-by of Via", "call_id": "the Call-ID"}
    tampered = [names[name] for name in names if name in altered]
    if not tampered:
        return Answered(
            exchange,
            Status.FAIL,
            "mismatch",
            "wrong",
            "The answer is to another request: its CSeq is not ours.",
            Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=SETTLE_BY_TRACE),
            failure=Failure.MISMATCH,
        )
    details = "; ".join(
        f"{name} was {sanitise(altered[name].sent or 'absent', max_length=60)}, "
        f"came back as {sanitise(altered[name].received or 'absent', max_length=60)}"
        for name in names
        if name in altered
    )
    # Addresses are what a SIP ALG rewrites. Who would change a branch or a Call-ID cannot be told from here, nor who
    # left out a Via or garbled it: that is no address written over ours.
    by_alg = "sent_by" in altered and altered["sent_by"].received is not None
    return Answered(
        exchange,
        Status.FAIL,
        "altered",
        "wrong",
        f"{as_sentence(' and '.join(tampered)).rstrip('.')} came back altered ({details}): something on the way "
        "rewrites SIP, and a PBX has to discard such an answer.",
        Fault(
            FaultDomain.LOCAL_NETWORK if by_alg else FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            remedy="Turn off SIP ALG (SIP helper, SIP inspection) in the router and the firewall." if by_alg else None,
            settle_by=SETTLE_BY_TRACE,
        ),
        failure=Failure.MISMATCH,
    )


def _lost(
    exchange: Exchange,
    failure: Failure,
    ponged: bool,
    received: Sequence[SipRequest | SipResponse],
    facts: Facts,
    profile: Profile,
) -> Answered:
    """Nothing final came, and nothing wrong either."""
    bytes_received = sum(message.size for message in exchange.messages if not message.sent and message.text.strip())
    provisional = any(isinstance(each, SipResponse) for each in received)
    whitelist = f"Ask {profile.provider} whether {our_address(facts)} is whitelisted."
    from_provider = Fault(FaultDomain.PROVIDER, Confidence.POSSIBLE, whitelist, SETTLE_BY_TRACE)

    def lost(reason: str, sentence: str, blame: Fault) -> Answered:
        return Answered(exchange, Status.FAIL, reason, "lost", sentence, blame, failure=failure)

    match failure:
        case Failure.LOCAL_DENIED:
            return lost(
                "local_denied",
                "This host's own firewall lets the connection be made, and nothing through it.",
                Fault(FaultDomain.HOST, Confidence.PROVEN, "Correct this host's own firewall."),
            )
        case Failure.RESET:
            return lost(
                "reset_after_request",
                "The connection is accepted, and reset after our request: a server that does not know us, or "
                "inspection on the way.",
                from_provider,
            )
        case Failure.CLOSED_EARLY:
            return lost(
                "closed_after_request",
                "The connection is accepted, and closed after our request without a whole answer: a server that does "
                "not know us, or inspection on the way.",
                from_provider,
            )
    if provisional:
        return lost(
            "no_final_answer",
            "A SIP server answers provisionally, and never finally.",
            Fault(FaultDomain.PROVIDER, Confidence.POSSIBLE, f"Ask {profile.provider} about it.", SETTLE_BY_TRACE),
        )
    if any(isinstance(each, SipRequest) for each in received):
        return lost(
            "options_ignored",
            "SIP is alive there (it sends requests of its own), and OPTIONS is ignored: ask about whitelisting.",
            Fault(FaultDomain.PROVIDER, Confidence.LIKELY, whitelist, SETTLE_BY_TRACE),
        )
    if bytes_received:
        return lost(
            "incomplete_answer",
            f"{bytes_received} bytes of an answer came, and not the rest in time.",
            Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=SETTLE_BY_TRACE),
        )
    if ponged:
        return lost(
            "options_ignored",
            "SIP is alive there (it answers a keep-alive), and OPTIONS is ignored: ask about whitelisting.",
            Fault(FaultDomain.PROVIDER, Confidence.LIKELY, whitelist, SETTLE_BY_TRACE),
        )
    return lost(
        "silent_after_accept",
        "The connection is accepted, and nothing answers, neither OPTIONS nor a keep-alive.",
        from_provider,
    )


def _read_answer(
    exchange: Exchange, response: SipResponse, facts: Facts, profile: Profile, settings: Settings
) -> Answered:
    """A final answer to our request, by its code, with the guide's advice and the headers that support asks for."""
    row = code_row(response.status)
    phrase = sanitise(f"{response.status} {response.reason}".strip(), max_length=80)
    if row is None:
        return Answered(
            exchange,
            Status.UNKNOWN,
            "malformed",
            "unread",
            f"The answer has a status that is none ({phrase}).",
            _UNREAD,
            failure=Failure.MALFORMED,
        )
    parts = [f"{phrase}: {row.says}."]
    for header in ("Server", "User-Agent"):
        if value := response.header(header):
            parts.append(f"{header}: {sanitise(value, max_length=60)}.")
            break
    for header in ("X-Exotel-ErrorCode", "Retry-After", "Reason", "Warning"):
        if row.status is not Status.PASS and (value := response.header(header)):
            parts.append(f"{header}: {sanitise(value, max_length=80)}.")
    status, reason = row.status, row.reason or f"status_{response.status}"
    blame = _blame_code(response.status, exchange, facts, profile, settings)
    broken = _broken_rules(exchange, response)
    if broken or _is_odd(response.reason):
        rules = ", ".join(broken[:3])
        parts.append(f"The answer breaks rules of SIP: {rules}." if rules else "Its reason phrase is no plain text.")
        if status is Status.PASS:
            status, reason = Status.WARN, "odd_answer"
            blame = Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=SETTLE_BY_TRACE)
    for trouble in profile.troubleshooting:
        if row.status is not Status.PASS and response.status in trouble.codes:
            parts.append(f"The guide: {trouble.cause}; {trouble.resolution}.")
    return Answered(
        exchange,
        status,
        reason,
        "answer",
        " ".join(parts),
        None if status is Status.PASS else blame,
        response,
    )


def _broken_rules(exchange: Exchange, response: SipResponse) -> list[str]:
    """The codes of the rules that an answer breaks, each once."""
    broken = list(dict.fromkeys(deviation.code for deviation in response.errors))
    # RFC 3261 §20.14: on a stream nothing else tells where a message ends. Recorded text is read without the stream.
    cut_by_recording = any(message.truncated for message in exchange.messages if not message.sent)
    if exchange.transport != "udp" and response.header("Content-Length") is None and not cut_by_recording:
        broken.append("content_length_missing")
    return broken


def _is_odd(reason: str) -> bool:
    """Whether a reason phrase holds what only somebody who aims at its reader would put there."""
    return sanitise(reason, max_length=1000) != reason or _MARKUP.search(reason) is not None


def _blame_code(code: int, exchange: Exchange, facts: Facts, profile: Profile, settings: Settings) -> Fault:
    """The server that answered is who decided; what it decided by is not always known."""
    ask = f"Ask {profile.provider}"
    if code in (401, 403, 407):
        who = our_address(facts)
        settle_by = None
        if settings.account_sid is None:
            settle_by = (
                "Run again with --account-sid: the request then carries the account's own domain, so that an answer "
                "which stays the same is about the address."
            )
        return Fault(
            FaultDomain.PROVIDER,
            Confidence.LIKELY,
            f"{ask} to whitelist {who}; and check that the PBX sends the account's own domain and no credentials.",
            settle_by,
        )
    if code == 400:
        return Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=SETTLE_BY_TRACE)
    confidence = Confidence.LIKELY if code >= 500 else Confidence.POSSIBLE
    return Fault(FaultDomain.PROVIDER, confidence, f"{ask} about the {code} of {exchange.remote_address} to OPTIONS.")
