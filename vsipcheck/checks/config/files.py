"""The files of a configuration: read with their includes, recorded without secrets, and read again by judges."""

from __future__ import annotations

import glob
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from vsipcheck.checks.base import Context, Facts, Recorder
from vsipcheck.checks.config.patch import Text
from vsipcheck.model import Failure, Note
from vsipcheck.net.waiting import in_daemon_thread
from vsipcheck.wire.asterisk import AsteriskConfig, Place, parse_asterisk
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.freeswitch import FreeSwitchConfig, parse_freeswitch
from vsipcheck.wire.secrets import mask_secrets

TOPIC = "file"
MAX_BYTES = 2 << 20  # one file
MAX_TOTAL_BYTES = 8 << 20
MAX_FILES = 200  # with all that is included
MAX_DEPTH = 16
STDIN = "-"


class Dialect(StrEnum):
    """What a file is: whose, and which."""

    CHAN_SIP = "chan_sip"  # sip.conf
    PJSIP = "pjsip"  # pjsip.conf, pjsip_wizard.conf
    FREESWITCH = "freeswitch"
    RTP = "rtp"
    EXTENSIONS = "extensions"
    LOGGER = "logger"
    MODULES = "modules"
    HEP = "hep"
    ASTERISK = "asterisk"  # asterisk.conf
    KAMAILIO = "kamailio"
    OTHER = "other"


# A file's name says more than what stands in it; the longest beginning that fits counts.
_BY_NAME = (
    ("pjsip_wizard", Dialect.PJSIP),
    ("pjsip", Dialect.PJSIP),
    ("sip.", Dialect.CHAN_SIP),
    ("sip_", Dialect.CHAN_SIP),
    ("rtp", Dialect.RTP),
    ("extensions", Dialect.EXTENSIONS),
    ("logger", Dialect.LOGGER),
    ("modules", Dialect.MODULES),
    ("res_hep", Dialect.HEP),
    ("hep", Dialect.HEP),
    ("asterisk.", Dialect.ASTERISK),
)
_KAMAILIO_NAME = re.compile(r"(?:kamailio|opensips|openser)[\w.-]*\.cfg$", re.IGNORECASE)
_KAMAILIO_TEXT = re.compile(
    r'^(?:#!(?:KAMAILIO|OPENSIPS|SER|define|ifdef)|loadmodule\s+"|route\s*\{|request_route\s*\{)', re.M
)
_PJSIP_TYPE = re.compile(
    r"^\s*type\s*=>?\s*(?:endpoint|aor|auth|identify|transport|registration|wizard|phoneprov|acl|domain_alias)\b",
    re.M | re.I,
)
_BY_TEXT = (
    (_PJSIP_TYPE, Dialect.PJSIP),
    (re.compile(r"^\s*rtp(?:start|end)\s*=", re.M | re.I), Dialect.RTP),
    (re.compile(r"^\s*(?:exten|same)\s*=>?", re.M | re.I), Dialect.EXTENSIONS),
    (re.compile(r"^\s*(?:autoload|noload|preload)\s*=", re.M | re.I), Dialect.MODULES),
    (re.compile(r"^\s*\[logfiles\]", re.M | re.I), Dialect.LOGGER),
    (re.compile(r"^\s*capture_address\s*=", re.M | re.I), Dialect.HEP),
    (
        re.compile(
            r"^\s*(?:type\s*=>?\s*(?:peer|friend|user)\b|register\s*=>|host\s*=|tcpenable\s*=|externip\s*=|externaddr\s*=)",
            re.M | re.I,
        ),
        Dialect.CHAN_SIP,
    ),
)


def dialect_of(path: str, text: str) -> Dialect:
    """What the file is, by its name where that says it, else by what stands in it."""
    name = os.path.basename(path).lower()
    if _KAMAILIO_NAME.search(name) or _KAMAILIO_TEXT.search(text):
        return Dialect.KAMAILIO
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return Dialect.FREESWITCH
    if name.endswith(".conf") or ".conf." in name:
        for start, dialect in _BY_NAME:
            if name.startswith(start):
                return dialect
    return next((dialect for pattern, dialect in _BY_TEXT if pattern.search(text)), Dialect.OTHER)


# --- measuring ---


class _UnreadableError(Exception):
    def __init__(self, failure: Failure, why: str) -> None:
        super().__init__(why)
        self.failure = failure
        self.why = why


@dataclass
class _Reading:
    """One run's reading: what was read, so that nothing is read twice, and what is left of the limits."""

    add: Callable[[Note], None]
    texts: dict[str, str] = field(default_factory=dict)  # real path -> masked text
    shown: dict[str, str] = field(default_factory=dict)  # real path -> the path that the notes show
    total: int = 0

    def read(self, path: str, **how: object) -> tuple[str, str] | None:
        """Read a file once and record that it was asked for: (the path that stands for it, its masked text)."""
        if "\0" in path:
            self.refuse(path, Failure.LOCAL_ERROR, "there can be no such name", **how)
            return None
        real = path if path == STDIN else os.path.realpath(path)
        if (known := self.texts.get(real)) is not None:
            shown = self.shown[real]
            self._note(f"{path}: already read", {"path": shown, "text": None, "failure": None, **how})
            return shown, known
        try:
            if len(self.texts) >= MAX_FILES or self.total >= MAX_TOTAL_BYTES:
                raise _UnreadableError(Failure.TOO_LARGE, "not read: too much was read before")
            data = _read(path)
            text = _decode(data)
        except _UnreadableError as error:
            self.refuse(path, error.failure, error.why, **how)
            return None
        masked, secrets = mask_secrets(text)
        before, after = text.split("\n"), masked.split("\n")
        # What was no UTF-8 is shown otherwise than it stands in the file, too.
        pairs = enumerate(zip(before, after, strict=False), 1)
        hidden = [number for number, (old, new) in pairs if old != new or "\ufffd" in new]
        count = len(after) - (not after[-1])
        self.total += len(data)
        self.texts[real], self.shown[real] = masked, path
        told = f"{path}, {_count(count, 'line')}, {_count(secrets, 'secret')} masked"
        self._note(
            told, {"path": path, "text": masked, "failure": None, "secrets": secrets, "masked_lines": hidden, **how}
        )
        return path, masked

    def refuse(self, path: str, failure: Failure, why: str, **how: object) -> None:
        self._note(f"{path}: {why}", {"path": path, "text": None, "failure": str(failure), "detail": why, **how})

    def _note(self, text: str, values: dict[str, object]) -> None:
        defaults: dict[str, object] = {"given": False, "included_from": None, "pattern": None, "root": None}
        self.add(Note(topic=TOPIC, text=text, values={**defaults, **values}))


async def read_files(context: Context, record: Recorder) -> None:
    """Read every file that was named, and what it includes. Includes are followed below the file's own folder only."""
    notes: list[Note] = []
    try:
        # What is read may be a pipe that nobody writes to: the run must not wait for it.
        await in_daemon_thread(lambda: read_all(context.settings.pbx_config, notes.append), "config")
    finally:
        for note in tuple(notes):
            record.add(note)


def read_all(paths: Sequence[str], add: Callable[[Note], None]) -> None:
    """Hand a note of every file to `add`: those that were named first, then what they include."""
    reading = _Reading(add)
    read = [(path, found) for path in paths if (found := reading.read(path, given=True)) is not None]
    for path, (_, text) in read:
        if path == STDIN:
            continue  # it lies in no folder: nothing is included relative to it
        dialect = dialect_of(path, text)

        def include(
            pattern: str, place: Place, *, root: str = path, xml: bool = dialect is Dialect.FREESWITCH
        ) -> list[tuple[str, str]]:
            return _included(reading, root, pattern, place, xml=xml)

        try:
            if dialect is Dialect.FREESWITCH:
                parse_freeswitch(text, path, include)
            elif dialect is not Dialect.KAMAILIO:
                parse_asterisk(text, path, include)
        except WireError:
            continue  # the judge meets it again


def _included(reading: _Reading, root: str, pattern: str, place: Place, *, xml: bool) -> list[tuple[str, str]]:
    """The files that an include names. None of a folder above the one that the configuration lies in."""
    # Asterisk looks in its configuration's folder, FreeSWITCH in that of the including file.
    folder = os.path.dirname(place.path if xml else root)
    how: dict[str, object] = {"included_from": str(place), "pattern": pattern, "root": root}
    if "\0" in pattern:
        return []
    wanted = os.path.normpath(os.path.join(folder, pattern))
    top = os.path.realpath(os.path.dirname(root) or ".")
    found = sorted(glob.iglob(wanted)) if glob.has_magic(wanted) else [wanted] if os.path.lexists(wanted) else []
    read = []
    for path in found[:MAX_FILES]:
        real = os.path.realpath(path)
        if os.path.commonpath((top, real)) != top:
            reading.refuse(
                path, Failure.LOCAL_DENIED, "not read: it lies outside the configuration's own folder", **how
            )
        elif (one := reading.read(path, **how)) is not None:
            read.append(one)
    return read


def _read(path: str) -> bytes:
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(path, "rb") as file:
                if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):
                    raise IsADirectoryError(path)
                data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _UnreadableError(Failure.OTHER, "there is no such file") from None
    except IsADirectoryError:
        raise _UnreadableError(Failure.NOT_SUPPORTED, "it is a directory: name the files in it") from None
    except PermissionError:
        raise _UnreadableError(Failure.LOCAL_DENIED, "it may not be read by this user") from None
    except (OSError, ValueError) as error:  # a null byte in its name
        raise _UnreadableError(Failure.LOCAL_ERROR, f"it could not be read: {type(error).__name__}") from None
    if len(data) > MAX_BYTES:
        raise _UnreadableError(Failure.TOO_LARGE, f"it is larger than {MAX_BYTES >> 20} MiB")
    return data


def _decode(data: bytes) -> str:
    if b"\0" in data:
        raise _UnreadableError(Failure.BAD_BODY, "it is no text")
    return data.decode("utf-8", errors="replace")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# --- judging ---


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that was asked for and not read."""

    path: str
    failure: Failure
    why: str
    fact_id: str
    included_from: str | None


@dataclass(frozen=True, slots=True)
class Handed:
    """One file that was named, read again from its note. `broken` says why there is no configuration in it."""

    path: str
    dialect: Dialect
    text: str
    fact_id: str
    asterisk: AsteriskConfig | None = None
    freeswitch: FreeSwitchConfig | None = None
    broken: str | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that was handed in, without what could not be read. `texts` are by path, for patches."""

    handed: tuple[Handed, ...]
    unread: tuple[Unread, ...]
    texts: Mapping[str, Text]
    fact_ids: Mapping[str, str]  # of the note that holds a path's text

    def of(self, *dialects: Dialect) -> tuple[Handed, ...]:
        return tuple(one for one in self.handed if one.dialect in dialects)

    def asterisk(self, *dialects: Dialect) -> AsteriskConfig | None:
        """All files of these kinds as one configuration, in the order in which they were named."""
        parts = [one.asterisk for one in self.of(*dialects) if one.asterisk is not None]
        if not parts:
            return None
        return AsteriskConfig(
            sections=tuple(section for part in parts for section in part.sections),
            deviations=tuple(deviation for part in parts for deviation in part.deviations),
            files=tuple(file for part in parts for file in part.files),
        )


def configuration_of(facts: Facts) -> Configuration:
    """What the notes hold, read again. Files that another one includes are read as part of it."""
    notes = [note for note in facts.of(Note, "config") if note.topic == TOPIC]
    texts: dict[str, str] = {}
    masked: dict[str, list[int]] = {}
    ids: dict[str, str] = {}
    unread = []
    includes: dict[tuple[str, str], list[str]] = {}
    roots: dict[str, set[str]] = {}  # path -> the named files that include it
    for note in notes:
        values = note.values
        path, text, failure = str(values.get("path")), values.get("text"), values.get("failure")
        included_from, pattern = values.get("included_from"), values.get("pattern")
        if failure is not None:
            told = str(values.get("detail") or failure)
            unread.append(
                Unread(path, Failure(failure), told, note.id, None if included_from is None else str(included_from))
            )
            continue
        if isinstance(text, str):
            texts[path], ids[path] = text, note.id
            lines = values.get("masked_lines")
            masked[path] = [line for line in lines if isinstance(line, int)] if isinstance(lines, list | tuple) else []
        if included_from is not None:
            includes.setdefault((str(pattern), str(included_from)), []).append(path)
            roots.setdefault(path, set()).add(str(values.get("root")))
    given = [path for note in notes if note.values.get("given") and (path := str(note.values.get("path"))) in texts]
    inner: set[str] = set()
    for path in dict.fromkeys(given):
        if roots.get(path, set()) - inner - {path}:
            inner.add(path)

    def read(pattern: str, place: Place) -> list[tuple[str, str]]:
        return [(path, texts[path]) for path in includes.get((pattern, str(place)), ()) if path in texts]

    handed = _parse([path for path in dict.fromkeys(given) if path not in inner], texts, ids, read)
    return Configuration(
        handed=handed,
        unread=tuple(unread),
        texts={path: Text.of(text, masked[path]) for path, text in texts.items()},
        fact_ids=ids,
    )


def _parse(
    paths: Iterable[str],
    texts: Mapping[str, str],
    ids: Mapping[str, str],
    read: Callable[[str, Place], list[tuple[str, str]]],
) -> tuple[Handed, ...]:
    handed = []
    kinds = {path: dialect_of(path, texts[path]) for path in paths}
    # FreeSWITCH's variables are set in one file and used in another.
    variables: dict[str, str] = {}
    for path, dialect in kinds.items():
        if dialect is Dialect.FREESWITCH:
            try:
                parsed = parse_freeswitch(texts[path], path, read)
                variables |= {name: param.value for name, param in parsed.variables.items()}
            except WireError:
                pass  # told below
    for path, dialect in kinds.items():
        one = Handed(path, dialect, texts[path], ids[path])
        try:
            if dialect is Dialect.FREESWITCH:
                one = replace(one, freeswitch=parse_freeswitch(one.text, path, read, dict(variables)))
            elif dialect is not Dialect.KAMAILIO:
                one = replace(one, asterisk=parse_asterisk(one.text, path, read))
        except WireError as error:
            one = replace(one, broken=str(error))
        handed.append(one)
    return tuple(handed)
