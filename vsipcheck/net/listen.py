"""A small HTTP server for pages that are made when they are asked for: GET and HEAD, one request a connection.

Whoever connects is taken as hostile: a request's head is bounded in size and in time, answers are not waited for by
those who do not read them, and so many connections are served at once and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from vsipcheck.model import Failure
from vsipcheck.net.failures import from_exception

MAX_HEAD_BYTES = 8192
MAX_HEADERS = 64
MAX_CONNECTIONS = 32
HEAD_WAIT_S = 5.0
WRITE_WAIT_S = 10.0

_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]", re.ASCII)
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*", re.ASCII)
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to see. Names of headers are in lower case."""

    path: str  # without its query
    headers: Mapping[str, str]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What they get."""

    body: str
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200


class BadRequestError(Exception):
    """A request that cannot be served; `status` says why."""

    def __init__(self, status: int) -> None:
        super().__init__(_REASONS[status])
        self.status = status


class Listener:
    """A server that listens. `address` and `port` are those that it got."""

    def __init__(self, server: asyncio.Server, open_connections: set[asyncio.Task[None]]) -> None:
        self._server = server
        self._open = open_connections
        self.address, self.port = server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """No connection is left."""
        self._server.close()
        for task in tuple(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=1.0)
        # Since Python 3.12 this waits for connections, too.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), 1.0)


async def listen(address: str, port: int, answer: Callable[[Asked], Awaitable[Page]]) -> Listener | Failure:
    """A server at `address` and `port` (0: any) whose pages are made by `answer`, or why there can be none."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        crowded = len(connections) >= MAX_CONNECTIONS
        connections.add(task)
        try:
            await _serve(reader, writer, answer, crowded)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # they have gone, or we are ending
        finally:
            connections.discard(task)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    try:
        server = await asyncio.start_server(serve, address, port, limit=MAX_HEAD_BYTES)
    except OSError as error:
        return from_exception(error)
    return Listener(server, connections)


async def _serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Callable[[Asked], Awaitable[Page]],
    crowded: bool,
) -> None:
    bodiless = False
    try:
        if crowded:
            raise BadRequestError(503)
        async with asyncio.timeout(HEAD_WAIT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        method, asked = parse_head(head)
        bodiless = method == "HEAD"
        if method not in ("GET", "HEAD"):
            raise BadRequestError(405)
        page = await answer(asked)
    except TimeoutError:
        page = _refusal(408)
    except asyncio.LimitOverrunError:
        page = _refusal(431)
    except BadRequestError as error:
        page = _refusal(error.status)
    body = page.body.encode("utf-8", "backslashreplace")
    head_lines = [
        f"HTTP/1.1 {page.status} {_REASONS.get(page.status, 'Unknown')}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Content-Security-Policy: default-src 'none'",
        *(["Allow: GET, HEAD"] if page.status == 405 else []),
    ]
    writer.write("\r\n".join(head_lines).encode() + b"\r\n\r\n" + (b"" if bodiless else body))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WRITE_WAIT_S):
            await writer.drain()
            writer.write_eof()


def _refusal(status: int) -> Page:
    return Page(body=f"{status} {_REASONS[status]}\n", status=status)


def parse_head(head: bytes) -> tuple[str, Asked]:
    """The method and what is asked for. Raises BadRequestError for anything but a plain request."""
    line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    request = _REQUEST_LINE.fullmatch(line)
    if request is None:
        raise BadRequestError(400)
    if len(lines) > MAX_HEADERS:
        raise BadRequestError(431)
    headers: dict[str, str] = {}
    for text in lines:
        header = _HEADER.fullmatch(text)
        if header is None:
            raise BadRequestError(400)
        headers[header[1].lower()] = header[2]
    return request[1], Asked(path=request[2].partition("?")[0], headers=headers)
