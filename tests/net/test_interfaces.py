from __future__ import annotations

import pytest

from vsipcheck.net import interfaces
from vsipcheck.net.host import HostNetwork
from vsipcheck.net.interfaces import (
    best_route,
    parse_route_table,
    parse_route_table6,
    validate_source,
)

# As a little-endian machine shows it: 0.0.0.0/0 by 192.0.2.1, twice; 0.0.0.0/1 by a tunnel; the link; a reject route.
TABLE = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	100	00000000	0	0	0
wlan0	00000000	FE0200C0	0003	0	0	600	00000000	0	0	0
tun0	00000000	0100000A	0003	0	0	0	00000080	0	0	0
eth0	000200C0	00000000	0001	0	0	100	00FFFFFF	0	0	0
*	000A0A0A	00000000	0201	0	0	0	00FFFFFF	0	0	0
nonsense
eth0	zz	010200C0	0003	0	0	100	00000000	0	0	0
"""
TABLE6 = """\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 \
00000400 00000001 00000000 00000003     eth0
20010db8000000000000000000000000 20 00000000000000000000000000000000 00 00000000000000000000000000000000 \
00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 \
ffffffff 00000001 00000000 00200200       lo
"""


@pytest.fixture(autouse=True)
def little_endian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.byteorder", "little")


@pytest.mark.parametrize(
    ("destination", "leaving_by", "expected"),
    [
        ("203.0.113.1", ["eth0"], ("eth0", "192.0.2.1")),
        ("198.51.100.1", ["wlan0"], None),  # the better metric leaves by another interface: some other table decided
        ("100.64.0.1", ["eth0"], None),  # the longer prefix is the tunnel's
        ("100.64.0.1", ["tun0"], ("tun0", "10.0.0.1")),
        ("192.0.2.200", ["eth0"], ("eth0", None)),
        ("203.0.113.1", [], None),
    ],
)
def test_the_longest_prefix_decides(destination: str, leaving_by: list[str], expected: object) -> None:
    route = best_route(destination, parse_route_table(TABLE), leaving_by)
    assert (route and (route.interface, route.gateway)) == expected


def test_an_ipv6_table_is_read() -> None:
    routes = parse_route_table6(TABLE6)
    assert len(routes) == 2
    far = best_route("2001:470::1", routes, ["eth0"])
    near = best_route("2001:db8::1", routes, ["eth0"])
    assert far is not None
    assert far.gateway == "fe80::1"
    assert near is not None
    assert near.gateway is None


def test_loopback_is_among_the_interfaces(network: HostNetwork) -> None:
    row = next(row for row in network.interfaces() if row.address == "127.0.0.1")
    assert row.is_loopback
    assert row.netmask == "255.0.0.0"


def test_the_route_to_loopback_is_loopback(network: HostNetwork) -> None:
    route = network.route_to("127.0.0.1")
    assert (route.source_address, route.gateway, route.failure) == ("127.0.0.1", None, None)


def test_a_name_has_no_route(network: HostNetwork) -> None:
    assert network.route_to("pbx.example").failure is not None


def test_elsewhere_the_gateway_is_the_interfaces_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import netifaces

    gateways = {netifaces.AF_INET: [("192.0.2.1", "en0", True), ("198.51.100.1", "lo", False)]}
    monkeypatch.setattr(netifaces, "gateways", lambda: gateways)
    monkeypatch.setattr(interfaces, "is_linux", lambda: False)
    route = interfaces.route_to("127.0.0.1")
    assert (route.source_address, route.gateway) == ("127.0.0.1", "198.51.100.1")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_an_address_of_ours_can_be_a_source(address: str) -> None:
    assert validate_source(address) is None


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("192.0.2.77", "not an address of this host"),
        ("2001:db8::77", "not an address of this host"),
        ("localhost", "not an IP address"),
        ("", "not an IP address"),
        ("127.0.0.1:5060", "not an IP address"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "group"),
        ("255.255.255.255", "group"),
        ("ff02::1", "group"),
    ],
)
def test_anything_else_cannot(address: str, word: str) -> None:
    assert word in str(validate_source(address))
