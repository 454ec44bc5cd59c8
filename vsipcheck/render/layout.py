"""A page of plain lines: wrapping by columns, tables without boxes, and the few colours there are.

By hand, because rich costs 39 ms of start-up, and boxes and padding break what is copied into a ticket.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from vsipcheck.model import Status
from vsipcheck.render import RenderOptions
from vsipcheck.render.safe import MAX_FIELD, cells, clean

# Narrower than this nothing can be laid out; the terminal may then wrap what it likes.
MIN_WIDTH = 24

BOLD = "1"
DIM = "2"

STATUS_WORDS = {
    Status.PASS: "PASS",
    Status.WARN: "WARN",
    Status.FAIL: "FAIL",
    Status.UNKNOWN: "UNKNOWN",
    Status.SKIP: "SKIP",
    Status.OTHER: "OTHER",
}
STATUS_STYLES = {
    Status.PASS: "32",
    Status.WARN: "1;33",
    Status.FAIL: "1;31",
    Status.UNKNOWN: "1;35",
    Status.SKIP: DIM,
    Status.OTHER: "1;35",
}
STATUS_CELLS = max(map(len, STATUS_WORDS.values()))

# Where a word that does not fit is broken rather than anywhere: after these.
_SEAMS = frozenset("@/,;:?&=-_.")


def wrap(text: str, width: int, *, break_words: bool = True) -> list[str]:
    """The words of clean text on lines of at most `width` columns; at least one line.

    A word that is longer is broken, or, without `break_words`, stands alone and unbroken, so that it can be copied.
    Nothing is broken at hyphens: names, ports and commands have them.
    """
    width = max(width, 1)
    lines: list[str] = []
    line = ""
    room = width
    for word in text.split(" "):
        if not word:
            continue
        size = cells(word)
        if line and size < room:
            line += " " + word
            room -= size + 1
            continue
        if line:
            lines.append(line)
        while break_words and size > width:
            head = _head(word, width)
            lines.append(word[:head])
            word = word[head:]
            size = cells(word)
        line = word
        room = width - size
    if line or not lines:
        lines.append(line)
    return lines


def _head(word: str, width: int, seams: frozenset[str] = _SEAMS) -> int:
    """How many characters of `word` go on a line of `width`: up to a seam in its second half, or all that fit."""
    taken = used = 0
    seam = 0
    for character in word:
        used += cells(character)
        if used > width and taken:
            break
        taken += 1
        if character in seams and used > width // 2:
            seam = taken
    return seam or taken


class Cell:
    """One cell of a row: clean lines of text, each in one style."""

    def __init__(
        self, text: str = "", style: str | None = None, *, more: Sequence[tuple[str, str | None]] = ()
    ) -> None:
        self.parts = [(text, style), *more]

    def lines(self, width: int) -> Iterator[tuple[str, str | None]]:
        for text, style in self.parts:
            for line in wrap(text, width):
                yield line, style


class Page:
    """Lines are collected here. Whatever comes in through `text` cannot act on the terminal."""

    def __init__(self, options: RenderOptions) -> None:
        self.options = options
        self.width = max(options.width, MIN_WIDTH)
        self._lines: list[str] = []

    def text(self, text: str, limit: int = MAX_FIELD) -> str:
        """Foreign text made harmless. All other methods expect text that has come through here."""
        return clean(text, unicode=self.options.unicode, limit=limit)

    def own(self, text: str) -> str:
        """Text of ours with the typography that this terminal has."""
        return clean(text, unicode=self.options.unicode)

    def paint(self, text: str, style: str | None) -> str:
        if not style or not self.options.color or not text:
            return text
        return f"\x1b[{style}m{text}\x1b[0m"

    def blank(self) -> None:
        if self._lines and self._lines[-1]:
            self._lines.append("")

    def heading(self, text: str) -> None:
        self.blank()
        self.paragraph(text, style=BOLD)

    def paragraph(
        self,
        text: str,
        *,
        indent: int = 0,
        hanging: int = 0,
        lead: str = "",
        style: str | None = None,
        lead_style: str | None = None,
        break_words: bool = True,
    ) -> None:
        """Wrapped text, `indent` columns in, its further lines `hanging` more.

        With a `lead` that stands alone at the left, in a column at least `hanging` wide, and the text in its own.
        """
        if cells(lead) > (self.width - indent) * 2 // 3:  # no room for a second column
            text, lead, lead_style, hanging = f"{lead} {text}", "", None, 2
        column = max(hanging, cells(lead))
        for number, line in enumerate(wrap(text, self.width - indent - column, break_words=break_words)):
            if number == 0:
                start = self.paint(lead, lead_style) + " " * (column - cells(lead)) if lead else ""
            else:
                start = " " * column
            self._put(" " * indent + start + self.paint(line, style))

    def verbatim(self, text: str, *, indent: int, lead: str) -> None:
        """Text with its spaces as they are, cut at the edge of the page; every line of it stands behind `lead`."""
        width = self.width - indent - cells(lead)
        while True:
            head = _head(text, width, seams=frozenset())
            self._put(" " * indent + lead + text[:head])
            text = text[head:]
            if not text:
                return

    def row(self, row: Sequence[Cell], widths: Sequence[int], *, indent: int = 0, gap: int = 2) -> None:
        """One row of a table, its cells wrapped into columns of `widths`."""
        columns = [list(cell.lines(width)) for cell, width in zip(row, widths, strict=True)]
        for parts in zip_longest(*columns):
            line = " " * indent
            for part, width in zip(parts, widths, strict=True):
                text, style = part or ("", None)
                line += self.paint(text, style) + " " * (width - cells(text) + gap)
            self._put(line)

    def table(self, rows: Sequence[Sequence[str]], *, indent: int = 0, style: str | None = DIM) -> None:
        """Rows of clean text in columns as wide as their widest cell; the first row is the heading.

        The last column takes what is left of the line, and wraps. Figures stand on the right.
        """
        count = len(rows[0])
        right = [all(row[column].isdigit() for row in rows[1:]) for column in range(count)]
        widths = [max(cells(row[column]) for row in rows) for column in range(count)]
        room = self.width - indent - sum(widths[:-1]) - 2 * (count - 1)
        if room < 8:  # no table fits: one field a line
            for row in rows[1:]:
                for name, value in zip(rows[0], row, strict=True):
                    self.paragraph(value, indent=indent, lead=f"{name}: ")
                self.blank()
            return
        widths[-1] = min(widths[-1], room)
        for number, row in enumerate(rows):
            padded = [
                " " * (width - cells(value)) + value if is_right and cells(value) <= width else value
                for value, width, is_right in zip(row, widths, right, strict=True)
            ]
            self._row_verbatim(padded, widths, indent, style if number == 0 else None)

    def _row_verbatim(self, row: Sequence[str], widths: Sequence[int], indent: int, style: str | None) -> None:
        last = wrap(row[-1], widths[-1]) if cells(row[-1]) > widths[-1] else [row[-1]]
        start = "".join(
            value + " " * (width - cells(value) + 2) for value, width in zip(row[:-1], widths, strict=False)
        )
        for line in last:
            self._put(" " * indent + self.paint((start + line).rstrip(), style))
            start = " " * cells(start)

    def _put(self, line: str) -> None:
        self._lines.append(line.rstrip(" "))

    def __str__(self) -> str:
        while self._lines and not self._lines[-1]:
            self._lines.pop()
        return "\n".join(self._lines) + "\n"
