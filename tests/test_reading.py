"""Reports of other versions are read as far as they are understood, and what is no report is told in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from render.fixture import make_report

from vsipcheck.model import Failure, Lookup, Report, Status, UnreadFact
from vsipcheck.reading import ReadingError, read_report, unread_facts
from vsipcheck.render import FORMATS, RenderOptions, render


def tree() -> Any:
    return json.loads(render(make_report(), "json"))


def read(document: Any) -> Report:
    return read_report(json.dumps(document).encode())


def test_what_we_write_we_read_back_the_same() -> None:
    text = render(make_report(), "json")
    assert render(read_report(text.encode()), "json") == text
    assert read_report(b"\xef\xbb\xbf" + text.encode()) == read_report(text.encode())


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects(item)


def test_a_newer_minor_version_with_fields_that_we_do_not_know() -> None:
    document = tree()
    for one in list(objects({name: value for name, value in document.items() if name != "evidence"})):
        one["a_field_of_tomorrow"] = {"with": ["values"]}
    document["profile"]["sources"].pop("a_field_of_tomorrow")  # a table whose keys are names
    document["brand_new"] = 1
    for recorded in document["evidence"].values():
        recorded["brand_new"] = 1
        for fact in recorded["facts"]:
            fact["brand_new"] = [1]
    assert read(document) == read(tree())


def test_words_that_we_do_not_know_are_other() -> None:
    document = tree()
    document["findings"][0] |= {"status": "shrug", "failure": "gremlins", "fault_domain": "moon", "confidence": "so-so"}
    document["checklist"][0] |= {"status": "shrug", "stage": "long before"}
    document["overall"] = "sort_of"
    report = read(document)
    finding = report.findings[0]
    assert finding.status is Status.OTHER
    assert finding.failure is Failure.OTHER
    assert (finding.fault_domain, finding.confidence, report.overall) == ("other", "other", "other")
    for format in FORMATS:
        assert render(report, format, RenderOptions(verbose=True))


def test_facts_that_we_do_not_know_are_kept_unread() -> None:
    document = tree()
    room = next(iter(document["evidence"].values()))
    before = len(room["facts"])
    strange: list[Any] = [
        {"kind": "dream", "id": "x.1", "offset_ms": 5, "of": {"electric": ["sheep"]}},
        {"kind": "lookup", "id": "x.2", "offset_ms": 6.5, "name": 7},
        {"kind": 7},
        {},
        "text",
    ]
    room["facts"] += strange
    report = read(document)
    kept = next(iter(report.evidence.values())).facts[before:]
    assert all(isinstance(fact, UnreadFact) for fact in kept)
    assert unread_facts(report) == 5
    assert [(fact.id, fact.offset_ms, fact.duration_ms) for fact in kept[:3]] == [
        ("x.1", 5.0, None),
        ("x.2", 6.5, None),
        ("", 0.0, None),
    ]
    again = json.loads(render(report, "json"))
    assert next(iter(again["evidence"].values()))["facts"][before : before + 4] == strange[:4]
    for format in FORMATS:
        assert render(report, format, RenderOptions(verbose=True))


def test_an_older_minor_version_without_the_fields_added_since() -> None:
    """A field that came later has a default: what the oldest version could not write is not asked for."""

    document = tree()
    for finding in document["findings"]:
        for measure in finding["measures"]:
            measure.pop("floor", None)
    for recorded in document["evidence"].values():
        for fact in recorded["facts"]:
            for name in ("contrasts", "flags", "extended_errors", "runs", "controls_needed"):
                fact.pop(name, None)
    for name in ("size", "pcp_map", "lifetime", "lifetime_max_s", "path_target"):
        document["settings"].pop(name, None)
    document.pop("paths", None)
    report = read(document)
    assert unread_facts(report) == 0
    assert any(isinstance(fact, Lookup) for recorded in report.evidence.values() for fact in recorded.facts)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"PK\x03\x04", "not JSON"),
        (b"[]", 'expected an object with "schema"'),
        (b"{}", 'expected an object with "schema"'),
        (b'{"schema": 1}', 'expected an object with "schema"'),
        (b'{"schema": "vsipcheck.profile/1"}', "its schema is 'vsipcheck.profile/1'"),
        (b'{"schema": "vsipcheck.report/2"}', "this version of vsipcheck reads 'vsipcheck.report/1'"),
        (b'{"schema": "vsipcheck.report/1"}', '"evidence" is missing'),
        (b'{"schema": "vsipcheck.report/1", "evidence": []}', '"evidence" is missing'),
        (b'{"schema": "vsipcheck.report/1", "evidence": {"dns": {}}}', '"facts" is missing'),
        (b'{"schema": "vsipcheck.report/1", "evidence": {}}', "missing required field"),
        (b"[" * 100_000, "not JSON"),
    ],
    ids=range(13),
)
def test_what_is_no_report_is_told_in_one_line(document: bytes, told: str) -> None:
    with pytest.raises(ReadingError) as caught:
        read_report(document)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_minor_version_in_the_schema_is_of_the_same_major_one() -> None:
    assert read(tree() | {"schema": "vsipcheck.report/1.7"}).schema == "vsipcheck.report/1"


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_give_a_report_or_a_line(document: bytes) -> None:
    with pytest.raises(ReadingError):
        read_report(document)


@settings(deadline=None)
@given(st.data())
def test_a_report_with_one_value_changed_gives_a_report_or_a_line(data: st.DataObject) -> None:
    document = tree()
    one = data.draw(st.sampled_from([one for one in objects(document) if one]))
    name = data.draw(st.sampled_from(sorted(one)))
    one[name] = data.draw(st.none() | st.integers() | st.text() | st.lists(st.text()) | st.just({}))
    try:
        report = read(document)
    except ReadingError:
        return
    assert isinstance(report, Report)
