"""Facts about a PBX, written by hand: connections, answers to OPTIONS, and whole calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from vsipcheck.checks.base import Facts
from vsipcheck.checks.pbx import check as pbx_check
from vsipcheck.model import (
    CheckEvidence,
    Connection,
    Exchange,
    Fact,
    Failure,
    Finding,
    Lookup,
    Message,
    Note,
    Settings,
)
from vsipcheck.profiles import load_profile
from vsipcheck.wire.call import build_trunk_invite
from vsipcheck.wire.sdp import PCMA, PCMU, Codec, build_audio, telephone_event
from vsipcheck.wire.sip.building import build_answer, build_options, build_request
from vsipcheck.wire.sip.message import SipRequest
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.text import escape

PROFILE = load_profile("exotel-tcp-mumbai")
PUBLIC, INSIDE = "49.36.10.7", "192.168.1.10"
PORT = 5061
US_PUBLIC, US_INSIDE = "203.0.113.9", "192.168.1.50"
NUMBER = "+912200000000"
OFFERED = (PCMA, PCMU, telephone_event(96))


def settings_for(address: str, **more: Any) -> Settings:
    return Settings(checks=("pbx",), pbx=f"{address}:{PORT}", **more)


def connection(failure: Failure | None = None, *, address: str = PUBLIC, **more: Any) -> Connection:
    values: dict[str, Any] = {
        "name": address,
        "address": address,
        "port": PORT,
        "purpose": "pbx",
        "local_address": US_INSIDE if address == INSIDE else US_PUBLIC,
        "local_port": 40000,
        "rtt_ms": None if failure else 4.0,
        "failure": failure,
    }
    return Connection(**(values | more))


def lookup(*addresses: str, name: str = "pbx.example.com") -> Lookup:
    return Lookup(
        name=name,
        record_type="A",
        purpose="pbx",
        server=None,
        addresses=addresses,
        failure=None if addresses else Failure.NXDOMAIN,
    )


def message(sent: bool, at_ms: float, data: bytes) -> Message:
    return Message(sent=sent, offset_ms=at_ms, text=escape(data), size=len(data))


def options_request(transport: str = "TCP") -> SipRequest:
    sent = build_options(
        uri=f"sip:{PUBLIC}:{PORT};transport={transport.lower()}",
        via_host=US_PUBLIC,
        via_port=40000,
        transport=transport,
        branch="z9hG4bKoptions",
        call_id="options",
        from_uri="sip:vsipcheck@pstn.exotel.com",
        from_tag="us",
        to_uri=f"sip:{PUBLIC}",
        cseq=1,
        user_agent="vsipcheck",
    )
    request = parse_message(sent)
    assert isinstance(request, SipRequest)
    return request


Answer = Callable[[SipRequest], bytes]


def says(status: int, reason: str = "x", *headers: tuple[str, str], body: bytes = b"") -> Answer:
    extra = [*headers, *([("Content-Type", "application/sdp")] if body else [])]
    return lambda request: build_answer(request, status, reason, to_tag="them", extra=extra, body=body)


ALLOW = ("Allow", "INVITE, ACK, CANCEL, OPTIONS, BYE")
OK = says(200, "OK", ALLOW, ("Server", "Asterisk PBX 20.5.0"))


def options(
    *answers: Answer,
    failure: Failure | None = None,
    detail: str | None = None,
    purpose: str = "pbx_options",
    transport: str = "tcp",
    raw: bytes = b"",
    address: str = PUBLIC,
) -> Exchange:
    request = options_request(transport.upper())
    messages = [message(True, 10.0, request.raw)]
    messages += [message(False, 20.0 + at, answer(request)) for at, answer in enumerate(answers)]
    if raw:
        messages.append(message(False, 90.0, raw))
    return Exchange(
        protocol="sip",
        purpose=purpose,
        connection=None,
        name=address,
        transport=transport,
        local_address=US_PUBLIC,
        local_port=40000,
        remote_address=address,
        remote_port=PORT,
        messages=tuple(messages),
        rtt_ms=None if failure else 10.0,
        failure=failure,
        detail=detail,
    )


def keepalive(failure: Failure | None = None) -> Exchange:
    return msgspec.structs.replace(options(failure=failure), purpose="pbx_keepalive")


def udp(*answers: Answer, failure: Failure | None = None) -> Exchange:
    return options(*answers, failure=failure, purpose="pbx_udp_options", transport="udp")


def tls(failure: Failure | None = None, detail: str | None = "server_hello") -> Exchange:
    exchange = options(failure=failure, purpose="pbx_tls", detail=detail)
    return msgspec.structs.replace(exchange, protocol="tls")


def sdp(*codecs: Codec, address: str = PUBLIC, port: int = 12000, **more: Any) -> bytes:
    return build_audio(address, port, codecs, **more)


@dataclass
class Talk:
    """A call, message by message. Times are milliseconds since its INVITE."""

    address: str = PUBLIC
    purpose: str = "pbx_invite"
    codecs: Sequence[Codec] = OFFERED
    failure: Failure | None = None
    detail: str | None = None
    note: dict[str, Any] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    record_route: bool = True
    us: str | None = None

    def __post_init__(self) -> None:
        us = self.us = self.us or (US_INSIDE if self.address == INSIDE else US_PUBLIC)
        octets = build_trunk_invite(
            number=NUMBER,
            host=self.address,
            port=PORT,
            transport="tcp",
            local_host=us,
            local_port=40000,
            caller="+910000000000",
            domain="exotelt.pstn.exotel.com",
            call_id=f"call-{self.purpose}",
            branch="z9hG4bKinvite",
            from_tag="us",
            sids=(("X-Exotel-CallSid", "c1"),),
            user_agent="vsipcheck",
            body=build_audio(us, 20000, self.codecs),
        )
        invite = parse_message(octets)
        assert isinstance(invite, SipRequest)
        self.invite = invite
        self.messages.append(message(True, 0.0, octets))

    def hears(
        self,
        status: int,
        *headers: tuple[str, str],
        at_ms: float | None = None,
        to: str = "INVITE",
        body: bytes = b"",
        contact: str | None = "default",
        tag: str | None = "them",
        routes: Sequence[str] = (),
        change: tuple[bytes, bytes] = (b"", b""),
    ) -> Talk:
        """A response to the last request of the method `to`."""
        request = self.invite if to == "INVITE" else self._request_of(to)
        extra = [("Record-Route", route) for route in routes]
        if self.record_route and to == "INVITE" and status > 100:
            extra += [("Record-Route", each.value) for each in request.headers_named("Record-Route")]
        if contact == "default":
            contact = f"<sip:pbx@{self.address}:{PORT};transport=tcp>"
        if contact is not None and 100 < status < 300 and to == "INVITE":
            extra.append(("Contact", contact))
        if body:
            extra.append(("Content-Type", "application/sdp"))
        octets = build_answer(
            request, status, "x", to_tag=tag if status > 100 else None, extra=[*extra, *headers], body=body
        )
        self.messages.append(message(False, self._next(at_ms), octets.replace(*change) if change[0] else octets))
        return self

    def sends(self, method: str, *, at_ms: float | None = None, tag: str = "them") -> Talk:
        branch = "z9hG4bKinvite" if method == "CANCEL" else f"z9hG4bK{method}{tag}"
        number = 103 if method == "BYE" else 102
        octets = self._request(method, branch, number, f"{self.invite.header('To')};tag={tag}")
        self.messages.append(message(True, self._next(at_ms), octets))
        return self

    def asks(self, method: str, *, at_ms: float | None = None, body: bytes = b"") -> Talk:
        """A request of the PBX's."""
        octets = self._request(method, f"z9hG4bKtheirs{method}", 1, self.invite.header("From") or "", body)
        self.messages.append(message(False, self._next(at_ms), octets))
        return self

    def takes(self, method: str, status: int = 200) -> Talk:
        """Our answer to the PBX's request of that method."""
        octets = build_answer(self._request_of(method, sent=False), status, "x")
        self.messages.append(message(True, self._next(None), octets))
        return self

    def gets(self, octets: bytes) -> Talk:
        """Octets that came and are part of no whole message."""
        self.messages.append(message(False, self._next(None), octets))
        return self

    def loses(self, size: int) -> Talk:
        """The last octets of the last message never came."""
        octets = self.messages.pop().text.encode("latin-1")
        return self.gets(octets[:-size])

    def _request(self, method: str, branch: str, number: int, to: str, body: bytes = b"") -> bytes:
        headers = [
            ("Via", f"SIP/2.0/TCP {US_PUBLIC}:40000;branch={branch}"),
            ("Max-Forwards", "70"),
            ("From", self.invite.header("From") or ""),
            ("To", to),
            ("Call-ID", self.invite.call_id or ""),
            ("CSeq", f"{number} {method}"),
        ]
        return build_request(method, f"sip:pbx@{self.address}:{PORT}", headers, body)

    def _request_of(self, method: str, *, sent: bool = True) -> SipRequest:
        for each in reversed(self.messages):
            parsed = parse_message(each.text.encode("latin-1"))
            if each.sent == sent and isinstance(parsed, SipRequest) and parsed.method == method:
                return parsed
        raise AssertionError(method)

    def _next(self, at_ms: float | None) -> float:
        return self.messages[-1].offset_ms + 100.0 if at_ms is None else at_ms

    def over(self) -> Talk:
        """ACK, BYE and its 200."""
        return self.sends("ACK").sends("BYE").hears(200, to="BYE")

    @property
    def facts(self) -> list[Fact]:
        exchange = Exchange(
            protocol="sip",
            purpose=self.purpose,
            connection=None,
            name=self.address,
            transport="tcp",
            local_address=self.us,
            local_port=40000,
            remote_address=self.address,
            remote_port=PORT,
            messages=tuple(self.messages),
            failure=self.failure,
            detail=self.detail,
        )
        return [exchange, Note(topic="pbx_call", text="", values={"purpose": self.purpose, **self.note})]


BOTH = sdp(*OFFERED)


def answered(body: bytes = BOTH, **more: Any) -> Talk:
    """A call that is answered and ends in good order."""
    of_call = ("address", "purpose", "codecs", "note", "record_route", "us")
    made = {name: more.pop(name) for name in of_call if name in more}
    return Talk(**made).hears(100).hears(180).hears(200, body=body, **more).over()


def evidence_of(*given: Fact | Talk, error: str | None = None) -> dict[str, CheckEvidence]:
    flat: list[Any] = []
    for each in given:
        flat += each.facts if isinstance(each, Talk) else [each]
    numbered = tuple(
        msgspec.structs.replace(fact, id=f"pbx.{number}", offset_ms=fact.offset_ms or float(number))
        for number, fact in enumerate(flat, 1)
    )
    return {"pbx": CheckEvidence(version=1, offset_ms=0.0, duration_ms=1.0, error=error, facts=numbered)}


def facts_of(*given: Fact | Talk, error: str | None = None) -> Facts:
    return Facts(evidence_of(*given, error=error))


def judged(*given: Fact | Talk, address: str = PUBLIC, error: str | None = None, **settings: Any) -> dict[str, Finding]:
    """The findings by id."""
    found = pbx_check.judge(facts_of(*given, error=error), PROFILE, settings_for(address, **settings))
    assert len({each.id for each in found}) == len(found)
    return {each.id: each for each in found}


ALIVE: tuple[Fact, ...] = (connection(), connection(attempt=2), options(OK), options(OK))
# What the note about audio says where all of it returned.
FLOWED: dict[str, Any] = {
    "sent": 100,
    "received": 100,
    "sources": [{"address": PUBLIC, "port": 12000, "packets": 100, "as_answered": True}],
    "payload_types": {"8": 100},
    "loss_ratio": 0.0,
    "jitter_ms": 0.4,
    "ptime_ms": 20.0,
    "late_p95_ms": 0.3,
    "icmp": [],
    "tone_packets": 100,
}
