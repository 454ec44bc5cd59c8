"""A call against message tables: RFC 3665's flows with the caller's side replayed, and the rules of RFC 3261."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsipcheck.wire.call import (
    Answered,
    AnsweredElsewhere,
    AnswerRepeated,
    ByeAnswered,
    Call,
    CallLimits,
    CancelAnswered,
    Ended,
    Event,
    Expired,
    Ignored,
    Outcome,
    Phase,
    Provisional,
    Rejected,
    RequestReceived,
    build_trunk_invite,
    read_route_set,
)
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.matching import match_response
from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.sip.reading import parse_message

LIMITS = CallLimits(first_response_ms=5000, ring_ms=20000, cancel_ms=2000, bye_ms=1000)
OFFER = b"v=0\r\no=root 1 1 IN IP4 192.0.2.10\r\ns=-\r\nt=0 0\r\nm=audio 37456 RTP/AVP 8 0\r\n"

# RFC 3665 §3.1, retyped: Alice calls Bob. Her F1 is the INVITE; F2 to F6 come back, here over TCP as in the text.
ALICE_INVITE = b"""\
INVITE sip:bob@biloxi.example.com SIP/2.0
Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9
Max-Forwards: 70
From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
To: Bob <sip:bob@biloxi.example.com>
Call-ID: 3848276298220188511@atlanta.example.com
CSeq: 1 INVITE
Contact: <sip:alice@client.atlanta.example.com;transport=tcp>
Content-Type: application/sdp
Content-Length: 151

v=0
o=alice 2890844526 2890844526 IN IP4 client.atlanta.example.com
s=-
c=IN IP4 192.0.2.101
t=0 0
m=audio 49172 RTP/AVP 0
a=rtpmap:0 PCMU/8000
""".replace(b"\n", b"\r\n")

BOB_RINGING = b"""\
SIP/2.0 180 Ringing
Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9
 ;received=192.0.2.101
From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
To: Bob <sip:bob@biloxi.example.com>;tag=8321234356
Call-ID: 3848276298220188511@atlanta.example.com
CSeq: 1 INVITE
Contact: <sip:bob@client.biloxi.example.com;transport=tcp>
Content-Length: 0

""".replace(b"\n", b"\r\n")

BOB_OK = b"""\
SIP/2.0 200 OK
Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9
 ;received=192.0.2.101
From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
To: Bob <sip:bob@biloxi.example.com>;tag=8321234356
Call-ID: 3848276298220188511@atlanta.example.com
CSeq: 1 INVITE
Contact: <sip:bob@client.biloxi.example.com;transport=tcp>
Content-Type: application/sdp
Content-Length: 147

v=0
o=bob 2890844527 2890844527 IN IP4 client.biloxi.example.com
s=-
c=IN IP4 192.0.2.201
t=0 0
m=audio 3456 RTP/AVP 0
a=rtpmap:0 PCMU/8000
""".replace(b"\n", b"\r\n")

BOB_BYE = b"""\
BYE sip:alice@client.atlanta.example.com;transport=tcp SIP/2.0
Via: SIP/2.0/TCP client.biloxi.example.com:5060;branch=z9hG4bKnashds7
Max-Forwards: 70
From: Bob <sip:bob@biloxi.example.com>;tag=8321234356
To: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
Call-ID: 3848276298220188511@atlanta.example.com
CSeq: 1 BYE
Content-Length: 0

""".replace(b"\n", b"\r\n")


def trunk_invite(**changes: object) -> bytes:
    values: dict[str, object] = {
        "number": "+912200000000",
        "host": "pbx.example.com",
        "port": 5061,
        "transport": "tcp",
        "local_host": "192.0.2.10",
        "local_port": 40000,
        "caller": "+910000000000",
        "domain": "exotelt.pstn.exotel.com",
        "call_id": "f81d4fae@192.0.2.10",
        "branch": "z9hG4bKinv",
        "from_tag": "ours",
        "sids": (("X-Exotel-LegSid", "leg"), ("X-Exotel-CallSid", "call"), ("X-Exotel-TrunkSid", "trunk")),
        "user_agent": "vsipcheck/test",
        "body": OFFER,
    }
    return build_trunk_invite(**(values | changes))  # type: ignore[arg-type]


class Peer:
    """The called side, by hand: messages that belong to one INVITE."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.now = 0.0
        self.sent: list[SipRequest | SipResponse] = []

    def start(self) -> Peer:
        self.call.start(self.now)
        self.flush()
        return self

    def flush(self) -> list[SipRequest | SipResponse]:
        out = [parse_message(data) for data in self.call.to_send()]
        assert not any(message.errors for message in out)
        self.sent += out
        return out

    def take(self, data: bytes) -> tuple[list[Event], list[SipRequest | SipResponse]]:
        events = self.call.receive(parse_message(data), self.now)
        return events, self.flush()

    def at(self, now: float) -> tuple[list[Event], list[SipRequest | SipResponse]]:
        self.now = now
        events = self.call.expired(now)
        return events, self.flush()

    def response(
        self,
        status: int,
        *,
        to: SipRequest | None = None,
        tag: str | None = "bob",
        headers: Iterable[str] = (),
        body: str = "",
        contact: str | None = "<sip:bob@192.0.2.20:5061;transport=tcp>",
    ) -> bytes:
        request = to or self.call.invite
        to_value = request.header("To") or ""
        lines = [
            f"SIP/2.0 {status} whatever",
            f"Via: {request.header('Via')}",
            f"From: {request.header('From')}",
            f"To: {to_value}" + (f";tag={tag}" if tag and request.to_tag is None else ""),
            f"Call-ID: {request.call_id}",
            f"CSeq: {request.header('CSeq')}",
            *([f"Contact: {contact}"] if contact and request.method == "INVITE" else []),
            *headers,
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        return "\r\n".join(lines).encode()

    def request(
        self,
        method: str,
        *,
        cseq: int = 1,
        tag: str = "bob",
        to_tag: str = "ours",
        call_id: str | None = None,
        body: str = "",
        headers: Iterable[str] = (),
    ) -> bytes:
        lines = [
            f"{method} sip:+910000000000@192.0.2.10:40000;transport=tcp SIP/2.0",
            f"Via: SIP/2.0/TCP 192.0.2.20:5061;branch=z9hG4bKpeer{method}{cseq}",
            f"From: <sip:+912200000000@pbx.example.com>;tag={tag}",
            "To: <sip:+910000000000@exotelt.pstn.exotel.com>" + (f";tag={to_tag}" if to_tag else ""),
            f"Call-ID: {call_id or self.call.invite.call_id}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            *headers,
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        return "\r\n".join(lines).encode()


def peer(*, limits: CallLimits = LIMITS, answer: Callable[[bytes], bytes | None] | None = None) -> Peer:
    numbers = count()
    call = Call(
        trunk_invite(), limits=limits, user_agent="us", answer_offer=answer, token=lambda: f"token{next(numbers)}"
    )
    return Peer(call).start()


def kinds(events: Iterable[Event]) -> list[type[object]]:
    return [type(event) for event in events]


def methods(messages: Iterable[SipRequest | SipResponse]) -> list[str]:
    return [each.method if isinstance(each, SipRequest) else str(each.status) for each in messages]


def answered() -> Peer:
    there = peer()
    there.take(there.response(200))
    assert there.call.phase is Phase.UP
    return there


# RFC 3665.


def test_rfc3665_3_1_successful_session() -> None:
    there = Peer(Call(ALICE_INVITE, limits=LIMITS)).start()
    assert kinds(there.take(BOB_RINGING)[0]) == [Provisional]
    events, (ack,) = there.take(BOB_OK)
    assert kinds(events) == [Answered]
    # F4: Request-URI, To tag, Call-ID and CSeq number are as printed, the branch is a new one.
    assert isinstance(ack, SipRequest)
    assert (ack.method, ack.uri) == ("ACK", "sip:bob@client.biloxi.example.com;transport=tcp")
    assert (ack.from_tag, ack.to_tag, ack.call_id) == ("9fxced76sl", "8321234356", there.call.invite.call_id)
    assert ack.header("CSeq") == "1 ACK"
    assert ack.top_via is not None
    assert ack.top_via.branch not in (None, "z9hG4bK74bf9")
    events, (ok,) = there.take(BOB_BYE)
    assert kinds(events) == [RequestReceived, Ended]
    assert isinstance(ok, SipResponse)
    assert ok.status == 200
    assert match_response(parse_message(BOB_BYE), ok) == ()  # type: ignore[arg-type]
    assert there.call.outcome is Outcome.ANSWERED
    assert there.call.log.bye_received_ms is not None


# RFC 3665 §3.8, retyped: a busy callee behind proxies. F12 reaches Alice, and F14 is her ACK.
BUSY = """\
SIP/2.0 486 Busy Here
Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9
 ;received=192.0.2.101
From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
To: Bob <sip:bob@biloxi.example.com>;tag=314159
Call-ID: 3848276298220188511@atlanta.example.com
CSeq: 1 INVITE
Content-Length: 0

""".replace("\n", "\r\n").encode()


def test_rfc3665_3_9_busy_is_acknowledged_hop_by_hop() -> None:
    there = Peer(Call(ALICE_INVITE, limits=LIMITS)).start()
    events, (ack,) = there.take(BUSY)
    assert kinds(events) == [Rejected, Ended]
    assert isinstance(ack, SipRequest)
    # RFC 3261 §17.1.1.3: Request-URI and the one Via of the INVITE, To of the response.
    assert ack.uri == "sip:bob@biloxi.example.com"
    assert ack.header("Via") == there.call.invite.header("Via")
    assert ack.header("To") == "Bob <sip:bob@biloxi.example.com>;tag=314159"
    assert ack.header("CSeq") == "1 ACK"
    assert ack.header("From") == "Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl"
    assert there.call.outcome is Outcome.REJECTED


def test_rfc3665_3_8_no_answer_is_cancelled() -> None:
    # F9: CANCEL, F10: its 200, F11: 487 to the INVITE, F12: ACK.
    there = peer()
    there.take(there.response(100, tag=None))
    there.take(there.response(180))
    assert there.call.next_deadline == 20000
    events, (cancel,) = there.at(20000)
    assert kinds(events) == [Expired]
    assert isinstance(cancel, SipRequest)
    assert cancel.method == "CANCEL"
    invite = there.call.invite
    # RFC 3261 §9.1.
    assert cancel.uri == invite.uri
    assert cancel.header("CSeq") == "102 CANCEL"
    for name in ("Via", "From", "To", "Call-ID"):
        assert cancel.header(name) == invite.header(name)
    assert kinds(there.take(there.response(200, to=cancel))[0]) == [CancelAnswered]
    events, (ack,) = there.take(there.response(487))
    assert kinds(events) == [Rejected, Ended]
    assert methods([ack]) == ["ACK"]
    assert there.call.outcome is Outcome.RANG_TOO_LONG
    assert there.call.log.cancel_status == 200
    assert there.call.final is not None
    assert there.call.final.status == 487


# The INVITE.


def test_the_invite_has_the_fields_of_the_guides_sample_in_its_order() -> None:
    invite = parse_message(trunk_invite())
    assert isinstance(invite, SipRequest)
    assert [header.name for header in invite.headers] == [
        "Record-Route",
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Allow",
        "Supported",
        "X-Exotel-LegSid",
        "X-Exotel-CallSid",
        "X-Exotel-TrunkSid",
        "P-Asserted-Identity",
        "P-Early-Media",
        "Contact",
        "Content-Type",
        "Content-Length",
        "Max-Forwards",
        "User-Agent",
    ]
    assert invite.deviations == ()
    assert invite.uri == "sip:+912200000000@pbx.example.com:5061;transport=tcp"
    assert invite.header("Record-Route") == "<sip:192.0.2.10:40000;transport=tcp;lr>"
    assert invite.header("From") == '"+910000000000" <sip:+910000000000@exotelt.pstn.exotel.com>;tag=ours'
    assert invite.header("To") == "<sip:+912200000000@pbx.example.com>"
    assert invite.header("P-Asserted-Identity") == "<sip:+910000000000@exotelt.pstn.exotel.com>"
    assert invite.header("Contact") == "<sip:+910000000000@192.0.2.10:40000;transport=tcp>"
    assert invite.header("CSeq") == "102 INVITE"
    assert invite.header("Max-Forwards") == "67"
    assert invite.body == OFFER


def test_addresses_of_version_6_stand_in_brackets() -> None:
    invite = parse_message(trunk_invite(host="2001:db8::5", local_host="2001:db8::9"))
    assert isinstance(invite, SipRequest)
    assert invite.uri == "sip:+912200000000@[2001:db8::5]:5061;transport=tcp"
    assert invite.header("Via") == "SIP/2.0/TCP [2001:db8::9]:40000;branch=z9hG4bKinv"
    assert invite.errors == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"number": "1@elsewhere.example.com"},
        {"number": "1\r\nX: y"},
        {"number": "1 2"},
        {"number": ""},
        {"caller": 'x" <sip:y@z'},
        {"caller": "1\r\nX: y"},
        {"user_agent": "a\r\nb"},
    ],
)
def test_what_would_break_the_invite_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(WireError):
        trunk_invite(**changes)


@pytest.mark.parametrize("data", [BOB_OK, BOB_BYE, ALICE_INVITE.replace(b";branch=z9hG4bK74bf9", b"")])
def test_only_an_invite_starts_a_call(data: bytes) -> None:
    with pytest.raises(WireError):
        Call(data)


# Provisional responses and time.


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ([], Outcome.NO_RESPONSE),
        ([100], Outcome.SILENT_AFTER_TRYING),
        ([100, 100], Outcome.SILENT_AFTER_TRYING),
        ([180], Outcome.RANG_TOO_LONG),
        ([100, 183], Outcome.RANG_TOO_LONG),
        ([100, 182], Outcome.RANG_TOO_LONG),
    ],
)
def test_what_never_ends_is_cancelled_and_given_up(statuses: list[int], outcome: Outcome) -> None:
    there = peer()
    for status in statuses:
        there.take(there.response(status))
    sent: list[str] = []
    while (deadline := there.call.next_deadline) is not None:
        sent += methods(there.at(deadline)[1])
    assert sent == ["CANCEL"]
    assert there.call.ended
    assert there.call.outcome is outcome
    assert there.now == (7000 if not statuses else 22000)


def test_a_ring_limit_below_the_patience_for_a_first_response_holds() -> None:
    there = peer(limits=LIMITS._replace(ring_ms=1000))
    assert there.call.next_deadline == 1000
    there.take(there.response(180))
    assert there.call.next_deadline == 1000


def test_provisional_responses_are_told_with_their_media() -> None:
    there = peer()
    there.now = 40.0
    there.take(there.response(100, tag=None))
    there.now = 300.0
    events, out = there.take(there.response(183, body="v=0\r\n"))
    assert isinstance(events[0], Provisional)
    assert events[0].body == b"v=0\r\n"
    assert out == []
    log = there.call.log
    assert [(each.status, each.at_ms, each.has_body) for each in log.provisionals] == [
        (100, 40.0, False),
        (183, 300.0, True),
    ]
    assert log.ringing_ms == 300.0


def test_endless_provisional_responses_neither_grow_nor_put_off_the_end() -> None:
    there = peer()
    for number in range(500):
        there.take(there.response(180, tag=f"tag{number}"))
    assert there.call.log.provisional_count == 500
    assert len(there.call.log.provisionals) == 32
    assert there.call.next_deadline == 20000


# 2xx.


def test_the_answer_is_acknowledged_along_the_route_set() -> None:
    there = peer()
    # RFC 3261 §12.1.2: read backwards. The near end is our own entry, which the proxy that we stand for takes off.
    routes = (
        "Record-Route: <sip:far.example.com;lr>, <sip:near.example.com;lr>, <sip:192.0.2.10:40000;transport=tcp;lr>"
    )
    _, (ack,) = there.take(there.response(200, headers=[routes]))
    assert isinstance(ack, SipRequest)
    assert ack.uri == "sip:bob@192.0.2.20:5061;transport=tcp"
    assert [header.value for header in ack.headers_named("Route")] == [
        "<sip:near.example.com;lr>",
        "<sip:far.example.com;lr>",
    ]
    assert there.call.route_set is not None
    assert there.call.route_set.own_entry == "returned"
    there.call.hang_up(0.0)
    (bye,) = there.flush()
    assert [header.value for header in bye.headers_named("Route")] == [
        "<sip:near.example.com;lr>",
        "<sip:far.example.com;lr>",
    ]
    assert bye.header("CSeq") == "103 BYE"


def test_a_strict_router_gets_the_request_uri() -> None:
    # RFC 3261 §12.2.1.1, the second rule.
    there = peer()
    headers = ["Record-Route: <sip:strict.example.com>", "Record-Route: <sip:192.0.2.10:40000;transport=tcp;lr>"]
    _, (ack,) = there.take(there.response(200, headers=headers))
    assert isinstance(ack, SipRequest)
    assert ack.uri == "sip:strict.example.com"
    assert ack.header("Route") == "<sip:bob@192.0.2.20:5061;transport=tcp>"


@pytest.mark.parametrize(
    ("values", "routes", "own", "unreadable"),
    [
        ([], (), "missing", 0),
        (["<sip:us:1;lr>"], (), "returned", 0),
        (["<sip:US:1;lr;x=y>"], (), "returned", 0),
        (["<sip:a;lr>", "<sip:us:1;lr>"], ("sip:a;lr",), "returned", 0),
        (["<sip:us:1;lr>", "<sip:a;lr>"], ("sip:a;lr", "sip:us:1;lr"), "misplaced", 0),
        (["<sip:us:2;lr>"], ("sip:us:2;lr",), "missing", 0),
        (["<sip:a;lr", "<sip:us:1;lr>"], (), "returned", 1),
        (["<sip:b;lr>, <sip:a;lr>;x=1"], ("sip:a;lr", "sip:b;lr"), "missing", 0),
    ],
)
def test_route_sets(values: list[str], routes: tuple[str, ...], own: str, unreadable: int) -> None:
    head = "".join(f"Record-Route: {value}\r\n" for value in values)
    response = parse_message(f"SIP/2.0 200 OK\r\n{head}\r\n".encode())
    assert isinstance(response, SipResponse)
    found = read_route_set(response, "sip:us:1;lr")
    assert (found.routes, found.own_entry, found.unreadable) == (routes, own, unreadable)


@pytest.mark.parametrize("contact", [None, "*", "<sip:bob@", "not a uri", f"<sip:{'b' * 2000}@x>"])
def test_without_a_usable_contact_the_ack_goes_to_the_request_uri(contact: str | None) -> None:
    there = peer()
    _, (ack,) = there.take(there.response(200, contact=contact))
    assert isinstance(ack, SipRequest)
    assert ack.uri == there.call.invite.uri


def test_every_repeated_answer_gets_the_same_ack_again() -> None:
    # RFC 3261 §13.2.2.4, RFC 6026 §7.1.
    there = peer()
    _, first = there.take(there.response(200))
    for _ in range(3):
        events, again = there.take(there.response(200))
        assert kinds(events) == [AnswerRepeated]
        assert [message.raw for message in again] == [message.raw for message in first]
    assert there.call.log.answer_repeats == 3
    assert there.call.log.acks == 4


def test_repeated_answers_without_end_are_left_alone() -> None:
    there = answered()
    for _ in range(200):
        there.take(there.response(200))
    assert there.call.log.acks == 64
    assert there.call.log.answer_repeats == 200


def test_the_second_answer_of_a_fork_is_hung_up() -> None:
    there = answered()
    events, out = there.take(there.response(200, tag="carol", contact="<sip:carol@192.0.2.30>"))
    assert kinds(events) == [AnsweredElsewhere]
    assert methods(out) == ["ACK", "BYE"]
    assert all(message.to_tag == "carol" for message in out)
    assert there.call.phase is Phase.UP
    there.call.hang_up(0.0)
    (bye,) = there.flush()
    assert bye.to_tag == "bob"
    assert isinstance(bye, SipRequest)
    assert kinds(there.take(there.response(200, to=bye))[0]) == [ByeAnswered]
    assert not there.call.ended  # carol has not answered yet
    assert isinstance(out[1], SipRequest)
    assert kinds(there.take(there.response(200, to=out[1]))[0]) == [ByeAnswered, Ended]
    assert there.call.log.answers_elsewhere == 1


def test_a_fork_that_never_answers_its_bye_ends_in_time() -> None:
    there = answered()
    there.take(there.response(200, tag="carol"))
    there.take(there.request("BYE"))
    assert there.call.phase is Phase.HANGING_UP
    there.at(1000)
    assert there.call.ended


def test_forks_without_end_are_left_alone() -> None:
    there = answered()
    sent = [there.take(there.response(200, tag=f"t{number}"))[1] for number in range(50)]
    assert sum(map(len, sent)) == 2 * 7
    assert there.call.log.ignored["too_many"] == 43


def test_an_answer_that_crosses_our_cancel_is_acknowledged_and_hung_up() -> None:
    there = peer()
    there.take(there.response(180))
    there.at(20000)
    events, out = there.take(there.response(200))
    assert kinds(events) == [AnsweredElsewhere]
    assert methods(out) == ["ACK", "BYE"]
    assert there.call.log.crossed
    assert there.call.outcome is Outcome.RANG_TOO_LONG
    assert isinstance(out[1], SipRequest)
    assert kinds(there.take(there.response(200, to=out[1]))[0]) == [ByeAnswered, Ended]


# Refusals.


@pytest.mark.parametrize("status", [300, 302, 401, 403, 407, 486, 488, 503, 600, 603])
def test_a_refusal_is_acknowledged_and_ends_it(status: int) -> None:
    there = peer()
    events, out = there.take(there.response(status, headers=["Contact: <sip:bob@elsewhere.example.com>"]))
    assert kinds(events) == [Rejected, Ended]
    assert methods(out) == ["ACK"]  # and nothing goes where a 302 points
    assert isinstance(out[0], SipRequest)
    assert out[0].uri == there.call.invite.uri
    assert there.call.outcome is Outcome.REJECTED
    assert there.call.next_deadline is None


# Hanging up.


def test_hanging_up() -> None:
    there = answered()
    there.call.hang_up(50.0)
    (bye,) = there.flush()
    assert isinstance(bye, SipRequest)
    assert there.call.next_deadline == 1050
    assert kinds(there.take(there.response(100, to=bye))[0]) == [Ignored]
    there.now = 60.0
    assert kinds(there.take(there.response(481, to=bye))[0]) == [ByeAnswered, Ended]
    assert (there.call.log.bye_status, there.call.log.bye_answered_ms) == (481, 60.0)
    there.call.hang_up(61.0)
    assert there.flush() == []


def test_a_bye_without_answer_ends_in_time() -> None:
    there = answered()
    there.call.hang_up(0.0)
    there.flush()
    events, out = there.at(1000)
    assert kinds(events) == [Expired, Ended]
    assert out == []
    assert there.call.log.bye_status is None


def test_byes_that_cross_are_both_answered() -> None:
    there = answered()
    there.call.hang_up(0.0)
    (bye,) = there.flush()
    events, (ok,) = there.take(there.request("BYE"))
    assert kinds(events) == [RequestReceived]
    assert isinstance(ok, SipResponse)
    assert ok.status == 200
    assert isinstance(bye, SipRequest)
    assert kinds(there.take(there.response(200, to=bye))[0]) == [ByeAnswered, Ended]


@pytest.mark.parametrize(
    ("statuses", "sent"),
    [([], ["CANCEL"]), ([100], ["CANCEL"]), ([180], ["CANCEL"]), ([200], ["BYE"]), ([486], [])],
)
def test_abandoned_calls_leave_nothing_ringing(statuses: list[int], sent: list[str]) -> None:
    there = peer()
    for status in statuses:
        there.take(there.response(status))
    there.call.abandon(10.0, 400.0)
    out = methods(there.flush())
    while (deadline := there.call.next_deadline) is not None:
        assert deadline <= 410.0
        out += methods(there.at(deadline)[1])
    assert out == sent
    assert there.call.ended


def test_an_abandoned_call_waits_for_the_provisional_response_that_cancel_wants() -> None:
    there = peer()
    there.call.abandon(0.0, 400.0)
    assert there.flush() == []
    _, out = there.take(there.response(100, tag=None))
    assert methods(out) == ["CANCEL"]
    _, out = there.take(there.response(487))
    assert methods(out) == ["ACK"]
    assert there.call.outcome is Outcome.ABANDONED


def test_a_lost_connection_ends_it() -> None:
    there = peer()
    there.call.connection_lost()
    assert there.call.outcome is Outcome.LOST
    up = answered()
    up.call.connection_lost()
    assert up.call.outcome is Outcome.ANSWERED
    assert up.call.ended


# Requests of the peer.


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("OPTIONS", 200),
        ("INFO", 200),
        ("NOTIFY", 200),
        ("MESSAGE", 200),
        ("UPDATE", 200),
        ("INVITE", 200),
        ("REFER", 603),
        ("SUBSCRIBE", 405),
        ("PUBLISH", 405),
        ("PRACK", 405),
        ("FROBNICATE", 501),
        ("CANCEL", 481),
        ("BYE", 200),
    ],
)
def test_requests_within_the_dialog_are_answered(method: str, status: int) -> None:
    there = answered()
    data = there.request(method)
    events, (response,) = there.take(data)
    assert isinstance(events[0], RequestReceived)
    assert (events[0].status, events[0].in_dialog) == (status, True)
    assert isinstance(response, SipResponse)
    assert response.status == status
    assert match_response(parse_message(data), response) == ()  # type: ignore[arg-type]
    assert response.to_tag == "ours"


@pytest.mark.parametrize(
    "changes",
    [{"tag": "mallory"}, {"to_tag": "other"}, {"to_tag": ""}, {"call_id": "other@192.0.2.20"}],
)
@pytest.mark.parametrize("method", ["BYE", "INVITE", "OPTIONS", "CANCEL"])
def test_requests_outside_of_the_dialog_get_481(method: str, changes: dict[str, str]) -> None:
    there = answered()
    events, (response,) = there.take(there.request(method, **changes))  # type: ignore[arg-type]
    assert isinstance(response, SipResponse)
    assert response.status == 481
    assert response.to_tag
    assert isinstance(events[0], RequestReceived)
    assert not events[0].in_dialog
    assert there.call.phase is Phase.UP


def test_an_early_dialog_takes_requests_but_no_renegotiation() -> None:
    there = peer()
    there.take(there.response(183))
    assert methods(there.take(there.request("INFO"))[1]) == ["200"]
    assert methods(there.take(there.request("UPDATE", cseq=2, body="v=0\r\n"))[1]) == ["491"]
    assert there.call.phase is Phase.PROCEEDING


def test_a_reinvite_is_answered_until_its_ack() -> None:
    there = answered()
    there.now = 100.0
    _, (ok,) = there.take(there.request("INVITE", body="v=0\r\n"))
    assert isinstance(ok, SipResponse)
    assert ok.body == OFFER
    assert ok.header("Content-Type") == "application/sdp"
    assert ok.header("Contact") == there.call.invite.header("Contact")
    # RFC 3261 §13.3.1.4: T1, doubled.
    assert there.call.next_deadline == 600.0
    assert methods(there.at(600.0)[1]) == ["200"]
    assert there.call.next_deadline == 1600.0
    events, out = there.take(there.request("ACK"))
    assert kinds(events) == [RequestReceived]
    assert out == []
    assert there.call.next_deadline is None
    assert there.call.log.reinvites_acknowledged == 1


def test_a_reinvite_without_its_ack_is_not_answered_for_ever() -> None:
    there = answered()
    there.take(there.request("INVITE"))
    sent: list[str] = []
    while (deadline := there.call.next_deadline) is not None:
        sent += methods(there.at(deadline)[1])
    assert sent == ["200"] * 4
    assert there.call.phase is Phase.UP


def test_an_offer_that_we_cannot_take_is_refused() -> None:
    there = peer(answer=lambda offer: None)
    there.take(there.response(200))
    _, (response,) = there.take(there.request("INVITE", body="v=0\r\n"))
    assert isinstance(response, SipResponse)
    assert response.status == 488


def test_a_reinvite_moves_the_target() -> None:
    there = answered()
    there.take(there.request("INVITE", headers=["Contact: <sip:bob@192.0.2.21:5090>"]))
    there.call.hang_up(0.0)
    (bye,) = there.flush()
    assert isinstance(bye, SipRequest)
    assert bye.uri == "sip:bob@192.0.2.21:5090"


def test_a_request_out_of_order_gets_500() -> None:
    # RFC 3261 §12.2.2.
    there = answered()
    there.take(there.request("INFO", cseq=7))
    _, (response,) = there.take(there.request("INFO", cseq=6))
    assert isinstance(response, SipResponse)
    assert response.status == 500
    assert response.header("Retry-After") == "1"


def test_after_our_bye_there_is_no_dialog() -> None:
    there = answered()
    there.call.hang_up(0.0)
    there.flush()
    assert methods(there.take(there.request("INVITE"))[1]) == ["481"]


def test_requests_without_end_are_left_alone() -> None:
    there = answered()
    sent = sum(len(there.take(there.request("OPTIONS", cseq=number))[1]) for number in range(1, 200))
    assert sent == 64
    assert len(there.call.log.requests) == 32


# What does not belong here.


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"branch=z9hG4bKinv", b"branch=z9hG4bKother", "branch"),
        (b"branch=z9hG4bKinv", b"x=y", "branch"),
        (b"CSeq: 102", b"CSeq: 101", "cseq"),
        (b"102 INVITE", b"102 BYE", "cseq"),
        (b"102 INVITE", b"102 CANCEL", "cseq"),
        (b"CSeq: 102 INVITE", b"CSeq: none", "unreadable"),
        (b"Call-ID: f81d4fae", b"Call-ID: other", "call_id"),
        (b"Via: ", b"X: ", "unreadable"),
        (b"\r\nFrom:", b"\r\nVia: SIP/2.0/TCP 192.0.2.99;branch=z9hG4bKx\r\nFrom:", "via_count"),
        (b"SIP/2.0 200", b"SIP/2.0 099", "status"),
        (b"SIP/2.0 200", b"SIP/2.0 700", "status"),
    ],
)
def test_responses_to_something_else_are_ignored(old: bytes, new: bytes, why: str) -> None:
    there = peer()
    data = there.response(200)
    assert old in data
    events, out = there.take(data.replace(old, new))
    assert events == [Ignored(parse_message(data.replace(old, new)), why)]
    assert out == []
    assert there.call.phase is Phase.CALLING
    assert there.call.log.ignored == {why: 1}


@pytest.mark.parametrize("status", [180, 486])
def test_what_comes_after_the_answer_changes_nothing(status: int) -> None:
    there = answered()
    events, out = there.take(there.response(status))
    assert kinds(events) == [Ignored]
    assert out == []
    assert there.call.phase is Phase.UP


def test_a_tag_that_would_break_a_line_is_not_sent_back() -> None:
    there = peer()
    data = there.response(200, tag=None).replace(b"<sip:+912200000000@pbx.example.com>", b"<sip:x>;tag=a\0b")
    _, out = there.take(data)
    assert methods(out) == ["ACK"]
    assert b"\0" not in out[0].raw


def test_a_huge_field_is_not_sent_back() -> None:
    there = peer()
    data = there.response(200, tag="bob").replace(b"To: ", b'To: "%b" ' % (b"x" * 10000))
    _, (ack,) = there.take(data)
    assert len(ack.raw) < 2048
    assert ack.to_tag == "bob"


words = st.sampled_from(
    [
        *(b"SIP/2.0 %d x\r\n" % status for status in (100, 180, 183, 200, 302, 401, 486, 487, 999)),
        *(b"%b sip:us@192.0.2.10 SIP/2.0\r\n" % name for name in (b"BYE", b"INVITE", b"ACK", b"CANCEL", b"INFO")),
    ]
)
fields = st.lists(
    st.sampled_from(
        [
            b"Via: SIP/2.0/TCP 192.0.2.10:40000;branch=z9hG4bKinv",
            b"Via: SIP/2.0/TCP 192.0.2.10:40000;branch=z9hG4bKtoken3",
            b"Via: SIP/2.0/TCP 192.0.2.20:5061;branch=z9hG4bKpeer",
            b"From: <sip:a@b>;tag=ours",
            b"From: <sip:a@b>;tag=bob",
            b"To: <sip:a@b>;tag=bob",
            b"To: <sip:a@b>;tag=ours",
            b"To: <sip:a@b>;tag=\xff\x00",
            b"To: ",
            b"Call-ID: f81d4fae@192.0.2.10",
            b"CSeq: 102 INVITE",
            b"CSeq: 103 BYE",
            b"CSeq: 1 BYE",
            b"CSeq: 2 INVITE",
            b"Contact: <sip:\xfe@c>",
            b"Contact: <sip:bob@192.0.2.20>",
            b"Record-Route: <sip:p;lr>, <sip:q>, <tel:1>",
            b"Record-Route: <\x01>, ,,",
            b"Content-Length: 3",
        ]
    ),
    max_size=9,
)
messages = st.builds(
    lambda start, lines, extra: start + b"".join(line + b"\r\n" for line in lines) + extra + b"\r\nabc",
    words,
    fields,
    st.one_of(st.just(b""), st.binary(max_size=60)),
)
steps = st.lists(st.one_of(messages, st.integers(0, 30000), st.sampled_from(["hang_up", "abandon", "lost"])))


@settings(max_examples=300)
@given(steps)
def test_whatever_comes_nothing_is_raised_and_little_is_sent(script: list[bytes | int | str]) -> None:
    there = peer()
    here = there.call
    now = 0.0
    for step in script:
        sent = 0
        match step:
            case bytes():
                here.receive(parse_message(step), now)
                sent = len(b"".join(here.to_send()))
                assert sent <= 4 * len(step) + 4000
            case int():
                now += step
                here.expired(now)
            case "hang_up":
                here.hang_up(now)
            case "abandon":
                here.abandon(now, 300.0)
            case _:
                here.connection_lost()
        for data in here.to_send():
            assert parse_message(data).raw == data
    # It ends by itself, if nobody holds the call.
    if here.phase is Phase.UP:
        here.hang_up(now)
    for _ in range(10):
        if (deadline := here.next_deadline) is None:
            break
        here.expired(deadline)
    assert here.ended
    assert here.outcome is not None


@given(st.binary(max_size=400))
def test_any_bytes_start_no_call_but_raise_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        Call(data)
