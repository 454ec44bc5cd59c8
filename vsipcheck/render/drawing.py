"""Inline SVG for the report page: the path to a target, a map of the media ports, and bars for times.

Shapes and words say everything; colours only repeat it. No script, no style attribute, no reference outside the page.
"""

from __future__ import annotations

import html
import ipaddress
from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from vsipcheck.model import Failure, Hop, PortSpan, Profile
from vsipcheck.render.safe import clean

# Known series and the words for them, in the order of the tracks. The second is made here, of ports and not of hops.
_BLOCKED = "udp_blocked"
_SERIES = {
    "udp_in_range": "UDP to media ports",
    _BLOCKED: "UDP to blocked media ports",
    "udp_control": "UDP to control ports",
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
    reached: int | None  # the target itself answered
    refused: bool = False  # who stands at `stopped` said so

    @property
    def farthest(self) -> int:
        return max(self.answered, default=0)


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """What all series towards one target have shown. `hops` has the routers by TTL."""

    target: str
    hops: dict[int, tuple[str, ...]]
    rtts_ms: dict[int, float]
    tracks: tuple[Track, ...]

    @property
    def length(self) -> int:
        """The last TTL that is drawn."""
        far = [track.farthest for track in self.tracks] + [track.stopped or 0 for track in self.tracks]
        return max([*far, *self.hops], default=0)


def series_words(series: str) -> str:
    if series in _SERIES:
        return _SERIES[series]
    kind, _, port = series.partition("_")
    return f"{kind.upper()} {port}" if port.isdigit() else series.replace("_", " ")


def paths_of(hops: Iterable[Hop], spans: Sequence[PortSpan] = ()) -> list[Path]:
    """One path for each target that was traced, in the order of the facts; `spans` show where its ports are blocked."""
    traced: dict[str, list[Hop]] = {}
    for hop in hops:
        if hop.series != "udp_public":
            traced.setdefault(hop.target, []).append(hop)
    paths = [_path(target, members) for target, members in traced.items()]
    return [_with_blocked(path, [span for span in spans if span.target == path.target]) for path in paths]


def _with_blocked(path: Path, spans: Sequence[PortSpan]) -> Path:
    """The path with a track of its own for ports that are blocked."""
    blocked = [span for span in spans if port_outcome(span, path.target) == "blocked"]
    if not blocked:
        return path
    stopped = refused = None
    senders = {span.icmp.address for span in blocked if span.icmp is not None and span.icmp.address}
    if any(span.outcome == "local" for span in blocked):
        stopped = refused = 0
    elif senders:
        refused = min((ttl for ttl, routers in path.hops.items() if senders & {*routers}), default=None)
        stopped = refused
    if stopped is None:
        stopped = min((span.stopped_ttl for span in blocked if span.stopped_ttl is not None), default=None)
    farthest = max((span.reached_ttl for span in blocked if span.reached_ttl is not None), default=0)
    if stopped is not None and farthest >= stopped:  # some of them were seen beyond: then they differ
        farthest = stopped - 1 if refused is None else stopped
    track = Track(
        series=_BLOCKED,
        answered=frozenset(range(1, min(farthest, path.length) + 1)),
        silent=frozenset(),
        stopped=stopped,
        reached=None,
        refused=refused is not None,
    )
    first = [known for known in path.tracks if known.series == "udp_in_range"]
    rest = [known for known in path.tracks if known.series != "udp_in_range"]
    # Where none got through, a track of those that did has nothing to say.
    shown = [known for known in first if known.farthest > track.farthest]
    return msgspec.structs.replace(path, tracks=(*shown, track, *rest))


def _path(target: str, members: Sequence[Hop]) -> Path:
    reached = min((hop.ttl for hop in members if hop.reached), default=None)
    routers: dict[int, dict[str, None]] = {}
    rtts: dict[int, float] = {}
    for hop in members:
        ttl = reached if hop.reached and reached is not None else hop.ttl
        if hop.address is None or (reached is not None and hop.ttl > reached and not hop.reached):
            continue
        if not _passed(hop):
            continue  # who prohibits, not who stands at this distance
        routers.setdefault(ttl, {})[hop.address] = None
        if hop.rtt_ms is not None:
            rtts[ttl] = min(hop.rtt_ms, rtts.get(ttl, hop.rtt_ms))
    order = list(dict.fromkeys([*_SERIES, *sorted({hop.series for hop in members})]))
    tracks = [
        _track(series, [hop for hop in members if hop.series == series])
        for series in order
        if any(hop.series == series for hop in members)
    ]
    return Path(
        target=target,
        hops={ttl: tuple(addresses) for ttl, addresses in sorted(routers.items())},
        rtts_ms=rtts,
        tracks=tuple(tracks),
    )


def _passed(hop: Hop) -> bool:
    """The probes came as far as their TTL, or to the target."""
    if hop.icmp is None:
        return hop.reached
    return hop.reached or hop.icmp.type == _TIME_EXCEEDED.get(hop.icmp.version)


def _track(series: str, hops: Sequence[Hop]) -> Track:
    reached = min((hop.ttl for hop in hops if hop.reached), default=None)
    answered = {hop.ttl for hop in hops if _passed(hop) and (reached is None or hop.ttl <= reached)}
    farthest = max(answered, default=0)
    silent = {hop.ttl for hop in hops if not hop.answered} - answered
    stopped = min((hop.ttl for hop in hops if hop.ttl > farthest and not hop.answered and hop.contrasts), default=None)
    return Track(
        series=series,
        answered=frozenset(answered),
        silent=frozenset(silent),
        stopped=stopped,
        reached=reached,
    )


def track_words(path: Path, track: Track) -> str:
    """What became of one series, in a sentence without its full stop."""
    name = series_words(track.series)
    if track.reached is not None:
        return f"{name}: answered by the target itself"
    if not track.answered:
        seen = f"{name}: no router told how far it gets"
    else:
        routers = path.hops.get(track.farthest, ())
        seen = f"{name}: seen as far as hop {track.farthest}" + (f" ({routers[0]})" if routers else "")
    if track.stopped is None:
        return seen
    if track.stopped == 0:
        return f"{name}: refused by this host itself"
    routers = path.hops.get(track.stopped, ())
    there = f"hop {track.stopped}" + (f" ({routers[0]})" if routers else "")
    if track.refused:
        return f"{name}: refused by {there}"
    if not track.answered:
        return f"{name}: not seen by {there}, which answered controls at the same moment"
    return f"{seen}, not by {there}, which answered controls at the same moment"


def zone_of(path: Path, ttl: int, profile: Profile) -> str:
    """The stretch of the path a router stands on, as far as addresses alone tell."""
    addresses = path.hops.get(ttl)
    if not addresses:
        return ""
    address = addresses[0]
    if address == path.target or _same_24(address, path.target):
        return f"{profile.provider}'s end"
    first = path.hops.get(1, ("",))[0]
    if ttl == 1 or (_private(address) and _same_block(address, first) and _all_private(path, ttl)):
        return "Your network"
    return "Not told by its address" if _private(address) else "Outside your network"


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None


_BLOCKS = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")))


def _block(address: str) -> int | None:
    parsed = _parsed(address)
    if parsed is None:
        return None
    return next((n for n, block in enumerate(_BLOCKS) if parsed.version == block.version and parsed in block), None)


def _private(address: str) -> bool:
    return _block(address) is not None


def _same_block(one: str, other: str) -> bool:
    return _block(one) is not None and _block(one) == _block(other)


def _all_private(path: Path, ttl: int) -> bool:
    return all(_private(addresses[0]) for known, addresses in path.hops.items() if known < ttl)


def _same_24(one: str, other: str) -> bool:
    first, second = _parsed(one), _parsed(other)
    if first is None or second is None or first.version != second.version:
        return False
    shift = 8 if first.version == 4 else 64
    return int(first) >> shift == int(second) >> shift


def draw_path(path: Path, profile: Profile) -> str:
    """A path from top to bottom: a track for each series, a row for each hop, its router and the stretch beside it."""
    left = 12 + _TRACK * len(path.tracks)
    rows: list[str] = []
    tracks: list[str] = []
    y = _HEAD
    at = {0: y + 10}
    rows.append(_hop_words(left, y + 10, "this host", None))
    y += _ROW
    zone = "Your network"
    for ttl in range(1, path.length + 1):
        here = zone_of(path, ttl, profile)
        if here and here != zone:
            zone = here
            rows.append(
                f'<line class="edge" x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}"/>'
                f'<text class="zone" x="{left}" y="{y + 13}">{text(here)}</text>'
            )
            y += 20
        at[ttl] = y + 10
        addresses = path.hops.get(ttl, ())
        name = f"{ttl}  {addresses[0]}" if addresses else f"{ttl}  no answer"
        aside = [f"{path.rtts_ms[ttl]:.1f} ms"] if ttl in path.rtts_ms else []
        aside += ["the target"] if path.target in addresses else []
        aside += [f"and {len(addresses) - 1} more"] if len(addresses) > 1 else []
        rows.append(_hop_words(left, at[ttl], name, " · ".join(aside), faint=not addresses))
        y += _ROW
    for number, track in enumerate(path.tracks):
        tracks.append(_draw_track(track, number, 10 + _TRACK * number, at))
    label = "; ".join(track_words(path, track) for track in path.tracks)
    return (
        f'<svg class="path" viewBox="0 0 {_WIDTH} {y}" role="img" aria-label="{text(label, 1500)}">'
        f'<text class="zone" x="{left}" y="13">Your network</text>{"".join(rows)}{"".join(tracks)}</svg>'
    )


def _hop_words(x: int, y: int, name: str, aside: str | None, *, faint: bool = False) -> str:
    style = "hop faint" if faint else "hop"
    beside = f'<text class="aside" x="{x}" y="{y + 16}">{text(aside)}</text>' if aside else ""
    return f'<text class="{style}" x="{x}" y="{y + 4}">{text(name, 46)}</text>{beside}'


def _draw_track(track: Track, number: int, x: int, at: dict[int, int]) -> str:
    """A letter, a line as far as the series was seen, a dot for each answer, a cross where it was stopped."""
    letter = chr(ord("A") + number)
    parts = [f'<text class="letter t{number % 4}" x="{x}" y="13">{letter}</text>']
    parts.append(f'<circle class="dot t{number % 4}" cx="{x}" cy="{at[0]}" r="4"/>')
    end = track.farthest
    if end:
        parts.append(f'<line class="line t{number % 4}" x1="{x}" x2="{x}" y1="{at[0]}" y2="{at[end]}"/>')
    beyond = track.stopped or max((ttl for ttl in track.silent if end < ttl and ttl in at), default=0)
    if beyond in at and beyond > end:
        parts.append(f'<line class="line lost t{number % 4}" x1="{x}" x2="{x}" y1="{at[end]}" y2="{at[beyond] - 8}"/>')
    for ttl in sorted(track.answered):
        if ttl == track.reached:
            parts.append(f'<circle class="ring t{number % 4}" cx="{x}" cy="{at[ttl]}" r="6.5"/>')
        parts.append(f'<circle class="dot t{number % 4}" cx="{x}" cy="{at[ttl]}" r="4"/>')
    for ttl in sorted(track.silent):
        if ttl in at and ttl != track.stopped:
            parts.append(f'<circle class="hollow t{number % 4}" cx="{x}" cy="{at[ttl]}" r="2.5"/>')
    if track.stopped in at:
        y = at[track.stopped]
        parts.append(f'<path class="cross" d="M{x - 5} {y - 5}L{x + 5} {y + 5}M{x - 5} {y + 5}L{x + 5} {y - 5}"/>')
    return "".join(parts)


def edge_of(path: Path, profile: Profile) -> int:
    """The last hop of the customer's own network."""
    own = (ttl for ttl in path.hops if zone_of(path, ttl, profile) == "Your network")
    return max(own, default=1)


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
