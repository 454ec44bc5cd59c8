"""The report as JSON: the document that is attached to a ticket and read years later."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from vsipcheck.model import Report


def render_json(report: Report) -> str:
    r"""Indented JSON with a newline at its end, the same for the same report.

    Fields stand in the order of the model, keys of open tables are sorted. Nothing in it acts on a terminal that it is
    shown on: what is not printable is written `\uNNNN`, which a JSON reader turns back.
    """
    try:
        encoded = msgspec.json.encode(report, order="deterministic")
    except UnicodeEncodeError:  # a lone surrogate, e.g. an argument that was not UTF-8
        encoded = msgspec.json.encode(_encodable(msgspec.to_builtins(report, order="deterministic")))
    return _printable(msgspec.json.format(encoded, indent=2).decode()) + "\n"


def _encodable(value: Any) -> Any:
    """The same tree with lone surrogates spelled out, and null for a float that JSON has no number for."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _printable(document: str) -> str:
    if document.isascii() and "\x7f" not in document:
        return document
    # Outside strings JSON is ASCII, so what is replaced here stands inside one.
    return "".join(
        character if character.isprintable() or character == "\n" else _escape(character) for character in document
    )


def _escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
