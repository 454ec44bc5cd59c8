"""The way to an address as rows of plain text: a router a row, whose it is above, a column for each kind of probe."""

from __future__ import annotations

from vsipcheck.model import FaultDomain, Path, PathSeries, Report
from vsipcheck.render.digest import party_name, time_span
from vsipcheck.render.layout import BOLD, DIM, Page

# Mark, its ASCII stand-in, and the word for it.
_MARKS = {
    "answered": ("\N{BLACK CIRCLE}", "+", "answered"),
    "target": ("\N{BLACK DIAMOND}", "#", "the target's own answer"),
    "missed": ("\N{MULTIPLICATION X}", "x", "lost, while a control was answered"),
    "silent": ("\N{WHITE CIRCLE}", ".", "no answer, which alone says nothing"),
}
_OUTCOMES = {
    "connected": "connected",
    "refused": "refused (RST)",
    "icmp": "refused (ICMP)",
    "answered": "the target answers",
    "silent": "the target does not answer",
    "not_tried": "no connection was tried",
}


def show_paths(page: Page, report: Report) -> None:
    """Every way that was walked, hop by hop, and where each kind of probe stopped."""
    for path in report.paths:
        name = f" ({path.name})" if path.name else ""
        page.heading(page.text(f"The way to {path.target}{name}"))
        if path.hops:
            _rows(page, report, path)
        else:
            page.paragraph("no router on the way answers", indent=2)
        for series in path.series:
            page.paragraph(
                page.text(_where(series)), indent=2, lead=page.text(_title(series.id)), hanging=_LEAD, lead_style=BOLD
            )
    marks = {mark for path in report.paths for hop in path.hops for mark in hop.marks.values()}
    marks |= {_TARGET.get(series.outcome, "silent") for path in report.paths for series in path.series}
    told = [f"{_sign(page, mark)} {_MARKS[mark][2]}" for mark in _MARKS if mark in marks]
    if told:
        page.blank()
        page.paragraph("; ".join(told), indent=2, style=DIM)


_LEAD = 14
_TARGET = {"connected": "target", "refused": "target", "answered": "target"}


def _rows(page: Page, report: Report, path: Path) -> None:
    width = max(len(path.target), *(len(hop.address or "no answer") for hop in path.hops))
    heads = [_head(series.id) for series in path.series]
    head = f"{'hop':>3}  {'router':<{width}}  {'best rtt':>9}  {'lost':>5}  " + "  ".join(heads)
    page.verbatim(page.text(head), indent=2, lead="")
    zone: tuple[FaultDomain, str] | None = None
    for hop in path.hops:
        if hop.zone is not (zone[0] if zone else None):
            whose = {FaultDomain.UNDETERMINED: "whose is not known"}.get(hop.zone, party_name(hop.zone, report.profile))
            page.paragraph(page.text(f"{whose}: {hop.why}"), indent=4, hanging=2, style=DIM)
        zone = (hop.zone, hop.why)
        rtt = time_span(hop.rtt_ms) if hop.rtt_ms is not None else ""
        lost = f"{hop.loss_ratio * 100:.0f} %" if hop.loss_ratio is not None else ""
        marks = [
            f"{_sign(page, hop.marks[series.id]) if series.id in hop.marks else ' ':^{len(title)}}"
            for series, title in zip(path.series, heads, strict=True)
        ]
        row = f"{hop.ttl:>3}  {page.text(hop.address or 'no answer'):<{width}}  {rtt:>9}  {lost:>5}  "
        page.verbatim(row + "  ".join(marks), indent=2, lead="")
    ends = [
        f"{_sign(page, _TARGET.get(series.outcome, 'silent')):^{len(title)}}"
        for series, title in zip(path.series, heads, strict=True)
    ]
    page.verbatim(f"end  {page.text(path.target):<{width}}  {'':>9}  {'':>5}  " + "  ".join(ends), indent=2, lead="")


def _sign(page: Page, mark: str) -> str:
    sign, plain, _ = _MARKS.get(mark, ("?", "?", ""))
    return sign if page.options.unicode else plain


def _head(series: str) -> str:
    return {"udp_in_range": "RTP", "udp_control": "UDP"}.get(series, series.rpartition("_")[2])


def _title(series: str) -> str:
    words = {"udp_in_range": "UDP, media", "udp_control": "UDP, other"}
    return words.get(series, series.replace("tcp_", "TCP "))


def _where(series: PathSeries) -> str:
    told = [] if series.reached_ttl is None else [f"seen as far as hop {series.reached_ttl}"]
    told += [] if series.stopped_ttl is None else [f"stops before hop {series.stopped_ttl}"]
    return ", ".join([*told, _OUTCOMES.get(series.outcome, series.outcome)])
