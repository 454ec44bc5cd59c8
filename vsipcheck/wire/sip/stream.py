"""Messages and keep-alives out of the bytes of a TCP stream. RFC 3261 §18.3, RFC 5626."""

from typing import NamedTuple

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.deviations import Deviations
from vsipcheck.wire.sip.errors import FramingLostError, NotSipError, TooLargeError
from vsipcheck.wire.sip.message import SipMessage
from vsipcheck.wire.sip.reading import MAX_BODY, MAX_HEAD, MAX_HEADERS, Draft, parse_message
from vsipcheck.wire.sip.start_line import check_first_octets, read_start_line


class KeepAlive(NamedTuple):
    """A CRLF between messages, the `crlfs`th in a row. One is a pong, or an empty line before a message; an even number
    completes a ping. RFC 5626 §4.4.1, RFC 3261 §7.5."""

    crlfs: int

    @property
    def completes_ping(self) -> bool:
        """Whether a server has to answer this with a CRLF."""
        return self.crlfs % 2 == 0


class Truncated(NamedTuple):
    """The stream ended inside a message. `message` is what could be read of it, None if not even its start line;
    `missing_bytes` of the body, None when the head was not complete; `data` the octets received of it."""

    data: bytes
    message: SipMessage | None
    missing_bytes: int | None


StreamEvent = SipMessage | KeepAlive | Truncated


class StreamDecoder:
    """Messages and keep-alives out of a TCP stream, framed by Content-Length, however it is cut. RFC 3261 §18.3.

    Events that precede an error are still returned: `error` is set at once, and the next call raises it.
    """

    def __init__(self, max_head: int = MAX_HEAD, max_body: int = MAX_BODY, max_headers: int = MAX_HEADERS) -> None:
        self.max_head = max_head
        self.max_body = max_body
        self.max_headers = max_headers
        self.error: WireError | None = None
        self._buffer = bytearray()
        self._draft: Draft | None = None
        self._crlfs = 0
        # The message before gave no Content-Length: what follows may be its body, so it proves nothing of the peer.
        self._length_missing = False
        self._framing_lost = False
        self._finished = False
        self._begin_head()

    def _begin_head(self) -> None:
        self._gate_at: int | None = 0
        self._scanned = 0
        self._line_start = 0
        self._fields = 0

    def feed(self, data: bytes) -> list[SipMessage | KeepAlive]:
        """The messages and keep-alives that these bytes complete. Raises NotSipError as soon as the first octets of a
        message rule SIP out, TooLargeError at a cap, FramingLostError for bytes after an unusable Content-Length,
        WireError for a start line beyond reading."""
        if self._finished:
            raise WireError("the stream has ended")
        if self.error:
            raise self.error
        self._buffer += data
        events: list[SipMessage | KeepAlive] = []
        try:
            while self._advance(events):
                pass
        except WireError as error:
            self.error = error
            if self._length_missing and isinstance(error, NotSipError):
                self.error = FramingLostError(f"after a message without Content-Length, {error}")
            self._buffer.clear()
            if not events:
                raise self.error from None
        return events

    def finish(self) -> list[StreamEvent]:
        """What the end of the stream leaves: nothing, or one Truncated. Raises an error that was still to be told."""
        if self.error:
            raise self.error
        self._finished = True
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._draft:
            draft, self._draft = self._draft, None
            message = draft.complete(data)
            return [Truncated(message.raw, message, (draft.content_length or 0) - len(data))]
        if not data:
            return []
        try:
            partial = parse_message(data, max_head=self.max_head, max_headers=self.max_headers)
        except WireError:
            return [Truncated(data, None, None)]
        # Half a start line can read like a whole one ("SIP/2.0 20"): no message without the line end.
        return [Truncated(data, partial if b"\n" in data else None, None)]

    def _advance(self, events: list[SipMessage | KeepAlive]) -> bool:
        if self._draft:
            return self._advance_body(self._draft, events)
        if self._line_start == 0 and self._gate_at is not None:
            if self._buffer.startswith(b"\r\n"):
                del self._buffer[:2]
                self._crlfs += 1
                events.append(KeepAlive(self._crlfs))
                return True
            if self._buffer.startswith(b"\n"):
                del self._buffer[:1]
                return True
            if not self._buffer or self._buffer == b"\r":
                return False
            if self._framing_lost:
                raise FramingLostError("bytes follow a message whose Content-Length is unusable")
            self._gate_at = check_first_octets(self._buffer, self._gate_at, self.max_head)
            if self._gate_at is not None:
                return False
        return self._advance_head()

    def _advance_head(self) -> bool:
        newline = self._buffer.find(b"\n", self._scanned)
        self._scanned = len(self._buffer) if newline < 0 else newline + 1
        if self._scanned > self.max_head:
            raise TooLargeError(f"the head is longer than {self.max_head} bytes")
        if newline < 0:
            return False
        line = bytes(self._buffer[self._line_start : self._scanned])
        first, self._line_start = self._line_start == 0, self._scanned
        if first:
            read_start_line(line, Deviations())
        elif line in (b"\r\n", b"\n"):
            self._complete_head(self._scanned)
        elif line[:1] not in (b" ", b"\t"):
            self._fields += 1
            if self._fields > self.max_headers:
                raise TooLargeError(f"more than {self.max_headers} header fields")
        return True

    def _complete_head(self, end: int) -> None:
        draft = Draft(bytes(self._buffer[:end]), stream=True)
        if (draft.content_length or 0) > self.max_body:
            raise TooLargeError(f"Content-Length {draft.content_length} is past {self.max_body}")
        del self._buffer[:end]
        self._begin_head()
        self._draft = draft

    def _advance_body(self, draft: Draft, events: list[SipMessage | KeepAlive]) -> bool:
        length = draft.content_length or 0
        if len(self._buffer) < length:
            return False
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._draft = None
        self._crlfs = 0
        self._framing_lost = not draft.framed
        self._length_missing = draft.framed and draft.content_length is None
        events.append(draft.complete(body))
        return True
