"""One exchange by httpx: no proxy, no redirect, a capped body, from an address we resolved ourselves.

HTTPS is verified; plain HTTP is for the routers of the customer's own network.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from vsipcheck import VERSION
from vsipcheck.model import Failure, Family
from vsipcheck.net import HttpReply, SystemLookup
from vsipcheck.net.addresses import endpoint, socket_family, without_zone
from vsipcheck.net.failures import causes, from_exception, root_cause
from vsipcheck.net.tcp import sent_on
from vsipcheck.net.traffic import TrafficMeter
from vsipcheck.net.waiting import in_daemon_thread

if TYPE_CHECKING:
    import httpx

MAX_ADDRESSES = 2
USER_AGENT = f"vsipcheck/{VERSION}"
_CHUNK_BYTES = 4096
# What httpx would otherwise import in the middle of the first request.
_LOADED_ON_FIRST_USE = (
    "httpx",
    "httpcore",
    "h11",
    "anyio.streams.tls",
    "anyio._backends._asyncio",
    "httpcore._backends.anyio",
)

Resolve = Callable[[str, Family, float], Awaitable[SystemLookup]]


class HttpsClient:
    """Fetches over HTTPS. httpx and the TLS context are loaded once, in a thread: inside the loop that would be read as
    round-trip time by every probe that is in flight."""

    def __init__(self, resolve: Resolve, now_ms: Callable[[], float], meter: TrafficMeter) -> None:
        self._resolve = resolve
        self._now_ms = now_ms
        self._meter = meter
        self._loading: asyncio.Future[ssl.SSLContext] | None = None

    async def get(self, url: str, *, timeout_s: float, max_bytes: int, source: str | None, family: Family) -> HttpReply:
        """Status and body of `url`, or a failure. `rtt_ms` is from the request sent to the response's head, so neither
        look-up nor TLS counts. Every status is a reply; TOO_LARGE keeps the first `max_bytes` of the body."""
        deadline_ms = self._now_ms() + timeout_s * 1000
        try:
            async with asyncio.timeout(max(0.0, timeout_s)) as deadline:
                context = await self._context()
        except TimeoutError as error:
            failure = Failure.LOCAL_ERROR if deadline.expired() else from_exception(error)
            return _failed(failure, "loading the TLS library took too long")
        except OSError as error:  # a certificate store that cannot be read
            return _failed(from_exception(error), f"certificate store: {type(error).__name__}")
        import httpx

        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, TypeError) as error:
            return _failed(Failure.LOCAL_ERROR, type(error).__name__)
        if parsed.scheme != "https" or not parsed.host or not 0 < (parsed.port or 443) < 65536:
            return _failed(Failure.LOCAL_ERROR, "not an https URL")
        host = parsed.raw_host.decode("ascii")
        if socket_family(host) is not None:
            addresses: tuple[str, ...] = (host,)
        else:
            lookup = await self._resolve(host, family, (deadline_ms - self._now_ms()) / 1000)
            if lookup.failure is not None:
                return _failed(lookup.failure, f"{host} did not resolve")
            addresses = lookup.addresses[:MAX_ADDRESSES]
        reply = _failed(Failure.LOCAL_ERROR, "no address")
        for index, address in enumerate(addresses):
            left_s = (deadline_ms - self._now_ms()) / 1000
            connect_s = left_s / (len(addresses) - index)
            fetch = _Fetch(self._now_ms, self._meter, address, parsed.port or 443, max_bytes)
            reply = await fetch.run(parsed, host, context, source, left_s, connect_s)
            # Only a connection that never came about is tried elsewhere: everything else is an answer.
            if fetch.connected or reply.failure is None:
                break
        return reply

    async def exchange(
        self,
        url: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        max_bytes: int,
        source: str | None,
    ) -> HttpReply:
        """The same over plain HTTP, from a literal IPv4 address: what a router in the customer's own network speaks."""
        deadline_ms = self._now_ms() + timeout_s * 1000
        try:
            async with asyncio.timeout(max(0.0, timeout_s)) as deadline:
                context = await self._context()
        except TimeoutError as error:
            failure = Failure.LOCAL_ERROR if deadline.expired() else from_exception(error)
            return _failed(failure, "loading the HTTP library took too long")
        except OSError as error:  # a certificate store that cannot be read
            return _failed(from_exception(error), f"certificate store: {type(error).__name__}")
        import httpx

        try:
            parsed = httpx.URL(url)
            host = parsed.raw_host.decode("ascii")
        except (httpx.InvalidURL, TypeError, ValueError) as error:
            return _failed(Failure.LOCAL_ERROR, type(error).__name__)
        if parsed.scheme != "http" or ":" in host or socket_family(host) is None or not 0 < (parsed.port or 80) < 65536:
            return _failed(Failure.LOCAL_ERROR, "not an http URL with a literal IPv4 address")
        left_s = (deadline_ms - self._now_ms()) / 1000
        fetch = _Fetch(self._now_ms, self._meter, host, parsed.port or 80, max_bytes)
        return await fetch.run(parsed, host, context, source, left_s, left_s, body=body, extra_headers=headers)

    async def _context(self) -> ssl.SSLContext:
        if self._loading is None or self._loading.cancelled():
            self._loading = in_daemon_thread(_load, "load TLS")
        return await asyncio.shield(self._loading)


class _Fetch:
    """One GET from one address."""

    def __init__(
        self, now_ms: Callable[[], float], meter: TrafficMeter, address: str, port: int, max_bytes: int
    ) -> None:
        self._now_ms = now_ms
        self._meter = meter
        self._address = address
        self._port = port
        self._max_bytes = max_bytes
        self.connected = False
        self._sent_ms: float | None = None
        self._head_ms: float | None = None
        self._status: int | None = None
        self._body = bytearray()
        self._stream: Any = None
        self._socket: Any = None
        self._local: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._sent: tuple[int, int] | None = None

    async def run(
        self,
        url: httpx.URL,
        host: str,
        context: ssl.SSLContext,
        source: str | None,
        timeout_s: float,
        connect_s: float,
        *,
        body: bytes | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """A GET, or a POST where there is a `body`."""
        import httpx

        if source is not None and socket_family(source) != socket_family(self._address):
            return _failed(Failure.ADDRESS_UNAVAILABLE, "source address of another family")
        transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False, local_address=source)
        headers = {
            "Host": url.netloc.decode("ascii"),
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            # A compressed body could unfold to any size.
            "Accept-Encoding": "identity",
            "Connection": "close",
            **(extra_headers or {}),
        }
        request = httpx.Request(
            "GET" if body is None else "POST",
            url.copy_with(host=self._address),
            headers=headers,
            content=body,
            extensions={
                "sni_hostname": host,
                "trace": self._trace,
                "timeout": {"connect": connect_s, "read": None, "write": None, "pool": None},
            },
        )
        too_large = False
        self._meter.count(without_zone(self._address), "tcp", self._port, 1, 0)
        try:
            async with asyncio.timeout(max(0.0, timeout_s)) as deadline, transport:
                response = await transport.handle_async_request(request)
                self._status = response.status_code
                try:
                    async with contextlib.aclosing(_chunks_of(response)) as chunks:
                        async for chunk in chunks:
                            room = self._max_bytes - len(self._body)
                            self._body += chunk[:room]
                            if len(chunk) > room:
                                too_large = True
                                break
                finally:
                    await response.aclose()
        except TimeoutError as error:
            if deadline.expired():
                return self._reply(Failure.NO_ANSWER if self.connected else Failure.CONNECT_TIMEOUT, "deadline")
            return self._reply(from_exception(error), type(error).__name__)
        except httpx.HTTPError as error:
            return self._reply(self._failure(error), _detail(error))
        except (OSError, ValueError) as error:
            return self._reply(from_exception(error, bound=source is not None), _detail(error))
        finally:
            if self._stream is not None:
                # At least the first flight of the handshake has gone, where the kernel does not tell.
                packets, size = self._sent or (1, 0)
                self._meter.count(without_zone(self._address), "tcp", self._port, packets, size)
                # A deadline amid the TLS handshake leaves the connection to nobody.
                await self._stream.aclose()
        if too_large:
            return self._reply(Failure.TOO_LARGE, f"more than {self._max_bytes} bytes")
        return self._reply(None, None)

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's account of where a request stands."""
        if event == "connection.connect_tcp.complete":
            self.connected = True
            stream = self._stream = info["return_value"]
            self._socket = stream.get_extra_info("socket")
            local, server = stream.get_extra_info("client_addr"), stream.get_extra_info("server_addr")
            self._local = endpoint(local) if local else None
            self._server = endpoint(server) if server else None
        elif event == "http11.send_request_headers.started":
            self._sent_ms = self._now_ms()
        elif event == "http11.receive_response_headers.complete":
            self._head_ms = self._now_ms()
        self._note_sent()

    def _failure(self, error: httpx.HTTPError) -> Failure:
        import httpx

        cause = root_cause(error)
        if isinstance(error, httpx.ConnectTimeout):  # the share of the deadline that this address had; TLS is in it
            return Failure.NO_ANSWER if self.connected else Failure.CONNECT_TIMEOUT
        if isinstance(cause, OSError) and (cause.errno is not None or isinstance(cause, ConnectionError)):
            return from_exception(error)
        if isinstance(error, httpx.RemoteProtocolError):
            # Without a complaint of h11's about what came, the peer closed instead of answering; once the head is
            # there, what h11 complains about is a body that ends too soon.
            complained = any(type(cause).__module__.partition(".")[0] == "h11" for cause in causes(error))
            return Failure.MALFORMED if complained and self._status is None else Failure.CLOSED_EARLY
        if isinstance(error, httpx.ConnectError) and self.connected:  # the end of the stream amid the handshake
            return Failure.CLOSED_EARLY
        if isinstance(error, (httpx.ReadError, httpx.WriteError, httpx.CloseError)):
            return Failure.RESET
        return Failure.LOCAL_ERROR

    def _note_sent(self) -> None:
        """Keep what the kernel says was sent, TLS included; httpcore closes the socket before we are told the end."""
        try:
            self._sent = (sent_on(self._socket) if self._socket is not None else None) or self._sent
        except (OSError, ValueError):
            return

    def _reply(self, failure: Failure | None, detail: str | None) -> HttpReply:
        rtt_ms = None
        if self._sent_ms is not None and self._head_ms is not None:
            rtt_ms = self._head_ms - self._sent_ms
        server = self._server or (without_zone(self._address), self._port)
        return HttpReply(self._status, bytes(self._body), rtt_ms, server, self._local, failure, detail)


def _chunks_of(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body as it comes, not decompressed; a generator, which its type hides, so that it can be closed."""
    return cast("AsyncGenerator[bytes, None]", response.aiter_raw(_CHUNK_BYTES))


def _load() -> ssl.SSLContext:
    """Import httpx and build the TLS context: SSL_CERT_FILE, SSL_CERT_DIR and the system's store count; where these
    hold nothing, certifi's bundle does."""
    for name in _LOADED_ON_FIRST_USE:
        try:
            importlib.import_module(name)
        except ImportError:  # another release keeps it elsewhere; then it is loaded when it is used
            continue
    context = ssl.create_default_context()
    if not context.get_ca_certs() and not _directory_has_files():
        import certifi

        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _directory_has_files() -> bool:
    """Whether OpenSSL's certificate directory, which is only read when needed, holds anything."""
    directory = ssl.get_default_verify_paths().capath
    try:
        return directory is not None and any(os.scandir(directory))
    except OSError:
        return False


def _detail(error: BaseException) -> str:
    cause = root_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {cause.reason or type(cause).__name__}"
    if isinstance(cause, OSError) and cause.errno is not None:
        return os.strerror(cause.errno)
    return type(error).__name__


def _failed(failure: Failure, detail: str | None) -> HttpReply:
    return HttpReply(None, b"", None, failure=failure, detail=detail)
