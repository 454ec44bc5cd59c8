"""Plain HTTP with a router: one exchange, a literal address, a bounded body, nothing followed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from vsipcheck.model import Failure
from vsipcheck.net import HttpReply
from vsipcheck.net.host import HostNetwork

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def exchange(
    serve: Serve, *, path: str = "/x", body: bytes | None = None, timeout_s: float = 5.0, max_bytes: int = 1000
) -> tuple[HttpReply, bytes]:
    """The reply, and the request as the server read it."""
    requests: list[bytes] = []

    async def run() -> HttpReply:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                requests.append(head + (await reader.readexactly(len(body)) if body else b""))
                await serve(head, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            with HostNetwork() as network:
                # Loads httpx, in a thread: no time-out of these tests is about that.
                await network.http_exchange("", timeout_s=60.0, max_bytes=1)
                return await network.http_exchange(
                    f"http://127.0.0.1:{port}{path}",
                    body=body,
                    headers={"SOAPAction": '"urn:x#y"'} if body else None,
                    timeout_s=timeout_s,
                    max_bytes=max_bytes,
                )
        finally:
            server.close()

    reply = asyncio.run(run())
    return reply, b"".join(requests)


def page(body: bytes, status: str = "200 OK", *headers: str) -> Serve:
    async def serve(_: bytes, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return serve


def test_get() -> None:
    reply, request = exchange(page(b"<root/>"))
    assert (reply.status, reply.body, reply.failure) == (200, b"<root/>", None)
    assert request.startswith(b"GET /x HTTP/1.1\r\n")
    assert reply.rtt_ms is not None
    assert reply.server is not None
    assert reply.server[0] == "127.0.0.1"


def test_post() -> None:
    reply, request = exchange(page(b"fault", "500 Internal Server Error"), body=b"<Envelope/>")
    assert (reply.status, reply.body, reply.failure) == (500, b"fault", None)
    head, _, sent = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert b'soapaction: "urn:x#y"' in head.lower()
    assert sent == b"<Envelope/>"


def test_body_is_capped() -> None:
    reply, _ = exchange(page(bytes(10_000_000)))
    assert (reply.failure, len(reply.body)) == (Failure.TOO_LARGE, 1000)


def test_redirects_are_answers() -> None:
    reply, request = exchange(page(b"", "302 Found", "Location: http://203.0.113.9/"))
    assert reply.status == 302
    assert request.count(b"HTTP/1.1") == 1


def test_stalled_body_ends_by_the_clock() -> None:
    async def stall(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        await writer.drain()
        await writer.wait_closed()  # the client gives up

    reply, _ = exchange(stall, timeout_s=0.5)
    assert (reply.status, reply.failure) == (200, Failure.NO_ANSWER)


def test_hang_up_is_no_answer_of_ours() -> None:
    async def hang_up(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert exchange(hang_up)[0].failure is Failure.CLOSED_EARLY


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/", "http://localhost/", "http://[::1]/", "ftp://127.0.0.1/", "http://127.0.0.1:0x/", "x", ""],
)
def test_other_urls_are_not_fetched(url: str) -> None:
    async def run() -> tuple[HttpReply, int]:
        with HostNetwork() as network:
            reply = await network.http_exchange(url, timeout_s=5.0, max_bytes=10)
            return reply, network.traffic().packets_sent

    reply, packets = asyncio.run(run())
    assert (reply.failure, packets) == (Failure.LOCAL_ERROR, 0)
