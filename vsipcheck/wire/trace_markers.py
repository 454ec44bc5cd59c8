"""What the lines between the messages of a text trace tell: times, sockets, transports, sizes, in the words of sngrep,
tcpdump, tshark, ngrep, HOMER, Asterisk, FreeSWITCH, SIPp and vsipcheck's own tickets."""

import re
from dataclasses import dataclass, replace
from datetime import date

Socket = tuple[str, int]
# No line that tells about a message is longer; a pattern need not look at more.
_MAX_MARKER = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a trace tells about a message beside its text. None is not told. `at_s` counts from some midnight: times of
    one trace can be subtracted."""

    format: str = "text"
    transport: str | None = None  # "tcp", "udp", "tls", ...
    source: Socket | None = None
    destination: Socket | None = None
    sent: bool | None = None  # by the program that wrote the trace
    at_s: float | None = None
    size: int | None = None  # bytes of the message


_IP = r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]{2,45}\])"
_ARROW = re.compile(rf"(?P<source>{_IP}:[0-9]{{1,5}}) ?(?:-{{1,3}}>|=>|\u2192) ?(?P<destination>{_IP}:[0-9]{{1,5}})")
_CHAN_SIP = re.compile(r"<--- SIP read from (?:(?P<transport>[A-Za-z]{2,4}):)?(?P<peer>\S{1,80}) --->")
_CHAN_SIP_SENT = re.compile(
    r"(?:Retransmitting #[0-9]{1,3}|Transmitting) \((?:no )?NAT\) to (?P<peer>\S{1,80}?)(?: --->|:)? *$"
)
_PJSIP = re.compile(
    r"<--- (?P<way>Received|Transmitting) SIP (?:request|response) \((?P<size>[0-9]{1,7}) bytes\) (?:from|to) "
    r"(?P<transport>[A-Za-z]{2,4}):(?P<peer>\S{1,80}) --->"
)
_PJSIP_HISTORY = re.compile(
    r"<--- History Entry [0-9]{1,9} (?P<way>Received|Sent) (?:from|to) (?P<peer>\S{1,80})"
    r" at (?P<epoch>[0-9]{1,11})\S{0,8} --->"
)
_FREESWITCH = re.compile(
    r"(?P<way>recv|send) (?P<size>[0-9]{1,7}) bytes (?:from|to) (?P<transport>[a-z]{2,4})"
    r"/\[(?P<host>[^\]\s]{1,60})\]:(?P<port>[0-9]{1,5})"
)
_SIPP = re.compile(r"(?P<transport>TCP|UDP|TLS) message (?P<way>sent|received) [(\[](?P<size>[0-9]{1,7})[)\]]? bytes")
_SIPP_TIME = re.compile(r"-{20,60}[ \t]+[0-9]{4}-")
_TCPDUMP = re.compile(
    r"(?:(?P<time>[0-9:.]{8,20}) .{0,40}?IP6? |\s+)(?P<source>\S{3,80}) > (?P<destination>\S{3,80}): "
    r"(?P<rest>Flags|\[|UDP|SIP)"
)
_TCPDUMP_OTHER = re.compile(r"(?:\S{1,30} ){0,3}IP6? .{0,200}(?:length [0-9]|Flags \[)")
FOLLOW = re.compile(r"Follow: (?P<transport>[a-z]{2,4}),")
_NODE = re.compile(r"Node (?P<number>[01]): (?P<end>\S{3,80})\s*$")
CHUNK = re.compile(r"(?P<second>\t?)(?P<size>[0-9]{1,7})\s*$")
RULE = re.compile(r"\s*(?:-{5,}|={5,}|\*{5,}|<-{3,}>|---(?: \(.*)?)\s*$")
_LOG_LINE = re.compile(
    r"[^\w]{0,3}[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[ T][0-9]{2}:[0-9]{2}"
    r"|[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} "
    r"|(?:DEBUG|NOTICE|WARNING|ERROR|VERBOSE)\[[0-9]|\[[A-Z0-9][^\]]{5,40}\] "
)
_TIME = re.compile(
    r"(?:(?P<year>[0-9]{4})[-/](?P<month>[0-9]{2})[-/](?P<day>[0-9]{2})[ T])?"
    r"(?<![0-9:])(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}(?:[.,][0-9]{1,9})?)"
)
_TRANSPORT = re.compile(r"\b(?i:(TCP|UDP|TLS|WSS?))\b")
_SIZE = re.compile(r"\b([0-9]{1,7}) bytes\b")


def seconds_in(text: str) -> float | None:
    """The first time of day in a text, from the midnight of its date on, or of some day where it has none."""
    match = _TIME.search(text)
    if not match:
        return None
    days = 0
    if match["year"]:
        try:
            days = date(int(match["year"]), int(match["month"]), int(match["day"])).toordinal()
        except ValueError:
            return None
    clock = int(match["hour"]) * 3600 + int(match["minute"]) * 60 + float(match["second"].replace(",", "."))
    return days * 86400.0 + clock


# As tcpdump writes ports without -n.
_PORT_NAMES = {"sip": 5060, "sip-tls": 5061, "vtsas": 5070, "https": 443}


def _socket(text: str, separator: str = ":") -> Socket | None:
    host, found, port = text.rpartition(separator)
    number = _PORT_NAMES.get(port) or (int(port) if re.fullmatch(r"[0-9]{1,5}", port) else None)
    if not found or not host or number is None or number > 65535:
        return None
    host = host.removeprefix("[").removesuffix("]")
    # A socket of both families shows IPv4 peers so.
    return (host[7:] if host.lower().startswith("::ffff:") and "." in host else host), number


def _peer(told: Told, peer: str, sent: bool) -> Told:
    end = _socket(peer)
    return replace(told, sent=sent, source=None if sent else end, destination=end if sent else None)


def _lower(text: str | None) -> str | None:
    return text.lower() if text else None


class Markers:
    """Reads the lines between messages. What a heading says of all that follows is remembered."""

    def __init__(self) -> None:
        self.transport: str | None = None
        self.follows = False
        self.nodes: dict[str, Socket | None] = {}
        self.time: float | None = None  # of tcpdump's first of two lines

    def read(self, line: str) -> Told | None:
        """What the line tells about the message that follows; None where it is no such line."""
        line = line[:_MAX_MARKER]
        if match := _FREESWITCH.search(line):
            told = Told(
                format="freeswitch", transport=match["transport"], size=int(match["size"]), at_s=seconds_in(line)
            )
            return _peer(told, f"[{match['host']}]:{match['port']}", match["way"] == "send")
        if "<---" in line or "Transmitting (" in line or "Retransmitting #" in line:
            return self._asterisk(line)
        if match := _SIPP.match(line):
            told = Told(format="sipp", transport=_lower(match["transport"]), size=int(match["size"]))
            return replace(told, sent=match["way"] == "sent")
        if match := FOLLOW.match(line):
            self.follows, self.transport = True, match["transport"]
            return Told(format="tshark")
        if self.follows and (match := _NODE.match(line)):
            self.nodes[match["number"]] = _socket(match["end"])
            return Told(format="tshark")
        if self.follows and (match := CHUNK.match(line)):
            ends = self.nodes.get("0"), self.nodes.get("1")
            source, destination = reversed(ends) if match["second"] else ends
            return Told(format="tshark", transport=self.transport, source=source, destination=destination)
        return self._addresses(line) or self._other(line)

    def _asterisk(self, line: str) -> Told | None:
        if match := _PJSIP.search(line):
            told = Told(
                format="pjsip", transport=_lower(match["transport"]), size=int(match["size"]), at_s=seconds_in(line)
            )
            return _peer(told, match["peer"], match["way"] == "Transmitting")
        if match := _PJSIP_HISTORY.search(line):
            return _peer(Told(format="pjsip", at_s=float(match["epoch"])), match["peer"], match["way"] == "Sent")
        if match := _CHAN_SIP.search(line):
            told = Told(format="chan_sip", transport=_lower(match["transport"]), at_s=seconds_in(line))
            return _peer(told, match["peer"], sent=False)
        if match := _CHAN_SIP_SENT.search(line):
            return _peer(Told(format="chan_sip", at_s=seconds_in(line)), match["peer"], sent=True)
        return Told() if RULE.match(line) else None

    def _addresses(self, line: str) -> Told | None:
        if match := _ARROW.search(line):
            named = _TRANSPORT.search(line)
            ngrep = {"T ": "tcp", "U ": "udp"}.get(line[:2])
            transport = ngrep or (named[1].lower() if named else self.transport)
            if line.startswith("=== "):
                self.transport = transport
            size = _SIZE.search(line)
            return Told(
                format="ngrep" if ngrep else "arrow",
                transport=transport,
                source=_socket(match["source"]),
                destination=_socket(match["destination"]),
                at_s=seconds_in(line),
                size=int(size[1]) if size else None,
            )
        if match := _TCPDUMP.match(line):
            moment = seconds_in(line) if match["time"] else self.time
            transport = "tcp" if match["rest"] == "Flags" else "udp"
            source, destination = _socket(match["source"], "."), _socket(match["destination"], ".")
            return Told(format="tcpdump", transport=transport, source=source, destination=destination, at_s=moment)
        return None

    def _other(self, line: str) -> Told | None:
        if _TCPDUMP_OTHER.match(line):
            self.time = seconds_in(line)
            return Told(format="tcpdump", at_s=self.time)
        if RULE.match(line):
            return Told()
        if _LOG_LINE.match(line) or _SIPP_TIME.match(line):
            return Told(at_s=seconds_in(line))
        return None
