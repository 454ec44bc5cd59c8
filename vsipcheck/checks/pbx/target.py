"""Which PBX is meant, and what was recorded of it: its addresses, connections, and answers to OPTIONS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns.answers import class_of
from vsipcheck.checks.sip.addresses import sent_and_received
from vsipcheck.checks.sip.dialogue import altered_fields
from vsipcheck.model import Connection, Exchange, Failure, Lookup, Message, Profile
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass
from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.sip.stream import StreamDecoder
from vsipcheck.wire.text import unescape

CHECK_NAME = "pbx"
F = TypeVar("F", Connection, Exchange)

# What a connection or an exchange with the PBX is for, beside the calls. No word of the trunk's is among them.
CONNECT, TLS = "pbx", "pbx_tls"
# What the exchange of a call is for.
INVITE, INVITE_PCMU = "pbx_invite", "pbx_invite_pcmu"
# Topics of the notes that say how a call went, and what was sent of audio and came back.
CALL_NOTE, RTP_NOTE = "pbx_call", "pbx_rtp"
# Outcomes of a call that never came to its INVITE.
NOT_CONNECTED, NOT_SENDABLE, NO_SOCKET = "not_connected", "not_sendable", "no_media_socket"
OPTIONS, KEEPALIVE, UDP_OPTIONS = "pbx_options", "pbx_keepalive", "pbx_udp_options"
LOOKUP = "pbx"
# What came in place of SIP: who sent it, and what it did to the messages before it, nobody can tell.
UNREADABLE = frozenset({Failure.NOT_SIP, Failure.MALFORMED, Failure.TOO_LARGE})

# Where a PBX that is asked from inside its own network, or from its own host, is found.
_INSIDE = frozenset(
    (
        *(AddressClass.PRIVATE, AddressClass.SHARED, AddressClass.UNIQUE_LOCAL),
        *(AddressClass.LINK_LOCAL, AddressClass.LOOPBACK),
    )
)


def host_and_port(pbx: str) -> tuple[str, int]:
    """The parts of `host:port`, IPv6 without its brackets."""
    host, _, port = pbx.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def provider_domain(profile: Profile, account_sid: str | None) -> str:
    """The domain of the trunk's own From: the account's, or the provider's where no account is known."""
    pattern = profile.signalling.domain_pattern
    if account_sid:
        return pattern.replace("{account_sid}", account_sid)
    return pattern.replace("{account_sid}", "").strip(".")


def is_inside(address: str) -> bool:
    """Whether an address is one that only its own network can reach."""
    return class_of(address) in _INSIDE


@dataclass(frozen=True, slots=True)
class Asked:
    """One OPTIONS exchange, read again: what came back, and the final answer that is ours."""

    exchange: Exchange
    request: SipRequest | None
    received: tuple[SipRequest | SipResponse, ...]
    answer: SipResponse | None
    altered: SipResponse | None  # a final answer to us that does not match, where there is none that does

    @property
    def echoed(self) -> bool:
        """Whether our own request came back."""
        return any(isinstance(each, SipRequest) and self._is_ours(each) for each in self.received)

    @property
    def speaks(self) -> bool:
        """Whether a SIP server, or something that writes SIP, was heard."""
        return any(
            each.call_id is not None and (isinstance(each, SipResponse) or not self._is_ours(each))
            for each in self.received
        )

    def _is_ours(self, message: SipRequest) -> bool:
        return self.request is not None and message.call_id == self.request.call_id


def read_options(exchange: Exchange) -> Asked:
    """The recorded messages of an OPTIONS exchange, judged by nothing but themselves."""
    request, received = sent_and_received(exchange)
    finals = [each for each in received if isinstance(each, SipResponse) and 200 <= each.status <= 699]
    matched = [each for each in finals if request is not None and not altered_fields(request, each)]
    altered = finals[-1] if finals and request is not None and not matched else None
    answer = matched[0] if matched else None
    return Asked(exchange, request, tuple(received), answer, altered)


@dataclass(frozen=True, slots=True)
class Pbx:
    """Everything recorded of the one PBX, in the order in which it happened."""

    host: str
    port: int
    lookups: tuple[Lookup, ...]
    connections: tuple[Connection, ...]  # over TCP, calls included
    tls_connections: tuple[Connection, ...]
    options: tuple[Asked, ...]
    keepalives: tuple[Exchange, ...]
    calls: tuple[Exchange, ...]
    udp: Asked | None
    tls: Exchange | None

    @property
    def target(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def address(self) -> str | None:
        """The address that was tried; None when there is none."""
        tried = [connection.address for connection in self.connections]
        return tried[0] if tried else None

    @property
    def untried(self) -> tuple[str, ...]:
        """Addresses of its name beside the one that was tried."""
        found = dict.fromkeys(address for lookup in self.lookups for address in lookup.addresses)
        return tuple(address for address in found if address != self.address)

    @property
    def where(self) -> str:
        """The PBX as a person would look for it: its name, and the address that was tried, alone where it has more."""
        name = f"TCP {self.port} of {self.host}"
        if self.address in (None, self.host):
            return name
        return f"{name} ({self.address}{f', the first of {len(self.untried) + 1} addresses' if self.untried else ''})"

    @property
    def seen_from_inside(self) -> bool:
        """Whether we stand where the trunk does not: the address is one that only its own network can reach."""
        return self.address is not None and is_inside(self.address)

    @property
    def speaks_sip(self) -> bool:
        """Whether anything that is SIP came over TCP: to OPTIONS, to a keep-alive, or to a call."""
        ponged = any(each.failure is None for each in self.keepalives)
        return ponged or any(asked.speaks for asked in self.options) or self.first_of_call is not None

    @property
    def first_of_call(self) -> SipResponse | None:
        """The first answer to an INVITE; None where no call was answered in any way."""
        messages = (each for call in self.calls for each in messages_of(call))
        return next((each for sent, _, each in messages if not sent and isinstance(each, SipResponse)), None)


def pbx_of(facts: Facts, pbx: str) -> Pbx:
    """What the facts hold about the PBX, attempts that were cancelled left out."""
    host, port = host_and_port(pbx)
    connections = _done(facts.of(Connection, CHECK_NAME))
    exchanges = _done(facts.of(Exchange, CHECK_NAME))
    udp = [each for each in exchanges if each.purpose == UDP_OPTIONS]
    tls = [each for each in exchanges if each.purpose == TLS]
    return Pbx(
        host=host,
        port=port,
        lookups=tuple(facts.of(Lookup, CHECK_NAME)),
        connections=tuple(each for each in connections if each.purpose == CONNECT),
        tls_connections=tuple(each for each in connections if each.purpose == TLS),
        options=tuple(read_options(each) for each in exchanges if each.purpose == OPTIONS),
        keepalives=tuple(each for each in exchanges if each.purpose == KEEPALIVE),
        calls=tuple(each for each in exchanges if each.purpose in (INVITE, INVITE_PCMU)),
        udp=read_options(udp[0]) if udp else None,
        tls=tls[0] if tls else None,
    )


def _done(facts: Iterable[F]) -> list[F]:
    return [fact for fact in facts if fact.failure is not Failure.CANCELLED]


def messages_of(exchange: Exchange) -> Sequence[tuple[bool, float, SipRequest | SipResponse]]:
    """(sent by us, when in ms, message) for every message of a call that came whole, in order.

    What was left of a stream that broke off may read like a message without its end: it is none. Nor is one that bytes
    follow which are no SIP: where its Content-Length is missing or wrong, they are the rest of its body.
    """
    found: list[tuple[bool, float, SipRequest | SipResponse]] = []
    for message in exchange.messages:
        whole = _whole(message)
        if whole is not None:
            found.append((message.sent, message.offset_ms, whole))
        elif _is_rest(message) and exchange.failure in (Failure.NOT_SIP, Failure.MALFORMED):
            before = next((each for each in reversed(found) if not each[0]), None)
            found = [each for each in found if each is not before]
    return found


def is_cut(exchange: Exchange) -> bool:
    """Whether part of a message came, and never the rest."""
    return any(_is_rest(each) and _whole(each) is None for each in exchange.messages)


def _is_rest(message: Message) -> bool:
    return not message.sent and bool(message.text.strip())


def _whole(message: Message) -> SipRequest | SipResponse | None:
    """The message in recorded octets, read as the stream that they were; None where its end is missing."""
    try:
        events = StreamDecoder().feed(unescape(message.text))
    except WireError:
        return None
    return next((each for each in events if isinstance(each, SipRequest | SipResponse)), None)
