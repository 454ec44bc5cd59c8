"""TCP connections and streams on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from vsipcheck.model import Failure
from vsipcheck.net import Received, Stream
from vsipcheck.net.host import HostNetwork

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """The port of a server that ends with the block, its handlers with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def connected(network: HostNetwork, port: int) -> Stream:
    attempt = await network.tcp_connect("127.0.0.1", port, 2)
    assert attempt.stream is not None, attempt
    return attempt.stream


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_has_a_round_trip_time_and_both_addresses(network: HostNetwork, host: str) -> None:
    async def connect() -> None:
        async with serving(silent, host) as port:
            attempt = await network.tcp_connect(host, port, 2, source=host)
            assert attempt.stream is not None
            assert attempt.failure is None
            assert attempt.rtt_ms is not None
            assert 0 < attempt.rtt_ms <= network.now_ms() - attempt.at_ms
            assert attempt.stream.remote == (host, port)
            assert attempt.local == attempt.stream.local
            assert attempt.local[0] == host
            await attempt.stream.close()

    asyncio.run(connect())
    (row,) = network.traffic().by_destination
    assert (row.protocol, row.packets, row.bytes) == ("tcp", 1, 0)


def test_a_closed_port_is_refused(network: HostNetwork) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        attempt = asyncio.run(network.tcp_connect("127.0.0.1", sock.getsockname()[1], 2))
    assert attempt.stream is None
    assert attempt.failure is Failure.REFUSED
    assert attempt.icmp is None
    assert attempt.rtt_ms is not None


def test_our_own_deadline_is_not_the_kernels(network: HostNetwork) -> None:
    """A full backlog on Linux drops SYNs, as a silent filter does."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        attempt = asyncio.run(network.tcp_connect("127.0.0.1", listener.getsockname()[1], 0.05))
    assert attempt.failure is Failure.CONNECT_TIMEOUT
    assert attempt.rtt_ms is None
    assert attempt.errno is None
    assert attempt.waited_ms is not None


@pytest.mark.parametrize(
    ("address", "port", "source", "failure"),
    [
        ("localhost", 5070, None, Failure.LOCAL_ERROR),
        ("127.0.0.1", 0, None, Failure.LOCAL_ERROR),
        ("127.0.0.1", 70000, None, Failure.LOCAL_ERROR),
        ("127.0.0.1", 5070, "192.0.2.77", Failure.ADDRESS_UNAVAILABLE),
        ("127.0.0.1", 5070, "::1", Failure.ADDRESS_UNAVAILABLE),
    ],
)
def test_what_cannot_be_tried_is_a_failure(
    network: HostNetwork, address: str, port: int, source: str | None, failure: Failure
) -> None:
    attempt = asyncio.run(network.tcp_connect(address, port, 1, source=source))
    assert (attempt.stream, attempt.failure) == (None, failure)
    assert network.traffic().packets_sent == 0


def test_bytes_go_both_ways_and_reads_are_bounded(network: HostNetwork) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)

    async def exchange() -> list[bytes]:
        async with serving(echo) as port:
            stream = await connected(network, port)
            assert await stream.send(b"0123456789", 1) is None
            chunks: list[bytes] = []
            while len(b"".join(chunks)) < 10:
                chunks.append((await stream.receive(2, max_bytes=4)).data)
            await stream.close()
            return chunks

    chunks = asyncio.run(exchange())
    assert b"".join(chunks) == b"0123456789"
    assert max(map(len, chunks)) <= 4
    (row,) = network.traffic().by_destination
    assert (row.packets, row.bytes) == (2, 10)


def test_a_silent_peer_is_no_answer_and_the_stream_stays_usable(network: HostNetwork) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"at last")
        await reader.read()

    async def exchange() -> tuple[Received, Received]:
        async with serving(late) as port:
            stream = await connected(network, port)
            first = await stream.receive(0.02)
            await stream.send(b"x", 1)
            second = await stream.receive(2)
            await stream.close()
            return first, second

    first, second = asyncio.run(exchange())
    assert (first.data, first.failure, first.closed) == (b"", Failure.NO_ANSWER, False)
    assert (second.data, second.failure) == (b"at last", None)


def test_what_came_while_we_were_not_run_is_not_silence(network: HostNetwork) -> None:
    """The time-out and what was waited for are seen in the same turn of the loop."""

    async def exchange(listener: socket.socket) -> Received:
        connecting = asyncio.create_task(network.tcp_connect("127.0.0.1", listener.getsockname()[1], 0.01))
        await asyncio.sleep(0)
        time.sleep(0.03)  # noqa: ASYNC251
        attempt = await connecting
        assert attempt.stream is not None, attempt
        peer, _ = listener.accept()
        with peer:
            receiving = asyncio.create_task(attempt.stream.receive(0.01))
            await asyncio.sleep(0)
            peer.send(b"in time")
            time.sleep(0.03)  # noqa: ASYNC251
            received = await receiving
        await attempt.stream.close()
        return received

    # The clock of the other tests would stand still meanwhile.
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as on,
    ):
        received = on.run(exchange(listener))
    assert (received.data, received.failure) == (b"in time", None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel tells when data came on Linux alone")
def test_what_we_were_late_to_read_came_when_it_came(network: HostNetwork) -> None:
    async def exchange(listener: socket.socket) -> tuple[Received, float, float]:
        attempt = await network.tcp_connect("127.0.0.1", listener.getsockname()[1], 5.0)
        assert attempt.stream is not None, attempt
        peer, _ = listener.accept()
        with peer:
            sent_ms = network.now_ms()
            await attempt.stream.send(b"well?", 5.0)
            peer.send(b"at once")
            time.sleep(0.2)  # noqa: ASYNC251
            late_ms = network.now_ms()
            received = await attempt.stream.receive(5.0)
        await attempt.stream.close()
        return received, sent_ms, late_ms

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as on,
    ):
        received, sent_ms, late_ms = on.run(exchange(listener))
    assert received.data == b"at once"
    assert sent_ms <= received.at_ms < late_ms


def test_an_orderly_end_is_no_failure(network: HostNetwork) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")

    async def exchange() -> list[Received]:
        async with serving(rude) as port:
            stream = await connected(network, port)
            seen = [await stream.receive(2), await stream.receive(2)]
            await stream.close()
            return seen

    said, ended = asyncio.run(exchange())
    assert said.data == b"bye"
    assert (ended.data, ended.closed, ended.failure) == (b"", True, None)


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_reset_is_a_reset(network: HostNetwork) -> None:
    async def exchange() -> Received:
        async with serving(_reset) as port:
            stream = await connected(network, port)
            await stream.send(b"x", 1)
            received = await stream.receive(2)
            await stream.close()
            return received

    received = asyncio.run(exchange())
    assert (received.failure, received.closed) == (Failure.RESET, False)


def test_a_reset_that_a_send_saw_is_not_an_orderly_end_afterwards(network: HostNetwork) -> None:
    async def exchange() -> tuple[Failure | None, Received]:
        async with serving(_reset) as port:
            stream = await connected(network, port)
            failure = None
            while failure is None:
                failure = await stream.send(b"x", 1)
                await asyncio.sleep(0)
            received = await stream.receive(2)
            await stream.close()
            return failure, received

    failure, received = asyncio.run(exchange())
    assert failure is Failure.RESET
    assert (received.failure, received.closed) == (Failure.RESET, False)


def test_a_peer_that_does_not_read_ends_a_send(network: HostNetwork) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async def exchange() -> Failure | None:
        async with serving(deaf) as port:
            stream = await connected(network, port)
            failure = await stream.send(b"x" * 50_000_000, 0.05)
            await stream.close()
            return failure

    assert asyncio.run(exchange()) is Failure.NO_ANSWER


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is acknowledged")
def test_what_the_peer_did_not_acknowledge_is_counted(network: HostNetwork) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async def talk() -> None:
        async with serving(deaf) as port:
            stream = await connected(network, port)
            assert stream.unacknowledged() == 0
            assert (stream.segment_bytes() or 0) > 500
            assert await stream.send(b"x" * (1 << 26), 0.05) is Failure.NO_ANSWER
            assert (stream.unacknowledged() or 0) > 0
            await stream.close()
            assert (stream.unacknowledged(), stream.segment_bytes()) == (None, None)

    asyncio.run(talk())


def test_closing_ends_a_wait_and_later_use_is_a_failure(network: HostNetwork) -> None:
    async def exchange() -> tuple[Received, Failure | None]:
        async with serving(silent) as port:
            stream = await connected(network, port)
            waiting = asyncio.create_task(stream.receive(30))
            await asyncio.sleep(0)
            await stream.close()
            await stream.close()
            return await waiting, await stream.send(b"x", 1)

    received, failure = asyncio.run(exchange())
    assert received.failure is not None
    assert failure is not None


def test_cancelling_closes_the_socket_and_is_not_swallowed(network: HostNetwork) -> None:
    async def connect() -> None:
        with socket.socket() as listener, contextlib.ExitStack() as stack:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            task = asyncio.create_task(network.tcp_connect("127.0.0.1", listener.getsockname()[1], 30))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(connect())


def test_streams_left_open_are_closed_with_the_network() -> None:
    async def connect(network: HostNetwork) -> Stream:
        async with serving(silent) as port:
            return await connected(network, port)

    with HostNetwork() as network:
        stream = asyncio.run(connect(network))
    assert asyncio.run(stream.send(b"x", 1)) is not None
