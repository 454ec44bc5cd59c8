"""`vsipcheck explain`: what a finding checks, how its verdict is reached, and what its reasons mean."""

from __future__ import annotations

import sys
from difflib import get_close_matches

from vsipcheck.cli.options import UsageError
from vsipcheck.cli.output import write_stdout
from vsipcheck.explanations import Explanation, Reason, explained_ids, load_explanation, near_ids
from vsipcheck.model import Status
from vsipcheck.render import RenderOptions
from vsipcheck.render.layout import STATUS_WORDS, Page

_STATUSES = (Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN, Status.SKIP)
_LABEL_CELLS = 14


def list_explanations() -> int:
    """Name every finding on stdout, a line each."""
    ids = explained_ids()
    width = max(map(len, ids))
    write_stdout("".join(f"{each:{width}}  {load_explanation(each).title}\n" for each in ids))
    return 0


def explain(finding_id: str, reason: str | None) -> int:
    """Explain a finding on stdout, or one of its reasons. Raises UsageError for what there is not."""
    if finding_id not in explained_ids():
        raise UsageError(f"explain: there is no finding {finding_id!r}; {_hint(near_ids(finding_id))}")
    explanation = load_explanation(finding_id)
    unicode = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    page = Page(RenderOptions(unicode=unicode))
    page.paragraph(page.own(explanation.title), lead=f"{finding_id}  ")
    if reason is None:
        _whole(page, explanation)
    else:
        name = explanation.reason_name(reason)
        if name is None:
            near = get_close_matches(reason, explanation.reasons, n=3, cutoff=0.5)
            hint = _hint(near) if near else f"`vsipcheck explain {finding_id}` names them"
            raise UsageError(f"explain: {finding_id} has no reason {reason!r}; {hint}")
        page.blank()
        _reason(page, reason, explanation.reasons[name])
        _sources(page, explanation)
    write_stdout(str(page))
    return 0


def _hint(near: list[str]) -> str:
    return f"did you mean {' or '.join(near)}?" if near else "`vsipcheck explain` names them all"


def _whole(page: Page, explanation: Explanation) -> None:
    page.blank()
    for label, text in (
        ("about", explanation.target),
        ("checks", explanation.checks),
        ("verdict", explanation.verdict),
    ):
        page.paragraph(page.own(text), indent=2, lead=label, hanging=_LABEL_CELLS)
    page.heading("What each status means")
    for status in _STATUSES:
        if meaning := explanation.statuses.get(status):
            page.paragraph(page.own(meaning), indent=2, lead=STATUS_WORDS[status], hanging=_LABEL_CELLS)
    page.heading("What each reason means")
    order = sorted(
        explanation.reasons.items(), key=lambda item: min(_STATUSES.index(status) for status in item[1].statuses)
    )
    for number, (code, reason) in enumerate(order):
        if number:
            page.blank()
        _reason(page, code, reason)
    _sources(page, explanation)


def _reason(page: Page, code: str, reason: Reason) -> None:
    words = " or ".join(STATUS_WORDS[status] for status in _STATUSES if status in reason.statuses)
    page.paragraph(f"{code} ({words})", indent=2)
    page.paragraph(page.own(reason.means), indent=4)
    for label, text in (("looks alike", reason.alike), ("to do", reason.fix)):
        if text:
            page.paragraph(page.own(text), indent=4, lead=label, hanging=_LABEL_CELLS - 2, break_words=False)


def _sources(page: Page, explanation: Explanation) -> None:
    if explanation.rfcs:
        page.heading("RFCs")
        for rfc in explanation.rfcs:
            page.paragraph(page.own(rfc), indent=2, hanging=2)
    if explanation.guide:
        page.heading("The provider's guide")
        for section in explanation.guide:
            page.paragraph(page.own(section), indent=2, hanging=2)
