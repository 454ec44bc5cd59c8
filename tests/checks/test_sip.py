"""The SIP findings: one row for every verdict, and peers that answer, misbehave or keep still."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence

import msgspec
import pytest
from checks.fakes import LOCAL, FakeNetwork, Handler, as_facts, measured, serving

from vsipcheck.checks.base import Facts, Recorder
from vsipcheck.checks.dns import check as dns_check
from vsipcheck.checks.paths import Blame
from vsipcheck.checks.sip import blame as sip_blame
from vsipcheck.checks.sip import check as sip_check
from vsipcheck.checks.sip import dialogue as sip_dialogue
from vsipcheck.checks.sip.addresses import addresses_from_sip
from vsipcheck.model import (
    AddressSeen,
    AnyFact,
    CheckEvidence,
    Confidence,
    Connection,
    Exchange,
    Failure,
    Family,
    FaultDomain,
    Finding,
    Icmp,
    Lookup,
    Message,
    Note,
    Profile,
    Route,
    Settings,
    Status,
)
from vsipcheck.net import SystemLookup
from vsipcheck.net.host import HostNetwork
from vsipcheck.net.tcp import TcpStream
from vsipcheck.profiles import load_profile, override
from vsipcheck.wire.sip.building import build_answer, build_options, build_request
from vsipcheck.wire.sip.message import SipRequest
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.text import escape, unescape

PROFILE = load_profile("exotel-tcp-mumbai")
NAME, OTHER = (pop.fqdn for pop in PROFILE.signalling.pops)
ONE, TWO, SIX = "182.76.143.101", "3.108.10.20", "2600:1f18::1"
PORT = PROFILE.signalling.port
PUBLIC = "49.36.10.7"
SETTINGS = Settings(checks=("sip",), timeout_s=0.3)

PASS, WARN, FAIL, UNKNOWN, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN, Status.SKIP
HOST, NETWORK, ISP = FaultDomain.HOST, FaultDomain.LOCAL_NETWORK, FaultDomain.ISP
PROVIDER, OPEN = FaultDomain.PROVIDER, FaultDomain.UNDETERMINED


# --- measure: peers on loopback

Reply = Callable[[SipRequest, int], bytes | None]


async def read_request(reader: asyncio.StreamReader) -> SipRequest:
    head = await reader.readuntil(b"\r\n\r\n")
    while head == b"\r\n\r\n":
        head = await reader.readuntil(b"\r\n\r\n")
    request = parse_message(head)
    assert isinstance(request, SipRequest)
    return request


def ok(request: SipRequest, port: int, status: int = 200, reason: str = "OK", **more: object) -> bytes:
    return build_answer(request, status, reason, to_tag="t1", received=PUBLIC, rport=port, **more)  # type: ignore[arg-type]


def answering(reply: Reply) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("peername")[1]
        while True:
            try:
                request = await read_request(reader)
            except asyncio.IncompleteReadError:
                return
            answer = reply(request, port)
            if answer is None:
                return
            writer.write(answer)
            await writer.drain()

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass


async def ponging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    assert await reader.readexactly(4) == b"\r\n\r\n"
    writer.write(b"\r\n")
    await silent(reader, writer)


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def half_and_closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answer = ok(await read_request(reader), 5)
    writer.write(answer[: len(answer) // 2])


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for octet in ok(await read_request(reader), 5):
        writer.write(bytes((octet,)))
        await asyncio.sleep(0.04)


async def byte_by_byte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        for octet in ok(await read_request(reader), writer.get_extra_info("peername")[1]):
            writer.write(bytes((octet,)))
            await writer.drain()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answer = ok(await read_request(reader), 5)
    writer.write(answer.partition(b"Content-Length")[0])
    while True:
        writer.write((b"X-Filler: " + b"x" * 100 + b"\r\n") * 10)
        await writer.drain()
        await asyncio.sleep(0)  # drain alone lets nobody else run while the buffers have room


async def endless_ringing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    ringing = ok(await read_request(reader), 5, 180, "Ringing")
    while True:
        writer.write(ringing)
        await writer.drain()
        await asyncio.sleep(0)


async def endless_line_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    while True:
        writer.write(b"\r\n" * 1000)
        await writer.drain()
        await asyncio.sleep(0)


def huge(request: SipRequest, port: int) -> bytes:
    return ok(request, port).replace(b"Content-Length: 0", b"Content-Length: 99999999999")


def http(request: SipRequest, port: int) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


def html(request: SipRequest, port: int) -> bytes:
    return b"<html><body>Please log in</body></html>"


def tls(request: SipRequest, port: int) -> bytes:
    return b"\x15\x03\x01\x00\x02\x02\x46"


def wrong_branch(request: SipRequest, port: int) -> bytes:
    branch = request.top_via.branch if request.top_via else None
    assert branch
    return ok(request, port).replace(branch.encode(), b"z9hG4bK-somebody-elses")


def wrong_call_id(request: SipRequest, port: int) -> bytes:
    return ok(request, port).replace((request.call_id or "").encode(), b"somebody-elses")


def wrong_sent_by(request: SipRequest, port: int) -> bytes:
    return ok(request, port).replace(LOCAL.encode(), b"10.9.9.9", 1)


def wrong_cseq(request: SipRequest, port: int) -> bytes:
    return ok(request, port).replace(b"CSeq: ", b"CSeq: 77", 1)


def then_right(request: SipRequest, port: int) -> bytes:
    return wrong_branch(request, port) + ok(request, port)


def with_nul(request: SipRequest, port: int) -> bytes:
    return ok(request, port).replace(b"200 OK", b"200 O\x00K")


def hostile(request: SipRequest, port: int) -> bytes:
    return ok(request, port, 200, "\x1b[2J[bold red]fine[/bold red] \u202egnihton")


def unreadable(request: SipRequest, port: int) -> bytes:
    return b"SIP/2.0 banana\r\n\r\n"


def odd_status(request: SipRequest, port: int) -> bytes:
    return ok(request, port).replace(b"SIP/2.0 200", b"SIP/2.0 999")


def run_against(
    handler: Handler | None,
    *,
    tcp: dict[tuple[str, int], int | Failure | None] | None = None,
    settings: Settings = SETTINGS,
    local: str = LOCAL,
    profile: Profile | None = None,
) -> tuple[Facts, FakeNetwork]:
    profile = profile or override(PROFILE, fqdns=[NAME])

    async def run() -> tuple[Facts, FakeNetwork]:
        async with serving(handler or silent) as port:
            network = FakeNetwork(
                names={(NAME, Family.IPV4): SystemLookup((ONE,), 3.0)},
                tcp={(ONE, PORT): port, **(tcp or {})},
                local=local,
            )
            return await measured(network, [dns_check.CHECK, sip_check.CHECK], profile, settings), network

    return asyncio.run(run())


def verdict_of(facts: Facts, finding_id: str = "sip.options", **more: object) -> Finding:
    settings = more.pop("settings", SETTINGS)
    findings = sip_check.judge(facts, override(PROFILE, fqdns=[NAME]), settings)  # type: ignore[arg-type]
    return next(finding for finding in findings if finding.id == finding_id)


def options_of(facts: Facts) -> list[Exchange]:
    return [exchange for exchange in facts.of(Exchange) if exchange.purpose == "options"]


def test_healthy() -> None:
    facts, _ = run_against(answering(ok))
    connections = [c for c in facts.of(Connection) if c.purpose == "sip"]
    assert [(c.attempt, c.address, c.port, c.purpose, c.failure) for c in connections] == [
        (1, ONE, PORT, "sip", None),
        (2, ONE, PORT, "sip", None),
    ]
    exchanges = options_of(facts)
    assert sorted(exchange.connection for exchange in exchanges if exchange.connection) == sorted(
        [connections[0].id, connections[0].id, connections[1].id]
    )
    for exchange in exchanges:
        assert exchange.failure is None
        assert exchange.rtt_ms is not None
        assert (exchange.local_address, exchange.remote_address, exchange.remote_port) == (LOCAL, ONE, PORT)
        sent, received = exchange.messages
        assert (sent.sent, received.sent) == (True, False)
        assert received.offset_ms >= sent.offset_ms
        assert "SIP/2.0 200 OK\r\n" in received.text
    assert verdict_of(facts, "sip.connect").status is PASS
    assert verdict_of(facts, "sip.redundancy").status is PASS
    finding = verdict_of(facts)
    assert (finding.status, finding.reason, finding.target) == (PASS, "answered", f"{NAME}@{ONE}")
    assert "not that it would accept a call" in finding.summary
    measures = {measure.name: measure.value for measure in finding.measures}
    assert (measures["sent"], measures["answered"], measures["loss_ratio"]) == (3, 3, 0)
    assert {"rtt_min_ms", "rtt_median_ms", "rtt_max_ms"} <= measures.keys()


def test_what_is_sent() -> None:
    facts, _ = run_against(answering(ok), settings=msgspec.structs.replace(SETTINGS, account_sid="acme"))
    requests = [parse_message(unescape(exchange.messages[0].text)) for exchange in options_of(facts)]
    ports = {exchange.local_port for exchange in options_of(facts)}
    for request in requests:
        assert isinstance(request, SipRequest)
        assert request.deviations == ()
        assert (request.method, request.uri) == ("OPTIONS", f"sip:{NAME}:{PORT};transport=tcp")
        assert request.header("To") == f"<sip:{NAME}>"
        assert (request.header("From") or "").startswith("<sip:vsipcheck@acme.pstn.exotel.com>;tag=")
        assert request.top_via is not None
        assert (request.top_via.host, request.top_via.transport) == (LOCAL, "TCP")
        assert request.top_via.port in ports
        assert request.top_via.has_rport
        assert (request.header("User-Agent") or "").startswith("vsipcheck/")
    assert len({request.top_via.branch for request in requests if request.top_via}) == 3
    assert len({request.call_id for request in requests}) == 3


def test_without_an_account_the_domain_is_our_address() -> None:
    facts, _ = run_against(answering(ok))
    request = parse_message(unescape(options_of(facts)[0].messages[0].text))
    assert (request.header("From") or "").startswith(f"<sip:vsipcheck@{LOCAL}>")


PEERS: list[tuple[str, Handler, Failure | None, Status, str]] = [
    ("byte by byte", byte_by_byte, None, PASS, "answered"),
    ("100 and 200 at once", answering(lambda r, p: ok(r, p, 100, "Trying") + ok(r, p)), None, PASS, "answered"),
    ("line ends first", answering(lambda r, p: b"\r\n\r\n" + ok(r, p)), None, PASS, "answered"),
    ("a body", answering(lambda r, p: ok(r, p, body=b"v=0\r\n")), None, PASS, "answered"),
    ("a wrong answer, then the right one", answering(then_right), None, PASS, "answered"),
    ("404", answering(lambda r, p: ok(r, p, 404, "Not Found")), None, PASS, "answered"),
    ("403", answering(lambda r, p: ok(r, p, 403, "Forbidden")), None, FAIL, "forbidden"),
    ("NUL", answering(with_nul), None, WARN, "odd_answer"),
    ("hostile reason phrase", answering(hostile), None, WARN, "odd_answer"),
    ("silent", silent, Failure.NO_ANSWER, FAIL, "silent_after_accept"),
    ("silent, but pongs", ponging, Failure.NO_ANSWER, FAIL, "options_ignored"),
    ("drips", dripping, Failure.NO_ANSWER, FAIL, "incomplete_answer"),
    ("100 only", answering(lambda r, p: ok(r, p, 100, "Trying")), Failure.NO_ANSWER, FAIL, "no_final_answer"),
    ("closes", closing, Failure.CLOSED_EARLY, FAIL, "closed_after_request"),
    ("closes within the answer", half_and_closing, Failure.CLOSED_EARLY, FAIL, "closed_after_request"),
    ("resets", resetting, Failure.RESET, FAIL, "reset_after_request"),
    ("HTTP", answering(http), Failure.NOT_SIP, FAIL, "not_sip"),
    ("HTML", answering(html), Failure.NOT_SIP, FAIL, "not_sip"),
    ("TLS", answering(tls), Failure.NOT_SIP, FAIL, "not_sip"),
    ("echo", answering(lambda r, p: r.raw), Failure.NO_ANSWER, FAIL, "echoed"),
    ("endless head", endless, Failure.TOO_LARGE, FAIL, "too_large"),
    ("endless ringing", endless_ringing, Failure.TOO_LARGE, FAIL, "too_large"),
    ("endless line ends", endless_line_ends, Failure.TOO_LARGE, FAIL, "too_large"),
    ("huge Content-Length", answering(huge), Failure.TOO_LARGE, FAIL, "too_large"),
    ("another branch", answering(wrong_branch), Failure.MISMATCH, FAIL, "altered"),
    ("another Call-ID", answering(wrong_call_id), Failure.MISMATCH, FAIL, "altered"),
    ("another sent-by", answering(wrong_sent_by), Failure.MISMATCH, FAIL, "altered"),
    ("another CSeq", answering(wrong_cseq), Failure.MISMATCH, FAIL, "mismatch"),
    ("unreadable", answering(unreadable), Failure.MALFORMED, UNKNOWN, "malformed"),
    ("status 999", answering(odd_status), None, UNKNOWN, "malformed"),
]


@pytest.mark.parametrize(
    ("handler", "failure", "status", "reason"), [row[1:] for row in PEERS], ids=[row[0] for row in PEERS]
)
def test_peer(handler: Handler, failure: Failure | None, status: Status, reason: str) -> None:
    facts, _ = run_against(handler)
    assert {exchange.failure for exchange in options_of(facts)} == {failure}
    finding = verdict_of(facts)
    assert (finding.status, finding.reason) == (status, reason)
    assert finding.summary.isprintable()
    assert "\u202e" not in finding.summary
    for exchange in facts.of(Exchange):
        assert sum(len(message.text) for message in exchange.messages) < 6 * sip_dialogue.MAX_EXCHANGE_BYTES
        assert len(exchange.messages) <= sip_dialogue.MAX_MESSAGES + 2
    connected = verdict_of(facts, "sip.connect")
    assert connected.status is PASS
    assert verdict_of(facts, "sip.redundancy").status is status


def test_a_keepalive_is_tried_before_silence_is_told() -> None:
    facts, _ = run_against(ponging)
    pings = [exchange for exchange in facts.of(Exchange) if exchange.purpose == "keepalive"]
    assert [(ping.failure, [message.text for message in ping.messages]) for ping in pings] == [
        (None, ["\r\n\r\n", "\r\n"])
    ] * 2
    facts, _ = run_against(silent)
    pings = [exchange for exchange in facts.of(Exchange) if exchange.purpose == "keepalive"]
    assert {ping.failure for ping in pings} == {Failure.NO_ANSWER}


@pytest.mark.parametrize(
    ("handler", "reason"),
    [(answering(ok), "slow"), (ponging, "options_ignored"), (silent, "silent_after_accept")],
)
def test_a_machine_that_is_busy_cuts_no_answer_short(
    handler: Handler, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the whole time-out passes between a request and the first look for its answer."""
    late_ms = 0.0
    now_ms, send = HostNetwork.now_ms, TcpStream.send

    async def send_and_stall(stream: TcpStream, data: bytes, timeout_s: float) -> Failure | None:
        nonlocal late_ms
        failure = await send(stream, data, timeout_s)
        late_ms += 1000 if data.startswith(b"OPTIONS") else 0
        return failure

    monkeypatch.setattr(TcpStream, "send", send_and_stall)
    monkeypatch.setattr(HostNetwork, "now_ms", lambda network: now_ms(network) + late_ms)
    assert verdict_of(run_against(handler)[0]).reason == reason


def test_a_peer_that_only_asks_is_alive() -> None:
    async def asking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(build_request("OPTIONS", "sip:you@host", [("Call-ID", "theirs"), ("CSeq", "1 OPTIONS")]))
        await silent(reader, writer)

    assert verdict_of(run_against(asking)[0]).reason == "options_ignored"


def test_a_peer_that_only_sends_line_ends_is_silent() -> None:
    async def blank(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\r\n\r\n")
        await silent(reader, writer)

    assert verdict_of(run_against(blank)[0]).reason == "silent_after_accept"


def test_one_lost_of_several_is_a_warning() -> None:
    count = 0

    async def every_other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await (closing if count == 2 else answering(ok))(reader, writer)

    facts, _ = run_against(every_other)
    finding = verdict_of(facts)
    assert (finding.status, finding.reason, finding.fault_domain) == (WARN, "lost_some", OPEN)
    assert next(measure.value for measure in finding.measures if measure.name == "loss_ratio") > 0


def test_a_failed_connection_asks_a_control() -> None:
    facts, network = run_against(None, tcp={(ONE, PORT): Failure.REFUSED})
    assert (ONE, 443) in network.connects
    control = next(connection for connection in facts.of(Connection) if connection.purpose == "in_dialog")
    assert (control.port, control.failure) == (443, Failure.REFUSED)
    assert options_of(facts) == []
    assert (verdict_of(facts, "sip.connect").status, verdict_of(facts).status) == (FAIL, UNKNOWN)


def test_a_stalled_connection_asks_a_control_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_dialogue, "STALL_S", 0.02)
    traced: list[tuple[str, list[int]]] = []

    async def trace(context: object, record: object, target: str, ports: Sequence[int], **_: object) -> None:
        traced.append((target, list(ports)))

    monkeypatch.setattr(sip_dialogue, "trace_tcp", trace)
    facts, _ = run_against(None, tcp={(ONE, PORT): None, (ONE, 443): None})
    assert traced == [(ONE, [PORT, 443])]
    attempts = {c.attempt: c for c in facts.of(Connection) if c.purpose == "sip"}
    control = next(c for c in facts.of(Connection) if c.purpose == "in_dialog")
    assert control.offset_ms < attempts[1].offset_ms + (attempts[1].duration_ms or 0)
    assert {c.failure for c in facts.of(Connection)} == {Failure.CONNECT_TIMEOUT}


def test_a_trace_that_does_not_end_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_dialogue, "STALL_S", 0.02)

    async def trace(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(sip_dialogue, "trace_tcp", trace)
    facts, _ = run_against(None, tcp={(ONE, PORT): None})
    assert "trace_cut_short" in {note.topic for note in facts.of(Note, "sip")}


def test_an_end_in_the_middle_loses_no_fact() -> None:
    recorders: dict[str, Recorder] = {}

    async def run() -> None:
        async with serving(silent) as port:
            network = FakeNetwork(
                names={(NAME, Family.IPV4): SystemLookup((ONE,), 3.0)}, tcp={(ONE, PORT): port, (TWO, PORT): None}
            )
            profile = override(PROFILE, fqdns=[NAME, TWO])
            settings = msgspec.structs.replace(SETTINGS, timeout_s=30.0)
            task = asyncio.create_task(
                measured(network, [dns_check.CHECK, sip_check.CHECK], profile, settings, recorders=recorders)
            )
            await asyncio.sleep(0)  # the recorders are made first
            await recorders["sip"].first(Connection, lambda fact: fact.failure is None)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    facts = as_facts(recorders, {"sip": "interrupted"})
    assert {exchange.failure for exchange in options_of(facts)} == {Failure.CANCELLED}
    assert {c.failure for c in facts.of(Connection) if (c.address, c.port) == (TWO, PORT)} == {Failure.CANCELLED}
    findings = sip_check.judge(facts, override(PROFILE, fqdns=[NAME, TWO]), SETTINGS)
    assert {(f.status, f.reason) for f in findings if f.id == "sip.options"} == {(UNKNOWN, "not_measured")}


def test_special_purpose_addresses_are_left_alone() -> None:
    async def run(address: str, profile: Profile) -> FakeNetwork:
        network = FakeNetwork(names={(NAME, Family.IPV4): SystemLookup((address,), 3.0)})
        await measured(network, [dns_check.CHECK, sip_check.CHECK], profile, SETTINGS)
        return network

    for address in ("0.0.0.0", "127.0.0.1", "10.0.0.1", "224.0.0.1", "192.0.2.1"):
        assert asyncio.run(run(address, override(PROFILE, fqdns=[NAME]))).connects == []
    assert asyncio.run(run("", override(PROFILE, fqdns=["10.0.0.1"]))).connects != []


def test_a_family_without_a_route_is_not_tried() -> None:
    async def run() -> tuple[Facts, FakeNetwork]:
        async with serving(answering(ok)) as port:
            network = FakeNetwork(
                names={
                    (NAME, Family.IPV4): SystemLookup((ONE,), 3.0),
                    (NAME, Family.IPV6): SystemLookup((SIX,), 3.0),
                },
                tcp={(ONE, PORT): port},
                without_route=[SIX],
            )
            profile = override(PROFILE, fqdns=[NAME])
            return await measured(network, [dns_check.CHECK, sip_check.CHECK], profile, SETTINGS), network

    facts, network = asyncio.run(run())
    assert {address for address, _ in network.connects} == {ONE}
    findings = {(f.id, f.target): f for f in sip_check.judge(facts, override(PROFILE, fqdns=[NAME]), SETTINGS)}
    for finding_id in ("sip.connect", "sip.options"):
        assert findings[finding_id, f"{NAME}@{SIX}"].status is SKIP
    assert findings["sip.redundancy", None].status is PASS


@pytest.mark.parametrize(
    ("count", "connections", "shares"),
    [(3, 2, [2, 1]), (1, 2, [1]), (4, 2, [2, 2]), (5, 3, [2, 2, 1]), (2, 5, [1, 1])],
)
def test_shares(count: int, connections: int, shares: list[int]) -> None:
    assert sip_dialogue._shares(count, connections) == shares


# --- judge


def lookup(name: str, *addresses: str, record_type: str = "A", failure: Failure | None = None) -> Lookup:
    return Lookup(
        name=name,
        record_type=record_type,
        purpose="trunk",
        server=None,
        addresses=addresses,
        failure=failure if addresses else failure or Failure.NXDOMAIN,
    )


def connection(
    address: str = ONE,
    failure: Failure | None = None,
    *,
    name: str = NAME,
    port: int = PORT,
    purpose: str = "sip",
    icmp: Icmp | None = None,
    rtt_ms: float | None = None,
    waited_ms: float | None = None,
) -> Connection:
    return Connection(
        name=name,
        address=address,
        port=port,
        purpose=purpose,
        failure=failure,
        icmp=icmp,
        rtt_ms=rtt_ms if rtt_ms is not None or failure else 20.0,
        waited_ms=waited_ms,
        local_address=LOCAL,
    )


def control(failure: Failure | None = None, rtt_ms: float | None = 20.0) -> Connection:
    return connection(failure=failure, port=443, purpose="control", rtt_ms=rtt_ms)


def exchange(
    status: int = 200,
    *,
    address: str = ONE,
    name: str = NAME,
    headers: Sequence[tuple[str, str]] = (),
    rtt_ms: float = 25.0,
    local: str = LOCAL,
    received: str | None = PUBLIC,
    rport: int | None = 40000,
    failure: Failure | None = None,
    change: Callable[[bytes], bytes] = lambda answer: answer,
    connection_id: str | None = "sip.1",
) -> Exchange:
    request = build_options(
        uri=f"sip:{name}:{PORT};transport=tcp",
        via_host=local,
        via_port=40000,
        transport="TCP",
        branch="z9hG4bKours",
        call_id="ours",
        from_uri=f"sip:vsipcheck@{local}",
        from_tag="f1",
        to_uri=f"sip:{name}",
        cseq=1,
        user_agent="vsipcheck/test",
    )
    parsed = parse_message(request)
    assert isinstance(parsed, SipRequest)
    answer = change(build_answer(parsed, status, "Phrase", to_tag="t", received=received, rport=rport, extra=headers))
    messages = [Message(sent=True, offset_ms=0.0, text=escape(request), size=len(request))]
    if answer:
        messages.append(Message(sent=False, offset_ms=rtt_ms, text=escape(answer), size=len(answer)))
    return Exchange(
        protocol="sip",
        purpose="options",
        connection=connection_id,
        name=name,
        transport="tcp",
        local_address=local,
        local_port=40000,
        remote_address=address,
        remote_port=PORT,
        messages=tuple(messages),
        rtt_ms=None if failure else rtt_ms,
        failure=failure,
    )


def unanswered(failure: Failure, **more: object) -> Exchange:
    return exchange(failure=failure, change=lambda _: b"", **more)  # type: ignore[arg-type]


def facts_of(sip: Sequence[AnyFact], dns: Sequence[AnyFact] | None = None, error: str | None = None) -> Facts:
    dns = [lookup(NAME, ONE), lookup(OTHER, TWO)] if dns is None else dns

    def numbered(check: str, facts: Sequence[AnyFact]) -> tuple[AnyFact, ...]:
        return tuple(
            fact if fact.id else msgspec.structs.replace(fact, id=f"{check}.{number}")
            for number, fact in enumerate(facts, start=1)
        )

    return Facts(
        {
            "dns": CheckEvidence(version=1, offset_ms=0.0, duration_ms=0.0, error=None, facts=numbered("dns", dns)),
            "sip": CheckEvidence(version=1, offset_ms=0.0, duration_ms=0.0, error=error, facts=numbered("sip", sip)),
        }
    )


def judge(
    sip: Sequence[AnyFact],
    *,
    dns: Sequence[AnyFact] | None = None,
    settings: Settings = SETTINGS,
    profile: Profile = PROFILE,
) -> dict[tuple[str, str | None], Finding]:
    findings = sip_check.judge(facts_of(sip, dns), profile, settings)
    assert len({(finding.id, finding.target) for finding in findings}) == len(findings)
    for finding in findings:
        assert (finding.fault_domain is None) == (finding.status in (PASS, SKIP))
        assert finding.summary
        if finding.status not in (PASS, SKIP):
            assert finding.remedy or finding.settle_by or finding.id == "sip.redundancy", finding
    return {(finding.id, finding.target): finding for finding in findings}


def judge_connect(*sip: AnyFact, dns: Sequence[AnyFact] | None = None) -> Finding:
    return judge(sip, dns=dns)["sip.connect", f"{NAME}@{ONE}"]


def judge_options(*sip: AnyFact, settings: Settings = SETTINGS) -> Finding:
    return judge([connection(), *sip], settings=settings)["sip.options", f"{NAME}@{ONE}"]


@pytest.fixture
def blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hops say is proven elsewhere."""

    def silence(facts: Facts, target: str, port: int) -> Blame:
        return Blame(ISP, Confidence.LIKELY, "SYNs stop at the ISP", None, ("sip.9",))

    def icmp(facts: Facts, icmp: Icmp, target: str) -> Blame:
        return Blame(NETWORK, Confidence.PROVEN, f"it came from {icmp.address}", None, ())

    monkeypatch.setattr(sip_blame, "blame_silence", silence)
    monkeypatch.setattr(sip_blame, "blame_icmp", icmp)


SYN_LOST = connection(failure=Failure.CONNECT_TIMEOUT, waited_ms=5000.0)
HURRIED = connection(failure=Failure.CONNECT_TIMEOUT, waited_ms=500.0)
ROUTER_SAYS = Icmp(address="192.168.1.1", type=3, code=13)

CONNECT_ROWS: list[tuple[str, list[AnyFact], Status, str, FaultDomain | None]] = [
    ("accepted", [connection(), connection()], PASS, "connected", None),
    ("accepted once of two", [connection(), SYN_LOST], WARN, "connect_unsteady", OPEN),
    ("three SYNs lost", [SYN_LOST], FAIL, "connect_timeout", ISP),
    (
        "three SYNs lost over two attempts",
        [connection(failure=Failure.CONNECT_TIMEOUT, waited_ms=1500.0)] * 2,
        FAIL,
        "connect_timeout",
        ISP,
    ),
    ("too few SYNs", [HURRIED, HURRIED], UNKNOWN, "connect_timeout", OPEN),
    ("the kernel gave up", [connection(failure=Failure.KERNEL_TIMEOUT, waited_ms=900.0)], FAIL, "connect_timeout", ISP),
    ("RST, the way is open", [connection(failure=Failure.REFUSED, rtt_ms=21.0), control()], FAIL, "refused", PROVIDER),
    (
        "RST from nearer than the control",
        [connection(failure=Failure.REFUSED, rtt_ms=1.0), control()],
        FAIL,
        "refused",
        OPEN,
    ),
    (
        "RST, all too near to compare",
        [connection(failure=Failure.REFUSED, rtt_ms=0.2), control(rtt_ms=0.2)],
        FAIL,
        "refused",
        OPEN,
    ),
    (
        "RST, and no control",
        [connection(failure=Failure.REFUSED, rtt_ms=21.0), control(Failure.REFUSED)],
        FAIL,
        "refused",
        OPEN,
    ),
    ("RST while connecting", [connection(failure=Failure.RESET)], FAIL, "refused", OPEN),
    ("prohibited", [connection(failure=Failure.ADMIN_PROHIBITED, icmp=ROUTER_SAYS)], FAIL, "admin_prohibited", NETWORK),
    ("prohibited by nobody knows whom", [connection(failure=Failure.ADMIN_PROHIBITED)], FAIL, "admin_prohibited", OPEN),
    (
        "host unreachable",
        [connection(failure=Failure.HOST_UNREACHABLE, icmp=ROUTER_SAYS)],
        FAIL,
        "host_unreachable",
        NETWORK,
    ),
    (
        "network unreachable",
        [connection(failure=Failure.NET_UNREACHABLE, icmp=ROUTER_SAYS)],
        FAIL,
        "net_unreachable",
        NETWORK,
    ),
    (
        "port unreachable",
        [connection(failure=Failure.PORT_UNREACHABLE, icmp=ROUTER_SAYS)],
        FAIL,
        "port_unreachable",
        NETWORK,
    ),
    ("a routing loop", [connection(failure=Failure.TTL_EXCEEDED, icmp=ROUTER_SAYS)], FAIL, "ttl_exceeded", NETWORK),
    (
        "no ARP answer",
        [connection(failure=Failure.HOST_UNREACHABLE, icmp=Icmp(address=None, type=3, code=1))],
        FAIL,
        "host_unreachable",
        NETWORK,
    ),
    (
        "ICMP tells more than silence",
        [SYN_LOST, connection(failure=Failure.ADMIN_PROHIBITED, icmp=ROUTER_SAYS)],
        FAIL,
        "admin_prohibited",
        NETWORK,
    ),
    ("denied by this host", [connection(failure=Failure.LOCAL_DENIED)], FAIL, "local_denied", HOST),
    ("the source is not ours", [connection(failure=Failure.ADDRESS_UNAVAILABLE)], FAIL, "address_unavailable", HOST),
    ("no route at all", [Route(destination=ONE, failure=Failure.NO_ROUTE)], FAIL, "no_route", HOST),
    ("no route while connecting", [connection(failure=Failure.NO_ROUTE)], FAIL, "no_route", HOST),
    (
        "source of the other family",
        [Route(destination=ONE, source_address=SIX, failure=Failure.NOT_SUPPORTED)],
        SKIP,
        "other_family",
        None,
    ),
    ("our own error", [connection(failure=Failure.LOCAL_ERROR)], UNKNOWN, "not_possible", OPEN),
    ("cancelled", [connection(failure=Failure.CANCELLED)], UNKNOWN, "not_measured", OPEN),
    ("not tried", [], UNKNOWN, "not_measured", OPEN),
]


@pytest.mark.usefixtures("blamed")
@pytest.mark.parametrize(
    ("sip", "status", "reason", "domain"), [row[1:] for row in CONNECT_ROWS], ids=[row[0] for row in CONNECT_ROWS]
)
def test_connect(sip: list[AnyFact], status: Status, reason: str, domain: FaultDomain | None) -> None:
    finding = judge_connect(*sip)
    assert (finding.status, finding.reason, finding.fault_domain) == (status, reason, domain)


@pytest.mark.usefixtures("blamed")
def test_the_hops_are_part_of_the_evidence() -> None:
    finding = judge_connect(SYN_LOST, control())
    assert "sip.9" in finding.facts
    assert "SYNs stop at the ISP." in finding.summary
    assert "TCP 443 of the same address accepts connections" in finding.summary
    assert finding.remedy is not None
    assert "ISP" in finding.remedy


def test_a_provider_is_told_whom_to_whitelist(monkeypatch: pytest.MonkeyPatch) -> None:
    blame = Blame(PROVIDER, Confidence.LIKELY, "SYNs leave your network", None, ())
    monkeypatch.setattr(sip_blame, "blame_silence", lambda *_: blame)
    seen = AddressSeen(method="stun", source="a", address=PUBLIC)
    assert PUBLIC in (judge_connect(SYN_LOST, seen).remedy or "")
    other = AddressSeen(method="stun", source="b", address="1.2.3.4")
    assert PUBLIC not in (judge_connect(SYN_LOST, seen, other).remedy or "")


@pytest.mark.parametrize(
    ("dns", "target", "reason"),
    [
        ([lookup(NAME, failure=Failure.NXDOMAIN)], NAME, "no_address"),
        ([], NAME, "not_measured"),
        ([lookup(NAME, "10.0.0.1")], f"{NAME}@10.0.0.1", "special_purpose_address"),
        ([lookup(NAME, *(f"1.2.3.{n}" for n in range(1, 18)))], f"{NAME}@1.2.3.17", "left_out"),
    ],
)
def test_nothing_to_try(dns: list[AnyFact], target: str, reason: str) -> None:
    found = judge([], dns=dns)
    for finding_id in ("sip.connect", "sip.options"):
        assert (found[finding_id, target].status, found[finding_id, target].reason) == (UNKNOWN, reason)


def test_a_family_without_a_route_is_skipped_if_the_other_has_one() -> None:
    dns = [lookup(NAME, ONE), lookup(NAME, SIX, record_type="AAAA")]
    no_route = Route(destination=SIX, failure=Failure.NO_ROUTE)
    found = judge([connection(), exchange(), no_route], dns=dns)
    assert found["sip.connect", f"{NAME}@{SIX}"].status is SKIP
    assert found["sip.options", f"{NAME}@{SIX}"].status is SKIP
    alone = judge([no_route], dns=[lookup(NAME, SIX, record_type="AAAA")])
    assert alone["sip.connect", f"{NAME}@{SIX}"].status is FAIL


CODES: list[tuple[int, Status, str]] = [
    *((code, PASS, "answered") for code in (200, 202)),
    *((code, PASS, "answered") for code in (404, 405, 501)),
    *((code, WARN, f"status_{code}") for code in (300, 302, 400, 408, 420, 480, 483, 484, 486, 488)),
    *((code, WARN, "authentication_required") for code in (401, 407)),
    *((code, WARN, f"status_{code}") for code in (402, 406, 415, 481, 491, 499)),
    (403, FAIL, "forbidden"),
    (503, FAIL, "service_unavailable"),
    *((code, FAIL, f"status_{code}") for code in (500, 502, 504, 580)),
    *((code, FAIL, f"status_{code}") for code in (600, 603, 604, 606)),
]


@pytest.mark.parametrize(("code", "status", "reason"), CODES)
def test_code(code: int, status: Status, reason: str) -> None:
    finding = judge_options(exchange(code), exchange(code), exchange(code))
    assert (finding.status, finding.reason) == (status, reason)
    assert str(code) in finding.summary
    if status is FAIL:
        assert (finding.fault_domain, finding.confidence) == (PROVIDER, Confidence.LIKELY)


def test_403_shows_both_readings_and_what_support_asks_for() -> None:
    finding = judge_options(exchange(403, headers=[("X-Exotel-ErrorCode", "4030")]))
    for part in ("whitelisted", "domain", "X-Exotel-ErrorCode: 4030", "The guide"):
        assert part in finding.summary
    assert PUBLIC in (finding.remedy or "")
    assert "--account-sid" in (finding.settle_by or "")
    assert finding.guide_section == "Troubleshooting"
    told = judge_options(exchange(403), settings=msgspec.structs.replace(SETTINGS, account_sid="acme"))
    assert "--account-sid" not in (told.settle_by or "")


def test_503_shows_retry_after() -> None:
    assert "Retry-After: 120" in judge_options(exchange(503, headers=[("Retry-After", "120")])).summary


def cut(answer: bytes) -> bytes:
    return answer[:-20]


def without(answer: bytes, name: bytes) -> bytes:
    return b"".join(line for line in answer.splitlines(keepends=True) if not line.startswith(name + b":"))


OPTIONS_ROWS: list[tuple[str, list[Exchange], Status, str, FaultDomain | None]] = [
    ("answered", [exchange(), exchange()], PASS, "answered", None),
    ("slow", [exchange(rtt_ms=1500.0)] * 3, WARN, "slow", OPEN),
    ("one slow of three", [exchange(), exchange(), exchange(rtt_ms=1500.0)], PASS, "answered", None),
    ("one lost", [exchange(), unanswered(Failure.NO_ANSWER)], WARN, "lost_some", OPEN),
    ("one closed", [exchange(), unanswered(Failure.CLOSED_EARLY)], WARN, "lost_some", OPEN),
    ("one damaged", [exchange(), unanswered(Failure.MALFORMED)], WARN, "damaged_some", OPEN),
    ("one cancelled", [exchange(), unanswered(Failure.CANCELLED)], PASS, "answered", None),
    ("one 503 of three", [exchange(), exchange(503), exchange()], FAIL, "service_unavailable", PROVIDER),
    ("one 480 of three", [exchange(), exchange(480), exchange()], WARN, "status_480", PROVIDER),
    ("one not SIP", [exchange(), unanswered(Failure.NOT_SIP)], FAIL, "not_sip", OPEN),
    ("silent", [unanswered(Failure.NO_ANSWER)] * 2, FAIL, "silent_after_accept", PROVIDER),
    ("closed", [unanswered(Failure.CLOSED_EARLY)], FAIL, "closed_after_request", PROVIDER),
    (
        "reset tells more than silence",
        [unanswered(Failure.NO_ANSWER), unanswered(Failure.RESET)],
        FAIL,
        "reset_after_request",
        PROVIDER,
    ),
    ("this host's firewall", [unanswered(Failure.LOCAL_DENIED)], FAIL, "local_denied", HOST),
    ("too large", [unanswered(Failure.TOO_LARGE)], FAIL, "too_large", OPEN),
    ("cut off", [exchange(failure=Failure.NO_ANSWER, change=cut)], FAIL, "incomplete_answer", OPEN),
    (
        "cut off by the end",
        [exchange(failure=Failure.CLOSED_EARLY, change=cut)],
        FAIL,
        "closed_after_request",
        PROVIDER,
    ),
    ("malformed", [unanswered(Failure.MALFORMED)], UNKNOWN, "malformed", OPEN),
    (
        "altered by an ALG",
        [exchange(failure=Failure.MISMATCH, change=lambda m: m.replace(LOCAL.encode(), b"10.1.1.1", 1))],
        FAIL,
        "altered",
        NETWORK,
    ),
    (
        "no Via at all",
        [exchange(failure=Failure.MISMATCH, change=lambda m: without(m, b"Via"))],
        FAIL,
        "altered",
        OPEN,
    ),
    (
        "no Content-Length on a stream",
        [exchange(change=lambda m: without(m, b"Content-Length"))],
        WARN,
        "odd_answer",
        OPEN,
    ),
    (
        "altered branch",
        [exchange(failure=Failure.MISMATCH, change=lambda m: m.replace(b"z9hG4bKours", b"z9hG4bKxyz"))],
        FAIL,
        "altered",
        OPEN,
    ),
    (
        "altered Call-ID",
        [exchange(failure=Failure.MISMATCH, change=lambda m: m.replace(b"Call-ID: ours", b"Call-ID: theirs"))],
        FAIL,
        "altered",
        OPEN,
    ),
    (
        "another From tag is let pass",
        [exchange(change=lambda m: m.replace(b"tag=f1", b"tag=f2"))],
        PASS,
        "answered",
        None,
    ),
    (
        "a record that does not match its own verdict",
        [exchange(change=lambda m: m.replace(b"z9hG4bKours", b"z9hG4bKxyz"))],
        FAIL,
        "altered",
        OPEN,
    ),
    ("a record without an answer", [exchange(change=lambda m: b"")], UNKNOWN, "malformed", OPEN),
    ("cancelled", [unanswered(Failure.CANCELLED)], UNKNOWN, "not_measured", OPEN),
    ("not asked", [], UNKNOWN, "not_measured", OPEN),
]


@pytest.mark.parametrize(
    ("exchanges", "status", "reason", "domain"), [row[1:] for row in OPTIONS_ROWS], ids=[row[0] for row in OPTIONS_ROWS]
)
def test_options(exchanges: list[Exchange], status: Status, reason: str, domain: FaultDomain | None) -> None:
    found = judge_options(*exchanges)
    assert (found.status, found.reason, found.fault_domain) == (status, reason, domain)


def test_a_pong_is_told_from_silence() -> None:
    pong = msgspec.structs.replace(unanswered(Failure.NO_ANSWER), purpose="keepalive", failure=None)
    finding = judge_options(unanswered(Failure.NO_ANSWER), pong)
    assert (finding.reason, finding.fault_domain, finding.confidence) == (
        "options_ignored",
        PROVIDER,
        Confidence.LIKELY,
    )
    assert "whitelist" in finding.summary
    elsewhere = msgspec.structs.replace(pong, connection="sip.99")
    assert judge_options(unanswered(Failure.NO_ANSWER), elsewhere).reason == "silent_after_accept"


def test_without_a_connection_nothing_was_asked() -> None:
    found = judge([connection(failure=Failure.REFUSED)])["sip.options", f"{NAME}@{ONE}"]
    assert (found.status, found.reason) == (UNKNOWN, "not_connected")


BOTH = [connection(), exchange(), connection(TWO, name=OTHER), exchange(address=TWO, name=OTHER)]
ONE_DOWN = [connection(failure=Failure.REFUSED), connection(TWO, name=OTHER), exchange(address=TWO, name=OTHER)]

REDUNDANCY_ROWS: list[tuple[str, list[AnyFact], list[AnyFact] | None, str | None, Status, str]] = [
    ("all answer", BOTH, None, None, PASS, "all_answer"),
    ("one PoP down", ONE_DOWN, None, None, WARN, "some_fail"),
    (
        "one address of a PoP down",
        [*BOTH, connection("1.2.3.4", Failure.REFUSED)],
        [lookup(NAME, ONE, "1.2.3.4"), lookup(OTHER, TWO)],
        None,
        WARN,
        "some_fail",
    ),
    ("one warns", [*BOTH, exchange(480)], None, None, WARN, "some_warn"),
    ("one unknown", BOTH, [lookup(NAME, ONE), lookup(OTHER)], None, WARN, "some_unknown"),
    (
        "all fail",
        [connection(failure=Failure.REFUSED), connection(TWO, Failure.REFUSED, name=OTHER)],
        None,
        None,
        FAIL,
        "none_answers",
    ),
    (
        "one fails, one unknown",
        [connection(failure=Failure.REFUSED)],
        [lookup(NAME, ONE), lookup(OTHER)],
        None,
        FAIL,
        "none_answers",
    ),
    (
        "connected, not answered",
        [connection(), unanswered(Failure.NO_ANSWER)],
        [lookup(NAME, ONE)],
        None,
        FAIL,
        "none_answers",
    ),
    ("connected, not asked", [connection()], [lookup(NAME, ONE)], None, UNKNOWN, "not_judged"),
    ("no name resolves", [], [lookup(NAME), lookup(OTHER)], None, UNKNOWN, "not_judged"),
    ("the primary is up", ONE_DOWN, None, OTHER, PASS, "all_answer"),
    ("the primary is down", ONE_DOWN, None, NAME, FAIL, "none_answers"),
    ("the primary is no PoP", BOTH, None, "pstn.example", UNKNOWN, "not_judged"),
]


@pytest.mark.parametrize(
    ("sip", "dns", "primary", "status", "reason"),
    [row[1:] for row in REDUNDANCY_ROWS],
    ids=[r[0] for r in REDUNDANCY_ROWS],
)
def test_redundancy(
    sip: list[AnyFact], dns: list[AnyFact] | None, primary: str | None, status: Status, reason: str
) -> None:
    settings = msgspec.structs.replace(SETTINGS, primary=primary)
    finding = judge(sip, dns=dns, settings=settings)["sip.redundancy", None]
    assert (finding.status, finding.reason) == (status, reason)
    if primary is not None:
        assert f"Only {primary} decides" in finding.summary


def test_a_stored_report_can_be_judged_again() -> None:
    facts = facts_of([connection(), exchange(503)])
    again = Facts(
        {
            name: msgspec.json.decode(
                msgspec.json.encode(
                    CheckEvidence(
                        version=1,
                        offset_ms=0.0,
                        duration_ms=0.0,
                        error=None,
                        facts=tuple(facts.of(Lookup if name == "dns" else Connection))
                        + tuple(facts.of(Exchange, name)),
                    )
                ),
                type=CheckEvidence,
            )
            for name in ("dns", "sip")
        }
    )
    before, after = (sip_check.judge(each, PROFILE, SETTINGS) for each in (facts, again))
    assert [(f.status, f.reason) for f in before] == [(f.status, f.reason) for f in after]


# --- our address, as SIP tells it

ADDRESS_ROWS: list[tuple[str, Exchange, str | None, bool, str | None]] = [
    ("public", exchange(), PUBLIC, True, None),
    ("no NAT", exchange(local=PUBLIC, received=PUBLIC), PUBLIC, True, None),
    ("absent, our own is public", exchange(local=PUBLIC, received=None), PUBLIC, True, None),
    ("absent, our own is private", exchange(received=None), None, False, "absent"),
    ("an ALG wrote our own into it", exchange(received=LOCAL), LOCAL, False, "alg"),
    ("another private one", exchange(received="10.7.7.7"), "10.7.7.7", False, "private"),
    ("carrier-grade", exchange(received="100.64.1.2"), "100.64.1.2", False, "private"),
    ("no address", exchange(received="banana"), None, False, "unreadable"),
    (
        "sent-by altered",
        exchange(failure=Failure.MISMATCH, change=lambda m: m.replace(LOCAL.encode(), b"10.1.1.1", 1)),
        PUBLIC,
        False,
        "altered",
    ),
    (
        "branch altered",
        exchange(failure=Failure.MISMATCH, change=lambda m: m.replace(b"z9hG4bKours", b"z9hG4bKxyz")),
        PUBLIC,
        False,
        "altered",
    ),
    ("a 403 tells as well", exchange(403), PUBLIC, True, None),
    (
        "the answer breaks the grammar",
        exchange(change=lambda m: m.replace(b"CSeq:", b"Content-Length: 1\r\nContent-Length: 2\r\nCSeq:", 1)),
        PUBLIC,
        False,
        "malformed",
    ),
]


@pytest.mark.parametrize(
    ("told", "address", "trusted", "why_not"), [row[1:] for row in ADDRESS_ROWS], ids=[row[0] for row in ADDRESS_ROWS]
)
def test_address(told: Exchange, address: str | None, trusted: bool, why_not: str | None) -> None:
    (seen,) = addresses_from_sip(facts_of([told]))
    assert (seen.address, seen.trusted, seen.why_not) == (address, trusted, why_not)
    assert (seen.port, seen.local_port, seen.remote_address, seen.fact_id) == (40000, 40000, ONE, "sip.1")


def test_no_answer_tells_no_address() -> None:
    assert addresses_from_sip(facts_of([unanswered(Failure.NO_ANSWER), exchange(100)])) == []
    assert addresses_from_sip(facts_of([exchange(change=lambda answer: answer[:-4])])) == []
