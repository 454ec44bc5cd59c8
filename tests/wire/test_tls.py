"""ClientHello and what answers it: octets of RFC 8448's traces, of a real TLS server, and any others."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.tls import TlsAnswer, client_hello, read_answer

# RFC 8448 §3: the server's first record of a simple 1-RTT handshake, as far as its random goes.
SERVER_HELLO = bytes.fromhex(
    "160303005a020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e26928"
    "00130100002e00330024001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e"
    "751f0f002b00020304"
)
# RFC 8446 §6: fatal handshake_failure; §5.1: the record around it.
HANDSHAKE_FAILURE = bytes.fromhex("15030300020228")


def test_a_server_hello() -> None:
    assert read_answer(SERVER_HELLO) == TlsAnswer("server_hello")


def test_an_alert() -> None:
    assert read_answer(HANDSHAKE_FAILURE) == TlsAnswer("alert", 40)
    assert read_answer(HANDSHAKE_FAILURE + b"more") == TlsAnswer("alert", 40)


@pytest.mark.parametrize("octets", [SERVER_HELLO, HANDSHAKE_FAILURE])
def test_byte_by_byte(octets: bytes) -> None:
    told = [read_answer(octets[:end]) for end in range(len(octets) + 1)]
    first = next(index for index, answer in enumerate(told) if answer is not None)
    assert set(told[:first]) == {None}
    assert len(set(told[first:])) == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"SIP/2.0 400 Bad Request\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x17\x03\x03\x00\x02ab",  # application data before any handshake
        b"\x16\x02\x00\x00\x02\x02\x00",  # SSL 2
        b"\x16\x03\x05",
        b"\x16\x03\x03\x00\x00",
        b"\x16\x03\x03\xff\xff",
        b"\x16\x03\x03\x00\x40\x01",  # a ClientHello: an echo of ours
        b"\x15\x03\x03\x00\x03",
        b"\x15\x03\x03\x00\x02\x09\x28",
    ],
)
def test_what_is_no_tls_answer(octets: bytes) -> None:
    with pytest.raises(WireError):
        read_answer(octets)


def test_our_hello_is_no_answer() -> None:
    with pytest.raises(WireError):
        read_answer(client_hello())


def test_a_real_server_takes_the_hello_for_one() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(client_hello("pbx.example.com"))
    # Without a certificate it has nothing to shake hands with, and says so by TLS.
    with pytest.raises(ssl.SSLError, match=r"(?i)no.shared.cipher|no.suitable"):
        server.do_handshake()
    answer = read_answer(outgoing.read())
    assert answer is not None
    assert answer.kind == "alert"


def test_the_server_name_is_in_it() -> None:
    assert b"pbx.example.com" in client_hello("pbx.example.com")
    assert client_hello()[:2] == b"\x16\x03"


@pytest.mark.parametrize("name", ["", ".", "a" * 70 + ".example", "x\0y"])
def test_a_name_that_is_none(name: str) -> None:
    try:
        assert client_hello(name)
    except WireError:
        pass


@given(st.binary(max_size=64))
def test_any_bytes_give_a_value_or_a_wire_error(octets: bytes) -> None:
    try:
        assert read_answer(octets) in (None, TlsAnswer("server_hello")) or octets[0] == 21
    except WireError:
        pass
