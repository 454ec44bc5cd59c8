"""The sweep on loopback: every closed port answers with ICMP, and every answer finds its datagram."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from vsipcheck.model import Failure
from vsipcheck.net import SweepResult
from vsipcheck.net.host import HostNetwork


async def run(
    network: HostNetwork,
    targets: list[tuple[str, int]],
    *,
    rate: int = 50000,
    source: str | None = None,
    stop: threading.Event | None = None,
    progress: list[int] | None = None,
    tenth_packet: Callable[[], object] = lambda: None,
) -> SweepResult:
    made = 0

    def payload(port: int) -> bytes:
        nonlocal made
        made += 1
        if made == 10:
            tenth_packet()
        return b"%d" % port

    return await network.sweep(
        targets,
        payload,
        rate=rate,
        source=source,
        drain_s=0.05,
        progress=(progress if progress is not None else []).append,
        stop=(stop or threading.Event()).is_set,
    )


def closed_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, drawn one by one."""
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]
    finally:
        for sock in socks:
            sock.close()


def test_every_icmp_answer_is_attributed(network: HostNetwork) -> None:
    targets = [(address, port) for address in ("127.0.0.1", "127.0.0.2") for port in closed_ports(200)]
    progress: list[int] = []
    result = asyncio.run(run(network, targets, progress=progress))
    assert result.sent == 400
    assert (result.unattributed, result.local_failures, result.stopped) == (0, [], False)
    # Loopback limits its ICMP as every Linux host does, so not each datagram is answered.
    assert result.events
    for event in result.events:
        assert event.icmp is not None
        assert event.icmp.address == targets[event.index][0]
        assert event.failure is Failure.PORT_UNREACHABLE
    assert max(Counter(event.index for event in result.events).values()) == 1
    assert progress == sorted(progress)
    rows = network.traffic().by_destination
    assert [(row.address, row.port, row.packets) for row in rows] == [
        ("127.0.0.1", None, 200),
        ("127.0.0.2", None, 200),
    ]


def test_a_datagram_in_answer_is_an_event_without_a_failure(network: HostNetwork) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)

        def answer() -> None:
            data, sender = peer.recvfrom(100)
            for _ in range(3):
                peer.sendto(data, sender)

        thread = threading.Thread(target=answer)
        thread.start()
        result = asyncio.run(run(network, [("127.0.0.1", peer.getsockname()[1])]))
        thread.join()
        port = peer.getsockname()[1]
    (event,) = result.events
    assert (event.index, event.failure, event.icmp) == (0, None, None)
    (row,) = network.traffic().by_destination
    assert row.port == port


@pytest.mark.parametrize(
    ("target", "source", "failure"),
    [
        (("pbx.example", 5000), None, Failure.LOCAL_ERROR),
        (("127.0.0.1", 70000), None, Failure.LOCAL_ERROR),
        (("127.0.0.1", 5000), "192.0.2.77", Failure.ADDRESS_UNAVAILABLE),
    ],
)
def test_what_cannot_be_sent_is_told_by_index(
    network: HostNetwork, target: tuple[str, int], source: str | None, failure: Failure
) -> None:
    result = asyncio.run(run(network, [target], source=source))
    assert (result.sent, result.local_failures) == (0, [(0, failure)])
    assert network.traffic().packets_sent == 0


def test_a_stop_flag_ends_it_with_what_there_is(network: HostNetwork) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        stop = threading.Event()
        result = asyncio.run(run(network, [peer.getsockname()] * 100_000, rate=1000, stop=stop, tenth_packet=stop.set))
    assert result.stopped
    assert 10 <= result.sent < 100_000
    assert network.traffic().packets_sent == result.sent


def test_cancelling_ends_the_thread(network: HostNetwork) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))

        async def cancelled() -> None:
            loop = asyncio.get_running_loop()
            under_way = asyncio.Event()
            targets = [peer.getsockname()] * 100_000
            sweep = run(network, targets, rate=1000, tenth_packet=lambda: loop.call_soon_threadsafe(under_way.set))
            task = asyncio.create_task(sweep)
            await under_way.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancelled())
    assert 10 <= network.traffic().packets_sent < 100_000


def test_the_pace_is_kept_in_bounds(network: HostNetwork) -> None:
    """Never faster than asked for: the count that a stop finds is at most what the schedule allowed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        result = asyncio.run(run(network, [peer.getsockname()] * 50, rate=1000))
    assert result.sent == 50
    assert result.duration_ms >= 49


def test_nothing_to_send_is_no_error(network: HostNetwork) -> None:
    result = asyncio.run(run(network, []))
    assert (result.sent, result.events) == (0, [])
