"""STUN against the vectors of RFC 5769, bytes typed from RFC 8489 and RFC 5780, and any bytes whatever."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.stun import (
    BINDING,
    Attribute,
    AttributeType,
    ChangeRequest,
    ErrorCode,
    MessageClass,
    StunMessage,
    address_value,
    binding_request,
    decode,
    encode,
    error_code,
    is_stun,
    mapped_address,
    software,
)

TRANSACTION_ID = bytes.fromhex("b7e7a701bc34d686fa87dfae")
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"

# RFC 5769 §2.1
SAMPLE_REQUEST = bytes.fromhex(
    "00 01 00 58 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae"
    "80 22 00 10 53 54 55 4e 20 74 65 73 74 20 63 6c 69 65 6e 74"
    "00 24 00 04 6e 00 01 ff"
    "80 29 00 08 93 2f f9 b1 51 26 3b 36"
    "00 06 00 09 65 76 74 6a 3a 68 36 76 59 20 20 20"
    "00 08 00 14 9a ea a7 0c bf d8 cb 56 78 1e f2 b5 b2 d3 f2 49 c1 b5 71 a2"
    "80 28 00 04 e5 7a 3b cf"
)
# RFC 5769 §2.2
SAMPLE_IPV4_RESPONSE = bytes.fromhex(
    "01 01 00 3c 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae"
    "80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20"
    "00 20 00 08 00 01 a1 47 e1 12 a6 43"
    "00 08 00 14 2b 91 f5 99 fd 9e 90 c3 8c 74 89 f9 2a f9 ba 53 f0 6b e7 d7"
    "80 28 00 04 c0 7d 4c 96"
)
# RFC 5769 §2.3
SAMPLE_IPV6_RESPONSE = bytes.fromhex(
    "01 01 00 48 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae"
    "80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20"
    "00 20 00 14 00 02 a1 47 01 13 a9 fa a5 d3 f1 79 bc 25 f4 b5 be d2 b9 d9"
    "00 08 00 14 a3 82 95 4e 4b e6 7b f1 17 84 c9 7c 82 92 c2 75 bf e3 ed 41"
    "80 28 00 04 c8 fb 0b 4c"
)
SAMPLES = [SAMPLE_REQUEST, SAMPLE_IPV4_RESPONSE, SAMPLE_IPV6_RESPONSE]


def datagram(message_type: str, body: str) -> bytes:
    attributes = bytes.fromhex(body)
    header = bytes.fromhex(message_type) + len(attributes).to_bytes(2, "big") + bytes.fromhex("2112a442")
    return header + TRANSACTION_ID + attributes


@pytest.mark.parametrize("sample", SAMPLES)
def test_samples_were_typed_right(sample: bytes) -> None:
    # The samples carry their own proof: MESSAGE-INTEGRITY covers all before it, under a length that ends with it.
    covered = sample[:2] + (len(sample) - 8 - 20).to_bytes(2, "big") + sample[4 : len(sample) - 8 - 24]
    assert hmac.new(PASSWORD, covered, hashlib.sha1).digest() == sample[-28:-8]


def test_rfc5769_request() -> None:
    assert decode(SAMPLE_REQUEST) == StunMessage(
        method=BINDING,
        message_class=MessageClass.REQUEST,
        transaction_id=TRANSACTION_ID,
        attributes=(
            Attribute(AttributeType.SOFTWARE, "STUN test client"),
            Attribute(0x0024, bytes.fromhex("6e0001ff")),
            Attribute(0x8029, bytes.fromhex("932ff9b151263b36")),
            Attribute(AttributeType.USERNAME, b"evtj:h6vY"),
            Attribute(AttributeType.MESSAGE_INTEGRITY, bytes.fromhex("9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2")),
            Attribute(AttributeType.FINGERPRINT, 0xE57A3BCF),
        ),
        fingerprint_valid=True,
    )


@pytest.mark.parametrize(
    ("sample", "address"),
    [
        (SAMPLE_IPV4_RESPONSE, ("192.0.2.1", 32853)),
        (SAMPLE_IPV6_RESPONSE, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_rfc5769_responses(sample: bytes, address: tuple[str, int]) -> None:
    message = decode(sample)
    assert (message.method, message.message_class) == (BINDING, MessageClass.SUCCESS)
    assert mapped_address(message) == address
    assert software(message) == "test vector"
    assert message.fingerprint_valid is True


@pytest.mark.parametrize("sample", SAMPLES)
def test_samples_encode_to_the_same_bytes_but_for_padding(sample: bytes) -> None:
    # The samples pad with spaces, "to make sure that the padding is ignored"; RFC 8489 §14 wants zeros from a sender.
    padded = sample.replace(b"vector ", b"vector\0").replace(b"h6vY   ", b"h6vY\0\0\0")
    assert encode(decode(sample)) == padded


def test_binding_request_is_the_bare_header() -> None:
    expected = bytes.fromhex("00 01 00 00 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae")
    assert binding_request(TRANSACTION_ID) == expected


def test_binding_request_with_software_and_attributes() -> None:
    request = binding_request(
        TRANSACTION_ID,
        software="vsip",
        attributes=(Attribute(AttributeType.CHANGE_REQUEST, ChangeRequest(change_address=True, change_port=True)),),
    )
    assert request == datagram("0001", "8022 0004 76736970  0003 0004 00000006")


def test_fingerprint_is_computed_over_the_length_that_counts_it() -> None:
    message = decode(SAMPLE_IPV4_RESPONSE)
    unsigned = StunMessage(message.method, message.message_class, message.transaction_id, message.attributes[:-1])
    encoded = encode(unsigned, fingerprint=True)
    assert len(encoded) == len(SAMPLE_IPV4_RESPONSE)
    assert decode(encoded).fingerprint_valid is True
    assert decode(binding_request(TRANSACTION_ID, fingerprint=True)).fingerprint_valid is True


def test_a_wrong_fingerprint_is_told_and_its_address_not_used() -> None:
    damaged = SAMPLE_IPV4_RESPONSE.replace(b"test vector", b"test Vector")
    message = decode(damaged)
    assert message.fingerprint_valid is False
    assert mapped_address(message) is None


def test_a_fingerprint_that_is_not_last_is_wrong() -> None:
    request = binding_request(TRANSACTION_ID, fingerprint=True)
    behind = request[:2] + (len(request) - 20 + 4).to_bytes(2, "big") + request[4:] + bytes.fromhex("00260000")
    assert decode(behind).fingerprint_valid is False


def test_no_fingerprint_is_none() -> None:
    assert decode(binding_request(TRANSACTION_ID)).fingerprint_valid is None


@pytest.mark.parametrize(
    ("body", "attribute"),
    [
        ("0003 0004 00000004", Attribute(0x0003, ChangeRequest(change_address=True, change_port=False))),
        ("0003 0004 00000002", Attribute(0x0003, ChangeRequest(change_address=False, change_port=True))),
        ("0003 0004 00000000", Attribute(0x0003, ChangeRequest())),
        ("802b 0008 0001 0d96 c0000201", Attribute(0x802B, ("192.0.2.1", 3478))),
        ("802c 0008 0001 0d97 c0000202", Attribute(0x802C, ("192.0.2.2", 3479))),
        (
            "802c 0014 0002 0d97 20010db8000000000000000000000002",
            Attribute(0x802C, ("2001:db8::2", 3479)),
        ),
        ("0027 0004 2710 0000", Attribute(0x0027, 10000)),
        ("0026 0004 00ff00ff", Attribute(0x0026, b"\x00\xff\x00\xff")),
        ("0001 0008 0001 9c40 cb007107", Attribute(0x0001, ("203.0.113.7", 40000))),
        ("0004 0008 0001 0d96 c0000201", Attribute(0x0004, ("192.0.2.1", 3478))),
        ("0005 0008 0001 0d97 c0000202", Attribute(0x0005, ("192.0.2.2", 3479))),
        ("0009 0010 0000 0414 556e6b6e6f776e2041747472", Attribute(0x0009, ErrorCode(420, "Unknown Attr"))),
        ("000a 0004 0003 0027", Attribute(0x000A, (3, 0x27))),
        ("8023 0008 0001 0d96 c0000201", Attribute(0x8023, ("192.0.2.1", 3478))),
        ("0014 0004 65782e61", Attribute(0x0014, b"ex.a")),
    ],
)
def test_attributes_both_ways(body: str, attribute: Attribute) -> None:
    data = datagram("0101", body)
    message = decode(data)
    assert message.attributes == (attribute,)
    assert encode(message) == data


def test_response_port_without_the_padding_in_its_length() -> None:
    assert decode(datagram("0001", "0027 0002 2710 0000")).value(AttributeType.RESPONSE_PORT) == 10000


def test_padding_octets_are_ignored() -> None:
    assert decode(datagram("0101", "8022 0001 41 ffffff")).attributes == (Attribute(0x8022, "A"),)


def test_xor_mapped_address_outranks_mapped_address_wherever_it_stands() -> None:
    body = "0001 0008 0001 1000 0a000001  0020 0008 0001 a147 e112a643"
    assert mapped_address(decode(datagram("0101", body))) == ("192.0.2.1", 32853)


def test_mapped_address_alone() -> None:
    message = decode(datagram("0101", "0001 0008 0001 9c40 cb007107"))
    assert mapped_address(message) == ("203.0.113.7", 40000)


def test_the_first_of_equal_attributes_counts() -> None:
    message = decode(datagram("0101", "0001 0008 0001 0001 c0000201  0001 0008 0001 0002 c0000202"))
    assert mapped_address(message) == ("192.0.2.1", 1)


@pytest.mark.parametrize("message_type", ["0001", "0011", "0111", "0103"])
def test_no_address_from_anything_but_a_binding_success(message_type: str) -> None:
    message = decode(datagram(message_type, "0020 0008 0001 a147 e112a643"))
    assert mapped_address(message) is None


def test_no_address_at_all() -> None:
    assert mapped_address(decode(datagram("0101", "8022 0001 41000000"))) is None


@pytest.mark.parametrize(
    ("message_type", "method", "message_class"),
    [
        ("0001", 0x001, MessageClass.REQUEST),
        ("0011", 0x001, MessageClass.INDICATION),
        ("0101", 0x001, MessageClass.SUCCESS),
        ("0111", 0x001, MessageClass.ERROR),
        ("0113", 0x003, MessageClass.ERROR),
        ("3eef", 0xFFF, MessageClass.REQUEST),
        ("2000", 0x800, MessageClass.REQUEST),
        ("0020", 0x010, MessageClass.REQUEST),
    ],
)
def test_method_and_class_bits(message_type: str, method: int, message_class: MessageClass) -> None:
    data = datagram(message_type, "")
    message = decode(data)
    assert (message.method, message.message_class) == (method, message_class)
    assert encode(message) == data


def test_error_response() -> None:
    message = decode(datagram("0111", "0009 0010 0000 0401 556e617574686f72697a6564"))
    assert error_code(message) == ErrorCode(401, "Unauthorized")
    assert error_code(decode(SAMPLE_IPV4_RESPONSE)) is None


def test_unknown_codes_are_kept_and_told() -> None:
    message = decode(datagram("0101", "7fff 0001 41000000  ffff 0000"))
    assert message.attributes == (Attribute(0x7FFF, b"A"), Attribute(0xFFFF, b""))
    assert [attribute.name for attribute in message.attributes] == [None, None]
    assert message.unknown_required == (0x7FFF,)
    assert encode(message) == datagram("0101", "7fff 0001 41000000  ffff 0000")


def test_names() -> None:
    assert Attribute(AttributeType.XOR_MAPPED_ADDRESS, b"").name == "XOR-MAPPED-ADDRESS"
    assert Attribute(AttributeType.OTHER_ADDRESS, b"").name == "OTHER-ADDRESS"


def test_text_that_is_not_utf8_does_not_cost_the_message() -> None:
    message = decode(datagram("0101", "8022 0001 fc000000  0020 0008 0001 a147 e112a643"))
    assert software(message) == "\\xfc"
    assert mapped_address(message) == ("192.0.2.1", 32853)


@pytest.mark.parametrize("code", sorted(AttributeType))
@pytest.mark.parametrize("length", range(26))
def test_values_of_any_length_give_a_value_or_wire_error(code: AttributeType, length: int) -> None:
    for octet in (b"\x00", b"\x01", b"\x02", b"\xff"):
        value = octet * length
        body = code.to_bytes(2, "big") + length.to_bytes(2, "big") + value + bytes(-length % 4)
        data = datagram("0101", body.hex())
        try:
            message = decode(data)
        except WireError:
            assert code < 0x8000
        else:
            assert len(message.attributes) == 1
            mapped_address(message)


@pytest.mark.parametrize(
    "body",
    [
        "0020 0000",
        "0020 0003 00 01 a1 00",
        "0020 0007 0001 a147 e112a6 00",
        "0020 0008 0002 a147 e112a643",
        "0020 0008 0003 a147 e112a643",
        "0020 000c 0001 a147 e112a643 00000000",
        "0020 0018 0002 a147 0113a9faa5d3f179bc25f4b5bed2b9d9 00000000",
        "0001 0004 0001 a147",
        "0009 0003 00000400",
        "0009 0004 00000200",
        "0009 0004 00000464",
        "000a 0003 00030000",
        "0003 0000",
        "0027 0001 10000000",
    ],
)
def test_a_malformed_attribute_that_has_to_be_understood_is_refused(body: str) -> None:
    with pytest.raises(WireError):
        decode(datagram("0101", body))


def test_a_malformed_optional_attribute_is_kept_as_bytes() -> None:
    message = decode(datagram("0101", "802c 0004 0001 0d97  8028 0002 abcd0000"))
    assert message.attributes == (Attribute(0x802C, bytes.fromhex("00010d97")), Attribute(0x8028, b"\xab\xcd"))
    assert address_value(message, AttributeType.OTHER_ADDRESS) is None
    assert message.fingerprint_valid is False
    assert encode(message) == datagram("0101", "802c 0004 0001 0d97  8028 0002 abcd0000")


@pytest.mark.parametrize("sample", SAMPLES)
def test_truncated_at_each_offset(sample: bytes) -> None:
    for end in range(len(sample)):
        with pytest.raises(WireError):
            decode(sample[:end])


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("trailing", [b"\0", b"\0\0\0\0", SAMPLE_IPV4_RESPONSE])
def test_trailing_data(sample: bytes, trailing: bytes) -> None:
    with pytest.raises(WireError):
        decode(sample + trailing)


@pytest.mark.parametrize("offset", range(4, 8))
def test_wrong_cookie(offset: int) -> None:
    wrong = bytearray(SAMPLE_IPV4_RESPONSE)
    wrong[offset] ^= 1
    assert not is_stun(bytes(wrong))
    with pytest.raises(WireError, match="cookie"):
        decode(bytes(wrong))


def test_unaligned_length() -> None:
    data = bytes.fromhex("01 01 00 05 21 12 a4 42") + TRANSACTION_ID + bytes.fromhex("8022000141")
    assert not is_stun(data)
    with pytest.raises(WireError, match="multiple of 4"):
        decode(data)


def test_attribute_past_the_end() -> None:
    with pytest.raises(WireError, match="past the end"):
        decode(datagram("0101", "8022 0005 41424344"))
    with pytest.raises(WireError, match="past the end"):
        decode(datagram("0101", "8022 ffff"))


@pytest.mark.parametrize("first", [0x40, 0x80, 0xC0])
def test_first_two_bits(first: int) -> None:
    data = bytes([first]) + SAMPLE_IPV4_RESPONSE[1:]
    assert not is_stun(data)
    with pytest.raises(WireError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.1\r\n\r\n",
        b"\x80\x08" + bytes(170),
    ],
)
def test_not_stun(data: bytes) -> None:
    assert not is_stun(data)


def test_is_stun() -> None:
    assert all(is_stun(sample) for sample in SAMPLES)
    assert not is_stun(SAMPLE_REQUEST[:19])


def test_attribute_count_is_capped() -> None:
    assert len(decode(datagram("0101", "ffff0000" * 64)).attributes) == 64
    with pytest.raises(WireError, match="more than 64"):
        decode(datagram("0101", "ffff0000" * 65))


def test_overlong_text_is_refused_or_kept_opaque() -> None:
    assert software(decode(datagram("0101", "8022 0300" + "41" * 768))) is None
    with pytest.raises(WireError):
        decode(datagram("0111", "0009 0304 00000401" + "41" * 768))


@pytest.mark.parametrize(
    "attribute",
    [
        Attribute(AttributeType.XOR_MAPPED_ADDRESS, ("not an address", 1)),
        Attribute(AttributeType.XOR_MAPPED_ADDRESS, ("fe80::1%eth0", 1)),
        Attribute(AttributeType.XOR_MAPPED_ADDRESS, ("192.0.2.1", 65536)),
        Attribute(AttributeType.XOR_MAPPED_ADDRESS, ("192.0.2.1", -1)),
        Attribute(AttributeType.XOR_MAPPED_ADDRESS, "192.0.2.1"),
        Attribute(AttributeType.ERROR_CODE, ErrorCode(200, "OK")),
        Attribute(AttributeType.ERROR_CODE, 400),
        Attribute(AttributeType.CHANGE_REQUEST, 6),
        Attribute(AttributeType.RESPONSE_PORT, 65536),
        Attribute(AttributeType.SOFTWARE, "x" * 764),
        Attribute(AttributeType.SOFTWARE, "\ud800"),
        Attribute(AttributeType.SOFTWARE, 1),
        Attribute(AttributeType.UNKNOWN_ATTRIBUTES, 1),
        Attribute(AttributeType.NONCE, "text"),
        Attribute(AttributeType.FINGERPRINT, -1),
        Attribute(0xFFFF, "text"),
        Attribute(0x10000, b""),
        Attribute(AttributeType.PADDING, bytes(65536)),
    ],
)
def test_values_that_do_not_fit_are_refused(attribute: Attribute) -> None:
    with pytest.raises(WireError):
        binding_request(TRANSACTION_ID, attributes=(attribute,))


def test_wrong_headers_are_refused() -> None:
    with pytest.raises(WireError):
        binding_request(b"short")
    with pytest.raises(WireError):
        encode(StunMessage(0x1000, MessageClass.REQUEST, TRANSACTION_ID))
    with pytest.raises(WireError):
        encode(StunMessage(BINDING, MessageClass.REQUEST, TRANSACTION_ID, (Attribute(0xFFFF, b""),) * 65))


def attributes_with_any_value() -> st.SearchStrategy[bytes]:
    codes = st.one_of(st.sampled_from(sorted(AttributeType)), st.integers(0, 0xFFFF))
    return st.builds(
        lambda code, value: code.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4),
        codes,
        st.binary(max_size=40),
    )


@given(st.binary(max_size=200))
@example(b"")
def test_any_bytes_give_a_message_or_wire_error(data: bytes) -> None:
    try:
        message = decode(data)
    except WireError:
        return
    assert is_stun(data)
    mapped_address(message)


@given(st.integers(0, 0x3FFF), st.lists(attributes_with_any_value(), max_size=5))
def test_any_attributes_give_a_message_or_wire_error(bits: int, attributes: list[bytes]) -> None:
    data = datagram(bits.to_bytes(2, "big").hex(), b"".join(attributes).hex())
    try:
        message = decode(data)
    except WireError:
        return
    mapped_address(message)
    software(message)
    error_code(message)
    assert len(message.attributes) == len(attributes)
    assert all(isinstance(attribute.value, bytes) for attribute in message.attributes if attribute.name is None)


@given(
    st.integers(0, 0xFFF),
    st.sampled_from(MessageClass),
    st.binary(min_size=12, max_size=12),
    st.lists(st.builds(Attribute, st.integers(0xC000, 0xFFFF), st.binary(max_size=20)), max_size=4).map(tuple),
)
def test_opaque_attributes_round_trip(
    method: int, message_class: MessageClass, transaction_id: bytes, attributes: tuple[Attribute, ...]
) -> None:
    message = StunMessage(method, message_class, transaction_id, attributes)
    assert decode(encode(message)) == message


@given(
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
    st.integers(0, 65535),
    st.binary(min_size=12, max_size=12),
    st.sampled_from([AttributeType.XOR_MAPPED_ADDRESS, AttributeType.MAPPED_ADDRESS]),
)
def test_addresses_round_trip(host: object, port: int, transaction_id: bytes, code: AttributeType) -> None:
    message = StunMessage(BINDING, MessageClass.SUCCESS, transaction_id, (Attribute(code, (str(host), port)),))
    assert mapped_address(decode(encode(message))) == (str(host), port)
