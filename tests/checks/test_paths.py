"""Who has to act when SYNs stay unanswered, or an ICMP error comes back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from vsipcheck.checks.base import Facts
from vsipcheck.checks.paths import blame_icmp, blame_silence
from vsipcheck.model import (
    AddressSeen,
    AnyFact,
    CheckEvidence,
    Confidence,
    Connection,
    Failure,
    FaultDomain,
    Hop,
    Icmp,
    Interface,
    Route,
)

TARGET = "182.76.143.101"
HOST = "192.168.1.50"
PATH = {1: "192.168.1.1", 2: "192.168.0.1", 3: "49.44.1.1", 4: "49.44.2.1", 5: "182.76.143.1"}
ROUTE = Route(destination=TARGET, source_address=HOST, gateway="192.168.1.1")


def facts_of(*facts: AnyFact) -> Facts:
    numbered = tuple(msgspec.structs.replace(fact, id=f"sip.{i}") for i, fact in enumerate((ROUTE, *facts)))
    return Facts({"sip": CheckEvidence(version=1, offset_ms=0, duration_ms=1, error=None, facts=numbered)})


def hop(series: str, ttl: int, *, answered: bool = True, contrasts: int = 0) -> Hop:
    port = int(series.removeprefix("tcp_")) if series.startswith("tcp_") else 50123
    if not answered:
        return Hop(target=TARGET, series=series, ttl=ttl, ports=(port,), sent=3, answered=0, contrasts=contrasts)
    icmp = Icmp(address=PATH[ttl], type=11, code=0)
    return Hop(target=TARGET, series=series, ttl=ttl, ports=(port,), sent=1, answered=1, address=PATH[ttl], icmp=icmp)


def control(failure: Failure | None) -> Connection:
    return Connection(name=None, address=TARGET, port=443, purpose="control", failure=failure)


UDP = [hop("udp_control", ttl) for ttl in (2, 3, 4, 5)]
FIRST = Hop(
    target="122.15.8.184",
    series="udp_in_range",
    ttl=1,
    ports=(10000,),
    sent=1,
    answered=1,
    address=PATH[1],
    icmp=Icmp(address=PATH[1], type=11, code=0),
)

ROWS: dict[str, tuple[Sequence[AnyFact], str, str]] = {
    "SYNs leave, and 443 is answered": ([*UDP, hop("tcp_5070", 5), control(None)], "provider", "likely"),
    "SYNs leave, and 443 is refused by the same host": (
        [*UDP, hop("tcp_5070", 5), control(Failure.REFUSED)],
        "provider",
        "likely",
    ),
    "SYNs get to the provider's own network, 443 is silent too": (
        [*UDP, hop("tcp_5070", 5), control(Failure.CONNECT_TIMEOUT)],
        "provider",
        "likely",
    ),
    "SYNs get to the ISP and no probe gets farther: whose drop it is, nobody saw": (
        [*UDP[:3], hop("tcp_5070", 4), control(Failure.CONNECT_TIMEOUT)],
        "undetermined",
        "possible",
    ),
    "SYNs stop at the provider, as far as was asked: the hops before it were not": (
        [*UDP, hop("tcp_5070", 2), hop("tcp_5070", 5, answered=False, contrasts=3)],
        "provider",
        "likely",
    ),
    "no SYN was heard of at all, and the ISP's second hop is missed": (
        [*UDP, hop("tcp_5070", 4, answered=False, contrasts=3)],
        "undetermined",
        "likely",
    ),
    "443 is answered, but how far SYNs to 5070 get was not seen": (
        [*UDP, hop("tcp_5070", 3), hop("tcp_5070", 4, answered=False, contrasts=1), control(None)],
        "undetermined",
        "possible",
    ),
    "SYNs stop inside the customer's network": (
        [FIRST, *UDP, hop("tcp_5070", 1), hop("tcp_5070", 2, answered=False, contrasts=3)],
        "local_network",
        "proven",
    ),
    "SYNs stop between the customer and the ISP": (
        [*UDP, hop("tcp_5070", 2), hop("tcp_5070", 3, answered=False, contrasts=3)],
        "undetermined",
        "likely",
    ),
    "SYNs stop inside the ISP": (
        [*UDP, hop("tcp_5070", 3), hop("tcp_5070", 4, answered=False, contrasts=3)],
        "isp",
        "likely",
    ),
    "SYNs get only as far as one's own router, and so does everything": (
        [hop("udp_control", 2), hop("tcp_5070", 2), control(Failure.CONNECT_TIMEOUT)],
        "undetermined",
        "possible",
    ),
    "no hop answers": ([control(Failure.CONNECT_TIMEOUT)], "undetermined", "possible"),
    "no hop answers, 443 connects": ([control(None)], "undetermined", "possible"),
    "SYNs missed without an answered control: a rate limit looks the same": (
        [*UDP, hop("tcp_5070", 3), hop("tcp_5070", 4, answered=False)],
        "undetermined",
        "possible",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_blame_silence(name: str) -> None:
    facts, domain, confidence = ROWS[name]
    blame = blame_silence(facts_of(*facts), TARGET, 5070)
    assert (blame.domain, blame.confidence) == (FaultDomain(domain), Confidence(confidence))
    assert "5070" in blame.sentence
    if blame.domain is FaultDomain.UNDETERMINED:
        assert blame.settle_by


SEEN = AddressSeen(method="stun", source="x", address="49.36.10.7", port=1)


@pytest.mark.parametrize(
    ("sender", "facts", "domain", "confidence"),
    [
        (None, [], "host", "proven"),
        (HOST, [Interface(name="eth0", address=HOST)], "host", "proven"),
        (TARGET, [], "provider", "likely"),
        ("192.168.1.1", [], "local_network", "proven"),  # the gateway
        ("192.168.0.1", [FIRST, *UDP], "local_network", "likely"),
        ("49.44.1.1", UDP, "isp", "likely"),
        ("182.76.143.1", UDP, "provider", "likely"),
        ("49.36.10.7", [SEEN], "local_network", "likely"),  # our own public address: the NAT router's WAN side
        ("192.168.7.9", [], "local_network", "likely"),
        ("10.0.0.9", [], "undetermined", "possible"),  # the access router of an ISP, or ours
        ("100.64.0.1", [], "isp", "likely"),
        ("182.76.143.200", [], "provider", "likely"),
        ("8.8.4.4", [], "undetermined", "possible"),
    ],
)
def test_blame_icmp(sender: str | None, facts: Sequence[AnyFact], domain: str, confidence: str) -> None:
    blame = blame_icmp(facts_of(*facts), Icmp(address=sender, type=3, code=13), TARGET)
    assert (blame.domain, blame.confidence) == (FaultDomain(domain), Confidence(confidence))
