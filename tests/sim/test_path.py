"""Where packets end: TTLs, filters, the customer's public address and the NAT's ports."""

from __future__ import annotations

import pytest

from vsipcheck.model import Icmp
from vsipcheck.sim import SCENARIOS
from vsipcheck.sim.path import End, Paths

MEDIA, SECOND_MEDIA, CLOSED_MEDIA = "182.76.143.61", "14.194.10.247", "61.246.82.75"
POP = "182.76.143.101"
HELPER = "104.26.12.205"


def paths(name: str) -> Paths:
    return Paths(SCENARIOS[name], frozenset({HELPER}), 5070)


def test_each_ttl_ends_at_its_router_and_the_last_one_arrives() -> None:
    seen = [paths("healthy").fate("udp", MEDIA, 20000, ttl).icmp for ttl in range(1, 7)]
    assert [icmp and (icmp.address, icmp.type) for icmp in seen] == [
        ("192.168.1.1", 11),
        ("49.44.0.1", 11),
        ("49.44.18.25", 11),
        ("49.44.220.9", 11),
        ("182.79.3.1", 11),
        ("182.76.143.1", 11),
    ]
    assert paths("healthy").fate("udp", MEDIA, 20000, 7).end is End.ARRIVED
    assert paths("healthy").fate("udp", MEDIA, 20000).end is End.ARRIVED
    closed = paths("healthy").fate("udp", CLOSED_MEDIA, 20000)
    assert closed.icmp == Icmp(address=CLOSED_MEDIA, type=3, code=3)


def test_listeners_and_closed_ports() -> None:
    healthy = paths("healthy")
    assert healthy.fate("tcp", POP, 5070).end is End.ARRIVED
    assert healthy.fate("tcp", POP, 443).end is End.ARRIVED
    assert healthy.fate("tcp", POP, 5061).end is End.LOST
    assert healthy.fate("tcp", "192.168.1.1", 5070).end is End.RESET
    assert healthy.fate("tcp", "198.18.0.1", 5070).end is End.LOST
    assert healthy.fate("tcp", HELPER, 443).end is End.ARRIVED


@pytest.mark.parametrize(
    ("scenario", "protocol", "address", "port", "ttl", "end"),
    [
        ("not-whitelisted", "tcp", POP, 5070, None, End.LOST),
        ("not-whitelisted", "tcp", POP, 5070, 6, End.ICMP),  # the filter's router still answers for itself
        ("not-whitelisted", "tcp", POP, 443, None, End.ARRIVED),
        ("not-whitelisted", "udp", POP, 5070, None, End.ARRIVED),
        ("tcp-refused", "tcp", POP, 5070, None, End.RESET),
        ("media-partial", "udp", MEDIA, 20000, None, End.ARRIVED),
        ("media-partial", "udp", MEDIA, 20001, None, End.LOST),
        ("media-partial", "udp", MEDIA, 40000, 2, End.LOST),
        ("media-partial", "udp", MEDIA, 40000, 1, End.ICMP),
        ("media-partial", "udp", MEDIA, 40001, 2, End.ICMP),
        ("media-some-addresses", "udp", MEDIA, 20000, None, End.ARRIVED),
        ("media-some-addresses", "udp", SECOND_MEDIA, 20000, None, End.LOST),
        ("media-some-addresses", "udp", SECOND_MEDIA, 9731, None, End.ARRIVED),
        ("media-host-firewall", "udp", MEDIA, 20000, 1, End.DENIED),
        ("media-host-firewall", "udp", MEDIA, 9731, 1, End.ICMP),
        ("no-icmp", "udp", MEDIA, 20000, 3, End.LOST),
        ("no-icmp", "udp", MEDIA, 20000, None, End.ARRIVED),
        ("captive-portal", "tcp", POP, 5070, None, End.PORTAL),
        ("captive-portal", "udp", MEDIA, 9731, None, End.LOST),
        ("offline", "udp", MEDIA, 20000, None, End.NO_ROUTE),
        ("offline", "tcp", POP, 5070, None, End.NO_ROUTE),
    ],
)
def test_filters(scenario: str, protocol: str, address: str, port: int, ttl: int | None, end: End) -> None:
    assert paths(scenario).fate(protocol, address, port, ttl).end is end  # type: ignore[arg-type]


def test_a_prohibition_names_the_router_that_sends_it() -> None:
    fate = paths("media-prohibited").fate("udp", MEDIA, 10000)
    assert fate.icmp == Icmp(address="192.168.1.1", type=3, code=13)


@pytest.mark.parametrize(
    ("scenario", "answers"),
    [
        ("healthy", [("49.36.10.7", 3)]),
        ("cgnat", [("192.168.1.1", 11), ("100.64.0.1", 11), ("49.36.10.7", 3)]),
        ("cgnat-on-interface", [("100.64.0.1", 11), ("49.36.10.7", 3)]),
        ("double-nat", [("192.168.1.1", 11), ("49.36.10.7", 3)]),
    ],
)
def test_where_the_public_address_lives(scenario: str, answers: list[tuple[str, int]]) -> None:
    seen = [paths(scenario).fate("udp", "49.36.10.7", 9, ttl).icmp for ttl in range(1, len(answers) + 1)]
    assert [icmp and (icmp.address, icmp.type) for icmp in seen] == answers
    assert paths(scenario).fate("udp", "49.36.10.7", 9).icmp == Icmp(address="49.36.10.7", type=3, code=3)


def test_what_the_nat_does_to_ports() -> None:
    there, elsewhere = ("104.26.12.205", 3478), ("74.125.250.129", 3478)
    assert paths("healthy").mapped("udp", 50000, *there) == ("49.36.10.7", 50000)
    remap, masking = paths("port-remap"), paths("port-masking")
    assert remap.mapped("udp", 50000, *there) == remap.mapped("udp", 50000, *elsewhere) != ("49.36.10.7", 50000)
    assert masking.mapped("udp", 50000, *there) != masking.mapped("udp", 50000, *elsewhere)
    for port in range(1024, 65536):
        for nat in (remap, masking):
            assert port != nat.mapped("udp", port, *there)[1] in range(1024, 65536)


def test_another_uplink_for_web_traffic() -> None:
    uplinks = paths("several-uplinks")
    assert uplinks.mapped("tcp", 50000, HELPER, 443)[0] == "106.51.20.9"
    assert uplinks.mapped("tcp", 50000, POP, 5070)[0] == "49.36.10.7"
    assert uplinks.fate("udp", "106.51.20.9", 9, 1).icmp == Icmp(address="106.51.20.9", type=3, code=3)
