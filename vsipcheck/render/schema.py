"""The JSON Schema of the report, made from the model's types."""

from __future__ import annotations

from typing import Any

import msgspec

from vsipcheck.model import REPORT_SCHEMA, Report

_OPEN_WORD = "^[a-z][a-z0-9_]*$"
_FUTURE = "Words may be added: read one that you do not know as `other`."


def report_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `vsipcheck.report/1`, as a writer writes it and a reader may rely on.

    Every field is required, because a report always carries all of them (absent is null). Unknown fields, words and
    kinds of facts are allowed, because fields may be added: known ones have to be right.
    """
    generated = msgspec.json.schema(Report)
    definitions: dict[str, Any] = generated["$defs"]
    for definition in definitions.values():
        _open(definition)
    _open_facts(definitions["CheckEvidence"]["properties"]["facts"], definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:vsipcheck:{REPORT_SCHEMA.removeprefix('vsipcheck.').replace('/', ':')}",
        "title": REPORT_SCHEMA,
        "description": "One run of vsipcheck: the verdicts and every fact they rest on. "
        "Absent is null; units are in names; offsets are monotonic, from the start of the run.",
        "$ref": generated["$ref"],
        "$defs": definitions,
    }


def _open(definition: dict[str, Any]) -> None:
    if "enum" in definition:
        words = sorted(definition.pop("enum"))
        definition["description"] = " ".join(filter(None, (definition.get("description"), _FUTURE)))
        definition["anyOf"] = [{"enum": words}, {"type": "string", "pattern": _OPEN_WORD}]
        return
    if definition.get("type") != "object":
        return
    # The profile's tables forbid unknown keys to catch typing errors in files; a reader of a report has to bear them.
    definition.pop("additionalProperties", None)
    properties: dict[str, Any] = definition["properties"]
    for name, value in properties.items():
        value.pop("default", None)  # never left out, so a default would only mislead
        if "enum" in value and name not in ("schema", "kind"):
            _open(value)
    definition["required"] = list(properties)


def _open_facts(facts: dict[str, Any], definitions: dict[str, Any]) -> None:
    known = sorted(facts["items"]["discriminator"]["mapping"])
    del facts["items"]["discriminator"]  # a word of OpenAPI, not of JSON Schema; `kind` already tells them apart
    definitions["UnknownFact"] = {
        "title": "UnknownFact",
        "description": "A fact of a kind that this schema does not know yet.",
        "type": "object",
        "properties": {
            "kind": {"type": "string", "not": {"enum": known}},
            "id": {"type": "string"},
            "offset_ms": {"type": "number"},
        },
        "required": ["kind", "id", "offset_ms"],
    }
    facts["items"]["anyOf"].append({"$ref": "#/$defs/UnknownFact"})
