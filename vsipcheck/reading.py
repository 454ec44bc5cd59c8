"""Stored reports, read again: those of this version, of an older minor one, and of a newer one as far as we know it.

Fields may be added to a report, never renamed. So unknown fields are passed over, unknown words read as `other`, and
facts are decoded one by one: what is not understood is kept unread, and is written again as it was.
"""

from __future__ import annotations

from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from vsipcheck.model import REPORT_SCHEMA, AnyFact, CheckEvidence, Report, UnreadFact

# Ours: a report of a sweep with every port told apart stays below a tenth of it.
MAX_BYTES = 256 * 1024 * 1024
_FAMILY, _, _MAJOR = REPORT_SCHEMA.rpartition("/")


class ReadingError(Exception):
    """The document is no report that this version can read; says in one line what was found."""


def read_report(document: bytes) -> Report:
    """The report in a JSON document, exactly as it was judged then. Raises ReadingError.

    Facts of unknown kinds, and known ones that do not decode, are `UnreadFact`s in their places.
    """
    if len(document) > MAX_BYTES:
        raise ReadingError(f"not a report: more than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        tree = msgspec.json.decode(document.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReadingError(f"not a report: not JSON ({_reason(error)})") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("schema"), str):
        raise ReadingError(f'not a report: expected an object with "schema": "{REPORT_SCHEMA}"')
    family, _, major = tree["schema"].rpartition("/")
    if family != _FAMILY:
        raise ReadingError(f"not a report: its schema is {tree['schema'][:80]!r}, expected {REPORT_SCHEMA!r}")
    if major.partition(".")[0] != _MAJOR:
        raise ReadingError(f"a report of {tree['schema'][:80]!r}: this version of vsipcheck reads {REPORT_SCHEMA!r}")
    tree["schema"] = REPORT_SCHEMA
    evidence = tree.pop("evidence", None)
    if not isinstance(evidence, dict):
        raise ReadingError('not a whole report: "evidence" is missing or no object')
    try:
        read = {str(name): _read_evidence(recorded) for name, recorded in evidence.items()}
        report = msgspec.convert({**_known(tree, Report), "evidence": {}}, Report)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ReadingError(f"not a whole report: {_reason(error)}") from None
    return msgspec.structs.replace(report, evidence=read)


def unread_facts(report: Report) -> int:
    """How many facts of the report this version does not understand."""
    return sum(isinstance(fact, UnreadFact) for recorded in report.evidence.values() for fact in recorded.facts)


def _read_evidence(recorded: Any) -> CheckEvidence:
    facts = recorded.get("facts") if isinstance(recorded, dict) else None
    if not isinstance(facts, list):
        raise msgspec.ValidationError('"facts" is missing or no array in the evidence of a check')
    evidence = msgspec.convert({**recorded, "facts": []}, CheckEvidence)
    return msgspec.structs.replace(evidence, facts=tuple(_read_fact(fact) for fact in facts))


def _read_fact(fact: Any) -> Any:
    try:
        return msgspec.convert(fact, AnyFact)
    except msgspec.ValidationError:
        return UnreadFact(fact if isinstance(fact, dict) else {"kind": "other", "value": fact})


def _known(value: Any, type_: Any) -> Any:
    """The same tree without fields that our structs don't have: those of the profile would refuse them."""
    if isinstance(value, dict) and isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        hints = _hints(type_)
        return {name: _known(item, hints[name]) for name, item in value.items() if name in hints}
    arguments = get_args(type_)
    if isinstance(value, dict) and get_origin(type_) is dict:
        return {key: _known(item, arguments[1]) for key, item in value.items()}
    if isinstance(value, list) and get_origin(type_) is tuple:
        return [_known(item, arguments[0]) for item in value]
    if arguments and get_origin(type_) is not tuple:  # X | None
        structs = [one for one in arguments if isinstance(one, type) and issubclass(one, msgspec.Struct)]
        return _known(value, structs[0]) if len(structs) == 1 else value
    return value


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(type_: type) -> dict[str, Any]:
    if type_ not in _HINTS:
        _HINTS[type_] = get_type_hints(type_)
    return _HINTS[type_]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}" if isinstance(error, RecursionError) else str(error).replace("\n", " ")[:300]
