"""NAT-PMP: the bytes of RFC 6886 §3, and whatever else a router may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.wire import natpmp
from vsipcheck.wire.errors import WireError

# RFC 6886 §3.2, field by field: vers 0, OP 128 + 0, result, seconds since the start of the epoch, external address.
ANSWER = bytes.fromhex("00 80 0000 00000e10 c6336407")


def test_request_is_two_bytes() -> None:
    assert natpmp.address_request() == b"\x00\x00"


def test_answer() -> None:
    assert natpmp.decode_address(ANSWER) == natpmp.ExternalAddress(0, 3600, "198.51.100.7")


@pytest.mark.parametrize(
    ("data", "result", "name"),
    [
        ("00 80 0003 00000001", 3, "network failure"),
        ("00 80 0003 00000001 00000000", 3, "network failure"),
        ("00 80 0002 00000001", 2, "not authorized"),
        ("00 80 0001 00000001", 1, "unsupported version"),
        ("00 80 00ff 00000001", 255, "result 255"),
        # RFC 6887 §9: a PCP server that knows no NAT-PMP answers in its own version.
        ("02 80 0001 00000001", 1, "unsupported version"),
    ],
)
def test_errors_have_no_address(data: str, result: int, name: str) -> None:
    answer = natpmp.decode_address(bytes.fromhex(data))
    assert (answer.result, answer.address, answer.result_name) == (result, None, name)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        ANSWER[:7],
        ANSWER[:11],  # success, cut short
        ANSWER + b"\0",
        bytes((0, 129)) + ANSWER[2:],  # the answer to a mapping request
        bytes((0, 0)) + ANSWER[2:],  # a request
        bytes((2, 0)) + ANSWER[2:],
        ANSWER[:2] + b"\0\1" + bytes(2000),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        natpmp.decode_address(data)


def test_round_trip() -> None:
    assert natpmp.encode_address(natpmp.decode_address(ANSWER)) == ANSWER


@given(st.binary(max_size=1300))
def test_any_bytes_give_a_value_or_wire_error(data: bytes) -> None:
    try:
        answer = natpmp.decode_address(data)
    except WireError:
        return
    assert (answer.address is not None) == (answer.result == 0)
