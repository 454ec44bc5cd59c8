"""The page: whole in itself, safe with whatever peers have sent, and fit for a phone, a desk, paper and the night."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import struct
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path as File
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from render.chromium import Browser, missing, open_browser
from render.fixture import HOSTILE, MEDIA, check_golden, make_healthy, make_report, make_single, poison

from vsipcheck.model import FaultDomain, Hop, Icmp, Overall, Path, PathHop, PathSeries, PortSpan, Report
from vsipcheck.render import render
from vsipcheck.render.drawing import (
    draw_bar,
    draw_way,
    merged_ports,
    nice_scale,
    port_axis,
    port_outcome,
    track_words,
    ways_of,
)

PHONE, DESK = 360, 1280
VOID = {"meta", "br", "hr", "img", "input", "link", "col"}
MAKERS = [make_report, make_healthy, make_single]


class Page(HTMLParser):
    """Tags and attributes; complains about tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(html)
        assert not self.stack

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize(
    ("name", "make"),
    [("report.html", make_report), ("report-healthy.html", make_healthy), ("report-single.html", make_single)],
)
def test_page_is_the_golden_one(name: str, make: Callable[[], Report]) -> None:
    html = render(make(), "html")
    check_golden(name, re.sub(r"<style>.*</style>|sha256-[^']*", "", html, flags=re.DOTALL))


@pytest.mark.parametrize("make", MAKERS)
def test_page_is_whole_in_itself(make: Callable[[], Report]) -> None:
    html = render(make(), "html")
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form", "audio", "video"} & {*page.tags}
    named = {name for name, _ in page.attributes}
    assert not {"style", "src", "srcset", "action", "background", "poster", "ping"} & named
    assert not [name for name in named if name.startswith("on")]
    for name, value in page.attributes:
        if name in ("href", "xlink:href"):
            assert value is not None
            assert value.startswith("#")
            assert f'id="{value[1:]}"' in html
    assert not re.search(r"@import|url\((?!#)", html)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len({*ids})


def test_policy_lets_nothing_in_but_its_own_style() -> None:
    html = render(make_report(), "html")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    style = re.search(r"<style>(.*)</style>", html, re.DOTALL)
    assert policy is not None
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1] == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_verdicts_are_words_and_not_colours_alone() -> None:
    text = " ".join(Page(render(make_report(), "html")).text)
    for words in ("Not ready", "FAIL", "WARN", "PASS", "UNKNOWN", "SKIP", "Who has to act", "your ISP (likely)"):
        assert words in text


def test_every_fact_is_there() -> None:
    report = make_report()
    html = render(report, "html")
    for evidence in report.evidence.values():
        for fact in evidence.facts:
            assert f"<code>{fact.id}</code>" in html
    assert "OPTIONS sip:pstn.in2.exotel.com:5070;transport=tcp SIP/2.0" in html


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"simulated": True}, "<b>Simulated</b>"),
        ({"interrupted": True}, "<b>Interrupted</b>"),
        ({"redacted": True}, "<b>Redacted</b>"),
        ({"overall": Overall.NOT_PROVEN}, "Not proven"),
        ({"overall": Overall.READY_WITH_WARNINGS}, "Ready, with warnings"),
        ({"overall": Overall.OTHER}, "This version does not know the verdict."),
        ({"findings": (), "checklist": (), "overall": None, "evidence": {}}, "Nothing was judged"),
    ],
)
def test_circumstances_are_told(changes: dict[str, object], words: str) -> None:
    assert words in render(make_report(**changes), "html")


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</style><script>alert(1)</script>",
        "</title></svg>",
        "' onload='x",
        "&lt;&#x3c;",
        "\udcff\x00",
    ],
)
def test_hostile_text_stays_text(text: str) -> None:
    plain, poisoned = Page(render(make_report(), "html")), Page(render(poison(make_report(), text), "html"))
    assert {*poisoned.tags} <= {*plain.tags}
    assert {name for name, _ in poisoned.attributes} <= {name for name, _ in plain.attributes}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=200))
@example(text="\N{SUPERSCRIPT TWO}")  # a digit, and no decimal
def test_any_text_keeps_the_page_whole(text: str) -> None:
    html = render(poison(make_report(), text), "html")
    Page(html)
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(drawing)


# -- the drawings


def hop(ttl: int, address: str | None, series: str = "udp_in_range", **changes: object) -> Hop:
    answer = Hop(
        target="203.0.113.9",
        series=series,
        ttl=ttl,
        ports=(12000,),
        sent=1,
        answered=1 if address else 0,
        address=address,
        rtt_ms=1.0 if address else None,
        icmp=Icmp(address=address, type=11, code=0) if address else None,
    )
    return msgspec.structs.replace(answer, **changes)  # type: ignore[arg-type]


def span(first: int, last: int | None = None, **changes: object) -> PortSpan:
    seen = PortSpan(target="203.0.113.9", method="sample", first_port=first, last_port=last or first, sent=1)
    return msgspec.structs.replace(seen, **changes)  # type: ignore[arg-type]


def words(hops: list[Hop], spans: list[PortSpan] | None = None) -> list[str]:
    (way,) = ways_of(hops, spans or [])
    return [track_words(way, track) for track in way.tracks]


def test_track_ends_where_the_last_router_answered() -> None:
    assert words([hop(1, "192.168.1.1"), hop(3, "198.51.100.1"), hop(4, None)]) == [
        "UDP to media ports: seen as far as hop 3 (198.51.100.1)"
    ]


def test_silence_beside_an_answered_control_is_a_stop() -> None:
    hops = [hop(1, "192.168.1.1"), hop(2, None, contrasts=3), hop(2, "198.51.100.1", "udp_control")]
    assert words(hops)[0] == (
        "UDP to media ports: seen as far as hop 1 (192.168.1.1), not by hop 2 (198.51.100.1), "
        "which answered controls at the same moment"
    )


def test_refusal_is_no_router_on_the_way() -> None:
    refusal = Icmp(address="192.168.1.1", type=3, code=13)
    hops = [hop(ttl, "192.168.1.1", icmp=refusal) for ttl in range(1, 31)]
    control = [hop(1, "192.168.1.1", "udp_control"), hop(2, "198.51.100.1", "udp_control")]
    spans = [span(12000, outcome="icmp", icmp=refusal)]
    assert words([*hops, *control], spans) == [
        "UDP to blocked media ports: refused by hop 1 (192.168.1.1)",
        "UDP to control ports: seen as far as hop 2 (198.51.100.1)",
    ]


def test_blocked_ports_have_a_track_of_their_own() -> None:
    spans = [
        span(12000, reached_ttl=2),
        span(30000, stopped_ttl=2, reached_ttl=1, controls_answered=3, controls_needed=3),
    ]
    told = words([hop(1, "192.168.1.1"), hop(2, "198.51.100.1")], spans)
    assert told[0] == "UDP to media ports: seen as far as hop 2 (198.51.100.1)"
    assert told[1].startswith("UDP to blocked media ports: seen as far as hop 1 (192.168.1.1), not by hop 2")


def test_host_that_refuses_itself() -> None:
    told = words([hop(1, "192.168.1.1", "udp_control")], [span(12000, outcome="local")])
    assert told[0] == "UDP to blocked media ports: stopped by this host itself"


def test_judged_path_says_whose_the_routers_are_and_what_tcp_came_to() -> None:
    hops = [hop(1, "192.168.1.1", "tcp_5070"), hop(2, "198.51.100.1", "tcp_5070")]
    judged = Path(
        target="203.0.113.9",
        name="sip.example",
        hops=(
            PathHop(ttl=1, address="192.168.1.1", zone=FaultDomain.LOCAL_NETWORK, why="your gateway"),
            PathHop(ttl=2, address="198.51.100.1", zone=FaultDomain.ISP, why="the first hop outside"),
        ),
        series=(PathSeries(id="tcp_5070", outcome="refused", reached_ttl=2),),
    )
    report = make_report(paths=(judged,))
    (way,) = ways_of(hops, [], [judged])
    assert (way.edge, [track_words(way, track) for track in way.tracks]) == (
        1,
        ["TCP 5070: the connection is refused (RST)"],
    )
    drawing = ElementTree.fromstring(draw_way(way, report.profile))
    told = [element.text for element in drawing.iter("text") if element.get("class") == "zone"]
    assert told == ["Your network", "Your ISP", "The target"]
    assert len([element for element in drawing.iter("path") if element.get("class") == "cross"]) == 1


def test_answer_of_the_target_ends_its_track() -> None:
    hops = [hop(1, "192.168.1.1"), *(hop(ttl, "203.0.113.9", reached=True) for ttl in range(5, 31))]
    assert words(hops) == ["UDP to media ports: the target itself answers"]
    assert ways_of(hops)[0].length == 1


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (span(1), "nodata"),
        (span(1, reached_ttl=1), "nodata"),  # its own network's router: not yet out
        (span(1, reached_ttl=2), "passed"),
        (span(1, outcome="answered"), "passed"),
        (span(1, stopped_ttl=2, controls_answered=2, controls_needed=3), "nodata"),
        (span(1, stopped_ttl=2, controls_answered=3, controls_needed=3), "blocked"),
        (span(1, outcome="local"), "blocked"),
        (span(1, outcome="icmp", icmp=Icmp(address="192.168.1.1", type=3, code=13)), "blocked"),
    ],
)
def test_port_outcome(seen: PortSpan, outcome: str) -> None:
    assert port_outcome(seen, "203.0.113.9") == outcome


def test_neighbours_with_one_outcome_are_one_block() -> None:
    spans = [span(10, 19, reached_ttl=5), span(20, 29, reached_ttl=5), span(30, outcome="local"), span(40)]
    assert merged_ports(spans, "203.0.113.9") == [(10, 29, "passed"), (30, 30, "blocked"), (40, 40, "nodata")]


def test_axis_names_both_ends() -> None:
    assert port_axis(make_report().profile) == [10000, 20000, 30000, 40000]


@pytest.mark.parametrize(("value", "scale"), [(0, 1), (0.3, 0.5), (1, 1), (12, 20), (49, 50), (51, 100), (1500, 2000)])
def test_scale_is_round(value: float, scale: float) -> None:
    assert nice_scale(value) == pytest.approx(scale)


def test_bar_stays_in_its_rail() -> None:
    for drawing in (draw_bar(0, 0, 1), draw_bar(5, 9, 1, mark=7), draw_bar(1, 1, 0)):
        for rect in ElementTree.fromstring(drawing).iter("rect"):
            assert 0 <= float(rect.attrib["x"]) <= 1000
            assert float(rect.attrib["x"]) + float(rect.attrib["width"]) <= 1000


# -- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if why := missing():
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    with open_browser(tmp_path_factory.mktemp("chromium")) as started:
        yield started


def page_file(tmp_path: File, report: Report) -> File:
    path = tmp_path / "report.html"
    path.write_text(render(report, "html"), encoding="utf-8")
    return path


def png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def wide_report() -> Report:
    """What does not wrap by itself: long words, IPv6."""
    return poison(make_report(), "2001:0db8:1111:2222:3333:4444:5555:6666" * 4)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("width", "dark"), [(320, False), (PHONE, True), (DESK, False)])
@pytest.mark.parametrize("make", [*MAKERS, wide_report])
def test_page_fits_its_window_and_asks_for_nothing(
    browser: Browser, tmp_path: File, make: Callable[[], Report], width: int, dark: bool
) -> None:
    path = page_file(tmp_path, make())
    browser.show(path, width, dark=dark)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    # Nothing is cut off at the side, either.
    cut = """[...document.querySelectorAll('main *, header *, footer *')].filter(e => !e.closest('svg'))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert browser.evaluate(cut) == []
    assert browser.requests == [path.as_uri()]
    assert browser.complaints == []
    drawn_width, drawn_height = png_size(browser.screenshot())
    assert width - 16 <= drawn_width <= width  # a desk's scroll bar
    assert drawn_height > 400


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Browser, tmp_path: File, dark: bool) -> None:
    """WCAG 2.1 contrast of at least 4.5:1, everywhere."""
    browser.show(page_file(tmp_path, make_report(simulated=True)), DESK, dark=dark)
    assert browser.evaluate(CONTRASTS) == []


# Colours as the browser computes them; the ground is that of the nearest ancestor that has one.
CONTRASTS = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = colour => rgb(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (c !== 'rgba(0, 0, 0, 0)' && c !== 'transparent') return c; } return 'white'; };
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    const text = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!text || e.tagName === 'title') continue;
    const style = getComputedStyle(e);
    const colour = e.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(colour), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(`${e.className} ${colour} on ${ground(e)}`);
  }
  return [...new Set(faint)];
})()"""


def test_page_prints_with_what_is_folded_but_the_facts(browser: Browser, tmp_path: File) -> None:
    browser.show(page_file(tmp_path, make_report()), DESK, dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print")
    shown = "getComputedStyle(document.querySelector('{}')).{}"
    assert browser.evaluate(shown.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
    assert browser.evaluate(shown.format("#facts", "display")) == "none"
    assert browser.evaluate("document.querySelector('.skipped li').getBoundingClientRect().height") > 0
    browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.pdf().startswith(b"%PDF-")


def test_port_map_draws_blocks_where_they_are(browser: Browser, tmp_path: File) -> None:
    browser.show(page_file(tmp_path, make_report()), DESK)
    box = "(r => [r.x, r.width])(document.querySelectorAll('svg.ports')[1].querySelector('{}').getBoundingClientRect())"
    (left, width), (at, wide) = browser.evaluate(box.format(".range")), browser.evaluate(box.format(".blocked"))
    assert at == pytest.approx(left + width / 3, abs=3)  # 20000 of 10000-40000
    assert wide == pytest.approx(width * 2 / 3, abs=3)
    assert MEDIA[1] in render(make_report(), "html")
