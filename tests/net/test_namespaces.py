"""What `HostNetwork` sees of routers, filters and missing routes: `inside.py` ran it in a network of our own."""

from __future__ import annotations

from typing import Any

import pytest

R1, R2, TARGET = "10.1.0.1", "10.2.0.2", "10.3.0.2"
R1_6, R2_6, TARGET_6 = "fd00:1::1", "fd00:2::2", "fd00:3::2"


@pytest.fixture
def seen(observed: dict[str, Any], request: pytest.FixtureRequest) -> Any:
    """What the scenario of the test's own name saw."""
    outcome = observed[request.node.originalname.removeprefix("test_")]
    assert "error" not in outcome, outcome["error"]
    return outcome["seen"]


def icmp(address: str | None, kind: int, code: int, version: int = 4) -> dict[str, Any]:
    return {"address": address, "type": kind, "code": code, "version": version}


def attempt(
    failure: str | None,
    *,
    errno: int | None = None,
    about: dict[str, Any] | None = None,
    local: str | None = "10.1.0.2",
) -> dict[str, Any]:
    """An attempt as the scenarios tell it: only what the network answered has a round-trip time."""
    answered = failure in (None, "refused") or (about is not None and about["address"] is not None)
    return {
        "connected": failure is None,
        "failure": failure,
        "errno": errno,
        "icmp": about,
        "local": local,
        "has_rtt": answered,
    }


def test_nothing_is_printed_on_stderr(observed: dict[str, Any]) -> None:
    """Python prints there what it finds unclosed."""
    assert observed["stderr"] == ""


def test_tcp_accepted(seen: Any) -> None:
    assert seen == attempt(None)


def test_tcp_accepted_ipv6(seen: Any) -> None:
    assert seen == attempt(None, local="fd00:1::2")


def test_tcp_from_source(seen: Any) -> None:
    assert seen == [
        attempt(None),
        attempt("address_unavailable", errno=99, local=None),
        attempt("address_unavailable", local=None),
    ]


def test_tcp_refused_by_target(seen: Any) -> None:
    assert seen == attempt("refused", errno=111)


def test_tcp_reset_by_router(seen: Any) -> None:
    assert seen == attempt("refused", errno=111)


def test_tcp_prohibited(seen: Any) -> None:
    assert seen == attempt("admin_prohibited", errno=113, about=icmp(R1, 3, 13))


def test_tcp_prohibited_ipv6(seen: Any) -> None:
    assert seen == attempt("admin_prohibited", errno=13, about=icmp(R1_6, 1, 1, 6), local="fd00:1::2")


def test_tcp_port_unreachable(seen: Any) -> None:
    assert seen == attempt("port_unreachable", errno=111, about=icmp(R1, 3, 3))


def test_tcp_host_unreachable(seen: Any) -> None:
    assert seen == attempt("host_unreachable", errno=113, about=icmp(R1, 3, 1))


def test_tcp_dropped_by_router(seen: Any) -> None:
    assert seen == attempt("connect_timeout")


def test_tcp_kernel_gives_up(seen: Any) -> None:
    assert seen == attempt("kernel_timeout", errno=110)


def test_tcp_dropped_by_own_firewall(seen: Any) -> None:
    assert seen == attempt("connect_timeout")


def test_tcp_rejected_by_own_firewall(seen: Any) -> None:
    assert seen == attempt("local_denied", errno=113, about=icmp(None, 3, 13))


def test_tcp_ttls(seen: Any) -> None:
    assert seen == [
        attempt("ttl_exceeded", errno=113, about=icmp(R1, 11, 0)),
        attempt("ttl_exceeded", errno=113, about=icmp(R2, 11, 0)),
        attempt(None),
    ]


def test_tcp_ttls_ipv6(seen: Any) -> None:
    assert seen == [
        attempt("ttl_exceeded", errno=113, about=icmp(R1_6, 3, 0, 6), local="fd00:1::2"),
        attempt("ttl_exceeded", errno=113, about=icmp(R2_6, 3, 0, 6), local="fd00:1::2"),
        attempt(None, local="fd00:1::2"),
    ]


def test_tcp_without_route(seen: Any) -> None:
    assert seen == {
        "203.0.113.9": attempt("no_route", errno=101, local=None),
        "2001:db8::9": attempt("no_route", errno=101, local=None),
        "10.8.0.1": attempt("net_unreachable", errno=101, about=icmp(R1, 3, 0)),
        "10.9.1.1": attempt("no_route", errno=113, local=None),
        "10.9.2.1": attempt("local_denied", errno=13, local=None),
    }


def test_tcp_silent_neighbour(seen: Any) -> None:
    assert seen == attempt("host_unreachable", errno=113, about=icmp(None, 3, 1))


def _exceeded(address: str, kind: int, ttl: int, target: str, version: int) -> list[Any]:
    return ["icmp", 30000, "ttl_exceeded", [address, kind, 0, version], f"probe 30000 {ttl}", target]


def test_udp_ttls(seen: Any) -> None:
    assert seen == [
        ["datagram", 30000, TARGET, "probe 30000 3"],
        _exceeded(R1, 11, 1, TARGET, 4),
        _exceeded(R2, 11, 2, TARGET, 4),
    ]


def test_udp_ttls_ipv6(seen: Any) -> None:
    assert seen == [
        ["datagram", 30000, TARGET_6, "probe 30000 3"],
        _exceeded(R1_6, 3, 1, TARGET_6, 6),
        _exceeded(R2_6, 3, 2, TARGET_6, 6),
    ]


def test_udp_rejections(seen: Any) -> None:
    assert seen == [
        ["datagram", 30000, TARGET, "probe 30000 None"],
        ["icmp", 30001, "admin_prohibited", [R1, 3, 13, 4], "probe 30001 None", TARGET],
        ["icmp", 30002, "host_unreachable", [R1, 3, 1, 4], "probe 30002 None", TARGET],
        ["icmp", 30009, "port_unreachable", [TARGET, 3, 3, 4], "probe 30009 None", TARGET],
    ]


def test_udp_rejections_ipv6(seen: Any) -> None:
    assert seen == [
        ["datagram", 30000, TARGET_6, "probe 30000 None"],
        ["icmp", 30001, "admin_prohibited", [R1_6, 1, 1, 6], "probe 30001 None", TARGET_6],
        ["icmp", 30002, "host_unreachable", [R1_6, 1, 3, 6], "probe 30002 None", TARGET_6],
        ["icmp", 30009, "port_unreachable", [TARGET_6, 1, 4, 6], "probe 30009 None", TARGET_6],
    ]


def test_udp_dropped(seen: Any) -> None:
    assert seen == []


def test_udp_own_firewall(seen: Any) -> None:
    """A drop is EPERM; a reject is EPERM, and an ICMP error that this host sent to itself: both are its own doing."""
    assert seen == [
        ["datagram", 30000, TARGET, "probe 30000 None"],
        ["icmp", 20001, "local_denied", [None, 3, 13, 4], "probe 20001 None", TARGET],
        ["icmp", 20002, "local_denied", [None, 3, 3, 4], "probe 20002 None", TARGET],
        ["local", 20000, "local_denied"],
        ["local", 20001, "local_denied"],
        ["local", 20002, "local_denied"],
    ]


def test_udp_without_route(seen: Any) -> None:
    assert seen == {
        "203.0.113.9": [["local", 30000, "no_route"]],
        "10.9.1.1": [["local", 30000, "no_route"]],
        "10.9.2.1": [["local", 30000, "local_denied"]],
        "10.9.3.1": [["local", 30000, "local_error"]],
        "10.8.0.1": [["icmp", 30000, "net_unreachable", [R1, 3, 0, 4], "probe 30000 None", "10.8.0.1"]],
        "10.1.0.99": [["icmp", 30000, "host_unreachable", [None, 3, 1, 4], "probe 30000 None", "10.1.0.99"]],
    }


def test_routes(seen: Any) -> None:
    assert seen == [
        ["10.1.0.2", "c0", R1, None],
        ["fd00:1::2", "c0", R1_6, None],
        ["10.1.0.2", "c0", None, None],
        [None, None, None, "no_route"],
        ["127.0.0.1", "lo", None, None],
    ]


def test_interfaces(seen: Any) -> None:
    assert seen == [
        ["c0", "10.1.0.2", False],
        ["c0", "fd00:1::2", False],
        ["lo", "127.0.0.1", True],
        ["lo", "::1", True],
    ]


def test_sources(seen: Any) -> None:
    assert seen == [None, None, "is not an address of this host", "is not an address of this host"]


def test_swept(seen: Any) -> None:
    """5,202 ports: every answer is attributed, every dropped port is silent."""
    assert seen["sent"] == 5201
    assert seen["spans"] == {
        "None None": [30000, 30000, 1],
        f"admin_prohibited {R1}": [45100, 45199, 100],
        f"port_unreachable {TARGET}": [40000, 44999, 5000],
    }
    assert seen["local"] == [[20000, "local_denied"]]
    assert seen["unattributed"] == 0
    assert seen["progress"] == 5202
    assert [row[:3] for row in seen["traffic"]] == [["udp", None, 5201]]
