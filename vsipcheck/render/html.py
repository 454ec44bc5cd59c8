"""The report as one self-contained page: no script, no request, readable on a phone, on paper, by day and by night."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from vsipcheck.model import (
    PARTIES,
    CheckEvidence,
    ChecklistRow,
    Exchange,
    Finding,
    Hop,
    Measure,
    Message,
    Overall,
    PortSpan,
    Report,
    Stage,
    Status,
)
from vsipcheck.render.digest import (
    SEVERITY,
    Group,
    addresses_seen,
    asked_for_addresses,
    before_sending,
    blame,
    counts,
    counts_words,
    deciding,
    fact_words,
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
from vsipcheck.render.drawing import (
    OUTCOMES,
    Way,
    by_target,
    draw_bar,
    draw_ports,
    draw_way,
    nice_scale,
    port_axis,
    port_words,
    text,
    track_words,
    ways_of,
)
from vsipcheck.render.facts import describe

_STAGES = {
    Stage.BEFORE: "Before configuration",
    Stage.DURING: "During configuration",
    Stage.AFTER: "After configuration",
    Stage.OTHER: "At a stage that this version does not know",
}
_OVERALL_STATUS = {
    Overall.READY: Status.PASS,
    Overall.READY_WITH_WARNINGS: Status.WARN,
    Overall.NOT_READY: Status.FAIL,
}
_OVERALL_SENTENCE = {
    Overall.READY: "Nothing that counts failed, and all of it is proven: place the first test call.",
    Overall.READY_WITH_WARNINGS: "Nothing that counts failed, and all of it is proven. The warnings are worth a look.",
    Overall.NOT_READY: "Something that the trunk cannot do without failed.",
    Overall.NOT_PROVEN: "Nothing that counts failed, but not all of it could be proven.",
    Overall.OTHER: "This version does not know the verdict.",
}
# Each status has a shape of its own, for eyes and printers that know no colours.
_SHAPES = {
    Status.PASS: '<circle cx="8" cy="8" r="7.5"/><path class="ink" d="M4.4 8.3l2.4 2.4 4.8-5.2"/>',
    Status.WARN: '<path d="M8 .8 15.7 15H.3z"/><path class="ink" d="M8 6.2v4M8 12v.8"/>',
    Status.FAIL: '<path d="M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5z"/><path class="ink" d="M5.4 5.4l5.2 5.2m0-5.2'
    'l-5.2 5.2"/>',
    Status.UNKNOWN: '<path d="M8 0l8 8-8 8-8-8z"/><path class="ink" '
    'd="M6.1 6.7c0-2.6 3.8-2.5 3.8-.2C9.9 8 8 8 8 9.4M8 11.4v.6"/>',
    Status.SKIP: '<circle cx="8" cy="8" r="7.5"/><path class="ink" d="M4.8 8h6.4"/>',
    Status.OTHER: '<circle cx="8" cy="8" r="7.5"/><path class="ink" d="M8 4.2v5M8 11.4v.6"/>',
}
_NOT_GREEN = (Status.FAIL, Status.WARN, Status.UNKNOWN, Status.OTHER)


def render_html(report: Report) -> str:
    """One HTML document in UTF-8. Nothing in it comes unescaped from a peer, and its policy lets nothing be loaded."""
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    verdict = "" if report.overall is None else f": {overall_words(report.overall)}"
    title = text(f"{report.profile.title}{verdict}, {moment(report.started_at)}")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    sections = [(name, title, body) for name, title, body in _sections(report) if body]
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n',
            f'<meta name="generator" content="vsipcheck {text(report.tool.version)}">\n',
            f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n{_SYMBOLS}\n",
            _head(report),
            '<nav aria-label="Sections"><ul>',
            *(f'<li><a href="#{name}">{heading}</a></li>' for name, heading, _ in sections),
            "</ul></nav>\n<main>\n",
            *(
                f'<section id="{name}" aria-labelledby="{name}-h">\n<h2 id="{name}-h">{heading}</h2>\n{body}\n'
                "</section>\n"
                for name, heading, body in sections
            ),
            "</main>\n",
            _foot(report),
            "</body>\n</html>\n",
        )
    )


_SYMBOLS = (
    '<svg class="symbols" width="0" height="0" aria-hidden="true"><defs>'
    + "".join(f'<symbol id="i-{status}" viewBox="0 0 16 16">{shape}</symbol>' for status, shape in _SHAPES.items())
    + '<pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-ground" width="8" height="8"/><rect class="hatch-line" width="3.5" height="8"/></pattern>'
    "</defs></svg>"
)


def _sections(report: Report) -> Iterator[tuple[str, str, str]]:
    yield "act", "Who has to act", _actions(report)
    yield "send", "Ready to send", _requests(report)
    yield "checklist", "Checklist", _checklist(report)
    findings = report.findings
    bad = [finding for finding in findings if finding.status in (Status.FAIL, Status.WARN)]
    open_ = [finding for finding in findings if finding.status in (Status.UNKNOWN, Status.OTHER)]
    green = [finding for finding in findings if finding.status in (Status.PASS, Status.SKIP)]
    yield "seen", "What was seen", _findings(report, bad)
    yield "unknown", "What this run cannot know", _findings(report, open_)
    yield "errors", "Not measured to its end", _errors(report)
    yield "order", "In order, or not asked for", _green(report, green)
    yield "path", "The path", _paths(report)
    yield "ports", "Media ports", _ports(report)
    yield "timings", "Timings", _timings(report)
    yield "facts", "All facts", _facts(report)


def badge(status: Status) -> str:
    return (
        f'<span class="badge {status}"><svg class="icon" aria-hidden="true"><use href="#i-{status}"/></svg>'
        f"{status.upper()}</span>"
    )


def _head(report: Report) -> str:
    profile = report.profile
    if report.overall is None:
        statuses = [finding.status for finding in report.findings]
        status = min(statuses, key=SEVERITY.index, default=Status.UNKNOWN)
        words = counts_words(statuses) or "Nothing was judged"
        sentence = "These checks alone give no overall verdict."
    else:
        status = _OVERALL_STATUS.get(report.overall, Status.UNKNOWN)
        words = overall_words(report.overall).capitalize()
        sentence = _OVERALL_SENTENCE[report.overall]
    flags = [
        f'<p class="flag">{words}</p>'
        for applies, words in (
            (report.simulated, "<b>Simulated</b> no packet left this host"),
            (report.interrupted, "<b>Interrupted</b> what had not been measured by then is unknown"),
            (report.redacted, "<b>Redacted</b> addresses and names were replaced"),
        )
        if applies
    ]
    tally = "".join(
        f"<li>{badge(status)} {number}</li>" for status, number in counts(row.status for row in report.checklist)
    )
    reasons = "".join(f"<li>{badge(row.status)} <span>{text(row.title)}</span></li>" for row in deciding(report))
    facts = [("When", moment(report.started_at)), ("Took", time_span(report.duration_ms))]
    seen = addresses_seen(report)
    if seen:
        facts.append(("Seen from outside as", ", ".join(address for address, _ in seen)))
    elif asked_for_addresses(report):
        facts.append(("Seen from outside as", "not known, nobody answered"))
    facts.append(("Provider", f"{profile.provider}, {release_words(profile)}"))
    listed = "".join(f"<div><dt>{label}</dt><dd>{text(value)}</dd></div>" for label, value in facts)
    return (
        f'<header>\n<p class="brand">vsipcheck</p>\n<h1>{text(profile.title)}</h1>\n{"".join(flags)}\n'
        f'<div class="verdict {status}"><svg class="icon" aria-hidden="true"><use href="#i-{status}"/></svg><div>'
        f'<p class="word">{text(words)}</p><p>{sentence}</p>'
        + (f'<ul class="reasons">{reasons}</ul>' if reasons else "")
        + "</div></div>\n"
        + (f'<ul class="tally" aria-label="Rows of the checklist">{tally}</ul>\n' if tally else "")
        + f'<dl class="meta">{listed}</dl>\n</header>\n'
    )


def _actions(report: Report) -> str:
    cards = []
    for party in PARTIES:
        actions = [action for action in report.actions if action.party is party]
        if not actions:
            continue
        name = party_name(party, report.profile)
        items = "".join(
            f"<li><p>{text(action.what, 4000)}</p>{_because([key_words(key) for key in action.because])}</li>"
            for action in actions
        )
        cards.append(f'<div class="card party"><h3>{text(name[:1].upper() + name[1:])}</h3><ul>{items}</ul></div>')
    return "".join(cards)


def _requests(report: Report) -> str:
    """Letters, to be copied as they are."""
    cards = []
    for request in report.requests:
        before = (
            f'<p class="note"><b>Before you do:</b> {text(said, 2000)}</p>'
            if (said := before_sending(report, request))
            else ""
        )
        cards.append(
            f'<article class="card"><h3>To {text(party_name(request.party, report.profile))}: {text(request.subject)}'
            f'</h3>{before}<pre class="letter-text">{_lines(request.text)}</pre></article>'
        )
    return "".join(cards)


def _because(keys: Sequence[str]) -> str:
    if not keys:
        return ""
    shown = ", ".join(f"<code>{text(key)}</code>" for key in keys[:6])
    more = f" and {len(keys) - 6} more" if len(keys) > 6 else ""
    return f'<p class="because">because of {shown}{more}</p>'


def _checklist(report: Report) -> str:
    parts = []
    for stage, title in _STAGES.items():
        rows = [row for row in report.checklist if row.stage is stage]
        if not rows:
            continue
        asked = [row for row in rows if row.status is not Status.SKIP]
        skipped = [row for row in rows if row.status is Status.SKIP]
        parts.append(f"<h3>{title}</h3>")
        if asked:
            parts.append(f'<ul class="rows card">{"".join(_row(report, row) for row in asked)}</ul>')
        if skipped:
            noun = "row was" if len(skipped) == 1 else "rows were"
            parts.append(
                f'<details class="skipped"><summary>{len(skipped)} {noun} not asked for</summary>'
                f'<ul class="rows card">{"".join(_row(report, row) for row in skipped)}</ul></details>'
            )
    if any(not row.gating and row.status is not Status.SKIP for row in report.checklist):
        parts.append('<p class="note">Rows marked <i class="aside-mark">aside</i> do not decide the verdict.</p>')
    return "".join(parts)


def _row(report: Report, row: ChecklistRow) -> str:
    who = "" if row.fault_domain is None else f'<p class="who">{text(party_name(row.fault_domain, report.profile))}</p>'
    aside = "" if row.gating or row.status is Status.SKIP else ' <i class="aside-mark">aside</i>'
    return (
        f'<li>{badge(row.status)}<div><p class="title">{text(row.title)}{aside}</p><p>{text(row.summary, 2000)}</p>'
        f"</div>{who}</li>"
    )


def _findings(report: Report, findings: Iterable[Finding]) -> str:
    return "".join(_group(report, group) for group in grouped(worst_first(findings)))


def _green(report: Report, findings: Iterable[Finding]) -> str:
    """What nobody has to act on, a line each."""
    rows = []
    for group in grouped(worst_first(findings)):
        targets = " ".join(f"<code>{text(finding.target)}</code>" for finding in group.findings if finding.target)
        summaries = [group.summary] if group.summary is not None else [finding.summary for finding in group.findings]
        told = "".join(f"<p>{text(summary, 2000)}</p>" for summary in summaries)
        rows.append(
            f'<li>{badge(group.first.status)}<div><p class="title">{text(group.first.id)} {targets}</p>{told}'
            f"{_figures(group)}</div></li>"
        )
    return f'<ul class="rows card">{"".join(rows)}</ul>' if rows else ""


def _group(report: Report, group: Group) -> str:
    first = group.first
    targets = [finding.target for finding in group.findings if finding.target]
    if group.summary is not None:
        body = f"<p>{text(group.summary, 4000)}</p>"
    else:
        items = "".join(
            f"<div><dt><code>{text(f.target or '-')}</code></dt><dd>{text(f.summary, 4000)}</dd></div>"
            for f in group.findings
        )
        body = f'<dl class="each">{items}</dl>'
    advice = [
        (label, value)
        for label, value in (
            ("Who", blame(first, report.profile) if first.status in _NOT_GREEN else None),
            ("At", first.location),
            ("To do", group.remedy),
            ("Settled by", first.settle_by),
            ("Guide", first.guide_section),
        )
        if value
    ]
    listed = "".join(f"<div><dt>{label}</dt><dd>{text(value, 4000)}</dd></div>" for label, value in advice)
    named = " ".join(f"<code>{text(target)}</code>" for target in targets) if group.summary is not None else ""
    patch = "\n".join(map(html.escape, patch_lines(first)))
    return (
        f'<article class="card finding">\n<h3>{badge(first.status)} <span>{text(first.id)}</span></h3>'
        + (f'<p class="targets">{named}</p>' if named else "")
        + body
        + (f'<dl class="advice">{listed}</dl>' if listed else "")
        + (f'<pre class="patch">{patch}</pre>' if patch else "")
        + _figures(group)
        + "</article>\n"
    )


def _figures(group: Group) -> str:
    first = group.first
    failure = f", {first.failure}" if first.failure and first.failure != first.reason else ""
    items = [f"<li>reason <code>{text(f'{first.reason}{failure}')}</code></li>"]
    for finding in group.findings:
        lead = f"<code>{text(finding.target or '-')}</code> " if len(group.findings) > 1 else ""
        if finding.measures:
            told = "; ".join(measure_words(measure) for measure in finding.measures)
            items.append(f"<li>{lead}{text(told, 2000)}</li>")
        if finding.facts:
            items.append(f"<li>{lead}rests on <code>{text(fact_words(finding.facts), 2000)}</code></li>")
    return f'<details class="figures"><summary>Figures and facts</summary><ul>{"".join(items)}</ul></details>'


def _errors(report: Report) -> str:
    items = [
        f"<dt>{text(name)}</dt><dd><pre>{_lines(evidence.error)}</pre></dd>"
        for name, evidence in report.evidence.items()
        if evidence.error
    ]
    return f'<dl class="card errors">{"".join(items)}</dl>' if items else ""


def _lines(message: str) -> str:
    """Text of several lines, each of them harmless; split at our own line ends only."""
    return "\n".join(text(line.removesuffix("\r"), 4000) for line in message.strip("\n").split("\n"))


def _of(report: Report, kind: type) -> list:  # type: ignore[type-arg]
    return [fact for evidence in report.evidence.values() for fact in evidence.facts if isinstance(fact, kind)]


def _names(report: Report) -> dict[str, str]:
    """What a target address stands for: the names of signalling, the regions of media."""
    names = {media.address: f"media, {media.region}" for media in report.profile.media.addresses}
    for finding in report.findings:
        name, at, address = (finding.target or "").partition("@")
        if at:
            names.setdefault(address, name)
    return names


def _ways(report: Report) -> list[Way]:
    return ways_of(_of(report, Hop), _of(report, PortSpan), report.paths)


def _paths(report: Report) -> str:
    names = _names(report)
    cards = []
    for way in _ways(report):
        legend = "".join(
            f'<li><b class="letter t{number % 4}">{chr(ord("A") + number % 26)}</b> '
            f"{text(track_words(way, track))}</li>"
            for number, track in enumerate(way.tracks)
        )
        name = way.name or names.get(way.target)
        aside = f'<p class="because">{text(name)}</p>' if name else ""
        cards.append(
            f'<figure class="card"><figcaption><h3>to {text(way.target)}</h3>{aside}</figcaption>'
            f'{draw_way(way, report.profile)}<ul class="legend">{legend}</ul>{_whose(report, way)}</figure>'
        )
    if not cards:
        return ""
    return (
        '<p class="note">Top to bottom, router by router. A line goes as far as a series of probes was seen, a double '
        "ring is an answer of the target itself. A cross stands where a series was refused, or stopped while controls, "
        "sent at the same moment to the same distance, were answered; a small ring is silence that proves nothing.</p>"
        f'<div class="paths">{"".join(cards)}</div>'
    )


def _whose(report: Report, way: Way) -> str:
    """Why each router is taken for whose it is."""
    hops = next((path.hops for path in report.paths if path.target == way.target), ())
    items = [
        f"<li>hop {hop.ttl} <code>{text(hop.address)}</code>: {text(party_name(hop.zone, report.profile))}, "
        f"{text(hop.why)}</li>"
        for hop in hops
        if hop.address is not None
    ]
    if not items:
        return ""
    return f'<details class="figures"><summary>Whose routers</summary><ul>{"".join(items)}</ul></details>'


def _ports(report: Report) -> str:
    spans: list[PortSpan] = _of(report, PortSpan)
    if not spans:
        return ""
    profile = report.profile
    edges = {way.target: way.edge for way in _ways(report)}
    verdicts = {finding.target: finding for finding in report.findings if finding.id == "media.egress"}
    names = _names(report)
    axis = "".join(f"<li>{port}</li>" for port in port_axis(profile))
    legend = "".join(
        f'<li><svg class="key" viewBox="0 0 22 12" aria-hidden="true"><rect class="{name}" x="1" y="1" width="20" '
        f'height="10"/></svg> {words}</li>'
        for name, words in OUTCOMES.items()
    )
    cards = []
    for target, members in by_target(spans):
        finding, edge = verdicts.get(target), edges.get(target, 1)
        told = "".join(
            f"<li>{text(words)}: {text(ports, 2000)}</li>" for words, ports in port_words(members, target, edge)
        )
        cards.append(
            f'<figure class="card"><figcaption><h3>{badge(finding.status) if finding else ""} '
            f"<span>{text(target)}</span></h3>"
            + (f'<p class="because">{text(names[target])}</p>' if target in names else "")
            + (f"<p>{text(finding.summary, 2000)}</p>" if finding else "")
            + f"</figcaption>{draw_ports(members, target, profile, edge)}"
            f'<ul class="axis" aria-hidden="true">{axis}</ul>'
            f'<details class="figures"><summary>Ports in words</summary><ul>{told}</ul></details></figure>'
        )
    first, last = profile.media.first_port, profile.media.last_port
    return (
        f'<p class="note">UDP {first} to {last} of each media address, and the ports of it that were tried. '
        "A single port shows its own fate only; the verdict weighs them all.</p>"
        f'<ul class="legend inline">{legend}</ul><div class="maps">{"".join(cards)}</div>'
    )


def _milliseconds(finding: Finding) -> Iterator[tuple[float, float, float | None, list[Measure]]]:
    """Start, end, mark and measures of each bar: smallest to largest with the median, or one figure from 0."""
    figures = {m.name: (m, m.value) for m in finding.measures if m.unit == "ms" and m.value is not None}
    spans = [stem for name in figures if name != (stem := name.removesuffix("_min_ms")) and f"{stem}_max_ms" in figures]
    for stem in spans:
        low, high, middle = (figures.pop(f"{stem}_{which}_ms", None) for which in ("min", "max", "median"))
        if low and high:
            yield low[1], high[1], middle and middle[1], [figure[0] for figure in (low, middle, high) if figure]
    for measure, value in figures.values():
        yield 0.0, value, None, [measure]


def _timings(report: Report) -> str:
    bars = [(finding, *bar) for finding in report.findings for bar in _milliseconds(finding)]
    parts = []
    if bars:
        scale = nice_scale(max(end for _, _, end, _, _ in bars))
        items = []
        for finding, start, end, mark, measures in bars:
            limits = [
                (kind, limit)
                for measure in measures
                for kind, limit in (("warn", measure.warn), ("fail", measure.fail))
                if limit is not None
            ]
            figures = "; ".join(measure_words(measure) for measure in measures)
            items.append(
                f'<li><p class="title">{text(finding.id)} <code>{text(finding.target or "")}</code></p>'
                f"{draw_bar(start, end, scale, mark=mark, limits=limits)}<p>{text(figures)}</p></li>"
            )
        parts.append(
            f'<h3>Round trips</h3><p class="note">The scale runs from 0 to {time_span(scale)}. A bar that begins later '
            f"goes from the shortest to the longest, with the median as a notch.</p>"
            f'<ul class="timings card">{"".join(items)}</ul>'
        )
    if report.evidence:
        items = [
            f'<li><p class="title">{text(name)}</p>'
            f"{draw_bar(evidence.offset_ms, evidence.offset_ms + evidence.duration_ms, report.duration_ms)}"
            f"<p>began at {time_span(evidence.offset_ms)}, took {time_span(evidence.duration_ms)}</p></li>"
            for name, evidence in report.evidence.items()
        ]
        parts.append(
            f'<h3>The run</h3><p class="note">The scale runs from its start to its end, '
            f"{time_span(report.duration_ms)}.</p>"
            f'<ul class="timings card">{"".join(items)}</ul>'
        )
    return "".join(parts)


def _facts(report: Report) -> str:
    parts = [_check_facts(name, evidence) for name, evidence in report.evidence.items()]
    traffic = report.traffic
    rows = "".join(
        f"<tr><td>{text(to.address)}</td><td>{text(to.protocol)}</td>"
        f"<td>{'several' if to.port is None else to.port}</td><td>{to.packets}</td><td>{to.bytes}</td></tr>"
        for to in traffic.by_destination
    )
    parts.append(
        f"<details><summary>What was sent <span>{traffic.packets_sent} packets, {traffic.bytes_sent} bytes</span>"
        '</summary><div class="scroll"><table><thead><tr><th>Address</th><th>Protocol</th><th>Port</th><th>Packets</th>'
        f"<th>Bytes</th></tr></thead><tbody>{rows}</tbody></table></div></details>"
    )
    return f'<div class="card facts">{"".join(parts)}</div>'


def _check_facts(name: str, evidence: CheckEvidence) -> str:
    items = "".join(_fact(fact) for fact in evidence.facts)
    noun = "fact" if len(evidence.facts) == 1 else "facts"
    return (
        f"<details><summary>{text(name)} <span>{len(evidence.facts)} {noun}, took {time_span(evidence.duration_ms)}"
        f"</span></summary><ul>{items}</ul></details>"
    )


def _fact(fact: object) -> str:
    id = getattr(fact, "id", "")
    messages = "".join(_message(message) for message in fact.messages) if isinstance(fact, Exchange) else ""
    return f"<li><code>{text(id)}</code> {text(describe(fact), 2000)}{messages}</li>"  # type: ignore[arg-type]


def _message(message: Message) -> str:
    what = "sent" if message.sent else "received"
    cut = ", cut here" if message.truncated else ""
    return (
        f'<p class="because">{what} at {time_span(message.offset_ms)}, {message.size} bytes{cut}</p>'
        f'<pre class="{what}">{_lines(message.text)}</pre>'
    )


def _foot(report: Report) -> str:
    host = report.host
    icmp = "ICMP errors are shown to us" if host.icmp_errors else "ICMP errors are not shown to us"
    return (
        f"<footer><p>vsipcheck {text(report.tool.version)} · profile {text(report.profile.name)} of "
        f"{text(report.profile.dated)} · {text(host.os)}, Python {text(host.python)}, {icmp}</p>"
        f"<p>Run <code>{text(report.run_id)}</code>, exit code {report.exit_code}</p></footer>\n"
    )
