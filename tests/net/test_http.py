"""HTTPS from a server of our own, signed by an authority of our own."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from net.conftest import Authority
from net.test_tcp import Handler

from vsipcheck.model import Failure, Family
from vsipcheck.net import HttpReply, SystemLookup, http
from vsipcheck.net.host import HostNetwork


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Our authority is the only one this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    return authority


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, SystemLookup]:
    """What names resolve to, instead of a nameserver."""
    table = {"echo.test": SystemLookup(("127.0.0.1",), 1.0)}

    async def resolve_system(self: HostNetwork, name: str, family: Family, timeout_s: float) -> SystemLookup:
        return table.get(name, SystemLookup((), 1.0, Failure.NXDOMAIN))

    monkeypatch.setattr(HostNetwork, "resolve_system", resolve_system)
    return table


@contextlib.asynccontextmanager
async def serving(handler: Handler, certificate: tuple[Path, Path] | None) -> AsyncIterator[int]:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()
        with contextlib.suppress(asyncio.CancelledError, OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 1)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def saying(*chunks: bytes, then: str = "close", heard: list[bytes] | None = None) -> Handler:
    """A handler that reads a request, says `chunks`, and then closes, holds the connection, or goes on for ever."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(request)
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        if then == "hold":
            await reader.read()
        while then == "endless":
            writer.write(b"x" * 10000)
            await writer.drain()
        while then == "trickle":
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    return handle


def head(status: str = "200 OK", *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode()


async def fetch(
    network: HostNetwork,
    handler: Handler,
    certificate: tuple[Path, Path] | None,
    *,
    host: str = "echo.test",
    **options: Any,
) -> HttpReply:
    async with serving(handler, certificate) as port:
        settings = {"timeout_s": 5.0, "max_bytes": 1000} | options
        return await loaded_get(network, f"https://{host}:{port}/ip?x=1", **settings)


async def loaded_get(network: HostNetwork, url: str, **options: Any) -> HttpReply:
    """A fetch whose time-out is not about the loading of httpx and TLS, which happens in a thread."""
    await network.https_get("", timeout_s=60.0, max_bytes=1)
    return await network.https_get(url, **options)


def test_a_body_comes_with_its_addresses_and_its_time(network: HostNetwork, trusted: Authority) -> None:
    heard: list[bytes] = []
    handler = saying(head("200 OK", "Content-Length: 10"), b"192.0.2.1\n", heard=heard)
    reply = asyncio.run(fetch(network, handler, trusted.good))
    assert (reply.status, reply.body, reply.failure) == (200, b"192.0.2.1\n", None)
    assert reply.server is not None
    assert reply.server[0] == "127.0.0.1"
    assert reply.local is not None
    assert reply.local[0] == "127.0.0.1"
    assert reply.rtt_ms is not None
    request = heard[0].decode()
    assert request.startswith("GET /ip?x=1 HTTP/1.1\r\n")
    assert f"Host: echo.test:{reply.server[1]}\r\n" in request
    assert "User-Agent: vsipcheck/" in request
    (row,) = network.traffic().by_destination
    assert (row.address, row.protocol) == ("127.0.0.1", "tcp")
    assert row.packets >= 3
    assert row.bytes > len(request)


def test_literal_addresses_need_no_look_up(network: HostNetwork, trusted: Authority) -> None:
    handler = saying(head("200 OK", "Content-Length: 0"))
    reply = asyncio.run(fetch(network, handler, trusted.good, host="127.0.0.1", source="127.0.0.1"))
    assert (reply.status, reply.failure) == (200, None)


def test_proxies_of_the_environment_are_ignored(
    network: HostNetwork, trusted: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    reply = asyncio.run(fetch(network, saying(head("200 OK", "Content-Length: 0")), trusted.good))
    assert reply.failure is None


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "302 Found", "403 Forbidden", "404 Not Found", "500 Internal Server Error"]
)
def test_every_status_is_a_reply_and_redirects_are_not_followed(
    network: HostNetwork, trusted: Authority, status: str
) -> None:
    heard: list[bytes] = []
    handler = saying(head(status, "Location: https://echo.test/elsewhere", "Content-Length: 2"), b"no", heard=heard)
    reply = asyncio.run(fetch(network, handler, trusted.good))
    assert (reply.status, reply.body, reply.failure) == (int(status[:3]), b"no", None)
    assert len(heard) == 1


def test_a_body_of_exactly_the_limit_is_whole(network: HostNetwork, trusted: Authority) -> None:
    handler = saying(head("200 OK", "Content-Length: 1000"), b"x" * 1000)
    reply = asyncio.run(fetch(network, handler, trusted.good))
    assert (len(reply.body), reply.failure) == (1000, None)


@pytest.mark.parametrize("fields", [["Content-Length: 1001"], [], ["Content-Length: 999999999"]])
def test_a_huge_body_is_cut_off(network: HostNetwork, trusted: Authority, fields: list[str]) -> None:
    reply = asyncio.run(fetch(network, saying(head("200 OK", *fields), then="endless"), trusted.good))
    assert (reply.status, reply.failure, reply.body) == (200, Failure.TOO_LARGE, b"x" * 1000)


def test_a_compressed_bomb_is_not_unfolded(network: HostNetwork, trusted: Authority) -> None:
    bomb = gzip.compress(b"0" * 100_000)
    handler = saying(head("200 OK", f"Content-Length: {len(bomb)}", "Content-Encoding: gzip"), bomb)
    reply = asyncio.run(fetch(network, handler, trusted.good))
    assert (reply.body, reply.failure) == (bomb, None)


@pytest.mark.parametrize(
    ("handler", "failure", "status"),
    [
        (saying(then="hold"), Failure.NO_ANSWER, None),
        (saying(head(), then="trickle"), Failure.NO_ANSWER, 200),
        (saying(), Failure.CLOSED_EARLY, None),
        (saying(b"HTTP/1.1 200"), Failure.CLOSED_EARLY, None),
        (saying(head("200 OK", "Content-Length: 10"), b"12"), Failure.CLOSED_EARLY, 200),
        (saying(b"SIP/2.0 200 OK\r\n\r\n"), Failure.MALFORMED, None),
        (saying(b"\x00\x01\x02\r\n\r\n"), Failure.MALFORMED, None),
        (saying(head("200 OK", "Content-Length: -1")), Failure.MALFORMED, None),
        (saying(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50000, then="hold"), Failure.MALFORMED, None),
    ],
)
def test_a_bad_server_is_a_failure(
    network: HostNetwork, trusted: Authority, handler: Handler, failure: Failure, status: int | None
) -> None:
    timeout_s = 1.0 if failure is Failure.NO_ANSWER else 5.0
    reply = asyncio.run(fetch(network, handler, trusted.good, timeout_s=timeout_s, max_bytes=100_000))
    assert (reply.failure, reply.status) == (failure, status)


def test_a_certificate_for_another_name_is_a_tls_failure(network: HostNetwork, trusted: Authority) -> None:
    reply = asyncio.run(fetch(network, saying(head()), trusted.stranger))
    assert (reply.failure, reply.status) == (Failure.TLS_FAILED, None)
    assert reply.detail is not None
    assert reply.detail.startswith("certificate: ")


def test_an_unknown_authority_is_a_tls_failure(
    network: HostNetwork, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a store of its own, the host has certifi's, which does not know ours."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    reply = asyncio.run(fetch(network, saying(head()), authority.good))
    assert reply.failure is Failure.TLS_FAILED


def test_the_bundle_of_certifi_serves_where_the_store_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert len(http._load().get_ca_certs()) > 50
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    assert len(http._load().get_ca_certs()) == 1


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def _mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    await asyncio.Event().wait()


async def _gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(2000)


async def _slammed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        (_plain, Failure.TLS_FAILED),
        (_mute, Failure.NO_ANSWER),
        (_gone, Failure.CLOSED_EARLY),
        (_slammed, Failure.RESET),
    ],
)
def test_a_handshake_that_fails_says_how(
    network: HostNetwork, trusted: Authority, handler: Handler, failure: Failure
) -> None:
    reply = asyncio.run(fetch(network, handler, None, timeout_s=1.0))
    assert (reply.failure, reply.status, reply.rtt_ms) == (failure, None, None)


def test_the_second_address_serves_when_the_first_refuses(
    network: HostNetwork, trusted: Authority, names: dict[str, SystemLookup]
) -> None:
    names["echo.test"] = SystemLookup(("127.0.0.2", "127.0.0.1"), 1.0)
    reply = asyncio.run(fetch(network, saying(head("200 OK", "Content-Length: 0")), trusted.good))
    assert (reply.status, reply.server and reply.server[0]) == (200, "127.0.0.1")


def test_no_more_than_two_addresses_are_tried(
    network: HostNetwork, trusted: Authority, names: dict[str, SystemLookup]
) -> None:
    names["echo.test"] = SystemLookup(("127.0.0.2", "127.0.0.3", "127.0.0.1"), 1.0)
    reply = asyncio.run(fetch(network, saying(head()), trusted.good))
    assert (reply.failure, reply.server and reply.server[0]) == (Failure.REFUSED, "127.0.0.3")


def test_an_answer_is_not_asked_for_twice(
    network: HostNetwork, trusted: Authority, names: dict[str, SystemLookup]
) -> None:
    names["echo.test"] = SystemLookup(("127.0.0.1", "127.0.0.1"), 1.0)
    heard: list[bytes] = []
    asyncio.run(fetch(network, saying(heard=heard), trusted.good))
    assert len(heard) == 1


def test_a_silent_address_is_a_connect_timeout(network: HostNetwork, trusted: Authority) -> None:
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        reply = asyncio.run(loaded_get(network, url, timeout_s=1.0, max_bytes=10))
    assert reply.failure is Failure.CONNECT_TIMEOUT


@pytest.mark.parametrize(
    ("url", "failure"),
    [
        ("http://echo.test/", Failure.LOCAL_ERROR),
        ("https:///", Failure.LOCAL_ERROR),
        ("https://echo.test:99999/", Failure.LOCAL_ERROR),
        ("nonsense", Failure.LOCAL_ERROR),
        ("https://gone.test/", Failure.NXDOMAIN),
    ],
)
def test_what_cannot_be_fetched_is_a_failure(
    network: HostNetwork, trusted: Authority, url: str, failure: Failure
) -> None:
    reply = asyncio.run(loaded_get(network, url, timeout_s=5, max_bytes=10))
    assert (reply.failure, reply.status) == (failure, None)
    assert network.traffic().packets_sent == 0


@pytest.mark.parametrize("source", ["192.0.2.77", "::1"])
def test_a_foreign_source_is_told_as_such(network: HostNetwork, trusted: Authority, source: str) -> None:
    reply = asyncio.run(fetch(network, saying(head()), trusted.good, source=source))
    assert reply.failure is Failure.ADDRESS_UNAVAILABLE


def test_cancelling_is_not_swallowed(network: HostNetwork, trusted: Authority) -> None:
    async def cancelled() -> None:
        started = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            started.set()
            await reader.read()

        async with serving(handle, trusted.good) as port:
            task = asyncio.create_task(network.https_get(f"https://echo.test:{port}/", timeout_s=30, max_bytes=10))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())


def test_several_fetches_share_one_context(network: HostNetwork, trusted: Authority) -> None:
    async def both() -> list[HttpReply]:
        handler = saying(head("200 OK", "Content-Length: 0"))
        async with serving(handler, trusted.good) as port:
            url = f"https://echo.test:{port}/"
            return list(await asyncio.gather(*(network.https_get(url, timeout_s=5, max_bytes=10) for _ in range(3))))

    assert [reply.status for reply in asyncio.run(both())] == [200, 200, 200]
