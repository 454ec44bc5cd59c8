"""PCP's MAP: the layouts of RFC 6887 §7.1, §7.2 and §11.1, and whatever else a router may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.wire import pcp
from vsipcheck.wire.errors import WireError

NONCE = bytes(range(12))
CLIENT = "00000000000000000000ffff c0a80a02"
# Version 2, opcode 1, reserved, lifetime 1 s, client; nonce, protocol 17, reserved, ports, suggested address.
REQUEST = bytes.fromhex(
    f"02 01 0000 00000001 {CLIENT} 000102030405060708090a0b 11 000000 9c40 0000 00000000000000000000ffff 00000000"
)
ANSWER = bytes.fromhex(
    "02 81 00 00 00000078 0000000a 000000000000000000000000"
    "000102030405060708090a0b 11 000000 9c40 9c41 00000000000000000000ffff c6336407"
)


def test_request() -> None:
    assert pcp.map_request(client="192.168.10.2", nonce=NONCE, internal_port=40000, lifetime_s=1) == REQUEST


def test_removal_differs_in_the_lifetime_alone() -> None:
    removal = pcp.map_request(client="192.168.10.2", nonce=NONCE, internal_port=40000, lifetime_s=0)
    assert removal == REQUEST[:4] + bytes(4) + REQUEST[8:]


def test_answer() -> None:
    assert pcp.decode_map(ANSWER) == pcp.Mapping(0, 120, NONCE, 40000, 40001, "198.51.100.7")


@pytest.mark.parametrize(
    ("data", "result", "name"),
    [
        (ANSWER[:3] + b"\x08" + ANSWER[4:], 8, "no resources"),
        (ANSWER[:3] + b"\x07" + ANSWER[4:24], 7, "network failure"),
        (b"\x01\x81\0\x01" + ANSWER[4:24], 1, "unsupp version"),
        (bytes.fromhex("00 81 0001 00000001"), 1, "unsupp version"),  # RFC 6887 §9: NAT-PMP alone
        (ANSWER[:3] + b"\xc8" + ANSWER[4:], 200, "result 200"),
    ],
)
def test_errors_have_no_address(data: bytes, result: int, name: str) -> None:
    answer = pcp.decode_map(data)
    assert (answer.result, answer.external_address, answer.result_name) == (result, None, name)


@pytest.mark.parametrize(
    "data", [b"", ANSWER[:23], ANSWER[:24], REQUEST, b"\x02\x82" + ANSWER[2:], ANSWER + b"\0", ANSWER + bytes(2000)]
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        pcp.decode_map(data)


@pytest.mark.parametrize(
    ("client", "nonce", "port", "lifetime_s"),
    [("::1", NONCE, 1, 1), ("10.0.0.1", b"", 1, 1), ("10.0.0.1", NONCE, 0, 1), ("10.0.0.1", NONCE, 1, -1)],
)
def test_what_does_not_fit_is_refused(client: str, nonce: bytes, port: int, lifetime_s: int) -> None:
    with pytest.raises(WireError):
        pcp.map_request(client=client, nonce=nonce, internal_port=port, lifetime_s=lifetime_s)


@given(st.one_of(st.binary(max_size=1300), st.binary(max_size=100).map(lambda rest: b"\x02\x81" + rest)))
def test_any_bytes_give_a_value_or_wire_error(data: bytes) -> None:
    try:
        answer = pcp.decode_map(data)
    except WireError:
        return
    assert answer.external_address is None or answer.result == 0
