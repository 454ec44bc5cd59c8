"""NAT-PMP (RFC 6886), as much of it as asks a router for its external address: no mapping is ever requested."""

from __future__ import annotations

import enum
import ipaddress
from typing import NamedTuple

from vsipcheck.wire.errors import WireError

PORT = 5351
VERSION = 0
OP_ADDRESS = 0
_RESPONSE = 128
_HEADER_LENGTH = 8
_ADDRESS_LENGTH = 12


class Result(enum.IntEnum):
    """Result codes. RFC 6886 §3.5."""

    SUCCESS = 0
    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    NETWORK_FAILURE = 3  # the router has no address itself, e.g. no DHCP lease
    OUT_OF_RESOURCES = 4
    UNSUPPORTED_OPCODE = 5


class ExternalAddress(NamedTuple):
    """What a router says about its external IPv4 address. `address` is None unless `result` is 0 (success).

    `result` is the number as it came: codes beyond RFC 6886 occur. `epoch_s` is the age of its mapping table.
    """

    result: int
    epoch_s: int
    address: str | None

    @property
    def result_name(self) -> str:
        """The result in words, lower case."""
        try:
            return Result(self.result).name.lower().replace("_", " ")
        except ValueError:
            return f"result {self.result}"


def address_request() -> bytes:
    """The request for the external address: version 0, opcode 0. RFC 6886 §3.2."""
    return bytes((VERSION, OP_ADDRESS))


def decode_address(data: bytes) -> ExternalAddress:
    """The answer to `address_request`: version, 128 + opcode, result (16 bits), epoch (32 bits), IPv4 address.

    An error answer may end after the epoch (RFC 6886 §3.5); so may one of a router that speaks another version (PCP,
    RFC 6887 §9), which reads as UNSUPPORTED_VERSION. Raises WireError for anything that is no answer to this request.
    """
    if len(data) < _HEADER_LENGTH:
        raise WireError(f"{len(data)} bytes are too short for a NAT-PMP response")
    if len(data) > 1100:  # RFC 6887 §7: the largest message of the successor on the same port
        raise WireError(f"{len(data)} bytes are too long for a NAT-PMP response")
    epoch_s = int.from_bytes(data[4:8], "big")
    if data[0] != VERSION:
        if data[1] < _RESPONSE:
            raise WireError("a request, not a response")
        return ExternalAddress(Result.UNSUPPORTED_VERSION, epoch_s, None)
    if data[1] != _RESPONSE + OP_ADDRESS:
        raise WireError(f"opcode {data[1]} does not answer a request for the external address")
    result = int.from_bytes(data[2:4], "big")
    if result != Result.SUCCESS:
        return ExternalAddress(result, epoch_s, None)
    if len(data) != _ADDRESS_LENGTH:
        raise WireError(f"a successful response of {len(data)} bytes instead of {_ADDRESS_LENGTH}")
    return ExternalAddress(result, epoch_s, str(ipaddress.IPv4Address(data[8:12])))


def encode_address(answer: ExternalAddress) -> bytes:
    """The response of a router, as the simulated one gives it. RFC 6886 §3.2, §3.5."""
    if not 0 <= answer.result <= 0xFFFF or not 0 <= answer.epoch_s <= 0xFFFFFFFF:
        raise WireError("a result or epoch that does not fit")
    data = bytes((VERSION, _RESPONSE)) + answer.result.to_bytes(2, "big") + answer.epoch_s.to_bytes(4, "big")
    if answer.result != Result.SUCCESS:
        return data
    try:
        return data + ipaddress.IPv4Address(answer.address or "").packed
    except ValueError as error:
        raise WireError(f"not an IPv4 address: {answer.address!r}") from error
