"""The report as JUnit XML: a row of the checklist is a test case, so that a pipeline can stand on it.

- `fail` is a failure; so is `warn` under `--strict`, and otherwise a pass that says so in its output;
- `unknown` on a row that counts is an error: the test could not be carried through, and that is no success. With
  `--allow-unknown`, and on a row that no run can prove, it is skipped, with what would settle it;
- `skip` is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from vsipcheck.model import ChecklistRow, Finding, Report, Stage, Status
from vsipcheck.render.digest import blame, find, key_words, measure_words, overall_words, patch_lines, worst_first
from vsipcheck.render.safe import clean

_STAGES = {
    Stage.BEFORE: "Before configuration",
    Stage.DURING: "During configuration",
    Stage.AFTER: "After configuration",
    Stage.OTHER: "At a stage that this version does not know",
}
_BEYOND = "Beyond the checklist"


def render_junit(report: Report) -> str:
    """One `testsuites` document: a suite for each stage, then one for findings that stand on no row."""
    root = Element("testsuites", name="vsipcheck", time=_seconds(report.duration_ms))
    for stage, title in _STAGES.items():
        rows = [row for row in report.checklist if row.stage is stage]
        if rows:
            suite = _suite(root, report, title)
            for row in rows:
                _row_case(suite, report, row)
    told = {(key.id, key.target) for row in report.checklist for key in row.findings}
    beyond = [finding for finding in report.findings if (finding.id, finding.target) not in told]
    if beyond:
        suite = _suite(root, report, _BEYOND)
        for finding in beyond:
            _finding_case(suite, report, finding)
    for suite in root:
        _count(suite, suite.findall("testcase"))
    _count(root, list(root.iter("testcase")))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, report: Report, title: str) -> Element:
    suite = SubElement(root, "testsuite", name=title, timestamp=clean(report.started_at.removesuffix("Z")))
    properties = SubElement(suite, "properties")
    for name, value in (
        ("run_id", report.run_id),
        ("version", report.tool.version),
        ("profile", f"{report.profile.name} of {report.profile.dated}"),
        ("overall", "none" if report.overall is None else overall_words(report.overall)),
        ("exit_code", str(report.exit_code)),
        ("interrupted", str(report.interrupted).lower()),
        ("simulated", str(report.simulated).lower()),
        ("redacted", str(report.redacted).lower()),
    ):
        SubElement(properties, "property", name=name, value=clean(value))
    return suite


def _row_case(suite: Element, report: Report, row: ChecklistRow) -> None:
    findings = worst_first(find(report, row.findings))
    # Findings overlap in time, so the row took as long as the longest.
    took = max((finding.duration_ms or 0.0 for finding in findings), default=0.0)
    case = SubElement(suite, "testcase", classname=f"vsipcheck.{row.stage}", name=clean(row.title), time=_seconds(took))
    settled_by = next((f.settle_by for f in findings if f.settle_by and f.status is row.status), None)
    _outcome(case, report, row.status, row.gating, row.id, row.summary, settled_by, findings)


def _finding_case(suite: Element, report: Report, finding: Finding) -> None:
    case = SubElement(
        suite,
        "testcase",
        classname=f"vsipcheck.{clean(finding.id)}",
        name=clean(key_words(finding)),
        time=_seconds(finding.duration_ms or 0.0),
    )
    _outcome(case, report, finding.status, False, finding.reason, finding.summary, finding.settle_by, [finding])


def _outcome(
    case: Element,
    report: Report,
    status: Status,
    gating: bool,
    kind: str,
    summary: str,
    settled_by: str | None,
    findings: list[Finding],
) -> None:
    settings = report.settings
    message = clean(summary)
    details = "\n".join(line for finding in findings for line in _finding_lines(report, finding))
    if status is Status.FAIL or (status is Status.WARN and settings.strict):
        SubElement(case, "failure", type=clean(kind), message=message).text = details
        return
    if status in (Status.UNKNOWN, Status.OTHER):
        if gating and not settings.allow_unknown:
            SubElement(case, "error", type=clean(kind), message=message).text = details
            return
        settled = f" Settled by: {clean(settled_by)}" if settled_by else ""
        SubElement(case, "skipped", message=f"UNKNOWN: {message}{settled}")
    elif status is Status.SKIP:
        SubElement(case, "skipped", message=message)
    text = f"{status.upper()}: {message}" + (f"\n{details}" if details else "")
    SubElement(case, "system-out").text = text


def _finding_lines(report: Report, finding: Finding) -> Iterable[str]:
    """A finding in clean lines."""
    yield clean(f"{finding.status.upper()} {key_words(finding)} ({finding.reason}): {finding.summary}")
    for label, value in (
        ("who", blame(finding, report.profile)),
        ("at", finding.location),
        ("to do", finding.remedy),
        ("settled by", finding.settle_by),
        ("guide", finding.guide_section),
        ("measured", "; ".join(map(measure_words, finding.measures))),
    ):
        if value:
            yield f"  {label}: {clean(value)}"
    for line in patch_lines(finding):
        yield f"  {line}"


def _count(element: Element, cases: list[Element]) -> None:
    element.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    if element.tag == "testsuite":
        element.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3f}"
