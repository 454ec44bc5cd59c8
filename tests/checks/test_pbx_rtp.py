"""RTP in a test call: where it goes and where it does not, and what is counted of what returns."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from checks.fake_pbx import BOTH, Called, Line, call, sdp

from vsipcheck.checks.pbx import rtp as pbx_rtp
from vsipcheck.checks.pbx.rtp import MediaTarget, RtpSession, Withheld, media_target
from vsipcheck.checks.pbx.sdp import read_sdp
from vsipcheck.model import Failure, Family, Note
from vsipcheck.net import Datagram
from vsipcheck.net.host import HostNetwork
from vsipcheck.wire.rtp import PCMA_TONE, PCMU_TONE, parse_rtp, rtp_packet

SSRC = 0x12345678
BINDING = bytes.fromhex("000100002112a442") + bytes(12)
# RFC 5506, RFC 4585: feedback without a report before it.
FEEDBACK = bytes.fromhex("81cd0003") + bytes(12)
REPORT = bytes.fromhex("80c80006") + bytes(24)

# Where RTP may go.


@pytest.mark.parametrize(
    ("answer", "pbx", "target"),
    [
        (sdp("8", address="203.0.113.9"), "203.0.113.5", MediaTarget("203.0.113.9", 4000, 8, "PCMA")),
        (sdp("8", address="8.8.8.8"), "9.9.9.9", MediaTarget("8.8.8.8", 4000, 8, "PCMA")),
        (sdp("8", address="8.8.8.8"), "192.168.1.9", MediaTarget("8.8.8.8", 4000, 8, "PCMA")),
        (sdp("8", address="10.0.0.1"), "192.168.1.9", MediaTarget("10.0.0.1", 4000, 8, "PCMA")),
        (sdp("8", address="127.0.0.1"), "127.0.0.1", MediaTarget("127.0.0.1", 4000, 8, "PCMA")),
        (sdp("8", address="9.9.9.9", port=53), "9.9.9.9", MediaTarget("9.9.9.9", 53, 8, "PCMA")),
        (sdp("0", "8", address="9.9.9.9"), "9.9.9.9", MediaTarget("9.9.9.9", 4000, 0, "PCMU")),
        (sdp("18", "8", address="9.9.9.9"), "9.9.9.9", MediaTarget("9.9.9.9", 4000, 8, "PCMA")),
        (sdp("98 PCMA/8000", address="9.9.9.9"), "9.9.9.9", MediaTarget("9.9.9.9", 4000, 98, "PCMA")),
        (sdp("8", address="::ffff:9.9.9.9", port=53), "9.9.9.9", MediaTarget("9.9.9.9", 53, 8, "PCMA")),
        (sdp("8", address="2600:0:0::9", port=53), "2600::9", MediaTarget("2600::9", 53, 8, "PCMA")),
        (sdp("8", address="9.9.9.9", extra="a=recvonly\r\n"), "9.9.9.9", MediaTarget("9.9.9.9", 4000, 8, "PCMA")),
    ],
)
def test_where_rtp_goes(answer: bytes, pbx: str, target: MediaTarget) -> None:
    assert media_target(read_sdp(answer), pbx) == target


@pytest.mark.parametrize(
    ("answer", "pbx", "why"),
    [
        (b"", "9.9.9.9", "no_sdp"),
        (b"v=0\r\n", "9.9.9.9", "no_audio"),
        (sdp("8", address="9.9.9.9", protocol="udptl"), "9.9.9.9", "no_audio"),
        (sdp("8", address="9.9.9.9", protocol="TCP/RTP/AVP"), "9.9.9.9", "no_audio"),
        (sdp("8", address="9.9.9.9", port=0), "9.9.9.9", "stream_refused"),
        (sdp("8", address="9.9.9.9", protocol="RTP/SAVP"), "9.9.9.9", "encrypted"),
        (sdp("8", address="9.9.9.9", extra="a=sendonly\r\n"), "9.9.9.9", "direction"),
        (sdp("8", address="9.9.9.9", extra="a=inactive\r\n"), "9.9.9.9", "direction"),
        (sdp("18", address="9.9.9.9"), "9.9.9.9", "no_g711"),
        (sdp("8 PCMA/16000", address="9.9.9.9"), "9.9.9.9", "no_g711"),
        (sdp("98 PCMA/8000/2", address="9.9.9.9"), "9.9.9.9", "no_g711"),
        (sdp("8", address="media.example.com"), "9.9.9.9", "no_address"),
        (sdp("8", address="::1"), "127.0.0.1", "other_family"),
        (sdp("8", address="::ffff:192.168.1.9"), "9.9.9.9", "another_kind"),
        (sdp("8", address="::ffff:0.0.0.0"), "9.9.9.9", "not_unicast"),
        (sdp("8", address="0.0.0.0"), "9.9.9.9", "not_unicast"),
        (sdp("8", address="0.0.0.0"), "127.0.0.1", "not_unicast"),
        (sdp("8", address="224.2.1.1"), "9.9.9.9", "not_unicast"),
        (sdp("8", address="239.0.0.1"), "192.168.1.9", "not_unicast"),
        (sdp("8", address="255.255.255.255"), "192.168.1.9", "not_unicast"),
        (sdp("8", address="240.0.0.1"), "240.0.0.2", "not_unicast"),
        (sdp("8", address="192.168.1.9"), "9.9.9.9", "another_kind"),
        (sdp("8", address="127.0.0.1"), "9.9.9.9", "another_kind"),
        (sdp("8", address="127.0.0.1"), "192.168.1.9", "another_kind"),
        (sdp("8", address="169.254.169.254"), "192.168.1.9", "another_kind"),
        (sdp("8", address="100.64.0.1"), "192.168.1.9", "another_kind"),
        (sdp("8", address="192.168.1.9"), "127.0.0.1", "another_kind"),
        (sdp("8", address="8.8.8.8", port=53), "9.9.9.9", "well_known_port"),
        (sdp("8", address="8.8.8.8", port=123), "192.168.1.9", "well_known_port"),
    ],
)
def test_where_rtp_does_not_go(answer: bytes, pbx: str, why: str) -> None:
    found = media_target(read_sdp(answer), pbx)
    assert isinstance(found, Withheld)
    assert found.why == why
    assert found.text


# Whole calls.


class MediaServer:
    """The PBX's RTP port: what it hears, and an answer to each packet."""

    def __init__(self, network: HostNetwork, reply: Callable[[bytes], Sequence[bytes]]) -> None:
        socket = network.udp_socket(Family.IPV4, source="127.0.0.1")
        assert not isinstance(socket, Failure)
        self.socket = socket
        self.reply = reply
        self.heard: list[Datagram] = []

    @property
    def port(self) -> int:
        return self.socket.local[1]

    async def serve(self) -> None:
        while True:
            for arrival in await self.socket.receive(5.0):
                if isinstance(arrival, Datagram):
                    self.heard.append(arrival)
                    for data in self.reply(arrival.data):
                        self.socket.send(data, arrival.address, arrival.port)


def called_with_media(
    reply: Callable[[bytes], Sequence[bytes]],
    *,
    formats: Sequence[str] = ("8 PCMA/8000", "0 PCMU/8000"),
    early: bytes | None = None,
    answer: Callable[[int], bytes] | None = None,
    **settings: object,
) -> tuple[Called, MediaServer]:
    async def run() -> tuple[Called, MediaServer]:
        network = HostNetwork()
        server = MediaServer(network, reply)
        serving = asyncio.create_task(server.serve())
        body = answer(server.port) if answer else sdp(*formats, port=server.port)

        async def script(line: Line) -> None:
            invite = await line.request("INVITE")
            offer = read_sdp(invite.body)
            assert offer is not None
            assert offer.audio is not None
            if early is not None:
                line.answer(invite, 183, body)
                assert offer.audio.port is not None
                server.socket.send(early, "127.0.0.1", offer.audio.port)
            line.answer(invite, 200, body)
            await line.request("ACK")
            line.answer(await line.request("BYE"), 200)

        try:
            return await call(script, rtp=True, **settings), server  # type: ignore[arg-type]
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            network.close()

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def few_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pbx.rtp", "pbx.call"):
        monkeypatch.setattr(f"vsipcheck.checks.{module}.PACKETS", 10)
        monkeypatch.setattr(f"vsipcheck.checks.{module}.PACKET_MS", 4)
        monkeypatch.setattr(f"vsipcheck.checks.{module}.DRAIN_MS", 40.0)
    monkeypatch.setattr("vsipcheck.checks.pbx.call.HOLD_MS", 20.0)


def test_two_seconds_are_a_hundred_packets() -> None:
    assert pbx_rtp._TONES["PCMA"] == PCMA_TONE * 20
    assert pbx_rtp._TONES["PCMU"] == PCMU_TONE * 20


def test_an_echo_is_counted_and_known_again() -> None:
    called, server = called_with_media(lambda data: [data])
    values = called.media
    assert (values["sent"], values["send_failure"], values["withheld"]) == (10, None, None)
    assert values["target"] == {"address": "127.0.0.1", "port": server.port}
    assert (values["payload_type"], values["encoding"]) == (8, "PCMA")
    assert values["received"] == values["tone_packets"] == values["own_ssrc_packets"] == 10
    assert values["sources"] == [{"address": "127.0.0.1", "port": server.port, "packets": 10, "as_answered": True}]
    assert values["payload_types"] == {"8": 10}
    assert (values["expected"], values["missing"], values["loss_ratio"], values["reordered"]) == (10, 0, 0.0, 0)
    assert values["ptime_ms"] == 20.0
    assert values["jitter_ms"] is not None
    assert values["late_max_ms"] >= values["late_p95_ms"] >= 0
    assert values["received_early"] == 0
    assert values["first_packet_ms"] is not None
    assert (values["rtcp"], values["stun"], values["other"], values["icmp"]) == (0, 0, 0, [])
    packets = [parse_rtp(each.data) for each in server.heard]
    assert [each.marker for each in packets] == [True] + [False] * 9
    assert {(after.sequence - before.sequence) & 0xFFFF for before, after in itertools.pairwise(packets)} == {1}
    assert {(after.timestamp - before.timestamp) & 0xFFFFFFFF for before, after in itertools.pairwise(packets)} == {160}
    assert {each.payload for each in packets} == {PCMA_TONE * 20}
    # RTP leaves the very socket that the offer names.
    assert {each.port for each in server.heard} == {values["local_port"]} == {called.note["rtp_port"]}


def test_pcmu_is_sent_where_pcmu_was_chosen() -> None:
    called, server = called_with_media(lambda data: [], formats=("0 PCMU/8000",))
    assert (called.media["payload_type"], called.media["encoding"]) == (0, "PCMU")
    assert {parse_rtp(each.data).payload for each in server.heard} == {PCMU_TONE * 20}
    assert called.media["received"] == 0
    for name in ("ptime_ms", "jitter_ms", "expected", "loss_ratio", "first_packet_ms", "stream_packets"):
        assert called.media[name] is None


def test_other_datagrams_are_counted_apart() -> None:
    called, _ = called_with_media(lambda data: [BINDING, REPORT, FEEDBACK, b"", b"\0garbage"])
    values = called.media
    assert (values["received"], values["stun"], values["rtcp"], values["other"]) == (0, 10, 20, 20)


def test_early_media_is_parted_from_the_calls_own() -> None:
    early = rtp_packet(payload_type=8, sequence=1, timestamp=1, ssrc=SSRC, payload=b"\xd5" * 160)
    called, _ = called_with_media(lambda data: [], early=early)
    # Both travel at once, and the answer may be read first.
    assert called.media["received"] == 1
    assert called.media["received_early"] + called.media["received_after"] == 1
    assert called.media["own_ssrc_packets"] == 0


def test_a_closed_port_is_told() -> None:
    def answer(port: int) -> bytes:
        return sdp("8 PCMA/8000", "0", port=4)

    called, _ = called_with_media(lambda data: [], answer=answer)
    assert {each["failure"] for each in called.media["icmp"]} == {"port_unreachable"}


@pytest.mark.parametrize("address", ["192.168.7.7", "8.8.8.8", "224.2.1.1", "0.0.0.0", "::1", "x.example.com"])
def test_nothing_is_sent_where_it_must_not(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(RtpSession, "stream", lambda self, target, keep_on: _note_target(sent, target))
    called, _ = called_with_media(
        lambda data: [], answer=lambda port: sdp("8 PCMA/8000", "0", address=address, port=port)
    )
    values = called.media
    assert values["sent"] == 0
    assert bool(sent) == (address == "8.8.8.8")  # public: where the answer wants it
    assert (values["withheld"] is None) == (address == "8.8.8.8")
    assert [note.topic for note in called.facts.of(Note)] == ["pbx_rtp", "pbx_call"]


async def _note_target(sent: list[Any], target: MediaTarget) -> None:
    sent.append(target)


def test_rtp_is_not_sent_unless_asked_for() -> None:
    async def run() -> tuple[Called, list[Any]]:
        network = HostNetwork()
        server = MediaServer(network, lambda data: [])
        serving = asyncio.create_task(server.serve())

        async def script(line: Line) -> None:
            line.answer(await line.request("INVITE"), 200, sdp("8", "0", port=server.port))
            await line.request("ACK")
            line.answer(await line.request("BYE"), 200)

        try:
            return await call(script), server.heard
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            network.close()

    called, heard = asyncio.run(run())
    assert heard == []
    assert [note.topic for note in called.facts.of(Note)] == ["pbx_call"]


def test_rtp_stops_with_the_call() -> None:
    async def run() -> Called:
        async def script(line: Line) -> None:
            invite = await line.request("INVITE")
            line.answer(invite, 200, BOTH)
            await line.request("ACK")
            line.ask(invite, "BYE")
            assert (await line.response()).status == 200

        return await call(script, rtp=True)

    called = asyncio.run(run())
    assert called.media["sent"] < 10
    assert called.note["hung_up_by"] == "pbx"


# The figures, by hand.


def heard_at(
    arrivals: Sequence[tuple[int, int, float]],
    *,
    payload_type: int = 8,
    ssrc: int = SSRC,
    address: str = "192.0.2.1",
    payload: bytes = b"\xd5" * 160,
    marker: bool = False,
) -> list[Datagram]:
    return [
        Datagram(
            rtp_packet(
                payload_type=payload_type,
                sequence=sequence & 0xFFFF,
                timestamp=timestamp & 0xFFFFFFFF,
                ssrc=ssrc,
                payload=payload,
                marker=marker,
            ),
            address,
            4000,
            at_ms,
        )
        for sequence, timestamp, at_ms in arrivals
    ]


def figures(
    datagrams: Sequence[Datagram],
    answered_ms: float | None = 0.0,
    *,
    named: tuple[str | None, int | None] | None = None,
    sent_ms: Sequence[float] = (),
) -> dict[str, Any]:
    network = HostNetwork()
    try:
        socket = network.udp_socket(Family.IPV4, source="127.0.0.1")
        assert not isinstance(socket, Failure)
        session = RtpSession(network, socket, None, named=named, sent_ms=list(sent_ms))
        for each in datagrams:
            session._take(each)
        return session.note("pbx_invite", answered_ms).values
    finally:
        network.close()


def stream(numbers: Iterable[int], **more: Any) -> list[Datagram]:
    """Packets of one stream, each where its number has it: 20 ms of timestamp and of time for each."""
    return heard_at([(n, n * 160, n * 20.0) for n in numbers], **more)


PAUSED = heard_at([(n, (n + 40 * (n > 9)) * 160, (n + 40 * (n > 9)) * 20.0) for n in range(30)])


@pytest.mark.parametrize(
    ("came", "wanted"),
    [
        ("to the end", {"received_after": 100, "silent_end_ms": 0.0, "behind_ms": 0.0, "ends_in_comfort_noise": False}),
        ("early", {"received_early": 50, "received_after": 50, "missing": 0, "payload_types": {"8": 50}}),
        ("stops", {"received_after": 25, "silent_end_ms": 1500.0, "loss_ratio": 0.0}),
        ("pauses", {"received_after": 30, "silent_end_ms": 600.0, "behind_ms": 0.0, "loss_ratio": 0.0}),
        ("falls silent", {"silent_end_ms": 1500.0, "ends_in_comfort_noise": True}),
        ("slowly", {"silent_end_ms": 20.0, "behind_ms": 980.0, "loss_ratio": 0.0}),
        ("halved, and numbered anew", {"tone_packets": 50, "tone_expected": 97, "loss_ratio": 0.0}),
        ("an echo for a while", {"tone_packets": 50, "tone_expected": 48, "loss_ratio": 0.0}),
        ("two sources in turn", {"silent_end_ms": 0.0, "stream_packets": 60, "received_after": 100}),
        ("30 ms, with a pause", {"ptime_ms": 30.0}),
        ("by another clock, and says so", {"behind_ms": 0.0, "jitter_ms": 0.0, "jitter_max_ms": 0.0}),
        ("by another clock, far away", {"behind_ms": 0.0, "jitter_ms": 0.0}),
        ("by another clock, unannounced", {"behind_ms": -1980.0}),
        ("unevenly, and marks all", {"behind_ms": 15.0, "jitter_ms": 15.0}),
    ],
)
def test_what_came_after_the_answer(came: str, wanted: dict[str, Any]) -> None:
    tone = PCMA_TONE * 20
    streams = {
        "to the end": stream(range(100)),
        "early": [*stream(range(-50, 0), payload_type=18), *stream(range(50))],
        "stops": stream(range(25)),
        "pauses": PAUSED,
        "falls silent": [*stream(range(25)), *stream([25], payload_type=13)],
        "slowly": heard_at([(n, n * 160, n * 40.0) for n in range(50)]),
        "halved, and numbered anew": heard_at([(n, n * 320, n * 40.0) for n in range(50)], payload=tone),
        "an echo for a while": [*stream(range(50), payload=tone), *stream(range(50, 100))],
        "two sources in turn": [*stream(range(60)), *stream(range(60, 100), ssrc=9)],
        "by another clock, and says so": [
            *stream(range(50)),
            *heard_at([(50, 150 * 160, 1000.0)], marker=True),
            *heard_at([(n, (n + 100) * 160, n * 20.0) for n in range(51, 100)]),
        ],
        "by another clock, far away": [
            *stream(range(50)),
            *heard_at([(n, n * 160 + (1 << 31), n * 20.0) for n in range(50, 100)]),
        ],
        "by another clock, unannounced": heard_at([(n, (n + 99 * (n > 49)) * 160, n * 20.0) for n in range(100)]),
        "unevenly, and marks all": heard_at([(n, n * 160, n * 20.0 + 15 * (n % 2)) for n in range(200)], marker=True),
        "30 ms, with a pause": heard_at([(n, n * 480, n * 60.0) for n in range(9)], payload=b"x" * 240),
    }
    values = figures(streams[came], sent_ms=[n * 20.0 for n in range(100)])
    assert {name: values[name] for name in wanted} == wanted


def test_the_figures_are_those_of_the_source_that_sent_most() -> None:
    main = heard_at([(1, 160, 10.0), (2, 320, 30.0), (4, 640, 70.0)])
    values = figures([*heard_at([(900, 5, 1.0)], ssrc=9), *main])
    assert (values["ssrc_count"], values["stream_packets"]) == (2, 3)
    assert (values["expected"], values["missing"], values["loss_ratio"]) == (4, 1, 0.25)
    assert (values["ptime_ms"], values["jitter_ms"]) == (20.0, 0.0)
    assert values["first_packet_ms"] == 1.0


def test_digits_do_not_disturb_the_jitter() -> None:
    # RFC 4733 §2.5.1.2: an event's packets keep the timestamp of its start.
    audio = heard_at([(1, 160, 0.0), (2, 320, 20.0), (3, 480, 40.0)])
    digits = heard_at([(4, 640, 60.0), (5, 640, 80.0)], payload_type=96)
    later = heard_at([(6, 960, 100.0)])
    values = figures([*audio, *digits, *later])
    assert (values["jitter_ms"], values["missing"]) == (0.0, 0)
    assert values["payload_types"] == {"8": 4, "96": 2}


@pytest.mark.parametrize("named", ["2600:1F18:0::1", "2600:1f18::1"])
def test_where_it_comes_from_is_compared_as_an_address(named: str) -> None:
    came = heard_at([(1, 160, 10.0)], address="2600:1f18::1")
    assert figures(came, named=(named, 4000))["sources"][0]["as_answered"] is True
    assert figures(came, named=("2600:1f18::2", 4000))["sources"][0]["as_answered"] is False


@pytest.mark.parametrize(("answered_ms", "early"), [(None, 3), (15.0, 1), (0.0, 0)])
def test_what_came_before_the_answer(answered_ms: float | None, early: int) -> None:
    values = figures(heard_at([(1, 160, 10.0), (2, 320, 30.0), (3, 480, 50.0)]), answered_ms)
    assert values["received_early"] == early


def test_a_flood_is_counted_and_its_end_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsipcheck.checks.pbx.rtp._MAX_KEPT", 50)
    values = figures(heard_at([(n, n, float(n)) for n in range(200)]), 170.0)
    assert (values["received"], values["kept"], values["stream_packets"]) == (200, 50, 30)
