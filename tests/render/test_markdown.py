"""Markdown as GitHub's own renderer reads it: tables keep their shape, and no text of a peer becomes anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import cmarkgfm
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from render.fixture import HOSTILE, check_golden, make_healthy, make_report, make_single, poison

from vsipcheck.model import Overall, Report
from vsipcheck.render import render
from vsipcheck.render.markdown import code, prose

HARMLESS = {"h2", "h3", "p", "ul", "li", "strong", "code", "table", "thead", "tbody", "tr", "th", "td", "pre"}
NASTY = [
    HOSTILE,
    "| a | b |",
    "`tick` ``two``",
    "**bold** _it_ ~~gone~~ # head",
    "![x](http://example.invalid/a.png) [l](javascript:alert(1))",
    "<script>alert(1)</script> <img src=x onerror=alert(1)> <!-- c -->",
    "http://example.invalid www.example.invalid HTTPS://EXAMPLE.INVALID ftp://x mailto:a@b.cc xmpp:a@b.cc",
    "@everyone a@b.cc #12 GH-12 $x$ &lt;b&gt; {code}",
    "a\nb\r\n- c\n\n# d",
    "\\",
    " ",
]


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes


def github(markdown: str) -> str:
    html: str = cmarkgfm.github_flavored_markdown_to_html(markdown)
    return html


@pytest.mark.parametrize(
    ("name", "make"),
    [("report.md", make_report), ("report-healthy.md", make_healthy), ("report-single.md", make_single)],
)
def test_text_is_the_golden_one(name: str, make: Callable[[], Report]) -> None:
    check_golden(name, render(make(), "markdown"))


@pytest.mark.parametrize("text", NASTY)
def test_hostile_text_becomes_no_markup(text: str) -> None:
    plain, poisoned = (Tags(github(render(r, "markdown"))) for r in (make_report(), poison(make_report(), text)))
    assert {*poisoned.tags} <= HARMLESS
    assert {*poisoned.attributes} <= {("lang", "text")}  # of a letter's block
    for tag in ("tr", "td", "table", "h2", "h3"):
        assert poisoned.tags.count(tag) == plain.tags.count(tag)


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet=st.characters() | st.sampled_from("|`*_<>[]()!#@:/\\&$~\n -.w"), max_size=60))
def test_any_text_becomes_no_markup(text: str) -> None:
    page = Tags(github(f"| a | b |\n| --- | --- |\n| {prose(text)} | {code(text)} |\n\n- x: {prose(text)}\n"))
    assert {*page.tags} <= HARMLESS - {"h2", "h3", "strong"}
    assert (page.tags.count("td"), page.tags.count("li"), page.attributes) == (2, 1, [])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=100))
def test_any_report_keeps_its_shape(text: str) -> None:
    assert Tags(github(render(poison(make_report(), text), "markdown"))).tags.count("table") == 4


def test_nobody_is_called() -> None:
    assert not re.search(r"(?<![\w`])@\w", prose("@support please, cc @admin"))
    assert prose("user@example.com").startswith("user@&#8203;")
    assert code("pstn.in2.exotel.com@192.0.2.1") == "`pstn.in2.exotel.com@192.0.2.1`"  # to be copied as it is


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"simulated": True}, "**SIMULATED"),
        ({"interrupted": True}, "**INTERRUPTED"),
        ({"redacted": True}, "**REDACTED"),
        ({"overall": Overall.NOT_PROVEN}, "NOT PROVEN"),
    ],
)
def test_circumstances_are_told(changes: dict[str, object], words: str) -> None:
    assert words in render(make_report(**changes), "markdown")
