"""FreeSWITCH's XML configuration: SIP profiles, gateways and access lists, every value with the line it stands on.

Text in, values out: what a file includes is asked of the caller. FreeSWITCH goes over every file line by line before it
reads XML (src/switch_xml.c): it includes files, sets variables and puts them in. It does so in comments, too, and of a
line with such a command, with `<include>` or `<?xml ?>`, nothing else is left.

Document types and entities are refused, so that no file can grow on being read. Neither can variables: a value is put
in where it is set, not where it is used, and its length is limited.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from xml.parsers import expat

from vsipcheck.wire.asterisk import Place
from vsipcheck.wire.errors import WireError

_MAX_INCLUDE_DEPTH = 20  # ours: FreeSWITCH goes 100 deep
_MAX_INCLUDED_FILES = 500
_MAX_CHARACTERS = 16_000_000
_MAX_EXPANSION = 8191  # octets of a line after its variables were put in


@dataclass(frozen=True, slots=True)
class Param:
    """One `<param name value>`. `value` has its `$${variables}` put in, where they are known; `written` has not."""

    name: str
    value: str
    written: str
    place: Place
    raw: str  # the line it begins on


@dataclass(frozen=True, slots=True)
class _Params:
    params: tuple[Param, ...]

    def last(self, *names: str) -> Param | None:
        """The last param of one of these names: what FreeSWITCH goes by, except for lists."""
        wanted = {name.lower() for name in names}
        return next((param for param in reversed(self.params) if param.name.lower() in wanted), None)

    def all(self, *names: str) -> tuple[Param, ...]:
        """Every param of one of these names, in order."""
        wanted = {name.lower() for name in names}
        return tuple(param for param in self.params if param.name.lower() in wanted)


@dataclass(frozen=True, slots=True)
class Gateway(_Params):
    """One `<gateway>`. `profile` is the SIP profile it stands in, None for a gateway's own file."""

    name: str
    place: Place
    raw: str
    end: Place  # the line of </gateway>
    profile: str | None = None
    variables: tuple[Param, ...] = ()  # <variables><variable name value direction>


@dataclass(frozen=True, slots=True)
class SipProfile(_Params):
    """One `<profile>`; `params` are those of its `<settings>`."""

    name: str
    place: Place
    raw: str
    end: Place  # the line of </settings>, or of </profile> where there are none
    gateways: tuple[Gateway, ...] = ()
    aliases: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessNode:
    """One `<node>` of an access list: `type` is "allow" or "deny", by `cidr` (or host and mask, which are joined in
    it) or by the directory's `domain`."""

    type: str
    cidr: str | None
    domain: str | None
    place: Place

    def allows(self, of: AccessList) -> bool:
        """Whether it lets in. Without a type it does what its list does."""
        return is_true(self.type) if self.type else of.allows


@dataclass(frozen=True, slots=True)
class AccessList:
    """One `<list>` of acl.conf.xml. `default` is what is written to hold where no node matches."""

    name: str
    default: str
    nodes: tuple[AccessNode, ...]
    place: Place
    raw: str
    end: Place

    @property
    def allows(self) -> bool:
        """Whether it lets in what no node matches: it does where nothing is written."""
        return is_true(self.default) if self.default else True


@dataclass(frozen=True, slots=True)
class Configuration(_Params):
    """One `<configuration>` of a module, with its `<settings>`: of `switch.conf` the RTP ports and call rates."""

    name: str
    place: Place
    raw: str
    end: Place


class XmlFault(StrEnum):
    """What FreeSWITCH would stumble over, or what we leave out."""

    NOT_WELL_FORMED = "not_well_formed"  # the rest of the file is unread
    DOCTYPE = "doctype"  # refused: the rest of the file is unread
    MISSING_INCLUDE = "missing_include"
    INCLUDE_TOO_DEEP = "include_too_deep"  # a file that includes itself, too
    TOO_MANY_INCLUDES = "too_many_includes"  # our own limit
    EXEC = "exec"  # a command that runs a program or asks a server: its outcome is unknown to us
    UNKNOWN_COMMAND = "unknown_command"
    COMMENTED_COMMAND = "commented_command"  # X-PRE-PROCESS in a comment: FreeSWITCH runs it all the same
    LINE_DROPPED = "line_dropped"  # FreeSWITCH leaves out what stands beside <include> or X-PRE-PROCESS on a line
    UNKNOWN_VARIABLE = "unknown_variable"  # $${name} that neither a file nor FreeSWITCH sets: left as it stands
    TOO_LONG = "too_long"  # a value beyond FreeSWITCH's limit
    PARAM_WITHOUT_NAME = "param_without_name"


@dataclass(frozen=True, slots=True)
class XmlDeviation:
    """A place that is not read as its author meant it. `detail` is the word it is about."""

    place: Place
    fault: XmlFault
    detail: str = ""


@dataclass(frozen=True, slots=True)
class XmlFile:
    """One file that was read, its lines without their ends."""

    path: str
    lines: tuple[str, ...]
    included_from: Place | None = None


@dataclass(frozen=True, slots=True)
class FreeSwitchConfig:
    """What the file and those it includes hold.

    `variables` are the ones set by X-PRE-PROCESS, as they stand in the end. `actions` are those of a dialplan:
    application and data.
    """

    profiles: tuple[SipProfile, ...]
    gateways: tuple[Gateway, ...]  # all of them, those inside profiles too
    access_lists: tuple[AccessList, ...]
    configurations: tuple[Configuration, ...]
    actions: tuple[Param, ...]
    variables: dict[str, Param]
    deviations: tuple[XmlDeviation, ...]
    files: tuple[XmlFile, ...]

    def line(self, place: Place) -> str | None:
        """The raw line at that place."""
        for file in self.files:
            if file.path == place.path and 1 <= place.line <= len(file.lines):
                return file.lines[place.line - 1]
        return None

    def configuration(self, name: str) -> Configuration | None:
        """The configuration of that module, say `switch.conf`."""
        return next((found for found in self.configurations if found.name.lower() == name.lower()), None)


# Asked for what `<X-PRE-PROCESS cmd="include" data=PATTERN/>` at a place means: the files, as (path, text). A relative
# pattern is relative to the directory of the including file. Empty: none there.
XmlReader = Callable[[str, Place], Sequence[tuple[str, str]]]


def includes_nothing(pattern: str, place: Place) -> Sequence[tuple[str, str]]:
    """A reader that finds no file: every include is a deviation."""
    return ()


def parse_freeswitch(
    text: str, path: str, read: XmlReader = includes_nothing, variables: dict[str, str] | None = None
) -> FreeSwitchConfig:
    """Every SIP profile, gateway, access list and module configuration of the file and of what it includes.

    `variables` are the ones known from elsewhere (vars.xml). Where a document is not well-formed, what stands before
    the fault is read and a deviation names it. Raises WireError where the text has no markup at all.
    """
    if "<" not in text:
        raise WireError("no XML: not one tag")
    lines = _Preprocessor(read, variables or {})
    lines.load(path, text, None)
    document = _Document(lines)
    document.parse()
    return FreeSwitchConfig(
        profiles=tuple(document.profiles),
        gateways=tuple(document.gateways),
        access_lists=tuple(document.access_lists),
        configurations=tuple(document.configurations),
        actions=tuple(document.actions),
        variables=lines.set_by,
        deviations=tuple(lines.deviations),
        files=tuple(lines.files.values()),
    )


def is_true(value: str) -> bool:
    """Whether FreeSWITCH takes the value for true: yes, on, true, t, enabled, active, allow, or a number but 0."""
    if value.lower() in ("yes", "on", "true", "t", "enabled", "active", "allow"):
        return True
    return re.fullmatch(r"-?\d{1,18}", value, re.ASCII) is not None and int(value) != 0


_COMMAND = re.compile(r"<X-PRE-PROCESS\b", re.IGNORECASE)
_CMD = re.compile(r"\bcmd\s{0,64}=\s{0,64}([\"'])(?P<cmd>[^\"']*)\1", re.IGNORECASE)
_DATA = re.compile(r"\bdata\s{0,64}=\s{0,64}([\"'])(?P<data>.*?)\1", re.IGNORECASE)
_OLD_COMMAND = re.compile(r"<!--#(?P<cmd>\w+)[ \t]+\"?(?P<data>[^\"\r\n]*?)\"?[ \t]*-->")
_DROPPED = ("<include>", "</include>", "<?")
_RUNS = frozenset({"exec", "exec-set", "stun-set", "env-set"})
_SKIPPED = frozenset({"comment"})
_VARIABLE = re.compile(r"\$\$\{([^{}]*)\}")
# What FreeSWITCH itself sets when it starts (switch_core.c, switch_nat.c): set by no file, and no fault.
_SET_AT_START = """
    hostname local_ip_v4 local_mask_v4 local_ip_v6 switch_serial core_uuid zrtp_enabled nat_public_addr nat_private_addr
    nat_type base_dir recordings_dir sound_prefix sounds_dir conf_dir log_dir run_dir db_dir mod_dir htdocs_dir
    script_dir temp_dir grammar_dir fonts_dir images_dir certs_dir storage_dir cache_dir data_dir localstate_dir
"""
_BUILT_IN = frozenset(_SET_AT_START.split())
# FreeSWITCH's own XML reader lets a bare ampersand stand for itself.
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});)")
_DOCTYPE = re.compile(r"<!(?:DOCTYPE|ENTITY)\b", re.IGNORECASE)


class _Preprocessor:
    """The lines that are left for the XML reader, where each stood, and what each variable was by then."""

    def __init__(self, read: XmlReader, variables: dict[str, str]) -> None:
        self.read = read
        self.lines: list[str] = []
        self.places: list[Place] = []
        self.values: dict[str, list[tuple[int, str]]] = {name: [(0, value)] for name, value in variables.items()}
        self.set_by: dict[str, Param] = {}
        self.deviations: list[XmlDeviation] = []
        self.files: dict[str, XmlFile] = {}
        self.open_paths: list[str] = []
        self.included = 0
        self.characters = 0

    def deviate(self, place: Place, fault: XmlFault, detail: str = "") -> None:
        self.deviations.append(XmlDeviation(place, fault, detail))

    def expand(self, text: str, before: int, place: Place) -> str:
        """The text with the variables as they were before that line. An unknown one stays as it stands."""

        def value(match: re.Match[str]) -> str:
            history = self.values.get(match[1], [])
            at = bisect_right(history, before, key=lambda entry: entry[0]) - 1
            if at < 0:
                if match[1] not in _BUILT_IN:
                    self.deviate(place, XmlFault.UNKNOWN_VARIABLE, match[1])
                return match[0]
            return history[at][1]

        expanded = _VARIABLE.sub(value, text)
        if len(expanded) > _MAX_EXPANSION and len(expanded) > len(text):
            self.deviate(place, XmlFault.TOO_LONG, text[:80])
            return text
        return expanded

    def load(self, path: str, text: str, included_from: Place | None) -> None:
        self.characters += len(text)
        self.open_paths.append(path)
        lines = text.removeprefix("\ufeff").split("\n")
        if lines[-1] == "":
            lines.pop()
        self.files.setdefault(path, XmlFile(path, tuple(lines), included_from))
        in_comment = False
        for number, line in enumerate(lines, 1):
            place = Place(path, number)
            began_in_comment = in_comment
            in_comment = _ends_in_comment(line, in_comment)
            command = _COMMAND.search(line)
            if any(mark in line for mark in _DROPPED):
                self._drop(line, place)
            elif command is not None:
                commented = _ends_in_comment(line[: command.start()], began_in_comment)
                self._command(line[command.start() :], line, place, commented)
            elif (old := _OLD_COMMAND.search(line)) is not None:
                self._run(old["cmd"].lower(), old["data"], place, line)
            else:
                self.lines.append(line)
                self.places.append(place)
        self.open_paths.pop()

    def _drop(self, line: str, place: Place) -> None:
        rest = line
        for mark in ("<include>", "</include>"):
            rest = rest.replace(mark, "")
        rest = re.sub(r"<\?[^<>]*\?>|<!--[^<>]*-->", "", rest)
        if rest.strip():
            self.deviate(place, XmlFault.LINE_DROPPED, line.strip())

    def _command(self, text: str, line: str, place: Place, commented: bool) -> None:
        cmd, data = _CMD.search(text), _DATA.search(text)
        if cmd is None or data is None:
            self.deviate(place, XmlFault.UNKNOWN_COMMAND, text.strip())
            return
        name = cmd["cmd"].lower()
        if commented and name not in _SKIPPED:
            self.deviate(place, XmlFault.COMMENTED_COMMAND, name)
        after = text[text.find(">", max(cmd.end(), data.end())) + 1 :]
        beside = line[: -len(text)] + after
        if not commented and re.sub(r"<!--.*?-->", "", beside).strip():
            self.deviate(place, XmlFault.LINE_DROPPED, beside.strip())
        self._run(name, data["data"], place, line)

    def _run(self, name: str, data: str, place: Place, raw: str) -> None:
        expanded = self.expand(data, len(self.lines), place)
        if name == "set":
            variable, equals, value = expanded.partition("=")
            if not equals:
                self.deviate(place, XmlFault.UNKNOWN_COMMAND, raw.strip())
                return
            variable, value = variable.rstrip(" "), value.lstrip(" ")
            if len(value) > 1 and value[0] == value[-1] == "'":
                value = value[1:-1]
            self.values.setdefault(variable, []).append((len(self.lines), value))
            written = data.partition("=")[2].lstrip(" ")
            self.set_by[variable] = Param(variable, value, written, place, raw)
        elif name == "include":
            self._include(expanded, place)
        elif name in _RUNS:
            self.deviate(place, XmlFault.EXEC, f"{name} {data}")
        elif name not in _SKIPPED:
            self.deviate(place, XmlFault.UNKNOWN_COMMAND, name)

    def _include(self, pattern: str, place: Place) -> None:
        if len(self.open_paths) > _MAX_INCLUDE_DEPTH:
            self.deviate(place, XmlFault.INCLUDE_TOO_DEEP, pattern)
            return
        files = list(self.read(pattern, place))
        if not files:
            self.deviate(place, XmlFault.MISSING_INCLUDE, pattern)
        for path, text in files:
            if path in self.open_paths:
                self.deviate(place, XmlFault.INCLUDE_TOO_DEEP, path)
            elif self.included >= _MAX_INCLUDED_FILES or self.characters + len(text) > _MAX_CHARACTERS:
                self.deviate(place, XmlFault.TOO_MANY_INCLUDES, path)
            else:
                self.included += 1
                self.load(path, text, place)


def _ends_in_comment(line: str, inside: bool) -> bool:
    at = 0
    while True:
        found = line.find("-->" if inside else "<!--", at)
        if found < 0:
            return inside
        at = found + (3 if inside else 4)
        inside = not inside


@dataclass(slots=True)
class _Element:
    """An open element that is kept until it closes."""

    tag: str
    name: str
    place: Place
    params: list[Param] = field(default_factory=list)
    variables: list[Param] = field(default_factory=list)
    gateways: list[Gateway] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    nodes: list[AccessNode] = field(default_factory=list)
    default: str = ""
    settings_end: Place | None = None


_KEPT = frozenset({"profile", "gateway", "list", "configuration"})


class _Document:
    """The values of the preprocessed lines."""

    def __init__(self, source: _Preprocessor) -> None:
        self.source = source
        self.profiles: list[SipProfile] = []
        self.gateways: list[Gateway] = []
        self.access_lists: list[AccessList] = []
        self.configurations: list[Configuration] = []
        self.actions: list[Param] = []
        self._tags: list[str] = []
        self._open: list[_Element] = []
        self._parser = expat.ParserCreate("utf-8")

    def parse(self) -> None:
        parser = self._parser
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        # Around the document stands an element of ours, since FreeSWITCH's files need not have one. With it, a
        # document type is a fault of syntax: no entity is ever declared.
        text = "\n".join(self.source.lines).replace("\r", " ")  # expat counts a lone CR as a line
        wrapped = "<r>" + _BARE_AMPERSAND.sub("&amp;", text) + "\n</r>"
        try:
            parser.Parse(wrapped.encode("utf-8", "replace"), True)
        except expat.ExpatError as error:
            place = self._place_of(error.lineno)
            line = self.source.lines[error.lineno - 1] if error.lineno <= len(self.source.lines) else ""
            if _DOCTYPE.search(line):
                self.source.deviate(place, XmlFault.DOCTYPE)
            else:
                self.source.deviate(place, XmlFault.NOT_WELL_FORMED, expat.errors.messages.get(error.code, "syntax"))
            while self._open:
                self._close(self._open.pop(), place)
        order = {path: number for number, path in enumerate(self.source.files)}
        self.source.deviations.sort(key=lambda deviation: (order[deviation.place.path], deviation.place.line))

    def _place_of(self, line: int) -> Place:
        places = self.source.places
        if not places:
            return Place(next(iter(self.source.files)), 1)
        return places[min(line, len(places)) - 1]

    def _here(self) -> tuple[int, Place]:
        line = self._parser.CurrentLineNumber
        return line, self._place_of(line)

    def _raw(self, place: Place) -> str:
        lines = self.source.files[place.path].lines
        return lines[place.line - 1] if place.line <= len(lines) else ""

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line, place = self._here()
        parent = self._tags[-1] if self._tags else ""
        self._tags.append(tag)
        values = {
            name: self.source.expand(value, line - 1, place) if "$${" in value else value
            for name, value in attributes.items()
        }
        holder = self._open[-1] if self._open else None
        if tag in _KEPT:
            element = _Element(tag, values.get("name", ""), place, default=values.get("default", ""))
            self._open.append(element)
        elif tag == "action" and "application" in values:
            data, written = values.get("data", ""), attributes.get("data", "")
            self.actions.append(Param(values["application"], data, written, place, self._raw(place)))
        elif holder is None:
            return
        elif tag in ("param", "variable"):
            name = values.get("name", "")
            if not name:
                self.source.deviate(place, XmlFault.PARAM_WITHOUT_NAME)
                return
            param = Param(name, values.get("value", ""), attributes.get("value", ""), place, self._raw(place))
            if tag == "variable":
                holder.variables.append(param)
            elif holder.tag == "gateway" or parent == "settings":
                holder.params.append(param)
        elif tag == "node" and holder.tag == "list":
            cidr = values.get("cidr")
            if cidr is None and "host" in values and "mask" in values:
                cidr = f"{values['host']}/{values['mask']}"
            holder.nodes.append(AccessNode(values.get("type", ""), cidr, values.get("domain"), place))
        elif tag == "alias" and parent == "aliases":
            holder.aliases.append(values.get("name", ""))
        elif tag == "domain" and parent == "domains":
            holder.domains.append(values.get("name", ""))

    def _end(self, tag: str) -> None:
        _, place = self._here()
        self._tags.pop()
        if tag == "settings" and self._open:
            self._open[-1].settings_end = place
        elif tag in _KEPT and self._open:
            self._close(self._open.pop(), place)

    def _close(self, element: _Element, end: Place) -> None:
        name, place, raw = element.name, element.place, self._raw(element.place)
        params = tuple(element.params)
        if element.tag == "gateway":
            above = next((found for found in reversed(self._open) if found.tag == "profile"), None)
            profile = above.name if above is not None else None
            gateway = Gateway(params, name, place, raw, end, profile, tuple(element.variables))
            self.gateways.append(gateway)
            if above is not None:
                above.gateways.append(gateway)
        elif element.tag == "profile":
            end = element.settings_end or end
            gateways, aliases, domains = tuple(element.gateways), tuple(element.aliases), tuple(element.domains)
            self.profiles.append(SipProfile(params, name, place, raw, end, gateways, aliases, domains))
        elif element.tag == "list":
            self.access_lists.append(AccessList(name, element.default, tuple(element.nodes), place, raw, end))
        else:
            self.configurations.append(Configuration(params, name, place, raw, element.settings_end or end))
