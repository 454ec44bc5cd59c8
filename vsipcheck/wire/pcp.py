"""PCP (RFC 6887): the MAP request and its answer, which is the only way to have a PCP router name its address."""

from __future__ import annotations

import enum
import ipaddress
from typing import NamedTuple

from vsipcheck.wire.errors import WireError

PORT = 5351
VERSION = 2
OP_MAP = 1
UDP = 17
NONCE_LENGTH = 12
_RESPONSE = 0x80
_HEADER_LENGTH = 24
_MAP_LENGTH = 36
_MAX_LENGTH = 1100  # RFC 6887 §7


class Result(enum.IntEnum):
    """Result codes. RFC 6887 §7.4."""

    SUCCESS = 0
    UNSUPP_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPP_OPCODE = 4
    UNSUPP_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPP_PROTOCOL = 9
    USER_EX_QUOTA = 10
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12
    EXCESSIVE_REMOTE_PEERS = 13


class Mapping(NamedTuple):
    """The answer to a MAP request. What follows `lifetime_s` is None where the router gave no mapping.

    In an error answer `lifetime_s` is how long the error is expected to last.
    """

    result: int
    lifetime_s: int
    nonce: bytes | None = None
    internal_port: int | None = None
    external_port: int | None = None
    external_address: str | None = None

    @property
    def result_name(self) -> str:
        """The result in words, lower case."""
        try:
            return Result(self.result).name.lower().replace("_", " ")
        except ValueError:
            return f"result {self.result}"


def map_request(*, client: str, nonce: bytes, internal_port: int, lifetime_s: int) -> bytes:
    """A MAP request for one UDP port of `client` (IPv4); a lifetime of 0 removes that mapping. RFC 6887 §7.1, §11.1.

    No external port or address is suggested. Raises WireError where a value does not fit.
    """
    if len(nonce) != NONCE_LENGTH:
        raise WireError(f"a nonce of {len(nonce)} bytes instead of {NONCE_LENGTH}")
    if not 0 < internal_port < 65536 or not 0 <= lifetime_s <= 0xFFFFFFFF:
        raise WireError("a port or lifetime that does not fit")
    header = bytes((VERSION, OP_MAP, 0, 0)) + lifetime_s.to_bytes(4, "big") + _packed(client)
    mapping = nonce + bytes((UDP, 0, 0, 0)) + internal_port.to_bytes(2, "big") + bytes(2) + _packed("0.0.0.0")
    return header + mapping


def decode_map(data: bytes) -> Mapping:
    """The answer to a MAP request: header with result, lifetime and epoch, then nonce, ports and external address.

    Whether the nonce is ours is for the caller to compare. Raises WireError for anything that is no answer to a MAP
    request, NAT-PMP's "unsupported version" apart, which reads as UNSUPP_VERSION. RFC 6887 §7.2, §11.1, §9.
    """
    if len(data) >= 4 and data[0] == 0 and data[1] >= _RESPONSE:  # a router that speaks NAT-PMP alone
        return Mapping(Result.UNSUPP_VERSION, 0)
    if len(data) < _HEADER_LENGTH or len(data) > _MAX_LENGTH or len(data) % 4:
        raise WireError(f"{len(data)} bytes are no PCP response")
    if data[0] != VERSION:
        if data[1] & _RESPONSE and data[3] == Result.UNSUPP_VERSION:
            return Mapping(Result.UNSUPP_VERSION, int.from_bytes(data[4:8], "big"))
        raise WireError(f"PCP version {data[0]}")
    if data[1] != _RESPONSE | OP_MAP:
        raise WireError(f"opcode {data[1]:#x} does not answer a MAP request")
    result, lifetime_s = data[3], int.from_bytes(data[4:8], "big")
    if len(data) < _HEADER_LENGTH + _MAP_LENGTH:
        if result == Result.SUCCESS:
            raise WireError("a successful response without a mapping")
        return Mapping(result, lifetime_s)
    body = data[_HEADER_LENGTH:]
    external = ipaddress.IPv6Address(body[20:36])
    return Mapping(
        result,
        lifetime_s,
        nonce=body[:NONCE_LENGTH],
        internal_port=int.from_bytes(body[16:18], "big"),
        external_port=int.from_bytes(body[18:20], "big") if result == Result.SUCCESS else None,
        external_address=str(external.ipv4_mapped or external) if result == Result.SUCCESS else None,
    )


def _packed(address: str) -> bytes:
    """An IPv4 address in its IPv4-mapped form. RFC 6887 §5."""
    try:
        return bytes(10) + b"\xff\xff" + ipaddress.IPv4Address(address).packed
    except ValueError as error:
        raise WireError(f"not an IPv4 address: {address!r}") from error
