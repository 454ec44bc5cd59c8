"""STUN messages (RFC 8489), with the NAT behaviour discovery attributes of RFC 5780 and the addresses of RFC 3489."""

from __future__ import annotations

import binascii
import enum
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from vsipcheck.wire.errors import WireError

MAGIC_COOKIE = 0x2112A442
BINDING = 0x001

_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")
_HEADER_LENGTH = 20
_TRANSACTION_ID_LENGTH = 12
_FINGERPRINT_XOR = 0x5354554E

# RFC 8489 §14.8 and §14.14: reason phrase and SOFTWARE hold fewer than 128 characters, which is at most 763 bytes
# (the figure that the RFC itself gives).
_MAX_TEXT_LENGTH = 763
# Twelve kinds of attribute can meet in one honest answer. The cap bounds the work a hostile datagram can ask for.
_MAX_ATTRIBUTES = 64
_MAX_BODY_LENGTH = 0xFFFC


class MessageClass(enum.IntEnum):
    """The two class bits C1 C0 of the message type. RFC 8489 §5."""

    REQUEST = 0b00
    INDICATION = 0b01
    SUCCESS = 0b10
    ERROR = 0b11


class AttributeType(enum.IntEnum):
    """Attribute codes that this codec reads into values. RFC 8489 §18.3, RFC 5780 §9.1, RFC 3489 §11.2."""

    MAPPED_ADDRESS = 0x0001
    CHANGE_REQUEST = 0x0003
    SOURCE_ADDRESS = 0x0004
    CHANGED_ADDRESS = 0x0005
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    REALM = 0x0014
    NONCE = 0x0015
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    XOR_MAPPED_ADDRESS = 0x0020
    PADDING = 0x0026
    RESPONSE_PORT = 0x0027
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    FINGERPRINT = 0x8028
    RESPONSE_ORIGIN = 0x802B
    OTHER_ADDRESS = 0x802C


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A code from 300 to 699 and its reason phrase. RFC 8489 §14.8."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """Whether the answer is asked to come from the server's other address, other port, or both. RFC 5780 §7.2."""

    change_address: bool = False
    change_port: bool = False


Address = tuple[str, int]
AttributeValue = Address | ErrorCode | ChangeRequest | tuple[int, ...] | str | int | bytes


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute. The value is bytes where the code is unknown, opaque to us, or optional and malformed."""

    code: int
    value: AttributeValue

    @property
    def name(self) -> str | None:
        """The name in the RFC, None for an unknown code."""
        row = _ATTRIBUTES.get(self.code)
        return None if row is None else row.name

    @property
    def is_comprehension_required(self) -> bool:
        """Whether a receiver that does not know the code has to drop the message. RFC 8489 §14."""
        return self.code < 0x8000


@dataclass(frozen=True, slots=True)
class StunMessage:
    """A message as it was received. `fingerprint_valid` is None where there was no FINGERPRINT to check."""

    method: int
    message_class: MessageClass
    transaction_id: bytes
    attributes: tuple[Attribute, ...] = ()
    fingerprint_valid: bool | None = None

    def value(self, code: int) -> AttributeValue | None:
        """The value of the first attribute with this code: later ones may be ignored. RFC 8489 §14."""
        return next((attribute.value for attribute in self.attributes if attribute.code == code), None)

    @property
    def unknown_required(self) -> tuple[int, ...]:
        """Codes that a receiver has to understand and this one does not: such an answer has failed. RFC 8489 §6.3.3."""
        return tuple(a.code for a in self.attributes if a.is_comprehension_required and a.name is None)


class _AttributeRow(NamedTuple):
    code: int
    name: str
    pack: Callable[[AttributeValue, bytes], bytes]
    unpack: Callable[[bytes, bytes], AttributeValue]


def _pack_address(value: AttributeValue, _transaction_id: bytes) -> bytes:
    if not (isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)):
        raise WireError(f"an address attribute takes (host, port), not {value!r}")
    host, port = value[0], value[1]
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise WireError(f"not an IP address: {host!r}") from error
    if "%" in host:
        raise WireError(f"a scope does not fit into an address attribute: {host!r}")
    family = 1 if address.version == 4 else 2
    return bytes((0, family)) + _pack_unsigned(port, 2) + address.packed


def _unpack_address(data: bytes, _transaction_id: bytes) -> Address:
    """Layout: a byte to ignore, family (1 = IPv4, 2 = IPv6), port, address. RFC 8489 §14.1."""
    if len(data) < 4:
        raise WireError("an address attribute is shorter than 4 bytes")
    family, port, packed = data[1], int.from_bytes(data[2:4], "big"), data[4:]
    if family == 1 and len(packed) == 4:
        return str(ipaddress.IPv4Address(packed)), port
    if family == 2 and len(packed) == 16:
        return str(ipaddress.IPv6Address(packed)), port
    raise WireError(f"an address attribute of family {family} has {len(packed)} bytes of address")


def _xor_address(data: bytes, transaction_id: bytes) -> bytes:
    """Port and address, XORed with the cookie and the transaction id; its own inverse. RFC 8489 §14.2."""
    key = bytes(2) + _COOKIE[:2] + _COOKIE + transaction_id
    return bytes(octet ^ mask for octet, mask in zip(data, key[: len(data)], strict=True))


def _pack_xor_address(value: AttributeValue, transaction_id: bytes) -> bytes:
    return _xor_address(_pack_address(value, transaction_id), transaction_id)


def _unpack_xor_address(data: bytes, transaction_id: bytes) -> Address:
    if len(data) > 20:
        raise WireError("an XORed address attribute is longer than 20 bytes")
    return _unpack_address(_xor_address(data, transaction_id), transaction_id)


def _pack_opaque(value: AttributeValue, _transaction_id: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise WireError(f"an opaque attribute takes bytes, not {value!r}")
    return value


def _unpack_opaque(data: bytes, _transaction_id: bytes) -> bytes:
    return data


def _encode_text(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise WireError("text that UTF-8 cannot carry") from error
    if len(data) > _MAX_TEXT_LENGTH:
        raise WireError(f"text of {len(data)} bytes, at most {_MAX_TEXT_LENGTH} are allowed")
    return data


def _decode_text(data: bytes) -> str:
    # Prose for people, so a server that writes Latin-1 is not worth losing the address for.
    if len(data) > _MAX_TEXT_LENGTH:
        raise WireError(f"text of {len(data)} bytes, at most {_MAX_TEXT_LENGTH} are allowed")
    return data.decode(errors="backslashreplace")


def _pack_text(value: AttributeValue, _transaction_id: bytes) -> bytes:
    if not isinstance(value, str):
        raise WireError(f"a text attribute takes a string, not {value!r}")
    return _encode_text(value)


def _unpack_text(data: bytes, _transaction_id: bytes) -> str:
    return _decode_text(data)


def _pack_error_code(value: AttributeValue, _transaction_id: bytes) -> bytes:
    if not isinstance(value, ErrorCode) or not 300 <= value.code <= 699:
        raise WireError(f"ERROR-CODE takes a code from 300 to 699, not {value!r}")
    return bytes((0, 0, value.code // 100, value.code % 100)) + _encode_text(value.reason)


def _unpack_error_code(data: bytes, _transaction_id: bytes) -> ErrorCode:
    if len(data) < 4:
        raise WireError("ERROR-CODE is shorter than 4 bytes")
    hundreds, number = data[2] & 0x07, data[3]
    if not (3 <= hundreds <= 6 and number <= 99):
        raise WireError(f"ERROR-CODE of class {hundreds}, number {number}")
    return ErrorCode(hundreds * 100 + number, _decode_text(data[4:]))


def _pack_change_request(value: AttributeValue, _transaction_id: bytes) -> bytes:
    if not isinstance(value, ChangeRequest):
        raise WireError(f"CHANGE-REQUEST takes a ChangeRequest, not {value!r}")
    return bytes((0, 0, 0, (0x04 if value.change_address else 0) | (0x02 if value.change_port else 0)))


def _unpack_change_request(data: bytes, _transaction_id: bytes) -> ChangeRequest:
    if len(data) != 4:
        raise WireError(f"CHANGE-REQUEST of {len(data)} bytes instead of 4")
    return ChangeRequest(change_address=bool(data[3] & 0x04), change_port=bool(data[3] & 0x02))


def _pack_response_port(value: AttributeValue, _transaction_id: bytes) -> bytes:
    return _pack_unsigned(value, 2) + bytes(2)


def _unpack_response_port(data: bytes, _transaction_id: bytes) -> int:
    # RFC 5780 §7.5 speaks of "2 bytes of padding" and leaves open whether the length counts them: both are in use.
    if len(data) not in (2, 4):
        raise WireError(f"RESPONSE-PORT of {len(data)} bytes instead of 2 or 4")
    return int.from_bytes(data[:2], "big")


def _pack_unsigned(value: AttributeValue, length: int) -> bytes:
    if not isinstance(value, int) or not 0 <= value < 1 << (8 * length):
        raise WireError(f"not an unsigned number of {length} bytes: {value!r}")
    return value.to_bytes(length, "big")


def _pack_fingerprint(value: AttributeValue, _transaction_id: bytes) -> bytes:
    return _pack_unsigned(value, 4)


def _unpack_fingerprint(data: bytes, _transaction_id: bytes) -> int:
    if len(data) != 4:
        raise WireError(f"FINGERPRINT of {len(data)} bytes instead of 4")
    return int.from_bytes(data, "big")


def _pack_codes(value: AttributeValue, _transaction_id: bytes) -> bytes:
    if not isinstance(value, tuple):
        raise WireError(f"UNKNOWN-ATTRIBUTES takes a tuple of codes, not {value!r}")
    return b"".join(_pack_unsigned(code, 2) for code in value)


def _unpack_codes(data: bytes, _transaction_id: bytes) -> tuple[int, ...]:
    if len(data) % 2 or len(data) > 2 * _MAX_ATTRIBUTES:
        raise WireError(f"UNKNOWN-ATTRIBUTES of {len(data)} bytes")
    return tuple(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))


_ATTRIBUTES = {
    int(row.code): row
    for row in (
        _AttributeRow(AttributeType.MAPPED_ADDRESS, "MAPPED-ADDRESS", _pack_address, _unpack_address),
        _AttributeRow(AttributeType.CHANGE_REQUEST, "CHANGE-REQUEST", _pack_change_request, _unpack_change_request),
        _AttributeRow(AttributeType.SOURCE_ADDRESS, "SOURCE-ADDRESS", _pack_address, _unpack_address),
        _AttributeRow(AttributeType.CHANGED_ADDRESS, "CHANGED-ADDRESS", _pack_address, _unpack_address),
        _AttributeRow(AttributeType.USERNAME, "USERNAME", _pack_opaque, _unpack_opaque),
        _AttributeRow(AttributeType.MESSAGE_INTEGRITY, "MESSAGE-INTEGRITY", _pack_opaque, _unpack_opaque),
        _AttributeRow(AttributeType.ERROR_CODE, "ERROR-CODE", _pack_error_code, _unpack_error_code),
        _AttributeRow(AttributeType.UNKNOWN_ATTRIBUTES, "UNKNOWN-ATTRIBUTES", _pack_codes, _unpack_codes),
        _AttributeRow(AttributeType.REALM, "REALM", _pack_opaque, _unpack_opaque),
        _AttributeRow(AttributeType.NONCE, "NONCE", _pack_opaque, _unpack_opaque),
        _AttributeRow(AttributeType.MESSAGE_INTEGRITY_SHA256, "MESSAGE-INTEGRITY-SHA256", _pack_opaque, _unpack_opaque),
        _AttributeRow(AttributeType.XOR_MAPPED_ADDRESS, "XOR-MAPPED-ADDRESS", _pack_xor_address, _unpack_xor_address),
        _AttributeRow(AttributeType.PADDING, "PADDING", _pack_opaque, _unpack_opaque),
        _AttributeRow(AttributeType.RESPONSE_PORT, "RESPONSE-PORT", _pack_response_port, _unpack_response_port),
        _AttributeRow(AttributeType.SOFTWARE, "SOFTWARE", _pack_text, _unpack_text),
        _AttributeRow(AttributeType.ALTERNATE_SERVER, "ALTERNATE-SERVER", _pack_address, _unpack_address),
        _AttributeRow(AttributeType.FINGERPRINT, "FINGERPRINT", _pack_fingerprint, _unpack_fingerprint),
        _AttributeRow(AttributeType.RESPONSE_ORIGIN, "RESPONSE-ORIGIN", _pack_address, _unpack_address),
        _AttributeRow(AttributeType.OTHER_ADDRESS, "OTHER-ADDRESS", _pack_address, _unpack_address),
    )
}


def is_stun(data: bytes) -> bool:
    """Whether the bytes start with a STUN header: two zero bits, an aligned length, the magic cookie. RFC 8489 §5."""
    return len(data) >= _HEADER_LENGTH and data[0] < 0x40 and data[3] % 4 == 0 and data[4:8] == _COOKIE


def encode(message: StunMessage, *, fingerprint: bool = False) -> bytes:
    """The message as bytes: attributes in their order, zero padding; `fingerprint` appends a computed FINGERPRINT.

    An attribute whose value is bytes is written as it is, whatever its code. Raises WireError where a value does not
    fit its attribute. RFC 8489 §5, §14.
    """
    if len(message.transaction_id) != _TRANSACTION_ID_LENGTH:
        raise WireError(f"a transaction id of {len(message.transaction_id)} bytes instead of 12")
    if len(message.attributes) + fingerprint > _MAX_ATTRIBUTES:
        raise WireError(f"more than {_MAX_ATTRIBUTES} attributes")
    body = bytearray()
    for attribute in message.attributes:
        row = _ATTRIBUTES.get(attribute.code)
        if isinstance(attribute.value, bytes) or row is None:
            value = _pack_opaque(attribute.value, message.transaction_id)
        else:
            value = row.pack(attribute.value, message.transaction_id)
        if len(body) + 4 + len(value) > _MAX_BODY_LENGTH:
            raise WireError("a message longer than its length field can say")
        body += _pack_unsigned(attribute.code, 2) + _pack_unsigned(len(value), 2) + value + bytes(-len(value) % 4)
    length = len(body) + (8 if fingerprint else 0)
    if length > _MAX_BODY_LENGTH:
        raise WireError("a message longer than its length field can say")
    data = _encode_type(message.method, message.message_class) + length.to_bytes(2, "big")
    data += _COOKIE + message.transaction_id + bytes(body)
    if fingerprint:
        data += b"\x80\x28\x00\x04" + _fingerprint(data).to_bytes(4, "big")
    return data


def decode(data: bytes) -> StunMessage:
    """The one message that fills the datagram: 20-byte header, then 4-byte-aligned attributes. RFC 8489 §5, §14.

    Addresses are (host, port). An unknown attribute is kept as bytes, and so is an optional one (code 0x8000 and up)
    that is malformed, because a receiver may ignore it. Octets of text that are not UTF-8 are written out in hex.
    Raises WireError if the data is truncated or has trailing bytes, the cookie is wrong, or an attribute that has to
    be understood is malformed. A wrong FINGERPRINT does not raise; it is told in `fingerprint_valid`.
    """
    if len(data) < _HEADER_LENGTH:
        raise WireError(f"{len(data)} bytes are too short for a STUN header")
    if data[0] >= 0x40:
        raise WireError("the first two bits are not zero")
    if data[4:8] != _COOKIE:
        raise WireError("the magic cookie is wrong")
    length = int.from_bytes(data[2:4], "big")
    if length % 4:
        raise WireError(f"a message length of {length} is not a multiple of 4")
    if len(data) != _HEADER_LENGTH + length:
        raise WireError(f"the header tells of {length} bytes of attributes, {len(data) - _HEADER_LENGTH} follow")
    method, message_class = _decode_type(int.from_bytes(data[:2], "big"))
    transaction_id = data[8:20]
    attributes: list[Attribute] = []
    fingerprint_valid: bool | None = None
    offset = _HEADER_LENGTH
    # The length is a multiple of 4 and so is each step, so that an attribute header is always whole.
    while offset < len(data):
        if len(attributes) == _MAX_ATTRIBUTES:
            raise WireError(f"more than {_MAX_ATTRIBUTES} attributes")
        code = int.from_bytes(data[offset : offset + 2], "big")
        value_length = int.from_bytes(data[offset + 2 : offset + 4], "big")
        end = offset + 4 + value_length
        if end > len(data):
            raise WireError(f"attribute 0x{code:04x} at byte {offset} runs past the end of the message")
        attribute = _decode_attribute(code, data[offset + 4 : end], transaction_id)
        attributes.append(attribute)
        if code == AttributeType.FINGERPRINT and fingerprint_valid is None:
            # It has to be the last attribute, so that anything behind it is not covered and makes it wrong.
            is_last = end == len(data)
            fingerprint_valid = is_last and attribute.value == _fingerprint(data[:offset])
        offset = end + -value_length % 4
    return StunMessage(method, message_class, transaction_id, tuple(attributes), fingerprint_valid)


def binding_request(
    transaction_id: bytes,
    *,
    attributes: tuple[Attribute, ...] = (),
    software: str | None = None,
    fingerprint: bool = False,
) -> bytes:
    """A Binding request: SOFTWARE if given, then the attributes, then FINGERPRINT if asked for. RFC 8489 §3, §6.1."""
    if software is not None:
        attributes = (Attribute(AttributeType.SOFTWARE, software), *attributes)
    return encode(StunMessage(BINDING, MessageClass.REQUEST, transaction_id, attributes), fingerprint=fingerprint)


def mapped_address(message: StunMessage) -> Address | None:
    """The reflexive (host, port) that a Binding success response tells: XOR-MAPPED-ADDRESS, else MAPPED-ADDRESS.

    None for anything but a Binding success response, for one whose FINGERPRINT is wrong, and where neither attribute
    is there. A NAT that rewrites addresses in payloads reaches only the second, hence the order (RFC 8489 §14.2).
    Whether the transaction id is ours is for the caller to compare.
    """
    if message.method != BINDING or message.message_class is not MessageClass.SUCCESS:
        return None
    if message.fingerprint_valid is False:
        return None
    for code in (AttributeType.XOR_MAPPED_ADDRESS, AttributeType.MAPPED_ADDRESS):
        address = address_value(message, code)
        if address is not None:
            return address
    return None


def address_value(message: StunMessage, code: int) -> Address | None:
    """The (host, port) of the first attribute with this code; None where it is absent or holds no address."""
    match message.value(code):
        case (str() as host, int() as port):
            return host, port
    return None


def software(message: StunMessage) -> str | None:
    """What the peer calls itself; hostile text, to be sanitised before a person sees it. RFC 8489 §14.14."""
    value = message.value(AttributeType.SOFTWARE)
    return value if isinstance(value, str) else None


def error_code(message: StunMessage) -> ErrorCode | None:
    """The error of an error response, None where there is none. RFC 8489 §14.8."""
    value = message.value(AttributeType.ERROR_CODE)
    return value if isinstance(value, ErrorCode) else None


def _decode_attribute(code: int, data: bytes, transaction_id: bytes) -> Attribute:
    row = _ATTRIBUTES.get(code)
    if row is None:
        return Attribute(code, data)
    try:
        return Attribute(code, row.unpack(data, transaction_id))
    except WireError:
        if code >= 0x8000:
            return Attribute(code, data)
        raise


def _encode_type(method: int, message_class: MessageClass) -> bytes:
    """Layout: 0 0 M11..M7 C1 M6..M4 C0 M3..M0. RFC 8489 §5."""
    if not 0 <= method <= 0xFFF:
        raise WireError(f"method {method} does not fit into 12 bits")
    bits = (method & 0xF80) << 2 | (method & 0x070) << 1 | method & 0x00F
    return (bits | (message_class & 0b10) << 7 | (message_class & 0b01) << 4).to_bytes(2, "big")


def _decode_type(bits: int) -> tuple[int, MessageClass]:
    method = (bits & 0x3E00) >> 2 | (bits & 0x00E0) >> 1 | bits & 0x000F
    return method, MessageClass((bits & 0x0100) >> 7 | (bits & 0x0010) >> 4)


def _fingerprint(data: bytes) -> int:
    """The checksum over everything before the FINGERPRINT attribute; the length field counts it. RFC 8489 §14.7."""
    return binascii.crc32(data) ^ _FINGERPRINT_XOR
