"""The SDP codec: RFC 4317's offers and answers, SDP as real stacks write it, deviations, and any bytes whatever."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sdp import (
    DEVIATIONS,
    MAX_MEDIA,
    MAX_SIZE,
    PCMA,
    PCMU,
    Codec,
    ConnectionData,
    Origin,
    SessionDescription,
    build_audio,
    parse_sdp,
    sdp_octets,
    telephone_event,
)
from vsipcheck.wire.sip.deviations import Grade
from vsipcheck.wire.sip.errors import TooLargeError


def crlf(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def codes(session: SessionDescription) -> set[str]:
    return {deviation.code for deviation in session.deviations}


# RFC 4317 §2.1: the offer, with its empty s= line.
RFC_4317_OFFER = crlf(
    "v=0",
    "o=alice 2890844526 2890844526 IN IP4 host.atlanta.example.com",
    "s=",
    "c=IN IP4 host.atlanta.example.com",
    "t=0 0",
    "m=audio 49170 RTP/AVP 0 8 97",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:97 iLBC/8000",
    "m=video 51372 RTP/AVP 31 32",
    "a=rtpmap:31 H261/90000",
    "a=rtpmap:32 MPV/90000",
)
# RFC 4317 §2.2: one stream is declined with port 0; the second, §3.1, is on hold.
RFC_4317_ANSWER = crlf(
    "v=0",
    "o=bob 2808844564 2808844564 IN IP4 host.biloxi.example.com",
    "s=",
    "c=IN IP4 host.biloxi.example.com",
    "t=0 0",
    "m=audio 49174 RTP/AVP 0 99",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:99 telephone-event/8000",
    "a=sendonly",
    "m=video 0 RTP/AVP 31",
    "a=rtpmap:31 H261/90000",
)
# RFC 8866 §5, abridged to what a call can hold, with a connection per section and per session.
RFC_8866 = crlf(
    "v=0",
    "o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1",
    "s=Call to John Smith",
    "i=SDP Offer #1",
    "u=http://www.jdoe.example.com/home.html",
    "e=Jane Doe <jane@jdoe.example.com>",
    "p=+1 617 555-6011",
    "c=IN IP4 198.51.100.1",
    "t=0 0",
    "m=audio 49170 RTP/AVP 0",
    "m=audio 49180 RTP/AVP 0",
    "m=video 51372 RTP/AVP 99",
    "c=IN IP6 2001:db8::2",
    "a=rtpmap:99 h263-1998/90000",
)
ASTERISK = crlf(
    "v=0",
    "o=- 1715 1715 IN IP4 192.0.2.10",
    "s=Asterisk",
    "c=IN IP4 192.0.2.10",
    "t=0 0",
    "m=audio 14532 RTP/AVP 8 0 101",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-16",
    "a=ptime:20",
    "a=maxptime:140",
    "a=sendrecv",
)
FREESWITCH = crlf(
    "v=0",
    "o=FreeSWITCH 1700000001 1700000002 IN IP4 192.0.2.20",
    "s=FreeSWITCH",
    "c=IN IP4 192.0.2.20",
    "t=0 0",
    "m=audio 26734 RTP/AVP 0 8 101 13",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    "a=ptime:20",
)
BARESIP = crlf(
    "v=0",
    "o=- 3870000000 3870000000 IN IP4 192.0.2.30",
    "s=-",
    "c=IN IP4 192.0.2.30",
    "t=0 0",
    "a=tool:baresip 3.1.0",
    "m=audio 10034 RTP/AVP 0 8 101",
    "b=AS:125",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    "a=sendrecv",
    "a=label:1",
    "a=rtcp-rsize",
    "a=ssrc:1234 cname:sip:pbx@example.com",
    "a=ptime:20",
)
SIPP = crlf(
    "v=0",
    "o=user1 53655765 2353687637 IN IP4 192.0.2.40",
    "s=-",
    "c=IN IP4 192.0.2.40",
    "t=0 0",
    "m=audio 6000 RTP/AVP 8",
    "a=rtpmap:8 PCMA/8000",
)


def test_rfc_4317_offer() -> None:
    session = parse_sdp(RFC_4317_OFFER)
    assert codes(session) == {"name_empty"}
    assert not session.errors
    assert session.origin == Origin("alice", "2890844526", "2890844526", "IN", "IP4", "host.atlanta.example.com")
    assert session.timings == ((0, 0),)
    audio = session.audio
    assert audio is not None
    assert audio is session.media[0]
    assert (audio.port, audio.port_count, audio.protocol, audio.formats) == (49170, 1, "RTP/AVP", ("0", "8", "97"))
    assert audio.codecs == (PCMU, PCMA, Codec(97, "iLBC", 8000))
    assert session.media_address(audio) == "host.atlanta.example.com"
    assert audio.has("pcma")
    assert not audio.has("G729")
    assert (audio.direction, audio.ptime_ms, audio.rtcp_port) == ("sendrecv", None, None)


def test_rfc_4317_answer() -> None:
    session = parse_sdp(RFC_4317_ANSWER)
    assert session.audio is not None
    assert session.audio.direction == "sendonly"
    assert session.audio.codec("telephone-event") == Codec(99, "telephone-event", 8000)
    assert session.media[1].port == 0


def test_rfc_8866_connections() -> None:
    session = parse_sdp(RFC_8866)
    assert not session.deviations
    assert session.name == "Call to John Smith"
    assert [session.media_address(media) for media in session.media] == ["198.51.100.1", "198.51.100.1", "2001:db8::2"]
    assert session.media[2].connection == ConnectionData("IN", "IP6", "2001:db8::2")


@pytest.mark.parametrize(
    ("data", "encodings", "ptime_ms", "events"),
    [
        (ASTERISK, ["PCMA", "PCMU", "telephone-event"], 20, "0-16"),
        # FreeSWITCH leaves the rtpmap of static payload types out: RFC 3551 says what they are.
        (FREESWITCH, ["PCMU", "PCMA", "telephone-event", "CN"], 20, "0-15"),
        (BARESIP, ["PCMU", "PCMA", "telephone-event"], 20, "0-15"),
        (SIPP, ["PCMA"], None, None),
    ],
    ids=["asterisk", "freeswitch", "baresip", "sipp"],
)
def test_real_stacks(data: bytes, encodings: list[str], ptime_ms: int | None, events: str | None) -> None:
    session = parse_sdp(data)
    assert not session.deviations
    assert session.audio is not None
    assert [codec.encoding for codec in session.audio.codecs] == encodings
    assert session.audio.ptime_ms == ptime_ms
    dtmf = session.audio.codec("telephone-event")
    assert (dtmf.fmtp if dtmf else None) == events


def replaced(old: str, new: str, data: bytes = ASTERISK) -> bytes:
    assert old.encode() in data
    return data.replace(old.encode(), new.encode())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (replaced("s=Asterisk\r\n", ""), {"name_missing"}),
        (replaced("c=IN IP4 192.0.2.10\r\n", ""), {"connection_missing"}),
        (replaced("o=- 1715 1715 IN IP4 192.0.2.10\r\n", ""), {"origin_missing"}),
        (replaced("t=0 0\r\n", ""), {"timing_missing"}),
        (replaced("t=0 0", "t=now"), {"timing_malformed"}),
        (replaced("v=0\r\n", ""), {"version_missing"}),
        (replaced("v=0", "v=1"), {"version_unknown"}),
        (replaced("o=- 1715 1715", "o=- one 1715"), {"origin_malformed"}),
        (replaced("o=- 1715 1715 IN IP4 192.0.2.10", "o=- 1715"), {"origin_malformed"}),
        (replaced("s=Asterisk\r\nc=IN IP4 192.0.2.10", "c=IN IP4 192.0.2.10\r\ns=Asterisk"), {"order_wrong"}),
        (replaced("a=sendrecv\r\n", "a=sendrecv\r\nt=0 0\r\n"), {"order_wrong"}),
        (replaced("t=0 0\r\n", "t=0 0\r\nc=IN IP4 192.0.2.11\r\n"), {"line_repeated"}),
        (replaced("c=IN IP4 192.0.2.10", "c=IN IP6 192.0.2.10"), {"connection_malformed"}),
        (replaced("c=IN IP4 192.0.2.10", "c=IN IP4 192.0.2"), {"connection_malformed"}),
        (replaced("c=IN IP4 192.0.2.10", "c=192.0.2.10"), {"connection_malformed"}),
        (replaced("\r\n", "\n"), {"bare_lf"}),
        (ASTERISK[:-2], {"line_end_missing"}),
        (replaced("t=0 0\r\n", "t=0 0\r\n\r\n"), {"empty_line"}),
        (replaced("t=0 0\r\n", "t=0 0\r\nhello\r\n"), {"line_malformed"}),
        (replaced("t=0 0\r\n", "t=0 0\r\nq=0\r\n"), {"line_unknown"}),
        (replaced("c=IN", "c= IN"), {"space_after_equals"}),
        (replaced("s=Asterisk", "s= "), set()),
        (replaced("s=Asterisk", "s=a\0b"), {"nul_bytes"}),
        (replaced("s=Asterisk", "s=a\rb"), {"bare_cr"}),
        (ASTERISK.replace(b"s=Asterisk", b"s=\xe9"), {"not_utf8"}),
        (replaced("m=audio 14532 RTP/AVP 8 0 101", "m=audio 14532  RTP/AVP 8 0 101"), {"media_malformed"}),
        (replaced("m=audio 14532", "m=audio x"), {"media_malformed"}),
        (replaced("m=audio 14532", "m=audio 70000"), {"port_out_of_range"}),
        (replaced("RTP/AVP 8 0 101", "RTP/AVP 8 0 101 200"), {"payload_type_malformed"}),
        (replaced("RTP/AVP 8 0 101", "RTP/AVP 8 0 8 101"), {"payload_type_repeated"}),
        (replaced("RTP/AVP 8 0 101", "RTP/AVP 8 101"), {"rtpmap_without_format"}),
        (replaced("RTP/AVP 8 0 101", "RTP/AVP 8 0"), {"rtpmap_without_format", "fmtp_without_format"}),
        (replaced("RTP/AVP 8 0 101", "RTP/AVP 8 0 101 96"), {"rtpmap_missing"}),
        (replaced("a=rtpmap:8 PCMA/8000", "a=rtpmap:8 G729/8000"), {"rtpmap_contradicts"}),
        (replaced("a=rtpmap:8 PCMA/8000", "a=rtpmap:8 PCMA/16000"), {"rtpmap_contradicts"}),
        (replaced("a=rtpmap:8 PCMA/8000", "a=rtpmap:8 PCMA/8000/2"), {"rtpmap_contradicts"}),
        (replaced("a=rtpmap:8 PCMA/8000", "a=rtpmap:8 pcma/8000/1"), set()),
        (replaced("a=rtpmap:8 PCMA/8000", "a=rtpmap:8 PCMA"), {"rtpmap_malformed"}),
        (replaced("a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000"), {"rtpmap_repeated"}),
        (replaced("a=fmtp:101 0-16", "a=fmtp:0-16"), {"fmtp_malformed"}),
        (replaced("a=sendrecv", "a=sendrecv\r\na=sendonly"), {"direction_repeated"}),
        (replaced("a=ptime:20", "a=ptime:soon"), {"attribute_malformed"}),
        (replaced("a=ptime:20", "a=ptime:20\r\na=ptime:30"), {"attribute_repeated"}),
        (replaced("a=ptime:20", "a=rtcp:99999"), {"rtcp_malformed"}),
        (replaced("a=ptime:20", "a=:20"), {"attribute_malformed"}),
    ],
)
def test_deviations(data: bytes, expected: set[str]) -> None:
    session = parse_sdp(data)
    assert codes(session) == expected
    # Whatever is wrong in one line, the rest is still read.
    assert session.audio is not None
    assert session.audio.has("PCMA") != ("rtpmap_contradicts" in expected)


@pytest.mark.parametrize(
    ("codec", "name", "contradicted"),
    [
        (Codec(8, "PCMA", 8000), "PCMA", None),
        (Codec(8, "pcma", 8000), "PCMA", None),
        (Codec(8, "PCMA", 16000), "PCMA/16000", "PCMA/8000"),
        (Codec(8, "PCMA", 8000, 2), "PCMA/8000/2", "PCMA/8000"),
        (Codec(8, "PCMU", 8000), "PCMU", "PCMA/8000"),
        (Codec(98, "PCMA", 8000), "PCMA", None),
        (Codec(98, "PCMU", 16000), "PCMU/16000", None),
        (Codec(6, "DVI4", 16000), "DVI4", None),
        (Codec(5, "DVI4", 16000), "DVI4", "DVI4/8000"),
        (Codec(111, "opus", 48000, 2), "OPUS", None),
        (Codec(97, "telephone-event", 16000), "TELEPHONE-EVENT", None),
        (Codec(99, None, None), "PAYLOAD TYPE 99", None),
    ],
)
def test_names_of_codecs(codec: Codec, name: str, contradicted: str | None) -> None:
    assert (codec.name, codec.contradicted) == (name, contradicted)


PARTS = b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n\r\n" + ASTERISK + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("content_type", "body", "octets"),
    [
        ("application/sdp", ASTERISK, ASTERISK),
        ("Application/SDP ; charset=utf-8", ASTERISK, ASTERISK),
        (None, ASTERISK, ASTERISK),
        ("multipart/mixed;boundary=b", PARTS, ASTERISK),
        ("multipart/mixed;boundary=b", b"--b\r\n\r\nhello\r\n--b--", b""),
        ("text/plain", ASTERISK, b""),
    ],
)
def test_the_description_in_a_body(content_type: str | None, body: bytes, octets: bytes) -> None:
    assert sdp_octets(content_type, body) in (octets, octets + b"\r\n")


def test_deviations_name_their_line() -> None:
    session = parse_sdp(replaced("a=ptime:20", "a=ptime:soon"))
    assert [(deviation.code, deviation.line) for deviation in session.deviations] == [("attribute_malformed", 11)]


def test_direction_of_the_session_holds_for_its_sections() -> None:
    session = parse_sdp(replaced("t=0 0\r\n", "t=0 0\r\na=inactive\r\na=fingerprint:sha-256 00\r\n", SIPP))
    assert session.audio is not None
    assert session.audio.is_plain
    assert session.audio.direction == "inactive"
    assert session.audio.has_fingerprint


def test_encrypted_media() -> None:
    session = parse_sdp(
        replaced("RTP/AVP 8", "RTP/SAVP 8", SIPP) + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n"
    )
    assert session.audio is not None
    assert (session.audio.is_encrypted, session.audio.has_crypto, session.audio.has_fingerprint) == (True, True, False)
    assert session.audio.has("PCMA")


def test_what_stands_beside_speech() -> None:
    names = ("PCMA", "red", "CN", "Telephone-Event", "rtx", None)
    assert [Codec(96, name, 8000).is_speech for name in names] == [True, False, False, False, False, True]


def test_formats_of_other_protocols_are_no_codecs() -> None:
    session = parse_sdp(SIPP + crlf("m=image 4000 udptl t38", "a=T38FaxVersion:0"))
    assert session.media[1].codecs == ()
    assert not session.deviations


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"hello", b"\xff\x00", b"INVITE sip:a@b SIP/2.0\r\n"])
def test_what_is_no_session_description(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_sdp(data)


def test_caps() -> None:
    with pytest.raises(TooLargeError):
        parse_sdp(b"a" * (MAX_SIZE + 1))
    with pytest.raises(TooLargeError):
        parse_sdp(b"m=audio 1 RTP/AVP 0\r\n" * (MAX_MEDIA + 1))
    assert len(parse_sdp(b"x\r\n" * 1000 + b"v=0\r\n").deviations) == 64


# RFC 8866 line by line, as the provider's guide prints an offer, and with the s= that its samples lack.
OFFER = crlf(
    "v=0",
    "o=root 7 7 IN IP4 203.0.113.5",
    "s=-",
    "c=IN IP4 203.0.113.5",
    "t=0 0",
    "m=audio 37456 RTP/AVP 8 0 96",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:96 telephone-event/8000",
    "a=fmtp:96 0-15",
    "a=sendrecv",
    "a=rtcp:37457",
    "a=ptime:20",
)


def test_build_audio() -> None:
    built = build_audio(
        "203.0.113.5", 37456, [PCMA, PCMU, telephone_event(96)], rtcp_port=37457, username="root", session_id=7
    )
    assert built == OFFER
    session = parse_sdp(built)
    assert not session.deviations
    assert session.audio is not None
    assert (session.audio.rtcp_port, session.audio.maxptime_ms) == (37457, None)


def test_build_audio_ipv6() -> None:
    session = parse_sdp(build_audio("2001:db8::7", 0, [Codec(97, "opus", 48000, 2)], maxptime_ms=60, session_version=9))
    assert not session.deviations
    assert session.connection == ConnectionData("IN", "IP6", "2001:db8::7")
    assert session.audio is not None
    assert session.audio.codecs == (Codec(97, "opus", 48000, 2),)
    assert session.audio.maxptime_ms == 60


@pytest.mark.parametrize(
    ("address", "port", "codecs", "more"),
    [
        ("pbx.example.com", 4000, [PCMA], {}),
        ("192.0.2.1", 70000, [PCMA], {}),
        ("192.0.2.1", 4000, [], {}),
        ("192.0.2.1", 4000, [Codec(96, None, None)], {}),
        ("192.0.2.1", 4000, [Codec(200, "PCMA", 8000)], {}),
        ("192.0.2.1", 4000, [PCMA], {"direction": "both"}),
        ("192.0.2.1", 4000, [PCMA], {"session_name": "a\r\nm=video 1 RTP/AVP 31"}),
        ("192.0.2.1", 4000, [PCMA], {"username": "\ud800"}),
    ],
)
def test_build_audio_refuses(address: str, port: int, codecs: list[Codec], more: dict[str, str]) -> None:
    with pytest.raises(WireError):
        build_audio(address, port, codecs, **more)  # type: ignore[arg-type]


def read_everything(session: SessionDescription) -> None:
    for media in session.media:
        assert media.direction
        assert media.codecs is not None
        _ = (media.ptime_ms, media.maxptime_ms, media.rtcp_port, media.has_crypto, media.has_fingerprint)
        _ = (session.media_address(media), media.has("PCMA"), media.is_encrypted)
    assert {deviation.code for deviation in session.deviations} <= DEVIATIONS.keys()
    assert all(isinstance(deviation.grade, Grade) for deviation in session.deviations)


_PIECES = st.sampled_from(
    [*ASTERISK.splitlines(keepends=True), b"m=", b"a=rtpmap:", b"a=fmtp:", b"a=rtcp:", b"c=IN IP4 ", b" ", b"/", b"\n"]
)


@given(
    st.one_of(st.binary(max_size=400), st.lists(st.one_of(_PIECES, st.binary(max_size=8)), max_size=30).map(b"".join))
)
@example(b"m=audio 1 RTP/AVP " + "\u0663".encode() + b"\r\na=rtpmap:\xd9\xa3 X/8000\r\na=rtcp:\xd9\xa3\r\n")
@example(b"c=IN IP4 :\r\nm=\r\na=ptime:\r\n")
def test_any_bytes_give_a_value_or_wire_error(data: bytes) -> None:
    try:
        session = parse_sdp(data)
    except WireError:
        return
    read_everything(session)
