"""Session descriptions as values: bytes in, media sections with their codecs and deviations out, and audio offers back.
RFC 8866, RFC 3264, RFC 3551.

The reader is tolerant, as that of SIP is: what can be understood is returned, with a `Deviation` for every rule that
the bytes break. Nothing but `WireError` is raised, for any bytes whatever, and every cost is linear and capped.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.deviations import Grade
from vsipcheck.wire.sip.errors import TooLargeError

MAX_SIZE = 65536
MAX_MEDIA = 64

_MAX_DEVIATIONS = 64
_MAX_DETAIL = 160

# Every code that a Deviation can carry. Scripts and tests match them.
DEVIATIONS: dict[str, Grade] = {
    # Octets and lines, RFC 8866 §5, §9.
    "bare_lf": Grade.NOTICE,  # parsers should accept it, nobody should send it
    "bare_cr": Grade.ERROR,
    "nul_bytes": Grade.ERROR,
    "not_utf8": Grade.ERROR,
    "line_end_missing": Grade.NOTICE,  # of the last line
    "empty_line": Grade.ERROR,
    "line_malformed": Grade.ERROR,  # not <letter>=<value>
    "line_unknown": Grade.ERROR,  # a letter that no line has: a reader has to ignore the whole description
    "line_repeated": Grade.ERROR,
    "space_after_equals": Grade.ERROR,
    "order_wrong": Grade.ERROR,
    # The session's lines, RFC 8866 §5.1 to §5.9.
    "version_missing": Grade.ERROR,
    "version_unknown": Grade.ERROR,
    "origin_missing": Grade.ERROR,
    "origin_malformed": Grade.ERROR,
    "name_missing": Grade.ERROR,
    "name_empty": Grade.NOTICE,  # §5.3 forbids it; the examples of RFC 4317 have it
    "timing_missing": Grade.ERROR,
    "timing_malformed": Grade.ERROR,
    "connection_missing": Grade.ERROR,  # neither in the session nor in each media section, §5.7
    "connection_malformed": Grade.ERROR,
    # Media sections, RFC 8866 §5.14, RFC 3551 §3.
    "media_malformed": Grade.ERROR,
    "port_out_of_range": Grade.ERROR,
    "payload_type_malformed": Grade.ERROR,  # no number from 0 to 127
    "payload_type_repeated": Grade.ERROR,
    # Attributes, RFC 8866 §6.
    "attribute_malformed": Grade.ERROR,
    "attribute_repeated": Grade.NOTICE,
    "rtpmap_malformed": Grade.ERROR,
    "rtpmap_repeated": Grade.ERROR,
    "rtpmap_missing": Grade.ERROR,  # of a payload type that RFC 3551 does not assign
    "rtpmap_without_format": Grade.NOTICE,  # of a payload type that the m= line does not list
    "rtpmap_contradicts": Grade.ERROR,  # another codec, or clock, than RFC 3551 assigns to the payload type
    "fmtp_malformed": Grade.ERROR,
    "fmtp_without_format": Grade.NOTICE,
    "direction_repeated": Grade.ERROR,
    "rtcp_malformed": Grade.ERROR,  # RFC 3605
}


class Deviation(NamedTuple):
    """One rule that a description breaks, and the line (from 1) where, None for what is missing. `detail` quotes the
    peer: escape it before a person sees it."""

    code: str
    detail: str
    line: int | None = None

    @property
    def grade(self) -> Grade:
        """How far from the rules this is."""
        return DEVIATIONS[self.code]


class Attribute(NamedTuple):
    """One a= line; `value` is None where it has no colon."""

    name: str
    value: str | None


class Origin(NamedTuple):
    """The o= line, its fields as received. RFC 8866 §5.2."""

    username: str
    session_id: str
    session_version: str
    network_type: str
    address_type: str
    address: str


class ConnectionData(NamedTuple):
    """A c= line; `address` is an IP address or a name, without the TTL and the count of a multicast one."""

    network_type: str
    address_type: str
    address: str


# They stand among the codecs of a section, and carry no speech of their own: RFC 4733, RFC 3389, RFC 2198, RFC 5109,
# RFC 8627, RFC 4588.
_NO_SPEECH = frozenset({"telephone-event", "tone", "cn", "red", "ulpfec", "parityfec", "flexfec", "rtx"})


class Codec(NamedTuple):
    """One format of an RTP section. `encoding` and `clock_rate_hz` are None where neither rtpmap nor RFC 3551 say them;
    encodings compare without case. `fmtp` is the format's parameters as received."""

    payload_type: int
    encoding: str | None
    clock_rate_hz: int | None
    channels: int = 1
    fmtp: str | None = None

    @property
    def name(self) -> str:
        """The encoding name in upper case, with clock rate and channels where they are not those that RFC 3551 assigns
        to it: PCMA, PCMA/16000. Without an encoding, the payload type."""
        if self.encoding is None:
            return f"PAYLOAD TYPE {self.payload_type}"
        name = self.encoding.upper()
        assigned = [each for each in STATIC_CODECS.values() if (each.encoding or "").upper() == name]
        if not assigned or any(each[2:4] == self[2:4] for each in assigned):
            return name
        return f"{name}/{self.clock_rate_hz}{f'/{self.channels}' if self.channels != 1 else ''}"

    @property
    def is_speech(self) -> bool:
        """False for what goes beside the speech or repeats it: DTMF, comfort noise, redundancy."""
        return (self.encoding or "").lower() not in _NO_SPEECH

    @property
    def contradicted(self) -> str | None:
        """What RFC 3551 assigns to the payload type, where the rtpmap says otherwise; None where it does not."""
        assigned = STATIC_CODECS.get(self.payload_type)
        if assigned is None or ((self.encoding or "").upper(), *self[2:4]) == (assigned.name, *assigned[2:4]):
            return None
        return f"{assigned.encoding}/{assigned.clock_rate_hz}"


# RFC 3551 §6, tables 4 and 5. The clock of G722 is 8000 Hz by an old mistake, §4.5.2.
STATIC_CODECS: dict[int, Codec] = {
    number: Codec(number, encoding, clock_rate_hz, channels)
    for number, encoding, clock_rate_hz, channels in (
        (0, "PCMU", 8000, 1),
        (3, "GSM", 8000, 1),
        (4, "G723", 8000, 1),
        (5, "DVI4", 8000, 1),
        (6, "DVI4", 16000, 1),
        (7, "LPC", 8000, 1),
        (8, "PCMA", 8000, 1),
        (9, "G722", 8000, 1),
        (10, "L16", 44100, 2),
        (11, "L16", 44100, 1),
        (12, "QCELP", 8000, 1),
        (13, "CN", 8000, 1),
        (14, "MPA", 90000, 1),
        (15, "G728", 8000, 1),
        (16, "DVI4", 11025, 1),
        (17, "DVI4", 22050, 1),
        (18, "G729", 8000, 1),
        (25, "CelB", 90000, 1),
        (26, "JPEG", 90000, 1),
        (28, "nv", 90000, 1),
        (31, "H261", 90000, 1),
        (32, "MPV", 90000, 1),
        (33, "MP2T", 90000, 1),
        (34, "H263", 90000, 1),
    )
}
PCMU = STATIC_CODECS[0]
PCMA = STATIC_CODECS[8]
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


def telephone_event(payload_type: int, events: str = "0-15") -> Codec:
    """DTMF as RTP events, RFC 4733: 0-15 are the digits, * and #, and A to D."""
    return Codec(payload_type, "telephone-event", 8000, 1, events)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaDescription:
    """One m= line and what belongs to it. `port` is None where it cannot be read; 0 rejects or ends the stream.
    `session_attributes` are those that hold where the section has none of its own."""

    media: str
    port: int | None
    port_count: int
    protocol: str
    formats: tuple[str, ...]
    connection: ConnectionData | None
    attributes: tuple[Attribute, ...]
    session_attributes: tuple[Attribute, ...]
    line: int

    def attribute(self, name: str) -> str | None:
        """The value of the section's first attribute of that name, "" when it has none, None when it is absent."""
        return _first(self.attributes, name)

    @property
    def is_rtp(self) -> bool:
        """Whether the formats are RTP payload types: RTP/AVP, RTP/SAVP, UDP/TLS/RTP/SAVPF, ..."""
        return "RTP/" in self.protocol.upper()

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The codecs in the order of the m= line, which is that of preference (RFC 3264 §5.1); of RTP sections only."""
        if not self.is_rtp:
            return ()
        maps: dict[int, Codec] = {}
        parameters: dict[int, str] = {}
        for attribute in self.attributes:
            if attribute.name == "rtpmap":
                codec = _read_rtpmap(attribute.value or "")
                if codec:
                    maps.setdefault(codec.payload_type, codec)
            elif attribute.name == "fmtp" and (pair := _read_fmtp(attribute.value or "")):
                parameters.setdefault(*pair)
        found: list[Codec] = []
        for number in filter(None, map(_PAYLOAD_TYPE.fullmatch, self.formats)):
            payload_type = int(number[0])
            if payload_type > 127:
                continue
            codec = maps.get(payload_type) or STATIC_CODECS.get(payload_type) or Codec(payload_type, None, None)
            found.append(codec._replace(fmtp=parameters.get(payload_type)))
        return tuple(found)

    def codec(self, encoding: str) -> Codec | None:
        """The first codec of that `Codec.name`, case aside: PCMA/16000 is no PCMA. None when there is none."""
        return next((codec for codec in self.codecs if codec.name == encoding.upper()), None)

    def has(self, encoding: str) -> bool:
        """Whether a codec of that name is offered."""
        return self.codec(encoding) is not None

    @property
    def direction(self) -> str:
        """sendrecv, sendonly, recvonly or inactive: the section's own, else the session's, else sendrecv. RFC 8866
        §6.7."""
        for attribute in (*self.attributes, *self.session_attributes):
            if attribute.name in DIRECTIONS and attribute.value is None:
                return attribute.name
        return "sendrecv"

    @property
    def ptime_ms(self) -> int | None:
        """How much audio a packet should hold; None where it is not said or unreadable. RFC 8866 §6.4."""
        return _milliseconds(self.attribute("ptime"))

    @property
    def maxptime_ms(self) -> int | None:
        """How much audio a packet may hold at most; None where it is not said or unreadable. RFC 8866 §6.5."""
        return _milliseconds(self.attribute("maxptime"))

    @property
    def rtcp_port(self) -> int | None:
        """The RTCP port that a=rtcp names; None where none is named: then it is the port after `port`. RFC 3605."""
        match = _RTCP.fullmatch(self.attribute("rtcp") or "")
        return int(match[1]) if match and int(match[1]) <= 65535 else None

    @property
    def has_crypto(self) -> bool:
        """Whether SRTP keys are given in the description. RFC 4568."""
        return self.attribute("crypto") is not None

    @property
    def has_fingerprint(self) -> bool:
        """Whether the section or the session names a certificate, for DTLS-SRTP. RFC 8122, RFC 5763."""
        return self.attribute("fingerprint") is not None or _first(self.session_attributes, "fingerprint") is not None

    @property
    def is_plain(self) -> bool:
        """Whether the profile is RTP over UDP in the clear, with or without feedback. RFC 3551, RFC 4585."""
        return self.protocol.upper() in ("RTP/AVP", "RTP/AVPF")

    @property
    def is_encrypted(self) -> bool:
        """Whether the profile asks for SRTP. RFC 3711 §12, RFC 5764 §8."""
        return "SAVP" in self.protocol.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """A session description as received. What is missing or unreadable is None."""

    version: str | None
    origin: Origin | None
    name: str | None
    connection: ConnectionData | None
    timings: tuple[tuple[int, int], ...]
    attributes: tuple[Attribute, ...]
    media: tuple[MediaDescription, ...]
    deviations: tuple[Deviation, ...]

    @property
    def errors(self) -> tuple[Deviation, ...]:
        """The deviations that break the grammar or a MUST."""
        return tuple(deviation for deviation in self.deviations if deviation.grade is Grade.ERROR)

    @property
    def audio(self) -> MediaDescription | None:
        """The first audio section, None when there is none."""
        return next((media for media in self.media if media.media == "audio"), None)

    def media_address(self, media: MediaDescription) -> str | None:
        """Where the section's media is to be sent: its own c= line, else the session's; None without either. RFC 8866
        §5.7."""
        connection = media.connection or self.connection
        return connection.address if connection else None


# Patterns are anchored and possessive, so that none backtracks.
_LINE = re.compile(rb"[^\n]*+\n|[^\n]++")
_DIGITS = re.compile(r"[0-9]{1,20}+")
_PAYLOAD_TYPE = re.compile(r"[0-9]{1,3}+")
_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]++")  # RFC 8866 §9
_MEDIA = re.compile(r"([^ /]++) ([0-9]{1,10}+)(?:/([0-9]{1,10}+))? ([^ ]++) (.+)")
_RTPMAP = re.compile(r"([0-9]{1,3}+) +([^ /]++)/([0-9]{1,9}+)(?:/([0-9]{1,3}+))? *")
_FMTP = re.compile(r"([0-9]{1,3}+) +(.+)", re.DOTALL)
_RTCP = re.compile(r"([0-9]{1,5}+)(?: +IN +IP[46] +[^ ]++)? *")
# RFC 8866 §5, §9: the order of the session's lines and of a section's; t, r and z alternate.
_SESSION_ORDER = dict(zip("vosiuepcbtrzka", (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 10, 11), strict=True))
_MEDIA_ORDER = {letter: rank for rank, letter in enumerate("micbka")}
_SESSION_ONCE = "vosiuck"
_MEDIA_ONCE = "ik"
# RFC 8866 §6.4, §6.5, §6.7, RFC 3605.
_ONCE_ATTRIBUTES = ("ptime", "maxptime", "rtcp")


def _first(attributes: Iterable[Attribute], name: str) -> str | None:
    return next((attribute.value or "" for attribute in attributes if attribute.name == name), None)


def _milliseconds(text: str | None) -> int | None:
    # ptime may be a fraction by the grammar's newer form; nobody's audio is.
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,6}", text.strip(" ")) else None


def _read_rtpmap(value: str) -> Codec | None:
    match = _RTPMAP.fullmatch(value)
    if not match or int(match[1]) > 127:
        return None
    return Codec(int(match[1]), match[2], int(match[3]), int(match[4] or 1))


def _read_fmtp(value: str) -> tuple[int, str] | None:
    match = _FMTP.fullmatch(value)
    return (int(match[1]), match[2].strip(" ")) if match and int(match[1]) <= 127 else None


class _Draft:
    """A media section, or the session above them (`media` None), as its lines come."""

    def __init__(self, media: str | None = None, line: int = 0) -> None:
        self.media = media
        self.line = line
        self.port: int | None = None
        self.port_count = 1
        self.protocol = ""
        self.formats: tuple[str, ...] = ()
        self.connection: ConnectionData | None = None
        self.attributes: list[tuple[Attribute, int]] = []
        self.seen: set[str] = set()
        self.rank = -1


class _Reader:
    """One pass over the lines."""

    def __init__(self) -> None:
        self.deviations: list[Deviation] = []
        self.session = _Draft()
        self.media: list[_Draft] = []
        self.version: str | None = None
        self.origin: Origin | None = None
        self.name: str | None = None
        self.timings: list[tuple[int, int]] = []
        self.lines = 0  # of the form <letter>=<value>

    def add(self, code: str, detail: str, line: int | None = None) -> None:
        if len(self.deviations) < _MAX_DEVIATIONS:
            self.deviations.append(Deviation(code, detail[:_MAX_DETAIL], line))

    def take(self, text: str, number: int) -> None:
        letter, equals, value = text[:1], text[1:2], text[2:]
        if not text.strip(" \t"):
            self.add("empty_line", "", number)
        elif equals != "=" or not letter.isalpha():
            self.add("line_malformed", text, number)
        else:
            self.lines += 1
            # §5.3: a name of a single space is how to have none.
            if value[:1] == " " and letter not in "si":
                self.add("space_after_equals", text, number)
                value = value.lstrip(" ")
            if letter == "m":
                self.take_media(value, number)
            elif letter not in _SESSION_ORDER:
                self.add("line_unknown", text, number)
            else:
                self.take_line(letter, value, number)

    def take_line(self, letter: str, value: str, number: int) -> None:
        section = self.media[-1] if self.media else self.session
        order, once = (_MEDIA_ORDER, _MEDIA_ONCE) if self.media else (_SESSION_ORDER, _SESSION_ONCE)
        text = f"{letter}={value}"
        if letter not in order:
            self.add("order_wrong", f"{text[:60]} belongs above the first m= line", number)
        elif letter in once and letter in section.seen:
            self.add("line_repeated", text, number)
        else:
            section.seen.add(letter)
            if order[letter] < section.rank:
                self.add("order_wrong", text, number)
            section.rank = max(section.rank, order[letter])
            self.read_line(section, letter, value, number)

    def read_line(self, section: _Draft, letter: str, value: str, number: int) -> None:
        match letter:
            case "v":
                self.version = value
                if value != "0":
                    self.add("version_unknown", value, number)
            case "o":
                self.read_origin(value, number)
            case "s":
                self.name = value
                if not value:
                    self.add("name_empty", "s=", number)
            case "t":
                fields = value.split(" ")
                if len(fields) == 2 and all(map(_DIGITS.fullmatch, fields)):
                    self.timings.append((int(fields[0]), int(fields[1])))
                else:
                    self.add("timing_malformed", value, number)
            case "c":
                connection = self.read_connection(value, number)
                section.connection = section.connection or connection
            case "a":
                name, colon, rest = value.partition(":")
                if not _TOKEN.fullmatch(name) or (colon and not rest):
                    self.add("attribute_malformed", value, number)
                section.attributes.append((Attribute(name, rest if colon else None), number))

    def read_origin(self, value: str, number: int) -> None:
        fields = value.split()
        if len(fields) != 6 or " ".join(fields) != value or not all(map(_DIGITS.fullmatch, fields[1:3])):
            self.add("origin_malformed", value, number)
        if len(fields) == 6:
            self.origin = Origin(*fields)

    def read_connection(self, value: str, number: int) -> ConnectionData | None:
        fields = value.split()
        if len(fields) != 3:
            self.add("connection_malformed", value, number)
            return None
        network_type, address_type, place = fields
        address = place.partition("/")[0]
        try:
            parsed = ip_address(address)
        except ValueError:
            # A name is legal, unless it is an address gone wrong.
            fits = address_type in ("IP4", "IP6") and not re.fullmatch(r"[0-9.]*|.*:.*", address)
        else:
            fits = address_type == ("IP6" if isinstance(parsed, IPv6Address) else "IP4")
        if network_type != "IN" or not fits or " ".join(fields) != value:
            self.add("connection_malformed", value, number)
        return ConnectionData(network_type, address_type, address) if address else None

    def take_media(self, value: str, number: int) -> None:
        if len(self.media) >= MAX_MEDIA:
            raise TooLargeError(f"more than {MAX_MEDIA} media sections")
        fields = value.split()
        draft = _Draft(fields[0] if fields else "", number)
        self.media.append(draft)
        match = _MEDIA.fullmatch(value)
        if not match or " ".join(fields) != value:
            self.add("media_malformed", value, number)
        if len(fields) > 1:
            port, _, count = fields[1].partition("/")
            if _DIGITS.fullmatch(port):
                if int(port) > 65535:
                    self.add("port_out_of_range", value, number)
                else:
                    draft.port = int(port)
            if _DIGITS.fullmatch(count):
                draft.port_count = int(count)
        if len(fields) > 2:
            draft.protocol = fields[2]
        draft.formats = tuple(fields[3:])

    def finish(self) -> None:
        """Adds what is missing, and what is wrong with the attributes now that the m= lines are known."""
        mandatory = {"v": "version_missing", "o": "origin_missing", "s": "name_missing", "t": "timing_missing"}
        for letter, code in mandatory.items():
            if letter not in self.session.seen:
                self.add(code, f"{letter}=")
        for section in self.media:
            if "c" not in section.seen and "c" not in self.session.seen:
                self.add("connection_missing", f"m={section.media}", section.line)
        self.check_attributes(self.session)
        for section in self.media:
            self.check_attributes(section)
            if "RTP/" in section.protocol.upper():
                self.check_formats(section)

    def check_attributes(self, section: _Draft) -> None:
        seen: set[str] = set()
        for attribute, number in section.attributes:
            name, value = attribute
            if name in _ONCE_ATTRIBUTES and name in seen:
                self.add("attribute_repeated", f"a={name}", number)
            if name in DIRECTIONS:
                if "direction" in seen:
                    self.add("direction_repeated", name, number)
                if value is not None:
                    self.add("attribute_malformed", f"{name}:{value}", number)
                seen.add("direction")
            elif name in ("ptime", "maxptime") and _milliseconds(value) is None:
                self.add("attribute_malformed", f"{name}:{value or ''}", number)
            elif name == "rtcp":
                match = _RTCP.fullmatch(value or "")
                if not match or int(match[1]) > 65535:
                    self.add("rtcp_malformed", value or "", number)
            seen.add(name)

    def check_formats(self, section: _Draft) -> None:
        listed: set[int] = set()
        for text in section.formats:
            if not _PAYLOAD_TYPE.fullmatch(text) or int(text) > 127:
                self.add("payload_type_malformed", text, section.line)
            elif int(text) in listed:
                self.add("payload_type_repeated", text, section.line)
            else:
                listed.add(int(text))
        mapped: set[int] = set()
        for attribute, number in section.attributes:
            value = attribute.value or ""
            if attribute.name == "rtpmap":
                codec = _read_rtpmap(value)
                if codec is None:
                    self.add("rtpmap_malformed", value, number)
                    continue
                self.check_rtpmap(codec, value, listed, mapped, number)
                mapped.add(codec.payload_type)
            elif attribute.name == "fmtp":
                pair = _read_fmtp(value)
                if pair is None:
                    self.add("fmtp_malformed", value, number)
                elif pair[0] not in listed:
                    self.add("fmtp_without_format", value, number)
        for payload_type in sorted(listed - mapped - STATIC_CODECS.keys()):
            self.add("rtpmap_missing", str(payload_type), section.line)

    def check_rtpmap(self, codec: Codec, value: str, listed: set[int], mapped: set[int], number: int) -> None:
        if codec.payload_type in mapped:
            self.add("rtpmap_repeated", value, number)
        elif codec.payload_type not in listed:
            self.add("rtpmap_without_format", value, number)
        if codec.contradicted is not None:
            self.add("rtpmap_contradicts", f"{value}, where {codec.payload_type} is {codec.contradicted}", number)


# The part of a multipart body that is one, as from an SBC that adds ISUP or a location beside it.
_PART = re.compile(rb"(?:^|\n)(v=0\r?\n.*?)(?:\r?\n--|\Z)", re.DOTALL)


def sdp_octets(content_type: str | None, body: bytes) -> bytes:
    """The session description in a message's body: all of it, or the part of a multipart body that is one; nothing
    where the type is another. RFC 2046 §5.1, RFC 5621 §3."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in ("", "application/sdp"):
        return body
    part = _PART.search(body) if kind.startswith("multipart/") else None
    return part[1] + b"\r\n" if part else b""


def parse_sdp(data: bytes) -> SessionDescription:
    """Read a session description with its deviations. Lines may end in CRLF or LF. Raises TooLargeError past 65536
    bytes or 64 media sections, WireError if no line has the form <letter>=<value>. RFC 8866 §5, §9."""
    if len(data) > MAX_SIZE:
        raise TooLargeError(f"a session description of {len(data)} bytes is past {MAX_SIZE}")
    reader = _Reader()
    lines = _LINE.findall(data)
    bare = 0
    for number, line in enumerate(lines, 1):
        bare += line.endswith(b"\n") and not line.endswith(b"\r\n")
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")
        if not text.isascii() and any("\udc80" <= char <= "\udcff" for char in text):
            reader.add("not_utf8", text, number)
        if "\r" in text:
            reader.add("bare_cr", text, number)
        if "\0" in text:
            reader.add("nul_bytes", text, number)
        reader.take(text, number)
    if not reader.lines:
        raise WireError(f"no session description: {data[:60]!r}")
    if bare:
        reader.add("bare_lf", f"{bare} lines")
    if not lines[-1].endswith(b"\n"):
        reader.add("line_end_missing", "the last line", len(lines))
    reader.finish()
    session_attributes = tuple(attribute for attribute, _ in reader.session.attributes)
    return SessionDescription(
        version=reader.version,
        origin=reader.origin,
        name=reader.name,
        connection=reader.session.connection,
        timings=tuple(reader.timings),
        attributes=session_attributes,
        media=tuple(
            MediaDescription(
                media=draft.media or "",
                port=draft.port,
                port_count=draft.port_count,
                protocol=draft.protocol,
                formats=draft.formats,
                connection=draft.connection,
                attributes=tuple(attribute for attribute, _ in draft.attributes),
                session_attributes=session_attributes,
                line=draft.line,
            )
            for draft in reader.media
        ),
        deviations=tuple(reader.deviations),
    )


def build_audio(
    address: str,
    port: int,
    codecs: Sequence[Codec],
    *,
    direction: str = "sendrecv",
    ptime_ms: int | None = 20,
    maxptime_ms: int | None = None,
    rtcp_port: int | None = None,
    username: str = "-",
    session_id: int = 1,
    session_version: int | None = None,
    session_name: str = "-",
) -> bytes:
    """The octets of an offer or answer with one RTP/AVP audio section. `session_version` is `session_id` unless given,
    and grows by one with each change (RFC 3264 §8). Raises WireError for what its line cannot carry. RFC 8866 §5."""
    try:
        address_type = "IP6" if isinstance(ip_address(address), IPv6Address) else "IP4"
    except ValueError as error:
        raise WireError(f"not an IP address: {address[:80]!r}") from error
    if not 0 <= port <= 65535 or not codecs or direction not in DIRECTIONS:
        raise WireError(f"no audio section: port {port}, {len(codecs)} codecs, {direction[:40]!r}")
    version = session_id if session_version is None else session_version
    lines = [
        "v=0",
        f"o={username} {session_id} {version} IN {address_type} {address}",
        f"s={session_name}",
        f"c=IN {address_type} {address}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {' '.join(str(codec.payload_type) for codec in codecs)}",
    ]
    for codec in codecs:
        if not 0 <= codec.payload_type <= 127 or not codec.encoding or not codec.clock_rate_hz:
            raise WireError(f"no codec to offer: {codec!r}")
        channels = f"/{codec.channels}" if codec.channels != 1 else ""
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.encoding}/{codec.clock_rate_hz}{channels}")
    lines += [f"a=fmtp:{codec.payload_type} {codec.fmtp}" for codec in codecs if codec.fmtp]
    lines.append(f"a={direction}")
    lines += [f"a=rtcp:{rtcp_port}"] if rtcp_port is not None else []
    lines += [f"a=ptime:{ptime_ms}"] if ptime_ms is not None else []
    lines += [f"a=maxptime:{maxptime_ms}"] if maxptime_ms is not None else []
    for line in lines:
        if any(char in line for char in "\r\n\0"):
            raise WireError(f"line end or NUL in {line[:80]!r}")
    try:
        return "".join(f"{line}\r\n" for line in lines).encode()
    except UnicodeEncodeError as error:
        raise WireError("not encodable") from error
