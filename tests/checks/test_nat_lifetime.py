"""How long idle bindings live: one row for every verdict, and what is sent when."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from checks.test_nat import OPEN, POSSIBLE, PROVEN, Row, brief, judge

from vsipcheck.checks.nat import lifetime as nat_lifetime
from vsipcheck.checks.nat.lifetime import TCP_IDLE, UDP_BINDING, idle_times
from vsipcheck.model import Note, Status

PASS, WARN, UNKNOWN, SKIP = Status.PASS, Status.WARN, Status.UNKNOWN, Status.SKIP


def udp(idle_s: float, outcome: str = "alive") -> Note:
    return Note(topic=UDP_BINDING, text="", values={"idle_s": idle_s, "outcome": outcome})


def tcp(idle_s: float, outcome: str = "alive", after_s: float | None = None) -> Note:
    while_idle = after_s is not None and after_s < idle_s
    values = {"idle_s": idle_s, "outcome": outcome, "after_s": after_s, "while_idle": while_idle}
    return Note(topic=TCP_IDLE, text="", values=values)


CONTROL = tcp(0.0)
UDP_LIVES = (udp(15.0), udp(120.0), udp(180.0))
TCP_LIVES = (CONTROL, tcp(15.0), tcp(120.0), tcp(180.0))


@pytest.mark.parametrize(
    ("facts", "row", "keepalive_s"),
    [
        pytest.param((*UDP_LIVES, *TCP_LIVES), (PASS, "outlives_the_measurement", None, PROVEN), 30, id="both-live"),
        pytest.param(
            (udp(15.0), udp(25.0), udp(30.0, "silent"), udp(180.0, "silent"), *TCP_LIVES),
            (WARN, "udp_shorter_than_rfc4787", OPEN, PROVEN),
            15,
            id="udp-of-half-a-minute",
        ),
        pytest.param(
            (*UDP_LIVES, CONTROL, tcp(15.0), tcp(25.0, "silent", 25.0)),
            (WARN, "tcp_dropped_while_idle", OPEN, PROVEN),
            12,
            id="tcp-forgotten",
        ),
        pytest.param(
            (*UDP_LIVES, CONTROL, tcp(15.0), tcp(25.0, "reset", 25.0)),
            (WARN, "tcp_dropped_while_idle", OPEN, PROVEN),
            12,
            id="tcp-forgotten-and-reset-when-pinged",
        ),
        # The trunk's own FIN comes while nobody speaks: it is no NAT's.
        pytest.param(
            (*UDP_LIVES, CONTROL, tcp(15.0), tcp(60.0), tcp(90.0, "closed_by_peer", 80.0)),
            (PASS, "outlives_the_measurement", None, PROVEN),
            30,
            id="provider-closes",
        ),
        pytest.param(
            (*UDP_LIVES, CONTROL, tcp(15.0, "reset", 8.0)),
            (WARN, "tcp_reset_while_idle", OPEN, POSSIBLE),
            5,
            id="reset-while-idle",
        ),
        # Something that lived longer shows that what ended a shorter one was no timer.
        pytest.param(
            (udp(15.0, "silent"), udp(30.0), udp(180.0), *TCP_LIVES),
            (PASS, "outlives_the_measurement", None, PROVEN),
            30,
            id="loss-is-no-timer",
        ),
        pytest.param(
            (*UDP_LIVES, tcp(0.0, "silent", 0.0)),
            (UNKNOWN, "tcp_not_determined", OPEN, POSSIBLE),
            30,
            id="trunk-that-never-pongs",
        ),
        pytest.param(TCP_LIVES, (UNKNOWN, "udp_not_determined", OPEN, POSSIBLE), 30, id="no-response-port"),
        pytest.param(
            (udp(15.0, "control_failed"), *TCP_LIVES),
            (UNKNOWN, "udp_not_determined", OPEN, POSSIBLE),
            30,
            id="stun-server-died",
        ),
        pytest.param((), (UNKNOWN, "not_determined", OPEN, POSSIBLE), 30, id="nothing"),
        pytest.param(
            (udp(15.0, "silent"), *TCP_LIVES),
            (WARN, "udp_shorter_than_rfc4787", OPEN, PROVEN),
            7,
            id="shorter-than-all",
        ),
    ],
)
def test_lifetime(facts: Sequence[Any], row: Row, keepalive_s: int) -> None:
    found = judge("nat.lifetime", *facts, lifetime=True)
    assert brief(found) == row
    assert {m.name: m.value for m in found.measures}["keepalive_s"] == keepalive_s
    assert "64 x T1" in found.summary


def test_not_asked() -> None:
    assert brief(judge("nat.lifetime"))[:2] == (SKIP, "not_asked")


def test_provider_is_told_apart() -> None:
    found = judge("nat.lifetime", *UDP_LIVES, CONTROL, tcp(15.0), tcp(90.0, "closed_by_peer", 80.0), lifetime=True)
    assert "Exotel itself ends one after 80 s: that is not the NAT." in found.summary


def test_hidden_expiry_is_explained() -> None:
    assert "hides the end of a binding" in judge("nat.lifetime", *TCP_LIVES, lifetime=True).summary


@pytest.mark.parametrize(
    ("longest_s", "times"),
    [(30.0, (15.0, 25.0, 30.0)), (40.0, (15.0, 25.0, 30.0, 40.0)), (3.0, (3.0,)), (180.0, nat_lifetime.IDLE_TIMES_S)],
)
def test_idle_times(longest_s: float, times: tuple[float, ...]) -> None:
    assert idle_times(longest_s) == times


def test_outcomes_are_waited_for_without_a_packet() -> None:
    """A stream that idles is not written to before its time."""
    events: list[str] = []

    class Stream:
        async def receive(self, timeout_s: float, max_bytes: int = 65536) -> Any:
            from vsipcheck.model import Failure
            from vsipcheck.net import Received

            events.append("receive")
            await asyncio.sleep(min(timeout_s, 0.02))
            return Received(b"\r\n", 0.0) if "send" in events else Received(b"", 0.0, failure=Failure.NO_ANSWER)

        async def send(self, data: bytes, timeout_s: float) -> None:
            events.append("send")

        async def close(self) -> None:
            events.append("close")

    class Network:
        def now_ms(self) -> float:
            return asyncio.get_running_loop().time() * 1000

        async def tcp_connect(self, *_: Any, **__: Any) -> Any:
            from vsipcheck.net import TcpConnect

            return TcpConnect(Stream(), 0.0)  # type: ignore[arg-type]

    async def run() -> tuple[str, float | None]:
        from vsipcheck.checks.base import Context, Recorder
        from vsipcheck.model import Settings
        from vsipcheck.profiles import load_profile

        network: Any = Network()
        record = Recorder("nat", network.now_ms)
        context = Context(
            network=network,
            profile=load_profile("exotel-tcp-mumbai"),
            settings=Settings(checks=("nat",), lifetime=True),
            recorders={"nat": record},
            progress=lambda *_: None,
            remaining_s=lambda: 30.0,
            stopping=lambda: False,
        )
        return await nat_lifetime.NatLifetime(context, record)._tcp_once("192.0.2.1", 5070, 0.05)

    assert asyncio.run(run()) == ("alive", None)
    assert events[-3:] == ["send", "receive", "close"]
    assert "send" not in events[:-3]
