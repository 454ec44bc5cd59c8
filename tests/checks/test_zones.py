"""Whose place a hop is, and whose filter stands between two."""

from __future__ import annotations

import pytest

from vsipcheck.checks.zones import first_hop_outside, place_between, zone_of
from vsipcheck.model import Confidence, FaultDomain

TARGET = "182.76.143.61"
HOME = {1: "192.168.1.1", 2: "49.44.1.1", 3: "49.44.2.1", 4: "182.76.143.1"}
OWN = ("192.168.1.50",)


@pytest.mark.parametrize(
    ("path", "own", "outside"),
    [
        (HOME, OWN, 2),
        ({1: "192.168.1.1", 2: "192.168.0.1", 3: "49.44.1.1"}, OWN, 3),
        ({1: "192.168.1.1", 2: "100.64.0.1", 3: "49.44.1.1"}, OWN, 2),  # a carrier's NAT
        ({1: "192.168.1.1", 2: "10.20.0.1", 3: "49.44.1.1"}, OWN, 3),  # either side's
        ({1: "49.36.10.1", 2: "49.44.1.1"}, ("49.36.10.7",), 2),  # no NAT: the gateway is public
        ({1: "49.36.10.1", 2: "49.36.10.254", 3: "49.44.1.1"}, ("49.36.10.7",), 3),  # two routers of one's own
        ({1: "192.168.1.1"}, OWN, None),
        ({}, OWN, None),
    ],
)
def test_first_hop_outside(path: dict[int, str], own: tuple[str, ...], outside: int | None) -> None:
    assert first_hop_outside(path, own) == outside


@pytest.mark.parametrize(
    ("path", "ttl", "zone"),
    [
        (HOME, 1, FaultDomain.LOCAL_NETWORK),
        (HOME, 2, FaultDomain.ISP),
        (HOME, 4, FaultDomain.PROVIDER),  # in the target's /24
        (HOME, 9, FaultDomain.UNDETERMINED),
        ({1: "192.168.1.1", 2: "192.168.0.1", 3: "49.44.1.1"}, 2, FaultDomain.LOCAL_NETWORK),
        ({1: "192.168.1.1", 2: "10.20.0.1", 3: "49.44.1.1"}, 2, FaultDomain.UNDETERMINED),
        ({1: "192.168.1.1", 2: "100.64.0.1"}, 2, FaultDomain.ISP),
        (
            {1: "192.168.1.1", 2: "49.44.1.1", 4: "49.44.2.1", 9: "8.8.8.8", 10: "8.8.4.4"},
            3,
            FaultDomain.ISP,
        ),  # between
        ({1: "192.168.1.1", 2: "49.44.1.1", 4: "49.44.2.1", 5: "8.8.8.8", 6: "8.8.4.4"}, 4, FaultDomain.ISP),
        ({1: "192.168.1.1", 2: "49.44.1.1", 4: "49.44.2.1", 5: "8.8.8.8", 6: "8.8.4.4"}, 5, FaultDomain.UNDETERMINED),
        ({1: "192.168.1.1", 3: "49.44.1.1"}, 2, FaultDomain.UNDETERMINED),
        ({1: "192.168.1.1", 2: "49.44.1.1", 3: TARGET}, 3, FaultDomain.PROVIDER),
    ],
)
def test_zone_of(path: dict[int, str], ttl: int, zone: FaultDomain) -> None:
    assert zone_of(ttl, path, TARGET, OWN) is zone


@pytest.mark.parametrize(
    ("path", "reached", "beyond", "udp", "domain", "confidence"),
    [
        ({1: "192.168.1.1", 2: "192.168.0.1", 3: "49.44.1.1"}, 1, 2, True, "local_network", "proven"),
        (HOME, 1, 2, True, "undetermined", "likely"),
        (HOME, 2, 3, True, "isp", "likely"),
        (HOME, 3, 4, True, "provider", "likely"),
        (HOME, 0, 1, True, "local_network", "likely"),
        (HOME, 0, 1, False, "undetermined", "possible"),  # TCP dropped by this host looks the same
        ({1: "192.168.1.1", 2: "10.20.0.1", 3: "49.44.1.1"}, 1, 2, True, "undetermined", "likely"),
    ],
)
def test_place_between(
    path: dict[int, str], reached: int, beyond: int, udp: bool, domain: str, confidence: str
) -> None:
    place = place_between(reached, beyond, path, TARGET, OWN, left_host=udp)
    assert (place.domain, place.confidence) == (FaultDomain(domain), Confidence(confidence))
    if place.domain is FaultDomain.UNDETERMINED:
        assert place.settle_by
