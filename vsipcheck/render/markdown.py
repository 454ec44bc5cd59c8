"""The report as Markdown that is pasted into a ticket: GitHub, GitLab, Jira, a mail that shows it as it stands.

Only headings, lists and tables; no HTML and no links. Text of peers stays text: nothing in it becomes markup, a link,
an image, or a mention that calls somebody.
"""

from __future__ import annotations

import re

from vsipcheck.model import PARTIES, Finding, Report, Stage, Status
from vsipcheck.render.digest import (
    addresses_seen,
    before_sending,
    blame,
    counts_words,
    deciding,
    grouped,
    key_words,
    measure_words,
    moment,
    overall_words,
    party_name,
    patch_lines,
    release_words,
    time_span,
    worst_first,
)
from vsipcheck.render.safe import clean

# What is markup to CommonMark, GitHub ($ is mathematics) or Jira (braces and brackets).
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~#$!^&])")
# What GitHub makes of plain text by itself: links, and smileys (hours and minutes are none).
_BY_ITSELF = re.compile(
    r"""(?i:(?<=http)|(?<=https)|(?<=ftp)|(?<=mailto)|(?<=xmpp)): | (?i:(?<=www)\.)
    | :(?=(?!\d\d:)[\w+-]+:)""",
    re.VERBOSE,
)
# A name after an @ is called, a number after a # linked: GitHub looks for these when backslashes are long gone.
_MENTION = re.compile(r"@(?=\w)|#(?=\d)|(?i:(?<=\bgh)-(?=\d))")
# Draws nothing and parts what would be read as one.
_GAP = "&#8203;"

_STAGES = {
    Stage.BEFORE: "Before configuration",
    Stage.DURING: "During configuration",
    Stage.AFTER: "After configuration",
    Stage.OTHER: "Other",
}


def render_markdown(report: Report) -> str:
    """Markdown that ends in a newline: the verdict, who has to act, the checklist, what was seen."""
    lines: list[str] = []
    _head(lines, report)
    _actions(lines, report)
    _requests(lines, report)
    _checklist(lines, report)
    not_green = [f for f in report.findings if f.status in (Status.FAIL, Status.WARN)]
    _findings(lines, report, "What was seen", not_green)
    _findings(lines, report, "What this run cannot know", [f for f in report.findings if f.status is Status.UNKNOWN])
    if report.overall is None:
        green = [f for f in report.findings if f not in not_green and f.status is not Status.UNKNOWN]
        _findings(lines, report, "What is in order, or was not asked for", green)
    _measures(lines, report)
    _errors(lines, report)
    profile = report.profile
    lines.append(
        f"vsipcheck {prose(report.tool.version)}, profile {code(profile.name)} of {prose(profile.dated)}, run "
        f"{code(report.run_id)}, exit code {report.exit_code}"
    )
    return "\n".join(lines) + "\n"


def prose(text: str) -> str:
    """One line of text in which nothing is markup."""
    text = _MARKUP.sub(r"\\\1", clean(text))
    text = _BY_ITSELF.sub(lambda match: f"\\{match[0]}", text)
    return _MENTION.sub(lambda match: match[0] + _GAP, text)


def code(text: str) -> str:
    """A name to be copied, as code; as prose if code cannot hold it in a table."""
    text = clean(text)
    return prose(text) if not text or text != text.strip() or "`" in text or "|" in text else f"`{text}`"


def _head(lines: list[str], report: Report) -> None:
    profile = report.profile
    if report.overall is None:
        verdict = counts_words(finding.status for finding in report.findings) or "nothing was judged"
    else:
        verdict = overall_words(report.overall)
    lines += [f"## {prose(profile.title)}: {verdict}", ""]
    for applies, words in (
        (report.simulated, "SIMULATED — no packet left this host"),
        (report.interrupted, "INTERRUPTED — what had not been measured by then is unknown"),
        (report.redacted, "REDACTED — addresses and names were replaced"),
    ):
        if applies:
            lines += [f"**{words}**", ""]
    lines.append(f"- When: {prose(moment(report.started_at))}, took {time_span(report.duration_ms)}")
    seen = addresses_seen(report)
    if seen:
        lines.append("- Seen from outside as: " + ", ".join(f"{code(address)} ({count})" for address, count in seen))
    lines.append(f"- Provider: {prose(profile.provider)}, {prose(release_words(profile))}")
    if report.checklist:
        lines.append(f"- Checklist: {counts_words(row.status for row in report.checklist)}")
    for row in deciding(report):
        lines.append(f"- **{row.status.upper()}** {prose(row.title)}")
    lines.append("")


def _actions(lines: list[str], report: Report) -> None:
    if not report.actions:
        return
    lines += ["### Who has to act", ""]
    for party in PARTIES:
        for action in report.actions:
            if action.party is party:
                name = party_name(party, report.profile)
                because = ", ".join(code(key_words(key)) for key in action.because[:4])
                more = f" and {len(action.because) - 4} more" if len(action.because) > 4 else ""
                lines.append(f"- **{prose(name[:1].upper() + name[1:])}**: {prose(action.what)}")
                if because:
                    lines.append(f"  - because of {because}{more}")
    lines.append("")


def _requests(lines: list[str], report: Report) -> None:
    """Letters as blocks of code."""
    for request in report.requests:
        letter = [clean(line) for line in (f"Subject: {request.subject}", "", *request.text.split("\n"))]
        lines += [f"### Ready to send to {prose(party_name(request.party, report.profile))}", ""]
        if before := before_sending(report, request):
            lines += [f"Before you do: {prose(before)}", ""]
        lines += [*_fenced(letter), ""]


def _checklist(lines: list[str], report: Report) -> None:
    for stage, title in _STAGES.items():
        rows = [row for row in report.checklist if row.stage is stage]
        if not rows:
            continue
        lines += [f"### {title}", "", "| Verdict | Item | Seen | Who |", "| --- | --- | --- | --- |"]
        for row in rows:
            who = "" if row.fault_domain is None else prose(party_name(row.fault_domain, report.profile))
            verdict = f"**{row.status.upper()}**" if row.status in (Status.FAIL, Status.WARN) else row.status.upper()
            aside = "" if row.gating or row.status is Status.SKIP else " (does not decide the verdict)"
            lines.append(f"| {verdict} | {prose(row.title)}{aside} | {prose(row.summary)} | {who} |")
        lines.append("")


def _findings(lines: list[str], report: Report, title: str, findings: list[Finding]) -> None:
    if not findings:
        return
    lines += [f"### {title}", ""]
    for group in grouped(worst_first(findings)):
        first = group.first
        targets = ", ".join(code(finding.target) for finding in group.findings if finding.target)
        head = f"- **{first.status.upper()}** {code(first.id)}" + (f" {targets}" if targets else "")
        if group.summary is not None:
            lines.append(f"{head}: {prose(group.summary)}")
        else:
            lines.append(head)
            lines += [f"  - {code(f.target or '-')}: {prose(f.summary)}" for f in group.findings]
        who, guide = blame(first, report.profile), first.guide_section
        reason = code(first.reason) + (f", {code(first.failure)}" if first.failure else "")
        for label, value in (
            ("who", who and prose(who)),
            ("reason", reason),
            ("at", first.location and code(first.location)),
            ("to do", group.remedy and prose(group.remedy)),
            ("settled by", first.settle_by and prose(first.settle_by)),
            ("guide", guide and prose(guide)),
        ):
            if value:
                lines.append(f"  - {label}: {value}")
        if first.patch:
            lines += ["", *(f"  {line}" for line in _fenced(patch_lines(first), "diff")), ""]
    lines.append("")


def _fenced(lines: list[str], language: str = "") -> list[str]:
    """A block of code, in a fence longer than any that stands in it."""
    fence = "`" * max(3, *(len(run) + 1 for line in lines for run in re.findall("`+", line) or [""]))
    return [fence + language, *lines, fence]


def _measures(lines: list[str], report: Report) -> None:
    measured = [finding for finding in report.findings if finding.measures]
    if not measured:
        return
    lines += ["### Measured", "", "| Finding | Target | Figures |", "| --- | --- | --- |"]
    for finding in measured:
        figures = prose("; ".join(map(measure_words, finding.measures)))
        lines.append(f"| {code(finding.id)} | {code(finding.target) if finding.target else ''} | {figures} |")
    lines.append("")


def _errors(lines: list[str], report: Report) -> None:
    errors = [(name, evidence.error) for name, evidence in report.evidence.items() if evidence.error]
    if not errors:
        return
    lines += ["### Not measured to its end", ""]
    for name, error in errors:
        lines.append(f"- {prose(name)}: {prose(error.strip().splitlines()[-1] if error.strip() else error)}")
    lines.append("")
