"""What both drivers of Asterisk have in common: how their lines, sections and codecs are told in a trunk's words."""

from __future__ import annotations

from vsipcheck.checks.config.trunk import Home, Setting
from vsipcheck.wire.asterisk import Section, Variable

ASTERISK_NAMES = {"PCMA": "alaw", "PCMU": "ulaw"}  # of codecs, by their names in RTP
_RTP_NAMES = {name: rtp for rtp, name in ASTERISK_NAMES.items()}


def setting_of(variable: Variable | None, key: str, default: str | None = None, *, own: bool = True) -> Setting:
    """The setting that the line makes; the program's own default where there is none."""
    if variable is None:
        return Setting(key, default)
    return Setting(
        variable.name.lower(),
        variable.value,
        variable.place,
        variable.raw,
        own and variable.inherited_from is None and not variable.appended,
    )


def home_of(section: Section) -> Home:
    """Where more settings of the section are written, set in as its last one is."""
    end = section.end
    return Home(end.path, end.line, indent=next((lead(one.raw) for one in section.variables if one.place == end), ""))


def lead(raw: str) -> str:
    """The blanks that a line begins with."""
    return raw[: len(raw) - len(raw.lstrip())]


def rtp_name(codec: str) -> str:
    """The name of a codec of Asterisk's in RTP, where we know it."""
    return _RTP_NAMES.get(codec.lower(), codec.lower())
