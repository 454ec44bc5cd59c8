"""The report for a person at a terminal: the checklist, then who has to act, then why."""

from __future__ import annotations

from collections.abc import Sequence

from vsipcheck.model import PARTIES, Action, ChecklistRow, FaultDomain, Finding, Report, Stage, Status
from vsipcheck.render import RenderOptions
from vsipcheck.render.digest import (
    SEVERITY,
    Group,
    addresses_seen,
    asked_for_addresses,
    before_sending,
    blame,
    counts_words,
    deciding,
    fact_words,
    find,
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
from vsipcheck.render.layout import BOLD, DIM, STATUS_CELLS, STATUS_STYLES, STATUS_WORDS, Cell, Page
from vsipcheck.render.line import render_line

__all__ = ["render_line", "render_terminal"]

STAGES = {
    Stage.BEFORE: "Before configuration",
    Stage.DURING: "During configuration",
    Stage.AFTER: "After configuration",
    Stage.OTHER: "Other",
}

_NOT_GREEN = (Status.FAIL, Status.WARN, Status.UNKNOWN, Status.OTHER)
_UNDECIDED = (Status.UNKNOWN, Status.OTHER)

# Below this a title and a summary do not stand side by side.
_STACKED_BELOW = 60
# From here on there is a column for who has to act.
_WHO_COLUMN_FROM = 100
_ENDED_BY = {"deadline": "the deadline of the run came first", "interrupted": "the run was interrupted"}
_MARK = "*"
_LABEL_CELLS = 12
# Up to here the names of targets stand in a column of their own.
_TARGET_CELLS = 18
_BECAUSE_SHOWN = 4


def render_terminal(report: Report, options: RenderOptions) -> str:
    """The report as plain lines that end in a newline; with `quiet`, as one line.

    Nothing in it comes uncleaned from the network, and the only escape sequences are our colours.
    """
    if options.quiet:
        return render_line(report) + "\n"
    page = Page(options)
    _header(page, report)
    _overall(page, report)
    if report.checklist:
        _checklist(page, report)
    _actions(page, report)
    _requests(page, report)
    if report.overall is None:
        _findings(page, report, "Findings", report.findings)
    else:
        _findings(page, report, "What was seen", [f for f in report.findings if f.status in (Status.FAIL, Status.WARN)])
        _undecided(page, report)
    _errors(page, report)
    if report.paths and (options.verbose or report.settings.checks == ("path",)):
        from vsipcheck.render.path import show_paths

        show_paths(page, report)
    if options.verbose:
        if report.overall is not None:
            _findings(page, report, "What is in order, or was not asked for", _green(report))
        from vsipcheck.render.facts import show_evidence

        show_evidence(page, report)
    _closing(page, report)
    return str(page)


def _header(page: Page, report: Report) -> None:
    profile = report.profile
    title = (
        profile.title
        if profile.provider.casefold() in profile.title.casefold()
        else (f"{profile.provider}: {profile.title}")
    )
    page.paragraph(page.text(f"vsipcheck {report.tool.version}"), style=DIM)
    page.paragraph(page.text(title), style=BOLD)
    page.paragraph(page.text(f"{release_words(profile)}; profile {profile.name} of {profile.dated}"), style=DIM)
    seen = addresses_seen(report)
    if seen:
        told = ", ".join(f"{address} ({number} {'answer' if number == 1 else 'answers'})" for address, number in seen)
        page.paragraph(page.text(f"Seen from outside as {told}"))
    elif asked_for_addresses(report):
        page.paragraph("Seen from outside as: not known, nobody answered")
    checks = "" if report.overall is not None else f"{', '.join(report.evidence) or 'nothing'}; "
    page.paragraph(page.text(f"{checks}{moment(report.started_at)}, took {time_span(report.duration_ms)}"), style=DIM)
    for applies, words, style in (
        (report.simulated, "SIMULATED \N{EM DASH} no packet left this host", "1;36"),
        (report.interrupted, "INTERRUPTED \N{EM DASH} what had not been measured by then is unknown", "1;33"),
        (report.redacted, "REDACTED \N{EM DASH} addresses and names were replaced", "1;36"),
    ):
        if applies:
            page.blank()
            page.paragraph(page.own(words), style=style)


def _overall(page: Page, report: Report) -> None:
    page.blank()
    if report.overall is None:
        statuses = [finding.status for finding in report.findings]
        worst = min(statuses, key=SEVERITY.index, default=Status.UNKNOWN)
        words = counts_words(statuses) or "nothing was judged"
        page.paragraph(f"{words} (these checks alone give no overall verdict)", style=STATUS_STYLES[worst])
        return
    counted = counts_words(row.status for row in report.checklist)
    words = overall_words(report.overall)
    page.paragraph(counted, lead=f"{words}  ", lead_style=_overall_style(report))
    for row in deciding(report):
        page.paragraph(
            page.text(row.title),
            indent=2,
            lead=STATUS_WORDS[row.status],
            lead_style=STATUS_STYLES[row.status],
            hanging=STATUS_CELLS + 2,
        )


def _overall_style(report: Report) -> str:
    return {
        "ready": "1;32",
        "ready_with_warnings": STATUS_STYLES[Status.WARN],
        "not_ready": STATUS_STYLES[Status.FAIL],
    }.get(report.overall or "", STATUS_STYLES[Status.UNKNOWN])


def _checklist(page: Page, report: Report) -> None:
    rows = report.checklist
    # Everything but the two flexible columns: indent, status, mark, gaps.
    fixed = 2 + STATUS_CELLS + 1 + len(_MARK) + 2
    wide = page.width >= _WHO_COLUMN_FROM
    who_width = max([len("who"), *(len(_who(page, report, row)) for row in rows)]) if wide else 0
    who_width = min(who_width, 18)
    flexible = page.width - fixed - 2 - (who_width + 2 if wide else 0)
    title_width = min(max(len(row.title) for row in rows), flexible * 2 // 5)
    for stage in (*STAGES,):
        of_stage = [row for row in rows if row.stage is stage]
        if not of_stage:
            continue
        page.heading(STAGES[stage])
        for row in of_stage:
            if page.width < _STACKED_BELOW:
                _stacked_row(page, report, row)
            else:
                _row(page, report, row, title_width, who_width, flexible - title_width)
    if any(_marked(row) for row in rows):
        page.blank()
        page.paragraph(f"{_MARK} rows with this mark decide the overall verdict", indent=2, style=DIM)


def _marked(row: ChecklistRow) -> bool:
    return row.gating and row.status is not Status.SKIP


def _who(page: Page, report: Report, row: ChecklistRow) -> str:
    return "" if row.fault_domain is None else page.text(party_name(row.fault_domain, report.profile))


def _row(page: Page, report: Report, row: ChecklistRow, title_width: int, who_width: int, summary_width: int) -> None:
    style = STATUS_STYLES[row.status]
    quiet = DIM if row.status is Status.SKIP else None
    word = f"{STATUS_WORDS[row.status]:<{STATUS_CELLS}}{' ' + _MARK if _marked(row) else ''}"
    who = _who(page, report, row)
    beneath = [(f"who: {who}", style)] if who and not who_width else []
    cells = [Cell(word, style), Cell(page.text(row.title), quiet)]
    widths = [STATUS_CELLS + 1 + len(_MARK), title_width]
    if who_width:
        cells.append(Cell(who, style))
        widths.append(who_width)
    cells.append(Cell(page.text(row.summary), quiet, more=beneath))
    widths.append(summary_width)
    page.row(cells, widths, indent=2)


def _stacked_row(page: Page, report: Report, row: ChecklistRow) -> None:
    style = STATUS_STYLES[row.status]
    word = STATUS_WORDS[row.status] + (_MARK if _marked(row) else "")
    page.paragraph(page.text(row.title), lead=f"{word} ", lead_style=style, hanging=2)
    page.paragraph(page.text(row.summary), indent=2, style=DIM if row.status is Status.SKIP else None)
    if who := _who(page, report, row):
        page.paragraph(f"who: {who}", indent=2, style=style)


def _actions(page: Page, report: Report) -> None:
    if not report.actions:
        return
    page.heading("Who has to act")
    for party in PARTIES:
        actions = [action for action in report.actions if action.party is party]
        if not actions:
            continue
        name = page.text(party_name(party, report.profile))
        page.paragraph(name[:1].upper() + name[1:], indent=2, style=BOLD)
        for action in actions:
            _action(page, action)


def _action(page: Page, action: Action) -> None:
    # Whole words only: an address or a command that is copied from here has to be whole.
    page.paragraph(page.text(action.what), indent=4, lead=page.own("\N{BULLET} "), break_words=False)
    shown = action.because if page.options.verbose else action.because[:_BECAUSE_SHOWN]
    told = ", ".join(key_words(key) for key in shown)
    if not told:
        return
    if len(shown) < len(action.because):
        told += f" and {len(action.because) - len(shown)} more"
    page.paragraph(page.text(f"because of {told}"), indent=6, style=DIM)


def _requests(page: Page, report: Report) -> None:
    """Letters to be copied as they are: nothing stands before their lines but the indent."""
    for request in report.requests:
        name = page.text(party_name(request.party, report.profile))
        page.heading(f"Ready to send to {name}")
        if before := before_sending(report, request):
            page.paragraph(page.text(before), indent=2, lead="before you do: ", lead_style=BOLD)
            page.blank()
        page.verbatim(page.text(f"Subject: {request.subject}"), indent=4, lead="")
        page.verbatim("", indent=0, lead="")
        for line in request.text.split("\n"):
            page.verbatim(page.text(line), indent=4, lead="")


def _green(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.status not in _NOT_GREEN]


def _findings(page: Page, report: Report, title: str, findings: Sequence[Finding]) -> None:
    if not findings:
        return
    page.heading(title)
    for group in grouped(worst_first(findings)):
        _group(page, report, group)


def _group(page: Page, report: Report, group: Group, *, indent: int = 2) -> None:
    """Verdict and id, the targets with what was seen at each, then what they share."""
    first = group.first
    single = len(group.findings) == 1
    inner = _named_verdict(page, first.status, key_words(first) if single else first.id, indent)
    if group.summary is not None:
        if group.alike and not single:
            page.paragraph(page.text(", ".join(finding.target or "-" for finding in group.findings)), indent=inner)
        page.paragraph(page.text(group.summary), indent=inner)
    else:
        _targets(page, group, inner)
    if page.options.verbose:
        for finding in group.findings:
            _figures(page, finding, inner, with_target=not single)
    if first.status in _NOT_GREEN or page.options.verbose:
        _advice(page, report, group, inner)


def _named_verdict(page: Page, status: Status, name: str, indent: int) -> int:
    """A verdict's word and what it is about. Returns the column in which the rest stands."""
    if page.width < _STACKED_BELOW:
        page.paragraph(STATUS_WORDS[status], indent=indent, style=STATUS_STYLES[status])
        page.paragraph(page.text(name), indent=indent + 2, style=BOLD)
        return indent + 2
    page.paragraph(
        page.text(name),
        indent=indent,
        lead=STATUS_WORDS[status],
        lead_style=STATUS_STYLES[status],
        hanging=STATUS_CELLS + 2,
        style=BOLD,
    )
    return indent + STATUS_CELLS + 2


def _targets(page: Page, group: Group, indent: int) -> None:
    """What was seen at each target of a group: in columns if the names are short, as addresses are."""
    leads = [page.text(f"{finding.target or '-'}: ") for finding in group.findings]
    column = max(map(len, leads))
    for lead, finding in zip(leads, group.findings, strict=True):
        summary = page.text(finding.summary)
        if column <= _TARGET_CELLS:
            page.paragraph(summary, indent=indent, lead=lead, hanging=column)
        else:
            page.paragraph(f"{lead}{summary}", indent=indent, hanging=2)


def _advice(page: Page, report: Report, group: Group, indent: int) -> None:
    """Who is meant and how surely, by what code, what to do about it, and where the guide speaks of it."""
    finding = group.first
    who = blame(finding, report.profile)
    if finding.status in _UNDECIDED and finding.fault_domain is FaultDomain.UNDETERMINED:
        who = None
    failure = f", {finding.failure}" if finding.failure and finding.failure != finding.reason else ""
    for label, value in (
        ("who", who),
        ("reason", f"{finding.reason}{failure}"),
        ("at", finding.location),
        ("to do", group.remedy),
        ("settled by", finding.settle_by),
        ("guide", finding.guide_section),
    ):
        if value:
            page.paragraph(
                page.text(value), indent=indent, lead=label, hanging=_LABEL_CELLS, lead_style=DIM, break_words=False
            )
    for line in patch_lines(finding):
        page.verbatim(page.text(line.replace("\t", "    ")), indent=indent, lead="")


def _figures(page: Page, finding: Finding, indent: int, *, with_target: bool) -> None:
    told = [measure_words(measure) for measure in finding.measures]
    lead = f"{finding.target or '-'}: " if with_target else ""
    if told:
        page.paragraph(page.text(lead + "; ".join(told)), indent=indent, style=DIM)
    if finding.facts:
        page.paragraph(page.text(f"{lead}rests on {fact_words(finding.facts)}"), indent=indent, style=DIM)


def _undecided(page: Page, report: Report) -> None:
    """The unknown rows with what would settle each, then unknown findings of rows that others have decided."""
    rows = [row for row in report.checklist if row.status in _UNDECIDED]
    undecided = [finding for finding in report.findings if finding.status in _UNDECIDED]
    if not rows and not undecided:
        return
    page.heading("What this run cannot know")
    told: set[tuple[str, str | None]] = set()
    for row in rows:
        findings = [finding for finding in find(report, row.findings) if finding.status in _UNDECIDED]
        told.update((finding.id, finding.target) for finding in findings)
        inner = _named_verdict(page, row.status, row.title, 2)
        if not findings:
            page.paragraph(page.text(row.summary), indent=inner)
        for group in grouped(findings):
            _undecided_group(page, report, group, inner)
    rest = [finding for finding in undecided if (finding.id, finding.target) not in told]
    for group in grouped(rest):
        _group(page, report, group)


def _undecided_group(page: Page, report: Report, group: Group, indent: int) -> None:
    targets = ", ".join(finding.target for finding in group.findings if finding.target)
    if group.summary is not None:
        lead = f"{targets}: " if targets and group.alike else ""
        page.paragraph(page.text(f"{lead}{group.summary}"), indent=indent)
    else:
        _targets(page, group, indent)
    _advice(page, report, group, indent)


def _errors(page: Page, report: Report) -> None:
    """Checks whose measuring ended early, and why: their silence must not read as an answer."""
    errors = [(name, evidence.error) for name, evidence in report.evidence.items() if evidence.error]
    if not errors:
        return
    page.heading("Not measured to its end")
    for name, error in errors:
        # Split at our own line ends only: a message quoted in a traceback may hold any other.
        lines = error.strip("\n").split("\n")
        ours = len(lines) > 1  # a traceback; "deadline" and "interrupted" are single words
        told = (
            f"an error of vsipcheck itself, please report it: {_exception_line(lines)}"
            if ours
            else _ENDED_BY.get(error, error)
        )
        page.paragraph(page.text(told), indent=2, lead=page.text(f"{name}: "))
        if page.options.verbose and ours:
            for line in lines:
                page.verbatim(page.text(line), indent=4, lead="| ")


def _exception_line(lines: Sequence[str]) -> str:
    """The line of a traceback that names the exception: the first that is not indented after its last heading."""
    heading = max((number for number, line in enumerate(lines) if line.startswith("Traceback ")), default=-1)
    return next((line for line in lines[heading + 1 :] if line and not line.startswith(" ")), lines[-1])


def _closing(page: Page, report: Report) -> None:
    """The verdict once more, where the eye is when all has scrolled by."""
    page.blank()
    words = "" if report.overall is None else f"{overall_words(report.overall)}  "
    marks = [
        word for word, applies in (("simulated", report.simulated), ("interrupted", report.interrupted)) if applies
    ]
    page.paragraph(
        ", ".join([f"exit code {report.exit_code}", *marks]),
        lead=words,
        lead_style=_overall_style(report),
        style=DIM,
    )
