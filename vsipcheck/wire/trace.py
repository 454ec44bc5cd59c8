"""SIP messages out of a text trace, as sngrep, tcpdump, tshark, Asterisk, FreeSWITCH, SIPp, HOMER or a person saved it.

Text has lost octets: line ends, indentation, sometimes the empty line before the body. Messages are given back with
lines ended by CRLF, as SIP has them, together with what is left to judge their framing by: how long the body is with
either line end, and the size that the trace itself tells. Every cost is linear in the input and capped.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.message import SipMessage
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.text import unescape
from vsipcheck.wire.trace_markers import CHUNK, FOLLOW, RULE, Markers, Told, seconds_in

MAX_TRACE = 1 << 20
MAX_MESSAGES = 512

# A line that tells about a message stands at most so far above it: FreeSWITCH puts a line of dashes in between.
_NEAR = 6
_MAX_SKIPPED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedMessage:
    """One message of a trace. Lines count from 1. `body` is all of it that the trace shows, while `message.body` ends
    where Content-Length says."""

    message: SipMessage
    told: Told
    line: int  # of the start line
    last_line: int
    header_lines: tuple[int, ...]  # of each of `message.headers`
    body_line: int | None  # of the first line of the body
    body: bytes
    head_size: int  # with lines ended by CRLF, the empty line included
    line_count: int  # of the head, the empty line included
    has_head: bool  # all of it: an empty line or a body followed
    ended_by: str  # "length", "empty_line", "marker", "message", "line", "end": what followed the message

    @property
    def body_sizes(self) -> tuple[int, ...]:
        """The sizes that the body can have had on the wire: lines ended by CRLF or by LF, the last of them with or
        without; only those that fit, where the trace tells the message's size. RFC 8866 §5 has CRLF, and takes LF."""
        sizes = self._all_body_sizes()
        return tuple(size for size in sizes if self._fits(size)) or sizes

    @property
    def is_whole(self) -> bool | None:
        """Whether the text has as many octets as the trace says the message had, so that nothing was left out or
        edited; None where the trace does not say."""
        return None if self.told.size is None else self.has_head and any(map(self._fits, self._all_body_sizes()))

    def _all_body_sizes(self) -> tuple[int, ...]:
        crlf = len(self.body)
        lf = len(self.body.replace(b"\r\n", b"\n"))
        return tuple(dict.fromkeys((crlf, crlf - 2, lf, lf - 1))) if self.body else (0,)

    def _fits(self, body: int) -> bool:
        return self.told.size is not None and self.told.size - body in (
            self.head_size,
            self.head_size - self.line_count,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a text holds. `skipped` are (line, why) of what looks like a message and could not be read; `kept_lines` the
    numbers of the lines that belong to messages or tell about them, the skipped ones' first lines included."""

    messages: tuple[TracedMessage, ...]
    skipped: tuple[tuple[int, str], ...]
    kept_lines: frozenset[int]
    truncated: bool  # the trace is longer than what was read


# RFC 3261 §25.1, and the extensions that carry methods. Where a message begins within a line only these count.
_METHODS = "INVITE|ACK|BYE|CANCEL|OPTIONS|REGISTER|PRACK|UPDATE|INFO|REFER|SUBSCRIBE|NOTIFY|MESSAGE|PUBLISH"
_WHOLE_START = re.compile(
    r"[A-Za-z][A-Za-z0-9.!%*_+`'~-]{0,31} +<?[A-Za-z][A-Za-z0-9+.-]{0,31}:[^ \t]++ +SIP/2\.0\.?[ \t]*+"
    r"|SIP/2\.0 [1-6][0-9]{2}(?:[ .].*+)?"
)
_INNER_START = re.compile(
    rf"(?:{_METHODS}) <?(?:sips?|tel|urn):[^ \t]++ SIP/2\.0\.?[ \t]*+$|SIP/2\.0 [1-6][0-9]{{2}}(?: .*+)?$"
)
_DISSECTED = re.compile(r"\s*(?:Request|Status)-Line: ")
_LOG_PREFIX = re.compile(r"\s{0,20}(?:\[[^\]\n]{1,60}\][ \t]*)+")
_INDENT_PREFIX = re.compile(r"[ \t>|]{1,40}")

_LENGTH = re.compile(r"(?i:content-length|l)[ \t]*:[ \t]*([0-9]{1,9})[ \t]*")
_TYPE = re.compile(r"(?i:content-type|c)[ \t]*:[ \t]*([^;\s]{1,80})")
_SDP_LINE = re.compile(r"[A-Za-z]=")
_SDP_BEGINS = re.compile(r"v=[0-9]{1,3}[ \t]*")
_OUR_TICKET = "SIP messages as vsipcheck sent and received them."


class _Begin:
    """A start line that was found: its text, and how the lines of its message are freed from what stands around."""

    def __init__(self, text: str, prefix: str) -> None:
        self.prefix = prefix
        # ngrep shows the CR that ends a line as a full stop.
        self.dotted = text.endswith("SIP/2.0.") or (text.startswith("SIP/2.0 ") and text.endswith("."))
        self.text = text[:-1] if self.dotted else text
        self.is_log = bool(prefix) and _LOG_PREFIX.fullmatch(prefix) is not None
        self.is_indent = bool(prefix) and _INDENT_PREFIX.fullmatch(prefix) is not None

    def free(self, line: str) -> str:
        if self.is_log and (match := _LOG_PREFIX.match(line)):
            line = line[match.end() :]
        elif self.is_indent:
            same = 0
            while same < min(len(self.prefix), len(line)) and line[same] == self.prefix[same]:
                same += 1
            # An empty line may have lost its indentation's end.
            line = line[same:] if same == len(self.prefix) or line[same:].strip(" \t>|") == "" else line
            line = "" if not line.strip(" \t") else line
        if self.dotted and line.endswith("."):
            line = line[:-1]
        return line


def _begin_at(line: str, told: Told | None) -> _Begin | None:
    """The start line in `line`, whatever stands before it; None where there is none."""
    if "SIP/2.0" not in line:
        return None
    if _WHOLE_START.fullmatch(line):
        return _Begin(line, "")
    indent = _LOG_PREFIX.match(line) or _INDENT_PREFIX.match(line)
    if indent and _WHOLE_START.fullmatch(line, indent.end()):
        return _Begin(line[indent.end() :], indent[0])
    # tcpdump -A shows the packet's headers first, as dots and whatever letters they happen to be.
    if told is not None and told.format == "tcpdump" and (match := _INNER_START.search(line[:8192])):
        return _Begin(match[0], line[: match.start()])
    return None


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.markers = Markers()
        self.messages: list[TracedMessage] = []
        self.skipped: list[tuple[int, str]] = []
        self.kept: set[int] = set()
        self.told: Told | None = None
        self.told_at = 0

    def skip(self, number: int, why: str) -> None:
        if len(self.skipped) < _MAX_SKIPPED:
            self.skipped.append((number, why))
            self.kept.add(number)

    def run(self) -> None:
        at = 0
        while at < len(self.lines) and len(self.messages) < MAX_MESSAGES:
            line = self.lines[at]
            near = self.told if self.told and at - self.told_at <= _NEAR else None
            if begin := _begin_at(line, near):
                at = self.take(at, begin, near)
                self.told = None
                continue
            if "SIP/2.0" in line and _DISSECTED.match(line):
                self.skip(at + 1, "dissected")
            self.mark(at)
            at += 1

    def mark(self, at: int) -> None:
        """Remembers what the line tells of the next message."""
        told = self.markers.read(self.lines[at])
        if told is None:
            return
        # A rule under a heading, or a log line that only has a time, tells less than what was told just above it.
        bare = told.source is None and told.destination is None and told.size is None
        if bare and self.told and at - self.told_at <= _NEAR and (self.told.source or self.told.destination):
            self.kept.add(at + 1)
            return
        if self.told and told.at_s is None and at - self.told_at <= 1:
            told = replace(told, at_s=self.told.at_s)
        self.told, self.told_at = told, at
        if told.format != "text" or RULE.match(self.lines[at]):
            self.kept.add(at + 1)

    def take(self, start: int, begin: _Begin, told: Told | None) -> int:
        """Reads the message that begins in line `start`; gives the line after it."""
        head, numbers = [begin.text.rstrip(" \t")], [start + 1]
        at, ended_by = start + 1, "end"
        while at < len(self.lines):
            line = begin.free(self.lines[at])
            if not line.strip(" \t"):
                ended_by, at = "empty_line", at + 1
                break
            if _SDP_BEGINS.fullmatch(line):
                ended_by = "line"
                break
            if (stop := self.stops(at, begin, line)) is not None:
                ended_by = stop
                break
            head.append(line)
            numbers.append(at + 1)
            at += 1
        body: list[str] = []
        body_at = at
        has_head = ended_by in ("empty_line", "line")
        if has_head:
            at, body, body_at, ended_by = self.take_body(at, begin, head, ended_by)
        octets = "".join(f"{line}\r\n" for line in (*head, "")).encode("utf-8", "surrogateescape")
        shown = "".join(f"{line}\r\n" for line in body).encode("utf-8", "surrogateescape")
        self.kept.update(range(start + 1, at + 1))
        try:
            message = parse_message(octets + shown)
        except WireError as error:
            self.skip(start + 1, str(error))
            return at
        fields = [number for line, number in zip(head[1:], numbers[1:], strict=True) if line[:1] not in (" ", "\t")]
        if len(head) > 1 and head[1][:1] in (" ", "\t"):
            fields.insert(0, numbers[1])
        told = told or Told()
        if begin.is_log and told.at_s is None:
            told = replace(told, at_s=seconds_in(begin.prefix))
        self.messages.append(
            TracedMessage(
                message=message,
                told=told,
                line=start + 1,
                last_line=at,
                header_lines=tuple(fields),
                body_line=body_at + 1 if body else None,
                body=shown,
                head_size=len(octets),
                line_count=len(head) + 1,
                has_head=has_head,
                ended_by=ended_by,
            )
        )
        return at

    def stops(self, at: int, begin: _Begin, line: str) -> str | None:
        """What begins in the line instead of going on with the message; None where the message goes on."""
        if _begin_at(line, None):
            return "message"
        # Where every line has a log's time before it, that ends nothing.
        shown = self.lines[at]
        readings = (line,) if begin.is_log or line == shown else (line, shown)
        return "marker" if any(self.markers.read(each) is not None for each in readings) else None

    def take_body(self, at: int, begin: _Begin, head: list[str], ended_by: str) -> tuple[int, list[str], int, str]:
        length = next((int(match[1]) for line in head if (match := _LENGTH.fullmatch(line))), None)
        kind = next((match[1].lower() for line in head if (match := _TYPE.match(line))), None)
        first = begin.free(self.lines[at]) if at < len(self.lines) else ""
        is_sdp = kind == "application/sdp" or (kind is None and _SDP_BEGINS.fullmatch(first) is not None)
        following = begin.free(self.lines[at + 1]) if at + 1 < len(self.lines) else ""
        if is_sdp and not first.strip(" \t") and _SDP_BEGINS.fullmatch(following):
            at += 1  # an empty line more than there should be
        body: list[str] = []
        begins, size = at, 0
        while at < len(self.lines):
            line = begin.free(self.lines[at])
            is_sdp_line = is_sdp and _SDP_LINE.match(line) is not None
            wanted = length is not None and size < length
            if not is_sdp_line:
                if (stop := self.stops(at, begin, line)) is not None:
                    return at, body, begins, stop
                if is_sdp and not line.strip(" \t"):
                    return at, body, begins, "empty_line"
                if not wanted:
                    return at, body, begins, "length" if length is not None else ended_by
            body.append(line)
            size += len(line.encode("utf-8", "surrogateescape")) + 2
            at += 1
        return at, body, begins, "end"


def _text(data: bytes, errors: str) -> str:
    """As much of a text as is read. Windows' shells write UTF-16, and some editors a mark before UTF-8."""
    data = data[:MAX_TRACE]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors)


def _lines(text: str) -> list[str]:
    return [line.rstrip("\r") for line in text.split("\n")]


def _join_chunks(lines: list[str]) -> tuple[list[str], list[int]]:
    """The lines with what tshark's "follow" cut at the ends of TCP segments put together, and where each line stood.

    It writes the size of each segment's payload in a line above it, with a tab where it came from the second node, and
    a line end behind it. Sizes count CRLF at the line ends; from where one does not fit, nothing is put together."""
    joined: list[str] = []
    numbers: list[int] = []
    is_told, is_fit = False, True
    before: tuple[str, bool] | None = None  # which node the chunk above came from, and whether its last line goes on
    at = 0
    while at < len(lines):
        is_told = is_told or FOLLOW.match(lines[at]) is not None
        match = CHUNK.match(lines[at]) if is_told and is_fit else None
        end = _end_of_chunk(lines, at + 1, int(match["size"])) if match else None
        is_fit = is_fit and (match is None) == (end is None)
        if match is None or end is None:
            chunk, first, before, following = [lines[at]], at + 1, None, at + 1
        else:
            chunk, first, following = lines[at : end[0]], at + 1, end[0] + (not end[1])
            if before and before[0] == match["second"] and len(chunk) > 1 and _begin_at(chunk[1], None) is None:
                chunk, first = chunk[1:], first + 1
                if before[1]:
                    joined[-1] += chunk.pop(0)
                    first += 1
            before = match["second"], end[1]
        joined += chunk
        numbers += range(first, first + len(chunk))
        at = following
    return joined, numbers


def _end_of_chunk(lines: list[str], at: int, size: int) -> tuple[int, bool] | None:
    """The line behind so many octets, and whether the last line before it has no end of its own; None where they end
    elsewhere."""
    while size > 0 and at < len(lines):
        length = len(lines[at].encode("utf-8", "surrogateescape"))
        if length == size:
            return at + 1, True
        size -= length + 2
        at += 1
    return (at, False) if size == 0 and (at == len(lines) or not lines[at]) else None


def read_trace(data: bytes) -> Trace:
    """The SIP messages of a text, in its order; none, where it has none. Raises nothing, for any bytes whatever: what
    looks like a message and is none stands in `skipped`. Reads the first MiB and 512 messages."""
    lines = _lines(_text(data, "surrogateescape"))
    if lines and not lines[-1]:
        lines.pop()
    if lines and lines[0].startswith(_OUR_TICKET):
        lines = [_unescaped(line) for line in lines]
    joined, numbers = _join_chunks(lines)
    reader = _Reader(joined)
    reader.run()
    messages, kept = reader.messages, reader.kept
    if len(joined) < len(lines):
        messages = [_renumbered(each, numbers) for each in messages]
        stood = [range(first, after) for first, after in pairwise((*numbers, len(lines) + 1))]
        kept = {number for each in kept for number in stood[each - 1]}
    if not messages and not reader.skipped and (bare := _read_bare(data[:MAX_TRACE])):
        messages.append(bare)
        kept.update(range(1, len(lines) + 1))
    return Trace(
        messages=tuple(messages),
        skipped=tuple((numbers[line - 1], why) for line, why in reader.skipped),
        kept_lines=frozenset(kept),
        truncated=len(data) > MAX_TRACE or len(messages) >= MAX_MESSAGES,
    )


def _renumbered(traced: TracedMessage, numbers: list[int]) -> TracedMessage:
    """The message with the lines' own numbers, where lines were joined."""
    return replace(
        traced,
        line=numbers[traced.line - 1],
        last_line=numbers[traced.last_line - 1],
        header_lines=tuple(numbers[each - 1] for each in traced.header_lines),
        body_line=None if traced.body_line is None else numbers[traced.body_line - 1],
    )


def _unescaped(line: str) -> str:
    try:
        return unescape(line).decode("utf-8", "surrogateescape")
    except WireError:
        return line


def _read_bare(data: bytes) -> TracedMessage | None:
    """A text that is one message, whose start line is too broken to be found among others."""
    try:
        message = parse_message(data)
    except WireError:
        return None
    line = message.leading.count(b"\n") + 1
    number, numbers = line + 1, []
    for header in message.headers:
        numbers.append(number)
        number += header.raw.count(b"\n")
    body = message.body + message.trailing
    return TracedMessage(
        message=message,
        told=Told(),
        line=line,
        last_line=line + message.raw.count(b"\n"),
        header_lines=tuple(numbers),
        body_line=number + 1 if body else None,
        body=body,
        head_size=len(message.raw) - len(message.body),
        line_count=number - line + 1,
        has_head=bool(message.end_raw),
        ended_by="end",
    )


# What a trace holds that nobody else may read: the answer to a digest challenge, passwords, the keys of SRTP and ICE.
_SECRETS = re.compile(
    r"""\bresponse[ \t]*=[ \t]*"(?P<digest>[^"\n]{1,256})"|\bresponse[ \t]*=[ \t]*(?P<token>[0-9A-Fa-f]{8,128})"""
    r"""|\bAuthorization[ \t]*:[ \t]*(?!(?i:Digest)\b)[A-Za-z]{1,20}[ \t]++(?P<other>[^\s]{1,4096})"""
    r"""|\binline:(?P<key>[A-Za-z0-9+/=]{1,256})|\bice-pwd:(?P<ice>[^\s]{1,256})"""
    r"""|\bsips?:[^\s:@;<>"]{1,128}:(?P<password>[^\s:@<>"]{1,128})@""",
    re.IGNORECASE,
)


def mask_secrets(text: str) -> tuple[str, int]:
    """The text with its secrets written over, and how many they were. Lengths stay, so that Content-Length does."""
    pieces: list[str] = []
    end = count = 0
    for match in _SECRETS.finditer(text):
        name = match.lastgroup
        if name is None:
            continue
        start, stop = match.span(name)
        pieces += (text[end:start], "x" * (stop - start))
        end = stop
        count += 1
    pieces.append(text[end:])
    return "".join(pieces), count


def keep_messages(data: bytes, trace: Trace) -> str:
    """The text that `trace` was read from as it may be recorded: lines that neither belong to a message nor tell about
    one are left empty, so that line numbers stay and a log's other secrets do not."""
    return "\n".join(_kept_lines(_lines(_text(data, "replace")), trace.kept_lines))


def _kept_lines(lines: list[str], kept: frozenset[int]) -> Iterator[str]:
    is_ticket = lines[0].startswith(_OUR_TICKET)
    for number, line in enumerate(lines, 1):
        yield line if number in kept or (is_ticket and number == 1) else ""
