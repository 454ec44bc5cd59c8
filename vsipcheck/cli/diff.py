"""`vsipcheck diff`: what changed between two stored reports."""

from __future__ import annotations

import msgspec

from vsipcheck.cli.options import Request
from vsipcheck.cli.output import write_stdout
from vsipcheck.cli.stored import load_report
from vsipcheck.comparison import Difference, circumstances, compare
from vsipcheck.model import ExitCode
from vsipcheck.wire.text import sanitise

_KINDS = {
    "overall": "overall",
    "row": "row",
    "finding": "",
    "public_address": "public address by",
    "name": "address of",
}


def show_difference(request: Request) -> int:
    """0 when nothing changed, 1 when something did. Raises UsageError for what is no report."""
    old, new = load_report(request.report_file), load_report(request.newer_file)
    differences, around = compare(old, new), circumstances(old, new)
    if request.json:
        document = {
            "before": {"run_id": old.run_id, "started_at": old.started_at},
            "after": {"run_id": new.run_id, "started_at": new.started_at},
            "differences": differences,
            "circumstances": around,
        }
        write_stdout(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n", machine=True)
    else:
        lines = [f"{old.started_at} -> {new.started_at}: " + _count(len(differences))]
        lines += [line for difference in differences for line in difference_lines(difference)]
        lines += [f"  made with another {one.what}: {one.before} -> {one.after}" for one in around]
        write_stdout("".join(f"{sanitise(line, max_length=2000)}\n" for line in lines))
    return ExitCode.FAILED if differences else ExitCode.OK


def difference_lines(difference: Difference) -> list[str]:
    """One change as a person reads it: what it was, what it is, and the summary that goes with it."""
    kind = _KINDS.get(difference.what, difference.what)
    name = " ".join(
        part for part in (kind, difference.id if difference.what != "overall" else "", difference.target) if part
    )
    before, after = difference.before or "not there", difference.after or "not there"
    lines = [f"  {name}: {before} -> {after}"]
    if difference.because:
        lines.append(f"    {difference.because}")
    return lines


def _count(number: int) -> str:
    return "nothing changed" if number == 0 else f"{number} change{'s' if number > 1 else ''}"
