"""Inline SVG for the report page: the path to a target, a map of the media ports, and bars for times.

Shapes and words say everything; colours only repeat it. No script, no style attribute, no reference outside the page.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from vsipcheck.model import Failure, FaultDomain, Hop, Path, PortSpan, Profile
from vsipcheck.render.digest import party_name
from vsipcheck.render.safe import clean

# Known series and the words for them, in the order of the tracks. The second is made here, of ports and not of hops.
_BLOCKED = "udp_blocked"
_SERIES = {
    "udp_in_range": "UDP to media ports",
    _BLOCKED: "UDP to blocked media ports",
    "udp_control": "UDP to control ports",
}
_ENDS = {
    "answered": "the target itself answers",
    "connected": "the target accepts the connection",
    "refused": "the connection is refused (RST)",
}
_ROW = 34  # of the path drawing, in its own units
_HEAD = 26
_TRACK = 22
_WIDTH = 336
_MAP_WIDTH = 1000
_TIME_EXCEEDED = {4: 11, 6: 3}  # by IP version


def text(value: str, limit: int = 400) -> str:
    """Foreign text, harmless in a page and in an attribute."""
    return html.escape(clean(value, limit=limit))


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """How far one series of probes got: TTLs that were answered, that were silent, and the one where it was stopped."""

    series: str
    answered: frozenset[int]
    silent: frozenset[int]
    stopped: int | None  # silent although a control at the same moment and distance was answered; 0: this host
    end: str | None = None  # what the target did: "answered", "connected", "refused"
    refused: bool = False  # who stands at `stopped` said so

    @property
    def farthest(self) -> int:
        return max(self.answered, default=0)


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """The way to one target: routers and whose they are, and what became of each series. TTLs are keys."""

    target: str
    name: str | None
    hops: dict[int, tuple[str, ...]]
    zones: dict[int, FaultDomain]
    rtts_ms: dict[int, float]
    tracks: tuple[Track, ...]

    @property
    def length(self) -> int:
        """The last TTL that is drawn."""
        far = [track.farthest for track in self.tracks] + [track.stopped or 0 for track in self.tracks]
        return max([*far, *self.hops], default=0)

    @property
    def edge(self) -> int:
        """The last hop of the customer's own network, as far as is known."""
        return max((ttl for ttl, zone in self.zones.items() if zone is FaultDomain.LOCAL_NETWORK), default=1)


def series_words(series: str) -> str:
    if series in _SERIES:
        return _SERIES[series]
    kind, _, port = series.partition("_")
    return f"{kind.upper()} {port}" if port.isdigit() else series.replace("_", " ")


def ways_of(hops: Iterable[Hop], spans: Iterable[PortSpan] = (), paths: Iterable[Path] = ()) -> list[Way]:
    """One way for each target that was traced, in the order of the facts.

    `spans` show where its ports are blocked; `paths` what was judged: whose the routers are, and what TCP came to.
    """
    judged = {path.target: path for path in paths}
    tried = list(spans)
    traced: dict[str, list[Hop]] = {}
    for hop in hops:
        if hop.series != "udp_public":
            traced.setdefault(hop.target, []).append(hop)
    ways = [_way(target, members, judged.get(target)) for target, members in traced.items()]
    return [_with_blocked(way, [span for span in tried if span.target == way.target]) for way in ways]


def _way(target: str, members: Sequence[Hop], judged: Path | None) -> Way:
    routers: dict[int, dict[str, None]] = {}
    rtts: dict[int, float] = {}
    for hop in members:
        if hop.address is not None and _passed(hop):
            routers.setdefault(hop.ttl, {})[hop.address] = None
            if hop.rtt_ms is not None:
                rtts[hop.ttl] = min(hop.rtt_ms, rtts.get(hop.ttl, hop.rtt_ms))
    if judged is not None:  # the first hops may have been seen on another way
        for known in judged.hops:
            if known.address is not None and known.ttl not in routers:
                routers[known.ttl] = {known.address: None}
                if known.rtt_ms is not None:
                    rtts[known.ttl] = known.rtt_ms
    ends = {} if judged is None else {series.id: series.outcome for series in judged.series}
    order = list(dict.fromkeys([*_SERIES, *sorted({hop.series for hop in members})]))
    tracks = [
        _track(series, [hop for hop in members if hop.series == series], ends.get(series))
        for series in order
        if any(hop.series == series for hop in members)
    ]
    return Way(
        target=target,
        name=None if judged is None else judged.name,
        hops={ttl: tuple(addresses) for ttl, addresses in sorted(routers.items())},
        zones={} if judged is None else {hop.ttl: hop.zone for hop in judged.hops},
        rtts_ms=rtts,
        tracks=tuple(tracks),
    )


def _passed(hop: Hop) -> bool:
    """A router told that the probes came as far as their TTL. Who refuses them does not tell that."""
    return hop.icmp is not None and not hop.reached and hop.icmp.type == _TIME_EXCEEDED.get(hop.icmp.version)


def _track(series: str, hops: Sequence[Hop], end: str | None) -> Track:
    answered = {hop.ttl for hop in hops if _passed(hop)}
    farthest = max(answered, default=0)
    reached = any(hop.reached for hop in hops)
    silent = {hop.ttl for hop in hops if not hop.answered} - answered
    stopped = min((hop.ttl for hop in hops if hop.ttl > farthest and not hop.answered and hop.contrasts), default=None)
    return Track(
        series=series,
        answered=frozenset(answered),
        silent=frozenset(silent),
        stopped=stopped,
        end="answered" if reached and end not in _ENDS else end if end in _ENDS else None,
    )


def _with_blocked(way: Way, spans: Sequence[PortSpan]) -> Way:
    """The way with a track of its own for ports that are blocked."""
    blocked = [span for span in spans if port_outcome(span, way.target) == "blocked"]
    if not blocked:
        return way
    stopped = refused = None
    senders = {span.icmp.address for span in blocked if span.icmp is not None and span.icmp.address}
    if any(span.outcome == "local" for span in blocked):
        stopped = refused = 0
    elif senders:
        refused = min((ttl for ttl, routers in way.hops.items() if senders & {*routers}), default=None)
        stopped = refused
    if stopped is None:
        stopped = min((span.stopped_ttl for span in blocked if span.stopped_ttl is not None), default=None)
    farthest = max((span.reached_ttl for span in blocked if span.reached_ttl is not None), default=0)
    if stopped is not None and farthest >= stopped:  # some of them were seen beyond: then they differ
        farthest = max(stopped - 1, 0)
    track = Track(
        series=_BLOCKED,
        answered=frozenset(range(1, min(farthest, way.length) + 1)),
        silent=frozenset(),
        stopped=stopped,
        refused=refused is not None,
    )
    first = [known for known in way.tracks if known.series == "udp_in_range"]
    rest = [known for known in way.tracks if known.series != "udp_in_range"]
    # Where none got through, a track of those that did has nothing to say.
    beyond = (stopped or 0) + (refused is not None)
    shown = [known for known in first if known.farthest >= beyond or known.end]
    return msgspec.structs.replace(way, tracks=(*shown, track, *rest))


def track_words(way: Way, track: Track) -> str:
    """What became of one series, in a sentence without its full stop."""
    name = series_words(track.series)
    if track.end is not None:
        return f"{name}: {_ENDS[track.end]}"
    if track.stopped == 0:
        return f"{name}: stopped by this host itself"
    there = "" if track.stopped is None else _hop_name(way, track.stopped)
    if track.refused:
        return f"{name}: refused by {there}"
    controls = f"{there}, which answered controls at the same moment"
    if not track.answered:
        return f"{name}: not seen by {controls}" if there else f"{name}: no router told how far it gets"
    seen = f"{name}: seen as far as {_hop_name(way, track.farthest)}"
    return f"{seen}, not by {controls}" if there else seen


def _hop_name(way: Way, ttl: int) -> str:
    routers = way.hops.get(ttl, ())
    return f"hop {ttl}" + (f" ({routers[0]})" if routers else "")


def draw_way(way: Way, profile: Profile) -> str:
    """A way from top to bottom: a track for each series, a row for each hop, and above it whose it is."""
    left = 12 + _TRACK * len(way.tracks)
    rows = [_hop_words(left, _HEAD + 10, "this host", None)]
    at = {0: _HEAD + 10}
    y = _HEAD + _ROW
    zone: FaultDomain | None = FaultDomain.LOCAL_NETWORK
    for ttl in range(1, way.length + 1):
        here = way.zones.get(ttl, zone)
        if here is not None and here is not zone:
            rows.append(_boundary(left, y, _zone_name(here, profile)))
            y += 20
            zone = here
        at[ttl] = y + 10
        addresses = way.hops.get(ttl, ())
        name = f"{ttl}  {addresses[0]}" if addresses else f"{ttl}  no answer"
        aside = [f"{way.rtts_ms[ttl]:.1f} ms"] if ttl in way.rtts_ms else []
        aside += [f"and {len(addresses) - 1} more"] if len(addresses) > 1 else []
        rows.append(_hop_words(left, at[ttl], name, " \N{MIDDLE DOT} ".join(aside), faint=not addresses))
        y += _ROW
    target = None
    if any(track.end for track in way.tracks):
        rows.append(_boundary(left, y, "The target"))
        target = y + 30
        rows.append(_hop_words(left, target, way.target, None))
        y = target + 16
    tracks = [_draw_track(track, number, 10 + _TRACK * number, at, target) for number, track in enumerate(way.tracks)]
    label = "; ".join(track_words(way, track) for track in way.tracks)
    return (
        f'<svg class="path" viewBox="0 0 {_WIDTH} {y}" role="img" aria-label="{text(label, 1500)}">'
        f'<text class="zone" x="{left}" y="13">Your network</text>{"".join(rows)}{"".join(tracks)}</svg>'
    )


def _zone_name(zone: FaultDomain, profile: Profile) -> str:
    if zone is FaultDomain.UNDETERMINED:
        return "Whose is not known"
    name = party_name(zone, profile)
    return name[:1].upper() + name[1:]


def _boundary(x: int, y: int, name: str) -> str:
    return (
        f'<line class="edge" x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}"/>'
        f'<text class="zone" x="{x}" y="{y + 13}">{text(name)}</text>'
    )


def _hop_words(x: int, y: int, name: str, aside: str | None, *, faint: bool = False) -> str:
    style = "hop faint" if faint else "hop"
    beside = f'<text class="aside" x="{x}" y="{y + 16}">{text(aside)}</text>' if aside else ""
    return f'<text class="{style}" x="{x}" y="{y + 4}">{text(name, 46)}</text>{beside}'


def _draw_track(track: Track, number: int, x: int, at: dict[int, int], target: int | None) -> str:
    """A letter, a line as far as the series was seen, a dot for each answer, a cross where it was stopped."""
    tone = f"t{number % 4}"
    parts = [f'<text class="letter {tone}" x="{x}" y="13">{chr(ord("A") + number % 26)}</text>']
    parts.append(f'<circle class="dot {tone}" cx="{x}" cy="{at[0]}" r="4"/>')
    ended = target if track.end is not None else None
    last = ended if ended is not None else at[track.farthest]
    if last > at[0]:
        parts.append(f'<line class="line {tone}" x1="{x}" x2="{x}" y1="{at[0]}" y2="{last}"/>')
    beyond = track.stopped or max((ttl for ttl in track.silent if track.farthest < ttl and ttl in at), default=0)
    if ended is None and at[beyond] > last:
        parts.append(f'<line class="line lost {tone}" x1="{x}" x2="{x}" y1="{last}" y2="{at[beyond] - 8}"/>')
    parts += [f'<circle class="dot {tone}" cx="{x}" cy="{at[ttl]}" r="4"/>' for ttl in sorted(track.answered)]
    parts += [
        f'<circle class="hollow {tone}" cx="{x}" cy="{at[ttl]}" r="2.5"/>'
        for ttl in sorted(track.silent)
        if ttl in at and ttl != track.stopped
    ]
    if ended is not None and track.end != "refused":
        parts.append(f'<circle class="ring {tone}" cx="{x}" cy="{ended}" r="6.5"/>')
        parts.append(f'<circle class="dot {tone}" cx="{x}" cy="{ended}" r="4"/>')
    crossed = ended if track.end == "refused" else None if track.stopped is None else at[track.stopped]
    if crossed is not None:
        parts.append(
            f'<path class="cross" d="M{x - 5} {crossed - 5}L{x + 5} {crossed + 5}'
            f'M{x - 5} {crossed + 5}L{x + 5} {crossed - 5}"/>'
        )
    return "".join(parts)


def port_outcome(span: PortSpan, target: str, edge: int = 1) -> str:
    """`passed`, `blocked` or `nodata`: what these ports show by themselves. The finding weighs them all.

    `edge` is the last hop of the customer's network: a port that was seen no farther has not shown that it leaves.
    """
    if span.outcome == "answered":
        return "passed"
    if span.outcome == "icmp":
        from_target = span.icmp is not None and span.icmp.address == target
        return "passed" if from_target and span.failure is Failure.PORT_UNREACHABLE else "blocked"
    if span.outcome == "local":
        return "blocked"
    if span.stopped_ttl is not None and span.controls_answered >= max(span.controls_needed, 1):
        return "blocked"
    return "passed" if (span.reached_ttl or 0) > edge and span.stopped_ttl is None else "nodata"


OUTCOMES = {
    "passed": "seen beyond your network, or answered",
    "blocked": "stopped while a control went on, or refused",
    "nodata": "tells nothing",
}


def merged_ports(spans: Iterable[PortSpan], target: str, edge: int = 1) -> list[tuple[int, int, str]]:
    """First port, last port and outcome, neighbours with the same outcome as one. What was asked again counts last."""
    latest: dict[tuple[int, int], str] = {}
    for span in spans:
        latest[span.first_port, span.last_port] = port_outcome(span, target, edge)
    merged: list[tuple[int, int, str]] = []
    for (first, last), outcome in sorted(latest.items()):
        if merged and merged[-1][2] == outcome and first == merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], last, outcome)
        else:
            merged.append((first, last, outcome))
    return merged


def draw_ports(spans: Sequence[PortSpan], target: str, profile: Profile, edge: int = 1) -> str:
    """The media range as a bar: a block for each port or span that was tried, filled or hatched by its outcome."""
    first, last = profile.media.first_port, profile.media.last_port
    across = max(last - first, 1)

    def x(port: float) -> float:
        return round(min(max((port - first) / across, 0.0), 1.0) * _MAP_WIDTH, 1)

    blocks = []
    merged = merged_ports(spans, target, edge)
    # The widest first, so that a single port stays in sight on the span around it.
    for start, end, outcome in sorted(merged, key=lambda block: block[0] - block[1]):
        left, width = x(start), max(x(end) - x(start), 9.0)
        left = min(left, _MAP_WIDTH - width)
        ports = f"{start}" if start == end else f"{start}-{end}"
        blocks.append(
            f'<rect class="{outcome}" x="{left}" y="4" width="{round(width, 1)}" height="28"><title>{ports}: '
            f"{OUTCOMES[outcome]}</title></rect>"
        )
    told = "; ".join(f"{words}: {ports}" for words, ports in port_words(spans, target, edge))
    return (
        f'<svg class="ports" viewBox="0 0 {_MAP_WIDTH} 36" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(told or "no port was tried", 1500)}">'
        f'<rect class="range" x="0" y="8" width="{_MAP_WIDTH}" height="20"/>{"".join(blocks)}</svg>'
    )


def port_words(spans: Sequence[PortSpan], target: str, edge: int = 1, most: int = 24) -> list[tuple[str, str]]:
    """Each outcome that occurs, with its ports in words."""
    told = []
    merged = merged_ports(spans, target, edge)
    for outcome, words in OUTCOMES.items():
        ports = [f"{a}" if a == b else f"{a}-{b}" for a, b, other in merged if other == outcome]
        if ports:
            more = f" and {len(ports) - most} more" if len(ports) > most else ""
            told.append((words, ", ".join(ports[:most]) + more))
    return told


def port_axis(profile: Profile) -> list[int]:
    """Round ports to name under the bar: both ends, and what divides the range."""
    first, last = profile.media.first_port, profile.media.last_port
    step = max((last - first) // 3, 1)
    return [first, *(port for port in range(first + step, last - step // 2, step)), last]


def draw_bar(
    start: float, end: float, scale: float, *, mark: float | None = None, limits: Sequence[tuple[str, float]] = ()
) -> str:
    """A horizontal bar from `start` to `end` of 0..`scale`, with a mark in it and limits across it."""

    def x(value: float) -> float:
        return round(min(max(value / scale, 0.0), 1.0) * 1000, 1) if scale > 0 else 0.0

    width = max(round(x(end) - x(start), 1), 4.0)
    left = min(x(start), 1000 - width)
    parts = ['<rect class="rail" x="0" y="3" width="1000" height="8"/>']
    parts.append(f'<rect class="bar" x="{left}" y="1" width="{width}" height="12"/>')
    if mark is not None:
        parts.append(f'<line class="mark" x1="{x(mark)}" x2="{x(mark)}" y1="0" y2="14"/>')
    parts += [
        f'<line class="limit {kind}" x1="{x(limit)}" x2="{x(limit)}" y1="0" y2="14"/>'
        for kind, limit in limits
        if limit <= scale
    ]
    return (
        f'<svg class="bars" viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'
    )


def nice_scale(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten at or above `value`."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    while power > value > 0:
        power /= 10
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value) if value > 0 else 1.0


def by_target(spans: Iterable[PortSpan]) -> list[tuple[str, list[PortSpan]]]:
    """The spans of each target, in the order of the facts."""
    ordered = list(spans)
    targets = list(dict.fromkeys(span.target for span in ordered))
    ordered.sort(key=lambda span: targets.index(span.target))
    return [(target, list(members)) for target, members in groupby(ordered, key=lambda span: span.target)]
