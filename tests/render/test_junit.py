"""JUnit XML that a reader of others understands: what counts, what failed, what could not be determined."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase
from render.fixture import HOSTILE, check_golden, make_healthy, make_report, make_single, poison

from vsipcheck.model import Report
from vsipcheck.render import render


def cases(report: Report) -> dict[str, TestCase]:
    """Test cases by name, as junitparser reads them."""
    document = JUnitXml.fromstring(render(report, "junit").encode())
    return {case.name: case for suite in document for case in suite}


def outcome(case: TestCase) -> type | None:
    assert len(case.result) <= 1
    return type(case.result[0]) if case.result else None


@pytest.mark.parametrize(("name", "make"), [("junit.xml", make_report), ("junit-single.xml", make_single)])
def test_document_is_the_golden_one(name: str, make: Callable[[], Report]) -> None:
    check_golden(name, render(make(), "junit"))


def test_outcomes() -> None:
    read = cases(make_report())
    assert outcome(read["Public address known, and the one whitelisted"]) is None
    assert outcome(read["No CG-NAT"]) is None
    assert "WARN: 198.51.100.7 lives past" in read["No CG-NAT"].system_out
    assert outcome(read["UDP 10000-40000 out"]) is Failure
    assert outcome(read["No port masking"]) is Error  # it counts, and is not proven: no success
    assert outcome(read["UDP 10000-40000 in"]) is Skipped
    assert "Settled by: A test call" in read["UDP 10000-40000 in"].result[0].message
    assert outcome(read["Test calls"]) is Skipped
    assert outcome(read["sip.connect pstn.in4.exotel.com@203.0.113.40"]) is Failure  # on no row


def test_strict_lets_warnings_fail_and_allow_unknown_skips() -> None:
    report = make_report()
    strict = msgspec.structs.replace(report, settings=msgspec.structs.replace(report.settings, strict=True))
    lenient = msgspec.structs.replace(report, settings=msgspec.structs.replace(report.settings, allow_unknown=True))
    assert outcome(cases(strict)["No CG-NAT"]) is Failure
    assert outcome(cases(lenient)["No port masking"]) is Skipped


@pytest.mark.parametrize("make", [make_report, make_healthy, make_single])
def test_counts_are_those_of_the_reader(make: Callable[[], Report]) -> None:
    document = JUnitXml.fromstring(render(make(), "junit").encode())
    told = (document.tests, document.failures, document.errors, document.skipped)
    document.update_statistics()
    assert told == (document.tests, document.failures, document.errors, document.skipped)
    assert document.tests == sum(len(suite) for suite in document)


def test_healthy_report_has_neither_failures_nor_errors() -> None:
    document = JUnitXml.fromstring(render(make_healthy(), "junit").encode())
    assert (document.failures, document.errors) == (0, 0)


def test_simulation_says_so() -> None:
    assert '<property name="simulated" value="true" />' in render(make_report(simulated=True), "junit")


@pytest.mark.parametrize("text", [HOSTILE, "]]>", "<!ENTITY x>", "\x00\x0b\ufffe\udcff", "&amp;", '"'])
def test_hostile_text_stays_text(text: str) -> None:
    plain = ElementTree.fromstring(render(make_report(), "junit"))
    poisoned = ElementTree.fromstring(render(poison(make_report(), text), "junit"))
    assert {element.tag for element in poisoned.iter()} <= {element.tag for element in plain.iter()}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=200))
def test_any_text_is_read_back(text: str) -> None:
    JUnitXml.fromstring(render(poison(make_report(), text), "junit").encode())
