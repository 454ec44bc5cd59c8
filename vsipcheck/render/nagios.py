"""The report for Nagios, Icinga and what speaks their language: one line, performance data, long output, status 0-3.

After the Monitoring Plugins Development Guidelines. Performance data is stable from run to run: what was not measured
is `U`, never 0 and never left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from enum import IntEnum

from vsipcheck.model import PARTIES, ExitCode, Finding, Measure, Overall, Report, Status
from vsipcheck.render.digest import deciding, find, key_words, party_name, worst_first
from vsipcheck.render.line import render_line
from vsipcheck.render.safe import clean

# Nagios Core reads 8 KiB of a plugin's output, NRPE hands on as much.
MAX_OUTPUT = 8000
MAX_PERFDATA = 4000
_MAX_LABEL = 120

# What ends the text, what a web page would take for markup, and what a notification's shell would act on.
_SPECIAL = re.compile(r"[|<>&`$]")
_NOT_IN_LABEL = re.compile(r"[^A-Za-z0-9._@:-]+", re.ASCII)
_LAST_LINE = "(cut here: vsipcheck --verbose tells the rest)"


class State(IntEnum):
    """What a plugin's exit code means."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


def state_of(report: Report) -> State:
    """The plugin's state, which is also its exit code.

    It follows the report's policy (`--strict`, `--allow-unknown`); beside it a warning that the policy lets pass is
    WARNING. What was proven to fail is CRITICAL even in a run that was interrupted.
    """
    if report.exit_code == ExitCode.FAILED or report.overall is Overall.NOT_READY:
        return State.CRITICAL
    if report.exit_code != ExitCode.OK or report.overall is Overall.OTHER:
        return State.UNKNOWN
    if report.overall is Overall.READY:
        return State.OK
    verdicts = [*(row.status for row in report.checklist), *(finding.status for finding in report.findings)]
    return State.WARNING if any(status in (Status.WARN, Status.FAIL) for status in verdicts) else State.OK


def render_nagios(report: Report) -> str:
    """`VSIPCHECK STATE - what decided it | performance data`, then who has to act and what was seen. ASCII.

    A `|` stands nowhere but before the performance data.
    """
    head = f"VSIPCHECK {state_of(report).name} - {safe(render_line(report))}"
    lines = [f"{head} | {' '.join(_bounded(_perfdata(report)))}"]
    room = MAX_OUTPUT - len(lines[0]) - 1 - len(_LAST_LINE) - 1
    for line in _long_output(report):
        if len(line) + 1 > room:
            lines.append(_LAST_LINE)
            break
        lines.append(line)
        room -= len(line) + 1
    return "\n".join(lines) + "\n"


def safe(text: str) -> str:
    r"""One line of ASCII with no character in it that means something to Nagios, a web page or a shell: `\x7c`."""
    return _SPECIAL.sub(lambda match: f"\\x{ord(match[0]):02x}", clean(text, unicode=False, limit=600))


def _long_output(report: Report) -> Iterator[str]:
    for action in sorted(report.actions, key=lambda action: PARTIES.index(action.party)):
        yield safe(f"TO DO, {party_name(action.party, report.profile)}: {action.what}")
    rows = deciding(report)
    for row in rows:
        yield safe(f"{row.status.upper()} {row.title}: {row.summary}")
        for finding in worst_first(find(report, row.findings)):
            if finding.status not in (Status.PASS, Status.SKIP):
                yield f"  {_finding_words(finding)}"
    told = {(key.id, key.target) for row in rows for key in row.findings}
    for finding in worst_first(report.findings):
        if finding.status in (Status.FAIL, Status.WARN) and (finding.id, finding.target) not in told:
            yield _finding_words(finding)
    profile = report.profile
    yield safe(f"vsipcheck {report.tool.version}, profile {profile.name} of {profile.dated}, run {report.run_id}")


def _finding_words(finding: Finding) -> str:
    return safe(f"{finding.status.upper()} {key_words(finding)} ({finding.reason}): {finding.summary}")


def _bounded(items: Iterator[str]) -> Iterator[str]:
    """As many whole items as Nagios will read."""
    room = MAX_PERFDATA
    for item in items:
        room -= len(item) + 1
        if room < 0:
            return
        yield item


def _perfdata(report: Report) -> Iterator[str]:
    """`'label'=value[unit];[warn];[fail];[min];[max]`, labels unique."""
    seen: set[str] = set()
    yield _item(_label("duration", seen), _figure(report.duration_ms / 1000), "s", minimum="0")
    gating = [row.status for row in report.checklist if row.gating]
    for name, status, critical in (("gating_failed", Status.FAIL, "0"), ("gating_unknown", Status.UNKNOWN, "")):
        yield _item(
            _label(name, seen), str(gating.count(status)), "", fail=critical, minimum="0", maximum=str(len(gating))
        )
    for finding in report.findings:
        for measure in finding.measures:
            yield _measure(_label(_measure_name(finding, measure), seen), measure)


def _measure_name(finding: Finding, measure: Measure) -> str:
    name = measure.name.removesuffix(f"_{measure.unit}")
    return f"{finding.id}.{name}" + ("" if finding.target is None else f"_{finding.target}")


def _label(name: str, seen: set[str]) -> str:
    """`name` in characters that need no care, cut, and like no label before it."""
    stem = label = _NOT_IN_LABEL.sub("_", name)[:_MAX_LABEL] or "_"
    number = 1
    while label in seen:
        number += 1
        label = f"{stem}_{number}"
    seen.add(label)
    return label


def _measure(label: str, measure: Measure) -> str:
    unit, scale, maximum = _UNITS.get(measure.unit, ("", 1, ""))
    value, warn, fail = (_figure(figure, scale) for figure in (measure.value, measure.warn, measure.fail))
    # A range: `10` alerts above 10, `10:` below it.
    colon = ":" if measure.floor else ""
    return _item(
        label,
        value or "U",
        unit,
        warn=warn + colon if warn else "",
        fail=fail + colon if fail else "",
        minimum="0",
        maximum=maximum,
    )


# Ours: theirs, what a value is multiplied by, the largest there can be. Anything else goes without a unit.
_UNITS = {"ms": ("ms", 1, ""), "s": ("s", 1, ""), "ratio": ("%", 100, "100"), "bytes": ("B", 1, "")}


def _figure(value: float | None, scale: int = 1) -> str:
    """Digits, sign and point only; empty for what is no number."""
    if value is None or not math.isfinite(value):
        return ""
    text = f"{value * scale:.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _item(
    label: str, value: str, unit: str, *, warn: str = "", fail: str = "", minimum: str = "", maximum: str = ""
) -> str:
    return f"'{label}'={value}{'' if value == 'U' else unit};{warn};{fail};{minimum};{maximum}".rstrip(";")
