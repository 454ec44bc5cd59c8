"""Asterisk's configuration files as the program itself reads them, every value with the line it stands on.

Text in, values out: what a file includes is asked of the caller. The rules are those of Asterisk's own reader
(main/config.c) and of the three that use what it read: chan_sip, res_pjsip by way of sorcery, and res_rtp_asterisk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from vsipcheck.wire.errors import WireError

# Asterisk's own limits, of main/config.c.
_MAX_LINE = 8191  # bytes with the line end; longer ones are skipped
_MAX_NESTED_COMMENTS = 128
_MAX_INCLUDE_DEPTH = 10
_MAX_SECTION_NAME = 79
# Ours. Templates that inherit from each other can double with every line.
_MAX_INCLUDED_FILES = 500
_MAX_CHARACTERS = 16_000_000
_MAX_VARIABLES = 200_000

_READ_BY_NAME = frozenset({"general", "globals"})  # by ast_variable_browse and ast_variable_retrieve

# What Asterisk strips: every octet up to and with the space.
_BLANKS = "".join(map(chr, range(33)))


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file. Lines count from 1; str() is `FILE:LINE`."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Variable:
    """One `name = value` of a section, with the line as it was written.

    `operator` is "=", "=>" or "+=". `inherited_from` names the template or section that it was copied from; the place
    stays where it was written. `appended` are the places of the `+=` lines that lengthened its value. `comment` is what
    Asterisk left out from a `;` on: in `contact = sip:host;transport=tcp` the transport, unless written `\\;`.
    """

    name: str
    value: str
    place: Place
    operator: str
    raw: str
    inherited_from: str | None = None
    appended: tuple[Place, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One `[name]`, with what it inherited first and what was written in it after that.

    `place` is the line of its header, `raw` that line. `templates` are the names it inherits from, in order, and
    `additions` the headers `[name](+)` that added to it. A template is read by nobody: it is only inherited from.
    """

    name: str
    place: Place
    raw: str
    is_template: bool = False
    templates: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    additions: tuple[Place, ...] = ()

    def first(self, *names: str) -> Variable | None:
        """The first variable of one of these names: what Asterisk's rtp.conf and other simple files go by."""
        wanted = {name.lower() for name in names}
        return next((variable for variable in self.variables if variable.name.lower() in wanted), None)

    def last(self, *names: str) -> Variable | None:
        """The last variable of one of these names: what chan_sip and pjsip go by, except for lists."""
        wanted = {name.lower() for name in names}
        return next((variable for variable in reversed(self.variables) if variable.name.lower() in wanted), None)

    def all(self, *names: str) -> tuple[Variable, ...]:
        """Every variable of one of these names, in the order in which Asterisk reads them."""
        wanted = {name.lower() for name in names}
        return tuple(variable for variable in self.variables if variable.name.lower() in wanted)

    @property
    def end(self) -> Place:
        """The last line that says something in the block under its header: a diff adds lines after it."""
        path, first = self.place.path, self.place.line
        limit = min((place.line for place in self.additions if place.path == path and place.line > first), default=None)
        own = [variable.place for variable in self.variables if variable.inherited_from is None]
        own += [place for variable in self.variables for place in variable.appended]
        lines = [place.line for place in own if place.path == path and (limit is None or place.line < limit)]
        return Place(path, max([first, *lines]))


class Fault(StrEnum):
    """What Asterisk would stumble over, or what we leave out. A fault of `FATAL` makes it refuse the whole file."""

    NO_EQUALS = "no_equals"  # the line is ignored
    NO_NAME = "no_name"  # "= value": the line is ignored
    NO_SECTION = "no_section"  # a value before any section
    UNCLOSED_SECTION = "unclosed_section"  # "[name" without "]"
    UNCLOSED_OPTIONS = "unclosed_options"  # "[name](..." without ")"
    UNKNOWN_TEMPLATE = "unknown_template"
    UNKNOWN_ADDITION = "unknown_addition"  # "[name](+)" without an earlier "[name]"
    UNKNOWN_FILTER = "unknown_filter"  # "[name](+filter)" with a regular expression that we do not read
    INVALID_ESCAPE = "invalid_escape"  # "\" alone at the beginning of a line
    LINE_TOO_LONG = "line_too_long"  # skipped
    UNCLOSED_COMMENT = "unclosed_comment"  # ";--" to the end of the file: everything after it is unread
    STRAY_COMMENT_END = "stray_comment_end"  # "--;" outside a comment: everything after the line is unread
    NESTED_TOO_DEEP = "nested_too_deep"  # comments in comments
    UNKNOWN_DIRECTIVE = "unknown_directive"  # "#something": ignored
    NO_ARGUMENT = "no_argument"  # "#include" of nothing: ignored
    MISSING_INCLUDE = "missing_include"  # "#include" of a file that is not there
    MISSING_TRYINCLUDE = "missing_tryinclude"  # "#tryinclude": allowed to be missing
    INCLUDE_TOO_DEEP = "include_too_deep"  # a file that includes itself, too
    TOO_MANY_INCLUDES = "too_many_includes"  # our own limit
    EXEC = "exec"  # "#exec": what the program would print is unknown to us
    JUNK_AFTER_SECTION = "junk_after_section"  # "[name] (x)": what follows the "]" is ignored
    BYTE_ORDER_MARK = "byte_order_mark"  # Asterisk takes it as part of the first line


FATAL = frozenset(
    {
        Fault.NO_SECTION,
        Fault.UNCLOSED_SECTION,
        Fault.UNCLOSED_OPTIONS,
        Fault.UNKNOWN_TEMPLATE,
        Fault.UNKNOWN_ADDITION,
        Fault.INVALID_ESCAPE,
        Fault.MISSING_INCLUDE,
        Fault.INCLUDE_TOO_DEEP,
        Fault.BYTE_ORDER_MARK,
    }
)


@dataclass(frozen=True, slots=True)
class Deviation:
    """A line that is not read as its author meant it. `detail` is the word it is about."""

    place: Place
    fault: Fault
    detail: str = ""

    @property
    def fatal(self) -> bool:
        """Whether Asterisk would read no further: it refuses the file, or of an included one the rest."""
        return self.fault in FATAL


class LineKind(StrEnum):
    """What a line is to Asterisk."""

    BLANK = "blank"
    COMMENT = "comment"
    SECTION = "section"
    VARIABLE = "variable"
    DIRECTIVE = "directive"
    IGNORED = "ignored"  # a deviation says why


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that was read: its lines without LF (a CR stays), and what each is. One included twice stands once."""

    path: str
    lines: tuple[str, ...]
    kinds: tuple[LineKind, ...]
    included_from: Place | None = None


@dataclass(frozen=True, slots=True)
class AsteriskConfig:
    """A file with all that it includes. Sections of one name stay apart, in the order in which they are read."""

    sections: tuple[Section, ...]
    deviations: tuple[Deviation, ...]
    files: tuple[SourceFile, ...]

    def named(self, name: str) -> tuple[Section, ...]:
        """The sections of that name, templates left out. Names are compared without regard to case."""
        wanted = name.lower()
        return tuple(found for found in self.sections if found.name.lower() == wanted and not found.is_template)

    def first(self, name: str) -> Section | None:
        """The first section of that name, templates left out; None where there is none."""
        return next(iter(self.named(name)), None)

    def section(self, name: str) -> Section | None:
        """All sections of that name as one, in order; None where there is none. Templates are left out.

        What chan_sip makes of a peer: repeated sections add to each other. Not so [general] and [globals], which every
        module reads by name: of those only the first is ever seen.
        """
        found = self.named(name)
        if name.lower() in _READ_BY_NAME:
            found = found[:1]
        if len(found) < 2:
            return next(iter(found), None)
        return replace(
            found[0],
            templates=tuple(template for section in found for template in section.templates),
            variables=tuple(variable for section in found for variable in section.variables),
            additions=tuple(place for section in found for place in (section.place, *section.additions))[1:],
        )

    def line(self, place: Place) -> str | None:
        """The raw line at that place."""
        for file in self.files:
            if file.path == place.path and 1 <= place.line <= len(file.lines):
                return file.lines[place.line - 1]
        return None


# Asked for what `#include PATTERN` at a place means: the files, as (path, text), in the order of the shell's glob. A
# relative pattern is relative to Asterisk's configuration directory, not to the including file's. Empty: none there.
Reader = Callable[[str, Place], Sequence[tuple[str, str]]]


def includes_nothing(pattern: str, place: Place) -> Sequence[tuple[str, str]]:
    """A reader that finds no file: every include is a deviation."""
    return ()


def parse_asterisk(text: str, path: str, read: Reader = includes_nothing) -> AsteriskConfig:
    """Every section, value and deviation of the file and of what it includes.

    Where Asterisk would give up, reading goes on: the deviation says so, and what follows is what would be read once
    that line is mended. Raises WireError where inheritance makes more values than any real configuration has.
    """
    reading = _Reading(read)
    reading.load([(path, text)], None)
    return AsteriskConfig(
        sections=tuple(section.finish() for section in reading.sections.all),
        deviations=tuple(reading.deviations),
        files=tuple(reading.files.values()),
    )


@dataclass(slots=True)
class _Variable:
    name: str
    pieces: list[str]  # what += lines add is kept apart, so that many of them do not copy the value each time
    place: Place
    operator: str
    raw: str
    comment: str
    inherited_from: str | None = None
    appended: list[Place] = field(default_factory=list)

    def finish(self) -> Variable:
        return Variable(
            name=self.name,
            value="".join(self.pieces),
            place=self.place,
            operator=self.operator,
            raw=self.raw,
            inherited_from=self.inherited_from,
            appended=tuple(self.appended),
            comment=self.comment,
        )


@dataclass(slots=True)
class _Section:
    name: str
    place: Place
    raw: str
    is_template: bool = False
    templates: list[str] = field(default_factory=list)
    variables: list[_Variable] = field(default_factory=list)
    latest: dict[str, _Variable] = field(default_factory=dict)  # by name as written
    additions: list[Place] = field(default_factory=list)

    def add(self, variable: _Variable) -> None:
        self.variables.append(variable)
        self.latest[variable.name] = variable

    def finish(self) -> Section:
        return Section(
            name=self.name,
            place=self.place,
            raw=self.raw,
            is_template=self.is_template,
            templates=tuple(self.templates),
            variables=tuple(variable.finish() for variable in self.variables),
            additions=tuple(self.additions),
        )


class _Sections:
    """The sections in order, found by name as `ast_category_get` does: the first that fits, and "" fits every name."""

    def __init__(self) -> None:
        self.all: list[_Section] = []
        self._named: dict[str, list[_Section]] = {}
        self._plain: dict[str, int] = {}  # how many templates stand before the first that is none

    def append(self, section: _Section) -> None:
        self.all.append(section)
        self._named.setdefault(section.name.lower(), []).append(section)

    def named(self, name: str) -> list[_Section]:
        return self._named.get(name.lower(), []) if name else self.all

    def first(self, name: str) -> _Section | None:
        return next(iter(self.named(name)), None)

    def first_plain(self, name: str) -> _Section | None:
        found, at = self.named(name), self._plain.get(name.lower(), 0)
        while at < len(found) and found[at].is_template:
            at += 1
        self._plain[name.lower()] = at  # a template never stops being one
        return found[at] if at < len(found) else None


class _Reading:
    """What a load goes through, file by file."""

    def __init__(self, read: Reader) -> None:
        self.read = read
        self.sections = _Sections()
        self.current: _Section | None = None  # where an included file's values go until its first section
        self.deviations: list[Deviation] = []
        self.files: dict[str, SourceFile] = {}
        self.open_paths: list[str] = []
        self.included = 0
        self.characters = 0
        self.variables = 0

    def deviate(self, place: Place, fault: Fault, detail: str = "") -> None:
        self.deviations.append(Deviation(place, fault, detail))

    def load(self, files: Sequence[tuple[str, str]], included_from: Place | None) -> None:
        """Read what one #include named. Section and comment depth go on from one of its files to the next."""
        section = self.current
        comments = _Comments()
        for path, text in files:
            self.characters += len(text)
            self.open_paths.append(path)
            kinds: list[LineKind] = []
            lines = text.split("\n")
            if lines[-1] == "":
                lines.pop()
            for number, raw in enumerate(lines, 1):
                kind, section = self._line(raw, Place(path, number), comments, section)
                kinds.append(kind)
            if comments.depth > 0:
                self.deviate(comments.opened[-1], Fault.UNCLOSED_COMMENT)
            self.open_paths.pop()
            self.files.setdefault(path, SourceFile(path, tuple(lines), tuple(kinds), included_from))

    def _line(
        self, raw: str, place: Place, comments: _Comments, section: _Section | None
    ) -> tuple[LineKind, _Section | None]:
        """What the line is, and the section that the next one stands in."""
        text = raw
        if place.line == 1:
            for mark in ("\ufeff", "\u00ef\u00bb\u00bf"):  # the second is what Latin-1 makes of its three octets
                if text.startswith(mark):
                    self.deviate(place, Fault.BYTE_ORDER_MARK)
                    text = text[len(mark) :]
        if len(text) >= _MAX_LINE // 4 and len(text.encode("utf-8", "surrogatepass")) + 1 >= _MAX_LINE:
            self.deviate(place, Fault.LINE_TOO_LONG)
            return LineKind.IGNORED, section
        text, _, _ = text.partition("\0")  # where a C string ends
        outside = comments.depth == 0
        body, comment = comments.strip(text, place, self.deviate)
        if body is not None:
            body = body.strip(_BLANKS)
        if not body:
            blank = outside and not text.strip(_BLANKS)
            return (LineKind.BLANK if blank else LineKind.COMMENT), section
        if body[0] == "[":
            return LineKind.SECTION, self._header(body, raw, place)
        if body[0] == "#":
            return self._directive(body, place), section
        if section is None:
            self.deviate(place, Fault.NO_SECTION, body)
            return LineKind.IGNORED, None
        return self._variable(body, comment, raw, place, section), section

    def _header(self, body: str, raw: str, place: Place) -> _Section:
        name, closed, rest = body[1:].partition("]")
        if not closed:
            self.deviate(place, Fault.UNCLOSED_SECTION, body)
        fresh: _Section | None = _Section(name[:_MAX_SECTION_NAME], place, raw)
        assert fresh is not None
        section = fresh
        options: list[str] = []
        if rest.startswith("("):
            inside, closed, rest = rest[1:].partition(")")
            if not closed:
                self.deviate(place, Fault.UNCLOSED_OPTIONS, body)
            options = inside.split(",")
        if rest.strip(_BLANKS):
            self.deviate(place, Fault.JUNK_AFTER_SECTION, rest.strip(_BLANKS))
        for option in options:
            if option == "!":
                section.is_template = True
            elif option.startswith("+"):
                found = self._addition(name, option[1:], place)
                if found is None:
                    self.deviate(place, Fault.UNKNOWN_ADDITION, name)
                    continue
                if fresh is not None:
                    found.is_template |= fresh.is_template
                    found.templates += fresh.templates
                    for variable in fresh.variables:
                        found.add(variable)
                    self.current = found
                    fresh = None
                found.additions.append(place)
                section = found
            else:
                # Not stripped: in "[a](!, b)" the template is called " b". An empty name fits any section.
                base = self.sections.first(option)
                if base is None:
                    self.deviate(place, Fault.UNKNOWN_TEMPLATE, option)
                    continue
                self._inherit(section, base)
        if fresh is not None:
            self.sections.append(fresh)
            self.current = fresh
        return section

    def _inherit(self, section: _Section, base: _Section) -> None:
        self._count(len(base.variables))
        section.templates.append(base.name)
        for variable in tuple(base.variables):
            copied = replace(variable, inherited_from=variable.inherited_from or base.name)
            copied.pieces, copied.appended = list(variable.pieces), list(variable.appended)
            section.add(copied)

    def _addition(self, name: str, condition: str, place: Place) -> _Section | None:
        """The section that `[name](+condition)` adds to: the first that meets all `name=value`, joined by "&"."""
        if not condition:
            return self.sections.first_plain(name)
        templates_too = False
        wanted: list[tuple[str, str]] = []
        for term in condition.split("&"):
            key, equals, value = (part.strip(_BLANKS) for part in term.partition("="))
            if not equals:
                return None
            if key == "TEMPLATES":
                templates_too = value.lower() in ("include", "restrict")
                if value.lower() == "restrict":
                    wanted.append(("TEMPLATES", "restrict"))
            elif _PATTERN.search(key) or _PATTERN.search(value):
                self.deviate(place, Fault.UNKNOWN_FILTER, condition)
                return self.sections.first_plain(name)
            else:
                wanted.append((key, value))
        for section in self.sections.named(name):
            self._count(len(section.variables))
            if section.is_template and not templates_too:
                continue
            if all(_meets(section, key, value) for key, value in wanted):
                return section
        return None

    def _directive(self, body: str, place: Place) -> LineKind:
        word, argument = body[1:], ""
        for at, character in enumerate(word):
            if character <= " ":
                word, argument = word[:at], word[at + 1 :].strip(_BLANKS)
                break
        command = word.lower()
        if command not in ("include", "tryinclude", "exec"):
            self.deviate(place, Fault.UNKNOWN_DIRECTIVE, f"#{word}")
            return LineKind.IGNORED
        if not argument:
            self.deviate(place, Fault.NO_ARGUMENT, f"#{word}")
            return LineKind.IGNORED
        if argument[0] in '"<' and len(argument) > 1 and argument[-1] == ('"' if argument[0] == '"' else ">"):
            argument = argument[1:-1]
        if command == "exec":
            self.deviate(place, Fault.EXEC, argument)
            return LineKind.DIRECTIVE
        self._include(argument, place, optional=command == "tryinclude")
        return LineKind.DIRECTIVE

    def _include(self, pattern: str, place: Place, *, optional: bool) -> None:
        if len(self.open_paths) > _MAX_INCLUDE_DEPTH:
            self.deviate(place, Fault.INCLUDE_TOO_DEEP, pattern)
            return
        files = list(self.read(pattern, place))
        if not files:
            self.deviate(place, Fault.MISSING_TRYINCLUDE if optional else Fault.MISSING_INCLUDE, pattern)
            return
        kept: list[tuple[str, str]] = []
        for path, text in files:
            if path in self.open_paths:
                self.deviate(place, Fault.INCLUDE_TOO_DEEP, path)
            elif self.included >= _MAX_INCLUDED_FILES or self.characters + len(text) > _MAX_CHARACTERS:
                self.deviate(place, Fault.TOO_MANY_INCLUDES, path)
            else:
                self.included += 1
                kept.append((path, text))
        self.load(kept, place)

    def _variable(self, body: str, comment: str, raw: str, place: Place, section: _Section) -> LineKind:
        start = 0
        if body[0] == "\\":  # the escape of a name that begins with "[" or "#"
            body, start = body[1:], 1
            if not body or body[0] <= " ":
                self.deviate(place, Fault.INVALID_ESCAPE, body)
                return LineKind.IGNORED
        at = body.find("=", start)
        if at < 0:
            self.deviate(place, Fault.NO_EQUALS, body)
            return LineKind.IGNORED
        name, value, operator = body[:at], body[at + 1 :], "="
        if at > start and name[-1] == "+":
            name, operator = name[:-1], "+="
        elif value.startswith(">"):
            value, operator = value[1:], "=>"
        name = name.strip(_BLANKS)
        if not name:
            self.deviate(place, Fault.NO_NAME, body)
            return LineKind.IGNORED
        # "+=" looks for the name as it is spelled, and joins without a comma or a space of its own.
        earlier = section.latest.get(name) if operator == "+=" else None
        if earlier is not None:
            added = value.rstrip(_BLANKS)
            earlier.pieces.append(added if any(earlier.pieces) else added.lstrip(_BLANKS))
            earlier.appended.append(place)
        else:
            self._count(1)
            section.add(_Variable(name, [value.strip(_BLANKS)], place, operator, raw, comment))
        return LineKind.VARIABLE

    def _count(self, more: int) -> None:
        self.variables += more
        if self.variables > _MAX_VARIABLES:
            raise WireError(f"more than {_MAX_VARIABLES} values: templates that inherit from each other")


# A term of "(+name=value)" is a pair of regular expressions to Asterisk. Plain words are all that anybody writes.
_PATTERN = re.compile(r"[^\w ./@:-]")


def _meets(section: _Section, key: str, value: str) -> bool:
    if key == "TEMPLATES":
        return section.is_template
    return any(key in variable.name and value in "".join(variable.pieces) for variable in section.variables)


class _Comments:
    """How deep in `;-- ... --;` the reader is, as `config_text_file_load` counts it.

    The depth can fall below 0, by a `--;` that closes nothing. Then, too, everything is taken for a comment.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.opened: list[Place] = []

    def strip(self, text: str, place: Place, deviate: Callable[[Place, Fault, str], None]) -> tuple[str | None, str]:
        """The line without comments, None where it begins and ends within one; and its comment from ";" on."""
        begin = 0 if self.depth == 0 else None
        end: int | None = None  # where a ";--" cut the text off
        at = 0
        comment = ""
        while (found := text.find(";", at)) >= 0:
            if found > at and text[found - 1] == "\\":
                text = text[: found - 1] + text[found:]
                at = found
            elif text[found + 1 : found + 3] == "--" and text[found + 3 : found + 4] != "-":
                at = found + 3
                if self.depth >= _MAX_NESTED_COMMENTS:
                    deviate(place, Fault.NESTED_TOO_DEEP, "")
                    continue
                end = found if end is None else end
                self.depth += 1
                if self.depth > 0:
                    self.opened.append(place)
            elif found >= at + 2 and text[found - 2 : found] == "--":
                self.depth -= 1
                at = found + 1
                if self.depth < 0:
                    deviate(place, Fault.STRAY_COMMENT_END, "")
                elif self.depth >= 0:
                    self.opened.pop()
                if self.depth == 0:
                    if begin is None:
                        begin = at
                    else:
                        kept = len(text) if end is None else end
                        text = text[:kept] + text[at:]
                        at = kept
                    end = None
            elif self.depth == 0:
                text, comment = text[:found], text[found:]
                break
            else:
                at = found + 1
        if begin is None:
            return None, comment
        return text[begin:end], comment


def split_list(value: str) -> tuple[str, ...]:
    """The items of a comma-separated value, stripped, empty ones left out."""
    return tuple(item for item in (part.strip(_BLANKS) for part in value.split(",")) if item)


def is_true(value: str) -> bool:
    """Whether Asterisk's `ast_true` takes the value for true: yes, true, y, t, 1, on; anything else is not."""
    return value.lower() in ("yes", "true", "y", "t", "1", "on")


def is_false(value: str) -> bool:
    """Whether Asterisk's `ast_false` takes it for false: no, false, n, f, 0, off. Some values are neither."""
    return value.lower() in ("no", "false", "n", "f", "0", "off")


@dataclass(frozen=True, slots=True)
class Codec:
    """An allowed codec, in Asterisk's word for it (`alaw`, `ulaw`). `framing_ms` is its packet time, where set."""

    name: str
    framing_ms: int | None
    place: Place


@dataclass(frozen=True, slots=True)
class CodecList:
    """What allow and disallow lines come to: the codecs in order of preference.

    `everything` says that all codecs of this Asterisk are allowed as well, after the ones named, except those in
    `excluded`. `unknown` are words that name no codec we know: Asterisk has no `pcma`.
    """

    codecs: tuple[Codec, ...]
    everything: bool = False
    excluded: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(codec.name for codec in self.codecs)


# The formats of Asterisk's main/codec_builtin.c and of the codec modules that are commonly added to it.
_AUDIO = """
    ulaw alaw gsm g722 g723 g726 g726aal2 g729 ilbc speex speex16 speex32 lpc10 adpcm slin slin8 slin12 slin16 slin24
    slin32 slin44 slin48 slin96 slin192 siren7 siren14 g719 opus codec2 silk silk8 silk12 silk16 silk24 testlaw amr
    amrwb evs none
"""
_OTHER = "jpeg png h261 h263 h263p h264 h265 mpeg4 vp8 vp9 red t140 t140red t38"
_FORMATS = frozenset((_AUDIO + _OTHER).split())
_FRAMING = re.compile(r"\s*([+-]?\d{1,9})")


def allowed_codecs(variables: Iterable[Variable], start: CodecList | None = None) -> CodecList:
    """The codecs that the allow and disallow lines leave, in order. `start` is what holds before them.

    For a chan_sip peer, `start` is the list of [general]; for a pjsip endpoint it is the empty list, its default. Every
    line adds or takes away in its turn; a codec that is allowed twice keeps its first place.
    """
    codecs = {codec.name: codec for codec in (start.codecs if start else ())}
    everything = start.everything if start else False
    excluded = dict.fromkeys(start.excluded if start else ())
    unknown = list(start.unknown if start else ())
    for variable in variables:
        option = variable.name.lower()
        if option not in ("allow", "disallow"):
            continue
        for item in variable.value.split(","):
            word = item.strip(_BLANKS)
            if not word:
                continue
            allowing = (option == "allow") != word.startswith("!")
            name, framing_ms = word.removeprefix("!").lower(), None
            if ":" in name:
                name, _, size = name.rpartition(":")
                match = _FRAMING.match(size)
                if match is None or int(match[1]) < 0:
                    unknown.append(word)
                    continue
                framing_ms = int(match[1]) or None
            if name == "all":
                everything = allowing
                excluded.clear()
                if not allowing:
                    codecs.clear()
            elif name not in _FORMATS:
                unknown.append(word)
            elif not allowing:
                codecs.pop(name, None)
                if everything:
                    excluded[name] = None
            elif everything:
                excluded.pop(name, None)  # it stands somewhere among all the others
            else:
                codecs.setdefault(name, Codec(name, framing_ms, variable.place))
    return CodecList(
        codecs=tuple(codecs.values()),
        everything=everything,
        excluded=tuple(excluded),
        unknown=tuple(unknown),
    )
