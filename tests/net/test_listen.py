"""The little HTTP server, and those who mean it no good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsipcheck.model import Failure
from vsipcheck.net import listen as room
from vsipcheck.net.listen import Asked, BadRequestError, Listener, Page, listen, parse_head

GET = b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n"


async def tell(asked: Asked) -> Page:
    return Page(body=f"{asked.path} {asked.headers.get('x-prometheus-scrape-timeout-seconds')}\n")


def serving(story: Callable[[Listener], Awaitable[None]], answer: Callable[[Asked], Awaitable[Page]] = tell) -> None:
    async def play() -> None:
        listener = await listen("127.0.0.1", 0, answer)
        assert isinstance(listener, Listener)
        try:
            await story(listener)
        finally:
            await listener.close()

    asyncio.run(play())


async def ask(listener: Listener, request: bytes, *, half_close: bool = False) -> bytes:
    """All that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(request)
    if half_close:
        writer.write_eof()
    try:
        return await reader.read()
    except ConnectionResetError:  # it did not read all that we sent
        return b""
    finally:
        writer.close()


def test_get_and_head() -> None:
    async def story(listener: Listener) -> None:
        head, _, body = (await ask(listener, GET)).partition(b"\r\n\r\n")
        assert body == b"/metrics 10\n"
        lines = head.split(b"\r\n")
        assert lines[0] == b"HTTP/1.1 200 OK"
        assert {b"Content-Length: 12", b"Connection: close", b"X-Content-Type-Options: nosniff"} <= {*lines}
        assert await ask(listener, GET.replace(b"GET", b"HEAD")) == head + b"\r\n\r\n"

    serving(story)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GET.replace(b"GET", b"POST"), 405),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET http://other/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 9000 + b"\r\n\r\n", 431),
    ],
)
def test_anything_else_is_refused(request_: bytes, status: int) -> None:
    async def story(listener: Listener) -> None:
        assert (await ask(listener, request_)).startswith(f"HTTP/1.1 {status} ".encode())
        assert b" 200 OK" in await ask(listener, GET)  # and the next is served

    serving(story)


def test_endless_head_is_cut_off() -> None:
    async def story(listener: Listener) -> None:
        answer = await ask(listener, b"GET / HTTP/1.1\r\n" + b"A" * 1_000_000)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
        assert b" 200 OK" in await ask(listener, GET)

    serving(story)


def test_slow_head_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HEAD_WAIT_S", 0.02)

    async def story(listener: Listener) -> None:
        assert (await ask(listener, b"GET / HTTP/1.1\r\nA: ")).startswith(b"HTTP/1.1 408 ")
        assert (await ask(listener, b"")).startswith(b"HTTP/1.1 408 ")

    serving(story)


def test_head_that_breaks_off_costs_nothing() -> None:
    async def story(listener: Listener) -> None:
        assert await ask(listener, b"GET / HT", half_close=True) == b""
        assert b" 200 OK" in await ask(listener, GET)

    serving(story)


def test_so_many_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_CONNECTIONS", 3)
    arrived, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def wait(asked: Asked) -> Page:
        arrived.release()
        await go_on.wait()
        return Page(body="late\n")

    async def story(listener: Listener) -> None:
        waiting = [asyncio.create_task(ask(listener, GET)) for _ in range(3)]
        for _ in waiting:
            await arrived.acquire()
        assert (await ask(listener, GET)).startswith(b"HTTP/1.1 503 ")
        go_on.set()
        assert all(b"late" in answer for answer in await asyncio.gather(*waiting))

    serving(story, wait)


def test_reader_who_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WRITE_WAIT_S", 0.02)

    asked_for = asyncio.Event()

    async def flood(asked: Asked) -> Page:
        asked_for.set()
        return Page(body="x" * 50_000_000)

    async def story(listener: Listener) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
        writer.write(GET)
        await asked_for.wait()
        done, _ = await asyncio.wait(tuple(listener._open), timeout=60)
        assert len(done) == 1
        writer.close()

    serving(story, flood)


def test_closing_leaves_no_connection() -> None:
    asked_for = asyncio.Event()

    async def never(asked: Asked) -> Page:
        asked_for.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def story(listener: Listener) -> None:
        waiting = asyncio.create_task(ask(listener, GET))
        await asked_for.wait()
        await listener.close()
        assert await waiting == b""

    serving(story, never)


def test_port_that_is_taken_is_a_failure() -> None:
    async def story(listener: Listener) -> None:
        assert isinstance(await listen("127.0.0.1", listener.port, tell), Failure)

    serving(story)


@settings(max_examples=200)
@given(head=st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_bad_one(head: bytes) -> None:
    try:
        method, asked = parse_head(head + b"\r\n\r\n")
    except BadRequestError:
        return
    assert method.isalpha()
    assert asked.path.startswith("/")
