"""Where a finding about a file stands, and the patch that mends it, are whole in every format for a person."""

from __future__ import annotations

import html
import re

import msgspec
import pytest
from render.fixture import make_single

from vsipcheck.model import FaultDomain, Finding, Report, Status
from vsipcheck.render import RenderOptions, render
from vsipcheck.render.digest import grouped

PATCH = """\
--- etc/sip.conf
+++ etc/sip.conf
@@ -7,3 +7,4 @@
 [exotel]
-allow = ulaw ; ```` the wrong one first
+allow = alaw
+allow = ulaw
 type = friend
"""


def report_with(patch: str | None, location: str = "etc/sip.conf:8") -> Report:
    finding = Finding(
        id="config.codec_order",
        target="etc/sip.conf [exotel]",
        status=Status.FAIL,
        reason="pcmu_first",
        summary="PCMU comes first.",
        fault_domain=FaultDomain.PBX,
        remedy="Put alaw first.",
        location=location,
        patch=patch,
    )
    return msgspec.structs.replace(make_single(), findings=(finding,), checklist=())


@pytest.mark.parametrize("format", ["terminal", "markdown", "html", "junit"])
def test_every_line_of_a_patch_is_shown(format: str) -> None:
    shown = render(report_with(PATCH), format, RenderOptions())
    text = html.unescape(shown)
    assert "etc/sip.conf:8" in text
    indented = [line.rstrip() for line in text.splitlines()]
    # HTML and JUnit put a tag around the block, at its first and last line.
    lines = [re.sub(r"^<pre[^>]*>|.*<pre class=\"patch\">|</.*$", "", line).removeprefix(" ") for line in indented]
    for line in PATCH.splitlines():
        assert any(shown.endswith(line.strip()) for shown in lines), line


@pytest.mark.parametrize("format", ["markdown", "html", "junit"])
def test_a_patch_keeps_its_tabs(format: str) -> None:
    shown = html.unescape(render(report_with("-\tport\t= 5060 \r\n+\tport\t= 5070\r\n"), format, RenderOptions()))
    assert "-\tport\t= 5060 \n" in shown
    assert "+\tport\t= 5070" in shown


def test_a_fence_is_longer_than_any_in_the_patch() -> None:
    lines = render(report_with(PATCH), "markdown", RenderOptions()).splitlines()
    assert "  `````diff" in lines
    assert "  `````" in lines


@pytest.mark.parametrize("format", ["terminal", "markdown", "html", "junit"])
def test_a_patch_cannot_act(format: str) -> None:
    shown = render(report_with("+a\x1b[2J\t<script>\u202e\n+b\x07\n", "x\x1b[2J:1"), format, RenderOptions())
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "\\x09" not in shown
    assert format not in ("html", "junit") or "<script>" not in shown


def test_findings_with_patches_of_their_own_are_told_one_by_one() -> None:
    one, other = report_with(PATCH).findings[0], report_with("+x\n", "etc/sip.conf:9").findings[0]
    assert len(grouped([one, msgspec.structs.replace(other, target="etc/sip.conf [b]")])) == 2
    assert len(grouped([one, msgspec.structs.replace(one, target="etc/sip.conf [b]")])) == 1
