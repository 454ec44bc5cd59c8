"""What a test call to a PBX records: answered, refused, silent, hostile, cut off, and cancelled."""

from __future__ import annotations

import asyncio

import pytest
from checks.fake_pbx import BOTH, TAG, Called, Line, Script, answering, call, calling, sdp

from vsipcheck.checks.pbx import check as pbx
from vsipcheck.checks.pbx.sdp import answer_to, read_sdp
from vsipcheck.model import Connection, Exchange, Failure, Note, Settings
from vsipcheck.net.host import HostNetwork
from vsipcheck.profiles import load_profile
from vsipcheck.wire.sdp import PCMA, PCMU, Codec, build_audio, telephone_event
from vsipcheck.wire.sip.building import build_answer
from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.text import unescape


def placed(script: Script, **settings: object) -> Called:
    return asyncio.run(call(script, **settings))  # type: ignore[arg-type]


async def ordinary(line: Line) -> None:
    """A telephone that rings, is picked up, and hung up by the caller."""
    invite = await line.request("INVITE")
    line.answer(invite, 100)
    line.answer(invite, 183, BOTH)
    line.answer(invite, 200, BOTH)
    await line.request("ACK")
    line.answer(await line.request("BYE"), 200)
    assert await line.rest() == []


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsipcheck.checks.pbx.call.HOLD_MS", 20.0)
    monkeypatch.setattr("vsipcheck.checks.pbx.call.REPEATS_MS", 20.0)
    monkeypatch.setattr("vsipcheck.checks.pbx.call.CANCEL_S", 0.2)
    monkeypatch.setattr("vsipcheck.checks.pbx.call.BYE_S", 0.2)
    monkeypatch.setattr("vsipcheck.checks.pbx.call._RESERVE_S", 0.4)
    monkeypatch.setattr("vsipcheck.checks.pbx.call._MIN_CALL_S", 0.05)


def test_an_ordinary_call_is_recorded_whole() -> None:
    called = placed(ordinary, host="pbx.example.com")
    assert called.said == ["> INVITE", "100", "183", "200", "> ACK", "> BYE", "200"]
    connection, exchange, note = called.facts.of(Connection)[0], called.exchange, called.note
    assert (connection.purpose, connection.attempt, connection.failure) == ("pbx", 3, None)
    assert (exchange.protocol, exchange.purpose, exchange.failure) == ("sip", "pbx_invite", None)
    assert exchange.connection == connection.id
    assert exchange.rtt_ms is not None
    assert note["exchange"] == exchange.id
    assert (note["outcome"], note["status"], note["failure"]) == ("answered", 200, None)
    assert [each["status"] for each in note["provisionals"]] == [100, 183]
    assert [each["has_body"] for each in note["provisionals"]] == [False, True]
    assert (note["hung_up_by"], note["bye_answered"], note["bye_status"]) == ("us", True, 200)
    assert note["ring_ms"] is not None
    assert note["held_ms"] is not None
    assert note["record_route"] == "returned"
    assert note["route_set"] == []
    assert note["remote_target"] == f"sip:pbx@127.0.0.1:{connection.port};transport=tcp"
    assert (note["lost_in_call"], note["interrupted"], note["messages_left_out"]) == (False, False, 0)
    # One call is enough, and no RTP was asked for.
    assert len(called.lines) == 1
    assert [each.topic for each in called.facts.of(Note)] == ["pbx_call"]


def test_the_invite_names_this_connection_and_a_socket_that_is_there() -> None:
    seen: list[SipRequest] = []

    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        seen.append(invite)
        peer = line.writer.get_extra_info("peername")
        here = f"127.0.0.1:{peer[1]}"
        assert invite.header("Record-Route") == f"<sip:{here};transport=tcp;lr>"
        assert (invite.header("Via") or "").startswith(f"SIP/2.0/TCP {here};branch=z9hG4bK")
        assert invite.header("Contact") == f"<sip:+910000000000@{here};transport=tcp>"
        assert invite.uri.startswith("sip:+912200000000@pbx.example.com:")
        assert invite.header("To") == "<sip:+912200000000@pbx.example.com>"
        assert invite.header("From") is not None
        assert "<sip:+910000000000@acme7.pstn.exotel.com>" in (invite.header("From") or "")
        assert (invite.header("X-Exotel-CallSid") or "").startswith("vsipcheck-test-")
        line.answer(invite, 486)
        await line.request("ACK")

    called = placed(script, host="pbx.example.com", account_sid="acme7")
    offer = read_sdp(seen[0].body)
    assert offer is not None
    assert offer.deviations == ()
    audio = offer.audio
    assert audio is not None
    assert audio.formats == ("8", "0", "96")
    assert (audio.port, audio.rtcp_port) == (called.note["rtp_port"], called.note["rtcp_port"])
    assert audio.codec("telephone-event") == Codec(96, "telephone-event", 8000, 1, "0-15")
    assert (audio.ptime_ms, audio.direction, audio.protocol) == (20, "sendrecv", "RTP/AVP")
    assert offer.media_address(audio) == "127.0.0.1"


@pytest.mark.parametrize("status", [302, 401, 403, 404, 486, 488, 503, 603])
def test_refusals(status: int) -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, status, headers=[("Contact", "<sip:elsewhere@192.0.2.1>")])
        ack = await line.request("ACK")
        assert ack.top_via == invite.top_via
        assert await line.rest() == []

    called = placed(script)
    assert (called.note["outcome"], called.note["status"]) == ("rejected", status)
    assert called.note["bye_answered"] is None
    assert called.exchange.failure is None
    assert len(called.facts.of(Connection)) == 1


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (BOTH, 1),
        (sdp("0 PCMU/8000"), 1),
        (sdp("0"), 1),
        (sdp("8 PCMA/8000"), 2),
        (sdp("18 G729/8000"), 2),
        (sdp("8 PCMA/8000", protocol="RTP/SAVP"), 2),
        (sdp("8 PCMA/8000", port=0), 1),
        (b"", 1),
        (b"no description", 1),
    ],
)
def test_an_answer_without_pcmu_is_followed_by_a_call_that_offers_nothing_else(answer: bytes, calls: int) -> None:
    offers: list[tuple[str, ...]] = []

    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        offer = read_sdp(invite.body)
        assert offer is not None
        assert offer.audio is not None
        offers.append(offer.audio.formats)
        line.answer(invite, 200, answer)
        await line.request("ACK")
        line.answer(await line.request("BYE"), 200)

    called = placed(script)
    assert offers == [("8", "0", "96"), ("0", "96")][:calls]
    assert [each.purpose for each in called.facts.of(Exchange)] == ["pbx_invite", "pbx_invite_pcmu"][:calls]
    assert [each.attempt for each in called.facts.of(Connection)] == [3, 4][:calls]


@pytest.mark.parametrize(
    ("early", "final", "told", "calls"),
    [
        (b"", BOTH, "final", 1),
        (sdp("8 PCMA/8000"), BOTH, "final", 1),
        (sdp("8 PCMA/8000"), b"", "provisional", 2),
        (b"", b"", None, 1),
    ],
)
def test_a_description_in_a_provisional_response_stands_for_one_that_is_left_out(
    early: bytes, final: bytes, told: str | None, calls: int
) -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 183, early)
        line.answer(invite, 200, final)
        await line.request("ACK")
        line.answer(await line.request("BYE"), 200)

    called = placed(script)
    assert called.note["sdp_from"] == told
    assert len(called.lines) == calls


def test_a_telephone_that_rings_too_long_is_cancelled() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 180)
        cancel = await line.request("CANCEL")
        assert cancel.top_via == invite.top_via
        line.answer(cancel, 200)
        line.answer(invite, 487)
        await line.request("ACK")

    called = placed(script, ring_s=0.05)
    note = called.note
    assert (note["outcome"], note["status"], note["cancel_status"]) == ("rang_too_long", 487, 200)
    assert note["ring_limit_ms"] == 50
    assert called.said == ["> INVITE", "180", "> CANCEL", "200", "487", "> ACK"]


def test_an_answer_that_crosses_the_cancel_is_hung_up() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 180)
        cancel = await line.request("CANCEL")
        line.answer(invite, 200, BOTH)
        line.answer(cancel, 200)
        await line.request("ACK")
        line.answer(await line.request("BYE"), 200)

    note = placed(script, ring_s=0.05).note
    assert (note["outcome"], note["status"], note["crossed"], note["bye_status"]) == ("rang_too_long", 200, True, 200)


@pytest.mark.parametrize(
    ("statuses", "outcome"), [([], "no_response"), ([100], "silent_after_trying"), ([180], "rang_too_long")]
)
def test_a_pbx_that_is_dead_after_it_is_given_up(statuses: list[int], outcome: str) -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        for status in statuses:
            line.answer(invite, status)
        assert await line.rest() == ["CANCEL"]

    called = placed(script, ring_s=0.05, timeout_s=0.05)
    assert called.note["outcome"] == outcome
    assert called.note["status"] is None
    assert called.note["cancel_status"] is None
    assert called.exchange.failure is Failure.NO_ANSWER


def test_the_ring_ends_with_the_time_of_the_run() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 180)
        assert await line.rest() == ["CANCEL"]

    # 0.4 s are kept for CANCEL and BYE.
    called = placed(script, ring_s=60.0, remaining_s=0.5)
    assert called.note["ring_limit_ms"] == pytest.approx(100, abs=1)


def test_a_ring_that_is_shorter_than_a_call_takes_holds() -> None:
    async def script(line: Line) -> None:
        line.answer(await line.request("INVITE"), 180)
        assert await line.rest() == ["CANCEL"]

    assert placed(script, ring_s=0.03).note["ring_limit_ms"] == 30.0


async def _close_at_once(line: Line) -> None:
    await line.request("INVITE")


async def _close_while_ringing(line: Line) -> None:
    line.answer(await line.request("INVITE"), 180)


@pytest.mark.parametrize("script", [_close_at_once, _close_while_ringing])
def test_a_connection_that_ends_before_the_answer(script: Script) -> None:
    called = placed(script)
    assert (called.note["outcome"], called.note["failure"]) == ("lost", "closed_early")
    assert called.exchange.failure is Failure.CLOSED_EARLY
    assert not called.note["lost_in_call"]


def test_a_connection_that_ends_within_the_call() -> None:
    async def script(line: Line) -> None:
        line.answer(await line.request("INVITE"), 200, BOTH)
        await line.request("ACK")

    called = placed(script)
    assert (called.note["outcome"], called.note["lost_in_call"]) == ("answered", True)
    assert called.note["failure"] == "closed_early"
    assert called.exchange.failure is None


def judged(called: Called) -> dict[str, tuple[str, str]]:
    """Status and reason of each finding."""
    port = called.facts.of(Connection)[0].port
    settings = Settings(checks=("pbx",), pbx=f"127.0.0.1:{port}", invite="+912200000000")
    found = pbx.judge(called.facts, load_profile("exotel-tcp-mumbai"), settings)
    return {each.id: (each.status.value, each.reason) for each in found}


@pytest.mark.parametrize("statuses", [(), (100,), (180,)])
@pytest.mark.parametrize("left", [20, len(BOTH), len(BOTH) + 40], ids=["in its body", "after its head", "in its head"])
def test_an_answer_that_is_cut_by_the_end_of_the_connection_is_none(statuses: tuple[int, ...], left: int) -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        for status in statuses:
            line.answer(invite, status)
        line.write(line.octets(invite, 200, BOTH)[:-left])

    called = placed(script)
    assert called.note["outcome"] == "lost"
    findings = judged(called)
    assert findings["pbx.call"] == ("fail", "lost_in_setup")
    assert findings["pbx.codecs"] == ("unknown", "unseen")
    assert not {"pbx.contact", "pbx.dialog", "pbx.media_address"} & findings.keys()


def test_an_answer_that_never_ends_is_none() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 180)
        line.write(line.octets(invite, 200, BOTH)[:-1])
        assert await line.rest() == ["CANCEL"]

    findings = judged(placed(script, ring_s=0.05))
    assert findings["pbx.call"] == ("unknown", "incomplete_answer")
    assert "pbx.dialog" not in findings


@pytest.mark.parametrize(
    "change", [(b"Content-Length: %d\r\n" % len(BOTH), b""), (b"Content-Length: %d" % len(BOTH), b"Content-Length: 60")]
)
def test_an_answer_whose_end_cannot_be_known_is_none(change: tuple[bytes, bytes]) -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 180)
        line.write(line.octets(invite, 200, BOTH).replace(*change))
        # What is heard is an answer all the same: it must not stay up.
        assert await line.rest() == ["ACK", "BYE"]

    called = placed(script)
    assert not called.note["lost_in_call"]
    findings = judged(called)
    assert findings["pbx.call"] == ("unknown", "garbled")
    assert findings["pbx.codecs"] == ("unknown", "unseen")
    assert not {"pbx.contact", "pbx.dialog", "pbx.media_address"} & findings.keys()


@pytest.mark.parametrize("status", [100, 180])
def test_a_call_that_is_given_up_over_garbage_did_not_ring_too_long(status: int) -> None:
    async def script(line: Line) -> None:
        line.answer(await line.request("INVITE"), status)
        line.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert await line.rest() == ["CANCEL"]

    findings = judged(placed(script))
    assert findings["pbx.call"] == ("unknown", "garbled")
    assert "pbx.dialog" not in findings


def test_the_answer_and_its_end_are_recorded_whatever_came_before() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 180)
        for number in range(60):
            line.ask(invite, "INFO", number + 1)
            await line.response()
        line.answer(invite, 200, BOTH)
        await line.request("ACK")
        line.answer(await line.request("BYE"), 200)

    called = placed(script)
    assert called.note["messages_left_out"] > 0
    findings = judged(called)
    assert (findings["pbx.call"], findings["pbx.codecs"]) == (("pass", "answered"), ("pass", "both_accepted"))
    assert findings["pbx.dialog"] == ("pass", "orderly")


def test_a_call_whose_answer_comes_again_is_held_until_it_might_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsipcheck.checks.pbx.call.REPEATS_MS", 60_000.0)

    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        for _ in range(2):
            line.answer(invite, 200, BOTH)
            await line.request("ACK")
        await asyncio.sleep(0.05)
        line.ask(invite, "BYE")
        await line.response()

    assert placed(script).note["hung_up_by"] == "pbx"


def test_the_pbx_hangs_up_first() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 200, BOTH)
        await line.request("ACK")
        line.ask(invite, "BYE")
        assert (await line.response()).status == 200
        assert await line.rest() == []

    note = placed(script).note
    assert (note["outcome"], note["hung_up_by"], note["bye_answered"]) == ("answered", "pbx", None)
    assert [each["method"] for each in note["requests"]] == ["BYE"]


def test_a_reinvite_within_the_call_is_answered() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 200, BOTH)
        await line.request("ACK")
        line.ask(invite, "INVITE", 1, sdp("8 PCMA/8000", extra="a=sendonly\r\n"))
        ok = await line.response()
        assert ok.status == 200
        answer = read_sdp(ok.body)
        assert answer is not None
        assert answer.audio is not None
        assert (answer.audio.formats, answer.audio.direction) == (("8",), "recvonly")
        first = read_sdp(invite.body)
        assert first is not None
        assert first.origin is not None
        assert answer.origin is not None
        # RFC 3264 §8.
        assert answer.origin.session_id == first.origin.session_id
        assert int(answer.origin.session_version) == int(first.origin.session_version) + 1
        line.ask(invite, "ACK", 1)
        line.ask(invite, "INFO", 2)
        assert (await line.response()).status == 200
        line.answer(await line.request("BYE"), 200)

    note = placed(script).note
    assert (note["reinvites"], note["reinvites_acknowledged"]) == (1, 1)
    assert [(each["method"], each["status"]) for each in note["requests"]] == [
        ("INVITE", 200),
        ("ACK", None),
        ("INFO", 200),
    ]


def test_an_answer_that_is_sent_again_and_again() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        for _ in range(4):
            line.answer(invite, 200, BOTH)
        for _ in range(4):
            await line.request("ACK")
        line.answer(await line.request("BYE"), 200)

    note = placed(script).note
    assert (note["answer_repeats"], note["acks"]) == (3, 4)


def test_a_bye_that_nobody_answers() -> None:
    async def script(line: Line) -> None:
        line.answer(await line.request("INVITE"), 200, BOTH)
        await line.request("ACK")
        await line.request("BYE")
        await line.rest()

    note = placed(script).note
    assert (note["outcome"], note["bye_answered"], note["bye_status"]) == ("answered", False, None)


def test_a_fork_is_hung_up() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 200, BOTH)
        line.answer(invite, 200, BOTH, tag="second")
        tags = set()
        for _ in range(4):
            request = await line.request("ACK", "BYE")
            if request.method == "BYE":
                tags.add(request.to_tag)
                line.answer(request, 200)
        assert tags == {TAG, "second"}

    assert placed(script).note["answers_elsewhere"] == 1


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not_sip"),
        (b"SSH-2.0-x\r\n", "not_sip"),
        (b"SIP/2.0 180 x\r\nX: " + b"y" * 20000, "too_large"),
        (b"SIP/2.0 180 x\r\nContent-Length: 999999\r\n\r\n", "too_large"),
        (b"\x16\x03\x01\x02\x00", "not_sip"),
    ],
)
def test_what_cannot_be_read_ends_the_call_but_leaves_nothing_ringing(data: bytes, failure: str) -> None:
    async def script(line: Line) -> None:
        line.answer(await line.request("INVITE"), 180)
        line.write(data)
        assert await line.rest() == ["CANCEL"]

    called = placed(script)
    assert (called.note["outcome"], called.note["failure"]) == ("lost", failure)
    assert called.exchange.failure == failure
    assert not called.note["interrupted"]


def test_a_flood_of_provisional_responses_is_cut_off() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        try:
            while True:
                line.answer(invite, 180, BOTH)
                await line.writer.drain()
        except ConnectionError:
            pass

    called = placed(script)
    assert called.note["failure"] == "too_large"
    assert len(called.exchange.messages) < 40
    assert called.note["messages_left_out"] > 100
    assert called.said[-1] == "> CANCEL"


def test_messages_of_other_calls_are_ignored_and_told() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        ok = build_like(invite, 200)
        line.write(ok.replace(b"Call-ID: ", b"Call-ID: x"))
        line.write(ok.replace(b"branch=z9hG4bK", b"branch=z9hG4bKx"))
        line.write(ok.replace(b"CSeq: 102", b"CSeq: 7"))
        line.answer(invite, 486)
        await line.request("ACK")

    def build_like(invite: SipRequest, status: int) -> bytes:
        lines = [
            f"SIP/2.0 {status} x",
            *(f"{name}: {invite.header(name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq")),
        ]
        return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()

    note = placed(script).note
    assert note["status"] == 486
    assert note["ignored"] == {"call_id": 1, "branch": 1, "cseq": 1}


def test_pings_are_answered() -> None:
    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.write(b"\r\n\r\n")
        assert await line.reader.readexactly(2) == b"\r\n"
        line.answer(invite, 486)
        await line.request("ACK")

    assert placed(script).note["keepalives"] == 1


def test_nobody_listens() -> None:
    network = HostNetwork()
    context, record = calling(network, Settings(checks=("pbx",), invite="1"))

    async def run() -> None:
        from vsipcheck.checks.pbx.call import measure_call

        await measure_call(context, record, host="127.0.0.1", address="127.0.0.1", port=1)

    try:
        asyncio.run(run())
    finally:
        network.close()
    connection, note = record.facts
    assert isinstance(connection, Connection)
    assert connection.failure is Failure.REFUSED
    assert isinstance(note, Note)
    assert (note.values["outcome"], note.values["failure"]) == ("not_connected", "refused")


def test_a_number_that_cannot_be_called_is_not_sent() -> None:
    async def script(line: Line) -> None:
        assert await line.rest() == []

    called = placed(script, invite="1@other.example.com")
    assert called.note["outcome"] == "not_sendable"
    assert called.facts.of(Exchange) == []


@pytest.mark.parametrize(
    ("statuses", "sent", "outcome"),
    [
        ([], ["CANCEL"], "abandoned"),
        ([100], ["CANCEL"], "abandoned"),
        ([183], ["CANCEL"], "abandoned"),
        ([200], ["ACK", "BYE"], "answered"),
    ],
)
def test_a_cancelled_call_leaves_nothing_ringing(statuses: list[int], sent: list[str], outcome: str) -> None:
    heard: list[str] = []
    network = HostNetwork()
    context, record = calling(network, Settings(checks=("pbx",), invite="1", rtp=True))

    async def run() -> None:
        from vsipcheck.checks.pbx.call import measure_call

        ready = asyncio.Event()

        async def script(line: Line) -> None:
            invite = await line.request("INVITE")
            for status in statuses:
                line.answer(invite, status, BOTH if status == 200 else b"")
            if statuses == [200]:
                heard.append((await line.request("ACK")).method)
            ready.set()
            heard.extend(await line.rest())

        async with answering(script) as (port, lines, _):
            task = asyncio.create_task(measure_call(context, record, host="127.0.0.1", address="127.0.0.1", port=port))
            await ready.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await lines[0].done.wait()

    try:
        asyncio.run(run())
    finally:
        network.close()
    assert heard == sent
    note = next(fact for fact in record.facts if isinstance(fact, Note) and fact.topic == "pbx_call")
    assert note.values["outcome"] == outcome
    assert note.values["interrupted"]
    assert any(isinstance(fact, Exchange) for fact in record.facts)


def test_every_message_can_be_read_again_from_the_report() -> None:
    called = placed(ordinary)
    messages = [parse_message(unescape(each.text)) for each in called.exchange.messages]
    assert [type(each) for each in messages].count(SipResponse) == 4
    offsets = [each.offset_ms for each in called.exchange.messages]
    assert offsets == sorted(offsets)
    assert not any(each.truncated for each in called.exchange.messages)


def test_nothing_goes_further_than_the_host_that_was_named() -> None:
    elsewhere = [("Record-Route", "<sip:192.0.2.7;lr>"), ("Contact", "<sip:x@192.0.2.8>"), ("Alert-Info", "<http://x>")]

    async def script(line: Line) -> None:
        invite = await line.request("INVITE")
        line.answer(invite, 181, headers=elsewhere)
        ok = build_answer(invite, 200, "OK", to_tag=TAG, extra=elsewhere, body=sdp("8", "0", address="192.168.9.9"))
        line.write(ok)
        ack = await line.request("ACK")
        assert ack.uri == "sip:x@192.0.2.8"
        assert ack.header("Route") == "<sip:192.0.2.7;lr>"
        line.ask(invite, "REFER", 1)
        assert (await line.response()).status == 603
        line.answer(await line.request("BYE"), 200)

    called = placed(script, rtp=True)
    assert called.destinations == [("tcp", "127.0.0.1", called.facts.of(Connection)[0].port)]
    assert called.media["withheld"] == "another_kind"


# Answers to offers within a call.


def offered(codecs: object, direction: str = "sendrecv") -> bytes:
    return build_audio("127.0.0.1", 4000, codecs, direction=direction)  # type: ignore[arg-type]


def offer(*sections: str) -> bytes:
    head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    return (head + "".join(f"{each}\r\n" for each in sections)).encode()


@pytest.mark.parametrize(
    ("sections", "media", "codecs"),
    [
        (["m=audio 5000 RTP/AVP 8"], [("audio", 4000)], (PCMA,)),
        (["m=audio 5000 RTP/AVP 18 0"], [("audio", 4000)], (PCMU,)),
        (
            ["m=audio 5000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16"],
            [("audio", 4000)],
            (PCMU, telephone_event(101, "0-16")),
        ),
        (["m=audio 5000 RTP/AVP 8", "m=video 5002 RTP/AVP 96"], [("audio", 4000), ("video", 0)], (PCMA,)),
        (["m=image 5004 udptl t38", "m=audio 5000 RTP/AVP 8"], [("image", 0), ("audio", 4000)], (PCMA,)),
        (["m=audio 5000 RTP/SAVP 8", "m=audio 5000 RTP/AVP 8"], [("audio", 0), ("audio", 4000)], (PCMA,)),
    ],
)
def test_offers_within_the_call_are_answered(
    sections: list[str], media: list[tuple[str, int]], codecs: tuple[Codec, ...]
) -> None:
    answer = answer_to(offer(*sections), offered)
    assert answer is not None
    told = read_sdp(answer)
    assert told is not None
    assert told.errors == () or all(each.code == "rtpmap_missing" for each in told.errors)
    assert [(each.media, each.port) for each in told.media] == media
    assert next(each for each in told.media if each.port).codecs == codecs


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
def test_directions_are_mirrored(theirs: str, ours: str) -> None:
    answer = answer_to(offer("m=audio 5000 RTP/AVP 8", f"a={theirs}"), offered)
    assert answer is not None
    assert f"a={ours}\r\n".encode() in answer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        offer(),
        offer("m=audio 5000 RTP/AVP 18"),
        offer("m=audio 0 RTP/AVP 8"),
        offer("m=audio 5000 RTP/SAVP 8"),
        offer("m=image 5004 udptl t38"),
        offer("m=video 5000 RTP/AVP 8"),
    ],
)
def test_offers_without_plain_g711_are_refused(data: bytes) -> None:
    assert answer_to(data, offered) is None
