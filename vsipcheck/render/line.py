"""The report in one line: for a log, a mail's subject, a pager."""

from __future__ import annotations

from vsipcheck.model import ChecklistRow, Finding, Report, Status
from vsipcheck.render.digest import SEVERITY, counts_words, deciding, key_words, overall_words, worst_first
from vsipcheck.render.safe import clean

MAX_LINE = 200


def render_line(report: Report) -> str:
    """Exactly one line of ASCII, without a newline, of at most MAX_LINE characters.

    It starts with what must not be overlooked (SIMULATED, INTERRUPTED) and the overall verdict, names what decided it
    and who has to act, worst first, and ends in the counts of the rest, which survive when the middle is cut.
    """
    head = ("SIMULATED: " if report.simulated else "") + ("INTERRUPTED: " if report.interrupted else "")
    named: list[tuple[str, str]]
    rest: list[Status]
    if report.overall is None:
        statuses = [finding.status for finding in report.findings]
        bad = [finding for finding in worst_first(report.findings) if finding.status not in (Status.PASS, Status.SKIP)]
        head += min(statuses, key=SEVERITY.index).upper() if statuses else "NOTHING JUDGED"
        named = [(_label(key_words(finding), finding), finding.summary) for finding in bad]
        rest = [finding.status for finding in report.findings if finding not in bad]
    else:
        rows = deciding(report)
        head += overall_words(report.overall)
        named = [(_label(row.id, row), row.summary) for row in rows]
        rest = [row.status for row in report.checklist if row not in rows]
    tail = counts_words(rest)
    if not named:
        return _cut(f"{head}: {tail}" if tail else head, MAX_LINE)
    if tail:
        tail = f"; {tail}"
    return _cut(f"{head}: {_fit(named, MAX_LINE - len(head) - 2 - len(tail))}{tail}", MAX_LINE)


def _label(name: str, verdict: Finding | ChecklistRow) -> str:
    party = f" ({verdict.fault_domain})" if verdict.fault_domain else ""
    return f"{clean(name, unicode=False)} {verdict.status}{party}"


def _fit(named: list[tuple[str, str]], room: int) -> str:
    """All of it if there is room; else the first with what fits of its summary, and the others' labels or number."""
    told = [f"{label}: {clean(summary, unicode=False).rstrip('.')}" for label, summary in named]
    whole = "; ".join(told)
    if len(whole) <= room:
        return whole
    others = "".join(f"; {label}" for label, _ in named[1:])
    if len(others) > room // 2:
        others = f"; {len(named) - 1} more"
    return _cut(told[0], room - len(others)) + others


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(room - 3, 0)] + "..."
