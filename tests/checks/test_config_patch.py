"""Diffs that patch applies, and that show no masked line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from checks.config_lint import apply
from hypothesis import given, settings
from hypothesis import strategies as st

from vsipcheck.checks.config.patch import Edit, Text, insert_after, replace_line, unified_diff

SEVEN = "1\n2\n3\n4\n5\n6\n7\n"


def diff(text: str, *edits: Edit, masked: tuple[int, ...] = ()) -> str | None:
    """The line ends of what is masked stay."""
    shown = "\n".join(
        "***" + "\r" * line.endswith("\r") if number in masked else line
        for number, line in enumerate(text.split("\n"), 1)
    )
    return unified_diff(edits, {"f": Text.of(shown, masked)})


def test_a_line_is_replaced() -> None:
    assert diff(SEVEN, replace_line("f", 4, "four")) == (
        "--- f\n+++ f\n@@ -1,7 +1,7 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n 7\n"
    )


@pytest.mark.parametrize(
    ("edit", "masked", "header", "context"),
    [
        (insert_after("f", 4, "x"), (), "@@ -2,6 +2,7 @@", 6),
        (insert_after("f", 4, "x"), (2,), "@@ -3,4 +3,5 @@", 4),  # the other side gives up as much
        (insert_after("f", 4, "x"), (5,), "@@ -4,0 +5,1 @@", 0),
        (insert_after("f", 7, "x"), (), "@@ -5,3 +5,4 @@", 3),
        (Edit("f", 1, 0, ("x",)), (), "@@ -1,3 +1,4 @@", 3),
        (Edit("f", 3, 4), (), "@@ -1,7 +1,5 @@", 5),
    ],
)
def test_context_keeps_away_from_masked_lines(edit: Edit, masked: tuple[int, ...], header: str, context: int) -> None:
    made = diff(SEVEN, edit, masked=masked)
    assert made is not None
    assert made.split("\n")[2] == header
    assert sum(line.startswith(" ") for line in made.split("\n")) == context
    assert "***" not in made


def test_only_what_changes_is_shown() -> None:
    made = diff(SEVEN, Edit("f", 3, 5, ("3", "new", "5")), replace_line("f", 6, "6"), insert_after("f", 6, "newer"))
    assert [line for line in (made or "").splitlines()[2:] if line[0] in "+-"] == ["-4", "+new", "+newer"]


@pytest.mark.parametrize(
    ("edits", "masked"),
    [
        ((replace_line("f", 4, "x"),), (4,)),
        ((Edit("f", 3, 5),), (4,)),
        ((replace_line("g", 1, "x"),), ()),  # a file that was not read
        ((replace_line("f", 9, "x"),), ()),
        ((), ()),
    ],
)
def test_no_diff_rather_than_a_wrong_one(edits: tuple[Edit, ...], masked: tuple[int, ...]) -> None:
    assert diff(SEVEN, *edits, masked=masked) is None


def test_stdin_has_no_name_to_patch() -> None:
    assert unified_diff([replace_line("-", 1, "x")], {"-": Text.of("1\n")}) is None


def test_an_absolute_name_lacks_its_slash() -> None:
    made = unified_diff([replace_line("/etc/a", 1, "x")], {"/etc/a": Text.of("1\n")})
    assert (made or "").startswith("--- etc/a\n+++ etc/a\n")


def test_a_last_line_without_newline_gets_one() -> None:
    made = diff("1\n2", insert_after("f", 2, "3"))
    assert made == "--- f\n+++ f\n@@ -1,2 +1,3 @@\n 1\n-2\n\\ No newline at end of file\n+2\n+3\n"


lines = st.lists(st.sampled_from(["a", "b", "a = 1", "", "x\r"]), max_size=12)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, tuple[Edit, ...], tuple[int, ...]]:
    body = draw(lines)
    text = "".join(f"{line}\n" for line in body)
    edits: list[Edit] = []
    at = 0
    while at < len(body) and draw(st.booleans()):
        first = draw(st.integers(at + 1, len(body) + 1))
        last = draw(st.sampled_from([first - 1, first])) if first <= len(body) else first - 1
        new = draw(st.lists(st.sampled_from(["new", "newer"]), min_size=int(last < first), max_size=2))
        edits.append(Edit("f", first, last, tuple(new)))
        at = max(first, last)
    taken = {number for edit in edits for number in range(edit.first, edit.last + 1)}
    masked = draw(st.sets(st.integers(1, max(1, len(body))), max_size=3))
    return text, tuple(edits), tuple(sorted((masked - taken) & set(range(1, len(body) + 1))))


def expected(text: str, edits: tuple[Edit, ...]) -> str:
    body = text.split("\n")
    ending = "\r" if body[0].endswith("\r") else ""  # the file's own line ends
    for edit in reversed(edits):
        body[edit.first - 1 : edit.last] = [line + ending for line in edit.lines]
    return "\n".join(body)


@given(cases())
def test_what_is_applied_is_what_was_meant(case: tuple[str, tuple[Edit, ...], tuple[int, ...]]) -> None:
    text, edits, masked = case
    made = diff(text, *edits, masked=masked)
    if not edits:
        assert made is None
        return
    assert made is not None
    assert "***" not in made
    assert apply(made, {"f": text}) == {"f": expected(text, edits)}


@pytest.mark.skipif(shutil.which("patch") is None, reason="no patch program here; the strict applier stands for it")
@settings(max_examples=25, deadline=None)
@given(cases())
def test_patch_applies_it(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[str, tuple[Edit, ...], tuple[int, ...]]
) -> None:
    text, edits, masked = case
    made = diff(text, *edits, masked=masked)
    if made is None or made == "":
        return
    folder = tmp_path_factory.mktemp("patch")
    (folder / "f").write_bytes(text.encode())
    ran = subprocess.run(["patch", "-p0", "--fuzz=0"], cwd=folder, input=made.encode(), capture_output=True)
    assert ran.returncode == 0, ran.stdout
    left = Path(folder / "f")
    assert (left.read_bytes().decode() if left.exists() else "") == expected(text, edits)
