"""The drawing of a way: every router, whose it is, and where each kind of probe stopped."""

from __future__ import annotations

import msgspec
import pytest
from render.fixture import make_healthy

from vsipcheck.model import FaultDomain, Path, PathHop, PathSeries
from vsipcheck.render import RenderOptions, render

HOPS = (
    PathHop(
        ttl=1,
        address="192.168.1.1",
        zone=FaultDomain.LOCAL_NETWORK,
        why="your gateway, the first router",
        rtt_ms=0.4,
        loss_ratio=0.0,
        marks={"udp_control": "answered", "tcp_5070": "answered"},
    ),
    PathHop(ttl=2, address=None, zone=FaultDomain.UNDETERMINED, why="no router answers here", loss_ratio=1.0),
    PathHop(
        ttl=3,
        address="203.0.113.9",
        zone=FaultDomain.ISP,
        why="the first public hop",
        rtt_ms=12.0,
        loss_ratio=0.5,
        marks={"udp_control": "answered", "tcp_5070": "missed"},
    ),
)
WAY = Path(
    target="198.51.100.30",
    name="pstn.example",
    hops=HOPS,
    series=(
        PathSeries(id="udp_control", outcome="silent", reached_ttl=3),
        PathSeries(id="tcp_5070", outcome="silent", reached_ttl=1, stopped_ttl=3),
    ),
)


def drawn(*, verbose: bool = True, unicode: bool = True, way: Path = WAY) -> str:
    report = msgspec.structs.replace(make_healthy(), paths=(way,))
    return render(report, "terminal", RenderOptions(verbose=verbose, unicode=unicode))


def test_the_drawing() -> None:
    lines = drawn().splitlines()
    start = lines.index("The way to 198.51.100.30 (pstn.example)")
    assert lines[start : start + 12] == [
        "The way to 198.51.100.30 (pstn.example)",
        "  hop  router          best rtt   lost  UDP  5070",
        "    your network: your gateway, the first router",
        "    1  192.168.1.1       0.4 ms    0 %   ●    ●",
        "    whose is not known: no router answers here",
        "    2  no answer                 100 %",
        "    your ISP: the first public hop",
        "    3  203.0.113.9        12 ms   50 %   ●    ✕",
        "  end  198.51.100.30                     ○    ○",
        "  UDP, other    seen as far as hop 3, the target does not answer",
        "  TCP 5070      seen as far as hop 1, stops before hop 3, the target does not",
        "                answer",
    ]


def test_it_is_for_those_who_ask() -> None:
    assert "The way to" not in drawn(verbose=False)


@pytest.mark.parametrize("unicode", [True, False])
def test_it_is_harmless_and_fits(unicode: bool) -> None:
    hostile = msgspec.structs.replace(WAY, name="a\x1b[31m\u202eb\n")
    text = drawn(unicode=unicode, way=hostile)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert unicode or text.isascii()
    start = text.index("The way to")
    end = text.index("\nThe run", start)
    assert all(len(line) <= 80 for line in text[start:end].splitlines())


def test_a_way_without_routers_says_so() -> None:
    assert "no router on the way answers" in drawn(way=msgspec.structs.replace(WAY, hops=()))
