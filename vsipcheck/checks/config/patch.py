"""What mends a file, as a unified diff that shows no masked line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

CONTEXT = 3
_NO_NEWLINE = "\\ No newline at end of file"


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines `first` to `last` of a file (from 1) give way to `lines`. Nothing goes where `last` is `first - 1`: then
    `lines` are put in before line `first`."""

    path: str
    first: int
    last: int
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A file as it was recorded. `masked` are the lines (from 1) that do not stand there as they stand in the file."""

    lines: tuple[str, ...]
    masked: frozenset[int] = frozenset()
    ends_in_newline: bool = True

    @classmethod
    def of(cls, text: str, masked: Iterable[int] = ()) -> Text:
        lines = text.split("\n")
        whole = not lines[-1]  # an empty file is whole, too
        return cls(lines=tuple(lines[:-1] if whole else lines), masked=frozenset(masked), ends_in_newline=whole)


def replace_line(path: str, line: int, *lines: str) -> Edit:
    return Edit(path, line, line, lines)


def insert_after(path: str, line: int, *lines: str) -> Edit:
    return Edit(path, line + 1, line, lines)


def merged(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Edits at one point as one."""
    found: dict[tuple[str, int, int], list[str]] = {}
    for edit in edits:
        found.setdefault((edit.path, edit.first, edit.last), []).extend(edit.lines)
    return tuple(Edit(path, first, last, tuple(lines)) for (path, first, last), lines in found.items())


def unified_diff(edits: Sequence[Edit], texts: Mapping[str, Text]) -> str | None:
    """A diff that `patch -p0` applies. None where it would have to show a line that is masked, or to change a file that
    has no name.

    Both sides of a hunk have the same amount of context, less of it near masked lines: patch takes a side with less for
    an end of the file.
    """
    if not edits:
        return None
    parts = []
    for path in dict.fromkeys(edit.path for edit in edits):
        text = texts.get(path)
        if text is None or path == "-":
            return None
        own = [edit for edit in dict.fromkeys(edits) if edit.path == path]
        own.sort(key=lambda edit: (edit.first, edit.last))
        if not _sound(own, text):
            return None
        own = [_with_newline(edit, text) for edit in _least(own, text)]
        if not own:
            continue
        if not _sound(own, text):
            return None
        hunks = next((hunks for size in range(CONTEXT, -1, -1) if (hunks := _hunks(own, text, size))), None)
        if hunks is None:
            return None
        # patch takes no name that begins with a slash: `patch -d / -p0`.
        name = path.lstrip("/")
        parts.append(f"--- {name}\n+++ {name}\n" + "".join(_written(hunks, text)))
    return "".join(parts) or None


def _least(edits: Iterable[Edit], text: Text) -> Iterable[Edit]:
    """The same change, without the lines that stay as they are; new lines end as those of the file do."""
    ending = "\r" if text.lines and text.lines[0].endswith("\r") else ""
    blocks: list[Edit] = []
    for edit in edits:
        edit = replace(edit, lines=tuple(line.removesuffix("\r") + ending for line in edit.lines))
        if blocks and edit.first <= blocks[-1].last + 1:
            above = blocks.pop()
            edit = Edit(edit.path, above.first, max(above.last, edit.last), above.lines + edit.lines)
        blocks.append(edit)
    for block in blocks:
        old = text.lines[block.first - 1 : block.last]
        for kind, first, end, begin, stop in SequenceMatcher(None, old, block.lines, autojunk=False).get_opcodes():
            if kind != "equal":
                yield Edit(block.path, block.first + first, block.first + end - 1, block.lines[begin:stop])


def _with_newline(edit: Edit, text: Text) -> Edit:
    """What goes behind a last line that lacks its newline gives it one."""
    end = len(text.lines)
    if text.ends_in_newline or edit.first != end + 1 or not end:
        return edit
    return Edit(edit.path, end, end, (text.lines[-1], *edit.lines))


def _sound(edits: Sequence[Edit], text: Text) -> bool:
    """Whether the edits lie within the file, one after the other, and take no masked line."""
    at = 0
    for edit in edits:
        if edit.first <= at or edit.last > len(text.lines) or edit.last < edit.first - 1:
            return False
        if text.masked & set(range(edit.first, edit.last + 1)):
            return False
        at = max(edit.last, at)
    return True


@dataclass(frozen=True, slots=True)
class _Hunk:
    first: int  # from 1; what it covers, context included
    last: int
    edits: tuple[Edit, ...]


def _hunks(edits: Sequence[Edit], text: Text, size: int) -> list[_Hunk] | None:
    """The hunks with `size` lines of context; None where one of these is masked."""
    hunks: list[_Hunk] = []
    for edit in edits:
        first, last = max(1, edit.first - size), min(len(text.lines), edit.last + size)
        if hunks and first <= hunks[-1].last + 1:
            hunks[-1] = _Hunk(hunks[-1].first, last, (*hunks[-1].edits, edit))
        else:
            hunks.append(_Hunk(first, last, (edit,)))
    if any(text.masked & set(range(hunk.first, hunk.last + 1)) for hunk in hunks):
        return None
    return hunks


def _written(hunks: Iterable[_Hunk], text: Text) -> Iterable[str]:
    shift = 0
    for hunk in hunks:
        body: list[str] = []
        at = hunk.first
        added = removed = 0
        for edit in hunk.edits:
            body += [_line(" ", text, number) for number in range(at, edit.first)]
            body += [_line("-", text, number) for number in range(edit.first, edit.last + 1)]
            body += [f"+{line}\n" for line in edit.lines]
            added += len(edit.lines)
            removed += edit.last - edit.first + 1
            at = max(edit.last + 1, edit.first)
        body += [_line(" ", text, number) for number in range(at, hunk.last + 1)]
        old = hunk.last - hunk.first + 1
        new = old + added - removed
        # A side without lines is named by the line before it.
        old_first = hunk.first if old else hunk.first - 1
        new_first = hunk.first + shift if new else hunk.first + shift - 1
        yield f"@@ -{old_first},{old} +{new_first},{new} @@\n" + "".join(body)
        shift += added - removed


def _line(sign: str, text: Text, number: int) -> str:
    bare = number == len(text.lines) and not text.ends_in_newline
    return f"{sign}{text.lines[number - 1]}\n" + (f"{_NO_NEWLINE}\n" if bare else "")
