"""What is asked of a PBX, and what is told of one that answers, misbehaves or is not there: peers on loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from checks.fake_pbx import BOTH, Line
from checks.fakes import FakeNetwork, Handler, as_facts, serving
from checks.pbx_facts import connection, options, says

from vsipcheck.checks.base import Context, Facts, Recorder
from vsipcheck.checks.dns import check as dns
from vsipcheck.checks.media import check as media
from vsipcheck.checks.nat import check as nat
from vsipcheck.checks.path import check as path
from vsipcheck.checks.pbx import check as pbx_check
from vsipcheck.checks.pbx import probe as pbx_probe
from vsipcheck.checks.pbx.target import host_and_port, provider_domain
from vsipcheck.checks.registry import CHECKS
from vsipcheck.checks.sip import alg
from vsipcheck.checks.sip import check as sip
from vsipcheck.model import (
    AnyFact,
    CheckEvidence,
    Connection,
    Exchange,
    Failure,
    Family,
    Lookup,
    Note,
    Report,
    Settings,
    Status,
)
from vsipcheck.net import SystemLookup
from vsipcheck.net.host import HostNetwork
from vsipcheck.profiles import load_profile
from vsipcheck.runner import rejudge, run
from vsipcheck.sim import SCENARIOS, open_simulation
from vsipcheck.wire.sip.building import build_answer
from vsipcheck.wire.sip.message import SipRequest
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.text import unescape

PROFILE = load_profile("exotel-tcp-mumbai")
PASS, WARN, FAIL, UNKNOWN, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN, Status.SKIP
CALLED = {"invite": "+912200000000", "ring_s": 2.0}


def context_of(network: Any, settings: Settings, record: Recorder) -> Context:
    return Context(
        network=network,
        profile=PROFILE,
        settings=settings,
        recorders={"pbx": record},
        progress=lambda *_: None,
        remaining_s=lambda: 30.0,
        stopping=lambda: False,
    )


async def measured(network: Any, pbx: str, **settings: Any) -> tuple[Facts, Settings]:
    values: dict[str, Any] = {"checks": ("pbx",), "pbx": pbx, "timeout_s": 0.3}
    chosen = Settings(**(values | settings))
    record = Recorder("pbx", network.now_ms)
    try:
        await pbx_check.CHECK.measure(context_of(network, chosen, record), record)
    finally:
        network.close()
    return as_facts({"pbx": record}), chosen


def against(handler: Handler, **settings: Any) -> tuple[Facts, Settings]:
    """What is recorded of a peer that listens on TCP alone."""

    async def run() -> tuple[Facts, Settings]:
        async with serving(handler) as port:
            return await measured(HostNetwork(), f"127.0.0.1:{port}", **settings)

    return asyncio.run(run())


def told(facts: Facts, settings: Settings) -> dict[str, tuple[Status, str]]:
    return {each.id: (each.status, each.reason) for each in pbx_check.judge(facts, PROFILE, settings)}


def of(facts: Facts, purpose: str) -> list[Exchange]:
    return [each for each in facts.of(Exchange) if each.purpose == purpose]


# --- peers


def ok(request: SipRequest, status: int = 200, **more: Any) -> bytes:
    return build_answer(request, status, "x", to_tag="them", **more)


def answering(reply: Callable[[SipRequest], bytes]) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        while isinstance(message := await line.next(), SipRequest):
            writer.write(reply(message))

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def speaking_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A TLS server without a certificate: it answers a ClientHello by an alert, and closes on anything else."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_bio(incoming, outgoing, server_side=True)
    while data := await reader.read(4096):
        incoming.write(data)
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            if data[:1] == b"\x16":
                writer.write(outgoing.read())
            return


async def greeting_ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    await silent(reader, writer)


async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)


async def flooding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    while True:
        writer.write(b"\x00\xff" * 5000)
        await writer.drain()
        await asyncio.sleep(0)


async def endless_ringing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    message = await Line(reader, writer).next()
    assert isinstance(message, SipRequest)
    while True:
        writer.write(ok(message, 180) * 10)
        await writer.drain()
        await asyncio.sleep(0)


async def endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.write(b"SIP/2.0 200 OK\r\n")
    while True:
        writer.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)


PEERS: list[tuple[str, Handler, Status, str]] = [
    ("200", answering(ok), PASS, "sip_answered"),
    ("403", answering(lambda r: ok(r, 403)), PASS, "sip_answered"),
    ("silent", silent, UNKNOWN, "silent_after_accept"),
    ("closes", closing, UNKNOWN, "closed_after_request"),
    ("resets", resetting, UNKNOWN, "closed_after_request"),
    ("TLS", speaking_tls, FAIL, "tls_only"),
    ("SSH", greeting_ssh, FAIL, "not_sip"),
    ("HTTP", answering(lambda r: b"HTTP/1.1 400 Bad Request\r\n\r\n"), FAIL, "not_sip"),
    ("echo", echoing, FAIL, "not_sip"),
    ("flood", flooding, FAIL, "not_sip"),
    ("endless ringing", endless_ringing, PASS, "sip_answered"),
    ("endless header", endless_header, FAIL, "too_large"),
    ("damaged", answering(lambda r: b"SIP/2.0 banana\r\n\r\n"), UNKNOWN, "malformed"),
]


@pytest.mark.parametrize(("handler", "status", "reason"), [row[1:] for row in PEERS], ids=[row[0] for row in PEERS])
def test_peer(handler: Handler, status: Status, reason: str) -> None:
    facts, settings = against(handler)
    assert told(facts, settings)["pbx.transport"] == (status, reason)
    for exchange in facts.of(Exchange):
        assert sum(len(message.text) for message in exchange.messages) < 500_000
        assert len(exchange.messages) < 100
    port = host_and_port(settings.pbx or "")[1]
    assert {(each.remote_address, each.remote_port) for each in facts.of(Exchange)} == {("127.0.0.1", port)}
    assert {(each.address, each.port) for each in facts.of(Connection)} == {("127.0.0.1", port)}


def test_healthy() -> None:
    facts, settings = against(answering(ok), account_sid="acme")
    connections = facts.of(Connection)
    assert [(each.purpose, each.failure) for each in connections] == [("pbx", None)] * 2
    assert {each.connection for each in of(facts, "pbx_options")} == {each.id for each in connections}
    assert [each.purpose for each in facts.of(Exchange)] == ["pbx_options"] * 2
    for exchange in facts.of(Exchange):
        request = parse_message(unescape(exchange.messages[0].text))
        assert isinstance(request, SipRequest)
        assert request.deviations == ()
        assert request.uri == f"sip:{settings.pbx};transport=tcp"
        assert (request.header("From") or "").startswith("<sip:vsipcheck@acme.pstn.exotel.com>")
        assert request.header("To") == "<sip:127.0.0.1>"
        assert exchange.rtt_ms is not None
    findings = told(facts, settings)
    assert findings["pbx.options"] == (PASS, "allow_absent")
    assert findings["pbx.call"] == (SKIP, "not_asked")
    assert findings["pbx.codecs"] == (UNKNOWN, "unseen")


def test_sdp_in_the_answer_to_options() -> None:
    def freeswitch(request: SipRequest) -> bytes:
        return ok(request, extra=[("Content-Type", "application/sdp")], body=BOTH)

    findings = told(*against(answering(freeswitch)))
    assert (findings["pbx.codecs"], findings["pbx.dtmf"]) == ((PASS, "both_listed"), (PASS, "listed"))


def test_nothing_is_asked_where_no_pbx_was_given() -> None:
    async def run() -> Facts:
        network = HostNetwork()
        record = Recorder("pbx", network.now_ms)
        await pbx_check.CHECK.measure(context_of(network, Settings(checks=("pbx",)), record), record)
        network.close()
        return as_facts({"pbx": record})

    facts = asyncio.run(run())
    assert facts.of(Connection) == []
    assert pbx_check.judge(facts, PROFILE, Settings(checks=("pbx",))) == []


def test_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        pbx = f"127.0.0.1:{unused.getsockname()[1]}"
        facts, settings = asyncio.run(measured(HostNetwork(), pbx, **CALLED))
    assert told(facts, settings)["pbx.transport"] == (FAIL, "refused")
    assert told(facts, settings)["pbx.call"] == (UNKNOWN, "not_placed")
    assert {each.purpose for each in facts.of(Exchange)} == {"pbx_udp_options"}


class UdpPbx(asyncio.DatagramProtocol):
    """SIP over UDP. It answers the second of two requests only, as after a loss."""

    def __init__(self) -> None:
        self.asked = 0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.asked += 1
        request = parse_message(data)
        assert isinstance(request, SipRequest)
        self.transport.sendto(ok(request, 100), address)
        if self.asked == 2:
            self.transport.sendto(ok(request), address)


@asynccontextmanager
async def udp_pbx() -> AsyncIterator[tuple[int, UdpPbx]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(UdpPbx, ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1], protocol
    finally:
        transport.close()


def test_udp_only() -> None:
    async def run() -> tuple[Facts, Settings]:
        async with udp_pbx() as (port, _):
            return await measured(HostNetwork(), f"127.0.0.1:{port}", timeout_s=2.0)

    facts, settings = asyncio.run(run())
    (exchange,) = of(facts, "pbx_udp_options")
    assert (exchange.transport, exchange.failure) == ("udp", None)
    assert [message.sent for message in exchange.messages] == [True, False, True, False, False]
    request = parse_message(unescape(exchange.messages[0].text))
    assert isinstance(request, SipRequest)
    assert request.top_via is not None
    assert request.top_via.transport == "UDP"
    assert told(facts, settings)["pbx.transport"] == (FAIL, "udp_only")


# --- names and addresses


def test_a_name_is_looked_up_as_the_system_does_and_its_first_ipv4_address_is_tried() -> None:
    async def run() -> tuple[Facts, Settings, FakeNetwork]:
        async with serving(answering(ok)) as port:
            network = FakeNetwork(
                names={("pbx.example.com", Family.IPV4): SystemLookup(("49.36.10.7", "49.36.10.8"), 3.0)},
                tcp={("49.36.10.7", 5061): port},
            )
            return *await measured(network, "pbx.example.com:5061"), network

    facts, settings, network = asyncio.run(run())
    assert [(each.purpose, each.name) for each in facts.of(Lookup)] == [("pbx", "pbx.example.com")]
    assert network.looked_up == [("pbx.example.com", Family.IPV4)]
    assert set(network.connects) == {("49.36.10.7", 5061)}
    left_out = [note.values["left_out"] for note in facts.of(Note) if note.topic == "addresses_left_out"]
    assert left_out == [["49.36.10.8"]]
    finding = pbx_check.judge(facts, PROFILE, settings)[0]
    assert (finding.target, finding.status) == ("pbx.example.com:5061", PASS)
    assert "(49.36.10.7, the first of 2 addresses)" in finding.summary
    assert "49.36.10.8" in (finding.settle_by or "")


def test_a_name_with_ipv6_alone() -> None:
    async def run(**settings: Any) -> FakeNetwork:
        network = FakeNetwork(
            names={("pbx.example.com", Family.IPV6): SystemLookup(("2600:1f18::7",), 3.0)},
            tcp={("2600:1f18::7", 5061): Failure.REFUSED},
        )
        await measured(network, "pbx.example.com:5061", **settings)
        return network

    assert set(asyncio.run(run()).connects) == {("2600:1f18::7", 5061)}
    assert asyncio.run(run(family=Family.IPV4)).connects == []
    assert asyncio.run(run(source="192.168.1.50")).connects == []


def test_a_name_without_an_address() -> None:
    facts, settings = asyncio.run(measured(FakeNetwork(), "pbx.example.com:5061"))
    assert facts.of(Connection) == []
    assert told(facts, settings)["pbx.transport"] == (UNKNOWN, "no_address")


@pytest.mark.parametrize(
    ("pbx", "parts"),
    [
        ("pbx.example.com:5061", ("pbx.example.com", 5061)),
        ("192.0.2.1:5060", ("192.0.2.1", 5060)),
        ("[2001:db8::1]:5061", ("2001:db8::1", 5061)),
    ],
)
def test_host_and_port(pbx: str, parts: tuple[str, int]) -> None:
    assert host_and_port(pbx) == parts


def test_the_domain_of_the_trunk() -> None:
    assert provider_domain(PROFILE, "acme") == "acme.pstn.exotel.com"
    assert provider_domain(PROFILE, None) == "pstn.exotel.com"


# --- with a call


async def taking_calls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = Line(reader, writer)
    while isinstance(message := await line.next(), SipRequest):
        match message.method:
            case "INVITE":
                line.answer(message, 100)
                line.answer(message, 180)
                line.answer(message, 200, BOTH)
            case "ACK":
                pass
            case _:
                line.answer(message, 200)


async def ignoring_options(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = Line(reader, writer)
    while isinstance(message := await line.next(), SipRequest):
        if message.method == "INVITE":
            line.answer(message, 486)


def test_a_whole_call() -> None:
    findings = told(*against(taking_calls, timeout_s=2.0, **CALLED))
    assert findings == {
        "pbx.transport": (PASS, "sip_answered"),
        "pbx.options": (PASS, "allow_absent"),
        "pbx.call": (PASS, "answered"),
        "pbx.codecs": (PASS, "both_accepted"),
        "pbx.dtmf": (PASS, "telephone_event"),
        "pbx.media_address": (WARN, "port_outside"),
        "pbx.contact": (UNKNOWN, "seen_from_inside"),
        "pbx.dialog": (PASS, "orderly"),
    }


@pytest.mark.parametrize("handler", [taking_calls, silent, closing, speaking_tls])
def test_nothing_but_the_pbx_and_where_it_wants_its_audio_gets_a_packet(handler: Handler) -> None:
    async def run() -> None:
        async with serving(handler) as port:
            network = HostNetwork()
            await measured(network, f"127.0.0.1:{port}", rtp=True, **CALLED)
            sent = {(each.address, each.protocol, each.port) for each in network.traffic().by_destination}
            own = {("127.0.0.1", "tcp", port), ("127.0.0.1", "udp", port)}
            assert sent <= own | ({("127.0.0.1", "udp", 4000)} if handler is taking_calls else set())
            assert ("127.0.0.1", "tcp", port) in sent

    asyncio.run(run())


def test_a_pbx_that_ignores_options_is_called_all_the_same() -> None:
    facts, settings = against(ignoring_options, **CALLED)
    assert told(facts, settings)["pbx.call"] == (PASS, "busy")
    assert told(facts, settings)["pbx.transport"] == (PASS, "call_answered")


@pytest.mark.parametrize("handler", [speaking_tls, greeting_ssh, echoing, flooding, closing])
def test_what_is_no_sip_server_is_not_called(handler: Handler) -> None:
    facts, settings = against(handler, **CALLED)
    assert of(facts, "pbx_invite") == []
    assert told(facts, settings)["pbx.call"] == (UNKNOWN, "not_placed")


def test_an_end_in_the_middle_loses_no_fact() -> None:
    recorded: list[Recorder] = []

    async def run() -> None:
        async with serving(silent) as port:
            network = HostNetwork()
            record = Recorder("pbx", network.now_ms)
            recorded.append(record)
            settings = Settings(checks=("pbx",), pbx=f"127.0.0.1:{port}", timeout_s=30.0)
            task = asyncio.create_task(pbx_probe.measure(context_of(network, settings, record), record))
            await record.first(Connection, lambda fact: fact.failure is None)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            network.close()

    asyncio.run(run())
    facts = as_facts({"pbx": recorded[0]}, {"pbx": "interrupted"})
    assert {each.failure for each in facts.of(Exchange)} <= {Failure.CANCELLED}
    findings = told(facts, Settings(checks=("pbx",), pbx="127.0.0.1:5061"))
    assert findings["pbx.transport"] == (UNKNOWN, "not_measured")


# --- the trunk's judges


def everything_in(facts: Facts) -> list[AnyFact]:
    return [*facts.of(Lookup), *facts.of(Connection), *facts.of(Exchange), *facts.of(Note)]


def test_the_trunk_s_judges_do_not_read_the_pbx() -> None:
    """Whatever a PBX shows, the trunk's findings stay what they are without it."""
    shown, settings = against(taking_calls, timeout_s=2.0, **CALLED)
    settings = msgspec.structs.replace(settings, checks=tuple(CHECKS))
    hidden = against(closing)[0]
    trunk = CheckEvidence(version=1, offset_ms=0.0, duration_ms=0.0, error=None, facts=())
    without = dict.fromkeys(("dns", "sip", "media", "nat", "path"), trunk)

    def judged(**more: CheckEvidence) -> dict[str, list[Any]]:
        facts = Facts({**without, **more})
        judges = {"dns": dns, "sip": sip, "media": media, "nat": nat, "path": path}
        found = {name: module.CHECK.judge(facts, PROFILE, settings) for name, module in judges.items()}
        return found | {"alg": [alg.judge_alg(facts, PROFILE, settings)]}

    plain = judged()
    for recorder in (shown, hidden):
        evidence = CheckEvidence(
            version=1, offset_ms=0.0, duration_ms=0.0, error=None, facts=tuple(everything_in(recorder))
        )
        assert evidence.facts
        assert judged(pbx=evidence) == plain


def test_a_pbx_elsewhere_changes_no_trunk_finding_of_a_whole_run() -> None:
    """Not even one that is reached by another interface, whose SYNs were lost, or that stands where the trunk does."""

    async def measured_trunk() -> Report:
        async with open_simulation(SCENARIOS["cgnat"], PROFILE) as network:
            return await run(network, PROFILE, Settings(checks=("dns", "sip", "media", "nat", "path")))

    report = asyncio.run(measured_trunk())
    trunk = next(each for each in report.evidence["sip"].facts if isinstance(each, Connection))
    lost: dict[str, Any] = {
        "failure": Failure.CONNECT_TIMEOUT,
        "waited_ms": 8000.0,
        "local_address": "10.77.0.5",
        "rtt_ms": None,
    }
    beside = CheckEvidence(
        version=1,
        offset_ms=0.0,
        duration_ms=1.0,
        error=None,
        facts=(
            connection(id="pbx.1", **lost),
            connection(id="pbx.2", local_address="100.64.7.7"),
            msgspec.structs.replace(options(says(403)), id="pbx.3"),
            connection(id="pbx.4", address=trunk.address, name=trunk.name, port=trunk.port, **lost),
        ),
    )
    with_pbx = msgspec.structs.replace(report, evidence={**report.evidence, "pbx": beside})
    assert report.findings
    assert rejudge(with_pbx).findings == rejudge(report).findings
