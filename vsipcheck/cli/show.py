"""`vsipcheck show`: a stored report in any format, as it was judged then or as today's rules judge it."""

from __future__ import annotations

from vsipcheck.cli.options import Request
from vsipcheck.cli.output import OutputError, complain, write_stdout
from vsipcheck.cli.run import write_outputs
from vsipcheck.cli.settings import outputs_for
from vsipcheck.cli.sharing import Sharing
from vsipcheck.cli.stored import load_report
from vsipcheck.comparison import Difference
from vsipcheck.model import ExitCode, Report
from vsipcheck.reading import unread_facts


def show_report(request: Request) -> int:
    """0 when everything was written; with --rejudge 1 when verdicts differ. Nagios gets the state that it asked for."""
    from vsipcheck.render import FORMATS

    outputs = outputs_for(request, tuple(FORMATS))
    sharing = Sharing(request)
    stored = load_report(request.report_file)
    if unread := unread_facts(stored):
        complain(f"{request.report_file}: {unread} facts of kinds that this version does not know were kept unread")
    report, differences = _rejudged(stored) if request.rejudge else (stored, ())
    shown = sharing.shown(report)
    written = write_outputs(shown, outputs, verbose=request.verbose, quiet=request.quiet)
    written &= sharing.write(shown)
    if request.rejudge:
        written &= _tell(stored, report, differences, person=outputs[0].format == "terminal")
    if not written:
        return ExitCode.OUR_ERROR
    if outputs[0].format == "nagios":
        from vsipcheck.render.nagios import state_of

        return state_of(shown)
    return ExitCode.FAILED if differences else ExitCode.OK


def _rejudged(stored: Report) -> tuple[Report, tuple[Difference, ...]]:
    from vsipcheck.comparison import compare
    from vsipcheck.runner import rejudge

    report = rejudge(stored)
    return report, compare(stored, report)


def _tell(stored: Report, report: Report, differences: tuple[Difference, ...], *, person: bool) -> bool:
    """What differs, after the report for a person, and on stderr where stdout is for a machine."""
    from vsipcheck.cli.diff import difference_lines

    versions = f"judged by version {stored.tool.version}, and again by {report.tool.version}"
    told = f"{versions}: {'these verdicts differ' if differences else 'every verdict is the same'}"
    lines = [told, *(line for difference in differences for line in difference_lines(difference))]
    if not person:
        for line in lines:
            complain(line)
        return True
    try:
        write_stdout("\n".join(["", told[:1].upper() + told[1:], *lines[1:]]) + "\n")
    except OutputError as error:
        complain(str(error))
        return False
    return True
