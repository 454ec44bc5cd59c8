"""The SIP edge as a client sees it that shares no code with us: plain asyncio streams."""

from __future__ import annotations

import asyncio

import pytest

from vsipcheck.sim.edge import LOOPBACK, Edge
from vsipcheck.sim.scenario import SipBehaviour

SENT_BY = "192.168.1.50:49152"
REQUEST = (
    "OPTIONS sip:pstn.in2.exotel.com SIP/2.0\r\n"
    f"Via: SIP/2.0/TCP {SENT_BY};branch=z9hG4bKabc;rport\r\n"
    "From: <sip:probe@192.168.1.50>;tag=1\r\n"
    "To: <sip:pstn.in2.exotel.com>\r\n"
    "Call-ID: a84b4c76e66710\r\n"
    "CSeq: 7 OPTIONS\r\n"
    "Max-Forwards: 70\r\n"
    "Content-Length: 0\r\n\r\n"
).encode()


def talk(behaviour: SipBehaviour, *chunks: bytes, limit: int = 1 << 16) -> bytes:
    """What a client gets that sends `chunks` and then half-closes; at most `limit` bytes of it."""

    async def run() -> bytes:
        edge = Edge(behaviour, 0.0, lambda port: ("49.36.10.7", 40000), client="192.168.1.50")
        await edge.start()
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, edge.port)
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0)
            if behaviour.kind != "endless":
                writer.write_eof()
            got = b""
            while len(got) < limit and (data := await reader.read(limit - len(got))):
                got += data
            writer.close()
            return got
        finally:
            await edge.close()

    return asyncio.run(asyncio.wait_for(run(), 10))


def header(response: bytes, name: str) -> str:
    lines = response.decode().split("\r\n")
    return next(line.partition(": ")[2] for line in lines if line.startswith(f"{name}:"))


def test_answers_with_what_rfc_3261_wants_echoed_and_where_it_saw_us() -> None:
    response = talk(SipBehaviour(kind="answer", headers=("Retry-After: 9",)), REQUEST)
    assert response.startswith(b"SIP/2.0 200 OK\r\n")
    assert response.endswith(b"\r\nContent-Length: 0\r\n\r\n")
    assert header(response, "Via") == (f"SIP/2.0/TCP {SENT_BY};branch=z9hG4bKabc;rport=40000;received=49.36.10.7")
    assert header(response, "Call-ID") == "a84b4c76e66710"
    assert header(response, "CSeq") == "7 OPTIONS"
    assert ";tag=" in header(response, "To")
    assert header(response, "Retry-After") == "9"


@pytest.mark.parametrize(
    "chunks",
    [
        [bytes((octet,)) for octet in REQUEST],
        [REQUEST + REQUEST.replace(b"CSeq: 7", b"CSeq: 8")],
        [b"\r\n\r\n" + REQUEST],
        [REQUEST.replace(b"Content-Length: 0\r\n\r\n", b"l : 4\r\n\r\nbody"), REQUEST],
        [REQUEST.replace(b";rport", b";\r\n rport")],
    ],
    ids=["byte by byte", "pipelined", "behind a ping", "with a body", "folded"],
)
def test_finds_requests_however_they_are_cut(chunks: list[bytes]) -> None:
    sent = b"".join(chunks)
    response = talk(SipBehaviour(kind="answer"), *chunks)
    assert response.count(b"SIP/2.0 200 OK\r\n") == sent.count(b"OPTIONS sip:")
    assert b";rport=40000" in response
    assert response.startswith(b"\r\n") == sent.startswith(b"\r\n\r\n")


def test_a_provisional_answer_comes_first() -> None:
    response = talk(SipBehaviour(kind="answer", provisional=(100, 183)), REQUEST)
    assert [line.split()[1] for line in response.split(b"\r\n") if line.startswith(b"SIP/2.0 ")] == [
        b"100",
        b"183",
        b"200",
    ]


@pytest.mark.parametrize(
    ("alter", "name", "expected"),
    [
        ("branch", "Via", "branch=z9hG4bK-somebody-elses"),
        ("sent_by", "Via", "SIP/2.0/TCP 49.36.10.7:40000;"),
        ("call_id", "Call-ID", "rewritten-a84b4c76e66710"),
        ("received", "Via", ";received=192.168.1.50"),
    ],
)
def test_alters_what_the_scenario_says(alter: str, name: str, expected: str) -> None:
    behaviour = SipBehaviour(kind="answer", alter=alter)  # type: ignore[arg-type]
    assert expected in header(talk(behaviour, REQUEST), name)


HIDDEN, NOBODY, PUBLIC = "192.168.1.50", "192.0.2.1", "49.36.10.7"


@pytest.mark.parametrize(
    ("alter", "sent_by", "expected"),
    [
        (None, HIDDEN, f"{HIDDEN}:49152;branch=z9hG4bKabc;received={PUBLIC}"),
        (None, NOBODY, f"{NOBODY}:49152;branch=z9hG4bKabc;received={PUBLIC}"),
        (None, PUBLIC, f"{PUBLIC}:49152;branch=z9hG4bKabc"),
        ("repaired", HIDDEN, f"{HIDDEN}:49152;branch=z9hG4bKabc"),
        ("repaired", NOBODY, f"{NOBODY}:49152;branch=z9hG4bKabc;received={PUBLIC}"),
        ("repaired", PUBLIC, f"{PUBLIC}:49152;branch=z9hG4bKabc"),
        ("received", NOBODY, f"{NOBODY}:49152;branch=z9hG4bKabc;received={PUBLIC}"),
    ],
)
def test_received_where_rfc_3261_demands_it(alter: str, sent_by: str, expected: str) -> None:
    behaviour = SipBehaviour(kind="answer", alter=alter)  # type: ignore[arg-type]
    request = REQUEST.replace(SENT_BY.encode(), f"{sent_by}:49152".encode()).replace(b";rport", b"")
    assert header(talk(behaviour, request), "Via") == f"SIP/2.0/TCP {expected}"


def test_silence_and_the_ping_of_rfc_5626() -> None:
    assert talk(SipBehaviour(kind="silent"), REQUEST, b"\r\n\r\n") == b"\r\n"
    assert talk(SipBehaviour(kind="silent", pong=False), REQUEST, b"\r\n\r\n") == b""


def test_closing() -> None:
    assert talk(SipBehaviour(kind="close"), REQUEST) == b""
    assert talk(SipBehaviour(kind="close_at_once")) == b""


@pytest.mark.parametrize(("kind", "chunks"), [("reset", [REQUEST]), ("reset_at_once", [])])
def test_resetting(kind: str, chunks: list[bytes]) -> None:
    behaviour = SipBehaviour(kind=kind)  # type: ignore[arg-type]
    with pytest.raises(OSError, match=r"reset|Broken pipe|not connected"):
        talk(behaviour, *chunks)


def test_a_web_server_in_its_place() -> None:
    response = talk(SipBehaviour(kind="http"), REQUEST)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert response.endswith(b"\r\n\r\nBad Request\n")


def test_endless_headers_have_no_end() -> None:
    response = talk(SipBehaviour(kind="endless"), REQUEST, limit=1_000_000)
    assert len(response) == 1_000_000
    assert b"\r\n\r\n" not in response


def test_a_dripping_answer_is_the_same_answer() -> None:
    whole = talk(SipBehaviour(kind="answer"), REQUEST)
    assert talk(SipBehaviour(kind="answer", drip_ms=0.0), REQUEST) == whole


def test_a_claimed_length_and_hostile_text_pass_through() -> None:
    behaviour = SipBehaviour(kind="answer", reason="\x1b[2J\u202e", headers=("X: \x00",), content_length=1 << 40)
    response = talk(behaviour, REQUEST)
    assert response.startswith(b"SIP/2.0 200 \x1b[2J\xe2\x80\xae\r\n")
    assert header(response, "Content-Length") == str(1 << 40)
