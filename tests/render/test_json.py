"""The JSON document and its schema."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from render.fixture import HOSTILE, check_golden, make_healthy, make_report, make_single, poison

from vsipcheck.model import Measure, Note, Report
from vsipcheck.render import RenderOptions, render
from vsipcheck.render.schema import report_schema

TESTS = Path(__file__).parents[1]


def to_json(report: Report) -> str:
    return render(report, "json", RenderOptions())


def validate(document: Any) -> None:
    jsonschema.validate(document, report_schema(), cls=jsonschema.Draft202012Validator)


def test_document_is_the_golden_one() -> None:
    check_golden("report.json", to_json(make_report()))


def test_document_reads_back_as_the_same_report() -> None:
    assert msgspec.json.decode(to_json(make_report()), type=Report) == make_report()


def test_document_is_stable_whatever_the_order_of_open_tables() -> None:
    report = make_report()
    turned = msgspec.structs.replace(report, evidence=dict(reversed(report.evidence.items())))
    assert to_json(turned) == to_json(report)


def test_document_shown_at_a_terminal_is_harmless() -> None:
    text = "\x1b[31m \x9b2J \u202e \u200b \x7f \U000e0001 é"
    document = to_json(poison(make_report(), text))
    assert all(line.isprintable() for line in document.removesuffix("\n").split("\n"))
    assert json.loads(document)["run_id"] == text
    assert json.loads(to_json(make_report()))["evidence"]["dns"]["facts"][2]["detail"] == HOSTILE


def test_numbers_that_json_lacks_become_null() -> None:
    report = make_report()
    note = Note(id="dns.9", topic="x", text="x", values={"a": math.nan, "b": [math.inf]})
    dns = msgspec.structs.replace(report.evidence["dns"], facts=(note,))
    finding = msgspec.structs.replace(
        report.findings[0], measures=(Measure(name="rtt_ms", value=-math.inf, unit="ms"),)
    )
    for run_id in ("plain", "lone surrogate \udc80"):
        document = to_json(msgspec.structs.replace(report, run_id=run_id, evidence={"dns": dns}, findings=(finding,)))
        read = json.loads(document, parse_constant=pytest.fail)
        assert read["evidence"]["dns"]["facts"][0]["values"] == {"a": None, "b": [None]}
        assert read["findings"][0]["measures"][0]["value"] is None
        assert document.encode("utf-8")


@pytest.mark.parametrize("make", [make_report, make_healthy, make_single])
def test_reports_satisfy_the_schema(make: Any) -> None:
    validate(json.loads(to_json(make())))


def test_schema_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())


@pytest.mark.parametrize(
    "path",
    ["overall", "exit_code", "findings.0.remedy", "findings.0.measures", "evidence.sip.facts.0.errno", "settings.seed"],
)
def test_schema_requires_what_a_report_always_carries(path: str) -> None:
    document = json.loads(to_json(make_report()))
    *parents, last = path.split(".")
    place = document
    for step in parents:
        place = place[int(step) if isinstance(place, list) else step]
    del place[last]
    with pytest.raises(jsonschema.ValidationError):
        validate(document)


def test_schema_bears_the_future() -> None:
    document = json.loads(to_json(make_report()))
    document["later"] = 1
    document["profile"]["later"] = {}
    document["findings"][0]["failure"] = "word_of_tomorrow"
    document["evidence"]["sip"]["facts"].append({"kind": "stir", "id": "sip.99", "offset_ms": 1.0, "attest": "A"})
    validate(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", "vsipcheck.report/2"),
        ("overall", "NOT READY"),
        ("findings.0.status", ""),
        ("findings.0.status", None),
        ("evidence.sip.facts.0.port", "5070"),
        ("duration_ms", None),
    ],
)
def test_schema_refuses_what_a_reader_could_not_use(path: str, value: Any) -> None:
    document = json.loads(to_json(make_report()))
    *parents, last = path.split(".")
    place = document
    for step in parents:
        place = place[int(step) if isinstance(place, list) else step]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(document)


@pytest.mark.parametrize("format", ["json", "terminal"])
def test_rich_is_not_imported(format: str) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r}); from render.fixture import make_report;"
        f"from vsipcheck.render import RenderOptions, render; render(make_report(), {format!r}, RenderOptions());"
        "assert not {'rich', 'typer', 'dns', 'httpx'} & set(sys.modules);"
        f"assert {format!r} == 'terminal' or 'vsipcheck.render.terminal' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
