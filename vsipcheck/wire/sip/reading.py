"""Bytes to messages with their deviations: a whole one, or a head that waits for its body. RFC 3261 §7, §18.3."""

import re

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.deviations import Deviations
from vsipcheck.wire.sip.errors import NotSipError, TooLargeError
from vsipcheck.wire.sip.fields import check_fields
from vsipcheck.wire.sip.grammar import DIGITS, TOKEN, WHITESPACE, read_natural
from vsipcheck.wire.sip.message import Header, SipRequest, SipResponse, canonical_name
from vsipcheck.wire.sip.start_line import (
    RequestLine,
    StatusLine,
    check_first_octets,
    check_text,
    decode_text,
    read_start_line,
    without_line_end,
)

MAX_HEAD = 65536
MAX_BODY = 65536
MAX_HEADERS = 256
_LINE = re.compile(rb"[^\n]*+\n|[^\n]++")
_BLANK_LINES = re.compile(rb"(?:\r\n|\n)*+")


def _read_header(raw: bytes, deviations: Deviations) -> Header:
    # RFC 3261 §7.3.1: a line end with the white space around it counts as one SP. Joining lines keeps this linear.
    lines = (decode_text(without_line_end(line)).strip(WHITESPACE) for line in _LINE.findall(raw))
    text = " ".join(filter(None, lines))
    before, colon, after = text.partition(":")
    name = before.rstrip(WHITESPACE)
    if not colon or raw[:1] in (b" ", b"\t"):
        deviations.add("header_without_colon", text)
        return Header("", text, raw)
    check_text(text, name, deviations)
    if not TOKEN.fullmatch(name):
        deviations.add("header_name_malformed", name)
    elif name != before:
        deviations.add("space_before_colon", name)
    return Header(canonical_name(name), after.strip(WHITESPACE), raw)


class Draft:
    """A head that was read, and waits for its body."""

    def __init__(self, head: bytes, *, stream: bool, leading: bytes = b"") -> None:
        self.deviations = Deviations()
        self.leading = leading
        self.stream = stream
        lines = _LINE.findall(head)
        self.start_raw = lines.pop(0)
        self.start = read_start_line(self.start_raw, self.deviations)
        self.end_raw = lines.pop() if lines and lines[-1] in (b"\r\n", b"\n") else b""
        fields: list[list[bytes]] = []
        for line in lines:
            if fields and line[:1] in (b" ", b"\t"):
                fields[-1].append(line)
            else:
                fields.append([line])
        self.headers = tuple(_read_header(b"".join(field), self.deviations) for field in fields)
        bare = sum(not line.endswith(b"\r\n") for line in (self.start_raw, *lines, self.end_raw) if line[-1:] == b"\n")
        if bare:
            self.deviations.add("bare_lf", f"{bare} lines")
        if not self.end_raw:
            self.deviations.add("head_unterminated", "no empty line ends the header fields")
        # None: absent, or unusable, in which case `framed` is False.
        self.content_length: int | None = None
        self.framed = True
        self._read_content_length()

    def _read_content_length(self) -> None:
        values = [header.value for header in self.headers if header.name == "Content-Length"]
        lengths: set[int] = set()
        for value in values:
            try:
                lengths.add(read_natural(value))
            except WireError:
                negative = value.startswith("-") and DIGITS.fullmatch(value[1:])
                self.deviations.add("content_length_negative" if negative else "content_length_malformed", value)
                self.framed = False
        if len(lengths) > 1:
            self.deviations.add("content_length_disagrees", ", ".join(values))
            self.framed = False
        elif len(values) > 1:
            self.deviations.add("content_length_repeated", ", ".join(values))
        if self.framed and lengths:
            self.content_length = lengths.pop()
        if not values and self.stream:
            self.deviations.add("content_length_missing", "a stream needs it to find the end of the message")

    def complete(self, body: bytes, trailing: bytes = b"") -> SipRequest | SipResponse:
        if self.content_length is not None and len(body) < self.content_length:
            self.deviations.add("body_truncated", f"{len(body)} of {self.content_length} bytes")
        if trailing:
            self.deviations.add("trailing_bytes", f"{len(trailing)} bytes after the body")
        check_fields(self.start, self.headers, self.deviations)
        deviations = tuple(self.deviations.found)
        match self.start:
            case RequestLine(method, uri, version):
                return SipRequest(
                    method=method,
                    uri=uri,
                    version=version,
                    headers=self.headers,
                    body=body,
                    deviations=deviations,
                    start_raw=self.start_raw,
                    end_raw=self.end_raw,
                    leading=self.leading,
                    trailing=trailing,
                )
            case StatusLine(version, status, reason):
                return SipResponse(
                    status=status,
                    reason=reason,
                    version=version,
                    headers=self.headers,
                    body=body,
                    deviations=deviations,
                    start_raw=self.start_raw,
                    end_raw=self.end_raw,
                    leading=self.leading,
                    trailing=trailing,
                )


def parse_message(
    data: bytes, *, max_head: int = MAX_HEAD, max_body: int = MAX_BODY, max_headers: int = MAX_HEADERS
) -> SipRequest | SipResponse:
    """Read one whole message, a datagram or recorded text, as SipRequest or SipResponse with its deviations. Without a
    usable Content-Length the body reaches to the end; a body cut short is a deviation. Raises NotSipError,
    TooLargeError, or WireError for a start line beyond reading. RFC 3261 §7, §18.3."""
    blank = _BLANK_LINES.match(data)
    leading = blank[0] if blank else b""
    start = len(leading)
    if start == len(data):
        raise NotSipError("there is nothing but empty lines" if data else "there is nothing", seen=data[:256])
    check_first_octets(data[start : start + max_head + 1], 0, max_head)
    fields = 0
    end = start
    while end < len(data):
        newline = data.find(b"\n", end, start + max_head)
        line_end = newline + 1 if newline >= 0 else min(len(data), start + max_head + 1)
        line = data[end:line_end]
        fields += end > start and line[:1] not in (b" ", b"\t") and line not in (b"\r\n", b"\n")
        first, end = end == start, line_end
        if end - start > max_head:
            raise TooLargeError(f"the head is longer than {max_head} bytes")
        if fields > max_headers:
            raise TooLargeError(f"more than {max_headers} header fields")
        if not first and line in (b"\r\n", b"\n"):
            break
    draft = Draft(data[start:end], stream=False, leading=leading)
    length = len(data) - end if draft.content_length is None else draft.content_length
    body = data[end : end + length]
    if len(body) > max_body:
        raise TooLargeError(f"the body is longer than {max_body} bytes")
    return draft.complete(body, data[end + len(body) :])
