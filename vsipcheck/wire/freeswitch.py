"""FreeSWITCH's XML configuration: SIP profiles, gateways and access lists, every value with the line it stands on.

Text in, values out: what a file includes is asked of the caller. Document types and entities are refused, so that no
file can grow on being read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vsipcheck.wire.asterisk import Place
from vsipcheck.wire.errors import WireError


@dataclass(frozen=True, slots=True)
class Param:
    """One `<param name value>`. `value` has its `$${variables}` expanded, `written` has not."""

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
        raise NotImplementedError

    def all(self, *names: str) -> tuple[Param, ...]:
        """Every param of one of these names, in order."""
        raise NotImplementedError


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
    """One `<node>` of an access list: `type` is "allow" or "deny", by `cidr` or by the directory's `domain`."""

    type: str
    cidr: str | None
    domain: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class AccessList:
    """One `<list>` of acl.conf.xml. `default` is what holds where no node matches."""

    name: str
    default: str
    nodes: tuple[AccessNode, ...]
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
    EXEC = "exec"  # X-PRE-PROCESS cmd="exec", "exec-set", "stun-set" ...: its outcome is unknown to us
    UNKNOWN_COMMAND = "unknown_command"
    UNKNOWN_VARIABLE = "unknown_variable"  # $${name} that no file sets: FreeSWITCH reads nothing there
    CIRCULAR_VARIABLE = "circular_variable"
    TOO_LONG = "too_long"  # an expansion beyond our limit
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
    """What the file and those it includes hold. `variables` are the ones set by X-PRE-PROCESS."""

    profiles: tuple[SipProfile, ...]
    gateways: tuple[Gateway, ...]  # all of them, those inside profiles too
    access_lists: tuple[AccessList, ...]
    variables: dict[str, Param]
    deviations: tuple[XmlDeviation, ...]
    files: tuple[XmlFile, ...]

    def line(self, place: Place) -> str | None:
        """The raw line at that place."""
        raise NotImplementedError


# Asked for what `<X-PRE-PROCESS cmd="include" data=PATTERN/>` at a place means: the files, as (path, text). A relative
# pattern is relative to the directory of the including file. Empty: none there.
XmlReader = Callable[[str, Place], Sequence[tuple[str, str]]]


def includes_nothing(pattern: str, place: Place) -> Sequence[tuple[str, str]]:
    """A reader that finds no file: every include is a deviation."""
    return ()


def parse_freeswitch(
    text: str, path: str, read: XmlReader = includes_nothing, variables: dict[str, str] | None = None
) -> FreeSwitchConfig:
    """Every SIP profile, gateway and access list of the file and of what it includes.

    `variables` are the ones known from elsewhere (vars.xml). Where a document is not well-formed, what stands before
    the fault is read and a deviation names it. Raises WireError where it is no XML at all.
    """
    raise WireError("not yet")


def is_true(value: str) -> bool:
    """Whether FreeSWITCH takes the value for true: yes, on, true, t, enabled, active, allow, or a number but 0."""
    raise NotImplementedError
