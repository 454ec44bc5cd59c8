"""From a name or a file to a `Profile`, or to one line that says what is wrong with it."""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from vsipcheck.model import Profile, Source
from vsipcheck.profiles.error import ProfileError
from vsipcheck.profiles.rules import broken_rules

T = TypeVar("T")

DEFAULT_PROFILE = "exotel-tcp-mumbai"

# A profile of a hundred PoPs has 20 kB. What is larger is not a profile (`--profile /dev/zero`).
_MAX_BYTES = 1 << 20

_BUNDLED = Path(__file__).parent
_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<key>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`")
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>.*)`, got `.*`")
_WORDS_OF_TYPES = {
    "str": "a string",
    "int": "an integer",
    "bool": "true or false",
    "array": "an array",
    "object": "a table",
    "str | null": "a string",
    "int | null": "an integer",
    "object | null": "a table",
}


def list_profiles() -> list[str]:
    """The names of the bundled profiles, the default one first."""
    names = sorted(path.stem for path in _BUNDLED.glob("*.toml"))
    return sorted(names, key=lambda name: name != DEFAULT_PROFILE)


def load_profile(name_or_path: str) -> Profile:
    """The profile of that name, or in that file (a bundled name wins). Raises ProfileError."""
    return _parse(_read(name_or_path), name_or_path)


def profile_text(name_or_path: str) -> str:
    """The TOML of a profile as it stands in its file, checked. Raises ProfileError."""
    text = _read(name_or_path)
    _parse(text, name_or_path)
    return text


def _read(name_or_path: str) -> str:
    path = _locate(name_or_path)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ProfileError(name_or_path, None, None, f"cannot be read: {error.strerror or error}") from None
    except ValueError:  # a NUL in the path
        raise ProfileError(name_or_path, None, None, "cannot be read: not a file name") from None
    if len(data) > _MAX_BYTES:
        raise ProfileError(name_or_path, None, f"at most {_MAX_BYTES} bytes", "found more")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"found the byte 0x{data[error.start]:02x} (at line {line})"
        raise ProfileError(name_or_path, None, "UTF-8 text", found) from None


def _locate(name_or_path: str) -> Path:
    names = list_profiles()
    if name_or_path in names:
        return _BUNDLED / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if "/" in name_or_path or "\\" in name_or_path or name_or_path.endswith(".toml") or _exists(path):
        return path
    near = get_close_matches(name_or_path, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    expected = f"one of {', '.join(names)}, or a file"
    raise ProfileError(name_or_path or "''", None, expected, f"found no such profile{hint}")


def _exists(path: Path) -> bool:
    try:
        return path.exists() and path != Path()
    except (OSError, ValueError):
        return False


def _parse(text: str, path: str) -> Profile:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(path, None, "TOML", f"found a mistake: {error}") from None
    except RecursionError:
        raise ProfileError(path, None, "TOML", "found arrays nested too deeply") from None
    # One by one, because msgspec does not tell which entry of a table by name is wrong.
    sources = raw.get("sources")
    if isinstance(sources, dict):
        for name, source in sources.items():
            _convert(source, Source, path, f"sources.{name}", raw)
    profile = _convert(raw, Profile, path, "", raw)
    for key, expected, found in broken_rules(profile):
        raise ProfileError(path, key, expected, f"found {found}")
    return profile


def _convert(value: Any, kind: type[T], path: str, prefix: str, raw: dict[str, Any]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), path, prefix, raw) from None


def _explained(text: str, path: str, prefix: str, raw: dict[str, Any]) -> ProfileError:
    """msgspec's message as ours. A wording that we do not know is passed on as it is."""
    match = _AT.match(text)
    what, key = (match["what"], match["key"] or "") if match else (text, "")
    key = ".".join(part for part in (prefix, key) if part)
    if unknown := _UNKNOWN.match(what):
        known = [*_fields_at(key)]
        near = get_close_matches(unknown["field"], known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else f" ({', '.join(known)})"
        return ProfileError(path, _join(key, unknown["field"]), f"a known key{hint}", "found an unknown one")
    if missing := _MISSING.match(what):
        return ProfileError(path, _join(key, missing["field"]), "a value", "found none")
    found = f"found {_shown(_value_at(raw, key))}"
    if wrong := _WRONG_TYPE.match(what):
        expected = wrong["expected"]
        return ProfileError(path, key or None, _WORDS_OF_TYPES.get(expected, expected), found)
    if what.startswith("Invalid enum value"):
        return ProfileError(path, key, " or ".join(map(_shown, get_args(_type_at(key)))), found)
    return ProfileError(path, key or None, None, what)


def _join(key: str, field: str) -> str:
    return f"{key}.{field}" if key else field


def _fields_at(key: str) -> dict[str, Any]:
    """The keys that the table at `key` may have, with their types; none where no table belongs."""
    kind = _type_at(key)
    return {field.name: field.type for field in msgspec.structs.fields(kind)} if isinstance(kind, type) else {}


def _type_at(key: str) -> Any:
    """The type that belongs at `signalling.pops[1].fqdn`: a struct, `str`, a Literal, ..."""
    kind: Any = Profile
    for name, _ in _STEP.findall(key):
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif name:
            fields = msgspec.structs.fields(kind) if isinstance(kind, type) else ()
            kind = next((field.type for field in fields if field.name == name), None)
        elif get_origin(kind) is tuple:
            kind = get_args(kind)[0]
        if get_origin(kind) is UnionType:  # `Support | None`
            kind = get_args(kind)[0]
    return kind


def _value_at(raw: Any, key: str) -> Any:
    """The value at `signalling.pops[1].fqdn` of the decoded file."""
    for name, index in _STEP.findall(key):
        try:
            raw = raw[int(index)] if index else raw[name]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    text = repr(value) if isinstance(value, int | float) else f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
