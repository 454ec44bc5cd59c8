"""What a person reads: golden pages, harmless text, and the words that must not be missing."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from render.fixture import check_golden, make_healthy, make_report, make_single, poison

from vsipcheck.model import Action, FaultDomain, Finding, Overall, Report, Status
from vsipcheck.render import FORMATS, RenderOptions, render
from vsipcheck.render.line import MAX_LINE, render_line

SGR = re.compile(r"\x1b\[[0-9;]*m")

PAGES = {
    "terminal-80.txt": (make_report, RenderOptions(width=80)),
    "terminal-120.txt": (make_report, RenderOptions(width=120)),
    "terminal-40-ascii.txt": (make_report, RenderOptions(width=40, unicode=False)),
    "terminal-verbose.txt": (make_report, RenderOptions(width=100, verbose=True)),
    "terminal-healthy.txt": (make_healthy, RenderOptions(width=80)),
    "terminal-single.txt": (make_single, RenderOptions(width=80)),
    "quiet.txt": (make_report, RenderOptions(quiet=True)),
}


@pytest.mark.parametrize("name", PAGES)
def test_page_is_the_golden_one(name: str) -> None:
    make, options = PAGES[name]
    check_golden(name, render(make(), "terminal", options))


def test_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="terminal, json"):
        render(make_report(), "pdf")
    assert set(FORMATS) >= {"terminal", "json"}


@pytest.mark.parametrize("width", [40, 59, 60, 80, 99, 100, 120, 250])
@pytest.mark.parametrize("verbose", [False, True])
def test_lines_stay_within_the_width(width: int, verbose: bool) -> None:
    page = render(make_report(), "terminal", RenderOptions(width=width, verbose=verbose))
    for line in page.splitlines():
        assert len(line) <= width, line
        assert line == line.rstrip()
    assert page.endswith("\n")
    assert not page.endswith("\n\n")


@pytest.mark.parametrize("width", [0, 1, 24])
def test_absurdly_narrow_terminal_still_gets_every_word(width: int) -> None:
    page = render(make_report(), "terminal", RenderOptions(width=width))
    assert "Troubleshooting" in page
    assert max(map(len, page.splitlines())) < 60


def test_word_to_be_copied_is_not_broken() -> None:
    address = "2001:db8:1111:2222:3333:4444:5555:6666"
    action = Action(party=FaultDomain.PROVIDER, what=f"Whitelist {address}.", because=())
    page = render(make_report(actions=(action,)), "terminal", RenderOptions(width=40))
    assert f"{address}." in page


@pytest.mark.parametrize("verbose", [False, True])
def test_colours_add_nothing_but_colours(verbose: bool) -> None:
    plain = render(make_report(), "terminal", RenderOptions(verbose=verbose))
    coloured = render(make_report(), "terminal", RenderOptions(verbose=verbose, color=True))
    assert "\x1b" not in plain
    assert "\x1b[1;31mFAIL" in coloured
    assert SGR.sub("", coloured) == plain


def test_ascii_only_without_unicode() -> None:
    page = render(make_report(simulated=True), "terminal", RenderOptions(unicode=False, verbose=True))
    assert page.isascii()
    assert "SIMULATED -- no packet left this host" in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"simulated": True}, "SIMULATED — no packet left this host"),
        ({"interrupted": True, "exit_code": 130}, "INTERRUPTED"),
        ({"redacted": True}, "REDACTED"),
        ({"overall": Overall.NOT_PROVEN, "exit_code": 3}, "NOT PROVEN"),
        ({"overall": Overall.READY_WITH_WARNINGS}, "READY, WITH WARNINGS"),
        ({"overall": Overall.OTHER}, "VERDICT NOT KNOWN TO THIS VERSION"),
    ],
)
def test_what_must_not_be_overlooked(change: dict[str, Any], words: str) -> None:
    page = render(make_report(**change), "terminal", RenderOptions())
    assert words in page.split("Before configuration")[0]


def test_quiet_line_marks_simulated_and_interrupted() -> None:
    line = render_line(make_report(simulated=True, interrupted=True))
    assert line.startswith("SIMULATED: INTERRUPTED: NOT READY: signalling_out fail (provider)")
    assert line.endswith("; 2 warn, 4 unknown, 1 pass, 10 skip")


@pytest.mark.parametrize("overall", [*Overall, None])
@pytest.mark.parametrize("length", [0, 1, 30, 150, 5000])
def test_quiet_line_is_one_bounded_ascii_line(overall: Overall | None, length: int) -> None:
    report = make_report(overall=overall)
    rows = tuple(msgspec.structs.replace(row, summary="é\n" * length) for row in report.checklist)
    findings = tuple(msgspec.structs.replace(finding, summary="é\n" * length) for finding in report.findings)
    line = render_line(msgspec.structs.replace(report, checklist=rows, findings=findings))
    assert line.isascii()
    assert line.isprintable()
    assert 0 < len(line) <= MAX_LINE


def test_quiet_line_without_any_finding() -> None:
    assert render_line(make_report(overall=None, findings=(), checklist=())) == "NOTHING JUDGED"
    assert render_line(make_healthy()) == "READY: 3 unknown, 6 pass, 10 skip"


@pytest.mark.parametrize("format", ["terminal", "markdown", "html"])
def test_a_redacted_letter_is_not_for_sending(format: str) -> None:
    redacted, whole = (" ".join(render(make_report(redacted=redacted), format).split()) for redacted in (True, False))
    assert "send the one of the report as it was" in redacted
    assert "send the one of the report as it was" not in whole


def test_report_without_anything_still_renders() -> None:
    bare = make_report(overall=None, findings=(), checklist=(), actions=(), requests=(), evidence={})
    page = render(bare, "terminal", RenderOptions(verbose=True))
    assert "nothing was judged" in page
    assert "PASS" not in page


def test_red_comes_first() -> None:
    page = render(make_report(overall=None, checklist=()), "terminal", RenderOptions())
    words = [line.split()[0] for line in page.split("Findings\n")[1].splitlines() if re.match(r"  [A-Z]{4,} ", line)]
    order = ["FAIL", "WARN", "UNKNOWN", "PASS", "SKIP"]
    assert words == sorted(words, key=order.index)
    assert set(words) == set(order)


def test_every_target_of_a_group_is_named() -> None:
    page = render(make_report(), "terminal", RenderOptions())
    seen = page.split("What was seen")[1]
    assert "182.76.143.61:" in seen
    assert "122.15.8.184:" in seen
    assert "14.194.10.247" not in seen.split("What this run cannot know")[0]  # that one passed


def test_helper_that_saw_a_router_address_is_not_shown_as_outside() -> None:
    page = render(make_report(), "terminal", RenderOptions())
    assert "Seen from outside as 198.51.100.7 (2 answers)" in page
    assert "100.64.3.2" not in page


@pytest.mark.parametrize("text", ["deadline", "interrupted", "Traceback\n  one\nValueError: x\nPASS  all is well"])
def test_check_that_ended_early_is_told(text: str) -> None:
    report = make_report()
    evidence = {"sip": msgspec.structs.replace(report.evidence["sip"], error=text)}
    page = render(msgspec.structs.replace(report, evidence=evidence), "terminal", RenderOptions())
    told = page.split("Not measured to its end\n")[1]
    assert told.startswith("  sip: ")
    assert "all is well" not in told


def test_hostile_text_forges_no_line() -> None:
    page = render(make_report(), "terminal", RenderOptions(verbose=True))
    assert "[bold red]pay here[/]" in page
    assert not re.search(r"^\s*PASS +forged", page, re.MULTILINE)


@pytest.mark.parametrize("unicode", [True, False])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.text(max_size=80)
    | st.text(alphabet=st.characters(categories=("Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs", "Mn")), max_size=40)
)
def test_no_text_whatever_acts_on_the_terminal(unicode: bool, text: str) -> None:
    report: Report = poison(make_report(), text)
    for options in (
        RenderOptions(verbose=True, unicode=unicode),
        RenderOptions(quiet=True, unicode=unicode),
        RenderOptions(verbose=True, color=True, width=130, unicode=unicode),
    ):
        page = render(report, "terminal", options)
        for line in SGR.sub("", page).removesuffix("\n").split("\n"):
            assert line.isprintable(), ascii(line)
            assert unicode or line.isascii(), ascii(line)
        page.encode("utf-8")


def test_huge_field_is_cut_and_says_so() -> None:
    finding = Finding(id="sip.options", target=None, status=Status.UNKNOWN, reason="malformed", summary="A" * 1_000_000)
    page = render(make_report(findings=(finding,), checklist=(), overall=None), "terminal", RenderOptions())
    assert len(page) < 20_000
    assert "(996000 more characters)" in page
