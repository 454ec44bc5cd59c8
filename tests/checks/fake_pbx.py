"""A PBX of a few scripted lines on loopback, for what a call measures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from checks.fakes import as_facts, serving

from vsipcheck.checks.base import Context, Facts, Recorder
from vsipcheck.checks.pbx.call import measure_call
from vsipcheck.model import Exchange, Note, Settings
from vsipcheck.net.host import HostNetwork
from vsipcheck.profiles import load_profile
from vsipcheck.wire.sip.building import build_answer, build_request
from vsipcheck.wire.sip.message import SipRequest, SipResponse
from vsipcheck.wire.sip.stream import StreamDecoder
from vsipcheck.wire.text import unescape

TAG = "pbx1"


def sdp(
    *formats: str, address: str = "127.0.0.1", port: int = 4000, protocol: str = "RTP/AVP", extra: str = ""
) -> bytes:
    """An answer by hand: formats are "8 PCMA/8000" or a bare payload type."""
    types = " ".join(each.split(" ")[0] for each in formats)
    maps = "".join(f"a=rtpmap:{each}\r\n" for each in formats if " " in each)
    return (
        f"v=0\r\no=pbx 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
        f"m=audio {port} {protocol} {types}\r\n{maps}{extra}"
    ).encode()


BOTH = sdp("8 PCMA/8000", "0 PCMU/8000", "96 telephone-event/8000")


@dataclass
class Line:
    """One connection of a caller, as the PBX sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    decoder: StreamDecoder = field(default_factory=StreamDecoder)
    waiting: list[SipRequest | SipResponse] = field(default_factory=list)
    heard: list[SipRequest | SipResponse] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self) -> SipRequest | SipResponse | None:
        """The next message, None once the caller has gone."""
        while not self.waiting:
            data = await self.reader.read(65536)
            if not data:
                return None
            self.waiting += [each for each in self.decoder.feed(data) if isinstance(each, SipRequest | SipResponse)]
        message = self.waiting.pop(0)
        self.heard.append(message)
        return message

    async def request(self, *methods: str) -> SipRequest:
        """The next request of one of these methods; anything else that comes before it is an error."""
        message = await self.next()
        assert isinstance(message, SipRequest), message
        assert message.method in methods, message.method
        return message

    async def response(self) -> SipResponse:
        message = await self.next()
        assert isinstance(message, SipResponse), message
        return message

    async def rest(self) -> list[str]:
        """What still comes, in short, until the caller hangs the line up."""
        found: list[str] = []
        while (message := await self.next()) is not None:
            found.append(message.method if isinstance(message, SipRequest) else str(message.status))
        return found

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def answer(self, request: SipRequest, status: int, body: bytes = b"", **more: Any) -> None:
        self.write(self.octets(request, status, body, **more))

    def octets(
        self,
        request: SipRequest,
        status: int,
        body: bytes = b"",
        *,
        tag: str | None = TAG,
        headers: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """An answer, as `answer` gives it."""
        host, port = self.writer.get_extra_info("sockname")
        extra = [("Record-Route", each.value) for each in request.headers_named("Record-Route")]
        extra += [("Contact", f"<sip:pbx@{host}:{port};transport=tcp>"), *headers]
        if body:
            extra.append(("Content-Type", "application/sdp"))
        return build_answer(request, status, "x", to_tag=tag if status > 100 else None, extra=extra, body=body)

    def ask(self, invite: SipRequest, method: str, cseq: int = 1, body: bytes = b"") -> None:
        """A request within the dialog of `invite`."""
        host, port = self.writer.get_extra_info("sockname")
        headers = [
            ("Via", f"SIP/2.0/TCP {host}:{port};branch=z9hG4bK{method}{cseq}"),
            ("Max-Forwards", "70"),
            ("From", f"{invite.header('To')};tag={TAG}"),
            ("To", invite.header("From") or ""),
            ("Call-ID", invite.call_id or ""),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:pbx@{host}:{port};transport=tcp>"),
        ]
        self.write(build_request(method, "sip:us@127.0.0.1", headers, body))


Script = Callable[[Line], Awaitable[None]]


@dataclass
class Called:
    """What a call left behind."""

    facts: Facts
    lines: list[Line]
    destinations: list[tuple[str, str, int | None]]  # (protocol, address, port) of every packet

    @property
    def note(self) -> dict[str, Any]:
        """The values of the first call's note."""
        return next(each.values for each in self.facts.of(Note) if each.topic == "pbx_call")

    @property
    def media(self) -> dict[str, Any]:
        """The values of the note about RTP."""
        return next(each.values for each in self.facts.of(Note) if each.topic == "pbx_rtp")

    @property
    def exchange(self) -> Exchange:
        return self.facts.of(Exchange)[0]

    @property
    def said(self) -> list[str]:
        """The first call in short, in order: what was sent with an arrow, what came without."""
        found: list[str] = []
        for message in self.exchange.messages:
            word = unescape(message.text).decode("latin-1").split(" ")
            what = word[1] if word[0] == "SIP/2.0" else word[0]
            found.append(f"> {what}" if message.sent else what)
        return found


@asynccontextmanager
async def answering(script: Script) -> AsyncIterator[tuple[int, list[Line], list[BaseException]]]:
    lines: list[Line] = []
    failures: list[BaseException] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        lines.append(line)
        try:
            await script(line)
        except (AssertionError, TypeError, ValueError, AttributeError) as error:
            failures.append(error)
        finally:
            line.done.set()

    async with serving(serve) as port:
        yield port, lines, failures


def calling(network: HostNetwork, settings: Settings, *, remaining_s: float = 30.0) -> tuple[Context, Recorder]:
    record = Recorder("pbx", network.now_ms)
    context = Context(
        network=network,
        profile=load_profile("exotel-tcp-mumbai"),
        settings=settings,
        recorders={"pbx": record},
        progress=lambda *_: None,
        remaining_s=lambda: remaining_s,
        stopping=lambda: False,
    )
    return context, record


async def call(script: Script, *, remaining_s: float = 30.0, host: str = "127.0.0.1", **settings: object) -> Called:
    """The facts of one measured call to a PBX that follows `script`, and what it heard."""
    values: dict[str, object] = {"checks": ("pbx",), "invite": "+912200000000", "timeout_s": 2.0}
    network = HostNetwork()
    context, record = calling(network, Settings(**(values | settings)), remaining_s=remaining_s)  # type: ignore[arg-type]
    try:
        async with answering(script) as (port, lines, failures):
            await measure_call(context, record, host=host, address="127.0.0.1", port=port)
            # The script may still be reading what came last.
            async with asyncio.timeout(5.0):
                for line in lines:
                    await line.done.wait()
        sent = [(each.protocol, each.address, each.port) for each in network.traffic().by_destination]
    finally:
        network.close()
    assert not failures, failures
    return Called(as_facts({"pbx": record}), lines, sent)
