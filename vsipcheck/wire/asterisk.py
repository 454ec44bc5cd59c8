"""Asterisk's configuration files as the program itself reads them, every value with the line it stands on.

Text in, values out: what a file includes is asked of the caller. The rules are those of Asterisk's own reader
(main/config.c) and of the three that use what it read: chan_sip, res_pjsip by way of sorcery, and res_rtp_asterisk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vsipcheck.wire.errors import WireError


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
    stays where it was written. `appended` are the places of the `+=` lines that lengthened its value.
    """

    name: str
    value: str
    place: Place
    operator: str
    raw: str
    inherited_from: str | None = None
    appended: tuple[Place, ...] = ()


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
        raise NotImplementedError

    def last(self, *names: str) -> Variable | None:
        """The last variable of one of these names: what chan_sip and pjsip go by, except for lists."""
        raise NotImplementedError

    def all(self, *names: str) -> tuple[Variable, ...]:
        """Every variable of one of these names, in the order in which Asterisk reads them."""
        raise NotImplementedError

    @property
    def end(self) -> Place:
        """The last line of its own that says something: where a diff adds a line after."""
        raise NotImplementedError


class Fault(StrEnum):
    """What Asterisk would stumble over, or what we leave out. A fault of `FATAL` makes it refuse the whole file."""

    NO_EQUALS = "no_equals"  # the line is ignored
    NO_NAME = "no_name"  # "= value": the line is ignored
    NO_SECTION = "no_section"  # a value before any section
    UNCLOSED_SECTION = "unclosed_section"  # "[name" without "]"
    UNCLOSED_OPTIONS = "unclosed_options"  # "[name](..." without ")"
    UNKNOWN_TEMPLATE = "unknown_template"
    UNKNOWN_ADDITION = "unknown_addition"  # "[name](+)" without an earlier "[name]"
    INVALID_ESCAPE = "invalid_escape"  # "\" alone at the beginning of a line
    LINE_TOO_LONG = "line_too_long"  # skipped
    UNCLOSED_COMMENT = "unclosed_comment"  # ";--" to the end of the file: everything after it is unread
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
        """Whether Asterisk would refuse the file, and everything that includes it."""
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
    """One file that was read: its lines without their ends, and what each is. A file included twice stands once."""

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
        raise NotImplementedError

    def section(self, name: str) -> Section | None:
        """All sections of that name as one, in order; None where there is none. Templates are left out.

        What chan_sip does for a peer and res_rtp_asterisk for [general]: repeated sections add to each other.
        """
        raise NotImplementedError

    def line(self, place: Place) -> str | None:
        """The raw line at that place."""
        raise NotImplementedError


# Asked for what `#include PATTERN` at a place means: the files, as (path, text), in the order of the shell's glob. A
# relative pattern is relative to Asterisk's configuration directory, not to the including file's. Empty: none there.
Reader = Callable[[str, Place], Sequence[tuple[str, str]]]


def includes_nothing(pattern: str, place: Place) -> Sequence[tuple[str, str]]:
    """A reader that finds no file: every include is a deviation."""
    return ()


def parse_asterisk(text: str, path: str, read: Reader = includes_nothing) -> AsteriskConfig:
    """Every section, value and deviation of the file and of what it includes. Raises WireError where it is no text.

    Where Asterisk would give up, reading goes on: the deviation says so, and what follows is what would be read once
    that line is mended.
    """
    raise WireError("not yet")


def split_list(value: str) -> tuple[str, ...]:
    """The items of a comma-separated value, stripped, empty ones left out."""
    raise NotImplementedError


def is_true(value: str) -> bool:
    """Whether Asterisk's `ast_true` takes the value for true: yes, true, y, t, 1, on; anything else is not."""
    raise NotImplementedError


def is_false(value: str) -> bool:
    """Whether Asterisk's `ast_false` takes it for false: no, false, n, f, 0, off. Some values are neither."""
    raise NotImplementedError


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
    `excluded`. `lines` are the allow and disallow lines it came from. `unknown` are words that name no codec we know.
    """

    codecs: tuple[Codec, ...]
    everything: bool = False
    excluded: tuple[str, ...] = ()
    lines: tuple[Variable, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(codec.name for codec in self.codecs)


def allowed_codecs(variables: Iterable[Variable], start: CodecList | None = None) -> CodecList:
    """The codecs that the allow and disallow lines leave, in order. `start` is what holds before them.

    For a chan_sip peer, `start` is the list of [general]; for a pjsip endpoint it is the empty list, its default.
    """
    raise NotImplementedError


def mask_secrets(text: str) -> tuple[str, int]:
    """The text with every password replaced, line by line, and how many were. No line moves or disappears.

    For Asterisk's files and FreeSWITCH's XML alike, in comments too. Paths of keys are no secrets. Masking masked
    text changes nothing.
    """
    raise NotImplementedError
