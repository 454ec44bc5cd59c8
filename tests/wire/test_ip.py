"""Address classes at the edges of every block of the registries, and NAT64 after RFC 6052 §2.4 and RFC 7050."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import (
    ADDRESS_BLOCKS,
    AddressClass,
    address_block,
    classify,
    is_public,
    nat64_prefixes_from_ipv4only,
    plain_address,
    synthesised_ipv4,
)

C = AddressClass

# First and last address of each entry of the IANA registries, as the RFCs define them.
ENTRIES = [
    ("0.0.0.0", "0.0.0.0", C.UNSPECIFIED),
    ("0.0.0.1", "0.255.255.255", C.RESERVED),
    ("10.0.0.0", "10.255.255.255", C.PRIVATE),
    ("100.64.0.0", "100.127.255.255", C.SHARED),
    ("127.0.0.0", "127.255.255.255", C.LOOPBACK),
    ("169.254.0.0", "169.254.255.255", C.LINK_LOCAL),
    ("172.16.0.0", "172.31.255.255", C.PRIVATE),
    ("192.0.0.0", "192.0.0.7", C.SERVICE_CONTINUITY),
    ("192.0.0.8", "192.0.0.8", C.RESERVED),
    ("192.0.0.9", "192.0.0.9", C.GLOBAL),
    ("192.0.0.10", "192.0.0.10", C.GLOBAL),
    ("192.0.0.11", "192.0.0.169", C.RESERVED),
    ("192.0.0.170", "192.0.0.171", C.RESERVED),
    ("192.0.0.172", "192.0.0.255", C.RESERVED),
    ("192.0.2.0", "192.0.2.255", C.DOCUMENTATION),
    ("192.31.196.0", "192.31.196.255", C.GLOBAL),
    ("192.52.193.0", "192.52.193.255", C.GLOBAL),
    ("192.88.99.0", "192.88.99.255", C.RESERVED),
    ("192.168.0.0", "192.168.255.255", C.PRIVATE),
    ("192.175.48.0", "192.175.48.255", C.GLOBAL),
    ("198.18.0.0", "198.19.255.255", C.BENCHMARKING),
    ("198.51.100.0", "198.51.100.255", C.DOCUMENTATION),
    ("203.0.113.0", "203.0.113.255", C.DOCUMENTATION),
    ("224.0.0.0", "239.255.255.255", C.MULTICAST),
    ("240.0.0.0", "255.255.255.254", C.RESERVED),
    ("255.255.255.255", "255.255.255.255", C.BROADCAST),
    ("::", "::", C.UNSPECIFIED),
    ("::1", "::1", C.LOOPBACK),
    ("::2", "::fffe:ffff:ffff", C.RESERVED),
    ("::ffff:0.0.0.0", "::ffff:255.255.255.255", C.MAPPED),
    ("64:ff9b::", "64:ff9b::255.255.255.255", C.NAT64_WELL_KNOWN),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", C.NAT64_LOCAL),
    ("100::", "100::ffff:ffff:ffff:ffff", C.DISCARD),
    ("100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", C.RESERVED),
    ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", C.TEREDO),
    ("2001:1::", "2001:1::", C.RESERVED),
    ("2001:1::1", "2001:1::1", C.GLOBAL),
    ("2001:1::2", "2001:1::2", C.GLOBAL),
    ("2001:1::3", "2001:1::3", C.GLOBAL),
    ("2001:1::4", "2001:1:ffff:ffff:ffff:ffff:ffff:ffff", C.RESERVED),
    ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", C.BENCHMARKING),
    ("2001:2:1::", "2001:2:ffff:ffff:ffff:ffff:ffff:ffff", C.RESERVED),
    ("2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", C.GLOBAL),
    ("2001:4::", "2001:4:111:ffff:ffff:ffff:ffff:ffff", C.RESERVED),
    ("2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff", C.GLOBAL),
    ("2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", C.RESERVED),
    ("2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", C.ORCHID),
    ("2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", C.ORCHID),
    ("2001:40::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", C.RESERVED),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", C.DOCUMENTATION),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", C.SIX_TO_FOUR),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", C.GLOBAL),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", C.DOCUMENTATION),
    ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", C.RESERVED),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", C.RESERVED),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", C.UNIQUE_LOCAL),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", C.LINK_LOCAL),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", C.RESERVED),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", C.MULTICAST),
]

# The neighbours just outside of the blocks above that are ordinary unicast.
ORDINARY = [
    *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"),
    *("169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.1.255"),
    *("192.0.3.0", "192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0"),
    *("192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0", "198.17.255.255", "198.20.0.0"),
    *("198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "8.8.8.8"),
    *("2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::"),
    *("2620:4f:7fff:ffff::", "2620:4f:8001::", "3ffe:ffff::", "3fff:1000::", "2606:4700:4700::1111"),
]


@pytest.mark.parametrize(("first", "last", "address_class"), ENTRIES)
def test_entries_of_the_registries(first: str, last: str, address_class: AddressClass) -> None:
    assert classify(first) is address_class
    assert classify(last) is address_class


@pytest.mark.parametrize("address", ORDINARY)
def test_ordinary_unicast(address: str) -> None:
    assert classify(address) is C.GLOBAL
    assert is_public(address)


@pytest.mark.parametrize("address_class", AddressClass)
def test_only_global_is_public(address_class: AddressClass) -> None:
    firsts = [first for first, _, c in ENTRIES if c is address_class]
    assert firsts, "every class has an entry"
    assert {is_public(first) for first in firsts} == {address_class is C.GLOBAL}


def test_rows_are_prefixes_and_distinct() -> None:
    networks = [ipaddress.ip_network(block.prefix) for block in ADDRESS_BLOCKS]
    assert len(set(networks)) == len(networks)
    assert all(block.source.startswith("RFC ") for block in ADDRESS_BLOCKS)


def test_address_block_names_the_innermost_row() -> None:
    block = address_block("100.64.0.1")
    assert (block.prefix, block.name, block.source) == ("100.64.0.0/10", "Shared Address Space", "RFC 6598")
    assert address_block("192.0.0.9").prefix == "192.0.0.9/32"


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("49.36.10.7", "49.36.10.7"),
        ("::ffff:49.36.10.7", "49.36.10.7"),
        ("::FFFF:3124:0a07", "49.36.10.7"),
        ("2600:1F18:0:0:0:0:0:1", "2600:1f18::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("64:ff9b::3124:a07", "64:ff9b::3124:a07"),
        ("pbx.Example.com", "pbx.Example.com"),
        ("049.36.10.7", "049.36.10.7"),
        ("", ""),
    ],
)
def test_an_address_has_one_spelling(address: str, plain: str) -> None:
    assert plain_address(address) == plain


def test_scope_is_ignored() -> None:
    assert classify("fe80::1%eth0") is C.LINK_LOCAL
    assert synthesised_ipv4("64:ff9b::c000:221%eth0", ["64:ff9b::/96"]) == "192.0.2.33"


@pytest.mark.parametrize(
    "address", ["", "localhost", "1.2.3", "1.2.3.256", "01.2.3.4", "::g", "1.2.3.4/32", " 1.2.3.4", "1.2.3.4\n"]
)
def test_what_is_no_address(address: str) -> None:
    for ask in (classify, is_public, address_block):
        with pytest.raises(WireError):
            ask(address)
    with pytest.raises(WireError):
        synthesised_ipv4(address, [])
    with pytest.raises(WireError):
        nat64_prefixes_from_ipv4only([address])


@pytest.mark.parametrize("address", [0, 1, b"\x7f\x00\x00\x01", None])
def test_what_is_no_text(address: object) -> None:
    with pytest.raises(WireError):
        classify(address)  # type: ignore[arg-type]


@given(st.text())
def test_any_text_gives_a_class_or_wire_error(text: str) -> None:
    try:
        assert isinstance(classify(text), AddressClass)
    except WireError:
        return


@given(st.ip_addresses())
def test_any_address_has_a_class(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert isinstance(classify(str(address)), AddressClass)


# RFC 6052 §2.4, tables 2 and 3: 192.0.2.33 under each prefix length.
RFC6052_EXAMPLES = [
    ("2001:db8::/32", "2001:db8:c000:221::"),
    ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
    ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
    ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
]


@pytest.mark.parametrize(("prefix", "address"), RFC6052_EXAMPLES)
def test_rfc6052_examples(prefix: str, address: str) -> None:
    assert synthesised_ipv4(address, [prefix]) == "192.0.2.33"
    assert synthesised_ipv4(address, ["2001:db8:ffff::/48", prefix]) == "192.0.2.33"


@pytest.mark.parametrize(
    ("address", "prefixes"),
    [
        ("64:ff9b::c000:221", []),
        ("2001:db8::1", ["64:ff9b::/96"]),
        ("192.0.2.33", ["64:ff9b::/96"]),
        ("2001:db8:122:344:1c0:2:2100::", ["2001:db8:122:344::/64"]),  # the octet at bits 64 to 71 is not zero
    ],
)
def test_not_synthesised(address: str, prefixes: list[str]) -> None:
    assert synthesised_ipv4(address, prefixes) is None


def test_the_longest_prefix_counts() -> None:
    prefixes = ["2001:db8::/32", "2001:db8:122:344::/96"]
    assert synthesised_ipv4("2001:db8:122:344::192.0.2.33", prefixes) == "192.0.2.33"


def test_the_suffix_is_ignored() -> None:
    assert synthesised_ipv4("2001:db8:c000:221:0:1:2:3", ["2001:db8::/32"]) == "192.0.2.33"


@pytest.mark.parametrize(
    "prefix",
    ["", "64:ff9b::", "64:ff9b::/95", "2001:db8::/128", "192.0.2.0/24", "10.0.0.0/32", "64:ff9b::1/96", "x/96"],
)
def test_what_is_no_nat64_prefix(prefix: str) -> None:
    with pytest.raises(WireError):
        synthesised_ipv4("2001:db8::1", [prefix])


@pytest.mark.parametrize(
    ("addresses", "prefixes"),
    [
        ([], []),
        (["64:ff9b::192.0.0.170", "64:ff9b::192.0.0.171"], ["64:ff9b::/96"]),
        (["64:ff9b::192.0.0.171"], ["64:ff9b::/96"]),
        (["64:ff9b:1::192.0.0.170"], ["64:ff9b:1::/96"]),
        (["fd00:64::192.0.0.170"], ["fd00:64::/96"]),
        # The places of RFC 6052 §2.2, by hand: c0.00.00.aa behind 32, 40, 48, 56 and 64 bits, octet 8 left out.
        (["2001:db8:c000:aa::"], ["2001:db8::/32"]),
        (["2001:db8:1c0:0:aa::"], ["2001:db8:100::/40"]),
        (["2001:db8:122:c000:0:aa00::"], ["2001:db8:122::/48"]),
        (["2001:db8:122:3c0:0:aa::"], ["2001:db8:122:300::/56"]),
        (["2001:db8:122:344:c0:0:aa00::"], ["2001:db8:122:344::/64"]),
        (["2001:db8:122:344::c000:aa"], ["2001:db8:122:344::/96"]),
        # Two translators.
        (
            ["2001:db8:43::c000:aa", "64:ff9b::c000:aa", "2001:db8:43::c000:ab", "64:ff9b::c000:ab"],
            ["2001:db8:43::/96", "64:ff9b::/96"],
        ),
        # A prefix that holds 192.0.0.170 itself: only both answers together tell which place is the right one.
        (["2001:db8:c000:aa::c000:aa", "2001:db8:c000:aa::c000:ab"], ["2001:db8:c000:aa::/96"]),
        (["2001:db8:c000:aa::c000:ab", "2001:db8:c000:aa::c000:aa"], ["2001:db8:c000:aa::/96"]),
        (["2001:db8:c000:aa::c000:aa"], []),
        # No DNS64 at work.
        (["192.0.0.170", "192.0.0.171"], []),
        (["2001:db8::1"], []),
        (["64:ff9b::192.0.2.33"], []),
        (["::ffff:192.0.0.170"], []),
        (["::192.0.0.170"], []),
        (["ff02::192.0.0.170"], []),
        (["fe80::192.0.0.170"], []),
        (["2001:db8:122:344:1c0:0:aa00::"], []),
    ],
)
def test_nat64_prefixes(addresses: list[str], prefixes: list[str]) -> None:
    assert nat64_prefixes_from_ipv4only(addresses) == prefixes


@pytest.mark.parametrize(("prefix", "_address"), RFC6052_EXAMPLES)
def test_a_prefix_found_is_one_that_extracts(prefix: str, _address: str) -> None:
    assert synthesised_ipv4(str(ipaddress.IPv6Network(prefix).network_address), [prefix]) == "0.0.0.0"


@given(st.lists(st.ip_addresses().map(str), max_size=4))
def test_any_addresses_give_usable_prefixes(addresses: list[str]) -> None:
    for prefix in nat64_prefixes_from_ipv4only(addresses):
        assert any(synthesised_ipv4(a, [prefix]) in ("192.0.0.170", "192.0.0.171") for a in addresses)
