"""What SIP answers tell of our own address: `received=` and `rport=`, and whether they can be believed."""

from __future__ import annotations

from dataclasses import dataclass

from vsipcheck.checks.base import Facts
from vsipcheck.model import AddressSeen, Exchange
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import is_public
from vsipcheck.wire.sip.matching import match_response
from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.text import unescape

_BROKEN_OFF = frozenset({"head_unterminated", "body_truncated"})


@dataclass(frozen=True, slots=True)
class SipAddress:
    """Where one SIP server saw one request come from.

    `why_not` is None when `trusted`, else: "altered" (our sent-by or branch came back changed, so that nothing of the
    Via is worth anything), "malformed" (the answer breaks the grammar elsewhere, so that whoever wrote it is no server
    to be believed), "alg" (the server's word was replaced by our own private address on its way back: a SIP
    ALG's work), "private" (another address that is not globally routable), "unreadable", "absent" (the server added
    nothing, and our own address is private).
    """

    address: str | None
    port: int | None
    local_address: str | None
    local_port: int | None
    remote_address: str
    remote_port: int
    trusted: bool
    why_not: str | None
    fact_id: str


def sent_and_received(exchange: Exchange) -> tuple[SipRequest | None, list[SipRequest | SipResponse]]:
    """The request of a recorded exchange, and the messages that came back whole and can be read.

    What was left of a stream that broke off may read like a message without its end: it is none.
    """
    request: SipRequest | None = None
    received: list[SipRequest | SipResponse] = []
    for message in exchange.messages:
        try:
            parsed = parse_message(unescape(message.text))
        except WireError:
            continue
        broken_off = any(deviation.code in _BROKEN_OFF for deviation in parsed.deviations)
        if broken_off and not message.truncated:
            continue
        if not message.sent:
            received.append(parsed)
        elif request is None and isinstance(parsed, SipRequest):
            request = parsed
    return request, received


def addresses_from_sip(facts: Facts) -> list[SipAddress]:
    """Our address as each answered OPTIONS tells it, in the order in which they were recorded; trusted ones and others.

    A server adds `received` to a request that has `rport` (RFC 3581 §4), and to any other whose source differs from
    its sent-by (RFC 3261 §18.2.1). Where it is absent the server saw our sent-by, which is our local address; that
    is believed only of a public one, since a server that adds nothing at all looks the same.
    """
    found = []
    for exchange in facts.of(Exchange, "sip"):
        if exchange.protocol == "sip" and exchange.purpose == "options":
            told = _address_of(exchange)
            if told is not None:
                found.append(told)
    return found


def our_address(facts: Facts) -> str:
    """Our public address for a sentence to the provider, where everybody who could say agrees."""
    told = {seen.address for seen in addresses_from_sip(facts) if seen.trusted}
    told = told or {
        seen.address
        for seen in facts.of(AddressSeen)
        if seen.method in ("https_echo", "stun") and seen.failure is None and seen.address
    }
    only = next(iter(told)) if len(told) == 1 else None
    return only or "this trunk's public address"


def _address_of(exchange: Exchange) -> SipAddress | None:
    request, received = sent_and_received(exchange)
    finals = [message for message in received if isinstance(message, SipResponse) and message.status >= 200]
    if request is None or not finals:
        return None
    answer = next((final for final in finals if not match_response(request, final)), finals[-1])

    def told(address: str | None, port: int | None, why_not: str | None) -> SipAddress:
        return SipAddress(
            address=address,
            port=port,
            local_address=exchange.local_address,
            local_port=exchange.local_port,
            remote_address=exchange.remote_address,
            remote_port=exchange.remote_port,
            trusted=why_not is None,
            why_not=why_not,
            fact_id=exchange.id,
        )

    via = answer.top_via
    if via is None or match_response(request, answer):
        return told(via.received if via else None, via.rport if via else None, "altered")
    if answer.errors:
        return told(via.received, via.rport, "malformed")
    port = via.rport or None
    if via.received is None:
        if exchange.local_address is not None and _is_public(exchange.local_address):
            return told(exchange.local_address, port, None)
        return told(None, port, "absent")
    public = _is_public(via.received)
    if public is None:
        return told(None, port, "unreadable")
    if public:
        return told(via.received, port, None)
    return told(via.received, port, "alg" if via.received == exchange.local_address else "private")


def _is_public(address: str) -> bool | None:
    try:
        return is_public(address)
    except WireError:
        return None
