"""TCP listeners on 127.0.0.1 that behave as a scenario has it: a SIP edge, a web server in its place, a hostile peer.

Requests are taken apart here by a few lines of their own rather than by `wire.sip`, so that the checks' codec meets
at least one peer that it did not build.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from vsipcheck.sim.scenario import SipBehaviour

LOOPBACK = "127.0.0.1"
# What a client may send before it is taken for a fault of ours.
_MAX_REQUEST_BYTES = 65536
_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nServer: simulated-web\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n"
    b"Connection: close\r\n\r\nBad Request\n"
)
_ENDLESS_CHUNK = b"".join(b"X-Filler-%05d: %s\r\n" % (number, b"a" * 200) for number in range(64))
_CONTENT_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*(\d+)[ \t]*$", re.IGNORECASE)
_ECHOED = {"via", "v", "from", "f", "to", "t", "call-id", "i", "cseq"}

MappedAddress = Callable[[int], tuple[str, int]]


class Edge:
    """One listener. `mapped` gives the (address, port) that a client's local port is seen as from here; `client` is the
    client's own address, which an ALG on the way knows."""

    def __init__(
        self, behaviour: SipBehaviour, rtt_ms: float, mapped: MappedAddress, client: str | None = None
    ) -> None:
        self.behaviour = behaviour
        self.port = 0
        self._rtt_s = rtt_ms / 1000
        self._mapped = mapped
        self._client = client
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function as the callback: asyncio's own task for a coroutine reports its cancellation as an error.
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer, writer.get_extra_info("peername")[1])
        except ConnectionError:
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client_port: int) -> None:
        kind = self.behaviour.kind
        if kind == "close_at_once":
            return
        if kind == "reset_at_once":
            _reset(writer)
            return
        pending = b""
        while data := await reader.read(_MAX_REQUEST_BYTES):
            pending += data
            if len(pending) > _MAX_REQUEST_BYTES:
                return
            if kind == "close":
                return
            if kind == "reset":
                _reset(writer)
                return
            while (taken := _take_message(pending)) is not None:
                message, pending = taken
                await asyncio.sleep(self._rtt_s)
                if not message:
                    if self.behaviour.pong:
                        writer.write(b"\r\n")
                elif not await self._answer(message, writer, client_port):
                    return
                await writer.drain()

    async def _answer(self, message: bytes, writer: asyncio.StreamWriter, client_port: int) -> bool:
        """Whether the conversation goes on after this request was dealt with."""
        behaviour = self.behaviour
        match behaviour.kind:
            case "silent":
                return True
            case "http":
                writer.write(_HTTP_ANSWER)
                await writer.drain()
                return False
        lines = _unfold(message)
        for status in behaviour.provisional:
            writer.write(self._response(lines, client_port, status, "Trying" if status == 100 else "Progress"))
            await writer.drain()
        await asyncio.sleep(behaviour.delay_ms / 1000)
        response = self._response(lines, client_port, behaviour.status, behaviour.reason)
        if behaviour.kind == "endless":
            writer.write(response[:-2])
            while True:
                writer.write(_ENDLESS_CHUNK)
                await writer.drain()
        if behaviour.drip_ms is None:
            writer.write(response)
            return True
        for octet in response:
            writer.write(bytes((octet,)))
            await writer.drain()
            await asyncio.sleep(behaviour.drip_ms / 1000)
        return True

    def _response(self, request: list[str], client_port: int, status: int, reason: str) -> bytes:
        """RFC 3261 §8.2.6: Via, From, To, Call-ID and CSeq as they came, but for what the behaviour alters."""
        behaviour = self.behaviour
        address, port = self._mapped(client_port)
        lines = [f"SIP/2.0 {status} {reason}"]
        first_via = True
        for line in request[1:]:
            name, _, value = line.partition(":")
            field = name.strip().lower()
            if field not in _ECHOED:
                continue
            if field in ("via", "v") and first_via:
                first_via = False
                line = f"{name}: {self._received_via(value.strip(), client_port, address, port)}"
            elif field in ("to", "t") and status > 100 and ";tag=" not in value:
                line = f"{line};tag=simulated"
            elif field in ("call-id", "i") and behaviour.alter == "call_id":
                line = f"{name}: rewritten-{value.strip()}"
            lines.append(line)
        lines.append("Server: simulated-edge")
        if status < 200:
            lines.append("Content-Length: 0")
        else:
            lines.extend(behaviour.headers)
            lines.append(f"Content-Length: {behaviour.content_length or 0}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def _received_via(self, via: str, client_port: int, address: str, port: int) -> str:
        """RFC 3261 §18.2.1 and RFC 3581 §4: where the request came from, written into its topmost Via where need be."""
        top, comma, rest = via.partition(",")
        alter = self.behaviour.alter
        written = re.match(r"^\S+\s+([^;:\s]+)", top)
        host = written[1] if written else ""
        # What an ALG makes of the client's own address before the server reads it.
        read = address if alter in ("sent_by", "received", "repaired") and host == self._client else host
        told = read != address or re.search(r";[ \t]*rport(?=;|$|\s)", top) is not None
        match alter:
            case "branch":
                top = re.sub(r";branch=[^;]*", ";branch=z9hG4bK-somebody-elses", top)
            case "sent_by":
                top = re.sub(r"^(\S+\s+)[^;\s]+", rf"\g<1>{address}:{port}", top)
            case "received" if read == address and self._client is not None:
                # As a NAT's helper leaves an answer: each of its own addresses is the client's again.
                top = re.sub(r"^(\S+\s+)[^;:\s]+", rf"\g<1>{self._client}", top)
                address, port = self._client, client_port
        # A parameter without a value that RFC 3581 §3 asks to be filled in.
        top = re.sub(r";[ \t]*rport(?=;|$|\s)", f";rport={port}", top)
        return f"{top};received={address}{comma}{rest}" if told else f"{top}{comma}{rest}"


def _take_message(data: bytes) -> tuple[bytes, bytes] | None:
    """The first whole message and what follows it; an empty one for the CRLF CRLF ping; None if it is not whole."""
    if data.startswith(b"\r\n\r\n"):
        return b"", data[4:]
    start = 0
    while data[start : start + 2] == b"\r\n":
        start += 2
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        return None
    end += 4
    for line in data[start:end].split(b"\r\n"):
        length = _CONTENT_LENGTH.match(line)
        if length is not None:
            end += int(length[1])
    return (data[start:end], data[end:]) if len(data) >= end else None


def _unfold(message: bytes) -> list[str]:
    """Start line and header lines, each whole (RFC 3261 §7.3.1), so that any byte comes back as it was."""
    head = message.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape")
    return re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the client gets RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
